//! Which connections are told when one source makes very many of them.
//!
//! Each source has a budget of connections, by the kernel's time of each. What is beyond it is shed:
//! counted, and summed up in a [`Flood`] when it begins, every minute while it lasts, and when it is
//! over. Pure: time comes in with each call.

mod budget;
mod ongoing;
mod source;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt, time::Duration};

use self::{budget::Bucket, ongoing::Ongoing};
pub use self::{
    budget::Budget,
    source::{Outcome, Source},
};
use crate::{
    clock::BootTime,
    session::{Owners, Session},
};

/// Time between two summaries of a flood that lasts.
const PERIOD: Duration = Duration::from_mins(1);
/// Least time between two looks at the whole table.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far a flood is (`telnet.flood.phase`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first connection was shed.
    Began,
    /// More were shed since the summary before.
    Ongoing,
    /// The source has its whole budget again.
    Ended,
}

impl Phase {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Ongoing => "ongoing",
            Self::Ended => "ended",
        }
    }
}

/// A summary of what a source did beyond its budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Who.
    pub source: Source,
    /// How far it is.
    pub phase: Phase,
    /// Number of its summaries before this one.
    pub number: u64,
    /// When the first connection was shed.
    pub start: BootTime,
    /// When the last one was shed so far.
    pub last: BootTime,
    /// Connections since the source began to draw on its budget, told or not.
    pub connections: u64,
    /// Those that were shed.
    pub shed: u64,
    /// Failed logins in sessions that were shed.
    pub failed_logins: u64,
    /// Connections a second: since the summary before, and on the whole when it ended.
    pub rate: u64,
    /// The address that all connections shed were made to.
    pub ip: Option<std::net::IpAddr>,
    /// The port that all of them were made to.
    pub port: Option<u16>,
    /// The process that they have in common on this host: who listens, or who connects.
    pub owners: Owners,
}

/// Whose budget a connection was beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// That of its source.
    Source,
    /// The one that all sources share for which the table has no room.
    Shared,
}

/// Whether a connection is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is.
    Told,
    /// It is not, and a flood may have begun with that.
    Shed(Reason, Option<Box<Flood>>),
}

/// What became of all observations, each of which would be a document.
///
/// `observed + recalled` equals `told + unsaid + shed_source + shed_shared`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Taken in.
    pub observed: u64,
    /// Openings of sessions that were told after all, later than they were shed.
    pub recalled: u64,
    /// Made into an event.
    pub told: u64,
    /// Found to say nothing.
    pub unsaid: u64,
    /// Shed because their source was beyond its budget.
    pub shed_source: u64,
    /// Shed because all sources without a place in the table were.
    pub shed_shared: u64,
}

impl Counters {
    /// All that were shed.
    pub const fn shed(&self) -> u64 {
        self.shed_source + self.shed_shared
    }

    /// Whether every observation is accounted for.
    pub const fn balances(&self) -> bool {
        self.observed + self.recalled == self.told + self.unsaid + self.shed()
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            observed,
            recalled,
            told,
            unsaid,
            shed_source,
            shed_shared,
        } = self;
        write!(
            f,
            "observed={observed} recalled={recalled} told={told} unsaid={unsaid} \
             shed_source={shed_source} shed_shared={shed_shared}"
        )
    }
}

/// The budgets of all sources.
#[derive(Debug)]
pub struct Floods {
    /// Absent when nothing is shed.
    budget: Option<Budget>,
    sources: HashMap<Source, Entry>,
    /// Of the sources that found no room.
    shared: HashMap<Source, Entry>,
    /// When [`Self::due`] has something to look at.
    next_look: Option<BootTime>,
    /// When room may be made again.
    next_room: BootTime,
}

/// What is known of a source that has not its whole budget.
#[derive(Debug)]
struct Entry {
    bucket: Bucket,
    /// When it began to draw on the budget.
    since: BootTime,
    /// Its connections since then, told or not.
    connections: u64,
    flood: Option<Box<Ongoing>>,
}

impl Entry {
    const fn new(time: BootTime) -> Self {
        Self {
            bucket: Bucket::full_at(time),
            since: time,
            connections: 0,
            flood: None,
        }
    }

    /// Whether the budget is whole, so that nothing tells it from a source that is not known.
    const fn is_idle(&self, now: BootTime) -> bool {
        self.flood.is_none() && self.bucket.is_full(now)
    }
}

impl Floods {
    /// Every source has this budget; without one nothing is shed.
    pub fn new(budget: Option<Budget>) -> Self {
        Self {
            budget,
            sources: HashMap::new(),
            shared: HashMap::new(),
            next_look: None,
            next_room: BootTime::default(),
        }
    }

    /// Sources have this budget from `now` on. Returns the floods that are over with that.
    pub fn set_budget(&mut self, budget: Option<Budget>, now: BootTime) -> Vec<Flood> {
        if budget == self.budget {
            return Vec::new();
        }
        self.budget = budget;
        let Some(budget) = budget else {
            let all = self.sources.drain().chain(self.shared.drain());
            let floods = all.filter_map(|(source, entry)| entry.summary(source, Phase::Ended));
            self.next_look = None;
            return floods.collect();
        };
        for entry in self.entries() {
            entry.bucket.bound(&budget, now);
        }
        self.next_look = Some(now);
        Vec::new()
    }

