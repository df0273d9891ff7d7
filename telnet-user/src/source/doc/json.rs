//! Byte ranges of values inside JSON text.
//!
//! `serde_json` reports no spans. A path is looked up in the text only when a
//! finding needs a column, so the scan costs nothing on a good file.

use std::ops::Range;

use super::path::{Path, Step};

/// Byte range of the value at `path` in `text`, a valid JSON document.
///
/// `None` when the path does not lead to a value. A repeated key means its last
/// occurrence, the one `serde_json` keeps.
pub(crate) fn locate(text: &str, path: &Path) -> Option<Range<usize>> {
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        at: 0,
    };
    scanner.blanks();
    for step in path.steps() {
        match step {
            Step::Key(key) => scanner.enter_member(key)?,
            Step::Index(index) => scanner.enter_element(*index)?,
        }
    }
    let start = scanner.at;
    scanner.skip_value()?;
    Some(start..scanner.at)
}

struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Moves from the start of an object to the start of the value of `key`.
    fn enter_member(&mut self, key: &str) -> Option<()> {
        let mut found = None;
        self.take(b'{')?;
        loop {
            self.blanks();
            if self.peek()? == b'}' {
                break;
            }
            let name = self.string()?;
            self.blanks();
            self.take(b':')?;
            self.blanks();
            let name: Option<String> = self
                .bytes
                .get(name)
                .and_then(|raw| serde_json::from_slice(raw).ok());
            if name.as_deref() == Some(key) {
                found = Some(self.at);
            }
            self.skip_value()?;
            self.blanks();
            if self.take(b',').is_none() {
                break;
            }
        }
        self.at = found?;
        Some(())
    }

    /// Moves from the start of an array to the start of element `index`.
    fn enter_element(&mut self, index: usize) -> Option<()> {
        self.take(b'[')?;
        self.blanks();
        for _ in 0..index {
            self.skip_value()?;
            self.blanks();
            self.take(b',')?;
            self.blanks();
        }
        (self.peek()? != b']').then_some(())
    }

    /// Consumes a string and returns its range, quotes included.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(start..self.at);
                }
                _ => self.at += 1,
            }
        }
    }

    /// Consumes one value of any kind, without recursion.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.blanks();
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    while self.peek().is_some_and(|byte| {
                        !byte.is_ascii_whitespace() && !matches!(byte, b',' | b':' | b']' | b'}')
                    }) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Path, locate};

    #[test]
    fn finds_values_by_path() {
        let text = r#" {"a": [1, {"b\"c": "x,]}"}, []], "d": {"e": null}, "f":-1.5e3 } "#;
        let root = Path::default();
        let cases = [
            (root.clone(), Some(text.trim())),
            (root.key("a"), Some(r#"[1, {"b\"c": "x,]}"}, []]"#)),
            (root.key("a").index(0), Some("1")),
            (root.key("a").index(1).key("b\"c"), Some(r#""x,]}""#)),
            (root.key("a").index(2), Some("[]")),
            (root.key("a").index(3), None),
            (root.key("a").index(2).index(0), None),
            (root.key("d").key("e"), Some("null")),
            (root.key("f"), Some("-1.5e3")),
            (root.key("g"), None),
            (root.key("f").key("x"), None),
        ];
        for (path, expected) in cases {
            assert_eq!(
                locate(text, &path).and_then(|range| text.get(range)),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn a_repeated_key_means_the_last() {
        let path = Path::default().key("a");
        assert_eq!(locate(r#"{"a":1,"a":22}"#, &path), Some(11..13));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[\\[\\]{}\",:\\\\a1 ]{0,40}", index in 0_usize..3) {
            locate(&text, &Path::default().key("a").index(index).key("1"));
        }
    }
}
