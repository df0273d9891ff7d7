//! Many logins at once at a server that serves all of them in one process: every user, terminal and
//! command is told of its own session.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use telnet_tests::agent::Agent;
use telnet_tests::check::{get, number, text};
use telnet_tests::house::{House, Login, PASSWORD};
use telnet_tests::lab::{self, Lab};
use telnet_tests::load;
use telnet_tests::net::TcpState;
use telnet_tests::peer::{Telnetd, TelnetdKind};
use telnet_tests::wait::{self, PATIENCE};

use super::{SERVER, agent};

/// Sessions for each login that is open at once: it takes as long as so many, for its processes.
const SESSIONS_PER_LOGIN: usize = 5;
/// Times that two sessions wait in the server's queue together.
const PAIRS: u32 = 10;
const FIRST_USER_ID: u32 = 5_000;

/// One who logs in: a connection without a telnet program, which busybox telnetd takes too.
pub(in super::super) struct Visitor {
    stream: TcpStream,
    number: u32,
    heard: String,
}

impl Visitor {
    pub(in super::super) fn arrive(lab: &Lab, number: u32) -> Result<Self> {
        let stream = lab.net.connect(SERVER)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let heard = String::new();
        Ok(Self {
            stream,
            number,
            heard,
        })
    }

    pub(in super::super) fn port(&self) -> Result<u64> {
        Ok(u64::from(self.stream.local_addr()?.port()))
    }

    fn user(&self) -> String {
        format!("user{}", self.number)
    }

    /// What it runs, which nobody else does.
    fn command(&self) -> String {
        format!("busybox echo mark-{}", self.number)
    }

    /// Waits until the server has sent `question` once more, and returns what came before.
    pub(super) fn hear(&mut self, question: &str) -> Result<String> {
        loop {
            if let Some((before, after)) = self.heard.split_once(question) {
                let before = before.to_owned();
                self.heard = after.to_owned();
                return Ok(before);
            }
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).context(question.to_owned())?;
            if read == 0 {
                bail!(
                    "{} closed before {question:?}: {:?}",
                    self.number,
                    self.heard
                );
            }
            let bytes = bytes.get(..read).unwrap_or_default();
            self.heard.push_str(&String::from_utf8_lossy(bytes));
        }
    }

    fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.stream.write_all(format!("{line}\r").as_bytes())?)
    }

    pub(in super::super) fn answer(&mut self, question: &str, line: &str) -> Result<String> {
        let before = self.hear(question)?;
        self.say(line)?;
        Ok(before)
    }

    pub(in super::super) fn log_in(&mut self) -> Result<()> {
        let user = self.user();
        self.answer("login: ", &user)?;
        self.answer("assword: ", PASSWORD).map(drop)
    }
}

/// Of those who are let in, all at once. Returns the terminal of each.
fn work(visitors: &mut [Visitor]) -> Result<Vec<String>> {
    for visitor in &mut *visitors {
        visitor.hear("$ ")?;
    }
    for visitor in &mut *visitors {
        visitor.say("busybox tty")?;
    }
    let mut terminals = Vec::new();
    for visitor in &mut *visitors {
        let command = visitor.command();
        let said = visitor.answer("$ ", &command)?;
        let name = said
            .split_whitespace()
            .find_map(|word| word.strip_prefix("/dev/"));
        terminals.push(name.with_context(|| said.clone())?.to_owned());
    }
    Ok(terminals)
}

fn leave(visitors: &mut [Visitor]) -> Result<()> {
    for visitor in visitors {
        visitor.answer("$ ", "exit")?;
    }
    Ok(())
}

/// Waits until all who are let in were told of. A user's name is looked up where the user's shell
/// finds it, while it runs: on an emulated machine the agent can be many seconds behind.
fn wait_until_named(agent: &mut Agent, lab: &Lab, visitors: &[Visitor]) -> Result<()> {
    let ports: Result<Vec<u64>> = visitors.iter().map(Visitor::port).collect();
    let mut unnamed: HashSet<u64> = ports?.into_iter().collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        for document in agent.each_of(lab) {
            if text(&document.json, "event.action") == Some("user_login")
                && let Some(port) = number(&document.json, "source.port")
            {
                unnamed.remove(&port);
            }
        }
        // What is missing then is said of the session.
        if unnamed.is_empty() || Instant::now() > deadline {
            return Ok(());
        }
        agent.read_more(deadline);
    }
}

