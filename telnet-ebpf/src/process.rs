//! What the tracepoints on processes hand over: a `task_struct` with its type.

use core::ffi::c_void;

use aya_ebpf::programs::BtfTracePointContext;

use crate::{
    offsets::{
        OFFSET_CRED_EUID, OFFSET_SIGNAL_LIVE, OFFSET_SIGNAL_TTY, OFFSET_TASK_CRED,
        OFFSET_TASK_EXIT_CODE, OFFSET_TASK_PID, OFFSET_TASK_SELF_EXEC_ID, OFFSET_TASK_SIGNAL,
        OFFSET_TASK_START_BOOTTIME, OFFSET_TASK_TGID, OFFSET_TTY_DRIVER, OFFSET_TTY_DRIVER_MAJOR,
        OFFSET_TTY_DRIVER_MINOR_START, OFFSET_TTY_INDEX,
    },
    read::{Btf, KernelPtr},
};

/// Bits of the minor number in the device numbers of records.
const MINOR_BITS: u32 = 20;
/// Majors of the slave side of Unix 98 pseudo terminals (`UNIX98_PTY_SLAVE_MAJOR`).
const PTY_SLAVE_FIRST: u32 = 136;
const PTY_SLAVE_LAST: u32 = 143;

/// `struct task_struct`, an argument of the hook.
#[derive(Clone, Copy)]
pub(crate) struct Process(KernelPtr<Btf>);

impl Process {
    /// The argument at `index`.
    #[inline(always)]
    pub(crate) fn argument(ctx: &BtfTracePointContext, index: usize) -> Self {
        Self(KernelPtr::new(ctx.arg::<*const c_void>(index)))
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        self.0.field(&OFFSET_TASK_TGID)
    }

    #[inline(always)]
    pub(crate) fn pid(self) -> u32 {
        self.0.field(&OFFSET_TASK_PID)
    }

    #[inline(always)]
    pub(crate) fn start_ns(self) -> u64 {
        self.0.field(&OFFSET_TASK_START_BOOTTIME)
    }

    /// Counts the execs of a process and of those it descends from; 0 where the kernel lacks it.
    #[inline(always)]
    pub(crate) fn exec_id(self) -> u64 {
        self.0.field(&OFFSET_TASK_SELF_EXEC_ID)
    }

    /// Threads that have not ended.
    #[inline(always)]
    pub(crate) fn live_threads(self) -> u32 {
        self.0
            .follow(&OFFSET_TASK_SIGNAL)
            .map_or(0, |signal| signal.field(&OFFSET_SIGNAL_LIVE))
    }

    /// Status as wait(2) gives it, in a process that ends.
    #[inline(always)]
    pub(crate) fn exit_status(self) -> u32 {
        self.0.field(&OFFSET_TASK_EXIT_CODE)
    }

    #[inline(always)]
    pub(crate) fn effective_uid(self) -> u32 {
        self.0
            .follow(&OFFSET_TASK_CRED)
            .map_or(0, |cred| cred.field(&OFFSET_CRED_EUID))
    }

    /// Controlling terminal, 0 without one.
    #[inline(always)]
    pub(crate) fn tty(self) -> u32 {
        let Some(tty) = self
            .0
            .follow(&OFFSET_TASK_SIGNAL)
            .and_then(|signal| signal.follow(&OFFSET_SIGNAL_TTY))
        else {
            return 0;
        };
        let index: u32 = tty.field(&OFFSET_TTY_INDEX);
        let Some(driver) = tty.follow(&OFFSET_TTY_DRIVER) else {
            return 0;
        };
        let major: u32 = driver.field(&OFFSET_TTY_DRIVER_MAJOR);
        let first: u32 = driver.field(&OFFSET_TTY_DRIVER_MINOR_START);
        major << MINOR_BITS | first.wrapping_add(index) & ((1 << MINOR_BITS) - 1)
    }
}

/// Whether this is a terminal as network services give it to those who log in.
#[inline(always)]
pub(crate) const fn is_pseudo_terminal(tty: u32) -> bool {
    let major = tty >> MINOR_BITS;
    major >= PTY_SLAVE_FIRST && major <= PTY_SLAVE_LAST
}
