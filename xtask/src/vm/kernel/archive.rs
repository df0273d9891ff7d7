//! Debian's suites with kernels, apart from this machine's own package lists: nothing here
//! changes what apt does for the rest of the system.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

use crate::{process, target::Target, workspace::Workspace};

/// From the oldest supported kernel to the newest to be had.
const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "trixie-backports"];

/// Overrides the mirror of this machine's own sources.
const MIRROR: &str = "TELNET_VM_MIRROR";

/// Where this machine has no sources of Debian's, or gets them in a way that debootstrap cannot.
/// Without TLS, for which a machine may lack certificates: what is signed are the lists.
const DEBIAN: &str = "http://deb.debian.org/debian";

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
            process::run(&mut archive.update())?;
            write(&stamp, "")?;
        }
        Ok(archive)
    }

    /// Without the option a list that cannot be had for a moment is passed over as if it were read,
    /// and the one of another day is taken for the newest from then on.
    fn update(&self) -> Command {
        let mut command = self.apt("apt-get");
        command.args(["--quiet", "--quiet", "update", "--error-on=any"]);
        command
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

/// Does what needs an archive; whether with fresh lists is told to `action`. The mirror may no
/// longer have what the lists of another day say, so whatever fails is tried again with those of
/// today.
pub(crate) fn with_fresh_lists<T>(action: impl Fn(bool) -> anyhow::Result<T>) -> anyhow::Result<T> {
    action(false).or_else(|error| {
        println!("{error:#}; trying again with fresh package lists");
        action(true)
    })
}

/// Where Debian's packages are.
pub(crate) fn mirror(workspace: &Workspace) -> anyhow::Result<String> {
    if let Ok(mirror) = env::var(MIRROR) {
        return Ok(mirror);
    }
    let mut command = workspace.command("apt-get");
    command.args(["indextargets", "--format", "$(SITE)\t$(RELEASE)\t$(ORIGIN)"]);
    let targets = process::capture(command.arg("Created-By: Packages"))?;
    Ok(main_site(&targets).unwrap_or(DEBIAN).to_owned())
}

/// The site of the first target that is Debian's, and not a security suite. Only what debootstrap
/// can use too: it knows nothing of `mirror+file:`, which images for clouds have.
fn main_site(targets: &str) -> Option<&str> {
    let is_usable = |site: &str| {
        let schemes = ["http://", "https://", "file:"];
        schemes.iter().any(|scheme| site.starts_with(scheme))
    };
    targets.lines().find_map(|line| {
        let (site, rest) = line.split_once('\t')?;
        let (release, origin) = rest.split_once('\t')?;
        let is_main = origin == "Debian" && !release.contains("security");
        (is_main && is_usable(site)).then_some(site)
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
    use std::cell::RefCell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn mirror_is_not_the_security_one() {
        let targets = "http://mirror/debian-security\tbookworm-security\tDebian\n\
                       http://mirror/debian\tbookworm\tDebian\n";
        assert_eq!(main_site(targets), Some("http://mirror/debian"));
        assert_eq!(main_site(""), None);
    }

    #[test]
    fn mirror_is_debians_and_one_that_debootstrap_can_use() {
        let others = "https://deb.example/node_20.x\tnodistro\t. nodistro\n\
                      http://deb.example/ubuntu\tnoble\tUbuntu\n\
                      http://deb.example/debian\tbookworm-backports\tDebian Backports\n\
                      cdrom:[Debian GNU/Linux 12]/\tbookworm\tDebian\n\
                      mirror+file:/etc/apt/mirrors/debian.list\tbookworm\tDebian\n\
                      http://deb.example/x\tbookworm\t\n";
        assert_eq!(main_site(others), None);
        for site in ["https://mirror/debian", "file:/srv/debian"] {
            let targets = format!("{others}{site}\tbookworm-updates\tDebian\n");
            assert_eq!(main_site(&targets), Some(site));
        }
    }

    #[test]
    fn a_list_that_is_missed_is_an_error() {
        let workspace = Workspace::find().unwrap();
        let archive = Archive {
            workspace: &workspace,
            target: Target::X86_64,
            folder: PathBuf::from("/nowhere"),
        };
        let command = archive.update();
        let arguments: Vec<_> = command.get_args().collect();
        assert!(
            arguments.contains(&"--error-on=any".as_ref()),
            "{arguments:?}"
        );
    }

    #[test]
    fn lists_are_read_anew_when_those_of_another_day_do_not_do() {
        let tried = |ends_well: fn(bool) -> bool| {
            let tried = RefCell::new(Vec::new());
            let outcome = with_fresh_lists(|fresh| {
                tried.borrow_mut().push(fresh);
                if ends_well(fresh) {
                    return Ok(());
                }
                bail!("404 Not Found")
            });
            (outcome.is_ok(), tried.into_inner())
        };
        assert_eq!(tried(|_| true), (true, vec![false]));
        assert_eq!(tried(|fresh| fresh), (true, vec![false, true]));
        assert_eq!(tried(|_| false), (false, vec![false, true]));
    }

    #[test]
    fn every_suite_is_a_signed_source() {
        let sources = sources("http://mirror/debian", Target::Aarch64);
        assert_eq!(sources.lines().count(), SUITES.len());
        assert!(sources.lines().all(|line| line.contains(KEYRING)));
        assert!(sources.lines().all(|line| line.contains("arch=arm64")));
    }
}
