//! The current task. Only for state changes that always run in process context.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
    bpf_get_current_task_btf, bpf_get_current_uid_gid,
};
use telnet_common::TaskRecord;

use crate::{
    offsets::{HAS_TASK_BTF, OFFSET_TASK_GROUP_LEADER, OFFSET_TASK_START_BOOTTIME},
    read::KernelPtr,
};

/// Identity of the task that is running now.
#[inline(always)]
pub(crate) fn current() -> TaskRecord {
    let pid_tgid = bpf_get_current_pid_tgid();
    let uid_gid = bpf_get_current_uid_gid();
    TaskRecord {
        start_ns: group_leader_start(),
        // SAFETY: takes no argument and reads only the current task's cgroup.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        tgid: high(pid_tgid),
        tid: low(pid_tgid),
        uid: low(uid_gid),
        gid: high(uid_gid),
        comm: bpf_get_current_comm().unwrap_or_default(),
    }
}

/// `current->group_leader->start_boottime`: with the tgid it names a process for ever, and it is
/// what `/proc/PID/stat` shows as field 22.
#[inline(always)]
fn group_leader_start() -> u64 {
    if HAS_TASK_BTF.load() == 0 {
        return 0;
    }
    // SAFETY: takes no argument; the current task outlives the program.
    let task = unsafe { bpf_get_current_task_btf() };
    KernelPtr::new(task.cast_const().cast())
        .follow(&OFFSET_TASK_GROUP_LEADER)
        .map_or(0, |leader| leader.field(&OFFSET_TASK_START_BOOTTIME))
}

#[expect(
    clippy::as_conversions,
    reason = "the helpers pack two 32-bit ids in one word"
)]
const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the helpers pack two 32-bit ids in one word"
)]
const fn low(word: u64) -> u32 {
    word as u32
}
