//! Which session processes belong to, and what they say of its login.

use super::*;
use crate::{
    probe::record::{Args, Exit, ExitStatus, Tty},
    session::activity::{Activity, Progress, Reason, Verdict},
};

fn run_as(pid: u32, parent: u32, comm: &str, line: &str, stdin: Option<u64>) -> KernelEvent {
    let list = line.split(' ').map(str::to_owned).collect();
    let task = Task {
        comm: comm.to_owned(),
        args: Some(Args {
            list,
            truncated: false,
        }),
        ..child(pid, parent)
    };
    KernelEvent::Exec(Exec {
        task,
        stdin,
        tty: Some(Tty {
            major: 136,
            minor: pid,
        }),
        effective_uid: 0,
        left_out: 0,
    })
}

fn exit(pid: u32, status: ExitStatus) -> KernelEvent {
    KernelEvent::Exit(Exit {
        task: task(pid),
        status,
        left_out: 0,
    })
}

/// What the last observation of a session says that its processes did.
fn activity_of(out: &[Observation], id: u64) -> Activity {
    let last = out.iter().rev().find_map(|observation| match observation {
        Observation::Session { session, .. } if session.key == socket(id).key => {
            Some(session.activity.clone())
        }
        Observation::Session { .. }
        | Observation::Program { .. }
        | Observation::ListenerOpened { .. }
        | Observation::ListenerClosed { .. } => None,
    });
    last.expect("the session was observed")
}

/// Two sessions in the same millisecond at a server that serves all of them in one process.
#[test]
fn sessions_of_one_process_get_the_children_in_the_order_of_their_accepts() {
    let mut out = Vec::new();
    let mut tracker = Tracker::new(Limits::default());
    let mut push = |tracker: &mut Tracker, events: Vec<(u64, KernelEvent)>| {
        for (millis, event) in events {
            tracker.push(record(millis, event), &mut out);
        }
    };
    push(
        &mut tracker,
        vec![
            (1, state(socket(1), SynRecv, Established)),
            (1, state(socket(2), SynRecv, Established)),
            (1, accept(1, 7)),
            (1, fork(child(11, 7))),
            (1, accept(2, 7)),
            (1, fork(child(12, 7))),
            (2, run_as(12, 7, "login", "login -f root", None)),
            (2, run_as(11, 7, "login", "login -h x", None)),
        ],
    );
    let checks = look(&mut tracker, at(30));
    let mut told = Vec::new();
    for check in &checks {
        tracker.settle(check, &[7], &mut told);
    }
    let of = |id: u64| -> Vec<u32> {
        let key = socket(id).key;
        told.iter()
            .filter_map(|observation| match observation {
                Observation::Program {
                    session, program, ..
                } if session.key == key => Some(program.task.pid),
                Observation::Session { .. }
                | Observation::Program { .. }
                | Observation::ListenerOpened { .. }
                | Observation::ListenerClosed { .. } => None,
            })
            .collect()
    };
    assert_eq!((of(1), of(2)), (vec![11], vec![12]));
    let is_bypass = |id: u64| {
        told.iter().any(|observation| {
            matches!(observation, Observation::Session { session, fact: Fact::Bypassed, .. }
                if session.key == socket(id).key)
        })
    };
    assert_eq!((is_bypass(1), is_bypass(2)), (false, true));
}

/// systemd forks another service between the accept and the child that gets the socket.
#[test]
fn what_a_super_server_forks_for_others_is_told_of_nobody() {
    let (out, _) = run(vec![
        (1, state(socket(1), SynRecv, Established)),
        (2, accept(1, 7)),
        (3, fork(child(20, 7))),
        (4, run_as(20, 7, "cron", "cron -f", None)),
        (5, fork(child(21, 7))),
        (
            6,
            run_as(21, 7, "telnetd", "telnetd", Some(socket(1).key.address)),
        ),
        (7, run_as(20, 7, "other", "other", None)),
        (8, fork(child(22, 21))),
        (9, run_as(22, 21, "login", "login -p -h x", None)),
        (10, exit(22, ExitStatus::Code(1))),
        (11, exit(21, ExitStatus::Code(0))),
        (12, state(socket(1), FinWait2, Close)),
    ]);
    assert_eq!(
        words(&out),
        [
            "accepted by Some(7)",
            "login Started",
            "login Ended(Code(1))",
            "login failed by Some(21)",
            "fin Some(true) by Some(21)",
        ]
    );
    let activity = activity_of(&out, 1);
    assert_eq!(activity.login.progress, Progress::Failed);
    assert!(activity.is_followed && activity.survivors.is_empty());
}

/// The next read of login(1) fails when its terminal is hung up, and it may be sooner than the
/// signal.
#[test]
fn a_login_that_was_hung_up_did_not_fail() {
    for (last, expected) in [(LastAck, Progress::Asking), (FinWait2, Progress::Failed)] {
        let (out, _) = run(vec![
            (1, state(socket(1), SynRecv, Established)),
            (2, accept(1, 7)),
            (3, fork(child(8, 7))),
            (
                4,
                run_as(8, 7, "telnetd", "telnetd", Some(socket(1).key.address)),
            ),
            (5, fork(child(9, 8))),
            (6, run_as(9, 8, "login", "login", None)),
            (7, exit(9, ExitStatus::Code(1))),
            (8, exit(8, ExitStatus::Code(0))),
            (9, state(socket(1), last, Close)),
        ]);
        assert_eq!(activity_of(&out, 1).login.progress, expected, "{last:?}");
    }
}

