use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::rules::{LoadReport, Options, Problem, Rule, Source, load, load_with};

const DEFAULT: &str = "34fde489-94b0-4500-a76f-b8a157cf9269";
const TIGHTENED: &str = "70c78d2f-a761-4dea-aab1-e0e8c65fd41e";

fn shipped() -> LoadReport {
    load(&[Source::Shipped])
}

fn find<'r>(report: &'r LoadReport, stem: &str) -> &'r Rule {
    let file = format!("shipped/{stem}.toml");
    report
        .rules
        .iter()
        .find(|rule| rule.origin.file == file)
        .unwrap()
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn they_load_without_a_finding() {
    let report = shipped();
    let problems: Vec<String> = report.problems.iter().map(Problem::render).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(report.rules.len(), 12);
    let ids: HashSet<&str> = report
        .rules
        .iter()
        .map(|rule| rule.rule_id.as_str())
        .collect();
    assert_eq!(ids.len(), 12);
}

#[test]
fn the_default_rule_has_the_facts_of_version_102() {
    let report = shipped();
    let rule = find(&report, "accepted_telnet_port_connection");
    assert_eq!(rule.rule_id, DEFAULT);
    assert_eq!(rule.uuid, DEFAULT);
    assert_eq!(
        (rule.version, rule.risk_score, rule.max_signals),
        (102, 47, 100)
    );
    assert_eq!(rule.severity.as_str(), "medium");
    assert_eq!(rule.interval.duration().as_secs(), 300);
    assert_eq!(
        (rule.from.duration().as_secs(), rule.to.duration().as_secs()),
        (-540, 0)
    );
    assert_eq!(rule.timestamp_override.as_deref(), Some("event.ingested"));
    assert!(rule.enabled && rule.timestamp_fallback && !rule.building_block);
    let threat: Vec<(&str, Vec<&str>)> = rule
        .threat
        .iter()
        .map(|threat| {
            let techniques = threat
                .techniques
                .iter()
                .map(|technique| technique.entry.id.as_str());
            (threat.tactic.id.as_str(), techniques.collect())
        })
        .collect();
    let expected = [
        ("TA0011", vec![]),
        ("TA0008", vec!["T1021"]),
        ("TA0001", vec!["T1190"]),
    ];
    assert_eq!(threat, expected);
}

#[test]
fn what_runs_by_default() {
    let report = shipped();
    let mut enabled: Vec<&str> = report
        .rules
        .iter()
        .filter(|rule| rule.enabled)
        .map(|rule| rule.name.as_str())
        .collect();
    enabled.sort_unstable();
    assert_eq!(
        enabled,
        [
            "Accepted Default Telnet Port Connection",
            "Download or Remote Shell in a Telnet Session",
            "Outbound Telnet to a Public Address",
            "Root Login over Telnet",
            "Successful Telnet Login after Failures",
            "Telnet Authentication Bypass",
            "Telnet Connection Flood",
            "Telnet Login from a Public Address",
            "Telnet Session from a Public Address",
        ]
    );
}

/// What the agent reports, by action, type, outcome and direction: every row of the table.
const FACTS: [(&str, &[&str], &str, &str); 11] = [
    (
        "connection_attempted",
        &["connection", "start"],
        "unknown",
        "egress",
    ),
    (
        "connection_accepted",
        &["connection", "start"],
        "success",
        "ingress",
    ),
    (
        "connection_established",
        &["connection", "start"],
        "success",
        "egress",
    ),
    (
        "denied",
        &["connection", "denied", "end"],
        "failure",
        "egress",
    ),
    (
        "denied",
        &["connection", "denied", "end"],
        "failure",
        "ingress",
    ),
    ("timeout", &["connection", "end"], "failure", "egress"),
    (
        "flow_dropped",
        &["connection", "denied", "end"],
        "failure",
        "egress",
    ),
    (
        "deny",
        &["connection", "denied", "end"],
        "failure",
        "egress",
    ),
    (
        "deny",
        &["connection", "denied", "end"],
        "failure",
        "ingress",
    ),
    ("network_flow", &["connection", "end"], "success", "ingress"),
    ("network_flow", &["connection", "end"], "success", "egress"),
];

#[test]
fn the_event_table_has_every_fact() {
    let rows: Vec<Value> =
        lines(include_str!("../../../fixtures/rules/event_table.ndjson")).collect();
    for (action, types, outcome, direction) in FACTS {
        let row = rows.iter().find(|row| {
            let event = &row["event"]["event"];
            event["action"] == action
                && event["type"] == serde_json::json!(types)
                && event["outcome"] == outcome
                && row["event"]["network"]["direction"] == direction
                && row["event"]["destination"]["port"] == 23
        });
        let row = row.unwrap_or_else(|| panic!("{action} {direction}"));
        let expected = types.contains(&"start");
        assert_eq!(row["version_102"], expected, "{action}");
        assert_eq!(row["tightened"], expected, "{action}");
    }
}

