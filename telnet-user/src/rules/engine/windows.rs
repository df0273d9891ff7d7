//! When a rule runs and what each run searches. All times in milliseconds since
//! the epoch, the resolution of Elasticsearch's `date`.

use jiff::Timestamp;

use crate::rules::rule::Rule;

/// The endless series of runs of one rule.
///
/// Run `k` is at `start + k * interval` and searches from `run + from` to
/// `run + to`, both ends included. Window `k` is the time that run `k` is the
/// first to see: everything after the end of the span of run `k - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    start: i64,
    interval: i64,
    from: i64,
    to: i64,
}

impl Windows {
    /// The runs of `rule` when run 0 is at `start`.
    pub(crate) fn of(rule: &Rule, start: Timestamp) -> Self {
        let millis = |duration: jiff::SignedDuration| duration.as_secs().saturating_mul(1_000);
        Self {
            start: start.as_millisecond(),
            interval: millis(rule.interval.duration()).max(1),
            from: millis(rule.from.duration()),
            to: millis(rule.to.duration()),
        }
    }

    /// The window that holds `at`.
    pub(crate) fn index_of(&self, at: i64) -> i64 {
        let behind = at.saturating_sub(self.to).saturating_sub(self.start);
        behind
            .saturating_add(self.interval - 1)
            .div_euclid(self.interval)
    }

    /// When run `index` takes place.
    pub(crate) fn run(&self, index: i64) -> i64 {
        self.start
            .saturating_add(index.saturating_mul(self.interval))
    }

    /// First instant of window `index`.
    pub(crate) fn opens(&self, index: i64) -> i64 {
        self.closes(index.saturating_sub(1)).saturating_add(1)
    }

    /// Last instant of window `index`.
    pub(crate) fn closes(&self, index: i64) -> i64 {
        self.run(index).saturating_add(self.to)
    }

    /// Oldest instant that run `index` searches.
    pub(crate) fn oldest(&self, index: i64) -> i64 {
        self.run(index).saturating_add(self.from)
    }
}

/// `millis` as a timestamp; the nearest one there is for a value out of range.
pub(crate) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::Windows;

    #[test]
    fn windows_of_five_minutes_and_nine_back() {
        let windows = Windows {
            start: 0,
            interval: 300_000,
            from: -540_000,
            to: 0,
        };
        let cases = [
            (0, 0),
            (1, 1),
            (300_000, 1),
            (300_001, 2),
            (-1, 0),
            (-300_000, -1),
        ];
        for (at, index) in cases {
            assert_eq!(windows.index_of(at), index, "{at}");
            assert!(
                windows.opens(index) <= at && at <= windows.closes(index),
                "{at}"
            );
        }
        assert_eq!(windows.oldest(2), 60_000);
    }

    proptest::proptest! {
        #[test]
        fn every_instant_is_in_its_window(at: i64, start: i64, interval in 1_i64..1_000_000, to in -1_000_000_i64..1) {
            let windows = Windows { start: start / 4, interval, from: to - 10, to };
            let at = at / 4;
            let index = windows.index_of(at);
            proptest::prop_assert!(windows.opens(index) <= at && at <= windows.closes(index));
        }
    }
}
