//! What the machine under test can be asked for.

use std::env;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::wait::PATIENCE;

/// Sessions in each of those tests, for machines on which the full number takes too long.
pub const SESSIONS_VAR: &str = "TELNET_TEST_SESSIONS";
/// Set where the processor is emulated on a machine that does other work too.
pub const EMULATED_VAR: &str = "TELNET_TEST_EMULATED";
/// Minutes of the soak, for more or less than every change gets.
pub const SOAK_VAR: &str = "TELNET_TEST_SOAK_MINUTES";
/// Set where the machine is the test's own, so that its clock may be set.
pub const CLOCK_VAR: &str = "TELNET_TEST_CLOCK";
/// The full number.
const SESSIONS: usize = 1000;
/// As long as every change is soaked.
const SOAK: Duration = Duration::from_mins(5);

/// Sessions that a test with many of them opens.
pub fn sessions() -> Result<usize> {
    Ok(number(SESSIONS_VAR)?.unwrap_or(SESSIONS))
}

/// How long the soak takes.
pub fn soak() -> Result<Duration> {
    Ok(number(SOAK_VAR)?.map_or(SOAK, Duration::from_mins))
}

fn number<T>(variable: &str) -> Result<Option<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    match env::var(variable) {
        Ok(text) => {
            let number = text.parse();
            Ok(Some(number.with_context(|| format!("{variable}={text}"))?))
        }
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context(variable.to_owned()),
    }
}

/// Whether the clock of the machine may be set.
pub fn may_set_clock() -> bool {
    env::var_os(CLOCK_VAR).is_some()
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
