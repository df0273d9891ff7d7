//! `cargo xtask vm`: a guest with a telnet server and the agent, to play with.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;

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
    /// Port on this machine's loopback that leads to the guest's port 23; 0 for any free one
    #[arg(long, default_value_t = 2323)]
    port: u16,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options {
        kernel,
        telnetd,
        port,
    } = options;
    let port = free_port(*port)?;
    vm::demo(workspace, kernel, *telnetd, port)
}

/// The port itself, after a look whether it is free, or one that the kernel chose.
fn free_port(port: u16) -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("port {port} of this machine is taken: choose another --port"))?;
    Ok(listener.local_addr()?.port())
}
