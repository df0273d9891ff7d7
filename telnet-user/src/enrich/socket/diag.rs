//! Sockets by `sock_diag` (man page 7): what `ss` uses.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{
        AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED,
        TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT,
    },
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::Error;
use crate::probe::record::{TcpCounters, TcpState};

/// Longest datagram that the kernel makes of a dump.
const BUFFER: usize = 64 * 1024;

/// The kernel answers at once; this only keeps a surprise from blocking for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// `INET_DIAG_NOCOOKIE`: any cookie will do.
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// A socket as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: TcpState,
    pub(super) cookie: Option<u64>,
    /// Inode number in sockfs; 0 while nobody has accepted the connection.
    pub(super) inode: u32,
    /// Traffic counters of a connection, when they were asked for.
    pub(super) counters: Option<TcpCounters>,
}

/// A `sock_diag` socket in one network namespace.
#[derive(Debug)]
pub(super) struct Diag {
    socket: Socket,
    sequence: u32,
}

impl Diag {
    /// Opens it in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, Error> {
        let socket = Socket::new(NETLINK_SOCK_DIAG).map_err(Error::Open)?;
        socket
            .connect(&NetlinkAddr::new(0, 0))
            .map_err(Error::Open)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))
            .map_err(|errno| Error::Open(errno.into()))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// The connection with exactly these ends, and this cookie if one is given.
    pub(super) fn find(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        cookie: Option<u64>,
    ) -> Result<Option<Entry>, Error> {
        let mut ends = vec![(local, remote)];
        // The same connection when its socket is an IPv6 one.
        if let (IpAddr::V4(here), IpAddr::V4(there)) = (local.ip(), remote.ip()) {
            let mapped = |ip, port| SocketAddr::new(IpAddr::V6(ip), port);
            ends.push((
                mapped(here.to_ipv6_mapped(), local.port()),
                mapped(there.to_ipv6_mapped(), remote.port()),
            ));
        }
        for (here, there) in ends {
            let id = SocketId {
                source_port: here.port(),
                destination_port: there.port(),
                source_address: here.ip(),
                destination_address: there.ip(),
                interface_id: interface(here, there),
                cookie: cookie.map_or(NO_COOKIE, cookie_bytes),
            };
            let request = request(family(here), StateFlags::all(), id);
            let mut found = None;
            self.ask(request, NLM_F_REQUEST, |entry| found = Some(entry))?;
            // Without such a connection the kernel answers with the listener on the port.
            if let Some(entry) = found
                && entry.state != TcpState::Listen
                && (entry.local, entry.remote) == (canonical(local), canonical(remote))
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Fails on a kernel without `sock_diag` for TCP, where [`Self::find`] finds nothing and
    /// [`Self::list`] lists nothing.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        // Listening sockets are few: the answer is short.
        let request = request(AF_INET, StateFlags::LISTEN, SocketId::new_v4());
        match self.ask(request, NLM_F_REQUEST | NLM_F_DUMP, |_| {})? {
            Answer::Given => Ok(()),
            Answer::NotFound => Err(Error::Unsupported),
        }
    }

    /// All TCP sockets but those in `TIME_WAIT`, which belong to nobody.
    pub(super) fn list(&mut self, each: impl FnMut(Entry)) -> Result<(), Error> {
        self.dump((0, 0), &ExtensionFlags::empty(), each)
    }

    /// As [`Self::list`], with their traffic counters, for which the kernel locks each socket.
    pub(super) fn list_with_counters(&mut self, each: impl FnMut(Entry)) -> Result<(), Error> {
        self.dump((0, 0), &ExtensionFlags::INFO, each)
    }

    /// As [`Self::list`], only those with these ports, where 0 stands for any: the kernel leaves
    /// out the others.
    pub(super) fn list_between(
        &mut self,
        local_port: u16,
        remote_port: u16,
        each: impl FnMut(Entry),
    ) -> Result<(), Error> {
        self.dump((local_port, remote_port), &ExtensionFlags::empty(), each)
    }

    fn dump(
        &mut self,
        (local_port, remote_port): (u16, u16),
        extensions: &ExtensionFlags,
        mut each: impl FnMut(Entry),
    ) -> Result<(), Error> {
        let states = StateFlags::all() - StateFlags::TIME_WAIT;
        for (family, any) in [
            (AF_INET, SocketId::new_v4()),
            (AF_INET6, SocketId::new_v6()),
        ] {
            let id = SocketId {
                source_port: local_port,
                destination_port: remote_port,
                ..any
            };
            let request = InetRequest {
                extensions: extensions.clone(),
                ..request(family, states.clone(), id)
            };
            // IPv6 may be switched off: then it is not found.
            self.ask(request, NLM_F_REQUEST | NLM_F_DUMP, &mut each)?;
        }
        Ok(())
    }

    fn ask(
        &mut self,
        request: InetRequest,
        flags: u16,
        mut each: impl FnMut(Entry),
    ) -> Result<Answer, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(Error::Request)?;
        let dump = flags & NLM_F_DUMP == NLM_F_DUMP;
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            buffer.clear();
            self.socket.recv(&mut buffer, 0).map_err(Error::Request)?;
            if let Some(answer) = self.read(&buffer, dump, &mut each)? {
                return Ok(answer);
            }
        }
    }

    /// Reads one datagram; an answer when it holds the last message.
    fn read(
        &self,
        datagram: &[u8],
        dump: bool,
        each: &mut impl FnMut(Entry),
    ) -> Result<Option<Answer>, Error> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| Error::Decode(error.to_string()))?;
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
            let aligned = length.next_multiple_of(4).max(4);
            rest = rest.get(aligned..).unwrap_or_default();
            if message.header.sequence_number != self.sequence {
                continue;
            }
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    if let Some(entry) = entry(&response) {
                        each(entry);
                    }
                    if !dump {
                        return Ok(Some(Answer::Given));
                    }
                }
                // A list that could not be made ends with the error: so it is when the kernel has
                // sock_diag, but none for TCP.
                NetlinkPayload::Done(done) if done.code < 0 => {
                    let error = io::Error::from_raw_os_error(done.code.saturating_neg());
                    return refusal(error).map(Some);
                }
                NetlinkPayload::Done(_) => return Ok(Some(Answer::Given)),
                NetlinkPayload::Error(error) => return refusal(error.to_io()).map(Some),
                NetlinkPayload::Noop
                | NetlinkPayload::Overrun(_)
                | NetlinkPayload::InnerMessage(_)
                | _ => {}
            }
        }
        Ok(None)
    }
}

