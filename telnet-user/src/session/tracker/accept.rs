//! Joining accept(2), and what the acceptor's children do, to sessions.

use std::{net::SocketAddr, sync::Arc};

use super::{EarlyAccept, State, Tracker, is_same_socket, new_session, told::ended};
use crate::{
    clock::BootTime,
    probe::record::{Accept, Exec, Socket, SocketKey, Task},
    session::{Attribution, Direction, Observation, Owner, Session},
};

/// Accept records kept until their session comes.
const MAX_ACCEPTS: usize = 1_024;

impl Tracker {
    pub(super) fn accept(&mut self, accept: Accept, time: BootTime, out: &mut Vec<Observation>) {
        self.adopt(&accept.socket, time, out);
        if let Some(key) = self.session_of(&accept.socket) {
            self.join(key, accept, time, out);
            self.report(key, time, out);
            return;
        }
        if self.accepts.len() >= MAX_ACCEPTS
            && let Some(oldest) = self.accepts.pop_front()
        {
            self.begin_by_accept(oldest, out);
        }
        self.accepts.push_back(EarlyAccept {
            accept,
            time,
            deadline: time.plus(self.limits.acceptor_wait),
        });
    }

    /// Something comes of a session that waits for the record of its start: `is_it` tells whether it
    /// is this accept's.
    pub(super) fn begin_if(&mut self, is_it: impl Fn(&Accept) -> bool, out: &mut Vec<Observation>) {
        let is_it = |early: &EarlyAccept| can_begin(&early.accept.socket) && is_it(&early.accept);
        let early = self.accepts.iter().position(is_it);
        if let Some(early) = early.and_then(|index| self.accepts.remove(index)) {
            self.begin_by_accept(early, out);
        }
    }

    /// At `time` another socket has the address of sessions that wait for the record of their start:
    /// it was lost.
    pub(super) fn begin_before(
        &mut self,
        next: SocketKey,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        let is_before = |early: &EarlyAccept| {
            let socket = &early.accept.socket;
            let is_there = socket.key.address == next.address && early.time < time;
            is_there && !is_same_socket(socket.key, next) && can_begin(socket)
        };
        let mut all = Vec::new();
        while let Some(index) = self.accepts.iter().position(is_before) {
            all.extend(self.accepts.remove(index));
        }
        for early in all {
            self.begin_by_accept(early, out);
        }
    }

    /// The record that the handshake is over was lost, or it would have come by now but for TCP Fast
    /// Open, where accept(2) may be first: the session is known by accept(2) alone, and since when it
    /// is open is not.
    pub(super) fn begin_by_accept(&mut self, early: EarlyAccept, out: &mut Vec<Observation>) {
        let EarlyAccept { accept, time, .. } = early;
        let socket = &accept.socket;
        self.adopt(socket, time, out);
        let key = match self.session_of(socket) {
            Some(known) => known,
            None if !can_begin(socket) => {
                self.counters.unmatched_accepts += 1;
                return;
            }
            None => {
                self.counters.unseen_starts += 1;
                let mut session = new_session(socket, Direction::Ingress);
                session.owners.listener = self.listeners.owner_of(&session);
                self.insert(session, State::AwaitingAcceptor, time, out);
                socket.key
            }
        };
        self.join(key, accept, time, out);
        self.report(key, time, out);
    }

    /// Puts what accept(2) told into its session.
    pub(super) fn join(
        &mut self,
        key: SocketKey,
        accept: Accept,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        let task = self.shared(accept.task);
        let Some(entry) = self.entry(key) else {
            return;
        };
        entry.session.inode = accept.inode;
        entry.session.owners.acceptor = Some(Owner {
            task: Arc::clone(&task),
            source: Attribution::Accept(accept.hook),
        });
        if entry.closed.is_none() {
            self.looks.plan(key, time);
        }
        let over = self.trees.accept(key, &task, time);
        out.extend(over.into_iter().map(ended));
    }

    /// One copy for all sessions that a server accepts in a row.
    fn shared(&mut self, task: Task) -> Arc<Task> {
        match &self.acceptor {
            Some(last) if **last == task => Arc::clone(last),
            _ => Arc::clone(self.acceptor.insert(Arc::new(task))),
        }
    }

    /// Whoever closes an accepted socket as its last holder served it to the end. Better evidence
    /// than a look at holders, which may have come before the server forked.
    pub(super) fn closer(
        &mut self,
        socket: &Socket,
        task: Task,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        let Some(entry) = self.entry(socket.key) else {
            return;
        };
        entry.session.closed.get_or_insert(time);
        let task = Arc::new(task);
        let handler = &mut entry.session.owners.handler;
        let is_better = handler
            .as_ref()
            .is_none_or(|known| known.source != Attribution::Exec && known.task.pid != task.pid);
        if entry.session.direction == Direction::Ingress && is_better {
            *handler = Some(Owner {
                task: Arc::clone(&task),
                source: Attribution::Close,
            });
        }
        let key = entry.session.key;
        self.confirm(key, &task, out);
    }

    /// A super-server's child becomes the telnetd: it runs with the session on its standard input.
    pub(super) fn exec(&mut self, exec: &Exec, time: BootTime, out: &mut Vec<Observation>) {
        let is_stdin = |accept: &Accept| Some(accept.socket.key.address) == exec.stdin;
        self.begin_if(is_stdin, out);
        let task = Arc::new(exec.task.clone());
        self.handlers.exec(&task);
        let key = self.serve_stdin(exec, &task);
        let steps = self.trees.exec(exec, &task, key, time);
        self.tell(steps, out);
        // Now it holds what it is meant to. Where that took long, looks have found only copies.
        if let Some((key, accepted)) = self.trees.unconfirmed(task.pid) {
            self.looks.resume(key, accepted, time);
        }
    }

    /// Names the handler of the session on the standard input of a process; returns that session.
    fn serve_stdin(&mut self, exec: &Exec, task: &Arc<Task>) -> Option<SocketKey> {
        let entry = self.sessions.get_mut(&exec.stdin?)?;
        let session = &mut entry.session;
        // What the handler starts may have the socket as its standard input too.
        let is_first =
            session.owners.handler.as_ref().is_none_or(|known| {
                known.source != Attribution::Exec || known.task.pid == task.pid
            });
        if session.direction != Direction::Ingress || !is_first {
            return None;
        }
        session.owners.handler = Some(Owner {
            task: Arc::clone(task),
            source: Attribution::Exec,
        });
        Some(session.key)
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

/// Whether accept(2) of this socket alone can tell of a session. One that was closed before accept(2)
/// was told without it. Without a cookie and the time the session would have another name in each
/// event. The addresses of MPTCP's are those of a subflow, which is the session.
const fn can_begin(socket: &Socket) -> bool {
    !socket.mptcp && socket.local.port() != 0 && socket.key.cookie.is_some()
}

/// Whether `accept(2)` returned the socket of this session: the same socket, or for MPTCP the
/// one with the addresses of its subflow.
pub(super) fn is_accept_of(socket: &Socket, session: &Session) -> bool {
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
