//! What a session speaks, proven by its first bytes, of which the agent sees none.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use telnet_tests::agent::{Agent, Document, list, run_command};
use telnet_tests::check::{Check, number, text};
use telnet_tests::lab::{self, Lab, V4, V6};
use telnet_tests::peer::{Client, ClientKind, Telnetd, TelnetdKind};
use telnet_tests::process::pid;
use telnet_tests::tools;

use super::logins::in_memory;

const TELNET: SocketAddr = SocketAddr::new(V4, 23);
const IDENTIFIED: &str = "protocol_identified";
/// `BPF_PROG_TYPE_CGROUP_SKB`, of programs on packets.
const ON_PACKETS: &str = "prog_type:\t8";

fn agent(lab: &Lab, query: &str, emit: &str) -> Result<Agent> {
    let rules = lab.write("rules.toml", &super::rule_file(query))?;
    Agent::start(
        lab,
        [
            Path::new("--emit"),
            Path::new(emit),
            Path::new("--rules"),
            &rules,
        ],
    )
}

/// Documents of sessions from this port.
fn of(documents: &[Document], port: u16) -> Vec<Document> {
    let is_its =
        |document: &&Document| number(&document.json, "source.port") == Some(u64::from(port));
    documents.iter().filter(is_its).cloned().collect()
}

fn has_action(document: &Document, action: &str) -> bool {
    text(&document.json, "event.action") == Some(action)
}

/// Programs on packets that the process holds.
fn on_packets(process: u32) -> Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        match fs::read_to_string(entry?.path()) {
            Ok(text) => found += usize::from(text.contains(ON_PACKETS)),
            // Closed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// One side of a conversation says this, and the other has heard it.
fn say(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    from.write_all(bytes)?;
    let mut heard = vec![0; bytes.len()];
    to.read_exact(&mut heard)?;
    ensure!(heard == bytes, "{heard:?}");
    Ok(())
}

/// Turns of the client and the server; returns the client's port.
fn talk(lab: &Lab, server: SocketAddr, turns: &[(Vec<u8>, Vec<u8>)]) -> Result<u16> {
    let listener = lab.net.listen(server)?;
    let mut client = lab.net.connect(server)?;
    let (mut server, _) = listener.accept()?;
    let port = client.local_addr()?.port();
    for (question, answer) in turns {
        say(&mut client, &mut server, question)?;
        say(&mut server, &mut client, answer)?;
    }
    Ok(port)
}

#[test]
fn telnet_is_found_on_any_port_by_a_rule_that_names_none() -> Result<()> {
    const PORT: u16 = 2_323;
    lab::live(|lab| {
        let mut agent = agent(lab, "network.protocol:telnet", "all")?;
        ensure!(on_packets(agent.pid())? == 2, "{}", agent.log());
        for (ip, kind) in [(V4, ClientKind::Inetutils), (V6, ClientKind::Busybox)] {
            let address = SocketAddr::new(ip, PORT);
            let server = Telnetd::start(lab, TelnetdKind::Busybox, address)?;
            let mut client = Client::start(lab, kind, address)?;
            let session = client.session(lab)?;
            client.prove_shell()?;
            let port = session.source.port();
            for owner in [server.pid(), session.client.pid] {
                let is_alert = |json: &Value| {
                    text(json, "event.kind") == Some("signal")
                        && text(json, "kibana.alert.original_event.action") == Some(IDENTIFIED)
                        && number(json, "source.port") == Some(u64::from(port))
                        && number(json, "process.pid") == Some(u64::from(owner))
                };
                let alert = agent.wait_for(lab, "an alert for each end", is_alert)?;
                Check::of(&alert.json)
                    .is("network.protocol", "telnet")
                    .is("destination.port", PORT)
                    .is("kibana.alert.rule.name", super::RULE_NAME)
                    .done()?;
            }
            client.type_line("exit")?;
            client.wait()?;
            for direction in ["ingress", "egress"] {
                let end = agent.wait_for(lab, "the end", |json| {
                    text(json, "event.action") == Some("network_flow")
                        && text(json, "network.direction") == Some(direction)
                        && number(json, "source.port") == Some(u64::from(port))
                })?;
                Check::of(&end.json)
                    .is("network.protocol", "telnet")
                    .done()?;
            }
            let told = of(&agent.fence(lab)?, port);
            let proofs = told.iter().filter(|document| {
                has_action(document, IDENTIFIED)
                    && text(&document.json, "event.kind") == Some("event")
            });
            ensure!(proofs.count() == 2, "{}", list(&told));
        }
        agent.finish().map(drop)
    })
}

/// A session in which options are negotiated.
fn negotiate(lab: &Lab) -> Result<u16> {
    let turn = (b"?".to_vec(), b"\xff\xfb\x01\xff\xfb\x03".to_vec());
    talk(lab, TELNET, &[turn])
}

/// Eight bytes that the kernel looks at.
const SEEN: &str = "x7Q9zK2p";

/// What is said on port 23.
struct Conversation {
    name: &'static str,
    /// Of the client and the server.
    turns: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it is proven to be.
    protocol: Option<&'static str>,
}

fn conversations() -> Vec<Conversation> {
    let ssh = format!("SSH-2.0-{SEEN}\r\n").into_bytes();
    let long = [b"\xff\xfb\x01\xff\xfb\x03", vec![b'x'; 20_000].as_slice()].concat();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let hello = [hello, vec![7; 506].as_slice()].concat();
    let of = |name, turns: &[(&[u8], &[u8])], protocol| Conversation {
        name,
        turns: turns
            .iter()
            .map(|(question, answer)| (question.to_vec(), answer.to_vec()))
            .collect(),
        protocol,
    };
    vec![
        of(
            "text",
            &[(b"hello", b"login: "), (b"root", b"password: ")],
            None,
        ),
        of("an identification", &[(b"hello", &ssh)], Some("ssh")),
        of(
            "not at the beginning",
            &[(b"hello", b"hello"), (&ssh, &ssh)],
            None,
        ),
        of(
            "a status line",
            &[(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n")],
            Some("http"),
        ),
        of("a ClientHello", &[(&hello, b"?")], Some("tls")),
        of(
            "two commands",
            &[(b"?", b"\xff\xfb\x01\xff\xfb\x03login: ")],
            Some("telnet"),
        ),
        of("much behind them", &[(b"?", &long)], Some("telnet")),
        of(
            "a command and its answer",
            &[(b"\xff\xfd\x01", b"\xff\xfb\x01")],
            Some("telnet"),
        ),
        of(
            "one command",
            &[(b"\xff\xfb\x01", b"?"), (b"?", b"?")],
            None,
        ),
    ]
}

#[test]
fn what_is_spoken_on_the_telnet_port_is_named_when_it_is_certain() -> Result<()> {
    lab::live(|lab| {
        // What a rule says that has telnet or what nobody knows.
        let query = "destination.port:23 and network.protocol:(telnet or not *)";
        let mut agent = agent(lab, query, "events")?;
        let mut ports = Vec::new();
        for conversation in conversations() {
            let port = talk(lab, TELNET, &conversation.turns).context(conversation.name)?;
            ports.push((conversation, port));
        }
        let documents = agent.fence(lab)?;
        for (Conversation { name, protocol, .. }, port) in ports {
            let its = of(&documents, port);
            let count = |action| its.iter().filter(|d| has_action(d, action)).count();
            let ends = its.iter().filter(|d| has_action(d, "network_flow"));
            let spoken: Vec<_> = ends.map(|d| text(&d.json, "network.protocol")).collect();
            let proofs = if protocol.is_some() { 2 } else { 0 };
            ensure!(
                spoken == [protocol; 2] && count(IDENTIFIED) == proofs,
                "{name}: {spoken:?}\n{}",
                list(&its)
            );
        }
        let maps = in_memory(agent.pid(), SEEN)?;
        ensure!(maps.is_empty(), "{SEEN} in {maps:?}");
        agent.finish().map(drop)
    })
}

#[test]
fn nothing_is_attached_to_packets_unless_a_rule_asks_at_start() -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent(lab, "destination.port:23", "all")?;
        ensure!(on_packets(agent.pid())? == 0, "{}", agent.log());
        lab.write("rules.toml", &super::rule_file("network.protocol:telnet"))?;
        kill_process(pid(agent.pid())?, Signal::HUP)?;
        agent.wait_for_log("INFO reloaded", 1)?;
        agent.wait_for_log("restart the agent", 1)?;
        ensure!(on_packets(agent.pid())? == 0, "{}", agent.log());
        let port = negotiate(lab)?;
        let told = of(&agent.fence(lab)?, port);
        ensure!(!told.is_empty() && !told.iter().any(|d| has_action(d, IDENTIFIED)));
        agent.finish().map(drop)
    })
}

