//! Why an event matches or not.

use jiff::Timestamp;
use serde_json::Value;

use super::{Context, path};
use crate::json::Node as Event;
use crate::kql::ast::{Literal, Node, NodeKind, Span, Values, ValuesKind};
use crate::kql::compile::{Expr, ExprKind, Field, Predicate, ValueTest};

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
    /// Its text in the query, outer parentheses left out. A part of a group also has what it
    /// takes from the group: the name of the field, a `not`.
    pub text: String,
    /// Whether the event satisfies it.
    pub holds: bool,
    /// The event's values of the fields that the clause reads; for [`ClauseKind::Nested`] the
    /// objects. Empty when the event has none, for groups and for free text.
    pub values: Vec<FieldValue>,
    /// The clauses of a group: `a:(x and not y)` is one of `a:x` and `not a:y`, `not (a:x or b:y)`
    /// one of `not a:x` and `not b:y`. Braces have those in them when there is one object to hold
    /// them against.
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
    /// it, and of braces that one object has to satisfy, in its place.
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
    /// The opposite of this clause.
    fn negated(self) -> Self {
        let text = match self.kind {
            ClauseKind::And | ClauseKind::Or | ClauseKind::Not => format!("not ({})", self.text),
            ClauseKind::All | ClauseKind::Field | ClauseKind::Nested | ClauseKind::Free => {
                format!("not {}", self.text)
            }
        };
        Self {
            kind: ClauseKind::Not,
            span: self.span,
            text,
            holds: !self.holds,
            values: Vec::new(),
            children: vec![self],
        }
    }

    fn required<'c>(&'c self, list: &mut Vec<&'c Self>) {
        let is_group = matches!(self.kind, ClauseKind::And | ClauseKind::Nested);
        if is_group && !self.children.is_empty() {
            self.children.iter().for_each(|child| child.required(list));
        } else {
            list.push(self);
        }
    }
}

impl Predicate {
    /// How each clause comes out for `event`, nothing left out.
    pub fn explain<'e>(&self, event: impl Into<Event<'e>>, now: Timestamp) -> Explanation {
        let explainer = Explainer {
            context: Context { now, prefix: "" },
            source: self.query().source(),
        };
        Explanation {
            root: explainer.clause(&self.0.root, self.query().root(), event.into()),
        }
    }
}

/// What a clause is, its children and the values it looked at.
type Parts = (ClauseKind, Vec<Clause>, Vec<FieldValue>);

/// What is the same for all clauses that are held against one object.
#[derive(Clone, Copy)]
struct Explainer<'p> {
    context: Context<'p>,
    source: &'p str,
}

