//! Documents reach a real syslog server, whatever happens to either.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use telnet_tests::agent::{ALL, Agent};
use telnet_tests::check::{number, text};
use telnet_tests::journal::Journal;
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::{Scripted, Server, ServerKind};
use telnet_tests::process::Spawned;
use telnet_tests::syslogd::{Input, Syslogd, free_port};
use telnet_tests::{tools, wait};

const TELNET: SocketAddr = SocketAddr::new(V4, 23);
/// Least length of the events of a session.
const EVENT_BYTES: usize = 2_000;
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
    let documents = session(lab, &mut agent)?;
    expect(&syslogd, &documents)?;
    agent.finish()?;
    syslogd.stop()
}

/// Opens a session; the ids of all that the agent wrote of it.
fn session(lab: &Lab, agent: &mut Agent) -> Result<BTreeSet<String>> {
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
    Ok(documents)
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

/// What the guide shows for a server, with this test's files and port.
fn configuration_of_the_guide(
    certificate: &Path,
    key: &Path,
    port: u16,
    to: &Path,
) -> Result<String> {
    const GUIDE: &str = include_str!("../../../docs/operations.md");
    let mut blocks = GUIDE.split("```\n");
    let block = blocks.find(|block| block.starts_with("# rsyslog.conf of the server"));
    let mut text = block.context("the guide shows none")?.to_owned();
    for (shown, own) in [
        ("/etc/rsyslog/ca.pem", certificate.display().to_string()),
        ("/etc/rsyslog/cert.pem", certificate.display().to_string()),
        ("/etc/rsyslog/key.pem", key.display().to_string()),
        (
            "port=\"6514\"",
            format!("port=\"{port}\" address=\"127.0.0.1\""),
        ),
        ("/var/log/telnet.ndjson", to.display().to_string()),
    ] {
        ensure!(text.contains(shown), "no {shown} in {text}");
        text = text.replace(shown, &own);
    }
    Ok(text)
}

#[test]
fn rsyslog_with_the_configuration_of_the_guide_writes_each_document_as_a_line() -> Result<()> {
    lab::live(|lab| {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let certificate = lab.write("cert.pem", &certified.cert.pem())?;
        let key = lab.write("key.pem", &certified.signing_key.serialize_pem())?;
        let port = free_port()?;
        let out = lab.dir().join("telnet.ndjson");
        let text = configuration_of_the_guide(&certificate, &key, port, &out)?;
        let more = format!("ca_file = \"{}\"", certificate.display());
        let input = Input::Tls {
            port,
            certificate,
            key,
        };
        let syslogd = Syslogd::start_with(lab, &input, &text, out)?;
        let config = configure(lab, &format!("tls://127.0.0.1:{port}"), &more)?;
        let mut agent = Agent::start(lab, ["-c", &config, "--emit", "all"])?;
        let documents = session(lab, &mut agent)?;
        wait::until("every document is a line of JSON", || {
            let text = syslogd.text()?;
            let lines = text.lines().map(serde_json::from_str);
            let lines = lines.collect::<Result<Vec<serde_json::Value>, _>>()?;
            let arrived: BTreeSet<String> = lines.iter().filter_map(id).collect();
            Ok(documents.is_subset(&arrived).then_some(()))
        })?;
        agent.finish()?;
        syslogd.stop()
    })
}

/// The files that events wait in.
fn segments(lab: &Lab) -> Result<BTreeSet<PathBuf>> {
    let files = fs::read_dir(lab.dir().join("spool/syslog/events"))?;
    let paths = files.map(|file| Ok(file?.path()));
    let paths: Result<BTreeSet<_>> = paths.collect();
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "seg");
    Ok(paths?.into_iter().filter(is_segment).collect())
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
        let arguments = ["-c", &config, "--emit", "all", ALL];
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
        let of_the_killed = segments(lab)?;
        ensure!(!of_the_killed.is_empty(), "nothing is in the spool");
        let agent = Agent::start(lab, arguments)?;
        let syslogd = syslogd.context("started in the second round")?;
        expect(&syslogd, &documents)?;
        let log = agent.finish()?.log;
        // One of its own may be there: it tells the end of what ended while none ran.
        let left = segments(lab)?;
        ensure!(
            left.is_disjoint(&of_the_killed),
            "{left:?}: delivered segments are removed\n{log}"
        );
        syslogd.stop()
    })
}