    /// Whether a connection that `session` is, or was to become, is told at `time`.
    pub fn take(&mut self, session: &Session, outcome: Outcome, time: BootTime) -> Answer {
        let Some(budget) = self.budget else {
            return Answer::Told;
        };
        let source = Source::of(session, outcome);
        let (source, reason) = if self.has_room(&source, &budget, time) {
            (source, Reason::Source)
        } else {
            (source.shared(), Reason::Shared)
        };
        let table = match reason {
            Reason::Source => &mut self.sources,
            Reason::Shared => &mut self.shared,
        };
        let entry = table.entry(source).or_insert_with(|| Entry::new(time));
        if entry.is_idle(time) {
            *entry = Entry::new(time);
        }
        entry.connections += 1;
        if entry.bucket.take(&budget, time) {
            return Answer::Told;
        }
        if let Some(flood) = &mut entry.flood {
            flood.shed(session, time);
            return Answer::Shed(reason, None);
        }
        entry.flood = Some(Box::new(Ongoing::new(session, time)));
        let began = entry.summary(source, Phase::Began);
        entry.note_summary(time);
        let ends = entry.bucket.full();
        self.look_at(ends.min(time.plus(PERIOD)));
        Answer::Shed(reason, began.map(Box::new))
    }

    /// Takes in that a login failed in a session that was shed for this `reason`.
    pub fn note_failed_login(&mut self, session: &Session, reason: Reason) {
        let source = Source::of(session, Outcome::Success);
        let entry = match reason {
            Reason::Source => self.sources.get_mut(&source),
            Reason::Shared => self.shared.get_mut(&source.shared()),
        };
        if let Some(flood) = entry.and_then(|entry| entry.flood.as_mut()) {
            flood.failed_logins += 1;
        }
    }

    /// Summaries that are due: of floods that are over, or have lasted for a while.
    pub fn due(&mut self, now: BootTime) -> Vec<Flood> {
        if self.next_look.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut out = Vec::new();
        let mut next: Option<BootTime> = None;
        for table in [&mut self.sources, &mut self.shared] {
            table.retain(|source, entry| {
                let (flood, due) = entry.look(*source, now);
                out.extend(flood);
                next = next.into_iter().chain(due).min();
                !entry.is_idle(now)
            });
        }
        out.sort_by_key(|flood| flood.start);
        self.next_look = next.map(|due| due.max(now.plus(LOOK_EVERY)));
        out
    }

    /// When [`Self::due`] has something to say.
    pub const fn deadline(&self) -> Option<BootTime> {
        self.next_look
    }

    /// What was shed since the last summaries, when nobody watches any longer.
    pub fn finish(&mut self) -> Vec<Flood> {
        let all = self.sources.iter().chain(&self.shared);
        let untold = all.filter(|(_, entry)| entry.flood.as_ref().is_some_and(|f| f.is_news()));
        let mut out: Vec<Flood> = untold
            .filter_map(|(source, entry)| entry.summary(*source, Phase::Ongoing))
            .collect();
        out.sort_by_key(|flood| flood.start);
        out
    }

    /// Floods that are not over.
    pub fn ongoing(&self) -> usize {
        let all = self.sources.values().chain(self.shared.values());
        all.filter(|entry| entry.flood.is_some()).count()
    }

    fn entries(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.sources.values_mut().chain(self.shared.values_mut())
    }

    fn look_at(&mut self, time: BootTime) {
        self.next_look = self.next_look.into_iter().chain([time]).min();
    }

    /// Whether the source has a place in the table, or can have one.
    fn has_room(&mut self, source: &Source, budget: &Budget, now: BootTime) -> bool {
        if self.sources.contains_key(source) || self.sources.len() < budget.sources {
            return true;
        }
        if now < self.next_room {
            return false;
        }
        self.next_room = now.plus(LOOK_EVERY);
        self.sources.retain(|_, entry| !entry.is_idle(now));
        self.sources.len() < budget.sources
    }
}

impl Entry {
    /// A summary that is due at `now`, and when to look again.
    fn look(&mut self, source: Source, now: BootTime) -> (Option<Flood>, Option<BootTime>) {
        let Some(flood) = &self.flood else {
            return (None, None);
        };
        if self.bucket.is_full(now) {
            let summary = self.summary(source, Phase::Ended);
            self.flood = None;
            return (summary, None);
        }
        let mut summary = None;
        if flood.told_at().plus(PERIOD) <= now {
            if flood.is_news() {
                summary = self.summary(source, Phase::Ongoing);
            }
            self.note_summary(now);
        }
        let due = self
            .flood
            .as_ref()
            .map(|flood| flood.told_at().plus(PERIOD));
        (summary, due.map(|due| due.min(self.bucket.full())))
    }

    fn summary(&self, source: Source, phase: Phase) -> Option<Flood> {
        let flood = self.flood.as_ref()?;
        Some(flood.summary(source, phase, self.since, self.connections))
    }

    fn note_summary(&mut self, now: BootTime) {
        if let Some(flood) = &mut self.flood {
            flood.note_summary(now, self.connections);
        }
    }
}
