//! ECS `network.*`, `source.*`, `destination.*` and `server.*`.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::{document::long, identity};
use crate::{
    probe::record::Protocol,
    session::{Direction, Session, Traffic},
};

/// ECS `network.*`. `network.protocol` only when it is proven: the port alone does not.
#[derive(Debug, Serialize)]
pub(super) struct Network {
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    iana_number: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    community_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<u64>,
}

impl Network {
    /// A socket that listens on `ip`.
    pub(super) fn listener(ip: IpAddr) -> Self {
        Self {
            kind: Some(kind(ip)),
            ..Self::tcp()
        }
    }

    /// Without direction: rules on sessions ask for one, and take whatever else has it for an opening.
    pub(super) const fn of_no_opening(&mut self) {
        self.direction = None;
    }

    const fn tcp() -> Self {
        Self {
            direction: None,
            transport: "tcp",
            protocol: None,
            kind: None,
            iana_number: "6",
            community_id: None,
            bytes: None,
            packets: None,
        }
    }

    /// Connections of this direction, to or from `ip`.
    pub(super) fn connections(direction: Direction, ip: Option<IpAddr>) -> Self {
        Self {
            direction: Some(word(direction)),
            kind: ip.map(kind),
            ..Self::tcp()
        }
    }

    /// The flow of a session.
    pub(super) fn session(session: &Session, ends: &Ends, traffic: Option<Traffic>) -> Self {
        Self {
            protocol: session.protocol.map(Protocol::as_str),
            community_id: ends.community_id(),
            bytes: traffic.map(|sum| long(sum.bytes_received.saturating_add(sum.bytes_sent))),
            packets: traffic
                .map(|sum| u64::from(sum.segments_received) + u64::from(sum.segments_sent)),
            ..Self::connections(session.direction, Some(session.remote.ip()))
        }
    }
}

/// `network.direction`.
const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// `network.type` of a flow to or from `ip`.
fn kind(ip: IpAddr) -> &'static str {
    if ip.to_canonical().is_ipv4() {
        "ipv4"
    } else {
        "ipv6"
    }
}

/// ECS `source.*`, `destination.*` and `server.*`.
#[derive(Debug, Serialize)]
pub(super) struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    /// Sent by this side.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<u64>,
}

impl Endpoint {
    /// An end of a connection, with the bytes and packets it sent. A wildcard address or port 0
    /// is one not chosen yet: unknown.
    fn connected(end: SocketAddr, sent: Option<(u64, u32)>) -> Option<Self> {
        let ip = Some(end.ip().to_canonical()).filter(|ip| !ip.is_unspecified());
        let port = Some(end.port()).filter(|port| *port != 0);
        let is_known = ip.is_some() || port.is_some() || sent.is_some();
        is_known.then(|| Self {
            ip,
            port,
            address: ip,
            bytes: sent.map(|(bytes, _)| long(bytes)),
            packets: sent.map(|(_, packets)| u64::from(packets)),
        })
    }

    /// What is known of the end of several connections.
    pub(super) fn common(ip: Option<IpAddr>, port: Option<u16>) -> Option<Self> {
        (ip.is_some() || port.is_some()).then_some(Self {
            ip,
            port,
            address: ip,
            bytes: None,
            packets: None,
        })
    }

    /// A listening end, whose wildcard address means every address.
    pub(super) fn bound(end: SocketAddr) -> Self {
        let ip = Some(end.ip().to_canonical());
        Self {
            ip,
            port: Some(end.port()).filter(|port| *port != 0),
            address: ip,
            bytes: None,
            packets: None,
        }
    }

    fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip?, self.port?))
    }
}

/// Source (who initiated) and destination (who responded), whichever side this host is on.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) source: Option<Endpoint>,
    pub(super) destination: Option<Endpoint>,
}

impl Ends {
    pub(super) fn new(session: &Session, traffic: Option<Traffic>) -> Self {
        let local = Endpoint::connected(
            session.local,
            traffic.map(|traffic| (traffic.bytes_sent, traffic.segments_sent)),
        );
        let remote = Endpoint::connected(
            session.remote,
            traffic.map(|traffic| (traffic.bytes_received, traffic.segments_received)),
        );
        let (source, destination) = match session.direction {
            Direction::Ingress => (remote, local),
            Direction::Egress => (local, remote),
        };
        Self {
            source,
            destination,
        }
    }

    fn community_id(&self) -> Option<String> {
        let source = self.source.as_ref()?.socket()?;
        let destination = self.destination.as_ref()?.socket()?;
        identity::community_id(source, destination)
    }
}
