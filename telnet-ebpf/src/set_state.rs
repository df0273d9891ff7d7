//! `inet_sock_set_state`: decide cheaply whether a rule could care, then report.

use core::ffi::c_void;

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use telnet_common::{
    CallRecord, IPPROTO_TCP, KIND_CLOSE, KIND_CONNECT, KIND_LISTEN, KIND_STATE, StateRecord,
    tcp_state::{CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, LAST_ACK, LISTEN, SYN_RECV, SYN_SENT},
};

use crate::{
    emit::Counters,
    filter::Ends,
    last::Last,
    maps::CHANGES,
    offsets::HAS_STAND_IN,
    protocol,
    read::{Btf, Sock, TcpSock},
    task,
};

/// A reported state change on a monitored port.
struct Change {
    sock: Sock<Btf>,
    local_port: u16,
    old: u8,
    new: u8,
}

/// Looks at the change.
#[inline(always)]
pub(crate) fn handle(ctx: &BtfTracePointContext) -> i32 {
    if HAS_STAND_IN.get()
        && let Some(last) = Last::this_cpu()
    {
        last.set(ctx);
    }
    look(ctx, false)
}

/// Looks at the change when the kernel skipped the program and all stand-ins before this one, which it
/// does while a run of each on this CPU is interrupted or preempted.
///
/// Hardly anything costs as little as that question, and hosts have many changes that nobody wants.
/// Whoever is preempted between two programs finds another change there, and is dealt with twice:
/// [`note`] tells.
#[inline(always)]
pub(crate) fn stand_in(ctx: &BtfTracePointContext) -> i32 {
    let Some(last) = Last::this_cpu() else {
        return 0;
    };
    if last.is(ctx) {
        return 0;
    }
    last.set(ctx);
    look(ctx, true)
}

/// Counts the event, and emits a record when it is a reported transition on a monitored port.
///
/// Returns 0: the verifier refuses a function that leaves a pointer in the register of results.
#[inline(never)]
fn look(ctx: &BtfTracePointContext, stands_in: bool) -> i32 {
    let Some(counters) = Counters::this_cpu() else {
        return 0;
    };
    counters.seen_change();
    let Some(change) = reported(ctx) else {
        counters.filtered_change();
        return 0;
    };
    let is_new = note(&change);
    if stands_in {
        // Only what was certainly taken over is counted as that: too few here are too many missed.
        if !is_new {
            counters.filtered_change();
            return 0;
        }
        counters.stood_in();
    }
    debug!(
        ctx,
        "state {} -> {}, local port {}", change.old, change.new, change.local_port
    );
    match change.new {
        SYN_SENT => emit_call(&counters, KIND_CONNECT, &change),
        LISTEN => emit_call(&counters, KIND_LISTEN, &change),
        FIN_WAIT1 | LAST_ACK => emit_call(&counters, KIND_CLOSE, &change),
        _ => {
            emit_state(&counters, &change);
            // After: what is proven comes behind the record of the session.
            protocol::follow(&counters, change.sock, change.new);
        }
    }
    0
}

/// Notes a wanted change, and tells whether no program has dealt with it yet. No socket goes from one
/// state to another twice without another change in between.
#[inline(always)]
fn note(change: &Change) -> bool {
    if !HAS_STAND_IN.get() {
        return true;
    }
    let cookie = change.sock.cookie();
    if cookie == 0 {
        return true;
    }
    let states = u32::from(change.old) << 8 | u32::from(change.new);
    // SAFETY: a map value stays readable while the program runs.
    let last = CHANGES.get_ptr(cookie).map(|last| unsafe { *last });
    if last == Some(states) {
        return false;
    }
    // Full is not possible, since the least recently used entry gives way.
    let _inserted = CHANGES.insert(cookie, states, 0);
    true
}

