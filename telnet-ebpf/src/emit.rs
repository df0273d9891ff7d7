//! The ledger and the ring buffer: nothing leaves, or is lost, without being counted.

use core::{
    intrinsics::{AtomicOrdering, atomic_xadd},
    ptr::addr_of_mut,
};

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns};
use telnet_common::{KernelCounters, RecordHeader};
use zerocopy::FromBytes;

use crate::{
    maps::{COUNTERS, EVENTS},
    wake,
};

/// This CPU's [`KernelCounters`].
///
/// Only this CPU writes them. A softirq can interrupt the program: kernels from 6.2 then skip the
/// nested run (and count it as a recursion miss), older ones run it, so each step is one atomic
/// add. `AtomicU64::fetch_add` does not exist on BPF; the intrinsic with its result unused is the
/// add-without-fetch that every kernel knows.
pub(crate) struct Counters(*mut KernelCounters);

impl Counters {
    /// `None` never happens: the map has one entry per CPU.
    #[inline(always)]
    pub(crate) fn this_cpu() -> Option<Self> {
        COUNTERS.get_ptr_mut(0).map(Self)
    }

    #[inline(always)]
    pub(crate) fn seen(&self) {
        // SAFETY: in bounds of the map value, which lives as long as the map.
        add_one(unsafe { addr_of_mut!((*self.0).seen) });
    }

    /// Like `seen`, in a program that sees no changes of state.
    #[inline(always)]
    pub(crate) fn seen_call(&self) {
        self.seen();
        // SAFETY: as in `seen`.
        add_one(unsafe { addr_of_mut!((*self.0).seen_calls) });
    }

    #[inline(always)]
    pub(crate) fn filtered(&self) {
        // SAFETY: as in `seen`.
        add_one(unsafe { addr_of_mut!((*self.0).filtered) });
    }

    /// Numbers and submits one record that `fill` completes, or counts it as dropped.
    ///
    /// The record is written where it will be read: it would not fit on the 512-byte stack.
    #[inline(always)]
    pub(crate) fn emit<T: FromBytes + 'static>(
        &self,
        kind: u32,
        header: impl FnOnce(&mut T) -> &mut RecordHeader,
        fill: impl FnOnce(&mut T),
    ) {
        let Some(mut entry) = EVENTS.reserve::<T>(0) else {
            // SAFETY: as in `seen`.
            add_one(unsafe { addr_of_mut!((*self.0).dropped_ring_full) });
            return;
        };
        // SAFETY: reserved and aligned for `T`, and `T` is valid for any bytes.
        let record = unsafe { &mut *entry.as_mut_ptr() };
        // SAFETY: takes no argument.
        let time_ns = unsafe { bpf_ktime_get_boot_ns() };
        *header(record) = RecordHeader {
            kind,
            // SAFETY: takes no argument.
            cpu: unsafe { bpf_get_smp_processor_id() },
            sequence: self.attempts(),
            time_ns,
        };
        fill(record);
        entry.submit(wake::flags(time_ns));
        // SAFETY: as in `seen`.
        add_one(unsafe { addr_of_mut!((*self.0).submitted) });
    }

    /// Records this CPU tried to submit so far: the number of the next one.
    #[inline(always)]
    fn attempts(&self) -> u64 {
        // SAFETY: as in `seen`.
        let submitted = unsafe { (*self.0).submitted };
        // SAFETY: as in `seen`.
        let dropped = unsafe { (*self.0).dropped_ring_full };
        submitted + dropped
    }
}

#[inline(always)]
fn add_one(counter: *mut u64) {
    // SAFETY: aligned and valid: a member of a map value of 8-byte integers.
    let _before = unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}
