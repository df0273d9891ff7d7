//! Rule files in TOML, one rule each, as in the detection-rules repository.

use serde_json::Value;

use super::rule::{self, Format};
use super::{Collector, Options, known};
use crate::source::{Document, Findings, Level, Path, Table, nearest};

/// Stages of a rule's life.
const MATURITY: [(&str, bool); 5] = [
    ("development", false),
    ("experimental", false),
    ("beta", false),
    ("production", false),
    ("deprecated", true),
];

/// Reads one file.
pub(super) fn read(file: &str, text: &str, options: &Options, into: &mut Collector) {
    let document = match Document::toml(file, text) {
        Ok(document) => document,
        Err(problem) => {
            into.problems.push(*problem);
            into.broken += 1;
            return;
        }
    };
    let findings = Findings::default();
    let Some(root) = Table::at(&document, Path::default(), &findings) else {
        return;
    };
    for key in root
        .members()
        .keys()
        .filter(|key| !known::FILE.contains(&key.as_str()))
    {
        let hint = nearest(key, known::FILE).map(|name| format!("did you mean {name}?"));
        root.report_key(Level::Warning, key, "unknown table".to_owned(), hint);
    }
    let name = document
        .root
        .get("rule")
        .and_then(|rule| rule.get("name"))
        .and_then(Value::as_str);
    if deprecated(&root) {
        let message = "the rule is deprecated and skipped".to_owned();
        let path = Path::default().key("metadata").key("maturity");
        findings.push(document.problem(Level::Warning, &path, message));
        into.skipped += 1;
        into.note(name, findings);
        return;
    }
    let draft = Table::at(&document, Path::default().key("rule"), &findings)
        .and_then(|rule| rule::read(&rule, file, Format::Toml, options));
    into.rule(name, draft, findings);
}

/// Checks `[metadata]`; whether it says that the rule is deprecated.
fn deprecated(root: &Table<'_>) -> bool {
    if !root.has("metadata") {
        root.error("metadata", "missing table metadata".to_owned());
        return false;
    }
    let Some(metadata) = root.table("metadata") else {
        return false;
    };
    for key in ["creation_date", "updated_date"] {
        if let Some(date) = metadata.required(key)
            && !is_date(date)
        {
            metadata.error(key, format!("{key} must be a date written YYYY/MM/DD"));
        }
    }
    metadata
        .optional_one_of("maturity", &MATURITY)
        .unwrap_or(false)
}

/// Whether `text` is a day written `YYYY/MM/DD`.
fn is_date(text: &str) -> bool {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'/',
            _ => byte.is_ascii_digit(),
        });
    shape && text.replace('/', "-").parse::<jiff::civil::Date>().is_ok()
}
