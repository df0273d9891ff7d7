//! Sessions that are older than the agent, and agents that come back.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use telnet_tests::agent::{Agent, Document, list};
use telnet_tests::check::{Check, number, text};
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::{Scripted, Server, ServerKind};
use telnet_tests::process::Spawned;
use telnet_tests::{tools, wait};

const SESSIONS: usize = 100;
const TELNET: SocketAddr = SocketAddr::new(V4, 23);

/// Documents that open a session at the server's end, by their ids.
fn opened(documents: &[Document]) -> Result<HashMap<String, &Document>> {
    let mut found = HashMap::new();
    for document in documents {
        if text(&document.json, "event.action") == Some("connection_accepted")
            && alert_id(document).is_none()
        {
            let id = text(&document.json, "event.id").context("no event.id")?;
            let before = found.insert(id.to_owned(), document);
            ensure!(before.is_none(), "{id} came twice");
        }
    }
    Ok(found)
}

fn alert_id(document: &Document) -> Option<&str> {
    text(&document.json, "kibana.alert.uuid")
}

fn alert_ids(documents: &[Document]) -> HashSet<&str> {
    documents.iter().filter_map(alert_id).collect()
}

fn session_ids<'a>(documents: impl Iterator<Item = &'a Document>) -> Result<HashSet<String>> {
    documents
        .map(|d| {
            let id = text(&d.json, "telnet.session.id");
            id.map(str::to_owned)
                .with_context(|| format!("no session id in {:#}", d.json))
        })
        .collect()
}

#[test]
fn sessions_open_at_start_are_reported_once_with_their_owners() -> Result<()> {
    lab::live(|lab| {
        let server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
        let mut peer = Scripted::start(lab, "client")?;
        let client = peer.connect(TELNET)?;
        server.served(client.local)?;
        let mut agent = Agent::start(lab, ["--emit", "events"])?;
        let mut documents = agent.fence(lab)?;
        documents
            .retain(|d| number(&d.json, "source.port") == Some(u64::from(client.local.port())));
        ensure!(
            documents.len() == 2,
            "one event an end, but:\n{}",
            list(&documents)
        );
        for document in &documents {
            let inbound = text(&document.json, "network.direction") == Some("ingress");
            Check::of(&document.json)
                .is("telnet.session.preexisting", true)
                .is(
                    "process.pid",
                    if inbound { server.pid() } else { peer.pid() },
                )
                .done()?;
        }
        agent.finish().map(drop)
    })
}

#[test]
fn a_session_that_is_half_closed_at_start_is_one_and_what_is_left_of_others_is_not() -> Result<()> {
    lab::live(|lab| {
        let mut server = Scripted::start(lab, "server")?;
        let mut client = Scripted::start(lab, "client")?;
        server.listen(TELNET)?;
        let open = client.connect(TELNET)?;
        let half = server.accept()?;
        server.with("shutdown", half)?;
        // The server has closed this one, and the client has not noticed: FIN_WAIT2, which only
        // the kernel still holds, and CLOSE_WAIT.
        let left = client.connect(TELNET)?;
        let closed = server.accept()?;
        server.with("close", closed)?;
        client.with("receive", left)?;
        let mut agent = Agent::start(lab, ["--emit", "events"])?;
        let documents = agent.fence(lab)?;
        let ends = |port: u16| {
            let of = documents
                .iter()
                .filter(|d| number(&d.json, "source.port") == Some(u64::from(port)));
            let mut ends: Vec<_> = of
                .filter_map(|d| text(&d.json, "network.direction"))
                .collect();
            ends.sort_unstable();
            ends
        };
        ensure!(
            ends(open.local.port()) == ["egress", "ingress"],
            "{}",
            list(&documents)
        );
        ensure!(
            ends(left.local.port()) == ["egress"],
            "{}",
            list(&documents)
        );
        agent.finish().map(drop)
    })
}

