//! Cost of rules: loading a query, holding it against an event, and the whole engine from event to
//! alert. The yardstick is parsing the same event from JSON, which any consumer of it pays at least
//! once; the table at the end has the ratios.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark says what it measured, and why it cannot start"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use divan::Bencher;
use jiff::Timestamp;
use serde_json::{Value, json};
use telnet_user::{
    alert::{Alert, Settings},
    kql::{self, Options, Predicate},
    rules::{self, Engine, Limits, Memory, Retention, Rule, Source},
};

fn main() {
    divan::main();
    if !std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        ratios();
    }
}

/// The default rule first.
const RULES: [&str; 5] = [
    "Accepted Default Telnet Port Connection",
    "Accepted Default Telnet Port Connection (Tightened)",
    "Outbound Telnet to a Public Address",
    "Telnet Service Listening on a Non-Loopback Address",
    "Telnet Session from a Public Address",
];

/// A query with a clause of every sort.
const MIXED: &str = "event.type:(connection and not (denied or end))
    and not source.ip:(10.0.0.0/8 or 172.16.0.0/12 or 192.168.0.0/16 or \"fe80::/10\")
    and not (event.action:netflow_flow and not network.packets > 1)
    and network.protocol:(telnet or not *) and process.executable:*/telnet*
    and @timestamp >= 2026-01-01";

/// A session as the agent reports it, on which the default rule alerts.
const EVENT: &str = r#"{"@timestamp":"2026-03-05T12:00:00.123Z","ecs":{"version":"9.5.0-dev"},
    "event":{"kind":"event","category":["network"],"type":["connection","start"],
        "action":"connection_accepted","outcome":"success","dataset":"network_traffic.telnet",
        "id":"b1-42","sequence":42,"start":"2026-03-05T12:00:00.123Z"},
    "data_stream":{"type":"logs","dataset":"network_traffic.telnet","namespace":"default"},
    "network":{"transport":"tcp","type":"ipv4","iana_number":"6","direction":"ingress"},
    "source":{"ip":"203.0.113.7","port":50000,"address":"203.0.113.7"},
    "destination":{"ip":"198.51.100.9","port":23,"address":"198.51.100.9"},
    "process":{"pid":812,"name":"telnetd","executable":"/usr/sbin/telnetd","args":["telnetd"]},
    "user":{"id":"0","name":"root"},"host":{"name":"web1","os":{"type":"linux"}},
    "related":{"ip":["203.0.113.7","198.51.100.9"],"user":["root"]},
    "agent":{"type":"telnet-monitor","version":"0.1.0"}}"#;

fn rule(name: &str) -> Rule {
    let rules = rules::load(&[Source::Shipped]).rules;
    let found = rules.into_iter().find(|rule| rule.name == name);
    found.expect("the rule is shipped")
}

fn load(query: &str) -> Predicate {
    let query = kql::parse(query).expect("the query parses");
    kql::compile(&query, &Options::default()).expect("the query compiles")
}

fn event() -> Value {
    serde_json::from_str(EVENT).expect("the event is JSON")
}

fn other_port() -> Value {
    let mut event = event();
    if let Some(port) = event.pointer_mut("/destination/port") {
        *port = json!(443);
    }
    event
}

/// The engine with `rule` alone, without a cap that matters.
fn engine(mut rule: Rule) -> Engine {
    rule.enabled = true;
    rule.max_signals = usize::MAX;
    let settings = Settings {
        agent: "bench".to_owned(),
        space: "default".to_owned(),
        loaded_at: Timestamp::UNIX_EPOCH,
    };
    let limits = Limits {
        alerts_max: usize::MAX,
        ..Limits::default()
    };
    let memory = Memory::volatile(Retention::default());
    Engine::with(vec![rule], Timestamp::UNIX_EPOCH, settings, memory, limits)
}

#[divan::bench(args = RULES)]
fn load_rule_query(bencher: Bencher<'_, '_>, name: &str) {
    let rule = rule(name);
    bencher.bench(|| load(black_box(&rule.query)));
}

#[divan::bench]
fn load_mixed_query() -> Predicate {
    load(black_box(MIXED))
}

