//! ECS `host.*`.

use std::{borrow::Cow, net::IpAddr};

use serde::Serialize;
use serde_json::Value;

use super::document::{keyword, optional};
use crate::enrich::facts;

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

/// The field set as JSON. Never empty: the operating system is Linux.
pub(super) fn value(host: &facts::Host) -> Value {
    let facts::Host {
        hostname,
        id,
        boot_id,
        architecture,
        ip,
        mac,
        os,
    } = host;
    let facts::Os {
        name,
        version,
        full,
        platform,
        kernel,
    } = os;
    let fields = Host {
        name: optional(hostname.as_ref()),
        hostname: optional(hostname.as_ref()),
        id: optional(id.as_ref()),
        ip: ip.iter().map(IpAddr::to_canonical).collect(),
        mac: mac.iter().filter_map(|mac| keyword(mac)).collect(),
        architecture: optional(architecture.as_ref()),
        os: Os {
            kind: "linux",
            name: optional(name.as_ref()),
            version: optional(version.as_ref()),
            full: optional(full.as_ref()),
            platform: optional(platform.as_ref()),
            kernel: optional(kernel.as_ref()),
        },
        boot: optional(boot_id.as_ref()).map(|id| Boot { id }),
    };
    serde_json::to_value(&fields).unwrap_or_else(|error| {
        // Not reachable: every key is a string and every value has a JSON form.
        tracing::error!(%error, "cannot serialise the host");
        Value::Object(serde_json::Map::new())
    })
}
