//! What the kernel under test does not have, as whoever starts the tests knows and says.

use std::env;

/// Names of what is missing, separated by spaces. Nothing is, when it is not set.
pub const LACKS_VAR: &str = "TELNET_TEST_LACKS";

/// Whether the kernel lacks `name`, so that the test expects less. What it lacks is never guessed
/// from a failure.
pub fn lacks(name: &str) -> bool {
    env::var(LACKS_VAR).is_ok_and(|lacks| lacks.split_whitespace().any(|lack| lack == name))
}
