//! Cost of a rule's query: loading it, and holding it against an event. The yardstick is parsing
//! the same event from JSON, which any consumer of it pays at least once.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot start should say why"
)]

use divan::{Bencher, black_box};
use serde_json::Value;
use telnet_user::kql::{self, Options, Predicate};

fn main() {
    divan::main();
}

/// What a rule asks of a network event: lists, a negated list, one number.
const LISTS: &str = "event.category:(network or network_traffic) and network.transport:tcp
    and network.direction:(inbound or ingress or outbound or egress) and destination.port:23
    and not event.action:(flow_dropped or denied or deny or flow_terminated or timeout or Reject
        or network_flow)";

/// The same with address blocks, existence, ranges and wildcards.
const MIXED: &str = "event.type:(connection and not (denied or end))
    and not source.ip:(10.0.0.0/8 or 172.16.0.0/12 or 192.168.0.0/16 or \"fe80::/10\")
    and not (event.action:netflow_flow and not network.packets > 1)
    and network.protocol:(telnet or not *) and process.executable:*/telnet*
    and @timestamp >= 2026-01-01";

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

fn query(name: &str) -> &str {
    if name == "lists" { LISTS } else { MIXED }
}

fn load(query: &str) -> Predicate {
    let query = kql::parse(query).expect("the query parses");
    kql::compile(&query, &Options::default()).expect("the query compiles")
}

fn event() -> Value {
    serde_json::from_str(EVENT).expect("the event is JSON")
}

#[divan::bench(args = ["lists", "mixed"])]
fn load_query(bencher: Bencher<'_, '_>, name: &str) {
    let query = query(name);
    bencher.bench(|| load(black_box(query)));
}

#[divan::bench(args = ["lists", "mixed"])]
fn match_event(bencher: Bencher<'_, '_>, name: &str) {
    let predicate = load(query(name));
    let event = event();
    assert!(predicate.matches(&event, jiff::Timestamp::UNIX_EPOCH));
    bencher.bench(|| predicate.matches(black_box(&event), jiff::Timestamp::UNIX_EPOCH));
}

#[divan::bench]
fn parse_event_from_json() -> Value {
    serde_json::from_str(black_box(EVENT)).expect("the event is JSON")
}
