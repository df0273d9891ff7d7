//! Root that may not do everything: the process becomes another program with one capability less.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

/// Becomes `program`, which as root gets whatever the bounding set has left.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    remove_capability_from_bounding_set(CapabilitySet::NET_ADMIN)?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("cannot become {program}"))
}
