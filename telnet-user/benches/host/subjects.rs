//! What is measured, and how each of it is started and stopped.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::traffic;

/// The agent's executable.
pub(crate) const AGENT: &str = "TELNET_MONITOR_BIN";
/// Root of the unpacked packages of the peers.
const PEERS: &str = "TELNET_BENCH_PEERS";
/// Longest wait until a subject has started.
const PATIENCE: Duration = Duration::from_secs(30);

/// What watches the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Nothing,
    /// A program that does nothing, on the same tracepoint.
    Empty,
    /// The probe and its reader.
    Probe,
    /// The same without a hook that tells who accepted: which there is depends on the kernel.
    Unhooked,
    /// The same as that, looking for the protocol of sessions.
    Protocol,
    /// The whole agent, alerts and events.
    Agent,
    Bpftrace,
    Tcpstates,
    Tcplife,
}

/// All of them, nothing first.
pub(crate) const ALL: [Subject; 9] = [
    Subject::Nothing,
    Subject::Empty,
    Subject::Probe,
    Subject::Unhooked,
    Subject::Protocol,
    Subject::Agent,
    Subject::Bpftrace,
    Subject::Tcpstates,
    Subject::Tcplife,
];

/// What bpftrace is asked to do: print the sessions on port 23, nothing of others.
const BPFTRACE: &str = "tracepoint:sock:inet_sock_set_state
/args->protocol == 6 && args->newstate == 1 && (args->sport == 23 || args->dport == 23)/
{ printf(\"%d %d %s\\n\", args->sport, args->dport, comm); }";

impl Subject {
    /// Its name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no probe",
            Self::Empty => "empty tp_btf program",
            Self::Probe => "probe and reader",
            Self::Unhooked => "the same, no accept hook",
            Self::Protocol => "no accept hook, looking at first bytes",
            Self::Agent => "agent, alerts and events",
            Self::Bpftrace => "bpftrace, filter on port 23",
            Self::Tcpstates => "tcpstates",
            Self::Tcplife => "tcplife",
        }
    }

    /// Whether it is this program.
    fn is_own(self) -> bool {
        [Self::Empty, Self::Probe, Self::Unhooked, Self::Protocol].contains(&self)
    }

    fn command(self) -> anyhow::Result<Option<Command>> {
        let own = |which: &str| -> anyhow::Result<Command> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["attach", which]);
            Ok(command)
        };
        Ok(Some(match self {
            Self::Nothing => return Ok(None),
            Self::Empty => own("empty")?,
            Self::Probe => own("probe")?,
            Self::Unhooked => own("probe-unhooked")?,
            Self::Protocol => own("probe-protocol")?,
            Self::Agent => agent(&["--format", "ndjson", "--emit", "all"])?,
            Self::Bpftrace => {
                let mut command = peer("bpftrace")?;
                command.args(["-e", BPFTRACE]);
                command
            }
            Self::Tcpstates => peer("tcpstates")?,
            Self::Tcplife => peer("tcplife")?,
        }))
    }
}

/// The agent with a state folder of its own.
pub(crate) fn agent(words: &[&str]) -> anyhow::Result<Command> {
    let state = std::env::temp_dir().join(format!("telnet-bench-{}", std::process::id()));
    fs::create_dir_all(&state)?;
    let mut command = Command::new(traffic::named(AGENT)?);
    // What everything costs: with a budget a flood would be counted, not told.
    command.args(["run", "--flood-burst=0"]).args(words);
    command.env("TELNET_MONITOR_STATE_DIR", state);
    Ok(command)
}

/// A program of Debian's packages, with their libraries.
fn peer(name: &str) -> anyhow::Result<Command> {
    let root = traffic::named(PEERS)?;
    let folders = ["usr/bin", "usr/sbin"];
    let mut paths = folders.iter().map(|folder| root.join(folder).join(name));
    let path: PathBuf = paths
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not among the unpacked packages"))?;
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = ["usr/lib", "lib"].map(|lib| root.join(lib).join(&triplet));
    let mut command = Command::new(path);
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
    Ok(command)
}

