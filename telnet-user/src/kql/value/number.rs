//! Numbers: 64-bit integers exactly, everything else as a double.

use std::cmp::Ordering;

/// A number of a query or of an event.
#[derive(Debug, Clone, Copy)]
pub(in crate::kql) enum Number {
    /// Any integer that JSON or a query can write; wide enough for `i64` and `u64` alike.
    Integer(i128),
    /// A finite number with a fraction or beyond the integers.
    Float(f64),
}

impl Number {
    /// Reads decimal text: sign, digits, fraction, exponent. `23.0` is the integer 23; `inf`,
    /// `nan`, hexadecimal and digit separators are no numbers.
    pub(in crate::kql) fn parse(text: &str) -> Option<Self> {
        let decimal = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        if !text.contains(|c: char| c.is_ascii_digit()) || !text.chars().all(decimal) {
            return None;
        }
        let whole = match text.split_once('.') {
            Some((whole, zeros)) if zeros.bytes().all(|digit| digit == b'0') => whole,
            _ => text,
        };
        if let Ok(integer) = whole.parse() {
            return Some(Self::Integer(integer));
        }
        text.parse()
            .ok()
            .filter(|float: &f64| float.is_finite())
            .map(Self::Float)
    }

    /// A number of an event.
    pub(in crate::kql) fn from_json(number: &serde_json::Number) -> Option<Self> {
        if let Some(integer) = number.as_i64() {
            return Some(Self::Integer(integer.into()));
        }
        if let Some(integer) = number.as_u64() {
            return Some(Self::Integer(integer.into()));
        }
        number.as_f64().map(Self::Float)
    }

    /// The integer that it is by value, if it is one.
    pub(in crate::kql) fn integer(self) -> Option<i128> {
        match self {
            Self::Integer(integer) => Some(integer),
            Self::Float(float) => (float.fract() == 0.0).then(|| truncate(float)),
        }
    }

    /// How the two compare by value, whatever their form.
    pub(in crate::kql) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Integer(a), Self::Float(b)) => integer_to_float(a, b),
            (Self::Float(a), Self::Integer(b)) => integer_to_float(b, a).map(Ordering::reverse),
        }
    }
}

/// Compares without rounding the integer, which a double can hold only up to 2^53.
fn integer_to_float(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    let floor = truncate(float.floor());
    let fraction = float - float.floor();
    Some(integer.cmp(&floor).then(if fraction > 0.0 {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "saturates beyond i128, which keeps the order against any integer of an event"
)]
fn truncate(float: f64) -> i128 {
    float as i128
}
