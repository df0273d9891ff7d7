//! The probe's object file, embedded at build time.

use thiserror::Error;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probe.o"));

/// The agent was built without the probe.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("this build carries no probe; build it with `cargo xtask build`")]
pub struct Missing;

/// The object file.
///
/// # Errors
///
/// When the agent was built without it.
pub(super) fn bytes() -> Result<&'static [u8], Missing> {
    if OBJECT.is_empty() {
        return Err(Missing);
    }
    Ok(OBJECT)
}
