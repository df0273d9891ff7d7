//! Sockets that were open before the agent, as sessions and listeners.

use std::collections::HashSet;

use super::{Enricher, socket::OpenSocket};
use crate::{
    probe::record::{SocketKey, TcpState},
    session::{Direction, Found, Listener, Owner, Owners, Session},
};

impl Enricher {
    /// The sessions and listening sockets on the ports that `is_monitored`, in every network
    /// namespace, with their holders.
    pub fn found(&mut self, is_monitored: &dyn Fn(u16) -> bool) -> Vec<Found> {
        let sockets = self.open_sockets(is_monitored);
        let served: HashSet<(Option<u32>, u16)> = sockets
            .iter()
            .filter(|socket| socket.state == TcpState::Listen)
            .map(|socket| (socket.netns, socket.local.port()))
            .collect();
        // Listeners first: sessions are joined to them.
        let (listeners, others): (Vec<_>, Vec<_>) = sockets
            .into_iter()
            .partition(|socket| socket.state == TcpState::Listen);
        let mut found = Vec::with_capacity(listeners.len() + others.len());
        for socket in &listeners {
            let owner = self.owner_of(socket);
            found.push(Found::Listener(listener(socket, owner)));
        }
        for socket in others.iter().filter(|socket| is_open(socket.state)) {
            let owner = self.owner_of(socket);
            let local = (socket.netns, socket.local.port());
            // Both ends can have a monitored port; the served one is the server's.
            let is_inbound = is_monitored(socket.local.port())
                && (served.contains(&local) || !is_monitored(socket.remote.port()));
            let direction = if is_inbound {
                Direction::Ingress
            } else {
                Direction::Egress
            };
            found.push(Found::Session(Box::new(session(socket, direction, owner))));
        }
        found
    }
}

/// Data can still come in: what only waits for the last packets is no session any more.
fn is_open(state: TcpState) -> bool {
    matches!(state, TcpState::Established | TcpState::CloseWait)
}

fn listener(socket: &OpenSocket, owner: Option<Owner>) -> Listener {
    Listener {
        key: key(socket),
        netns: socket.netns,
        local: socket.local,
        opened: None,
        preexisting: true,
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
        key: key(socket),
        direction,
        netns: socket.netns,
        local: socket.local,
        remote: socket.remote,
        attempted: None,
        opened: None,
        preexisting: true,
        inode: (socket.inode != 0).then_some(u64::from(socket.inode)),
        owners,
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
        assert!(is_open(TcpState::Established) && is_open(TcpState::CloseWait));
        for state in [
            TcpState::SynSent,
            TcpState::FinWait2,
            TcpState::LastAck,
            TcpState::Close,
        ] {
            assert!(!is_open(state), "{state:?}");
        }
    }
}
