//! What must hold for any bytes from outside, one function for each way in.
//!
//! Run by cargo-fuzz, and over the committed corpus with bounded mutations by the tests of
//! `telnet-user`, which include this file.

use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Value, json};
use telnet_user::{
    alert::Alert,
    clock::BootTime,
    input::{Event, Parser},
    kql::{self, Options, Predicate},
    probe::decode::decode,
    replay::{Mode, Replay},
    rules::{self, Outbox, Rule, Source},
    session::tracker::{Limits, Tracker},
};

/// The text of a query: it is refused with a readable place, or means one thing however it is
/// written, and `explain` agrees with `matches`.
pub fn kql(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let query = match kql::parse(&text) {
        Ok(query) => query,
        Err(error) => return check_error(&error),
    };
    let printed = query.to_string();
    let again = kql::parse(&printed).map(|query| query.to_string());
    assert_eq!(again.as_ref(), Ok(&printed), "printed and parsed again");
    for lenient in [false, true] {
        match kql::compile(&query, &Options { lenient }) {
            Ok(predicate) => {
                predicate.warnings().iter().for_each(check_error);
                for event in events() {
                    check(&predicate, event);
                }
            }
            Err(errors) => {
                assert!(!errors.is_empty(), "refused without a reason");
                errors.iter().for_each(check_error);
            }
        }
    }
    assert!(is_printable(&kql::pushdown::wanted(&query).to_string()));
}

/// A rule file of either format: whatever is wrong is reported, printable, and counted.
pub fn rule_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for name in ["a.toml", "a.ndjson"] {
        let source = Source::Text {
            name: name.to_owned(),
            text: text.clone().into_owned(),
        };
        let report = rules::load(&[source]);
        for problem in &report.problems {
            assert!(is_printable(&problem.render()), "{problem:?}");
        }
        assert!(
            report.broken > 0 || !report.has_errors(),
            "an error nobody counted"
        );
        for rule in &report.rules {
            for event in events() {
                rule.exceptions.covering(event, Timestamp::UNIX_EPOCH);
                check(&rule.predicate, event);
            }
        }
    }
}

/// Lines of an event file: whatever is an event goes through the shipped rules in both modes, and
/// every match is accounted for.
pub fn event(data: &[u8]) {
    let mut parser = Parser::default();
    let lines = data.split(|byte| *byte == b'\n');
    let events: Vec<Event> = lines
        .filter_map(|line| match parser.parse(line) {
            Ok(event) => event,
            Err(broken) => {
                assert!(is_printable(&broken.message), "{broken:?}");
                None
            }
        })
        .collect();
    for mode in [Mode::Schedule, Mode::Stream] {
        let mut replay = Replay::new(shipped().to_vec(), mode, "fuzz", Timestamp::UNIX_EPOCH);
        for event in &events {
            for rule in shipped() {
                check(&rule.predicate, &event.document);
            }
            replay.push(event, &mut Checked);
        }
        replay.finish(&mut Checked);
        for (rule, numbers) in replay.report().rules {
            assert!(numbers.balanced(), "{}: {numbers:?}", rule.name);
            assert_eq!(numbers.deferred_out, 0, "{}", rule.name);
        }
    }
}

/// Looks at every alert.
struct Checked;

impl Outbox for Checked {
    fn alert(&mut self, alert: Alert) {
        check_alert(&alert.value());
    }

    fn update(&mut self, alert: Alert) {
        check_alert(&alert.value());
    }

    fn summary(&mut self, document: Value) {
        let kind = document.pointer("/event/kind").and_then(Value::as_str);
        assert_eq!(kind, Some("metric"), "{document}");
    }
}

/// Records of the ring buffer, one after the other: each is decoded or refused, and sessions
/// come out of any sequence of them.
pub fn kernel_record(data: &[u8]) {
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (record, after) = rest.split_at(record_len(rest).min(rest.len()));
        rest = after;
        match decode(record) {
            Ok(record) => tracker.push(record, &mut out),
            Err(error) => assert!(is_printable(&error.to_string())),
        }
    }
    tracker.tick(BootTime::from_nanos(u64::MAX), &mut out);
}

/// Length of the record that `data` starts with, by its kind.
fn record_len(data: &[u8]) -> usize {
    let kind = data
        .first_chunk()
        .map_or(0, |kind| u32::from_ne_bytes(*kind));
    match kind {
        telnet_common::KIND_STATE => size_of::<telnet_common::StateRecord>(),
        telnet_common::KIND_FORK..=telnet_common::KIND_EXIT => {
            size_of::<telnet_common::ProcessRecord>()
        }
        telnet_common::KIND_PROTOCOL => size_of::<telnet_common::ProtocolRecord>(),
        _ => size_of::<telnet_common::CallRecord>(),
    }
}

/// Events of several shapes.
fn events() -> &'static [Value] {
    static EVENTS: OnceLock<Vec<Value>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        vec![
            json!({}),
            json!({
                "@timestamp": "2026-03-05T12:00:00.000Z", "message": "Connection opened",
                "event": {"category": ["network"], "type": ["connection", "start"]},
                "network": {"direction": "ingress"}, "destination.port": 23,
                "source": {"ip": ["203.0.113.7", "::1"], "port": "50000"},
                "process": [{"name": "telnetd", "pid": 1}, {"name": null}], "host": {"name": ""},
            }),
        ]
    })
}

/// The enabled shipped rules.
fn shipped() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| rules::load(&[Source::Shipped]).rules)
}

fn check(predicate: &Predicate, event: &Value) {
    let now = Timestamp::UNIX_EPOCH;
    let explanation = predicate.explain(event, now);
    let matches = predicate.matches(event, now);
    assert_eq!(explanation.matches(), matches, "explained as it matches");
    assert_eq!(
        explanation.first_false().is_none(),
        matches,
        "a reason for every refusal"
    );
}

fn check_error(error: &kql::Error) {
    assert!(error.line > 0 && error.column > 0, "{error:?}");
    assert!(is_printable(&error.render("query")), "{error:?}");
}

fn check_alert(alert: &Value) {
    let uuid = alert.pointer("/kibana/alert/uuid").and_then(Value::as_str);
    assert_eq!(uuid.map(str::len), Some(64), "{alert}");
    assert_eq!(
        serde_json::from_str::<Value>(&alert.to_string())
            .as_ref()
            .ok(),
        Some(alert),
        "written and read again"
    );
}

/// Whether a terminal shows `text` and does nothing else.
fn is_printable(text: &str) -> bool {
    !text.contains(|character: char| character.is_control() && character != '\n')
}
