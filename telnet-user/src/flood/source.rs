//! Whose connections share a budget.

use std::net::IpAddr;

use crate::session::{Direction, Session};

/// What became of a connection. Each has a budget of its own, so that failures, of which a scan has
/// very many, take nothing from the sessions that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing yet: an attempt.
    Unknown,
    /// A session.
    Success,
    /// The handshake did not complete.
    Failure,
}

/// Who connects: an address, as it is seen in one network namespace. The same address in another
/// namespace is another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Which side this host is on.
    pub direction: Direction,
    /// Inode number of the network namespace, when the kernel tells.
    pub netns: Option<u32>,
    /// The address; absent for all sources that there was no room to tell apart.
    pub ip: Option<IpAddr>,
    /// What became of its connections.
    pub outcome: Outcome,
}

impl Source {
    /// Who opened `session`.
    pub(super) fn of(session: &Session, outcome: Outcome) -> Self {
        let end = match session.direction {
            Direction::Ingress => session.remote,
            Direction::Egress => session.local,
        };
        Self {
            direction: session.direction,
            netns: session.netns,
            ip: Some(end.ip().to_canonical()),
            outcome,
        }
    }

    /// Everybody else.
    pub(super) const fn shared(self) -> Self {
        Self {
            netns: None,
            ip: None,
            ..self
        }
    }
}
