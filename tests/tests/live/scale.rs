//! Many sessions at once, and each with the right process.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use telnet_tests::agent::{Agent, Document, acceptor_is_known};
use telnet_tests::check::{get, number, text};
use telnet_tests::lab::{self, V4};
use telnet_tests::peer::{Server, ServerKind};
use telnet_tests::process::Spawned;
use telnet_tests::{kernel, load, tools, wait};

const TELNET: SocketAddr = SocketAddr::new(V4, 23);

/// Events with this action, by a number in them; fails on a second one with the same.
fn by(field: &str, documents: &[Document], action: &str) -> Result<HashMap<u64, Arc<Value>>> {
    let mut found = HashMap::new();
    for document in documents {
        if text(&document.json, "event.action") == Some(action) {
            let number = number(&document.json, field).with_context(|| format!("no {field}"))?;
            let before = found.insert(number, document.json.clone());
            ensure!(before.is_none(), "{action} came twice for {field} {number}");
        }
    }
    Ok(found)
}

/// What a short-lived client said of itself.
#[derive(Debug)]
struct Client {
    pid: u64,
    port: u64,
    text: String,
}

fn run_client(command: &mut Command, text: String) -> Result<Client> {
    let output = command.arg(&text).stdin(Stdio::null()).output()?;
    let json: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let address: SocketAddr = telnet_tests::check::text(&json, "address")
        .context("no address")?
        .parse()?;
    let pid = number(&json, "pid").context("no pid")?;
    Ok(Client {
        pid,
        port: u64::from(address.port()),
        text,
    })
}

/// Whether the last argument is `text`. A kernel that does not let the probe read it leaves it
/// out for a process that is gone before userspace looks.
fn args_are_right(event: &Value, text: &str) -> bool {
    match get(event, "process.args") {
        Some(args) => args.get(3).and_then(Value::as_str) == Some(text),
        None => kernel::lacks("reading_of_memory_by_address"),
    }
}

#[test]
fn clients_that_are_gone_at_once_are_named_with_their_arguments() -> Result<()> {
    let sessions = load::sessions()?;
    lab::live_alone(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "events"])?.with_patience(6);
        let _server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
        let peer = tools::peer()?;
        let clients: Vec<Client> = lab.net.run(|| {
            (0..sessions)
                .map(|n| {
                    let mut command = peer.command();
                    command.args(["once", &TELNET.to_string()]);
                    run_client(&mut command, format!("client-{n}"))
                })
                .collect::<Result<_>>()
        })??;
        let documents = agent.fence(lab)?;
        // Not by port: a slow machine takes longer than the kernel keeps a used port back.
        let events = by("process.pid", &documents, "connection_established")?;
        for client in &clients {
            let event = events
                .get(&client.pid)
                .with_context(|| format!("no event of {client:?}"))?;
            ensure!(
                number(event, "source.port") == Some(client.port)
                    && args_are_right(event, &client.text),
                "{client:?}, but {event:#}"
            );
        }
        ensure!(
            events.len() == sessions,
            "{} outbound sessions",
            events.len()
        );
        let inbound: HashSet<_> = documents
            .iter()
            .filter(|document| text(&document.json, "event.action") == Some("connection_accepted"))
            .map(|document| text(&document.json, "telnet.session.id"))
            .collect();
        ensure!(
            inbound.len() == sessions,
            "{} inbound sessions",
            inbound.len()
        );
        agent.finish().map(drop)
    })
}

#[test]
fn concurrent_sessions_of_a_forking_server_have_their_own_handlers() -> Result<()> {
    let sessions = load::sessions()?;
    lab::live_alone(|lab| {
        let mut agent = Agent::start(lab, ["--emit", "events"])?.with_patience(6);
        let server = Server::start(lab, ServerKind::Fork, TELNET, 1)?;
        let mut command = tools::peer()?.command();
        command.args(["many", &TELNET.to_string(), &sessions.to_string()]);
        let mut clients = Spawned::start("clients", Some(&lab.net), &mut command)?;
        clients.wait_for_output("all connected")?;
        let owners_of = server.all_served(sessions)?;

        clients.close_stdin();
        clients.wait(wait::PATIENCE)?;
        agent.fence(lab)?;
        let deadline = Instant::now() + wait::PATIENCE * 6;
        let closed = loop {
            let mut documents = agent.of(lab);
            documents.retain(|d| text(&d.json, "network.direction") == Some("ingress"));
            let closed = by("source.port", &documents, "network_flow")?;
            if closed.len() >= sessions || Instant::now() > deadline {
                break closed;
            }
            agent.read_more(deadline);
        };
        let acceptor = acceptor_is_known().then_some(u64::from(server.pid()));
        for (client, owners) in &owners_of {
            let port = u64::from(client.port());
            let event = closed
                .get(&port)
                .with_context(|| format!("port {port} did not close"))?;
            ensure!(
                number(event, "telnet.handler.pid") == Some(u64::from(owners.handler))
                    && number(event, "telnet.acceptor.pid") == acceptor,
                "port {port}: {owners:?}, but {event:#}"
            );
        }
        agent.finish().map(drop)
    })
}
