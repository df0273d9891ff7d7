//! What is on this machine. Looks, changes nothing.

use std::{env, fs, path::Path};

use clap::ValueEnum as _;

use super::{
    apt,
    plan::PACKAGERS,
    test_tools,
    version::{Installed, Rustc, ask_rustc, host_rustc},
};
use crate::{process, target::Target, vm, workspace::Workspace};

/// Where Debian installs the compiler. The bare name is rustup's proxy on most machines.
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// How this user can do what only root may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    Root,
    Sudo,
    Missing,
}

impl Privilege {
    pub(crate) fn here() -> Self {
        if rustix::process::geteuid().is_root() {
            Self::Root
        } else if process::is_installed("sudo") {
            Self::Sudo
        } else {
            Self::Missing
        }
    }
}

/// bpf-linker as it was built for this checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    pub(crate) version: String,
    /// Major version of the LLVM it reads bitcode with.
    pub(crate) llvm: u32,
}

/// What [`super::Plan`] is computed from.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The compiler of the pinned toolchain.
    pub(crate) pinned: Rustc,
    /// Whether that toolchain belongs to rustup, which can add components to it.
    pub(crate) rustup: bool,
    /// Debian's compiler.
    pub(crate) debian: Option<Rustc>,
    /// A bpf-linker that starts.
    pub(crate) linker: Option<Linker>,
    /// Version of cargo-deny.
    pub(crate) cargo_deny: Option<String>,
    /// Those of [`PACKAGERS`] that are installed in their version.
    pub(crate) packagers: Vec<(&'static str, &'static str)>,
    /// Those whose standard library is there.
    pub(crate) targets: Vec<Target>,
    /// Those whose compiler, with its headers, is there.
    pub(crate) compilers: Vec<Target>,
    /// Whether the telnet servers and clients are unpacked.
    pub(crate) test_tools: bool,
    /// Whether `LLVM_PREFIX` names an LLVM to build against.
    pub(crate) llvm_prefix: bool,
    /// Packages for virtual machines that this machine lacks.
    pub(crate) machine_packages: Vec<String>,
    /// Those that run each processor's instructions, as far as this machine lacks them.
    pub(crate) emulator_packages: Vec<(Target, &'static str)>,
    pub(crate) privilege: Privilege,
    /// Names of installed Debian packages; `None` where there is no apt.
    pub(crate) packages: Option<Vec<String>>,
}

impl Facts {
    pub(crate) fn gather(workspace: &Workspace) -> anyhow::Result<Self> {
        let record = fs::read_to_string(workspace.tools().join(".crates2.json"))
            .unwrap_or_else(|_| String::new());
        let has_apt = process::is_installed("apt-get") && process::is_installed("dpkg-deb");
        Ok(Self {
            pinned: host_rustc(workspace)?,
            rustup: env::var_os("RUSTUP_TOOLCHAIN").is_some() && process::is_installed("rustup"),
            debian: debian_rustc(workspace),
            linker: linker(workspace, &record),
            cargo_deny: cargo_deny(workspace, &record),
            packagers: packagers(workspace, &record),
            targets: targets(workspace)?,
            compilers: compilers(workspace),
            test_tools: test_tools::are_unpacked(workspace),
            llvm_prefix: env::var_os("LLVM_PREFIX").is_some(),
            machine_packages: machine_packages(),
            emulator_packages: emulator_packages(),
            privilege: Privilege::here(),
            packages: has_apt.then(|| apt::installed(workspace)).transpose()?,
        })
    }
}

fn machine_packages() -> Vec<String> {
    let mut packages = Vec::new();
    for (program, package) in vm::PROGRAMS {
        if !process::is_installed(program) {
            packages.push(package.to_owned());
        }
    }
    if !Path::new(vm::KEYRING).is_file() {
        packages.push("debian-archive-keyring".to_owned());
    }
    packages
}

fn emulator_packages() -> Vec<(Target, &'static str)> {
    let targets = Target::value_variants().iter();
    let boards = targets.map(|target| (*target, vm::Board::of(*target)));
    boards
        .filter(|(_, board)| !process::is_installed(board.program))
        .map(|(target, board)| (target, board.package))
        .collect()
}

fn debian_rustc(workspace: &Workspace) -> Option<Rustc> {
    let program = Path::new(DEBIAN_RUSTC);
    if !program.is_file() {
        return None;
    }
    ask_rustc(workspace, program).ok()
}

/// Started once: after an upgrade of the system its LLVM library may be gone.
fn linker(workspace: &Workspace, record: &str) -> Option<Linker> {
    let installed = Installed::find(record, "bpf-linker")?;
    let llvm = installed
        .features
        .iter()
        .find_map(|feature| feature.strip_prefix("llvm-")?.parse().ok())?;
    process::capture(
        workspace
            .command(workspace.tool("bpf-linker"))
            .arg("--version"),
    )
    .ok()?;
    Some(Linker {
        version: installed.version,
        llvm,
    })
}

fn packagers(workspace: &Workspace, record: &str) -> Vec<(&'static str, &'static str)> {
    let is_there = |(name, version): &(&str, &str)| {
        let installed = Installed::find(record, name);
        workspace.tool(name).is_file() && installed.is_some_and(|found| found.version == *version)
    };
    PACKAGERS.into_iter().filter(is_there).collect()
}

fn targets(workspace: &Workspace) -> anyhow::Result<Vec<Target>> {
    let sysroot = process::capture(workspace.command("rustc").args(["--print", "sysroot"]))?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
    let mut targets = Target::value_variants().to_vec();
    targets.retain(|target| libraries.join(target.triple()).is_dir());
    Ok(targets)
}

/// Tried: a compiler without headers is no use.
fn compilers(workspace: &Workspace) -> Vec<Target> {
    let mut targets = Target::value_variants().to_vec();
    targets.retain(|target| {
        let mut command = workspace.command(target.compiler());
        command.args([
            "-fsyntax-only",
            "-include",
            "stdint.h",
            "-x",
            "c",
            "/dev/null",
        ]);
        process::capture(&mut command).is_ok()
    });
    targets
}

fn cargo_deny(workspace: &Workspace, record: &str) -> Option<String> {
    let installed = Installed::find(record, "cargo-deny")?;
    let is_there = workspace.tool("cargo-deny").is_file();
    is_there.then_some(installed.version)
}
