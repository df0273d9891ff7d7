//! Explanations name the clause at fault.

use serde_json::{Value, json};

use crate::kql::{Clause, ClauseKind, Options, Predicate, compile, parse};

const QUERY: &str = "event.category:(network or network_traffic)
    and (event.type:connection or event.dataset:network_traffic.flow)
    and event.type:(connection and not (denied or end))
    and not event.action:(denied or timeout or flow_dropped)
    and not (event.action:netflow_flow and not network.packets > 1)
    and (destination.port:23 and source.ip:10.0.0.0/8)
    and network.protocol:(telnet or not *)
    and @timestamp >= now-9m
    and svc:{ name:telnet and port:23 }
    and host.name:* and not (user.name:guest or process.name:(nc or socat))
    and source.port >= 1024 and tag:(a and (b or c))";

fn predicate(query: &str) -> Predicate {
    compile(&parse(query).unwrap(), &Options::default()).unwrap()
}

fn matching_event() -> Value {
    json!({
        "@timestamp": "2026-03-05T12:00:00Z",
        "event": {"category": ["network"], "type": ["connection", "start"], "action": "accepted"},
        "destination": {"port": 23},
        "source": {"ip": "10.1.2.3", "port": 50_000},
        "network": {},
        "host": {"name": "web1"},
        "user": {"name": "root"},
        "process": {"name": "telnet"},
        "tag": ["a", "b"],
        "svc": [{"name": "telnet", "port": 23}],
    })
}

/// What is changed in the matching event, to what, and the clause that is then at fault.
const MUTATIONS: &[(&str, &str, &str)] = &[
    (
        "/event/category",
        "\"process\"",
        "event.category:(network or network_traffic)",
    ),
    (
        "/event/category",
        "null",
        "event.category:(network or network_traffic)",
    ),
    (
        "/event/category",
        "[]",
        "event.category:(network or network_traffic)",
    ),
    (
        "/event/category",
        "\"Network\"",
        "event.category:(network or network_traffic)",
    ),
    (
        "/event/type",
        "\"start\"",
        "event.type:connection or event.dataset:network_traffic.flow",
    ),
    (
        "/event/type",
        "[\"connection\",\"end\"]",
        "not event.type:(denied or end)",
    ),
    (
        "/event/action",
        "\"timeout\"",
        "not event.action:(denied or timeout or flow_dropped)",
    ),
    (
        "/event/action",
        "[\"x\",\"denied\"]",
        "not event.action:(denied or timeout or flow_dropped)",
    ),
    (
        "/event/action",
        "\"netflow_flow\"",
        "not (event.action:netflow_flow and not network.packets > 1)",
    ),
    ("/destination/port", "22", "destination.port:23"),
    ("/destination/port", "23.5", "destination.port:23"),
    ("/destination/port", "[]", "destination.port:23"),
    ("/destination", "{}", "destination.port:23"),
    ("/source/ip", "\"192.0.2.1\"", "source.ip:10.0.0.0/8"),
    ("/source/ip", "\"nonsense\"", "source.ip:10.0.0.0/8"),
    (
        "/network",
        "{\"protocol\":\"ssh\"}",
        "network.protocol:(telnet or not *)",
    ),
    (
        "/@timestamp",
        "\"2026-03-05T11:00:00Z\"",
        "@timestamp >= now-9m",
    ),
    ("/svc/0/port", "24", "port:23"),
    ("/svc/0/name", "null", "name:telnet"),
    (
        "/svc",
        "[{\"name\":\"telnet\",\"port\":22},{\"name\":\"ssh\",\"port\":23}]",
        "svc:{ name:telnet and port:23 }",
    ),
    ("/svc", "\"telnet\"", "svc:{ name:telnet and port:23 }"),
    ("/host", "null", "host.name:*"),
    ("/user/name", "\"guest\"", "not user.name:guest"),
    (
        "/process/name",
        "\"socat\"",
        "not process.name:(nc or socat)",
    ),
    ("/source/port", "22", "source.port >= 1024"),
    ("/tag", "[\"b\",\"c\"]", "tag:a"),
    ("/tag", "[\"a\",\"d\"]", "tag:(b or c)"),
];

#[test]
fn each_mutation_blames_one_clause() {
    let now = "2026-03-05T12:05:00Z".parse().unwrap();
    let predicate = predicate(QUERY);
    let start = matching_event();
    assert_eq!(predicate.explain(&start, now).first_false(), None);
    for (pointer, value, blamed) in MUTATIONS {
        let mut event = start.clone();
        *event.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
        let explanation = predicate.explain(&event, now);
        assert!(!predicate.matches(&event, now), "{event}");
        assert_eq!(
            explanation.first_false().map(|c| c.text.as_str()),
            Some(*blamed),
            "{event}"
        );
    }
}

/// `explain` says of every clause what `matches` says of it alone.
#[test]
fn every_clause_comes_out_as_it_does_alone() {
    fn check(clause: &Clause, event: &Value) {
        let alone = predicate(&clause.text).matches(event, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(clause.holds, alone, "{} on {event}", clause.text);
        for child in &clause.children {
            check(child, event);
        }
    }
    let query =
        "not (a:(x and not (y or z)) or b > 1 or not c:(not 1)) and (d:* or not (e:1 and f:2))";
    let events = [
        json!({}),
        json!({"a": "x", "b": 1, "c": 1}),
        json!({"a": ["x", "y"], "b": [0, 2], "d": 1}),
        json!({"a": "q", "c": 2, "e": 1, "f": 2}),
    ];
    for event in events {
        let explanation = predicate(query).explain(&event, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(explanation.first_false().is_none(), explanation.matches());
        check(&explanation.root, &event);
    }
}

#[test]
fn clauses_show_the_values_they_read() {
    let predicate = predicate("not a:(x or y) and (b*:1 or c:{ d:2 })");
    let event = json!({"a": {"deep": 0}, "a.b": [1], "b1": [1, [2]], "c": {"d": 3}});
    let explanation = predicate.explain(&event, jiff::Timestamp::UNIX_EPOCH);
    let [not, or] = explanation.root.children.as_slice() else {
        panic!()
    };
    let shown = |values: &[crate::kql::FieldValue]| {
        values
            .iter()
            .map(|v| format!("{}={}", v.field, v.value))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(explanation.root.kind, ClauseKind::And);
    assert_eq!(
        (not.kind, not.holds, not.children[0].holds),
        (ClauseKind::Not, true, false)
    );
    assert_eq!(shown(&not.children[0].values), "a.deep=0 a.b=1");
    assert_eq!((or.kind, or.holds), (ClauseKind::Or, true));
    assert_eq!(shown(&or.children[0].values), "b1=1 b1=2");
    assert_eq!(
        (or.children[1].kind, or.children[1].holds),
        (ClauseKind::Nested, false)
    );
    assert_eq!(shown(&or.children[1].values), "c={\"d\":3}");
}
