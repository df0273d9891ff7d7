//! Rounds of measurements, and what they come to.

use std::{collections::BTreeMap, fs};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    subjects::{self, Running, Subject},
    traffic,
};

/// Port of connections that no rule is about, and of those that one is.
pub(crate) const PORTS: [(&str, u16); 2] = [("not matching", 2_399), ("every one matches", 23)];
/// State changes of one connection of the load: two of the client, four of the server's side.
const CHANGES: f64 = 6.0;

/// Median, and the quartiles around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of values in any order; none of no values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |quarter: usize| values.get(last * quarter / 4).copied();
        Some(Self {
            low: at(1)?,
            median: at(2)?,
            high: at(3)?,
        })
    }
}

/// What a subject costs on one kind of traffic.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) subject: Subject,
    pub(crate) traffic: &'static str,
    /// Connections per second.
    pub(crate) rate: Spread,
    /// The same, to no probe in the same round.
    pub(crate) ratio: Spread,
    /// Nanoseconds that a state change takes longer than without any probe.
    pub(crate) added: Spread,
    /// CPU seconds of the subject's own process for 100,000 connections.
    pub(crate) cpu: Option<Spread>,
    /// Nanoseconds of a program run, as the kernel measures it (`bpf_stats`).
    pub(crate) run: Option<f64>,
    /// What the probe counted in all rounds, with what the kernel's own counters say.
    pub(crate) ledger: Option<Books>,
}

/// Accounts of one subject over all rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Books {
    pub(crate) connections: u64,
    pub(crate) active_opens: u64,
    pub(crate) passive_opens: u64,
    pub(crate) submitted: u64,
    pub(crate) received: u64,
    pub(crate) dropped: u64,
}

/// All measurements.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    pub(crate) rows: Vec<Row>,
    /// Subjects that cannot run here, and why.
    pub(crate) absent: Vec<(Subject, String)>,
}

#[derive(Debug, Default)]
struct Samples {
    rates: Vec<f64>,
    ratios: Vec<f64>,
    added: Vec<f64>,
    cpu: Vec<f64>,
    books: Books,
}

/// Measures every subject in `rounds` rounds of `millis` milliseconds for each kind of traffic.
pub(crate) fn measure(rounds: usize, millis: u64) -> anyhow::Result<Cost> {
    let mut present = Vec::new();
    let mut absent = Vec::new();
    for subject in subjects::ALL {
        match Running::start(subject).and_then(Running::stop) {
            Ok(_) => present.push(subject),
            Err(error) => absent.push((subject, format!("{error:#}"))),
        }
    }
    let mut samples: BTreeMap<(usize, usize), Samples> = BTreeMap::new();
    for round in 0..rounds {
        println!("round {} of {rounds}", round + 1);
        for (kind, (_, port)) in PORTS.iter().enumerate() {
            let mut measured = Vec::new();
            for step in 0..present.len() {
                let index = (round + step) % present.len();
                if let Some(subject) = present.get(index) {
                    measured.push((index, one(*subject, *port, millis)?));
                }
            }
            let baseline = measured.iter().find(|(index, _)| *index == 0);
            let baseline = baseline.map(|(_, one)| one.rate).context("no baseline")?;
            for (index, one) in measured {
                samples
                    .entry((kind, index))
                    .or_default()
                    .take(&one, baseline);
            }
        }
    }
    let runs = run_times(&present, millis)?;
    let mut rows = Vec::new();
    for ((kind, index), samples) in samples {
        let subject = present.get(index).copied().context("a subject")?;
        let (traffic, _) = PORTS.get(kind).copied().context("a kind of traffic")?;
        let run = runs.iter().find(|(s, k, _)| *s == subject && *k == kind);
        rows.push(samples.row(subject, traffic, run.map(|(_, _, run)| *run))?);
    }
    Ok(Cost {
        rounds,
        millis,
        rows,
        absent,
    })
}

impl Samples {
    fn take(&mut self, one: &One, baseline: f64) {
        self.rates.push(one.rate);
        self.ratios.push(one.rate / baseline);
        self.added.push((1e9 / one.rate - 1e9 / baseline) / CHANGES);
        self.cpu.extend(one.cpu);
        let Books {
            connections,
            active_opens,
            passive_opens,
            submitted,
            received,
            dropped,
        } = &mut self.books;
        *connections += one.books.connections;
        *active_opens += one.books.active_opens;
        *passive_opens += one.books.passive_opens;
        *submitted += one.books.submitted;
        *received += one.books.received;
        *dropped += one.books.dropped;
    }

    fn row(self, subject: Subject, traffic: &'static str, run: Option<f64>) -> anyhow::Result<Row> {
        let none = "a round";
        Ok(Row {
            subject,
            traffic,
            rate: Spread::of(self.rates).context(none)?,
            ratio: Spread::of(self.ratios).context(none)?,
            added: Spread::of(self.added).context(none)?,
            cpu: Spread::of(self.cpu),
            run,
            ledger: (subject == Subject::Probe).then_some(self.books),
        })
    }
}

#[derive(Debug)]
struct One {
    rate: f64,
    cpu: Option<f64>,
    books: Books,
    said: Option<Value>,
}

fn one(subject: Subject, port: u16, millis: u64) -> anyhow::Result<One> {
    let running = Running::start(subject)?;
    let before = running.pid().map(cpu_seconds).transpose()?;
    let load = traffic::run(&["rate", &port.to_string(), &millis.to_string()])?;
    let after = running.pid().map(cpu_seconds).transpose()?;
    let said = running.stop()?;
    let connections = traffic::number(&load, "connections")?;
    let count = |said: &Value, name: &str| said.get(name).and_then(Value::as_u64).unwrap_or(0);
    let of_probe = |name| said.as_ref().map_or(0, |said| count(said, name));
    Ok(One {
        rate: connections / traffic::number(&load, "seconds")?,
        cpu: before
            .zip(after)
            .map(|(before, after)| (after - before) / connections * 1e5),
        books: Books {
            connections: count(&load, "connections"),
            active_opens: count(&load, "active_opens"),
            passive_opens: count(&load, "passive_opens"),
            submitted: of_probe("submitted"),
            received: of_probe("received"),
            dropped: of_probe("dropped"),
        },
        said,
    })
}

/// Nanoseconds of a run of the subjects' programs, in a pass of its own: the kernel's clock for it
/// costs as much as a small program.
fn run_times(present: &[Subject], millis: u64) -> anyhow::Result<Vec<(Subject, usize, f64)>> {
    const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
    let before = fs::read_to_string(SWITCH).context(SWITCH)?;
    fs::write(SWITCH, "1").context(SWITCH)?;
    let mut times = Vec::new();
    for subject in [Subject::Empty, Subject::Probe] {
        if !present.contains(&subject) {
            continue;
        }
        for (kind, (_, port)) in PORTS.iter().enumerate() {
            let said = one(subject, *port, millis)?.said.context("no counts")?;
            let (runs, time) = (
                traffic::number(&said, "runs")?,
                traffic::number(&said, "nanoseconds")?,
            );
            times.push((subject, kind, time / runs));
        }
    }
    fs::write(SWITCH, before.trim()).context(SWITCH)?;
    Ok(times)
}

/// User and system time of a process so far.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    /// `USER_HZ`, the same on every Linux that runs this.
    const TICKS: f64 = 100.0;
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).context(path)?;
    // The name in front may hold anything.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let sum: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(sum / TICKS)
}
