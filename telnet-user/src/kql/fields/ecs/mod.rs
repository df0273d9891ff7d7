//! ECS 9.5.0-dev: the names and types of its fields, by field set.
//!
//! The Elastic Common Schema is published by Elasticsearch B.V. under the Apache License 2.0; these
//! tables state its names and types in a form of their own. `object` and `nested` fields are left
//! out: nothing but their leaves has a value. Where ECS reuses a set only in part, the whole set is
//! taken, so a few names have a type here that ECS does not define.

mod artifact;
mod endpoint;
mod event;
mod host;
mod identity;
mod process;

use self::artifact::{DLL, FILE, PACKAGE, REGISTRY, URL};
use self::endpoint::{DNS, EMAIL, ENDPOINT, HTTP, NETWORK, OBSERVER, TLS, USER_AGENT};
use self::event::{ERROR, EVENT, LOG, RULE, THREAT, VULNERABILITY};
use self::host::{CLOUD, CONTAINER, DEVICE, FAAS, GEN_AI, HOST, ORCHESTRATOR, SERVICE, VOLUME};
use self::identity::{ENTITY, GROUP, USER};
use self::process::PROCESS;
use super::FieldType::{Date, Ip, Keyword, Text};
use super::Set;

pub(super) static ROOT: Set = Set {
    fields: &[
        (Date, "@timestamp"),
        (Text, "message"),
        (
            Keyword,
            "tags \
             agent.build.original agent.ephemeral_id agent.id agent.name agent.type agent.version \
             data_stream.dataset data_stream.namespace data_stream.type ecs.version \
             organization.id organization.name related.hash related.hosts related.user \
             span.id trace.id transaction.id",
        ),
        (Ip, "related.ip"),
    ],
    sets: &[
        ("client", &ENDPOINT),
        ("cloud", &CLOUD),
        ("container", &CONTAINER),
        ("destination", &ENDPOINT),
        ("device", &DEVICE),
        ("dll", &DLL),
        ("dns", &DNS),
        ("email", &EMAIL),
        ("entity", &ENTITY),
        ("error", &ERROR),
        ("event", &EVENT),
        ("faas", &FAAS),
        ("file", &FILE),
        ("gen_ai", &GEN_AI),
        ("group", &GROUP),
        ("host", &HOST),
        ("http", &HTTP),
        ("log", &LOG),
        ("network", &NETWORK),
        ("observer", &OBSERVER),
        ("orchestrator", &ORCHESTRATOR),
        ("package", &PACKAGE),
        ("process", &PROCESS),
        ("registry", &REGISTRY),
        ("rule", &RULE),
        ("server", &ENDPOINT),
        ("service", &SERVICE),
        ("source", &ENDPOINT),
        ("threat", &THREAT),
        ("tls", &TLS),
        ("url", &URL),
        ("user", &USER),
        ("user_agent", &USER_AGENT),
        ("volume", &VOLUME),
        ("vulnerability", &VULNERABILITY),
    ],
};
