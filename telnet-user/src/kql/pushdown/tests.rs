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
        ("destination.port:23 or source.port:1", "ports 1, 23"),
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
        ("source.ip:10.0.0.1 and source.ip:10.0.0.2", "no session"),
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
