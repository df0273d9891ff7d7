//! What the machine under test can be asked for.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::wait::PATIENCE;

/// Sessions in each of those tests, for machines on which the full number takes too long.
pub const SESSIONS_VAR: &str = "TELNET_TEST_SESSIONS";
/// Set where the processor is emulated on a machine that does other work too.
pub const EMULATED_VAR: &str = "TELNET_TEST_EMULATED";
/// The full number.
const SESSIONS: usize = 1000;

/// Sessions that a test with many of them opens.
pub fn sessions() -> Result<usize> {
    match env::var(SESSIONS_VAR) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{SESSIONS_VAR}={text}")),
        Err(env::VarError::NotPresent) => Ok(SESSIONS),
        Err(error) => Err(error).context(SESSIONS_VAR),
    }
}

/// What may take at most `limit`: a promise that an emulated machine does not have to keep, since
/// it may stand still meanwhile.
pub fn time_limit(limit: Duration) -> Duration {
    if is_emulated() { PATIENCE } else { limit }
}

/// Whether the processor is emulated.
pub fn is_emulated() -> bool {
    env::var_os(EMULATED_VAR).is_some()
}