#[test]
fn alerts_are_in_the_journal_with_their_fields_also_after_it_was_down() -> Result<()> {
    lab::live(|lab| {
        let journal = Journal::start(lab)?;
        let config = format!(
            "[spool]\ndir = \"{}/spool\"\n\
             [[sinks]]\ntype = \"stdout\"\nstreams = [\"alerts\"]\n\
             [[sinks]]\ntype = \"journald\"\nstreams = [\"alerts\"]\nsocket = \"{}\"\n",
            lab.dir().display(),
            journal.socket().display()
        );
        let config = lab.write("config.toml", &config)?.display().to_string();
        let mut agent = Agent::start(lab, ["-c", &config])?;
        let server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
        let mut peer = Scripted::start(lab, "client")?;
        let mut session = |journal: &Journal| -> Result<serde_json::Value> {
            let client = peer.connect(TELNET)?;
            server.served(client.local)?;
            let port = format!("SOURCE_PORT={}", client.local.port());
            let matches = [
                "SYSLOG_IDENTIFIER=telnet-monitor",
                "NETWORK_DIRECTION=ingress",
                &port,
            ];
            wait::until("the alert in the journal", || {
                let mut entries = journal.entries(&matches)?;
                ensure!(entries.len() <= 1, "{entries:#?}");
                Ok(entries.pop())
            })
        };
        let entry = session(&journal)?;
        for (field, expected) in [
            ("SOURCE_IP", "192.0.2.1"),
            ("DESTINATION_PORT", "23"),
            ("EVENT_KIND", "signal"),
            ("TELNET_MONITOR_STREAM", "alerts"),
            // notice to err, by the severity of the rule: medium is a warning.
            ("PRIORITY", "4"),
            ("_TRANSPORT", "journal"),
            ("_COMM", "telnet-monitor"),
        ] {
            let found = entry.get(field).and_then(serde_json::Value::as_str);
            ensure!(found == Some(expected), "{field} is {found:?}: {entry:#}");
        }
        journal.stop()?;
        agent.fence(lab)?;
        let journal = Journal::start(lab)?;
        session(&journal)?;
        // Those of the fence, made while there was no journal.
        wait::until("what waited", || {
            let waited = journal.entries(&["EVENT_KIND=signal"])?;
            Ok((waited.len() == 6).then_some(()))
        })?;
        agent.finish()?;
        journal.stop()
    })
}

/// How much of the small disk is left when something fills it.
const MEBIBYTE: usize = 1 << 20;

/// Events of sessions on 23 and 2323, alerts of the latter alone, to a server on `port`; the spool on
/// `disk`.
fn alerts_on_one_port(lab: &Lab, disk: &Path, port: u16) -> Result<PathBuf> {
    // Both ports are monitored, and only sessions of one are alerted.
    let query = "destination.port:2323 or (destination.port:23 and process.name:nobody)";
    let rule = lab.write("rule.toml", &super::rule_file(&format!("({query})")))?;
    let config = format!(
        "[rules]\npaths = [\"{}\"]\n[health]\ninterval = \"1s\"\n\
         [spool]\ndir = \"{}/spool\"\nsync = \"never\"\n\
         [[sinks]]\ntype = \"stdout\"\nstreams = [\"alerts\", \"events\", \"health\"]\n\
         [[sinks]]\ntype = \"syslog\"\nstreams = [\"alerts\", \"events\"]\n\
         address = \"tcp://127.0.0.1:{port}\"\n",
        rule.display(),
        disk.display()
    );
    lab.write("config.toml", &config)
}

/// An agent that has a file system of two mebibytes at `disk`. In a mount namespace of its own:
/// what is mounted there goes with the agent.
fn agent_with_disk(lab: &Lab, config: &Path, disk: &Path) -> Result<Agent> {
    let script = "mount -t tmpfs -o size=2m tmpfs \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(disk)
        .arg(lab.agent()?)
        .args(["run", "--format", "ndjson", ALL, "-c"])
        .arg(config)
        .env("TELNET_MONITOR_STATE_DIR", lab.dir().join("state"));
    Ok(Agent::start_by(&mut command)?.with_patience(4))
}

