//! Sockets as they are found, and connections as they are looked for.

use std::{collections::HashSet, net::SocketAddr};

use super::wire::{Entry, canonical};
use crate::{
    probe::record::{TcpCounters, TcpState},
    session::Session,
};

/// A TCP socket that is open now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// Inode number of its network namespace.
    pub netns: Option<u32>,
    /// Local end; IPv4-mapped addresses are IPv4 here.
    pub local: SocketAddr,
    /// Remote end, unspecified for a listener.
    pub remote: SocketAddr,
    /// Its state.
    pub state: TcpState,
    /// Socket cookie, the same as the probe's.
    pub cookie: Option<u64>,
    /// Inode number in sockfs; 0 for a connection that nobody has accepted yet.
    pub inode: u32,
    /// Traffic counters of a connection, when they were asked for.
    pub counters: Option<TcpCounters>,
    /// Processes that hold it, ascending.
    pub pids: Vec<u32>,
}

impl OpenSocket {
    /// With its holders not known yet.
    pub(super) fn new(netns: Option<u32>, entry: &Entry) -> Self {
        Self {
            netns,
            local: entry.local,
            remote: entry.remote,
            state: entry.state,
            cookie: entry.cookie,
            inode: entry.inode,
            counters: entry.counters,
            pids: Vec::new(),
        }
    }
}

/// The TCP sockets that are open now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenSockets {
    /// Each of them.
    pub sockets: Vec<OpenSocket>,
    /// Inode numbers of the network namespaces that were listed.
    pub namespaces: HashSet<u32>,
    /// Every network namespace that a process is in was listed.
    pub is_complete: bool,
}

/// A connection to look for: without `netns` in every network namespace. IPv4 ends are also looked for
/// as those of an IPv6 socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Inode number of its network namespace.
    pub netns: Option<u32>,
    /// Local end.
    pub local: SocketAddr,
    /// Remote end.
    pub remote: SocketAddr,
    /// Makes certain that it is not another connection with the same ends.
    pub cookie: Option<u64>,
}

impl Connection {
    /// Whether this is it: the cookie tells, and without one the ends, if the local port is known.
    pub(super) fn is(&self, entry: &Entry) -> bool {
        let has_ends = || {
            let ends = (canonical(self.local), canonical(self.remote));
            self.has_port() && (entry.local, entry.remote) == ends
        };
        entry.state != TcpState::Listen
            && match (self.cookie, entry.cookie) {
                (Some(wanted), Some(found)) => wanted == found,
                _ => has_ends(),
            }
    }

    /// Whether its local port is known. `connect(2)` chooses one after the change of state that it is
    /// known from.
    pub(super) const fn has_port(&self) -> bool {
        self.local.port() != 0
    }

    /// That of a session.
    pub(in crate::enrich) const fn of(session: &Session) -> Self {
        Self {
            netns: session.netns,
            local: session.local,
            remote: session.remote,
            cookie: session.key.cookie,
        }
    }
}
