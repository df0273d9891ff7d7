//! Sockets that were open before the agent, as sessions and listeners.

use std::collections::HashSet;

use super::{
    Enricher,
    socket::{OpenSocket, OpenSockets},
};
use crate::{
    probe::record::{SocketKey, TcpState},
    session::{Direction, Found, Listener, Listing, Owner, Owners, Seen, Session},
};

impl Enricher {
    /// The sessions on the ports that `is_monitored` that are new, and all listening sockets there, in
    /// every network namespace; with the holders of those that are new.
    pub fn found(
        &mut self,
        is_monitored: &dyn Fn(u16) -> bool,
        is_new: &mut dyn FnMut(&Seen) -> bool,
    ) -> Listing {
        // In whichever state it is: of one that is known it counts that it is there.
        let mut is_new = |socket: &OpenSocket| {
            let seen = seen(socket);
            is_new(&seen) && (seen.is_listening || seen.is_session)
        };
        let OpenSockets {
            sockets,
            namespaces,
            is_complete,
        } = self.sockets.list_new(is_monitored, &mut is_new);
        let identified = self.identify(sockets, is_monitored);
        Listing {
            found: identified.into_iter().map(|(_, found)| found).collect(),
            namespaces,
            is_complete,
        }
    }

    /// Each of `sockets` with the session or monitored listener that it is, and who holds it.
    /// Listeners come first: sessions are joined to them.
    pub fn identify(
        &mut self,
        sockets: Vec<OpenSocket>,
        is_monitored: &dyn Fn(u16) -> bool,
    ) -> Vec<(OpenSocket, Found)> {
        let is_listener = |socket: &OpenSocket| socket.state == TcpState::Listen;
        let served: HashSet<(Option<u32>, u16)> = sockets
            .iter()
            .filter(|socket| is_listener(socket))
            .map(|socket| (socket.netns, socket.local.port()))
            .collect();
        let mut sockets = sockets;
        sockets.retain(|socket| !is_listener(socket) || is_monitored(socket.local.port()));
        let owners = self.owners_of(&sockets);
        let (listeners, others): (Vec<_>, Vec<_>) = sockets
            .into_iter()
            .zip(owners)
            .partition(|(socket, _)| is_listener(socket));
        let listeners = listeners.into_iter().map(|(socket, owner)| {
            let found = Found::Listener(listener(&socket, owner));
            (socket, found)
        });
        let sessions = others.into_iter().map(|(socket, owner)| {
            let is_served = served.contains(&(socket.netns, socket.local.port()));
            let direction = direction(&socket, is_served, is_monitored);
            let found = Found::Session(Box::new(session(&socket, direction, owner)));
            (socket, found)
        });
        listeners.chain(sessions).collect()
    }
}

/// Which side this host is on. The kernel does not keep who connected. It does keep clients off
/// the ports that are listened on, so a served port is the server's, whatever port the peer has
/// chosen. Both ends can have a monitored port and no listener any more: then the lower one is the
/// server's, since a client's is mostly chosen by the kernel.
fn direction(
    socket: &OpenSocket,
    is_served: bool,
    is_monitored: impl Fn(u16) -> bool,
) -> Direction {
    let (local, remote) = (socket.local.port(), socket.remote.port());
    let is_servers = is_monitored(local) && (!is_monitored(remote) || local < remote);
    if socket.state != TcpState::SynSent && (is_served || is_servers) {
        Direction::Ingress
    } else {
        Direction::Egress
    }
}

/// Somebody can still read from it: what only waits for the last packets is no session any more.
/// A side that shut down sending alone still holds its socket, and one that closed it does not.
const fn is_open(socket: &OpenSocket) -> bool {
    match socket.state {
        TcpState::Established | TcpState::CloseWait => true,
        TcpState::FinWait1 | TcpState::FinWait2 => socket.inode != 0,
        TcpState::SynSent
        | TcpState::SynRecv
        | TcpState::Close
        | TcpState::LastAck
        | TcpState::Listen
        | TcpState::Closing => false,
    }
}

