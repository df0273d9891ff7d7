//! Why the probe could not be loaded, in sentences that say what to do.

use std::io;

use aya::programs::ProgramError;
use thiserror::Error;

use super::{
    btf::{self, BtfError},
    classic::FormatError,
    object,
    record::Hook,
};

/// Oldest kernel with everything the probe needs: ring buffer (5.8), `bpf_skc_to_tcp_sock` (5.9).
pub(super) const MINIMUM: (u32, u32) = (5, 10);

/// Why the probe could not be loaded; each says what to do.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Missing privileges.
    #[error(
        "not permitted to load the probe: run as root, or with the capabilities CAP_BPF, \
         CAP_PERFMON, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE"
    )]
    NotPermitted,
    /// The kernel lacks what the probe needs.
    #[error(
        "kernel {release} is too old: {major}.{minor} or newer is needed",
        major = MINIMUM.0,
        minor = MINIMUM.1
    )]
    TooOld {
        /// `uname -r`.
        release: String,
    },
    /// No type information.
    #[error(
        "this kernel does not expose its types ({path}: {source}), and without them the classic \
         tracepoint cannot be used ({classic}): build the kernel with CONFIG_DEBUG_INFO_BTF=y, or \
         mount tracefs on /sys/kernel/tracing",
        path = btf::VMLINUX
    )]
    NoBtf {
        /// What opening it said.
        source: io::Error,
        /// What is wrong with the tracepoint.
        classic: FormatError,
    },
    /// The type information cannot be used.
    #[error("{path} cannot be used: {source}", path = btf::VMLINUX)]
    Btf {
        /// What is wrong.
        source: BtfError,
    },
    /// The kernel refused the ring buffer.
    #[error(
        "the kernel refused a ring buffer of {bytes} bytes: {source}; the size must be a power of \
         two of pages, and memory must allow it, before Linux 5.11 also what may be locked (ulimit \
         -l, LimitMEMLOCK=)"
    )]
    Ring {
        /// Size asked for.
        bytes: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a program.
    #[error("the kernel refused the probe: {0}")]
    Refused(String),
    /// The forced accept hook does not work here.
    #[error("the accept hook {} does not work on this kernel: {reason}", .hook.as_str())]
    Hook {
        /// The hook.
        hook: Hook,
        /// What the kernel said.
        reason: String,
    },
    /// Built without the probe.
    #[error(transparent)]
    Object(#[from] object::Missing),
}

/// One line: the kernel's errno and the verifier's last words.
pub(super) fn reason(error: &ProgramError) -> String {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        let log = verifier_log.to_string();
        return last_words(&log).map_or_else(
            || io_error.to_string(),
            |words| format!("{io_error}; verifier: {words}"),
        );
    }
    chain(error)
}

/// The last line of a verifier's log that is not one of its statistics.
fn last_words(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 3] = ["verification time ", "stack depth ", "processed "];
    let is_statistic = |line: &str| STATISTICS.iter().any(|start| line.starts_with(start));
    let mut lines = log.lines().rev();
    lines.find(|line| !line.is_empty() && !is_statistic(line))
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_statistics_are_not_its_reason() {
        let log = "1: (95) exit\nR0 !read_ok\nverification time 10 usec\nstack depth 248+0\n\
                   processed 2 insns (limit 1000000) max_states_per_insn 0\n\n";
        assert_eq!(last_words(log), Some("R0 !read_ok"));
        assert_eq!(last_words("processed 2 insns (limit 1000000)\n"), None);
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let old = LoadError::TooOld {
            release: "4.19.0".to_owned(),
        };
        assert_eq!(
            old.to_string(),
            "kernel 4.19.0 is too old: 5.10 or newer is needed"
        );
        let ring = LoadError::Ring {
            bytes: 3,
            source: io::Error::from_raw_os_error(22),
        };
        assert!(ring.to_string().contains("a ring buffer of 3 bytes"));
    }
}
