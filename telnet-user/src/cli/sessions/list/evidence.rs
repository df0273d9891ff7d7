//! What a list of sockets tells of sessions, and what it leaves open.

use crate::{
    enrich::socket::OpenSocket,
    probe::record::TcpState,
    session::{Listener, Owner, Session},
};

/// Whether a socket listens, or is one end of a session that this host has not finished with.
pub(super) const fn is_open(socket: &OpenSocket) -> bool {
    match socket.state {
        TcpState::Listen
        | TcpState::SynSent
        | TcpState::Established
        | TcpState::FinWait1
        | TcpState::CloseWait
        | TcpState::LastAck
        | TcpState::Closing => true,
        // Without an inode it is all that is left of a socket: as with TIME_WAIT, the kernel only
        // keeps the ends for a while.
        TcpState::FinWait2 => socket.inode != 0,
        // The handshake is not complete, or there is no connection.
        TcpState::SynRecv | TcpState::Close => false,
    }
}

/// Whose listening socket a session came in through. Several can share an address
/// (`SO_REUSEPORT`): then the one that holds the session too, or nobody rather than a guess.
pub(super) fn listener_of(session: &Session, listeners: &[Listener]) -> Option<Owner> {
    let owners: Vec<&Owner> = listeners
        .iter()
        .filter(|listener| session.came_through(listener))
        .map(|listener| listener.owner.as_ref())
        .collect::<Option<_>>()?;
    let first = *owners.first()?;
    if owners.iter().all(|owner| is_same(owner, first)) {
        return Some(first.clone());
    }
    let holder = session.owners.closest()?;
    owners
        .into_iter()
        .find(|owner| is_same(owner, holder))
        .cloned()
}

fn is_same(left: &Owner, right: &Owner) -> bool {
    left.task.pid == right.task.pid && left.task.start == right.task.start
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc};

    use super::*;
    use crate::{
        probe::record::{SocketKey, Task},
        session::{Attribution, Direction, Owners},
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

    #[test]
    fn what_the_kernel_only_remembers_is_not_open() {
        let end: SocketAddr = "192.0.2.1:23".parse().expect("an address");
        let at = |state, inode| {
            is_open(&OpenSocket {
                netns: Some(1),
                local: end,
                remote: end,
                state,
                cookie: Some(7),
                inode,
                counters: None,
                pids: Vec::new(),
            })
        };
        assert!(at(TcpState::Established, 0), "nobody has accepted it yet");
        assert!(at(TcpState::FinWait1, 0), "its last bytes are on their way");
        assert!(at(TcpState::FinWait2, 5));
        assert!(!at(TcpState::FinWait2, 0));
        assert!(!at(TcpState::SynRecv, 0));
    }

    fn session() -> Session {
        Session {
            key: SocketKey {
                address: 0,
                cookie: None,
            },
            direction: Direction::Ingress,
            netns: Some(1),
            local: "192.0.2.1:23".parse().expect("an address"),
            remote: "192.0.2.2:50000".parse().expect("an address"),
            attempted: None,
            opened: None,
            preexisting: true,
            reported: false,
            inode: None,
            owners: Owners::default(),
        }
    }

    #[test]
    fn a_listener_is_named_when_it_is_certain() {
        let mut session = session();
        let key = session.key;
        let on = |local: &str, pid: Option<u32>| Listener {
            key,
            netns: Some(1),
            local: local.parse().expect("an address"),
            opened: None,
            preexisting: true,
            reported: false,
            owner: pid.map(owner),
        };
        let elsewhere = on("192.0.2.9:23", Some(9));
        for (listeners, holder, expected) in [
            (vec![], None, None),
            (
                vec![on("0.0.0.0:23", Some(3)), elsewhere.clone()],
                None,
                Some(3),
            ),
            (
                vec![on("0.0.0.0:23", Some(3)), on("[::]:23", Some(3))],
                Some(8),
                Some(3),
            ),
            // Workers with a socket each.
            (
                vec![on("0.0.0.0:23", Some(3)), on("0.0.0.0:23", Some(4))],
                None,
                None,
            ),
            (
                vec![on("0.0.0.0:23", Some(3)), on("0.0.0.0:23", Some(4))],
                Some(4),
                Some(4),
            ),
            (
                vec![on("0.0.0.0:23", Some(3)), on("0.0.0.0:23", Some(4))],
                Some(8),
                None,
            ),
            // One of them may be anybody's.
            (
                vec![on("0.0.0.0:23", Some(3)), on("0.0.0.0:23", None)],
                Some(3),
                None,
            ),
        ] {
            session.owners.handler = holder.map(owner);
            let found = listener_of(&session, &listeners);
            assert_eq!(found.map(|owner| owner.task.pid), expected, "{listeners:?}");
        }
    }
}
