//! Virtual machines: the same tests on other kernels, and a place to try the agent.

mod board;
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
    board::Board,
    demo::{Telnetd, demo},
    kernel::{KEYRING, NEWEST},
    matrix::Matrix,
    plan::{ALL, Guest, Tests, suites},
};
/// What virtual machines are made with, beside their [`Board`], and the Debian packages it is in.
pub(crate) const PROGRAMS: [(&str, &str); 2] = [("debootstrap", "debootstrap"), ("cpio", "cpio")];

use self::{guest::Base, kernel::Kernel, qemu::Accelerator};
use crate::{target::Target, workspace::Workspace};

/// Fetches the kernels that every change is tested on, unless they are there already.
pub(crate) fn fetch(workspace: &Workspace) -> anyhow::Result<()> {
    for series in plan::SHARE {
        Kernel::get(workspace, Target::X86_64, series)?;
    }
    Ok(())
}

/// What runs guests with `target`; `base` and `kernel` are to try it with.
fn choose_accelerator(
    workspace: &Workspace,
    target: Target,
    base: &Base,
    kernel: &Kernel,
) -> anyhow::Result<Accelerator> {
    let mut accelerator = Accelerator::Tcg;
    if target.is_own() && qemu::has_kvm() {
        let initrd = workspace.vm().join("kvm.initrd");
        base.write(&initrd, kernel, &[("MODE", "none")])?;
        accelerator = qemu::accelerator(workspace, target, &kernel.image, &initrd)?;
    }
    println!(
        "guests with {} run {}",
        target.arch(),
        match accelerator {
            Accelerator::Kvm => "under KVM",
            Accelerator::Tcg => "under emulation (TCG), which is slow",
        }
    );
    Ok(accelerator)
}
