//! `cargo xtask build`: the agent with the probe embedded.

use std::path::PathBuf;

use crate::{
    probe, process,
    toolchain::{self, Need, Toolchain},
    workspace::Workspace,
};

/// What `build` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Optimise
    #[arg(long)]
    release: bool,
    /// Build the probe with this toolchain, this time
    #[arg(long)]
    toolchain: Option<Toolchain>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options { release, toolchain } = options;
    let ready = toolchain::ensure(workspace, &[Need::Probe], *toolchain)?;
    let agent = agent(workspace, *release, ready.toolchain)?;
    println!("built {}", agent.binary.display());
    Ok(())
}

/// What a build leaves.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) binary: PathBuf,
    /// The probe inside.
    pub(crate) probe: PathBuf,
}

/// Builds probe and agent with tools that are already there.
pub(crate) fn agent(
    workspace: &Workspace,
    release: bool,
    toolchain: Toolchain,
) -> anyhow::Result<Agent> {
    let probe = probe::build(workspace, toolchain)?;
    let mut command = workspace.cargo();
    command.args([
        "build",
        "--package",
        "telnet-user",
        "--bin",
        "telnet-monitor",
    ]);
    if release {
        command.arg("--release");
    }
    probe::embed(&mut command, &probe);
    process::run(&mut command)?;
    Ok(Agent {
        binary: workspace.agent(release),
        probe,
    })
}
