//! Sessions that were open before the agent, joined to what the kernel reports of them later.
//!
//! The list of open sockets is taken after the probe is attached, so a session that opens in
//! between is in both. The kernel's record is then the better one: it comes first, out of the
//! ring buffer, and what is left of the list is reported after it.

use std::{collections::HashMap, net::SocketAddr};

use super::{Entry, State, Tracker, observed};
use crate::{
    clock::BootTime,
    probe::record::Socket,
    session::{Direction, Fact, Found, Observation, Session},
};

/// What tells connections apart where the socket's address is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flow {
    netns: Option<u32>,
    local: SocketAddr,
    remote: SocketAddr,
}

/// Where the session table keeps each session that was found open. Kernel addresses are never
/// this small.
#[derive(Debug, Default)]
pub(super) struct FoundSessions {
    keys: HashMap<Flow, u64>,
    next: u64,
}

impl Tracker {
    /// Takes in what was open at start; nothing is reported before [`Self::report_found`].
    pub fn found(&mut self, found: Vec<Found>) {
        for found in found {
            match found {
                Found::Session(session) => self.found_session(*session),
                Found::Listener(listener) => self.listeners.found(listener),
            }
        }
    }

    fn found_session(&mut self, mut session: Session) {
        self.found.next += 1;
        let key = self.found.next;
        session.key.address = key;
        session.owners.listener = self.listeners.owner_for(&session);
        self.found.keys.insert(flow(&session), key);
        let entry = Entry {
            session,
            state: State::Found,
            closed: None,
        };
        self.sessions.insert(key, entry);
    }

    /// Reports what was found open and not reported by the kernel meanwhile.
    pub fn report_found(&mut self, time: BootTime, out: &mut Vec<Observation>) {
        let mut listeners = self.listeners.unreported();
        listeners.sort_by_key(|listener| listener.local);
        out.extend(
            listeners
                .into_iter()
                .map(|listener| Observation::ListenerOpened { listener, time }),
        );
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
        entry.session.key = socket.key;
        if entry.state == State::Found {
            out.push(report(&mut entry, time));
        }
        self.sessions.insert(socket.key.address, entry);
    }

    /// Forgets a session that was found open: the kernel reported the same one from its start.
    pub(super) fn forget_found(&mut self, socket: &Socket) {
        self.take_found(socket);
    }

    fn take_found(&mut self, socket: &Socket) -> Option<Entry> {
        let flow = Flow {
            netns: socket.netns,
            local: socket.local,
            remote: socket.remote,
        };
        let key = self.found.keys.remove(&flow)?;
        self.sessions.remove(&key)
    }
}

fn flow(session: &Session) -> Flow {
    Flow {
        netns: session.netns,
        local: session.local,
        remote: session.remote,
    }
}

fn report(entry: &mut Entry, time: BootTime) -> Observation {
    entry.state = State::Open;
    let fact = match entry.session.direction {
        Direction::Ingress => Fact::Accepted,
        Direction::Egress => Fact::Established,
    };
    observed(&entry.session, fact, time)
}
