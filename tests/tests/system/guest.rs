//! The system under test: its services, its agent's documents, and a user at a telnet client.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use telnet_tests::check::{number, text};
use telnet_tests::process::Spawned;
use telnet_tests::wait;

use crate::agent::{self, DOCUMENTS, NAME};

/// Set in the guest.
const GUEST_VAR: &str = "TELNET_SYSTEM_GUEST";
/// Where telnet is served.
pub(crate) const TELNET: &str = "127.0.0.1:23";
/// Every way in which the guest can serve it; one at a time.
const SERVERS: [&str; 3] = ["telnet.socket", "inetd.service", "xinetd.service"];
/// Who logs in, and how.
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "wonderland";

/// Runs a test in the guest, where the agent is installed, configured and running.
pub(crate) fn guest(test: impl FnOnce() -> Result<()>) -> Result<()> {
    prepared_by(agent::set_up, test)
}

/// Runs a test in the guest, where no agent ever was.
pub(crate) fn bare_guest(test: impl FnOnce() -> Result<()>) -> Result<()> {
    prepared_by(agent::clear, test)
}

fn prepared_by(
    prepare: impl FnOnce() -> Result<()>,
    test: impl FnOnce() -> Result<()>,
) -> Result<()> {
    ensure!(
        env::var_os(GUEST_VAR).is_some(),
        "this test rearranges the machine it runs on: use `cargo xtask test vm --kernel 6.1-systemd`"
    );
    stop_servers()?;
    prepare()?;
    let outcome = test();
    stop_servers()?;
    outcome
}

/// Runs a command that must succeed; its standard output.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output()?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {args:?}: {}\n{stdout}{stderr}", output.status);
    }
    Ok(stdout)
}

fn stop_servers() -> Result<()> {
    for server in SERVERS {
        // One that is not loaded is stopped as well.
        let loaded = run("systemctl", &["show", "-p", "LoadState", server])?;
        if !loaded.contains("not-found") {
            run("systemctl", &["stop", server])?;
        }
    }
    wait::until("a free port 23", || Ok(is_free()?.then_some(())))
}

fn is_free() -> Result<bool> {
    let listening = run("ss", &["-Hltn", "sport", "=", ":23"])?;
    Ok(listening.trim().is_empty())
}

/// Starts a unit and waits until somebody listens on port 23.
pub(crate) fn serve_by(unit: &str) -> Result<()> {
    run("systemctl", &["start", unit])?;
    wait_for_listener()
}

/// Waits until somebody listens on port 23.
pub(crate) fn wait_for_listener() -> Result<()> {
    wait::until("a listener on port 23", || Ok((!is_free()?).then_some(())))
}

/// Main process of a unit.
pub(crate) fn main_pid(unit: &str) -> Result<u64> {
    let pid = run("systemctl", &["show", "-p", "MainPID", "--value", unit])?;
    pid.trim().parse().with_context(|| format!("{unit}: {pid}"))
}

/// The agent's documents from now on.
#[derive(Debug)]
pub(crate) struct Documents {
    seen: usize,
}

impl Documents {
    /// Everything written so far is passed over.
    pub(crate) fn from_now() -> Result<Self> {
        Ok(Self {
            seen: lines()?.len(),
        })
    }

    /// The event of an inbound session that was accepted since.
    pub(crate) fn accepted(&self) -> Result<Value> {
        let what = "the accepted session";
        self.wait_for(what, event("connection_accepted", "ingress"))
    }

    /// The first of them that `wanted` accepts; waits for it.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let found = wait::until(what, || {
            Ok(self.all()?.into_iter().find(|document| wanted(document)))
        });
        found.with_context(|| {
            let log = run("journalctl", &["-u", NAME, "-n", "50", "--no-pager"]);
            format!("{:#?}\n{}", self.all(), log.unwrap_or_default())
        })
    }

    /// All of them.
    pub(crate) fn all(&self) -> Result<Vec<Value>> {
        let lines = lines()?;
        let new = lines.iter().skip(self.seen);
        new.map(|line| serde_json::from_str(line).with_context(|| line.clone()))
            .collect()
    }
}

/// Whole lines of the documents' file.
fn lines() -> Result<Vec<String>> {
    let file = fs::File::open(DOCUMENTS).context(DOCUMENTS)?;
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && line.ends_with('\n') {
        lines.push(line.trim_end().to_owned());
        line.clear();
    }
    Ok(lines)
}

/// A user at inetutils' telnet.
#[derive(Debug)]
pub(crate) struct User {
    client: Spawned,
}

impl User {
    /// Connects.
    pub(crate) fn connect() -> Result<Self> {
        let server: SocketAddr = TELNET.parse()?;
        let mut command = Command::new("inetutils-telnet");
        command.args([server.ip().to_string(), server.port().to_string()]);
        let client = Spawned::start("telnet", None, &mut command)?;
        Ok(Self { client })
    }

    /// Process id of the client.
    pub(crate) fn pid(&self) -> u64 {
        u64::from(self.client.pid())
    }

    /// Types name and password, and waits for the shell.
    pub(crate) fn log_in(&mut self) -> Result<()> {
        self.answer("login:", 1, USER)?;
        self.answer("assword:", 1, PASSWORD)?;
        // Whatever is typed while login hands over to the shell gets lost.
        self.client.wait_for_output("$ ")?;
        // What the shell computes cannot be an echo of what was typed.
        self.client.send("echo sum-$((40+2)) on $(tty)\n")?;
        self.client.wait_for_output("sum-42 on /dev/pts/")
    }

    /// Waits to be asked for the `time`th time and types a line.
    pub(crate) fn answer(&mut self, question: &str, time: usize, line: &str) -> Result<()> {
        self.client.wait_for_outputs(question, time)?;
        self.client.send(&format!("{line}\n"))
    }

    /// Leaves the shell and waits for the end of the session.
    pub(crate) fn log_out(mut self) -> Result<()> {
        self.client.send("exit\n")?;
        self.leave()
    }

    /// Waits for the end of the session.
    pub(crate) fn leave(mut self) -> Result<()> {
        let status = self.client.wait(wait::PATIENCE)?;
        ensure!(
            status.success(),
            "telnet: {status}\n{}",
            self.client.report()
        );
        Ok(())
    }
}

/// Whether a document is an event with this action and direction.
pub(crate) fn event<'a>(action: &'a str, direction: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |document| {
        text(document, "event.kind") == Some("event")
            && text(document, "event.action") == Some(action)
            && text(document, "network.direction") == Some(direction)
    }
}

/// Whether an event is of the session that this one is of.
pub(crate) fn same_session<'a>(
    of: &'a Value,
    action: &'a str,
    direction: &'a str,
) -> impl Fn(&Value) -> bool + 'a {
    let is_it = event(action, direction);
    move |document| is_it(document) && number(document, "source.port") == number(of, "source.port")
}
