//! The current task. Only for hooks that always run in process context.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
    bpf_get_current_task, bpf_get_current_task_btf, bpf_get_current_uid_gid,
    generated::bpf_probe_read_user,
};
use telnet_common::{ARGS_BYTES, TASK_COMM_LEN, TaskRecord};

use crate::{
    offsets::{
        HAS_PROBE_READ, HAS_TASK_BTF, OFFSET_MM_ARG_END, OFFSET_MM_ARG_START, OFFSET_TASK_COMM,
        OFFSET_TASK_FLAGS, OFFSET_TASK_GROUP_LEADER, OFFSET_TASK_MM, OFFSET_TASK_REAL_PARENT,
        OFFSET_TASK_START_BOOTTIME, OFFSET_TASK_TGID,
    },
    read::{Access, Btf, KernelPtr, Probed},
};

/// `PF_KTHREAD` of `task_struct.flags`: the same since 2.6.27.
const PF_KTHREAD: u32 = 0x0020_0000;

/// Writes the identity of the task that is running now.
#[inline(always)]
pub(crate) fn describe(record: &mut TaskRecord) {
    let pid_tgid = bpf_get_current_pid_tgid();
    let uid_gid = bpf_get_current_uid_gid();
    record.tgid = high(pid_tgid);
    record.tid = low(pid_tgid);
    record.uid = low(uid_gid);
    record.gid = high(uid_gid);
    // SAFETY: takes no argument and reads only the current task's cgroup.
    record.cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    record.comm = bpf_get_current_comm().unwrap_or_default();
    record.start_ns = 0;
    record.parent_tgid = 0;
    record.args_len = 0;
    if let Some(task) = by_type() {
        describe_process(task, record);
    } else if let Some(task) = by_helper() {
        describe_process(task, record);
    }
}

/// Whether this is a kernel thread, or cannot be told: MPTCP closes its subflows from a worker.
#[inline(always)]
pub(crate) fn is_kernel_thread() -> bool {
    let flags: u32 = if let Some(task) = by_type() {
        task.field(&OFFSET_TASK_FLAGS)
    } else if let Some(task) = by_helper() {
        task.field(&OFFSET_TASK_FLAGS)
    } else {
        PF_KTHREAD
    };
    flags & PF_KTHREAD != 0
}

/// The current task, for kernels that give it to the verifier with its type.
#[inline(always)]
fn by_type() -> Option<KernelPtr<Btf>> {
    if !HAS_TASK_BTF.get() {
        return None;
    }
    // SAFETY: takes no argument; the current task outlives the program.
    let task = unsafe { bpf_get_current_task_btf() };
    Some(KernelPtr::new(task.cast_const().cast()))
}

/// The current task as an address, where memory may be read by address.
#[inline(always)]
fn by_helper() -> Option<KernelPtr<Probed>> {
    if !HAS_PROBE_READ.get() {
        return None;
    }
    // SAFETY: takes no argument; the current task outlives the program.
    let task = unsafe { bpf_get_current_task() };
    #[expect(
        clippy::as_conversions,
        reason = "the helper returns the pointer as a number"
    )]
    let task = task as *const core::ffi::c_void;
    Some(KernelPtr::new(task))
}

/// What is only in `task_struct`: the group leader's view, since threads may carry other names.
#[inline(always)]
fn describe_process<A: Access>(task: KernelPtr<A>, record: &mut TaskRecord) {
    if let Some(leader) = task.follow(&OFFSET_TASK_GROUP_LEADER) {
        record.start_ns = leader.field(&OFFSET_TASK_START_BOOTTIME);
        if let Some(parent) = leader.follow(&OFFSET_TASK_REAL_PARENT) {
            record.parent_tgid = parent.field(&OFFSET_TASK_TGID);
        }
        comm(leader, record);
    }
    if let Some(mm) = task.follow(&OFFSET_TASK_MM) {
        args(
            mm.field(&OFFSET_MM_ARG_START),
            mm.field(&OFFSET_MM_ARG_END),
            record,
        );
    }
}

/// Byte by byte: the verifier wants the element size of `char comm[16]`.
#[inline(always)]
fn comm<A: Access>(leader: KernelPtr<A>, record: &mut TaskRecord) {
    let Some(mut offset) = OFFSET_TASK_COMM.get() else {
        return;
    };
    let mut index = 0;
    while index < TASK_COMM_LEN {
        if let Some(byte) = record.comm.get_mut(index) {
            *byte = leader.at(offset);
        }
        offset += 1;
        index += 1;
    }
}

/// Copies the head of the command line from the process's own memory, as `/proc/PID/cmdline`
/// shows it. Nothing is copied when the page is not resident: a tracepoint cannot wait for it.
///
/// Lockdown would allow it, but the loader takes a kernel that refuses `bpf_probe_read_kernel` for
/// one that has only `bpf_probe_read`, and calls that instead.
#[inline(always)]
fn args(start: u64, end: u64, record: &mut TaskRecord) {
    let len = end.wrapping_sub(start);
    if !HAS_PROBE_READ.get() || start == 0 || len == 0 || len > u64::from(u32::MAX) {
        return;
    }
    #[expect(clippy::as_conversions, reason = "256 fits")]
    let most = ARGS_BYTES as u64;
    let copied = if len < most { len } else { most };
    // SAFETY: the destination is `ARGS_BYTES` long and `copied` at most that; the helper checks
    // the source and fails instead of faulting.
    let failed = unsafe {
        bpf_probe_read_user(record.args.as_mut_ptr().cast(), low(copied), pointer(start))
    };
    if failed == 0 {
        record.args_len = low(len);
    }
}

#[expect(clippy::as_conversions, reason = "an address in the process's memory")]
const fn pointer(address: u64) -> *const core::ffi::c_void {
    address as *const core::ffi::c_void
}

#[expect(
    clippy::as_conversions,
    reason = "the helpers pack two 32-bit ids in one word"
)]
pub(crate) const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the helpers pack two 32-bit ids in one word; lengths were checked"
)]
const fn low(word: u64) -> u32 {
    word as u32
}
