//! Kernel probe of telnet-monitor: TCP state changes of monitored ports, into a ring buffer.
//!
//! It loads on every kernel from 5.10 with BTF, under lockdown too, because it only dereferences
//! BTF pointers (no `bpf_probe_read_kernel`) and takes every offset from the running kernel. On a
//! kernel without BTF one program remains, which sees what the classic tracepoint tells.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "the only atomic add that needs no fetch, which 5.10 does not have"
)]
#![expect(
    unsafe_code,
    reason = "reading kernel memory and naming ELF symbols is what a probe does"
)]
#![expect(
    clippy::inline_always,
    reason = "offsets must be constants where the verifier checks them, not arguments of a call"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the program macros pass the context by value"
)]

mod accept;
mod budget;
mod classic;
mod emit;
mod files;
mod filter;
mod last;
mod lifecycle;
mod maps;
mod offsets;
mod process;
mod protocol;
mod read;
mod set_state;
mod task;
mod wake;

use aya_ebpf::{
    macros::{btf_tracepoint, cgroup_skb, fentry, kprobe, tracepoint},
    programs::{
        BtfTracePointContext, FEntryContext, ProbeContext, SkBuffContext, TracePointContext,
    },
};

/// `tp_btf/inet_sock_set_state`: every TCP state change, in process and in softirq context.
// Signature since 4.16: (const struct sock *sk, const int oldstate, const int newstate)
// https://elixir.bootlin.com/linux/v6.18/source/include/trace/events/sock.h#L141
#[btf_tracepoint(function = "inet_sock_set_state")]
fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    set_state::handle(&ctx)
}

/// Its stand-ins, attached after it.
macro_rules! state_stand_ins {
    ($($program:ident),+) => {
        $(
            #[btf_tracepoint(function = "inet_sock_set_state")]
            fn $program(ctx: BtfTracePointContext) -> i32 {
                set_state::stand_in(&ctx)
            }
        )+
    };
}

state_stand_ins!(
    inet_sock_set_state_2,
    inet_sock_set_state_3,
    inet_sock_set_state_4
);

/// Tracepoint `sock/inet_sock_set_state`: where the kernel exposes no types.
#[tracepoint]
fn inet_sock_set_state_classic(ctx: TracePointContext) -> u32 {
    classic::handle(&ctx);
    0
}

/// fentry `security_sock_graft`: accept(2) gives the new socket its file.
// Signature since 2.6.18: (struct sock *sk, struct socket *parent)
// https://elixir.bootlin.com/linux/v6.18/source/security/security.c#L4670
#[fentry(function = "security_sock_graft")]
fn accept_fentry(ctx: FEntryContext) -> i32 {
    accept::fentry(&ctx);
    0
}

/// kprobe `security_sock_graft`: where fentry is not to be had.
#[kprobe(function = "security_sock_graft")]
fn accept_kprobe(ctx: ProbeContext) -> u32 {
    accept::kprobe(&ctx);
    0
}

/// Tracepoints `syscalls/sys_exit_accept` and `sys_exit_accept4`: where neither is to be had.
#[tracepoint]
fn accept_syscall_exit(ctx: TracePointContext) -> u32 {
    accept::syscall_exit(&ctx);
    0
}

/// A program and its stand-ins, see [`lifecycle`]: the kernel decides for each by itself whether it
/// runs. The first is the function that all of them call.
macro_rules! with_stand_ins {
    ($handle:ident, $tracepoint:literal, $($program:ident),+) => {
        // One that returned nothing would leave a pointer in the register of results, which the
        // verifier refuses.
        #[inline(never)]
        fn $handle(ctx: &BtfTracePointContext) -> i32 {
            lifecycle::$handle(ctx);
            0
        }

        $(
            #[btf_tracepoint(function = $tracepoint)]
            fn $program(ctx: BtfTracePointContext) -> i32 {
                $handle(&ctx)
            }
        )+
    };
}

// `tp_btf/sched_process_fork(parent, child)`, in the parent.
with_stand_ins!(
    fork,
    "sched_process_fork",
    process_fork,
    process_fork_2,
    process_fork_3,
    process_fork_4
);
// `tp_btf/sched_process_exec(task, old_pid, bprm)`, in the process.
with_stand_ins!(
    exec,
    "sched_process_exec",
    process_exec,
    process_exec_2,
    process_exec_3,
    process_exec_4
);
// `tp_btf/sched_process_exit(task)`, in each thread that ends.
with_stand_ins!(
    exit,
    "sched_process_exit",
    process_exit,
    process_exit_2,
    process_exit_3,
    process_exit_4
);

/// `cgroup_skb` on the root of cgroup v2: each packet that a socket sends. It always goes on.
#[cgroup_skb(egress)]
fn protocol_sent(ctx: SkBuffContext) -> i32 {
    protocol::look(&ctx, protocol::Side::Sent);
    protocol::PASS
}

/// The same for each packet that a socket is about to receive.
#[cgroup_skb(ingress)]
fn protocol_received(ctx: SkBuffContext) -> i32 {
    protocol::look(&ctx, protocol::Side::Received);
    protocol::PASS
}

/// Unreachable: the verifier would refuse a program that can get here without returning.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lets a program call GPL-only helpers when its licence says so.
// SAFETY: the section and the NUL-terminated text are what the loader looks for; nothing else
// defines a symbol of this name.
#[unsafe(link_section = "license")]
// SAFETY: as above.
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