/// connect(2), listen(2), close(2) and shutdown(2) change the state themselves, so the current
/// task is the caller.
#[inline(always)]
fn emit_call(counters: &Counters, kind: u32, change: &Change) {
    counters.emit::<CallRecord>(
        kind,
        |record| &mut record.header,
        |record| {
            change.sock.describe(&mut record.socket);
            record.socket.cookie = change.sock.cookie();
            record.socket.local_port = change.local_port;
            record.inode = 0;
            task::describe(&mut record.task);
        },
    );
}

#[inline(always)]
fn emit_state(counters: &Counters, change: &Change) {
    counters.emit::<StateRecord>(
        KIND_STATE,
        |record| &mut record.header,
        |record| {
            change.sock.describe(&mut record.socket);
            record.socket.cookie = change.sock.cookie();
            record.socket.local_port = change.local_port;
            record.old_state = change.old;
            record.new_state = change.new;
            record.fin_received = u8::from(change.sock.fin_received());
            record.reserved = [0; 4];
            let tcp = if change.new == CLOSE {
                change.sock.tcp()
            } else {
                None
            };
            traffic(tcp, record);
        },
    );
}

#[inline(always)]
fn traffic(tcp: Option<TcpSock>, record: &mut StateRecord) {
    record.has_traffic = u8::from(tcp.is_some());
    record.bytes_received = tcp.map_or(0, TcpSock::bytes_received);
    record.bytes_acked = tcp.map_or(0, TcpSock::bytes_acked);
    record.segs_in = tcp.map_or(0, TcpSock::segs_in);
    record.segs_out = tcp.map_or(0, TcpSock::segs_out);
}

/// The change, when the transition and one of its ports are wanted.
#[inline(always)]
fn reported(ctx: &BtfTracePointContext) -> Option<Change> {
    let old = state(ctx.arg::<u32>(1));
    let new = state(ctx.arg::<u32>(2));
    if !is_reported(old, new) {
        return None;
    }
    let sock = Sock::<Btf>::new(ctx.arg::<*const c_void>(0));
    // MPTCP's own sockets fire as well; their TCP subflows are the sessions on the wire.
    if sock.protocol() != IPPROTO_TCP {
        return None;
    }
    let local_port = local_port(sock, new);
    let is_wanted = match new {
        // Its clients are not known yet.
        LISTEN => Ends::SERVER.may_be_wanted(local_port),
        _ => ends(old, new).are_wanted(local_port, sock.remote_port(), || sock.addresses()),
    };
    // Who closed is only asked of servers: a client is known since its connect(2).
    let is_close = new == FIN_WAIT1 || new == LAST_ACK;
    if !is_wanted || is_close && task::is_kernel_thread() {
        return None;
    }
    Some(Change {
        sock,
        local_port,
        old,
        new,
    })
}

/// What a transition tells of the direction. Not `SYN_RECV`: two sides that connect to each other at
/// once get there too.
#[inline(always)]
pub(crate) const fn ends(old: u8, new: u8) -> Ends {
    match (old, new) {
        (_, SYN_SENT) | (SYN_SENT, ESTABLISHED) => Ends::OUTBOUND,
        (_, FIN_WAIT1 | LAST_ACK) => Ends::INBOUND,
        _ => Ends::EITHER,
    }
}

/// The transitions that sessions and listeners are made of. Self-transitions exist (MPTCP) and
/// mean nothing.
#[inline(always)]
pub(crate) fn is_reported(old: u8, new: u8) -> bool {
    match new {
        SYN_SENT | LISTEN => old == CLOSE,
        ESTABLISHED => old == SYN_SENT || old == SYN_RECV,
        FIN_WAIT1 => old == ESTABLISHED,
        LAST_ACK => old == CLOSE_WAIT,
        CLOSE => old != CLOSE,
        _ => false,
    }
}

/// `skc_num` is 0 at CLOSE unless the port was bound by hand; `inet_sport` is still there.
#[inline(always)]
fn local_port(sock: Sock<Btf>, new: u8) -> u16 {
    match sock.bound_port() {
        0 if new == CLOSE => sock.tcp().map_or(0, TcpSock::inet_sport),
        port => port,
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the kernel knows twelve states"
)]
pub(crate) const fn state(argument: u32) -> u8 {
    argument as u8
}
