//! The session state machine: kernel records in, observations out. Pure: time comes with the
//! records, and nothing here reads a clock, a file or a socket.
//!
//! The accept record is joined to its session by socket, in any order: it may come before the
//! handshake completes (TCP Fast Open) and after the session ended (the client left early).

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Attribution, Direction, Fact, Failure, Listener, Observation, Owner, Owners, Session,
    ending::{ending, traffic},
    handlers::{self, Check, Handlers},
    listeners::Listeners,
    table::Table,
};
use crate::{
    clock::BootTime,
    probe::record::{
        Accept, Exec, KernelEvent, Record, Socket, SocketKey, StateChange, Task, TcpState,
    },
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 131_072,
            listeners: 4_096,
            processes: 16_384,
            acceptor_wait: Duration::from_millis(100),
        }
    }
}

/// What the tracker could not do, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions that gave way to newer ones: their closing event is lost.
    pub evicted_sessions: u64,
    /// Listening sockets that gave way to newer ones.
    pub evicted_listeners: u64,
    /// Accept records for which no session came.
    pub unmatched_accepts: u64,
    /// Sockets that closed and were not known: opened before the agent, or their record was lost.
    pub unknown_closes: u64,
}

/// Tracks every session and listening socket on the monitored ports.
#[derive(Debug)]
pub struct Tracker {
    limits: Limits,
    sessions: Table<u64, Entry>,
    listeners: Listeners,
    /// Accept records whose session has not come yet, oldest first.
    accepts: VecDeque<EarlyAccept>,
    handlers: Handlers,
    /// Sessions that wait for their acceptor, by deadline.
    waiting: VecDeque<(BootTime, SocketKey)>,
    counters: Counters,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    state: State,
    /// The session ended while it waited for its acceptor.
    closed: Option<(Fact, BootTime)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
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
    deadline: BootTime,
}

/// Accept records kept until their session comes.
const MAX_ACCEPTS: usize = 1_024;

