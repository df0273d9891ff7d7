//! `cargo xtask run`: the agent on this host.

use std::ffi::OsString;

use anyhow::bail;

use super::build;
use crate::{
    process,
    toolchain::{self, Need, Privilege},
    tracefs,
    workspace::Workspace,
};

/// What `run` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Arguments for the agent
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options { arguments } = options;
    let ready = toolchain::ensure(workspace, &[Need::Probe], None)?;
    let agent = build::agent(workspace, true, ready.toolchain)?;
    tracefs::ensure(workspace);
    let mut command = match Privilege::here() {
        Privilege::Root => workspace.command(&agent.binary),
        Privilege::Sudo => {
            let mut command = workspace.command("sudo");
            command.arg("--").arg(&agent.binary);
            command
        }
        Privilege::Missing => bail!(
            "loading the probe needs root, and there is no sudo: run {} as root",
            agent.binary.display()
        ),
    };
    command.args(arguments);
    match process::exec(&mut command)? {}
}
