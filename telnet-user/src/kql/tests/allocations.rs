//! What matching must not do: allocate.

use allocation_counter::measure;
use serde_json::json;

use crate::kql::{Options, compile, parse};

/// Everything that the network rules use: lists, negation, exists, numbers, addresses, dates.
const QUERY: &str = "event.category:(network or network_traffic)
    and event.type:(connection and not (denied or end))
    and not event.action:(Reject or denied or deny or flow_dropped or network_flow or timeout)
    and not (event.action:netflow_flow and not network.packets > 1)
    and destination.port:23 and not source.ip:(10.0.0.0/8 or \"fe80::/10\")
    and network.protocol:(telnet or not *) and event.code:4* and event.code:4625
    and @timestamp >= now-1d/d and tls.established:false and unknown.field:7 and process.pid:*";

#[test]
fn matching_does_not_allocate() {
    let predicate = compile(&parse(QUERY).unwrap(), &Options::default()).unwrap();
    let event = json!({
        "@timestamp": "2026-03-05T12:00:00.123Z",
        "event": {"category": ["network"], "type": ["connection", "start"], "code": 4625},
        "event.action": "connection_accepted",
        "network": {"packets": "2", "protocol": [null, "telnet"]},
        "source": {"ip": "203.0.113.9", "port": 50000},
        "destination": {"port": 23},
        "tls": {"established": false},
        "unknown": {"field": 7},
        "process": {"pid": 1},
    });
    let now = "2026-03-05T12:00:01Z".parse().unwrap();
    let mut matched = false;
    let counted = measure(|| matched = predicate.matches(&event, now));
    assert!(matched);
    assert_eq!(counted.count_total, 0);
    assert!(
        measure(|| drop(event.to_string())).count_total > 0,
        "the counter counts"
    );
}
