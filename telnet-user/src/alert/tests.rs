use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AlertId, Context, Origin, Settings, Template, build};
use crate::rules::{Rule, Source, load, tests::rule};

fn settings() -> Settings {
    Settings {
        agent: "telnet-monitor".to_owned(),
        space: "default".to_owned(),
        loaded_at: at("2026-03-05T11:00:00Z"),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn alert(event: &Value, rule: &Rule) -> Value {
    let settings = settings();
    let origin = Origin::of(event);
    let id = AlertId::new(
        &origin.index,
        &origin.id,
        origin.version,
        "default",
        &rule.uuid,
    );
    let context = Context {
        now: at("2026-03-05T12:00:00.1234Z"),
        detected: at("2026-03-05T12:00:00.1234Z"),
        id,
        origin: &origin,
        execution: "11111111-1111-4111-8111-111111111111",
        settings: &settings,
        suppressed: None,
        first: None,
    };
    build(event, rule, &Template::new(rule, &settings), &context).value()
}

fn accepted() -> Value {
    json!({
        "@timestamp": "2026-03-05T11:59:59.5Z",
        "event": {
            "id": "7f3c-42", "kind": "event", "category": ["network"],
            "type": ["connection", "start"], "action": "connection_accepted",
        },
        "data_stream": {"type": "logs", "dataset": "hostagent.network", "namespace": "default"},
        "source": {"ip": "192.0.2.7", "port": 50000},
        "destination": {"ip": "198.51.100.9", "port": 23},
        "network": {"direction": "ingress"},
        "process": {"name": "telnetd"},
        "kibana": {"alert": "leftover"},
        "signal.rule": "leftover",
    })
}

/// Asserts that `found` has every member of `expected`; arrays are compared whole.
fn contains(found: &Value, expected: &Value, at: &str) {
    let Some(members) = expected.as_object() else {
        assert_eq!(found, expected, "{at}");
        return;
    };
    for (key, value) in members {
        let at = format!("{at}/{key}");
        contains(
            found.get(key).unwrap_or_else(|| panic!("{at} is missing")),
            value,
            &at,
        );
    }
}

#[test]
fn the_default_rule_on_an_accepted_connection() {
    let rule = load(&[Source::Shipped]).rules.remove(0);
    let alert = alert(&accepted(), &rule);
    let expected: Value =
        serde_json::from_str(include_str!("../../fixtures/rules/alert_accepted.json")).unwrap();
    contains(&alert, &expected, "");
    for absent in [
        "/signal.rule",
        "/kibana/version",
        "/kibana/alert/url",
        "/kibana/alert/instance",
    ] {
        assert_eq!(alert.pointer(absent), None, "{absent}");
    }
}

#[test]
fn dotted_events_keep_their_spelling() {
    let event = json!({"event.kind": "event", "event.action": "a", "event.category": "network"});
    let alert = alert(&event, &rule(""));
    assert_eq!(alert["event.kind"], json!("signal"));
    assert_eq!(
        alert["kibana"]["alert"]["original_event"]["kind"],
        json!("event")
    );
    assert_eq!(
        alert["kibana"]["alert"]["original_event"]["action"],
        json!("a")
    );
    assert_eq!(alert["kibana"]["alert"]["original_time"], Value::Null);
}

#[test]
fn an_observers_rule_and_threat_stay() {
    let event = json!({"rule": {"name": "ET SCAN"}, "threat.framework": "own"});
    let alert = alert(&event, &load(&[Source::Shipped]).rules[0]);
    assert_eq!(alert["rule"], json!({"name": "ET SCAN"}));
    assert_eq!(alert.get("threat"), None);
    assert_eq!(
        alert["kibana"]["alert"]["rule"]["threat"][0]["tactic"]["id"],
        json!("TA0011")
    );
}

#[test]
fn an_alert_on_an_alert_keeps_the_lineage() {
    let event = json!({"kibana": {"alert": {
        "uuid": "u1", "depth": 1, "rule": {"uuid": "r1"},
        "ancestors": [{"id": "e1", "type": "event", "depth": 0}],
    }}});
    let alert = &alert(&event, &rule(""))["kibana"]["alert"];
    assert_eq!(alert["depth"], json!(2));
    assert_eq!(alert["ancestors"][0]["id"], json!("e1"));
    assert_eq!(
        alert["ancestors"][1],
        json!({"id": "u1", "type": "signal", "depth": 1, "rule": "r1"})
    );
}

#[test]
fn building_blocks_and_overrides_show() {
    let rule = rule("building_block_type = \"default\"\nrule_name_override = \"message\"\n");
    let alert = alert(&json!({"message": "seen"}), &rule);
    assert_eq!(
        alert["kibana"]["alert"]["building_block_type"],
        json!("default")
    );
    assert_eq!(alert["kibana"]["alert"]["rule"]["name"], json!("seen"));
    assert_eq!(alert["rule"]["name"], json!("seen"));
    assert_eq!(
        alert["kibana"]["alert"]["reason"],
        json!("event created medium alert seen.")
    );
}
