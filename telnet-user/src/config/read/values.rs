//! Values of single keys.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::keys::KEYS;
use crate::{
    config::{self, Sync, units},
    source::{Level, Table, nearest},
};

/// A table that need not be there.
pub(super) fn section<'a>(table: &Table<'a>, key: &str) -> Option<Table<'a>> {
    table.table(key)
}

pub(super) fn sync(table: &Table<'_>, default: Sync) -> Sync {
    match table.string("sync") {
        None => default,
        Some("never") => Sync::Never,
        Some("always") => Sync::Always,
        Some(text) => match units::duration(text) {
            Ok(time) if !time.is_zero() => Sync::Every(time),
            Ok(_) | Err(_) => {
                let message = "sync must be never, always or a time such as 1s".to_owned();
                table.error("sync", message);
                default
            }
        },
    }
}

/// Reports members that neither `place` may hold nor any like it.
pub(super) fn only(table: &Table<'_>, place: &str, common: &[&str]) {
    let own = KEYS.iter().find(|(name, _)| *name == place);
    let known = [common, own.map_or(&[], |(_, keys)| keys)].concat();
    for key in table.members().keys() {
        if !known.contains(&key.as_str()) {
            let hint = nearest(key, &known).map(|name| format!("did you mean {name}?"));
            table.report_key(Level::Error, key, "unknown key".to_owned(), hint);
        }
    }
}

pub(super) fn text(table: &Table<'_>, key: &str, default: String) -> String {
    table.string(key).map_or(default, str::to_owned)
}

/// What the agent's log holds.
pub(super) fn log(table: &Table<'_>, default: String) -> String {
    let filter = text(table, "log", default);
    if let Err(error) = config::log::filter(&filter) {
        let message = "log must be error, warn, info, debug, trace, off, or levels by module";
        table.error("log", format!("{message}: {error}"));
    }
    filter
}

/// A path that must be absolute: the agent has no folder of its own to start from.
pub(super) fn path(table: &Table<'_>, key: &str, default: PathBuf) -> PathBuf {
    optional_path(table, key).unwrap_or(default)
}

/// A path; the empty text counts as none.
pub(super) fn optional_path(table: &Table<'_>, key: &str) -> Option<PathBuf> {
    let path = PathBuf::from(table.string(key).filter(|text| !text.is_empty())?);
    if !path.is_absolute() {
        table.error(key, format!("{key} must be an absolute path"));
    }
    Some(path)
}

/// Whether a list that has to name something is absent or empty. One of another type, or of other
/// elements, is told already.
pub(super) fn names_nothing(table: &Table<'_>, key: &str) -> bool {
    let list = table.members().get(key);
    list.is_none_or(|list| list.as_array().is_some_and(Vec::is_empty))
}

pub(super) fn duration(table: &Table<'_>, key: &str, default: Duration) -> Duration {
    unit(table, key, default, units::duration)
}

/// A time that has to pass.
pub(super) fn wait(table: &Table<'_>, key: &str, default: Duration) -> Duration {
    let parse = |text: &str| match units::duration(text)? {
        Duration::ZERO => Err(format!("{key} must be more than 0s")),
        time => Ok(time),
    };
    unit(table, key, default, parse)
}

/// A number in `range`.
pub(super) fn number(
    table: &Table<'_>,
    key: &str,
    default: u32,
    range: RangeInclusive<u32>,
) -> u32 {
    let Some(number) = table.integer(key) else {
        return default;
    };
    let number = u32::try_from(number).ok();
    number
        .filter(|number| range.contains(number))
        .unwrap_or_else(|| {
            let (least, most) = (range.start(), range.end());
            table.error(key, format!("{key} must be {least} to {most}"));
            default
        })
}

pub(super) fn bytes(table: &Table<'_>, key: &str, default: u64) -> u64 {
    unit(table, key, default, units::bytes)
}

pub(super) fn unit<T>(
    table: &Table<'_>,
    key: &str,
    default: T,
    parse: impl Fn(&str) -> Result<T, String>,
) -> T {
    match table.string(key).map(parse) {
        None => default,
        Some(Ok(value)) => value,
        Some(Err(message)) => {
            table.error(key, message);
            default
        }
    }
}
