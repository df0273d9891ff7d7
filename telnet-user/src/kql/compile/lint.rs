//! Legal KQL that surely means something else: refused in rule files, warned about when lenient.

use super::MAX_REPORTS;
use crate::kql::ast::{Literal, Node, NodeKind, Query, Span, Values, ValuesKind};
use crate::kql::error::{Class, Error, quote};
use crate::kql::fields::{self, FieldType};
use crate::kql::parse::chars;
use crate::kql::value::date::DateTest;

/// The lint errors of a query, each with the literal or query at fault; what is only remarkable
/// goes to `warnings`.
pub(super) fn check(query: &Query, warnings: &mut Vec<Error>) -> Vec<(Span, Error)> {
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
    found: Vec<(Span, Error)>,
    warnings: &'w mut Vec<Error>,
}

impl Lint<'_, '_> {
    fn node(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::All => {
                let error = Error::new(Class::Lint, self.source, 0, "the query is empty");
                self.found
                    .push((node.span, error.hint("*:* matches every event")));
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
        if literal.is_quoted() || self.found.len() >= MAX_REPORTS {
            return;
        }
        let raw = literal.span.of(self.source);
        if let Some(Complaint { at, message, hint }) = complaint(raw, place) {
            let error = Error::new(Class::Lint, self.source, literal.span.start + at, message);
            self.found.push((literal.span, error.hint(hint)));
        } else if let Some(at) = raw.find("\\not")
            && self.warnings.len() < MAX_REPORTS
        {
            let offset = literal.span.start + at;
            let message = format!(
                "\\n in {} is a line feed, not the start of \"not\"",
                quote(raw)
            );
            let warning = Error::new(Class::Lint, self.source, offset, message);
            self.warnings.push(warning.hint("quote the value"));
        }
    }
}

/// What is wrong with a literal.
struct Complaint {
    /// Offset of the text at fault in the literal.
    at: usize,
    message: String,
    /// What to write instead.
    hint: &'static str,
}

/// What is wrong with the source text of an unquoted literal.
fn complaint(raw: &str, place: Place<'_>) -> Option<Complaint> {
    let shown = quote(raw);
    if let Some((at, _)) = words(raw).find(|(_, word)| matches!(*word, "#" | "//")) {
        let message = format!("KQL has no comments: all of {shown} is one literal");
        return Some(Complaint {
            at,
            message,
            hint: "remove the comment, or quote the text",
        });
    }
    if let Some(at) = raw.find("&&").or_else(|| raw.find("||"))
        && !is_date_math(raw, place)
    {
        let message = format!("\"&&\" and \"||\" are no operators: all of {shown} is one literal");
        return Some(Complaint {
            at,
            message,
            hint: "write \"and\" or \"or\", or quote the text",
        });
    }
    comparison(raw, place)
        .or_else(|| operator(raw, place))
        .or_else(|| {
            let (at, _) = words(raw).nth(1).filter(|_| place == Place::Field)?;
            let message = format!("the field name {shown} holds a blank");
            let hint = "\"and\", \"or\" or \":\" is missing, or quote the name";
            Some(Complaint { at, message, hint })
        })
}

/// The blank-separated words of `raw` with their offsets.
fn words(raw: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0;
    raw.split(chars::is_blank).filter_map(move |word| {
        let at = offset;
        // The separator may be the two bytes of a no-break space.
        offset += word.len()
            + raw
                .get(at + word.len()..)?
                .chars()
                .next()
                .map_or(0, char::len_utf8);
        (!word.is_empty()).then_some((at, word))
    })
}

/// `and`, `or` and `not` at an end of a literal, or alone outside of a value list.
fn operator(raw: &str, place: Place<'_>) -> Option<Complaint> {
    let keyword = |word: &str| {
        ["and", "or", "not"]
            .iter()
            .any(|k| word.eq_ignore_ascii_case(k))
    };
    let first = words(raw).next()?;
    let last = words(raw).last()?;
    let alone = first.0 == last.0;
    if alone && matches!(place, Place::Listed(_)) {
        return None;
    }
    let (at, word) = [first, last].into_iter().find(|(_, word)| keyword(word))?;
    let message = format!(
        "{} joins nothing: it is part of the literal {}",
        quote(word),
        quote(raw)
    );
    Some(Complaint {
        at,
        message,
        hint: "complete or remove the operator, or quote the text",
    })
}

/// `=`, `==`, `!=` and `=>`, which read as a part of a literal.
fn comparison(raw: &str, place: Place<'_>) -> Option<Complaint> {
    let shown = quote(raw);
    match place {
        Place::Free => {
            let sign = raw.find('=')?;
            let negated = raw.get(..sign).is_some_and(|before| before.ends_with('!'));
            let message = format!("\"=\" is no operator: {shown} is looked for in every field");
            let (at, hint) = if negated {
                (sign - 1, "write not field:value, or quote the text")
            } else {
                (sign, "write field:value, or quote the text")
            };
            Some(Complaint { at, message, hint })
        }
        Place::Field if raw.ends_with(['=', '!']) => {
            let message = format!("\"=\" and \"!\" are no operators: the field is called {shown}");
            let hint = "at least is >=, at most is <=, unequal is not field:value";
            Some(Complaint {
                at: raw.len() - 1,
                message,
                hint,
            })
        }
        Place::Field | Place::Value(_) | Place::Listed(_) => None,
    }
}

/// Whether the literal is a date with `||` and math, on a date field.
fn is_date_math(raw: &str, place: Place<'_>) -> bool {
    let (Place::Value(field) | Place::Listed(field)) = place else {
        return false;
    };
    let field_type = field.text().and_then(fields::lookup);
    field_type == Some(FieldType::Date) && DateTest::parse(raw).is_ok()
}
