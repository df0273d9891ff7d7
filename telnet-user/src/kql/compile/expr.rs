//! The compiled form of clauses.

use std::collections::BTreeSet;

use super::MAX_REPORTS;
use super::literal::{self, Test};
use super::untyped::Untyped;
use crate::kql::ast::{
    Literal, LiteralKind, Node, NodeKind, Pattern, RangeOp, Span, Values, ValuesKind,
};
use crate::kql::error::{Class, Error};
use crate::kql::fields::{self, FieldType};

/// One compiled clause.
#[derive(Debug)]
pub(in crate::kql) struct Expr {
    pub(in crate::kql) span: Span,
    pub(in crate::kql) kind: ExprKind,
}

#[derive(Debug)]
pub(in crate::kql) enum ExprKind {
    /// Every event.
    All,
    Or(Vec<Expr>),
    And(Vec<Expr>),
    Not(Box<Expr>),
    Field {
        field: Field,
        test: ValueTest,
    },
    /// One object at `path`, relative to the enclosing one, satisfies the query. `prefix` is the
    /// full path and a dot.
    Nested {
        path: String,
        prefix: String,
        query: Box<Expr>,
    },
    Free(Untyped),
}

/// The field a test reads.
#[derive(Debug)]
pub(in crate::kql) enum Field {
    /// One field.
    Path {
        /// Its path, relative to the enclosing braces.
        path: String,
        /// Its parent where this is only the analyzed form of the parent's value.
        parent: Option<String>,
        field_type: Option<FieldType>,
    },
    /// Every field whose full path fits.
    Pattern(Pattern),
}

/// What the values of a field must satisfy.
#[derive(Debug)]
pub(in crate::kql) enum ValueTest {
    /// There is a value, at the field's path or below it.
    Exists,
    /// Some value satisfies some test.
    Any(Vec<Test>),
    Or(Vec<ValueTest>),
    And(Vec<ValueTest>),
    Not(Box<ValueTest>),
}

pub(super) struct Compiler<'s> {
    pub(super) source: &'s str,
    pub(super) errors: Vec<Error>,
    pub(super) warnings: Vec<Error>,
    pub(super) fields: BTreeSet<String>,
    /// Full path of the enclosing braces, with a dot after each.
    pub(super) prefix: String,
}

