//! When to compare what is tracked with what is open: whenever records were lost, and now and then.
//!
//! Nobody is told of a loss, so the ledger is read: a moment after records came in, and with each
//! heartbeat. Some events a kernel loses without counting them; so while records come there is a
//! comparison every few minutes as well.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::probe::Ledger;

/// From the first record after a look at the ledger to the next look: what is lost is mostly lost
/// in a burst.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Least time between two comparisons, which list all sockets of the host.
const COMPARE_EVERY: Duration = Duration::from_secs(10);
/// A socket can outlast its session by `TCP_TIMEWAIT_LEN`, one minute, and only then be found gone.
const COMPARE_AGAIN: Duration = Duration::from_secs(70);
/// From the first record after a comparison to the next one, when no loss was counted.
const COMPARE_ANYWAY: Duration = Duration::from_mins(5);

/// Why a comparison is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Records were lost since the last one.
    Loss,
    /// The last one is long ago, or was too soon to see everything gone.
    Time,
}

/// The losses that were answered, and what is due.
#[derive(Debug, Default)]
pub(super) struct Repair {
    answered: u64,
    /// When to look at the ledger.
    look: Option<Instant>,
    /// When the last comparison was.
    compared: Option<Instant>,
    /// When to compare although nothing more was lost.
    again: Option<Instant>,
}

impl Repair {
    /// Records came in.
    pub(super) fn note_records(&mut self, now: Instant) {
        if self.look.is_none() {
            self.look = now.checked_add(LOOK_AFTER);
        }
        if self.again.is_none() {
            self.again = now.checked_add(COMPARE_ANYWAY);
        }
    }

    /// Waits until the ledger is to be looked at.
    pub(super) async fn due(&self) {
        match self.look.into_iter().chain(self.again).min() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Why a comparison is due, which the caller then makes; none when none is.
    pub(super) fn is_needed(&mut self, ledger: &Ledger, now: Instant) -> Option<Cause> {
        self.look = None;
        let losses = losses(ledger);
        let cause = if losses > self.answered {
            let earliest = self
                .compared
                .and_then(|last| last.checked_add(COMPARE_EVERY));
            if let Some(earliest) = earliest.filter(|earliest| *earliest > now) {
                self.look = Some(earliest);
                return None;
            }
            self.answered = losses;
            self.again = now.checked_add(COMPARE_AGAIN);
            Cause::Loss
        } else if self.again.is_some_and(|again| again <= now) {
            self.again = None;
            Cause::Time
        } else {
            return None;
        };
        self.compared = Some(now);
        Some(cause)
    }
}

/// Records that were lost, and events of which the kernel told nothing.
const fn losses(ledger: &Ledger) -> u64 {
    ledger
        .dropped_ring_full
        .saturating_add(ledger.missed)
        .saturating_add(ledger.undecodable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_answered_soon_but_not_too_often_and_once_more_later() {
        let start = Instant::now();
        let mut repair = Repair::default();
        let mut at = |seconds, missed| {
            let ledger = Ledger {
                missed,
                ..Ledger::default()
            };
            repair.is_needed(&ledger, start + Duration::from_secs(seconds))
        };
        let needed = [
            (0, 0, None),
            (1, 2, Some(Cause::Loss)),
            (2, 2, None),
            (3, 3, None),
            (11, 3, Some(Cause::Loss)),
            (30, 3, None),
            (81, 3, Some(Cause::Time)),
            (400, 3, None),
        ];
        for (seconds, missed, expected) in needed {
            assert_eq!(at(seconds, missed), expected, "after {seconds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_due_until_records_come() {
        let mut repair = Repair::default();
        let never = tokio::time::timeout(Duration::from_hours(1), repair.due());
        assert!(never.await.is_err());
        let now = Instant::now();
        repair.note_records(now);
        repair.due().await;
        assert_eq!(now.elapsed(), LOOK_AFTER);
        assert_eq!(repair.is_needed(&Ledger::default(), Instant::now()), None);
        // What was lost without being counted is found a little later.
        repair.due().await;
        assert_eq!(now.elapsed(), COMPARE_ANYWAY);
        let cause = repair.is_needed(&Ledger::default(), Instant::now());
        assert_eq!(cause, Some(Cause::Time));
        let never = tokio::time::timeout(Duration::from_hours(1), repair.due());
        assert!(never.await.is_err());
    }
}
