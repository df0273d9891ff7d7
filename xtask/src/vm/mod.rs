//! Virtual machines: the same tests on other kernels, and a place to try the agent.

mod demo;
mod expect;
mod guest;
mod kernel;
mod matrix;
mod plan;
mod qemu;
mod summary;
mod system;
mod verdict;

pub(crate) use self::{
    demo::{Telnetd, demo},
    kernel::{KEYRING, NEWEST},
    matrix::Matrix,
    plan::{ALL, Guest, Tests, suites},
};
/// What virtual machines are made with, and the Debian packages it is in.
pub(crate) const PROGRAMS: [(&str, &str); 3] = [
    (qemu::PROGRAM, "qemu-system-x86"),
    ("debootstrap", "debootstrap"),
    ("cpio", "cpio"),
];

use self::{guest::Base, kernel::Kernel, qemu::Accelerator};
use crate::workspace::Workspace;

/// Fetches the kernels that every change is tested on, unless they are there already.
pub(crate) fn fetch(workspace: &Workspace) -> anyhow::Result<()> {
    for series in plan::SHARE {
        Kernel::get(workspace, series)?;
    }
    Ok(())
}

fn choose_accelerator(
    workspace: &Workspace,
    base: &Base,
    kernel: &Kernel,
) -> anyhow::Result<Accelerator> {
    let initrd = workspace.vm().join("kvm.initrd");
    base.write(&initrd, kernel, &[("MODE", "none")])?;
    let accelerator = qemu::accelerator(workspace, &kernel.image, &initrd)?;
    println!(
        "guests run {}",
        match accelerator {
            Accelerator::Kvm => "under KVM",
            Accelerator::Tcg => "under emulation (TCG), which is slow",
        }
    );
    Ok(accelerator)
}
