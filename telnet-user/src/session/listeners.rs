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
}

impl Listeners {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            table: Table::new(capacity),
        }
    }

    /// A task called listen(2).
    pub(super) fn open(&mut self, socket: &Socket, task: Task, time: BootTime) -> Listener {
        let listener = Listener {
            key: socket.key,
            netns: socket.netns,
            local: socket.local,
            opened: Some(time),
            preexisting: false,
            owner: Some(Owner {
                task: Arc::new(task),
                source: Attribution::Listen,
            }),
        };
        self.insert(listener.clone());
        listener
    }

    /// Adds a listening socket, also one that was open at start.
    pub(super) fn insert(&mut self, listener: Listener) {
        self.table.insert(listener.key.address, listener);
    }

    /// The socket no longer listens.
    pub(super) fn close(&mut self, socket: &Socket) -> Option<Listener> {
        self.table.remove(&socket.key.address)
    }

    /// Who listens where `session` came in. Several sockets can share an address
    /// (`SO_REUSEPORT`): then the acceptor's own, or nobody rather than a guess.
    pub(super) fn owner_for(&self, session: &Session) -> Option<Owner> {
        let mut owners = self
            .table
            .values()
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
        self.table.values()
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
