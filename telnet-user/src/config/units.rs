//! Durations and sizes as users type them.

use std::time::Duration;

/// Parses a duration, a whole number with a unit: `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
///
/// When there is no number, no known unit, or the duration does not fit.
pub fn duration(text: &str) -> Result<Duration, String> {
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

/// Parses a size in bytes: a whole number with a unit, `B`, `KiB`, `MiB` or `GiB`.
///
/// # Errors
///
/// When there is no number, no known unit, or the size does not fit.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let number: u64 = number
        .parse()
        .map_err(|_invalid| "expected a number and a unit, such as 64MiB".to_owned())?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => {
            return Err(format!(
                "unknown unit \"{other}\", expected B, KiB, MiB or GiB"
            ));
        }
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_a_unit() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2d"), Ok(Duration::from_hours(48)));
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
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            duration("18446744073709551615d"),
            Err("too long".to_owned())
        );
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(bytes("0B"), Ok(0));
        assert_eq!(bytes("3KiB"), Ok(3072));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        for wrong in ["", "64", "MiB", "1MB", "1.5MiB", "-1B"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            bytes("18446744073709551615KiB"),
            Err("too large".to_owned())
        );
    }
}
