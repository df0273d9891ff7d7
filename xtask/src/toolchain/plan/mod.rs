//! What is missing, as data.

use std::fmt;

use anyhow::bail;

use super::{
    Toolchain,
    facts::{Facts, Linker, Privilege},
    test_tools,
};
use crate::target::Target;

/// The version that this workspace is built with.
pub(crate) const BPF_LINKER: &str = "0.13.0";
/// LLVM versions that [`BPF_LINKER`] has a feature for.
const BPF_LINKER_LLVM: [u32; 3] = [21, 22, 23];
pub(crate) const CARGO_DENY: &str = "0.20.2";
/// What makes packages, each with its version.
pub(crate) const PACKAGERS: [(&str, &str); 2] =
    [("cargo-deb", "3.8.0"), ("cargo-generate-rpm", "0.21.1")];
/// Debian's backport of a current compiler, and the source of its standard library.
const DEBIAN_RUST: [&str; 2] = ["rustc-web", "rust-web-src"];

/// A purpose that tools are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Building the probe.
    Probe,
    /// Live tests on this machine's kernel.
    LiveTests,
    /// Checking licences and sources of dependencies.
    Licences,
    /// Making what virtual machines boot.
    Machines,
    /// Booting virtual machines with this processor.
    Emulator(Target),
    /// Making packages. Not part of a set-up: its tools take minutes to build.
    Packages,
    /// Building the static agent for this target. Not part of a set-up either.
    Target(Target),
}

impl Need {
    /// What `cargo xtask setup` provides.
    pub(crate) const ALL: [Self; 5] = [
        Self::Probe,
        Self::LiveTests,
        Self::Licences,
        Self::Machines,
        Self::Emulator(Target::X86_64),
    ];

    const fn target(self) -> Option<Target> {
        match self {
            Self::Target(target) => Some(target),
            Self::Probe
            | Self::LiveTests
            | Self::Licences
            | Self::Machines
            | Self::Emulator(_)
            | Self::Packages => None,
        }
    }
}

/// One change to the machine or to `target/tools`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `rustup component add rust-src`.
    RustSrc,
    /// `apt-get install`.
    Packages(Vec<String>),
    /// `cargo install bpf-linker` against this major version of LLVM.
    BpfLinker(u32),
    /// `cargo install cargo-deny`.
    CargoDeny,
    /// `cargo install` of one of [`PACKAGERS`].
    Packager(&'static str, &'static str),
    /// `rustup target add`, for the static agent.
    Target(Target),
    /// Download and unpack telnet servers and clients.
    TestTools,
}

impl Step {
    /// The one step that has an alternative.
    pub(crate) fn is_rust_src(&self) -> bool {
        *self == Self::RustSrc
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RustSrc => f.write_str("add the component rust-src to the rustup toolchain"),
            Self::Packages(names) => write!(f, "install Debian packages: {}", names.join(" ")),
            Self::BpfLinker(llvm) => write!(
                f,
                "build bpf-linker {BPF_LINKER} with LLVM {llvm} into target/tools"
            ),
            Self::CargoDeny => write!(f, "build cargo-deny {CARGO_DENY} into target/tools"),
            Self::Packager(name, version) => {
                write!(f, "build {name} {version} into target/tools")
            }
            Self::Target(target) => {
                let triple = target.triple();
                write!(f, "add the target {triple} to the rustup toolchain")
            }
            Self::TestTools => write!(
                f,
                "unpack (not install) into target/tools/root: {}",
                test_tools::PACKAGES.join(" ")
            ),
        }
    }
}

/// The steps from [`Facts`] to what is needed.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) toolchain: Toolchain,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// Computes the steps; an error says what a person has to do first.
    pub(crate) fn compute(
        facts: &Facts,
        needs: &[Need],
        choice: Option<Toolchain>,
    ) -> anyhow::Result<Self> {
        let toolchain = choice.unwrap_or_else(|| automatic(facts));
        let mut packages = Vec::new();
        let mut steps = Vec::new();
        if needs.contains(&Need::Probe) {
            match toolchain {
                Toolchain::Rustup => rust_src(facts, &mut steps)?,
                Toolchain::Debian => debian_rust(facts, &mut packages)?,
            }
            bpf_linker(facts, toolchain, &mut packages, &mut steps)?;
        }
        if needs.contains(&Need::Licences) && facts.cargo_deny.as_deref() != Some(CARGO_DENY) {
            steps.push(Step::CargoDeny);
        }
        if needs.contains(&Need::Packages) {
            static_target(facts, Target::X86_64, &mut packages, &mut steps);
            let missing = PACKAGERS
                .iter()
                .filter(|one| !facts.packagers.contains(one));
            steps.extend(missing.map(|(name, version)| Step::Packager(name, version)));
        }
        for target in needs.iter().filter_map(|need| need.target()) {
            static_target(facts, target, &mut packages, &mut steps);
        }
        if needs.contains(&Need::LiveTests) && !facts.test_tools {
            steps.push(Step::TestTools);
        }
        if needs.contains(&Need::Machines) {
            packages.extend(facts.machine_packages.iter().cloned());
        }
        for (target, package) in &facts.emulator_packages {
            if needs.contains(&Need::Emulator(*target)) {
                packages.push((*package).to_owned());
            }
        }
        packages.retain(|name| !is_installed(facts, name));
        if !packages.is_empty() {
            let source_first = usize::from(steps.first().is_some_and(Step::is_rust_src));
            steps.insert(source_first, Step::Packages(packages));
        }
        possible(facts, &steps)?;
        Ok(Self { toolchain, steps })
    }

    /// What is in use once nothing is missing.
    pub(crate) fn summary(&self, facts: &Facts) -> String {
        let rustc = match self.toolchain {
            Toolchain::Rustup => Some(&facts.pinned),
            Toolchain::Debian => facts.debian.as_ref(),
        };
        let compiler = rustc.map_or_else(String::new, |rustc| {
            format!(", rustc {} with LLVM {}", rustc.release, rustc.llvm)
        });
        let linker = facts.linker.as_ref().map_or_else(String::new, |linker| {
            format!(", bpf-linker {} with LLVM {}", linker.version, linker.llvm)
        });
        format!("probe toolchain {}{compiler}{linker}", self.toolchain)
    }
}