#[test]
fn a_peer_that_connects_from_port_23_is_not_taken_for_a_server() -> Result<()> {
    lab::live(|lab| {
        let unmonitored = SocketAddr::new(V4, 5_023);
        let mut server = Scripted::start(lab, "server")?;
        server.listen(unmonitored)?;
        let mut client = Scripted::start(lab, "client")?;
        client.open(&format!("connect-from {TELNET} {unmonitored}"))?;
        server.accept()?;
        let mut agent = Agent::start(lab, ["--emit", "events"])?;
        let documents = agent.fence(lab)?;
        // What the server has is inbound: nobody here has connected to a telnet server.
        let of_server = documents
            .iter()
            .find(|d| number(&d.json, "destination.port") == Some(5_023));
        let of_server = of_server.with_context(|| list(&documents))?;
        Check::of(&of_server.json)
            .is("source.port", 23_u16)
            .is("network.direction", "ingress")
            .is("process.pid", server.pid())
            .done()?;
        ensure!(
            !documents
                .iter()
                .any(|d| text(&d.json, "network.direction") == Some("egress")),
            "{}",
            list(&documents)
        );
        agent.finish().map(drop)
    })
}

/// Ids of the inbound sessions whose end is told: waits for all of them. The kernel may have left
/// out the record of one; then it is found later, and nothing tells how long it lasted.
fn ended(agent: &mut Agent, lab: &Lab) -> Result<HashSet<String>> {
    let is_end = |d: &&Document| {
        alert_id(d).is_none()
            && text(&d.json, "event.action") == Some("network_flow")
            && text(&d.json, "network.direction") == Some("ingress")
            && (number(&d.json, "event.duration").is_some() || is_unseen(d))
    };
    let deadline = Instant::now() + wait::PATIENCE;
    loop {
        let ended = session_ids(agent.of(lab).iter().filter(is_end))?;
        if ended.len() >= SESSIONS || Instant::now() > deadline {
            return Ok(ended);
        }
        agent.read_more(deadline);
    }
}

fn is_unseen(document: &Document) -> bool {
    text(&document.json, "event.reason") == Some("unseen")
}

#[test]
fn a_killed_and_restarted_agent_reports_every_session_once() -> Result<()> {
    lab::live_alone(|lab| {
        let mut first = Agent::start(lab, ["--emit", "all"])?;
        let server = Server::start(lab, ServerKind::Fork, TELNET, 1)?;
        let mut command = tools::peer()?.command();
        command.args(["many", &TELNET.to_string(), &SESSIONS.to_string()]);
        let mut clients = Spawned::start("clients", Some(&lab.net), &mut command)?;
        clients.wait_for_output("all connected")?;
        server.all_served(SESSIONS)?;
        let before = first.fence(lab)?;
        first.stop(Signal::KILL)?;
        let mut second = Agent::start(lab, ["--emit", "all"])?;
        let after = second.fence(lab)?;

        // What the cap held back may alert now; nothing alerts twice, and no event comes twice.
        let alerted = alert_ids(&before);
        let mut again = after;
        again.retain(|d| alert_id(d).is_none_or(|id| alerted.contains(id)));
        ensure!(
            again.is_empty(),
            "told again after the restart:\n{}",
            list(&again)
        );
        let before = opened(&before)?;
        ensure!(
            before.len() == SESSIONS,
            "{} sessions, not {SESSIONS}",
            before.len()
        );
        for document in before.values() {
            let owner = number(&document.json, "process.pid");
            ensure!(owner.is_some(), "no owner in {:#}", document.json);
        }
        let sessions = session_ids(before.values().copied())?;

        // The second agent has taken them over: it tells the end of each, and how long it lasted.
        clients.close_stdin();
        clients.wait(wait::PATIENCE)?;
        let ended = ended(&mut second, lab)?;
        let unseen = second.of(lab).iter().filter(|d| is_unseen(d)).count();
        let second = second.stop(Signal::TERM)?;
        ensure!(
            ended == sessions,
            "{} of {SESSIONS} ends were told\n{}",
            ended.len(),
            second.log
        );
        second.must_be_clean()?;
        let ledger = second.ledger()?;
        ensure!(
            u64::try_from(unseen)? <= ledger.get("missed")?,
            "{unseen} ends unseen, but {ledger:?}"
        );
        Ok(())
    })
}
