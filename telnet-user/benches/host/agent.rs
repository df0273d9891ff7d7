//! The whole agent: how late its documents are, and how much memory it takes.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;

use crate::{subjects, traffic, traffic::Held};

/// How late documents are at one rate of sessions.
#[derive(Debug)]
pub(crate) struct Latency {
    /// Sessions wanted, and reached, per second.
    pub(crate) wanted: u32,
    pub(crate) reached: f64,
    /// From kernel time to the written line: median, 99th percentile and longest, in milliseconds.
    pub(crate) events: Option<[f64; 3]>,
    pub(crate) alerts: Option<[f64; 3]>,
    /// Inbound sessions that the kernel's own counter has, and that have an event.
    pub(crate) opened: u64,
    pub(crate) reported: u64,
}

/// Rules with which an agent reports the servers' ends of sessions alone: on one host, where a
/// benchmark has both, it would hold twice as many.
const INBOUND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/host/inbound.toml");

/// Resident memory in MiB.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) start_to_monitoring: Duration,
    pub(crate) rest: f64,
    /// With this many sessions open, of whose servers' ends so many were reported.
    pub(crate) open: Vec<(usize, usize, f64)>,
    pub(crate) flood: f64,
}

struct Agent {
    child: Child,
    lines: mpsc::Receiver<(Timestamp, String)>,
    started: Duration,
}

impl Agent {
    fn start(words: &[&str]) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let mut child = subjects::agent(&["--format", "ndjson", "--emit", "all"])?
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the agent")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let mut log = BufReader::new(stderr);
        let mut line = String::new();
        while !line.contains("monitoring") {
            let before = std::mem::take(&mut line);
            if log.read_line(&mut line)? == 0 {
                anyhow::bail!("the agent ended: {}: {before}", child.wait()?);
            }
        }
        let started = begun.elapsed();
        thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send((Timestamp::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            started,
        })
    }

    fn resident(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).context(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: f64 = kib.context("no VmRSS")?.trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// Reads until this many ends of sessions are reported open, or no more come; their number.
    fn opened(&self, wanted: usize) -> usize {
        /// What was lost in a burst is found within ten seconds.
        const PATIENCE: Duration = Duration::from_secs(15);
        let is_opening = |line: &str| {
            !line.contains("\"original_time\":")
                && (line.contains("\"action\":\"connection_accepted\"")
                    || line.contains("\"action\":\"connection_established\""))
        };
        let mut found = 0;
        while found < wanted
            && let Ok((_, line)) = self.lines.recv_timeout(PATIENCE)
        {
            found += usize::from(is_opening(&line));
        }
        found
    }

    /// Ends it; the lines it wrote, and when.
    fn stop(mut self) -> anyhow::Result<Vec<(Timestamp, String)>> {
        let pid = i32::try_from(self.child.id()).ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("a process id")?, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(self.lines.iter().collect())
    }
}

/// Latencies at 10, 1,000 and 10,000 sessions per second.
pub(crate) fn latencies(millis: u64) -> anyhow::Result<Vec<Latency>> {
    [10, 1_000, 10_000]
        .into_iter()
        .map(|wanted| {
            println!("latency at {wanted} sessions per second");
            latency(wanted, millis)
        })
        .collect()
}

fn latency(wanted: u32, millis: u64) -> anyhow::Result<Latency> {
    let agent = Agent::start(&[])?;
    let load = traffic::run(&["paced", "23", &wanted.to_string(), &millis.to_string()])?;
    // Sessions wait 100 ms at most for their acceptor.
    thread::sleep(Duration::from_millis(500));
    let (mut events, mut alerts) = (Vec::new(), Vec::new());
    for (read, line) in agent.stop()? {
        if let Some(time) = field(&line, "\"original_time\":\"") {
            alerts.extend(late(time, read));
        } else if line.contains("\"action\":\"connection_accepted\"") {
            events.extend(field(&line, "\"@timestamp\":\"").and_then(|time| late(time, read)));
        }
    }
    let reported = u64::try_from(events.len())?;
    Ok(Latency {
        wanted,
        reached: traffic::number(&load, "connections")? / traffic::number(&load, "seconds")?,
        events: percentiles(events),
        alerts: percentiles(alerts),
        opened: load
            .get("passive_opens")
            .and_then(serde_json::Value::as_u64)
            .context("no passive opens")?,
        reported,
    })
}

fn field<'l>(line: &'l str, start: &str) -> Option<&'l str> {
    line.split_once(start)?.1.split('"').next()
}

/// Milliseconds from what happened to its line.
fn late(time: &str, read: Timestamp) -> Option<f64> {
    let time: Timestamp = time.parse().ok()?;
    Some(read.duration_since(time).as_secs_f64() * 1e3)
}

fn percentiles(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |percent: usize| values.get(last * percent / 100).copied();
    Some([at(50)?, at(99)?, at(100)?])
}

/// Memory at rest, with open sessions, and while as many sessions come as one thread can make.
pub(crate) fn memory() -> anyhow::Result<Memory> {
    let agent = Agent::start(&[])?;
    thread::sleep(Duration::from_secs(1));
    let (start_to_monitoring, rest) = (agent.started, agent.resident()?);
    agent.stop()?;
    let mut open = Vec::new();
    for sessions in [10, 1_000, 10_000, 100_000] {
        println!("memory with {sessions} open sessions");
        let agent = Agent::start(&["--rules", INBOUND])?;
        let held = Held::open(23, sessions)?;
        let reported = agent.opened(sessions);
        open.push((sessions, reported, agent.resident()?));
        drop(held);
        agent.stop()?;
    }
    println!("memory under a flood");
    let agent = Agent::start(&[])?;
    let flood = thread::spawn(|| traffic::run(&["rate", "23", "5000"]));
    let mut most: f64 = 0.0;
    while !flood.is_finished() {
        most = most.max(agent.resident()?);
        thread::sleep(Duration::from_millis(50));
    }
    agent.stop()?;
    Ok(Memory {
        start_to_monitoring,
        rest,
        open,
        flood: most,
    })
}
