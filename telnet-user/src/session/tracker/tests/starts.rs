//! How sessions begin: by their handshake, by who accepts or connects, or by what comes after.

use super::*;

#[test]
fn inbound_sessions_in_every_order_of_accept() {
    let open = || state(socket(1), SynRecv, Established);
    let close = || state(socket(1), LastAck, Close);
    let cases: Vec<Case> = vec![
        (
            "accept after the handshake",
            vec![(0, open()), (1, accept(1, 7)), (50, close())],
            vec!["accepted by Some(7)", "fin Some(false) by Some(7)"],
        ),
        (
            "accept before the handshake (TCP Fast Open)",
            vec![(0, accept(1, 7)), (1, open()), (50, close())],
            vec!["accepted by Some(7)", "fin Some(false) by Some(7)"],
        ),
        (
            "accept after the client is gone",
            vec![(0, open()), (1, close()), (2, accept(1, 7))],
            vec!["accepted by Some(7)", "fin Some(false) by Some(7)"],
        ),
        (
            "accept later than the wait",
            vec![(0, open()), (200, accept(1, 7)), (300, close())],
            vec!["accepted by None", "fin Some(false) by Some(7)"],
        ),
        (
            "never accepted, still open",
            vec![(0, open())],
            vec!["accepted by None"],
        ),
        (
            "never accepted, listener closed",
            vec![(0, open()), (5, state(socket(1), Established, Close))],
            vec!["accepted by None", "reset by None"],
        ),
    ];
    for (name, events, expected) in cases {
        assert_eq!(words(&run(events).0), expected, "{name}");
    }
}

#[test]
fn outbound_sessions_name_the_caller_of_connect() {
    let connect = || KernelEvent::Connect(socket(1), task(9));
    let mut refused = socket(1);
    refused.error = SocketError::Errno(111);
    let cases = vec![
        (
            vec![
                (0, connect()),
                (1, state(socket(1), SynSent, Established)),
                (9, state(socket(1), FinWait2, Close)),
            ],
            vec![
                "attempted by Some(9)",
                "established by Some(9)",
                "fin Some(true) by Some(9)",
            ],
        ),
        (
            vec![(0, connect()), (1, state(refused, SynSent, Close))],
            vec!["attempted by Some(9)", "failed Some(111) by Some(9)"],
        ),
        (
            vec![(0, connect()), (1, state(socket(1), SynSent, Close))],
            vec!["attempted by Some(9)", "failed None by Some(9)"],
        ),
        (
            // Simultaneous open.
            vec![(0, connect()), (1, state(socket(1), SynRecv, Established))],
            vec!["attempted by Some(9)", "established by Some(9)"],
        ),
        (
            // The record of connect(2) was lost.
            vec![(1, state(socket(1), SynSent, Established))],
            vec!["established by None"],
        ),
    ];
    for (events, expected) in cases {
        assert_eq!(words(&run(events).0), expected);
    }
}

#[test]
fn an_mptcp_accept_is_joined_by_addresses() {
    let mut msk = socket(99);
    msk.mptcp = true;
    msk.remote = socket(1).remote;
    let (out, _) = run(vec![
        (0, state(socket(2), SynRecv, Established)),
        (0, state(socket(1), SynRecv, Established)),
        (1, accept_of(msk, 7)),
    ]);
    assert_eq!(words(&out), ["accepted by Some(7)", "accepted by None"]);
}

#[test]
fn what_cannot_be_matched_is_counted() {
    // Closed before accept(2); and on a kernel without cookies.
    let mut closed = socket(1);
    closed.local.set_port(0);
    let mut nameless = socket(3);
    nameless.key.cookie = None;
    let (out, tracker) = run(vec![
        (0, accept_of(closed, 7)),
        (0, accept_of(nameless, 7)),
        (1, state(socket(2), LastAck, Close)),
    ]);
    assert_eq!(words(&out), Vec::<String>::new());
    let counters = tracker.counters();
    assert_eq!(
        (counters.unmatched_accepts, counters.unknown_closes),
        (2, 1)
    );
}

/// The record of the state that begins a session is lost, as are those that the kernel runs no
/// program for; what comes after tells of it.
#[test]
fn a_session_whose_start_was_not_seen_is_known_by_what_comes_after() {
    let unseen = |starts| Counters {
        unseen_starts: starts,
        ..Counters::default()
    };
    // Open for longer than its start could be late.
    let (out, tracker) = run(vec![
        (0, accept(1, 7)),
        (500, state(socket(1), LastAck, Close)),
    ]);
    assert_eq!(
        words(&out),
        ["accepted by Some(7)", "fin Some(false) by Some(7)"]
    );
    assert_eq!(tracker.counters(), unseen(1));
    let Some(Observation::Session { session, time, .. }) = out.first() else {
        panic!("{out:?}");
    };
    assert_eq!((session.opened, *time), (None, at(0)));

    // Over at once, and served by another process.
    let close = KernelEvent::Close(socket(1), child(8, 7));
    let (out, tracker) = run(vec![
        (0, accept(1, 7)),
        (1, close),
        (2, state(socket(1), LastAck, Close)),
    ]);
    assert_eq!(
        words(&out),
        ["accepted by Some(7)", "fin Some(false) by Some(8)"]
    );
    assert_eq!(tracker.counters(), unseen(1));

    // It was late after all.
    let (out, tracker) = run(vec![
        (0, accept(1, 7)),
        (500, state(socket(1), SynRecv, Established)),
    ]);
    assert_eq!(words(&out), ["accepted by Some(7)"]);
    assert_eq!(tracker.counters(), unseen(1));

    // Outbound there is no accept(2).
    let (out, tracker) = run(vec![
        (0, KernelEvent::Connect(socket(1), task(9))),
        (9, state(socket(1), FinWait2, Close)),
    ]);
    assert_eq!(
        words(&out),
        [
            "attempted by Some(9)",
            "established by Some(9)",
            "fin Some(true) by Some(9)"
        ]
    );
    assert_eq!(tracker.counters(), unseen(1));
}
