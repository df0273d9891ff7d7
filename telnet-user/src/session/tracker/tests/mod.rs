mod compare;
mod found;
mod handlers;
mod listeners;
mod logins;
mod losses;
mod protocol;
mod starts;

use std::{collections::HashSet, net::SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::{
    probe::filter::Filter,
    probe::record::{
        Exec, Fork, Hook, SocketError, StateChange, TcpCounters,
        TcpState::{
            self, Close, CloseWait, Established, FinWait2, LastAck, Listen, SynRecv, SynSent,
        },
    },
    session::{Ending, Found, Listing, Seen, kept::Kept},
};

const MS: u64 = 1_000_000;

fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * MS)
}

/// Socket number `id` on this host's port 23, unless `edit` says otherwise.
fn socket(id: u64) -> Socket {
    Socket {
        key: SocketKey {
            address: 0x1000 + id,
            cookie: Some(id),
        },
        netns: Some(1),
        error: SocketError::Clear,
        mptcp: false,
        local: "192.0.2.1:23".parse().expect("address"),
        remote: SocketAddr::new(
            "198.51.100.9".parse().expect("address"),
            40_000 + u16::try_from(id).expect("small"),
        ),
    }
}

fn task(pid: u32) -> Task {
    Task {
        pid,
        tid: pid,
        uid: 0,
        gid: 0,
        start: Some(BootTime::from_nanos(u64::from(pid))),
        comm: format!("task-{pid}"),
        parent: None,
        cgroup: None,
        args: None,
    }
}

fn state(socket: Socket, old: TcpState, new: TcpState) -> KernelEvent {
    KernelEvent::State(StateChange {
        socket,
        old,
        new,
        counters: None,
    })
}

/// A kernel record of `event` at `millis`.
fn record(millis: u64, event: KernelEvent) -> Record {
    Record {
        cpu: 0,
        sequence: 0,
        time: at(millis),
        event,
    }
}

/// Runs events at their times (ms) and ticks at the end of it all.
fn run(events: Vec<(u64, KernelEvent)>) -> (Vec<Observation>, Tracker) {
    run_until(events, 1_000_000)
}

/// Runs events at their times (ms) and ticks at `end` (ms).
fn run_until(events: Vec<(u64, KernelEvent)>, end: u64) -> (Vec<Observation>, Tracker) {
    let mut tracker = Tracker::new(Limits::default());
    let mut out = Vec::new();
    for (millis, event) in events {
        tracker.tick(at(millis), &mut out);
        tracker.push(record(millis, event), &mut out);
    }
    tracker.tick(at(end), &mut out);
    (out, tracker)
}

/// One word per observation, with the acceptor's or client's pid.
fn words(observations: &[Observation]) -> Vec<String> {
    observations
        .iter()
        .map(|observation| match observation {
            Observation::Session { session, fact, .. } => {
                let fact = match fact {
                    Fact::Attempted => "attempted".to_owned(),
                    Fact::Accepted => "accepted".to_owned(),
                    Fact::Established => "established".to_owned(),
                    Fact::Failed(failure) => format!("failed {:?}", failure.error.errno()),
                    Fact::Bypassed => "bypassed".to_owned(),
                    Fact::LoggedIn => "logged in".to_owned(),
                    Fact::LoginFailed => "login failed".to_owned(),
                    Fact::Identified => format!("speaks {:?}", session.protocol),
                    Fact::Closed(Ending::Fin { local_first }, _) => format!("fin {local_first:?}"),
                    Fact::Closed(Ending::Reset, _) => "reset".to_owned(),
                    Fact::Closed(Ending::Timeout, _) => "timeout".to_owned(),
                    Fact::Closed(Ending::Unknown, _) => "closed".to_owned(),
                    Fact::Closed(Ending::Unseen, _) => "unseen end".to_owned(),
                };
                let owner = session.owners.closest();
                format!("{fact} by {:?}", owner.map(|owner| owner.task.pid))
            }
            Observation::Program { program, .. } => {
                format!("{} {:?}", program.task.comm, program.step)
            }
            Observation::ListenerOpened { .. } => "listening".to_owned(),
            Observation::ListenerClosed { .. } => "not listening".to_owned(),
        })
        .collect()
}

/// What is to be looked at now.
fn look(tracker: &mut Tracker, now: BootTime) -> Vec<crate::session::Check> {
    let due = tracker.due(now);
    tracker.checks(&due, now)
}

/// Everything in the one network namespace of these tests.
fn listing(found: Vec<Found>) -> Listing {
    Listing {
        found,
        namespaces: HashSet::from([1]),
        is_complete: true,
    }
}

/// Takes in a list as the agent does: only what is new is in it.
fn take_in(
    tracker: &mut Tracker,
    mut listing: Listing,
    filter: &Filter,
    time: BootTime,
    out: &mut Vec<Observation>,
) -> Vec<Session> {
    let mut comparison = tracker.compare(filter);
    listing.found.retain(|found| {
        let seen = seen(found);
        comparison.is_new(&seen) || seen.is_listening
    });
    let known = comparison.known();
    tracker.found(listing, known, filter, Kept::default(), time, out)
}

