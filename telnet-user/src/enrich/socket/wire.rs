//! Requests and answers of `sock_diag` as the kernel has them (`include/uapi/linux/inet_diag.h`).

use std::net::{IpAddr, SocketAddr};

use netlink_packet_sock_diag::{
    constants::{
        AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED,
        TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT,
    },
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, Timer, nlas::Nla},
};

use crate::probe::record::{TcpCounters, TcpState};

/// `INET_DIAG_NOCOOKIE`: any cookie will do.
pub(super) const NO_COOKIE: [u8; 8] = [0xff; 8];

/// A socket as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: TcpState,
    pub(super) cookie: Option<u64>,
    /// Inode number in sockfs; 0 while nobody has accepted the connection.
    pub(super) inode: u32,
    /// The interface it is bound to; 0 when to none, or when that is not known.
    pub(super) interface: u32,
    /// Traffic counters of a connection, when they were asked for.
    pub(super) counters: Option<TcpCounters>,
}

/// The ends of a connection, and what they are when its socket is an IPv6 one.
pub(super) fn ends(local: SocketAddr, remote: SocketAddr) -> Vec<(SocketAddr, SocketAddr)> {
    let mut ends = vec![(local, remote)];
    if let (IpAddr::V4(here), IpAddr::V4(there)) = (local.ip(), remote.ip()) {
        let mapped = |ip, port| SocketAddr::new(IpAddr::V6(ip), port);
        ends.push((
            mapped(here.to_ipv6_mapped(), local.port()),
            mapped(there.to_ipv6_mapped(), remote.port()),
        ));
    }
    ends
}

pub(super) fn request(family: u8, states: StateFlags, socket_id: SocketId) -> InetRequest {
    InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id,
    }
}

pub(super) const fn family(address: SocketAddr) -> u8 {
    match address {
        SocketAddr::V4(_) => AF_INET,
        SocketAddr::V6(_) => AF_INET6,
    }
}

/// Sockets with link-local addresses are bound to an interface and found only with its number.
pub(super) fn interface(local: SocketAddr, remote: SocketAddr) -> u32 {
    [local, remote]
        .into_iter()
        .find_map(|address| match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => None,
        })
        .unwrap_or(0)
}

/// IPv4-mapped addresses as IPv4, without scope: how the probe reports them.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// None for what stays of a connection that is over (`struct inet_timewait_sock`): the kernel lists
/// it for a minute, in `FIN_WAIT2` when the peer has not closed its side.
pub(super) fn entry(response: &InetResponse) -> Option<Entry> {
    let header = &response.header;
    if matches!(header.timer, Some(Timer::TimeWait)) {
        return None;
    }
    let id = &header.socket_id;
    let state = tcp_state(header.state)?;
    let end = |ip, port| canonical(SocketAddr::new(ip, port));
    let info = response.nlas.iter().find_map(|nla| {
        if let Nla::TcpInfo(info) = nla {
            Some(info)
        } else {
            None
        }
    });
    Some(Entry {
        local: end(id.source_address, id.source_port),
        remote: end(id.destination_address, id.destination_port),
        state,
        cookie: Some(cookie_number(id.cookie)).filter(|cookie| *cookie != 0),
        inode: header.inode,
        interface: id.interface_id,
        counters: info
            .filter(|_| state != TcpState::Listen)
            .and_then(|info| counters(info, state)),
    })
}

/// From `struct tcp_info` (`include/uapi/linux/tcp.h`), which only ever grew at its end; these
/// members are there since Linux 4.2.
fn counters(info: &[u8], state: TcpState) -> Option<TcpCounters> {
    let number = |at: usize| Some(u32::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    Some(TcpCounters {
        bytes_acked: long(120)?,
        bytes_received: long(128)?,
        segments_out: number(136)?,
        segments_in: number(140)?,
        fin_received: matches!(
            state,
            TcpState::CloseWait | TcpState::LastAck | TcpState::Closing
        ),
    })
}

/// States as in `include/net/tcp_states.h`.
pub(super) const fn tcp_state(number: u8) -> Option<TcpState> {
    Some(match number {
        TCP_ESTABLISHED => TcpState::Established,
        TCP_SYN_SENT => TcpState::SynSent,
        TCP_SYN_RECV => TcpState::SynRecv,
        TCP_FIN_WAIT1 => TcpState::FinWait1,
        TCP_FIN_WAIT2 => TcpState::FinWait2,
        TCP_CLOSE => TcpState::Close,
        TCP_CLOSE_WAIT => TcpState::CloseWait,
        TCP_LAST_ACK => TcpState::LastAck,
        TCP_LISTEN => TcpState::Listen,
        TCP_CLOSING => TcpState::Closing,
        _ => return None,
    })
}

/// Two words of host order, the low one first.
pub(super) fn cookie_bytes(cookie: u64) -> [u8; 8] {
    let word = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
    let words = [word(cookie), word(cookie >> 32)];
    let mut bytes = [0; 8];
    for (to, from) in bytes
        .iter_mut()
        .zip(words.iter().flat_map(|w| w.to_ne_bytes()))
    {
        *to = from;
    }
    bytes
}

fn cookie_number(bytes: [u8; 8]) -> u64 {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().rev().fold(0, |number, word| {
        number << 32 | u64::from(u32::from_ne_bytes(*word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_survives_its_form_on_the_wire() {
        for cookie in [0, 1, u64::from(u32::MAX), 1 << 32, 0x0123_4567_89ab_cdef] {
            assert_eq!(cookie_number(cookie_bytes(cookie)), cookie);
        }
    }
}
