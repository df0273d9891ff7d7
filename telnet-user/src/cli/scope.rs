//! From what rules want to what the kernel reports.

use std::net::Ipv4Addr;

use crate::{
    agent::Scope,
    kql::pushdown::{self, Flow, Ports, Wanted},
    probe::filter::{Direction, End, Filter, Prefix},
};

/// What the agent monitors for what is `wanted`, and for rules that ask for the protocol or not.
pub(super) fn of(wanted: &Wanted, protocol: bool) -> Scope {
    let ports = wanted.ports();
    let canary = canary_port(&ports);
    Scope {
        filter: filter(wanted, canary),
        ports: ports.to_string(),
        canary,
        protocol,
    }
}

/// The kernel filter that lets through what is `wanted`, and the canary's sessions on its port.
fn filter(wanted: &Wanted, canary: u16) -> Filter {
    let mut filter = Filter::none();
    for flow in wanted.ingress() {
        add(&mut filter, Direction::Ingress, flow);
    }
    for flow in wanted.egress() {
        add(&mut filter, Direction::Egress, flow);
    }
    admit_canary(&mut filter, canary);
    filter
}

/// By the end with fewer ports, and the end with fewer networks.
fn add(filter: &mut Filter, direction: Direction, flow: &Flow) {
    let Flow { local, remote } = flow;
    let which = |end: &pushdown::End| {
        if std::ptr::eq(end, local) {
            End::Local
        } else {
            End::Remote
        }
    };
    let narrower = flow.narrower();
    let ports = narrower.ports.ranges();
    let ends = [local, remote].into_iter();
    let limited = ends.filter(|end| !end.addresses.is_all());
    let networks = limited.map(|end| (which(end), end.addresses.networks()));
    match networks.min_by_key(|(_, networks)| networks.len()) {
        None => filter.want(direction, which(narrower), ports),
        Some((end, networks)) => {
            filter.want_from(direction, (which(narrower), ports), (end, &networks));
        }
    }
}

/// Both ends of what the canary opens on loopback.
fn admit_canary(filter: &mut Filter, port: u16) {
    let loopback: Prefix = (Ipv4Addr::LOCALHOST.to_ipv6_mapped().to_bits(), 128);
    let here = |port| (Ipv4Addr::LOCALHOST, port).into();
    let ports = [(port, port)];
    for (direction, end) in [
        (Direction::Ingress, End::Local),
        (Direction::Egress, End::Remote),
    ] {
        let (server, client) = (here(port), here(0));
        let passes = match direction {
            Direction::Ingress => filter.passes(direction, server, client),
            Direction::Egress => filter.passes(direction, client, server),
        };
        if !passes {
            filter.want_from(direction, (end, &ports), (end, &[loopback]));
        }
    }
}