/// Refuses what this user, or this system, cannot do.
fn possible(facts: &Facts, steps: &[Step]) -> anyhow::Result<()> {
    for step in steps {
        let names = match step {
            Step::Packages(names) => names.join(" "),
            Step::TestTools => test_tools::PACKAGES.join(" "),
            Step::RustSrc
            | Step::BpfLinker(_)
            | Step::CargoDeny
            | Step::Packager(..)
            | Step::Target(_) => continue,
        };
        if facts.packages.is_none() {
            bail!(
                "Debian packages are needed ({names}), but this system has no apt: \
                 install their like by hand, set LLVM_PREFIX to the LLVM to build with, \
                 and run again"
            );
        }
        if facts.privilege == Privilege::Missing && matches!(step, Step::Packages(_)) {
            bail!(
                "installing packages needs root, and there is no sudo: run \
                 `apt-get install --no-install-recommends {names}` as root, and run again"
            );
        }
    }
    Ok(())
}

fn static_target(facts: &Facts, target: Target, packages: &mut Vec<String>, steps: &mut Vec<Step>) {
    if !facts.compilers.contains(&target) {
        packages.extend(
            target
                .compiler_packages()
                .iter()
                .copied()
                .map(str::to_owned),
        );
    }
    if !facts.targets.contains(&target) {
        steps.push(Step::Target(target));
    }
}

fn automatic(facts: &Facts) -> Toolchain {
    if facts.pinned.has_source || facts.rustup {
        Toolchain::Rustup
    } else {
        Toolchain::Debian
    }
}

fn rust_src(facts: &Facts, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    if facts.pinned.has_source {
        return Ok(());
    }
    if !facts.rustup {
        bail!(
            "rustc {} has no source of its standard library and is not rustup's: \
             use `cargo xtask setup --toolchain debian`",
            facts.pinned.release
        );
    }
    steps.push(Step::RustSrc);
    Ok(())
}

fn debian_rust(facts: &Facts, packages: &mut Vec<String>) -> anyhow::Result<()> {
    match &facts.debian {
        Some(rustc) if rustc.is_new_enough() && rustc.has_source => {}
        Some(rustc) if DEBIAN_RUST.iter().all(|name| is_installed(facts, name)) => bail!(
            "/usr/bin/rustc is {} {}, but the probe needs {} or newer with its source",
            rustc.release,
            if rustc.has_source {
                "with source"
            } else {
                "without source"
            },
            env!("CARGO_PKG_RUST_VERSION")
        ),
        _ => packages.extend(DEBIAN_RUST.map(str::to_owned)),
    }
    Ok(())
}

fn is_installed(facts: &Facts, name: &str) -> bool {
    let installed = facts.packages.as_deref().unwrap_or_default();
    installed.iter().any(|package| package == name)
}

/// A linker with an older LLVM than the compiler's cannot read its bitcode.
fn bpf_linker(
    facts: &Facts,
    toolchain: Toolchain,
    packages: &mut Vec<String>,
    steps: &mut Vec<Step>,
) -> anyhow::Result<()> {
    let debian = facts.debian.as_ref().filter(|rustc| rustc.is_new_enough());
    let rustc = match toolchain {
        Toolchain::Rustup => &facts.pinned,
        // Not installed yet: assume the same LLVM, and look again when it is.
        Toolchain::Debian => debian.unwrap_or(&facts.pinned),
    };
    let fits = |linker: &Linker| linker.version == BPF_LINKER && linker.llvm >= rustc.llvm;
    if facts.linker.as_ref().is_some_and(fits) {
        return Ok(());
    }
    if !BPF_LINKER_LLVM.contains(&rustc.llvm) {
        bail!(
            "rustc {} uses LLVM {}, but bpf-linker {BPF_LINKER} can be built with LLVM {} only: \
             choose another compiler with --toolchain, or raise the version of bpf-linker \
             in xtask/src/toolchain/plan/mod.rs",
            rustc.release,
            rustc.llvm,
            BPF_LINKER_LLVM.map(|llvm| llvm.to_string()).join(", ")
        );
    }
    if !facts.llvm_prefix {
        packages.extend([
            format!("llvm-{}-dev", rustc.llvm),
            format!("libpolly-{}-dev", rustc.llvm),
        ]);
        packages.extend(["libxml2-dev", "libzstd-dev", "zlib1g-dev"].map(str::to_owned));
    }
    steps.push(Step::BpfLinker(rustc.llvm));
    Ok(())
}

#[cfg(test)]
mod tests;
