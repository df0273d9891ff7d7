//! What the documents of one session say, in the order of time. Pure.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;

use super::words::{self, Step, Topic};
use crate::rules::field::{first, text};

/// Most steps of a story; a session that did more is told up to there.
const MAX_STEPS: usize = 65_536;

/// The story so far.
#[derive(Debug)]
pub(super) struct Story {
    /// What was typed.
    wanted: String,
    /// Whose story it is, once a document told.
    id: Option<String>,
    /// Ids of documents taken in: what was delivered twice happened once.
    seen: HashSet<String>,
    steps: Vec<Step>,
    /// Documents that had no room.
    left_out: usize,
    /// When the session began, as its documents say.
    start: Option<Timestamp>,
    /// What is known of the session as a whole, and when it was said.
    known: BTreeMap<Topic, (Option<Timestamp>, String)>,
    has_end: bool,
}

/// Why a document does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// These two sessions are meant.
    Ambiguous(String, String),
}

impl Story {
    /// That of the session whose id is or begins with `wanted`.
    pub(super) fn of(wanted: &str) -> Self {
        Self {
            wanted: wanted.to_owned(),
            id: None,
            seen: HashSet::new(),
            steps: Vec::new(),
            left_out: 0,
            start: None,
            known: BTreeMap::new(),
            has_end: false,
        }
    }

    /// Takes a document in, if it is of this session.
    pub(super) fn take(&mut self, document: &Value) -> Result<(), Refused> {
        let Some(id) = text(document, "telnet.session.id") else {
            return Ok(());
        };
        if !id.starts_with(&self.wanted) {
            return Ok(());
        }
        if let Some(known) = self.id.as_ref().filter(|known| **known != id) {
            return Err(Refused::Ambiguous(known.clone(), id));
        }
        self.id = Some(id);
        if self.steps.len() >= MAX_STEPS {
            self.left_out += 1;
            return Ok(());
        }
        let name = text(document, "kibana.alert.uuid").or_else(|| text(document, "event.id"));
        if name.is_some_and(|name| !self.seen.insert(name)) {
            return Ok(());
        }
        if !words::is_alert(document) {
            let start =
                first(document, "event.start").and_then(|start| start.as_str()?.parse().ok());
            // That of a process is its own.
            let is_process = text(document, "event.category").as_deref() == Some("process");
            self.start = self.start.or(start.filter(|_| !is_process));
            self.has_end |= words::is_end(document);
            self.know(document);
        }
        self.steps.extend(words::steps(document));
        Ok(())
    }

    /// The latest word about each thing counts: a handler is found later than the session.
    fn know(&mut self, document: &Value) {
        let time = words::time(document);
        for (topic, value) in words::known(document) {
            let known = self.known.get(&topic);
            if known.is_none_or(|(said, _)| *said <= time) {
                self.known.insert(topic, (time, value));
            }
        }
    }

    /// The story as lines; none when no document was of this session.
    pub(super) fn lines(mut self) -> Option<Vec<String>> {
        let id = self.id.take()?;
        // What happened at the same time stays as it was written; what has no time comes last.
        self.steps
            .sort_by_key(|step| (step.time.is_none(), step.time));
        let first = self.steps.iter().find_map(|step| step.time);
        let zero = self.start.or(first);
        let mut lines = vec![format!("session   {id}")];
        let known = self.known.iter();
        lines.extend(known.map(|(topic, (_, value))| format!("{:<9} {value}", topic.as_str())));
        lines.push(String::new());
        let steps = words::with_exits(self.steps);
        lines.extend(steps.iter().map(|step| line(step, zero)));
        if self.left_out > 0 {
            lines.push(format!("{} more documents left out", self.left_out));
        }
        if !self.has_end {
            lines.push("no document tells its end".to_owned());
        }
        Some(lines)
    }
}

fn line(step: &Step, zero: Option<Timestamp>) -> String {
    let absolute = step
        .time
        .map_or_else(String::new, |time| format!("{time:.3}"));
    let relative = step.time.zip(zero).map(|(time, zero)| since(zero, time));
    let relative = relative.unwrap_or_default();
    format!("{absolute:<24} {relative:>12}  {}", step.text)
}

/// The time between, `+12.345s`, `+3m05.123s`, `+2h03m05s`; `-` in front for what was before.
fn since(zero: Timestamp, time: Timestamp) -> String {
    let span = time.duration_since(zero);
    let sign = if span.is_negative() { '-' } else { '+' };
    format!("{sign}{}", words::duration(span.unsigned_abs()))
}

#[cfg(test)]
mod tests;
