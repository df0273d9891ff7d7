//! Which sessions are closed, and what is said about it.

use std::net::SocketAddr;

use serde_json::Value;

use super::*;
use crate::{
    alert::Alert,
    json::Indexed,
    probe::record::SocketKey,
    rules::{self, Source},
    session::{Activity, Owners},
};

const RULE: &str = "00000000-0000-4000-8000-000000000001";
const ASKS: &str = "[[rule.response_actions]]\naction_type_id = \".telnet-monitor\"\nparams = { command = \"close-session\" }";

fn rule(query: &str, more: &str) -> Vec<Rule> {
    let text = format!(
        "[metadata]\ncreation_date = \"2026/01/01\"\nupdated_date = \"2026/01/01\"\n\
         maturity = \"production\"\n[rule]\nauthor = [\"test\"]\nlicense = \"MIT\"\n\
         rule_id = \"{RULE}\"\nname = \"r\"\ndescription = \"d\"\nrisk_score = 1\n\
         severity = \"low\"\ntype = \"query\"\nlanguage = \"kuery\"\nindex = [\"logs-*\"]\n\
         query = '''{query}'''\n{more}\n"
    );
    let name = "a.toml".to_owned();
    let loaded = rules::load(&[Source::Text { name, text }]);
    assert_eq!(loaded.rules.len(), 1, "{:?}", loaded.problems);
    loaded.rules
}

fn policy(mode: ResponseMode) -> Response {
    Response {
        mode,
        allow: ["192.0.2.0/24", "2001:db8::1/128"]
            .map(|text| text.parse().expect("a network"))
            .into(),
        max_per_minute: 2,
        ..Response::default()
    }
}

fn session(direction: Direction, local: &str, remote: &str) -> Session {
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address and port");
    Session {
        key: SocketKey {
            address: 1,
            cookie: Some(1),
        },
        direction,
        netns: None,
        local: end(local),
        remote: end(remote),
        attempted: None,
        closed: None,
        opened: None,
        preexisting: false,
        reported: false,
        inode: None,
        owners: Owners::default(),
        activity: Activity::default(),
    }
}

fn inbound(remote: &str) -> Session {
    session(Direction::Ingress, "10.0.0.1:23", remote)
}

