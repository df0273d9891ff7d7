//! `cargo xtask vm`: a guest with a telnet server and the agent, to play with.

use crate::{
    vm::{self, NEWEST, Telnetd},
    workspace::Workspace,
};

/// What `vm` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Kernel series, such as 6.1, or the newest one
    #[arg(long, value_name = "SERIES", default_value = NEWEST)]
    kernel: String,
    /// Telnet server
    #[arg(long, value_enum, default_value_t = Telnetd::Xinetd)]
    telnetd: Telnetd,
    /// Port on this machine's loopback that leads to the guest's port 23
    #[arg(long)]
    port: Option<u16>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options {
        kernel,
        telnetd,
        port,
    } = options;
    vm::demo(workspace, kernel, *telnetd, *port)
}
