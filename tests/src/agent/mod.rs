//! The agent under test: started, watched, stopped, and its ledger checked.

mod ledger;
pub(crate) mod logs;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

pub use ledger::Ledger;

use crate::check::{number, text};
use crate::lab::Lab;
use crate::net::Netns;
use crate::process::{Captured, Spawned};
use crate::wait::PATIENCE;

/// Field with the inode number of the session's network namespace.
const NETNS: &str = "telnet.netns";

/// Option with which an agent tells all connections, however many an address makes.
pub const ALL: &str = "--flood-burst=0";

/// Whether a hook tells who accepted, as whoever starts the tests chose. Userspace only finds out who
/// holds the socket, and the socket may have been handed on by then.
pub fn acceptor_is_known() -> bool {
    std::env::var_os("TELNET_MONITOR_ACCEPTOR").is_none_or(|hook| hook != "userspace")
}

/// A running agent whose standard output is NDJSON.
#[derive(Debug)]
pub struct Agent {
    process: Spawned,
    documents: Vec<Document>,
    lines_read: usize,
    fence_port: u16,
    patience: Duration,
}

/// One document and when the test read it.
#[derive(Debug, Clone)]
pub struct Document {
    /// The document; shared, since tests look at all of them again and again.
    pub json: Arc<Value>,
    /// When its line had arrived.
    pub at: Instant,
}

/// What is left of an agent that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its log.
    pub log: String,
    /// Everything it wrote to standard output.
    pub stdout: String,
}

impl Ended {
    /// The ledger in its log.
    pub fn ledger(&self) -> Result<Ledger> {
        Ledger::parse(&self.log)
    }

    /// What became of what it observed, as its log says.
    pub fn observations(&self) -> Result<Ledger> {
        Ledger::of_observations(&self.log)
    }

    /// Fails unless it ended with code 0 and ledgers that add up.
    pub fn must_be_clean(&self) -> Result<()> {
        ensure!(
            self.status.code() == Some(0),
            "agent: {}\n{}",
            self.status,
            self.log
        );
        ensure!(
            !self.log.contains("panicked"),
            "agent panicked:\n{}",
            self.log
        );
        self.ledger()?.must_add_up()?;
        self.observations()?.must_account_for_all()
    }
}

/// A command line of the lab's agent, or of a copy of it; `args` come after the subcommand `run`.
/// What it remembers it keeps in the lab, apart from any other agent's.
pub fn run_command<S: AsRef<OsStr>>(
    lab: &Lab,
    agent: &Path,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(agent);
    command.arg("run").args(args).env_remove("RUST_LOG");
    command.env("TELNET_MONITOR_STATE_DIR", lab.dir().join("state"));
    command
}

/// Starts `command` and waits until nothing can be missed any more.
pub fn start(command: &mut Command) -> Result<Spawned> {
    start_process(None, command)
}

/// The same with a standard output of the test's own.
pub fn start_on(command: Command, stdout: impl Into<Stdio>) -> Result<Spawned> {
    monitoring(Spawned::start_on("agent", command, Stdio::null(), stdout)?)
}

fn start_process(netns: Option<&Netns>, command: &mut Command) -> Result<Spawned> {
    monitoring(Spawned::start("agent", netns, command)?)
}

fn monitoring(process: Spawned) -> Result<Spawned> {
    logs::keep(&process.stderr);
    process
        .stderr
        .wait_for(PATIENCE, |log| {
            log.lines()
                .iter()
                .find(|l| l.text.contains("monitoring"))
                .map(drop)
        })
        .with_context(|| format!("agent is not monitoring\n{}", process.report()))?;
    Ok(process)
}

/// Stops an agent by `signal` and collects what it left.
pub fn stop(mut process: Spawned, signal: Signal) -> Result<Ended> {
    process.signal(signal)?;
    collect(&mut process)
}

/// Waits for an agent that ends by itself.
pub fn collect(process: &mut Spawned) -> Result<Ended> {
    let status = process.wait(PATIENCE)?;
    let all = |captured: &Captured| (!captured.is_open()).then(|| captured.text().into_owned());
    let log = process.stderr.wait_for(PATIENCE, all)?;
    let stdout = process.stdout.wait_for(PATIENCE, all)?;
    Ok(Ended {
        status,
        log,
        stdout,
    })
}

impl Agent {
    /// Starts `telnet-monitor run --format ndjson ARGS` outside the lab's namespaces and
    /// waits until it monitors.
    pub fn start<S: AsRef<OsStr>>(lab: &Lab, args: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut command = run_command(lab, lab.agent()?, ["--format", "ndjson"]);
        command.args(args);
        Ok(Self::new(start(&mut command)?))
    }

    /// Starts an agent by a command of the test's own, inside `netns`, and waits until it
    /// monitors.
    pub fn start_in(netns: &Netns, command: &mut Command) -> Result<Self> {
        start_process(Some(netns), command).map(Self::new)
    }

    /// The same outside the lab's namespaces.
    pub fn start_by(command: &mut Command) -> Result<Self> {
        start(command).map(Self::new)
    }

    fn new(process: Spawned) -> Self {
        Self {
            process,
            documents: Vec::new(),
            lines_read: 0,
            fence_port: 23,
            patience: PATIENCE,
        }
    }

    /// Port of [`Agent::fence`]'s sessions, when the rules do not monitor 23.
    #[must_use]
    pub fn with_fence_port(mut self, port: u16) -> Self {
        self.fence_port = port;
        self
    }

    /// Waits this much longer for documents: for tests that give the agent so much to do that
    /// an emulated guest falls behind.
    #[must_use]
    pub fn with_patience(mut self, factor: u32) -> Self {
        self.patience = PATIENCE * factor;
        self
    }

