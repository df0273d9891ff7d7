//! Who accepted: in the context of the process that called accept(2).
//!
//! Three hooks see the same fact; the agent loads the best one that this kernel takes.

use core::ffi::c_void;

use aya_ebpf::programs::{FEntryContext, ProbeContext, TracePointContext};
use telnet_common::{
    CallRecord, IPPROTO_MPTCP, IPPROTO_TCP, KIND_ACCEPT_FENTRY, KIND_ACCEPT_KPROBE,
    KIND_ACCEPT_SYSCALL,
};

use crate::{
    emit::Counters,
    files,
    filter::Ends,
    lifecycle,
    read::{Access, Btf, Probed, Sock},
    task,
};

/// Offset of `ret` in the record of `syscalls/sys_exit_*`: part of the tracefs ABI of all
/// system call tracepoints.
const SYS_EXIT_RET: usize = 16;

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
    if let Some(sock) = files::socket(fd) {
        handle(KIND_ACCEPT_SYSCALL, sock, 0);
    }
}

#[inline(always)]
fn handle<A: Access>(kind: u32, sock: Sock<A>, cookie: u64) {
    let Some(counters) = Counters::this_cpu() else {
        return;
    };
    counters.seen_call();
    // After the client reset the session the bound port is 0 already; the remote port is not.
    let local_port = sock.bound_port();
    let is_wanted =
        || Ends::INBOUND.are_wanted(local_port, sock.remote_port(), || sock.addresses());
    if !is_tcp(sock) || !(local_port == 0 || is_wanted()) {
        counters.filtered_call();
        return;
    }
    counters.emit::<CallRecord>(
        kind,
        |record| &mut record.header,
        |record| {
            sock.describe(&mut record.socket);
            record.socket.cookie = cookie;
            record.socket.local_port = local_port;
            record.inode = sock.inode();
            task::describe(&mut record.task);
            lifecycle::track_acceptor(record.task.tgid, record.header.time_ns);
        },
    );
}

/// accept(2) on an MPTCP listener hands out the MPTCP socket, with its first subflow's addresses.
#[inline(always)]
fn is_tcp<A: Access>(sock: Sock<A>) -> bool {
    let protocol = sock.protocol();
    sock.is_internet() && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)
}
