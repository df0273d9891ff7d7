//! Programs that nothing else on their CPU comes between.
//!
//! Since Linux 7.0 a tracepoint's program can be preempted (`include/linux/tracepoint.h`,
//! `__DECLARE_TRACE`), and while it stands still the kernel skips the same program for whoever has the
//! CPU: an event that is lost. The kernel's function that keeps the CPU has no fixed number, so what is
//! compiled is a call of a helper that does not exist. The agent replaces it before it loads the
//! probe.

use telnet_common::{CALL_PREEMPT_DISABLE, CALL_PREEMPT_ENABLE};

/// Runs `action` without being preempted, where the kernel could.
#[inline(always)]
pub(crate) fn without(action: impl FnOnce()) {
    call::<CALL_PREEMPT_DISABLE>();
    action();
    call::<CALL_PREEMPT_ENABLE>();
}

#[inline(always)]
fn call<const FUNCTION: i32>() {
    // Lints look at this crate as built for the host, whose registers have other names.
    #[cfg(target_arch = "bpf")]
    // SAFETY: takes and returns nothing, and a call leaves nothing in these registers.
    unsafe {
        core::arch::asm!(
            "call {}",
            const FUNCTION,
            out("r0") _,
            out("r1") _,
            out("r2") _,
            out("r3") _,
            out("r4") _,
            out("r5") _,
        );
    }
}
