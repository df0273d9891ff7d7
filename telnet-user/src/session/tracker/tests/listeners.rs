//! Listening sockets.

use super::*;
use crate::probe::filter::End;

#[test]
fn the_listener_is_named_unless_several_share_the_address() {
    let listener = |id: u64, ip: &str| Socket {
        local: format!("{ip}:23").parse().expect("address"),
        remote: "0.0.0.0:0".parse().expect("address"),
        ..socket(id)
    };
    let listeners_of = |listeners: Vec<(Socket, u32)>| {
        let mut events: Vec<_> = listeners
            .into_iter()
            .map(|(socket, pid)| (0, KernelEvent::Listen(socket, task(pid))))
            .collect();
        events.push((1, state(socket(1), SynRecv, Established)));
        events.push((2, accept(1, 6)));
        let (out, _) = run(events);
        out.iter().find_map(|observation| match observation {
            Observation::Session { session, .. } => {
                Some(session.owners.listener.as_ref().map(|owner| owner.task.pid))
            }
            Observation::Program { .. }
            | Observation::ListenerOpened { .. }
            | Observation::ListenerClosed { .. } => None,
        })
    };
    assert_eq!(
        listeners_of(vec![(listener(50, "0.0.0.0"), 5)]),
        Some(Some(5))
    );
    assert_eq!(
        listeners_of(vec![(listener(50, "192.0.2.1"), 5)]),
        Some(Some(5))
    );
    assert_eq!(
        listeners_of(vec![(listener(50, "192.0.2.2"), 5)]),
        Some(None)
    );
    let shared = |second| {
        vec![
            (listener(50, "0.0.0.0"), 5),
            (listener(51, "0.0.0.0"), second),
        ]
    };
    assert_eq!(listeners_of(shared(6)), Some(Some(6)), "the acceptor's own");
    assert_eq!(listeners_of(shared(8)), Some(None), "no guess");
}

#[test]
fn a_listener_that_is_gone_when_the_session_is_reported_is_still_named() {
    let (out, _) = run(vec![
        (0, KernelEvent::Listen(socket(50), task(5))),
        (1, state(socket(1), SynRecv, Established)),
        (2, state(socket(50), Listen, Close)),
    ]);
    assert_eq!(
        words(&out),
        ["listening", "not listening", "accepted by Some(5)"]
    );
}

#[test]
fn listeners_come_and_go() {
    let (out, tracker) = run(vec![
        (0, KernelEvent::Listen(socket(1), task(5))),
        (1, state(socket(1), Listen, Close)),
        (2, state(socket(2), Listen, Close)),
    ]);
    assert_eq!(words(&out), ["listening", "not listening"]);
    assert_eq!(tracker.counters().unknown_closes, 1);
}

/// Listening on port 23 of an address of its own, found in a list.
fn found_listener(id: u8) -> Found {
    Found::Listener(Listener {
        key: SocketKey {
            address: 0,
            cookie: Some(u64::from(id)),
        },
        netns: Some(1),
        local: ([127, 0, 0, id], 23).into(),
        opened: None,
        preexisting: true,
        reported: false,
        owner: None,
    })
}

/// Takes in a list; returns what is told and how many are known then.
fn listed(tracker: &mut Tracker, found: Vec<Found>, filter: &Filter) -> (Vec<String>, usize) {
    let mut out = Vec::new();
    take_in(tracker, listing(found), filter, at(5), &mut out);
    tracker.report_found(at(6), &mut out);
    (words(&out), tracker.listeners().count())
}

fn of_few() -> Tracker {
    Tracker::new(Limits {
        listeners: 4,
        ..Limits::default()
    })
}

#[test]
fn more_listeners_than_there_is_room_for_are_counted_and_not_told() {
    let mut tracker = of_few();
    let list = |ids: std::ops::Range<u8>| ids.map(found_listener).collect::<Vec<_>>();
    let told = listed(&mut tracker, list(1..11), &all());
    assert_eq!(told, (vec!["listening".to_owned(); 4], 4));
    assert_eq!(tracker.counters().refused_listeners, 6);
    // Once the first two are gone there is room for two others.
    let told = listed(&mut tracker, list(3..11), &all());
    assert_eq!(told, (vec!["not listening".to_owned(); 2], 2));
    let told = listed(&mut tracker, list(3..11), &all());
    assert_eq!(told, (vec!["listening".to_owned(); 2], 4));
    assert_eq!(tracker.counters().evicted_listeners, 0);
}

#[test]
fn nobody_looks_for_the_holders_of_listeners_that_are_not_taken_in() {
    let tracker = of_few();
    let filter = all();
    let mut comparison = tracker.compare(&filter);
    let is_new = |id| comparison.is_new(&seen(&found_listener(id)));
    let new = (1..11).map(is_new).filter(|is_new| *is_new);
    assert_eq!(new.count(), 4);
}

#[test]
fn those_that_gave_way_are_not_told_again() {
    let mut tracker = of_few();
    let mut out = Vec::new();
    for id in 1..11 {
        let socket = Socket {
            local: ([127, 0, 0, id], 23).into(),
            ..socket(u64::from(id))
        };
        tracker.push(record(1, KernelEvent::Listen(socket, task(5))), &mut out);
    }
    assert_eq!(words(&out), ["listening"; 10]);
    let told = listed(&mut tracker, (1..11).map(found_listener).collect(), &all());
    assert_eq!(told, (Vec::new(), 4));
    let counters = tracker.counters();
    assert_eq!(
        (counters.evicted_listeners, counters.refused_listeners),
        (6, 6)
    );
}

/// The kernel tells neither of its start nor of its end.
#[test]
fn a_listener_on_a_port_of_outbound_sessions_alone_is_none() {
    let mut filter = Filter::none();
    filter.want(Direction::Egress, End::Remote, &[(23, 23)]);
    let mut tracker = Tracker::new(Limits::default());
    let told = listed(&mut tracker, vec![found_listener(1)], &filter);
    assert_eq!(told, (Vec::new(), 0));
    filter.want(Direction::Ingress, End::Local, &[(23, 23)]);
    let told = listed(&mut tracker, vec![found_listener(1)], &filter);
    assert_eq!(told, (vec!["listening".to_owned()], 1));
}

#[test]
fn the_listener_that_was_found_is_named_like_one_that_was_seen() {
    let owned = |id, pid, netns| match found_listener(id) {
        Found::Listener(listener) => Found::Listener(Listener {
            netns,
            local: ([0; 4], 23).into(),
            owner: Some(Owner {
                task: Arc::new(task(pid)),
                source: Attribution::SockDiag,
            }),
            ..listener
        }),
        other @ Found::Session(_) => other,
    };
    let mut tracker = Tracker::new(Limits::default());
    let listeners = vec![owned(1, 5, Some(1)), owned(2, 6, Some(2))];
    let list = Listing {
        namespaces: HashSet::from([1, 2]),
        ..listing(listeners)
    };
    let mut out = Vec::new();
    take_in(&mut tracker, list, &all(), at(0), &mut out);
    tracker.push(record(1, state(socket(9), SynRecv, Established)), &mut out);
    tracker.push(record(2, accept(9, 7)), &mut out);
    let session = tracker.session(socket(9).key).expect("open");
    let listener = session.owners.listener.as_ref();
    assert_eq!(listener.map(|owner| owner.task.pid), Some(5));
}