/// A subject at work.
pub(crate) struct Running {
    subject: Subject,
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    /// What it prints is read and thrown away, as a pipe to a fast consumer would.
    said: Option<std::thread::JoinHandle<String>>,
}

impl Running {
    /// Starts it and waits until it watches.
    pub(crate) fn start(subject: Subject) -> anyhow::Result<Self> {
        let Some(mut command) = subject.command()? else {
            return Ok(Self {
                subject,
                child: None,
                stdin: None,
                said: None,
            });
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let reader = match subject {
            Subject::Empty | Subject::Probe | Subject::Unhooked | Subject::Protocol => {
                let mut reader = BufReader::new(stdout);
                let mut line = String::new();
                reader.read_line(&mut line)?;
                if line.trim() != "ready" {
                    bail!("{}: {}", subject.name(), rest(stderr));
                }
                drain_errors(stderr);
                reader
            }
            Subject::Agent => {
                let mut log = BufReader::new(stderr);
                wait_for(&mut log, "monitoring", subject)?;
                drain_errors(log);
                BufReader::new(stdout)
            }
            Subject::Nothing | Subject::Bpftrace | Subject::Tcpstates | Subject::Tcplife => {
                drain_errors(stderr);
                wait_until_attached(&mut child, subject)?;
                BufReader::new(stdout)
            }
        };
        Ok(Self {
            subject,
            child: Some(child),
            stdin,
            said: Some(consume(reader)),
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends it; the last line it printed, when that is JSON.
    pub(crate) fn stop(mut self) -> anyhow::Result<Option<Value>> {
        drop(self.stdin.take());
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        // Those of this program end with their standard input, and say what they counted.
        if !self.subject.is_own() {
            let pid = i32::try_from(child.id()).ok();
            let pid = pid.and_then(rustix::process::Pid::from_raw);
            let pid = pid.context("a process id")?;
            rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        }
        child.wait()?;
        let last = self.said.take().and_then(|said| said.join().ok());
        Ok(last.and_then(|line| serde_json::from_str(&line).ok()))
    }
}

fn wait_for(log: &mut impl std::io::BufRead, word: &str, subject: Subject) -> anyhow::Result<()> {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        if log.read_line(&mut line)? == 0 {
            bail!("{} ended: {seen}", subject.name());
        }
        if line.contains(word) {
            return Ok(());
        }
        seen.push_str(&line);
    }
}

/// Waits until the process holds a perf event or link of a BPF program.
fn wait_until_attached(child: &mut Child, subject: Subject) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let folder = format!("/proc/{}/fd", child.id());
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            bail!("{} cannot run here: {status}", subject.name());
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        let is_attached = |target: &PathBuf| {
            let text = target.to_string_lossy();
            text.contains("perf_event") || text.contains("bpf_link") || text.contains("bpf-link")
        };
        if targets.any(|target| is_attached(&target)) {
            // It prints its header, or what it has attached, and is at rest then.
            std::thread::sleep(Duration::from_millis(300));
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!(
        "{} has attached nothing within {PATIENCE:?}",
        subject.name()
    )
}

fn rest(mut input: impl std::io::Read) -> String {
    let mut text = String::new();
    // What was read until the error is what there is to tell.
    let _end = input.read_to_string(&mut text);
    text
}

fn drain_errors(input: impl std::io::Read + Send + 'static) {
    std::thread::spawn(move || drop(rest(input)));
}

/// Reads to the end; the last line.
fn consume(mut reader: BufReader<ChildStdout>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut tail = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let kept = tail.len().saturating_sub(1 << 14);
            drop(tail.drain(..kept));
        }
        let text = String::from_utf8_lossy(&tail);
        text.lines().next_back().unwrap_or_default().to_owned()
    })
}
