//! Sessions that were open before the agent, joined to what the kernel reports of them later.
//!
//! The list of open sockets is taken after the probe is attached, so a session that opens in
//! between is in both. The kernel's record is then the better one: it comes first, out of the
//! ring buffer, and what is left of the list is reported after it.

use std::collections::HashMap;

use super::{Entry, State, Tracker, observed};
use crate::{
    clock::BootTime,
    probe::record::{Socket, SocketKey},
    session::{
        Direction, Fact, Found, Listener, Observation, Session,
        kept::{Flow, Kept},
    },
};

/// Where the session table keeps each session that was found open: under the address of its
/// socket if an earlier run of the agent knew it, else under a number. Kernel addresses are never
/// this small.
#[derive(Debug, Default)]
pub(super) struct FoundSessions {
    keys: HashMap<Flow, u64>,
    next: u64,
}

impl FoundSessions {
    fn take(&mut self, socket: &Socket) -> Option<u64> {
        let flow = Flow::new(socket.netns, socket.local, socket.remote);
        if socket.netns.is_some() {
            return self.keys.remove(&flow);
        }
        // The list tells namespaces even where the probe cannot: one of several could be meant.
        let mut same_ends = self
            .keys
            .keys()
            .filter(|found| (found.local, found.remote) == (flow.local, flow.remote));
        let found = same_ends.next().copied()?;
        if same_ends.next().is_some() {
            return None;
        }
        self.keys.remove(&found)
    }
}

impl Tracker {
    /// Takes in what was open at start, and what an earlier run of the agent knew of it. Reported
    /// by [`Self::report_found`], or before if there is no room for all.
    pub fn found(
        &mut self,
        found: Vec<Found>,
        mut kept: Kept,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        for found in found {
            match found {
                Found::Session(mut session) => {
                    kept.complete_session(&mut session);
                    self.found_session(*session, time, out);
                }
                Found::Listener(mut listener) => {
                    kept.complete_listener(&mut listener);
                    self.listeners.found(listener);
                }
            }
        }
        self.counters.unseen_ends = kept.sessions_left();
    }

    fn found_session(&mut self, mut session: Session, time: BootTime, out: &mut Vec<Observation>) {
        if session.key.address == 0 {
            self.found.next += 1;
            session.key.address = self.found.next;
        }
        session.owners.listener = session.came_through(self.listeners.all());
        let key = session.key.address;
        self.found.keys.insert(flow(&session), key);
        let entry = Entry {
            session,
            state: State::Found,
            closed: None,
        };
        self.put(entry, time, out);
    }

    /// Reports what was found open and not reported by the kernel meanwhile.
    pub fn report_found(&mut self, time: BootTime, out: &mut Vec<Observation>) {
        let mut listeners = self.listeners.unreported();
        listeners.sort_by_key(|listener| listener.local);
        out.extend(listeners.into_iter().map(|listener| opened(listener, time)));
        let entries = self.sessions.values_mut();
        for entry in entries.filter(|entry| entry.state == State::Found) {
            out.push(report(entry, time));
        }
    }

    /// Gives a session that was found open its socket's address, now that the kernel told it. It
    /// is reported first if it was not yet.
    pub(super) fn adopt(&mut self, socket: &Socket, time: BootTime, out: &mut Vec<Observation>) {
        let Some(mut entry) = self.take_found(socket) else {
            return;
        };
        // Its name stays what it was reported under: a kernel without cookies tells none.
        entry.session.key = SocketKey {
            address: socket.key.address,
            cookie: entry.session.key.cookie.or(socket.key.cookie),
        };
        if entry.state == State::Found {
            out.push(report(&mut entry, time));
        }
        self.put(entry, time, out);
    }

    /// Forgets a session that was found open: the kernel reported the same one from its start.
    pub(super) fn forget_found(&mut self, socket: &Socket) {
        self.take_found(socket);
    }

    fn take_found(&mut self, socket: &Socket) -> Option<Entry> {
        let key = self.found.take(socket)?;
        self.sessions.remove(&key)
    }
}

fn flow(session: &Session) -> Flow {
    Flow::new(session.netns, session.local, session.remote)
}

/// The listener is there: since when, if an earlier run saw it open, else at `time`.
fn opened(listener: Listener, time: BootTime) -> Observation {
    let time = listener.opened.unwrap_or(time);
    Observation::ListenerOpened { listener, time }
}

/// The session is there: since when, if an earlier run saw it open, else at `time`.
pub(super) fn report(entry: &mut Entry, time: BootTime) -> Observation {
    entry.state = State::Open;
    let time = entry.session.opened.unwrap_or(time);
    let fact = match entry.session.direction {
        Direction::Ingress => Fact::Accepted,
        Direction::Egress => Fact::Established,
    };
    observed(&entry.session, fact, time)
}
