//! Keeps what is asked of the system on behalf of single sessions to a part of the time: a look at the
//! open files of processes takes as long as these have files, of which each session is one more.

use std::time::{Duration, Instant};

/// One part of this many of the time goes to looks,
const SHARE: u32 = 4;
/// and this much at once, when there were none for long.
const BURST: Duration = Duration::from_secs(1);

/// How far looks are ahead of their part of the time.
#[derive(Debug)]
pub(super) struct Pace {
    /// When their part of the time is as long as they were.
    paid: Instant,
}

impl Pace {
    /// Nothing was spent yet.
    pub(super) fn new() -> Self {
        Self {
            paid: Instant::now(),
        }
    }

    /// Looks, unless looks took too much time of late.
    pub(super) fn run<T>(&mut self, look: impl FnOnce() -> T) -> Option<T> {
        let begun = Instant::now();
        if !self.may(begun) {
            return None;
        }
        let found = look();
        self.took(begun, begun.elapsed());
        Some(found)
    }

    fn may(&self, now: Instant) -> bool {
        self.paid.saturating_duration_since(now) < BURST * SHARE
    }

    fn took(&mut self, begun: Instant, time: Duration) {
        self.paid = self.paid.max(begun) + time * SHARE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_take_a_part_of_the_time_and_more_only_at_first() {
        let mut pace = Pace::new();
        let start = Instant::now();
        let look = Duration::from_millis(100);
        let (mut now, mut looked) = (start, Duration::ZERO);
        while now < start + Duration::from_mins(1) {
            if pace.may(now) {
                pace.took(now, look);
                looked += look;
                now += look;
            } else {
                now += Duration::from_millis(10);
            }
        }
        let fair = Duration::from_mins(1) / SHARE + BURST;
        assert!(
            looked.abs_diff(fair) <= 2 * look,
            "{looked:?} instead of {fair:?}"
        );
    }

    #[test]
    fn what_was_put_off_is_not_asked() {
        let mut pace = Pace::new();
        assert_eq!(pace.run(|| 1), Some(1));
        pace.took(Instant::now(), Duration::from_mins(1));
        assert_eq!(pace.run(|| 2), None);
    }
}
