//! From a place in a decoded string back to the bytes of its literal.
//!
//! A query error is found in the decoded text, but a person edits the TOML or
//! JSON literal, with its quotes, escapes and line continuations.

use crate::source::problem::Position;

/// Byte offset inside `literal` (quotes included) of the character that stands
/// at `target` of the decoded string; the closing quote for a place at its end.
///
/// Handles the four TOML string forms and JSON strings. An escape that decodes
/// to something yields the offset of its backslash.
pub(crate) fn offset(literal: &str, target: Position) -> usize {
    let (mut rest, delimiter, escapes) = open(literal);
    let body_end = literal.len() - delimiter.min(literal.len());
    let mut here = Position { line: 1, column: 1 };
    while rest < body_end {
        let Some((decoded, width)) = literal.get(rest..).and_then(|text| next(text, escapes))
        else {
            break;
        };
        let Some(character) = decoded else {
            rest += width;
            continue;
        };
        if here >= target {
            return rest;
        }
        if character == '\n' {
            here = Position {
                line: here.line + 1,
                column: 1,
            };
        } else {
            here.column += 1;
        }
        if here.line > target.line {
            return rest;
        }
        rest += width;
    }
    body_end
}

/// Start of the body, length of the closing delimiter, whether `\` escapes.
fn open(literal: &str) -> (usize, usize, bool) {
    for (delimiter, escapes) in [("\"\"\"", true), ("'''", false)] {
        if let Some(body) = literal.strip_prefix(delimiter)
            && literal.len() >= 2 * delimiter.len()
        {
            let newline = if body.starts_with("\r\n") {
                2
            } else {
                usize::from(body.starts_with('\n'))
            };
            return (delimiter.len() + newline, delimiter.len(), escapes);
        }
    }
    (1, 1, literal.starts_with('"'))
}

/// The first decoded character of `text` and the bytes it takes; no character
/// for a line continuation.
fn next(text: &str, escapes: bool) -> Option<(Option<char>, usize)> {
    let mut characters = text.chars();
    let first = characters.next()?;
    if first != '\\' || !escapes {
        return Some((Some(first), first.len_utf8()));
    }
    let hex = |digits: usize| {
        let code = text
            .get(2..2 + digits)
            .and_then(|code| u32::from_str_radix(code, 16).ok());
        (code, 2 + digits)
    };
    Some(match characters.next()? {
        'n' => (Some('\n'), 2),
        'x' => (hex(2).0.and_then(char::from_u32), hex(2).1),
        'U' => (hex(8).0.and_then(char::from_u32), hex(8).1),
        'u' => unicode(hex(4)),
        blank if blank.is_ascii_whitespace() => (None, text.len() - trimmed(text).len()),
        other => (Some(other), 1 + other.len_utf8()),
    })
}

/// A `\uXXXX` escape. The first half of a surrogate pair counts as nothing, so
/// that the pair is one character, as in the decoded string.
fn unicode((code, width): (Option<u32>, usize)) -> (Option<char>, usize) {
    match code {
        Some(0xd800..=0xdbff) => (None, width),
        Some(0xdc00..=0xdfff) => (Some('\u{fffd}'), width),
        other => (other.and_then(char::from_u32), width),
    }
}

/// What follows a line continuation at the start of `text`.
fn trimmed(text: &str) -> &str {
    text.strip_prefix('\\')
        .unwrap_or(text)
        .trim_start_matches([' ', '\t', '\r', '\n'])
}

#[cfg(test)]
mod tests {
    use super::{Position, offset};

    #[test]
    fn maps_back_into_the_literal() {
        // (literal, line, column, what stands there)
        let cases = [
            (r#""abc""#, 1, 2, "bc"),
            (r"'a\bc'", 1, 3, "bc"),
            (r#""a\"bc""#, 1, 3, "bc"),
            (r#""a\u0062c""#, 1, 3, "c"),
            (r#""\ud83d\ude00c""#, 1, 2, "c"),
            (r#""one\ntwo""#, 2, 2, "wo"),
            ("'''\none\n  two\n'''", 2, 3, "two"),
            ("'''\r\none\r\ntwo'''", 2, 1, "two"),
            ("'''one\ntwo'''", 2, 1, "two"),
            ("\"\"\"\none \\\n   two\"\"\"", 1, 5, "two"),
            ("\"\"\"a\"b\"\"\"", 1, 3, "b"),
            ("'abc'", 1, 4, "'"),
            ("'abc'", 1, 99, "'"),
            ("'''\na\nb'''", 1, 9, "\nb"),
            ("'''\na\nb'''", 9, 1, "'''"),
            ("\"\"", 1, 1, "\""),
        ];
        for (literal, line, column, expected) in cases {
            let at = offset(literal, Position { line, column });
            assert!(
                literal.get(at..).unwrap().starts_with(expected),
                "{literal} {line}:{column} -> {}",
                literal.get(at..).unwrap()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn stays_inside(literal in "['\"][a\\\\nux0'\"\n\u{e4}]{0,12}['\"]?", line in 1_usize..4, column in 1_usize..9) {
            let at = offset(&literal, Position { line, column });
            proptest::prop_assert!(at <= literal.len());
        }

        #[test]
        fn agrees_with_the_toml_decoder(text in "[ab\t\\\\\"'\n\u{e4}\u{1f600}]{1,30}", index in 0_usize..30) {
            let Some((at, character)) = text.char_indices().nth(index) else { return Ok(()); };
            let literal = toml::Value::String(text.clone()).to_string();
            let raw = literal.get(offset(&literal, Position::of(&text, at))..).unwrap();
            let direct = raw.starts_with(character);
            let escaped = raw.starts_with('\\');
            proptest::prop_assert!(direct || escaped, "{literal} {at} -> {raw}");
        }
    }
}
