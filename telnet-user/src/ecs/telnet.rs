//! `telnet.*`: what ECS has no field for.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    document::optional,
    flood::FloodFields,
    login::{Login, Summary, Terminal},
    process::User,
    response::ResponseFields,
};
use crate::enrich::facts::{self, OwnerFacts, OwnersFacts};

/// `telnet.attribution` when no process is known.
const UNATTRIBUTED: &str = "none";

/// `telnet.*`.
#[derive(Debug, Serialize)]
pub(super) struct Telnet<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<SessionFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flood: Option<FloodFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<ResponseFields<'a>>,
    attribution: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) netns: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slice: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<Role<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acceptor: Option<Role<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handler: Option<Role<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Role<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<Login<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) terminal: Option<Terminal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ancestors: Vec<Ancestor<'a>>,
}

/// `telnet.session.*`.
#[derive(Debug, Serialize)]
pub(super) struct SessionFields {
    pub(super) id: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) preexisting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) closed_by: Option<&'static str>,
    #[serde(flatten)]
    pub(super) summary: Option<Summary>,
}

/// A process on this end: `telnet.{listener,acceptor,handler,client}.*`.
#[derive(Debug, Default, Serialize)]
struct Role<'a> {
    #[serde(skip_serializing_if = "is_false")]
    preexisting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribution: Option<&'static str>,
}

/// `telnet.ancestors`.
#[derive(Debug, Serialize)]
struct Ancestor<'a> {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Cow<'a, str>>,
}

impl<'a> Telnet<'a> {
    /// What the owners tell.
    pub(super) fn new(owners: &'a OwnersFacts) -> Self {
        let role = |owner: &'a Option<OwnerFacts>| owner.as_ref().map(Role::new);
        let closest = owners.closest();
        let process = closest.map(|owner| owner.process.as_ref());
        Self {
            session: None,
            flood: None,
            response: None,
            attribution: closest.map_or(UNATTRIBUTED, |owner| owner.source.as_str()),
            netns: None,
            unit: process.and_then(|process| optional(process.unit.as_ref())),
            slice: process.and_then(|process| optional(process.slice.as_ref())),
            listener: role(&owners.listener),
            acceptor: role(&owners.acceptor),
            handler: role(&owners.handler),
            client: role(&owners.client),
            login: None,
            terminal: None,
            ancestors: process.map(ancestors).unwrap_or_default(),
        }
    }

    /// Says that the listening socket was there before the agent, known owner or not.
    pub(super) fn set_preexisting_listener(&mut self) {
        self.listener.get_or_insert_default().preexisting = true;
    }
}

impl<'a> Role<'a> {
    fn new(owner: &'a OwnerFacts) -> Self {
        let process = owner.process.as_ref();
        Self {
            preexisting: false,
            pid: Some(process.pid),
            entity_id: optional(process.entity_id.as_ref()),
            name: optional(process.name.as_ref()),
            executable: optional(process.executable.as_ref()),
            user: Some(User::new(&process.user)),
            unit: optional(process.unit.as_ref()),
            attribution: Some(owner.source.as_str()),
        }
    }
}

/// All but the parent, which is `process.parent`.
fn ancestors(process: &facts::Process) -> Vec<Ancestor<'_>> {
    process
        .ancestors
        .iter()
        .skip(1)
        .map(|ancestor| Ancestor {
            pid: ancestor.pid,
            entity_id: optional(ancestor.entity_id.as_ref()),
            name: optional(ancestor.name.as_ref()),
            executable: optional(ancestor.executable.as_ref()),
        })
        .collect()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes the field by reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}