fn seen(found: &Found) -> Seen {
    let (netns, cookie, local) = match found {
        Found::Session(session) => (session.netns, session.key.cookie, session.local),
        Found::Listener(listener) => (listener.netns, listener.key.cookie, listener.local),
    };
    let remote = match found {
        Found::Session(session) => session.remote,
        Found::Listener(_) => SocketAddr::from(([0; 4], 0)),
    };
    Seen {
        netns,
        local,
        remote,
        cookie,
        is_listening: matches!(found, Found::Listener(_)),
        is_session: matches!(found, Found::Session(_)),
    }
}

/// Every port is monitored.
fn all() -> Filter {
    Filter::all()
}

/// What it shows, events at their times, expected words.
type Case = (&'static str, Vec<(u64, KernelEvent)>, Vec<&'static str>);

fn accept(id: u64, pid: u32) -> KernelEvent {
    accept_of(socket(id), pid)
}

fn accept_of(socket: Socket, pid: u32) -> KernelEvent {
    KernelEvent::Accept(Accept {
        socket,
        task: task(pid),
        hook: Hook::SyscallExit,
        inode: Some(1_000),
    })
}

#[test]
fn a_socket_address_that_is_used_again_is_another_session() {
    let mut second = socket(1);
    second.key.cookie = Some(2);
    second.remote.set_port(50_000);
    let (out, tracker) = run(vec![
        (0, state(socket(1), SynRecv, Established)),
        (1, state(second.clone(), SynRecv, Established)),
        (2, accept_of(second.clone(), 7)),
        (3, state(second, CloseWait, Close)),
    ]);
    assert_eq!(
        words(&out),
        [
            "accepted by None",
            "unseen end by None",
            "accepted by Some(7)",
            "reset by Some(7)"
        ]
    );
    let counters = Counters {
        unseen_ends: 1,
        ..Counters::default()
    };
    assert_eq!(tracker.counters(), counters);
}

fn fork(child: Task) -> KernelEvent {
    KernelEvent::Fork(Fork { child, left_out: 0 })
}

fn child(pid: u32, parent: u32) -> Task {
    Task {
        parent: Some(parent),
        ..task(pid)
    }
}

#[test]
fn payload_and_reason_come_with_the_end() {
    let mut change = StateChange {
        socket: socket(1),
        old: LastAck,
        new: Close,
        counters: Some(TcpCounters {
            bytes_received: 11,
            bytes_acked: 21,
            segments_in: 4,
            segments_out: 5,
            fin_received: true,
        }),
    };
    change.socket.local.set_port(23);
    let (out, _) = run(vec![
        (0, state(socket(1), SynRecv, Established)),
        (1, accept(1, 7)),
        (2, KernelEvent::State(change)),
    ]);
    let Some(Observation::Session {
        fact: Fact::Closed(_, Some(traffic)),
        ..
    }) = out.last()
    else {
        panic!("no closing observation in {out:?}");
    };
    assert_eq!((traffic.bytes_received, traffic.bytes_sent), (10, 20));
}

#[test]
fn a_full_table_still_reports_every_session() {
    let mut tracker = Tracker::new(Limits {
        sessions: 2,
        ..Limits::default()
    });
    let mut out = Vec::new();
    for id in 0..5 {
        let record = Record {
            cpu: 0,
            sequence: id,
            time: at(0),
            event: state(socket(id), SynRecv, Established),
        };
        tracker.push(record, &mut out);
    }
    tracker.tick(at(1_000), &mut out);
    assert_eq!(out.len(), 5);
    assert_eq!(tracker.counters().evicted_sessions, 3);
}

proptest! {
    /// Whatever the order of handshake, accept and close of many sessions, each is reported
    /// exactly once as accepted and once as closed, accepted first.
    #[test]
    fn every_session_is_reported_exactly_once(
        order in Just((0u64..5).flat_map(|id| [(id, 0u8), (id, 1), (id, 2)]).collect::<Vec<_>>())
            .prop_shuffle()
    ) {
        let mut events = Vec::new();
        let mut opened = HashSet::new();
        for (time, (id, kind)) in (0u64..).zip(order) {
            // A socket cannot close before its handshake.
            let event = match kind {
                0 if opened.insert(id) => state(socket(id), SynRecv, Established),
                1 => accept(id, 7),
                2 if opened.contains(&id) => state(socket(id), LastAck, Close),
                _ => continue,
            };
            events.push((time, event));
        }
        let (out, _) = run(events);
        for id in 0..5u64 {
            let mine: Vec<_> = out
                .iter()
                .filter_map(|observation| match observation {
                    Observation::Session { session, fact, .. }
                        if session.key.cookie == Some(id) => Some(fact),
                    Observation::Session { .. }
                    | Observation::Program { .. }
                    | Observation::ListenerOpened { .. }
                    | Observation::ListenerClosed { .. } => None,
                })
                .collect();
            if opened.contains(&id) {
                prop_assert!(matches!(mine.first(), Some(Fact::Accepted)));
                prop_assert!(mine.len() <= 2);
            }
        }
    }
}
