//! Events as Elastic Common Schema documents: one typed struct per ECS field set, so that no
//! other module knows a field name.
//!
//! Every field is an ECS 9.5 field or stands under `telnet.`, where ECS has no place for it:
//!
//! | field | what |
//! |---|---|
//! | `telnet.session.id` | the same in all events of one connection, across agent restarts |
//! | `telnet.session.preexisting` | `true`: it was open before the agent started |
//! | `telnet.session.closed_by` | `local` or `remote`: who closed first, when seen |
//! | `telnet.attribution` | how the process in `process.*` was learnt, or `none` |
//! | `telnet.{listener,acceptor,handler,client}.*` | each process on this end, and how it was learnt |
//! | `telnet.listener.preexisting` | `true`: it was listening before the agent started |
//! | `telnet.ancestors` | processes above `process.parent`, nearest first |
//! | `telnet.unit`, `telnet.slice` | systemd unit and slice of the process in `process.*` |
//! | `telnet.netns` | inode number of the network namespace |
//!
//! What is unknown is absent: a document never holds null, an empty string, list or object.

mod action;
mod document;
mod host;
mod identity;
mod network;
mod process;
mod telnet;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;

use self::{
    document::{Agent, DataStream, Document},
    identity::Scope,
};
use crate::{
    clock::ClockPair,
    enrich::facts::{Facts, Host},
    session::Observation,
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
    /// The host's field set is the same in nearly all events: serialised once per set of facts.
    host: Mutex<Option<(Arc<Host>, Arc<Value>)>>,
}

impl Builder {
    /// Documents of `agent`, in the data stream `logs-network_traffic.telnet-default`.
    pub fn new(agent: AgentInfo) -> Self {
        Self {
            agent,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            host: Mutex::new(None),
        }
    }

    /// The same with another `data_stream.namespace`; the caller has checked that it is lower
    /// case, at most 100 characters and without `-`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: String) -> Self {
        self.namespace = namespace;
        self
    }

    /// The document of one observation: `facts` is what enrichment knows of its owners and the
    /// host, `clocks` turns kernel time into wall time, `now` is when the agent read it
    /// (`event.created`). `event.ingested` is left to the rule engine.
    pub fn event(
        &self,
        observation: &Observation,
        facts: &Facts,
        clocks: &ClockPair,
        now: Timestamp,
    ) -> Value {
        let host = self.host(&facts.host);
        let context = Context {
            scope: self.scope(&facts.host),
            agent: self.agent(),
            data_stream: DataStream::new(&self.namespace),
            host: &host,
            facts,
            clocks,
            now,
        };
        let document = match observation {
            Observation::Session {
                session,
                fact,
                time,
            } => Document::session(&context, session, fact, *time),
            Observation::ListenerOpened { listener, time } => {
                Document::listener(&context, listener, &action::LISTENER_OPENED, *time)
            }
            Observation::ListenerClosed { listener, time } => {
                Document::listener(&context, listener, &action::LISTENER_CLOSED, *time)
            }
        };
        serde_json::to_value(&document).unwrap_or_else(|error| {
            // Not reachable: every key is a string and every value has a JSON form.
            tracing::error!(%error, "cannot serialise an event");
            Value::Null
        })
    }

    fn agent(&self) -> Agent<'_> {
        let AgentInfo {
            name,
            id,
            ephemeral_id,
            version,
        } = &self.agent;
        Agent::new(name, id, ephemeral_id, version)
    }

    /// Where a socket's identity is unique. Without a boot id nothing tells two boots apart, so
    /// identities then hold for one run of the agent only.
    fn scope<'a>(&'a self, host: &'a Host) -> Scope<'a> {
        Scope::new(host.boot_id.as_deref().unwrap_or(&self.agent.ephemeral_id))
    }

    fn host(&self, host: &Arc<Host>) -> Arc<Value> {
        let mut cache = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((cached, value)) = cache.as_ref()
            && Arc::ptr_eq(cached, host)
        {
            return Arc::clone(value);
        }
        let value = Arc::new(host::value(host));
        *cache = Some((Arc::clone(host), Arc::clone(&value)));
        value
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("agent", &self.agent)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What all documents are built from.
struct Context<'a> {
    scope: Scope<'a>,
    agent: Agent<'a>,
    data_stream: DataStream<'a>,
    host: &'a Value,
    facts: &'a Facts,
    clocks: &'a ClockPair,
    now: Timestamp,
}

#[cfg(test)]
mod tests;
