//! `telnet-monitor replay`.

use serde_json::{Value, json};

use super::{Folder, Outcome, gzip, rule};

/// An event that the shipped default rule alerts on.
fn event(id: u32, minute: u32) -> Value {
    json!({
        "@timestamp": format!("2026-03-05T12:{minute:02}:00.000Z"),
        "event": {
            "id": id.to_string(), "kind": "event", "category": ["network"],
            "type": ["connection", "start"], "action": "connection_accepted"
        },
        "network": {"direction": "ingress"},
        "source": {"ip": "10.0.0.7", "port": 50_000},
        "destination": {"ip": "10.0.0.9", "port": 23},
    })
}

fn lines(events: impl IntoIterator<Item = Value>) -> String {
    let lines: Vec<String> = events.into_iter().map(|event| event.to_string()).collect();
    lines.join("\n") + "\n"
}

fn alerts(outcome: &Outcome) -> Vec<Value> {
    let lines = outcome.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Ids of the events alerted on.
fn ids(outcome: &Outcome) -> Vec<String> {
    let id = |alert: &Value| alert["kibana"]["alert"]["ancestors"][0]["id"].clone();
    alerts(outcome)
        .iter()
        .map(|alert| id(alert).as_str().unwrap().to_owned())
        .collect()
}

/// The row of the summary for `rule`: matched, excepted, duplicate, alerted, suppressed, capped,
/// unsearched.
fn row(outcome: &Outcome, rule: &str) -> Vec<u64> {
    let row = outcome.stderr.lines().find(|line| line.ends_with(rule));
    let counts = row.unwrap().split_whitespace().take(7);
    counts.map(|count| count.parse().unwrap()).collect()
}

#[test]
fn the_shipped_rules_alert() {
    let folder = Folder::new();
    folder.write("events.ndjson", lines([event(1, 0), event(2, 1)]));
    let outcome = folder.run(&["replay", "events.ndjson"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let alerts = alerts(&outcome);
    assert_eq!(alerts.len(), 2);
    let alert = &alerts[0]["kibana"]["alert"];
    assert_eq!(
        alert["rule"]["name"],
        "Accepted Default Telnet Port Connection"
    );
    assert_eq!(alert["original_time"], "2026-03-05T12:00:00.000Z");
    assert!(outcome.stderr.contains("\n2 lines, 2 events, 0 skipped\n"));
    assert_eq!(
        row(&outcome, "Accepted Default Telnet Port Connection"),
        [2, 0, 0, 2, 0, 0, 0]
    );
}

#[test]
fn a_replay_is_the_same_byte_for_byte() {
    let folder = Folder::new();
    folder.write("rule.toml", rule("event.kind:event", "max_signals = 2\n"));
    let events = lines((0..40).map(|n| event(n, n / 2)));
    folder.write("events.ndjson", &events);
    folder.write("events.gz", gzip(&events));
    for mode in ["schedule", "stream"] {
        let arguments = ["replay", "--rules", "rule.toml", "--mode", mode];
        let first = folder.run(&[&arguments[..], &["events.ndjson"]].concat());
        let again = folder.run(&[&arguments[..], &["events.gz"]].concat());
        assert_eq!(first.code, 0);
        assert!(!first.stdout.is_empty());
        assert_eq!(first.stdout, again.stdout);
        let piped = folder.run_with(&[&arguments[..], &["-"]].concat(), &events);
        assert_eq!(
            (&first.stdout, &first.stderr),
            (&piped.stdout, &piped.stderr)
        );
    }
}

#[test]
fn both_modes_alert_on_the_same_events() {
    let folder = Folder::new();
    folder.write("rule.toml", rule("event.kind:event", "max_signals = 2\n"));
    folder.write("events.ndjson", lines((0..40).map(|n| event(n, n / 2))));
    let [schedule, stream] = ["schedule", "stream"].map(|mode| {
        let outcome = folder.run(&[
            "replay",
            "--rules",
            "rule.toml",
            "--mode",
            mode,
            "events.ndjson",
        ]);
        let mut ids = ids(&outcome);
        ids.sort();
        (ids, row(&outcome, "Test rule"))
    });
    assert_eq!(schedule, stream);
    let [matched, _, _, alerted, _, capped, _] = schedule.1[..] else {
        panic!("{schedule:?}");
    };
    assert_eq!((matched, alerted + capped), (40, 40));
    assert!(capped > 0);
}

#[test]
fn every_shippers_spelling_is_read() {
    let folder = Folder::new();
    let dotted = json!({
        "@timestamp": "2026-03-05T12:00:00Z", "event.category": "network", "event.id": "dotted",
        "event.action": "accepted-connection-from", "network.direction": "inbound",
        "destination.port": 23,
    });
    let hit =
        json!({"_index": "packetbeat-8", "_id": "hit", "_version": 2, "_source": event(3, 0)});
    let text = [
        dotted.to_string(),
        hit.to_string(),
        json!({"create": {"_index": "auditbeat-8", "_id": "bulk"}}).to_string(),
        event(4, 0).to_string(),
        String::new(),
    ];
    let outcome = folder.run_with(&["replay"], text.join("\n"));
    let mut found = ids(&outcome);
    found.sort();
    assert_eq!(found, ["bulk", "dotted", "hit"], "{outcome:?}");
    let of = |id: &str| {
        let alerts = alerts(&outcome);
        let found = alerts
            .iter()
            .find(|alert| alert["kibana"]["alert"]["ancestors"][0]["id"] == id);
        found.unwrap()["kibana"]["alert"]["ancestors"][0]["index"].clone()
    };
    assert_eq!(of("hit"), "packetbeat-8");
    assert_eq!(of("bulk"), "auditbeat-8");
}

#[test]
fn a_broken_line_does_not_stop_the_others() {
    let folder = Folder::new();
    let text = format!(
        "{}{{\"torn\":\n{}",
        lines([event(1, 0)]),
        lines([event(2, 0)])
    );
    folder.write("events.ndjson", text);
    let outcome = folder.run(&["replay", "events.ndjson"]);
    assert_eq!(
        (outcome.code, ids(&outcome)),
        (0, vec!["1".to_owned(), "2".to_owned()])
    );
    assert!(
        outcome
            .stderr
            .contains("events.ndjson:2:8: not JSON: EOF while parsing a value, skipped\n"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("3 lines, 2 events, 1 skipped"));
}

#[test]
fn a_broken_rule_does_not_stop_the_others() {
    let folder = Folder::new();
    folder.write("good.toml", rule("event.kind:event", ""));
    folder.write(
        "bad.toml",
        rule("destination.port:telnet", "").replace("Test", "Bad"),
    );
    let arguments = ["replay", "--rules", "good.toml", "--rules", "bad.toml"];
    let outcome = folder.run_with(&arguments, lines([event(1, 0)]));
    assert_eq!((outcome.code, ids(&outcome)), (1, vec!["1".to_owned()]));
    assert!(outcome.stderr.contains("error: bad.toml:"), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("rules: 1 enabled, 0 disabled, 1 broken")
    );
    let none = folder.run(&["replay", "--rules", "missing.toml"]);
    assert_eq!((none.code, none.stdout.as_str()), (1, ""));
    assert!(none.stderr.contains("missing.toml"), "{none:?}");
}

#[test]
fn exceptions_suppression_and_duplicates_are_counted() {
    let folder = Folder::new();
    let extra = "alert_suppression = { group_by = [\"destination.ip\"], missing_fields_strategy = \"suppress\" }\n\
                 exceptions_list = [{ entries = [{ field = \"source.ip\", operator = \"included\", type = \"match\", value = \"10.0.0.66\" }] }]\n";
    folder.write("rule.toml", rule("event.kind:event", extra));
    let mut excepted = event(9, 0);
    excepted["source"]["ip"] = json!("10.0.0.66");
    let mut timeless = event(10, 0);
    timeless.as_object_mut().unwrap().shift_remove("@timestamp");
    let events = lines([
        event(1, 0),
        event(1, 0),
        event(2, 0),
        event(3, 0),
        excepted,
        timeless,
    ]);
    let outcome = folder.run_with(&["replay", "--rules", "rule.toml"], events);
    assert_eq!(row(&outcome, "Test rule"), [5, 1, 1, 1, 2, 0, 1]);
    let alerts = alerts(&outcome);
    assert_eq!(alerts.len(), 1, "{outcome:?}");
    assert_eq!(alerts[0]["kibana"]["alert"]["suppression"]["docs_count"], 2);
}

#[test]
fn nothing_at_all_is_summed_up_too() {
    let outcome = Folder::new().run(&["replay"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""));
    assert!(outcome.stderr.contains("0 lines, 0 events, 0 skipped"));
    assert_eq!(
        row(&outcome, "Accepted Default Telnet Port Connection"),
        [0; 7]
    );
}
