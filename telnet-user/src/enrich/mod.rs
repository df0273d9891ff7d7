//! Who is on a socket, and what is known about them.

mod cache;
pub mod cgroup;
pub mod facts;
pub mod host;
pub mod process;
pub mod user;

use std::path::PathBuf;

/// Where the system's files are; other folders in tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/etc`.
    pub etc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            etc: "/etc".into(),
            sys: "/sys".into(),
        }
    }
}
