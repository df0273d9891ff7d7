//! Character classes and words of the grammar.

/// What separates words: blank, tab, carriage return, line feed and the no-break space.
pub(in crate::kql) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{a0}')
}

/// What an unquoted literal may hold only after a backslash; `*` alone is the wildcard.
pub(in crate::kql) fn is_special(c: char) -> bool {
    matches!(
        c,
        '\\' | '(' | ')' | ':' | '<' | '>' | '"' | '*' | '{' | '}'
    )
}

/// What is trimmed off both ends of an unquoted literal: ECMAScript's white space.
pub(in crate::kql) fn is_trimmed(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

/// The rest of `text` after `word` in any case.
pub(in crate::kql) fn strip_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}
