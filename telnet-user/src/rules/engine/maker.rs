//! Turns hits into alert documents and remembers them.

use serde_json::Value;
use uuid::Uuid;

use super::groups::{Group, Groups};
use super::memory::{Kind, Memory};
use super::stored::Stored;
use super::time::EventTime;
use super::windows::{Windows, timestamp};
use crate::alert::{self, AlertId, Context, Origin, Settings};
use crate::rules::field;
use crate::rules::rule::Rule;

/// An event that a rule alerts on.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) event: Stored,
    pub(crate) time: EventTime,
    pub(crate) id: AlertId,
    pub(crate) origin: Origin,
    /// Values it shares with other events of one alert.
    pub(crate) group: Option<Group>,
}

/// A [`Hit`] that is not copied yet: under a flood most are not kept.
#[derive(Clone, Debug)]
pub(crate) struct Found<'e> {
    pub(crate) event: &'e Value,
    pub(crate) time: EventTime,
    pub(crate) id: AlertId,
    pub(crate) origin: &'e Origin,
    pub(crate) group: Option<Group>,
}

impl Found<'_> {
    /// The hit with a copy of the event.
    pub(crate) fn keep(self) -> Hit {
        let Self {
            event,
            time,
            id,
            origin,
            group,
        } = self;
        Hit {
            event: Stored::of(event),
            time,
            id,
            origin: origin.clone(),
            group,
        }
    }
}

/// Further events of a group that are handled together with its first one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    /// Their number.
    pub(crate) count: u64,
    /// Time of the last one.
    pub(crate) end: i64,
}

/// What handling a hit came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) alerted: u64,
    pub(crate) suppressed: u64,
}

/// A run of a rule: where and when its alerts are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) windows: &'a Windows,
    pub(crate) index: i64,
    pub(crate) now: jiff::Timestamp,
    pub(crate) settings: &'a Settings,
}

impl Run<'_> {
    /// Makes the alert of `hit`, or adds it to the open alert of its group.
    pub(crate) fn handle(
        &self,
        hit: &Hit,
        members: &Members,
        groups: &mut Groups,
        memory: &mut Memory,
        alerts: &mut Vec<Value>,
    ) -> Outcome {
        let at = self.now.as_millisecond();
        let end = hit.time.searched.max(members.end);
        let events = members.count + 1;
        let Some(group) = hit.group.clone() else {
            memory.insert(Kind::Alerted, hit.id, at);
            alerts.push(self.document(hit, None));
            return Outcome {
                alerted: 1,
                suppressed: 0,
            };
        };
        if groups.join(
            &group.key,
            (self.rule, self.windows, self.index),
            events,
            end,
        ) {
            memory.insert(Kind::Suppressed, hit.id, at);
            return Outcome {
                alerted: 0,
                suppressed: events,
            };
        }
        let mut suppressed = group.suppressed(self.rule, &self.settings.space, hit.time.searched);
        suppressed.docs_count = members.count;
        suppressed.end = timestamp(end);
        let document = self.document(hit, Some(&suppressed));
        memory.insert(Kind::Alerted, hit.id, at);
        groups.open(group.key, &document, suppressed, self.index);
        alerts.push(document);
        Outcome {
            alerted: 1,
            suppressed: members.count,
        }
    }

    fn document(&self, hit: &Hit, suppressed: Option<&alert::Suppressed>) -> Value {
        let context = Context {
            now: self.now,
            id: hit.id,
            origin: &hit.origin,
            execution: &self.execution(),
            settings: self.settings,
            suppressed,
        };
        alert::build(&hit.event.read(), self.rule, &context)
    }

    /// `kibana.alert.rule.execution.uuid`: one for each run, the same on replay.
    fn execution(&self) -> String {
        let name = format!("{}/{}", self.rule.uuid, self.windows.run(self.index));
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }
}

/// Whether `event` is an alert of `rule`, or descends from one: a rule never
/// alerts on its own alerts.
pub(crate) fn descends_from(event: &Value, rule: &Rule) -> bool {
    [
        "kibana.alert.rule.uuid",
        "kibana.alert.ancestors.rule",
        "signal.rule.id",
    ]
    .into_iter()
    .any(|path| {
        field::values(event, path)
            .into_iter()
            .any(|id| *id == rule.uuid.as_str())
    })
}
