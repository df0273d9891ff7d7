//! What the kernel probe and the agent must agree on, byte for byte.
//!
//! Every record is plain integers in `#[repr(C)]` order without padding (the zerocopy derives
//! refuse anything else at compile time): no `bool`, `Option` or enum crosses the boundary, so
//! any bytes decode to *something* and the agent validates values, not memory.
#![no_std]
#![forbid(unsafe_code)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `IPPROTO_TCP`. MPTCP's own sockets (262) fire the same tracepoint and are not sessions.
pub const IPPROTO_TCP: u16 = 6;
/// `AF_INET`.
pub const AF_INET: u16 = 2;
/// `AF_INET6`.
pub const AF_INET6: u16 = 10;
/// `TASK_COMM_LEN`: bytes of a task's `comm`, NUL included.
pub const TASK_COMM_LEN: usize = 16;

/// TCP states as the kernel numbers them (`include/net/tcp_states.h`).
pub mod tcp_state {
    /// `TCP_ESTABLISHED`.
    pub const ESTABLISHED: u8 = 1;
    /// `TCP_SYN_SENT`.
    pub const SYN_SENT: u8 = 2;
    /// `TCP_SYN_RECV`.
    pub const SYN_RECV: u8 = 3;
    /// `TCP_FIN_WAIT1`.
    pub const FIN_WAIT1: u8 = 4;
    /// `TCP_FIN_WAIT2`.
    pub const FIN_WAIT2: u8 = 5;
    /// `TCP_TIME_WAIT`: a separate, smaller socket; no state change carries it.
    pub const TIME_WAIT: u8 = 6;
    /// `TCP_CLOSE`.
    pub const CLOSE: u8 = 7;
    /// `TCP_CLOSE_WAIT`.
    pub const CLOSE_WAIT: u8 = 8;
    /// `TCP_LAST_ACK`.
    pub const LAST_ACK: u8 = 9;
    /// `TCP_LISTEN`.
    pub const LISTEN: u8 = 10;
    /// `TCP_CLOSING`.
    pub const CLOSING: u8 = 11;
    /// `TCP_NEW_SYN_RECV`: request sockets; no state change carries it.
    pub const NEW_SYN_RECV: u8 = 12;
}

/// Ring buffer of records.
pub const MAP_EVENTS: &str = "EVENTS";
/// Per-CPU array with one [`KernelCounters`].
pub const MAP_COUNTERS: &str = "COUNTERS";
/// Port filter: [`PORT_WORDS`] words of 64 bits, bit `port % 64` of word `port / 64`.
pub const MAP_PORTS: &str = "PORTS";
/// Words of the port filter: 65,536 bits.
pub const PORT_WORDS: u32 = 1024;
/// The one program of the probe.
pub const PROGRAM: &str = "inet_sock_set_state";
/// Bytes of the ring buffer unless the agent asks for another size.
pub const DEFAULT_RING_BYTES: u32 = 1 << 20;

/// Value of an offset global whose member this kernel does not have; the field is then left 0.
pub const NO_OFFSET: u32 = u32::MAX;

/// Names of the read-only globals the agent fills before the probe is loaded.
///
/// `OFFSET_*` are byte offsets from the running kernel's BTF, [`NO_OFFSET`] when absent. `HAS_*`
/// are 1 or 0 and say whether the verifier of this kernel knows a helper.
pub mod globals {
    /// `sock_common.skc_daddr`.
    pub const SKC_DADDR: &str = "OFFSET_SKC_DADDR";
    /// `sock_common.skc_rcv_saddr`.
    pub const SKC_RCV_SADDR: &str = "OFFSET_SKC_RCV_SADDR";
    /// `sock_common.skc_dport`, network order.
    pub const SKC_DPORT: &str = "OFFSET_SKC_DPORT";
    /// `sock_common.skc_num`, host order.
    pub const SKC_NUM: &str = "OFFSET_SKC_NUM";
    /// `sock_common.skc_family`.
    pub const SKC_FAMILY: &str = "OFFSET_SKC_FAMILY";
    /// `sock_common.skc_net`.
    pub const SKC_NET: &str = "OFFSET_SKC_NET";
    /// `sock_common.skc_v6_daddr`.
    pub const SKC_V6_DADDR: &str = "OFFSET_SKC_V6_DADDR";
    /// `sock_common.skc_v6_rcv_saddr`.
    pub const SKC_V6_RCV_SADDR: &str = "OFFSET_SKC_V6_RCV_SADDR";
    /// `sock.sk_protocol`.
    pub const SK_PROTOCOL: &str = "OFFSET_SK_PROTOCOL";
    /// `sock.sk_err`.
    pub const SK_ERR: &str = "OFFSET_SK_ERR";
    /// `inet_sock.inet_sport`, network order.
    pub const INET_SPORT: &str = "OFFSET_INET_SPORT";
    /// `net.ns.inum`.
    pub const NET_INUM: &str = "OFFSET_NET_INUM";
    /// `task_struct.group_leader`.
    pub const TASK_GROUP_LEADER: &str = "OFFSET_TASK_GROUP_LEADER";
    /// `task_struct.start_boottime`.
    pub const TASK_START_BOOTTIME: &str = "OFFSET_TASK_START_BOOTTIME";
    /// `bpf_get_socket_cookie` may be called from tracing programs (kernel 5.12).
    pub const HAS_SOCKET_COOKIE: &str = "HAS_SOCKET_COOKIE";
    /// `bpf_get_current_task_btf` exists (kernel 5.11).
    pub const HAS_TASK_BTF: &str = "HAS_TASK_BTF";
}

