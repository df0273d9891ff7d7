//! What was open before the agent.

use super::*;

pub(super) fn found(id: u64) -> Found {
    let mut session = new_session(&socket(id), Direction::Ingress);
    session.preexisting = true;
    session.key.address = 0;
    Found::Session(Box::new(session))
}

#[test]
fn what_was_open_at_start_is_reported_once_whoever_tells_first() {
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    take_in(
        &mut tracker,
        listing(vec![found(1), found(2), found(3), found(4)]),
        &all(),
        at(0),
        &mut out,
    );
    let mut push = |tracker: &mut Tracker, millis, event| {
        tracker.push(record(millis, event), &mut out);
    };
    // Opened between attaching and listing: the kernel's record is the better one.
    push(&mut tracker, 1, state(socket(1), SynRecv, Established));
    push(&mut tracker, 1, accept(1, 7));
    // Closed before the list was reported.
    push(&mut tracker, 2, state(socket(2), LastAck, Close));
    assert_eq!(
        words(&out),
        [
            "accepted by Some(7)",
            "accepted by None",
            "fin Some(false) by None"
        ]
    );
    out.clear();
    tracker.report_found(at(3), &mut out);
    tracker.report_found(at(4), &mut out);
    assert_eq!(words(&out), ["accepted by None", "accepted by None"]);
    out.clear();
    // Accepted late, and closed, by sockets whose addresses were not known.
    for event in [
        accept(3, 8),
        state(socket(3), FinWait2, Close),
        state(socket(4), LastAck, Close),
    ] {
        tracker.push(record(5, event), &mut out);
    }
    assert_eq!(
        words(&out),
        ["fin Some(true) by Some(8)", "fin Some(false) by None"]
    );
    assert_eq!(tracker.counters(), Counters::default());
}

#[test]
fn a_probe_that_tells_no_namespace_knows_what_was_found_by_its_ends() {
    let close = |id| {
        let mut socket = socket(id);
        socket.key.cookie = None;
        socket.netns = None;
        state(socket, LastAck, Close)
    };
    let elsewhere = |id| match found(id) {
        Found::Session(mut session) => {
            session.netns = Some(2);
            Found::Session(session)
        }
        other @ Found::Listener(_) => other,
    };
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    let listed = vec![found(1), found(2), elsewhere(2)];
    take_in(&mut tracker, listing(listed), &all(), at(0), &mut out);
    for id in [1, 2] {
        let record = Record {
            cpu: 0,
            sequence: 0,
            time: at(1),
            event: close(id),
        };
        tracker.push(record, &mut out);
    }
    assert_eq!(words(&out), ["accepted by None", "fin Some(false) by None"]);
    // Which of the two ended cannot be told.
    assert_eq!(tracker.counters().unknown_closes, 1);
}

#[test]
fn a_listener_found_at_start_is_known_by_its_cookie() {
    let listener = |id: u64| {
        Found::Listener(Listener {
            key: SocketKey {
                address: 0,
                cookie: Some(id),
            },
            netns: Some(1),
            local: socket(id).local,
            opened: None,
            preexisting: true,
            reported: false,
            owner: None,
        })
    };
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    take_in(
        &mut tracker,
        listing(vec![listener(1), listener(2)]),
        &all(),
        at(0),
        &mut out,
    );
    for event in [
        KernelEvent::Listen(socket(1), task(5)),
        state(socket(2), Listen, Close),
    ] {
        tracker.push(record(1, event), &mut out);
    }
    tracker.report_found(at(2), &mut out);
    assert_eq!(words(&out), ["listening", "not listening"]);
}

#[test]
fn the_end_of_one_whose_ports_are_used_again_is_told() {
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    let list = listing(vec![found(1), found(2)]);
    take_in(&mut tracker, list, &all(), at(0), &mut out);
    // Before what was found is reported, and after it.
    let again = |id, cookie| {
        let mut socket = socket(id);
        socket.key = SocketKey {
            address: 0x2000 + id,
            cookie: Some(cookie),
        };
        state(socket, SynRecv, Established)
    };
    tracker.push(record(1, again(1, 11)), &mut out);
    assert_eq!(words(&out), ["accepted by None", "unseen end by None"]);
    out.clear();
    tracker.report_found(at(2), &mut out);
    tracker.push(record(3, again(2, 12)), &mut out);
    assert_eq!(words(&out), ["accepted by None", "unseen end by None"]);
    assert_eq!(tracker.counters().unseen_ends, 2);
}
