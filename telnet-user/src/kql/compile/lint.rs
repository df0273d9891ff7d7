//! Legal KQL that surely means something else: refused in rule files, warned about when lenient.

use crate::kql::ast::{Literal, Node, NodeKind, Query, Span, Values, ValuesKind};
use crate::kql::error::{Class, Error, quote};
use crate::kql::fields::{self, FieldType};
use crate::kql::parse::chars;
use crate::kql::value::date::DateTest;

/// The lint errors of a query; what is only remarkable goes to `warnings`.
pub(super) fn check(query: &Query, warnings: &mut Vec<Error>) -> Vec<Error> {
    let mut lint = Lint {
        source: query.source(),
        found: Vec::new(),
        warnings,
    };
    lint.node(query.root());
    lint.found
}

/// Where a literal stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place<'q> {
    /// Left of `:` or a comparison.
    Field,
    /// The only value of a field.
    Value(&'q Literal),
    /// In a value list of a field.
    Listed(&'q Literal),
    /// Without a field.
    Free,
}

struct Lint<'s, 'w> {
    source: &'s str,
    found: Vec<Error>,
    warnings: &'w mut Vec<Error>,
}

impl Lint<'_, '_> {
    fn node(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::All => {
                let error = Error::new(Class::Lint, self.source, 0, "the query is empty");
                self.found.push(error.hint("*:* matches every event"));
            }
            NodeKind::Or(nodes) | NodeKind::And(nodes) => nodes.iter().for_each(|n| self.node(n)),
            NodeKind::Not(inner) => self.node(inner),
            NodeKind::Match { field, values } => {
                self.literal(field, Place::Field);
                match &values.kind {
                    // `field:(or)` and `field:or` have the same tree but not the same text.
                    ValuesKind::Literal(literal) if !self.in_list(field, literal) => {
                        self.literal(literal, Place::Value(field));
                    }
                    ValuesKind::Literal(_)
                    | ValuesKind::Not(_)
                    | ValuesKind::And(_)
                    | ValuesKind::Or(_) => self.values(field, values),
                }
            }
            NodeKind::Range { field, bound, .. } => {
                self.literal(field, Place::Field);
                self.literal(bound, Place::Value(field));
            }
            NodeKind::Nested { path, query } => {
                self.literal(path, Place::Field);
                self.node(query);
            }
            NodeKind::Free(literal) => self.literal(literal, Place::Free),
        }
    }

    fn in_list(&self, field: &Literal, value: &Literal) -> bool {
        let between = Span {
            start: field.span.end,
            end: value.span.start,
        };
        between.of(self.source).contains('(')
    }

    fn values(&mut self, field: &Literal, values: &Values) {
        match &values.kind {
            ValuesKind::Or(list) | ValuesKind::And(list) => {
                for item in list {
                    self.values(field, item);
                }
            }
            ValuesKind::Not(inner) => self.values(field, inner),
            ValuesKind::Literal(literal) => self.literal(literal, Place::Listed(field)),
        }
    }

    fn literal(&mut self, literal: &Literal, place: Place<'_>) {
        if literal.is_quoted() {
            return;
        }
        let raw = literal.span.of(self.source);
        if let Some((message, hint)) = complaint(raw, place) {
            let error = Error::at(Class::Lint, self.source, literal.span, message);
            self.found.push(error.hint(hint));
        } else if raw.contains("\\not") {
            let message = format!(
                "\\n in {} is a line feed, not the start of \"not\"",
                quote(raw)
            );
            let error = Error::at(Class::Lint, self.source, literal.span, message);
            self.warnings.push(error.hint("quote the value"));
        }
    }
}

/// What is wrong with the source text of an unquoted literal, and what to write instead.
fn complaint(raw: &str, place: Place<'_>) -> Option<(String, String)> {
    let shown = quote(raw);
    let mut words = raw.split(chars::is_blank).filter(|word| !word.is_empty());
    if words.clone().any(|word| matches!(word, "#" | "//")) {
        let message = format!("KQL has no comments: all of {shown} is one literal");
        return Some((message, "remove the comment, or quote the text".to_owned()));
    }
    if (raw.contains("&&") || raw.contains("||")) && !is_date_math(raw, place) {
        let message = format!("\"&&\" and \"||\" are no operators: all of {shown} is one literal");
        return Some((
            message,
            "write \"and\" or \"or\", or quote the text".to_owned(),
        ));
    }
    if let Some(complaint) = comparison(raw, &shown, place) {
        return Some(complaint);
    }
    let keyword = |word: &str| {
        ["and", "or", "not"]
            .iter()
            .any(|k| word.eq_ignore_ascii_case(k))
    };
    let (first, last) = (words.next(), words.next_back());
    let listed = matches!(place, Place::Listed(_));
    let at_fault = match (first, last) {
        (Some(only), None) if keyword(only) && !listed => Some(only),
        (Some(first), Some(_)) if keyword(first) => Some(first),
        (Some(_), Some(last)) if keyword(last) => Some(last),
        _ => None,
    };
    if let Some(word) = at_fault {
        let message = format!(
            "{} joins nothing: it is part of the literal {shown}",
            quote(word)
        );
        return Some((
            message,
            "complete or remove the operator, or quote the text".to_owned(),
        ));
    }
    if place == Place::Field && raw.contains(chars::is_blank) {
        let message = format!("the field name {shown} holds a blank");
        return Some((
            message,
            "\"and\" or \"or\" is missing, or quote the name".to_owned(),
        ));
    }
    None
}

/// `=`, `==`, `!=` and `=>`, which read as a part of a literal.
fn comparison(raw: &str, shown: &str, place: Place<'_>) -> Option<(String, String)> {
    let (message, hint) = match place {
        Place::Free if raw.contains('=') => {
            let message = format!("\"=\" is no operator: {shown} is looked for in every field");
            let negated = raw.contains("!=");
            (
                message,
                if negated {
                    "not field:value"
                } else {
                    "field:value"
                },
            )
        }
        Place::Field if raw.ends_with(['=', '!']) => {
            let message = format!("\"=\" and \"!\" are no operators: the field is called {shown}");
            (
                message,
                "at least is >=, at most is <=, unequal is not field:value",
            )
        }
        Place::Free | Place::Field | Place::Value(_) | Place::Listed(_) => return None,
    };
    Some((message, format!("write {hint}, or quote the text")))
}

/// Whether the literal is a date with `||` and math, on a date field.
fn is_date_math(raw: &str, place: Place<'_>) -> bool {
    let (Place::Value(field) | Place::Listed(field)) = place else {
        return false;
    };
    let field_type = field.text().and_then(fields::lookup);
    field_type == Some(FieldType::Date) && DateTest::parse(raw).is_ok()
}
