//! A flood that is not over, and what its connections have in common.

use std::net::IpAddr;

use super::{Flood, Phase, Source};
use crate::{
    clock::BootTime,
    session::{Direction, Owner, Owners, Session},
};

/// Connections of one source that were shed.
#[derive(Debug)]
pub(super) struct Ongoing {
    start: BootTime,
    last: BootTime,
    shed: u64,
    pub(super) failed_logins: u64,
    ip: Common<IpAddr>,
    port: Common<u16>,
    owner: Common<Option<Owner>>,
    told: Told,
}

/// What the last summary told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    summaries: u64,
    at: BootTime,
    connections: u64,
    shed: u64,
    failed_logins: u64,
}

impl Ongoing {
    /// Begins with `session`.
    pub(super) fn new(session: &Session, time: BootTime) -> Self {
        let destination = destination(session);
        Self {
            start: time,
            last: time,
            shed: 1,
            failed_logins: 0,
            ip: Common::One(destination.ip().to_canonical()),
            port: Common::One(destination.port()),
            owner: Common::One(owner(session).cloned()),
            told: Told::default(),
        }
    }

    /// Takes in one more.
    pub(super) fn shed(&mut self, session: &Session, time: BootTime) {
        let destination = destination(session);
        self.shed += 1;
        // Those that waited for their acceptor come a little later than others.
        self.last = self.last.max(time);
        self.ip.join(|ip| *ip == destination.ip().to_canonical());
        self.port.join(|port| *port == destination.port());
        let pid = |owner: &Owner| owner.task.pid;
        let other = owner(session).map(pid);
        self.owner.join(|known| known.as_ref().map(pid) == other);
    }

    /// When the last summary was.
    pub(super) const fn told_at(&self) -> BootTime {
        self.told.at
    }

    /// Whether there is more to tell than the last summary did.
    pub(super) const fn is_news(&self) -> bool {
        self.shed > self.told.shed || self.failed_logins > self.told.failed_logins
    }

    pub(super) const fn note_summary(&mut self, now: BootTime, connections: u64) {
        let is_news = self.is_news();
        self.told = Told {
            summaries: self.told.summaries + if is_news { 1 } else { 0 },
            at: now,
            connections,
            shed: self.shed,
            failed_logins: self.failed_logins,
        };
    }

    /// What there is to say, `connections` having been made since `since`.
    pub(super) fn summary(
        &self,
        source: Source,
        phase: Phase,
        since: BootTime,
        connections: u64,
    ) -> Flood {
        let rate = match phase {
            Phase::Began | Phase::Ended => rate(connections, since, self.last),
            Phase::Ongoing => {
                let new = connections.saturating_sub(self.told.connections);
                rate(new, self.told.at, self.last)
            }
        };
        let owner = self.owner.get().cloned().flatten();
        let owners = match source.direction {
            Direction::Ingress => Owners {
                listener: owner,
                ..Owners::default()
            },
            Direction::Egress => Owners {
                client: owner,
                ..Owners::default()
            },
        };
        Flood {
            source,
            phase,
            number: self.told.summaries,
            start: self.start,
            last: self.last,
            connections,
            shed: self.shed,
            failed_logins: self.failed_logins,
            rate,
            ip: self.ip.get().copied().filter(|ip| !ip.is_unspecified()),
            port: self.port.get().copied().filter(|port| *port != 0),
            owners,
        }
    }
}

/// The end that was connected to.
fn destination(session: &Session) -> std::net::SocketAddr {
    match session.direction {
        Direction::Ingress => session.local,
        Direction::Egress => session.remote,
    }
}

/// Whom on this host all connections of a flood may have in common.
fn owner(session: &Session) -> Option<&Owner> {
    match session.direction {
        Direction::Ingress => session.owners.listener.as_ref(),
        Direction::Egress => session.owners.client.as_ref(),
    }
}

/// Connections a second, rounded; in the first millisecond as if that had passed.
fn rate(connections: u64, from: BootTime, to: BootTime) -> u64 {
    const SECOND: u128 = 1_000_000_000;
    let nanos = to.since(from).as_nanos().max(1_000_000);
    let rate = (u128::from(connections) * SECOND + nanos / 2) / nanos;
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// What is the same in all, or not.
#[derive(Debug)]
enum Common<T> {
    One(T),
    Several,
}

impl<T> Common<T> {
    fn join(&mut self, is_same: impl FnOnce(&T) -> bool) {
        if let Self::One(value) = self
            && !is_same(value)
        {
            *self = Self::Several;
        }
    }

    const fn get(&self) -> Option<&T> {
        match self {
            Self::One(value) => Some(value),
            Self::Several => None,
        }
    }
}
