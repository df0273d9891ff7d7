//! When the agent is woken: at once when calm, seldom under a flood.
//!
//! Waking the agent costs several times what a record costs, and an agent that keeps up would be
//! woken for each one. So each CPU has a budget: one wake-up in [`WAKE_EVERY_NS`], of which
//! [`WAKES_AT_ONCE`] can be saved up. When it is spent, records wait for the agent, which looks
//! again a moment after it was woken: a record that wakes nobody comes less than [`WAKE_EVERY_NS`]
//! after one that did.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use telnet_common::WAKE_EVERY_NS;

use crate::maps::WAKES;

/// Wake-ups that can be saved up: those of some sessions.
const WAKES_AT_ONCE: u64 = 16;
/// Flags 0: wakes the agent if it has caught up.
const WAKE: u64 = 0;

/// The flags with which a record is submitted at `now`.
#[inline(always)]
pub(crate) fn flags(now: u64) -> u64 {
    let Some(spent) = WAKES.get_ptr_mut(0) else {
        return WAKE;
    };
    // SAFETY: in bounds of the map value, which lives as long as the map, and is this CPU's.
    let until = unsafe { *spent };
    if until > now + WAKE_EVERY_NS * WAKES_AT_ONCE {
        return u64::from(BPF_RB_NO_WAKEUP);
    }
    let from = if until > now { until } else { now };
    // SAFETY: as above. A softirq in between can give one wake-up too many, never none.
    unsafe { *spent = from + WAKE_EVERY_NS };
    WAKE
}
