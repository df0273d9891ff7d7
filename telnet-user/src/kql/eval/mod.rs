//! Evaluation of a predicate over one event.

mod explain;
pub(super) mod path;
pub(super) mod scalar;

use jiff::Timestamp;

pub use self::explain::{Clause, ClauseKind, Explanation, FieldValue};
use super::compile::{Expr, ExprKind, Field, Predicate, Test, ValueTest};
use super::fields::{self, FieldType};
use crate::json::{Node, View};

impl Predicate {
    /// Whether `event` satisfies the query. `now` is what date math starts from.
    ///
    /// Nothing is allocated unless the query uses braces, field patterns, free text or analyzed
    /// text.
    pub fn matches<'e>(&self, event: impl Into<Node<'e>>, now: Timestamp) -> bool {
        let context = Context { now, prefix: "" };
        context.holds(&self.0.root, event.into())
    }
}

/// What holds for a whole evaluation.
#[derive(Debug, Clone, Copy)]
struct Context<'p> {
    now: Timestamp,
    /// Full path of the object at hand and a dot; empty at the top.
    prefix: &'p str,
}

impl Context<'_> {
    fn holds(self, expr: &Expr, object: Node<'_>) -> bool {
        match &expr.kind {
            ExprKind::All => true,
            ExprKind::Or(list) => list.iter().any(|inner| self.holds(inner, object)),
            ExprKind::And(list) => list.iter().all(|inner| self.holds(inner, object)),
            ExprKind::Not(inner) => !self.holds(inner, object),
            ExprKind::Field { field, test } => self.field(field, test, object),
            ExprKind::Nested {
                path,
                prefix,
                query,
            } => {
                let inner = Context {
                    now: self.now,
                    prefix,
                };
                path::objects(object, path)
                    .iter()
                    .any(|found| inner.holds(query, found.node()))
            }
            ExprKind::Free(untyped) => path::any_leaf(object, self.prefix, &mut |name, value| {
                scalar::untyped(untyped, fields::lookup(name), &value.view(), self.now)
            }),
        }
    }

    fn field(self, field: &Field, test: &ValueTest, object: Node<'_>) -> bool {
        match test {
            ValueTest::Exists => self.exists(field, object),
            ValueTest::Any(tests) => self.any_value(field, tests, object),
            ValueTest::Or(list) => list.iter().any(|inner| self.field(field, inner, object)),
            ValueTest::And(list) => list.iter().all(|inner| self.field(field, inner, object)),
            ValueTest::Not(inner) => !self.field(field, inner, object),
        }
    }

    fn exists(self, field: &Field, object: Node<'_>) -> bool {
        match field {
            Field::Pattern(pattern) => {
                path::any_leaf(object, self.prefix, &mut |name, _| pattern.matches(name))
            }
            Field::Path { path, parent, .. } => {
                path::any_below(object, path, &mut |_| true)
                    || parent
                        .as_ref()
                        .is_some_and(|up| path::any(object, up, &mut |_| true))
            }
        }
    }

    fn any_value(self, field: &Field, tests: &[Test], object: Node<'_>) -> bool {
        let any = |field_type, value: &View<'_>| {
            tests.iter().any(|test| match (test, value) {
                // What nearly all tests are is not worth a call.
                (Test::Keyword(wanted), View::Text(text)) => text == wanted,
                _ => scalar::matches(test, field_type, value, self.now),
            })
        };
        match field {
            Field::Pattern(pattern) => path::any_leaf(object, self.prefix, &mut |name, value| {
                pattern.matches(name) && any(fields::lookup(name), &value.view())
            }),
            Field::Path {
                path,
                field_type: Some(FieldType::Flattened),
                ..
            } => path::any_below(object, path, &mut |value| {
                any(Some(FieldType::Flattened), value)
            }),
            Field::Path {
                path,
                parent,
                field_type,
            } => {
                let mut any = |value: &View<'_>| any(*field_type, value);
                path::any(object, path, &mut any)
                    || parent
                        .as_ref()
                        .is_some_and(|up| path::any(object, up, &mut any))
            }
        }
    }
}
