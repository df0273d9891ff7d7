//! The agent of the soak: its configuration, its faults, and what it holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use jiff::Timestamp;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use telnet_tests::agent::Agent;
use telnet_tests::check::{number, text};
use telnet_tests::lab::{Lab, V4};
use telnet_tests::process::pid;
use telnet_tests::search::SearchServer;
use telnet_tests::syslogd::free_port;

use super::super::{RULE_NAME, rule_file};
use super::traffic::PORTS;

/// Too small for the burst of sessions that comes while nobody reads it: a session makes about a
/// kilobyte of records.
const RING: &str = "32768";

/// What an alert is about: the end of a session, as the direction that is seen from there, and the
/// client's port.
pub(super) type About = (String, u16);

/// What a process has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holdings {
    /// Resident memory in kibibytes (`VmRSS`, `proc_pid_status(5)`).
    pub(super) resident: u64,
    /// Open files.
    pub(super) files: usize,
    /// Threads.
    pub(super) threads: usize,
}

/// The agent, and where its alerts go.
pub(super) struct Subject<'a> {
    lab: &'a Lab,
    agent: Option<Agent>,
    /// The log of the one that ended last.
    last_log: String,
    config: PathBuf,
    search: SearchServer,
    /// Reloads of the running agent that it took, and those that it refused.
    reloads: (usize, usize),
    /// Times that the running agent had no search server.
    outages: usize,
}

impl<'a> Subject<'a> {
    pub(super) fn start(lab: &'a Lab) -> Result<Self> {
        let [one, other] = PORTS;
        let rules = lab.dir().join("rules");
        fs::create_dir(&rules)?;
        // One for each direction: a rule makes at most a thousand alerts at a time.
        for (index, direction) in ["ingress", "egress"].into_iter().enumerate() {
            let query = format!(
                "destination.ip:{V4} and destination.port:({one} or {other}) and \
                 network.direction:{direction} and \
                 event.action:(connection_accepted or connection_established)"
            );
            let rule = rule_file(&query)
                .replace("0f2323", &format!("{index:06}"))
                .replace(RULE_NAME, &format!("{RULE_NAME}, {direction}"));
            fs::write(rules.join(format!("{direction}.toml")), rule)?;
        }
        let port = free_port()?;
        let config = format!(
            "[rules]\npaths = [\"{}\"]\n[spool]\ndir = \"{}\"\n\
             [[sinks]]\ntype = \"stdout\"\nstreams = [\"health\"]\n\
             [[sinks]]\ntype = \"elasticsearch\"\nstreams = [\"alerts\"]\ncompress = false\n\
             nodes = [\"http://127.0.0.1:{port}\"]\nbackoff_max = \"2s\"\n",
            rules.display(),
            lab.dir().join("spool").display(),
        );
        let mut subject = Self {
            lab,
            agent: None,
            last_log: String::new(),
            config: lab.write("config.toml", &config)?,
            search: SearchServer::start(port)?,
            reloads: (0, 0),
            outages: 0,
        };
        subject.begin()?;
        Ok(subject)
    }

    /// Starts the agent after [`Self::end`] or [`Self::kill`].
    pub(super) fn begin(&mut self) -> Result<()> {
        let arguments = [Path::new("-c"), &self.config];
        let ring = ["--ring-bytes", RING].map(Path::new);
        let agent = Agent::start(self.lab, arguments.into_iter().chain(ring))?;
        self.agent = Some(agent);
        self.reloads = (0, 0);
        self.outages = 0;
        Ok(())
    }

    /// Ends it as a service manager does. Its ledgers must add up, and tell that the ring buffer was
    /// too small.
    pub(super) fn end(&mut self) -> Result<()> {
        let agent = self.agent.take().context("no agent")?;
        let ended = agent.finish()?;
        self.last_log.clone_from(&ended.log);
        ensure!(ended.ledger()?.dropped() > 0, "no loss:\n{}", ended.log);
        Ok(())
    }

    /// Ends it as the kernel does that runs out of memory.
    pub(super) fn kill(&mut self) -> Result<()> {
        let agent = self.agent.take().context("no agent")?;
        self.last_log = agent.stop(Signal::KILL)?.log;
        Ok(())
    }