#[test]
fn an_agent_that_cannot_look_says_why_and_works() -> Result<()> {
    lab::live(|lab| {
        let rules = super::rule_file("destination.port:23 and network.protocol:(telnet or not *)");
        let rules = lab.write("rules.toml", &rules)?;
        let mut command = super::types_hidden::without(lab, "/sys/fs/cgroup")?;
        let mut agent = Agent::start_by(command.arg("--rules").arg(&rules))?;
        agent.wait_for_log("no cgroup v2", 1)?;
        ensure!(on_packets(agent.pid())? == 0, "{}", agent.log());
        let port = negotiate(lab)?;
        let told = of(&agent.fence(lab)?, port);
        let is_alert = |d: &Document| text(&d.json, "event.kind") == Some("signal");
        ensure!(told.iter().any(is_alert), "{}", list(&told));
        ensure!(!told.iter().any(|d| has_action(d, IDENTIFIED)));
        agent.finish().map(drop)
    })
}

/// As the service is. Not every kernel asks for it.
#[test]
fn an_agent_without_the_capability_for_networks_looks_or_says_why() -> Result<()> {
    lab::live(|lab| {
        let rules = lab.write("rules.toml", &super::rule_file("network.protocol:telnet"))?;
        let arguments = ["--format", "ndjson", "--emit", "events", "--rules"].map(Path::new);
        let agent = run_command(lab, lab.agent()?, arguments);
        let mut command = tools::peer()?.command();
        command.arg("without-net-admin").arg(agent.get_program());
        command.args(agent.get_args()).arg(&rules);
        command.env("TELNET_MONITOR_STATE_DIR", lab.dir().join("state"));
        let mut agent = Agent::start_by(&mut command)?;
        let port = negotiate(lab)?;
        let told = of(&agent.fence(lab)?, port);
        let proofs = told.iter().filter(|d| has_action(d, IDENTIFIED)).count();
        let log = agent.log();
        if log.contains("this process has no CAP_NET_ADMIN") {
            ensure!(proofs == 0 && on_packets(agent.pid())? == 0, "{log}");
        } else {
            // An event for each end.
            ensure!(proofs == 2, "{log}{}", list(&told));
        }
        agent.finish().map(drop)
    })
}
