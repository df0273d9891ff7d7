use serde_json::json;

use super::*;
use crate::{
    probe::record::{Protocol, SocketError},
    response::{self, Decision, Refusal, Response},
    session::{Ending, Failure, Traffic},
};

/// `event.action` words that version 102 of the telnet rule excludes; later versions too.
const EXCLUDED: [&str; 7] = [
    "flow_dropped",
    "denied",
    "deny",
    "flow_terminated",
    "timeout",
    "Reject",
    "network_flow",
];

fn failed(errno: u16) -> Fact {
    Fact::Failed(Failure {
        error: SocketError::Errno(errno),
    })
}

/// Close or disconnect before the handshake ended.
fn gave_up() -> Fact {
    Fact::Failed(Failure {
        error: SocketError::Clear,
    })
}

/// Action, types, outcome, reason and error code in one line.
fn words(fact: &Fact) -> String {
    let observation = observed(outbound(), fact.clone(), at(100_001));
    let document = document(&observation, &Facts::default());
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let types = get(&document, "event.type").as_array().expect("a list");
    let types: Vec<_> = types.iter().map(text).collect();
    [
        text(get(&document, "event.action")),
        types.join("+"),
        text(get(&document, "event.outcome")),
        text(get(&document, "event.reason")),
        text(get(&document, "error.code")),
    ]
    .join(" ")
}

#[test]
fn openings_and_closes_have_their_words() {
    let fin = Ending::Fin { local_first: None };
    let cases = [
        (Fact::Attempted, "connection_attempted", "start unknown -"),
        (Fact::Accepted, "connection_accepted", "start success -"),
        (
            Fact::Established,
            "connection_established",
            "start success -",
        ),
        (Fact::Closed(fin, None), "network_flow", "end success fin"),
        (
            Fact::Closed(Ending::Reset, None),
            "network_flow",
            "end success reset",
        ),
        (
            Fact::Closed(Ending::Unknown, None),
            "network_flow",
            "end success -",
        ),
        (
            Fact::Closed(Ending::Timeout, None),
            "network_flow",
            "end success timeout",
        ),
    ];
    for (fact, action, rest) in cases {
        assert_eq!(
            words(&fact),
            format!("{action} connection+{rest} -"),
            "{fact:?}"
        );
    }
}

#[test]
fn a_proof_is_no_opening_and_later_documents_have_it_too() {
    assert_eq!(
        words(&Fact::Identified),
        "protocol_identified info+protocol success - -"
    );
    let session = Session {
        protocol: Some(Protocol::Telnet),
        ..inbound()
    };
    let of = |fact| {
        document(
            &observed(session.clone(), fact, at(100_001)),
            &Facts::default(),
        )
    };
    let identified = of(Fact::Identified);
    assert_eq!(get(&identified, "network.protocol"), "telnet");
    assert_eq!(get(&identified, "network.direction"), &Value::Null);
    assert_eq!(get(&identified, "destination.port"), 23);
    let closed = of(Fact::Closed(Ending::Reset, None));
    assert_eq!(get(&closed, "network.protocol"), "telnet");
    assert_eq!(get(&closed, "network.direction"), "ingress");
    let unproven = document(
        &observed(inbound(), Fact::Closed(Ending::Reset, None), at(100_001)),
        &Facts::default(),
    );
    assert_eq!(get(&unproven, "network.protocol"), &Value::Null);
}

#[test]
fn decisions_have_their_words() {
    let failed = || response::Outcome::Failed("not permitted".to_owned());
    for (decision, verdict, types, outcome, error) in [
        (
            Decision::Close(response::Outcome::Closed),
            "close",
            "denied",
            "success",
            json!(null),
        ),
        (
            Decision::Close(response::Outcome::Gone),
            "close",
            "info",
            "failure",
            json!(null),
        ),
        (
            Decision::Close(failed()),
            "close",
            "info",
            "failure",
            json!("not permitted"),
        ),
        (Decision::DryRun, "dry_run", "info", "unknown", json!(null)),
        (
            Decision::Refuse(Refusal::TooMany),
            "refuse",
            "info",
            "unknown",
            json!(null),
        ),
    ] {
        let response = Response {
            rule_id: "r".to_owned(),
            rule_name: "R".to_owned(),
            alert_id: "a".to_owned(),
            decision,
        };
        let (session, facts) = (inbound(), Facts::default());
        let now = time("2026-03-05T12:00:00.012Z");
        let document = builder()
            .response((&session, at(100_001)), &response, &facts, &clocks(), now)
            .to_value();
        let case = &response.decision;
        for (path, expected) in [
            ("telnet.response.verdict", json!(verdict)),
            ("event.category", json!(["intrusion_detection"])),
            ("event.type", json!([types])),
            ("event.outcome", json!(outcome)),
            ("error.message", error),
        ] {
            assert_eq!(*get(&document, path), expected, "{case:?}: {path}");
        }
        assert!(get(&document, "event.reason").is_string(), "{case:?}");
    }
}

