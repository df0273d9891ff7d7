//! What is not supported, and what is only warned of; where findings stand.

use super::{one, rendered, toml, with};
use crate::rules::{ResponseAction, tests::file};
use crate::source::{Level, Position};

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
    (
        "max_signals = 5000",
        "rule.max_signals",
        "a run makes at most 1000 alerts",
    ),
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

#[test]
fn of_response_actions_those_for_this_agent_are_taken() {
    let own = "{ action_type_id = \".telnet-monitor\", params = { command = \"close-session\" } }";
    let endpoint = "{ action_type_id = \".endpoint\", params = { command = \"isolate\" } }";
    let close = Some(ResponseAction::CloseSession);
    for (actions, expected) in [
        (String::new(), None),
        (endpoint.to_owned(), None),
        (own.to_owned(), close),
        (format!("{endpoint}, {own}"), close),
    ] {
        let report = toml(&file(&format!("response_actions = [{actions}]")));
        let found: Vec<_> = report.rules.iter().map(|rule| rule.response).collect();
        assert_eq!(found, [expected], "{actions}: {}", rendered(&report));
    }
}
