//! `telnet-monitor replay`: rules over recorded events.

use std::io;

use jiff::Timestamp;
use serde_json::Value;

use super::{RuleArgs, complain, counts, events, exit, print, printable, progress::Progress};
use crate::{
    agent::system::NAME,
    alert::Alert,
    config::Format,
    replay::{Mode, Replay},
    rules::{Level, Outbox, Rule, recorded_at},
    sink::{Document, console::Console},
};

/// Which rules, and over which events.
///
/// The clock is the events' own: event.ingested, else @timestamp. The same files give the same
/// alerts, byte for byte. A summary is on standard error. Lines that are no events are reported and
/// passed over.
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
        let mut out = Printer::new(&mut console, Some(progress));
        replay.push(found.event, &mut out);
        out.result
    })?;
    let mut replay = replay.unwrap_or_else(|| start(None));
    let mut out = Printer::new(&mut console, None);
    replay.finish(&mut out);
    out.result?;
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

/// Prints alerts as they come, until that fails.
struct Printer<'c> {
    console: &'c mut Console<io::Stdout>,
    progress: Option<&'c mut Progress>,
    result: io::Result<()>,
}

impl<'c> Printer<'c> {
    const fn new(console: &'c mut Console<io::Stdout>, progress: Option<&'c mut Progress>) -> Self {
        Self {
            console,
            progress,
            result: Ok(()),
        }
    }
}

impl Outbox for Printer<'_> {
    fn alert(&mut self, alert: Alert) {
        if let Some(progress) = &mut self.progress {
            progress.clear();
        }
        if self.result.is_ok() {
            self.result = self.console.write(&Document::alert(alert));
        }
    }

    fn update(&mut self, alert: Alert) {
        self.alert(alert);
    }

    /// The report at the end has the numbers.
    fn summary(&mut self, _document: Value) {}
}
