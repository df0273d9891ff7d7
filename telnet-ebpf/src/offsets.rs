//! Read-only globals that the agent fills from the running kernel's BTF before load, and for the
//! classic tracepoint from its `format` in tracefs.
//!
//! They end up in a frozen `.rodata`, so the verifier treats each as a constant: it type-checks
//! the field behind an offset and removes the code behind a missing one.

use aya_ebpf::Global;
use telnet_common::NO_OFFSET;

/// A byte offset, or nothing when this kernel has no such member.
#[repr(transparent)]
pub(crate) struct Offset(Global<u32>);

impl Offset {
    const fn unset() -> Self {
        Self(Global::new(NO_OFFSET))
    }

    /// The offset, `None` when the member does not exist.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<u32> {
        match self.0.load() {
            NO_OFFSET => None,
            offset => Some(offset),
        }
    }
}

/// Something this kernel can or cannot do, or the agent wants.
#[repr(transparent)]
pub(crate) struct Flag(Global<u32>);

impl Flag {
    const fn unset() -> Self {
        Self(Global::new(0))
    }

    /// Whether the agent found it.
    #[inline(always)]
    pub(crate) fn get(&self) -> bool {
        self.0.load() == 1
    }
}

/// Declares one global per member; the symbol name is the contract in `telnet_common::globals`.
macro_rules! globals {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {$(
        $(#[$doc])*
        // SAFETY: the name is this crate's own and defined once.
        #[unsafe(no_mangle)]
        pub(crate) static $name: $type = $value;
    )*};
}

globals! {
    OFFSET_SKC_DADDR: Offset = Offset::unset();
    OFFSET_SKC_RCV_SADDR: Offset = Offset::unset();
    OFFSET_SKC_DPORT: Offset = Offset::unset();
    OFFSET_SKC_NUM: Offset = Offset::unset();
    OFFSET_SKC_FAMILY: Offset = Offset::unset();
    OFFSET_SKC_NET: Offset = Offset::unset();
    OFFSET_SKC_FLAGS: Offset = Offset::unset();
    OFFSET_SKC_V6_DADDR: Offset = Offset::unset();
    OFFSET_SKC_V6_RCV_SADDR: Offset = Offset::unset();
    OFFSET_SK_PROTOCOL: Offset = Offset::unset();
    OFFSET_SK_ERR: Offset = Offset::unset();
    OFFSET_INET_SPORT: Offset = Offset::unset();
    OFFSET_BYTES_RECEIVED: Offset = Offset::unset();
    OFFSET_BYTES_ACKED: Offset = Offset::unset();
    OFFSET_SEGS_IN: Offset = Offset::unset();
    OFFSET_SEGS_OUT: Offset = Offset::unset();
    OFFSET_NET_INUM: Offset = Offset::unset();
    OFFSET_TASK_GROUP_LEADER: Offset = Offset::unset();
    OFFSET_TASK_REAL_PARENT: Offset = Offset::unset();
    OFFSET_TASK_TGID: Offset = Offset::unset();
    OFFSET_TASK_PID: Offset = Offset::unset();
    OFFSET_TASK_START_BOOTTIME: Offset = Offset::unset();
    OFFSET_TASK_SELF_EXEC_ID: Offset = Offset::unset();
    OFFSET_TASK_COMM: Offset = Offset::unset();
    OFFSET_TASK_FLAGS: Offset = Offset::unset();
    OFFSET_TASK_MM: Offset = Offset::unset();
    OFFSET_TASK_FILES: Offset = Offset::unset();
    OFFSET_MM_ARG_START: Offset = Offset::unset();
    OFFSET_MM_ARG_END: Offset = Offset::unset();
    OFFSET_FILES_FDT: Offset = Offset::unset();
    OFFSET_FDTABLE_FD: Offset = Offset::unset();
    OFFSET_FDTABLE_MAX_FDS: Offset = Offset::unset();
    OFFSET_FILE_PRIVATE_DATA: Offset = Offset::unset();
    OFFSET_FILE_F_INODE: Offset = Offset::unset();
    OFFSET_INODE_I_INO: Offset = Offset::unset();
    OFFSET_INODE_I_MODE: Offset = Offset::unset();
    OFFSET_SOCK_SK_SOCKET: Offset = Offset::unset();
    OFFSET_SOCKET_FILE: Offset = Offset::unset();
    OFFSET_SOCKET_SK: Offset = Offset::unset();
    OFFSET_TASK_SIGNAL: Offset = Offset::unset();
    OFFSET_SIGNAL_LIVE: Offset = Offset::unset();
    OFFSET_SIGNAL_TTY: Offset = Offset::unset();
    OFFSET_TTY_DRIVER: Offset = Offset::unset();
    OFFSET_TTY_INDEX: Offset = Offset::unset();
    OFFSET_TTY_DRIVER_MAJOR: Offset = Offset::unset();
    OFFSET_TTY_DRIVER_MINOR_START: Offset = Offset::unset();
    OFFSET_TASK_EXIT_CODE: Offset = Offset::unset();
    OFFSET_TASK_CRED: Offset = Offset::unset();
    OFFSET_CRED_EUID: Offset = Offset::unset();
    CLASSIC_SKADDR: Offset = Offset::unset();
    CLASSIC_OLDSTATE: Offset = Offset::unset();
    CLASSIC_NEWSTATE: Offset = Offset::unset();
    CLASSIC_SPORT: Offset = Offset::unset();
    CLASSIC_DPORT: Offset = Offset::unset();
    CLASSIC_FAMILY: Offset = Offset::unset();
    CLASSIC_PROTOCOL: Offset = Offset::unset();
    CLASSIC_SADDR: Offset = Offset::unset();
    CLASSIC_DADDR: Offset = Offset::unset();
    CLASSIC_SADDR_V6: Offset = Offset::unset();
    CLASSIC_DADDR_V6: Offset = Offset::unset();
    /// 1 when tracing programs may call `bpf_get_socket_cookie` (kernel 5.12).
    HAS_SOCKET_COOKIE: Flag = Flag::unset();
    /// 1 when `bpf_get_current_task_btf` exists (kernel 5.11).
    HAS_TASK_BTF: Flag = Flag::unset();
    /// 1 when `bpf_probe_read_kernel` is allowed.
    HAS_PROBE_READ: Flag = Flag::unset();
    /// 1 when the kernel skips a run of a raw tracepoint's program that interrupts another run of it
    /// on the same CPU (kernel 6.2).
    HAS_RECURSION_GUARD: Flag = Flag::unset();
    /// 1 when the program on changes of state has a stand-in (kernel 7.0).
    HAS_STAND_IN: Flag = Flag::unset();
    /// 1 when the protocol of sessions is looked for.
    LOOKS_AT_PROTOCOL: Flag = Flag::unset();
}
