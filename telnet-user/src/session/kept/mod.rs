//! What one run of the agent leaves to the next about sessions that stay open.
//!
//! A socket does not tell when it was opened, by which side, or what its processes did. The run
//! that saw it keeps that in a file, so that the next one reports nothing twice and still knows how
//! long a session lasted. `telnet-monitor sessions` reads the same file while the agent runs.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};

use super::{
    Activity, Direction, Fact, Listener, Observation, Session, activity::ProgramStep, may_equal,
    tracker::Tracker,
};
use crate::{
    clock::BootTime,
    probe::record::{Protocol, SocketKey},
    state::{Change, Name},
};

/// One line of the file, in JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// What follows was written during this boot of the kernel.
    Boot(String),
    /// A session was reported as open.
    Opened(KeptSession),
    /// The processes of a session have come this far.
    Active(Flow, Activity),
    /// What a session was proven to speak.
    Identified(Flow, Protocol),
    /// A session ended.
    Closed(Flow),
    /// A socket was reported as listening.
    Listening(KeptListener),
    /// A socket no longer listens.
    Silent(KeptListener),
}

/// What tells connections apart that are open at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) netns: Option<u32>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl Flow {
    /// Of these ends, in this network namespace.
    pub(super) const fn new(netns: Option<u32>, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            netns,
            local,
            remote,
        }
    }

    const fn of(session: &Session) -> Self {
        Self::new(session.netns, session.local, session.remote)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptSession {
    flow: Flow,
    key: SocketKey,
    direction: Direction,
    attempted: Option<BootTime>,
    opened: Option<BootTime>,
    preexisting: bool,
    inode: Option<u64>,
    reported: bool,
    protocol: Option<Protocol>,
    #[serde(default)]
    activity: Activity,
}

impl KeptSession {
    /// What is kept of `session`, of which an event was written or not.
    fn of(session: &Session, activity: &Activity, was_reported: bool) -> Self {
        Self {
            flow: Flow::of(session),
            key: session.key,
            direction: session.direction,
            attempted: session.attempted,
            opened: session.opened,
            preexisting: session.preexisting,
            inode: session.inode,
            protocol: session.protocol,
            reported: session.reported || was_reported,
            activity: activity.clone(),
        }
    }

    fn into_session(self) -> Session {
        Session {
            netns: self.flow.netns,
            attempted: self.attempted,
            opened: self.opened,
            preexisting: self.preexisting,
            reported: self.reported,
            inode: self.inode,
            protocol: self.protocol,
            activity: self.activity,
            ..Session::new(self.key, self.direction, self.flow.local, self.flow.remote)
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptListener {
    netns: Option<u32>,
    local: SocketAddr,
    key: SocketKey,
    opened: Option<BootTime>,
    preexisting: bool,
    reported: bool,
}

/// What an earlier run of the agent knew of what is open.
#[derive(Debug, Default)]
pub struct Kept {
    sessions: HashMap<Flow, KeptSession>,
    listeners: HashMap<SocketAddr, Vec<KeptListener>>,
    /// Lines in the file; absent when it is of no use to this run.
    lines: Option<usize>,
}

impl Kept {
    /// What the lines of the file say, if they are of this `boot`. Damaged ones are passed over
    /// with a warning in the log.
    pub fn restored(lines: &str, boot: &str) -> Self {
        let mut kept = Self::default();
        let mut is_now = false;
        let (mut count, mut damaged) = (0_usize, 0_usize);
        for line in lines.lines().filter(|line| !line.is_empty()) {
            count += 1;
            match serde_json::from_str(line) {
                Ok(Line::Boot(written)) => is_now = written == boot,
                Ok(line) if is_now => kept.take_in(line),
                Ok(_) => {}
                Err(_) => damaged += 1,
            }
        }
        if damaged > 0 {
            tracing::warn!(
                damaged,
                "damaged lines in the file of open sessions, their events may be repeated"
            );
        }
        kept.lines = (is_now && damaged == 0).then_some(count);
        kept
    }

    /// What of it is still true when no agent has watched since.
    #[must_use]
    pub fn unwatched(mut self) -> Self {
        for session in self.sessions.values_mut() {
            session.activity = std::mem::take(&mut session.activity).unwatched();
        }
        self
    }

    /// The addresses of the sockets of its sessions.
    pub(super) fn addresses(&self) -> impl Iterator<Item = u64> {
        self.sessions.values().map(|session| session.key.address)
    }

    /// The sessions that were not found open. Who was on them is not kept.
    pub(super) fn into_sessions(self) -> impl Iterator<Item = Session> {
        self.sessions.into_values().map(KeptSession::into_session)
    }

    fn take_in(&mut self, line: Line) {
        match line {
            Line::Boot(_) => {}
            Line::Opened(session) => {
                self.sessions.insert(session.flow, session);
            }
            Line::Active(flow, activity) => {
                if let Some(session) = self.sessions.get_mut(&flow) {
                    session.activity = activity;
                }
            }
            Line::Identified(flow, protocol) => {
                if let Some(session) = self.sessions.get_mut(&flow) {
                    session.protocol = Some(protocol);
                }
            }
            Line::Closed(flow) => {
                self.sessions.remove(&flow);
            }
            Line::Listening(listener) => {
                self.listeners
                    .entry(listener.local)
                    .or_default()
                    .push(listener);
            }
            Line::Silent(silent) => {
                self.listener(silent.netns, silent.local, silent.key);
            }
        }
    }

    /// Gives a session that was found open what is known of it since before.
    pub fn complete_session(&mut self, found: &mut Session) {
        let flow = Flow::of(found);
        // Written from records of a kernel that tells no namespaces.
        let anywhere = Flow {
            netns: None,
            ..flow
        };
        // Without cookies the inode number tells a session that took the same ports since.
        let is_it = |kept: &KeptSession| {
            may_equal(kept.key.cookie, found.key.cookie) && may_equal(kept.inode, found.inode)
        };
        let mut take = |flow| match self.sessions.entry(flow) {
            Entry::Occupied(kept) if is_it(kept.get()) => Some(kept.remove()),
            Entry::Occupied(_) | Entry::Vacant(_) => None,
        };
        let Some(kept) = take(flow).or_else(|| take(anywhere)) else {
            return;
        };
        found.key = kept.key;
        if kept.direction != found.direction {
            let owners = &mut found.owners;
            std::mem::swap(&mut owners.handler, &mut owners.client);
            found.direction = kept.direction;
        }
        found.attempted = kept.attempted;
        found.opened = kept.opened;
        found.preexisting = kept.preexisting;
        found.reported = kept.reported;
        found.protocol = kept.protocol;
        found.activity = kept.activity;
    }

    /// Gives a listening socket that was found open what is known of it since before.
    pub(super) fn complete_listener(&mut self, found: &mut Listener) {
        let Some(kept) = self.listener(found.netns, found.local, found.key) else {
            return;
        };
        found.key = kept.key;
        found.opened = kept.opened;
        found.preexisting = kept.preexisting;
        found.reported = kept.reported;
    }

    fn listener(
        &mut self,
        netns: Option<u32>,
        local: SocketAddr,
        key: SocketKey,
    ) -> Option<KeptListener> {
        let there = self.listeners.get_mut(&local)?;
        let index = there.iter().position(|kept| {
            may_equal(kept.netns, netns) && may_equal(kept.key.cookie, key.cookie)
        })?;
        Some(there.swap_remove(index))
    }
}

/// Keeps the file: takes each observation once it is on its way, and tells how the file changes.
#[derive(Debug)]
pub struct Keeper {
    boot: String,
    /// The events of this run are written.
    reports: bool,
    /// Lines not taken yet.
    pending: String,
    /// Lines in the file; absent when the next change is to replace them.
    count: Option<usize>,
}

impl Keeper {
    /// For a run in this `boot` which `reports` what it sees, as events, after one that left
    /// `kept`.
    pub const fn new(boot: String, reports: bool, kept: &Kept) -> Self {
        Self {
            boot,
            reports,
            pending: String::new(),
            count: kept.lines,
        }
    }

    /// From now on the run reports what it sees, as events, or no longer does.
    pub const fn set_reports(&mut self, reports: bool) {
        self.reports = reports;
    }

    /// Leaves only what is open at the next change: what was kept by an earlier run was found
    /// again or is gone.
    pub const fn clean_up(&mut self) {
        self.count = None;
    }

    /// Takes in what was observed.
    pub fn note(&mut self, observation: &Observation) {
        let line = match observation {
            Observation::Session { session, fact, .. } => match fact {
                Fact::Accepted | Fact::Established => {
                    Line::Opened(KeptSession::of(session, &session.activity, self.reports))
                }
                Fact::Bypassed | Fact::LoggedIn | Fact::LoginFailed => active(session),
                Fact::Identified => match session.protocol {
                    Some(protocol) => Line::Identified(Flow::of(session), protocol),
                    None => return,
                },
                Fact::Closed(..) => Line::Closed(Flow::of(session)),
                Fact::Attempted | Fact::Failed(_) => return,
            },
            Observation::Program {
                session, program, ..
            } => match program.step {
                ProgramStep::Started => active(session),
                ProgramStep::Ended(_) => return,
            },
            Observation::ListenerOpened { listener, .. } => {
                Line::Listening(self.listener(listener))
            }
            Observation::ListenerClosed { listener, .. } => Line::Silent(self.listener(listener)),
        };
        push(&mut self.pending, &line);
    }

    /// Takes in that a session is open, of which no event was written.
    pub fn note_untold(&mut self, session: &Session) {
        let line = Line::Opened(KeptSession::of(session, &session.activity, false));
        push(&mut self.pending, &line);
    }

    /// How the file changes with what was noted since the last time, when this is what `tracker`
    /// knows now; of the sessions that are `untold` no event was written.
    pub fn take_change(
        &mut self,
        tracker: &Tracker,
        is_untold: impl Fn(&Session) -> bool,
    ) -> Option<Change> {
        if self.pending.is_empty() && self.count.is_some() {
            return None;
        }
        let mut lines = std::mem::take(&mut self.pending);
        let limit = 2 * tracker.known() + 1_024;
        let replaces = self.count.is_none_or(|count| count > limit);
        if replaces {
            lines.clear();
            push(&mut lines, &Line::Boot(self.boot.clone()));
            for session in tracker.sessions() {
                let reports = self.reports && !is_untold(session);
                let session = KeptSession::of(session, tracker.activity(session), reports);
                push(&mut lines, &Line::Opened(session));
            }
            for listener in tracker.listeners() {
                push(&mut lines, &Line::Listening(self.listener(listener)));
            }
            self.count = Some(lines.lines().count());
        } else {
            self.count = self.count.map(|count| count + lines.lines().count());
        }
        Some(Change {
            name: Name::Open,
            lines,
            replaces,
        })
    }

    fn listener(&self, listener: &Listener) -> KeptListener {
        KeptListener {
            netns: listener.netns,
            local: listener.local,
            key: listener.key,
            opened: listener.opened,
            preexisting: listener.preexisting,
            reported: listener.reported || self.reports,
        }
    }
}

fn active(session: &Session) -> Line {
    Line::Active(Flow::of(session), session.activity.clone())
}

fn push(lines: &mut String, line: &Line) {
    match serde_json::to_string(line) {
        Ok(text) => {
            lines.push_str(&text);
            lines.push('\n');
        }
        // Its keys are names and its values numbers and texts.
        Err(error) => debug_assert!(false, "a line is always JSON: {error}"),
    }
}

#[cfg(test)]
mod tests;