#[divan::bench(args = RULES)]
fn evaluate_rule(bencher: Bencher<'_, '_>, name: &str) {
    let (rule, event) = (rule(name), event());
    bencher.bench(|| rule.matches(black_box(&event), Timestamp::UNIX_EPOCH));
}

#[divan::bench]
fn evaluate_mixed_query(bencher: Bencher<'_, '_>) {
    let (predicate, event) = (load(MIXED), event());
    assert!(predicate.matches(&event, Timestamp::UNIX_EPOCH));
    bencher.bench(|| predicate.matches(black_box(&event), Timestamp::UNIX_EPOCH));
}

/// The engine on an event that no rule wants, as most are.
#[divan::bench]
fn engine_no_match(bencher: Bencher<'_, '_>) {
    let (mut engine, event) = (engine(rule(RULES[0])), other_port());
    bencher.bench_local(|| engine.evaluate(black_box(&event), Timestamp::UNIX_EPOCH));
}

/// The engine on an event that becomes an alert document.
#[divan::bench]
fn engine_alert(bencher: Bencher<'_, '_>) {
    let mut engine = engine(rule(RULES[0]));
    let mut number = 0_u64;
    bencher
        .with_inputs(|| numbered(&mut number))
        .bench_local_refs(|event| alert(&mut engine, event));
}

#[divan::bench]
fn parse_event_from_json() -> Value {
    serde_json::from_str(black_box(EVENT)).expect("the event is JSON")
}

/// The event with an id of its own: the same one again would be a duplicate.
fn numbered(number: &mut u64) -> Value {
    *number += 1;
    let mut event = event();
    if let Some(id) = event.pointer_mut("/event/id") {
        *id = json!(number.to_string());
    }
    event
}

fn alert(engine: &mut Engine, event: &Value) -> Vec<Alert> {
    let now = "2026-03-05T12:00:01Z".parse().expect("a time");
    let alerts = engine.evaluate(black_box(event), now).alerts;
    assert_eq!(alerts.len(), 1, "every event is an alert");
    alerts
}

/// Rounds of each measurement; their median counts.
const ROUNDS: usize = 51;
/// Repetitions in a round.
const REPEAT: u32 = 400;

/// Median time of one call.
fn median(mut round: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| round()).collect();
    times.sort_unstable();
    let middle = times.get(ROUNDS / 2).copied().unwrap_or_default();
    middle / REPEAT
}

fn repeated<T>(mut call: impl FnMut() -> T) -> Duration {
    median(|| {
        let start = Instant::now();
        for _ in 0..REPEAT {
            black_box(call());
        }
        start.elapsed()
    })
}

/// Time of one event in each step, and how that compares with parsing the event.
fn ratios() {
    let default = rule(RULES[0]);
    let (event, other) = (event(), other_port());
    let parse = repeated(|| -> Value { serde_json::from_str(EVENT).expect("the event is JSON") });
    let mut idle = engine(default.clone());
    let mut busy = engine(default.clone());
    let mut number = 0;
    let rows = [
        ("serde_json parses the event", parse),
        (
            "default rule, match",
            repeated(|| default.matches(black_box(&event), Timestamp::UNIX_EPOCH)),
        ),
        (
            "default rule, another port",
            repeated(|| default.matches(black_box(&other), Timestamp::UNIX_EPOCH)),
        ),
        (
            "engine, event without alert",
            repeated(|| idle.evaluate(black_box(&other), Timestamp::UNIX_EPOCH)),
        ),
        (
            "engine, event to alert",
            median(|| {
                let events: Vec<Value> = (0..REPEAT).map(|_| numbered(&mut number)).collect();
                let start = Instant::now();
                for event in &events {
                    black_box(alert(&mut busy, event));
                }
                start.elapsed()
            }),
        ),
    ];
    println!("\nmedian of one event              time   to parsing");
    for (name, time) in rows {
        let ratio = time.as_secs_f64() / parse.as_secs_f64();
        println!("{name:<28} {:>6} ns   {ratio:>8.3}", time.as_nanos());
    }
}
