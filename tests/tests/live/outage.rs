//! Thousands of alerts while what they go to is down, and the agent killed five times.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use telnet_tests::agent::{ALL, Agent};
use telnet_tests::check::{get, text};
use telnet_tests::kernel;
use telnet_tests::lab::{self, Lab, V4};
use telnet_tests::load;
use telnet_tests::peer::{Server, ServerKind};
use telnet_tests::process::Spawned;
use telnet_tests::search::SearchServer;
use telnet_tests::syslogd::{Input, Syslogd, free_port};
use telnet_tests::{tools, wait};

use super::{RULE_NAME, rule_file};

const TELNET: SocketAddr = SocketAddr::new(V4, 23);
const KILLS: usize = 5;
const RULES: usize = 50;
/// Of the sessions that a test with many of them opens, those before each kill.
const SESSIONS_SHARE: usize = 50;

/// How much there is to deliver: ten thousand alerts where others open a thousand sessions.
#[derive(Clone, Copy)]
struct Load {
    /// Before each kill; each has two ends.
    sessions: usize,
    alerts: usize,
}

impl Load {
    fn get() -> Result<Self> {
        let sessions = load::sessions()?.div_ceil(SESSIONS_SHARE);
        Ok(Self {
            sessions,
            alerts: KILLS * sessions * 2 * RULES,
        })
    }
}

/// For ten thousand alerts by an unoptimised agent.
fn long() -> Duration {
    Duration::from_mins(if load::is_emulated() { 12 } else { 4 })
}

/// A folder of rules that each alert on every session.
fn rules(lab: &Lab) -> Result<String> {
    let folder = lab.dir().join("rules");
    fs::create_dir(&folder)?;
    let ours = format!("destination.ip:{V4} and destination.port:23");
    let rule = rule_file(&format!(
        "{ours} and event.action:(connection_accepted or connection_established)"
    ));
    for index in 0..RULES {
        let text = rule
            .replace("0f2323", &format!("{index:06}"))
            .replace(RULE_NAME, &format!("{RULE_NAME} {index}"));
        fs::write(folder.join(format!("{index}.toml")), text)?;
    }
    Ok(folder.display().to_string())
}

fn many(lab: &Lab, sessions: usize) -> Result<Spawned> {
    let mut command = tools::peer()?.command();
    command.args(["many", &TELNET.to_string(), &sessions.to_string()]);
    Spawned::start("clients", Some(&lab.net), &mut command)
}

/// Some number below `limit`, another one each time.
fn any_below(limit: usize) -> Result<usize> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(usize::try_from(now.subsec_nanos())? % limit)
}

/// The last agent, and the sessions that are open until this is dropped.
struct Survivor<T> {
    agent: Agent,
    other_end: T,
    _clients: Vec<Spawned>,
    _server: Server,
}

/// Makes sessions and kills the agent somewhere in the middle of their alerts, again and again;
/// then `begin`s the other end, and starts an agent that is left alone.
fn outage<T>(
    lab: &Lab,
    sessions: usize,
    sink: &str,
    begin: impl FnOnce() -> Result<T>,
) -> Result<Survivor<T>> {
    let config = format!(
        "[rules]\npaths = [\"{}\"]\n[spool]\ndir = \"{}\"\n\
         [[sinks]]\ntype = \"stdout\"\nstreams = [\"events\"]\n{sink}",
        rules(lab)?,
        lab.dir().join("spool").display()
    );
    let config = lab.write("config.toml", &config)?.display().to_string();
    let arguments = ["-c", &config, ALL];
    let server = Server::start(lab, ServerKind::Threads, TELNET, 1)?;
    let mut clients = Vec::new();
    for round in 1..=KILLS {
        let mut agent = Agent::start(lab, arguments)?.with_patience(8);
        let connected = many(lab, sessions)?;
        // The alerts of an event are made with it: some are out by then and some are not.
        let random = 1 + any_below(2 * sessions)?;
        let seen = Cell::new(0);
        agent.wait_for(lab, "some of the events", |json| {
            let is_open = matches!(
                text(json, "event.action"),
                Some("connection_accepted" | "connection_established")
            );
            if is_open && get(json, "telnet.session.preexisting").is_none() {
                seen.set(seen.get() + 1);
            }
            seen.get() == random
        })?;
        agent.stop(Signal::KILL)?;
        connected.wait_for_output("all connected")?;
        server.all_served(round * sessions)?;
        clients.push(connected);
    }
    let other_end = begin()?;
    Ok(Survivor {
        agent: Agent::start(lab, arguments)?.with_patience(8),
        other_end,
        _clients: clients,
        _server: server,
    })
}

