use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kql;

fn of(query: &str) -> Wanted {
    wanted(&kql::parse(query).expect("valid"))
}

#[test]
fn ports_follow_the_operators() {
    for (query, expected) in [
        ("destination.port:23", "port 23"),
        ("destination.port:\"23\"", "port 23"),
        ("destination.port:23.0", "port 23"),
        ("destination.port:23.5", "no port"),
        ("destination.port:70000", "no port"),
        ("destination.port:(23 or 2323)", "ports 23, 2323"),
        ("destination.port:(23 and not 24)", "port 23"),
        ("destination.port:(not 24)", "any port"),
        ("destination.port:*", "any port"),
        ("not destination.port:23", "any port"),
        ("destination.port:23 and source.port:(1 or 2)", "port 23"),
        ("destination.port:23 or source.port:1", "any port"),
        (
            "network.direction:ingress and (destination.port:23 or source.port:1)",
            "ports 1, 23",
        ),
        ("destination.port:23 or event.action:x", "any port"),
        (
            "destination.port >= 5800 and destination.port <= 5810",
            "ports 5800-5810",
        ),
        ("server.port < 2", "ports 0-1"),
        ("destination.port:23 and destination.port:24", "no port"),
        ("destination.port:(23 and 24)", "no port"),
        ("event.kind:event", "any port"),
        ("", "any port"),
        ("*.port:23", "any port"),
        ("svc:{ destination.port:23 }", "any port"),
    ] {
        assert_eq!(of(query).ports().to_string(), expected, "{query}");
    }
}

/// Of what the agent itself sums up no session tells.
#[test]
fn a_rule_on_floods_wants_no_session() {
    for (query, expected) in [
        ("event.action:connection_flood", "no session"),
        (
            "destination.port:23 and event.action:(connection_flood or denied)",
            "inbound to port 23; outbound to port 23",
        ),
        (
            "not event.action:connection_flood",
            "inbound, all; outbound, all",
        ),
    ] {
        assert_eq!(of(query).to_string(), expected, "{query}");
    }
}

/// The kernel cannot tell beforehand what a session will speak.
#[test]
fn a_rule_on_protocols_wants_every_session() {
    for query in [
        "network.protocol:telnet",
        "network.protocol:telnet and not destination.port:23",
        "event.action:protocol_identified and network.protocol:(telnet or ssh)",
    ] {
        let expected = "inbound, all; outbound, all";
        assert_eq!(of(query).to_string(), expected, "{query}");
    }
}

#[test]
fn sessions_follow_the_operators() {
    for (query, expected) in [
        ("", "inbound, all; outbound, all"),
        (
            "destination.port:23",
            "inbound to port 23; outbound to port 23",
        ),
        (
            "destination.port:23 and network.direction:ingress",
            "inbound to port 23",
        ),
        (
            "destination.port:23 and not network.direction:ingress",
            "inbound to port 23; outbound to port 23",
        ),
        ("network.direction:(egress or x)", "outbound, all"),
        ("network.direction:x", "no session"),
        (
            "destination.port:23 and source.ip:10.0.0.0/8 and network.direction:ingress",
            "inbound from 10.0.0.0/8 to port 23",
        ),
        (
            "network.direction:egress and destination.ip:(192.0.2.1 or \"2001:db8::/32\") and \
             destination.port:(23 or 24)",
            "outbound to 192.0.2.1/32, 2001:db8::/32, ports 23-24",
        ),
        (
            "network.direction:ingress and not source.ip:(0.0.0.0/1 or 128.0.0.0/2) and \
             not source.ip:\"::/1\"",
            "inbound from 8000::/1",
        ),
        (
            "network.direction:ingress and source.ip:(10.0.0.0/8 and not 10.128.0.0/9)",
            "inbound from 10.0.0.0/9",
        ),
        (
            "network.direction:ingress and not (source.ip:\"::/65\" or not source.ip:\"::/64\")",
            "inbound from ::8000:0:0:0/65",
        ),
        (
            "network.direction:ingress and destination.port:23 and not source.ip:(10.0.0.0/8 or \
             192.168.0.0/16)",
            "inbound from anywhere but 10.0.0.0/8, 192.168.0.0/16 to port 23",
        ),
        ("not server.ip:10.0.0.0/8", "inbound, all; outbound, all"),
        (
            "network.direction:ingress and source.ip:10.1.* and destination.port:23",
            "inbound to port 23",
        ),
        (
            "(destination.port:23 or destination.port:23 and source.ip:10.0.0.1) and \
             network.direction:ingress",
            "inbound to port 23",
        ),
    ] {
        assert_eq!(of(query).to_string(), expected, "{query}");
    }
}

/// Before the kernel has chosen a port of this host, and for sockets without a client.
#[test]
fn what_may_be_absent_rejects_no_session() {
    for (query, expected) in [
        (
            "network.direction:ingress and destination.port:23 and not source.ip:\"::/0\"",
            "inbound from anywhere but ::/0 to port 23",
        ),
        (
            "network.direction:egress and source.port >= 1024 and destination.port >= 1024",
            "outbound to ports 1024-65535",
        ),
        (
            "source.port > 1023",
            "inbound from ports 1024-65535; outbound, all",
        ),
    ] {
        assert_eq!(of(query).to_string(), expected, "{query}");
    }
}

