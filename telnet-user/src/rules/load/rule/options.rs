//! Options of a rule: mappings from event fields and alert suppression.

use super::Format;
use crate::rules::period::Interval;
use crate::rules::rule::{MissingFields, ResponseAction, Severity, SeverityMapping, Suppression};
use crate::source::{Level, Table, nearest};

/// Items of `severity_mapping`.
pub(super) fn severity_mapping(table: &Table<'_>) -> Vec<SeverityMapping> {
    let read = |entry: &Table<'_>| {
        let field = entry.required("field");
        operator(entry);
        let value = entry.string("value").unwrap_or_default();
        let severity = entry.one_of("severity", &Severity::NAMES);
        Some(SeverityMapping {
            field: field?.to_owned(),
            value: value.to_owned(),
            severity: severity?,
        })
    };
    table
        .tables("severity_mapping")
        .iter()
        .filter_map(read)
        .collect()
}

/// Field of `risk_score_mapping`. Kibana uses the first item only.
pub(super) fn risk_score_field(table: &Table<'_>) -> Option<String> {
    let entries = table.tables("risk_score_mapping");
    if entries.len() > 1 {
        let message = "only the first item of risk_score_mapping is used".to_owned();
        table.report(Level::Warning, "risk_score_mapping", message);
    }
    let entry = entries.first()?;
    operator(entry);
    entry.required("field").map(str::to_owned)
}

fn operator(entry: &Table<'_>) {
    entry.one_of("operator", &[("equals", ())]);
}

/// `action_type_id` of what this agent does; those of Kibana's are for its own agents.
const OWN_ACTION: &str = ".telnet-monitor";

/// What of `response_actions` is for this agent. Actions of other agents are carried.
pub(super) fn response(table: &Table<'_>) -> Option<ResponseAction> {
    let commands = [("close-session", ResponseAction::CloseSession)];
    let is_own = |action: &&Table<'_>| action.string("action_type_id") == Some(OWN_ACTION);
    let read = |action: &Table<'_>| {
        let params = action.table("params");
        if params.is_none() && !action.has("params") {
            let message = "the action lacks its params: { command = \"close-session\" }";
            action.report_self(Level::Error, message.to_owned());
        }
        params?.one_of("command", &commands)
    };
    let actions = table.tables("response_actions");
    // All are read, to report everything that is wrong at once.
    let own: Vec<_> = actions.iter().filter(is_own).map(read).collect();
    own.into_iter().flatten().next()
}

/// `alert_suppression`.
pub(super) fn suppression(table: &Table<'_>, format: Format) -> Option<Suppression> {
    let entry = table.table("alert_suppression")?;
    for key in entry.members().keys() {
        let known = ["group_by", "duration", "missing_fields_strategy"];
        if !known.contains(&key.as_str()) {
            let hint = nearest(key, &known).map(|name| format!("did you mean {name}?"));
            entry.report_key(
                Level::Warning,
                key,
                "unknown suppression field".to_owned(),
                hint,
            );
        }
    }
    let group_by = entry.strings("group_by");
    if !(1..=3).contains(&group_by.len()) || group_by.iter().any(|field| field.trim().is_empty()) {
        entry.error("group_by", "group_by must be 1 to 3 field names".to_owned());
    }
    let strategies = [
        ("suppress", MissingFields::Suppress),
        ("doNotSuppress", MissingFields::DoNotSuppress),
    ];
    let missing_fields = entry.optional_one_of("missing_fields_strategy", &strategies);
    if format == Format::Toml && !entry.has("missing_fields_strategy") {
        let message = "missing_fields_strategy is not set: suppress is used".to_owned();
        entry.report(Level::Warning, "missing_fields_strategy", message);
    }
    let duration = entry
        .table("duration")
        .and_then(|duration| length(&duration));
    let missing_fields = missing_fields.unwrap_or(MissingFields::Suppress);
    Some(Suppression {
        group_by,
        duration,
        missing_fields,
    })
}

/// `alert_suppression.duration`.
fn length(entry: &Table<'_>) -> Option<Interval> {
    for key in ["value", "unit"].into_iter().filter(|key| !entry.has(key)) {
        entry.error(key, format!("missing required field {key}"));
    }
    let (value, unit) = (entry.integer("value")?, entry.string("unit")?);
    let interval = Interval::of(value, unit);
    if interval.is_none() {
        let message = "duration must be a value of at least 1 and a unit of s, m or h";
        entry.report_self(Level::Error, message.to_owned());
    }
    interval
}
