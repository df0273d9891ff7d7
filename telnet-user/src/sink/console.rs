//! Documents on standard output: one JSON object a line, or one readable line each.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write},
};

use super::{Document, pretty};
use crate::{config::Format, source::steers};

/// Writes documents to one stream, in the order they come.
#[derive(Debug)]
pub struct Console<W> {
    out: W,
    pretty: bool,
}

impl Console<io::Stdout> {
    /// The process's standard output.
    pub fn stdout(format: Format) -> Self {
        let out = io::stdout();
        let pretty = match format {
            Format::Auto => out.is_terminal(),
            Format::Ndjson => false,
            Format::Pretty => true,
        };
        Self { out, pretty }
    }
}

impl<W: Write> Console<W> {
    /// Any writer.
    pub const fn new(out: W, pretty: bool) -> Self {
        Self { out, pretty }
    }

    /// Writes one document and hands it on at once: an alert must not wait in a buffer.
    ///
    /// # Errors
    ///
    /// When the stream does not take it, for example because its reader is gone.
    pub fn write(&mut self, document: &Document) -> io::Result<()> {
        let text = if self.pretty {
            Cow::Owned(pretty::line(document.kind(), &document.value()))
        } else {
            without_orders(document.text())
        };
        // In one piece: other processes may write to the same file.
        let line = [text.as_bytes(), b"\n"].concat();
        self.out.write_all(&line)?;
        self.out.flush()
    }
}

/// The same JSON. It has only the control characters below a space escaped, as it must be; a terminal
/// obeys others too.
fn without_orders(json: &str) -> Cow<'_, str> {
    if !json.contains(steers) {
        return Cow::Borrowed(json);
    }
    let escape = |character: char| {
        if steers(character) {
            // All of them are in the first plane.
            format!("\\u{:04x}", u32::from(character))
        } else {
            character.to_string()
        }
    };
    Cow::Owned(json.chars().map(escape).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sink::Kind;

    #[test]
    fn ndjson_is_one_line_whatever_is_inside() {
        let mut out = Vec::new();
        let document = Document::new(
            Kind::Event,
            json!({"process": {"name": "a\nb\u{1b}[2J\u{9b}2J\u{7f}\u{202e}é"}}).to_string(),
        );
        Console::new(&mut out, false)
            .write(&document)
            .expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text.lines().count(), 1);
        let orders: Vec<_> = text.trim_end().chars().filter(|c| steers(*c)).collect();
        assert!(orders.is_empty(), "{orders:?}");
        assert!(text.contains('é'));
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, document.value());
    }
}
