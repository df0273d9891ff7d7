//! `telnet-monitor replay`: rules over recorded events.

use std::io;

use jiff::Timestamp;
use serde_json::Value;

use super::{RuleArgs, complain, counts, events, exit, print, printable};
use crate::{
    agent::system::NAME,
    config::Format,
    replay::{Mode, Replay},
    rules::{Level, Rule, recorded_at},
    sink::{Document, console::Console},
};

/// Which rules, and over which events.
///
/// The clock is the events' own: event.ingested, else @timestamp. The same files give the same
/// alerts, byte for byte. A summary is on standard error. Exit code: 0 when everything was
/// read, 1 when a rule is broken or a file could not be read; lines that are no events are
/// reported and passed over.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    rules: RuleArgs,
    /// Which engine.
    #[arg(long, value_enum, default_value_t = Mode::Schedule)]
    mode: Mode,
    /// How alerts look.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    #[command(flatten)]
    events: events::Args,
}

/// Prints the alerts; the exit code says whether everything could be used.
pub(super) fn main(args: &Args) -> u8 {
    let report = args.rules.report(true, Level::Error);
    complain(&counts(&report));
    let broken = report.has_errors();
    if !report.rules.iter().any(|rule| rule.enabled) {
        complain("no rule to run");
        return exit::INVALID;
    }
    print(replay(args, report.rules, broken), exit::INVALID)
}

fn replay(args: &Args, rules: Vec<Rule>, broken: bool) -> io::Result<u8> {
    let mut console = Console::stdout(args.format);
    let (mut rules, mut replay) = (rules, None);
    let mut start = |first: Option<Timestamp>| {
        let loaded_at = first.unwrap_or(Timestamp::UNIX_EPOCH);
        Replay::new(std::mem::take(&mut rules), args.mode, NAME, loaded_at)
    };
    let tally = args.events.each(&mut |found, progress| {
        let replay = replay.get_or_insert_with(|| start(recorded_at(&found.event.document)));
        let alerts = replay.push(found.event);
        if !alerts.is_empty() {
            progress.clear();
        }
        write(&mut console, alerts)
    })?;
    let mut replay = replay.unwrap_or_else(|| start(None));
    while let Some(alerts) = replay.next_run() {
        write(&mut console, alerts)?;
    }
    complain(&format!(
        "{} lines, {} events, {} skipped",
        tally.lines, tally.events, tally.skipped
    ));
    for row in replay.report().to_string().lines() {
        complain(&printable(row));
    }
    Ok(if broken || tally.unreadable > 0 {
        exit::INVALID
    } else {
        exit::OK
    })
}

fn write(console: &mut Console<io::Stdout>, alerts: Vec<Value>) -> io::Result<()> {
    alerts
        .into_iter()
        .try_for_each(|alert| console.write(&Document::Alert(alert)))
}
