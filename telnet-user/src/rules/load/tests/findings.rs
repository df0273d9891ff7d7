use super::{LoadReport, rendered, toml};
use crate::rules::tests::file;
use crate::source::{Level, Position};

/// A rule file in which the line that starts with `key` is replaced by `line`.
fn with(key: &str, line: &str) -> String {
    let text = file("");
    let replaced = text
        .lines()
        .map(|old| if old.starts_with(key) { line } else { old });
    replaced.collect::<Vec<_>>().join("\n")
}

/// Asserts that `report` has exactly one problem: its level, path and a part of its message.
fn one(report: &LoadReport, level: Level, path: &str, message: &str, case: &str) {
    let [problem] = report.problems.as_slice() else {
        panic!("{case}: expected one problem\n{}", rendered(report));
    };
    assert_eq!(
        (problem.level, problem.path.as_str()),
        (level, path),
        "{case}: {problem}"
    );
    assert!(problem.message.contains(message), "{case}: {problem}");
    assert!(problem.position.is_some(), "{case}");
    let runs = usize::from(level == Level::Warning);
    assert_eq!(report.rules.len(), runs, "{case}: {problem}");
    assert_eq!(report.broken, usize::from(level == Level::Error), "{case}");
    assert_eq!(
        report.unsupported,
        usize::from(level == Level::Unsupported),
        "{case}"
    );
}

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

#[test]
fn not_supported() {
    let cases = [
        (
            "type",
            "type = \"eql\"",
            "rule.type",
            "rule type eql is not supported",
        ),
        (
            "type",
            "type = \"new_terms\"",
            "rule.type",
            "rule type new_terms is not supported",
        ),
        (
            "type",
            "type = \"saved_query\"",
            "rule.type",
            "not supported",
        ),
        (
            "language",
            "language = \"lucene\"",
            "rule.language",
            "language lucene is not supported",
        ),
        ("from", "from = \"now/d\"", "rule.from", "rounding"),
        ("from", "from = \"now-1M\"", "rule.from", "calendar unit M"),
    ];
    for (key, line, path, message) in cases {
        one(
            &toml(&with(key, line)),
            Level::Unsupported,
            path,
            message,
            line,
        );
    }
    let script = "filters = [{ query = { script = { source = \"x\" } } }]\n";
    one(
        &toml(&file(script)),
        Level::Unsupported,
        "rule.filters[0]",
        "\"script\"",
        script,
    );
}

const WARNINGS: &[(&str, &str, &str)] = &[
    (
        "timestamp_override = \"\"",
        "rule.timestamp_override",
        "is empty and not used",
    ),
    ("severty = \"low\"", "rule.severty", "unknown rule field"),
    ("max_signals = 5000", "rule.max_signals", "1000 alerts"),
    (
        "interval = \"10m\"",
        "rule.from",
        "shorter than the interval",
    ),
    (
        "data_view_id = \"a\"",
        "rule.data_view_id",
        "data views are not supported",
    ),
    (
        "exceptions_list = [{ list_id = \"a\", namespace_type = \"single\" }]",
        "rule.exceptions_list[0].list_id",
        "no file holds exception list",
    ),
    (
        "exceptions_list = [{ entries = [{ field = \"a\", type = \"list\" }] }]",
        "rule.exceptions_list[0].entries",
        "value lists are not supported",
    ),
    (
        "alert_suppression = { group_by = [\"a\"] }",
        "rule.alert_suppression.missing_fields_strategy",
        "suppress is used",
    ),
    (
        "threat = [{ framework = \"MITRE ATT&CK\", tactic = { id = \"TA0011\", name = \"n\", reference = \"https://attack.mitre.org/\" } }]",
        "rule.threat[0].tactic.reference",
        "TA0011/",
    ),
];

#[test]
fn warnings() {
    for (line, path, message) in WARNINGS.iter().copied() {
        one(
            &toml(&file(&format!("{line}\n"))),
            Level::Warning,
            path,
            message,
            line,
        );
    }
    let cases = [
        ("author", "", "rule.author", "missing field author"),
        (
            "name",
            "name = \"Ends badly.\"",
            "rule.name",
            "starts with a letter",
        ),
        (
            "query",
            "query = \"dns.id:1\"",
            "rule.query",
            "no event of this agent can match: none has dns.id",
        ),
        (
            "query",
            "query = \"not dns.id:1\"",
            "rule.query",
            "every event of this agent matches",
        ),
    ];
    for (key, line, path, message) in cases {
        one(&toml(&with(key, line)), Level::Warning, path, message, line);
    }
}

