//! A guest to play with.

use super::{
    choose_accelerator,
    guest::{Base, Programs},
    kernel::Kernel,
    plan::Userland,
    qemu::Machine,
    system,
};
use crate::{
    target::Target,
    toolchain::{self, Need},
    workspace::Workspace,
};

/// A telnet server for the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Telnetd {
    /// busybox, which listens itself
    Busybox,
    /// inetutils telnetd under openbsd-inetd
    Inetd,
    /// inetutils telnetd under xinetd
    Xinetd,
    /// inetutils telnetd by socket activation, in a whole Debian system
    Systemd,
}

impl Telnetd {
    const fn name(self) -> &'static str {
        match self {
            Self::Busybox => "busybox",
            Self::Inetd => "inetd",
            Self::Xinetd => "xinetd",
            Self::Systemd => "systemd",
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
    let target = Target::X86_64;
    let mut needs = vec![Need::Probe, Need::LiveTests, Need::Machines];
    needs.push(Need::Emulator(target));
    needs.extend((telnetd == Telnetd::Systemd).then_some(Need::Packages));
    let ready = toolchain::ensure(workspace, &needs, None)?;
    let programs = Programs::agent(workspace, ready.toolchain, target)?;
    let mut base = Base::build(workspace, target, &programs)?;
    let kernel = Kernel::get(workspace, target, series)?;
    let accelerator = choose_accelerator(workspace, target, &base, &kernel)?;
    let mut userland = Userland::Busybox;
    let mut parameters = "quiet";
    if telnetd == Telnetd::Systemd {
        base = system::build(workspace, ready.toolchain, &programs)?;
        userland = Userland::Debian;
        parameters = "quiet systemd.unit=demo.target net.ifnames=0";
    }
    let initrd = workspace.vm().join("demo.initrd");
    let variables = [
        ("MODE", "demo"),
        ("TELNETD", telnetd.name()),
        ("PORT", &port.to_string()),
    ];
    base.write(&initrd, &kernel, &variables)?;
    let machine = Machine {
        target,
        accelerator,
        kernel: kernel.image,
        initrd,
        memory: userland.memory(),
        parameters: parameters.to_owned(),
        console: workspace.vm().join("demo.log"),
    };
    machine.attach(workspace, port)
}