/// How a request ended, other than by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Given,
    NotFound,
}

/// `ENOENT`: no such socket, or no such kernel module; `ESTALE`: another cookie.
fn refusal(error: io::Error) -> Result<Answer, Error> {
    let errno = rustix::io::Errno::from_io_error(&error);
    match errno {
        Some(rustix::io::Errno::NOENT | rustix::io::Errno::STALE) => Ok(Answer::NotFound),
        _ => Err(Error::Request(error)),
    }
}

fn request(family: u8, states: StateFlags, socket_id: SocketId) -> InetRequest {
    InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id,
    }
}

const fn family(address: SocketAddr) -> u8 {
    match address {
        SocketAddr::V4(_) => AF_INET,
        SocketAddr::V6(_) => AF_INET6,
    }
}

/// Sockets with link-local addresses are bound to an interface and found only with its number.
fn interface(local: SocketAddr, remote: SocketAddr) -> u32 {
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

fn entry(response: &InetResponse) -> Option<Entry> {
    let header = &response.header;
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
fn cookie_bytes(cookie: u64) -> [u8; 8] {
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
    fn a_protocol_without_a_handler_is_told_from_an_empty_list() {
        let mut diag = Diag::open().expect("sock_diag");
        let mut ask = |protocol, states| {
            let request = InetRequest {
                protocol,
                ..request(AF_INET, states, SocketId::new_v4())
            };
            diag.ask(request, NLM_F_REQUEST | NLM_F_DUMP, |entry| {
                panic!("listed {entry:?}")
            })
        };
        let unassigned = 250;
        for _ in 0..2 {
            let answer = ask(unassigned, StateFlags::all()).expect("an answer");
            assert_eq!(answer, Answer::NotFound);
            let answer = ask(IPPROTO_TCP, StateFlags::empty()).expect("an answer");
            assert_eq!(answer, Answer::Given);
        }
    }

    #[test]
    fn a_cookie_survives_its_form_on_the_wire() {
        for cookie in [0, 1, u64::from(u32::MAX), 1 << 32, 0x0123_4567_89ab_cdef] {
            assert_eq!(cookie_number(cookie_bytes(cookie)), cookie);
        }
    }
}
