//! After records were lost.

use super::{found::found, *};

fn push(tracker: &mut Tracker, millis: u64, event: KernelEvent, out: &mut Vec<Observation>) {
    tracker.push(record(millis, event), out);
}

/// With inbound sessions 1 to `count`, accepted and reported.
fn with_sessions(count: u64) -> Tracker {
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    for id in 1..=count {
        push(
            &mut tracker,
            id,
            state(socket(id), SynRecv, Established),
            &mut out,
        );
        push(&mut tracker, id, accept(id, 7), &mut out);
    }
    tracker
}

/// Compares with `listing`; what is not listed is gone. `meanwhile` are the records that were
/// not read yet.
fn compare(tracker: &mut Tracker, listing: Listing, meanwhile: Vec<KernelEvent>) -> Vec<String> {
    let mut out = Vec::new();
    let gone = take_in(tracker, listing, &all(), at(500), &mut out);
    tracker.ended(&gone);
    for event in meanwhile {
        push(tracker, 400, event, &mut out);
    }
    tracker.report_found(at(501), &mut out);
    words(&out)
}

#[test]
fn a_lost_end_is_told_without_its_circumstances() {
    let mut tracker = with_sessions(3);
    let meanwhile = vec![state(socket(2), LastAck, Close)];
    let told = compare(&mut tracker, listing(vec![found(3)]), meanwhile);
    // The record of the second was only late.
    assert_eq!(
        told,
        ["fin Some(false) by Some(7)", "unseen end by Some(7)"]
    );
    assert_eq!(tracker.counters().unseen_ends, 1);
    let again = compare(&mut tracker, listing(vec![found(3)]), Vec::new());
    assert_eq!(again, [""; 0]);
}

#[test]
fn a_lost_session_is_found_and_a_known_one_is_not_found_again() {
    let mut tracker = with_sessions(1);
    let list = || listing(vec![found(1), found(2), found(3)]);
    let meanwhile = vec![state(socket(3), SynRecv, Established), accept(3, 8)];
    let told = compare(&mut tracker, list(), meanwhile);
    assert_eq!(told, ["accepted by Some(8)", "accepted by None"]);
    assert_eq!(compare(&mut tracker, list(), Vec::new()), [""; 0]);
    // Its end is seen.
    let mut out = Vec::new();
    push(
        &mut tracker,
        600,
        state(socket(2), LastAck, Close),
        &mut out,
    );
    assert_eq!(words(&out), ["fin Some(false) by None"]);
}

#[test]
fn a_session_on_the_ports_of_one_whose_end_was_lost_is_another_one() {
    let mut tracker = with_sessions(1);
    let successor = match found(1) {
        Found::Session(mut session) => {
            session.key.cookie = Some(99);
            Found::Session(session)
        }
        other @ Found::Listener(_) => other,
    };
    let told = compare(&mut tracker, listing(vec![successor]), Vec::new());
    assert_eq!(told, ["unseen end by Some(7)", "accepted by None"]);
}

#[test]
fn a_lost_answer_to_a_connect_is_told() {
    let outbound = |id| match found(id) {
        Found::Session(mut session) => {
            session.direction = Direction::Egress;
            Found::Session(session)
        }
        other @ Found::Listener(_) => other,
    };
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    for id in 1..=3 {
        push(
            &mut tracker,
            id,
            KernelEvent::Connect(socket(id), task(7)),
            &mut out,
        );
    }
    let list = listing(vec![outbound(1), outbound(2)]);
    let meanwhile = vec![state(socket(2), SynSent, Established)];
    let told = compare(&mut tracker, list, meanwhile);
    assert_eq!(told, ["established by Some(7)"; 2]);
    let preexisting = |id| {
        tracker
            .session(socket(id).key)
            .map(|session| session.preexisting)
    };
    assert_eq!([preexisting(1), preexisting(2)], [Some(true), Some(false)]);
    // The third one's handshake is over, however it ended.
    assert_eq!(preexisting(3), None);
    assert_eq!(tracker.counters().unseen_ends, 1);
}

/// By the tables in `/proc`, and on kernels whose probe has none.
#[test]
fn where_there_are_no_cookies_the_ends_tell() {
    let bare = |id| match found(id) {
        Found::Session(mut session) => {
            session.key.cookie = None;
            Found::Session(session)
        }
        other @ Found::Listener(_) => other,
    };
    let mut tracker = with_sessions(2);
    let list = listing(vec![bare(1), bare(3)]);
    let told = compare(&mut tracker, list, Vec::new());
    assert_eq!(told, ["unseen end by Some(7)", "accepted by None"]);
    // The third one is without a cookie in the table, too.
    let list = listing(vec![found(1), found(3)]);
    assert_eq!(compare(&mut tracker, list, Vec::new()), [""; 0]);
}

/// The kernel tells of `connect(2)` before it chooses a local port.
#[test]
fn a_connection_that_had_no_port_yet_is_known_by_its_cookie() {
    let without_port = |id| {
        let mut socket = socket(id);
        socket.local.set_port(0);
        socket
    };
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    for id in 1..=2 {
        let event = KernelEvent::Connect(without_port(id), task(7));
        push(&mut tracker, id, event, &mut out);
    }
    let told = compare(&mut tracker, listing(vec![found(1)]), Vec::new());
    assert_eq!(told, ["established by Some(7)"]);
    let session = tracker.session(socket(1).key).cloned();
    assert_eq!(session.map(|known| known.local), Some(socket(1).local));
    // The other one is gone.
    assert_eq!(tracker.sessions().count(), 1);
}

