//! Records that the kernel could not hand over: what they would have told is found out.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use telnet_tests::agent::{Agent, Document, list};
use telnet_tests::check::{get, number, text};
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::{Server, ServerKind};
use telnet_tests::process::Spawned;
use telnet_tests::{tools, wait};

const TELNET: SocketAddr = SocketAddr::new(V4, 23);
const SESSIONS: usize = 100;
/// Room for a few records.
const RING: &str = "4096";

/// Lets the agent's ring buffer fill up, while `action` runs, by keeping the agent from reading.
fn without_reader<T>(agent: &Agent, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let pid = Pid::from_raw(i32::try_from(agent.pid())?).context("pid 0")?;
    kill_process(pid, Signal::STOP)?;
    let done = action();
    kill_process(pid, Signal::CONT)?;
    done
}

/// Waits until both ends of all sessions have an event with one of `actions`.
fn both_ends(agent: &mut Agent, lab: &Lab, actions: &[&str]) -> Result<Vec<Document>> {
    let deadline = Instant::now() + wait::PATIENCE;
    loop {
        let mut documents = agent.of(lab);
        documents.retain(|d| text(&d.json, "event.action").is_some_and(|a| actions.contains(&a)));
        let ids: BTreeSet<_> = documents
            .iter()
            .filter_map(|d| text(&d.json, "event.id"))
            .collect();
        if ids.len() >= 2 * SESSIONS {
            ensure!(ids.len() == documents.len(), "{}", list(&documents));
            return Ok(documents);
        }
        ensure!(
            Instant::now() < deadline,
            "{} of {} ends:\n{}",
            ids.len(),
            2 * SESSIONS,
            list(&documents)
        );
        agent.read_more(deadline);
    }
}

#[test]
fn sessions_are_found_and_their_ends_told_although_the_ring_overflowed() -> Result<()> {
    lab::live_alone(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "events", "--ring-bytes", RING])?;
        let server = Server::start(lab, ServerKind::Fork, TELNET, 1)?;
        let mut command = tools::peer()?.command();
        command.args(["many", &TELNET.to_string(), &SESSIONS.to_string()]);
        let (mut peers, sessions) = without_reader(&agent, || {
            let clients = Spawned::start("clients", Some(&lab.net), &mut command)?;
            clients.wait_for_output("all connected")?;
            Ok((clients, server.all_served(SESSIONS)?))
        })?;
        let actions = ["connection_accepted", "connection_established"];
        let opened = both_ends(&mut agent, lab, &actions)?;
        let is_found = |d: &&Document| get(&d.json, "telnet.session.preexisting").is_some();
        let found: Vec<_> = opened.iter().filter(is_found).collect();
        ensure!(!found.is_empty(), "none was lost:\n{}", list(&opened));
        for document in found {
            let owner = number(&document.json, "process.pid");
            let is_right = if text(&document.json, "network.direction") == Some("egress") {
                owner == Some(u64::from(peers.pid()))
            } else {
                sessions
                    .values()
                    .any(|served| owner == Some(u64::from(served.handler)))
            };
            ensure!(is_right, "another owner in {:#}", document.json);
        }

        without_reader(&agent, || {
            peers.close_stdin();
            peers.wait(wait::PATIENCE)
        })?;
        let closed = both_ends(&mut agent, lab, &["network_flow"])?;
        let unseen = closed
            .iter()
            .filter(|d| text(&d.json, "event.reason") == Some("unseen"));
        let mut count = 0;
        for document in unseen {
            count += 1;
            for unknown in ["event.end", "event.duration", "network.bytes"] {
                ensure!(
                    get(&document.json, unknown).is_none(),
                    "{unknown} in {:#}",
                    document.json
                );
            }
        }
        ensure!(count > 0, "none was lost:\n{}", list(&closed));
        let ended = agent.finish()?;
        ensure!(
            ended.ledger()?.get("dropped_ring_full")? > 0,
            "{}",
            ended.log
        );
        Ok(())
    })
}

/// Under a flood most records wake nobody, and behind the last ones comes no other that would.
#[test]
fn a_burst_is_read_to_its_end() -> Result<()> {
    const SESSIONS: usize = 1_000;
    lab::live_alone(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "events"])?.with_patience(4);
        let listener = lab.net.listen(TELNET)?;
        let last = lab.net.run(|| {
            let mut last = None;
            for _ in 0..SESSIONS {
                let client = TcpStream::connect(TELNET)?;
                let (server, peer) = listener.accept()?;
                drop((client, server));
                last = Some(peer.port());
            }
            anyhow::Ok(last)
        })??;
        let last = last.context("no session")?;
        agent.wait_for(lab, "the end of the last session", |json| {
            text(json, "event.action") == Some("network_flow")
                && text(json, "network.direction") == Some("ingress")
                && number(json, "source.port") == Some(u64::from(last))
        })?;
        let ended = agent.finish()?;
        ensure!(
            ended.ledger()?.get("dropped_ring_full")? == 0,
            "{}",
            ended.log
        );
        Ok(())
    })
}
