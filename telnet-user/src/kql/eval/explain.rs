//! Why an event matches or not.

use jiff::Timestamp;
use serde_json::Value;

use super::{Context, Object, path};
use crate::kql::ast::Span;
use crate::kql::compile::{Expr, ExprKind, Field, Predicate};

/// How each clause of a query came out for one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The whole query as a clause.
    pub root: Clause,
}

/// One clause of a query, its result, and the values it looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// What sort of clause it is.
    pub kind: ClauseKind,
    /// Where it stands in the query.
    pub span: Span,
    /// Its text in the query, outer parentheses left out.
    pub text: String,
    /// Whether the event satisfies it.
    pub holds: bool,
    /// The event's values of the fields that the clause reads; for [`ClauseKind::Nested`] the
    /// objects. Empty when the event has none, for groups and for free text.
    pub values: Vec<FieldValue>,
    /// The clauses of a group.
    pub children: Vec<Clause>,
}

/// A value of the event.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldValue {
    /// Full path of the field.
    pub field: String,
    /// The value.
    pub value: Value,
}

/// The sorts of clauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClauseKind {
    /// Matches every event.
    All,
    /// At least one of its children must hold.
    Or,
    /// All of its children must hold.
    And,
    /// Its child must not hold.
    Not,
    /// A field and its values or range.
    Field,
    /// `path:{ … }`.
    Nested,
    /// A value without a field.
    Free,
}

impl Explanation {
    /// Whether the event matches.
    pub fn matches(&self) -> bool {
        self.root.holds
    }

    /// The clauses that must all hold: those of the outermost `and`, with those of an `and` inside
    /// it in its place.
    pub fn required(&self) -> Vec<&Clause> {
        let mut list = Vec::new();
        self.root.required(&mut list);
        list
    }

    /// The first of the required clauses that does not hold; none when the event matches.
    pub fn first_false(&self) -> Option<&Clause> {
        self.required().into_iter().find(|clause| !clause.holds)
    }
}

impl Clause {
    fn required<'c>(&'c self, list: &mut Vec<&'c Self>) {
        if self.kind == ClauseKind::And {
            self.children.iter().for_each(|child| child.required(list));
        } else {
            list.push(self);
        }
    }
}

impl Predicate {
    /// How each clause comes out for `event`, nothing left out.
    pub fn explain(&self, event: &Value, now: Timestamp) -> Explanation {
        let empty = Object::new();
        let object = event.as_object().unwrap_or(&empty);
        let context = Context { now, prefix: "" };
        Explanation {
            root: clause(context, &self.0.root, object, self.query().source()),
        }
    }
}

fn clause(context: Context<'_>, expr: &Expr, object: &Object, source: &str) -> Clause {
    let of = |inner: &Expr| clause(context, inner, object, source);
    let none = Vec::new();
    let (kind, children, values) = match &expr.kind {
        ExprKind::All => (ClauseKind::All, Vec::new(), none),
        ExprKind::Or(list) => (ClauseKind::Or, list.iter().map(of).collect(), none),
        ExprKind::And(list) => (ClauseKind::And, list.iter().map(of).collect(), none),
        ExprKind::Not(inner) => (ClauseKind::Not, vec![of(inner)], none),
        ExprKind::Field { field, .. } => (ClauseKind::Field, Vec::new(), values(field, object)),
        ExprKind::Nested { path, .. } => {
            let objects = path::objects(object, path)
                .into_iter()
                .map(|found| FieldValue {
                    field: path.clone(),
                    value: Value::Object(found.into_owned()),
                });
            (ClauseKind::Nested, Vec::new(), objects.collect())
        }
        ExprKind::Free(_) => (ClauseKind::Free, Vec::new(), none),
    };
    let holds = context.holds(expr, object);
    let text = expr.span.of(source).to_owned();
    Clause {
        kind,
        span: expr.span,
        text,
        holds,
        values,
        children,
    }
}

/// The scalars of a field, and those below it when it is an object.
fn values(field: &Field, object: &Object) -> Vec<FieldValue> {
    let mut list = Vec::new();
    path::any_leaf(object, "", &mut |name, value| {
        let wanted = match field {
            Field::Pattern(pattern) => pattern.matches(name),
            Field::Path { path, parent, .. } => {
                let below = |p: &str| name.strip_prefix(p).is_some_and(|r| r.starts_with('.'));
                name == path || below(path) || parent.as_deref() == Some(name)
            }
        };
        if wanted {
            list.push(FieldValue {
                field: name.to_owned(),
                value: value.clone(),
            });
        }
        false
    });
    list
}
