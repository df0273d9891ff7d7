//! Members of a rule that it cannot be loaded with.

use super::{one, toml, with};
use crate::{rules::tests::file, source::Level};

const BROKEN_MEMBERS: &[(&str, &str, &str, &str)] = &[
    ("name", "", "rule.name", "missing required field name"),
    (
        "name",
        "name = 5",
        "rule.name",
        "expected a string, found an integer",
    ),
    ("name", "name = \" \"", "rule.name", "name is empty"),
    (
        "description",
        "",
        "rule.description",
        "missing required field",
    ),
    ("rule_id", "", "rule.rule_id", "missing required field"),
    (
        "rule_id",
        "rule_id = \"abc\"",
        "rule.rule_id",
        "lower-case UUID",
    ),
    (
        "rule_id",
        "rule_id = \"00000000-0000-4000-8000-00000000000A\"",
        "rule.rule_id",
        "lower-case UUID",
    ),
    (
        "risk_score",
        "",
        "rule.risk_score",
        "missing required field",
    ),
    (
        "risk_score",
        "risk_score = 47.0",
        "rule.risk_score",
        "expected an integer, found a float",
    ),
    (
        "risk_score",
        "risk_score = \"47\"",
        "rule.risk_score",
        "expected an integer, found a string",
    ),
    (
        "risk_score",
        "risk_score = 101",
        "rule.risk_score",
        "in 0..100",
    ),
    (
        "risk_score",
        "risk_score = -1",
        "rule.risk_score",
        "in 0..100",
    ),
    (
        "severity",
        "severity = \"urgent\"",
        "rule.severity",
        "one of low, medium, high, critical",
    ),
    ("type", "", "rule.type", "missing required field"),
    (
        "type",
        "type = \"sigma\"",
        "rule.type",
        "type must be query or one of eql",
    ),
    ("language", "", "rule.language", "missing required field"),
    (
        "language",
        "language = \"sql\"",
        "rule.language",
        "one of kuery",
    ),
    (
        "language",
        "language = \"eql\"",
        "rule.language",
        "does not belong to type query",
    ),
    ("query", "", "rule.query", "an empty query without filters"),
    (
        "query",
        "query = \"  \"",
        "rule.query",
        "an empty query without filters",
    ),
    (
        "query",
        "query = [\"a\"]",
        "rule.query",
        "expected a string, found an array",
    ),
    ("from", "from = \"9m\"", "rule.from", "starts with now"),
    (
        "from",
        "from = \"now-9x\"",
        "rule.from",
        "invalid date math",
    ),
    (
        "from",
        "from = \"now\"",
        "rule.from",
        "from must be before to",
    ),
    (
        "creation_date",
        "",
        "metadata.creation_date",
        "missing required field",
    ),
    (
        "creation_date",
        "creation_date = \"2026-01-01\"",
        "metadata.creation_date",
        "YYYY/MM/DD",
    ),
    (
        "updated_date",
        "updated_date = \"2026/02/30\"",
        "metadata.updated_date",
        "YYYY/MM/DD",
    ),
    (
        "maturity",
        "maturity = \"old\"",
        "metadata.maturity",
        "one of development",
    ),
    ("[metadata]", "[meta]", "metadata", "missing table"),
];

#[test]
fn broken_members() {
    for (key, line, path, message) in BROKEN_MEMBERS.iter().copied() {
        let mut report = toml(&with(key, line));
        report.problems.retain(|problem| problem.path != "meta");
        one(&report, Level::Error, path, message, line);
    }
}

const BROKEN_OPTIONS: &[(&str, &str, &str)] = &[
    ("interval = \"5\"", "rule.interval", "invalid interval"),
    ("interval = \"0m\"", "rule.interval", "greater than 0"),
    ("interval = 5", "rule.interval", "expected a string"),
    ("to = \"tomorrow\"", "rule.to", "invalid date math"),
    (
        "response_actions = [{ action_type_id = \".telnet-monitor\" }]",
        "rule.response_actions[0]",
        "lacks its params",
    ),
    (
        "response_actions = [{ action_type_id = \".telnet-monitor\", params = { command = \"isolate\" } }]",
        "rule.response_actions[0].params.command",
        "command must be one of close-session",
    ),
    ("max_signals = 0", "rule.max_signals", "at least 1"),
    (
        "max_signals = 1.5",
        "rule.max_signals",
        "expected an integer",
    ),
    ("version = 0", "rule.version", "at least 1"),
    ("revision = -1", "rule.revision", "at least 0"),
    ("enabled = \"yes\"", "rule.enabled", "expected a boolean"),
    ("tags = \"a\"", "rule.tags", "expected an array"),
    (
        "tags = [\"a\", 1]",
        "rule.tags[1]",
        "expected a string, found an integer",
    ),
    ("note = 1", "rule.note", "expected a string"),
    (
        "building_block_type = \"x\"",
        "rule.building_block_type",
        "one of default",
    ),
    (
        "index = [\"a\"]\ndata_view_id = \"b\"",
        "rule.data_view_id",
        "not both",
    ),
    (
        "alert_suppression = { group_by = [], missing_fields_strategy = \"suppress\" }",
        "rule.alert_suppression.group_by",
        "1 to 3",
    ),
    (
        "alert_suppression = { group_by = [\"a\"], missing_fields_strategy = \"drop\" }",
        "rule.alert_suppression.missing_fields_strategy",
        "one of suppress, doNotSuppress",
    ),
    (
        "alert_suppression = { group_by = [\"a\"], missing_fields_strategy = \"suppress\", duration = { value = 5, unit = \"d\" } }",
        "rule.alert_suppression.duration",
        "unit of s, m or h",
    ),
    (
        "alert_suppression = { group_by = [\"a\"], missing_fields_strategy = \"suppress\", duration = { value = 5 } }",
        "rule.alert_suppression.duration.unit",
        "missing required field unit",
    ),
    (
        "severity_mapping = [{ field = \"a\", operator = \"is\", value = \"1\", severity = \"low\" }]",
        "rule.severity_mapping[0].operator",
        "one of equals",
    ),
    (
        "severity_mapping = [{ operator = \"equals\", value = \"1\", severity = \"low\" }]",
        "rule.severity_mapping[0].field",
        "missing required field",
    ),
    (
        "threat = [{ framework = \"MITRE ATT&CK\" }]",
        "rule.threat[0].tactic",
        "missing required",
    ),
    (
        "exceptions_list = [{ id = \"a\", namespace_type = \"single\" }]",
        "rule.exceptions_list[0].list_id",
        "missing required",
    ),
    (
        "exceptions_list = [{ list_id = \"a\", namespace_type = \"all\" }]",
        "rule.exceptions_list[0].namespace_type",
        "one of single, agnostic",
    ),
];

#[test]
fn broken_options() {
    for (line, path, message) in BROKEN_OPTIONS.iter().copied() {
        let mut report = toml(&file(&format!("{line}\n")));
        report
            .problems
            .retain(|problem| problem.level == Level::Error);
        one(&report, Level::Error, path, message, line);
    }
}
