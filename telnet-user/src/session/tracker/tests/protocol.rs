//! What a session was proven to speak.

use super::*;
use crate::probe::record::Protocol::{self, Ssh, Telnet};

fn proof(id: u64, protocol: Protocol) -> KernelEvent {
    KernelEvent::Protocol(socket(id), protocol)
}

fn check(cases: Vec<Case>) {
    for (name, events, expected) in cases {
        let (out, tracker) = run(events);
        assert_eq!(words(&out), expected, "{name}");
        assert_eq!(tracker.counters().unmatched_protocols, 0, "{name}");
    }
}

#[test]
fn it_is_told_once_and_behind_the_opening() {
    let open = || state(socket(1), SynRecv, Established);
    let close = || state(socket(1), LastAck, Close);
    let cases: Vec<Case> = vec![
        (
            "inbound; the first proof holds",
            vec![
                (0, open()),
                (1, accept(1, 7)),
                (2, proof(1, Telnet)),
                (3, proof(1, Ssh)),
                (50, close()),
            ],
            vec![
                "accepted by Some(7)",
                "speaks Some(Telnet) by Some(7)",
                "fin Some(false) by Some(7)",
            ],
        ),
        (
            "before it is known who accepted",
            vec![(0, open()), (1, proof(1, Ssh)), (2, accept(1, 7))],
            vec!["accepted by Some(7)", "speaks Some(Ssh) by Some(7)"],
        ),
        (
            "the peer is gone before it is known who accepted",
            vec![
                (0, open()),
                (1, proof(1, Ssh)),
                (2, close()),
                (3, accept(1, 7)),
            ],
            vec![
                "accepted by Some(7)",
                "speaks Some(Ssh) by Some(7)",
                "fin Some(false) by Some(7)",
            ],
        ),
    ];
    check(cases);
}

#[test]
fn data_in_the_handshake_is_no_matter() {
    let outbound = || state(socket(1), SynSent, Established);
    let connect = || KernelEvent::Connect(socket(1), task(3));
    check(vec![
        (
            "outbound",
            vec![(0, connect()), (1, outbound()), (2, proof(1, Telnet))],
            vec![
                "attempted by Some(3)",
                "established by Some(3)",
                "speaks Some(Telnet) by Some(3)",
            ],
        ),
        (
            "outbound, with data in the handshake",
            vec![(0, connect()), (1, proof(1, Telnet)), (2, outbound())],
            vec![
                "attempted by Some(3)",
                "established by Some(3)",
                "speaks Some(Telnet) by Some(3)",
            ],
        ),
    ]);
}

#[test]
fn a_proof_without_session_is_counted() {
    let other = Socket {
        key: SocketKey {
            cookie: Some(99),
            ..socket(1).key
        },
        ..socket(1)
    };
    let (out, tracker) = run(vec![
        (0, proof(1, Telnet)),
        (1, state(socket(1), SynRecv, Established)),
        (2, accept(1, 7)),
        (3, KernelEvent::Protocol(other, Telnet)),
    ]);
    assert_eq!(words(&out), ["accepted by Some(7)"]);
    assert_eq!(tracker.counters().unmatched_protocols, 2);
}

/// On a kernel without cookies for state changes the address tells.
#[test]
fn a_session_without_cookie_is_found_by_its_address() {
    let mut opened = socket(1);
    opened.key.cookie = None;
    let (out, _) = run(vec![
        (0, state(opened.clone(), SynRecv, Established)),
        (1, accept_of(opened, 7)),
        (2, proof(1, Telnet)),
    ]);
    assert_eq!(
        words(&out),
        ["accepted by Some(7)", "speaks Some(Telnet) by Some(7)"]
    );
}

#[test]
fn a_session_that_was_found_open_is_told_first() {
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    let found = listing(vec![found::found(1)]);
    take_in(&mut tracker, found, &all(), at(0), &mut out);
    tracker.push(record(1, proof(1, Ssh)), &mut out);
    assert_eq!(
        words(&out),
        ["accepted by None", "speaks Some(Ssh) by None"]
    );
}
