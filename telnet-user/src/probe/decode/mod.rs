//! Ring-buffer bytes to typed records. Pure; any bytes decode or are refused, none panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use telnet_common::{
    AF_INET, AF_INET6, ARGS_BYTES, CallRecord, IPPROTO_MPTCP, IPPROTO_TCP, KIND_ACCEPT_FENTRY,
    KIND_ACCEPT_KPROBE, KIND_ACCEPT_SYSCALL, KIND_CLOSE, KIND_CONNECT, KIND_EXEC, KIND_EXIT,
    KIND_FORK, KIND_LISTEN, KIND_PROTOCOL, KIND_STATE, ProcessRecord, ProtocolRecord, RecordHeader,
    SocketRecord, StateRecord, TaskRecord, protocol, tcp_state,
};
use thiserror::Error;
use zerocopy::FromBytes as _;

use super::record::{
    Accept, Args, Exec, Exit, ExitStatus, Fork, Hook, KernelEvent, Protocol, Record, Socket,
    SocketError, SocketKey, StateChange, Task, TcpCounters, TcpState, Tty,
};
use crate::clock::BootTime;

/// Why a record was refused: the probe and the agent do not belong together, or memory is broken.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer or more bytes than the kind has.
    #[error("a record of kind {kind} has {actual} bytes")]
    Size {
        /// Kind, 0 when not even the header is there.
        kind: u32,
        /// Bytes received.
        actual: usize,
    },
    /// No such kind.
    #[error("unknown record kind {0}")]
    Kind(u32),
    /// Neither IPv4 nor IPv6.
    #[error("unknown address family {0}")]
    Family(u16),
    /// No such TCP state.
    #[error("unknown TCP state {0}")]
    State(u8),
    /// Neither TCP nor MPTCP.
    #[error("unknown protocol {0}")]
    Protocol(u16),
    /// No protocol that can be proven.
    #[error("unknown application protocol {0}")]
    Application(u32),
}

/// Decodes one record.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let (header, _) =
        RecordHeader::read_from_prefix(bytes).map_err(|_short| DecodeError::Size {
            kind: 0,
            actual: bytes.len(),
        })?;
    let size_error = || DecodeError::Size {
        kind: header.kind,
        actual: bytes.len(),
    };
    let event = match header.kind {
        KIND_STATE => {
            let record = StateRecord::read_from_bytes(bytes).map_err(|_size| size_error())?;
            KernelEvent::State(state_change(&record)?)
        }
        KIND_CONNECT | KIND_LISTEN | KIND_CLOSE | KIND_ACCEPT_FENTRY | KIND_ACCEPT_KPROBE
        | KIND_ACCEPT_SYSCALL => {
            let record = CallRecord::read_from_bytes(bytes).map_err(|_size| size_error())?;
            call(&record)?
        }
        KIND_FORK | KIND_EXEC | KIND_EXIT => {
            let record = ProcessRecord::read_from_bytes(bytes).map_err(|_size| size_error())?;
            process(&record)?
        }
        KIND_PROTOCOL => {
            let record = ProtocolRecord::read_from_bytes(bytes).map_err(|_size| size_error())?;
            KernelEvent::Protocol(socket(&record.socket)?, application(record.protocol)?)
        }
        kind => return Err(DecodeError::Kind(kind)),
    };
    Ok(Record {
        cpu: header.cpu,
        sequence: header.sequence,
        time: BootTime::from_nanos(header.time_ns),
        event,
    })
}

fn call(record: &CallRecord) -> Result<KernelEvent, DecodeError> {
    let socket = socket(&record.socket)?;
    let task = task(&record.task);
    let hook = match record.header.kind {
        KIND_CONNECT => return Ok(KernelEvent::Connect(socket, task)),
        KIND_LISTEN => return Ok(KernelEvent::Listen(socket, task)),
        KIND_CLOSE => return Ok(KernelEvent::Close(socket, task)),
        KIND_ACCEPT_FENTRY => Hook::Fentry,
        KIND_ACCEPT_KPROBE => Hook::Kprobe,
        KIND_ACCEPT_SYSCALL => Hook::SyscallExit,
        kind => return Err(DecodeError::Kind(kind)),
    };
    Ok(KernelEvent::Accept(Accept {
        socket,
        task,
        hook,
        inode: known(record.inode),
    }))
}

fn process(record: &ProcessRecord) -> Result<KernelEvent, DecodeError> {
    let task = task(&record.task);
    let left_out = record.left_out;
    Ok(match record.header.kind {
        KIND_FORK => KernelEvent::Fork(Fork {
            child: task,
            left_out,
        }),
        KIND_EXEC => KernelEvent::Exec(Exec {
            task,
            stdin: known(record.stdin),
            tty: known(record.tty).map(tty),
            effective_uid: record.effective_uid,
            left_out,
        }),
        KIND_EXIT => KernelEvent::Exit(Exit {
            task,
            status: exit_status(record.exit_status),
            left_out,
        }),
        kind => return Err(DecodeError::Kind(kind)),
    })
}

