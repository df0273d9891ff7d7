//! Durations as users type them.

use std::time::Duration;

/// Parses a whole number with a unit: `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
///
/// When there is no number, no known unit, or the duration does not fit.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text
        .split_at_checked(digits)
        .ok_or_else(|| "expected a number and a unit".to_owned())?;
    let number: u64 = number
        .parse()
        .map_err(|_invalid| "expected a number and a unit, such as 30s".to_owned())?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        other => {
            return Err(format!(
                "unknown unit \"{other}\", expected ms, s, m, h or d"
            ));
        }
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_a_unit() {
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("2d"), Ok(Duration::from_hours(48)));
        for wrong in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "3 s",
            "30x",
            "99999999999999999999s",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("18446744073709551615d"), Err("too long".to_owned()));
    }
}
