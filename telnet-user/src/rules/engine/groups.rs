//! Alert suppression: which events belong together, and the alert they share.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::maker::{Hit, Members, Run};
use super::room::Room;
use super::shared::{Outbox, Shared};
use super::windows::{Windows, timestamp};
use crate::alert::{self, Suppressed};
use crate::json::Node;
use crate::rules::field;
use crate::rules::rule::{MissingFields, Rule, Suppression};

/// Most alerts kept open for further events, per rule.
const LIVE: usize = 4_096;

/// Which events belong to one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Equal for equal values: their hash, since they may be long.
    pub(crate) key: String,
}

impl Group {
    /// The group of `event`; `None` when it makes an alert of its own.
    ///
    /// A field with several values counts with all of them as one value.
    pub(crate) fn of(event: Node<'_>, suppression: Option<&Suppression>) -> Option<Self> {
        let Suppression {
            group_by,
            duration: _,
            missing_fields,
        } = suppression?;
        let mut key = Vec::new();
        for name in group_by {
            let texts = field::texts(event, name);
            if texts.is_empty() && *missing_fields == MissingFields::DoNotSuppress {
                return None;
            }
            key.push(texts);
        }
        let key = alert::sha256_hex(&json!(key).to_string());
        Some(Self { key })
    }

    /// What the alert says about this group whose first one is `event`, of time `at`.
    pub(crate) fn suppressed(
        &self,
        event: Node<'_>,
        run: &Run<'_>,
        at: i64,
        members: &Members,
    ) -> Suppressed {
        let term = |name: &String| {
            let value = match field::values(event, name).as_slice() {
                [] => Value::Null,
                [only] => only.to_value(),
                several => several.iter().map(|value| value.to_value()).collect(),
            };
            (name.clone(), value)
        };
        let group_by = run.rule.suppression.iter().flat_map(|s| &s.group_by);
        let instance = format!("{}{}:{}", self.key, run.settings.space, run.rule.uuid);
        Suppressed {
            terms: group_by.map(term).collect(),
            instance: alert::sha256_hex(&instance),
            start: timestamp(at),
            end: timestamp(members.end),
            docs_count: members.count,
        }
    }
}

/// An alert that takes in further events.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    hit: Hit,
    members: Members,
    /// Run that made the alert.
    run: i64,
    /// When it was made.
    made: jiff::Timestamp,
    /// Whether events joined since the document was last given out.
    changed: bool,
}

impl Live {
    /// The alert that `run` just made.
    pub(crate) const fn new(run: &Run<'_>, hit: Hit, members: Members) -> Self {
        Self {
            hit,
            members,
            run: run.index,
            made: run.now,
            changed: false,
        }
    }

    /// Gives out the alert brought up to date at `now`, if it changed.
    fn tell(&mut self, run: &Run<'_>, now: jiff::Timestamp, out: &mut dyn Outbox) {
        if std::mem::take(&mut self.changed) {
            let made = Run {
                index: self.run,
                now: self.made,
                ..*run
            };
            let event = self.hit.event.read();
            let hit = self.hit.found(Node::from(&event));
            out.update(made.document(&hit, &self.members, now));
        }
    }
}

/// The open alerts of one rule with alert suppression.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    live: HashMap<String, Live>,
    /// Keys in the order their alerts were made.
    order: VecDeque<String>,
}

impl Groups {
    /// Adds one event and `members` to the open alert of `key`. `false` when there is none that
    /// still takes events in `run`.
    pub(crate) fn join(&mut self, key: &str, run: &Run<'_>, members: &Members) -> bool {
        let Some(live) = self.live.get_mut(key) else {
            return false;
        };
        if !open(run.rule, run.windows, live.run, run.index) {
            return false;
        }
        live.members.count += members.count + 1;
        live.members.end = live.members.end.max(members.end);
        live.changed = true;
        true
    }

    /// Keeps the alert of `key` open; how many alerts had to close because there was no room
    /// for more, the oldest first.
    pub(crate) fn open(
        &mut self,
        key: String,
        live: Live,
        run: &Run<'_>,
        shared: &mut Shared<'_>,
    ) -> u64 {
        let mut evicted = 0;
        // One that is there takes no more events, or the event would have joined it.
        self.remove(&key, run, shared);
        let bytes = live.hit.bytes();
        while self.live.len() >= LIVE || !shared.open.take(bytes) {
            evicted += 1;
            let Some(oldest) = self.order.front().cloned() else {
                return evicted;
            };
            self.remove(&oldest, run, shared);
        }
        self.order.push_back(key.clone());
        self.live.insert(key, live);
        evicted
    }

    /// Takes out one alert and gives out what it has not told yet.
    fn remove(&mut self, key: &str, run: &Run<'_>, shared: &mut Shared<'_>) {
        if let Some(mut live) = self.live.remove(key) {
            self.order.retain(|other| other != key);
            shared.open.give(live.hit.bytes());
            live.tell(run, timestamp(live.members.end), shared.out);
        }
    }

    /// Gives out the alerts that changed since the last call, brought up to date; closes those
    /// that take no more events in `next`.
    pub(crate) fn update(&mut self, next: &Run<'_>, shared: &mut Shared<'_>) {
        for key in &self.order {
            if let Some(live) = self.live.get_mut(key) {
                live.tell(next, next.now, shared.out);
            }
        }
        let Self { live, order } = self;
        live.retain(|_, live| {
            let kept = open(next.rule, next.windows, live.run, next.index);
            if !kept {
                shared.open.give(live.hit.bytes());
            }
            kept
        });
        order.retain(|key| live.contains_key(key));
    }

    /// Gives back the room of all of them.
    pub(crate) fn clear(&mut self, room: &mut Room) {
        for (_, live) in self.live.drain() {
            room.give(live.hit.bytes());
        }
        self.order.clear();
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
