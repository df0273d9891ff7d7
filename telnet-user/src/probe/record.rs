//! Kernel records as typed values: what the bytes of the ring buffer mean.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::clock::BootTime;

/// One record from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// CPU that produced it.
    pub cpu: u32,
    /// Its number on that CPU, from 0.
    pub sequence: u64,
    /// When it was produced.
    pub time: BootTime,
    /// What happened.
    pub event: KernelEvent,
}

/// What happened in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelEvent {
    /// A socket changed its TCP state. Names no process: in softirq the current task is whoever
    /// was interrupted.
    State(StateChange),
    /// `CLOSE -> SYN_SENT`: this task called connect(2).
    Connect(Socket, Task),
    /// `CLOSE -> LISTEN`: this task called listen(2).
    Listen(Socket, Task),
    /// The socket got its file: this task called accept(2).
    Accept(Accept),
    /// The last holder of an accepted socket closed it, or shut it down.
    Close(Socket, Task),
    /// A tracked process made this child.
    Fork(Fork),
    /// A tracked process runs another program.
    Exec(Exec),
    /// The last thread of a tracked process ended.
    Exit(Exit),
    /// The first bytes of a session have proven what it speaks.
    Protocol(Socket, Protocol),
}

/// A protocol that can be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Options were negotiated (RFC 854, RFC 855).
    Telnet,
    /// An identification string (RFC 4253).
    Ssh,
    /// A status line (RFC 9112).
    Http,
    /// A `ClientHello` or `ServerHello` (RFC 8446).
    Tls,
}

impl Protocol {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Telnet => "telnet",
            Self::Ssh => "ssh",
            Self::Http => "http",
            Self::Tls => "tls",
        }
    }
}

/// accept(2) returned a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The new socket.
    pub socket: Socket,
    /// The caller.
    pub task: Task,
    /// The hook that saw it.
    pub hook: Hook,
    /// Inode number of the socket, as in `/proc/PID/fd`.
    pub inode: Option<u64>,
}

/// A process made a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The child, with the command line it has from its parent.
    pub child: Task,
    /// Records of the same session's processes that the kernel left out before this one.
    pub left_out: u64,
}

/// A process runs another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The process, with its new command line.
    pub task: Task,
    /// Address of the `struct sock` behind its standard input, as [`SocketKey::address`].
    pub stdin: Option<u64>,
    /// Its controlling terminal.
    pub tty: Option<Tty>,
    /// Its effective user id.
    pub effective_uid: u32,
    /// As [`Fork::left_out`].
    pub left_out: u64,
}

/// A process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The process.
    pub task: Task,
    /// How it ended.
    pub status: ExitStatus,
    /// As [`Fork::left_out`].
    pub left_out: u64,
}

/// A terminal by its device numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tty {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Tty {
    /// Minor numbers of a major of Unix 98 pseudo terminals.
    const PTY_MINORS: u32 = 256;

    /// Its name below `/dev`, when it is a pseudo terminal: `pts/3`.
    pub fn name(self) -> Option<String> {
        // UNIX98_PTY_SLAVE_MAJOR and the seven after it, 256 minors each when small ones are used.
        let block = self.major.checked_sub(136).filter(|block| *block < 8)?;
        Some(format!("pts/{}", block * Self::PTY_MINORS + self.minor))
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

/// A TCP state change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The socket.
    pub socket: Socket,
    /// State before.
    pub old: TcpState,
    /// State after.
    pub new: TcpState,
    /// Traffic counters, read when the socket goes to CLOSE.
    pub counters: Option<TcpCounters>,
}

/// A socket as the kernel saw it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Which socket: the same from its first state change to its last.
    pub key: SocketKey,
    /// Inode number of its network namespace, when the kernel tells.
    pub netns: Option<u32>,
    /// `sk_err`.
    pub error: SocketError,
    /// An MPTCP socket: only accept(2) shows it, the session is on its TCP subflow with the same
    /// addresses.
    pub mptcp: bool,
    /// Local end; IPv4-mapped addresses are IPv4 here.
    pub local: SocketAddr,
    /// Remote end.
    pub remote: SocketAddr,
}

/// The error of a failed or broken connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketError {
    /// This kernel does not tell.
    Unknown,
    /// None.
    Clear,
    /// This errno.
    Errno(u16),
}

impl SocketError {
    /// The errno, when there is one and it is known.
    pub const fn errno(self) -> Option<u16> {
        match self {
            Self::Unknown | Self::Clear => None,
            Self::Errno(errno) => Some(errno),
        }
    }
}

/// Identity of a live socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SocketKey {
    /// Address of `struct sock`: unique among live sockets, reused after CLOSE.
    pub address: u64,
    /// Socket cookie (`SO_COOKIE`, `sock_diag`): unique since boot; not on kernels before 5.12.
    pub cookie: Option<u64>,
}

/// What `struct tcp_sock` counted, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpCounters {
    /// `bytes_received`: the peer's payload, and 1 for its FIN.
    pub bytes_received: u64,
    /// `bytes_acked`: this side's acknowledged payload, 1 for a SYN sent, 1 for a FIN sent.
    pub bytes_acked: u64,
    /// `segs_in`: segments received.
    pub segments_in: u32,
    /// `segs_out`: segments sent, retransmissions included.
    pub segments_out: u32,
    /// The peer's FIN was received.
    pub fin_received: bool,
}

/// A process as the kernel saw it when it acted: true even if it is gone a moment later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Process id (tgid) in the initial pid namespace.
    pub pid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Start of the process; with the pid it names a process until reboot.
    pub start: Option<BootTime>,
    /// `comm` of the group leader, any text.
    pub comm: String,
    /// Parent's pid.
    pub parent: Option<u32>,
    /// Id of its cgroup (v2).
    pub cgroup: Option<u64>,
    /// Arguments as far as the kernel could copy them.
    pub args: Option<Args>,
}

/// The head of a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Args {
    /// The arguments, `argv[0]` first; bytes that are not UTF-8 are replaced.
    pub list: Vec<String>,
    /// The command line was longer than what was copied: the last one may be cut.
    pub truncated: bool,
}

/// The kernel hook that told who accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// fentry `security_sock_graft`.
    Fentry,
    /// kprobe `security_sock_graft`.
    Kprobe,
    /// Tracepoints `sys_exit_accept` and `sys_exit_accept4`.
    SyscallExit,
}

impl Hook {
    /// The word in documents and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::SyscallExit => "syscall_exit",
        }
    }
}

/// TCP states that a state change can carry (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpState {
    /// Open.
    Established,
    /// SYN sent.
    SynSent,
    /// SYN received, handshake not complete.
    SynRecv,
    /// This side closed first.
    FinWait1,
    /// ... and the other side has acknowledged it.
    FinWait2,
    /// No connection.
    Close,
    /// The other side closed first.
    CloseWait,
    /// ... and this side has closed too.
    LastAck,
    /// Listening.
    Listen,
    /// Both sides closed at once.
    Closing,
}
