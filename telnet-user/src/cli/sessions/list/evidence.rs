//! What a list of sockets tells of sessions, and what it leaves open.

use crate::{enrich::socket::OpenSocket, probe::record::TcpState};

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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

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
}
