//! Kernel time and wall time.
//!
//! The kernel stamps records with its boot-time clock, which never steps; documents carry wall
//! time. Nothing in the pipeline reads a clock: the edge passes the time in.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`, `bpf_ktime_get_boot_ns`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootTime(u64);

impl BootTime {
    /// From nanoseconds since boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`, zero when `earlier` is later (clocks of two CPUs may differ a little).
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The boot-time clock now.
    pub fn now() -> Self {
        Self(read(ClockId::Boottime))
    }
}

/// One instant on both clocks: turns boot time into wall time.
///
/// Take a new one now and then, since wall time steps and the boot-time clock does not.
#[derive(Clone, Copy, Debug)]
pub struct ClockPair {
    boot: BootTime,
    wall: Timestamp,
}

impl ClockPair {
    /// Both clocks now.
    pub fn now() -> Self {
        Self {
            boot: BootTime::now(),
            wall: Timestamp::now(),
        }
    }

    /// Two readings of the same instant, for replays and tests.
    pub const fn new(boot: BootTime, wall: Timestamp) -> Self {
        Self { boot, wall }
    }

    /// The wall time of a kernel time.
    pub fn wall(&self, time: BootTime) -> Timestamp {
        let offset = if time >= self.boot {
            SignedDuration::try_from(time.since(self.boot))
        } else {
            SignedDuration::try_from(self.boot.since(time)).map(|distance| -distance)
        };
        // Out of range only for a kernel time centuries away: the pair's own wall time is then
        // the nearest thing known.
        offset
            .ok()
            .and_then(|offset| self.wall.checked_add(offset).ok())
            .unwrap_or(self.wall)
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_keeps_its_distance_on_both_sides() {
        let wall = "2026-03-05T12:00:00Z".parse().expect("a time");
        let pair = ClockPair::new(BootTime::from_nanos(5_000_000_000), wall);
        let at = |nanos| pair.wall(BootTime::from_nanos(nanos)).to_string();
        assert_eq!(at(5_000_000_000), "2026-03-05T12:00:00Z");
        assert_eq!(at(5_250_000_000), "2026-03-05T12:00:00.25Z");
        assert_eq!(at(4_999_000_000), "2026-03-05T11:59:59.999Z");
        assert_eq!(at(0), "2026-03-05T11:59:55Z");
    }

    #[test]
    fn durations_never_go_backwards() {
        let early = BootTime::from_nanos(1);
        let late = BootTime::from_nanos(5);
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn the_clock_runs() {
        let first = BootTime::now();
        assert!(BootTime::now() >= first);
    }
}
