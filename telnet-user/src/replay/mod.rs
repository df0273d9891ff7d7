//! Rules over recorded events: the same files give the same alerts, byte for byte.
//!
//! The clock is the events' own. Runs of a rule take place at whole multiples of its interval
//! since the epoch, so that the alerts do not depend on where a file starts.

mod report;
#[cfg(test)]
mod tests;

use clap::ValueEnum;
use jiff::Timestamp;

pub use self::report::Report;
use crate::{
    alert::{Origin, Settings},
    input::{Event, Place},
    rules::{Engine, Limits, Memory, Outbox, Retention, Rule, Schedule, recorded_at},
};

/// What a replay keeps at most, so that its memory does not grow with the input. 2,000 matches of
/// a rule are more than its runs can alert on, if it has Kibana's usual cap and look-back.
const SCHEDULE: Limits = Limits {
    alerts_max: 1_000,
    deferred_max: 2_000,
    kept_bytes: 8 << 20,
};

/// Which of the two engines replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// As Kibana's scheduled runs would have: events may come in any order as long as the
    /// matches that wait for a run are not more than 2,000 of a rule and 8 MiB of all.
    Schedule,
    /// As the agent would have, at the time of each event: in the order of the file. An event
    /// older than what the rule's runs still search is counted as unsearched.
    Stream,
}

/// Rules and what they have seen so far.
#[derive(Debug)]
pub struct Replay {
    engine: Running,
    /// Latest time of an event so far.
    latest: Timestamp,
    disordered: u64,
}

#[derive(Debug)]
enum Running {
    Schedule(Schedule),
    Stream(Engine),
}

impl Replay {
    /// The enabled ones of `rules`, run by `agent`. Alerts name `loaded_at` as the time the
    /// rules are from: the time of the first event, since nothing may depend on the real one.
    pub fn new(rules: Vec<Rule>, mode: Mode, agent: &str, loaded_at: Timestamp) -> Self {
        let settings = Settings {
            agent: agent.to_owned(),
            space: "default".to_owned(),
            loaded_at,
        };
        let start = Timestamp::UNIX_EPOCH;
        let engine = match mode {
            Mode::Schedule => Running::Schedule(Schedule::new(rules, start, settings, SCHEDULE)),
            Mode::Stream => {
                let memory = Memory::volatile(Retention::default());
                Running::Stream(Engine::with(
                    rules,
                    start,
                    settings,
                    memory,
                    Limits::default(),
                ))
            }
        };
        Self {
            engine,
            latest: Timestamp::MIN,
            disordered: 0,
        }
    }

    /// Takes one event; gives the alerts that are due by then to `out`. One given out before
    /// comes again, under the same `kibana.alert.uuid`, when it took in events meanwhile.
    pub fn push(&mut self, event: &Event, out: &mut dyn Outbox) {
        let origin = origin(event);
        let document = &event.document;
        let at = recorded_at(document).unwrap_or(self.latest);
        self.disordered += u64::from(at < self.latest);
        self.latest = self.latest.max(at);
        match &mut self.engine {
            Running::Schedule(schedule) => schedule.push(document, origin, out),
            Running::Stream(engine) => engine.evaluate_at(document, origin, at, out),
        }
    }

    /// After the last event: the alerts of the runs still to come.
    pub fn finish(&mut self, out: &mut dyn Outbox) {
        match &mut self.engine {
            Running::Schedule(schedule) => schedule.finish(out),
            Running::Stream(engine) => {
                // Each at the time of its run. Those after the end of all time are left to `finish_to`.
                let mut now = self.latest;
                while engine.totals().any(|(_, numbers)| numbers.deferred_out > 0)
                    && let Some(next) = engine.next_tick().filter(|next| *next > now)
                {
                    engine.tick_to(next, out);
                    now = next;
                }
                engine.finish_to(Timestamp::MIN, out);
            }
        }
    }

    /// What it came to so far.
    pub fn report(&self) -> Report<'_> {
        let rules = match &self.engine {
            Running::Schedule(schedule) => schedule.totals().collect(),
            Running::Stream(engine) => engine.totals().collect(),
        };
        Report {
            rules,
            disordered: self.disordered,
        }
    }
}

/// Where `event` is stored, completed by its fields; `None` when its line says nothing.
fn origin(event: &Event) -> Option<Origin> {
    let Event { document, place } = event;
    let Place { index, id, version } = place;
    if *place == Place::default() {
        return None;
    }
    let version = version.unwrap_or(1);
    if let (Some(index), Some(id)) = (index, id) {
        return Some(Origin {
            index: index.clone(),
            id: id.clone(),
            version,
        });
    }
    let fields = Origin::of(document);
    Some(Origin {
        index: index.clone().unwrap_or(fields.index),
        id: id.clone().unwrap_or(fields.id),
        version,
    })
}
