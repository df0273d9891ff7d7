//! What the kernel's lists of sockets say, against what is tracked: at start, when everything is
//! new, and after records were lost.
//!
//! The list is taken at one point of the record stream, and the records up to a later point are
//! taken in before [`Tracker::report_found`] acts on the difference. What happened in between is
//! in both, and the record is the better one.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    mem,
    net::SocketAddr,
};

use super::{Entry, State, Tracker, found};
use crate::{
    clock::BootTime,
    probe::{filter::Filter, record::SocketKey},
    session::{
        Direction, Ending, Fact, Found, Listener, Listing, Observation, Seen, Session, kept::Kept,
        listeners::Places, may_equal,
    },
};

const UNSEEN: Fact = Fact::Closed(Ending::Unseen, None);

/// Differences that nothing was done about yet.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// The handshakes of these are over, and these are their local ends.
    connected: Vec<(Compared, SocketAddr)>,
    /// The sockets of these sessions are gone.
    ended: Vec<Compared>,
    /// These sockets no longer listen.
    silent: Vec<Listener>,
}

/// A session as it was when the list was taken. Where sockets have no cookies, another one can have
/// its address by the time that something is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Compared {
    key: SocketKey,
    attempted: Option<BootTime>,
    opened: Option<BootTime>,
}

impl Compared {
    const fn of(session: &Session) -> Self {
        Self {
            key: session.key,
            attempted: session.attempted,
            opened: session.opened,
        }
    }
}

/// Tells which of the sockets that are listed are new, so that nothing more is asked about the others.
#[derive(Debug)]
pub struct Comparison<'a> {
    tracker: &'a Tracker,
    filter: &'a Filter,
    by_cookie: HashMap<u64, u64>,
    /// For lists and kernels that tell no cookies.
    by_ends: OnceCell<HashMap<(SocketAddr, SocketAddr), Vec<u64>>>,
    have_cookies: bool,
    /// For so many listeners more,
    room: usize,
    /// and for so many sessions.
    session_room: usize,
    known: Known,
}

/// What was known of a list.
#[derive(Debug, Default)]
pub struct Known {
    /// Where the table has the sessions that were listed.
    listed: HashSet<u64>,
    /// The handshakes of these are over, and these are their local ends: `connect(2)` chooses a port
    /// after the change of state that a session is known from.
    connected: Vec<(Compared, SocketAddr)>,
    /// New sessions for which there is no room.
    refused: u64,
}

impl<'a> Comparison<'a> {
    fn with(tracker: &'a Tracker, filter: &'a Filter) -> Self {
        let sessions = tracker.sessions.values().map(|entry| &entry.session.key);
        let by_cookie = sessions.filter_map(|key| Some((key.cookie?, key.address)));
        let by_cookie: HashMap<u64, u64> = by_cookie.collect();
        Self {
            have_cookies: by_cookie.len() == tracker.sessions.values().len(),
            tracker,
            filter,
            by_cookie,
            by_ends: OnceCell::new(),
            room: tracker.listeners.room(),
            session_room: tracker.room(),
            known: Known::default(),
        }
    }

    /// Whether a listed socket passes the filter, is none of the tracked sessions and listeners, and is
    /// to be taken in. What there is no room for is not: each list would have it again, and one that is
    /// followed from its start would give way. Nobody need look for who holds it.
    pub fn is_new(&mut self, seen: &Seen) -> bool {
        if seen.is_listening {
            return self.is_new_listener(seen);
        }
        let Some(entry) = self.find(seen) else {
            return self.is_new_session(seen);
        };
        if seen.is_session && entry.state == State::Connecting {
            let connected = (Compared::of(&entry.session), seen.local);
            self.known.connected.push(connected);
        }
        self.known.listed.insert(entry.session.key.address);
        false
    }

    /// What it came to.
    pub fn known(self) -> Known {
        self.known
    }

