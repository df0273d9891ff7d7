//! What the kernel's lists of sockets say, against what is tracked: at start, when everything is
//! new, and after records were lost.
//!
//! The list is taken at one point of the record stream, and the records up to a later point are
//! taken in before [`Tracker::report_found`] acts on the difference. What happened in between is
//! in both, and the record is the better one.

use std::{
    collections::{HashMap, HashSet},
    mem,
    net::SocketAddr,
};

use super::{Entry, State, Tracker, found};
use crate::{
    clock::BootTime,
    probe::{filter::Filter, record::SocketKey},
    session::{
        Direction, Ending, Fact, Found, Listener, Listing, Observation, Session, kept::Kept,
        may_equal,
    },
};

/// Differences that nothing was done about yet.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// The handshakes of these are over, and these are their local ends.
    connected: Vec<(SocketKey, SocketAddr)>,
    /// The sockets of these sessions are gone.
    ended: Vec<SocketKey>,
    /// These sockets no longer listen.
    silent: Vec<Listener>,
}

/// Where the table has tracked sessions.
#[derive(Default)]
struct Index {
    by_ends: HashMap<(SocketAddr, SocketAddr), Vec<u64>>,
    /// Those without a local port, by their cookies: `connect(2)` chooses a port after the change of
    /// state that a session is known from.
    by_cookie: HashMap<u64, u64>,
}

impl Tracker {
    /// Takes in what is open, as far as it passes the `filter`, and what an earlier run of the agent
    /// knew of it. Reported by [`Self::report_found`], or before if there is no room for all.
    ///
    /// Returns the sessions that are tracked and not listed. A list can miss a socket while others
    /// come and go, and has none of what no longer passes since a reload, so each should be asked
    /// for; those that are gone go to [`Self::ended`].
    pub fn found(
        &mut self,
        mut listing: Listing,
        filter: &Filter,
        mut kept: Kept,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) -> Vec<Session> {
        // Whichever direction: in a list it is a guess.
        let passes = |session: &Session| {
            let passes = |direction| filter.passes(direction, session.local, session.remote);
            passes(Direction::Ingress) || passes(Direction::Egress)
        };
        let index = Index::of(self.sessions.values());
        let before: Vec<Listener> = self.listeners.all().cloned().collect();
        self.found.reserve(kept.addresses());
        let mut listed = HashSet::new();
        let (mut listeners, mut sessions) = (Vec::new(), Vec::new());
        for found in mem::take(&mut listing.found) {
            match found {
                Found::Listener(mut listener) => {
                    kept.complete_listener(&mut listener);
                    listeners.push(listener);
                }
                Found::Session(mut session) => {
                    if let Some(address) = self.tracked(&index, &session) {
                        listed.insert(address);
                        self.connected(address, session.local);
                    } else if passes(&session) {
                        kept.complete_session(&mut session);
                        sessions.push(session);
                    }
                }
            }
        }
        self.differences
            .silent
            .extend(before.into_iter().filter(|known| {
                filter.listens(known.local.port())
                    && listing.covers(known.netns)
                    && !listeners
                        .iter()
                        .any(|listener| known.is_same_socket(listener))
            }));
        for listener in listeners {
            self.listeners.found(listener);
        }
        let missing = self.sessions.values().filter(|entry| {
            let session = &entry.session;
            !listed.contains(&session.key.address)
                && entry.closed.is_none()
                && listing.covers(session.netns)
        });
        let mut missing: Vec<Session> = missing.map(|entry| entry.session.clone()).collect();
        for session in sessions {
            self.found_session(*session, time, out);
        }
        // What an earlier run left open and is not open any more.
        for session in kept.into_sessions() {
            if listing.covers(session.netns) && passes(&session) {
                missing.push(session.clone());
                self.track_found(session, State::Open, time, out);
            } else {
                self.counters.unseen_ends += 1;
            }
        }
        missing
    }

    /// The sockets of these sessions are gone, and nothing told how they ended. Reported by
    /// [`Self::report_found`], unless a record does by then.
    pub fn ended(&mut self, gone: impl IntoIterator<Item = SocketKey>) {
        self.differences.ended.extend(gone);
    }

    /// Reports what was found and is not known from records meanwhile.
    pub fn report_found(&mut self, time: BootTime, out: &mut Vec<Observation>) {
        let Differences {
            connected,
            ended,
            silent,
        } = mem::take(&mut self.differences);
        for listener in silent {
            if let Some(listener) = self.listeners.remove(&listener) {
                out.push(Observation::ListenerClosed { listener, time });
            }
        }
        let mut listeners = self.listeners.unreported();
        listeners.sort_by_key(|listener| listener.local);
        out.extend(
            listeners
                .into_iter()
                .map(|listener| found::opened(listener, time)),
        );
        for key in ended {
            self.report_ended(key, time, out);
        }
        for (key, local) in connected {
            if let Some(entry) = self.entry(key)
                && entry.state == State::Connecting
            {
                entry.session.local = local;
                entry.session.preexisting = true;
                found::report(entry, time, out);
            }
        }
        let entries = self.sessions.values_mut();
        for entry in entries.filter(|entry| entry.state == State::Found) {
            found::report(entry, time, out);
        }
    }

    fn report_ended(&mut self, key: SocketKey, time: BootTime, out: &mut Vec<Observation>) {
        let Some(entry) = self.entry(key) else {
            return;
        };
        let fact = Fact::Closed(Ending::Unseen, None);
        match entry.state {
            State::AwaitingAcceptor if entry.closed.is_some() => return,
            State::AwaitingAcceptor => entry.closed = Some((fact, time)),
            // How a handshake ended is nobody's to say.
            State::Connecting => drop(self.take(key)),
            State::Found | State::Open => {
                if let Some(entry) = self.take(key) {
                    self.found.forget(&entry.session);
                    self.end(entry.session, fact, time, out);
                }
            }
        }
        self.counters.unseen_ends += 1;
    }

    /// Where the table has the session that was found, if it is tracked.
    fn tracked(&self, index: &Index, found: &Session) -> Option<u64> {
        let same_ends = index.by_ends.get(&(found.local, found.remote));
        let same_cookie = found.key.cookie.and_then(|it| index.by_cookie.get(&it));
        let mut candidates = same_ends.into_iter().flatten().chain(same_cookie).copied();
        candidates.find(|address| {
            self.sessions.get(address).is_some_and(|entry| {
                let known = &entry.session;
                may_equal(known.netns, found.netns)
                    && may_equal(known.key.cookie, found.key.cookie)
                    && entry.closed.is_none()
            })
        })
    }

    fn connected(&mut self, address: u64, local: SocketAddr) {
        if let Some(entry) = self.sessions.get(&address)
            && entry.state == State::Connecting
        {
            let key = entry.session.key;
            self.differences.connected.push((key, local));
        }
    }
}

impl Index {
    fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut index = Self::default();
        for Entry { session, .. } in entries {
            let address = session.key.address;
            if session.local.port() != 0 {
                let ends = (session.local, session.remote);
                index.by_ends.entry(ends).or_default().push(address);
            } else if let Some(cookie) = session.key.cookie {
                index.by_cookie.insert(cookie, address);
            }
        }
        index
    }
}
