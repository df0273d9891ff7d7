//! One value of an event against one literal.
//!
//! A value is looked at once ([`View`]) for all literals it is held against.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use crate::json::View;
use crate::kql::ast::RangeOp;
use crate::kql::compile::{Bound, Test, Untyped, UntypedBound};
use crate::kql::fields::FieldType;
use crate::kql::value::date::{self, DateTest, Rounding};
use crate::kql::value::ip::{Network, parse_address};
use crate::kql::value::number::Number;
use crate::kql::value::text;

/// Whether `value`, of a field of type `field_type`, passes `test`.
pub(super) fn matches(
    test: &Test,
    field_type: Option<FieldType>,
    value: &View<'_>,
    now: Timestamp,
) -> bool {
    match test {
        Test::Keyword(wanted) => with_text(value, |text| text == wanted),
        Test::Pattern(pattern) => with_text(value, |text| pattern.matches(text)),
        Test::Text(wanted) => with_text(value, |text| wanted.matches(text)),
        Test::Number(wanted) => is_number(value, *wanted),
        Test::Boolean(wanted) => boolean(value) == Some(*wanted),
        Test::Ip(network) => is_in(value, *network),
        Test::Date(wanted) => is_date(value, wanted, now),
        Test::Untyped(wanted) => untyped(wanted, field_type, value, now),
        Test::Range(op, bound) => range(*op, bound, field_type, value, now),
    }
}

/// Whether `value` is the literal in the type of its field, else in its own JSON type. A literal
/// that cannot be read in that type does not match.
pub(super) fn untyped(
    wanted: &Untyped,
    field_type: Option<FieldType>,
    value: &View<'_>,
    now: Timestamp,
) -> bool {
    match (field_type, value) {
        (Some(FieldType::Keyword | FieldType::Flattened), _) | (None, View::Text(_)) => {
            with_text(value, |text| wanted.keyword.matches(text))
        }
        (Some(FieldType::Text), _) => with_text(value, |text| wanted.text.matches(text)),
        (Some(FieldType::Long | FieldType::Double), _) | (None, View::Number(_)) => {
            wanted.number.is_some_and(|number| is_number(value, number))
        }
        (Some(FieldType::Boolean), _) | (None, View::Bool(_)) => wanted
            .boolean
            .is_some_and(|wanted| boolean(value) == Some(wanted)),
        (Some(FieldType::Ip), _) => wanted.ip.is_some_and(|network| is_in(value, network)),
        (Some(FieldType::Date), _) => wanted
            .date
            .as_ref()
            .is_some_and(|wanted| is_date(value, wanted, now)),
        (Some(FieldType::GeoPoint), _) | (None, View::Null | View::Array(_) | View::Object(_)) => {
            false
        }
    }
}

fn range(
    op: RangeOp,
    bound: &Bound,
    field_type: Option<FieldType>,
    value: &View<'_>,
    now: Timestamp,
) -> bool {
    match bound {
        Bound::Keyword(bound) => keyword_range(op, bound, value),
        Bound::Word(bound) => word_range(op, bound, value),
        Bound::Number(bound) => number_range(op, *bound, value),
        Bound::Boolean(bound) => boolean_range(op, *bound, value),
        Bound::Ip(bound) => ip_range(op, *bound, value),
        Bound::Date(bound) => date_range(op, bound, value, now),
        Bound::Untyped(bound) => untyped_range(op, bound, field_type, value, now),
    }
}

fn untyped_range(
    op: RangeOp,
    bound: &UntypedBound,
    field_type: Option<FieldType>,
    value: &View<'_>,
    now: Timestamp,
) -> bool {
    match (field_type, value) {
        (Some(FieldType::Keyword | FieldType::Flattened), _) | (None, View::Text(_)) => {
            keyword_range(op, &bound.keyword, value)
        }
        (Some(FieldType::Text), _) => word_range(op, &bound.keyword, value),
        (Some(FieldType::Long | FieldType::Double), _) | (None, View::Number(_)) => bound
            .number
            .is_some_and(|bound| number_range(op, bound, value)),
        (Some(FieldType::Boolean), _) | (None, View::Bool(_)) => bound
            .boolean
            .is_some_and(|bound| boolean_range(op, bound, value)),
        (Some(FieldType::Ip), _) => bound.ip.is_some_and(|bound| ip_range(op, bound, value)),
        (Some(FieldType::Date), _) => bound
            .date
            .as_ref()
            .is_some_and(|bound| date_range(op, bound, value, now)),
        (Some(FieldType::GeoPoint), _) | (None, View::Null | View::Array(_) | View::Object(_)) => {
            false
        }
    }
}

