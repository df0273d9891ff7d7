//! The session state machine: kernel records in, observations out. Pure: time comes with the
//! records, and nothing here reads a clock, a file or a socket.
//!
//! The accept record is joined to its session by socket, in any order: it may come before the
//! handshake completes (TCP Fast Open) and after the session ended (the client left early).

mod accept;
mod compare;
mod counters;
mod found;
mod protocol;
mod served;
mod state;
mod told;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use self::{compare::Differences, found::FoundSessions};
pub use self::{
    compare::{Comparison, Known},
    counters::Counters,
};
use super::{
    Activity, Attribution, Direction, Fact, Listener, Observation, Owner, Session,
    handlers::Handlers, listeners::Listeners, looks::Looks, table::Table, tree::Trees,
};
use crate::{
    clock::BootTime,
    probe::record::{Accept, KernelEvent, Record, Socket, SocketKey, Task},
};

/// Bounds of the tracker.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions tracked at once.
    pub sessions: usize,
    /// Listening sockets tracked at once.
    pub listeners: usize,
    /// Descendants of acceptors tracked at once.
    pub processes: usize,
    /// How long an accepted session waits for its acceptor before it is reported without.
    pub acceptor_wait: Duration,
    /// Look for the holder of a socket whose acceptor the kernel has not reported for this long;
    /// absent when the kernel misses none.
    pub look_after: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 131_072,
            listeners: 4_096,
            processes: 16_384,
            acceptor_wait: Duration::from_millis(100),
            look_after: None,
        }
    }
}

/// Tracks every session and listening socket on the monitored ports.
#[derive(Debug)]
pub struct Tracker {
    limits: Limits,
    sessions: Table<u64, Box<Entry>>,
    listeners: Listeners,
    /// Accept records whose session has not come yet, oldest first.
    accepts: VecDeque<EarlyAccept>,
    /// Who accepted last.
    acceptor: Option<Arc<Task>>,
    handlers: Handlers,
    looks: Looks,
    trees: Trees,
    found: FoundSessions,
    differences: Differences,
    /// Sessions that wait for their acceptor, by deadline.
    waiting: VecDeque<(BootTime, SocketKey)>,
    counters: Counters,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    state: State,
    /// The session ended while it waited for its acceptor.
    closed: Option<Box<(Fact, BootTime)>>,
    /// Its protocol was proven before the session was reported.
    identified: Option<BootTime>,
}