#[test]
fn failures_have_their_words() {
    let cases = [
        (111, "denied", "denied+end", "refused ECONNREFUSED"),
        (104, "denied", "denied+end", "reset ECONNRESET"),
        (110, "timeout", "end", "timeout ETIMEDOUT"),
        (
            113,
            "flow_dropped",
            "denied+end",
            "unreachable EHOSTUNREACH",
        ),
        (101, "flow_dropped", "denied+end", "unreachable ENETUNREACH"),
        (112, "flow_dropped", "denied+end", "unreachable EHOSTDOWN"),
        (100, "flow_dropped", "denied+end", "unreachable ENETDOWN"),
        (92, "flow_dropped", "denied+end", "unreachable ENOPROTOOPT"),
        (1, "deny", "denied+end", "blocked EPERM"),
        (13, "deny", "denied+end", "blocked EACCES"),
        (103, "flow_terminated", "end", "aborted ECONNABORTED"),
        (12, "flow_terminated", "end", "- ENOMEM"),
        (4_095, "flow_terminated", "end", "- 4095"),
    ];
    for (errno, action, types, rest) in cases {
        let expected = format!("{action} connection+{types} failure {rest}");
        assert_eq!(words(&failed(errno)), expected, "{errno}");
    }
    assert_eq!(
        words(&gave_up()),
        "flow_terminated connection+end failure aborted -"
    );
}

#[test]
fn only_open_connections_alert() {
    let mut failures: Vec<_> = (1..200).map(failed).collect();
    failures.push(gave_up());
    for ending in [
        Ending::Fin { local_first: None },
        Ending::Reset,
        Ending::Timeout,
        Ending::Unknown,
    ] {
        failures.push(Fact::Closed(ending, None));
    }
    let excluded = |fact: &Fact| {
        let words = words(fact);
        let mut words = words.split(' ');
        // Version 102 looks at the action alone, later ones at the types as well.
        let by_action = words
            .next()
            .is_some_and(|action| EXCLUDED.contains(&action));
        let by_type = words.next().is_some_and(|types| types.ends_with("end"));
        (by_action, by_type)
    };
    for fact in failures {
        assert_eq!(excluded(&fact), (true, true), "{fact:?}");
    }
    for fact in [Fact::Attempted, Fact::Accepted, Fact::Established] {
        assert_eq!(excluded(&fact), (false, false), "{fact:?}");
    }
}

#[test]
fn the_source_is_the_initiator_on_either_side() {
    let traffic = Traffic {
        bytes_received: 10,
        bytes_sent: 2_000,
        segments_received: 3,
        segments_sent: 4,
    };
    let closed = || Fact::Closed(Ending::Reset, Some(traffic));
    let inbound = document(
        &observed(inbound(), closed(), at(103_000)),
        &Facts::default(),
    );
    let outbound = document(
        &observed(outbound(), closed(), at(103_000)),
        &Facts::default(),
    );
    let cases = [
        ("network.direction", json!("ingress"), json!("egress")),
        ("network.type", json!("ipv4"), json!("ipv6")),
        ("source.ip", json!("198.51.100.9"), json!("2001:db8::23")),
        ("source.port", json!(40_123), json!(51_000)),
        ("source.bytes", json!(10), json!(2_000)),
        ("source.packets", json!(3), json!(4)),
        (
            "destination.ip",
            json!("192.0.2.23"),
            json!("2001:db8:1::9"),
        ),
        ("destination.port", json!(23), json!(23)),
        ("destination.bytes", json!(2_000), json!(10)),
        ("destination.packets", json!(4), json!(3)),
        ("network.bytes", json!(2_010), json!(2_010)),
        ("network.packets", json!(7), json!(7)),
        (
            "event.duration",
            json!(3_000_000_000_u64),
            json!(3_020_000_000_u64),
        ),
    ];
    for (path, on_inbound, on_outbound) in cases {
        assert_eq!(get(&inbound, path), &on_inbound, "inbound {path}");
        assert_eq!(get(&outbound, path), &on_outbound, "outbound {path}");
    }
}

#[test]
fn times_are_those_of_the_kernel() {
    let session = outbound();
    let cases = [
        (Fact::Attempted, Value::Null, Value::Null),
        (Fact::Established, Value::Null, json!(20_000_000)),
        (
            failed(110),
            json!("2026-03-05T12:00:00.000000000Z"),
            json!(20_000_000),
        ),
    ];
    for (fact, end, duration) in cases {
        let document = document(
            &observed(session.clone(), fact.clone(), at(100_000)),
            &Facts::default(),
        );
        assert_eq!(
            get(&document, "@timestamp"),
            "2026-03-05T12:00:00.000000000Z"
        );
        assert_eq!(
            get(&document, "event.created"),
            "2026-03-05T12:00:00.012000000Z"
        );
        assert_eq!(
            get(&document, "event.start"),
            "2026-03-05T11:59:59.980000000Z"
        );
        assert_eq!(get(&document, "event.end"), &end, "{fact:?}");
        assert_eq!(get(&document, "event.duration"), &duration, "{fact:?}");
        assert_eq!(get(&document, "event.ingested"), &Value::Null);
    }
}

