//! Compiles a rule's query, mapping errors back into the file.

use crate::kql::{self, Predicate};
use crate::rules::emitted;
use crate::rules::load::Options;
use crate::source::{Level, Position, Table};

/// Compiles `text`, the `query` of `rule`; every error becomes a finding.
pub(super) fn compile(rule: &Table<'_>, text: &str, options: &Options) -> Option<Predicate> {
    let parsed = match kql::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            report(rule, Level::Error, &error);
            return None;
        }
    };
    match kql::compile(
        &parsed,
        &kql::Options {
            lenient: options.lenient,
        },
    ) {
        Ok(predicate) => {
            for warning in predicate.warnings() {
                report(rule, Level::Warning, warning);
            }
            if !options.foreign_events {
                reach(rule, &predicate);
            }
            Some(predicate)
        }
        Err(errors) => {
            for error in &errors {
                report(rule, Level::Error, error);
            }
            None
        }
    }
}

/// Warns of a rule that comes to the same on every event of this agent.
fn reach(rule: &Table<'_>, predicate: &Predicate) {
    let foreign: Vec<&str> = predicate
        .fields()
        .iter()
        .map(String::as_str)
        .filter(|field| !field.contains('*') && !emitted::emits(field))
        .collect();
    let foreign = foreign.join(", ");
    let message = match emitted::verdict(predicate.query()) {
        Some(false) => format!("no event of this agent can match: none has {foreign}"),
        Some(true) => format!("every event of this agent matches: none has {foreign}"),
        None => return,
    };
    let start = Position { line: 1, column: 1 };
    rule.report_inside(Level::Warning, "query", start, message, None);
}

fn report(rule: &Table<'_>, level: Level, error: &kql::Error) {
    let at = Position {
        line: error.line,
        column: error.column,
    };
    let message = match &error.expected {
        Some(expected) => format!("{}, expected {expected}", error.message),
        None => error.message.clone(),
    };
    rule.report_inside(level, "query", at, message, error.hint.clone());
}