/// Inbound events by action and the client's port; waits until `count` sessions have ended.
fn events(agent: &mut Agent, lab: &Lab, count: usize) -> Result<HashMap<u64, Vec<Arc<Value>>>> {
    let is_inbound = |json: &Value| {
        text(json, "network.direction") == Some("ingress")
            && text(json, "event.kind") == Some("event")
    };
    let is_end =
        |json: &Value| is_inbound(json) && text(json, "event.action") == Some("network_flow");
    let deadline = Instant::now() + PATIENCE;
    // What is missing in the end is said of the session.
    while agent.each_of(lab).filter(|d| is_end(&d.json)).count() < count
        && Instant::now() <= deadline
    {
        agent.read_more(deadline);
    }
    let mut by_port: HashMap<u64, Vec<Arc<Value>>> = HashMap::new();
    for document in agent.each_of(lab).filter(|d| is_inbound(&d.json)) {
        let port = number(&document.json, "source.port").context("no port")?;
        by_port.entry(port).or_default().push(document.json.clone());
    }
    Ok(by_port)
}

/// Whether beginning and end of the session were reported.
fn is_complete(events: &[Arc<Value>]) -> bool {
    let has = |action| {
        let mut actions = events.iter().map(|json| text(json, "event.action"));
        actions.any(|found| found == Some(action))
    };
    has("connection_accepted") && has("network_flow")
}

/// Everything that was told of one session is of this visitor, and of nobody else.
fn is_theirs(events: &[Arc<Value>], visitor: &Visitor, terminal: &str) -> Result<()> {
    let of = |action: &str| -> Vec<&Value> {
        let is_it = |json: &&Value| text(json, "event.action") == Some(action);
        events.iter().map(AsRef::as_ref).filter(is_it).collect()
    };
    let one = |action: &str| match of(action).as_slice() {
        [only] => Ok(*only),
        found => Err(anyhow::anyhow!("{} of {action}", found.len())),
    };
    let id = (FIRST_USER_ID + visitor.number).to_string();
    let command = visitor.command();
    for (json, path, expected) in [
        (one("user_login")?, "user.name", visitor.user().as_str()),
        (one("user_login")?, "user.id", &id),
        (one("user_login")?, "telnet.terminal.name", terminal),
        (one("network_flow")?, "telnet.session.outcome", "login"),
        (
            one("network_flow")?,
            "telnet.login.user.name",
            &visitor.user(),
        ),
        (
            one("network_flow")?,
            "telnet.session.last_command",
            &command,
        ),
    ] {
        let found = text(json, path);
        ensure!(
            found == Some(expected),
            "{path} {found:?}, not {expected:?}\n{json:#}"
        );
    }
    let commands: Vec<_> = of("exec")
        .into_iter()
        .filter_map(|json| text(json, "process.command_line"))
        .collect();
    ensure!(
        commands.len() == 4 && commands.get(2..) == Some(&["busybox tty", command.as_str()]),
        "{commands:?}"
    );
    let survivors = get(one("network_flow")?, "telnet.session.survivors");
    ensure!(survivors.is_none(), "{survivors:?}");
    Ok(())
}

pub(in super::super) fn house(lab: &Lab, users: u32) -> Result<House> {
    let house = House::build(lab, Login::Busybox)?;
    for number in 0..users {
        house.add_user(&format!("user{number}"), FIRST_USER_ID + number)?;
    }
    Ok(house)
}

/// Ends the agent; what it said of itself is in the message of a failure.
fn are_told(mut agent: Agent, lab: &Lab, told: &[(Visitor, String)]) -> Result<()> {
    let outcome = all_theirs(&mut agent, lab, told);
    let ended = agent.stop(Signal::TERM)?;
    outcome.with_context(|| ended.log.clone())?;
    ended.must_be_clean()
}