impl Entry {
    const fn new(session: Session, state: State) -> Self {
        Self {
            session,
            state,
            closed: None,
            identified: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Found open; not reported yet.
    Found,
    /// SYN sent.
    Connecting,
    /// Handshake complete; not reported yet.
    AwaitingAcceptor,
    /// Reported.
    Open,
}

#[derive(Debug)]
struct EarlyAccept {
    accept: Accept,
    time: BootTime,
    deadline: BootTime,
}

impl Tracker {
    /// Tracks nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sessions: Table::new(limits.sessions),
            listeners: Listeners::new(limits.listeners),
            accepts: VecDeque::new(),
            acceptor: None,
            handlers: Handlers::new(limits.processes),
            looks: Looks::default(),
            trees: Trees::new(limits.processes, limits.sessions),
            found: FoundSessions::default(),
            differences: Differences::default(),
            waiting: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes one kernel record and appends what it means to `out`.
    pub fn push(&mut self, record: Record, out: &mut Vec<Observation>) {
        let time = record.time;
        match record.event {
            KernelEvent::Connect(socket, task) => self.connect(&socket, task, time, out),
            KernelEvent::Listen(socket, task) => {
                let listener = self.listeners.open(&socket, task, time);
                out.push(Observation::ListenerOpened { listener, time });
            }
            KernelEvent::Accept(accept) => self.accept(accept, time, out),
            KernelEvent::Close(socket, task) => {
                self.adopt(&socket, time, out);
                self.begin_if(|accept| is_same_socket(accept.socket.key, socket.key), out);
                self.vacate_for_end(&socket, time, out);
                self.closer(&socket, task, time, out);
            }
            KernelEvent::Fork(fork) => {
                self.begin_if(|accept| Some(accept.task.pid) == fork.child.parent, out);
                if self.trees.fork(&fork, time) {
                    self.handlers.fork(&fork.child, time);
                }
            }
            KernelEvent::Exec(exec) => self.exec(&exec, time, out),
            KernelEvent::Exit(exit) => self.exit(&exit, time, out),
            KernelEvent::State(change) => self.change(&change, time, out),
            KernelEvent::Protocol(socket, protocol) => self.identify(&socket, protocol, time, out),
        }
    }

    /// Reports the sessions whose acceptor did not show up in time.
    pub fn tick(&mut self, now: BootTime, out: &mut Vec<Observation>) {
        while let Some(&(deadline, key)) = self.waiting.front()
            && deadline <= now
        {
            self.waiting.pop_front();
            self.report(key, now, out);
            self.look_again(key);
        }
        let is_due = |early: &mut EarlyAccept| early.deadline <= now;
        while let Some(early) = self.accepts.pop_front_if(is_due) {
            self.begin_by_accept(early, out);
        }
        for end in self.trees.overdue(now) {
            out.push(told::ended(end));
        }
    }

    /// When [`Self::tick`] has something to do next.
    pub fn deadline(&self) -> Option<BootTime> {
        let session = self.waiting.front().map(|(deadline, _)| *deadline);
        let accept = self.accepts.front().map(|accept| accept.deadline);
        let look = self.looks.deadline();
        let end = self.trees.deadline();
        let all = session.into_iter().chain(accept).chain(look).chain(end);
        all.min()
    }

    /// Sessions that are waiting for their acceptor.
    pub fn awaiting(&self) -> impl Iterator<Item = &Session> {
        self.waiting
            .iter()
            .filter_map(|(_, key)| self.sessions.get(&key.address))
            .filter(|entry| entry.state == State::AwaitingAcceptor)
            .map(|entry| &entry.session)
    }

    /// The session of a socket.
    pub fn session(&self, key: SocketKey) -> Option<&Session> {
        let entry = self.sessions.get(&key.address)?;
        is_same_socket(entry.session.key, key).then_some(&entry.session)
    }

    /// What the processes of a session have done so far.
    pub fn activity<'a>(&'a self, session: &'a Session) -> &'a Activity {
        self.trees
            .activity(session.key)
            .unwrap_or(&session.activity)
    }

    /// What could not be done so far.
    pub fn counters(&self) -> Counters {
        Counters {
            evicted_sessions: self.sessions.evicted(),
            evicted_listeners: self.listeners.evicted(),
            evicted_processes: self.handlers.evicted() + self.trees.evicted(),
            refused_listeners: self.listeners.refused(),
            ..self.counters
        }
    }

    /// Sessions open now.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions
            .values()
            .filter(|entry| entry.state == State::Open)
            .map(|entry| &entry.session)
    }

    /// How many sessions and listening sockets are known now.
    pub fn known(&self) -> usize {
        self.sessions.values().len() + self.listeners.len()
    }

    /// Sockets listening now.
    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.all()
    }

    fn connect(&mut self, socket: &Socket, task: Task, time: BootTime, out: &mut Vec<Observation>) {
        let mut session = new_session(socket, Direction::Egress);
        session.attempted = Some(time);
        session.owners.client = Some(Owner {
            task: Arc::new(task),
            source: Attribution::Connect,
        });
        out.push(observed(&session, Fact::Attempted, time));
        self.insert(session, State::Connecting, time, out);
    }

    /// Reports a waiting session, with what is known by now; at `time` if it is not known since when it
    /// is open.
    fn report(&mut self, key: SocketKey, time: BootTime, out: &mut Vec<Observation>) {
        let Some(entry) = self.entry(key) else {
            return;
        };
        if entry.state != State::AwaitingAcceptor {
            return;
        }
        entry.state = State::Open;
        let closed = entry.closed.take();
        let identified = entry.identified.take();
        let mut session = entry.session.clone();
        if session.owners.listener.is_none() {
            // Of several that share the address the acceptor tells which one it was.
            session.owners.listener = self.listeners.owner_of(&session);
        }
        let opened = session.opened.unwrap_or(time);
        out.push(observed(&session, Fact::Accepted, opened));
        out.extend(identified.map(|time| observed(&session, Fact::Identified, time)));
        if let Some((fact, time)) = closed.map(|closed| *closed) {
            self.sessions.remove(&key.address);
            self.end(session, fact, time, out);
        } else if let Some(entry) = self.entry(key) {
            entry.session.owners.listener = session.owners.listener;
        }
    }