impl<'s> Compiler<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        let (errors, warnings) = (Vec::new(), Vec::new());
        Self {
            source,
            errors,
            warnings,
            fields: BTreeSet::new(),
            prefix: String::new(),
        }
    }

    pub(super) fn node(&mut self, node: &Node) -> Expr {
        let kind = match &node.kind {
            NodeKind::All => ExprKind::All,
            NodeKind::Or(nodes) => ExprKind::Or(nodes.iter().map(|n| self.node(n)).collect()),
            NodeKind::And(nodes) => ExprKind::And(nodes.iter().map(|n| self.node(n)).collect()),
            NodeKind::Not(inner) => ExprKind::Not(Box::new(self.node(inner))),
            NodeKind::Match { field, values } => self.field_values(field, values),
            NodeKind::Range { field, op, bound } => self.range(field, *op, bound),
            NodeKind::Nested { path, query } => self.nested(path, query),
            NodeKind::Free(literal) => self.free(literal),
        };
        Expr {
            span: node.span,
            kind,
        }
    }

    /// Whether there are so many errors that no more are looked for.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= MAX_REPORTS
    }

    pub(super) fn type_error(&self, literal: &Literal, message: impl Into<String>) -> Error {
        Error::at(Class::Type, self.source, literal.span, message)
    }

    fn free(&mut self, literal: &Literal) -> ExprKind {
        if literal.is_null() && !self.is_full() {
            self.errors.push(literal::null(self, literal, None));
        } else if !literal.is_any() && self.warnings.len() < MAX_REPORTS {
            let warning = Error::at(
                Class::Lint,
                self.source,
                literal.span,
                format!(
                    "{} has no field and is looked for in every field",
                    self.shown(literal)
                ),
            );
            self.warnings.push(warning.hint("write field:value"));
        }
        if literal.is_any() {
            ExprKind::All
        } else {
            ExprKind::Free(Untyped::new(literal))
        }
    }

    pub(super) fn shown(&self, literal: &Literal) -> String {
        crate::kql::error::quote(literal.span.of(self.source))
    }

    fn field_values(&mut self, name: &Literal, values: &Values) -> ExprKind {
        let any_value = matches!(&values.kind, ValuesKind::Literal(literal) if literal.is_any());
        if name.is_any() && any_value {
            return ExprKind::All;
        }
        let field = self.field(name);
        let test = self.values(&field, name, values);
        ExprKind::Field { field, test }
    }

    fn range(&mut self, name: &Literal, op: RangeOp, bound: &Literal) -> ExprKind {
        let field = self.field(name);
        let bound = match &field {
            Field::Path { field_type, .. } => literal::bound(self, name, *field_type, bound),
            Field::Pattern(_) => literal::untyped_bound(self, bound),
        };
        let tests = bound
            .into_iter()
            .map(|bound| Test::Range(op, bound))
            .collect();
        ExprKind::Field {
            field,
            test: ValueTest::Any(tests),
        }
    }

    fn nested(&mut self, path: &Literal, query: &Node) -> ExprKind {
        if path.text().is_none() && !self.is_full() {
            let error = self
                .type_error(path, "the path before braces may not hold a wildcard")
                .expected("the name of one object field");
            self.errors.push(error);
        }
        let name = path.text().unwrap_or_default().to_owned();
        let outer = self.prefix.clone();
        self.prefix = format!("{outer}{name}.");
        let query = Box::new(self.node(query));
        let prefix = std::mem::replace(&mut self.prefix, outer);
        ExprKind::Nested {
            path: name,
            prefix,
            query,
        }
    }

    fn field(&mut self, name: &Literal) -> Field {
        let (field, full) = match (&name.kind, name.text()) {
            (LiteralKind::Bare(pattern), None) => {
                let mut parts = pattern.parts();
                let first = format!("{}{}", self.prefix, parts.next().unwrap_or_default());
                let full = Pattern::new(first, parts.map(str::to_owned).collect());
                let shown = full.parts().collect::<Vec<_>>().join("*");
                (Field::Pattern(full), shown)
            }
            (_, text) => {
                let text = text.unwrap_or_default();
                let full = format!("{}{text}", self.prefix);
                let parent = fields::analyzed_parent(&full)
                    .and_then(|_| text.strip_suffix(".text"))
                    .map(str::to_owned);
                let field_type = fields::lookup(&full);
                (
                    Field::Path {
                        path: text.to_owned(),
                        parent,
                        field_type,
                    },
                    full,
                )
            }
        };
        self.fields.insert(full);
        field
    }

    fn values(&mut self, field: &Field, name: &Literal, values: &Values) -> ValueTest {
        match &values.kind {
            ValuesKind::Literal(literal) if literal.is_any() => ValueTest::Exists,
            ValuesKind::Literal(literal) => {
                let test = match field {
                    Field::Path { field_type, .. } => {
                        literal::value(self, name, *field_type, literal)
                    }
                    Field::Pattern(_) => literal::untyped(self, literal),
                };
                ValueTest::Any(test.into_iter().collect())
            }
            ValuesKind::Not(inner) => ValueTest::Not(Box::new(self.values(field, name, inner))),
            ValuesKind::And(list) => ValueTest::And(
                list.iter()
                    .map(|item| self.values(field, name, item))
                    .collect(),
            ),
            ValuesKind::Or(list) => {
                let mut plain = Vec::new();
                let mut others = Vec::new();
                for item in list {
                    match self.values(field, name, item) {
                        ValueTest::Any(tests) => plain.extend(tests),
                        other @ (ValueTest::Exists
                        | ValueTest::Or(_)
                        | ValueTest::And(_)
                        | ValueTest::Not(_)) => {
                            others.push(other);
                        }
                    }
                }
                // One walk to the field serves all plain values.
                let plain = ValueTest::Any(plain);
                if others.is_empty() {
                    return plain;
                }
                others.push(plain);
                ValueTest::Or(others)
            }
        }
    }
}
