//! Literals: field names and values.

use super::{Pattern, Span};

/// A field name or a value, its escapes resolved.
#[derive(Debug, Clone)]
pub struct Literal {
    /// Where it was written, quotes included.
    pub span: Span,
    /// What it says.
    pub kind: LiteralKind,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// How a literal was written and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiteralKind {
    /// `"…"`: text and nothing else; on a text field a phrase.
    Quoted(String),
    /// Without quotes: wildcards count, outer blanks do not.
    Bare(Pattern),
}

impl Literal {
    /// The text when the literal has no wildcard.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            LiteralKind::Quoted(text) => Some(text),
            LiteralKind::Bare(pattern) => pattern.text(),
        }
    }

    /// The pattern when the literal has a wildcard.
    pub fn wildcard(&self) -> Option<&Pattern> {
        match &self.kind {
            LiteralKind::Bare(pattern) if pattern.text().is_none() => Some(pattern),
            LiteralKind::Bare(_) | LiteralKind::Quoted(_) => None,
        }
    }

    /// The text of a literal without quotes and wildcards.
    pub fn bare_text(&self) -> Option<&str> {
        match &self.kind {
            LiteralKind::Bare(pattern) => pattern.text(),
            LiteralKind::Quoted(_) => None,
        }
    }

    /// Whether it names this field, alone or among others; every field is none.
    pub fn names(&self, field: &str) -> bool {
        match self.wildcard() {
            Some(pattern) => !pattern.is_any() && pattern.matches(field),
            None => self.text() == Some(field),
        }
    }

    /// Whether it was written in quotes.
    pub fn is_quoted(&self) -> bool {
        matches!(self.kind, LiteralKind::Quoted(_))
    }

    /// Whether it is a lone `*`: "has a value", or as a field name "every field".
    pub fn is_any(&self) -> bool {
        self.wildcard().is_some_and(Pattern::is_any)
    }

    /// Whether it is the unquoted word `null`.
    pub fn is_null(&self) -> bool {
        self.bare_text() == Some("null")
    }
}