    fn is_new_session(&mut self, seen: &Seen) -> bool {
        let is_new = seen.is_session && passes(self.filter, seen.local, seen.remote);
        let has_room = self.session_room > 0;
        self.known.refused += u64::from(is_new && !has_room);
        self.session_room -= usize::from(is_new && has_room);
        is_new && has_room
    }

    fn is_new_listener(&mut self, seen: &Seen) -> bool {
        let key = SocketKey {
            address: 0,
            cookie: seen.cookie,
        };
        let is_new = self.room > 0
            && self.filter.listens(seen.local.port())
            && !self.tracker.listeners.knows(key, seen.netns, seen.local);
        self.room -= usize::from(is_new);
        is_new
    }

    fn find(&self, seen: &Seen) -> Option<&'a Entry> {
        let same_cookie = seen.cookie.and_then(|cookie| self.by_cookie.get(&cookie));
        let same_ends = if self.have_cookies && seen.cookie.is_some() {
            None
        } else {
            let by_ends = self.by_ends.get_or_init(|| by_ends(self.tracker));
            by_ends.get(&(seen.local, seen.remote))
        };
        let addresses = same_cookie
            .into_iter()
            .chain(same_ends.into_iter().flatten());
        let entries = addresses.filter_map(|address| self.tracker.sessions.get(address));
        entries.map(AsRef::as_ref).find(|entry| {
            let known = &entry.session;
            may_equal(known.netns, seen.netns)
                && may_equal(known.key.cookie, seen.cookie)
                && entry.closed.is_none()
        })
    }
}

/// Whichever direction: in a list it is a guess.
fn passes(filter: &Filter, local: SocketAddr, remote: SocketAddr) -> bool {
    let directions = [Direction::Ingress, Direction::Egress];
    let mut passes = directions
        .map(|direction| filter.passes(direction, local, remote))
        .into_iter();
    passes.any(|passes| passes)
}

fn by_ends(tracker: &Tracker) -> HashMap<(SocketAddr, SocketAddr), Vec<u64>> {
    let mut by_ends: HashMap<_, Vec<u64>> = HashMap::new();
    for entry in tracker.sessions.values() {
        let Session {
            local, remote, key, ..
        } = &entry.session;
        by_ends
            .entry((*local, *remote))
            .or_default()
            .push(key.address);
    }
    by_ends
}

impl Tracker {
    /// Starts to compare what is tracked with what the kernel lists and passes the `filter`.
    pub fn compare<'a>(&'a self, filter: &'a Filter) -> Comparison<'a> {
        Comparison::with(self, filter)
    }

    /// How many more sessions are taken in of those that are found.
    fn room(&self) -> usize {
        let tracked = self.sessions.values().len();
        self.limits.sessions.saturating_sub(tracked)
    }

