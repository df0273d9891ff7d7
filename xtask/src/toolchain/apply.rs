//! Installs what a plan lists.

use std::{env, iter, process::Command};

use super::{
    apt,
    facts::Facts,
    plan::{BPF_LINKER, CARGO_DENY, Step},
    test_tools,
};
use crate::{process, workspace::Workspace};

/// Carries out one step.
pub(crate) fn step(workspace: &Workspace, facts: &Facts, step: &Step) -> anyhow::Result<()> {
    match step {
        Step::RustSrc => {
            let mut command = workspace.command("rustup");
            process::run(command.args(["component", "add", "rust-src"]))
        }
        Step::Packages(names) => apt::install(workspace, names),
        Step::BpfLinker(llvm) => bpf_linker(workspace, facts, *llvm),
        Step::CargoDeny => cargo_deny(workspace),
        Step::Packager(name, version) => {
            // With optimisation: they compress.
            process::run(&mut cargo_install(workspace, name, version)?)
        }
        Step::Target(target) => {
            let mut command = workspace.command("rustup");
            process::run(command.args(["target", "add", target.triple()]))
        }
        Step::TestTools => test_tools::unpack(workspace),
    }
}

fn bpf_linker(workspace: &Workspace, facts: &Facts, llvm: u32) -> anyhow::Result<()> {
    let mut command = cargo_install(workspace, "bpf-linker", BPF_LINKER)?;
    command.args([
        "--no-default-features",
        "--features",
        &format!("llvm-{llvm}"),
    ]);
    if !facts.llvm_prefix {
        command.env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"));
    }
    process::run(&mut command)
}

/// Without optimisation: it runs for a second, and builds in one minute instead of two.
fn cargo_deny(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = cargo_install(workspace, "cargo-deny", CARGO_DENY)?;
    process::run(command.args(["--debug", "--no-default-features"]))
}

fn cargo_install(workspace: &Workspace, name: &str, version: &str) -> anyhow::Result<Command> {
    let mut command = workspace.cargo();
    process::scrub(
        &mut command,
        &["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC"],
    );
    // Away from the workspace's output folder, and gone once installed.
    command.env_remove("CARGO_TARGET_DIR");
    // Keeps cargo from asking the person to add the folder to their own.
    let inherited = env::var_os("PATH").unwrap_or_default();
    let path = iter::once(workspace.tools().join("bin")).chain(env::split_paths(&inherited));
    command.env("PATH", env::join_paths(path)?);
    command
        .args(["install", name, "--version", version])
        .args(["--locked", "--force", "--root"])
        .arg(workspace.tools());
    Ok(command)
}