const fn seen(socket: &OpenSocket) -> Seen {
    Seen {
        netns: socket.netns,
        local: socket.local,
        remote: socket.remote,
        cookie: socket.cookie,
        is_listening: matches!(socket.state, TcpState::Listen),
        is_session: is_open(socket),
    }
}

fn listener(socket: &OpenSocket, owner: Option<Owner>) -> Listener {
    Listener {
        key: key(socket),
        netns: socket.netns,
        local: socket.local,
        opened: None,
        preexisting: true,
        reported: false,
        owner,
    }
}

fn session(socket: &OpenSocket, direction: Direction, owner: Option<Owner>) -> Session {
    let mut owners = Owners::default();
    match direction {
        // Who holds it now serves it; who accepted it is not known any more.
        Direction::Ingress => owners.handler = owner,
        Direction::Egress => owners.client = owner,
    }
    Session {
        netns: socket.netns,
        preexisting: true,
        inode: (socket.inode != 0).then_some(u64::from(socket.inode)),
        owners,
        ..Session::new(key(socket), direction, socket.local, socket.remote)
    }
}

/// `sock_diag` does not tell the address of the socket.
fn key(socket: &OpenSocket) -> SocketKey {
    SocketKey {
        address: 0,
        cookie: socket.cookie,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(state: TcpState, inode: u32) -> OpenSocket {
        OpenSocket {
            netns: Some(1),
            local: "192.0.2.1:23".parse().expect("address"),
            remote: "192.0.2.2:40000".parse().expect("address"),
            state,
            cookie: Some(5),
            inode,
            counters: None,
            pids: Vec::new(),
        }
    }

    #[test]
    fn a_session_found_open_has_no_times_and_no_acceptor() {
        let session = session(&socket(TcpState::Established, 9), Direction::Ingress, None);
        assert!(session.preexisting);
        assert_eq!((session.opened, session.attempted), (None, None));
        assert_eq!(session.inode, Some(9));
        assert_eq!(session.key.cookie, Some(5));
        assert!(session.owners.acceptor.is_none());
    }

    #[test]
    fn a_connection_that_nobody_accepted_yet_has_no_inode() {
        let session = session(&socket(TcpState::Established, 0), Direction::Ingress, None);
        assert_eq!(session.inode, None);
    }

    #[test]
    fn only_what_can_still_carry_data_is_a_session() {
        for (state, inode, expected) in [
            (TcpState::Established, 0, true),
            (TcpState::Established, 9, true),
            (TcpState::CloseWait, 9, true),
            (TcpState::FinWait2, 9, true),
            (TcpState::FinWait2, 0, false),
            (TcpState::SynSent, 9, false),
            (TcpState::LastAck, 0, false),
            (TcpState::Close, 9, false),
        ] {
            assert_eq!(
                is_open(&socket(state, inode)),
                expected,
                "{state:?} {inode}"
            );
        }
    }

    fn between(local: &str, remote: &str, state: TcpState) -> OpenSocket {
        OpenSocket {
            local: local.parse().expect("address"),
            remote: remote.parse().expect("address"),
            ..socket(state, 9)
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
            // A server whose port is above that of its client.
            ("192.0.2.1:2323", "192.0.2.2:23", true, [ingress; 3]),
            // A peer that chose the monitored port to look like a server.
            ("192.0.2.1:5000", "192.0.2.2:23", true, [ingress; 3]),
            ("192.0.2.1:2323", "192.0.2.2:23", false, [egress; 3]),
            ("192.0.2.1:23", "192.0.2.2:23", false, [egress; 3]),
        ] {
            let socket = between(local, remote, TcpState::Established);
            let found = [
                direction(&socket, listens, only_23),
                direction(&socket, listens, both),
                direction(&socket, listens, any),
            ];
            assert_eq!(found, expected, "{local} {remote} {listens}");
        }
        let attempt = between("192.0.2.1:23", "192.0.2.2:50000", TcpState::SynSent);
        assert_eq!(direction(&attempt, true, any), egress);
    }
}
