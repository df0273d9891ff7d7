//! Every way in which a session can go: what is reported, and who is named.

mod acts;
mod rows;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rows::{Row, rows};
use rustix::process::{Pid, Signal, kill_process};
use telnet_tests::agent::{Agent, Document, list};
use telnet_tests::check::{get, number, text};
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::peer::Scripted;

/// Addresses that loopback swallows: nobody answers, nobody refuses.
const SILENT: &str = "198.51.100.0/24";
/// The test's end of a wire with no other host on it: connections there are unreachable.
const WIRE: &str = "198.18.0.1/24";
/// Addresses that this host may not send to.
const FORBIDDEN: &str = "198.19.0.0/24";
/// How long a row's last event may be under way: the kernel closes MPTCP sockets in the
/// background.
const SETTLE: Duration = Duration::from_secs(10);

/// Two processes and the agent that watches them.
struct Stage<'a> {
    lab: &'a Lab,
    /// Absent when only the ends are tried.
    agent: Option<&'a mut Agent>,
    server: Scripted,
    client: Scripted,
    address: SocketAddr,
}

impl<'a> Stage<'a> {
    fn open(lab: &'a Lab, agent: Option<&'a mut Agent>) -> Result<Self> {
        Ok(Self {
            lab,
            agent,
            server: Scripted::start(lab, "server")?,
            client: Scripted::start(lab, "client")?,
            address: SocketAddr::new(V4, 23),
        })
    }

    /// An event or alert as a row of the table writes it.
    fn describe(&self, document: &Document) -> String {
        let json = &document.json;
        let field = |path| text(json, path).unwrap_or("-");
        let direction = field("network.direction");
        if field("event.kind") == "signal" {
            return format!("alert {direction}");
        }
        let who = match number(json, "process.pid") {
            Some(pid) if pid == u64::from(self.server.pid()) => "server".to_owned(),
            Some(pid) if pid == u64::from(self.client.pid()) => "client".to_owned(),
            Some(pid) => format!("process {pid}"),
            None => "nobody".to_owned(),
        };
        let why = text(json, "error.code")
            .or(text(json, "event.reason"))
            .unwrap_or("-");
        format!(
            "{direction} {} {} {why} {who}",
            field("event.action"),
            field("event.outcome")
        )
    }
}

/// The sessions' documents after the first `before`, once there are `count` or it does not
/// look as if there ever will be.
fn documents_since(
    agent: &mut Agent,
    lab: &Lab,
    before: usize,
    count: usize,
) -> Result<Vec<Document>> {
    let sessions = |agent: &Agent| {
        let mut documents = agent.of(lab).split_off(before);
        // Listeners have events of their own, which are not what a row is about.
        documents.retain(|d| get(&d.json, "source").is_some());
        documents
    };
    let deadline = Instant::now() + SETTLE;
    while sessions(agent).len() < count && Instant::now() < deadline {
        agent.read_more(deadline);
    }
    agent.fence(lab)?;
    Ok(sessions(agent))
}

fn play(row: &Row, lab: &Lab, agent: &mut Agent) -> Result<()> {
    let before = agent.fence(lab)?.len();
    let mut stage = Stage::open(lab, Some(agent))?;
    (row.act)(&mut stage)?;
    let agent = stage.agent.take().context("the row needs the agent")?;
    let documents = documents_since(agent, lab, before, row.expected.len())?;
    let mut found: Vec<String> = documents.iter().map(|d| stage.describe(d)).collect();
    let mut expected: Vec<&str> = row.expected.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    ensure!(
        found == expected,
        "expected\n  {}\nfound\n  {}\nin\n{}",
        expected.join("\n  "),
        found.join("\n  "),
        list(&documents)
    );
    Ok(())
}

