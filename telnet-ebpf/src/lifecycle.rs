//! Forks, execs and exits of processes that accepted a session, and of their descendants.
//!
//! Nothing is recorded for other processes: membership in `TRACKED` decides, in the kernel, and who
//! starts a program with a session as its standard input becomes a member. systemd has a child accept
//! and makes the server itself, so that this one descends from no acceptor. An
//! acceptor may fork for other reasons too (systemd accepts for its sockets), so what it forks is
//! followed for a moment only, unless the child turns out to serve a session: by its standard
//! input, or by a terminal.
//!
//! Since Linux 7.0 a tracepoint's program can be preempted (it runs under SRCU), and the kernel skips
//! the same program for whoever has its CPU meanwhile. So each has stand-ins there: other programs
//! with the same code, which run right after it in the same task. That is why each function here does
//! nothing when it comes again for the same fork, exec or exit.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns},
    programs::BtfTracePointContext,
};
use telnet_common::{KIND_EXEC, KIND_EXIT, KIND_FORK, ProcessRecord};

use crate::{
    budget,
    emit::Counters,
    files,
    filter::Ends,
    maps::{TRACKED, Tracked},
    offsets::{HAS_PROBE_READ, HAS_STAND_IN},
    process::{Process, is_pseudo_terminal},
    task,
};

/// How long after an accept the forks of the acceptor are taken to be for that session. A server
/// forks at once; a super-server that forks other services must not be followed for ever.
const ACCEPTOR_NS: u64 = 5_000_000_000;
/// Processes of sessions are followed until they end.
const FOR_EVER: u64 = u64::MAX;

/// The forks of an acceptor are of interest for a while.
#[inline(always)]
pub(crate) fn track_acceptor(tgid: u32, now_ns: u64) {
    let family = match tracked(tgid) {
        Some(known) if known.until == FOR_EVER => return,
        Some(known) => known.family,
        None => 0,
    };
    let until = now_ns + ACCEPTOR_NS;
    track(
        tgid,
        Tracked {
            until,
            family,
            reported: 0,
            start_ns: 0,
            exec_id: 0,
        },
    );
}

#[inline(always)]
fn track(tgid: u32, process: Tracked) {
    // Full is not possible, since the least recently used entry gives way; what is lost then is
    // found by userspace.
    let _inserted = TRACKED.insert(tgid, process, 0);
}

#[inline(always)]
fn tracked(tgid: u32) -> Option<Tracked> {
    // SAFETY: a map value stays readable while the program runs.
    TRACKED.get_ptr(tgid).map(|process| unsafe { *process })
}

#[inline(always)]
fn current_tgid() -> u32 {
    task::high(bpf_get_current_pid_tgid())
}

/// `sched_process_fork(parent, child)`, in the parent. Threads are forks too, within one process.
#[inline(always)]
pub(crate) fn fork(ctx: &BtfTracePointContext) {
    let parent = current_tgid();
    let Some(known) = tracked(parent) else {
        return;
    };
    let child = Process::argument(ctx, 1);
    let tgid = child.tgid();
    if tgid == parent || now_ns() > known.until {
        return;
    }
    let start_ns = child.start_ns();
    if HAS_STAND_IN.get()
        && start_ns != 0
        && tracked(tgid).is_some_and(|child| child.start_ns == start_ns)
    {
        return;
    }
    let family = if known.family == 0 {
        tgid
    } else {
        known.family
    };
    let until = known.until;
    let reported = emit(KIND_FORK, family, |record| {
        task::describe(&mut record.task);
        record.task.parent_tgid = parent;
        record.task.tgid = tgid;
        record.task.tid = child.pid();
        record.task.start_ns = start_ns;
        describe(child, record);
    });
    track(
        tgid,
        Tracked {
            until,
            family,
            reported: u32::from(reported),
            start_ns,
            exec_id: child.exec_id(),
        },
    );
}

/// `sched_process_exec(task, old_pid, bprm)`, in the process, its new image in place.
#[inline(always)]
pub(crate) fn exec(ctx: &BtfTracePointContext) {
    let tgid = current_tgid();
    let process = Process::argument(ctx, 0);
    // At least 1 after an exec, where the kernel tells it.
    let exec_id = process.exec_id();
    let start_ns = process.start_ns();
    if HAS_STAND_IN.get()
        && exec_id != 0
        && tracked(tgid).is_some_and(|known| known.exec_id == exec_id && known.start_ns == start_ns)
    {
        return;
    }
    let stdin = Stdin::of_current();
    let known = match tracked(tgid) {
        Some(known) => known,
        None if stdin.serves => Tracked {
            until: FOR_EVER,
            family: tgid,
            reported: 1,
            start_ns,
            exec_id,
        },
        None => return,
    };
    let serves = stdin.serves || is_pseudo_terminal(process.tty());
    let until = if known.family != 0 && serves {
        FOR_EVER
    } else {
        known.until
    };
    track(
        tgid,
        Tracked {
            until,
            start_ns,
            exec_id,
            ..known
        },
    );
    emit(KIND_EXEC, known.family, |record| {
        task::describe(&mut record.task);
        describe(process, record);
        record.stdin = stdin.identity;
    });
}

/// `sched_process_exit(task)`, in each thread: the process ends with its last one.
#[inline(always)]
pub(crate) fn exit(ctx: &BtfTracePointContext) {
    let tgid = current_tgid();
    let Some(known) = tracked(tgid) else {
        return;
    };
    let process = Process::argument(ctx, 0);
    if process.live_threads() != 0 {
        return;
    }
    // Absent when another CPU evicted it meanwhile, which is the same to us.
    let _removed = TRACKED.remove(tgid);
    if known.family != 0 && known.reported == 0 {
        return;
    }
    emit(KIND_EXIT, known.family, |record| {
        task::describe(&mut record.task);
        describe(process, record);
        record.exit_status = process.exit_status();
    });
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: takes no argument.
    unsafe { bpf_ktime_get_boot_ns() }
}

#[inline(always)]
fn describe(process: Process, record: &mut ProcessRecord) {
    record.stdin = 0;
    record.tty = process.tty();
    record.exit_status = 0;
    record.effective_uid = process.effective_uid();
    record.reserved = 0;
}

/// What the standard input of a process says. Plain values: an `Option` of a socket that lives until
/// the record is written has a payload that the compiler spills whether it is there or not, and
/// kernels before 6.3 refuse a read of stack that nothing was written to.
#[derive(Clone, Copy)]
struct Stdin {
    /// [`crate::read::Sock::identity`], 0 when it is no socket.
    identity: u64,
    /// Whether it is a session, or a listening socket, on a monitored port.
    serves: bool,
}

impl Stdin {
    #[inline(always)]
    fn of_current() -> Self {
        let none = Self {
            identity: 0,
            serves: false,
        };
        if !HAS_PROBE_READ.get() {
            return none;
        }
        files::socket(0).map_or(none, |sock| Self {
            identity: sock.identity(),
            serves: sock.is_internet() && Ends::SERVER.may_be_wanted(sock.bound_port()),
        })
    }
}

/// Whether the record went out, or would have but for a full ring.
#[inline(always)]
fn emit(kind: u32, family: u32, fill: impl FnOnce(&mut ProcessRecord)) -> bool {
    let Some(counters) = Counters::this_cpu() else {
        return false;
    };
    counters.seen_call();
    let Some(left_out) = budget::spend(family, kind, now_ns()) else {
        counters.filtered_call();
        return false;
    };
    counters.emit::<ProcessRecord>(
        kind,
        |record| &mut record.header,
        |record| {
            record.left_out = left_out;
            fill(record);
        },
    );
    true
}
