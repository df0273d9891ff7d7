//! What the kernel probe and the agent must agree on, byte for byte.
//!
//! Every record is plain integers in `#[repr(C)]` order without padding: any bytes decode to
//! *something*; the agent validates values, not memory.
#![no_std]
#![forbid(unsafe_code)]

pub mod first_bytes;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `IPPROTO_TCP`: the only protocol whose state changes are sessions.
pub const IPPROTO_TCP: u16 = 6;
/// `IPPROTO_MPTCP`: accept(2) hands out the MPTCP socket, with the addresses of its subflow.
pub const IPPROTO_MPTCP: u16 = 262;
/// `AF_INET`.
pub const AF_INET: u16 = 2;
/// `AF_INET6`.
pub const AF_INET6: u16 = 10;
/// Bytes of a task's `comm`, NUL included.
pub const TASK_COMM_LEN: usize = 16;

/// TCP states as the kernel numbers and names them (`TCP_*`).
#[expect(missing_docs, reason = "the kernel's names")]
pub mod tcp_state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
}

/// Values of [`ProtocolRecord::protocol`]; 0 is none of them.
#[expect(missing_docs, reason = "the protocols' names")]
pub mod protocol {
    pub const TELNET: u32 = 1;
    pub const SSH: u32 = 2;
    pub const HTTP: u32 = 3;
    pub const TLS: u32 = 4;
}

/// Program on `tp_btf/inet_sock_set_state`.
pub const PROGRAM_STATE: &str = "inet_sock_set_state";
/// Program on the classic tracepoint `sock/inet_sock_set_state`.
pub const PROGRAM_STATE_CLASSIC: &str = "inet_sock_set_state_classic";
/// Program on fentry `security_sock_graft`.
pub const PROGRAM_ACCEPT_FENTRY: &str = "accept_fentry";
/// Program on kprobe `security_sock_graft`.
pub const PROGRAM_ACCEPT_KPROBE: &str = "accept_kprobe";
/// Program on tracepoints `sys_exit_accept` and `sys_exit_accept4`.
pub const PROGRAM_ACCEPT_SYSCALL: &str = "accept_syscall_exit";
/// Programs on the packets that sockets of all cgroups send and receive.
pub const PROGRAMS_PROTOCOL: [&str; 2] = ["protocol_sent", "protocol_received"];
/// Ring buffer of records.
pub const MAP_EVENTS: &str = "EVENTS";
/// Per-CPU array with one [`KernelCounters`].
pub const MAP_COUNTERS: &str = "COUNTERS";
/// Sessions whose protocol is looked for.
pub const MAP_UNDECIDED: &str = "UNDECIDED";
/// Which ports are wanted: byte `port % 8` of word `port / 8`. In its low half an end's bit
/// ([`INGRESS`], [`EGRESS`]) is set when it is wanted there whatever the addresses, in the high half
/// when one of them must be in [`MAP_ADDRESSES`].
pub const MAP_PORTS: &str = "PORTS";
/// Words of [`MAP_PORTS`].
pub const PORT_WORDS: u32 = 8192;
/// Which addresses are wanted: prefixes of IPv6 and IPv4-mapped ones, with the bits of the ends.
pub const MAP_ADDRESSES: &str = "ADDRESSES";
/// Most prefixes in it.
pub const MAX_PREFIXES: u32 = 1024;
/// Bits of the local and the remote end of inbound sessions.
pub const INGRESS: [u8; 2] = [1, 2];
/// Bits of the local and the remote end of outbound sessions.
pub const EGRESS: [u8; 2] = [4, 8];
/// Bytes of the ring buffer unless the agent asks for another size.
pub const DEFAULT_RING_BYTES: u32 = 1 << 22;
/// Nanoseconds after a wake-up of the agent within which it looks again by itself.
pub const WAKE_EVERY_NS: u64 = 250_000;
/// Most bytes of a command line in a record.
pub const ARGS_BYTES: usize = 256;
/// Value of an offset whose member this kernel lacks; the field is then left 0.
pub const NO_OFFSET: u32 = u32::MAX;
/// Value of [`SocketRecord::error`] when this kernel does not tell.
pub const UNKNOWN_ERROR: u32 = u32::MAX;

/// Kind of a [`StateRecord`].
pub const KIND_STATE: u32 = 1;
/// Kind of a [`CallRecord`] made at `CLOSE -> SYN_SENT`: connect(2).
pub const KIND_CONNECT: u32 = 2;
/// Kind of a [`CallRecord`] made at `CLOSE -> LISTEN`: listen(2).
pub const KIND_LISTEN: u32 = 3;
/// Kind of a [`CallRecord`] made when the last holder of an accepted socket calls close or shutdown.
pub const KIND_CLOSE: u32 = 10;
/// Kind of a [`CallRecord`] made by fentry `security_sock_graft`: accept(2).
pub const KIND_ACCEPT_FENTRY: u32 = 4;
/// Kind of a [`CallRecord`] made by kprobe `security_sock_graft`: accept(2).
pub const KIND_ACCEPT_KPROBE: u32 = 5;
/// Kind of a [`CallRecord`] made by tracepoints `sys_exit_accept` and `sys_exit_accept4`.
pub const KIND_ACCEPT_SYSCALL: u32 = 6;
/// Kind of a [`ProcessRecord`] made by the parent of a tracked process.
pub const KIND_FORK: u32 = 7;
/// Kind of a [`ProcessRecord`] made when a tracked process runs another program.
pub const KIND_EXEC: u32 = 8;
/// Kind of a [`ProcessRecord`] made when the last thread of a tracked process ends.
pub const KIND_EXIT: u32 = 9;
/// Kind of a [`ProtocolRecord`].
pub const KIND_PROTOCOL: u32 = 11;

