//! How much one session may report of its processes: whatever it starts, it must not push the
//! records of others out of the ring buffer.

use telnet_common::KIND_EXIT;

use crate::maps::BUDGETS;

/// Most records of one family in one second.
const MOST: u32 = 1_024;
/// A second, on the clock of the records.
const SECOND_NS: u64 = 1_000_000_000;

/// What a family has reported in the current second.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Budget {
    since_ns: u64,
    reported: u32,
    left_out: u32,
}

/// Whether one more record of this family may go out, and how many were left out before it. The
/// counts are not exact when two CPUs count at once, which the bound can bear.
#[inline(always)]
pub(crate) fn spend(family: u32, kind: u32, now_ns: u64) -> Option<u64> {
    let Some(budget) = BUDGETS.get_ptr_mut(family) else {
        let first = Budget {
            since_ns: now_ns,
            reported: 1,
            left_out: 0,
        };
        // Full is not possible: the least recently used gives way.
        let _inserted = BUDGETS.insert(family, first, 0);
        return Some(0);
    };
    // SAFETY: a map value stays readable and writable while the program runs.
    let budget = unsafe { &mut *budget };
    if now_ns.saturating_sub(budget.since_ns) > SECOND_NS {
        budget.since_ns = now_ns;
        budget.reported = 0;
    }
    // What was reported to begin is reported to end, so there are never more ends than beginnings.
    if budget.reported >= MOST && kind != KIND_EXIT {
        budget.left_out = budget.left_out.wrapping_add(1);
        return None;
    }
    budget.reported = budget.reported.wrapping_add(1);
    let left_out = u64::from(budget.left_out);
    budget.left_out = 0;
    Some(left_out)
}
