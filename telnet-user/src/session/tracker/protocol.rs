//! What a session was proven to speak.

use super::{Entry, State, Tracker, is_session_of, observed};
use crate::{
    clock::BootTime,
    probe::record::{Protocol, Socket},
    session::{Fact, Observation},
};

impl Entry {
    /// What was proven before the session was reported, now that it is.
    pub(super) fn told_protocol(&mut self) -> Option<Observation> {
        let time = self.identified.take()?;
        Some(observed(&self.session, Fact::Identified, time))
    }
}

impl Tracker {
    /// The first proof holds: two processors may come to one at once.
    pub(super) fn identify(
        &mut self,
        socket: &Socket,
        protocol: Protocol,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        self.adopt(socket, time, out);
        let entry = self.entry(socket.key);
        let Some(entry) = entry.filter(|entry| is_session_of(socket, &entry.session)) else {
            self.counters.unmatched_protocols += 1;
            return;
        };
        if entry.session.protocol.is_some() {
            return;
        }
        entry.session.protocol = Some(protocol);
        match entry.state {
            State::Open => out.push(observed(&entry.session, Fact::Identified, time)),
            // Told behind its opening.
            State::Found | State::Connecting | State::AwaitingAcceptor => {
                entry.identified = Some(time);
            }
        }
    }
}