/// Writes a file until nothing more fits.
fn fill(ballast: &Path) -> Result<()> {
    let mut file = fs::File::create(ballast)?;
    let full = loop {
        if let Err(error) = file.write_all(&[0; 4096]) {
            break error;
        }
    };
    ensure!(full.kind() == std::io::ErrorKind::StorageFull, "{full}");
    Ok(())
}

/// Waits for the alerts of both ends of a session.
fn both_alerts(agent: &mut Agent, lab: &Lab, client: SocketAddr) -> Result<()> {
    for direction in ["ingress", "egress"] {
        agent.wait_for(lab, "an alert", |json| {
            text(json, "kibana.alert.uuid").is_some()
                && text(json, "network.direction") == Some(direction)
                && number(json, "source.port") == Some(u64::from(client.port()))
        })?;
    }
    Ok(())
}

/// A number of lost documents in a heartbeat; the syslog sink is the second one.
fn lost(json: &serde_json::Value, what: &str) -> Option<u64> {
    let path = format!("/telnet/health/sinks/1/spool/lost/{what}");
    json.pointer(&path).and_then(serde_json::Value::as_u64)
}

/// The disk of the spool is filled by something else, under many events and a few alerts. Then
/// there is room again.
#[test]
fn a_full_disk_costs_events_and_no_alert() -> Result<()> {
    const ALERTED: SocketAddr = SocketAddr::new(V4, 2323);
    lab::live_alone(|lab| {
        let port = free_port()?;
        let disk = lab.dir().join("disk");
        fs::create_dir(&disk)?;
        let config = alerts_on_one_port(lab, &disk, port)?;
        let mut agent = agent_with_disk(lab, &config, &disk)?;
        let inside = format!("/proc/{}/root{}", agent.pid(), disk.display());
        let ballast = Path::new(&inside).join("ballast");
        fill(&ballast)?;

        let server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
        let alerted = Server::start(lab, ServerKind::Threads, ALERTED, 1)?;
        let mut sessions = 0;
        let mut clients = Vec::new();
        // More events than a megabyte of memory holds.
        while sessions * EVENT_BYTES < 2 * MEBIBYTE {
            clients.push(hold_sessions(lab)?);
            sessions += SESSIONS;
            server.all_served(sessions)?;
        }
        let mut peer = Scripted::start(lab, "client")?;
        for _ in 0..5 {
            let client = peer.connect(ALERTED)?;
            alerted.served(client.local)?;
            both_alerts(&mut agent, lab, client.local)?;
        }
        agent.wait_for_any("a heartbeat that tells of lost events", |json| {
            lost(json, "events").is_some_and(|events| events > 0)
                && text(json, "telnet.health.status") == Some("degraded")
        })?;
        let alerts: BTreeSet<String> = agent
            .of(lab)
            .iter()
            .filter_map(|d| text(&d.json, "kibana.alert.uuid").map(str::to_owned))
            .collect();
        ensure!(alerts.len() >= 10, "{} alerts", alerts.len());

        // Room again, and somebody who listens: everything that was not lost arrives.
        fs::remove_file(&ballast)?;
        let syslogd = Syslogd::start(lab, &Input::Tcp(port))?;
        wait::until_after("every alert", 4 * wait::PATIENCE, || {
            let messages = syslogd.messages()?;
            let arrived: BTreeSet<String> = messages.iter().filter_map(|(_, m)| id(m)).collect();
            Ok(alerts.is_subset(&arrived).then_some(()))
        })?;
        agent.wait_for_any("a heartbeat of a spool that works again", |json| {
            let spool = json.pointer("/telnet/health/sinks/1/spool");
            let of = |name: &str| spool.and_then(|spool| spool.get(name));
            of("degraded") == Some(&serde_json::Value::Bool(false))
                && of("pending").and_then(serde_json::Value::as_u64) == Some(0)
                && lost(json, "alerts") == Some(0)
        })?;
        agent.finish()?;
        syslogd.stop()
    })
}
