//! Command line: what the user may type, one file per command.

mod check;
mod duration;
mod run;
mod sessions;

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
    /// List telnet sessions and listeners open now, with their processes.
    Sessions(sessions::Args),
}

/// Runs what the user typed and returns the exit code. Errors are on standard error by then.
pub fn main(cli: Cli) -> u8 {
    match cli.command {
        None => run::main(&cli.run),
        Some(Command::Run(args)) => run::main(&args),
        Some(Command::Check(args)) => check::main(&args),
        Some(Command::Sessions(args)) => sessions::main(&args),
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

/// Which rules to use.
#[derive(Clone, Debug, clap::Args)]
struct RuleArgs {
    /// Rule file or folder, instead of the embedded rules; may be given again.
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Enable the rule with this id, whatever its file says; may be given again.
    #[arg(long, value_name = "RULE_ID")]
    enable: Vec<String>,
    /// Disable the rule with this id; may be given again.
    #[arg(long, value_name = "RULE_ID")]
    disable: Vec<String>,
    /// Accept queries that Kibana accepts although they hardly mean what they say.
    #[arg(long)]
    lenient: bool,
}

impl RuleArgs {
    /// Loads the rules. Problems are on standard error by then; `None` when one of them is an
    /// error.
    fn load(&self) -> Option<Rules> {
        let sources: Vec<Source> = if self.rules.is_empty() {
            vec![Source::Shipped]
        } else {
            self.rules.iter().cloned().map(Source::Path).collect()
        };
        let options = rules::Options {
            lenient: self.lenient,
            enable: self.enable.clone(),
            disable: self.disable.clone(),
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
