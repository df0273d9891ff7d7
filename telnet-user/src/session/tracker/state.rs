//! What a TCP state change means for its session or listening socket.

use super::{
    Entry, State, Tracker, accept::is_accept_of, found, is_same_socket, new_session, observed,
};
use crate::{
    clock::BootTime,
    probe::record::{Socket, StateChange, TcpState},
    session::{
        Direction, Fact, Failure, Observation,
        ending::{ending, traffic},
    },
};

impl Tracker {
    pub(super) fn change(
        &mut self,
        change: &StateChange,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        match (change.old, change.new) {
            (TcpState::SynSent, TcpState::Established) => self.established(change, time, out),
            (TcpState::SynRecv, TcpState::Established) => {
                // Both ends sent a SYN at once: still an outbound session.
                if self.is_connecting(&change.socket) {
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
        self.forget_found(&change.socket, time, out);
        let key = change.socket.key;
        let is_connecting = self.is_connecting(&change.socket);
        let connecting = is_connecting.then(|| self.take(key)).flatten();
        let mut entry = connecting.unwrap_or_else(|| {
            let session = new_session(&change.socket, Direction::Egress);
            Box::new(Entry::new(session, State::Connecting))
        });
        let session = &mut entry.session;
        session.local = change.socket.local;
        session.remote = change.socket.remote;
        session.opened = Some(time);
        out.push(observed(session, Fact::Established, time));
        out.extend(entry.told_protocol());
        self.insert(entry.session, State::Open, time, out);
    }

    fn accepted(&mut self, socket: &Socket, time: BootTime, out: &mut Vec<Observation>) {
        self.forget_found(socket, time, out);
        if let Some(entry) = self.entry(socket.key)
            && entry.session.opened.is_none()
            && socket.key.cookie.is_some()
        {
            // Known by accept(2) already. Without a cookie it would be another socket, at the address of
            // one whose end was not seen.
            entry.session.opened = Some(time);
            return;
        }
        let mut session = new_session(socket, Direction::Ingress);
        session.opened = Some(time);
        // Now: by the time the session is reported the listener may be gone.
        session.owners.listener = self.listeners.owner_of(&session);
        let early = self
            .accepts
            .iter()
            .position(|early| is_accept_of(&early.accept.socket, &session))
            .and_then(|index| self.accepts.remove(index));
        let key = session.key;
        let is_attributed = early.is_some();
        self.insert(session, State::AwaitingAcceptor, time, out);
        if let Some(early) = early {
            self.join(key, early.accept, time, out);
        }
        if is_attributed || self.limits.acceptor_wait.is_zero() {
            self.report(key, time, out);
        } else {
            let deadline = time.plus(self.limits.acceptor_wait);
            self.waiting.push_back((deadline, key));
        }
    }

    fn closed(&mut self, change: &StateChange, time: BootTime, out: &mut Vec<Observation>) {
        let key = change.socket.key;
        self.adopt(&change.socket, time, out);
        self.begin_if(|accept| is_same_socket(accept.socket.key, key), out);
        self.vacate_for_end(&change.socket, time, out);
        self.complete_attempt(change, time, out);
        let Some(entry) = self.entry(key) else {
            self.unknown_close(change, time, out);
            return;
        };
        let error = change.socket.error;
        let fact = if entry.state == State::Connecting {
            Fact::Failed(Failure { error })
        } else {
            let counters = change.counters;
            let direction = entry.session.direction;
            let ending = ending(change.old, error);
            let traffic =
                counters.map(|counters| traffic(direction, (change.old, ending), counters));
            Fact::Closed(ending, traffic)
        };
        if entry.state == State::AwaitingAcceptor {
            // accept(2) may still come: the client left before the server looked.
            entry.closed = Some(Box::new((fact, time)));
        } else if let Some(entry) = self.take(key) {
            self.end(entry.session, fact, time, out);
        }
    }

    /// What the end of an attempt tells of it: its local end, and whether its handshake was over, the
    /// record of which was lost. Then it is a session, and reported first.
    fn complete_attempt(
        &mut self,
        change: &StateChange,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        let has_connected = !matches!(change.old, TcpState::SynSent | TcpState::SynRecv);
        let entry = self.entry(change.socket.key);
        let Some(entry) = entry.filter(|entry| entry.state == State::Connecting) else {
            return;
        };
        // It may have been chosen after connect(2) was seen.
        if change.socket.local.port() != 0 {
            entry.session.local = change.socket.local;
        }
        if has_connected {
            found::report(entry, time, out);
            self.counters.unseen_starts += 1;
        }
    }

    /// An inbound handshake that failed has no earlier record; anything else was missed.
    fn unknown_close(&mut self, change: &StateChange, time: BootTime, out: &mut Vec<Observation>) {
        if change.old != TcpState::SynRecv {
            self.counters.unknown_closes += 1;
            return;
        }
        let mut session = new_session(&change.socket, Direction::Ingress);
        session.owners.listener = self.listeners.owner_of(&session);
        let error = change.socket.error;
        out.push(observed(&session, Fact::Failed(Failure { error }), time));
    }
}
