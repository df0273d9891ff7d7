//! Debian's package tools.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context as _;

use super::facts::Privilege;
use crate::{process, workspace::Workspace};

/// Names of the installed packages.
pub(crate) fn installed(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let format = "${db:Status-Status} ${Package}\n";
    let text = process::capture(workspace.command("dpkg-query").args(["-W", "-f", format]))?;
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect())
}

/// Installs `names` with what they depend on.
pub(crate) fn install(workspace: &Workspace, names: &[String]) -> anyhow::Result<()> {
    let install = || {
        let mut command = as_root(workspace, "apt-get");
        command
            .args(["install", "--yes", "--no-install-recommends"])
            .args(names);
        process::run(&mut command)
    };
    with_fresh_lists(workspace, names, install)
}

/// Downloads `names`, each with those of its dependencies that this machine lacks, and unpacks them
/// into `root`. Installs nothing and needs no root.
pub(crate) fn download_and_unpack(
    workspace: &Workspace,
    names: &[&str],
    root: &Path,
) -> anyhow::Result<()> {
    create(root)?;
    for name in names {
        let folder = workspace.tools().join("debs").join(name);
        create(&folder.join("partial"))?;
        download(workspace, name, &folder)?;
        unpack(workspace, &folder, root)?;
    }
    Ok(())
}

fn create(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Downloads `name`, and those of its dependencies that this machine lacks, into `folder`.
fn download(workspace: &Workspace, name: &str, folder: &Path) -> anyhow::Result<()> {
    let cache = format!("Dir::Cache::archives={}", folder.display());
    let download = || {
        let mut command = workspace.command("apt-get");
        command
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            // Also when it is installed already: the tests want their own copy.
            .args(["--download-only", "--reinstall"])
            .args(["-o", "Debug::NoLocking=1", "-o", &cache, name])
            .stdout(Stdio::null());
        process::run(&mut command)
    };
    with_fresh_lists(workspace, &[name.to_owned()], download)
}

/// Unpacks every package file in `folder` into `root`.
fn unpack(workspace: &Workspace, folder: &Path, root: &Path) -> anyhow::Result<()> {
    let entries = folder
        .read_dir()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut command = workspace.command("dpkg-deb");
            process::run(command.arg("--extract").arg(path).arg(root))?;
        }
    }
    Ok(())
}

/// Updates the package lists when they do not know all of `names`, or know versions that the
/// mirror no longer has.
fn with_fresh_lists(
    workspace: &Workspace,
    names: &[String],
    action: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if are_known(workspace, names)? {
        match action() {
            Ok(()) => return Ok(()),
            Err(error) => println!("setup: {error:#}; trying again with fresh package lists"),
        }
    }
    // Without `--error-on=any`: a source of somebody else's that is down must not keep Debian's
    // packages away, and what the lists then lack fails the action.
    process::run(as_root(workspace, "apt-get").arg("update"))?;
    action()
}

fn are_known(workspace: &Workspace, names: &[String]) -> anyhow::Result<bool> {
    let mut command = workspace.command("apt-cache");
    let policy = process::capture(command.env("LC_ALL", "C").arg("policy").args(names))?;
    Ok(names.iter().all(|name| has_candidate(&policy, name)))
}

/// Whether the output of `apt-cache policy` offers a version of `name`.
fn has_candidate(policy: &str, name: &str) -> bool {
    let heading = format!("{name}:");
    policy
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| line.trim_start().strip_prefix("Candidate: "))
        .any(|version| version != "(none)")
}

fn as_root(workspace: &Workspace, program: &str) -> Command {
    const ENVIRONMENT: &str = "DEBIAN_FRONTEND=noninteractive";
    if Privilege::here() == Privilege::Root {
        let mut command = workspace.command("env");
        command.args([ENVIRONMENT, program]);
        return command;
    }
    let mut command = workspace.command("sudo");
    command.args(["env", ENVIRONMENT, program]);
    command
}

#[cfg(test)]
mod tests {
    use super::has_candidate;

    #[test]
    fn candidates() {
        let policy = "\
llvm-22-dev:
  Installed: (none)
  Candidate: 1:22.1.8-1~deb12u1
  Version table:
xinetd:
  Installed: (none)
  Candidate: (none)
";
        for (name, expected) in [("llvm-22-dev", true), ("xinetd", false), ("inetd", false)] {
            assert_eq!(has_candidate(policy, name), expected, "{name}");
        }
    }
}
