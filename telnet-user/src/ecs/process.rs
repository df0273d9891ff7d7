//! ECS `process.*`, `user.*`, `group.*`, `container.*` and `orchestrator.*` of the closest owner.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::{
    date::Date,
    document::{cut, keyword, optional},
};
use crate::{clock::ClockPair, enrich::facts, probe::record::ExitStatus};

/// Longest `process.command_line`, in characters.
const MAX_COMMAND_LINE: usize = 8_191;

/// A numeric id, which ECS keeps as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(u32);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(itoa::Buffer::new().format(self.0))
    }
}

/// ECS `process.*`.
#[derive(Debug, Serialize)]
pub(super) struct Process<'a> {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Cow<'a, str>>,
    /// Without empty ones, which cannot be searched for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_directory: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Hash<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<Thread<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tty: Option<Tty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Parent<'a>>,
}

#[derive(Debug, Serialize)]
struct Hash<'a> {
    sha256: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
struct Thread<'a> {
    capabilities: Capabilities<'a>,
}

#[derive(Debug, Serialize)]
struct Capabilities<'a> {
    effective: Vec<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
struct Tty {
    char_device: CharDevice,
}

#[derive(Debug, Serialize)]
struct CharDevice {
    major: u32,
    minor: u32,
}

/// ECS `process.parent.*`.
#[derive(Debug, Serialize)]
struct Parent<'a> {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Date>,
}

impl<'a> Process<'a> {
    pub(super) fn new(process: &'a facts::Process, clocks: &ClockPair) -> Self {
        let arguments = &process.args;
        let effective = keywords(&process.capabilities);
        let parent = process.ancestors.first();
        Self {
            pid: process.pid,
            entity_id: optional(process.entity_id.as_ref()),
            name: optional(process.name.as_ref()),
            executable: optional(process.executable.as_ref()),
            args: keywords(arguments),
            args_count: (!arguments.is_empty() && !process.args_truncated)
                .then_some(arguments.len()),
            command_line: command_line(arguments),
            working_directory: optional(process.working_directory.as_ref()),
            start: process.start.map(|start| Date(clocks.wall(start))),
            hash: optional(process.sha256.as_ref()).map(|sha256| Hash { sha256 }),
            thread: (!effective.is_empty()).then_some(Thread {
                capabilities: Capabilities { effective },
            }),
            tty: process.tty.map(|(major, minor)| Tty {
                char_device: CharDevice { major, minor },
            }),
            exit_code: None,
            end: None,
            parent: parent.map(|parent| Parent {
                pid: parent.pid,
                entity_id: optional(parent.entity_id.as_ref()),
                name: optional(parent.name.as_ref()),
                executable: optional(parent.executable.as_ref()),
                start: parent.start.map(|start| Date(clocks.wall(start))),
            }),
        }
    }
}

impl Process<'_> {
    /// The same, ended at `end`. A process that a signal ended has the code that shells give it.
    pub(super) fn ended(mut self, status: ExitStatus, end: Date) -> Self {
        const SIGNALED: u8 = 128;
        self.exit_code = Some(match status {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => SIGNALED + signal,
        });
        self.end = Some(end);
        self
    }
}

fn keywords(list: &[String]) -> Vec<Cow<'_, str>> {
    list.iter().filter_map(|text| keyword(text)).collect()
}

/// The arguments joined by blanks.
pub(super) fn command_line(arguments: &[String]) -> Option<String> {
    // Enough bytes for that many characters, however long the rest is.
    const MAX_BYTES: usize = 4 * MAX_COMMAND_LINE;
    let mut line = String::new();
    for (index, argument) in arguments.iter().enumerate() {
        if line.len() > MAX_BYTES {
            break;
        }
        if index > 0 {
            line.push(' ');
        }
        line.push_str(argument);
    }
    let length = cut(&line, MAX_COMMAND_LINE)?.len();
    line.truncate(length);
    Some(line)
}

/// ECS `user.*`.
#[derive(Debug, Serialize)]
pub(super) struct User<'a> {
    id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<EffectiveUser<'a>>,
}

/// ECS `user.effective.*`.
#[derive(Debug, Serialize)]
struct EffectiveUser<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Group<'a>>,
}

impl<'a> User<'a> {
    /// Without its effective side.
    pub(super) fn new(user: &'a facts::Named) -> Self {
        Self {
            id: Id(user.id),
            name: optional(user.name.as_ref()),
            effective: None,
        }
    }

    /// Real and effective user of a process.
    pub(super) fn of(process: &'a facts::Process) -> Self {
        let user = process.effective_user.as_ref();
        let group = process.effective_group.as_ref();
        let is_known = user.is_some() || group.is_some();
        Self {
            effective: is_known.then(|| EffectiveUser {
                id: user.map(|user| Id(user.id)),
                name: user.and_then(|user| optional(user.name.as_ref())),
                group: group.map(Group::new),
            }),
            ..Self::new(&process.user)
        }
    }
}

/// ECS `group.*`.
#[derive(Debug, Serialize)]
pub(super) struct Group<'a> {
    id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
}

impl<'a> Group<'a> {
    pub(super) fn new(group: &'a facts::Named) -> Self {
        Self {
            id: Id(group.id),
            name: optional(group.name.as_ref()),
        }
    }
}

/// ECS `container.*`.
#[derive(Debug, Serialize)]
pub(super) struct Container<'a> {
    id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<Cow<'a, str>>,
}

impl<'a> Container<'a> {
    pub(super) fn new(container: &'a facts::Container) -> Option<Self> {
        Some(Self {
            id: keyword(&container.id)?,
            runtime: container.runtime.and_then(keyword),
        })
    }
}

/// ECS `orchestrator.*`: the Kubernetes pod.
#[derive(Debug, Serialize)]
pub(super) struct Orchestrator<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    resource: Resource<'a>,
}

#[derive(Debug, Serialize)]
struct Resource<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: Cow<'a, str>,
}

impl<'a> Orchestrator<'a> {
    pub(super) fn new(container: &'a facts::Container) -> Option<Self> {
        Some(Self {
            kind: "kubernetes",
            resource: Resource {
                kind: "pod",
                id: optional(container.pod_uid.as_ref())?,
            },
        })
    }
}
