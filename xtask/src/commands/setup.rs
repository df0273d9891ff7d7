//! `cargo xtask setup`: the eBPF toolchain, the test tools, and kernels to test on.

use crate::{
    toolchain::{self, Need, Toolchain},
    vm,
    workspace::Workspace,
};

/// What `setup` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Build the probe with this toolchain from now on, instead of the first one that works
    #[arg(long)]
    toolchain: Option<Toolchain>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options { toolchain } = options;
    let ready = toolchain::ensure(workspace, &Need::ALL, *toolchain)?;
    if let Some(toolchain) = toolchain {
        toolchain::remember(workspace, *toolchain)?;
    }
    vm::fetch(workspace)?;
    let outcome = if ready.changed {
        "done"
    } else {
        "nothing to do"
    };
    println!("setup: {outcome} ({})", ready.summary);
    Ok(())
}
