//! When to compare what is tracked with what is open: whenever records were lost, and now and then.
//!
//! Nobody is told of a loss, so the ledger is read: a moment after records came in, and with each
//! heartbeat. Some events a kernel loses without counting them; so while records come there are
//! comparisons as well.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::probe::Ledger;

/// From the first record after a look at the ledger to the next look: what is lost is mostly lost
/// in a burst.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Least time between two comparisons, which list all sockets of the host.
const COMPARE_EVERY: Duration = Duration::from_secs(10);
/// And so many times as long as the last one took: whoever makes records get lost on purpose does not
/// keep the agent comparing.
const COMPARE_SHARE: u32 = 10;
/// From the first record after a comparison to the next one, when no loss was counted.
const COMPARE_ANYWAY: Duration = Duration::from_secs(30);
/// On a host where a comparison takes long, it is made so much less often than that: one part of
/// this many of the time goes to it.
const SHARE: u32 = 100;

/// Why a comparison is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Records were lost since the last one.
    Loss,
    /// The last one is long ago.
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
    /// How long it took.
    took: Duration,
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
            self.again = now.checked_add(COMPARE_ANYWAY.max(self.took.saturating_mul(SHARE)));
        }
    }

    /// The comparison that was due took so long.
    pub(super) const fn took(&mut self, time: Duration) {
        self.took = time;
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
            let pause = COMPARE_EVERY.max(self.took.saturating_mul(COMPARE_SHARE));
            let earliest = self.compared.and_then(|last| last.checked_add(pause));
            if let Some(earliest) = earliest.filter(|earliest| *earliest > now) {
                self.look = Some(earliest);
                return None;
            }
            self.answered = losses;
            Cause::Loss
        } else if self.again.is_some_and(|again| again <= now) {
            Cause::Time
        } else {
            return None;
        };
        self.again = None;
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
    fn each_loss_is_answered_soon_but_not_too_often() {
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
            (81, 3, None),
        ];
        for (seconds, missed, expected) in needed {
            assert_eq!(at(seconds, missed), expected, "after {seconds} s");
        }
    }

    #[test]
    fn losses_do_not_make_one_long_comparison_follow_another() {
        let start = Instant::now();
        let mut repair = Repair::default();
        let mut missed = 0;
        let mut at = |repair: &mut Repair, seconds| {
            missed += 1;
            let ledger = Ledger {
                missed,
                ..Ledger::default()
            };
            repair.is_needed(&ledger, start + Duration::from_secs(seconds))
        };
        assert_eq!(at(&mut repair, 0), Some(Cause::Loss));
        repair.took(Duration::from_secs(12));
        assert_eq!(at(&mut repair, 13), None);
        assert_eq!(at(&mut repair, 119), None);
        assert_eq!(at(&mut repair, 120), Some(Cause::Loss));
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

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_done_less_often() {
        let mut repair = Repair::default();
        repair.took(Duration::from_secs(5));
        let now = Instant::now();
        repair.note_records(now);
        repair.due().await;
        assert_eq!(repair.is_needed(&Ledger::default(), Instant::now()), None);
        repair.due().await;
        assert_eq!(now.elapsed(), Duration::from_secs(500));
    }
}
