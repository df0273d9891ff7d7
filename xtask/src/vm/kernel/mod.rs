//! Debian's kernels, fetched once and kept.

mod archive;

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};

pub(crate) use self::archive::{Archive, KEYRING, mirror, with_fresh_lists};
use crate::{process, target::Target, workspace::Workspace};

/// Stands for the series with the highest version.
pub(crate) const NEWEST: &str = "newest";

/// Debian's flavour for virtual machines: same code, fewer drivers.
fn flavour(target: Target) -> String {
    format!("cloud-{}", target.debian())
}

/// Loaded by the guest, in this order: `sock_diag` for TCP, pairs of interfaces for the tests, and
/// a network card for the demo. Some are built in, depending on the kernel.
const MODULES: [&str; 11] = [
    "inet_diag",
    "tcp_diag",
    "veth",
    "virtio",
    "virtio_ring",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];

/// A kernel to boot.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// What `uname -r` says, without the flavour.
    pub(crate) release: String,
    /// The compressed image.
    pub(crate) image: PathBuf,
    /// Uncompressed modules in the order to load them.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// The newest kernel of `series`, from an earlier download if there was one.
    pub(crate) fn get(workspace: &Workspace, target: Target, series: &str) -> anyhow::Result<Self> {
        let folder = workspace.vm().join("kernels").join(target.debian());
        let folder = folder.join(series);
        let stamp = folder.join("stamp");
        let known = fs::read_to_string(&stamp).unwrap_or_default();
        let release = match known.split_once('\n') {
            Some((release, modules)) if modules == MODULES.join(" ") => release.to_owned(),
            _ => {
                let release = fetch(workspace, target, series, &folder)?;
                // Last, so that an interrupted download is repeated.
                fs::write(&stamp, format!("{release}\n{}", MODULES.join(" ")))
                    .with_context(|| format!("cannot write {}", stamp.display()))?;
                release
            }
        };
        Ok(Self {
            release,
            image: folder.join("vmlinuz"),
            modules: (0..MODULES.len())
                .map(|index| module_path(&folder, index))
                .filter(|path| path.is_file())
                .collect(),
        })
    }
}

fn module_path(folder: &Path, index: usize) -> PathBuf {
    let name = MODULES.get(index).copied().unwrap_or_default();
    folder.join(format!("{index:02}-{name}.ko"))
}

/// Downloads and unpacks; returns the release.
fn fetch(
    workspace: &Workspace,
    target: Target,
    series: &str,
    folder: &Path,
) -> anyhow::Result<String> {
    let unpacked = folder.with_extension("unpacked");
    let release = with_fresh_lists(|fresh| {
        let archive = Archive::open(workspace, target, fresh)?;
        unpack(&archive, &flavour(target), series, &unpacked)
    })?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let files = files_below(&unpacked)?;
    let Some(image) = files.iter().find(|path| is_image(path)) else {
        bail!("the packages of kernel {release} contain no vmlinuz");
    };
    fs::copy(image, folder.join("vmlinuz"))?;
    for (index, name) in MODULES.iter().enumerate() {
        if let Some(module) = files.iter().find(|path| is_module(path, name)) {
            unpack_module(workspace, module, &module_path(folder, index))?;
        }
    }
    fs::remove_dir_all(&unpacked)?;
    Ok(release)
}

/// Downloads the newest kernel of `series` that the lists have, unpacks it, and returns its release.
fn unpack(
    archive: &Archive<'_>,
    flavour: &str,
    series: &str,
    unpacked: &Path,
) -> anyhow::Result<String> {
    let names = archive.packages()?;
    let Some(release) = pick(&names, series, flavour) else {
        bail!("Debian's suites have no kernel {series} {flavour}");
    };
    println!("fetching kernel {release} {flavour}");
    archive.unpack(&packages(&names, release, flavour), unpacked)?;
    Ok(release.to_owned())
}

/// The release of the newest kernel package of `series`.
fn pick<'a>(names: &'a [String], series: &str, flavour: &str) -> Option<&'a str> {
    let prefix = format!("{series}.");
    names
        .iter()
        .filter_map(|name| release_of(name, flavour))
        .filter(|release| series == NEWEST || release.starts_with(&prefix))
        .max_by_key(|release| numbers(release))
}

fn release_of<'a>(package: &'a str, flavour: &str) -> Option<&'a str> {
    let release = package
        .strip_prefix("linux-image-")?
        .strip_suffix(flavour)?
        .strip_suffix('-')?;
    release
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some(release)
}

/// What versions are compared by: `6.12.117+deb13` is newer than `6.12.9`.
fn numbers(release: &str) -> Vec<u64> {
    release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// The image and modules are in one package up to 6.x and in several from 7.0 on.
fn packages(names: &[String], release: &str, flavour: &str) -> Vec<String> {
    ["image", "binary", "modules"]
        .iter()
        .map(|part| format!("linux-{part}-{release}-{flavour}"))
        .filter(|name| names.contains(name))
        .collect()
}

fn is_image(path: &Path) -> bool {
    file_name(path).starts_with("vmlinuz")
}

fn is_module(path: &Path, name: &str) -> bool {
    let file = file_name(path);
    file == format!("{name}.ko") || file == format!("{name}.ko.xz")
}

fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn unpack_module(workspace: &Workspace, module: &Path, to: &Path) -> anyhow::Result<()> {
    if module.extension().is_none_or(|extension| extension != "xz") {
        fs::copy(module, to)?;
        return Ok(());
    }
    let file = fs::File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut command = workspace.command(workspace.test_root().join("bin/busybox"));
    command.args(["unxz", "-c"]).arg(module);
    process::run(command.stdout(Stdio::from(file)))
}

/// All files in a tree, in no particular order.
pub(crate) fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        [
            "linux-image-5.10.0-30-cloud-amd64",
            "linux-image-5.10.0-32-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.12.9+deb13-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-modules-7.3.4+deb13-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64-unsigned",
            "linux-image-9.9.9-amd64",
            "linux-image-6.1.0-51-cloud-arm64",
            "linux-image-cloud-amd64",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn newest_of_a_series_is_picked() {
        for (series, expected) in [
            ("5.10", Some("5.10.0-32")),
            ("6.1", Some("6.1.0-50")),
            ("6.12", Some("6.12.117+deb13")),
            (NEWEST, Some("7.3.4+deb13")),
            ("6.18", None),
            ("", None),
        ] {
            let picked = pick(&names(), series, &flavour(Target::X86_64)).map(str::to_owned);
            assert_eq!(picked.as_deref(), expected, "{series}");
        }
    }

    #[test]
    fn packages_are_those_that_exist() {
        let packages = |release| packages(&names(), release, &flavour(Target::X86_64));
        assert_eq!(packages("6.1.0-50"), ["linux-image-6.1.0-50-cloud-amd64"]);
        assert_eq!(packages("7.3.4+deb13").len(), 3);
    }

    #[test]
    fn a_module_is_found_compressed_or_not() {
        for (path, expected) in [
            ("/x/tcp_diag.ko", true),
            ("/x/tcp_diag.ko.xz", true),
            ("/x/mptcp_diag.ko", false),
            ("/x/tcp_diag", false),
        ] {
            assert_eq!(is_module(Path::new(path), "tcp_diag"), expected, "{path}");
        }
    }
}
