use std::collections::HashSet;

use super::*;
use crate::{
    probe::filter::Filter,
    probe::record::{
        Accept, Args, Exec, Fork, Hook, KernelEvent, Protocol, Record, Socket, SocketError,
        StateChange, Task,
        TcpState::{self, Close, Established, FinWait2, LastAck, SynRecv, SynSent},
    },
    session::{
        Ending, Found, Listing,
        activity::Progress,
        tracker::{Known, Limits},
    },
};

const BOOT: &str = "5e0d6f39-8a8f-4b2b-8a34-6c0a39a0a9a1";

fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * 1_000_000)
}

/// This host's port 23 and one of a peer's; with a cookie where the kernel has them.
fn socket(port: u16, cookie: Option<u64>) -> Socket {
    Socket {
        key: SocketKey {
            address: 0xffff_8880_0000_0000 + u64::from(port),
            cookie,
        },
        netns: Some(1),
        error: SocketError::Clear,
        mptcp: false,
        local: "192.0.2.1:23".parse().expect("address"),
        remote: SocketAddr::new("198.51.100.9".parse().expect("address"), port),
    }
}

/// As the list of open sockets has it, where each has a cookie and none an address.
fn found(socket: &Socket, cookie: u64) -> Found {
    Found::Session(Box::new(Session {
        netns: socket.netns,
        preexisting: true,
        inode: Some(cookie),
        ..Session::new(
            SocketKey {
                address: 0,
                cookie: Some(cookie),
            },
            Direction::Ingress,
            socket.local,
            socket.remote,
        )
    }))
}

fn change(socket: Socket, old: TcpState, new: TcpState) -> KernelEvent {
    KernelEvent::State(StateChange {
        socket,
        old,
        new,
        counters: None,
    })
}

/// One run of the agent.
struct Run {
    tracker: Tracker,
    keeper: Keeper,
    lines: String,
    out: Vec<Observation>,
}

impl Run {
    fn start(lines: &str, boot: &str, reports: bool, found: Vec<Found>) -> Self {
        let kept = Kept::restored(lines, boot);
        let mut run = Self {
            tracker: Tracker::new(Limits::default()),
            keeper: Keeper::new(boot.to_owned(), reports, &kept),
            lines: lines.to_owned(),
            out: Vec::new(),
        };
        let listing = Listing {
            found,
            namespaces: HashSet::from([1]),
            is_complete: true,
        };
        let ended = run.tracker.found(
            listing,
            Known::default(),
            &Filter::all(),
            kept,
            at(9_000),
            &mut run.out,
        );
        run.tracker.ended(&ended);
        run.tracker.report_found(at(9_000), &mut run.out);
        run.keeper.clean_up();
        run.keep();
        run
    }

    fn push(&mut self, millis: u64, event: KernelEvent) {
        let record = Record {
            cpu: 0,
            sequence: 0,
            time: at(millis),
            event,
        };
        let before = self.out.len();
        self.tracker.push(record, &mut self.out);
        self.tracker.tick(at(millis + 200), &mut self.out);
        for observation in self.out.get(before..).unwrap_or_default() {
            self.keeper.note(observation);
        }
        self.keep();
    }

    fn keep(&mut self) {
        if let Some(change) = self.keeper.take_change(&self.tracker, |_| false) {
            if change.replaces {
                self.lines.clear();
            }
            self.lines.push_str(&change.lines);
        }
    }

    fn sessions(&self) -> Vec<(&Session, &Fact, BootTime)> {
        let session = |observation| match observation {
            &Observation::Session {
                ref session,
                ref fact,
                time,
            } => Some((&**session, fact, time)),
            Observation::Program { .. }
            | Observation::ListenerOpened { .. }
            | Observation::ListenerClosed { .. } => None,
        };
        self.out.iter().filter_map(session).collect()
    }
}

fn opened(reports: bool, cookie: Option<u64>) -> Run {
    let mut run = Run::start("", BOOT, reports, Vec::new());
    run.push(5, change(socket(1, cookie), SynRecv, Established));
    run
}

#[test]
fn the_next_run_knows_a_session_by_its_name_and_since_when_it_is_open() {
    for cookie in [Some(7), None] {
        let first = opened(true, cookie);
        let there = found(&socket(1, None), 7);
        let mut next = Run::start(&first.lines, BOOT, true, vec![there]);
        next.push(9_500, change(socket(1, cookie), LastAck, Close));
        let sessions = next.sessions();
        let [
            (session, Fact::Accepted, time),
            (closed, Fact::Closed(..), _),
        ] = *sessions
        else {
            panic!("{sessions:?}");
        };
        assert!(session.reported && !session.preexisting);
        assert_eq!((time, closed.opened), (at(5), Some(at(5))));
        assert_eq!(
            (session.key, closed.key),
            (socket(1, cookie).key, session.key)
        );
        assert_eq!(
            next.tracker.counters(),
            crate::session::tracker::Counters::default()
        );
        let last = Run::start(&next.lines, BOOT, true, Vec::new());
        assert_eq!(last.tracker.counters().unseen_ends, 0, "{}", next.lines);
    }
}

