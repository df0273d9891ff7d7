//! Events as Elastic Common Schema documents: one typed struct per ECS field set, so that no
//! other module knows a field name.
//!
//! Every field is an ECS 9.5 field or stands under `telnet.`, where ECS has no place for it:
//! `docs/operations.md` says what each of these is.
//!
//! What is unknown is absent: a document never holds null, an empty string, list or object.

mod action;
mod constant;
mod date;
mod document;
mod flood;
mod identity;
mod login;
mod network;
mod process;
mod related;
mod response;
mod telnet;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use self::{constant::Constant, document::Document, identity::Scope};
use crate::{
    clock::{BootTime, ClockPair},
    enrich::facts::{Facts, Host},
    flood::Flood,
    json::Indexed,
    response::Response,
    session::{Observation, Session, Traffic},
};

/// The ECS release that documents follow (`ecs.version`).
pub const ECS_VERSION: &str = "9.5.0-dev";

/// `event.module`.
pub const MODULE: &str = "telnet_monitor";

/// `event.dataset` and `data_stream.dataset`. With it the stream is one that Elastic's prebuilt
/// telnet rule searches.
pub const DATASET: &str = "network_traffic.telnet";

const DEFAULT_NAMESPACE: &str = "default";

/// The agent that writes the documents (ECS `agent.*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentInfo {
    /// Name of the program (`agent.type`), `telnet-monitor`.
    pub name: String,
    /// Identity of this installation, the same after a restart (`agent.id`).
    pub id: String,
    /// Identity of this run (`agent.ephemeral_id`).
    pub ephemeral_id: String,
    /// Version of the program (`agent.version`).
    pub version: String,
}

/// Turns observations into ECS documents.
pub struct Builder {
    agent: AgentInfo,
    namespace: String,
    /// What is the same in all events of one host: serialised once for each set of host facts.
    constant: Mutex<Option<Cached>>,
}

impl Builder {
    /// Documents of `agent`, in the data stream `logs-network_traffic.telnet-default`.
    pub fn new(agent: AgentInfo) -> Self {
        Self {
            agent,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            constant: Mutex::new(None),
        }
    }

    /// The same with another `data_stream.namespace`; the caller has checked that it is lower
    /// case, at most 100 characters and without `-`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: String) -> Self {
        self.namespace = namespace;
        self.constant = Mutex::new(None);
        self
    }

    /// The document of one observation: `facts` is what enrichment knows of its owners and the
    /// host, `clocks` turns kernel time into wall time, `now` is when the agent read it
    /// (`event.created`) and when rules get it (`event.ingested`).
    pub fn event(
        &self,
        observation: &Observation,
        facts: &Facts,
        clocks: &ClockPair,
        now: Timestamp,
    ) -> Indexed {
        let context = self.context(None, facts, clocks, (now, Some(now)));
        self.document(observation, &context)
    }

    /// What [`Self::event`] told of a session or listener that is still open, with what went over
    /// it so far. No rule gets it.
    pub fn open_event(
        &self,
        observation: &Observation,
        traffic: Option<Traffic>,
        facts: &Facts,
        clocks: &ClockPair,
        now: Timestamp,
    ) -> Indexed {
        let context = self.context(traffic, facts, clocks, (now, None));
        self.document(observation, &context)
    }

    /// The document that sums up a flood: `facts` is what is known of the process that its
    /// connections have in common.
    pub fn flood(
        &self,
        flood: &Flood,
        facts: &Facts,
        clocks: &ClockPair,
        now: Timestamp,
    ) -> Indexed {
        let context = self.context(None, facts, clocks, (now, Some(now)));
        self.complete(&Document::flood(&context, flood), facts)
    }

    /// The document of a decision on `session` at `time`: `facts` is what is known of its owners.
    pub fn response(
        &self,
        (session, time): (&Session, BootTime),
        response: &Response,
        facts: &Facts,
        clocks: &ClockPair,
        now: Timestamp,
    ) -> Indexed {
        let context = self.context(None, facts, clocks, (now, Some(now)));
        let document = Document::response(&context, session, response, time);
        self.complete(&document, facts)
    }

    fn context<'a>(
        &'a self,
        traffic: Option<Traffic>,
        facts: &'a Facts,
        clocks: &'a ClockPair,
        (created, ingested): (Timestamp, Option<Timestamp>),
    ) -> Context<'a> {
        Context {
            scope: self.scope(&facts.host),
            traffic,
            facts,
            clocks,
            created,
            ingested,
        }
    }

    fn document(&self, observation: &Observation, context: &Context<'_>) -> Indexed {
        let fields = match observation {
            Observation::Session {
                session,
                fact,
                time,
            } => Document::session(context, session, fact, *time),
            Observation::Program {
                session,
                program,
                time,
            } => Document::program(context, session, program, *time),
            Observation::ListenerOpened { listener, time } => {
                Document::listener(context, listener, &action::LISTENER_OPENED, *time)
            }
            Observation::ListenerClosed { listener, time } => {
                Document::listener(context, listener, &action::LISTENER_CLOSED, *time)
            }
        };
        self.complete(&fields, context.facts)
    }

    fn complete(&self, fields: &Document<'_>, facts: &Facts) -> Indexed {
        let mut document = indexed(fields);
        document.extend(&self.constant(&facts.host));
        document
    }

    /// What is the same in all documents of `host`, events or not: `host.*`, `agent.*`, `ecs.*`.
    pub fn envelope(&self, host: &Arc<Host>) -> Map<String, Value> {
        let constant = self.constant(host);
        let members = constant.root().members();
        members
            .filter(|(key, _)| *key != "data_stream")
            .map(|(key, value)| (key.to_owned(), value.to_value()))
            .collect()
    }

    /// Where a socket's identity is unique. Without a boot id nothing tells two boots apart, so
    /// identities then hold for one run of the agent only.
    fn scope<'a>(&'a self, host: &'a Host) -> Scope<'a> {
        let boot = host.boot_id.as_deref().filter(|id| !id.is_empty());
        Scope::new(boot.unwrap_or(&self.agent.ephemeral_id))
    }

    fn constant(&self, host: &Arc<Host>) -> Arc<Indexed> {
        let mut cache = self.constant.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cache.as_ref()
            && Arc::ptr_eq(&cached.host, host)
        {
            return Arc::clone(&cached.fields);
        }
        let constant = Constant::new(&self.agent, &self.namespace, host);
        let fields = Arc::new(indexed(&constant));
        *cache = Some(Cached {
            host: Arc::clone(host),
            fields: Arc::clone(&fields),
        });
        fields
    }
}

/// A struct's fields as a document.
fn indexed(fields: &impl Serialize) -> Indexed {
    Indexed::of(fields).unwrap_or_else(|error| {
        // Not reachable: a struct with text keys and values that all have a JSON form.
        tracing::error!(%error, "cannot serialise an event");
        Indexed::default()
    })
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("agent", &self.agent)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Serialised host facts. Holds the facts, so that no others can take their address.
struct Cached {
    host: Arc<Host>,
    fields: Arc<Indexed>,
}

/// What all documents are built from.
struct Context<'a> {
    scope: Scope<'a>,
    /// What went over a session that has not ended.
    traffic: Option<Traffic>,
    facts: &'a Facts,
    clocks: &'a ClockPair,
    created: Timestamp,
    ingested: Option<Timestamp>,
}

#[cfg(test)]
mod tests;
