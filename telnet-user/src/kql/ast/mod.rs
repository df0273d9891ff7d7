//! The syntax tree of a query: what was written, before any type is known.

mod literal;
mod pattern;
mod print;

use std::sync::Arc;

pub use literal::{Literal, LiteralKind};
pub use pattern::Pattern;

/// A stretch of the query's source text, in bytes.
///
/// Spans take no part in the equality of tree nodes: two queries are equal when they say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The text of this span in `source`; empty when the span is not one of `source`.
    pub fn of<'s>(&self, source: &'s str) -> &'s str {
        source.get(self.start..self.end).unwrap_or_default()
    }
}

/// A parsed query: its source text and its tree.
#[derive(Debug, Clone)]
pub struct Query {
    source: Arc<str>,
    root: Node,
}

impl Query {
    pub(in crate::kql) fn new(source: &str, root: Node) -> Self {
        Self {
            source: source.into(),
            root,
        }
    }

    /// The text that was parsed, unchanged.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it asks for a value of `field`, by name or with wildcards in it.
    pub fn asks_for(&self, field: &str) -> bool {
        self.root.asks_for(field)
    }

    /// The top of the tree, for analyses such as the push-down of ports to the kernel.
    pub fn root(&self) -> &Node {
        &self.root
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

/// One clause of a query.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it was written, enclosing parentheses left out.
    pub span: Span,
    /// What it says.
    pub kind: NodeKind,
}

impl Node {
    fn asks_for(&self, name: &str) -> bool {
        match &self.kind {
            NodeKind::Or(nodes) | NodeKind::And(nodes) => {
                nodes.iter().any(|node| node.asks_for(name))
            }
            NodeKind::Not(node) => node.asks_for(name),
            NodeKind::Match { field, .. } | NodeKind::Range { field, .. } => field.names(name),
            NodeKind::Nested { path, query } => {
                let below = path.text().and_then(|path| name.strip_prefix(path));
                let below = below.and_then(|below| below.strip_prefix('.'));
                below.is_some_and(|name| query.asks_for(name))
            }
            NodeKind::All | NodeKind::Free(_) => false,
        }
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// What a clause says.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// The empty query: every event. Only ever the root.
    All,
    /// `a or b …`: two or more clauses.
    Or(Vec<Node>),
    /// `a and b …`: two or more clauses.
    And(Vec<Node>),
    /// `not a`.
    Not(Box<Node>),
    /// `field:value` or `field:(values)`.
    Match {
        /// Name of the field; may hold wildcards.
        field: Literal,
        /// The value or the list of values.
        values: Values,
    },
    /// `field > bound`.
    Range {
        /// Name of the field; may hold wildcards.
        field: Literal,
        /// The comparison.
        op: RangeOp,
        /// What the field is compared with.
        bound: Literal,
    },
    /// `path:{ query }`: one object at `path` satisfies all of the query.
    Nested {
        /// Name of the object field.
        path: Literal,
        /// The query, its field names relative to `path`.
        query: Box<Node>,
    },
    /// A value without a field: some field of the event holds it.
    Free(Literal),
}

/// A value or a list of values on the right of `field:`.
#[derive(Debug, Clone)]
pub struct Values {
    /// Where it was written, enclosing parentheses left out.
    pub span: Span,
    /// What it says.
    pub kind: ValuesKind,
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// What a list of values says.
#[derive(Debug, Clone, PartialEq)]
pub enum ValuesKind {
    /// `a or b …`: two or more.
    Or(Vec<Values>),
    /// `a and b …`: two or more; each may be satisfied by another element of the field.
    And(Vec<Values>),
    /// `not a`: no element of the field satisfies `a`.
    Not(Box<Values>),
    /// One value.
    Literal(Literal),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeOp {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl RangeOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether a value that compares to the bound as `ordering` is in the range.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}