#[test]
fn what_a_session_speaks_is_known_to_the_next_run_and_not_told_again() {
    let mut first = opened(true, Some(7));
    first.push(
        300,
        KernelEvent::Protocol(socket(1, Some(7)), Protocol::Ssh),
    );
    let there = || vec![found(&socket(1, None), 7)];
    let next = Run::start(&first.lines, BOOT, true, there());
    // From what that one has kept in turn.
    let mut last = Run::start(&next.lines, BOOT, true, there());
    last.push(9_500, change(socket(1, Some(7)), LastAck, Close));
    let sessions = last.sessions();
    let [(_, Fact::Accepted, _), (closed, Fact::Closed(..), _)] = *sessions else {
        panic!("{sessions:?}");
    };
    assert_eq!(closed.protocol, Some(Protocol::Ssh));
}

#[test]
fn what_ended_meanwhile_is_told_once() {
    let first = opened(true, Some(7));
    let next = Run::start(&first.lines, BOOT, true, Vec::new());
    assert_eq!(next.tracker.counters().unseen_ends, 1);
    let sessions = next.sessions();
    let [(session, Fact::Closed(Ending::Unseen, None), _)] = *sessions else {
        panic!("{sessions:?}");
    };
    assert_eq!(session.key, socket(1, Some(7)).key);
    let last = Run::start(&next.lines, BOOT, true, Vec::new());
    assert_eq!(last.tracker.counters().unseen_ends, 0);
}

#[test]
fn another_session_on_the_same_ports_is_not_the_one_of_before() {
    let first = opened(true, Some(7));
    let there = |cookie| vec![found(&socket(1, None), cookie)];
    let mut next = Run::start(&first.lines, BOOT, true, there(8));
    next.push(9_500, change(socket(1, Some(8)), LastAck, Close));
    let sessions = next.sessions();
    let [
        (before, Fact::Closed(Ending::Unseen, None), _),
        (session, Fact::Accepted, _),
        (closed, Fact::Closed(Ending::Fin { .. }, _), _),
    ] = *sessions
    else {
        panic!("{sessions:?}");
    };
    assert!(!session.reported && session.preexisting);
    let cookies = [before, session, closed].map(|session| session.key.cookie);
    assert_eq!(cookies, [Some(7), Some(8), Some(8)]);

    // Of an earlier boot nothing is left.
    let next = Run::start(&first.lines, "another boot", true, there(7));
    let sessions = next.sessions();
    let [(session, Fact::Accepted, _)] = *sessions else {
        panic!("{sessions:?}");
    };
    assert!(!session.reported && session.preexisting);
}

#[test]
fn sessions_found_by_two_runs_do_not_get_in_each_others_way() {
    let first = Run::start("", BOOT, true, vec![found(&socket(1, None), 7)]);
    let both = vec![found(&socket(2, None), 8), found(&socket(1, None), 7)];
    let mut next = Run::start(&first.lines, BOOT, true, both);
    for (port, cookie) in [(1, 7), (2, 8)] {
        next.push(9_500, change(socket(port, Some(cookie)), LastAck, Close));
    }
    let closed = next
        .sessions()
        .into_iter()
        .filter(|(_, fact, _)| matches!(fact, Fact::Closed(Ending::Fin { .. }, _)));
    let cookies: Vec<_> = closed.map(|(session, ..)| session.key.cookie).collect();
    assert_eq!(cookies, [Some(7), Some(8)]);
}

#[test]
fn events_that_no_run_wrote_are_not_called_reported() {
    let mut lines = opened(false, Some(7)).lines;
    for (reports, was_reported) in [(false, false), (true, false), (false, true), (true, true)] {
        let there = found(&socket(1, None), 7);
        let next = Run::start(&lines, BOOT, reports, vec![there]);
        let sessions = next.sessions();
        assert_eq!(
            sessions.first().map(|(s, ..)| s.reported),
            Some(was_reported)
        );
        lines = next.lines;
    }
}