/// The port of canary sessions: telnet's own where rules are about any.
fn canary_port(ports: &Ports) -> u16 {
    const TELNET: u16 = 23;
    if ports.contains(TELNET) {
        TELNET
    } else {
        ports.first().filter(|port| *port != 0).unwrap_or(TELNET)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::kql;

    const ADDRESSES: [&str; 9] = [
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.1.1",
        "192.0.2.1",
        "::ffff:10.0.0.1",
        "2001:db8::1",
        "2001:db8:1::1",
    ];
    const NETWORKS: [&str; 10] = [
        "10.0.0.1",
        "10.0.0.0/31",
        "10.0.0.0/24",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "\"2001:db8::/32\"",
        "\"2001:db8:1::1\"",
        "\"::/1\"",
        "\"8000::/1\"",
        "\"::/0\"",
    ];

    fn values(list: &'static [&'static str]) -> impl Strategy<Value = String> {
        let value = || prop::sample::select(list);
        prop_oneof![
            value().prop_map(str::to_owned),
            (value(), value()).prop_map(|(one, two)| format!("({one} or {two})")),
            (value(), value()).prop_map(|(one, two)| format!("({one} and not {two})")),
            value().prop_map(|one| format!("(not {one})")),
        ]
    }

    fn clause() -> impl Strategy<Value = String> {
        let side = || prop::sample::select(vec!["source", "destination", "server", "client"]);
        let op = prop::sample::select(vec![":", "<", "<=", ">", ">="]);
        let port = || prop::sample::select(vec!["0", "1", "2", "3", "2.0", "1.5", "65535"]);
        let leaf = prop_oneof![
            (side(), op, port()).prop_map(|(side, op, port)| format!("{side}.port {op} {port}")),
            (side(), values(&["1", "2", "3"]))
                .prop_map(|(side, values)| format!("{side}.port:{values}")),
            (side(), values(&NETWORKS)).prop_map(|(side, values)| format!("{side}.ip:{values}")),
            values(&["ingress", "egress", "in*"])
                .prop_map(|values| format!("network.direction:{values}")),
            Just("source.ip:*".to_owned()),
            Just("event.kind:event".to_owned()),
            Just("event.kind:x".to_owned()),
        ];
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|clauses| format!("({})", clauses.join(" and "))),
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|clauses| format!("({})", clauses.join(" or "))),
                inner.prop_map(|clause| format!("(not {clause})")),
            ]
        })
    }

    fn end() -> impl Strategy<Value = SocketAddr> {
        let ports = prop::sample::select(vec![1u16, 2, 3, 4, 65_535]);
        (prop::sample::select(&ADDRESSES[..]), ports)
            .prop_map(|(ip, port)| SocketAddr::new(ip.parse().expect("an address"), port))
    }

    /// An end as events have it.
    fn fields(end: SocketAddr) -> Value {
        let ip = end.ip().to_canonical();
        if ip.is_unspecified() {
            json!({"port": end.port()})
        } else {
            json!({"ip": ip.to_string(), "port": end.port()})
        }
    }

    fn session(direction: Direction, local: SocketAddr, remote: SocketAddr) -> Value {
        let (name, source, destination) = match direction {
            Direction::Ingress => ("ingress", remote, local),
            Direction::Egress => ("egress", local, remote),
        };
        json!({
            "event": {"kind": "event"},
            "network": {"direction": name},
            "source": fields(source),
            "destination": fields(destination),
        })
    }

    fn listener(local: SocketAddr) -> Value {
        json!({"event": {"kind": "event"}, "server": fields(local)})
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// What the kernel rejects, no rule accepts.
        #[test]
        fn never_lets_too_little_through(
            queries in prop::collection::vec(clause(), 1..3),
            local in end(),
            remote in end(),
        ) {
            let parsed: Vec<_> = queries.iter().map(|q| kql::parse(q).expect("valid")).collect();
            let wanted = parsed.iter().map(pushdown::wanted).fold(Wanted::none(), Wanted::or);
            let filter = filter(&wanted, 23);
            // At connect(2) its port is yet to be chosen.
            let early = SocketAddr::new(local.ip(), 0);
            let options = kql::Options { lenient: true };
            let now = jiff::Timestamp::UNIX_EPOCH;
            for query in &parsed {
                let predicate = kql::compile(query, &options).expect("well typed");
                for (direction, seen) in [
                    (Direction::Ingress, vec![local]),
                    (Direction::Egress, vec![early, local]),
                ] {
                    let event = session(direction, local, remote);
                    for local in seen.into_iter().filter(|_| predicate.matches(&event, now)) {
                        prop_assert!(
                            filter.passes(direction, local, remote),
                            "{} on {event} from {local}: {wanted}", query.source()
                        );
                    }
                }
                let event = listener(local);
                if predicate.matches(&event, now) {
                    prop_assert!(
                        filter.listens(local.port()),
                        "{} on {event}: {wanted}", query.source()
                    );
                }
            }
        }
    }

    #[test]
    fn the_canary_passes_whatever_rules_want() {
        for query in [
            "destination.port:23",
            "destination.port:23 and source.ip:192.0.2.1 and network.direction:ingress",
            "destination.port:2323",
            "source.port:40000",
            "",
        ] {
            let wanted = pushdown::wanted(&kql::parse(query).expect("valid"));
            let Scope {
                filter,
                canary: port,
                ..
            } = of(&wanted, false);
            let ends = |port| (Ipv4Addr::LOCALHOST, port).into();
            assert!(
                filter.passes(Direction::Ingress, ends(port), ends(50_000)),
                "{query}"
            );
            assert!(
                filter.passes(Direction::Egress, ends(50_000), ends(port)),
                "{query}"
            );
        }
    }
}
