//! The classic tracepoint `sock/inet_sock_set_state`, for kernels that expose no types: its record
//! has the addresses, ports and states, and nothing else of the socket.
//!
//! Without types nobody can be told from a kernel thread, so that who closed is not reported.

use aya_ebpf::{EbpfContext as _, programs::TracePointContext};
use telnet_common::{
    AF_INET, AF_INET6, CallRecord, IPPROTO_TCP, KIND_CONNECT, KIND_LISTEN, KIND_STATE,
    SocketRecord, StateRecord, UNKNOWN_ERROR,
    tcp_state::{FIN_WAIT1, LAST_ACK, LISTEN, SYN_SENT},
};

use crate::{
    emit::Counters,
    filter::{Address, Ends},
    offsets::{
        CLASSIC_DADDR, CLASSIC_DADDR_V6, CLASSIC_DPORT, CLASSIC_FAMILY, CLASSIC_NEWSTATE,
        CLASSIC_OLDSTATE, CLASSIC_PROTOCOL, CLASSIC_SADDR, CLASSIC_SADDR_V6, CLASSIC_SKADDR,
        CLASSIC_SPORT, Offset,
    },
    read::{KernelPtr, Probed},
    set_state::{ends, is_reported, state},
    task,
};

/// The tracepoint's record, laid out as its `format` in tracefs says.
#[derive(Clone, Copy)]
struct Entry(KernelPtr<Probed>);

impl Entry {
    #[inline(always)]
    fn state(self, offset: &Offset) -> u8 {
        state(self.0.field(offset))
    }

    /// Ports are in host order here; the local one outlives CLOSE.
    #[inline(always)]
    fn port(self, offset: &Offset) -> u16 {
        self.0.field(offset)
    }

    #[inline(always)]
    fn describe(self, record: &mut SocketRecord) {
        record.sock = self.0.field(&CLASSIC_SKADDR);
        record.cookie = 0;
        record.netns = 0;
        record.error = UNKNOWN_ERROR;
        record.local_port = self.port(&CLASSIC_SPORT);
        record.remote_port = self.port(&CLASSIC_DPORT);
        record.family = self.0.field(&CLASSIC_FAMILY);
        record.protocol = IPPROTO_TCP;
        record.local_address = self.address(record.family, &CLASSIC_SADDR, &CLASSIC_SADDR_V6);
        record.remote_address = self.address(record.family, &CLASSIC_DADDR, &CLASSIC_DADDR_V6);
    }

    #[inline(always)]
    fn addresses(self) -> (Address, Address) {
        let family = self.0.field(&CLASSIC_FAMILY);
        (
            Address::new(
                family,
                self.address(family, &CLASSIC_SADDR, &CLASSIC_SADDR_V6),
            ),
            Address::new(
                family,
                self.address(family, &CLASSIC_DADDR, &CLASSIC_DADDR_V6),
            ),
        )
    }

    #[inline(always)]
    fn address(self, family: u16, v4: &Offset, v6: &Offset) -> [u8; 16] {
        match family {
            AF_INET => {
                let word: u32 = self.0.field(v4);
                zerocopy::transmute!([word, 0, 0, 0])
            }
            AF_INET6 => self.0.field(v6),
            _ => [0; 16],
        }
    }
}

/// Counts the event, and emits a record when it is a reported transition on a monitored port.
#[inline(always)]
pub(crate) fn handle(ctx: &TracePointContext) {
    let Some(counters) = Counters::this_cpu() else {
        return;
    };
    counters.seen_change();
    let entry = Entry(KernelPtr::new(ctx.as_ptr()));
    let old = entry.state(&CLASSIC_OLDSTATE);
    let new = entry.state(&CLASSIC_NEWSTATE);
    if !is_wanted(entry, old, new) {
        counters.filtered_change();
        return;
    }
    match new {
        SYN_SENT => emit_call(&counters, KIND_CONNECT, entry),
        LISTEN => emit_call(&counters, KIND_LISTEN, entry),
        _ => emit_state(&counters, entry, old, new),
    }
}

#[inline(always)]
fn is_wanted(entry: Entry, old: u8, new: u8) -> bool {
    let protocol: u16 = entry.0.field(&CLASSIC_PROTOCOL);
    is_reported(old, new)
        && new != FIN_WAIT1
        && new != LAST_ACK
        && protocol == IPPROTO_TCP
        && match new {
            LISTEN => Ends::SERVER.may_be_wanted(entry.port(&CLASSIC_SPORT)),
            _ => ends(old, new).are_wanted(
                entry.port(&CLASSIC_SPORT),
                entry.port(&CLASSIC_DPORT),
                || entry.addresses(),
            ),
        }
}

#[inline(always)]
fn emit_call(counters: &Counters, kind: u32, entry: Entry) {
    counters.emit::<CallRecord>(
        kind,
        |record| &mut record.header,
        |record| {
            entry.describe(&mut record.socket);
            record.inode = 0;
            task::describe(&mut record.task);
        },
    );
}

#[inline(always)]
fn emit_state(counters: &Counters, entry: Entry, old: u8, new: u8) {
    counters.emit::<StateRecord>(
        KIND_STATE,
        |record| &mut record.header,
        |record| {
            entry.describe(&mut record.socket);
            record.bytes_received = 0;
            record.bytes_acked = 0;
            record.segs_in = 0;
            record.segs_out = 0;
            record.old_state = old;
            record.new_state = new;
            record.has_traffic = 0;
            record.fin_received = 0;
            record.reserved = [0; 4];
        },
    );
}