#[test]
fn who_connected_is_not_guessed_again() {
    let task = Task {
        pid: 9,
        tid: 9,
        uid: 0,
        gid: 0,
        start: None,
        comm: String::new(),
        parent: None,
        cgroup: None,
        args: None,
    };
    let mut first = Run::start("", BOOT, true, Vec::new());
    first.push(4, KernelEvent::Connect(socket(1, Some(7)), task));
    first.push(5, change(socket(1, Some(7)), SynSent, Established));
    let there = found(&socket(1, None), 7);
    let next = Run::start(&first.lines, BOOT, true, vec![there]);
    let sessions = next.sessions();
    let [(session, Fact::Established, _)] = *sessions else {
        panic!("{sessions:?}");
    };
    assert_eq!(session.attempted, Some(at(4)));
}

#[test]
fn damaged_lines_spoil_nothing_else() {
    let mut lines = opened(true, Some(7)).lines;
    lines.push_str("{\"opened\":{}}\nnot JSON\n\n{\"opened\"");
    let next = Run::start(&lines, BOOT, true, vec![found(&socket(1, None), 7)]);
    assert!(next.sessions().iter().all(|(session, ..)| session.reported));
    assert_eq!(next.lines.lines().count(), 2, "{}", next.lines);
}

#[test]
fn the_file_does_not_grow_for_ever() {
    let mut run = Run::start("", BOOT, true, Vec::new());
    for round in 0..3_000 {
        run.push(round, change(socket(1, Some(round)), SynRecv, Established));
        run.push(round, change(socket(1, Some(round)), FinWait2, Close));
    }
    assert!(run.lines.lines().count() < 1_100);
}

fn task(pid: u32, parent: u32, line: &str) -> Task {
    Task {
        pid,
        tid: pid,
        uid: 0,
        gid: 0,
        start: Some(at(u64::from(pid))),
        comm: line.split(' ').next().unwrap_or_default().to_owned(),
        parent: Some(parent),
        cgroup: None,
        args: Some(Args {
            list: line.split(' ').map(str::to_owned).collect(),
            truncated: false,
        }),
    }
}

fn fork(pid: u32, parent: u32) -> KernelEvent {
    let child = task(pid, parent, "x");
    KernelEvent::Fork(Fork { child, left_out: 0 })
}

fn exec(pid: u32, parent: u32, line: &str, stdin: Option<u64>) -> KernelEvent {
    KernelEvent::Exec(Exec {
        task: task(pid, parent, line),
        stdin,
        tty: None,
        effective_uid: 0,
        left_out: 0,
    })
}

/// How far a login has come, and the last command, as the file has them.
fn activity_in(lines: &str) -> (Progress, Option<String>) {
    let mut kept = Kept::restored(lines, BOOT);
    let Found::Session(mut session) = found(&socket(1, None), 7) else {
        panic!("a session");
    };
    kept.complete_session(&mut session);
    let activity = session.activity;
    let last = activity.last.and_then(|last| last.args.clone());
    (
        activity.login.progress,
        last.map(|args| args.list.join(" ")),
    )
}

/// Who logged in and what was run, as `sessions` reads it while the agent runs, and what the next
/// run takes over.
#[test]
fn what_processes_did_is_known_while_somebody_watches() {
    let the_socket = socket(1, Some(7));
    let mut run = opened(true, Some(7));
    run.push(
        6,
        KernelEvent::Accept(Accept {
            socket: the_socket.clone(),
            task: task(10, 1, "inetd"),
            hook: Hook::SyscallExit,
            inode: Some(7),
        }),
    );
    run.push(7, fork(11, 10));
    run.push(8, exec(11, 10, "telnetd", Some(the_socket.key.address)));
    run.push(9, fork(12, 11));
    run.push(10, exec(12, 11, "login -h x", None));
    assert_eq!(activity_in(&run.lines), (Progress::Asking, None));
    let asking = run.lines.clone();
    run.push(11, exec(12, 11, "-sh", None));
    run.push(12, fork(13, 12));
    run.push(13, exec(13, 12, "id -u", None));
    let expected = (Progress::Succeeded, Some("id -u".to_owned()));
    assert_eq!(activity_in(&run.lines), expected);
    // The same when the file is written anew.
    run.keeper.clean_up();
    run.keep();
    assert_eq!(activity_in(&run.lines), expected);
    // Whoever was asked may be in by now, and whoever was in has gone on.
    for (lines, progress) in [(asking, Progress::None), (run.lines, Progress::Succeeded)] {
        let kept = Kept::restored(&lines, BOOT).unwatched();
        let [session] = kept
            .into_sessions()
            .collect::<Vec<_>>()
            .try_into()
            .expect("one");
        assert_eq!(session.activity.login.progress, progress);
        assert_eq!(session.activity.last, None);
        assert!(!session.activity.is_followed);
    }
}