    /// Reloads rules that are as they were.
    pub(super) fn reload(&mut self) -> Result<()> {
        self.reloads.0 += 1;
        self.hang_up()?;
        self.agent()?.wait_for_log("INFO reloaded", self.reloads.0)
    }

    /// Asks for a configuration that is broken, which it must not take.
    pub(super) fn reload_badly(&mut self) -> Result<()> {
        let good = fs::read_to_string(&self.config)?;
        fs::write(&self.config, "[rulez]\n")?;
        self.reloads.1 += 1;
        self.hang_up()?;
        let told = self.agent()?.wait_for_log("not reloaded", self.reloads.1);
        fs::write(&self.config, good)?;
        told
    }

    /// The search server hangs up on everybody while `action` runs, and until the agent says so.
    pub(super) fn without_search_server(
        &mut self,
        action: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.outages += 1;
        self.search.set_down(true);
        let told = action().and_then(|()| {
            self.agent()?
                .wait_for_log("sink does not work", self.outages)
        });
        self.search.set_down(false);
        told
    }

    /// Keeps it from reading the ring buffer while `action` runs.
    pub(super) fn without_reader(&self, action: impl FnOnce() -> Result<()>) -> Result<()> {
        let pid = pid(self.agent()?.pid())?;
        kill_process(pid, Signal::STOP)?;
        let done = action();
        kill_process(pid, Signal::CONT)?;
        done
    }

    pub(super) fn search(&self) -> &SearchServer {
        &self.search
    }

    /// How many alerts arrived about what.
    pub(super) fn alerts(&self) -> BTreeMap<About, usize> {
        let mut found = BTreeMap::new();
        for about in self.search.each(about) {
            *found.entry(about).or_default() += 1;
        }
        found
    }

    /// How many documents say that they were made after `time`.
    pub(super) fn made_after(&self, time: Timestamp) -> Result<usize> {
        let is_after = |document: &Value| {
            let made = text(document, "@timestamp").context("no @timestamp")?;
            anyhow::Ok(made.parse::<Timestamp>()? > time)
        };
        let is_after: Result<Vec<_>> = self
            .search
            .each(|document| Some(is_after(document)))
            .into_iter()
            .collect();
        Ok(is_after?.into_iter().filter(|is_after| *is_after).count())
    }

    /// What the agent has now.
    pub(super) fn holdings(&self) -> Result<Holdings> {
        let process = PathBuf::from(format!("/proc/{}", self.agent()?.pid()));
        let status = fs::read_to_string(process.join("status"))?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .context("no VmRSS")?;
        let count = |folder| anyhow::Ok(fs::read_dir(process.join(folder))?.count());
        Ok(Holdings {
            resident: resident.parse()?,
            files: count("fd")?,
            threads: count("task")?,
        })
    }

    /// The error, and what the agent says of itself: its log to the end, where it counts what it could
    /// not do, after that of the one before it, and its last heartbeat.
    pub(super) fn explain(&mut self, error: &Error) -> Error {
        let ended = self.agent.take().map(|agent| agent.stop(Signal::TERM));
        let last_words = match ended {
            Some(Ok(ended)) => {
                let heartbeat = ended.stdout.lines().last().unwrap_or_default();
                format!("{}{heartbeat}", ended.log)
            }
            Some(Err(unread)) => format!("its end: {unread:#}"),
            None => String::new(),
        };
        anyhow!("{error:#}\n{}{last_words}", self.last_log)
    }

    fn hang_up(&self) -> Result<()> {
        Ok(kill_process(pid(self.agent()?.pid())?, Signal::HUP)?)
    }

    fn agent(&self) -> Result<&Agent> {
        self.agent.as_ref().context("no agent")
    }
}

fn about(document: &Value) -> Option<About> {
    text(document, "kibana.alert.uuid")?;
    let direction = text(document, "network.direction")?.to_owned();
    let port = number(document, "source.port")?;
    Some((direction, port.try_into().ok()?))
}
