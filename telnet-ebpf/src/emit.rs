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
    offsets::{HAS_RECURSION_GUARD, HAS_STAND_IN},
    wake,
};

/// This CPU's [`KernelCounters`].
///
/// Only this CPU writes them. A softirq can interrupt a program with another one, so each step is one
/// atomic add. `AtomicU64::fetch_add` does not exist on BPF; the intrinsic with its result unused is
/// the add-without-fetch that every kernel knows.
#[derive(Clone, Copy)]
pub(crate) struct Counters(*mut KernelCounters);

impl Counters {
    /// `None` never happens: the map has one entry per CPU.
    #[inline(always)]
    pub(crate) fn this_cpu() -> Option<Self> {
        COUNTERS.get_ptr_mut(0).map(Self)
    }

    /// A stand-in does what the kernel skipped the program for.
    #[inline(always)]
    pub(crate) fn stood_in(&self) {
        // SAFETY: in bounds of the map value, which lives as long as the map.
        add_one(unsafe { addr_of_mut!((*self.0).stood_in) });
    }

    /// A change of state, which most hosts have many of that nobody wants.
    #[inline(always)]
    pub(crate) fn seen_change(&self) {
        // SAFETY: as in `stood_in`.
        add_one_of_changes(unsafe { addr_of_mut!((*self.0).seen_changes) });
    }

    #[inline(always)]
    pub(crate) fn filtered_change(&self) {
        // SAFETY: as in `stood_in`.
        add_one_of_changes(unsafe { addr_of_mut!((*self.0).filtered_changes) });
    }

    /// Anything else that a program runs for.
    #[inline(always)]
    pub(crate) fn seen_call(&self) {
        // SAFETY: as in `stood_in`.
        add_one(unsafe { addr_of_mut!((*self.0).seen_calls) });
    }

    #[inline(always)]
    pub(crate) fn filtered_call(&self) {
        // SAFETY: as in `stood_in`.
        add_one(unsafe { addr_of_mut!((*self.0).filtered_calls) });
    }

    /// A session at which nobody looks.
    #[inline(always)]
    pub(crate) fn unfollowed(&self) {
        // SAFETY: as in `stood_in`.
        add_one(unsafe { addr_of_mut!((*self.0).unfollowed) });
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
            // SAFETY: as in `stood_in`.
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
        // SAFETY: as in `stood_in`.
        add_one(unsafe { addr_of_mut!((*self.0).submitted) });
    }

    /// Records this CPU tried to submit so far: the number of the next one.
    #[inline(always)]
    fn attempts(&self) -> u64 {
        // SAFETY: as in `stood_in`.
        let submitted = unsafe { (*self.0).submitted };
        // SAFETY: as in `stood_in`.
        let dropped = unsafe { (*self.0).dropped_ring_full };
        submitted + dropped
    }
}

#[inline(always)]
fn add_one(counter: *mut u64) {
    // SAFETY: aligned and valid: a member of a map value of 8-byte integers.
    let _before = unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}

/// For counters that no program writes but the one for changes of state: where the kernel skips a
/// nested run of it, nothing comes between the load and the store, and a locked add would be a
/// good part of what an unwanted change costs.
#[inline(always)]
fn add_one_of_changes(counter: *mut u64) {
    if HAS_RECURSION_GUARD.get() && !HAS_STAND_IN.get() {
        // SAFETY: as in `add_one`.
        let count = unsafe { counter.read_volatile() };
        // SAFETY: as in `add_one`. Volatile keeps what is added here added here.
        unsafe { counter.write_volatile(count.wrapping_add(1)) };
    } else {
        add_one(counter);
    }
}