/// What an alert is about: its rule, and the end of a session. Nothing for the records of what a
/// rule's cap held back.
fn about(document: &Value) -> Option<[Option<String>; 3]> {
    get(document, "kibana.alert.uuid")?;
    let fields = ["rule.name", "network.direction", "source.port"];
    Some(fields.map(|path| get(document, path).map(ToString::to_string)))
}

#[test]
fn a_search_server_has_each_alert_once_after_an_outage_and_five_kills() -> Result<()> {
    let load = Load::get()?;
    lab::live_alone(|lab| {
        let (port, alerts) = (free_port()?, load.alerts);
        let sink = format!(
            "[[sinks]]\ntype = \"elasticsearch\"\nstreams = [\"alerts\"]\ncompress = false\n\
             nodes = [\"http://127.0.0.1:{port}\"]\nbackoff_max = \"5s\"\n"
        );
        let survivor = outage(lab, load.sessions, &sink, || SearchServer::start(port))?;
        let Survivor {
            agent,
            other_end: search,
            ..
        } = survivor;
        wait::until_after("all alerts", long(), || {
            let may_be_all = search.count() >= alerts;
            Ok((may_be_all && search.each(about).len() >= alerts).then_some(()))
        })
        .with_context(|| format!("{} of {alerts}", search.each(about).len()))?;
        agent.finish()?;
        let complaints = search.complaints();
        ensure!(complaints.is_empty(), "{complaints:?}");
        let found = search.each(about);
        let count = found.len();
        let all: BTreeSet<_> = found.into_iter().collect();
        ensure!(
            all.len() == alerts,
            "{} ends and rules, not {alerts}",
            all.len()
        );
        // The next run names a session whose opening it does not know by its cookie, or by when it
        // found it: what was delivered and not noted before a kill has another id then.
        let most = alerts + alerts / 10;
        let is_repeated = kernel::lacks("socket_cookies") && (alerts..=most).contains(&count);
        ensure!(
            count == alerts || is_repeated,
            "{count} alerts, not {alerts}"
        );
        Ok(())
    })
}

#[test]
fn rsyslog_has_each_alert_after_an_outage_and_five_kills() -> Result<()> {
    let load = Load::get()?;
    lab::live_alone(|lab| {
        let (port, alerts) = (free_port()?, load.alerts);
        let sink = format!(
            "[[sinks]]\ntype = \"syslog\"\nstreams = [\"alerts\"]\n\
             address = \"tcp://127.0.0.1:{port}\"\n"
        );
        let survivor = outage(lab, load.sessions, &sink, || {
            Syslogd::start(lab, &Input::Tcp(port))
        })?;
        let Survivor {
            agent,
            other_end: syslogd,
            ..
        } = survivor;
        let ids = || -> Result<BTreeSet<String>> {
            let messages = syslogd.messages()?;
            let id =
                |(_, json): &(String, Value)| text(json, "kibana.alert.uuid").map(str::to_owned);
            Ok(messages.iter().filter_map(id).collect())
        };
        wait::until_after("all alerts", long(), || {
            Ok((syslogd.count()? >= alerts && ids()?.len() >= alerts).then_some(()))
        })?;
        agent.finish()?;
        syslogd.stop()?;
        Ok(())
    })
}