impl Tracker {
    /// Tracks nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sessions: Table::new(limits.sessions),
            listeners: Listeners::new(limits.listeners),
            accepts: VecDeque::new(),
            handlers: Handlers::new(limits.processes),
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
            KernelEvent::Fork(task) => self.handlers.fork(task, time),
            KernelEvent::Exec(exec) => self.exec(exec),
            KernelEvent::Exit(task) => self.handlers.exit(task.pid),
            KernelEvent::State(change) => self.change(&change, time, out),
        }
    }

    /// Reports the sessions whose acceptor did not show up in time.
    pub fn tick(&mut self, now: BootTime, out: &mut Vec<Observation>) {
        while let Some(&(deadline, key)) = self.waiting.front()
            && deadline <= now
        {
            self.waiting.pop_front();
            self.report(key, out);
        }
        while self
            .accepts
            .front()
            .is_some_and(|accept| accept.deadline <= now)
        {
            self.accepts.pop_front();
            self.counters.unmatched_accepts += 1;
        }
    }

    /// When [`Self::tick`] has something to do next.
    pub fn deadline(&self) -> Option<BootTime> {
        let session = self.waiting.front().map(|(deadline, _)| *deadline);
        let accept = self.accepts.front().map(|accept| accept.deadline);
        let handler = self.handlers.deadline();
        session.into_iter().chain(accept).chain(handler).min()
    }

    /// Sessions that are waiting for their acceptor.
    pub fn awaiting(&self) -> impl Iterator<Item = &Session> {
        self.waiting
            .iter()
            .filter_map(|(_, key)| self.sessions.get(&key.address))
            .filter(|entry| entry.state == State::AwaitingAcceptor)
            .map(|entry| &entry.session)
    }

    /// Names the acceptor of a waiting session, as userspace found it, and reports the session.
    pub fn attribute(&mut self, key: SocketKey, owner: Owner, out: &mut Vec<Observation>) {
        if let Some(entry) = self.entry(key) {
            entry.session.owners.acceptor = Some(owner);
            self.report(key, out);
        }
    }

    /// Looks at holders of sockets that are due now; each is to be answered with
    /// [`Self::settle`].
    pub fn checks(&mut self, now: BootTime) -> Vec<Check> {
        let due = self.handlers.due(now);
        due.into_iter()
            .filter_map(|(key, accepted)| {
                let entry = self.sessions.get(&key.address)?;
                let is_same = is_same_socket(entry.session.key, key);
                let check = || self.handlers.check(&entry.session, accepted);
                is_same.then(check).flatten()
            })
            .collect()
    }

    /// Takes in who of a check's candidates holds the socket.
    pub fn settle(&mut self, check: &Check, holders: &[u32]) {
        if let Some(handler) = handlers::choose(&check.candidates, holders) {
            self.set_handler(check.key, handler);
        }
    }

    /// Names the process that serves a session.
    pub fn set_handler(&mut self, key: SocketKey, handler: Owner) {
        if let Some(entry) = self.entry(key) {
            entry.session.owners.handler = Some(handler);
        }
    }

    /// The session of a socket.
    pub fn session(&self, key: SocketKey) -> Option<&Session> {
        let entry = self.sessions.get(&key.address)?;
        is_same_socket(entry.session.key, key).then_some(&entry.session)
    }

    /// What could not be done so far.
    pub fn counters(&self) -> Counters {
        Counters {
            evicted_sessions: self.sessions.evicted(),
            evicted_listeners: self.listeners.evicted(),
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
        self.insert(session, State::Connecting, out);
    }

    fn accept(&mut self, accept: Accept, time: BootTime, out: &mut Vec<Observation>) {
        if let Some(key) = self.session_of(&accept.socket) {
            self.join(key, accept, time);
            self.report(key, out);
            return;
        }
        if self.accepts.len() >= MAX_ACCEPTS {
            self.accepts.pop_front();
            self.counters.unmatched_accepts += 1;
        }
        self.accepts.push_back(EarlyAccept {
            accept,
            deadline: time.plus(self.limits.acceptor_wait),
        });
    }

    /// Puts what accept(2) told into its session.
    fn join(&mut self, key: SocketKey, accept: Accept, time: BootTime) {
        let Some(entry) = self.entry(key) else {
            return;
        };
        entry.session.inode = accept.inode;
        entry.session.owners.acceptor = Some(Owner {
            task: Arc::new(accept.task),
            source: Attribution::Accept(accept.hook),
        });
        if entry.closed.is_none() {
            self.handlers.plan(key, time);
        }
    }

    /// A super-server's child becomes the telnetd: it runs with the session on its standard input.
    fn exec(&mut self, exec: Exec) {
        let task = Arc::new(exec.task);
        self.handlers.exec(&task);
        let Some(entry) = exec
            .stdin
            .and_then(|address| self.sessions.get_mut(&address))
        else {
            return;
        };
        let session = &mut entry.session;
        // What the handler starts may have the socket as its standard input too.
        let is_first =
            session.owners.handler.as_ref().is_none_or(|known| {
                known.source != Attribution::Exec || known.task.pid == task.pid
            });
        if session.direction == Direction::Ingress && is_first {
            session.owners.handler = Some(Owner {
                task,
                source: Attribution::Exec,
            });
        }
    }

    fn change(&mut self, change: &StateChange, time: BootTime, out: &mut Vec<Observation>) {
        match (change.old, change.new) {
            (TcpState::SynSent, TcpState::Established) => self.established(change, time, out),
            (TcpState::SynRecv, TcpState::Established) => {
                // Both ends sent a SYN at once: still an outbound session.
                if self.is_connecting(change.socket.key) {
                    self.established(change, time, out);
                } else {
                    self.accepted(&change.socket, time, out);
                }
            }
            (TcpState::Listen, TcpState::Close) => match self.listeners.close(&change.socket) {
                Some(listener) => out.push(Observation::ListenerClosed { listener, time }),
                None => self.counters.unknown_closes += 1,
            },
            (_, TcpState::Close) => self.closed(change, time, out),
            _ => {}
        }
    }

    fn established(&mut self, change: &StateChange, time: BootTime, out: &mut Vec<Observation>) {
        let mut session = match self.take(change.socket.key) {
            Some(entry) => entry.session,
            None => new_session(&change.socket, Direction::Egress),
        };
        session.local = change.socket.local;
        session.remote = change.socket.remote;
        session.opened = Some(time);
        out.push(observed(&session, Fact::Established, time));
        self.insert(session, State::Open, out);
    }

    fn accepted(&mut self, socket: &Socket, time: BootTime, out: &mut Vec<Observation>) {
        let mut session = new_session(socket, Direction::Ingress);
        session.opened = Some(time);
        let early = self
            .accepts
            .iter()
            .position(|early| is_accept_of(&early.accept.socket, &session))
            .and_then(|index| self.accepts.remove(index));
        let key = session.key;
        let is_attributed = early.is_some();
        self.insert(session, State::AwaitingAcceptor, out);
        if let Some(early) = early {
            self.join(key, early.accept, time);
        }
        if is_attributed || self.limits.acceptor_wait.is_zero() {
            self.report(key, out);
        } else {
            let deadline = time.plus(self.limits.acceptor_wait);
            self.waiting.push_back((deadline, key));
        }
    }

    fn closed(&mut self, change: &StateChange, time: BootTime, out: &mut Vec<Observation>) {
        let key = change.socket.key;
        let Some(entry) = self.entry(key) else {
            self.unknown_close(change, time, out);
            return;
        };
        let error = change.socket.error;
        let fact = if entry.state == State::Connecting {
            // The local end may have been chosen after connect(2) was seen.
            if change.socket.local.port() != 0 {
                entry.session.local = change.socket.local;
            }
            Fact::Failed(Failure { errno: error })
        } else {
            let counters = change.counters;
            let direction = entry.session.direction;
            Fact::Closed(
                ending(change.old, error),
                counters.map(|counters| traffic(direction, change.old, counters)),
            )
        };
        if entry.state == State::AwaitingAcceptor {
            // accept(2) may still come: the client left before the server looked.
            entry.closed = Some((fact, time));
        } else if let Some(entry) = self.take(key) {
            out.push(observed(&entry.session, fact, time));
        }
    }

    /// An inbound handshake that failed has no earlier record; anything else was missed.
    fn unknown_close(&mut self, change: &StateChange, time: BootTime, out: &mut Vec<Observation>) {
        if change.old != TcpState::SynRecv {
            self.counters.unknown_closes += 1;
            return;
        }
        let mut session = new_session(&change.socket, Direction::Ingress);
        session.owners.listener = self.listeners.owner_for(&session);
        let errno = change.socket.error;
        out.push(observed(&session, Fact::Failed(Failure { errno }), time));
    }

    /// Reports a waiting session, with what is known by now.
    fn report(&mut self, key: SocketKey, out: &mut Vec<Observation>) {
        let Some(entry) = self.entry(key) else {
            return;
        };
        if entry.state != State::AwaitingAcceptor {
            return;
        }
        entry.state = State::Open;
        let mut session = entry.session.clone();
        let closed = entry.closed.take();
        session.owners.listener = self.listeners.owner_for(&session);
        let opened = session.opened.unwrap_or_default();
        out.push(observed(&session, Fact::Accepted, opened));
        match closed {
            Some((fact, time)) => {
                self.sessions.remove(&key.address);
                out.push(observed(&session, fact, time));
            }
            None => {
                if let Some(entry) = self.entry(key) {
                    entry.session.owners.listener = session.owners.listener;
                }
            }
        }
    }

    /// Adds a session. A socket's address is free again once it is closed, so whatever stood
    /// there is finished, and reported first if it still waited.
    fn insert(&mut self, session: Session, state: State, out: &mut Vec<Observation>) {
        if let Some(old) = self.sessions.get(&session.key.address) {
            let key = old.session.key;
            self.report(key, out);
        }
        let entry = Entry {
            session,
            state,
            closed: None,
        };
        let key = entry.session.key.address;
        if let Some(evicted) = self.sessions.insert(key, entry)
            && evicted.state == State::AwaitingAcceptor
        {
            // Its closing event is lost, the session itself is not.
            let opened = evicted.session.opened.unwrap_or_default();
            out.push(observed(&evicted.session, Fact::Accepted, opened));
        }
    }

    /// The entry of a socket: same address, and same cookie where the kernel has cookies.
    fn entry(&mut self, key: SocketKey) -> Option<&mut Entry> {
        self.sessions
            .get_mut(&key.address)
            .filter(|entry| is_same_socket(entry.session.key, key))
    }

    fn take(&mut self, key: SocketKey) -> Option<Entry> {
        self.entry(key)?;
        self.sessions.remove(&key.address)
    }

    fn is_connecting(&self, key: SocketKey) -> bool {
        self.sessions
            .get(&key.address)
            .is_some_and(|entry| entry.state == State::Connecting)
    }

    /// The session that an accepted socket belongs to.
    fn session_of(&self, socket: &Socket) -> Option<SocketKey> {
        if !socket.mptcp {
            let entry = self.sessions.get(&socket.key.address)?;
            return is_accept_of(socket, &entry.session).then_some(entry.session.key);
        }
        self.waiting
            .iter()
            .filter_map(|(_, key)| self.sessions.get(&key.address))
            .find(|entry| is_accept_of(socket, &entry.session))
            .map(|entry| entry.session.key)
    }
}

/// Whether `accept(2)` returned the socket of this session: the same socket, or for MPTCP the
/// one with the addresses of its subflow.
fn is_accept_of(socket: &Socket, session: &Session) -> bool {
    if session.direction != Direction::Ingress {
        return false;
    }
    if socket.mptcp {
        return socket.netns == session.netns
            && socket.remote == session.remote
            && is_end(socket.local, session.local);
    }
    is_same_socket(socket.key, session.key) && socket.remote == session.remote
}

/// The local port reads 0 once the socket is closed.
fn is_end(seen: SocketAddr, known: SocketAddr) -> bool {
    seen.ip() == known.ip() && (seen.port() == known.port() || seen.port() == 0)
}

fn is_same_socket(left: SocketKey, right: SocketKey) -> bool {
    left.address == right.address
        && match (left.cookie, right.cookie) {
            (Some(left), Some(right)) => left == right,
            _ => true,
        }
}

fn new_session(socket: &Socket, direction: Direction) -> Session {
    Session {
        key: socket.key,
        direction,
        netns: socket.netns,
        local: socket.local,
        remote: socket.remote,
        attempted: None,
        opened: None,
        preexisting: false,
        inode: None,
        owners: Owners::default(),
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
