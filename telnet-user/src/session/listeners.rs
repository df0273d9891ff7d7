//! Listening sockets on monitored ports.

use std::{net::SocketAddr, sync::Arc};

use super::{Attribution, Listener, Owner, Owners, Session, may_equal, table::Table};
use crate::{
    clock::BootTime,
    probe::record::{Socket, SocketKey, Task},
};

/// The listening sockets known now.
#[derive(Debug)]
pub(super) struct Listeners {
    table: Table<u64, Listener>,
    /// Found listening; the addresses of their sockets are not known.
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

    /// A socket was found listening.
    pub(super) fn found(&mut self, listener: Listener) {
        if !self.all().any(|known| known.is_same_socket(&listener)) {
            self.found.push(FoundListener {
                listener,
                reported: false,
            });
        }
    }

    /// Takes out the one that this is, if it is still known.
    pub(super) fn remove(&mut self, gone: &Listener) -> Option<Listener> {
        let address = gone.key.address;
        if self
            .table
            .get(&address)
            .is_some_and(|known| known.is_same_socket(gone))
        {
            return self.table.remove(&address);
        }
        let mut found = self.found.iter();
        let index = found.position(|found| found.listener.is_same_socket(gone))?;
        Some(self.found.swap_remove(index).listener)
    }

    /// Those found that were not returned by this before.
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

    /// The one of those found that this socket is.
    fn take_found(&mut self, socket: &Socket) -> Option<Listener> {
        let index = self.found.iter().position(|found| {
            let listener = &found.listener;
            listener.is_socket(socket.key, socket.netns, socket.local)
        })?;
        Some(self.found.swap_remove(index).listener)
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

impl Listener {
    pub(super) fn is_same_socket(&self, other: &Self) -> bool {
        self.is_socket(other.key, other.netns, other.local)
    }

    /// By cookie, or by address where the kernel has none.
    pub(super) fn is_socket(&self, key: SocketKey, netns: Option<u32>, local: SocketAddr) -> bool {
        match (self.key.cookie, key.cookie) {
            (Some(known), Some(cookie)) => known == cookie,
            _ => may_equal(self.netns, netns) && self.local == local,
        }
    }
}

/// The owner of the listener that `session` came in through, if it is certain.
pub(super) fn owner_for<'a>(
    session: &Session,
    listeners: impl Iterator<Item = &'a Listener>,
) -> Option<&'a Owner> {
    let mut closest = None;
    let mut owners = Vec::new();
    for listener in listeners {
        let Some(closeness) = closeness(session, listener) else {
            continue;
        };
        if closest < Some(closeness) {
            closest = Some(closeness);
            owners.clear();
        }
        if closest == Some(closeness) {
            owners.push(listener.owner.as_ref());
        }
    }
    // One without a known owner may be anybody's.
    let owners = owners.into_iter().collect::<Option<Vec<_>>>()?;
    let first = *owners.first()?;
    if owners.iter().all(|owner| is_same(first, owner)) {
        return Some(first);
    }
    let Owners {
        acceptor, handler, ..
    } = &session.owners;
    let witness = acceptor.as_ref().or(handler.as_ref())?;
    owners.into_iter().find(|owner| is_same(owner, witness))
}

/// How the kernel ranks the listeners that a connection can come in through: one on the address
/// itself, then one on any address of its family (`compute_score` in `inet_hashtables.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    /// On any address of both families.
    Any,
    /// On any address of the session's family.
    Family,
    /// On the session's address.
    Exact,
}

/// Absent when the session cannot have come in through `listener`.
fn closeness(session: &Session, listener: &Listener) -> Option<Closeness> {
    let (local, bound) = (session.local, listener.local);
    if !may_equal(session.netns, listener.netns) || local.port() != bound.port() {
        None
    } else if local.ip() == bound.ip() {
        Some(Closeness::Exact)
    } else if !bound.ip().is_unspecified() {
        None
    } else if local.is_ipv4() == bound.is_ipv4() {
        Some(Closeness::Family)
    } else {
        // `[::]` takes IPv4 unless it was told not to, `0.0.0.0` never takes IPv6.
        bound.is_ipv6().then_some(Closeness::Any)
    }
}

/// Whether two owners are one process.
fn is_same(left: &Owner, right: &Owner) -> bool {
    left.task.pid == right.task.pid && left.task.start == right.task.start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Direction;

    fn owner(pid: u32) -> Owner {
        let task = Task {
            pid,
            tid: pid,
            uid: 0,
            gid: 0,
            start: None,
            comm: "x".to_owned(),
            parent: None,
            cgroup: None,
            args: None,
        };
        Owner {
            task: Arc::new(task),
            source: Attribution::SockDiag,
        }
    }

    fn session() -> Session {
        Session {
            netns: Some(1),
            preexisting: true,
            ..Session::new(
                SocketKey {
                    address: 0,
                    cookie: None,
                },
                Direction::Ingress,
                "192.0.2.1:23".parse().expect("an address"),
                "192.0.2.2:50000".parse().expect("an address"),
            )
        }
    }

    #[test]
    fn a_listener_is_named_when_it_is_certain() {
        /// Listeners and their owners, who serves the session, whose listener it was.
        type Case<'a> = (&'a [(&'a str, Option<u32>)], Option<u32>, Option<u32>);

        const ANY: &str = "0.0.0.0:23";
        const BOTH: &str = "[::]:23";
        let cases: [Case<'_>; 9] = [
            (&[], None, None),
            (&[(ANY, Some(3)), ("192.0.2.9:23", Some(9))], None, Some(3)),
            (&[(BOTH, Some(3))], Some(8), Some(3)),
            // Workers with a socket each.
            (&[(ANY, Some(3)), (ANY, Some(4))], None, None),
            (&[(ANY, Some(3)), (ANY, Some(4))], Some(4), Some(4)),
            (&[(ANY, Some(3)), (ANY, Some(4))], Some(8), None),
            // The closest is asked first.
            (
                &[(ANY, Some(3)), ("192.0.2.1:23", Some(4)), (BOTH, None)],
                None,
                Some(4),
            ),
            (&[(BOTH, Some(3)), (ANY, Some(4))], None, Some(4)),
            // One of them may be anybody's.
            (&[(ANY, Some(3)), (ANY, None)], Some(3), None),
        ];
        let mut session = session();
        for (listeners, holder, expected) in cases {
            let key = session.key;
            let listeners = listeners.iter().map(|(local, pid)| Listener {
                key,
                netns: Some(1),
                local: local.parse().expect("an address"),
                opened: None,
                preexisting: true,
                reported: false,
                owner: pid.map(owner),
            });
            let listeners: Vec<Listener> = listeners.collect();
            session.owners.handler = holder.map(owner);
            let found = owner_for(&session, listeners.iter());
            assert_eq!(found.map(|owner| owner.task.pid), expected, "{listeners:?}");
        }
    }
}
