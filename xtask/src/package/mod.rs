//! Packages: the static agent with what belongs to it, the same bytes from the same commit.

mod check;
mod notices;
mod stage;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

pub(crate) use self::check::{check, install};
use self::stage::{Stage, TARGET};
use crate::{process, toolchain::Toolchain, workspace::Workspace};

/// A package that was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) file: PathBuf,
    pub(crate) sha256: String,
}

/// Builds the agent in the folder `build` of cargo's output, and makes all packages.
pub(crate) fn make(
    workspace: &Workspace,
    toolchain: Toolchain,
    build: &str,
) -> anyhow::Result<Vec<Package>> {
    let stage = Stage::fill(workspace, toolchain, &workspace.target().join(build))?;
    let files = [
        debian(workspace, &stage)?,
        rpm(workspace, &stage)?,
        stage.tarball(workspace)?,
    ];
    let packages = files.into_iter().map(|file| {
        let sum = process::capture(workspace.command("sha256sum").arg(&file))?;
        let sha256 = sum.split(' ').next().unwrap_or_default().to_owned();
        Ok(Package { file, sha256 })
    });
    let packages = packages.collect::<anyhow::Result<Vec<_>>>()?;
    let lines = packages.iter().map(|package| {
        let name = package.file.file_name().unwrap_or_default();
        format!("{}  {}\n", package.sha256, name.display())
    });
    let sums = stage.folder.join("SHA256SUMS");
    fs::write(&sums, lines.collect::<String>())
        .with_context(|| format!("cannot write {}", sums.display()))?;
    Ok(packages)
}

fn debian(workspace: &Workspace, stage: &Stage) -> anyhow::Result<PathBuf> {
    let mut command = workspace.command(workspace.tool("cargo-deb"));
    command
        .args([
            "deb",
            "--quiet",
            "--no-build",
            "--no-strip",
            "--target",
            TARGET,
        ])
        .args(["--package", "telnet-user", "--output"])
        .arg(&stage.folder)
        .env("SOURCE_DATE_EPOCH", &stage.epoch);
    process::run(&mut command)?;
    only(&stage.folder, "deb")
}

fn rpm(workspace: &Workspace, stage: &Stage) -> anyhow::Result<PathBuf> {
    let mut command = workspace.command(workspace.tool("cargo-generate-rpm"));
    command
        .args([
            "generate-rpm",
            "--package",
            "telnet-user",
            "--target",
            TARGET,
        ])
        .args(["--payload-compress", "zstd", "--output"])
        .arg(&stage.folder)
        .env("SOURCE_DATE_EPOCH", &stage.epoch);
    process::run(&mut command)?;
    only(&stage.folder, "rpm")
}

/// The one file in `folder` with this ending.
fn only(folder: &Path, ending: &str) -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            found.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(found) => bail!("{} files *.{ending} in {}", found.len(), folder.display()),
    }
}
