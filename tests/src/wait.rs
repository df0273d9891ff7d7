//! Waiting for conditions that nothing announces.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take before a test gives up on it. Far above what is ever
/// needed, so that an emulated guest on a busy machine passes too; only a failing test spends it.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Pause between two looks at a condition that has to be polled (`/proc` has no events).
const INTERVAL: Duration = Duration::from_millis(3);

/// A look that takes long gets a quarter of the time at most: whom it waits for needs the processor.
const PAUSE_PER_LOOK: u32 = 3;

/// Looks until `look` finds something, and says `what` was missing when [`PATIENCE`] ends.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until_after(what, PATIENCE, look)
}

/// As [`until`], for what takes longer.
pub fn until_after<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        let began = Instant::now();
        if let Some(found) = look()? {
            return Ok(found);
        }
        let pause = INTERVAL.max(began.elapsed() * PAUSE_PER_LOOK);
        if Instant::now() >= deadline {
            bail!("{what}: not within {patience:?}");
        }
        thread::sleep(pause);
    }
}
