//! `cargo xtask build`: the agent with the probe embedded.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    probe, process,
    target::Target,
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
    /// Build a static agent for this target instead, into target/TRIPLE/{debug,release}
    #[arg(long, value_name = "TRIPLE")]
    target: Option<Target>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options {
        release,
        toolchain,
        target,
    } = options;
    let mut needs = vec![Need::Probe];
    needs.extend(target.map(Need::Target));
    let ready = toolchain::ensure(workspace, &needs, *toolchain)?;
    let agent = match target {
        Some(target) => agent_for(workspace, *release, ready.toolchain, *target)?,
        None => agent(workspace, *release, ready.toolchain)?,
    };
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
    process::run(&mut cargo_build(workspace, release, &probe))?;
    Ok(Agent {
        binary: workspace.agent(release),
        probe,
    })
}

/// The same, static and for whatever processor.
fn agent_for(
    workspace: &Workspace,
    release: bool,
    toolchain: Toolchain,
    target: Target,
) -> anyhow::Result<Agent> {
    let probe = probe::build_for(workspace, toolchain, target.arch())?;
    let mut command = cargo_build(workspace, release, &probe);
    target.choose(&mut command);
    process::run(&mut command)?;
    Ok(Agent {
        binary: workspace.agent_for(release, target),
        probe,
    })
}

fn cargo_build(workspace: &Workspace, release: bool, probe: &Path) -> Command {
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
    probe::embed(&mut command, probe);
    command
}