/// `major << 20 | minor`.
const fn tty(device: u32) -> Tty {
    Tty {
        major: device >> 20,
        minor: device & 0xf_ffff,
    }
}

/// As wait(2) packs it: the signal in the low seven bits, else the code in the byte above.
const fn exit_status(status: u32) -> ExitStatus {
    let [low, high, ..] = status.to_le_bytes();
    match low & 0x7f {
        0 => ExitStatus::Code(high),
        signal => ExitStatus::Signal(signal),
    }
}

/// 0 is how the kernel side says that it does not know.
fn known<T: PartialEq + Default>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

fn state_change(record: &StateRecord) -> Result<StateChange, DecodeError> {
    Ok(StateChange {
        socket: socket(&record.socket)?,
        old: tcp_state(record.old_state)?,
        new: tcp_state(record.new_state)?,
        counters: (record.has_traffic == 1).then_some(TcpCounters {
            bytes_received: record.bytes_received,
            bytes_acked: record.bytes_acked,
            segments_in: record.segs_in,
            segments_out: record.segs_out,
            fin_received: record.fin_received == 1,
        }),
    })
}

fn socket(record: &SocketRecord) -> Result<Socket, DecodeError> {
    let address = |bytes: [u8; 16], port| {
        let ip = match record.family {
            AF_INET => {
                let [a, b, c, d, ..] = bytes;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            AF_INET6 => Ipv6Addr::from(bytes).to_canonical(),
            family => return Err(DecodeError::Family(family)),
        };
        Ok(SocketAddr::new(ip, port))
    };
    Ok(Socket {
        key: SocketKey {
            address: record.sock,
            cookie: known(record.cookie),
        },
        netns: known(record.netns),
        error: match u16::try_from(record.error) {
            Ok(0) => SocketError::Clear,
            Ok(errno) => SocketError::Errno(errno),
            Err(_) => SocketError::Unknown,
        },
        mptcp: match record.protocol {
            IPPROTO_TCP => false,
            IPPROTO_MPTCP => true,
            protocol => return Err(DecodeError::Protocol(protocol)),
        },
        local: address(record.local_address, record.local_port)?,
        remote: address(record.remote_address, record.remote_port)?,
    })
}

fn task(record: &TaskRecord) -> Task {
    Task {
        pid: record.tgid,
        tid: record.tid,
        uid: record.uid,
        gid: record.gid,
        start: known(record.start_ns).map(BootTime::from_nanos),
        comm: text(until_nul(&record.comm)),
        parent: known(record.parent_tgid),
        cgroup: known(record.cgroup_id),
        args: args(&record.args, record.args_len),
    }
}

/// The arguments are NUL-terminated; what a program wrote over its own command line need not be.
fn args(bytes: &[u8; ARGS_BYTES], len: u32) -> Option<Args> {
    let len = usize::try_from(len).ok().filter(|&len| len > 0)?;
    let copied = bytes.get(..len.min(ARGS_BYTES))?;
    let copied = copied.strip_suffix(&[0]).unwrap_or(copied);
    Some(Args {
        list: copied.split(|&byte| byte == 0).map(text).collect(),
        truncated: len > ARGS_BYTES,
    })
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const fn application(number: u32) -> Result<Protocol, DecodeError> {
    Ok(match number {
        protocol::TELNET => Protocol::Telnet,
        protocol::SSH => Protocol::Ssh,
        protocol::HTTP => Protocol::Http,
        protocol::TLS => Protocol::Tls,
        other => return Err(DecodeError::Application(other)),
    })
}

fn tcp_state(number: u8) -> Result<TcpState, DecodeError> {
    Ok(match number {
        tcp_state::ESTABLISHED => TcpState::Established,
        tcp_state::SYN_SENT => TcpState::SynSent,
        tcp_state::SYN_RECV => TcpState::SynRecv,
        tcp_state::FIN_WAIT1 => TcpState::FinWait1,
        tcp_state::FIN_WAIT2 => TcpState::FinWait2,
        tcp_state::CLOSE => TcpState::Close,
        tcp_state::CLOSE_WAIT => TcpState::CloseWait,
        tcp_state::LAST_ACK => TcpState::LastAck,
        tcp_state::LISTEN => TcpState::Listen,
        tcp_state::CLOSING => TcpState::Closing,
        other => return Err(DecodeError::State(other)),
    })
}

#[cfg(test)]
mod tests;
