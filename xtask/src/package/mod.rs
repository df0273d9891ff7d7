//! Packages: the static agent with what belongs to it, the same bytes from the same commit.

pub(crate) mod agent;
mod check;
mod notices;
mod paths;
mod stage;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

pub(crate) use self::check::{check, install, may_install};
use self::stage::{Stage, TARGET};
use crate::{process, toolchain::Toolchain, workspace::Workspace};

/// Where the agent and its probe are built, below cargo's output.
pub(crate) const BUILD: &str = "package/build";

/// A package that was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) file: PathBuf,
    pub(crate) sha256: String,
}

/// Builds the agent and its probe in the folder `build` of cargo's output, and makes all packages.
pub(crate) fn make(
    workspace: &Workspace,
    toolchain: Toolchain,
    build: &str,
) -> anyhow::Result<Vec<Package>> {
    let stage = Stage::fill(workspace, toolchain, &workspace.target().join(build))?;
    let files = [
        deb(workspace, &stage)?,
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

/// The package among `packages` whose file has this ending.
pub(crate) fn with_ending<'a>(packages: &'a [Package], ending: &str) -> anyhow::Result<&'a Path> {
    let mut files = packages.iter().map(|package| package.file.as_path());
    let found = files.find(|file| file.extension() == Some(OsStr::new(ending)));
    found.with_context(|| format!("no .{ending} was made"))
}

fn deb(workspace: &Workspace, stage: &Stage) -> anyhow::Result<PathBuf> {
    let mut command = workspace.command(workspace.tool("cargo-deb"));
    command
        .args([
            "deb",
            "--quiet",
            "--no-build",
            "--no-strip",
            "--target",
            TARGET.triple(),
        ])
        .args(["--package", "telnet-user", "--output"])
        .arg(&stage.folder)
        .env("SOURCE_DATE_EPOCH", &stage.epoch);
    process::run(&mut command)?;
    only(&stage.folder, "deb")
}

fn rpm(workspace: &Workspace, stage: &Stage) -> anyhow::Result<PathBuf> {
    let mut command = generate_rpm(workspace);
    command.arg("--output").arg(&stage.folder);
    process::run(command.env("SOURCE_DATE_EPOCH", &stage.epoch))?;
    only(&stage.folder, "rpm")
}

/// A higher version, with what an upgrade has to get right: the program, the unit, and another
/// configuration. From what [`make`] staged.
fn newer_rpm(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let root = workspace.root();
    let folder = root.join("target/package/newer");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let shipped = fs::read_to_string(root.join("telnet-user/packaging/config.toml"))?;
    fs::write(
        folder.join("config.toml"),
        shipped + "# of the newer version\n",
    )?;
    let file = folder.join("telnet-monitor.rpm");
    let mut command = generate_rpm(workspace);
    command.args(["--set-metadata", NEWER, "--output"]);
    process::run(command.arg(&file))?;
    Ok(file)
}

/// What differs in [`newer_rpm`].
const NEWER: &str = r#"
version = "999"
assets = [
    { source = "target/package/stage/telnet-monitor", dest = "/usr/bin/", mode = "755" },
    { source = "target/package/newer/config.toml", dest = "/etc/telnet-monitor/", mode = "644", config = "noreplace" },
    { source = "packaging/telnet-monitor.service", dest = "/usr/lib/systemd/system/", mode = "644" },
    { source = "packaging/telnet-monitor.sysusers", dest = "/usr/lib/sysusers.d/telnet-monitor.conf", mode = "644" },
]
"#;

fn generate_rpm(workspace: &Workspace) -> Command {
    let mut command = workspace.command(workspace.tool("cargo-generate-rpm"));
    command
        .args(["generate-rpm", "--package", "telnet-user"])
        .args(["--target", TARGET.triple(), "--payload-compress", "zstd"]);
    command
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
