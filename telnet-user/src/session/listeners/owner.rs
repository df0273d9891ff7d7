//! Which listening socket a session came in through, and whose that is.

use crate::session::{Listener, Owner, Owners, Session, may_equal};

/// Most sockets of one address that are told apart: servers that share one have a socket for each
/// processor, and each connection asks.
const MAX_SHARERS: usize = 256;

/// The owner of the listener that `session` came in through, if it is certain.
pub(in crate::session) fn owner_for<'a>(
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
            if owners.len() == MAX_SHARERS {
                return None;
            }
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
    use std::sync::Arc;

    use super::*;
    use crate::{
        probe::record::{SocketKey, Task},
        session::{Attribution, Direction},
    };

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
