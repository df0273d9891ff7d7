//! Telnet servers and clients, a syslog server and a journal, for the live tests, unpacked beside the build.
//!
//! Installing them would open port 23 on the developer's machine, and the two inetds exclude each
//! other. The tests run them from here instead.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::apt;
use crate::{process, workspace::Workspace};

/// What is unpacked, each with the libraries that this machine lacks.
pub(crate) const PACKAGES: [&str; 11] = [
    "busybox-static",
    "dash",
    "inetutils-telnet",
    "inetutils-telnetd",
    "libpam-modules",
    "login",
    "openbsd-inetd",
    "rsyslog",
    "rsyslog-openssl",
    "systemd",
    "xinetd",
];

/// The programs the tests start, from the root of the unpacked tree.
pub(crate) const PROGRAMS: [&str; 10] = [
    "bin/busybox",
    "bin/journalctl",
    "lib/systemd/systemd-journald",
    "bin/dash",
    "bin/login",
    "usr/bin/inetutils-telnet",
    "usr/sbin/telnetd",
    "usr/sbin/inetd",
    "usr/sbin/rsyslogd",
    "usr/sbin/xinetd",
];

/// Whether the current list is unpacked.
pub(crate) fn are_unpacked(workspace: &Workspace) -> bool {
    fs::read_to_string(stamp(workspace)).is_ok_and(|text| text == wanted())
}

/// Downloads and unpacks. The stamp is written last, so that an interrupted run is repeated.
pub(crate) fn unpack(workspace: &Workspace) -> anyhow::Result<()> {
    let root = workspace.test_root();
    remove(&root)?;
    apt::download_and_unpack(workspace, &PACKAGES, &root)?;
    for program in PROGRAMS {
        check(workspace, &root.join(program))?;
    }
    let stamp = stamp(workspace);
    fs::write(&stamp, wanted()).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Refuses a program whose libraries are not all here.
fn check(workspace: &Workspace, program: &Path) -> anyhow::Result<()> {
    if !program.is_file() {
        bail!("{} is not in the unpacked packages", program.display());
    }
    let mut command = workspace.command("ldd");
    command
        .arg(program)
        .env("LD_LIBRARY_PATH", library_path(workspace)?);
    // Fails for a static program, which lacks nothing.
    let libraries = process::capture(&mut command).unwrap_or_default();
    if let Some(line) = libraries.lines().find(|line| line.contains("not found")) {
        bail!("{} cannot start: {}", program.display(), line.trim());
    }
    Ok(())
}

/// `LD_LIBRARY_PATH` for programs of the unpacked tree.
pub(crate) fn library_path(workspace: &Workspace) -> anyhow::Result<OsString> {
    let triplet = format!("{}-linux-gnu", env::consts::ARCH);
    let folders = ["usr/lib", "lib"].map(|lib| workspace.test_root().join(lib).join(&triplet));
    // What only systemd's own programs use.
    let private = folders.clone().map(|folder| folder.join("systemd"));
    let folders = folders.into_iter().chain(private);
    env::join_paths(folders).context("a folder name of the library path contains a colon")
}

fn stamp(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("root.stamp")
}

fn wanted() -> String {
    PACKAGES.join("\n")
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
