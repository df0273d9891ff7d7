//! Dates as documents have them: RFC 3339, UTC.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};

/// A date that always has nine digits of a second, so that end - start is the duration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Date(pub(super) Timestamp);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = digits(self.0);
        match digits.as_ref().and_then(|text| str::from_utf8(text).ok()) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(&format_args!("{:.9}", self.0)),
        }
    }
}

/// A date with as many digits of a second as it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The text of a [`Date`], digit by digit: an event has eight of them, and formatting them with
/// any precision took a twentieth of a session. None of years before 0, which have a sign.
fn digits(at: Timestamp) -> Option<[u8; 30]> {
    let at = TimeZone::UTC.to_datetime(at);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let numbers = [
        (0..4, i32::from(at.year())),
        (5..7, i32::from(at.month())),
        (8..10, i32::from(at.day())),
        (11..13, i32::from(at.hour())),
        (14..16, i32::from(at.minute())),
        (17..19, i32::from(at.second())),
        (20..29, at.subsec_nanosecond()),
    ];
    for (place, number) in numbers {
        let mut rest = u32::try_from(number).ok()?;
        for digit in text.get_mut(place)?.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).ok()?;
            rest /= 10;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn dates_are_as_the_library_writes_them(
            second in Timestamp::MIN.as_second()..Timestamp::MAX.as_second(),
            nanosecond in 0..1_000_000_000_i32,
        ) {
            let at = Timestamp::new(second, nanosecond).expect("in range");
            prop_assert_eq!(json!(Date(at)), json!(format!("{at:.9}")));
        }
    }
}
