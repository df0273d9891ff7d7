//! TCP sockets with more choice than the standard library gives.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::net::{
    self, AddressFamily, SocketFlags, SocketType, getpeername, getsockname, ipproto,
};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Lets this process have as many sockets as the hard limit says: the soft one is 1024 where no
/// service manager raised it.
pub(crate) fn hold_as_many_as_allowed() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("RLIMIT_NOFILE")
}

/// A stream socket of the address's family.
pub(crate) fn stream(address: SocketAddr, mptcp: bool, flags: SocketFlags) -> Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let protocol = if mptcp { ipproto::MPTCP } else { ipproto::TCP };
    let flags = flags | SocketFlags::CLOEXEC;
    net::socket_with(family, SocketType::STREAM, flags, Some(protocol)).context("socket")
}

/// A listener; `shared` sets `SO_REUSEPORT`.
pub(crate) fn listener(address: SocketAddr, mptcp: bool, shared: bool) -> Result<OwnedFd> {
    let socket = stream(address, mptcp, SocketFlags::empty())?;
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    if shared {
        net::sockopt::set_socket_reuseport(&socket, true)?;
    }
    net::bind(&socket, &address).with_context(|| format!("bind {address}"))?;
    net::listen(&socket, 4096)?;
    Ok(socket)
}

/// The socket's own address.
pub(crate) fn local(socket: impl AsFd) -> Result<SocketAddr> {
    Ok(SocketAddr::try_from(getsockname(socket)?)?)
}

/// The other end's address.
pub(crate) fn remote(socket: impl AsFd) -> Result<SocketAddr> {
    Ok(SocketAddr::try_from(
        getpeername(socket)?.context("no peer")?,
    )?)
}
