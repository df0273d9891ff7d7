//! System calls: those that a running agent makes, with the arguments it makes them with.
//!
//! Refused (`EPERM`) is everything else, among it execve, fork, ptrace, mount, kexec, modules,
//! keys, loading BPF programs, perf events, `io_uring`, other users, and unshare.

use std::{collections::BTreeMap, env::consts::ARCH};

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use super::Wall;

/// Allowed whatever their arguments.
const FREE: [c_long; 108] = [
    // Files that are open, and new ones: landlock says where.
    libc::SYS_close,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_memfd_create,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads and signals.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // Waiting and clocks.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // Sockets: which families is below.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // Threads give up more.
    libc::SYS_capset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    libc::SYS_seccomp,
    // Who and where this is.
    libc::SYS_capget,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_sched_getparam,
    libc::SYS_sysinfo,
    libc::SYS_umask,
    libc::SYS_uname,
];

/// What only this architecture has beside the newer forms above.
#[cfg(target_arch = "x86_64")]
const LEGACY: [c_long; 19] = [
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getdents,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_getpgrp,
];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY: [c_long; 0] = [];

/// Allowed with one of these values as the argument at this position.
const CHOSEN: [(c_long, u8, &[u64]); 6] = [
    // Reading and changing the maps that are there: BPF_MAP_{LOOKUP,UPDATE,DELETE}_ELEM and
    // BPF_MAP_GET_NEXT_KEY.
    (libc::SYS_bpf, 0, &[1, 2, 3, 4]),
    // FIONBIO, FIOCLEX, FIONREAD, TCGETS, TIOCGWINSZ, PERF_EVENT_IOC_DISABLE.
    (
        libc::SYS_ioctl,
        1,
        &[0x5421, 0x5451, 0x541b, 0x5401, 0x5413, 0x2401],
    ),
    // PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, names of memory (PR_SET_VMA); to give up more
    // PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_CAP_AMBIENT.
    (
        libc::SYS_prctl,
        0,
        &[15, 16, 23, 0x5356_4d41, 38, 22, 24, 47],
    ),
    // Network namespaces: CLONE_NEWNET.
    (libc::SYS_setns, 1, &[0x4000_0000]),
    // AF_UNIX, AF_INET, AF_INET6, AF_NETLINK; pairs of AF_UNIX.
    (libc::SYS_socket, 0, &[1, 2, 10, 16]),
    (libc::SYS_socketpair, 0, &[1]),
];
/// A thread of this process, not a process.
const CLONE_THREAD: u64 = 0x1_0000;

/// Which calls are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// All that a running agent does not make.
    Running,
    /// Those that write files.
    Reading,
}

/// For this thread and those it starts; earlier filters stay.
pub(super) fn restrict(filter: Filter) -> Wall {
    let outcome = filter.compile().map_err(Error::Backend);
    match outcome.and_then(|programs| programs.iter().try_for_each(|one| apply_filter(one))) {
        Ok(()) => Wall::Enforced,
        Err(error) => Wall::Absent(error.to_string()),
    }
}

impl Filter {
    /// Every program is asked for each call, and the strictest answer counts.
    fn compile(self) -> Result<Vec<BpfProgram>, BackendError> {
        let arch = TargetArch::try_from(ARCH)?;
        let refused = SeccompAction::Errno(errno(libc::EPERM));
        let allow = SeccompAction::Allow;
        if self == Self::Reading {
            let filter = SeccompFilter::new(writing()?, allow, refused, arch)?;
            return Ok(vec![filter.try_into()?]);
        }
        let list = SeccompFilter::new(allowed()?, refused, allow.clone(), arch)?;
        // Its flags are in memory, where no filter looks; the C library then uses clone.
        let unknown = SeccompAction::Errno(errno(libc::ENOSYS));
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        let clone3 = SeccompFilter::new(clone3, allow, unknown, arch)?;
        Ok(vec![clone3.try_into()?, list.try_into()?])
    }
}

/// Calls that change a folder, or what is there of a file; of those that open one, the ones that
/// would write or make it.
fn writing() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, BackendError> {
    let changing = CHANGING.into_iter().chain(LEGACY_CHANGING);
    let mut calls: BTreeMap<_, _> = changing.map(|call| (call, Vec::new())).collect();
    for (call, argument) in OPENING.iter().copied() {
        let rules =
            WRITE_FLAGS.map(|(mask, flags)| rule(argument, SeccompCmpOp::MaskedEq(mask), flags));
        calls.insert(call, rules.into_iter().collect::<Result<_, _>>()?);
    }
    Ok(calls)
}

/// Mask and value of the second argument of open(2): `O_WRONLY`, `O_RDWR`, both, `O_CREAT`,
/// `O_TRUNC`.
const WRITE_FLAGS: [(u64, u64); 5] = [
    (0o3, 0o1),
    (0o3, 0o2),
    (0o3, 0o3),
    (0o100, 0o100),
    (0o1000, 0o1000),
];
const CHANGING: [c_long; 6] = [
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_mkdirat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
];
#[cfg(target_arch = "x86_64")]
const LEGACY_CHANGING: [c_long; 5] = [
    libc::SYS_chmod,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY_CHANGING: [c_long; 0] = [];
/// Calls that open files, and where their flags are.
#[cfg(target_arch = "x86_64")]
const OPENING: &[(c_long, u8)] = &[(libc::SYS_openat, 2), (libc::SYS_open, 1)];
#[cfg(not(target_arch = "x86_64"))]
const OPENING: &[(c_long, u8)] = &[(libc::SYS_openat, 2)];

/// An empty list of rules allows the call.
fn allowed() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, BackendError> {
    let free = FREE.into_iter().chain(LEGACY);
    let mut calls: BTreeMap<_, _> = free.map(|call| (call, Vec::new())).collect();
    for (call, argument, values) in CHOSEN {
        let rules = values
            .iter()
            .map(|value| rule(argument, SeccompCmpOp::Eq, *value));
        calls.insert(call, rules.collect::<Result<_, _>>()?);
    }
    let is_thread = SeccompCmpOp::MaskedEq(CLONE_THREAD);
    calls.insert(libc::SYS_clone, vec![rule(0, is_thread, CLONE_THREAD)?]);
    // Reading limits, not setting them: no new value, of this process.
    let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)?;
    let read = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    calls.insert(
        libc::SYS_prlimit64,
        vec![SeccompRule::new(vec![own, read])?],
    );
    Ok(calls)
}

fn rule(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)?;
    SeccompRule::new(vec![condition])
}

const fn errno(number: i32) -> u32 {
    number.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile() {
        for filter in [Filter::Running, Filter::Reading] {
            for program in filter.compile().expect("compiled") {
                // BPF_MAXINSNS
                let length = program.len();
                assert!(
                    (1..4096).contains(&length),
                    "{filter:?}: {length} instructions"
                );
            }
        }
    }

    #[test]
    fn what_a_taken_over_agent_would_want_is_not_on_the_list() {
        let allowed = allowed().expect("list");
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_writev,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setuid,
            libc::SYS_setresuid,
            libc::SYS_perf_event_open,
            libc::SYS_io_uring_setup,
            libc::SYS_kexec_load,
            libc::SYS_kill,
            libc::SYS_open_by_handle_at,
        ] {
            assert!(!allowed.contains_key(&call), "system call {call}");
        }
    }
}
