//! Dates: partial ISO 8601, epoch milliseconds and date math, compared by the millisecond.

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp};

use super::date_math::{self, Step};
use crate::json::View;

/// Which end of a date's period is meant: `2026-03-05` lasts a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kql) enum Rounding {
    Down,
    Up,
}

/// A date of a query.
#[derive(Debug, Clone)]
pub(in crate::kql) enum DateTest {
    /// The first and last millisecond of a fixed date.
    Fixed { floor: i64, ceil: i64 },
    /// `now` and what is done to it.
    Now(Vec<Step>),
}

impl DateTest {
    /// Reads a date, `now…` or `date||…`.
    pub(in crate::kql) fn parse(text: &str) -> Result<Self, String> {
        if let Some(math) = text.strip_prefix("now") {
            return date_math::parse(math).map(Self::Now);
        }
        let Some((anchor, math)) = text.split_once("||") else {
            let floor = parse(text, Rounding::Down);
            let (Some(floor), Some(ceil)) = (floor, parse(text, Rounding::Up)) else {
                return Err("is not a date".to_owned());
            };
            return Ok(Self::Fixed { floor, ceil });
        };
        let anchor = parse(anchor, Rounding::Down).ok_or("does not start with a date")?;
        let steps = date_math::parse(math)?;
        let end = |rounding| date_math::apply(anchor, &steps, rounding);
        match (end(Rounding::Down), end(Rounding::Up)) {
            (Some(floor), Some(ceil)) => Ok(Self::Fixed { floor, ceil }),
            _ => Err("leaves the years that can be written".to_owned()),
        }
    }

    /// Milliseconds since the epoch of one end; none when the math leaves the calendar.
    pub(in crate::kql) fn millis(&self, now: Timestamp, rounding: Rounding) -> Option<i64> {
        match (self, rounding) {
            (Self::Fixed { floor, .. }, Rounding::Down) => Some(*floor),
            (Self::Fixed { ceil, .. }, Rounding::Up) => Some(*ceil),
            (Self::Now(steps), _) => date_math::apply(floor_millis(now)?, steps, rounding),
        }
    }
}

/// Milliseconds since the epoch of an event's date: text, or a number of milliseconds.
pub(in crate::kql) fn of_event(value: &View<'_>) -> Option<i64> {
    match value {
        View::Text(text) => parse(text, Rounding::Down),
        View::Number(number) => match number.as_i64() {
            // Elasticsearch reads a number as text: four digits are a year.
            Some(year @ 1000..=9999) => {
                let first = Date::new(i16::try_from(year).ok()?, 1, 1).ok()?;
                millis_of(first.to_datetime(Time::midnight()))
            }
            Some(millis) => Some(millis),
            None => parse(&number.to_string(), Rounding::Down),
        },
        View::Null | View::Bool(_) | View::Array(_) | View::Object(_) => None,
    }
}

fn floor_millis(time: Timestamp) -> Option<i64> {
    i64::try_from(time.as_nanosecond().div_euclid(NANOS_PER_MILLI)).ok()
}

/// Strict ISO 8601 date with optional time, or epoch milliseconds.
fn parse(text: &str, rounding: Rounding) -> Option<i64> {
    iso(text, rounding).or_else(|| epoch_millis(text))
}

fn epoch_millis(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|digit| digit.is_ascii_digit());
    let fits = digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(fraction);
    fits.then(|| whole.parse().ok()).flatten()
}