#[test]
fn the_end_waits_for_the_processes_and_names_those_that_stay() {
    let session = |tail: Vec<(u64, KernelEvent)>| {
        let mut events = vec![
            (1, state(socket(1), SynRecv, Established)),
            (2, accept(1, 7)),
            (3, fork(child(8, 7))),
            (
                4,
                run_as(8, 7, "telnetd", "telnetd", Some(socket(1).key.address)),
            ),
            (5, fork(child(9, 8))),
            (6, run_as(9, 8, "login", "login", None)),
            (7, fork(child(10, 9))),
            (8, run_as(10, 9, "sh", "-sh", None)),
            (9, fork(child(11, 10))),
            (10, run_as(11, 10, "miner", "./miner -q", None)),
            (20, state(socket(1), LastAck, Close)),
        ];
        events.extend(tail);
        run_until(events, 1_000).0
    };
    let signal = ExitStatus::Signal(1);
    let mut leave: Vec<_> = [8, 9, 10].map(|pid| (21, exit(pid, signal))).into();
    let stays = session(leave.clone());
    let activity = activity_of(&stays, 1);
    let survivors: Vec<u32> = activity.survivors.iter().map(|task| task.pid).collect();
    assert_eq!(survivors, [11]);
    assert_eq!(activity.programs, 3);
    assert_eq!(activity.last.map(|task| task.pid), Some(11));
    assert_eq!(activity.terminal.map(|terminal| terminal.pid), Some(9));

    leave.push((22, exit(11, signal)));
    let gone = session(leave);
    assert_eq!(activity_of(&gone, 1).survivors, []);
    let closes = |out: &[Observation]| {
        let closes = words(out)
            .into_iter()
            .filter(|word| word.starts_with("fin"));
        closes.count()
    };
    assert_eq!((closes(&stays), closes(&gone)), (1, 1));
}

/// A child holds the socket beside its parent until it runs a program: at the first look it may
/// not have come to that yet.
#[test]
fn a_child_on_its_way_to_exec_is_not_taken_for_the_handler() {
    let (_, mut tracker) = run_until(
        vec![
            (1, state(socket(1), SynRecv, Established)),
            (2, accept(1, 7)),
            (3, fork(child(8, 7))),
        ],
        10,
    );
    let mut out = Vec::new();
    let mut look = |tracker: &mut Tracker, millis, holders: &[u32]| {
        for check in look(tracker, at(millis)) {
            tracker.settle(&check, holders, &mut out);
        }
    };
    look(&mut tracker, 22, &[7, 8]);
    let mut told = Vec::new();
    for (millis, event) in [
        (23, run_as(8, 7, "login", "login -h x", None)),
        (24, fork(child(9, 8))),
        (25, run_as(9, 8, "sh", "-sh", None)),
    ] {
        tracker.push(record(millis, event), &mut told);
    }
    assert_eq!(told, []);
    look(&mut tracker, 252, &[7]);
    assert_eq!(
        words(&out),
        ["login Started", "sh Started", "logged in by Some(7)"]
    );
}

/// On a busy host all looks may have come before that; what it does then is told all the same.
#[test]
fn a_child_that_comes_to_exec_after_all_looks_is_looked_at_again() {
    let (_, mut tracker) = run_until(
        vec![
            (1, state(socket(1), SynRecv, Established)),
            (2, accept(1, 7)),
            (3, fork(child(8, 7))),
            (4, state(socket(2), SynRecv, Established)),
            (5, accept(2, 7)),
            (6, fork(child(10, 7))),
        ],
        10,
    );
    let mut out = Vec::new();
    let mut look = |tracker: &mut Tracker, millis, holders: &[u32]| {
        let checks = look(tracker, at(millis));
        for check in &checks {
            tracker.settle(check, holders, &mut out);
        }
        checks.len()
    };
    for millis in [26, 256, 1_006, 3_010] {
        assert_eq!(look(&mut tracker, millis, &[7, 8, 10]), 2);
    }
    assert_eq!(
        look(&mut tracker, 60_000, &[7, 8, 10]),
        0,
        "none is planned"
    );
    let mut told = Vec::new();
    for (millis, event) in [
        (60_000, run_as(8, 7, "login", "login -h x", None)),
        (60_001, fork(child(9, 8))),
        (60_002, run_as(9, 8, "sh", "-sh", None)),
    ] {
        tracker.push(record(millis, event), &mut told);
    }
    assert_eq!(told, []);
    // The other's child is late, and has a copy of this socket.
    assert_eq!(look(&mut tracker, 60_020, &[7, 10]), 1);
    assert_eq!(
        words(&out),
        ["login Started", "sh Started", "logged in by Some(7)"]
    );
}

