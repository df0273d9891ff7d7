//! `cargo xtask ci`: every check that a change has to pass, cheapest first.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::{bench, build::Agent, test};
use crate::{
    probe::{self, shape},
    process,
    toolchain::{self, Need, Toolchain},
    vm::{self, Matrix},
    workspace::Workspace,
};

/// What `ci` can be told: nothing, so that everybody's is the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options {} = options;
    let tree = tracked_files(workspace)?;
    stage("fmt", || fmt(workspace))?;
    stage("setup", || {
        toolchain::ensure(workspace, &Need::ALL, None)?;
        vm::fetch(workspace)
    })?;
    stage("licences", || licences(workspace))?;
    let agent = stage("build", || test::agent(workspace))?;
    stage("probe by the other toolchain", || {
        other_toolchain(workspace, &agent)
    })?;
    stage("clippy", || clippy(workspace, &agent))?;
    stage("clippy of the probe", || clippy_probe(workspace))?;
    stage("doc", || doc(workspace, &agent))?;
    stage("unit tests", || test::unit(workspace, Some(&agent.probe)))?;
    stage("instructions", || bench::count(workspace))?;
    stage("live tests", || test::live(workspace, &agent))?;
    // Last and without a word after it: its summary closes the output.
    heading("tests on other kernels");
    Matrix::share().run(workspace)?;
    if tracked_files(workspace)? != tree {
        bail!("the build changed tracked files: see `git status`");
    }
    Ok(())
}

fn heading(name: &str) {
    println!("== {name}");
}

fn stage<T>(name: &str, action: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    heading(name);
    let start = Instant::now();
    let result = action().with_context(|| format!("stage {name}"));
    let verdict = if result.is_ok() { "ok" } else { "failed" };
    println!("== {name}: {verdict} in {}", seconds(start.elapsed()));
    result
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn fmt(workspace: &Workspace) -> anyhow::Result<()> {
    process::run(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn licences(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = workspace.command(workspace.tool("cargo-deny"));
    process::run(command.args(["--workspace", "check", "licenses", "bans", "sources"]))
}

/// Both ways to build the probe stay usable, whichever this machine prefers. Where rustup cannot
/// fetch its component only Debian's is there, which is what that one is for.
fn other_toolchain(workspace: &Workspace, agent: &Agent) -> anyhow::Result<()> {
    let needs = [Need::Probe];
    let ready = match toolchain::ensure(workspace, &needs, None)?.toolchain {
        Toolchain::Rustup => toolchain::ensure(workspace, &needs, Some(Toolchain::Debian))?,
        Toolchain::Debian => match toolchain::ensure(workspace, &needs, Some(Toolchain::Rustup)) {
            Ok(ready) => ready,
            Err(error) => {
                println!("rustup's toolchain is not to be had here, not compared: {error:#}");
                return Ok(());
            }
        },
    };
    println!("{}", ready.summary);
    let object = probe::build(workspace, ready.toolchain)?;
    shape::compare(&shape::read(&agent.probe)?, &shape::read(&object)?)
}

fn clippy(workspace: &Workspace, agent: &Agent) -> anyhow::Result<()> {
    let mut command = workspace.cargo();
    command
        .args(["clippy", "--workspace", "--exclude", "telnet-ebpf"])
        .args(["--all-targets", "--", "-D", "warnings"]);
    probe::embed(&mut command, &agent.probe);
    process::run(&mut command)
}

/// For the host, with the feature gate of the probe open. In a folder of its own: that gate
/// changes what build scripts of shared dependencies find.
fn clippy_probe(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = workspace.cargo();
    command
        .args(["clippy", "--package", "telnet-ebpf", "--target-dir"])
        .arg(workspace.target().join("ebpf-lint"))
        .args(["--", "-D", "warnings", "-C", "panic=abort"])
        .env("RUSTC_BOOTSTRAP", "1");
    process::run(&mut command)
}

fn doc(workspace: &Workspace, agent: &Agent) -> anyhow::Result<()> {
    let mut command = workspace.cargo();
    command
        .args(["doc", "--workspace", "--exclude", "telnet-ebpf"])
        .args(["--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings");
    probe::embed(&mut command, &agent.probe);
    process::run(&mut command)
}

/// The state of the tracked files; `None` outside a git checkout.
fn tracked_files(workspace: &Workspace) -> anyhow::Result<Option<String>> {
    if !workspace.root().join(".git").try_exists()? {
        println!("not a git checkout: cannot check that the build leaves tracked files alone");
        return Ok(None);
    }
    process::capture(workspace.command("git").args(["diff", "HEAD"])).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_passes_the_value_on_and_names_itself_in_an_error() {
        assert_eq!(stage("one", || Ok(1)).unwrap(), 1);
        let error = stage("two", || -> anyhow::Result<()> { bail!("broken") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "stage two: broken");
    }

    #[test]
    fn time_is_in_seconds() {
        assert_eq!(seconds(Duration::from_millis(1250)), "1.2 s");
    }
}
