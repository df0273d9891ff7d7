//! Virtual machines: the same tests on other kernels, and a place to try the agent.

mod demo;
mod expect;
mod guest;
mod kernel;
mod matrix;
mod qemu;
mod summary;
mod verdict;

pub(crate) use self::{
    demo::{Telnetd, demo},
    kernel::{ALL, DEFAULT, KEYRING, NEWEST},
    matrix::{Guest, HOOKS, KERNEL, Matrix, REFUSALS, Tests},
    qemu::PROGRAM,
};
use self::{guest::Base, kernel::Kernel, qemu::Accelerator};
use crate::workspace::Workspace;

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
