//! Compiles a rule's query, mapping errors back into the file.

use crate::kql::{self, Predicate};
use crate::rules::load::doc::Table;
use crate::rules::problem::{Level, Position};

/// Compiles `text`, the `query` of `rule`; every error becomes a finding.
pub(super) fn compile(rule: &Table<'_>, text: &str, lenient: bool) -> Option<Predicate> {
    let parsed = match kql::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            report(rule, Level::Error, &error);
            return None;
        }
    };
    match kql::compile(&parsed, &kql::Options { lenient }) {
        Ok(predicate) => {
            for warning in predicate.warnings() {
                report(rule, Level::Warning, warning);
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
