//! Sockets by `sock_diag` (man page 7): what `ss` uses.

use std::{io, net::SocketAddr, time::Duration};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::{
    Error,
    wire::{Entry, NO_COOKIE, canonical, cookie_bytes, ends, entry, family, interface, request},
};
use crate::probe::record::TcpState;

/// Longest datagram that the kernel makes of a dump.
const BUFFER: usize = 64 * 1024;

/// The kernel answers at once; this only keeps a surprise from blocking for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// `SOCK_DESTROY` (`include/uapi/linux/sock_diag.h`), and where a message has its type
/// (`struct nlmsghdr`).
const SOCK_DESTROY: u16 = 21;
const TYPE: std::ops::Range<usize> = 4..6;

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
        for (here, there) in ends(local, remote) {
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

    /// Ends a connection as if its process had aborted it (`tcp_abort`): the peer gets a reset, the
    /// process `ECONNABORTED`. `false` when it is gone. By its ends
    /// alone the kernel would take the listening socket on the port in its place: the cookie says
    /// which socket is meant.
    ///
    /// Fails without `CAP_NET_ADMIN` and on a kernel without `CONFIG_INET_DIAG_DESTROY`.
    pub(super) fn destroy(&mut self, entry: &Entry) -> Result<bool, Error> {
        let Some(cookie) = entry.cookie else {
            return Err(Error::Unsupported);
        };
        for (here, there) in ends(entry.local, entry.remote) {
            let id = SocketId {
                source_port: here.port(),
                destination_port: there.port(),
                source_address: here.ip(),
                destination_address: there.ip(),
                interface_id: entry.interface,
                cookie: cookie_bytes(cookie),
            };
            let request = request(family(here), StateFlags::all(), id);
            let mut message = self.message(request, NLM_F_REQUEST | NLM_F_ACK);
            // The same request by another name, which the library does not know.
            if let Some(kind) = message.get_mut(TYPE) {
                kind.copy_from_slice(&SOCK_DESTROY.to_ne_bytes());
            }
            match self.exchange(&message, false, |_| {})? {
                Answer::Given => return Ok(true),
                Answer::NotFound => {}
            }
        }
        Ok(false)
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
        each: impl FnMut(Entry),
    ) -> Result<Answer, Error> {
        let bytes = self.message(request, flags);
        self.exchange(&bytes, flags & NLM_F_DUMP == NLM_F_DUMP, each)
    }

    /// A request as it is sent.
    fn message(&mut self, request: InetRequest, flags: u16) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn exchange(
        &self,
        bytes: &[u8],
        is_dump: bool,
        mut each: impl FnMut(Entry),
    ) -> Result<Answer, Error> {
        self.socket.send(bytes, 0).map_err(Error::Request)?;
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            buffer.clear();
            self.socket.recv(&mut buffer, 0).map_err(Error::Request)?;
            if let Some(answer) = self.read(&buffer, is_dump, &mut each)? {
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
                // The acknowledgement.
                NetlinkPayload::Error(error) if error.code.is_none() => {
                    return Ok(Some(Answer::Given));
                }
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

#[cfg(test)]
mod tests {
    use netlink_packet_sock_diag::constants::IPPROTO_TCP;

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
}
