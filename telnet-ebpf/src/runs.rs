//! Which programs on changes of state are in the middle of a run, so that the kernel skips them: where
//! they can be preempted.

use core::ptr::addr_of_mut;

use crate::{
    emit::{add_one_alone, read_now},
    maps::RUNS,
};

/// The program on changes of state (0) and its stand-ins.
const PROGRAMS: usize = 4;

/// Runs of each program on one CPU.
#[repr(C)]
pub(crate) struct Runs {
    began: [u64; PROGRAMS],
    /// Less than began while one was interrupted or preempted.
    ended: [u64; PROGRAMS],
}

/// This CPU's [`Runs`]. Each counter has one program that writes it, which no run of it interrupts.
#[derive(Clone, Copy)]
pub(crate) struct OfThisCpu(*mut Runs);

impl OfThisCpu {
    /// `None` never happens: the map has one entry per CPU.
    #[inline(always)]
    pub(crate) fn get() -> Option<Self> {
        RUNS.get_ptr_mut(0).map(Self)
    }

    /// Does something as one of the programs.
    #[inline(always)]
    pub(crate) fn run<const PROGRAM: usize>(self, run: impl FnOnce() -> i32) -> i32 {
        add_one_alone(self.began::<PROGRAM>());
        let result = run();
        add_one_alone(self.ended::<PROGRAM>());
        result
    }

    /// Whether a run of the program has not ended.
    #[inline(always)]
    pub(crate) fn is_inside<const PROGRAM: usize>(self) -> bool {
        read_now(self.began::<PROGRAM>()) != read_now(self.ended::<PROGRAM>())
    }

    #[inline(always)]
    fn began<const PROGRAM: usize>(self) -> *mut u64 {
        const { assert!(PROGRAM < PROGRAMS) };
        // SAFETY: in bounds of the map value, which lives as long as the map.
        let began = unsafe { addr_of_mut!((*self.0).began) };
        began.cast::<u64>().wrapping_add(PROGRAM)
    }

    #[inline(always)]
    fn ended<const PROGRAM: usize>(self) -> *mut u64 {
        const { assert!(PROGRAM < PROGRAMS) };
        // SAFETY: as in `began`.
        let ended = unsafe { addr_of_mut!((*self.0).ended) };
        ended.cast::<u64>().wrapping_add(PROGRAM)
    }
}
