//! The two time notations of a rule: its interval and the span a run searches.

use jiff::{SignedDuration, Timestamp};

/// Seconds of the units that have a fixed length.
const UNITS: [(char, i64); 5] = [
    ('s', 1),
    ('m', 60),
    ('h', 3_600),
    ('d', 86_400),
    ('w', 604_800),
];

/// A positive length of time written as in `5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(SignedDuration);

impl Interval {
    /// Parses digits and one unit of `s m h d`; the message says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let error = || format!("expected digits and one of s, m, h, d, as in 5m, found {text:?}");
        let (digits, unit) = split_unit(text).ok_or_else(error)?;
        if unit == 'w' {
            return Err(error());
        }
        let seconds = seconds(digits, unit).ok_or_else(error)?;
        if seconds == 0 {
            return Err("must be greater than 0".to_owned());
        }
        Ok(Self(SignedDuration::from_secs(seconds)))
    }

    /// `value` units of `s`, `m` or `h`; `None` for another unit or no time at all.
    pub fn of(value: i64, unit: &str) -> Option<Self> {
        let seconds = match unit {
            "s" => value,
            "m" => value.checked_mul(60)?,
            "h" => value.checked_mul(3_600)?,
            _ => return None,
        };
        (1..=LONGEST)
            .contains(&seconds)
            .then(|| Self(SignedDuration::from_secs(seconds)))
    }

    /// The length.
    pub const fn duration(self) -> SignedDuration {
        self.0
    }
}

/// Longest accepted length in seconds, about 100 years: keeps every sum in range.
const LONGEST: i64 = 3_155_760_000;

/// A moment relative to a run, written as in `now-9m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(SignedDuration);

/// Why an [`Offset`] could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OffsetError {
    /// Not date math.
    Invalid(String),
    /// Date math that a rule's span cannot use here.
    Unsupported(String),
}

impl Offset {
    /// Parses `now` followed by any number of `+N` or `-N` with a unit of `s m h d w`.
    pub fn parse(text: &str) -> Result<Self, OffsetError> {
        let Some(mut rest) = text.strip_prefix("now") else {
            let message = format!("expected date math that starts with now, found {text:?}");
            return Err(
                if text.parse::<Timestamp>().is_ok() || text.contains("||") {
                    OffsetError::Unsupported(format!("an absolute time ({text:?}) as a span"))
                } else {
                    OffsetError::Invalid(message)
                },
            );
        };
        let mut total = SignedDuration::ZERO;
        while !rest.is_empty() {
            if rest.starts_with('/') {
                return Err(OffsetError::Unsupported(format!(
                    "rounding ({rest:?}) in a span"
                )));
            }
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let invalid = || {
                OffsetError::Invalid(format!(
                    "expected + or -, digits and one of s, m, h, d, w at {rest:?}, as in now-9m"
                ))
            };
            let body = rest.strip_prefix(['+', '-']).ok_or_else(invalid)?;
            let end = body
                .find(|c: char| !c.is_ascii_digit())
                .ok_or_else(invalid)?;
            let digits = body.get(..end).ok_or_else(invalid)?;
            let unit = body
                .get(end..)
                .and_then(|tail| tail.chars().next())
                .ok_or_else(invalid)?;
            if matches!(unit, 'M' | 'y') && !digits.is_empty() {
                return Err(OffsetError::Unsupported(format!(
                    "the calendar unit {unit} in a span"
                )));
            }
            let step = seconds(digits, if unit == 'H' { 'h' } else { unit }).ok_or_else(invalid)?;
            total = total
                .checked_add(SignedDuration::from_secs(sign * step))
                .filter(|total| total.as_secs().abs() <= LONGEST)
                .ok_or_else(invalid)?;
            rest = body.get(end + unit.len_utf8()..).ok_or_else(invalid)?;
        }
        Ok(Self(total))
    }

    /// The length to add to the time of a run.
    pub const fn duration(self) -> SignedDuration {
        self.0
    }
}

fn split_unit(text: &str) -> Option<(&str, char)> {
    let unit = text.chars().next_back()?;
    Some((text.get(..text.len() - unit.len_utf8())?, unit))
}

fn seconds(digits: &str, unit: char) -> Option<i64> {
    let length = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse::<i64>().ok()?.checked_mul(length)?;
    (seconds <= LONGEST).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::{Interval, Offset, OffsetError};

    #[test]
    fn intervals() {
        let cases = [
            ("5m", Some(300)),
            ("1s", Some(1)),
            ("2h", Some(7_200)),
            ("1d", Some(86_400)),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Interval::parse(text).ok().map(|i| i.duration().as_secs()),
                expected,
                "{text}"
            );
        }
        for text in [
            "",
            "m",
            "5",
            "5w",
            "5 m",
            "-5m",
            "+5m",
            "5M",
            "0m",
            "1.5h",
            "99999999999999999999s",
            "5ä",
        ] {
            assert!(Interval::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn offsets() {
        let cases = [
            ("now", 0),
            ("now-9m", -540),
            ("now+1h-1m", 3_540),
            ("now-1w", -604_800),
            ("now-2H", -7_200),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Offset::parse(text).map(|o| o.duration().as_secs()),
                Ok(expected),
                "{text}"
            );
        }
        for text in [
            "",
            "9m",
            "now-",
            "now-9",
            "now9m",
            "now-m",
            "now-9x",
            "now -9m",
            "today",
            "now-99999999999d",
        ] {
            assert!(
                matches!(Offset::parse(text), Err(OffsetError::Invalid(_))),
                "{text}"
            );
        }
        for text in [
            "now/d",
            "now-1M",
            "now-1y",
            "2026-01-01T00:00:00Z",
            "2026-01-01||-1d",
        ] {
            assert!(
                matches!(Offset::parse(text), Err(OffsetError::Unsupported(_))),
                "{text}"
            );
        }
    }
}