/// First part of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecordHeader {
    /// `KIND_*`: also tells the layout of what follows.
    pub kind: u32,
    /// CPU that produced the record; [`Self::sequence`] counts per CPU.
    pub cpu: u32,
    /// Records this CPU tried to submit before this one, from 0: a gap is a lost record.
    pub sequence: u64,
    /// `bpf_ktime_get_boot_ns`: nanoseconds since boot, suspend included.
    pub time_ns: u64,
}

/// The socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SocketRecord {
    /// Address of `struct sock`: tells live sockets apart, is reused after CLOSE.
    pub sock: u64,
    /// `bpf_get_socket_cookie`, the value of `SO_COOKIE` and `sock_diag`; 0 when not available.
    pub cookie: u64,
    /// `sk->sk_net->ns.inum`: inode of the network namespace; 0 when not available.
    pub netns: u32,
    /// `sk->sk_err`: errno of a broken connection; 0 when none, [`UNKNOWN_ERROR`] when not told.
    pub error: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// `sk->sk_protocol`: [`IPPROTO_TCP`], or [`IPPROTO_MPTCP`] in accept records.
    pub protocol: u16,
    /// Local address, network order; IPv4 in the first four bytes, the rest 0.
    pub local_address: [u8; 16],
    /// Remote address, as [`Self::local_address`].
    pub remote_address: [u8; 16],
}

/// A state change. It names no process: in softirq the current task is whoever was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StateRecord {
    /// [`KIND_STATE`].
    pub header: RecordHeader,
    /// The socket.
    pub socket: SocketRecord,
    /// `tcp_sock.bytes_received`; counts the peer's SYN and FIN.
    pub bytes_received: u64,
    /// `tcp_sock.bytes_acked`; counts this side's SYN and FIN.
    pub bytes_acked: u64,
    /// `tcp_sock.segs_in`.
    pub segs_in: u32,
    /// `tcp_sock.segs_out`.
    pub segs_out: u32,
    /// State before the change, see [`tcp_state`].
    pub old_state: u8,
    /// State after the change.
    pub new_state: u8,
    /// 1 when the four traffic fields were read.
    pub has_traffic: u8,
    /// 1 when the peer's FIN was received (`SOCK_DONE`).
    pub fin_received: u8,
    #[doc(hidden)]
    pub reserved: [u8; 4],
}

/// The task that was running, for records made in process context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TaskRecord {
    /// `group_leader->start_boottime`: nanoseconds since boot; 0 when not available.
    pub start_ns: u64,
    /// Id of the cgroup (v2); on a cgroup v1 host that of the unified root.
    pub cgroup_id: u64,
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// `group_leader->real_parent->tgid`; 0 when not available.
    pub parent_tgid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Bytes of the command line, which may be more than [`Self::args`] holds; 0 when not read.
    pub args_len: u32,
    /// `comm` of the group leader (of the thread where that cannot be read), any bytes.
    pub comm: [u8; TASK_COMM_LEN],
    /// Head of the command line: arguments, each NUL-terminated.
    pub args: [u8; ARGS_BYTES],
}

/// A system call on a socket, made in the context of the process that called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CallRecord {
    /// Kind [`KIND_CONNECT`], [`KIND_LISTEN`] or `KIND_ACCEPT_*`.
    pub header: RecordHeader,
    /// The socket; at connect(2) its local port and address may not be chosen yet.
    pub socket: SocketRecord,
    /// The caller.
    pub task: TaskRecord,
    /// accept(2): inode number of the new socket, as in `/proc/PID/fd`; 0 when not available.
    pub inode: u64,
}

/// A step in the life of a tracked process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProcessRecord {
    /// [`KIND_FORK`], [`KIND_EXEC`] or [`KIND_EXIT`].
    pub header: RecordHeader,
    /// The process: the child of a fork, with the command line it inherits.
    pub task: TaskRecord,
    /// exec: address of the `struct sock` behind file descriptor 0; 0 when that is no socket.
    pub stdin: u64,
    /// Records of its family that were left out before this one: too many.
    pub left_out: u64,
    /// Controlling terminal, `major << 20 | minor`; 0 without one.
    pub tty: u32,
    /// exit: status as wait(2) gives it.
    pub exit_status: u32,
    /// Effective user id.
    pub effective_uid: u32,
    #[doc(hidden)]
    pub reserved: u32,
}

/// The first bytes of a session have proven its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProtocolRecord {
    /// [`KIND_PROTOCOL`].
    pub header: RecordHeader,
    /// The socket.
    pub socket: SocketRecord,
    /// See [`mod@protocol`].
    pub protocol: u32,
    #[doc(hidden)]
    pub reserved: u32,
}

/// What one CPU did with the events it saw: what was seen was filtered, submitted or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KernelCounters {
    /// Changes of state a program ran for.
    pub seen_changes: u64,
    /// Those that are not TCP, not a transition that is reported, or of no monitored port.
    pub filtered_changes: u64,
    /// Accepts, forks, execs and exits a program ran for.
    pub seen_calls: u64,
    /// Those that are of no monitored port, or more than a session may report.
    pub filtered_calls: u64,
    /// Records handed to the ring buffer.
    pub submitted: u64,
    /// Records lost because the ring buffer was full.
    pub dropped_ring_full: u64,
    /// Sessions whose protocol is not looked for, for want of room.
    pub unfollowed: u64,
    /// Wanted changes of state that a stand-in reported, because the kernel had skipped the program.
    pub stood_in: u64,
}

const _: () = assert!(size_of::<StateRecord>() == 120);
const _: () = assert!(size_of::<CallRecord>() == 152 + ARGS_BYTES);
