//! The kernel probe: built for the eBPF target with its own `core`.

pub(crate) mod shape;
mod sources;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::bail;

use crate::{
    process,
    toolchain::{DEBIAN_RUSTC, Toolchain},
    workspace::Workspace,
};

/// Tells the agent's build script where the probe is. Set for every cargo call that compiles the
/// agent, so that they agree on it and nothing is rebuilt in vain.
const OBJECT_VARIABLE: &str = "TELNET_PROBE";

/// No prebuilt `core` exists for it, so it is built along.
const TARGET: &str = "bpfel-unknown-none";

/// What could steer the agent's build but must not reach the probe's.
const FOREIGN_VARIABLES: [&str; 7] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "RUSTC",
    "RUSTFLAGS",
];

/// Builds the probe for this machine's kernel and returns its ELF object.
pub(crate) fn build(workspace: &Workspace, toolchain: Toolchain) -> anyhow::Result<PathBuf> {
    build_for(workspace, toolchain, env::consts::ARCH)
}

/// Builds it for a processor by rustc's name: where a kprobe finds the arguments of a function
/// depends on that.
pub(crate) fn build_for(
    workspace: &Workspace,
    toolchain: Toolchain,
    arch: &str,
) -> anyhow::Result<PathBuf> {
    build_below(workspace, toolchain, arch, workspace.target())
}

/// The same in a folder below `base`, where nothing of other builds is. Where that is changes
/// nothing, nor does where the checkout is.
pub(crate) fn build_below(
    workspace: &Workspace,
    toolchain: Toolchain,
    arch: &str,
    base: &Path,
) -> anyhow::Result<PathBuf> {
    let folder = folder(base, toolchain, arch);
    let flags = flags(arch, sources::flags(workspace, toolchain.rustc(), &folder)?);
    let mut command = workspace.cargo();
    process::scrub(&mut command, &FOREIGN_VARIABLES);
    command
        .args(["build", "--quiet", "--release", "--package", "telnet-ebpf"])
        .args(["-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(&folder)
        // `-Z build-std` is the one unstable flag.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    if toolchain == Toolchain::Debian {
        command.env("RUSTC", DEBIAN_RUSTC);
    }
    process::run(&mut command)?;
    let object = object(&folder);
    if !object.is_file() {
        bail!("cargo built no {}", object.display());
    }
    Ok(object)
}

/// The object of an earlier build, if there was one.
pub(crate) fn last_built(workspace: &Workspace) -> Option<PathBuf> {
    let object = object(&folder(
        workspace.target(),
        Toolchain::Rustup,
        env::consts::ARCH,
    ));
    object.is_file().then_some(object)
}

/// Embeds `object` in whatever `command` compiles.
pub(crate) fn embed(command: &mut Command, object: &Path) {
    command.env(OBJECT_VARIABLE, object);
}

/// One for each set of flags: cargo keeps no more than one of a crate's builds in each.
fn folder(base: &Path, toolchain: Toolchain, arch: &str) -> PathBuf {
    let name = match toolchain {
        Toolchain::Rustup => "ebpf",
        Toolchain::Debian => "ebpf-debian",
    };
    base.join(if arch == env::consts::ARCH {
        name.to_owned()
    } else {
        format!("{name}-{arch}")
    })
}

fn object(folder: &Path) -> PathBuf {
    folder.join(TARGET).join("release").join("telnet-ebpf")
}

/// In cargo's encoding, whose separator occurs in no path.
fn flags(arch: &str, sources: Vec<OsString>) -> OsString {
    let mut flags = vec![OsString::from(format!("--cfg=bpf_target_arch=\"{arch}\""))];
    flags.extend(["-Cdebuginfo=2", "-Clink-arg=--btf"].map(OsString::from));
    flags.extend(sources);
    flags.join(OsStr::new("\u{1f}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_keep_a_path_with_spaces_whole() {
        let flags = flags("aarch64", vec!["-Clinker=/my tools/bpf-linker".into()]);
        let flags = flags.to_str().unwrap().split('\u{1f}').collect::<Vec<_>>();
        assert_eq!(flags.len(), 4);
        assert_eq!(flags.first(), Some(&"--cfg=bpf_target_arch=\"aarch64\""));
        assert_eq!(flags.last(), Some(&"-Clinker=/my tools/bpf-linker"));
    }

    #[test]
    fn each_set_of_flags_and_each_base_has_a_folder_of_its_own() {
        let mut folders = std::collections::BTreeSet::new();
        for base in ["/target", "/target/package/build"] {
            for toolchain in [Toolchain::Rustup, Toolchain::Debian] {
                for arch in ["x86_64", "aarch64"] {
                    let folder = folder(Path::new(base), toolchain, arch);
                    assert_eq!(folder.parent(), Some(Path::new(base)));
                    folders.insert(folder);
                }
            }
        }
        assert_eq!(folders.len(), 8);
    }
}
