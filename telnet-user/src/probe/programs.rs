//! The programs on tracepoints with types, the stand-ins that some kernels need, and what the kernel
//! skipped all of them for.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, Program, ProgramError},
};
use telnet_common::PROGRAM_STATE;

use super::{load::named, require};

/// From this kernel on tracepoints run under SRCU (`include/linux/tracepoint.h`), so that their
/// programs can be preempted, and the kernel skips a program for who has its CPU meanwhile.
const PREEMPTIBLE_TRACEPOINTS: (u32, u32) = (7, 0);

/// The program on changes of state, and its stand-ins.
const STATE: [&str; 4] = [
    PROGRAM_STATE,
    "inet_sock_set_state_2",
    "inet_sock_set_state_3",
    "inet_sock_set_state_4",
];

/// Tracepoints of processes (`tp_btf`), and the programs on each: one, and its stand-ins, which do
/// what the kernel skipped it for.
const PROCESSES: [(&str, [&str; 4]); 3] = [
    (
        "sched_process_fork",
        [
            "process_fork",
            "process_fork_2",
            "process_fork_3",
            "process_fork_4",
        ],
    ),
    (
        "sched_process_exec",
        [
            "process_exec",
            "process_exec_2",
            "process_exec_3",
            "process_exec_4",
        ],
    ),
    (
        "sched_process_exit",
        [
            "process_exit",
            "process_exit_2",
            "process_exit_3",
            "process_exit_4",
        ],
    ),
];

/// Whether this kernel can preempt the programs.
pub(super) fn need_stand_ins() -> bool {
    require::is_kernel(PREEMPTIBLE_TRACEPOINTS)
}

/// Loads and attaches the programs on changes of state and on processes.
pub(super) fn attach(ebpf: &mut Ebpf, kernel: &Btf) -> Result<(), ProgramError> {
    attach_to(ebpf, kernel, ("inet_sock_set_state", STATE))?;
    for tracepoint in PROCESSES {
        attach_to(ebpf, kernel, tracepoint)?;
    }
    Ok(())
}

/// The first of the programs, and the others where they are needed: each is run after the one before.
fn attach_to<const N: usize>(
    ebpf: &mut Ebpf,
    kernel: &Btf,
    (tracepoint, programs): (&str, [&str; N]),
) -> Result<(), ProgramError> {
    let number = if need_stand_ins() { N } else { 1 };
    for program in programs.into_iter().take(number) {
        let program: &mut BtfTracePoint = named(ebpf, program)?;
        program.load(tracepoint, kernel)?;
        program.attach()?;
    }
    Ok(())
}

/// Events for which no program ran. `stood_in` are changes of state that a stand-in took over.
pub(super) fn missed(ebpf: &Ebpf, stood_in: u64) -> io::Result<u64> {
    let mut skipped = Vec::new();
    for (name, program) in ebpf.programs() {
        if let Some(count) = recursion_misses(program)? {
            skipped.push((name, count));
        }
    }
    Ok(bound(&skipped, stood_in))
}

/// The most events that were missed when each of the programs was skipped so often.
///
/// Of processes, whose programs all have to be skipped, those are no more than what the one was skipped
/// for that was skipped least.
fn bound(skipped: &[(&str, u64)], stood_in: u64) -> u64 {
    let mut least = HashMap::new();
    for (name, count) in skipped {
        if STATE.iter().skip(1).any(|stand_in| stand_in == name) {
            // They count what they take over.
            continue;
        }
        let tracepoint = PROCESSES
            .iter()
            .find_map(|(tracepoint, all)| all.contains(name).then_some(*tracepoint));
        let least = least.entry(tracepoint.unwrap_or(name)).or_insert(*count);
        *least = (*least).min(*count);
    }
    if let Some(count) = least.get_mut(PROGRAM_STATE) {
        *count = count.saturating_sub(stood_in);
    }
    least.into_values().sum()
}

/// How often the kernel skipped a program, from its description of the file descriptor (5.12 and
/// newer); none of a program that is not loaded.
fn recursion_misses(program: &Program) -> io::Result<Option<u64>> {
    let Ok(fd) = program.fd() else {
        // Another hook tells the same, or this kernel needs no stand-in.
        return Ok(None);
    };
    let fd = fd.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let mut lines = text.lines();
    match lines.find_map(|line| line.strip_prefix("recursion_misses:")) {
        Some(count) => count.trim().parse().map(Some).map_err(io::Error::other),
        // Kernels that do not tell skip no run.
        None => Ok(Some(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_stand_ins_every_skipped_run_is_an_event() {
        let skipped = [
            (PROGRAM_STATE, 2),
            ("process_exec", 3),
            ("accept_fentry", 4),
        ];
        assert_eq!(bound(&skipped, 0), 9);
    }

    #[test]
    fn of_processes_only_what_all_were_skipped_for_can_be_missed() {
        let exec = PROCESSES[1].1;
        let skipped = [(exec[0], 16), (exec[1], 6), (exec[2], 2), (exec[3], 3)];
        assert_eq!(bound(&skipped, 0), 2);
        let exit = [("process_exit", 5), ("process_exit_2", 1)];
        assert_eq!(bound(&[&skipped[..], &exit].concat(), 0), 3);
    }

    #[test]
    fn of_changes_what_a_stand_in_reported_is_not_missed() {
        let skipped = [(STATE[0], 242), (STATE[1], 144), (STATE[3], 0)];
        assert_eq!(bound(&skipped, 98), 144);
        assert_eq!(bound(&skipped, 300), 0, "not less than none");
        assert_eq!(bound(&[(PROGRAM_STATE, 1), ("accept_fentry", 2)], 3), 2);
    }
}
