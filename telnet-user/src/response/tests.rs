//! Which sessions are closed.

use std::net::SocketAddr;

use super::*;
use crate::{kql, probe::record::SocketKey};

const RULE: &str = "00000000-0000-4000-8000-000000000001";

fn rule(query: &str, asks: bool) -> impl Iterator<Item = Asking> {
    let query = kql::parse(query).expect("a query");
    let rule = Asking {
        id: RULE.to_owned(),
        name: "r".to_owned(),
        asks,
        wanted: kql::pushdown::wanted(&query),
    };
    std::iter::once(rule)
}

fn policy(mode: ResponseMode) -> config::Response {
    config::Response {
        mode,
        allow: ["192.0.2.0/24", "2001:db8::1/128"]
            .map(|text| text.parse().expect("a network"))
            .into(),
        max_per_minute: 2,
        ..config::Response::default()
    }
}

fn session(direction: Direction, local: &str, remote: &str) -> Session {
    let end = |text: &str| text.parse::<SocketAddr>().expect("an address and port");
    let key = SocketKey {
        address: 1,
        cookie: Some(1),
    };
    Session::new(key, direction, end(local), end(remote))
}

/// The verdict on `session`, when the rule asks.
fn judge(responder: &mut Responder, session: &Session, seconds: u64) -> Option<Verdict> {
    let (verdict, name) = responder.judge(RULE, session, at(seconds))?;
    assert_eq!(name, "r");
    Some(verdict)
}

fn inbound(remote: &str) -> Session {
    session(Direction::Ingress, "10.0.0.1:23", remote)
}

fn at(seconds: u64) -> BootTime {
    BootTime::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn only_a_rule_that_asks_is_answered_and_only_when_it_is_switched_on() {
    let peer = inbound("203.0.113.7:50000");
    for (mode, asks, named, expected) in [
        (ResponseMode::Enforce, true, false, Some(Verdict::Close)),
        (ResponseMode::DryRun, true, false, Some(Verdict::DryRun)),
        (ResponseMode::Off, true, true, None),
        (ResponseMode::Enforce, false, false, None),
        (ResponseMode::Enforce, false, true, Some(Verdict::Close)),
    ] {
        let mut policy = policy(mode);
        policy.rules.extend(named.then(|| RULE.to_owned()));
        let mut responder = Responder::new(policy, rule("destination.port:23", asks));
        let verdict = judge(&mut responder, &peer, 0);
        assert_eq!(verdict, expected, "{mode:?} asks: {asks} named: {named}");
        assert_eq!(responder.judge("another", &peer, at(0)), None);
    }
    let mut default = Responder::default();
    assert_eq!(default.judge(RULE, &peer, at(0)), None);
}

#[test]
fn peers_on_the_list_are_left_alone_however_their_address_is_written() {
    let mut responder = Responder::new(
        policy(ResponseMode::Enforce),
        rule("destination.port:23", true),
    );
    for peer in ["192.0.2.200:1", "[::ffff:192.0.2.200]:1", "[2001:db8::1]:1"] {
        let verdict = judge(&mut responder, &inbound(peer), 0);
        assert_eq!(
            verdict,
            Some(Verdict::Refuse(Refusal::PeerAllowed)),
            "{peer}"
        );
    }
    let verdict = judge(&mut responder, &inbound("[2001:db8::2]:1"), 0);
    assert_eq!(verdict, Some(Verdict::Close));
    assert_eq!(responder.counters().refused, 3);
}

#[test]
fn a_session_outside_the_ports_that_the_query_requires_is_left_alone() {
    let refused = Verdict::Refuse(Refusal::OutsidePorts);
    let telnet = inbound("203.0.113.7:50000");
    let ssh = session(Direction::Ingress, "10.0.0.1:22", "203.0.113.7:50000");
    // To this host's own port 23 goes what comes in; what goes out goes to the peer's.
    let from_23 = session(Direction::Egress, "10.0.0.1:23", "203.0.113.7:22");
    let out = session(Direction::Egress, "10.0.0.1:50000", "203.0.113.7:23");
    for (query, session, expected) in [
        ("destination.port:23", &telnet, Verdict::Close),
        ("destination.port:(22 or 23)", &telnet, Verdict::Close),
        ("destination.port:23", &ssh, refused),
        ("destination.port:23", &from_23, refused),
        ("destination.port:23", &out, Verdict::Close),
        (
            "network.direction:ingress and destination.port:23",
            &out,
            refused,
        ),
        ("source.port:50000", &telnet, refused),
        ("event.kind:event", &telnet, refused),
        ("not destination.port:22", &telnet, refused),
    ] {
        let mut responder = Responder::new(policy(ResponseMode::Enforce), rule(query, true));
        let verdict = judge(&mut responder, session, 0);
        assert_eq!(verdict, Some(expected), "{query} on {session:?}");
    }
}

#[test]
fn no_more_are_closed_within_a_minute_than_allowed() {
    for mode in [ResponseMode::Enforce, ResponseMode::DryRun] {
        let mut responder = Responder::new(policy(mode), rule("destination.port:23", true));
        let peer = inbound("203.0.113.7:50000");
        let mut is_refused = |seconds| {
            let verdict = judge(&mut responder, &peer, seconds);
            verdict == Some(Verdict::Refuse(Refusal::TooMany))
        };
        let refused = [0, 30, 59, 60, 89, 90, 91].map(&mut is_refused);
        assert_eq!(
            refused,
            [false, false, true, false, true, false, true],
            "{mode:?}"
        );
        // A reload does not start the minute again.
        responder.replace(policy(mode), rule("destination.port:23", true));
        let verdict = judge(&mut responder, &peer, 100);
        assert_eq!(verdict, Some(Verdict::Refuse(Refusal::TooMany)));
    }
}
