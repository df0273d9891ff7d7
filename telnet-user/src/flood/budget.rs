//! A token bucket that is one number.

use std::time::Duration;

use crate::clock::BootTime;

/// What each source may do before its connections are shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Connections at once.
    pub burst: u32,
    /// Connections a minute from then on.
    pub per_minute: u32,
    /// Sources that have a budget of their own at the same time; the others share one.
    pub sources: usize,
}

impl Budget {
    /// The budget with these numbers; none when `burst` is 0.
    pub fn new(burst: u32, per_minute: u32, sources: u32) -> Option<Self> {
        (burst > 0).then(|| Self {
            burst,
            per_minute,
            sources: usize::try_from(sources).unwrap_or(usize::MAX),
        })
    }

    /// After how long one more connection is allowed.
    fn interval(&self) -> Duration {
        Duration::from_mins(1) / self.per_minute.max(1)
    }

    /// After how long the whole budget is there again.
    fn refill(&self) -> Duration {
        self.interval() * self.burst
    }
}

/// The budget that is left, told by the time at which it is whole again: each connection moves that
/// by the time that one costs, and it may not be further away than a whole budget costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    full: BootTime,
}

impl Bucket {
    /// A whole budget from `time` on.
    pub(super) const fn full_at(time: BootTime) -> Self {
        Self { full: time }
    }

    /// When the budget is whole again.
    pub(super) const fn full(self) -> BootTime {
        self.full
    }

    /// Whether it is.
    pub(super) const fn is_full(self, now: BootTime) -> bool {
        self.full.as_nanos() <= now.as_nanos()
    }

    /// Takes a connection at `time` out of the budget; `false` when nothing is left.
    pub(super) fn take(&mut self, budget: &Budget, time: BootTime) -> bool {
        let full = self.full.max(time).plus(budget.interval());
        let is_left = full.since(time) <= budget.refill();
        if is_left {
            self.full = full;
        }
        is_left
    }

    /// Lacks no more than the whole of another `budget`.
    pub(super) fn bound(&mut self, budget: &Budget, now: BootTime) {
        self.full = self.full.min(now.plus(budget.refill()));
    }
}
