//! Debian's suites with kernels, apart from this machine's own package lists: nothing here
//! changes what apt does for the rest of the system.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::{process, target::Target, workspace::Workspace};

/// From the oldest supported kernel to the newest to be had.
const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "trixie-backports"];

/// Overrides the mirror of this machine's own sources.
const MIRROR: &str = "TELNET_VM_MIRROR";

/// Signs every suite.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt for one processor's packages, with a configuration, lists and cache of its own.
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    workspace: &'a Workspace,
    target: Target,
    folder: PathBuf,
}

impl<'a> Archive<'a> {
    /// Opens the archive, and reads its package lists when `fresh` or when there are none.
    pub(crate) fn open(
        workspace: &'a Workspace,
        target: Target,
        fresh: bool,
    ) -> anyhow::Result<Self> {
        let archive = Self {
            workspace,
            target,
            folder: workspace.vm().join("apt").join(target.debian()),
        };
        let stamp = archive.folder.join("updated");
        if fresh || !stamp.try_exists()? {
            archive.configure()?;
            println!("reading Debian's package lists");
            process::run(
                archive
                    .apt("apt-get")
                    .args(["--quiet", "--quiet", "update"]),
            )?;
            write(&stamp, "")?;
        }
        Ok(archive)
    }

    /// Names of all packages.
    pub(crate) fn packages(&self) -> anyhow::Result<Vec<String>> {
        let text = process::capture(self.apt("apt-cache").arg("pkgnames"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Downloads `names` and unpacks them into `root`.
    pub(crate) fn unpack(&self, names: &[String], root: &Path) -> anyhow::Result<()> {
        let downloads = root.with_extension("debs");
        remake(&downloads)?;
        remake(root)?;
        let mut command = self.apt("apt-get");
        command.args(["--quiet", "--quiet", "download"]).args(names);
        process::run(command.current_dir(&downloads))?;
        self.extract(&downloads, root)
    }

    /// The same with all that they depend on, of the Debian release `suite`. Each of `names` by
    /// itself, because some exclude each other.
    pub(crate) fn unpack_whole(
        &self,
        suite: &str,
        names: &[&str],
        root: &Path,
    ) -> anyhow::Result<()> {
        let downloads = root.with_extension("debs");
        remake(&downloads.join("partial"))?;
        remake(root)?;
        let cache = format!("Dir::Cache::archives={}", downloads.display());
        for name in names {
            let mut command = self.apt("apt-get");
            command
                .args(["install", "--yes", "--quiet", "--no-install-recommends"])
                .args(["--download-only", "--target-release", suite])
                .args(["-o", "Debug::NoLocking=1", "-o", &cache, name])
                .stdout(Stdio::null());
            process::run(&mut command)?;
        }
        self.extract(&downloads, root)
    }

    /// Unpacks the package files in `downloads`, which are then removed.
    fn extract(&self, downloads: &Path, root: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(downloads)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                let mut command = self.workspace.command("dpkg-deb");
                process::run(command.arg("--extract").arg(path).arg(root))?;
            }
        }
        fs::remove_dir_all(downloads)
            .with_context(|| format!("cannot remove {}", downloads.display()))
    }

    fn configure(&self) -> anyhow::Result<()> {
        for folder in ["lists/partial", "cache/archives/partial", "state", "parts"] {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        write(&self.folder.join("status"), "")?;
        write(
            &self.folder.join("sources.list"),
            &sources(&mirror(self.workspace)?, self.target),
        )?;
        write(
            &self.folder.join("apt.conf"),
            &configuration(&self.folder, self.target),
        )
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = self.workspace.command(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf"));
        command
    }
}

/// Where Debian's packages are.
pub(crate) fn mirror(workspace: &Workspace) -> anyhow::Result<String> {
    if let Ok(mirror) = env::var(MIRROR) {
        return Ok(mirror);
    }
    let mut command = workspace.command("apt-get");
    command.args(["indextargets", "--format", "$(SITE) $(RELEASE)"]);
    let targets = process::capture(command.arg("Created-By: Packages"))?;
    match main_site(&targets) {
        Some(site) => Ok(site.to_owned()),
        None => bail!("apt has no package lists here: run `apt-get update`, or set {MIRROR}"),
    }
}

/// The site of the first target that is not a security suite.
fn main_site(targets: &str) -> Option<&str> {
    targets.lines().find_map(|line| {
        let (site, release) = line.split_once(' ')?;
        (!release.contains("security")).then_some(site)
    })
}

fn sources(mirror: &str, target: Target) -> String {
    let options = format!("arch={} signed-by={KEYRING}", target.debian());
    SUITES
        .map(|suite| format!("deb [{options}] {mirror} {suite} main\n"))
        .concat()
}

fn configuration(folder: &Path, target: Target) -> String {
    let folder = folder.display();
    let architecture = target.debian();
    format!(
        r#"Dir::State "{folder}/state";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "{folder}/parts";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{folder}/parts";
APT::Architecture "{architecture}";
APT::Architectures "{architecture}";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"#
    )
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Makes an empty folder.
fn remake(folder: &Path) -> anyhow::Result<()> {
    if folder.try_exists()? {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_is_not_the_security_one() {
        let targets = "http://mirror/debian-security bookworm-security\n\
                       http://mirror/debian bookworm\n";
        assert_eq!(main_site(targets), Some("http://mirror/debian"));
        assert_eq!(main_site(""), None);
    }

    #[test]
    fn every_suite_is_a_signed_source() {
        let sources = sources("http://mirror/debian", Target::Aarch64);
        assert_eq!(sources.lines().count(), SUITES.len());
        assert!(sources.lines().all(|line| line.contains(KEYRING)));
        assert!(sources.lines().all(|line| line.contains("arch=arm64")));
    }
}
