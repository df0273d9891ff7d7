//! Explanations name the clause at fault.

use serde_json::{Value, json};

use crate::kql::{ClauseKind, Options, Predicate, compile, parse};

const QUERY: &str = "event.category:(network or network_traffic)
    and (event.type:connection or event.dataset:network_traffic.flow)
    and event.type:(connection and not (denied or end))
    and not event.action:(denied or timeout or flow_dropped)
    and not (event.action:netflow_flow and not network.packets > 1)
    and (destination.port:23 and source.ip:10.0.0.0/8)
    and network.protocol:(telnet or not *)
    and @timestamp >= now-9m
    and svc:{ name:telnet and port:23 }";

fn predicate(query: &str) -> Predicate {
    compile(&parse(query).unwrap(), &Options::default()).unwrap()
}

fn matching_event() -> Value {
    json!({
        "@timestamp": "2026-03-05T12:00:00Z",
        "event": {"category": ["network"], "type": ["connection", "start"], "action": "accepted"},
        "destination": {"port": 23},
        "source": {"ip": "10.1.2.3"},
        "svc": [{"name": "telnet", "port": 23}],
    })
}

#[test]
fn each_mutation_blames_one_clause() {
    let now = "2026-03-05T12:05:00Z".parse().unwrap();
    let predicate = predicate(QUERY);
    let start = matching_event();
    assert_eq!(predicate.explain(&start, now).first_false(), None);

    let cases = [
        (
            "/event/category",
            json!("process"),
            "event.category:(network or network_traffic)",
        ),
        (
            "/event/category",
            Value::Null,
            "event.category:(network or network_traffic)",
        ),
        (
            "/event/type",
            json!("start"),
            "event.type:connection or event.dataset:network_traffic.flow",
        ),
        (
            "/event/type",
            json!(["connection", "end"]),
            "event.type:(connection and not (denied or end))",
        ),
        (
            "/event/action",
            json!("timeout"),
            "not event.action:(denied or timeout or flow_dropped)",
        ),
        (
            "/event/action",
            json!("netflow_flow"),
            "not (event.action:netflow_flow and not network.packets > 1)",
        ),
        ("/destination/port", json!(22), "destination.port:23"),
        ("/destination/port", json!([]), "destination.port:23"),
        ("/source/ip", json!("192.0.2.1"), "source.ip:10.0.0.0/8"),
        ("/source/ip", json!("nonsense"), "source.ip:10.0.0.0/8"),
        (
            "/@timestamp",
            json!("2026-03-05T11:00:00Z"),
            "@timestamp >= now-9m",
        ),
        ("/svc/0/port", json!(24), "svc:{ name:telnet and port:23 }"),
    ];
    for (pointer, value, blamed) in cases {
        let mut event = start.clone();
        *event.pointer_mut(pointer).unwrap() = value;
        let explanation = predicate.explain(&event, now);
        assert!(!explanation.matches(), "{event}");
        assert_eq!(explanation.first_false().unwrap().text, blamed, "{event}");
        assert!(!predicate.matches(&event, now), "{event}");
    }
    let mut event = start;
    event["network"] = json!({ "protocol": "ssh" });
    let explanation = predicate.explain(&event, now);
    assert_eq!(
        explanation.first_false().unwrap().text,
        "network.protocol:(telnet or not *)"
    );
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
