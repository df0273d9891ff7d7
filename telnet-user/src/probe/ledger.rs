//! The kernel ledger: every event a probe program ran for is accounted for.

use std::{collections::HashMap, fmt};

use telnet_common::KernelCounters;

/// Sums over all CPUs, and what came out of the ring buffer.
///
/// At rest `seen = filtered + submitted + dropped_ring_full` and `submitted = received`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Events a probe program ran for.
    pub seen: u64,
    /// Events no rule can match, rejected in the kernel.
    pub filtered: u64,
    /// Records handed to the ring buffer.
    pub submitted: u64,
    /// Records lost because the ring buffer was full.
    pub dropped_ring_full: u64,
    /// Those of `seen` that are no changes of state.
    pub seen_calls: u64,
    /// Events for which the kernel ran no program, since it was already running on that CPU when it
    /// was interrupted or preempted (`recursion_misses` of the programs). Where programs have
    /// stand-ins it is at most so many.
    pub missed: u64,
    /// Records read from the ring buffer.
    pub received: u64,
    /// Records read that could not be decoded.
    pub undecodable: u64,
    /// Records whose number never arrived, by the sequence numbers of what did arrive.
    pub lost: u64,
    /// Sessions whose protocol is not looked for, because as many as the kernel side has room for
    /// already are. They are reported all the same.
    pub unfollowed: u64,
}

impl Ledger {
    /// Adds what one CPU counted.
    pub(crate) fn add(&mut self, cpu: &KernelCounters) {
        let KernelCounters {
            seen_changes,
            filtered_changes,
            seen_calls,
            filtered_calls,
            submitted,
            dropped_ring_full,
            unfollowed,
            stood_in: _,
        } = cpu;
        for (sum, counts) in [
            (&mut self.seen, [seen_changes, seen_calls].as_slice()),
            (&mut self.filtered, &[filtered_changes, filtered_calls]),
            (&mut self.submitted, &[submitted]),
            (&mut self.dropped_ring_full, &[dropped_ring_full]),
            (&mut self.seen_calls, &[seen_calls]),
            (&mut self.unfollowed, &[unfollowed]),
        ] {
            for count in counts {
                *sum = sum.saturating_add(**count);
            }
        }
    }

    /// Changes of state the probe ran for.
    pub const fn state_changes(&self) -> u64 {
        self.seen.saturating_sub(self.seen_calls)
    }

    /// Whether the books balance: no program runs, and the ring buffer is drained.
    pub const fn balances(&self) -> bool {
        self.seen == self.filtered + self.submitted + self.dropped_ring_full
            && self.submitted == self.received
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seen,
            filtered,
            submitted,
            dropped_ring_full,
            seen_calls: _,
            missed,
            received,
            undecodable,
            lost,
            unfollowed,
        } = self;
        write!(
            formatter,
            "seen={seen} filtered={filtered} submitted={submitted} \
             dropped_ring_full={dropped_ring_full} missed={missed} received={received} \
             undecodable={undecodable} lost={lost} unfollowed={unfollowed}"
        )
    }
}

/// Finds missing sequence numbers.
///
/// Counts instead of comparing neighbours: on kernels before 6.2 a softirq can interrupt the
/// program on its CPU, and two records then carry the same number while the next one is skipped.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    cpus: HashMap<u32, Sequence>,
}

#[derive(Debug, Default)]
struct Sequence {
    next: u64,
    received: u64,
}

impl Sequences {
    /// Notes one received record.
    pub(crate) fn note(&mut self, cpu: u32, sequence: u64) {
        let entry = self.cpus.entry(cpu).or_default();
        entry.next = entry.next.max(sequence.saturating_add(1));
        entry.received = entry.received.saturating_add(1);
    }

    /// Records that were numbered before the newest one of their CPU and have not arrived.
    pub(crate) fn missing(&self) -> u64 {
        self.cpus
            .values()
            .map(|cpu| cpu.next.saturating_sub(cpu.received))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(records: &[(u32, u64)]) -> u64 {
        let mut sequences = Sequences::default();
        for &(cpu, sequence) in records {
            sequences.note(cpu, sequence);
        }
        sequences.missing()
    }

    #[test]
    fn gaps_are_counted_per_cpu() {
        assert_eq!(missing(&[]), 0);
        assert_eq!(missing(&[(0, 0), (0, 1), (1, 0)]), 0);
        assert_eq!(missing(&[(0, 0), (0, 3), (1, 2)]), 4);
    }

    #[test]
    fn order_does_not_matter_and_a_nested_run_is_no_loss() {
        assert_eq!(missing(&[(0, 2), (0, 0), (0, 1)]), 0);
        assert_eq!(missing(&[(0, 0), (0, 0), (0, 2)]), 0);
    }

    #[test]
    fn the_books_balance_only_when_everything_is_accounted_for() {
        let mut ledger = Ledger::default();
        ledger.add(&KernelCounters {
            seen_changes: 6,
            filtered_changes: 4,
            seen_calls: 4,
            filtered_calls: 2,
            submitted: 3,
            dropped_ring_full: 1,
            unfollowed: 7,
            stood_in: 0,
        });
        assert!(!ledger.balances());
        ledger.received = 3;
        assert!(ledger.balances());
        assert_eq!(ledger.unfollowed, 7, "beside the books");
        ledger.seen = 11;
        assert!(!ledger.balances());
    }
}