#[test]
fn an_end_that_was_lost_while_the_acceptor_was_awaited_waits_for_it_too() {
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    push(
        &mut tracker,
        1,
        state(socket(1), SynRecv, Established),
        &mut out,
    );
    let told = compare(&mut tracker, listing(Vec::new()), vec![accept(1, 7)]);
    assert_eq!(told, ["accepted by Some(7)", "unseen end by Some(7)"]);
    push(
        &mut tracker,
        600,
        state(socket(2), SynRecv, Established),
        &mut out,
    );
    assert_eq!(
        compare(&mut tracker, listing(Vec::new()), Vec::new()),
        [""; 0]
    );
    out.clear();
    tracker.tick(at(10_000), &mut out);
    assert_eq!(words(&out), ["accepted by None", "unseen end by None"]);
}

#[test]
fn what_was_not_listed_stays() {
    for unlisted in [
        Listing::default(),
        Listing {
            namespaces: HashSet::from([2]),
            ..Listing::default()
        },
    ] {
        let mut tracker = with_sessions(2);
        let mut out = Vec::new();
        push(
            &mut tracker,
            3,
            KernelEvent::Listen(socket(9), task(5)),
            &mut out,
        );
        assert_eq!(compare(&mut tracker, unlisted, Vec::new()), [""; 0]);
        assert_eq!(tracker.sessions().count(), 2);
    }
}

/// The kernel no longer tells of its end.
#[test]
fn what_no_longer_passes_is_asked_for() {
    let mut tracker = with_sessions(2);
    let mut out = Vec::new();
    let list = listing(Vec::new());
    let filter = Filter::ports(&[2323].into());
    let gone = take_in(&mut tracker, list, &filter, at(500), &mut out);
    assert_eq!(gone.len(), 2);
}

#[test]
fn a_listener_that_came_or_went_unseen_is_told() {
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    push(
        &mut tracker,
        1,
        KernelEvent::Listen(socket(1), task(5)),
        &mut out,
    );
    let other = Listener {
        key: SocketKey {
            address: 0,
            cookie: Some(2),
        },
        netns: Some(1),
        local: socket(2).local,
        opened: None,
        preexisting: true,
        reported: false,
        owner: None,
    };
    let list = || listing(vec![Found::Listener(other.clone())]);
    let told = compare(&mut tracker, list(), Vec::new());
    assert_eq!(told, ["not listening", "listening"]);
    assert_eq!(compare(&mut tracker, list(), Vec::new()), [""; 0]);
}

/// A freed socket's address is used again at once, and without cookies nothing else tells which it is.
fn without_cookie(id: u64) -> Socket {
    let mut socket = socket(1);
    socket.key.cookie = None;
    socket
        .remote
        .set_port(40_000 + u16::try_from(id).expect("small"));
    socket
}

#[test]
fn what_is_at_the_address_of_one_that_is_gone_goes_on() {
    let opening = |id, pid| {
        [
            state(without_cookie(id), SynRecv, Established),
            accept_of(without_cookie(id), pid),
        ]
    };
    let mut tracker = Tracker::new(Limits::default());
    for event in opening(1, 7) {
        push(&mut tracker, 1, event, &mut Vec::new());
    }
    let mut meanwhile = vec![state(without_cookie(1), LastAck, Close)];
    meanwhile.extend(opening(2, 8));
    let told = compare(&mut tracker, listing(Vec::new()), meanwhile);
    assert_eq!(
        told,
        ["fin Some(false) by Some(7)", "accepted by Some(8)"],
        "the second was opened after the list was taken"
    );
    assert_eq!(tracker.counters(), Counters::default());
    // Nothing tells of it at the next comparison.
    let told = compare(&mut tracker, listing(Vec::new()), Vec::new());
    assert_eq!(told, ["unseen end by Some(8)"]);
}

#[test]
fn a_handshake_at_the_address_of_another_is_not_over() {
    let connect = |id| KernelEvent::Connect(without_cookie(id), task(7));
    let mut tracker = Tracker::new(Limits::default());
    push(&mut tracker, 1, connect(1), &mut Vec::new());
    let mut session = new_session(&without_cookie(1), Direction::Egress);
    session.key.address = 0;
    let listed = Found::Session(Box::new(session));
    let meanwhile = vec![state(without_cookie(1), SynSent, Close), connect(2)];
    let told = compare(&mut tracker, listing(vec![listed]), meanwhile);
    assert_eq!(told, ["failed None by Some(7)", "attempted by Some(7)"]);
}

#[test]
fn what_is_found_takes_nobodys_place() {
    let limits = Limits {
        sessions: 3,
        ..Limits::default()
    };
    let mut tracker = Tracker::new(limits);
    let mut out = Vec::new();
    let opening = state(socket(1), SynRecv, Established);
    push(&mut tracker, 1, opening, &mut out);
    push(&mut tracker, 1, accept(1, 7), &mut out);
    let list = || listing((1..=5).map(found).collect());
    let told = compare(&mut tracker, list(), Vec::new());
    assert_eq!(told, ["accepted by None"; 2]);
    assert_eq!(tracker.counters().refused_sessions, 2);
    // Nor is it told again and again, in turns.
    assert_eq!(compare(&mut tracker, list(), Vec::new()), [""; 0]);
    let counters = tracker.counters();
    assert_eq!(
        (counters.refused_sessions, counters.evicted_sessions),
        (4, 0)
    );
    assert!(tracker.session(socket(1).key).is_some());
}
