//! What a package must be: its service confined, clean for lintian, and gone when it is purged.

use std::{ffi::OsStr, path::Path};

use anyhow::{Context as _, bail};

use super::Package;
use crate::{process, toolchain::Privilege, workspace::Workspace};

/// `systemd-analyze security` counts exposure in tenths.
const MOST_EXPOSED: &str = "--threshold=20";
const INSTALL_TEST: &str = include_str!("install-test.sh");

/// Runs the checkers that this machine has, and says which it lacks.
pub(crate) fn check(workspace: &Workspace, packages: &[Package]) -> anyhow::Result<()> {
    let unit = workspace
        .root()
        .join("telnet-user/packaging/telnet-monitor.service");
    if process::is_installed("systemd-analyze") {
        let mut command = workspace.command("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager", MOST_EXPOSED]);
        let table = process::capture(command.arg(unit))?;
        println!("{}", table.lines().last().unwrap_or_default());
    } else {
        println!("no systemd-analyze here: the unit's exposure is not checked");
    }
    let deb = deb(packages)?;
    if process::is_installed("lintian") {
        let mut command = workspace.command("lintian");
        process::run(
            command
                .args(["--allow-root", "--fail-on", "error"])
                .arg(deb),
        )
    } else {
        println!("no lintian here: --test has one");
        Ok(())
    }
}

/// What the package does to a Debian, which is kept in target/tools.
pub(crate) fn install(workspace: &Workspace, packages: &[Package]) -> anyhow::Result<()> {
    if Privilege::here() != Privilege::Root || !process::is_installed("debootstrap") {
        bail!("--test makes a Debian to install into: it needs root, and debootstrap");
    }
    let mut command = workspace.command("sh");
    command
        .args(["-c", INSTALL_TEST, "install-test.sh"])
        .arg(workspace.tools().join("install-root"))
        .arg(deb(packages)?);
    process::run(&mut command)
}

fn deb(packages: &[Package]) -> anyhow::Result<&Path> {
    let mut files = packages.iter().map(|package| package.file.as_path());
    let deb = files.find(|file| file.extension() == Some(OsStr::new("deb")));
    deb.context("no .deb was made")
}
