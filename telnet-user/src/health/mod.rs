//! What the agent says about itself: one report, told as an ECS document and as metrics.
//!
//! A host that reports nothing is quiet or blind; the heartbeat tells which. Pure: whoever runs
//! the agent fills in a [`Report`].

mod document;
mod latency;
pub mod metrics;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::latency::Latency;
use crate::{
    flood,
    probe::{Ledger, record::Hook},
    response,
    rules::Numbers,
    sandbox,
    session::tracker::Counters,
    sink::SinkReport,
};

/// Everything there is to say at one moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// How long the agent runs.
    pub uptime: Duration,
    /// Number of times configuration and rules were taken up anew.
    pub reloads: u64,
    /// Number of times they were refused, and the old ones kept.
    pub refused_reloads: u64,
    /// What the agent gave up after loading the probe; absent when nothing.
    pub sandbox: Option<sandbox::Report>,
    /// The kernel side.
    pub probe: ProbeReport,
    /// Sessions and rules.
    pub pipeline: PipelineReport,
    /// From the kernel's event to the moment at which its alert is handed to the writer.
    pub latency: Latency,
    /// Where documents go.
    pub sinks: Vec<SinkReport>,
}

/// The kernel side.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// What was seen and what was lost.
    pub ledger: Ledger,
    /// The hook that reports who accepted; none when userspace has to find out.
    pub acceptor: Option<Hook>,
    /// What this kernel does not give, in words.
    pub degraded: Vec<String>,
    /// What the agent's own sessions say of the probe.
    pub canary: CanaryReport,
    /// The ports that are monitored, in words.
    pub ports: String,
}

/// What the agent's own sessions say of the probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryReport {
    /// `alive`, `degraded`, `absent`, or `unknown` before the first one.
    pub status: &'static str,
    /// From the opening of the last one to the output.
    pub took: Option<Duration>,
    /// What is wrong, or why there is none.
    pub reason: Option<String>,
}

/// Sessions and rules.
#[derive(Clone, Debug)]
pub struct PipelineReport {
    /// Sessions open now.
    pub open_sessions: usize,
    /// Listening sockets open now.
    pub open_listeners: usize,
    /// What the session table could not do.
    pub counters: Counters,
    /// What became of sessions that rules wanted closed.
    pub response: response::Counters,
    /// What became of all observations.
    pub observations: flood::Counters,
    /// Floods that are not over.
    pub floods: usize,
    /// Each rule that runs.
    pub rules: Vec<RuleReport>,
}

/// What became of a rule's matches since it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleReport {
    /// Its `rule_id`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The counts.
    pub numbers: Numbers,
}

impl Report {
    /// Documents and records that are lost for good, on the whole way.
    pub fn lost(&self) -> u64 {
        let Ledger {
            dropped_ring_full,
            missed,
            undecodable,
            ..
        } = self.probe.ledger;
        let sinks = self.sinks.iter().map(|sink| {
            let spool = sink.spool.map_or(0, |spool| {
                spool.lost_alerts + spool.lost_events + spool.lost_health
            });
            sink.lost + spool
        });
        dropped_ring_full + missed + undecodable + sinks.sum::<u64>()
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let alerts: u64 = self
            .pipeline
            .rules
            .iter()
            .map(|rule| rule.numbers.alerted)
            .sum();
        let down: Vec<&str> = self
            .sinks
            .iter()
            .filter(|sink| sink.is_down)
            .map(|sink| sink.name.as_str())
            .collect();
        let mut out = format!(
            "monitoring {}: {} sessions open, {alerts} alerts, {} lost",
            self.probe.ports,
            self.pipeline.open_sessions,
            self.lost()
        );
        if !down.is_empty() {
            out.push_str(", not delivering to ");
            out.push_str(&down.join(", "));
        }
        out
    }
}

/// The name of a hook in documents and metrics, as in `telnet.attribution`.
const fn hook_name(hook: Option<Hook>) -> &'static str {
    match hook {
        Some(Hook::Fentry) => "fentry",
        Some(Hook::Kprobe) => "kprobe",
        Some(Hook::SyscallExit) => "syscall_exit",
        None => "sock_diag",
    }
}
