//! Exit codes: a contract with whoever calls the agent. Long help and manual pages say of them what
//! is here.

/// Done.
pub const OK: u8 = 0;
/// A finding, or input that is not valid.
pub const INVALID: u8 = 1;
/// The command line is not valid.
pub const USAGE: u8 = 2;
/// Not permitted here, or not supported by this kernel.
pub const UNSUPPORTED: u8 = 3;
/// Of a command that searches, as grep has it: no event matches.
pub const NO_MATCH: u8 = 1;
/// Of a command that searches: what to search for, or a file, cannot be read.
pub const UNREADABLE: u8 = 2;

/// Codes of a command with their meanings.
type Meanings = &'static [(u8, &'static str)];

const MISTYPED: (u8, &str) = (USAGE, "The command line is not valid.");

const RUN: Meanings = &[
    (OK, "It ended as it was told to: by a signal or --duration."),
    (
        INVALID,
        "Configuration, rules or sinks are not valid, or documents could not be written later.",
    ),
    MISTYPED,
    (
        UNSUPPORTED,
        "Not permitted here, or not supported by this kernel.",
    ),
];
const REPLAY: Meanings = &[
    (
        OK,
        "Everything was read; lines that are no events were passed over.",
    ),
    (
        INVALID,
        "A rule is broken, none is enabled, or a file could not be read.",
    ),
    MISTYPED,
];
const QUERY: Meanings = &[
    (OK, "An event matched."),
    (
        NO_MATCH,
        "None did; lines that are no events were passed over.",
    ),
    (
        UNREADABLE,
        "The query or the command line is not valid, or a file could not be read.",
    ),
];
const CHECK: Meanings = &[
    (
        OK,
        "Every rule can run, or is one that this agent does not support. Warnings do not fail.",
    ),
    (INVALID, "Something is broken."),
    MISTYPED,
];
const EXPLAIN: Meanings = &[
    (OK, "An event matches."),
    (
        NO_MATCH,
        "None does; lines that are no events were passed over.",
    ),
    (
        UNREADABLE,
        "The rule or the command line is not valid, or a file could not be read.",
    ),
];
const SESSIONS: Meanings = &[
    (OK, "Listed, be it nothing."),
    (
        INVALID,
        "Configuration or rules are not valid, or the list could not be shown.",
    ),
    MISTYPED,
];
const SESSION: Meanings = &[
    (OK, "The story was told."),
    (
        INVALID,
        "There is no such session, several begin like this, or something could not be read.",
    ),
    MISTYPED,
];
const DOCTOR: Meanings = &[
    (
        OK,
        "The agent works here, even if it knows less than it could.",
    ),
    (INVALID, "Something is wrong."),
    MISTYPED,
    (UNSUPPORTED, "The probe cannot be loaded."),
];
const PRINT: Meanings = &[
    (OK, "Printed, or written."),
    (INVALID, "It could not be written."),
    MISTYPED,
];
const PRIVATE_NETWORK: Meanings = &[
    (OK, "The namespace is fit."),
    MISTYPED,
    (UNSUPPORTED, "Nothing was changed."),
];

/// What the exit codes of the command with this name mean.
pub(super) fn meanings(command: &str) -> Meanings {
    match command {
        "telnet-monitor" | "run" => RUN,
        "replay" => REPLAY,
        "query" => QUERY,
        "check" => CHECK,
        "explain" => EXPLAIN,
        "sessions" => SESSIONS,
        "session" => SESSION,
        "doctor" => DOCTOR,
        "completions" | "man" => PRINT,
        "private-network" => PRIVATE_NETWORK,
        // What clap adds, `help`, says nothing of its own.
        _ => &[],
    }
}

/// The same, as the end of long help.
pub(super) fn help(command: &str) -> String {
    let meanings = meanings(command).iter();
    let lines = meanings.map(|(code, meaning)| format!("\n  {code}  {meaning}"));
    format!("Exit codes:{}", lines.collect::<String>())
}
