//! A parsed rule file: one value tree for TOML and JSON, and where each value
//! stands in the text.

mod json;
mod path;
mod quoted;
mod reader;

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

pub(crate) use self::path::Path;
use self::path::Step;
pub(crate) use self::reader::{Findings, Table};
use crate::source::problem::{Level, Position, Problem, short_value};

/// Where the values of a document stand.
#[derive(Debug)]
enum Places {
    /// Byte ranges of keys and values, from the TOML parser.
    Toml {
        keys: HashMap<Path, Range<usize>>,
        values: HashMap<Path, Range<usize>>,
    },
    /// One JSON document, found again in the text on demand.
    Json,
}

/// One TOML file, or one line of an NDJSON file.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    file: &'t str,
    text: &'t str,
    /// Line of the file on which `text` starts, from 1.
    first_line: usize,
    /// The whole content.
    pub(crate) root: Value,
    places: Places,
}

impl<'t> Document<'t> {
    /// Parses a TOML file.
    pub(crate) fn toml(file: &'t str, text: &'t str) -> Result<Self, Box<Problem>> {
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let message = format!("invalid TOML: {}", error.message());
            Box::new(Problem {
                position: Some(Position::of(text, at)),
                source_line: source_line(text, at),
                ..Problem::of_file(Level::Error, file, message)
            })
        })?;
        let mut walk = Walk::default();
        let root = walk.table(&Path::default(), table.get_ref());
        let places = Places::Toml {
            keys: walk.keys,
            values: walk.values,
        };
        Ok(Self {
            file,
            text,
            first_line: 1,
            root,
            places,
        })
    }

    /// Parses `text`, line number `line` of an NDJSON file.
    pub(crate) fn json(file: &'t str, text: &'t str, line: usize) -> Result<Self, Box<Problem>> {
        let root = serde_json::from_str(text).map_err(|error| {
            let message = format!("invalid JSON: {}", without_place(&error.to_string()));
            let column = text.get(..error.column().saturating_sub(1)).unwrap_or(text);
            Box::new(Problem {
                position: Some(Position {
                    line,
                    column: column.chars().count() + 1,
                }),
                source_line: Some(text.to_owned()),
                ..Problem::of_file(Level::Error, file, message)
            })
        })?;
        Ok(Self {
            file,
            text,
            first_line: line,
            root,
            places: Places::Json,
        })
    }

    /// Line of the file on which the value at `path` starts.
    pub(crate) fn line_of(&self, path: &Path) -> usize {
        self.position(self.start_of(path)).line
    }

    fn position(&self, at: usize) -> Position {
        let Position { line, column } = Position::of(self.text, at);
        Position {
            line: self.first_line + line - 1,
            column,
        }
    }

    /// The value at `path`.
    pub(crate) fn get(&self, path: &Path) -> Option<&Value> {
        path.steps()
            .iter()
            .try_fold(&self.root, |value, step| match step {
                Step::Key(key) => value.get(key),
                Step::Index(index) => value.get(index),
            })
    }

    /// A finding about the value at `path`; about its container when the value
    /// is missing.
    pub(crate) fn problem(&self, level: Level, path: &Path, message: String) -> Problem {
        let at = self.start_of(path);
        let value = self.get(path).filter(|_| !path.steps().is_empty());
        self.finding(level, path, at, value.map(short_value), message)
    }

    /// A finding about the key at `path` rather than its value.
    pub(crate) fn key_problem(&self, level: Level, path: &Path, message: String) -> Problem {
        let at = match &self.places {
            Places::Toml { keys, .. } => keys.get(path).map(|range| range.start),
            Places::Json => None,
        };
        let value = self.get(path).map(short_value);
        self.finding(
            level,
            path,
            at.unwrap_or_else(|| self.start_of(path)),
            value,
            message,
        )
    }

    /// A finding inside the string at `path`, at `inner` of its decoded text.
    pub(crate) fn problem_inside(
        &self,
        level: Level,
        path: &Path,
        inner: Position,
        message: String,
    ) -> Problem {
        let at = self.range_of(path).map_or(0, |range| {
            let literal = self.text.get(range.clone()).unwrap_or_default();
            range.start + quoted::offset(literal, inner)
        });
        self.finding(level, path, at, None, message)
    }

    fn finding(
        &self,
        level: Level,
        path: &Path,
        at: usize,
        value: Option<String>,
        message: String,
    ) -> Problem {
        Problem {
            position: Some(self.position(at)),
            path: path.to_string(),
            value,
            source_line: source_line(self.text, at),
            ..Problem::of_file(level, self.file, message)
        }
    }

    /// Start of the value at `path`, or of the nearest container that exists.
    fn start_of(&self, path: &Path) -> usize {
        let mut path = path.clone();
        loop {
            if let Some(range) = self.range_of(&path) {
                return range.start;
            }
            if path.steps().is_empty() {
                return 0;
            }
            path = path.parent();
        }
    }

    fn range_of(&self, path: &Path) -> Option<Range<usize>> {
        match &self.places {
            Places::Toml { values, .. } => values.get(path).cloned(),
            Places::Json => json::locate(self.text, path),
        }
    }
}

/// Turns the TOML tree into a [`Value`] and notes the places.
#[derive(Default)]
struct Walk {
    keys: HashMap<Path, Range<usize>>,
    values: HashMap<Path, Range<usize>>,
}

impl Walk {
    fn table(&mut self, at: &Path, table: &DeTable<'_>) -> Value {
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(key, _)| key.span().start);
        let mut out = Map::new();
        for (key, value) in members {
            let path = at.key(key.get_ref());
            self.keys.insert(path.clone(), key.span());
            self.values.insert(path.clone(), value.span());
            out.insert(
                key.get_ref().to_string(),
                self.value(&path, value.get_ref()),
            );
        }
        Value::Object(out)
    }

    fn value(&mut self, path: &Path, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| Value::String(integer.to_string()), Value::from),
            DeValue::Float(float) => {
                let number = float.as_str().parse().ok().and_then(Number::from_f64);
                number.map_or_else(|| Value::String(float.to_string()), Value::Number)
            }
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(date) => Value::String(date.to_string()),
            DeValue::Array(elements) => {
                let mut out = Vec::with_capacity(elements.len());
                for (index, element) in elements.iter().enumerate() {
                    let path = path.index(index);
                    self.values.insert(path.clone(), element.span());
                    out.push(self.value(&path, element.get_ref()));
                }
                Value::Array(out)
            }
            DeValue::Table(table) => self.table(path, table),
        }
    }
}

/// The line of `text` that holds byte `at`.
fn source_line(text: &str, at: usize) -> Option<String> {
    let at = at.min(text.len());
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next().unwrap_or_default();
    Some(line.to_owned())
}

/// A `serde_json` message without its own "at line … column …".
fn without_place(message: &str) -> &str {
    message
        .rfind(" at line ")
        .and_then(|at| message.get(..at))
        .unwrap_or(message)
}
