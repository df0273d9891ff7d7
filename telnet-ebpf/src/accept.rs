//! Who accepted: in the context of the process that called accept(2).
//!
//! Three hooks see the same fact; the agent loads the best one that this kernel takes.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::bpf_get_current_task,
    programs::{FEntryContext, ProbeContext, TracePointContext},
};
use telnet_common::{
    AF_INET, AF_INET6, CallRecord, IPPROTO_MPTCP, IPPROTO_TCP, KIND_ACCEPT_FENTRY,
    KIND_ACCEPT_KPROBE, KIND_ACCEPT_SYSCALL,
};

use crate::{
    emit::Counters,
    maps,
    offsets::{
        OFFSET_FDTABLE_FD, OFFSET_FDTABLE_MAX_FDS, OFFSET_FILE_PRIVATE_DATA, OFFSET_FILES_FDT,
        OFFSET_SOCKET_SK, OFFSET_TASK_FILES,
    },
    read::{Access, Btf, KernelPtr, Probed, Sock},
    task,
};

/// Offset of `ret` in the record of `syscalls/sys_exit_*`: part of the tracefs ABI of all
/// system call tracepoints.
const SYS_EXIT_RET: usize = 16;
/// Bytes of a pointer in `fdtable.fd`.
const POINTER_BYTES: u32 = 8;

/// fentry `security_sock_graft(struct sock *sk, struct socket *parent)`.
#[inline(always)]
pub(crate) fn fentry(ctx: &FEntryContext) {
    let sock = Sock::<Btf>::new(ctx.arg::<*const c_void>(0));
    handle(KIND_ACCEPT_FENTRY, sock, sock.cookie());
}

/// kprobe on the same function.
#[inline(always)]
pub(crate) fn kprobe(ctx: &ProbeContext) {
    let Some(sk) = ctx.arg::<*const c_void>(0) else {
        return;
    };
    handle(KIND_ACCEPT_KPROBE, Sock::<Probed>::new(sk), 0);
}

/// Tracepoints `sys_exit_accept` and `sys_exit_accept4`: from the new file descriptor to the
/// socket, as the caller's file table has it.
#[inline(always)]
pub(crate) fn syscall_exit(ctx: &TracePointContext) {
    // SAFETY: within the record of every sys_exit tracepoint.
    let Ok(fd) = (unsafe { ctx.read_at::<i64>(SYS_EXIT_RET) }) else {
        return;
    };
    let Ok(fd) = u32::try_from(fd) else {
        return;
    };
    if let Some(sk) = sock_of(fd) {
        handle(KIND_ACCEPT_SYSCALL, sk, 0);
    }
}

/// `current->files->fdt->fd[fd]->private_data->sk`. The descriptor was returned by accept, so the
/// file is a socket; another thread may have closed it and opened something else in between, in
/// which case the ports and protocol read from it hardly match, and the agent finds no session at
/// that address.
#[inline(always)]
fn sock_of(fd: u32) -> Option<Sock<Probed>> {
    // SAFETY: takes no argument; the current task outlives the program.
    let task = unsafe { bpf_get_current_task() };
    #[expect(
        clippy::as_conversions,
        reason = "the helper returns the pointer as a number"
    )]
    let task = KernelPtr::<Probed>::new(task as *const c_void);
    let table = task.follow(&OFFSET_TASK_FILES)?.follow(&OFFSET_FILES_FDT)?;
    if fd >= table.field::<u32>(&OFFSET_FDTABLE_MAX_FDS) {
        return None;
    }
    let files = table.follow(&OFFSET_FDTABLE_FD)?;
    let file = files.pointer_at(fd.checked_mul(POINTER_BYTES)?)?;
    let socket = file.follow(&OFFSET_FILE_PRIVATE_DATA)?;
    let sk = socket.follow(&OFFSET_SOCKET_SK)?;
    Some(Sock::of(sk))
}

#[inline(always)]
fn handle<A: Access>(kind: u32, sock: Sock<A>, cookie: u64) {
    let Some(counters) = Counters::this_cpu() else {
        return;
    };
    counters.seen();
    // After the client reset the session the bound port is 0 already; the remote port is not.
    let local_port = sock.bound_port();
    if !is_tcp(sock) || !(maps::monitored(local_port) || local_port == 0) {
        counters.filtered();
        return;
    }
    counters.emit::<CallRecord>(
        kind,
        |record| &mut record.header,
        |record| {
            sock.describe(&mut record.socket);
            record.socket.cookie = cookie;
            record.socket.local_port = local_port;
            task::describe(&mut record.task);
        },
    );
}

/// accept(2) on an MPTCP listener hands out the MPTCP socket, with its first subflow's addresses.
#[inline(always)]
fn is_tcp<A: Access>(sock: Sock<A>) -> bool {
    let (family, protocol) = (sock.family(), sock.protocol());
    (family == AF_INET || family == AF_INET6)
        && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)
}
