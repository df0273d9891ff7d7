//! Writing JSON text piece by piece.

use serde::Serialize;

use super::Node;

/// Appends `text` as a JSON string; whether it stands there as it is, without escapes.
pub fn push_text(out: &mut String, text: &str) -> bool {
    let is_plain = is_plain(text);
    if is_plain {
        out.reserve(text.len() + 2);
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
    is_plain
}

/// Whether `text` stands in JSON as it is.
pub(super) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (words, _) = bytes.as_chunks();
    match bytes.last_chunk() {
        // The last eight bytes cover what is behind the words, and some of these again.
        Some(last) => words.iter().all(|word| is_plain_word(*word)) && is_plain_word(*last),
        None => bytes.iter().all(|byte| is_plain_byte(*byte)),
    }
}

const fn is_plain_byte(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// The same of eight bytes at once. Where a byte is below `n`, taking `n` away sets its highest bit;
/// that can make its neighbour look lower than it is, but only where one was found already.
const fn is_plain_word(word: [u8; 8]) -> bool {
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    const fn below(word: u64, n: u8) -> u64 {
        word.wrapping_sub(all(n)) & !word & all(0x80)
    }
    const fn equal(word: u64, byte: u8) -> u64 {
        below(word ^ all(byte), 1)
    }
    let word = u64::from_ne_bytes(word);
    below(word, b' ') | equal(word, b'"') | equal(word, b'\\') == 0
}

/// An object that is being written, member by member; the caller gives each key once.
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut String,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Starts an object at the end of `out`.
    pub fn begin(out: &'o mut String) -> Self {
        out.push('{');
        Self {
            out,
            is_empty: true,
        }
    }

    /// Ends it.
    pub fn end(self) {
        self.out.push('}');
    }

    /// Starts a member; its value is to be appended to what this returns.
    pub fn member(&mut self, key: &str) -> &mut String {
        self.separate();
        push_text(self.out, key);
        self.out.push(':');
        self.out
    }

    /// A member whose value is the string `text`.
    pub fn text(&mut self, key: &str, text: &str) {
        push_text(self.member(key), text);
    }

    /// A member whose value is the JSON text `json`.
    pub fn raw(&mut self, key: &str, json: &str) {
        self.member(key).push_str(json);
    }

    /// A member whose value is that of `node`.
    pub fn node(&mut self, key: &str, node: Node<'_>) {
        node.write(self.member(key));
    }

    /// A member of any value that has a JSON form.
    pub fn value(&mut self, key: &str, value: &impl Serialize) {
        let text = serde_json::to_string(value).unwrap_or_else(|error| {
            // Not reachable for what has text keys only.
            tracing::error!(%error, key, "no JSON form");
            "null".to_owned()
        });
        self.raw(key, &text);
    }

    /// Members that are written already: the text of an object without its braces.
    pub fn members(&mut self, text: &str) {
        if !text.is_empty() {
            self.separate();
            self.out.push_str(text);
        }
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(',');
        }
    }
}
