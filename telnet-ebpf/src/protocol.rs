//! Which protocol a session speaks, from the first bytes of its first segments.
//!
//! The packets of all sockets come by here, in their way: nearly all are of no session that is
//! looked at, and a look-up tells. [`follow`] puts in each session that is reported; it is taken out
//! when its protocol is proven, or after [`LOOK_SEGMENTS`] in each direction, or at its end. Nothing
//! of the bytes leaves this file but a number for the protocol.
//!
//! Data on the last packet of an inbound handshake is not seen: it belongs to the listening socket
//! still.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    helpers::{bpf_get_socket_cookie, bpf_skb_load_bytes},
    programs::SkBuffContext,
};
use telnet_common::{
    KIND_PROTOCOL, ProtocolRecord,
    first_bytes::{LOOK_BYTES, LOOK_SEGMENTS, TELNET_PROOF, negotiations, opening},
    protocol::TELNET,
    tcp_state::{CLOSE, ESTABLISHED},
};

use crate::{
    emit::Counters,
    maps::UNDECIDED,
    offsets::LOOKS_AT_PROTOCOL,
    read::{Btf, Sock},
};

/// What a program returns so that the packet goes on.
pub(crate) const PASS: i32 = 1;

/// `IPPROTO_TCP` as IP headers have it.
const TCP: u8 = 6;

/// Which way a packet goes.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Sent,
    Received,
}

/// What was seen of a session.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Undecided {
    sent: Stream,
    received: Stream,
}

/// What was seen of one direction.
#[derive(Clone, Copy)]
#[repr(C)]
struct Stream {
    /// Segments that were looked at.
    segments: u32,
    /// Sequence number behind the last of them.
    next: u32,
    /// Telnet commands with which they began.
    negotiations: u32,
}

impl Stream {
    const NONE: Self = Self {
        segments: 0,
        next: 0,
        negotiations: 0,
    };
}

/// Looks at a session that opened, no more at one that is over.
#[inline(always)]
pub(crate) fn follow(counters: &Counters, sock: Sock<Btf>, state: u8) {
    if !LOOKS_AT_PROTOCOL.get() {
        return;
    }
    if state == ESTABLISHED {
        let nothing = Undecided {
            sent: Stream::NONE,
            received: Stream::NONE,
        };
        if UNDECIDED.insert(sock.identity(), nothing, 0).is_err() {
            counters.unfollowed();
        }
    } else if state == CLOSE {
        // Decided before, mostly.
        let _removed = UNDECIDED.remove(sock.identity());
    }
}

/// Looks at a packet.
#[inline(always)]
pub(crate) fn look(ctx: &SkBuffContext, side: Side) {
    // SAFETY: the verifier knows the context and lets this member be read.
    let member = unsafe { (*ctx.skb.skb).__bindgen_anon_2 };
    // SAFETY: a pointer is all it can be.
    let sk = unsafe { member.sk };
    if sk.is_null() {
        return;
    }
    let Some(tcp) = Sock::<Btf>::new(sk.cast_const().cast()).tcp() else {
        return;
    };
    let sock = tcp.sock();
    let key = sock.identity();
    let Some(undecided) = UNDECIDED.get_ptr_mut(key) else {
        return;
    };
    // SAFETY: a map value stays readable and writable while the program runs.
    let undecided = unsafe { &mut *undecided };
    let Undecided { sent, received } = undecided;
    let (here, there) = match side {
        Side::Sent => (sent, received),
        Side::Received => (received, sent),
    };
    if here.segments >= LOOK_SEGMENTS {
        return;
    }

    let ip: [u8; 20] = load(ctx, 0);
    let (header, transport) = match ip[0] >> 4 {
        4 => (u32::from(ip[0] & 0xf) * 4, ip[9]),
        // Extension headers are not gone through: the kernel makes none by itself.
        6 => (40, ip[6]),
        _ => return,
    };
    if transport != TCP {
        return;
    }
    let segment: [u8; 16] = load(ctx, header);
    let sequence = u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]);
    let payload = header + u32::from(segment[12] >> 4) * 4;
    let length = ctx.len().wrapping_sub(payload);
    // Nothing in it, or less than its headers promise.
    if length == 0 || length > ctx.len() {
        return;
    }
    let is_again = here.segments > 0 && sequence.wrapping_sub(here.next) > u32::MAX / 2;
    if is_again {
        return;
    }

    let bytes = beginning(ctx, payload, length);
    let mut protocol = if here.segments == 0 {
        opening(&bytes)
    } else {
        0
    };
    here.segments += 1;
    here.next = sequence.wrapping_add(length);
    here.negotiations += negotiations(&bytes, length);
    if here.negotiations + there.negotiations >= TELNET_PROOF {
        protocol = TELNET;
    }
    let is_last = here.segments >= LOOK_SEGMENTS && there.segments >= LOOK_SEGMENTS;
    tell(ctx, sock, protocol, is_last);
}

/// Counts the look, and emits a record of what it has proven.
#[inline(always)]
fn tell(ctx: &SkBuffContext, sock: Sock<Btf>, protocol: u32, is_last: bool) {
    let Some(counters) = Counters::this_cpu() else {
        return;
    };
    counters.seen_call();
    if protocol != 0 || is_last {
        // Another processor may have done it.
        let _removed = UNDECIDED.remove(sock.identity());
    }
    if protocol == 0 {
        counters.filtered_call();
        return;
    }
    counters.emit::<ProtocolRecord>(
        KIND_PROTOCOL,
        |record| &mut record.header,
        |record| {
            sock.describe(&mut record.socket);
            record.socket.local_port = sock.bound_port();
            // SAFETY: on packets the helper takes the context.
            record.socket.cookie = unsafe { bpf_get_socket_cookie(ctx.skb.skb.cast()) };
            record.protocol = protocol;
            record.reserved = 0;
        },
    );
}

/// The first bytes of the payload, of which there is one at least; 0 behind its end.
#[inline(always)]
fn beginning(ctx: &SkBuffContext, payload: u32, length: u32) -> [u8; LOOK_BYTES] {
    let mut bytes = [0; LOOK_BYTES];
    let most = u32::try_from(LOOK_BYTES).unwrap_or_default();
    // Bounded from both sides where the verifier sees it: before 6.8 "not 0" tells it nothing. Read
    // anew, or the compiler, which knows better, leaves it out.
    let others = length.wrapping_sub(1);
    // SAFETY: a value on the stack.
    let mut others = unsafe { ptr::read_volatile(&raw const others) };
    if others >= most {
        others = most - 1;
    }
    read(ctx, payload, bytes.as_mut_ptr().cast(), others + 1);
    bytes
}

/// Bytes of the packet, 0 when it has fewer. Its network header is at 0.
#[inline(always)]
fn load<const N: usize>(ctx: &SkBuffContext, offset: u32) -> [u8; N] {
    let mut bytes = [0; N];
    let length = u32::try_from(N).unwrap_or_default();
    read(ctx, offset, bytes.as_mut_ptr().cast(), length);
    bytes
}

#[inline(always)]
fn read(ctx: &SkBuffContext, offset: u32, to: *mut c_void, length: u32) {
    // SAFETY: `length` bytes are there, which the verifier checks. In page fragments too; what
    // cannot be read is filled with 0.
    let _error = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), offset, to, length) };
}