    /// The first document, of any namespace, that `wanted` accepts; waits for it. `what`
    /// names it in the message of a failure.
    pub fn wait_for_any(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Document> {
        let capture = self.process.stdout.clone();
        let mut looked_at = 0;
        let found = capture.wait_for(self.patience, |captured| {
            if let Err(error) = self.read(captured) {
                return Some(Err(error));
            }
            let found = self
                .documents
                .iter()
                .skip(looked_at)
                .find(|d| wanted(&d.json));
            looked_at = self.documents.len();
            found.cloned().map(Ok)
        });
        found.and_then(|found| found).with_context(|| {
            let log = self.process.stderr.text();
            format!(
                "waited for {what}; documents:\n{}--- agent log\n{log}",
                list(&self.documents)
            )
        })
    }

    /// Like [`Agent::wait_for_any`], among the documents of the lab's namespace.
    pub fn wait_for(
        &mut self,
        lab: &Lab,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Document> {
        let netns = lab.net.inode();
        self.wait_for_any(what, |json| {
            number(json, NETNS) == Some(netns) && wanted(json)
        })
    }

    /// The documents of the lab's namespace, complete up to now: a session of the fence's
    /// own namespace is opened after everything that the test did, and both its documents
    /// are waited for. Its server never accepts it, so its document is held back for as
    /// long as any may be.
    pub fn fence(&mut self, lab: &Lab) -> Result<Vec<Document>> {
        let server = SocketAddr::new(lab.fence_ip(), self.fence_port);
        let listener = lab.fence_net.listen(server)?;
        let client = lab.fence_net.connect(server)?;
        let port = u64::from(client.local_addr()?.port());
        let netns = lab.fence_net.inode();
        for direction in ["egress", "ingress"] {
            self.wait_for_any(&format!("the fence's {direction} document"), |json| {
                number(json, NETNS) == Some(netns)
                    && number(json, "source.port") == Some(port)
                    && text(json, "network.direction") == Some(direction)
            })?;
        }
        drop((client, listener));
        Ok(self.of(lab))
    }

    /// Reads what there is, after waiting for one more document or for `deadline`.
    pub fn read_more(&mut self, deadline: Instant) {
        let capture = self.process.stdout.clone();
        let patience = deadline.saturating_duration_since(Instant::now());
        let more = capture.wait_for(patience, |captured| {
            let before = self.documents.len();
            let read = self.read(captured);
            (read.is_err() || self.documents.len() > before).then_some(())
        });
        // Neither the end of time nor a broken line is for here: the next look tells.
        drop(more);
    }

    /// The documents of the lab's namespace read so far; [`Agent::fence`] first, to be sure.
    pub fn of(&self, lab: &Lab) -> Vec<Document> {
        self.each_of(lab).cloned().collect()
    }

    /// As [`Agent::of`], for a look at each.
    pub fn each_of(&self, lab: &Lab) -> impl Iterator<Item = &Document> {
        let netns = lab.net.inode();
        let documents = self.documents.iter();
        documents.filter(move |d| number(&d.json, NETNS) == Some(netns))
    }

    /// The hook that tells it who accepted, as it says in its log; `userspace` for none.
    pub fn acceptor_hook(&self) -> Result<String> {
        let log = self.process.stderr.text();
        let word = log.split("acceptor=\"").nth(1);
        let word = word.and_then(|rest| rest.split('"').next());
        word.map(str::to_owned)
            .with_context(|| format!("no hook in the log:\n{log}"))
    }

    /// The agent's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.stderr.text()
    }

    /// Waits until its log has `words` in this many lines.
    pub fn wait_for_log(&self, words: &str, times: usize) -> Result<()> {
        let has_them = |log: &Captured| {
            let lines = log.lines().iter();
            let found = lines.filter(|line| line.text.contains(words)).count();
            (found >= times).then_some(())
        };
        self.process
            .stderr
            .wait_for(self.patience, has_them)
            .with_context(|| {
                format!(
                    "no {times} lines with {words:?} in\n{}",
                    self.process.stderr.text()
                )
            })
    }

    /// Stops it with SIGTERM and fails unless it ends cleanly and its ledger adds up.
    pub fn finish(self) -> Result<Ended> {
        let ended = self.stop(Signal::TERM)?;
        ended.must_be_clean()?;
        Ok(ended)
    }

    /// Stops it with `signal`. Fails when its output was not NDJSON to the end.
    pub fn stop(self, signal: Signal) -> Result<Ended> {
        let ended = stop(self.process, signal)?;
        for line in ended.stdout.lines() {
            object(line)?;
        }
        Ok(ended)
    }

    fn read(&mut self, captured: &Captured) -> Result<()> {
        for line in captured.lines().iter().skip(self.lines_read) {
            self.documents.push(Document {
                json: Arc::new(object(&line.text)?),
                at: line.at,
            });
            self.lines_read += 1;
        }
        Ok(())
    }
}

/// One line about each document, for messages.
pub fn list(documents: &[Document]) -> String {
    documents.iter().map(|d| summary(&d.json) + "\n").collect()
}

/// One line about a document, for messages.
pub fn summary(json: &Value) -> String {
    let fields = [
        "event.kind",
        "event.action",
        "kibana.alert.original_event.action",
        "network.direction",
        "source.ip",
        "source.port",
        "destination.ip",
        "destination.port",
        "process.pid",
        "process.name",
        NETNS,
    ];
    let shown = fields
        .iter()
        .filter_map(|path| crate::check::get(json, path).map(|value| format!("{path}={value}")));
    shown.collect::<Vec<_>>().join(" ")
}

fn object(line: &str) -> Result<Value> {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(value) => bail!("a line of the agent's output is no object: {value}"),
        Err(error) => bail!("a line of the agent's output is not JSON ({error}): {line:?}"),
    }
}