/// By the bytes of UTF-8.
fn keyword_range(op: RangeOp, bound: &str, value: &View<'_>) -> bool {
    with_text(value, |text| op.holds(text.cmp(bound)))
}

fn word_range(op: RangeOp, bound: &str, value: &View<'_>) -> bool {
    with_text(value, |text| {
        text::any_word(text, |word| op.holds(word.cmp(bound)))
    })
}

fn number_range(op: RangeOp, bound: Number, value: &View<'_>) -> bool {
    number(value)
        .and_then(|number| number.compare(bound))
        .is_some_and(|order| op.holds(order))
}

fn boolean_range(op: RangeOp, bound: bool, value: &View<'_>) -> bool {
    boolean(value).is_some_and(|value| op.holds(value.cmp(&bound)))
}

fn ip_range(op: RangeOp, bound: u128, value: &View<'_>) -> bool {
    address(value).is_some_and(|address| op.holds(address.cmp(&bound)))
}

/// `>` and `<=` mean the end of the bound's period, `<` and `>=` its start.
fn date_range(op: RangeOp, bound: &DateTest, value: &View<'_>, now: Timestamp) -> bool {
    let rounding = match op {
        RangeOp::Greater | RangeOp::LessOrEqual => Rounding::Up,
        RangeOp::Less | RangeOp::GreaterOrEqual => Rounding::Down,
    };
    match (date::of_event(value), bound.millis(now, rounding)) {
        (Some(value), Some(bound)) => op.holds(value.cmp(&bound)),
        _ => false,
    }
}

fn is_date(value: &View<'_>, wanted: &DateTest, now: Timestamp) -> bool {
    let ends = (
        wanted.millis(now, Rounding::Down),
        wanted.millis(now, Rounding::Up),
    );
    match (date::of_event(value), ends) {
        (Some(value), (Some(floor), Some(ceil))) => (floor..=ceil).contains(&value),
        _ => false,
    }
}

fn is_number(value: &View<'_>, wanted: Number) -> bool {
    number(value)
        .and_then(|number| number.compare(wanted))
        .is_some_and(std::cmp::Ordering::is_eq)
}

fn is_in(value: &View<'_>, network: Network) -> bool {
    address(value).is_some_and(|address| network.contains(address))
}

/// A value as a number.
pub(in crate::kql) fn number(value: &View<'_>) -> Option<Number> {
    match value {
        View::Number(number) => Number::from_json(number),
        View::Text(text) => Number::parse(text),
        View::Null | View::Bool(_) | View::Array(_) | View::Object(_) => None,
    }
}

fn boolean(value: &View<'_>) -> Option<bool> {
    match value {
        View::Bool(value) => Some(*value),
        View::Text(text) => text.parse().ok(),
        View::Null | View::Number(_) | View::Array(_) | View::Object(_) => None,
    }
}

/// A value as an address.
pub(in crate::kql) fn address(value: &View<'_>) -> Option<u128> {
    match value {
        View::Text(text) => parse_address(text),
        View::Null | View::Bool(_) | View::Number(_) | View::Array(_) | View::Object(_) => None,
    }
}

/// The value as text, numbers and booleans as JSON writes them.
pub(in crate::kql) fn with_text(value: &View<'_>, passes: impl FnOnce(&str) -> bool) -> bool {
    match value {
        View::Text(text) => passes(text),
        View::Bool(true) => passes("true"),
        View::Bool(false) => passes("false"),
        View::Number(number) => {
            let mut buffer = Buffer::default();
            write!(buffer, "{number}").is_ok() && passes(buffer.as_str())
        }
        View::Null | View::Array(_) | View::Object(_) => false,
    }
}

/// Text of a number, on the stack: 24 characters is the longest that JSON numbers need.
#[derive(Default)]
struct Buffer {
    bytes: [u8; 32],
    length: usize,
}

impl Buffer {
    fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(written).unwrap_or_default()
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let target = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        target.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
