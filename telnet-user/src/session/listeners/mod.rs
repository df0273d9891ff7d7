//! Listening sockets on monitored ports.

mod owner;
mod places;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

pub(super) use self::{owner::owner_for, places::Places};
use super::{Attribution, Listener, Owner, Session, may_equal, table::Table};
use crate::{
    clock::BootTime,
    probe::record::{Socket, SocketKey, Task},
};

/// The listening sockets known now.
#[derive(Debug)]
pub(super) struct Listeners {
    capacity: usize,
    /// Seen to start, by the addresses of their sockets.
    seen: Sockets,
    /// Found listening, by number: the addresses of their sockets are not known.
    found: Sockets,
    next: u64,
    /// Those of the found that were not told yet.
    untold: BTreeSet<u64>,
    refused: u64,
}

impl Listeners {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            seen: Sockets::new(capacity),
            found: Sockets::new(capacity),
            next: 0,
            untold: BTreeSet::new(),
            refused: 0,
        }
    }

    /// How many more are taken in of those that are found.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.len())
    }

    /// A socket was found listening. Taken in while there is room: of those that gave way to newer
    /// ones the next list would have all again.
    pub(super) fn found(&mut self, listener: Listener) {
        if self.knows(listener.key, listener.netns, listener.local) {
            return;
        }
        if self.room() == 0 {
            self.refused += 1;
            return;
        }
        self.next += 1;
        self.untold.insert(self.next);
        self.found.insert(self.next, listener);
    }

    /// Takes out the one that this is, if it is still known.
    pub(super) fn remove(&mut self, gone: &Listener) -> Option<Listener> {
        let Listener {
            key, netns, local, ..
        } = *gone;
        let seen = self.seen.get(key.address);
        if seen.is_some_and(|known| known.is_socket(key, netns, local)) {
            return self.seen.remove(key.address);
        }
        self.take_found(key, netns, local)
    }

    /// Those found that were not returned by this before.
    pub(super) fn unreported(&mut self) -> Vec<Listener> {
        let untold = std::mem::take(&mut self.untold);
        let new = untold.into_iter().filter_map(|key| self.found.get(key));
        new.cloned().collect()
    }

    /// A task called listen(2).
    pub(super) fn open(&mut self, socket: &Socket, task: Task, time: BootTime) -> Listener {
        let listener = Listener {
            key: socket.key,
            netns: socket.netns,
            local: socket.local,
            opened: Some(time),
            preexisting: false,
            reported: false,
            owner: Some(Owner {
                task: Arc::new(task),
                source: Attribution::Listen,
            }),
        };
        // The list of open sockets may have it too; the kernel knows it from its start.
        self.take_found(socket.key, socket.netns, socket.local);
        self.seen.insert(socket.key.address, listener.clone());
        listener
    }

    /// The socket no longer listens.
    pub(super) fn close(&mut self, socket: &Socket) -> Option<Listener> {
        let seen = self.seen.remove(socket.key.address);
        seen.or_else(|| self.take_found(socket.key, socket.netns, socket.local))
    }

    /// The one of those found that this socket is.
    fn take_found(
        &mut self,
        key: SocketKey,
        netns: Option<u32>,
        local: SocketAddr,
    ) -> Option<Listener> {
        let number = self.found.places.find(key, netns, local)?;
        self.untold.remove(&number);
        self.found.remove(number)
    }

    /// Whether it is one of them.
    pub(super) fn knows(&self, key: SocketKey, netns: Option<u32>, local: SocketAddr) -> bool {
        [&self.seen, &self.found]
            .iter()
            .any(|sockets| sockets.places.find(key, netns, local).is_some())
    }

    /// The owner of the one that `session` came in through, if it is certain. Only those that the
    /// kernel prefers are looked at: on the address itself, else on any address.
    pub(super) fn owner_of(&self, session: &Session) -> Option<Owner> {
        let (ip, port) = (session.local.ip(), session.local.port());
        let any: &[IpAddr] = if ip.is_ipv4() {
            &[Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
        } else {
            &[Ipv6Addr::UNSPECIFIED.into()]
        };
        let addresses = std::iter::once(&ip).chain(any);
        let owner = addresses
            .map(|ip| SocketAddr::new(*ip, port))
            .find_map(|local| {
                let mut there = [&self.seen, &self.found]
                    .into_iter()
                    .flat_map(|sockets| sockets.at(session.netns, local))
                    .peekable();
                there.peek()?;
                Some(owner_for(session, there).cloned())
            });
        owner.flatten()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Listener> {
        self.seen.all().chain(self.found.all())
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.seen.all().len() + self.found.all().len()
    }

    /// How many gave way since the table was full.
    pub(super) const fn evicted(&self) -> u64 {
        self.seen.table.evicted()
    }

    /// How many were found and not taken in since the table was full.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}

impl Listener {
    /// By cookie, or by address where the kernel has none.
    fn is_socket(&self, key: SocketKey, netns: Option<u32>, local: SocketAddr) -> bool {
        match (self.key.cookie, key.cookie) {
            (Some(known), Some(cookie)) => known == cookie,
            _ => may_equal(self.netns, netns) && self.local == local,
        }
    }
}

/// A bounded table of listening sockets that can be looked up by what they are, too.
#[derive(Debug)]
struct Sockets {
    /// Each with its key, for what gives way.
    table: Table<u64, (u64, Listener)>,
    places: Places,
}

impl Sockets {
    fn new(capacity: usize) -> Self {
        Self {
            table: Table::new(capacity),
            places: Places::default(),
        }
    }

    fn insert(&mut self, key: u64, listener: Listener) {
        self.remove(key);
        self.places.add(key, &listener);
        if let Some((key, evicted)) = self.table.insert(key, (key, listener)) {
            self.places.forget(key, &evicted);
        }
    }

    fn get(&self, key: u64) -> Option<&Listener> {
        self.table.get(&key).map(|(_, listener)| listener)
    }

    fn remove(&mut self, key: u64) -> Option<Listener> {
        let (_, listener) = self.table.remove(&key)?;
        self.places.forget(key, &listener);
        Some(listener)
    }

    fn all(&self) -> impl ExactSizeIterator<Item = &Listener> {
        self.table.values().map(|(_, listener)| listener)
    }

    /// Those bound to `local` that can be in this namespace.
    fn at(&self, netns: Option<u32>, local: SocketAddr) -> impl Iterator<Item = &Listener> {
        self.places.at(netns, local).filter_map(|key| self.get(key))
    }
}
