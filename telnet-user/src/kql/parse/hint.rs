//! Messages and hints for text that is not KQL, or is another query language.

use super::{chars, missing};
use crate::kql::error::{Class, Error, quote};

/// The error for text after a complete clause.
pub(super) fn unexpected(text: &str, offset: usize, expected: &str) -> Error {
    let rest = text.get(offset..).unwrap_or_default();
    let before = text.get(..offset).unwrap_or_default().trim_end();
    let last = before
        .rsplit(|c| chars::is_blank(c) || c == '(')
        .next()
        .unwrap_or_default();
    let error = missing(text, offset).expected(expected);
    match rest.chars().next() {
        Some(')') => error.hint("remove it, or open a group before it"),
        Some('}') => error.hint("remove it, or open path:{ before it"),
        Some('(') if last.eq_ignore_ascii_case("in") => {
            error.hint("\"in\" is not KQL; write field:(a or b)")
        }
        Some('(')
            if ["and", "or", "not"]
                .iter()
                .any(|w| last.eq_ignore_ascii_case(w)) =>
        {
            error.hint(format!(
                "put a blank between {} and the parenthesis",
                quote(last)
            ))
        }
        Some('(') => error.hint("quote a value that holds parentheses, or write \\("),
        Some('"') if last.eq_ignore_ascii_case("like") => {
            error.hint("\"like\" is not KQL; write field:den* with the wildcard outside quotes")
        }
        Some('"') if last.ends_with('=') => error.hint("equality is written field:\"value\""),
        Some('"') => error.hint("put \"and\" or \"or\" before it, or write \\\" inside a value"),
        Some('{') => error.hint("\":\" is missing before \"{\"; write path:{ … }"),
        Some(':') => colon(text, offset, error),
        Some('<' | '>') if before.ends_with(['<', '>', '=', '!']) => {
            error.hint("\"not equal\" is written not field:value")
        }
        Some('<' | '>') => error.hint("ranges cannot be chained; join two with \"and\""),
        _ => word(text, offset, error),
    }
}

/// The hint for a word that does not fit: a keyword without its blanks or its operand.
fn word(text: &str, offset: usize, error: Error) -> Error {
    let rest = text.get(offset..).unwrap_or_default();
    let glued = offset > 0
        && !text
            .get(..offset)
            .unwrap_or_default()
            .ends_with(chars::is_blank);
    for keyword in ["or", "and"] {
        let Some(after) = chars::strip_word(rest, keyword) else {
            continue;
        };
        if after.trim_start_matches(chars::is_blank).is_empty() {
            return error
                .expected(format!("a clause after {keyword:?}"))
                .hint(format!("finish the query or remove {keyword:?}"));
        }
        if glued || !after.starts_with(chars::is_blank) {
            return error.hint(format!("{keyword:?} needs a blank on both sides"));
        }
    }
    if chars::strip_word(rest, "not").is_some_and(|after| after.starts_with(chars::is_blank)) {
        return error.hint(
            "an unquoted value may not contain \"not \"; quote it, or join clauses with \"and not\"",
        );
    }
    error.hint("join clauses with \"and\" or \"or\"; quote a value that holds quotes")
}

/// The hint for a colon inside an unquoted value.
fn colon(text: &str, offset: usize, error: Error) -> Error {
    let word_start = |c: char| chars::is_blank(c) || matches!(c, '(' | ':' | '<' | '>' | '=' | '{');
    let before = text.get(..offset).unwrap_or_default();
    let head = before.rsplit(word_start).next().unwrap_or_default();
    let lead = before.strip_suffix(head).unwrap_or_default();
    let tail = text.get(offset..).unwrap_or_default();
    let tail = tail
        .split(|c| chars::is_blank(c) || c == ')')
        .next()
        .unwrap_or_default();
    let value = quote(&format!("{head}{tail}"));
    let operand = lead.trim_end_matches(chars::is_blank);
    if lead.trim_end().ends_with("&&") || lead.trim_end().ends_with("||") {
        return error.hint("\"&&\" and \"||\" are not KQL; write \"and\" and \"or\"");
    }
    if lead.ends_with(chars::is_blank) && !operand.ends_with([':', '<', '>', '=', '(']) {
        return error.hint(format!(
            "put \"and\" or \"or\" before {value}, or quote the value"
        ));
    }
    error.hint(format!(
        "a value with \":\" (IPv6 address, time, path) needs quotes: {value}, or \\: for each colon"
    ))
}