/// `yyyy[-MM[-dd]][T[HH[:mm[:ss[.fraction]]]][offset]]`, each part at full width.
fn iso(text: &str, rounding: Rounding) -> Option<i64> {
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    let month = part(&mut rest, '-')?;
    let day = if month.is_some() {
        part(&mut rest, '-')?
    } else {
        None
    };
    let up = rounding == Rounding::Up;
    let end = |last: i16| if up { last } else { 0 };
    let (mut hour, mut minute, mut second) = (None, None, None);
    let mut nanos = None;
    let mut offset = 0;
    if let Some(time) = rest.strip_prefix('T') {
        rest = time;
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            hour = Some(digits(&mut rest, 2)?);
            minute = part(&mut rest, ':')?;
            second = if minute.is_some() {
                part(&mut rest, ':')?
            } else {
                None
            };
            nanos = if second.is_some() {
                fraction(&mut rest)?
            } else {
                None
            };
        }
        offset = utc_offset(&mut rest)?;
    }
    if !rest.is_empty() {
        return None;
    }
    let narrow = |value: i16| i8::try_from(value).ok();
    let date = Date::new(year, narrow(month.unwrap_or(1))?, narrow(day.unwrap_or(1))?).ok()?;
    let time = Time::new(
        narrow(hour.unwrap_or(end(23)))?,
        narrow(minute.unwrap_or(end(59)))?,
        narrow(second.unwrap_or(end(59)))?,
        nanos.unwrap_or(if up { 999_999_999 } else { 0 }),
    );
    let local = millis_of(DateTime::from_parts(date, time.ok()?))?;
    local.checked_sub(i64::from(offset) * 1000)
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const NANOS_PER_MILLI: i128 = 1_000_000;

/// Milliseconds since the epoch of a date and time in UTC. Not by way of `Timestamp`, which ends
/// before 9999-12-31.
pub(super) fn millis_of(time: DateTime) -> Option<i64> {
    let nanos = time.duration_since(EPOCH).as_nanos();
    i64::try_from(nanos.div_euclid(NANOS_PER_MILLI)).ok()
}

/// The date and time in UTC of milliseconds since the epoch.
pub(super) fn civil(millis: i64) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_millis(millis)).ok()
}

/// Exactly `width` digits; a longer run is an error.
fn digits(rest: &mut &str, width: usize) -> Option<i16> {
    let (head, tail) = rest.split_at_checked(width)?;
    let exact = head.bytes().all(|digit| digit.is_ascii_digit())
        && !tail.starts_with(|c: char| c.is_ascii_digit());
    *rest = tail;
    exact.then(|| head.parse().ok()).flatten()
}

/// A separator and two digits, or nothing; the outer option is the error.
#[expect(
    clippy::option_option,
    reason = "absent and malformed are different answers"
)]
fn part(rest: &mut &str, separator: char) -> Option<Option<i16>> {
    match rest.strip_prefix(separator) {
        Some(tail) if tail.starts_with(|c: char| c.is_ascii_digit()) => {
            *rest = tail;
            digits(rest, 2).map(Some)
        }
        _ => Some(None),
    }
}

/// `.` or `,` and up to nine digits, in nanoseconds.
#[expect(
    clippy::option_option,
    reason = "absent and malformed are different answers"
)]
fn fraction(rest: &mut &str) -> Option<Option<i32>> {
    let Some(tail) = rest.strip_prefix(['.', ',']) else {
        return Some(None);
    };
    let end = tail
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(tail.len());
    let (head, after) = tail.split_at_checked(end)?;
    if !(1..=9).contains(&head.len()) {
        return None;
    }
    *rest = after;
    let missing_digits = u32::try_from(9 - head.len()).ok()?;
    head.parse()
        .ok()
        .map(|digits: i32| Some(digits * 10_i32.pow(missing_digits)))
}

/// `Z`, `±HH`, `±HHmm`, `±HH:mm` or nothing (UTC), in seconds east of UTC.
fn utc_offset(rest: &mut &str) -> Option<i32> {
    if rest.is_empty() || *rest == "Z" {
        *rest = "";
        return Some(0);
    }
    let sign = match rest.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let tail = rest.get(1..)?;
    let (hours, minutes) = match tail.len() {
        2 => (tail, "00"),
        4 => tail.split_at_checked(2)?,
        5 => tail.split_once(':')?,
        _ => return None,
    };
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit());
        digits.then(|| text.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    if hours > 18 || minutes > 59 {
        return None;
    }
    *rest = "";
    Some(sign * (hours * 3600 + minutes * 60))
}
