//! The kernel probe: built for the eBPF target with its own `core`.

pub(crate) mod shape;

use std::{
    env,
    ffi::OsString,
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
    let folder = folder(workspace, toolchain, arch);
    let mut command = workspace.cargo();
    process::scrub(&mut command, &FOREIGN_VARIABLES);
    command
        .args(["build", "--quiet", "--release", "--package", "telnet-ebpf"])
        .args(["-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(&folder)
        // `-Z build-std` is the one unstable flag.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(arch, &workspace.tool("bpf-linker")));
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
    let object = object(&folder(workspace, Toolchain::Rustup, env::consts::ARCH));
    object.is_file().then_some(object)
}

/// Embeds `object` in whatever `command` compiles.
pub(crate) fn embed(command: &mut Command, object: &Path) {
    command.env(OBJECT_VARIABLE, object);
}

fn folder(workspace: &Workspace, toolchain: Toolchain, arch: &str) -> PathBuf {
    let name = match toolchain {
        Toolchain::Rustup => "ebpf",
        Toolchain::Debian => "ebpf-debian",
    };
    workspace.target().join(if arch == env::consts::ARCH {
        name.to_owned()
    } else {
        format!("{name}-{arch}")
    })
}

fn object(folder: &Path) -> PathBuf {
    folder.join(TARGET).join("release").join("telnet-ebpf")
}

/// In cargo's encoding, whose separator occurs in no path.
fn flags(arch: &str, linker: &Path) -> OsString {
    let mut flags = OsString::from(format!(
        "--cfg=bpf_target_arch=\"{arch}\"\u{1f}-Cdebuginfo=2\u{1f}-Clink-arg=--btf\u{1f}-Clinker="
    ));
    flags.push(linker);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_keep_a_path_with_spaces_whole() {
        let flags = flags("aarch64", Path::new("/my tools/bpf-linker"));
        let flags = flags.to_str().unwrap().split('\u{1f}').collect::<Vec<_>>();
        assert_eq!(flags.len(), 4);
        assert_eq!(flags.first(), Some(&"--cfg=bpf_target_arch=\"aarch64\""));
        assert_eq!(flags.last(), Some(&"-Clinker=/my tools/bpf-linker"));
    }
}
