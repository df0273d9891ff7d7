//! The TCP socket table of the calling thread's namespace.

use std::net::SocketAddr;

use anyhow::Result;
use procfs::net::{TcpNetEntries, TcpNetEntry};
use procfs::{FromBufReadSI as _, LocalSystemInfo};

pub use procfs::net::TcpState;

/// One row of `/proc/net/tcp` or `tcp6`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Own end.
    pub local: SocketAddr,
    /// Other end; unspecified for a listener.
    pub remote: SocketAddr,
    /// State at the time of reading.
    pub state: TcpState,
    /// Inode number; 0 before accept and after close.
    pub inode: u64,
}

/// Reads both families' tables.
pub(super) fn read() -> Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for family in ["tcp", "tcp6"] {
        let file = std::fs::File::open(format!("/proc/thread-self/net/{family}"))?;
        let rows = TcpNetEntries::from_buf_read(std::io::BufReader::new(file), &LocalSystemInfo)?;
        sockets.extend(rows.0.into_iter().map(Socket::from));
    }
    Ok(sockets)
}

impl From<TcpNetEntry> for Socket {
    fn from(row: TcpNetEntry) -> Self {
        Self {
            local: canonical(row.local_address),
            remote: canonical(row.remote_address),
            state: row.state,
            inode: row.inode,
        }
    }
}

/// An IPv4-mapped address as the IPv4 address it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