    /// Adds a session of which the kernel told at `time`.
    fn insert(
        &mut self,
        session: Session,
        state: State,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        self.vacate(session.key, time, out);
        let entry = Box::new(Entry::new(session, state));
        let opened = entry.session.opened.unwrap_or(time);
        self.put(entry, opened, out);
    }

    /// A socket's address is free again once it is closed, so whatever stands there when another
    /// socket has it is finished: it is reported first if it still waited, and its end if that was
    /// not seen.
    fn vacate(&mut self, next: SocketKey, time: BootTime, out: &mut Vec<Observation>) {
        self.begin_before(next, time, out);
        if let Some(old) = self.sessions.get(&next.address) {
            let key = old.session.key;
            self.report(key, time, out);
            self.report_ended(key, time, out);
        }
    }

    /// The end of `socket` is told: whatever else has its address is finished, as in [`Self::vacate`].
    /// Without cookies the peer tells one socket from another.
    fn vacate_for_end(&mut self, socket: &Socket, time: BootTime, out: &mut Vec<Observation>) {
        let there = self.sessions.get(&socket.key.address);
        if there.is_some_and(|entry| !is_session_of(socket, &entry.session)) {
            self.vacate(socket.key, time, out);
        }
    }

    /// Puts an entry where its socket is looked for. The session that gives way in a full table is
    /// reported first, at `time` if it is not known since when it is open: its closing event is
    /// lost, the session itself is not.
    fn put(&mut self, entry: Box<Entry>, time: BootTime, out: &mut Vec<Observation>) {
        let key = entry.session.key.address;
        if let Some(mut evicted) = self.sessions.insert(key, entry) {
            self.looks.forget(evicted.session.key);
            if matches!(evicted.state, State::Found | State::AwaitingAcceptor) {
                found::report(&mut evicted, time, out);
            }
        }
    }

    /// The entry of a socket: same address, and same cookie where the kernel has cookies.
    fn entry(&mut self, key: SocketKey) -> Option<&mut Entry> {
        self.sessions
            .get_mut(&key.address)
            .map(AsMut::as_mut)
            .filter(|entry| is_same_socket(entry.session.key, key))
    }

    fn take(&mut self, key: SocketKey) -> Option<Box<Entry>> {
        self.entry(key)?;
        self.sessions.remove(&key.address)
    }

    /// Whether an attempt of this socket to connect to this peer is under way. Its address alone may be
    /// that of another socket, whose end was not seen.
    fn is_connecting(&self, socket: &Socket) -> bool {
        self.sessions.get(&socket.key.address).is_some_and(|entry| {
            entry.state == State::Connecting && is_session_of(socket, &entry.session)
        })
    }
}

fn is_same_socket(left: SocketKey, right: SocketKey) -> bool {
    left.address == right.address
        && match (left.cookie, right.cookie) {
            (Some(left), Some(right)) => left == right,
            _ => true,
        }
}

/// Whether the session is that of `socket`, as far as the kernel tells one from another.
fn is_session_of(socket: &Socket, session: &Session) -> bool {
    is_same_socket(session.key, socket.key) && session.remote == socket.remote
}

fn new_session(socket: &Socket, direction: Direction) -> Session {
    Session {
        netns: socket.netns,
        ..Session::new(socket.key, direction, socket.local, socket.remote)
    }
}

fn observed(session: &Session, fact: Fact, time: BootTime) -> Observation {
    Observation::Session {
        session: Box::new(session.clone()),
        fact,
        time,
    }
}

#[cfg(test)]
mod tests;
