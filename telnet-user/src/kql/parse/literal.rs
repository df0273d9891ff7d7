//! Literals: quoted and unquoted text with their escapes.

use super::{Keyword, Parser, chars, hint, missing};
use crate::kql::ast::{Literal, LiteralKind, Pattern};
use crate::kql::error::{Error, quote};

impl Parser<'_> {
    /// A field name or a value. Blanks after an unquoted one belong to it and are trimmed.
    pub(super) fn literal(&mut self) -> Result<Literal, Error> {
        if self.peek() == Some('"') {
            self.quoted()
        } else {
            self.bare()
        }
    }

    fn quoted(&mut self) -> Result<Literal, Error> {
        let start = self.pos;
        self.pos += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else {
                return Err(self
                    .error(start, "the quoted value is never closed")
                    .expected("\"\\\"\" before the end of the query")
                    .hint("write a quote inside a value as \\\""));
            };
            if c == '"' {
                self.pos += 1;
                break;
            }
            match self.escape()? {
                Some(escaped) => text.push(escaped),
                None if self.rest().starts_with("\\\"") || self.rest().starts_with("\\\\") => {
                    text.extend(self.rest().chars().nth(1));
                    self.pos += 2;
                }
                None => {
                    text.push(c);
                    self.pos += c.len_utf8();
                }
            }
        }
        Ok(Literal {
            span: self.span_from(start),
            kind: LiteralKind::Quoted(text),
        })
    }

    fn bare(&mut self) -> Result<Literal, Error> {
        let start = self.pos;
        let mut parts = Vec::new();
        let mut part = String::new();
        while let Some(c) = self.peek() {
            match c {
                '*' => {
                    self.pos += 1;
                    if parts.is_empty() || !part.is_empty() {
                        parts.push(std::mem::take(&mut part));
                    }
                }
                '\\' => part.push(self.bare_escape()?),
                _ if chars::is_special(c) || self.at_keyword() => break,
                _ if chars::is_blank(c) => {
                    // The keyword that might follow was looked for: the blanks are one piece.
                    let from = self.pos;
                    self.skip_blanks();
                    part.push_str(self.text.get(from..self.pos).unwrap_or_default());
                }
                _ => {
                    part.push(c);
                    self.pos += c.len_utf8();
                }
            }
        }
        if self.pos == start {
            return Err(missing(self.text, start));
        }
        parts.push(part);
        trim(&mut parts);
        let mut parts = parts.into_iter();
        let pattern = Pattern::new(parts.next().unwrap_or_default(), parts.collect());
        Ok(Literal {
            span: self.span_from(start),
            kind: LiteralKind::Bare(pattern),
        })
    }

    fn at_keyword(&self) -> bool {
        [Keyword::Or, Keyword::And, Keyword::Not]
            .iter()
            .any(|word| self.after(*word).is_some())
    }

    /// The escapes that act everywhere: `\t`, `\r`, `\n` and `\uXXXX`, tried before any other.
    fn escape(&mut self) -> Result<Option<char>, Error> {
        let escaped = match self.rest().as_bytes() {
            [b'\\', b't', ..] => '\t',
            [b'\\', b'r', ..] => '\r',
            [b'\\', b'n', ..] => '\n',
            [b'\\', b'u', ..] => return self.unicode_escape(),
            _ => return Ok(None),
        };
        self.pos += 2;
        Ok(Some(escaped))
    }

    /// `\uXXXX`: one UTF-16 unit, or the two of a surrogate pair.
    fn unicode_escape(&mut self) -> Result<Option<char>, Error> {
        let Some(first) = utf16_unit(self.rest()) else {
            return Ok(None);
        };
        let second = self.rest().get(6..).and_then(utf16_unit);
        let mut decoded = char::decode_utf16(std::iter::once(first).chain(second));
        match decoded.next() {
            Some(Ok(c)) => {
                self.pos += 6 * c.len_utf16();
                Ok(Some(c))
            }
            Some(Err(_)) | None => Err(self
                .error(
                    self.pos,
                    format!("\\u{first:04x} is half of a surrogate pair"),
                )
                .hint("write the other half next to it, or the character itself")),
        }
    }

    fn bare_escape(&mut self) -> Result<char, Error> {
        let start = self.pos;
        if let Some(escaped) = self.escape()? {
            return Ok(escaped);
        }
        let after = self.rest().get(1..).unwrap_or_default();
        match after.chars().next() {
            Some(c) if chars::is_special(c) => {
                self.pos += 2;
                Ok(c)
            }
            // `\or`, `\and`, `\not`: the backslash alone keeps the word from being a keyword.
            Some(c) if ["or", "and", "not"].iter().any(|w| chars::strip_word(after, w).is_some()) => {
                self.pos += 1 + c.len_utf8();
                Ok(c)
            }
            Some(c) => Err(self
                .error(start, format!("unknown escape {}", quote(&format!("\\{c}"))))
                .expected("one of \\t \\r \\n \\uXXXX \\\\ \\( \\) \\: \\< \\> \\\" \\* \\{ \\} \\or \\and")
                .hint(hint::unknown_escape(c))),
            None => Err(self
                .error(start, "a backslash ends the query")
                .hint("write \\\\ for a backslash")),
        }
    }
}

/// The unit of `\uXXXX` at the start of `text`.
fn utf16_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Takes the outer white space off, escaped or not, as Kibana does after resolving escapes.
fn trim(parts: &mut [String]) {
    if let Some(first) = parts.first_mut() {
        *first = first.trim_start_matches(chars::is_trimmed).to_owned();
    }
    if let Some(last) = parts.last_mut() {
        *last = last.trim_end_matches(chars::is_trimmed).to_owned();
    }
}
