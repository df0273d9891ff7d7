//! A guest to play with.

use super::{choose_accelerator, guest::Base, kernel::Kernel, qemu::Machine};
use crate::{
    toolchain::{self, Need},
    workspace::Workspace,
};

/// A telnet server for the demo.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Telnetd {
    /// busybox, which listens itself
    Busybox,
    /// inetutils telnetd under openbsd-inetd
    Inetd,
    /// inetutils telnetd under xinetd
    Xinetd,
}

impl Telnetd {
    const fn name(self) -> &'static str {
        match self {
            Self::Busybox => "busybox",
            Self::Inetd => "inetd",
            Self::Xinetd => "xinetd",
        }
    }
}

/// Boots one guest with a telnet server and the agent on this terminal.
pub(crate) fn demo(
    workspace: &Workspace,
    series: &str,
    telnetd: Telnetd,
    port: u16,
) -> anyhow::Result<()> {
    let needs = [Need::Probe, Need::LiveTests, Need::Machines];
    let ready = toolchain::ensure(workspace, &needs, None)?;
    let base = Base::build(workspace, ready.toolchain)?;
    let kernel = Kernel::get(workspace, series)?;
    let accelerator = choose_accelerator(workspace, &base, &kernel)?;
    let initrd = workspace.vm().join("demo.initrd");
    let variables = [
        ("MODE", "demo"),
        ("TELNETD", telnetd.name()),
        ("PORT", &port.to_string()),
    ];
    base.write(&initrd, &kernel, &variables)?;
    let machine = Machine {
        accelerator,
        kernel: kernel.image,
        initrd,
        parameters: "quiet".to_owned(),
        console: workspace.vm().join("demo.log"),
    };
    machine.attach(workspace, port)
}
