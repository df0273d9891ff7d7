use std::collections::HashSet;

use super::super::identity::community_id;
use super::*;
use crate::{
    probe::record::SocketError,
    session::{Ending, Failure},
};

const FACTS: [Fact; 5] = [
    Fact::Attempted,
    Fact::Accepted,
    Fact::Established,
    Fact::Failed(Failure {
        error: SocketError::Clear,
    }),
    Fact::Closed(Ending::Reset, None),
];

/// Event id and session id.
fn ids(session: Session, fact: &Fact, time: BootTime) -> (String, String) {
    let facts = Facts {
        host: Arc::new(host()),
        ..Facts::default()
    };
    let document = document(&observed(session, fact.clone(), time), &facts);
    let text = |path| get(&document, path).as_str().expect("text").to_owned();
    (text("event.id"), text("telnet.session.id"))
}

#[test]
fn published_community_ids() {
    let v6 = (
        "[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943",
        "[2607:f8b0:400c:c03::1a]:25",
    );
    let cases = [
        (
            "128.232.110.120:34855",
            "66.35.250.204:80",
            Some("1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ),
        (v6.0, v6.1, Some("1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=")),
        // Computed with Python's hashlib and base64.
        (
            "10.0.0.1:2",
            "10.0.0.1:1",
            Some("1:mb9gqkXo1/+WeunLJO7I9i/H8Ec="),
        ),
        ("10.0.0.1:2", "[2001:db8::1]:23", None),
    ];
    for (source, destination, expected) in cases {
        let (source, destination) = (end(source), end(destination));
        assert_eq!(community_id(source, destination).as_deref(), expected);
        assert_eq!(community_id(destination, source).as_deref(), expected);
    }
}

#[test]
fn ids_are_hashes_of_boot_cookie_and_fact() {
    // sha256(b"BOOT|cookie|4711|accepted") and without the fact, from Python's hashlib.
    let expected = (
        "df9548979f080ed472e63c489bb951eb".to_owned(),
        "db8b860724ccb39dda3a2b5009981a84".to_owned(),
    );
    assert_eq!(ids(inbound(), &Fact::Accepted, at(100_000)), expected);
    // An agent started later sees less, and later.
    let found = Session {
        opened: None,
        netns: None,
        preexisting: true,
        reported: false,
        ..inbound()
    };
    assert_eq!(ids(found, &Fact::Accepted, at(900_000)), expected);
}

#[test]
fn one_socket_has_a_session_with_each_peer_it_connects_to() {
    let to = |remote: &str| {
        let session = Session {
            remote: end(remote),
            ..outbound()
        };
        ids(session, &Fact::Established, at(1))
    };
    let peers = ["198.51.100.7:23", "198.51.100.8:23", "198.51.100.7:2323"];
    let all: HashSet<_> = peers.map(to).into_iter().collect();
    assert_eq!(all.len(), peers.len());
    // As the connection is seen before its local port is chosen.
    let early = Session {
        local: end("0.0.0.0:0"),
        ..outbound()
    };
    let (_, session) = ids(early, &Fact::Attempted, at(1));
    assert_eq!(session, ids(outbound(), &Fact::Established, at(2)).1);
}

#[test]
fn facts_differ_and_the_session_stays() {
    let key = SocketKey {
        address: 0x1000,
        cookie: None,
    };
    let preexisting = Session {
        key,
        opened: None,
        preexisting: true,
        reported: false,
        ..inbound()
    };
    for session in [
        inbound(),
        outbound(),
        Session { key, ..inbound() },
        preexisting,
    ] {
        let mut events = HashSet::new();
        let mut sessions = HashSet::new();
        for (fact, millis) in FACTS.iter().zip(100_000..) {
            let (event, session) = ids(session.clone(), fact, at(millis));
            assert_eq!(ids_length(&event, &session), (32, 32));
            events.insert(event);
            sessions.insert(session);
        }
        assert_eq!(
            (events.len(), sessions.len()),
            (FACTS.len(), 1),
            "{session:?}"
        );
    }
}

fn ids_length(event: &str, session: &str) -> (usize, usize) {
    (event.len(), session.len())
}

#[test]
fn sockets_differ() {
    let with = |address, cookie, opened| Session {
        key: SocketKey { address, cookie },
        opened,
        ..inbound()
    };
    // Reused addresses, and handshakes that failed one after the other.
    let sessions = [
        (with(1, Some(1), None), 1),
        (with(1, Some(2), None), 1),
        (with(1, None, Some(at(1))), 1),
        (with(1, None, Some(at(2))), 1),
        (with(2, None, Some(at(1))), 1),
        (with(1, None, None), 1),
        (with(1, None, None), 2),
    ];
    let ids: HashSet<_> = sessions
        .iter()
        .map(|(session, time)| ids(session.clone(), &FACTS[3], at(*time)).1)
        .collect();
    assert_eq!(ids.len(), sessions.len());
}

#[test]
fn without_a_boot_id_identities_hold_for_one_run() {
    let observation = observed(inbound(), Fact::Accepted, at(100_000));
    let id = |ephemeral_id: &str| {
        let builder = Builder::new(AgentInfo {
            ephemeral_id: ephemeral_id.to_owned(),
            ..builder().agent
        });
        let now = time("2026-03-05T12:00:00Z");
        let document = builder
            .event(&observation, &Facts::default(), &clocks(), now)
            .to_value();
        get(&document, "event.id").clone()
    };
    assert_eq!(id("a"), id("a"));
    assert_ne!(id("a"), id("b"));
}
