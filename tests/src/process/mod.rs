//! Child processes: started in a namespace, watched, ended by pid; and what `/proc` says
//! about any process.

mod capture;

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

pub use capture::{Capture, Captured, Line};

use crate::net::Netns;
use crate::wait::PATIENCE;

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Spawned {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it wrote to its standard output.
    pub stdout: Capture,
    /// What it wrote to its standard error.
    pub stderr: Capture,
}

impl Spawned {
    /// Starts `command` with pipes on all three streams, inside `netns` if one is given.
    pub fn start(name: &str, netns: Option<&Netns>, command: &mut Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = match netns {
            Some(netns) => netns.run(|| command.spawn())?,
            None => command.spawn(),
        };
        let mut child = spawned.with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            stdin: child.stdin.take(),
            stdout: Capture::of(child.stdout.take().context("no stdout pipe")?),
            stderr: Capture::of(child.stderr.take().context("no stderr pipe")?),
            child,
        })
    }

    /// Starts `command` with a standard input and output of the caller's, whose copies here are closed
    /// with it: [`Self::stdout`] has nothing.
    pub fn start_on(
        name: &str,
        mut command: Command,
        stdin: impl Into<Stdio>,
        stdout: impl Into<Stdio>,
    ) -> Result<Self> {
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            stdin: None,
            stdout: Capture::of(std::io::empty()),
            stderr: Capture::of(child.stderr.take().context("no stderr pipe")?),
            child,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes `text` to its standard input.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
            .with_context(|| format!("{} does not read its stdin", self.name))
    }

    /// Closes its standard input: end of file for the child.
    pub fn close_stdin(&mut self) {
        drop(self.stdin.take());
    }

    /// Waits until its standard output contains `text`.
    pub fn wait_for_output(&self, text: &str) -> Result<()> {
        self.wait_for_outputs(text, 1)
    }

    /// Waits until its standard output contains `text` so many times.
    pub fn wait_for_outputs(&self, text: &str, times: usize) -> Result<()> {
        self.stdout
            .wait_for(PATIENCE, |captured| {
                (captured.text().matches(text).count() >= times).then_some(())
            })
            .with_context(|| {
                let (name, report) = (&self.name, self.report());
                format!("{name} did not write {text:?} {times} times\n{report}")
            })
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(pid(self.pid())?, signal).with_context(|| format!("signal to {}", self.name))
    }

    /// Waits for its end.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        // Not reaped yet, so the pid cannot be another process's.
        let handle = pidfd_open(pid(self.pid())?, PidfdFlags::empty())?;
        let mut ended = [PollFd::new(&handle, PollFlags::IN)];
        let timeout = Timespec::try_from(patience)?;
        if poll(&mut ended, Some(&timeout))? == 0 {
            bail!(
                "{} has not ended within {patience:?}\n{}",
                self.name,
                self.report()
            );
        }
        Ok(self.child.wait()?)
    }

    /// Both outputs, for messages of failed tests.
    pub fn report(&self) -> String {
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        let name = &self.name;
        format!("--- {name} stdout\n{stdout}\n--- {name} stderr\n{stderr}\n---")
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        // Either it has ended already, or this ends it; nothing is left to report to.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A process id as rustix takes it.
pub fn pid(raw: u32) -> Result<Pid> {
    i32::try_from(raw)
        .ok()
        .and_then(Pid::from_raw)
        .with_context(|| format!("no process id: {raw}"))
}

/// Longest `comm`: `TASK_COMM_LEN` of linux/sched.h less the end of the string.
const MAX_COMM: usize = 15;

/// What the test itself knows about a process, read from `/proc` while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent: u32,
    /// The kernel's name of it, completed by its executable's where the kernel cut it.
    pub name: String,
    /// Target of `/proc/PID/exe`.
    pub executable: String,
    /// The command line.
    pub args: Vec<String>,
    /// Real user id.
    pub uid: u32,
}

impl Facts {
    /// Facts of `pid`, which must be running.
    pub fn of(pid: u32) -> Result<Self> {
        let process = procfs::process::Process::new(i32::try_from(pid)?)?;
        let status = process.status()?;
        let executable = process.exe()?;
        let mut name = process.stat()?.comm;
        let file = executable.file_name().unwrap_or_default().to_string_lossy();
        if name.len() >= MAX_COMM && file.starts_with(&name) {
            name = file.into_owned();
        }
        Ok(Self {
            pid,
            parent: u32::try_from(status.ppid)?,
            name,
            executable: executable.to_string_lossy().into_owned(),
            args: process.cmdline()?,
            uid: status.ruid,
        })
    }
}

/// Processes that hold the socket with this inode number.
pub fn holders(inode: u64) -> Result<Vec<u32>> {
    let wanted = procfs::process::FDTarget::Socket(inode);
    let mut found = Vec::new();
    for process in procfs::process::all_processes()? {
        // A process may end while it is looked at; then it holds nothing.
        let Ok(process) = process else { continue };
        let Ok(fds) = process.fd() else { continue };
        if fds.flatten().any(|fd| fd.target == wanted) {
            found.push(u32::try_from(process.pid)?);
        }
    }
    Ok(found)
}

/// Inode numbers of the sockets that a process holds.
pub fn socket_inodes(pid: u32) -> Result<Vec<u64>> {
    let process = procfs::process::Process::new(i32::try_from(pid)?)?;
    let mut inodes = Vec::new();
    for fd in process.fd()?.flatten() {
        if let procfs::process::FDTarget::Socket(inode) = fd.target {
            inodes.push(inode);
        }
    }
    Ok(inodes)
}