    /// Takes in what is open and new, and what an earlier run of the agent knew of it and still passes
    /// the `filter`. Reported by [`Self::report_found`].
    ///
    /// Returns the sessions that are tracked and not listed. A list can miss a socket while others
    /// come and go, and has none of what no longer passes since a reload, so each should be asked
    /// for; those that are gone go to [`Self::ended`].
    pub fn found(
        &mut self,
        mut listing: Listing,
        known: Known,
        filter: &Filter,
        mut kept: Kept,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) -> Vec<Session> {
        self.found.reserve(kept.addresses());
        self.differences.connected.extend(known.connected);
        self.counters.refused_sessions += known.refused;
        let (mut listeners, mut sessions) = (Vec::new(), Vec::new());
        for found in mem::take(&mut listing.found) {
            match found {
                // One for whose port only outbound sessions are wanted is none of the probe's.
                Found::Listener(listener) if !filter.listens(listener.local.port()) => {}
                Found::Listener(mut listener) => {
                    kept.complete_listener(&mut listener);
                    listeners.push(listener);
                }
                Found::Session(mut session) => {
                    kept.complete_session(&mut session);
                    sessions.push(session);
                }
            }
        }
        let mut places = Places::default();
        for (number, listener) in (0..).zip(&listeners) {
            places.add(number, listener);
        }
        let silent = self.listeners.all().filter(|known| {
            filter.listens(known.local.port())
                && listing.covers(known.netns)
                && places.find(known.key, known.netns, known.local).is_none()
        });
        self.differences.silent.extend(silent.cloned());
        for listener in listeners {
            self.listeners.found(listener);
        }
        let missing = self.sessions.values().filter(|entry| {
            let session = &entry.session;
            !known.listed.contains(&session.key.address)
                && entry.closed.is_none()
                && listing.covers(session.netns)
        });
        let mut missing: Vec<Session> = missing.map(|entry| entry.session.clone()).collect();
        for session in sessions {
            self.found_session(*session, time, out);
        }
        // What an earlier run left open and is not open any more.
        for session in kept.into_sessions() {
            let passes = passes(filter, session.local, session.remote);
            if passes && listing.covers(session.netns) && self.room() > 0 {
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
    pub fn ended<'a>(&mut self, gone: impl IntoIterator<Item = &'a Session>) {
        let gone = gone.into_iter().map(Compared::of);
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
        for compared in ended {
            if self.is_still(&compared) {
                self.report_ended(compared.key, time, out);
            }
        }
        for (compared, local) in connected {
            if self.is_still(&compared)
                && let Some(entry) = self.entry(compared.key)
                && entry.state == State::Connecting
            {
                found::report_connected(entry, local, time, out);
            }
        }
        self.join_attempts(time, out);
        let entries = self.sessions.values_mut();
        for entry in entries.filter(|entry| entry.state == State::Found) {
            found::report(entry, time, out);
        }
    }

    /// Reports the attempts that were listed before their own record was read, and whose answer was
    /// lost: each is what was found under its cookie.
    fn join_attempts(&mut self, time: BootTime, out: &mut Vec<Observation>) {
        let found = self.sessions.values();
        let found = found.filter(|entry| entry.state == State::Found);
        let found: HashMap<u64, (u64, SocketAddr)> = found
            .filter_map(|entry| {
                let Session { key, local, .. } = &entry.session;
                Some((key.cookie?, (key.address, *local)))
            })
            .collect();
        if found.is_empty() {
            return;
        }
        let mut joined = Vec::new();
        let entries = self.sessions.values_mut();
        for entry in entries.filter(|entry| entry.state == State::Connecting) {
            let cookie = entry.session.key.cookie;
            if let Some((address, local)) = cookie.and_then(|cookie| found.get(&cookie)) {
                found::report_connected(entry, *local, time, out);
                joined.push(*address);
            }
        }
        for address in joined {
            if let Some(entry) = self.sessions.remove(&address) {
                self.found.forget(&entry.session);
            }
        }
    }

    fn is_still(&mut self, compared: &Compared) -> bool {
        let entry = self.entry(compared.key);
        entry.is_some_and(|entry| Compared::of(&entry.session) == *compared)
    }

    /// The session of a socket is over, and nothing told how it ended.
    pub(super) fn report_ended(
        &mut self,
        key: SocketKey,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        let Some(entry) = self.entry(key) else {
            return;
        };
        match entry.state {
            State::AwaitingAcceptor if entry.closed.is_some() => return,
            State::AwaitingAcceptor => {
                entry.closed = Some(Box::new((UNSEEN, time)));
                self.counters.unseen_ends += 1;
                return;
            }
            State::Found => found::report(entry, time, out),
            State::Connecting | State::Open => {}
        }
        let Some(entry) = self.take(key) else {
            return;
        };
        self.found.forget(&entry.session);
        if entry.state == State::Connecting {
            // How a handshake ended is nobody's to say.
            self.counters.unseen_ends += 1;
        } else {
            self.end_unseen(entry.session, time, out);
        }
    }

    /// A reported session is over, and nothing told how it ended.
    pub(super) fn end_unseen(
        &mut self,
        session: Session,
        time: BootTime,
        out: &mut Vec<Observation>,
    ) {
        self.end(session, UNSEEN, time, out);
        self.counters.unseen_ends += 1;
    }
}
