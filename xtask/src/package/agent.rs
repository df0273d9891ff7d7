//! The agent as packages ship it.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use crate::{
    probe, process, remap,
    target::Target,
    toolchain::{Toolchain, rust_source, rust_source_name},
    workspace::Workspace,
};

/// Builds it and its probe in `folder`, for a target by one of its two names. No path of this
/// machine gets into the binary: where it is built changes nothing. No time does either, so that
/// it needs none.
pub(crate) fn build(
    workspace: &Workspace,
    toolchain: Toolchain,
    (target, triple): (Target, &str),
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let probe = probe::build_below(workspace, toolchain, target.arch(), folder)?;
    let mut command = workspace.cargo();
    command
        .args(["build", "--release", "--quiet", "--locked"])
        .args([
            "--package",
            "telnet-user",
            "--bin",
            "telnet-monitor",
            "--target-dir",
        ])
        .arg(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, folder)?)
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    target.choose_triple(&mut command, triple);
    probe::embed(&mut command, &probe);
    process::run(&mut command)?;
    Ok(folder.join(triple).join("release/telnet-monitor"))
}

fn flags(workspace: &Workspace, folder: &Path) -> anyhow::Result<OsString> {
    let flags = remap::flags(vec![
        (folder.to_path_buf(), "target".to_owned()),
        (remap::cargo_home(workspace)?, "cargo".to_owned()),
        (workspace.root().to_path_buf(), "telnet-monitor".to_owned()),
        (
            rust_source(workspace, Toolchain::Rustup.rustc())?,
            rust_source_name(workspace)?,
        ),
    ]);
    Ok(flags.join(OsStr::new("\u{1f}")))
}
