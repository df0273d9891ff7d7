//! The agent as packages ship it.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{probe, process, target::Target, toolchain::Toolchain, workspace::Workspace};

/// Builds it in `folder`, for a target by one of its two names. No path of this machine gets into
/// the binary: where it is built changes nothing.
pub(crate) fn build(
    workspace: &Workspace,
    toolchain: Toolchain,
    (target, triple): (Target, &str),
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let probe = probe::build_for(workspace, toolchain, target.arch())?;
    let mut command = workspace.cargo();
    let home = env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let flags = [
        (folder, "target"),
        (&home, "cargo"),
        (workspace.root(), "telnet-monitor"),
    ]
    .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
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
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env("SOURCE_DATE_EPOCH", epoch(workspace)?);
    target.choose_triple(&mut command, triple);
    probe::embed(&mut command, &probe);
    process::run(&mut command)?;
    Ok(folder.join(triple).join("release/telnet-monitor"))
}

/// Time of the commit, in seconds since 1970: the only time that is in a package.
pub(super) fn epoch(workspace: &Workspace) -> anyhow::Result<String> {
    let mut command = workspace.command("git");
    let epoch = process::capture(command.args(["log", "-1", "--format=%ct"]))?;
    Ok(epoch.trim().to_owned())
}
