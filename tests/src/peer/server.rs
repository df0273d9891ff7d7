//! Servers whose listener, acceptor and handler are different processes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::check::{number, text};
use crate::lab::Lab;
use crate::process::Spawned;
use crate::tools;
use crate::wait::PATIENCE;

/// How the server shares its work out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// One process accepts in a thread and serves in others.
    Threads,
    /// A child process per session; the parent closes its copy of the socket.
    Fork,
    /// Workers inherit one listener, and each accepts on it.
    Pool,
    /// Workers have a listener each, on the same port.
    ReusePort,
    /// One process accepts by `io_uring`, without accept(2), and serves.
    Uring,
    /// The acceptor passes every socket to one handler process.
    Pass,
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub struct Server {
    process: Spawned,
}

/// The processes on the server's end of a session, as they reported themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Who accepted.
    pub acceptor: u32,
    /// Who serves.
    pub handler: u32,
}

impl Server {
    /// Starts a server in the lab and waits for its listening socket. `workers` counts for
    /// the kinds that have them.
    pub fn start(lab: &Lab, kind: ServerKind, address: SocketAddr, workers: u8) -> Result<Self> {
        let word = match kind {
            ServerKind::Threads => "threads",
            ServerKind::Fork => "fork",
            ServerKind::Pool => "pool",
            ServerKind::ReusePort => "reuseport",
            ServerKind::Uring => "uring",
            ServerKind::Pass => "pass",
        };
        let mut command = lab.command_named(&tools::peer()?, "server")?;
        command.args(["serve", word, &address.to_string(), &workers.to_string()]);
        let process = Spawned::start("server", Some(&lab.net), &mut command)?;
        let listeners = if kind == ServerKind::ReusePort {
            usize::from(workers)
        } else {
            1
        };
        let listening = |text: &str| text.matches("\"listening\"").count() >= listeners;
        process
            .stdout
            .wait_for(PATIENCE, |captured| {
                listening(&captured.text()).then_some(())
            })
            .with_context(|| format!("the server does not listen\n{}", process.report()))?;
        Ok(Self { process })
    }

    /// Process id of the parent of all.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until the session of this client is served, and says by whom.
    pub fn served(&self, client: SocketAddr) -> Result<Served> {
        let all = self.wait_for(PATIENCE, |served| served.contains_key(&client))?;
        all.get(&client)
            .copied()
            .context("it was there a moment ago")
    }

    /// Waits until `count` sessions are served. Each may be a process to start, which takes an
    /// emulated guest a while.
    pub fn all_served(&self, count: usize) -> Result<HashMap<SocketAddr, Served>> {
        self.wait_for(PATIENCE * 6, |served| served.len() >= count)
    }

    fn wait_for(
        &self,
        patience: Duration,
        enough: impl Fn(&HashMap<SocketAddr, Served>) -> bool,
    ) -> Result<HashMap<SocketAddr, Served>> {
        let (mut seen, mut acceptors, mut served) = (0, HashMap::new(), HashMap::new());
        let all = self.process.stdout.wait_for(patience, |captured| {
            for line in captured.lines().iter().skip(seen) {
                seen += 1;
                let Some((event, client, pid)) = parse(&line.text) else {
                    continue;
                };
                if event == "accepted" {
                    acceptors.insert(client, pid);
                } else if event == "serving"
                    // Said by the acceptor before it gave the session away.
                    && let Some(&acceptor) = acceptors.get(&client)
                {
                    let handler = pid;
                    served.insert(client, Served { acceptor, handler });
                }
            }
            enough(&served).then(|| std::mem::take(&mut served))
        });
        all.with_context(|| format!("sessions not served\n{}", self.process.report()))
    }
}

fn parse(line: &str) -> Option<(String, SocketAddr, u32)> {
    let json: Value = serde_json::from_str(line).ok()?;
    let client: SocketAddr = text(&json, "address")?.parse().ok()?;
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    let pid = u32::try_from(number(&json, "pid")?).ok()?;
    Some((text(&json, "event")?.to_owned(), client, pid))
}