impl Explainer<'_> {
    /// The clause that `expr` was compiled to from `node`.
    fn clause(self, expr: &Expr, node: &Node, object: Event<'_>) -> Clause {
        let (kind, children, values) = self.parts(expr, node, object);
        Clause {
            kind,
            span: expr.span,
            text: expr.span.of(self.source).to_owned(),
            holds: self.context.holds(expr, object),
            values,
            children,
        }
    }

    fn parts(self, expr: &Expr, node: &Node, object: Event<'_>) -> Parts {
        let all = |exprs: &[Expr], nodes: &[Node]| -> Vec<Clause> {
            let pairs = exprs.iter().zip(nodes);
            pairs
                .map(|(expr, node)| self.clause(expr, node, object))
                .collect()
        };
        match (&expr.kind, &node.kind) {
            (ExprKind::Or(exprs), NodeKind::Or(nodes)) => {
                (ClauseKind::Or, all(exprs, nodes), Vec::new())
            }
            (ExprKind::And(exprs), NodeKind::And(nodes)) => {
                (ClauseKind::And, all(exprs, nodes), Vec::new())
            }
            (ExprKind::Not(expr), NodeKind::Not(node)) => {
                let inner = self.clause(expr, node, object);
                if inner.kind == ClauseKind::Or {
                    let each = inner.children.into_iter().map(Clause::negated);
                    (ClauseKind::And, each.collect(), Vec::new())
                } else {
                    (ClauseKind::Not, vec![inner], Vec::new())
                }
            }
            (
                ExprKind::Field { field, test },
                NodeKind::Match {
                    field: name,
                    values,
                },
            ) => {
                let clause = self.values(field, test, (name, values), object);
                (clause.kind, clause.children, clause.values)
            }
            (ExprKind::Field { field, .. }, _) => {
                (ClauseKind::Field, Vec::new(), self.found(field, object))
            }
            (
                ExprKind::Nested {
                    path,
                    prefix,
                    query,
                },
                NodeKind::Nested { query: node, .. },
            ) => self.nested((path, prefix), query, node, object),
            (ExprKind::Free(_), _) => (ClauseKind::Free, Vec::new(), Vec::new()),
            // `*:*` is a match in the text.
            (
                ExprKind::All
                | ExprKind::Or(_)
                | ExprKind::And(_)
                | ExprKind::Not(_)
                | ExprKind::Nested { .. },
                _,
            ) => (ClauseKind::All, Vec::new(), Vec::new()),
        }
    }

    /// Braces: the objects, and what the query in them says about it when it is only one.
    fn nested(
        self,
        (path, prefix): (&str, &str),
        query: &Expr,
        node: &Node,
        object: Event<'_>,
    ) -> Parts {
        let objects = path::objects(object, path);
        let context = Context {
            prefix,
            ..self.context
        };
        let inner = Explainer {
            context,
            source: self.source,
        };
        let children = match objects.as_slice() {
            [only] => vec![inner.clause(query, node, only.node())],
            [] | [_, _, ..] => Vec::new(),
        };
        let values = objects.into_iter().map(|found| FieldValue {
            field: format!("{}{path}", self.context.prefix),
            value: found.node().to_value(),
        });
        (ClauseKind::Nested, children, values.collect())
    }

    /// The clause of a field and its values, as far as all of them are required.
    fn values(
        self,
        field: &Field,
        wanted: &ValueTest,
        (name, values): (&Literal, &Values),
        object: Event<'_>,
    ) -> Clause {
        let of = |wanted: &ValueTest, values: &Values| {
            self.values(field, wanted, (name, values), object)
        };
        let (mut found, mut children) = (Vec::new(), Vec::new());
        let kind = if let (ValueTest::And(tests), ValuesKind::And(list)) = (wanted, &values.kind) {
            let pairs = tests.iter().zip(list);
            children.extend(pairs.map(|(wanted, values)| of(wanted, values)));
            ClauseKind::And
        } else if let (ValueTest::Not(wanted), ValuesKind::Not(values)) = (wanted, &values.kind) {
            children.push(of(wanted, values));
            ClauseKind::Not
        } else {
            // One of a list is enough: no part of it is at fault alone.
            found = self.found(field, object);
            ClauseKind::Field
        };
        let written = values.span.of(self.source);
        let name = name.span.of(self.source);
        Clause {
            kind,
            span: values.span,
            text: match (&values.kind, children.as_slice()) {
                (ValuesKind::Not(_), [only]) => format!("not {}", only.text),
                (ValuesKind::Literal(_), _) => format!("{name}:{written}"),
                (ValuesKind::Or(_) | ValuesKind::And(_) | ValuesKind::Not(_), _) => {
                    format!("{name}:({written})")
                }
            },
            holds: self.context.field(field, wanted, object),
            values: found,
            children,
        }
    }

    /// The scalars of a field, and those below it when it is an object.
    fn found(self, field: &Field, object: Event<'_>) -> Vec<FieldValue> {
        let prefix = self.context.prefix;
        let mut list = Vec::new();
        path::any_leaf(object, prefix, &mut |name, value| {
            let relative = name.strip_prefix(prefix).unwrap_or(name);
            let wanted = match field {
                Field::Pattern(pattern) => pattern.matches(name),
                Field::Path { path, parent, .. } => {
                    let below =
                        |p: &str| relative.strip_prefix(p).is_some_and(|r| r.starts_with('.'));
                    relative == path || below(path) || parent.as_deref() == Some(relative)
                }
            };
            if wanted {
                list.push(FieldValue {
                    field: name.to_owned(),
                    value: value.to_value(),
                });
            }
            false
        });
        list
    }
}
