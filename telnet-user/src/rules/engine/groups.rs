//! Alert suppression: which events belong together, and the alert they share.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::stored::Stored;
use super::windows::{Windows, timestamp};
use crate::alert::{self, Suppressed};
use crate::rules::field;
use crate::rules::rule::{MissingFields, Rule, Suppression};

/// Most alerts kept open for further events, per rule.
const LIVE: usize = 4_096;

/// Values that events of one alert agree on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// Equal for equal values.
    pub(crate) key: String,
    /// Field names and values, for the alert.
    pub(crate) terms: Vec<(String, Value)>,
}

impl Group {
    /// The group of `event`; `None` when it makes an alert of its own.
    ///
    /// A field with several values counts with all of them as one value.
    pub(crate) fn of(event: &Value, suppression: Option<&Suppression>) -> Option<Self> {
        let Suppression {
            group_by,
            duration: _,
            missing_fields,
        } = suppression?;
        let mut key = Vec::new();
        let mut terms = Vec::new();
        for name in group_by {
            let values = field::values(event, name);
            if values.is_empty() && *missing_fields == MissingFields::DoNotSuppress {
                return None;
            }
            key.push(field::texts(event, name));
            terms.push((
                name.clone(),
                match values.as_slice() {
                    [] => Value::Null,
                    [only] => (*only).clone(),
                    several => several.iter().map(|value| (*value).clone()).collect(),
                },
            ));
        }
        Some(Self {
            key: json!(key).to_string(),
            terms,
        })
    }

    /// What an alert says about this group when its only event is of time `at`.
    pub(crate) fn suppressed(&self, rule: &Rule, space: &str, at: i64) -> Suppressed {
        let instance = alert::sha256_hex(&format!("{}{space}:{}", self.key, rule.uuid));
        let at = timestamp(at);
        Suppressed {
            terms: self.terms.clone(),
            instance,
            start: at,
            end: at,
            docs_count: 0,
        }
    }
}

/// An alert that takes in further events.
#[derive(Clone, Debug)]
struct Live {
    document: Stored,
    suppressed: Suppressed,
    /// Run that made the alert.
    run: i64,
    /// Whether events joined since the document was last given out.
    changed: bool,
}

/// The open alerts of one rule with alert suppression.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    live: HashMap<String, Live>,
    /// Keys in the order their alerts were made.
    order: VecDeque<String>,
    /// Updates of alerts that had to make room.
    evicted: Vec<Value>,
}

impl Groups {
    /// Adds `events` more events, the last at `end`, to the open alert of `key`.
    /// `false` when there is none that still takes events in run `index`.
    pub(crate) fn join(
        &mut self,
        key: &str,
        place: (&Rule, &Windows, i64),
        events: u64,
        end: i64,
    ) -> bool {
        let (rule, windows, index) = place;
        let Some(live) = self.live.get_mut(key) else {
            return false;
        };
        if !open(rule, windows, live.run, index) {
            return false;
        }
        live.suppressed.docs_count += events;
        live.suppressed.end = live.suppressed.end.max(timestamp(end));
        live.changed = true;
        true
    }

    /// Keeps the alert `document` of `key`, made by run `index`, open.
    pub(crate) fn open(&mut self, key: String, document: &Value, suppressed: Suppressed, run: i64) {
        self.remove(&key);
        while self.live.len() >= LIVE {
            let Some(oldest) = self.order.front().cloned() else {
                break;
            };
            self.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.live.insert(
            key,
            Live {
                document: Stored::of(document),
                suppressed,
                run,
                changed: false,
            },
        );
    }

    /// Takes out one alert; what it has not told yet goes out with the next updates.
    fn remove(&mut self, key: &str) {
        if let Some(live) = self.live.remove(key) {
            self.order.retain(|other| other != key);
            if live.changed {
                let mut document = live.document.read();
                alert::update(&mut document, &live.suppressed, live.suppressed.end);
                self.evicted.push(document);
            }
        }
    }

    /// Alerts that changed since the last call, brought up to date; those that
    /// take no more events in run `next` are closed.
    pub(crate) fn updates(
        &mut self,
        rule: &Rule,
        windows: &Windows,
        next: i64,
        now: jiff::Timestamp,
    ) -> Vec<Value> {
        let mut out = std::mem::take(&mut self.evicted);
        for key in &self.order {
            if let Some(live) = self.live.get_mut(key).filter(|live| live.changed) {
                let mut document = live.document.read();
                alert::update(&mut document, &live.suppressed, now);
                live.changed = false;
                out.push(document);
            }
        }
        self.live
            .retain(|_, live| open(rule, windows, live.run, next));
        let Self {
            live,
            order,
            evicted: _,
        } = self;
        order.retain(|key| live.contains_key(key));
        out
    }
}

/// Whether an alert made by run `made` takes events in run `index`.
///
/// Kibana compares the time of the run with the start of the alert, which is the
/// time of the run that made it.
fn open(rule: &Rule, windows: &Windows, made: i64, index: i64) -> bool {
    match rule
        .suppression
        .as_ref()
        .and_then(|suppression| suppression.duration)
    {
        None => made == index,
        Some(length) => {
            let millis = length.duration().as_secs().saturating_mul(1_000);
            windows.run(index).saturating_sub(windows.run(made)) <= millis
        }
    }
}
