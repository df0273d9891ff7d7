//! The time of an event, as a rule sees it.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::json::{Node, View};
use crate::rules::field;
use crate::rules::rule::Rule;

/// Where an event stands in the order of a run, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventTime {
    /// The time that decides which run finds the event.
    pub(crate) searched: i64,
    /// `@timestamp`, which orders events of the same instant.
    pub(crate) happened: i64,
}

impl EventTime {
    /// The time of `event` for `rule`: its override field, else `@timestamp`
    /// unless the rule forbids that. `None`: no run ever finds the event.
    pub(crate) fn of<'e>(event: impl Into<Node<'e>>, rule: &Rule) -> Option<Self> {
        let event = event.into();
        let happened = millis(event, "@timestamp");
        let searched = match &rule.timestamp_override {
            None => happened,
            Some(name) => match millis(event, name) {
                None if rule.timestamp_fallback => happened,
                found => found,
            },
        }?;
        Some(Self {
            searched,
            happened: happened.unwrap_or(searched),
        })
    }
}

/// When an agent or a cluster took `event` in, which is the clock of a recorded
/// event: `event.ingested`, else `@timestamp`.
pub fn recorded_at<'e>(event: impl Into<Node<'e>>) -> Option<Timestamp> {
    let event = event.into();
    let millis = millis(event, "event.ingested").or_else(|| millis(event, "@timestamp"))?;
    Timestamp::from_millisecond(millis).ok()
}

/// The first date in field `name`.
fn millis(event: Node<'_>, name: &str) -> Option<i64> {
    field::values(event, name).into_iter().find_map(parse)
}

/// Whether `value` is a date.
pub(crate) fn is_date<'e>(value: impl Into<Node<'e>>) -> bool {
    parse(value.into()).is_some()
}

/// A date as Elasticsearch reads it: RFC 3339, a date or a date and time without
/// zone (UTC), or milliseconds since the epoch.
fn parse(value: Node<'_>) -> Option<i64> {
    match value.view() {
        View::Number(number) => number.as_i64().and_then(in_range),
        View::Text(text) => {
            let zoned = text.parse().map(Timestamp::as_millisecond).ok();
            zoned
                .or_else(|| civil(text))
                .or_else(|| text.parse().ok().and_then(in_range))
        }
        View::Null | View::Bool(_) | View::Array(_) | View::Object(_) => None,
    }
}

fn civil(text: &str) -> Option<i64> {
    let at: DateTime = text
        .parse()
        .or_else(|_| text.parse().map(|day: Date| day.at(0, 0, 0, 0)))
        .ok()?;
    TimeZone::UTC
        .to_timestamp(at)
        .ok()
        .map(Timestamp::as_millisecond)
}

fn in_range(millis: i64) -> Option<i64> {
    Timestamp::from_millisecond(millis)
        .is_ok()
        .then_some(millis)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::EventTime;
    use crate::rules::tests::rule;

    #[test]
    fn override_with_fallback() {
        let event = json!({"@timestamp": "1970-01-01T00:00:01Z"});
        let ingested = json!({"@timestamp": "1970-01-01T00:00:01Z", "event.ingested": 2_000});
        let odd = json!({"event": {"ingested": "soon"}});
        let searched = |extra: &str, event| {
            EventTime::of(event, &rule(extra)).map(|time| (time.searched, time.happened))
        };
        assert_eq!(searched("", &ingested), Some((1_000, 1_000)));
        let over = "timestamp_override = \"event.ingested\"\n";
        assert_eq!(searched(over, &ingested), Some((2_000, 1_000)));
        assert_eq!(searched(over, &event), Some((1_000, 1_000)));
        assert_eq!(searched(over, &odd), None);
        let strict = format!("{over}timestamp_override_fallback_disabled = true\n");
        assert_eq!(searched(&strict, &event), None);
    }

    #[test]
    fn dates() {
        let cases = [
            (
                json!("2026-03-05T12:00:00.5+02:00"),
                Some(1_772_704_800_500),
            ),
            (json!("2026-03-05"), Some(1_772_668_800_000)),
            (json!("2026-03-05T01:00:00"), Some(1_772_672_400_000)),
            (json!("1772672400000"), Some(1_772_672_400_000)),
            (json!(1_772_672_400_000_i64), Some(1_772_672_400_000)),
            (json!(i64::MAX), None),
            (json!(1.5), None),
            (json!(true), None),
        ];
        for (value, expected) in cases {
            assert_eq!(super::parse((&value).into()), expected, "{value}");
        }
    }
}
