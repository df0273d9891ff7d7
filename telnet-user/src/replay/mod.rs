//! Rules over recorded events: the same files give the same alerts, byte for byte.
//!
//! The clock is the events' own. Runs of a rule take place at whole multiples of its interval
//! since the epoch, so that the alerts do not depend on where a file starts.

mod report;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::Value;

pub use self::report::Report;
use crate::{
    alert::{Origin, Settings},
    input::{Event, Place},
    rules::{Engine, Evaluation, Limits, Memory, Retention, Rule, Schedule, recorded_at},
};

/// Most matches of a rule that wait for their run.
const RETAINED: usize = 2_000;

/// Which of the two engines replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// As Kibana's scheduled runs would have: events may come in any order as long as the
    /// matches of a rule that wait for a run are not more than 2,000.
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
    finished: bool,
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
        let limits = Limits::default();
        let engine = match mode {
            Mode::Schedule => {
                let schedule = Schedule::new(rules, start, settings, limits, RETAINED);
                Running::Schedule(schedule)
            }
            Mode::Stream => {
                let memory = Memory::volatile(Retention::default());
                Running::Stream(Engine::with(rules, start, settings, memory, limits))
            }
        };
        Self {
            engine,
            latest: Timestamp::MIN,
            disordered: 0,
            finished: false,
        }
    }

    /// Takes one event; gives the alerts that are due by then.
    pub fn push(&mut self, event: &Event) -> Vec<Value> {
        let origin = origin(event);
        let document = &event.document;
        let at = recorded_at(document).unwrap_or(self.latest);
        self.disordered += u64::from(at < self.latest);
        self.latest = self.latest.max(at);
        alerts(match &mut self.engine {
            Running::Schedule(schedule) => schedule.push(document, origin),
            Running::Stream(engine) => engine.evaluate_at(document, origin, at),
        })
    }

    /// After the last event: the alerts of the next run that is still to come; `None` when
    /// there is none left.
    pub fn next_run(&mut self) -> Option<Vec<Value>> {
        let run = match &mut self.engine {
            Running::Schedule(schedule) => schedule.next_run(),
            Running::Stream(engine) => {
                let waits = engine.totals().any(|(_, numbers)| numbers.deferred_out > 0);
                let next = engine.next_tick().filter(|_| waits);
                next.map(|next| engine.tick(next))
            }
        };
        if run.is_none() && std::mem::replace(&mut self.finished, true) {
            return None;
        }
        Some(alerts(run.unwrap_or_else(|| match &mut self.engine {
            Running::Schedule(schedule) => schedule.finish(),
            Running::Stream(engine) => engine.finish(Timestamp::MIN),
        })))
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

/// The alerts of `evaluation`. An alert that took in events meanwhile comes once, as it is now;
/// one given out before comes again under the same `kibana.alert.uuid`.
fn alerts(evaluation: Evaluation) -> Vec<Value> {
    let Evaluation {
        mut alerts,
        updates,
        summaries: _,
    } = evaluation;
    if updates.is_empty() {
        return alerts;
    }
    let uuid = |alert: &Value| alert.pointer("/kibana/alert/uuid").cloned();
    let places: HashMap<Option<Value>, usize> = alerts
        .iter()
        .enumerate()
        .map(|(place, alert)| (uuid(alert), place))
        .collect();
    for update in updates {
        let place = places.get(&uuid(&update));
        match place.and_then(|place| alerts.get_mut(*place)) {
            Some(alert) => *alert = update,
            None => alerts.push(update),
        }
    }
    alerts
}
