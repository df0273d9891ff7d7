//! Kibana exports: one JSON object a line.

use serde_json::Value;

use super::rule::{self, Format, exceptions};
use super::{Collector, Options};
use crate::source::{Document, Findings, Level, Path, Table};

/// What one line of an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Rule,
    ExceptionList,
    ExceptionItem,
    Connector,
    Summary,
    Unknown,
}

/// Reads an export. A broken line is reported and the next one read.
pub(super) fn read(file: &str, text: &str, options: &Options, into: &mut Collector) {
    let mut rules = 0;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match Document::json(file, line, index + 1) {
            Ok(document) => rules += object(file, &document, options, rules, into),
            Err(problem) => {
                into.problems.push(*problem);
                into.broken += 1;
            }
        }
    }
}

/// Reads one line; returns the number of rules on it.
fn object(
    file: &str,
    document: &Document<'_>,
    options: &Options,
    before: i64,
    into: &mut Collector,
) -> i64 {
    let findings = Findings::default();
    let table = Table::at(document, Path::default(), &findings);
    let line = table.as_ref().map_or(Line::Unknown, kind);
    if let Some(table) = table {
        match line {
            Line::Rule => {
                let draft = rule::read(&table, file, Format::Ndjson, options);
                let name = document.root.get("name").and_then(Value::as_str);
                into.rule(name, draft, findings);
                return 1;
            }
            Line::ExceptionList => into.lists.extend(exceptions::key(&table)),
            Line::ExceptionItem => {
                if let Some(key) = exceptions::key(&table) {
                    into.items
                        .extend(exceptions::item(&table).map(|item| (key.clone(), item)));
                    into.lists.insert(key);
                }
            }
            Line::Connector => {}
            Line::Summary => summary(&table, before),
            Line::Unknown => {
                let message = "not a rule, exception list, exception item, connector or summary";
                table.report_self(Level::Error, message.to_owned());
            }
        }
    }
    let found = findings.into_inner();
    let is_broken = found.iter().any(|problem| problem.level == Level::Error);
    into.broken += usize::from(is_broken);
    into.problems.extend(found);
    0
}

fn kind(table: &Table<'_>) -> Line {
    let has = |key| table.has(key);
    if has("exported_count") || has("exported_rules_count") {
        Line::Summary
    } else if has("list_id") && (has("entries") || has("item_id")) {
        Line::ExceptionItem
    } else if has("list_id") {
        Line::ExceptionList
    } else if has("rule_id") || has("risk_score") || has("query") {
        Line::Rule
    } else if table
        .value("attributes")
        .is_some_and(|value| value.get("actionTypeId").is_some())
    {
        Line::Connector
    } else {
        Line::Unknown
    }
}

/// Compares the numbers of the summary line with what was read.
fn summary(table: &Table<'_>, rules: i64) {
    if let Some(exported) = table.integer("exported_rules_count")
        && exported != rules
    {
        let message =
            format!("the export counts {exported} rules, {rules} were found: it may be cut");
        table.report(Level::Warning, "exported_rules_count", message);
    }
    for (key, what) in [
        ("missing_rules", "rules"),
        ("missing_exception_lists", "exception lists"),
    ] {
        let missing = table.elements(key).len();
        if missing > 0 {
            let message = format!("Kibana could not export {missing} {what}");
            table.report(Level::Warning, key, message);
        }
    }
}
