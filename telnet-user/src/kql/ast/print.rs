//! Writes a tree as a query that parses back to the same tree.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{Literal, LiteralKind, Node, NodeKind, Query, Values, ValuesKind};
use crate::kql::parse::chars;

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            NodeKind::All => Ok(()),
            NodeKind::Or(nodes) => joined(f, nodes, " or ", |node| node.level() == Level::Or),
            NodeKind::And(nodes) => joined(f, nodes, " and ", |node| node.level() <= Level::And),
            NodeKind::Not(node) => {
                f.write_str("not ")?;
                grouped(f, node.as_ref(), node.level() <= Level::Not)
            }
            NodeKind::Match { field, values } => {
                write!(f, "{field}:")?;
                grouped(f, values, values.level() <= Level::Not)
            }
            NodeKind::Range { field, op, bound } => write!(f, "{field} {} {bound}", op.as_str()),
            NodeKind::Nested { path, query } => write!(f, "{path}:{{ {query} }}"),
            NodeKind::Free(literal) => literal.fmt(f),
        }
    }
}

impl Display for Values {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ValuesKind::Or(list) => joined(f, list, " or ", |item| item.level() == Level::Or),
            ValuesKind::And(list) => joined(f, list, " and ", |item| item.level() <= Level::And),
            ValuesKind::Not(item) => {
                f.write_str("not ")?;
                grouped(f, item.as_ref(), item.level() <= Level::Not)
            }
            ValuesKind::Literal(literal) => literal.fmt(f),
        }
    }
}

/// How tightly a clause binds, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    Clause,
}

impl Node {
    fn level(&self) -> Level {
        match &self.kind {
            NodeKind::Or(_) => Level::Or,
            NodeKind::And(_) => Level::And,
            NodeKind::Not(_) => Level::Not,
            NodeKind::All
            | NodeKind::Match { .. }
            | NodeKind::Range { .. }
            | NodeKind::Nested { .. }
            | NodeKind::Free(_) => Level::Clause,
        }
    }
}

impl Values {
    fn level(&self) -> Level {
        match &self.kind {
            ValuesKind::Or(_) => Level::Or,
            ValuesKind::And(_) => Level::And,
            ValuesKind::Not(_) => Level::Not,
            ValuesKind::Literal(_) => Level::Clause,
        }
    }
}

fn grouped(f: &mut Formatter<'_>, item: &impl Display, parentheses: bool) -> fmt::Result {
    if parentheses {
        write!(f, "({item})")
    } else {
        item.fmt(f)
    }
}

fn joined<T: Display>(
    f: &mut Formatter<'_>,
    items: &[T],
    operator: &str,
    parentheses: impl Fn(&T) -> bool,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(operator)?;
        }
        grouped(f, item, parentheses(item))?;
    }
    Ok(())
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            LiteralKind::Quoted(text) => {
                f.write_char('"')?;
                for c in text.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        _ => character(f, c)?,
                    }
                }
                f.write_char('"')
            }
            // Nothing but blanks that were trimmed: only an escaped blank reads as that.
            LiteralKind::Bare(pattern) if pattern.text() == Some("") => f.write_str("\\t"),
            LiteralKind::Bare(pattern) => {
                for (index, part) in pattern.parts().enumerate() {
                    if index > 0 {
                        f.write_char('*')?;
                    }
                    bare(f, part)?;
                }
                Ok(())
            }
        }
    }
}

/// Writes unquoted text, with an escape wherever a character or word would end the literal.
fn bare(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let mut word_start = true;
    for (offset, c) in text.char_indices() {
        let rest = text.get(offset..).unwrap_or_default();
        let keyword = word_start && (ends_word(rest, "or") || ends_word(rest, "and"));
        if keyword || chars::is_special(c) {
            write!(f, "\\{c}")?;
        } else if ends_word(rest, "not") {
            // `\not` would be a line feed and "ot".
            write!(f, "\\u{:04x}", u32::from(c))?;
        } else {
            character(f, c)?;
        }
        word_start = chars::is_blank(c);
    }
    Ok(())
}

/// Whether `text` starts with `word` in any case, followed by a blank or nothing.
fn ends_word(text: &str, word: &str) -> bool {
    chars::strip_word(text, word)
        .is_some_and(|rest| rest.chars().next().is_none_or(chars::is_blank))
}

/// Writes one character, escaped when it is not visible.
fn character(f: &mut Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\t' => f.write_str("\\t"),
        '\r' => f.write_str("\\r"),
        '\n' => f.write_str("\\n"),
        _ if c != ' ' && (c.is_control() || c.is_whitespace()) => {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(f, "\\u{unit:04x}")?;
            }
            Ok(())
        }
        _ => f.write_char(c),
    }
}
