//! `inet_sock_set_state`: decide cheaply whether a rule could care, then report.

use core::ffi::c_void;

use aya_ebpf::programs::BtfTracePointContext;
use telnet_common::{
    ConnectRecord, IPPROTO_TCP, KIND_CONNECT, KIND_STATE, SocketRecord, StateRecord,
    tcp_state::{CLOSE, ESTABLISHED, LISTEN, SYN_RECV, SYN_SENT},
};

use crate::{emit, maps, read::Sock, task};

/// Counts the event, and emits a record when it is a reported transition on a monitored port.
#[inline(always)]
pub(crate) fn handle(ctx: &BtfTracePointContext) {
    let Some(counters) = emit::Counters::this_cpu() else {
        return;
    };
    counters.seen();
    match reported(ctx) {
        Some(socket) => submit(ctx, &counters, socket),
        None => counters.filtered(),
    }
}

#[inline(always)]
fn submit(ctx: &BtfTracePointContext, counters: &emit::Counters, socket: SocketRecord) {
    if (socket.old_state, socket.new_state) == (CLOSE, SYN_SENT) {
        let task = task::current();
        counters.emit(ctx, KIND_CONNECT, &socket, |header| ConnectRecord {
            header,
            socket,
            task,
        });
    } else {
        counters.emit(ctx, KIND_STATE, &socket, |header| StateRecord {
            header,
            socket,
        });
    }
}

/// The socket, when the transition and one of its ports are wanted.
#[inline(always)]
fn reported(ctx: &BtfTracePointContext) -> Option<SocketRecord> {
    let old = state(ctx.arg::<u32>(1));
    let new = state(ctx.arg::<u32>(2));
    if !is_reported(old, new) {
        return None;
    }
    let sock = Sock::new(ctx.arg::<*mut c_void>(0));
    // MPTCP's own sockets fire as well; their TCP subflows are the sessions on the wire.
    if sock.protocol() != IPPROTO_TCP {
        return None;
    }
    let local_port = local_port(sock, new);
    if !maps::monitored(local_port) && !maps::monitored(sock.remote_port()) {
        return None;
    }
    Some(SocketRecord {
        local_port,
        old_state: old,
        new_state: new,
        ..sock.record()
    })
}

/// The transitions a session is made of. Self-transitions exist (MPTCP) and mean nothing.
#[inline(always)]
fn is_reported(old: u8, new: u8) -> bool {
    match new {
        SYN_SENT => old == CLOSE,
        ESTABLISHED => old == SYN_SENT || old == SYN_RECV,
        CLOSE => old != CLOSE && old != LISTEN,
        _ => false,
    }
}

/// `skc_num` is 0 at CLOSE unless the port was bound by hand; `inet_sport` is still there.
#[inline(always)]
fn local_port(sock: Sock, new: u8) -> u16 {
    match sock.bound_port() {
        0 if new == CLOSE => sock.inet_sport(),
        port => port,
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the kernel knows twelve states"
)]
const fn state(argument: u32) -> u8 {
    argument as u8
}
