//! What is the same in all events of one host: ECS `host.*`, `agent.*`, `data_stream.*` and
//! `ecs.*`.

use std::{borrow::Cow, net::IpAddr};

use serde::Serialize;

use super::{
    AgentInfo, DATASET, ECS_VERSION,
    document::{keyword, optional},
};
use crate::enrich::facts;

/// The field sets, at the end of each document.
#[derive(Debug, Serialize)]
pub(super) struct Constant<'a> {
    host: Host<'a>,
    agent: Agent<'a>,
    data_stream: DataStream<'a>,
    ecs: Ecs,
}

impl<'a> Constant<'a> {
    pub(super) fn new(agent: &'a AgentInfo, namespace: &'a str, host: &'a facts::Host) -> Self {
        Self {
            host: Host::new(host),
            agent: Agent::new(agent),
            data_stream: DataStream {
                kind: "logs",
                dataset: DATASET,
                namespace,
            },
            ecs: Ecs {
                version: ECS_VERSION,
            },
        }
    }
}

/// ECS `data_stream.*`.
#[derive(Debug, Serialize)]
struct DataStream<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dataset: &'static str,
    namespace: &'a str,
}

/// ECS `ecs.*`.
#[derive(Debug, Serialize)]
struct Ecs {
    version: &'static str,
}

/// ECS `agent.*`. Without `agent.name`, which is for a name that an operator gave.
#[derive(Debug, Serialize)]
struct Agent<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
}

impl<'a> Agent<'a> {
    fn new(agent: &'a AgentInfo) -> Self {
        let AgentInfo {
            name,
            id,
            ephemeral_id,
            version,
        } = agent;
        Self {
            kind: keyword(name),
            id: keyword(id),
            ephemeral_id: keyword(ephemeral_id),
            version: keyword(version),
        }
    }
}

/// ECS `host.*`.
#[derive(Debug, Serialize)]
struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ip: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mac: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<Cow<'a, str>>,
    os: Os<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<Boot<'a>>,
}

#[derive(Debug, Serialize)]
struct Os<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
struct Boot<'a> {
    id: Cow<'a, str>,
}

impl<'a> Host<'a> {
    fn new(host: &'a facts::Host) -> Self {
        let facts::Host {
            hostname,
            id,
            boot_id,
            architecture,
            ip,
            mac,
            os,
        } = host;
        Self {
            name: optional(hostname.as_ref()),
            hostname: optional(hostname.as_ref()),
            id: optional(id.as_ref()),
            ip: ip.iter().map(IpAddr::to_canonical).collect(),
            mac: mac.iter().filter_map(|mac| keyword(mac)).collect(),
            architecture: optional(architecture.as_ref()),
            os: Os::new(os),
            boot: optional(boot_id.as_ref()).map(|id| Boot { id }),
        }
    }
}

impl<'a> Os<'a> {
    fn new(os: &'a facts::Os) -> Self {
        let facts::Os {
            name,
            version,
            full,
            platform,
            kernel,
        } = os;
        Self {
            kind: "linux",
            name: optional(name.as_ref()),
            version: optional(version.as_ref()),
            full: optional(full.as_ref()),
            platform: optional(platform.as_ref()),
            kernel: optional(kernel.as_ref()),
        }
    }
}
