//! Command line: what the user may type, one file per command.

mod check;
mod completions;
mod doctor;
mod events;
pub mod exit;
mod explain;
mod man;
mod progress;
mod query;
mod replay;
mod run;
mod scope;
mod session;
mod sessions;
mod settings;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    canary, config,
    kql::pushdown::Wanted,
    rules::{self, Level, LoadReport, Rule, Source},
    source::printable,
};

/// Reports telnet sessions of this host as ECS events and rule alerts.
///
/// Without a command: `run` with the embedded rules, alerts on standard output.
#[derive(Debug, Parser)]
#[command(
    name = "telnet-monitor",
    version,
    args_conflicts_with_subcommands = true
)]
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
    /// Run rules over recorded events; alerts are on standard output.
    Replay(replay::Args),
    /// Print the recorded events that match a query, unchanged.
    Query(query::Args),
    /// Validate rules; print each with the kernel filter derived from it.
    Check(check::Args),
    /// Show why recorded events match a rule or not.
    Explain(explain::Args),
    /// List telnet sessions and listeners open now, with their processes.
    Sessions(sessions::Args),
    /// Tell the story of one session, from its recorded events.
    Session(session::Args),
    /// Say what works on this host, what is degraded and what to do.
    Doctor(doctor::Args),
    /// Print what makes a shell complete this command.
    Completions(completions::Args),
    /// Print the manual page of this command, or of one of its commands.
    Man(man::Args),
    /// Make a network namespace of the service manager's fit for the canary.
    #[command(hide = true)]
    PrivateNetwork {
        /// The host's.
        #[arg(value_name = "PATH", env = HOST_NETWORK)]
        host: PathBuf,
    },
}

/// Environment variable with the path of the host's network namespace.
const HOST_NETWORK: &str = "TELNET_MONITOR_HOST_NETWORK";

impl Cli {
    /// What the user typed. Ends the process when that is not valid, or when help is all there is
    /// to say.
    pub fn typed() -> Self {
        let mut command = definition();
        let typed = Self::from_arg_matches(&command.clone().get_matches());
        typed.unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

/// The command line. The long help of each command ends with its exit codes.
fn definition() -> clap::Command {
    let with_codes = |command: clap::Command| {
        let codes = exit::help(command.get_name());
        command.after_long_help(codes)
    };
    with_codes(Cli::command()).mut_subcommands(with_codes)
}

/// Runs what the user typed and returns the exit code. Errors are on standard error by then.
pub fn main(cli: Cli) -> u8 {
    match cli.command {
        None => run::main(&cli.run),
        Some(Command::Run(args)) => run::main(&args),
        Some(Command::Replay(args)) => replay::main(&args),
        Some(Command::Query(args)) => query::main(&args),
        Some(Command::Check(args)) => check::main(&args),
        Some(Command::Explain(args)) => explain::main(&args),
        Some(Command::Sessions(args)) => sessions::main(&args),
        Some(Command::Session(args)) => session::main(&args),
        Some(Command::Doctor(args)) => doctor::main(&args),
        Some(Command::Completions(args)) => completions::main(&args),
        Some(Command::Man(args)) => man::main(&args),
        Some(Command::PrivateNetwork { host }) => private_network(&host),
    }
}

fn private_network(host: &Path) -> u8 {
    match canary::free_ports(host) {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&format!("nothing changed: {error}"));
            exit::UNSUPPORTED
        }
    }
}

/// Rules that can run, and what they can be about.
struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// The sessions that enabled rules can match.
    fn wanted(&self) -> Wanted {
        self.rules
            .iter()
            .filter(|rule| rule.enabled)
            .map(Rule::wanted)
            .fold(Wanted::none(), Wanted::or)
    }

    /// Whether an enabled rule asks for the protocol of sessions.
    fn ask_for_protocol(&self) -> bool {
        let mut enabled = self.rules.iter().filter(|rule| rule.enabled);
        enabled.any(asks_for_protocol)
    }
}

/// Whether a rule asks for the protocol of sessions, which costs a look at each packet.
fn asks_for_protocol(rule: &Rule) -> bool {
    rule.asks_for("network.protocol")
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
    /// Loads the rules, for events of any shipper or for this agent's own. Problems of `least` or
    /// worse are on standard error by then.
    fn report(&self, foreign_events: bool, least: Level) -> LoadReport {
        let rules = self.over(config::Rules::default());
        load(
            &sources(&rules.paths),
            &options(&rules, foreign_events),
            least,
        )
    }

    /// What is typed, laid over what is configured: paths replace paths, and what is enabled or
    /// disabled here is so whatever the file says.
    fn over(&self, configured: config::Rules) -> config::Rules {
        let Self {
            rules,
            enable,
            disable,
            lenient,
        } = self;
        let merge = |file: Vec<String>, typed: &[String], against: &[String]| {
            let kept = file.into_iter().filter(|id| !against.contains(id));
            kept.chain(typed.iter().cloned()).collect()
        };
        config::Rules {
            paths: if rules.is_empty() {
                configured.paths
            } else {
                rules.clone()
            },
            enable: merge(configured.enable, enable, disable),
            disable: merge(configured.disable, disable, enable),
            lenient: *lenient || configured.lenient,
        }
    }
}

/// How rules are read.
fn options(rules: &config::Rules, foreign_events: bool) -> rules::Options {
    rules::Options {
        lenient: rules.lenient,
        enable: rules.enable.clone(),
        disable: rules.disable.clone(),
        foreign_events,
        ..rules::Options::default()
    }
}

/// The rules at `paths`, or the embedded ones.
fn sources(paths: &[PathBuf]) -> Vec<Source> {
    if paths.is_empty() {
        vec![Source::Shipped]
    } else {
        paths.iter().cloned().map(Source::Path).collect()
    }
}

/// Loads rules. Problems of `least` or worse are on standard error by then.
fn load(sources: &[Source], options: &rules::Options, least: Level) -> LoadReport {
    let report = rules::load_with(sources, options);
    for problem in report
        .problems
        .iter()
        .filter(|problem| problem.level >= least)
    {
        complain(&problem.render());
    }
    report
}

/// How many rules can run and how many cannot, as a sentence.
fn counts(report: &LoadReport) -> String {
    let enabled = report.rules.iter().filter(|rule| rule.enabled).count();
    let disabled = report.rules.len() - enabled;
    format!(
        "rules: {enabled} enabled, {disabled} disabled, {} broken, {} not supported, {} deprecated",
        report.broken, report.unsupported, report.skipped
    )
}

/// The exit code after writing to standard output; `failed` when it could not be written.
///
/// A reader that has seen enough, such as `head`, is no failure.
fn print(written: io::Result<u8>, failed: u8) -> u8 {
    match written {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            failed
        }
    }
}

/// Why an agent with such rules does not start.
const NOTHING_WANTED: &str = "no enabled rule can match any session: nothing would be monitored";

/// Says something to the person at the terminal.
fn complain(message: &str) {
    let mut err = io::stderr().lock();
    // Nobody is left to tell when standard error is gone.
    let _told = writeln!(err, "{message}");
}
