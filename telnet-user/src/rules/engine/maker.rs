//! Turns hits into alert documents and remembers them.

use uuid::Uuid;

use super::groups::{Group, Groups, Live};
use super::memory::Kind;
use super::shared::Shared;
use super::stored::Stored;
use super::time::EventTime;
use super::windows::Windows;
use crate::alert::{self, Alert, AlertId, Context, First, Origin, Settings, Template};
use crate::json::Node;
use crate::rules::field;
use crate::rules::rule::Rule;

/// An event that a rule alerts on.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) event: Stored,
    pub(crate) time: EventTime,
    pub(crate) id: AlertId,
    pub(crate) origin: Origin,
    /// The events it shares an alert with.
    pub(crate) group: Option<Group>,
}

impl Hit {
    /// What it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let Origin {
            index,
            id,
            version: _,
        } = &self.origin;
        size_of::<Self>() + self.event.len() + index.len() + id.len()
    }

    /// The hit again, on its `event` as read from [`Self::event`].
    pub(crate) fn found<'e>(&'e self, event: Node<'e>) -> Found<'e> {
        Found {
            event,
            time: self.time,
            id: self.id,
            origin: &self.origin,
            group: self.group.clone(),
        }
    }
}

/// A [`Hit`] that is not copied yet: under a flood most are not kept.
#[derive(Clone, Debug)]
pub(crate) struct Found<'e> {
    pub(crate) event: Node<'e>,
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
    /// Ids of them, as far as there was room.
    pub(crate) ids: Vec<AlertId>,
    /// The first alert of the session they are of, when theirs is a later one.
    pub(crate) first: Option<First>,
}

/// What handling a hit came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) alerted: u64,
    pub(crate) suppressed: u64,
    /// Open alerts that had to close.
    pub(crate) evicted: u64,
}

/// A run of a rule: where and when its alerts are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) template: &'a Template,
    pub(crate) windows: &'a Windows,
    pub(crate) index: i64,
    pub(crate) now: jiff::Timestamp,
    pub(crate) settings: &'a Settings,
}

impl Run<'_> {
    /// Makes the alert of `hit`, or adds it to the open alert of its group.
    pub(crate) fn handle(
        &self,
        hit: Found<'_>,
        mut members: Members,
        groups: &mut Groups,
        shared: &mut Shared<'_>,
    ) -> Outcome {
        let at = self.now.as_millisecond();
        for id in std::mem::take(&mut members.ids) {
            shared.memory.insert(Kind::Suppressed, id, at);
        }
        members.end = members.end.max(hit.time.searched);
        let key = hit.group.as_ref().map(|group| group.key.clone());
        if let Some(key) = &key
            && groups.join(key, self, &members)
        {
            shared.memory.insert(Kind::Suppressed, hit.id, at);
            return Outcome {
                suppressed: members.count + 1,
                ..Outcome::default()
            };
        }
        shared.memory.insert(Kind::Alerted, hit.id, at);
        let rule = &self.rule.uuid;
        members.first = shared.first_alerts.before(hit.event, hit.id, rule);
        shared.out.alert(self.document(&hit, &members, self.now));
        Outcome {
            alerted: 1,
            suppressed: members.count,
            evicted: match key {
                Some(key) => groups.open(key, Live::new(self, hit.keep(), members), self, shared),
                None => 0,
            },
        }
    }

    /// The alert on `hit`, which stands for `members` too when it has a group; the last of them
    /// joined it at `detected`.
    pub(crate) fn document(
        &self,
        hit: &Found<'_>,
        members: &Members,
        detected: jiff::Timestamp,
    ) -> Alert {
        let group = hit.group.as_ref();
        let suppressed =
            group.map(|group| group.suppressed(hit.event, self, hit.time.searched, members));
        let context = Context {
            now: self.now,
            detected,
            id: hit.id,
            origin: hit.origin,
            execution: &self.execution(),
            settings: self.settings,
            suppressed: suppressed.as_ref(),
            first: members.first.as_ref(),
        };
        alert::build(hit.event, self.rule, self.template, &context)
    }

    /// `kibana.alert.rule.execution.uuid`: one for each run, the same on replay.
    fn execution(&self) -> String {
        let name = format!("{}/{}", self.rule.uuid, self.windows.run(self.index));
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }
}

/// Whether `event` is an alert of `rule`, or descends from one: a rule never
/// alerts on its own alerts.
pub(crate) fn descends_from(event: Node<'_>, rule: &Rule) -> bool {
    [
        "kibana.alert.rule.uuid",
        "kibana.alert.ancestors.rule",
        "signal.rule.id",
    ]
    .into_iter()
    .any(|path| {
        field::values(event, path)
            .into_iter()
            .any(|id| id.as_str() == Some(rule.uuid.as_str()))
    })
}
