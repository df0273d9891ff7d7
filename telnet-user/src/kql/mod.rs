//! KQL, the query language of Elastic's detection rules, as a pure library.
//!
//! ```
//! use telnet_user::kql;
//!
//! let query = kql::parse("destination.port:23 and not event.action:(denied or timeout)")?;
//! let predicate = kql::compile(&query, &kql::Options::default()).map_err(|e| e[0].clone())?;
//! let event = serde_json::json!({"destination": {"port": 23}, "event": {"action": "accepted"}});
//! assert!(predicate.matches(&event, jiff::Timestamp::UNIX_EPOCH));
//! # Ok::<(), kql::Error>(())
//! ```
//!
//! # Dialect
//!
//! A detection rule is parsed by Kibana and executed by Elasticsearch; both are followed here.
//! Parsing is Kibana's grammar, to the letter where it surprises:
//!
//! - `not` binds tighter than `and`, `and` tighter than `or`.
//! - Blanks belong to an unquoted value: `event.reason:Connection refused` is one value.
//! - `and`, `or` and `not` are keywords only between blanks; elsewhere they are text.
//! - `*` in unquoted text is a wildcard, alone it asks for any value; `?` is an ordinary character.
//! - There are no comments, regular expressions or symbols for operators.
//!
//! What is legal but surely a mistake, such as `port = 23` (free text), is an error of
//! [`Class::Lint`] unless [`Options::lenient`].
//!
//! Evaluation is Elasticsearch's for the field types of ECS (see [`fields`]): exact keywords,
//! analyzed text, 64-bit integers, addresses and CIDR blocks, rounded dates and date math. A literal
//! that does not fit its field makes Elasticsearch fail the search, so it is an error of
//! [`Class::Type`] when the query is compiled. An event never causes an error: a value of the wrong
//! type does not match.
//!
//! # Differences
//!
//! Elasticsearch's own `kql` query is another dialect that rules do not use: there `and` and `or`
//! have the same precedence and group to the right, and keywords need no blanks next to
//! parentheses.
//!
//! From Kibana with Elasticsearch this module differs on purpose where the engine's answer depends
//! on mappings that an event alone does not have:
//!
//! - a wildcard value with blanks is one pattern on every keyword type, never words joined by "or";
//! - braces work on any object, not only on fields mapped as `nested`;
//! - a value of another type under a wildcard field name does not match instead of failing;
//! - a field unknown to ECS has the type of the value at hand;
//! - half of a surrogate pair, more than [`MAX_BYTES`] and more than [`MAX_DEPTH`] levels are
//!   syntax errors.

mod ast;
mod compile;
mod error;
mod eval;
pub mod fields;
mod index;
mod parse;
pub mod pushdown;
#[cfg(test)]
mod tests;
mod value;

pub use ast::{
    Literal, LiteralKind, Node, NodeKind, Pattern, Query, RangeOp, Span, Values, ValuesKind,
};
pub use compile::{Options, Predicate, compile};
pub use error::{Class, Error};
pub use eval::{Clause, ClauseKind, Explanation, FieldValue};
pub use index::Index;
pub use parse::{MAX_BYTES, MAX_DEPTH, parse};
