//! Forks, execs and exits of processes that accepted a session, and of their descendants.
//!
//! Nothing is recorded for other processes: membership in `TRACKED` decides, in the kernel.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns},
    programs::BtfTracePointContext,
};
use telnet_common::{KIND_EXEC, KIND_EXIT, KIND_FORK, ProcessRecord};

use crate::{
    emit::Counters,
    files,
    maps::TRACKED,
    offsets::{
        HAS_PROBE_READ, OFFSET_SIGNAL_LIVE, OFFSET_TASK_PID, OFFSET_TASK_SIGNAL,
        OFFSET_TASK_START_BOOTTIME, OFFSET_TASK_TGID,
    },
    read::{Btf, KernelPtr, Sock},
    task,
};

/// How long after an accept the forks of the acceptor are taken to be for that session. A server
/// forks at once; a super-server that forks other services must not be followed for ever.
const ACCEPTOR_NS: u64 = 5_000_000_000;
/// Descendants are followed until they end.
const FOR_EVER: u64 = u64::MAX;

/// The forks of an acceptor are of interest for a while.
#[inline(always)]
pub(crate) fn track_acceptor(tgid: u32, now_ns: u64) {
    if TRACKED.get_ptr(tgid).is_none_or(|until| {
        // SAFETY: a map value stays readable while the program runs.
        unsafe { *until != FOR_EVER }
    }) {
        track(tgid, now_ns + ACCEPTOR_NS);
    }
}

#[inline(always)]
fn track(tgid: u32, until: u64) {
    // Full is not possible, since the least recently used entry gives way; what is lost then is
    // found by userspace.
    let _inserted = TRACKED.insert(tgid, until, 0);
}

#[inline(always)]
fn tracked(tgid: u32) -> Option<u64> {
    // SAFETY: a map value stays readable while the program runs.
    TRACKED.get_ptr(tgid).map(|until| unsafe { *until })
}

#[inline(always)]
fn current_tgid() -> u32 {
    task::high(bpf_get_current_pid_tgid())
}

/// `sched_process_fork(parent, child)`, in the parent. Threads are forks too, within one process.
#[inline(always)]
pub(crate) fn fork(ctx: &BtfTracePointContext) {
    let parent = current_tgid();
    let Some(until) = tracked(parent) else {
        return;
    };
    let child = KernelPtr::<Btf>::new(ctx.arg::<*const c_void>(1));
    let tgid: u32 = child.field(&OFFSET_TASK_TGID);
    if tgid == parent {
        return;
    }
    // SAFETY: takes no argument.
    if unsafe { bpf_ktime_get_boot_ns() } > until {
        return;
    }
    track(tgid, FOR_EVER);
    emit(KIND_FORK, |record| {
        task::describe(&mut record.task);
        record.task.parent_tgid = parent;
        record.task.tgid = tgid;
        record.task.tid = child.field(&OFFSET_TASK_PID);
        record.task.start_ns = child.field(&OFFSET_TASK_START_BOOTTIME);
        record.stdin = 0;
    });
}

/// `sched_process_exec(task, old_pid, bprm)`, in the process, its new image in place.
#[inline(always)]
pub(crate) fn exec() {
    if tracked(current_tgid()).is_none() {
        return;
    }
    emit(KIND_EXEC, |record| {
        task::describe(&mut record.task);
        record.stdin = stdin();
    });
}

/// `sched_process_exit(task)`, in each thread: the process ends with its last one.
#[inline(always)]
pub(crate) fn exit(ctx: &BtfTracePointContext) {
    let tgid = current_tgid();
    if tracked(tgid).is_none() {
        return;
    }
    let live: u32 = KernelPtr::<Btf>::new(ctx.arg::<*const c_void>(0))
        .follow(&OFFSET_TASK_SIGNAL)
        .map_or(0, |signal| signal.field(&OFFSET_SIGNAL_LIVE));
    if live != 0 {
        return;
    }
    // Absent when another CPU evicted it meanwhile, which is the same to us.
    let _removed = TRACKED.remove(tgid);
    emit(KIND_EXIT, |record| {
        task::describe(&mut record.task);
        record.stdin = 0;
    });
}

#[inline(always)]
fn stdin() -> u64 {
    if !HAS_PROBE_READ.get() {
        return 0;
    }
    files::socket(0).map_or(0, Sock::identity)
}

#[inline(always)]
fn emit(kind: u32, fill: impl FnOnce(&mut ProcessRecord)) {
    let Some(counters) = Counters::this_cpu() else {
        return;
    };
    counters.seen_call();
    counters.emit::<ProcessRecord>(kind, |record| &mut record.header, fill);
}
