//! What names a process until the end of days: boot, pid and start.

use sha2::{Digest as _, Sha256};

use crate::clock::BootTime;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Turns start times into ticks, the unit of `/proc/PID/stat`, and into entity ids.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    boot_id: Option<String>,
    ticks_per_second: u64,
}

impl Identity {
    pub(super) fn new(boot_id: Option<String>) -> Self {
        Self {
            boot_id,
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
        }
    }

    /// The tick of a kernel time, rounded down as the kernel does (`nsec_to_clock_t`).
    pub(super) fn ticks(&self, time: BootTime) -> u64 {
        let nanos = u128::from(time.as_nanos());
        let ticks = nanos * u128::from(self.ticks_per_second) / NANOS_PER_SECOND;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The first moment of a tick.
    pub(super) fn time(&self, ticks: u64) -> BootTime {
        let nanos = u128::from(ticks) * NANOS_PER_SECOND / u128::from(self.ticks_per_second);
        BootTime::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The start as a tick, not in nanoseconds: then a process has the same id whether the kernel
    /// or `/proc` reported it.
    pub(super) fn entity_id(&self, pid: u32, start: u64) -> Option<String> {
        let digest = Sha256::new()
            .chain_update(self.boot_id.as_ref()?)
            .chain_update(pid.to_be_bytes())
            .chain_update(start.to_be_bytes())
            .finalize();
        let head = u128::from_be_bytes(*digest.first_chunk()?);
        Some(format!("{head:032x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            boot_id: Some("boot".into()),
            ticks_per_second: 100,
        }
    }

    #[test]
    fn a_tick_is_ten_milliseconds_rounded_down() {
        for (nanos, ticks) in [
            (0, 0),
            (9_999_999, 0),
            (10_000_000, 1),
            (u64::MAX, 1_844_674_407_370),
        ] {
            assert_eq!(
                identity().ticks(BootTime::from_nanos(nanos)),
                ticks,
                "{nanos}"
            );
        }
        assert_eq!(identity().time(7).as_nanos(), 70_000_000);
        assert_eq!(identity().time(u64::MAX).as_nanos(), u64::MAX);
    }

    #[test]
    fn an_entity_id_is_a_function_of_boot_pid_and_start() {
        let id = identity().entity_id(7, 9);
        assert_eq!(id.as_deref(), Some("c73970faba8571fe8a740f9d79952dc6"));
        assert_ne!(identity().entity_id(8, 9), id);
        assert_ne!(identity().entity_id(7, 10), id);
        assert_eq!(Identity::new(None).entity_id(7, 9), None);
    }
}