/// The error for a clause that does not start with a field or value.
pub(super) fn clause(text: &str, error: Error) -> Error {
    if error.hint.is_some() {
        return error;
    }
    let (before, rest) = around(text, &error);
    let error = error.expected("a field, a value, \"not\" or \"(\"");
    match rest.chars().next() {
        Some(')') if before.ends_with('(') => error.hint("remove the empty group"),
        Some('}') if before.ends_with('{') => error.hint("write the query inside the braces"),
        Some('<' | '>') => error.hint("write the field before the operator: field > 5"),
        Some(':') => error.hint("write the field before \":\""),
        Some('{') => error.hint("write path:{ … }"),
        _ => operator_without_operand(before, error),
    }
}

/// What stands before the place of `error`, without outer blanks, and what stands there.
fn around<'t>(text: &'t str, error: &Error) -> (&'t str, &'t str) {
    let (before, rest) = text.split_at_checked(error.offset).unwrap_or((text, ""));
    (before.trim_end(), rest)
}

fn operator_without_operand(before: &str, error: Error) -> Error {
    let last = before
        .rsplit(|c| chars::is_blank(c) || matches!(c, '(' | ')'))
        .next();
    match last {
        Some(word)
            if ["and", "or", "not"]
                .iter()
                .any(|w| word.eq_ignore_ascii_case(w)) =>
        {
            error.hint(format!("{} needs something after it", quote(word)))
        }
        _ => error,
    }
}

/// The error for `field:` without a value.
pub(super) fn value(text: &str, colon: usize, error: Error) -> Error {
    if error.hint.is_some() {
        return error;
    }
    let (before, rest) = around(text, &error);
    let error = if error.expected.is_some() {
        error
    } else {
        error.expected("a value or \"(\"")
    };
    match rest.chars().next() {
        Some(operator @ ('<' | '>')) if before.ends_with(':') => Error::new(
            Class::Syntax,
            text,
            colon,
            format!("\":\" and \"{operator}\" cannot be combined"),
        )
        .expected("a value or \"(\" after \":\"")
        .hint(format!("a range has no colon: field {operator} value")),
        Some(':') => error.hint("one \":\" is enough; quote a value that starts with a colon"),
        Some(')') if before.ends_with('(') => error.hint("field:* asks for any value"),
        Some('{') => error.hint("braces stand right after the colon of a field: path:{ … }"),
        Some('n' | 'N') => error.hint("negate inside a list: field:(not value)"),
        None if before.ends_with(':') => {
            error.hint("field:* asks for any value, field:\"\" for the empty string")
        }
        _ => operator_without_operand(before, error),
    }
}

/// The error for a range without its bound.
pub(super) fn bound(text: &str, error: Error) -> Error {
    if error.hint.is_some() {
        return error;
    }
    let (_, rest) = around(text, &error);
    let error = error.expected("one value");
    match rest.chars().next() {
        Some('(') => error.hint("a range takes one value, not a list"),
        Some('>') => error.hint("\"not equal\" is written not field:value"),
        Some(':') => error.hint("a range has no colon: field > value"),
        _ => error,
    }
}

/// The hint for a backslash before `c` in unquoted text.
pub(super) fn unknown_escape(c: char) -> &'static str {
    if chars::is_blank(c) {
        "a blank cannot be escaped; quote the value"
    } else if c == 'u' {
        "four hexadecimal digits follow \\u"
    } else {
        "quote the value, or write \\\\ for a backslash"
    }
}
