//! Which alerts were made already: in memory, and in a small file that survives
//! a restart.

use std::collections::{HashSet, VecDeque};

use crate::alert::AlertId;
use crate::state::{Change, Name};

/// Why an id is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An alert has this id.
    Alerted,
    /// The event joined an alert. Kept apart, because a flood of such events
    /// must not push out the ids of alerts.
    Suppressed,
}

/// Bounds of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Most ids of alerts, and as many of suppressed events.
    pub entries: usize,
    /// How long an id is kept, in milliseconds. At least the longest look-back
    /// of a rule plus clock slack; sessions that stay open over an agent restart
    /// are evaluated again under the same id, so days are better than minutes.
    pub millis: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            entries: 65_536,
            millis: 30 * 24 * 3_600 * 1_000,
        }
    }
}

/// Remembered ids, oldest first.
#[derive(Debug, Default)]
struct Ring {
    ids: HashSet<u128>,
    order: VecDeque<(u128, i64)>,
}

impl Ring {
    /// Whether `id` was new.
    fn insert(&mut self, id: u128, at: i64, entries: usize) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back((id, at));
        while self.order.len() > entries.max(1) {
            self.pop();
        }
        true
    }

    fn expire(&mut self, before: i64) {
        while self.order.front().is_some_and(|(_, at)| *at < before) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((id, _)) = self.order.pop_front() {
            self.ids.remove(&id);
        }
    }
}

/// Ids of alerts made and of events that joined one.
#[derive(Debug)]
pub struct Memory {
    retention: Retention,
    alerted: Ring,
    suppressed: Ring,
    file: Option<Lines>,
    /// Whether anybody gets the alerts.
    reports: bool,
}

/// The lines of the file that outlasts a restart.
#[derive(Debug)]
struct Lines {
    /// Not taken yet.
    pending: String,
    /// How many there are without those.
    count: usize,
}

impl Memory {
    /// A memory that forgets when the process ends.
    pub fn volatile(retention: Retention) -> Self {
        let (alerted, suppressed) = (Ring::default(), Ring::default());
        Self {
            retention,
            alerted,
            suppressed,
            file: None,
            reports: true,
        }
    }

    /// A memory with what the lines of its file hold, which tells how they change.
    ///
    /// Damaged lines are passed over with a warning in the log.
    pub fn restored(lines: &str, retention: Retention) -> Self {
        let mut memory = Self::volatile(retention);
        let (mut damaged, mut count) = (0_usize, 0_usize);
        for line in lines.lines().filter(|line| !line.is_empty()) {
            count += 1;
            match entry(line) {
                Some((kind, id, at)) => {
                    memory.ring(kind).insert(id, at, retention.entries);
                }
                None => damaged += 1,
            }
        }
        if damaged > 0 {
            tracing::warn!(
                lines = count,
                damaged,
                "damaged lines in the file of alerted ids, their alerts may be made again"
            );
            // The next change replaces the lines, without the damaged ones.
            count = usize::MAX;
        }
        memory.file = Some(Lines {
            pending: String::new(),
            count,
        });
        memory
    }

    fn ring(&mut self, kind: Kind) -> &mut Ring {
        match kind {
            Kind::Alerted => &mut self.alerted,
            Kind::Suppressed => &mut self.suppressed,
        }
    }

    /// Whether an alert or a suppressed event has this id.
    pub(crate) fn contains(&self, id: AlertId) -> bool {
        let id = id.short();
        self.alerted.ids.contains(&id) || self.suppressed.ids.contains(&id)
    }

    /// From now on somebody gets the alerts, or nobody does, and there is nothing to remember.
    pub(crate) const fn set_reports(&mut self, reports: bool) {
        self.reports = reports;
    }

    /// Remembers `id`, and in the file with the next [`take_change`](Self::take_change).
    pub(crate) fn insert(&mut self, kind: Kind, id: AlertId, at: i64) {
        if !self.reports {
            return;
        }
        let entries = self.retention.entries;
        let id = id.short();
        if self.ring(kind).insert(id, at, entries)
            && let Some(file) = &mut self.file
        {
            file.pending.push_str(&line(kind, id, at));
        }
    }

    /// Forgets what is older than the retention at `now`.
    pub(crate) fn expire(&mut self, now: i64) {
        let before = now.saturating_sub(self.retention.millis);
        self.alerted.expire(before);
        self.suppressed.expire(before);
    }

    /// What is new for the file. To be written after the alerts were handed over, so that a
    /// crash in between repeats an alert instead of losing it.
    pub fn take_change(&mut self) -> Option<Change> {
        let live = self.alerted.order.len() + self.suppressed.order.len();
        let file = self.file.as_mut()?;
        if file.pending.is_empty() {
            return None;
        }
        let mut lines = std::mem::take(&mut file.pending);
        let replaces = file.count > 2 * live + 1_024;
        if replaces {
            let all = [
                (Kind::Alerted, &self.alerted),
                (Kind::Suppressed, &self.suppressed),
            ];
            let ids = |(kind, ring): (Kind, &Ring)| {
                let entries = ring.order.iter();
                entries
                    .map(|(id, at)| line(kind, *id, *at))
                    .collect::<String>()
            };
            lines = all.into_iter().map(ids).collect();
            file.count = live;
        } else {
            file.count += lines.lines().count();
        }
        Some(Change {
            name: Name::Alerted,
            lines,
            replaces,
        })
    }
}

fn line(kind: Kind, id: u128, at: i64) -> String {
    let kind = match kind {
        Kind::Alerted => 'a',
        Kind::Suppressed => 's',
    };
    format!("{kind} {id:032x} {at}\n")
}

fn entry(line: &str) -> Option<(Kind, u128, i64)> {
    let mut parts = line.split(' ');
    let kind = match parts.next()? {
        "a" => Kind::Alerted,
        "s" => Kind::Suppressed,
        _ => return None,
    };
    let id = parts.next().filter(|id| id.len() == 32)?;
    let id = u128::from_str_radix(id, 16).ok()?;
    let at = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((kind, id, at))
}
