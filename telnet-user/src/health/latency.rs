//! How long alerts took.

use std::time::Duration;

/// Upper bounds of the buckets, in milliseconds.
pub(super) const BOUNDS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 30_000];

/// A histogram of fixed size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// One for each bound, not cumulative.
    pub(super) counts: [u64; BOUNDS.len()],
    /// Beyond the last bound.
    pub(super) beyond: u64,
    pub(super) sum: Duration,
}

impl Latency {
    /// Takes in one measurement.
    pub fn note(&mut self, time: Duration) {
        let place = BOUNDS
            .iter()
            .position(|&bound| time <= Duration::from_millis(bound));
        match place.and_then(|place| self.counts.get_mut(place)) {
            Some(count) => *count += 1,
            None => self.beyond += 1,
        }
        self.sum = self.sum.saturating_add(time);
    }

    /// Measurements so far.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.beyond
    }

    /// The bound below which this part of the measurements lies, in milliseconds; absent when
    /// there are none or it lies beyond the last bound.
    pub(super) fn quantile(&self, part: f64) -> Option<u64> {
        let count = self.count();
        let mut below = 0;
        for (bound, counted) in BOUNDS.iter().zip(&self.counts) {
            below += counted;
            // Both are far below 2^53.
            if count > 0 && as_f64(below) >= as_f64(count) * part {
                return Some(*bound);
            }
        }
        None
    }
}

/// A count as a floating point number.
pub(super) fn as_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