/// A super server on a busy host may come to fork after the first look, which finds nobody but it
/// with the socket.
#[test]
fn a_handler_that_is_made_after_the_first_look_is_the_one_whose_command_line_counts() {
    let (_, mut tracker) = run_until(
        vec![
            (1, state(socket(1), SynRecv, Established)),
            (2, accept(1, 7)),
        ],
        10,
    );
    let mut out = Vec::new();
    for check in look(&mut tracker, at(22)) {
        tracker.settle(&check, &[7], &mut out);
    }
    let stdin = Some(socket(1).key.address);
    for (millis, event) in [
        (30, fork(child(8, 7))),
        (31, run_as(8, 7, "telnetd", "telnetd -E /bin/kiosk", stdin)),
        (32, fork(child(9, 8))),
        (33, run_as(9, 8, "kiosk", "/bin/sh /bin/kiosk", None)),
        (34, run_as(9, 8, "login", "login -f root", None)),
        (35, run_as(9, 8, "sh", "-sh", None)),
    ] {
        tracker.push(record(millis, event), &mut out);
    }
    assert_eq!(
        words(&out),
        [
            "kiosk Started",
            "login Started",
            "sh Started",
            "logged in by Some(8)"
        ]
    );
    let activity = activity_of(&out, 1);
    let named = Verdict::Configured(Reason::NamedProgram);
    assert_eq!(activity.login.verdict, Some(named));
    assert_eq!(activity.programs, 3);
}

/// A kernel without cookies tells sockets apart by their address alone, which is free again at once.
#[test]
fn an_end_that_waits_for_processes_is_told_when_the_address_is_used_again() {
    let mut first = socket(1);
    first.key.cookie = None;
    let mut second = first.clone();
    second.remote.set_port(50_000);
    let stdin = Some(first.key.address);
    let (out, _) = run_until(
        vec![
            (1, state(first.clone(), SynRecv, Established)),
            (2, accept_of(first.clone(), 7)),
            (3, fork(child(8, 7))),
            (4, run_as(8, 7, "telnetd", "telnetd", stdin)),
            (5, fork(child(9, 8))),
            (6, run_as(9, 8, "miner", "./miner -q", None)),
            (20, state(first, LastAck, Close)),
            (21, exit(8, ExitStatus::Code(0))),
            (22, state(second.clone(), SynRecv, Established)),
            (23, accept_of(second, 17)),
            (24, fork(child(18, 17))),
            (25, run_as(18, 17, "telnetd", "telnetd", stdin)),
            (26, run_as(9, 8, "more", "./more", None)),
        ],
        1_000,
    );
    let ends: Vec<_> = out
        .iter()
        .filter_map(|observation| {
            if let Observation::Session {
                session,
                fact: Fact::Closed(..),
                ..
            } = observation
            {
                Some(session)
            } else {
                None
            }
        })
        .collect();
    let [end] = ends.as_slice() else {
        panic!("{:?}", words(&out));
    };
    let survivors: Vec<u32> = end.activity.survivors.iter().map(|it| it.pid).collect();
    assert_eq!((end.remote.port(), survivors), (40_001, vec![9]));
    // What is left of the first is not of the second.
    assert!(!words(&out).iter().any(|word| word.starts_with("more")));
}

#[test]
fn a_session_with_very_many_processes_hides_no_login_in_another() {
    let mut tracker = Tracker::new(Limits {
        processes: 5_000,
        ..Limits::default()
    });
    let mut out = Vec::new();
    let mut push = |event| tracker.push(record(1, event), &mut out);
    for (id, server) in [(1, 8), (2, 18)] {
        push(state(socket(id), SynRecv, Established));
        push(accept(id, 7));
        push(fork(child(server, 7)));
        let stdin = Some(socket(id).key.address);
        push(run_as(server, 7, "telnetd", "telnetd", stdin));
        push(fork(child(server + 1, server)));
        push(run_as(server + 1, server, "login", "login", None));
    }
    for pid in 1_000..11_000 {
        push(fork(child(pid, 9)));
    }
    push(fork(child(20, 19)));
    push(run_as(20, 19, "sh", "-sh", None));
    assert_eq!(activity_of(&out, 2).login.progress, Progress::Succeeded);
    assert_eq!(tracker.counters().evicted_processes, 0);
}

/// The kernel ran no program for the end of its handshake.
#[test]
fn a_login_in_a_session_whose_start_was_not_seen_is_told() {
    let stdin = Some(socket(1).key.address);
    for server in [None, stdin] {
        let mut events = vec![
            (1, accept(1, 7)),
            (2, fork(child(8, 7))),
            (3, run_as(8, 7, "telnetd", "telnetd", server)),
            (4, fork(child(9, 8))),
            (5, run_as(9, 8, "login", "login -f root", None)),
        ];
        if server.is_none() {
            // Nobody knows yet that it serves the session.
            events.push((6, KernelEvent::Close(socket(1), child(8, 7))));
        }
        let (out, _) = run(events);
        let words = words(&out);
        assert!(
            words.iter().any(|word| word.starts_with("bypassed")),
            "{words:?}"
        );
    }
}
