//! Literals for which the field at hand decides: unknown fields, field patterns, free text.

use crate::kql::ast::{Literal, Pattern};
use crate::kql::value::date::DateTest;
use crate::kql::value::ip::{Network, parse_address};
use crate::kql::value::number::Number;
use crate::kql::value::text::TextTest;

/// A literal in every type it can be read as.
#[derive(Debug)]
pub(in crate::kql) struct Untyped {
    /// As a keyword: the whole text, or a pattern.
    pub(in crate::kql) keyword: Pattern,
    pub(in crate::kql) text: TextTest,
    pub(in crate::kql) number: Option<Number>,
    pub(in crate::kql) boolean: Option<bool>,
    pub(in crate::kql) ip: Option<Network>,
    pub(in crate::kql) date: Option<DateTest>,
}

impl Untyped {
    pub(super) fn new(literal: &Literal) -> Self {
        let plain = literal.text();
        Self {
            keyword: match (plain, literal.wildcard()) {
                (None, Some(pattern)) => pattern.clone(),
                (plain, _) => Pattern::plain(plain.unwrap_or_default()),
            },
            text: TextTest::new(literal),
            number: plain.and_then(Number::parse),
            boolean: plain.and_then(|text| text.parse().ok()),
            ip: plain.and_then(|text| Network::parse(text).ok()),
            date: plain.and_then(|text| DateTest::parse(text).ok()),
        }
    }
}

/// A bound in every type it can be read as.
#[derive(Debug)]
pub(in crate::kql) struct UntypedBound {
    pub(in crate::kql) keyword: String,
    pub(in crate::kql) number: Option<Number>,
    pub(in crate::kql) boolean: Option<bool>,
    pub(in crate::kql) ip: Option<u128>,
    pub(in crate::kql) date: Option<DateTest>,
}

impl UntypedBound {
    pub(super) fn new(text: &str) -> Self {
        Self {
            keyword: text.to_owned(),
            number: Number::parse(text),
            boolean: text.parse().ok(),
            ip: parse_address(text),
            date: DateTest::parse(text).ok(),
        }
    }
}