#[test]
fn very_many_alternatives_are_drawn_together() {
    let each = (1..200).map(|n| format!("(destination.port:{n} and source.ip:10.0.0.{n})"));
    let query = each.collect::<Vec<_>>().join(" or ");
    let wanted = of(&query);
    assert!(wanted.ingress().len() < 64);
    assert_eq!(wanted.ports().to_string(), "ports 1-199");
    let squared = format!("({query}) and ({})", query.replace("10.0.", "10.1."));
    assert!(of(&squared).ingress().len() < 64);
}

/// A listening socket has no client, however little is left of the clients' addresses.
#[test]
fn a_listener_is_wanted_by_its_port_whatever_is_said_of_addresses() {
    for rest in [
        "not source.ip:\"::/0\"",
        "not source.ip:\"::/1\" and not source.ip:\"8000::/1\"",
        "server.ip:10.0.0.1 and not destination.ip:10.0.0.0/8",
    ] {
        let query = format!("event.action:listener_opened and server.port:23 and {rest}");
        assert!(listens(&of(&query), 23), "{query}");
    }
}

fn listens(wanted: &Wanted, port: u16) -> bool {
    wanted.ingress().iter().any(|flow| {
        let by_local = std::ptr::eq(flow.narrower(), &raw const flow.local);
        by_local && flow.local.ports.contains(port)
    })
}

/// An address and a port.
type Socket = (IpAddr, u16);

fn passes(flows: &[Flow], local: Socket, remote: Socket) -> bool {
    let has = |end: &End, (address, port): Socket| {
        let bits = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        // The kernel lets through an address that it did not choose yet.
        let passes = address.is_unspecified() || end.addresses.contains(bits);
        passes && end.ports.contains(port)
    };
    let mut flows = flows.iter();
    flows.any(|flow| has(&flow.local, local) && has(&flow.remote, remote))
}

/// An end as events have it.
fn fields((address, port): Socket) -> Value {
    if address.is_unspecified() {
        json!({"port": port})
    } else {
        json!({"ip": address.to_string(), "port": port})
    }
}

fn clause() -> impl Strategy<Value = String> {
    let side = || prop::sample::select(vec!["source", "destination", "server", "client"]);
    let op = prop::sample::select(vec![":", "<", "<=", ">", ">="]);
    let port = prop::sample::select(vec!["0", "1", "2", "65535"]);
    let network = prop::sample::select(vec![
        "10.0.0.1",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "\"::/0\"",
        "\"::/1\"",
        "\"8000::/1\"",
    ]);
    let leaf = prop_oneof![
        (side(), op, port).prop_map(|(side, op, port)| format!("{side}.port {op} {port}")),
        (side(), network).prop_map(|(side, network)| format!("{side}.ip:{network}")),
        prop::sample::select(vec!["ingress", "egress"])
            .prop_map(|direction| format!("network.direction:{direction}")),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several().prop_map(|clauses| format!("({})", clauses.join(" and "))),
            several().prop_map(|clauses| format!("({})", clauses.join(" or "))),
            inner.clone().prop_map(|clause| format!("(not {clause})")),
        ]
    })
}

fn socket() -> impl Strategy<Value = Socket> {
    let addresses = [
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "10.0.0.2",
        "2001:db8::1",
        "f::1",
    ];
    let address = prop::sample::select(addresses.to_vec());
    let port = prop::sample::select(vec![1u16, 2, 3, 65_535]);
    (address, port).prop_map(|(address, port)| (address.parse().expect("an address"), port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Also at connect(2), where this host's port is still 0.
    #[test]
    fn what_a_query_matches_is_wanted(query in clause(), local in socket(), remote in socket()) {
        let parsed = kql::parse(&query).expect("valid");
        let wanted = wanted(&parsed);
        let predicate = kql::compile(&parsed, &kql::Options { lenient: true }).expect("well typed");
        let matches = |event: &Value| predicate.matches(event, jiff::Timestamp::UNIX_EPOCH);
        let session = |direction: Direction, source, destination| json!({
            "network": {"direction": direction.name()},
            "source": fields(source),
            "destination": fields(destination),
        });
        if matches(&session(Direction::Ingress, remote, local)) {
            prop_assert!(passes(wanted.ingress(), local, remote), "{query}: {wanted}");
        }
        if matches(&session(Direction::Egress, local, remote)) {
            prop_assert!(passes(wanted.egress(), local, remote), "{query}: {wanted}");
            let early = (local.0, 0);
            prop_assert!(passes(wanted.egress(), early, remote), "{query}: {wanted}");
        }
        if matches(&json!({"server": fields(local)})) {
            prop_assert!(listens(&wanted, local.1), "{query}: {wanted}");
        }
    }
}