fn at(seconds: u64) -> BootTime {
    BootTime::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn only_a_rule_that_asks_is_answered_and_only_when_it_is_switched_on() {
    let peer = inbound("203.0.113.7:50000");
    for (mode, more, named, expected) in [
        (ResponseMode::Enforce, ASKS, false, Some(Verdict::Close)),
        (ResponseMode::DryRun, ASKS, false, Some(Verdict::DryRun)),
        (ResponseMode::Off, ASKS, true, None),
        (ResponseMode::Enforce, "", false, None),
        (ResponseMode::Enforce, "", true, Some(Verdict::Close)),
        (ResponseMode::Enforce, "enabled = false", true, None),
    ] {
        let rules = rule("destination.port:23", more);
        let mut policy = policy(mode);
        policy.rules.extend(named.then(|| RULE.to_owned()));
        let mut responder = Responder::new(policy, &rules);
        let verdict = responder.judge(RULE, &peer, at(0));
        assert_eq!(verdict, expected, "{mode:?} {more:?} named: {named}");
        assert_eq!(responder.judge("another", &peer, at(0)), None);
    }
    let mut default = Responder::default();
    assert_eq!(default.judge(RULE, &peer, at(0)), None);
}

#[test]
fn peers_on_the_list_are_left_alone_however_their_address_is_written() {
    let rules = rule("destination.port:23", ASKS);
    let mut responder = Responder::new(policy(ResponseMode::Enforce), &rules);
    for peer in ["192.0.2.200:1", "[::ffff:192.0.2.200]:1", "[2001:db8::1]:1"] {
        let verdict = responder.judge(RULE, &inbound(peer), at(0));
        assert_eq!(
            verdict,
            Some(Verdict::Refuse(Refusal::PeerAllowed)),
            "{peer}"
        );
    }
    let verdict = responder.judge(RULE, &inbound("[2001:db8::2]:1"), at(0));
    assert_eq!(verdict, Some(Verdict::Close));
    assert_eq!(responder.counters().refused, 3);
}

#[test]
fn a_session_outside_the_ports_that_the_query_requires_is_left_alone() {
    let refused = Verdict::Refuse(Refusal::OutsidePorts);
    let telnet = inbound("203.0.113.7:50000");
    let ssh = session(Direction::Ingress, "10.0.0.1:22", "203.0.113.7:50000");
    // To this host's own port 23 goes what comes in; what goes out goes to the peer's.
    let from_23 = session(Direction::Egress, "10.0.0.1:23", "203.0.113.7:22");
    let out = session(Direction::Egress, "10.0.0.1:50000", "203.0.113.7:23");
    for (query, session, expected) in [
        ("destination.port:23", &telnet, Verdict::Close),
        ("destination.port:(22 or 23)", &telnet, Verdict::Close),
        ("destination.port:23", &ssh, refused),
        ("destination.port:23", &from_23, refused),
        ("destination.port:23", &out, Verdict::Close),
        (
            "network.direction:ingress and destination.port:23",
            &out,
            refused,
        ),
        ("source.port:50000", &telnet, refused),
        ("event.kind:event", &telnet, refused),
        ("not destination.port:22", &telnet, refused),
    ] {
        let mut responder = Responder::new(policy(ResponseMode::Enforce), &rule(query, ASKS));
        let verdict = responder.judge(RULE, session, at(0));
        assert_eq!(verdict, Some(expected), "{query} on {session:?}");
    }
}

#[test]
fn no_more_are_closed_within_a_minute_than_allowed() {
    for mode in [ResponseMode::Enforce, ResponseMode::DryRun] {
        let rules = rule("destination.port:23", ASKS);
        let mut responder = Responder::new(policy(mode), &rules);
        let peer = inbound("203.0.113.7:50000");
        let mut is_refused = |seconds| {
            let verdict = responder.judge(RULE, &peer, at(seconds));
            verdict == Some(Verdict::Refuse(Refusal::TooMany))
        };
        let refused = [0, 30, 59, 60, 89, 90, 91].map(&mut is_refused);
        assert_eq!(
            refused,
            [false, false, true, false, true, false, true],
            "{mode:?}"
        );
        // A reload does not start the minute again.
        responder.replace(policy(mode), &rules);
        let verdict = responder.judge(RULE, &peer, at(100));
        assert_eq!(verdict, Some(Verdict::Refuse(Refusal::TooMany)));
    }
}

/// The document about a decision on the session of an alert with this id.
fn document(alert: &str, decision: &Decision) -> Value {
    let event = serde_json::json!({
        "@timestamp": "2026-01-01T00:00:00.000000000Z",
        "event": {"id": "e", "category": ["network"], "action": "connection_accepted",
            "module": "network_traffic", "dataset": "network_traffic.telnet",
            "start": "2026-01-01T00:00:00.000000000Z"},
        "source": {"ip": "203.0.113.7"},
        "telnet": {"session": {"id": "s"}},
    });
    let event = Indexed::of(&event).expect("a document");
    let alert = serde_json::json!({
        "rule": {"name": "r"},
        "kibana": {"alert": {"uuid": alert}},
    });
    let alert = Alert {
        text: alert.to_string(),
        rule_id: RULE.to_owned(),
        happened: None,
    };
    let now = "2026-01-01T00:00:01Z".parse().expect("a time");
    audit::document(&event, &alert, decision, now)
}

fn get(document: &Value, path: &str) -> Value {
    document.pointer(path).cloned().unwrap_or_default()
}

#[test]
fn the_document_says_what_was_decided_and_what_came_of_it() {
    let failed = || Outcome::Failed("no".to_owned());
    for (decision, verdict, kind, outcome) in [
        (
            Decision::Close(Outcome::Closed),
            "close",
            "denied",
            Some("success"),
        ),
        (
            Decision::Close(Outcome::Gone),
            "close",
            "info",
            Some("failure"),
        ),
        (Decision::Close(failed()), "close", "info", Some("failure")),
        (Decision::DryRun, "dry_run", "info", None),
        (Decision::Refuse(Refusal::TooMany), "refuse", "info", None),
    ] {
        let made = document("a", &decision);
        assert_eq!(get(&made, "/telnet/response/verdict"), verdict);
        assert_eq!(get(&made, "/event/type/0"), kind);
        assert_eq!(get(&made, "/event/outcome").as_str(), outcome);
    }
    let made = document("a", &Decision::Close(failed()));
    assert_eq!(get(&made, "/event/reason"), "no");
}

#[test]
fn the_document_keeps_who_the_session_is_of() {
    let made = document("a", &Decision::DryRun);
    for (path, value) in [
        ("/@timestamp", "2026-01-01T00:00:01.000000000Z"),
        ("/event/category/0", "intrusion_detection"),
        ("/event/action", "session_close"),
        ("/event/dataset", "network_traffic.telnet"),
        ("/rule/name", "r"),
        ("/source/ip", "203.0.113.7"),
        ("/telnet/session/id", "s"),
        ("/telnet/response/alert_id", "a"),
    ] {
        assert_eq!(get(&made, path), value, "{path}");
    }
    assert_eq!(made.pointer("/event/start"), None);
    let id = |alert: &str| get(&document(alert, &Decision::DryRun), "/event/id");
    assert_eq!(id("a"), id("a"));
    assert_ne!(id("a"), id("b"));
}
