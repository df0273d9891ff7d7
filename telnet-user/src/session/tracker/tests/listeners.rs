//! Listening sockets.

use super::*;

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