#[test]
fn a_session_open_before_the_agent_has_no_start() {
    let session = Session {
        opened: None,
        preexisting: true,
        reported: false,
        ..inbound()
    };
    let accepted = document(
        &observed(session.clone(), Fact::Accepted, at(100_000)),
        &Facts::default(),
    );
    assert_eq!(get(&accepted, "event.action"), "connection_accepted");
    assert_eq!(get(&accepted, "event.start"), &Value::Null);
    assert_eq!(get(&accepted, "telnet.session.preexisting"), true);
    let ending = Ending::Fin {
        local_first: Some(false),
    };
    let closed = document(
        &observed(session, Fact::Closed(ending, None), at(101_000)),
        &Facts::default(),
    );
    assert_eq!(get(&closed, "event.end"), "2026-03-05T12:00:01.000000000Z");
    assert_eq!(get(&closed, "event.duration"), &Value::Null);
    assert_eq!(get(&closed, "telnet.session.closed_by"), "remote");
    assert_eq!(get(&closed, "network.bytes"), &Value::Null);
    assert_eq!(
        get(&closed, "telnet.session.id"),
        get(&accepted, "telnet.session.id")
    );
}

#[test]
fn an_end_that_is_not_chosen_yet_is_unknown() {
    let session = Session {
        local: end("0.0.0.0:0"),
        remote: end("[::ffff:198.51.100.9]:23"),
        ..outbound()
    };
    let document = document(
        &observed(session, Fact::Attempted, at(100_000)),
        &Facts::default(),
    );
    assert_eq!(document.get("source"), None);
    assert_eq!(get(&document, "destination.address"), "198.51.100.9");
    assert_eq!(get(&document, "network.type"), "ipv4");
    assert_eq!(get(&document, "network.community_id"), &Value::Null);
    assert_eq!(get(&document, "related.ip"), &json!(["198.51.100.9"]));
}

#[test]
fn the_closest_owner_is_the_process() {
    let document =
        |facts: &Facts| document(&observed(inbound(), Fact::Accepted, at(100_000)), facts);
    let mut facts = server_facts();
    let handler = document(&facts);
    assert_eq!(get(&handler, "process.name"), "telnetd");
    assert_eq!(get(&handler, "telnet.attribution"), "held");
    assert_eq!(get(&handler, "telnet.acceptor.attribution"), "fentry");
    assert_eq!(get(&handler, "related.user"), &json!(["telnetd", "root"]));
    facts.owners.handler = None;
    let acceptor = document(&facts);
    assert_eq!(get(&acceptor, "process.name"), "inetd");
    assert_eq!(get(&acceptor, "telnet.attribution"), "fentry");
    facts.owners = OwnersFacts::default();
    let nobody = document(&facts);
    assert_eq!(nobody.get("process"), None);
    assert_eq!(nobody.get("user"), None);
    assert_eq!(get(&nobody, "telnet.attribution"), "none");
}

#[test]
fn long_texts_are_cut_between_characters() {
    let mut facts = client_facts();
    let process = Arc::make_mut(&mut facts.owners.client.as_mut().expect("a client").process);
    process.args = vec!["é".repeat(5_000), String::new(), "x".repeat(5_000)];
    process.args_truncated = false;
    process.working_directory = Some("ü".repeat(1_025));
    process.executable = Some("ü".repeat(1_024));
    let document = document(
        &observed(outbound(), Fact::Established, at(100_000)),
        &facts,
    );
    let length = |value: &Value| value.as_str().map(|text| text.chars().count());
    assert_eq!(
        length(get(&document, "process.working_directory")),
        Some(1_024)
    );
    assert_eq!(length(get(&document, "process.executable")), Some(1_024));
    assert_eq!(length(&get(&document, "process.args")[0]), Some(1_024));
    assert_eq!(length(&get(&document, "process.args")[1]), Some(1_024));
    assert_eq!(get(&document, "process.args_count"), 3);
    assert_eq!(length(get(&document, "process.command_line")), Some(8_191));
}

#[test]
fn a_changed_host_is_seen_at_once() {
    let builder = builder();
    let observation = observed(inbound(), Fact::Accepted, at(100_000));
    let mut facts = Facts::default();
    for name in ["one", "two", "two"] {
        facts.host = Arc::new(Host {
            hostname: Some(name.to_owned()),
            ..Host::default()
        });
        let now = time("2026-03-05T12:00:00Z");
        let document = builder.event(&observation, &facts, &clocks(), now);
        let document = document.to_value();
        assert_eq!(get(&document, "host.name"), name);
        assert_eq!(get(&document, "related.hosts"), &json!([name]));
    }
}

#[test]
fn the_namespace_is_the_operators() {
    let builder = builder().with_namespace("dmz".to_owned());
    let observation = observed(inbound(), Fact::Accepted, at(100_000));
    let now = time("2026-03-05T12:00:00Z");
    let document = builder
        .event(&observation, &Facts::default(), &clocks(), now)
        .to_value();
    let expected = json!({"type": "logs", "dataset": DATASET, "namespace": "dmz"});
    assert_eq!(get(&document, "data_stream"), &expected);
}
