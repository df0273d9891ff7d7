//! Sessions that were found open, joined to what the kernel reports of them later.

use std::{collections::HashMap, net::SocketAddr};

use super::{Entry, State, Tracker, observed};
use crate::{
    clock::BootTime,
    probe::record::{Socket, SocketKey},
    session::{Direction, Fact, Listener, Observation, Session, kept::Flow, may_equal},
};

/// Below it are numbers, no addresses of the kernel's.
const FIRST_ADDRESS: u64 = 1 << 32;

/// Where the session table keeps each session that was found open: under the address of its
/// socket if an earlier run of the agent knew it, else under a number.
#[derive(Debug, Default)]
pub(super) struct FoundSessions {
    keys: HashMap<Flow, u64>,
    next: u64,
}

impl FoundSessions {
    /// Leaves alone the numbers among `addresses`, which an earlier run has given.
    pub(super) fn reserve(&mut self, addresses: impl Iterator<Item = u64>) {
        let numbers = addresses.filter(|address| *address < FIRST_ADDRESS);
        self.next = numbers.fold(self.next, u64::max);
    }

    /// Forgets a session that has ended.
    pub(super) fn forget(&mut self, session: &Session) {
        let flow = flow(session);
        if self.keys.get(&flow) == Some(&session.key.address) {
            self.keys.remove(&flow);
        }
    }

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
    pub(super) fn found_session(
        &mut self,
        mut session: Session,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        if session.key.address == 0 {
            self.found.next += 1;
            session.key.address = self.found.next;
        }
        session.owners.listener = self.listeners.owner_of(&session);
        self.track_found(session, State::Found, time, out);
    }

    pub(super) fn track_found(
        &mut self,
        session: Session,
        state: State,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        let key = session.key.address;
        let before = self.found.keys.get(&flow(&session));
        // One that took the ports of another whose end was not seen is the one to come.
        if before.is_none_or(|key| self.sessions.get(key).is_none()) {
            self.found.keys.insert(flow(&session), key);
        }
        self.put(Box::new(Entry::new(session, state)), time, out);
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
            report(&mut entry, time, out);
        }
        self.vacate(entry.session.key, time, out);
        self.put(entry, time, out);
    }

    /// The kernel reports the start of a session. One with these ends that was found open and not
    /// reported yet is the same; of any other the end was not seen.
    pub(super) fn forget_found(
        &mut self,
        socket: &Socket,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        let Some(mut entry) = self.take_found(socket) else {
            return;
        };
        if entry.state == State::Found {
            if may_equal(entry.session.key.cookie, socket.key.cookie) {
                return;
            }
            report(&mut entry, time, out);
        }
        self.end_unseen(entry.session, time, out);
    }

    fn take_found(&mut self, socket: &Socket) -> Option<Box<Entry>> {
        let key = self.found.take(socket)?;
        self.sessions.remove(&key)
    }
}

fn flow(session: &Session) -> Flow {
    Flow::new(session.netns, session.local, session.remote)
}

/// The listener is there: since when, if an earlier run saw it open, else at `time`.
pub(super) fn opened(listener: Listener, time: BootTime) -> Observation {
    let time = listener.opened.unwrap_or(time);
    Observation::ListenerOpened { listener, time }
}

/// The session is there: since when, if an earlier run saw it open, else at `time`.
pub(super) fn report(entry: &mut Entry, time: BootTime, out: &mut Vec<Observation>) {
    entry.state = State::Open;
    let time = entry.session.opened.unwrap_or(time);
    let fact = match entry.session.direction {
        Direction::Ingress => Fact::Accepted,
        Direction::Egress => Fact::Established,
    };
    out.push(observed(&entry.session, fact, time));
    out.extend(entry.told_protocol());
}

/// The answer to an attempt was lost, and a list has its socket as connected, from this local end.
pub(super) fn report_connected(
    entry: &mut Entry,
    local: SocketAddr,
    time: BootTime,
    out: &mut Vec<Observation>,
) {
    entry.session.local = local;
    entry.session.preexisting = true;
    report(entry, time, out);
}
