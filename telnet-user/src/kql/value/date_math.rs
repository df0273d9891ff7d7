//! Date math: `+1d`, `-2h`, `/M` after `now` or `date||`.

use jiff::Span;
use jiff::civil::{DateTime, Time};

use super::date::{Rounding, civil, millis_of};

/// One step of date math.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kql) enum Step {
    /// Adds a number of units, negative for `-`.
    Add(i64, Unit),
    /// Rounds to the unit.
    Round(Unit),
}

/// A calendar unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kql) enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

impl Unit {
    fn parse(letter: char) -> Option<Self> {
        Some(match letter {
            'y' => Self::Year,
            'M' => Self::Month,
            'w' => Self::Week,
            'd' => Self::Day,
            'h' | 'H' => Self::Hour,
            'm' => Self::Minute,
            's' => Self::Second,
            _ => return None,
        })
    }

    fn span(self, count: i64) -> Option<Span> {
        let span = Span::new();
        match self {
            Self::Year => span.try_years(count),
            Self::Month => span.try_months(count),
            Self::Week => span.try_weeks(count),
            Self::Day => span.try_days(count),
            Self::Hour => span.try_hours(count),
            Self::Minute => span.try_minutes(count),
            Self::Second => span.try_seconds(count),
        }
        .ok()
    }

    /// The start of the unit that holds `time`; weeks start on Monday.
    fn start(self, time: DateTime) -> Option<DateTime> {
        let date = time.date();
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let clock = |hour, minute, second| Time::new(hour, minute, second, 0).ok();
        let (date, clock) = match self {
            Self::Year => (date.first_of_year(), clock(0, 0, 0)?),
            Self::Month => (date.first_of_month(), clock(0, 0, 0)?),
            Self::Week => {
                let monday = i64::from(date.weekday().to_monday_zero_offset());
                (
                    date.checked_sub(Self::Day.span(monday)?).ok()?,
                    clock(0, 0, 0)?,
                )
            }
            Self::Day => (date, clock(0, 0, 0)?),
            Self::Hour => (date, clock(hour, 0, 0)?),
            Self::Minute => (date, clock(hour, minute, 0)?),
            Self::Second => (date, clock(hour, minute, second)?),
        };
        Some(DateTime::from_parts(date, clock))
    }
}

/// Reads the steps after `now` or `||`.
pub(super) fn parse(math: &str) -> Result<Vec<Step>, String> {
    const EXPECTED: &str = "has date math that is not ±N or / and one of y M w d h m s";
    let mut steps = Vec::new();
    let mut rest = math;
    while let Some(operator) = rest.chars().next() {
        let tail = rest.get(operator.len_utf8()..).unwrap_or_default();
        let end = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (number, tail) = tail.split_at_checked(end).ok_or(EXPECTED)?;
        let unit = tail.chars().next().and_then(Unit::parse).ok_or(EXPECTED)?;
        let count: i64 = match number {
            "" => 1,
            _ => number.parse().map_err(|_e| EXPECTED)?,
        };
        steps.push(match operator {
            '+' => Step::Add(count, unit),
            '-' => Step::Add(-count, unit),
            '/' if number.is_empty() || count == 1 => Step::Round(unit),
            '/' => return Err("rounds to more than one unit".to_owned()),
            _ => return Err(EXPECTED.to_owned()),
        });
        rest = tail.get(1..).unwrap_or_default();
    }
    Ok(steps)
}

/// Milliseconds since the epoch after all steps; none outside the calendar.
pub(super) fn apply(millis: i64, steps: &[Step], rounding: Rounding) -> Option<i64> {
    let mut time = civil(millis)?;
    for step in steps {
        time = match *step {
            Step::Add(count, unit) => time.checked_add(unit.span(count)?).ok()?,
            Step::Round(unit) => {
                let start = unit.start(time)?;
                match rounding {
                    Rounding::Down => start,
                    Rounding::Up => {
                        let next = start.checked_add(unit.span(1)?).ok()?;
                        next.checked_sub(Span::new().try_milliseconds(1).ok()?)
                            .ok()?
                    }
                }
            }
        };
    }
    millis_of(time)
}
