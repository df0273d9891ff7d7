//! Programs that the kernel does not preempt: calls that the probe leaves open, filled in for this
//! kernel.

use telnet_common::{CALL_PREEMPT_DISABLE, CALL_PREEMPT_ENABLE};
use zerocopy::IntoBytes as _;

use super::{btf::Btf, require};

/// From this kernel on a tracepoint's program can be preempted (`include/linux/tracepoint.h`,
/// `__DECLARE_TRACE`), and is skipped meanwhile for all others on its CPU.
const PREEMPTIBLE: (u32, u32) = (7, 0);

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// In the source register of a call: a function of the kernel, by its type's id.
const PSEUDO_KFUNC_CALL: u8 = 2;
/// `BPF_JMP | BPF_JA` to the next instruction.
const NOTHING: u64 = 0x05;

/// The kernel's functions, by the ids of their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calls {
    disable: u32,
    enable: u32,
}

impl Calls {
    /// Those of a kernel that would preempt a program.
    pub(super) fn of(types: &Btf) -> Option<Self> {
        if !require::is_kernel(PREEMPTIBLE) {
            return None;
        }
        Some(Self {
            disable: types.function("bpf_preempt_disable")?,
            enable: types.function("bpf_preempt_enable")?,
        })
    }
}

/// The probe's object with each open call replaced: by the kernel's function, or by nothing. In words,
/// which is how it has to be aligned.
pub(super) fn fill(object: &[u8], calls: Option<Calls>) -> Vec<u64> {
    let mut words = vec![0; object.len().div_ceil(size_of::<u64>())];
    for (to, from) in words.as_mut_bytes().iter_mut().zip(object) {
        *to = *from;
    }
    let open =
        [CALL_PREEMPT_DISABLE, CALL_PREEMPT_ENABLE].map(|number| call(0, number.cast_unsigned()));
    let filled = calls.map_or([NOTHING; 2], |calls| {
        [calls.disable, calls.enable].map(|id| call(PSEUDO_KFUNC_CALL, id))
    });
    for word in &mut words {
        for (open, filled) in open.into_iter().zip(filled) {
            if u64::from_le(*word) == open {
                *word = filled.to_le();
            }
        }
    }
    words
}

/// A call as the kernel reads it: operation, registers, offset, number (`struct bpf_insn`).
fn call(source_register: u8, number: u32) -> u64 {
    u64::from(number) << 32 | u64::from(source_register) << 12 | u64::from(CALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both open calls between two other instructions, and the begin of one.
    fn object() -> Vec<u8> {
        [
            &[0xbf, 0x16, 0, 0, 0, 0, 0, 0][..],
            &[0x85, 0, 0, 0, 1, 0, 0x1e, 0x7e],
            &[0x85, 0, 0, 0, 2, 0, 0x1e, 0x7e],
            &[0x95, 0, 0],
        ]
        .concat()
    }

    #[test]
    fn open_calls_become_the_kernels() {
        let calls = Calls {
            disable: 0x0102_0304,
            enable: 5,
        };
        let words = fill(&object(), Some(calls));
        let expected = [
            &[0xbf, 0x16, 0, 0, 0, 0, 0, 0][..],
            &[0x85, 0x20, 0, 0, 4, 3, 2, 1],
            &[0x85, 0x20, 0, 0, 5, 0, 0, 0],
            &[0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(words.as_bytes(), expected.concat());
    }

    #[test]
    fn open_calls_become_nothing_elsewhere() {
        let words = fill(&object(), None);
        let nothing = [0x05, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(words.as_bytes().chunks(8).nth(1), Some(&nothing[..]));
        assert_eq!(words.as_bytes().chunks(8).nth(2), Some(&nothing[..]));
    }
}