#[test]
fn the_nearest_name_is_the_hint() {
    let report = toml(&file("timestamp_overide = \"event.ingested\"\n"));
    assert_eq!(
        report.problems[0].hint.as_deref(),
        Some("did you mean timestamp_override?")
    );
    assert_eq!(
        report.problems[0].position,
        Some(Position {
            line: 17,
            column: 1
        })
    );
}

#[test]
fn a_deprecated_rule_is_skipped_and_said_so() {
    let report = toml(&with("maturity", "maturity = \"deprecated\""));
    assert_eq!(
        (report.rules.len(), report.skipped, report.broken),
        (0, 1, 0)
    );
    assert!(
        rendered(&report).contains("deprecated and skipped"),
        "{}",
        rendered(&report)
    );
}

#[test]
fn query_errors_stand_where_the_query_is_written() {
    let cases = [
        (
            "query = '''\ndestination.port:23\n  and event.action:>5\n'''",
            3,
            19,
        ),
        ("query = \"destination.port:abc\"", 1, 27),
        (
            "query = \"\"\"\ndestination.port:23 \\\n   and destination.port:abc\"\"\"",
            3,
            25,
        ),
        ("query = 'destination.port = 23'", 1, 27),
    ];
    for (query, line, column) in cases {
        let text = with("query", query);
        let first = text
            .lines()
            .position(|line| line.starts_with("query"))
            .unwrap();
        let report = toml(&text);
        let position = report.problems[0].position.unwrap();
        assert_eq!(report.problems[0].level, Level::Error);
        assert_eq!(report.problems[0].path, "rule.query");
        let line_of = position.line - first;
        assert_eq!(line_of, line, "{}", rendered(&report));
        assert_eq!(position.column, column, "{}", rendered(&report));
    }
}

#[test]
fn everything_is_reported_at_once() {
    let text = file("interval = \"x\"\nmax_signals = 0\nversion = \"1\"\n")
        .replace("severity = \"medium\"", "severity = \"none\"")
        .replace("risk_score = 47", "risk_score = \"47\"")
        .replace("destination.port:23", "destination.port:x and source.ip:y");
    let report = toml(&text);
    assert_eq!(report.problems.len(), 7, "{}", rendered(&report));
    assert_eq!(report.broken, 1);
    assert!(report.problems.is_sorted_by_key(|problem| problem.position));
}

#[test]
fn broken_toml_is_a_finding_with_a_place() {
    let report = toml("[rule]\nname == 1\n");
    let problem = &report.problems[0];
    assert!(problem.message.starts_with("invalid TOML"), "{problem}");
    assert_eq!(problem.position.unwrap().line, 2);
    assert_eq!(report.broken, 1);
}

#[test]
fn lenient_takes_what_kibana_takes() {
    let source = super::Source::Text {
        name: "a.toml".to_owned(),
        text: with("query", "query = 'destination.port = 23'"),
    };
    let options = crate::rules::Options {
        lenient: true,
        ..Default::default()
    };
    let report = crate::rules::load_with(&[source], &options);
    assert_eq!(report.rules.len(), 1, "{}", rendered(&report));
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_loader_panic(
        line in "[a-z_]{1,12} = (\"[ -~]{0,20}\"|[0-9]{1,3}|\\[[0-9\", a]{0,9}\\]|\\{ [a-z]{1,5} = \"[a-z:*()]{0,9}\" \\})",
        key in proptest::sample::select(super::super::known::RULE.to_vec()),
        cut in 0_usize..700,
    ) {
        let value = line.split_once('=').map(|(_, value)| value).unwrap_or_default();
        let text = with(key, &format!("{key} = {value}"));
        toml(&text);
        toml(&file(&format!("{key} ={value}\n")));
        toml(text.get(..cut).unwrap_or_default());
    }
}