fn all_theirs(agent: &mut Agent, lab: &Lab, told: &[(Visitor, String)]) -> Result<()> {
    let events = events(agent, lab, told.len())?;
    let mut incomplete = Vec::new();
    for (visitor, terminal) in told {
        let (port, number) = (visitor.port()?, visitor.number);
        match events.get(&port) {
            Some(events) if is_complete(events) => {
                is_theirs(events, visitor, terminal)
                    .with_context(|| format!("visitor {number}, port {port}"))?;
            }
            Some(_) | None => incomplete.push((number, port)),
        }
    }
    // For these the kernel ran no program. Whatever is told must be right all the same.
    let withheld = lab.withheld_ports()?;
    incomplete.retain(|(_, port)| !withheld.iter().any(|one| u64::from(*one) == *port));
    ensure!(
        incomplete.is_empty(),
        "nothing, or no end, of {incomplete:?}"
    );
    Ok(())
}

#[test]
fn logins_that_are_open_at_once_are_told_apart() -> Result<()> {
    let logins = u32::try_from(load::sessions()?.div_ceil(SESSIONS_PER_LOGIN))?;
    lab::live_alone(|lab| {
        let mut agent = agent(lab)?;
        let house = house(lab, logins)?;
        let _server = Telnetd::start_in(lab, &house, TelnetdKind::Busybox, SERVER, &[])?;
        // The server lets nobody ask for long, and has room for two in its queue.
        let mut visitors = thread::scope(|scope| {
            let visitors: Result<Vec<_>> = (0..logins)
                .map(|number| {
                    let mut visitor = Visitor::arrive(lab, number)?;
                    Ok(scope.spawn(move || visitor.log_in().map(|()| visitor)))
                })
                .collect();
            let joined = visitors?.into_iter().map(|visitor| match visitor.join() {
                Ok(visitor) => visitor,
                Err(_panic) => bail!("a visitor panicked"),
            });
            joined.collect::<Result<Vec<_>>>()
        })?;
        let terminals = work(&mut visitors)?;
        wait_until_named(&mut agent, lab, &visitors)?;
        leave(&mut visitors)?;
        let told: Vec<_> = visitors.into_iter().zip(terminals).collect();
        are_told(agent, lab, &told)
    })
}

/// The server stands still while both arrive, and accepts them one right after the other.
#[test]
fn logins_that_arrive_together_are_told_apart() -> Result<()> {
    lab::live(|lab| {
        let mut agent = agent(lab)?;
        let house = house(lab, 2 * PAIRS)?;
        let server = Telnetd::start_in(lab, &house, TelnetdKind::Busybox, SERVER, &[])?;
        let pid = telnet_tests::process::pid(server.pid())?;
        let mut told = Vec::new();
        for pair in 0..PAIRS {
            kill_process(pid, Signal::STOP)?;
            let numbers = [2 * pair, 2 * pair + 1];
            let both: Result<Vec<Visitor>> = numbers
                .into_iter()
                .map(|number| Visitor::arrive(lab, number))
                .collect();
            let mut both = both?;
            wait_until_queued(lab, &both)?;
            kill_process(pid, Signal::CONT)?;
            for visitor in &mut both {
                visitor.log_in()?;
            }
            let terminals = work(&mut both)?;
            wait_until_named(&mut agent, lab, &both)?;
            leave(&mut both)?;
            told.extend(both.into_iter().zip(terminals));
        }
        are_told(agent, lab, &told)
    })
}

/// Their handshakes are over, and nobody has accepted them.
fn wait_until_queued(lab: &Lab, visitors: &[Visitor]) -> Result<()> {
    for visitor in visitors {
        let client: SocketAddr = visitor.stream.local_addr()?;
        wait::until("a session in the queue", || {
            let sockets = lab.net.sockets()?;
            let waits = sockets.iter().any(|socket| {
                socket.local == SERVER
                    && socket.remote == client
                    && socket.state == TcpState::Established
                    && socket.inode == 0
            });
            Ok(waits.then_some(()))
        })?;
    }
    Ok(())
}
