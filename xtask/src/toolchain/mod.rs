//! What the build needs beyond cargo, and how it gets onto this machine.
//!
//! [`facts`] looks at the machine, [`plan`] computes from that what is missing, [`apply`] installs
//! it. Only the last one changes anything.

mod apply;
mod apt;
mod facts;
pub(crate) mod kit;
mod plan;
mod test_tools;
mod version;

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use self::{
    facts::Facts,
    plan::{Plan, Step},
};
pub(crate) use self::{
    facts::{DEBIAN_RUSTC, Privilege},
    plan::Need,
    test_tools::{PACKAGES as TEST_PACKAGES, PROGRAMS as TEST_PROGRAMS, library_path},
    version::{host_rustc, rust_source, rust_source_name},
};
use crate::workspace::Workspace;

/// Who provides the compiler and the sources of `core` for the probe. The agent itself is always
/// built by the pinned toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Toolchain {
    /// The pinned rustup toolchain with its component rust-src
    Rustup,
    /// Debian's rustc-web and rust-web-src
    Debian,
}

impl Toolchain {
    /// Its compiler.
    pub(crate) fn rustc(self) -> &'static Path {
        Path::new(match self {
            Self::Rustup => version::HOST_RUSTC,
            Self::Debian => DEBIAN_RUSTC,
        })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rustup => "rustup",
            Self::Debian => "debian",
        })
    }
}

/// The machine once everything that was asked for is there.
#[derive(Debug)]
pub(crate) struct Ready {
    /// What builds the probe.
    pub(crate) toolchain: Toolchain,
    /// `false`: nothing had to be installed.
    pub(crate) changed: bool,
    /// What is in use, for the person at the terminal.
    pub(crate) summary: String,
}

/// Rounds of looking and installing: the first may fail over from rustup to Debian, the second
/// install the compiler whose LLVM version the third needs to know.
const ROUNDS: usize = 4;

/// Installs what `needs` lack, and says so before it does. `choice` overrides what was remembered.
pub(crate) fn ensure(
    workspace: &Workspace,
    needs: &[Need],
    choice: Option<Toolchain>,
) -> anyhow::Result<Ready> {
    let mut wanted = choice.or_else(|| remembered(workspace));
    let mut changed = false;
    for _ in 0..ROUNDS {
        let facts = Facts::gather(workspace)?;
        let plan = Plan::compute(&facts, needs, wanted)?;
        if plan.steps.is_empty() {
            return Ok(Ready {
                toolchain: plan.toolchain,
                changed,
                summary: plan.summary(&facts),
            });
        }
        changed = true;
        announce(&plan);
        if let Err(failure) = install(workspace, &facts, &plan) {
            if choice.is_some() || !failure.step.is_rust_src() {
                return Err(failure.error);
            }
            println!("setup: {:#}", failure.error);
            println!("setup: using Debian's Rust compiler for the probe instead");
            remember(workspace, Toolchain::Debian)?;
            wanted = Some(Toolchain::Debian);
        }
    }
    bail!("the tools are still incomplete after {ROUNDS} rounds of installing")
}

struct Failure<'a> {
    step: &'a Step,
    error: anyhow::Error,
}

fn install<'a>(workspace: &Workspace, facts: &Facts, plan: &'a Plan) -> Result<(), Failure<'a>> {
    plan.steps.iter().try_for_each(|step| {
        apply::step(workspace, facts, step).map_err(|error| Failure { step, error })
    })
}

fn announce(plan: &Plan) {
    println!(
        "setup: probe toolchain {}; this is missing:",
        plan.toolchain
    );
    for step in &plan.steps {
        println!("  - {step}");
    }
}

/// What an earlier set-up chose.
fn remembered(workspace: &Workspace) -> Option<Toolchain> {
    let name = fs::read_to_string(workspace.tools().join("toolchain")).ok()?;
    Toolchain::from_str(name.trim(), false).ok()
}

/// Makes `toolchain` the one that builds use from now on.
pub(crate) fn remember(workspace: &Workspace, toolchain: Toolchain) -> anyhow::Result<()> {
    if remembered(workspace) == Some(toolchain) {
        return Ok(());
    }
    let path = workspace.tools().join("toolchain");
    fs::create_dir_all(workspace.tools())
        .and_then(|()| fs::write(&path, format!("{toolchain}\n")))
        .with_context(|| format!("cannot write {}", path.display()))
}