/// Value of [`RecordHeader::kind`] for a [`StateRecord`].
pub const KIND_STATE: u32 = 1;
/// Value of [`RecordHeader::kind`] for a [`ConnectRecord`].
pub const KIND_CONNECT: u32 = 2;

/// First part of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RecordHeader {
    /// [`KIND_STATE`] or [`KIND_CONNECT`].
    pub kind: u32,
    /// CPU that produced the record; [`Self::sequence`] counts per CPU.
    pub cpu: u32,
    /// Records this CPU tried to submit before this one, from 0: a gap is a lost record.
    /// Equals `submitted + dropped` of [`KernelCounters`] at that moment.
    pub sequence: u64,
    /// `bpf_ktime_get_boot_ns`: nanoseconds since boot, suspend included.
    pub time_ns: u64,
}

/// The socket and its state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SocketRecord {
    /// Address of `struct sock`: tells live sockets apart, is reused after CLOSE, never printed.
    pub sock: u64,
    /// `bpf_get_socket_cookie`, the value of `SO_COOKIE` and `sock_diag`; 0 when not available.
    pub cookie: u64,
    /// `sk->sk_net->ns.inum`: inode of the network namespace; 0 when not available.
    pub netns: u32,
    /// `sk->sk_err`: errno of a failed or broken connection; 0 when none.
    pub error: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// State before the change, see [`tcp_state`].
    pub old_state: u8,
    /// State after the change.
    pub new_state: u8,
    /// Local address, network order; IPv4 in the first four bytes, the rest 0.
    pub local_address: [u8; 16],
    /// Remote address, as [`Self::local_address`].
    pub remote_address: [u8; 16],
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
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// `comm` of the thread, NUL-terminated, any bytes.
    pub comm: [u8; TASK_COMM_LEN],
}

/// A state change in any context. It names no process on purpose: in softirq the current task
/// is whoever was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StateRecord {
    /// Kind [`KIND_STATE`].
    pub header: RecordHeader,
    /// The socket.
    pub socket: SocketRecord,
}

/// `CLOSE -> SYN_SENT`: always in the context of the process that called connect(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConnectRecord {
    /// Kind [`KIND_CONNECT`].
    pub header: RecordHeader,
    /// The socket; its local port and address may not be chosen yet.
    pub socket: SocketRecord,
    /// The caller of connect(2).
    pub task: TaskRecord,
}

/// What one CPU did with the state changes it saw: `seen = filtered + submitted + dropped`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct KernelCounters {
    /// State changes the program ran for.
    pub seen: u64,
    /// Not TCP, not a transition that is reported, or no monitored port.
    pub filtered: u64,
    /// Records handed to the ring buffer.
    pub submitted: u64,
    /// Records lost because the ring buffer was full.
    pub dropped_ring_full: u64,
}

const _: () = {
    assert!(size_of::<RecordHeader>() == 24);
    assert!(size_of::<SocketRecord>() == 64);
    assert!(size_of::<TaskRecord>() == 48);
    assert!(size_of::<StateRecord>() == 88);
    assert!(size_of::<ConnectRecord>() == 136);
    assert!(size_of::<KernelCounters>() == 32);
};
