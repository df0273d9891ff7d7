//! What a list of sockets tells of sessions, and what it leaves open.

use crate::{
    enrich::socket::OpenSocket,
    probe::record::TcpState,
    session::{Direction, Listener, Owner, Session},
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

/// Which side this host is on. The kernel does not keep who connected: a listener on the local end
/// tells, else which of the ports is a monitored one, else the lower port is the service's.
pub(super) fn direction(
    socket: &OpenSocket,
    has_listener: bool,
    is_wanted: impl Fn(u16) -> bool,
) -> Direction {
    let (local, remote) = (socket.local.port(), socket.remote.port());
    let is_service = is_wanted(local) && (!is_wanted(remote) || local < remote);
    if socket.state != TcpState::SynSent && (has_listener || is_service) {
        Direction::Ingress
    } else {
        Direction::Egress
    }
}

/// Whose listening socket a session came in through. Several can share an address
/// (`SO_REUSEPORT`): then the one that holds the session too, or nobody rather than a guess.
pub(super) fn listener_of(
    session: &Session,
    holder: Option<&Owner>,
    listeners: &[(OpenSocket, Listener)],
) -> Option<Owner> {
    let owners: Vec<&Owner> = listeners
        .iter()
        .filter(|(_, listener)| session.came_through(listener))
        .map(|(_, listener)| listener.owner.as_ref())
        .collect::<Option<_>>()?;
    let first = *owners.first()?;
    if owners.iter().all(|owner| is_same(owner, first)) {
        return Some(first.clone());
    }
    let holder = holder?;
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
        session::{Attribution, Owners},
    };

    fn socket(local: &str, remote: &str, state: TcpState) -> OpenSocket {
        let end = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        OpenSocket {
            netns: Some(1),
            local: end(local),
            remote: end(remote),
            state,
            cookie: Some(7),
            inode: 0,
            counters: None,
            pids: Vec::new(),
        }
    }

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
    fn who_connected_is_told_by_listeners_then_ports() {
        let only_23 = |port| port == 23;
        let any = |_: u16| true;
        let both = |port| port == 23 || port == 2323;
        let ingress = Direction::Ingress;
        let egress = Direction::Egress;
        for (local, remote, listens, expected) in [
            ("192.0.2.1:23", "192.0.2.2:50000", true, [ingress; 3]),
            ("192.0.2.1:23", "192.0.2.2:50000", false, [ingress; 3]),
            ("192.0.2.1:50000", "192.0.2.2:23", false, [egress; 3]),
            // A server whose port is below that of its client's.
            ("192.0.2.1:2323", "192.0.2.2:23", true, [ingress; 3]),
            ("192.0.2.1:2323", "192.0.2.2:23", false, [egress; 3]),
            ("192.0.2.1:23", "192.0.2.2:23", false, [egress; 3]),
        ] {
            let socket = socket(local, remote, TcpState::Established);
            let found = [
                direction(&socket, listens, only_23),
                direction(&socket, listens, both),
                direction(&socket, listens, any),
            ];
            assert_eq!(found, expected, "{local} {remote} {listens}");
        }
        let attempt = socket("192.0.2.1:23", "192.0.2.2:50000", TcpState::SynSent);
        assert_eq!(direction(&attempt, true, any), egress);
    }

    #[test]
    fn what_the_kernel_only_remembers_is_not_open() {
        let at = |state, inode| {
            let mut socket = socket("192.0.2.1:23", "192.0.2.2:50000", state);
            socket.inode = inode;
            is_open(&socket)
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
            inode: None,
            owners: Owners::default(),
        }
    }

    #[test]
    fn a_listener_is_named_when_it_is_certain() {
        let session = session();
        let on = |local, pid: Option<u32>| {
            let socket = socket(local, "0.0.0.0:0", TcpState::Listen);
            let listener = Listener {
                key: session.key,
                netns: socket.netns,
                local: socket.local,
                opened: None,
                preexisting: true,
                owner: pid.map(owner),
            };
            (socket, listener)
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
            let holder = holder.map(owner);
            let found = listener_of(&session, holder.as_ref(), &listeners);
            assert_eq!(found.map(|owner| owner.task.pid), expected, "{listeners:?}");
        }
    }
}