#[test]
fn verdicts_of_the_event_table() {
    let report = shipped();
    let default = find(&report, "accepted_telnet_port_connection");
    let tightened = find(&report, "accepted_telnet_port_connection_tightened");
    for row in lines(include_str!("../../../fixtures/rules/event_table.ndjson")) {
        let matches = |rule: &Rule| Value::Bool(rule.matches(&row["event"], Timestamp::UNIX_EPOCH));
        assert_eq!(
            matches(default),
            row["version_102"],
            "version 102: {}",
            row["fact"]
        );
        assert_eq!(
            matches(tightened),
            row["tightened"],
            "tightened: {}",
            row["fact"]
        );
    }
}

#[test]
fn each_rule_matches_what_it_must_and_nothing_else() {
    let report = shipped();
    for case in lines(include_str!("../../../fixtures/rules/shipped_cases.ndjson")) {
        let rule = find(&report, case["rule"].as_str().unwrap());
        let matches = Value::Bool(rule.matches(&case["event"], Timestamp::UNIX_EPOCH));
        assert_eq!(matches, case["match"], "{}: {}", rule.name, case["why"]);
    }
}

/// A proof is an event of a session that has its alert already: only the rule that wants it matches.
#[test]
fn the_proof_of_a_protocol_is_no_second_alert() {
    let report = shipped();
    let proof = include_str!("../../../fixtures/docs/identified.json");
    let mut proof: Value = serde_json::from_str(proof).unwrap();
    for (port, expected) in [(23, vec![]), (2323, vec!["Telnet on a Port Other than 23"])] {
        proof["destination"]["port"] = port.into();
        proof["source"]["ip"] = "8.8.8.8".into();
        let rules = report.rules.iter();
        let matching = rules.filter(|rule| rule.matches(&proof, Timestamp::UNIX_EPOCH));
        let names: Vec<&str> = matching.map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, expected, "{port}");
    }
}

#[test]
fn which_rules_ask_what_a_session_speaks() {
    let report = shipped();
    let asking = |rule: &&Rule| rule.asks_for("network.protocol");
    let asking: Vec<&Rule> = report.rules.iter().filter(asking).collect();
    let ids: Vec<&str> = asking.iter().map(|rule| rule.rule_id.as_str()).collect();
    assert_eq!(ids, [TIGHTENED, "b2e48f10-6601-4421-ab6d-c63074ec0333"]);
    assert!(!asking.iter().any(|rule| rule.enabled));
}

#[test]
fn each_rule_gives_an_analyst_something_to_act_on() {
    for rule in shipped().rules {
        let note = rule.carried_string("note").unwrap_or_default();
        assert!(
            note.contains("## Triage") && note.contains("## Response"),
            "{}",
            rule.name
        );
        for key in ["references", "false_positives", "tags"] {
            assert!(
                !rule.carried_strings(key).is_empty(),
                "{}: {key}",
                rule.name
            );
        }
        assert!(!rule.threat.is_empty(), "{}", rule.name);
        let bands = [(0, "low"), (22, "medium"), (48, "high"), (74, "critical")];
        let band = bands
            .iter()
            .rev()
            .find(|(least, _)| rule.risk_score >= *least)
            .unwrap()
            .1;
        assert_eq!(rule.severity.as_str(), band, "{}", rule.name);
    }
}

#[test]
fn only_one_of_the_two_on_port_23_runs() {
    let enabled = |options: &Options| {
        let report = load_with(&[Source::Shipped], options);
        let rules = report.rules.iter().filter(|rule| rule.enabled);
        let ids: Vec<String> = rules.map(|rule| rule.rule_id.clone()).collect();
        (ids, report.problems)
    };
    let both = Options {
        enable: vec![TIGHTENED.to_owned()],
        ..Options::default()
    };
    let (ids, problems) = enabled(&both);
    assert!(ids.contains(&DEFAULT.to_owned()) && !ids.contains(&TIGHTENED.to_owned()));
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].message.contains("enable one of them"),
        "{}",
        problems[0]
    );

    let (ids, problems) = enabled(&Options {
        disable: vec![DEFAULT.to_owned()],
        ..both
    });
    assert!(ids.contains(&TIGHTENED.to_owned()) && !ids.contains(&DEFAULT.to_owned()));
    assert!(problems.is_empty());
}
