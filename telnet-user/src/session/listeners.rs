//! Listening sockets on monitored ports.

use std::sync::Arc;

use super::{Attribution, Listener, Owner, Session, table::Table};
use crate::{
    clock::BootTime,
    probe::record::{Socket, Task},
};

/// The listening sockets known now.
#[derive(Debug)]
pub(super) struct Listeners {
    table: Table<u64, Listener>,
    /// Found open at start; the addresses of their sockets are not known.
    found: Vec<FoundListener>,
}

#[derive(Debug)]
struct FoundListener {
    listener: Listener,
    reported: bool,
}

impl Listeners {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            table: Table::new(capacity),
            found: Vec::new(),
        }
    }

    /// A socket was listening at start.
    pub(super) fn found(&mut self, listener: Listener) {
        self.found.push(FoundListener {
            listener,
            reported: false,
        });
    }

    /// Those found at start that were not returned by this before.
    pub(super) fn unreported(&mut self) -> Vec<Listener> {
        let new = self.found.iter_mut().filter(|found| !found.reported);
        new.map(|found| {
            found.reported = true;
            found.listener.clone()
        })
        .collect()
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
        self.take_found(socket);
        self.table.insert(socket.key.address, listener.clone());
        listener
    }

    /// The socket no longer listens.
    pub(super) fn close(&mut self, socket: &Socket) -> Option<Listener> {
        self.table
            .remove(&socket.key.address)
            .or_else(|| self.take_found(socket))
    }

    /// The one of those found at start that this socket is: by cookie, or by address where the
    /// kernel has none.
    fn take_found(&mut self, socket: &Socket) -> Option<Listener> {
        let index = self.found.iter().position(|found| {
            let listener = &found.listener;
            match (listener.key.cookie, socket.key.cookie) {
                (Some(known), Some(cookie)) => known == cookie,
                _ => listener.netns == socket.netns && listener.local == socket.local,
            }
        })?;
        Some(self.found.swap_remove(index).listener)
    }

    /// Who listens where `session` came in. Several sockets can share an address
    /// (`SO_REUSEPORT`): then the acceptor's own, or nobody rather than a guess.
    pub(super) fn owner_for(&self, session: &Session) -> Option<Owner> {
        let mut owners = self
            .all()
            .filter(|listener| session.came_through(listener))
            .filter_map(|listener| listener.owner.as_ref());
        let first = owners.next()?;
        let others: Vec<&Owner> = owners.filter(|other| !is_same(first, other)).collect();
        if others.is_empty() {
            return Some(first.clone());
        }
        let acceptor = session.owners.acceptor.as_ref()?;
        std::iter::once(first)
            .chain(others)
            .find(|owner| is_same(owner, acceptor))
            .cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Listener> {
        let found = self.found.iter().map(|found| &found.listener);
        self.table.values().chain(found)
    }

    /// How many gave way since the table was full.
    pub(super) const fn evicted(&self) -> u64 {
        self.table.evicted()
    }
}

/// Whether two owners are one process.
fn is_same(left: &Owner, right: &Owner) -> bool {
    left.task.pid == right.task.pid && left.task.start == right.task.start
}
