//! When to compare what is tracked with what is open: whenever records were lost.
//!
//! Nobody is told of a loss, so the ledger is read: a moment after records came in, and with each
//! heartbeat. A host without telnet sessions is not woken for it.

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

/// The losses that were answered, and what is due.
#[derive(Debug, Default)]
pub(super) struct Repair {
    answered: u64,
    /// When to look at the ledger.
    look: Option<Instant>,
    /// When the last comparison was.
    compared: Option<Instant>,
    /// When to compare again although nothing more was lost.
    again: Option<Instant>,
}

impl Repair {
    /// Records came in.
    pub(super) fn note_records(&mut self, now: Instant) {
        if self.look.is_none() {
            self.look = now.checked_add(LOOK_AFTER);
        }
    }

    /// Waits until the ledger is to be looked at.
    pub(super) async fn due(&self) {
        match self.look.into_iter().chain(self.again).min() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Whether a comparison is due, which the caller then makes.
    pub(super) fn is_needed(&mut self, ledger: &Ledger, now: Instant) -> bool {
        self.look = None;
        let losses = losses(ledger);
        if losses > self.answered {
            let earliest = self
                .compared
                .and_then(|last| last.checked_add(COMPARE_EVERY));
            if let Some(earliest) = earliest.filter(|earliest| *earliest > now) {
                self.look = Some(earliest);
                return false;
            }
            self.answered = losses;
            self.again = now.checked_add(COMPARE_AGAIN);
        } else if self.again.is_some_and(|again| again <= now) {
            self.again = None;
        } else {
            return false;
        }
        self.compared = Some(now);
        true
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
            (0, 0, false),
            (1, 2, true),
            (2, 2, false),
            (3, 3, false),
            (11, 3, true),
            (30, 3, false),
            (81, 3, true),
            (300, 3, false),
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
        assert!(!repair.is_needed(&Ledger::default(), Instant::now()));
        let never = tokio::time::timeout(Duration::from_hours(1), repair.due());
        assert!(never.await.is_err());
    }
}
