//! Command line: what the user may type, one file per command.

mod check;
mod duration;
mod run;

use std::{io::Write as _, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::{
    kql::pushdown::Ports,
    probe::filter::Filter,
    rules::{self, Rule, Source},
};

/// Exit codes (a contract with whoever calls the agent).
pub mod exit {
    /// Done, nothing found.
    pub const OK: u8 = 0;
    /// A finding, or input that is not valid.
    pub const INVALID: u8 = 1;
    /// The command line is not valid.
    pub const USAGE: u8 = 2;
    /// Not permitted here, or not supported by this kernel.
    pub const UNSUPPORTED: u8 = 3;
}

/// Reports telnet sessions of this host as ECS events and rule alerts.
///
/// Without a command: `run` with the embedded rules, alerts on standard output.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Monitor this host until interrupted.
    Run(run::Args),
    /// Validate rules; print each with the kernel filter derived from it.
    Check(check::Args),
}

/// Runs what the user typed and returns the exit code. Errors are on standard error by then.
pub fn main(cli: Cli) -> u8 {
    match cli.command {
        None => run::main(&cli.run),
        Some(Command::Run(args)) => run::main(&args),
        Some(Command::Check(args)) => check::main(&args),
    }
}

/// Rules that can run, and what they can be about.
struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// The ports that enabled rules can match.
    fn ports(&self) -> Ports {
        self.rules
            .iter()
            .filter(|rule| rule.enabled)
            .map(Rule::ports)
            .fold(Ports::none(), Ports::or)
    }
}

/// Loads the rules at `paths`, or the embedded ones. Problems are on standard error by then;
/// `None` when one of them is an error.
fn rules_from(paths: &[PathBuf], lenient: bool) -> Option<Rules> {
    let sources: Vec<Source> = if paths.is_empty() {
        vec![Source::Shipped]
    } else {
        paths.iter().cloned().map(Source::Path).collect()
    };
    let options = rules::Options {
        lenient,
        ..rules::Options::default()
    };
    let report = rules::load_with(&sources, &options);
    for problem in &report.problems {
        complain(&problem.render());
    }
    (!report.has_errors()).then_some(Rules {
        rules: report.rules,
    })
}

/// The kernel filter that lets through what rules on `ports` need.
fn filter(ports: &Ports) -> Filter {
    match ports {
        Ports::Any => Filter::all(),
        Ports::OneOf(ports) => Filter::ports(ports),
    }
}

/// Says something to the person at the terminal.
fn complain(message: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody is left to tell when standard error is gone.
    let _told = writeln!(err, "{message}");
}

/// Text from a file, safe to print: control characters are escaped.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_unicode());
            let plain = (!character.is_control()).then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}
