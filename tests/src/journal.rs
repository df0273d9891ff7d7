//! A real systemd-journald, without systemd, in a mount namespace of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::lab::Lab;
use crate::process::Spawned;
use crate::{tools, wait};

/// Nothing of the machine's own journal is seen or written; its sockets and its journal are in
/// folders of the test's.
const SCRIPT: &str = "\
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
mount --bind \"$1\" /run/systemd/journal
mount --bind \"$2\" /run/log/journal
mount -t tmpfs tmpfs /var/log
exec \"$3\"";

/// The daemon; ends with this.
#[derive(Debug)]
pub struct Journal {
    process: Spawned,
    sockets: PathBuf,
    files: PathBuf,
}

impl Journal {
    /// Starts it and waits until it listens. Entries are kept over a restart in the same lab.
    pub fn start(lab: &Lab) -> Result<Self> {
        let sockets = lab.dir().join("journal-sockets");
        let journal = lab.dir().join("journal");
        for folder in [&sockets, &journal] {
            fs::create_dir_all(folder)?;
        }
        let daemon = tools::find("systemd-journald")?;
        let mut command = daemon.command_at(Path::new("unshare"));
        command
            .args(["--mount", "sh", "-c", SCRIPT, "sh"])
            .args([&sockets, &journal])
            .arg(daemon.path());
        let process = Spawned::start("journald", None, &mut command)?;
        let started = Self {
            process,
            sockets,
            files: journal,
        };
        wait::until("journald listens", || {
            Ok(started.socket().try_exists()?.then_some(()))
        })
        .with_context(|| started.process.report())?;
        Ok(started)
    }

    /// Its socket for native entries.
    pub fn socket(&self) -> PathBuf {
        self.sockets.join("socket")
    }

    /// Entries with all of these fields, as `journalctl` finds them.
    pub fn entries(&self, matches: &[&str]) -> Result<Vec<Value>> {
        let mut command: Command = tools::find("journalctl")?.command();
        command.arg("--directory").arg(&self.files);
        command.args(["--output=json", "--no-pager", "--quiet", "--all"]);
        let output = command.args(matches).output()?;
        ensure!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout)?;
        let parse = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
        lines.lines().map(parse).collect()
    }

    /// Ends it; what it received is written by then. Its socket is gone, as at a restart.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(wait::PATIENCE)?;
        match fs::remove_file(self.socket()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
