//! Documents reach a real syslog server, whatever happens to either.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use telnet_tests::agent::Agent;
use telnet_tests::check::text;
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::{Scripted, Server, ServerKind};
use telnet_tests::process::Spawned;
use telnet_tests::syslogd::{Input, Syslogd, free_port};
use telnet_tests::{tools, wait};

const TELNET: SocketAddr = SocketAddr::new(V4, 23);
/// Sessions of each of the two agents.
const SESSIONS: usize = 100;

/// A configuration with a syslog sink, its spool in the lab.
fn configure(lab: &Lab, address: &str, more: &str) -> Result<String> {
    let text = format!(
        "[spool]\ndir = \"{}\"\n\
         [[sinks]]\ntype = \"syslog\"\nstreams = [\"alerts\", \"events\"]\n\
         address = \"{address}\"\nfacility = \"local3\"\n{more}\n",
        lab.dir().join("spool").display()
    );
    Ok(lab.write("config.toml", &text)?.display().to_string())
}

/// Every document of standard output is there, and each says what it is.
fn expect(syslogd: &Syslogd, documents: &BTreeSet<String>) -> Result<()> {
    let arrived = wait::until("every document arrives", || {
        let messages = syslogd.messages()?;
        let arrived: BTreeSet<String> = messages.iter().filter_map(|(_, m)| id(m)).collect();
        Ok(documents.is_subset(&arrived).then_some(messages))
    })?;
    for (head, message) in &arrived {
        // local3, and the severity of what it is.
        let is_alert = text(message, "kibana.alert.uuid").is_some();
        let expected = if is_alert {
            "telnet-monitor|alerts|local3|4|"
        } else {
            "telnet-monitor|events|local3|6|"
        };
        ensure!(
            head == expected || text(message, "telnet.detection.scope").is_some(),
            "{head} is not {expected}"
        );
    }
    Ok(())
}

fn id(document: &serde_json::Value) -> Option<String> {
    let id = text(document, "kibana.alert.uuid").or_else(|| text(document, "event.id"));
    id.map(str::to_owned)
}

fn one_session(lab: &Lab, input: &Input, address: &str, more: &str) -> Result<()> {
    let syslogd = Syslogd::start(lab, input)?;
    let config = configure(lab, address, more)?;
    let mut agent = Agent::start(lab, ["-c", &config, "--emit", "all"])?;
    let server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
    let mut peer = Scripted::start(lab, "client")?;
    let client = peer.connect(TELNET)?;
    server.served(client.local)?;
    let documents: BTreeSet<String> = agent
        .fence(lab)?
        .iter()
        .filter_map(|document| id(&document.json))
        .collect();
    // Of the listener, and an event and an alert of each end.
    ensure!(documents.len() == 5, "{documents:?}");
    expect(&syslogd, &documents)?;
    agent.finish()?;
    syslogd.stop()
}

#[test]
fn rsyslog_over_a_unix_socket() -> Result<()> {
    lab::live(|lab| {
        let socket = lab.dir().join("log");
        let address = format!("unix:{}", socket.display());
        one_session(lab, &Input::Unix(socket), &address, "")
    })
}

#[test]
fn rsyslog_over_tls() -> Result<()> {
    lab::live(|lab| {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let certificate = lab.write("cert.pem", &certified.cert.pem())?;
        let key = lab.write("key.pem", &certified.signing_key.serialize_pem())?;
        let port = free_port()?;
        let more = format!("ca_file = \"{}\"", certificate.display());
        let input = Input::Tls {
            port,
            certificate,
            key,
        };
        one_session(lab, &input, &format!("tls://127.0.0.1:{port}"), &more)
    })
}

fn hold_sessions(lab: &Lab) -> Result<Spawned> {
    let mut command = tools::peer()?.command();
    command.args(["many", &TELNET.to_string(), &SESSIONS.to_string()]);
    let clients = Spawned::start("clients", Some(&lab.net), &mut command)?;
    clients.wait_for_output("all connected")?;
    Ok(clients)
}

/// The server is down, the agent is killed, another one is killed while the server is back, and
/// the third finds everything in the spool.
#[test]
fn nothing_is_lost_to_rsyslog_over_an_outage_and_two_kills() -> Result<()> {
    lab::live_alone(|lab| {
        let port = free_port()?;
        let config = configure(lab, &format!("tcp://127.0.0.1:{port}"), "")?;
        let arguments = ["-c", &config, "--emit", "all"];
        let server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
        let mut documents = BTreeSet::new();
        let mut clients = Vec::new();
        let mut syslogd = None;
        for round in 1..=2 {
            let mut agent = Agent::start(lab, arguments)?;
            clients.push(hold_sessions(lab)?);
            server.all_served(round * SESSIONS)?;
            documents.extend(agent.fence(lab)?.iter().filter_map(|d| id(&d.json)));
            if round == 2 {
                // It may have taken any part of the spool when the agent dies.
                syslogd = Some(Syslogd::start(lab, &Input::Tcp(port))?);
            }
            agent.stop(Signal::KILL)?;
        }
        ensure!(
            documents.len() >= 4 * SESSIONS,
            "{} documents",
            documents.len()
        );
        let agent = Agent::start(lab, arguments)?;
        let syslogd = syslogd.context("started in the second round")?;
        expect(&syslogd, &documents)?;
        let log = agent.finish()?.log;
        let left = fs::read_dir(lab.dir().join("spool/syslog/events"))?.count();
        ensure!(
            left == 1,
            "{left} files: delivered segments are removed\n{log}"
        );
        syslogd.stop()
    })
}
