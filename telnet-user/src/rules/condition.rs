//! Conditions of filters and exceptions: KQL leaves under plain logic.

use jiff::Timestamp;

use super::field;
use super::wildcard::Wildcard;
use crate::json::Node;
use crate::kql::{self, Predicate};

/// A condition on one document.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// A typed comparison, expressed in KQL so that a filter, an exception and a
    /// query agree on what equal means.
    Query(Predicate),
    /// A pattern with `?`, which KQL has no word for.
    Wildcard {
        /// Field whose values are tried.
        field: String,
        /// The pattern for a whole value.
        pattern: Wildcard,
    },
    /// The opposite.
    Not(Box<Self>),
    /// All of them; true when empty.
    All(Vec<Self>),
    /// One of them at least; false when empty.
    Any(Vec<Self>),
}

impl Condition {
    /// Whether `document` satisfies the condition at `now`.
    pub(crate) fn matches(&self, document: Node<'_>, now: Timestamp) -> bool {
        match self {
            Self::Query(predicate) => predicate.matches(document, now),
            Self::Wildcard { field, pattern } => field::values(document, field)
                .into_iter()
                .filter_map(Node::as_str)
                .any(|text| pattern.matches(text)),
            Self::Not(inner) => !inner.matches(document, now),
            Self::All(parts) => parts.iter().all(|part| part.matches(document, now)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(document, now)),
        }
    }

    /// Whether it asks for a value of `name`.
    pub(crate) fn asks_for(&self, name: &str) -> bool {
        match self {
            Self::Query(predicate) => predicate.query().asks_for(name),
            Self::Wildcard { field, .. } => field == name,
            Self::Not(inner) => inner.asks_for(name),
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.asks_for(name)),
        }
    }

    /// The condition, turned around when `negate`.
    pub(crate) fn negate_if(self, negate: bool) -> Self {
        if negate {
            Self::Not(Box::new(self))
        } else {
            self
        }
    }
}

/// Compiles KQL written by this crate or taken from a rule.
///
/// The message of an error is the first one, without its position: the text is
/// not what the user wrote.
pub(crate) fn compile(query: &str) -> Result<Predicate, String> {
    let parsed = kql::parse(query).map_err(|error| error.message)?;
    kql::compile(&parsed, &kql::Options { lenient: true }).map_err(|errors| {
        let first = errors.into_iter().next();
        first.map_or_else(
            || "not a valid comparison".to_owned(),
            |error| error.message,
        )
    })
}

/// `text` as a quoted KQL literal.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// KQL for `field` equal to one of `values`.
pub(crate) fn equals(field: &str, values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| quote(value)).collect();
    format!("{}:({})", quote(field), values.join(" or "))
}

/// KQL for `field` having a value.
pub(crate) fn exists(field: &str) -> String {
    format!("{}:*", quote(field))
}

/// `pattern` as a bare KQL literal in which only `*` is special.
pub(crate) fn bare(pattern: &str) -> String {
    let mut out = String::new();
    for character in pattern.chars() {
        match character {
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            ' ' => out.push_str("\\u0020"),
            '\\' | '(' | ')' | ':' | '<' | '>' | '"' | '{' | '}' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}
