//! What a package must be: its service confined, clean for lintian, and gone when it is purged.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::{Package, newer_rpm, with_ending};
use crate::{process, toolchain::Privilege, workspace::Workspace};

/// `systemd-analyze security` counts exposure in tenths.
const MOST_EXPOSED: &str = "--threshold=20";
const INSTALL_ROOT: &str = include_str!("install-root.sh");
const DEB_TEST: &str = include_str!("deb-test.sh");
const RPM_TEST: &str = include_str!("rpm-test.sh");

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
    let deb = with_ending(packages, "deb")?;
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

/// Refuses who cannot have [`install`], before minutes of building.
pub(crate) fn may_install(privilege: Privilege) -> anyhow::Result<()> {
    if privilege != Privilege::Root {
        bail!("--test makes a Debian to install into: run it as root");
    }
    Ok(())
}

/// What the packages do to a Debian, which is kept in target/tools.
pub(crate) fn install(workspace: &Workspace, packages: &[Package]) -> anyhow::Result<()> {
    let root = install_root(workspace)?;
    let mut command = script(workspace, DEB_TEST, &root);
    process::run(command.arg(with_ending(packages, "deb")?))?;
    let mut command = script(workspace, RPM_TEST, &root);
    command.arg(with_ending(packages, "rpm")?);
    process::run(command.arg(newer_rpm(workspace)?))
}

/// The Debian, from an earlier run if there was one.
fn install_root(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let root = workspace.tools().join("install-root");
    let stamp = root.with_extension("stamp");
    if !fs::read_to_string(&stamp).is_ok_and(|text| text == INSTALL_ROOT) {
        println!("making a Debian to install into, which takes a minute or two");
        process::run(&mut script(workspace, INSTALL_ROOT, &root))?;
        fs::write(&stamp, INSTALL_ROOT)
            .with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(root)
}

fn script(workspace: &Workspace, script: &str, root: &Path) -> Command {
    let mut command = workspace.command("sh");
    command.args(["-c", script, "sh"]).arg(root);
    command
}
