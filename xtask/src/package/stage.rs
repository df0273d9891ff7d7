//! What goes into every package, put together in target/package/stage.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};

use super::{agent, notices, paths};
use crate::{process, target::Target, toolchain::Toolchain, workspace::Workspace};

/// What packages are made for.
pub(super) const TARGET: Target = Target::X86_64;

/// Overrides the time of the commit, as it does in other builds.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The folders and the time of a run.
#[derive(Debug)]
pub(super) struct Stage {
    /// Where packages go.
    pub(super) folder: PathBuf,
    files: PathBuf,
    /// Time of the commit, in seconds since 1970: the only time that is in a package.
    pub(super) epoch: String,
}

impl Stage {
    /// Builds the agent in `target_dir`, and has it make its man pages and completions.
    pub(super) fn fill(
        workspace: &Workspace,
        toolchain: Toolchain,
        target_dir: &Path,
    ) -> anyhow::Result<Self> {
        // Where the manifest's lists of files look for them.
        let folder = workspace.root().join("target/package");
        let stage = folder.join("stage");
        for stale in ["deb", "rpm", "gz"] {
            remove_ending(&folder, stale)?;
        }
        if stage.is_dir() {
            fs::remove_dir_all(&stage)?;
        }
        fs::create_dir_all(stage.join("completions"))?;
        let this = Self {
            folder,
            files: stage,
            epoch: epoch(workspace)?,
        };
        let agent = this.files.join("telnet-monitor");
        let built = agent::build(workspace, toolchain, (TARGET, TARGET.triple()), target_dir)?;
        paths::check(workspace, toolchain, &built)?;
        fs::copy(&built, &agent).with_context(|| format!("cannot copy {}", built.display()))?;
        this.man_pages(workspace, &agent)?;
        this.completions(workspace, &agent)?;
        this.changelog(workspace)?;
        fs::write(this.files.join("NOTICES"), notices::write(workspace)?)?;
        Ok(this)
    }

    fn man_pages(&self, workspace: &Workspace, agent: &Path) -> anyhow::Result<()> {
        let man = self.files.join("man");
        process::run(workspace.command(agent).args(["man", "--dir"]).arg(&man))?;
        for entry in fs::read_dir(&man)? {
            let page = entry?.path();
            process::run(workspace.command("gzip").arg("-9n").arg(page))?;
        }
        Ok(())
    }

    fn completions(&self, workspace: &Workspace, agent: &Path) -> anyhow::Result<()> {
        for (shell, name) in [
            ("bash", "telnet-monitor"),
            ("fish", "telnet-monitor.fish"),
            ("zsh", "_telnet-monitor"),
        ] {
            let mut command = workspace.command(agent);
            let script = process::capture(command.args(["completions", shell]))?;
            fs::write(self.files.join("completions").join(name), script)?;
        }
        Ok(())
    }

    /// In Debian's form; what changed is in CHANGELOG.md.
    fn changelog(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let mut command = workspace.command("date");
        let date = format!("--date=@{}", self.epoch);
        let date = process::capture(
            command
                .args(["--utc", "--rfc-email", &date])
                .env("LC_ALL", "C"),
        )?;
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "telnet-monitor ({version}) unstable; urgency=medium\n\n  * What changed is in CHANGELOG.md of the source.\n\n \
             -- The telnet-monitor authors <telnet-monitor@telnet-monitor.invalid>  {}\n",
            date.trim()
        );
        fs::write(self.files.join("changelog"), text).map_err(Into::into)
    }

    /// Everything, for a host without a package manager.
    pub(super) fn tarball(&self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        let root = workspace.root();
        let packaging = root.join("telnet-user/packaging");
        for (from, to) in [
            (packaging.join("config.toml"), "config.toml"),
            (
                packaging.join("telnet-monitor.service"),
                "telnet-monitor.service",
            ),
            (packaging.join("telnet-monitor.sysusers"), "sysusers.conf"),
            (packaging.join("elasticsearch"), "elasticsearch"),
            (root.join("telnet-user/rules"), "rules"),
            (root.join("docs/operations.md"), "operations.md"),
            (root.join("docs/benchmarks.md"), "benchmarks.md"),
            (root.join("docs/benchmarks.svg"), "benchmarks.svg"),
            (root.join("LICENSE-MIT"), "LICENSE-MIT"),
            (root.join("LICENSE-APACHE"), "LICENSE-APACHE"),
        ] {
            let mut command = workspace.command("cp");
            process::run(
                command
                    .args(["-R", "--"])
                    .arg(from)
                    .arg(self.files.join(to)),
            )?;
        }
        let (version, arch) = (env!("CARGO_PKG_VERSION"), TARGET.arch());
        let name = format!("telnet-monitor-{version}-{arch}");
        let tarball = self.folder.join(format!("{name}.tar.gz"));
        let mut tar = workspace.command("tar");
        tar.args([
            "--sort=name",
            "--format=gnu",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
        ])
        .args(["--mode=go-w,a+rX", "--exclude=./changelog"])
        .args([
            &format!("--mtime=@{}", self.epoch),
            &format!("--transform=s,^\\.,{name},"),
        ])
        .arg("--directory")
        .arg(&self.files)
        .args(["--create", "."])
        .stdout(Stdio::piped());
        let mut tar = tar.spawn().context("cannot start tar")?;
        let archive = tar.stdout.take().context("tar has no output")?;
        let out = File::create(&tarball)
            .with_context(|| format!("cannot write {}", tarball.display()))?;
        // Without a name and a time of its own.
        let mut gzip = workspace.command("gzip");
        process::run(gzip.arg("-9n").stdin(archive).stdout(out))?;
        let ended = tar.wait()?;
        if !ended.success() {
            bail!("tar failed: {ended}");
        }
        Ok(tarball)
    }
}

/// Time of the commit, in seconds since 1970.
fn epoch(workspace: &Workspace) -> anyhow::Result<String> {
    if let Ok(epoch) = env::var(EPOCH) {
        return Ok(epoch);
    }
    let mut command = workspace.command("git");
    let epoch = process::capture(command.args(["log", "-1", "--format=%ct"]))
        .with_context(|| format!("packages have the time of the commit: set {EPOCH} to another"))?;
    Ok(epoch.trim().to_owned())
}

fn remove_ending(folder: &Path, ending: &str) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