fn prepare(lab: &Lab) -> Result<()> {
    // A wire with nobody at its other end.
    lab.net.ip(&["link", "add", "wire", "type", "veth"])?;
    lab.net.ip(&["link", "set", "wire", "up"])?;
    lab.net.ip(&["link", "set", "veth0", "up"])?;
    lab.net.ip(&["addr", "add", WIRE, "dev", "wire"])?;
    lab.net
        .set_sysctl("net/ipv4/neigh/wire/mcast_solicit", "1")?;
    lab.net
        .set_sysctl("net/ipv4/neigh/wire/retrans_time_ms", "50")?;
    lab.net.ip(&["route", "add", SILENT, "dev", "lo"])?;
    lab.net.ip(&["route", "add", "prohibit", FORBIDDEN])?;
    lab.net.set_sysctl("net/ipv4/tcp_syn_retries", "1")?;
    // Client and server side, for every listener, without a cookie first.
    lab.net.set_sysctl("net/ipv4/tcp_fastopen", "1543")
}

#[test]
fn harness_plays_every_sequence_without_the_agent() -> Result<()> {
    lab::harness(|lab| {
        prepare(lab)?;
        for row in rows()? {
            let mut stage = Stage::open(lab, None)?;
            (row.act)(&mut stage).context(row.name)?;
        }
        Ok(())
    })
}

#[test]
fn every_sequence_is_reported_as_what_it_was() -> Result<()> {
    lab::live_alone(|lab| {
        prepare(lab)?;
        // The shipped rule caps its alerts below what this test makes.
        let query = "destination.port:23 and not event.action:(denied or timeout or \
                     flow_dropped or flow_terminated or deny or network_flow)";
        let rules = lab.write("uncapped.toml", &super::rule_file(query))?;
        let rules = rules.display().to_string();
        let mut agent = Agent::start(lab, ["--rules", &rules, "--emit", "all"])?;
        let mut failures = Vec::new();
        for row in rows()? {
            if let Err(error) = play(&row, lab, &mut agent).context(row.name) {
                failures.push(format!("{error:#}"));
            }
        }
        if !failures.is_empty() {
            let log = agent.stop(Signal::TERM)?.log;
            bail!("{}\n\nthe agent said\n{log}", failures.join("\n\n"));
        }

        let mut ids = HashSet::new();
        for document in agent.of(lab) {
            let path = if get(&document.json, "kibana").is_some()
                || text(&document.json, "event.kind") == Some("signal")
            {
                "kibana.alert.uuid"
            } else {
                "event.id"
            };
            let id = text(&document.json, path)
                .with_context(|| format!("no {path} in {:#}", document.json))?;
            ensure!(ids.insert(id.to_owned()), "{path} {id} came twice");
        }
        agent.finish().map(drop)
    })
}

/// A look at all sockets, as after each loss and now and then, must not take a handshake for over
/// whose socket got its local port after the change of state that told of it.
#[test]
fn a_handshake_outlasts_a_look_at_all_sockets() -> Result<()> {
    lab::live(|lab| {
        prepare(lab)?;
        let write = |query| lab.write("rules.toml", &super::rule_file(query));
        let rules = write("destination.port:23")?.display().to_string();
        let mut agent = Agent::start(lab, ["--rules", &rules, "--emit", "events"])?;
        let mut client = Scripted::start(lab, "client")?;
        let socket = client.open(&format!("connect-nonblocking {}", acts::silent()))?;
        // Other ports: what is open on them has to be looked for.
        write("destination.port:(23 or 2323)")?;
        let pid = Pid::from_raw(agent.pid().cast_signed()).context("pid 0")?;
        kill_process(pid, Signal::HUP)?;
        agent.wait_for_log("INFO reloaded", 1)?;
        client.with("close", socket)?;
        let end = agent.wait_for(lab, "the end of the handshake", |json| {
            text(json, "event.action") == Some("flow_terminated")
        })?;
        ensure!(
            number(&end.json, "process.pid") == Some(client.pid().into()),
            "{}",
            list(&[end])
        );
        agent.finish().map(drop)
    })
}
