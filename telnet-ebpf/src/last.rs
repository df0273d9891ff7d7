//! Which change of state each CPU dealt with last: what tells a stand-in that the kernel skipped the
//! programs before it.

use aya_ebpf::programs::BtfTracePointContext;

use crate::maps::LAST_CHANGE;

/// A change of state, by the arguments of the tracepoint.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Arguments {
    sock: u64,
    old: u32,
    new: u32,
}

impl Arguments {
    #[inline(always)]
    fn of(ctx: &BtfTracePointContext) -> Self {
        Self {
            sock: ctx.arg(0),
            old: ctx.arg(1),
            new: ctx.arg(2),
        }
    }
}

/// What this CPU dealt with last.
#[derive(Clone, Copy)]
pub(crate) struct Last(*mut Arguments);

impl Last {
    /// `None` never happens: the map has one entry per CPU.
    #[inline(always)]
    pub(crate) fn this_cpu() -> Option<Self> {
        LAST_CHANGE.get_ptr_mut(0).map(Self)
    }

    /// Whether it is this change.
    #[inline(always)]
    pub(crate) fn is(self, ctx: &BtfTracePointContext) -> bool {
        // SAFETY: aligned, and in bounds of the map value, which lives as long as the map. Volatile,
        // since other runs come in between: a mixture of two changes is one of none.
        let last = unsafe { self.0.read_volatile() };
        last == Arguments::of(ctx)
    }

    /// A program deals with this change.
    #[inline(always)]
    pub(crate) fn set(self, ctx: &BtfTracePointContext) {
        // SAFETY: as in `is`.
        unsafe { self.0.write_volatile(Arguments::of(ctx)) };
    }
}
