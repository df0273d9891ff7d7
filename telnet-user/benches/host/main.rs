//! What watching TCP sessions costs this host, for the agent and for its peers, in one run.
//!
//! `cargo xtask bench` builds it, names the programs in its environment and runs it as root. It
//! measures in rounds: in each one every subject once, in an order that rotates, so that a machine
//! that gets slower or faster meanwhile does so for all; what counts is the median over the rounds
//! of the ratio to the round's own measurement without any probe.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark says what it measured, and what it cannot"
)]

mod agent;
mod attach;
mod load;
mod processes;
mod report;
mod rounds;
mod subjects;
mod traffic;

use std::{env, process::ExitCode};

use anyhow::{Context as _, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words = arguments.iter().map(String::as_str);
    // `cargo bench` adds it.
    let words: Vec<&str> = words.filter(|word| *word != "--bench").collect();
    let outcome = match words.as_slice() {
        ["load", rest @ ..] => load::main(rest),
        ["attach", which] => attach::main(which),
        ["run", folder] => run(folder, 9, 2_000),
        ["run", folder, rounds, millis] => rounds
            .parse()
            .context("rounds")
            .and_then(|rounds| Ok((rounds, millis.parse().context("milliseconds")?)))
            .and_then(|(rounds, millis)| run(folder, rounds, millis)),
        // As `cargo bench` without a name calls it.
        _ => {
            println!("measures the host: run by `cargo xtask bench`");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything and writes the report into `folder`.
fn run(folder: &str, rounds: usize, millis: u64) -> anyhow::Result<()> {
    if rounds == 0 || millis == 0 {
        bail!("at least one round of at least a millisecond");
    }
    let cost = rounds::measure(rounds, millis)?;
    let processes = processes::measure(rounds, millis)?;
    let latency = agent::latencies(millis.saturating_mul(3))?;
    let memory = agent::memory()?;
    report::write(folder.as_ref(), &cost, &processes, &latency, &memory)
}
