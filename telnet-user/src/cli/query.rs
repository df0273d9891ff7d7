//! `telnet-monitor query`: grep for ECS.

use std::io::{self, BufWriter, IsTerminal as _, Write as _};

use jiff::Timestamp;

use super::{complain, events, exit, print, printable};
use crate::kql::{self, Predicate};

/// What to look for, and where.
///
/// Lines that are no events are reported and passed over. Relative dates such as `now-1h` count
/// from now.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The query, in KQL.
    #[arg(value_name = "KQL")]
    query: String,
    #[command(flatten)]
    events: events::Args,
    /// Print only the number of matching events.
    #[arg(short, long)]
    count: bool,
    /// Print the events that do not match.
    #[arg(short = 'v', long)]
    invert: bool,
    /// Accept queries that Kibana accepts although they hardly mean what they say.
    #[arg(long)]
    lenient: bool,
}

/// Prints the lines that match, unchanged.
pub(super) fn main(args: &Args) -> u8 {
    match compile(&args.query, args.lenient) {
        Some(predicate) => print(search(args, &predicate), exit::UNREADABLE),
        None => exit::UNREADABLE,
    }
}

/// Compiles `query`; errors and warnings are on standard error by then.
fn compile(query: &str, lenient: bool) -> Option<Predicate> {
    let options = kql::Options { lenient };
    let compiled = kql::parse(query)
        .map_err(|error| vec![error])
        .and_then(|query| kql::compile(&query, &options));
    match compiled {
        Ok(predicate) => {
            for warning in predicate.warnings() {
                complain(&format!("warning: {}", warning.render("query")));
            }
            Some(predicate)
        }
        Err(errors) => {
            for error in errors {
                complain(&error.render("query"));
            }
            None
        }
    }
}

fn search(args: &Args, predicate: &Predicate) -> io::Result<u8> {
    let now = Timestamp::now();
    let stdout = io::stdout().lock();
    let terminal = stdout.is_terminal();
    // What comes in bit by bit goes out bit by bit.
    let at_once = terminal || args.events.is_live();
    let mut out = BufWriter::with_capacity(64 << 10, stdout);
    let mut matched: u64 = 0;
    let tally = args.events.each(&mut |found, progress| {
        if predicate.matches(&found.event.document, now) == args.invert {
            return Ok(());
        }
        matched += 1;
        if args.count {
            return Ok(());
        }
        if terminal {
            progress.clear();
            out.write_all(printable(&String::from_utf8_lossy(found.raw)).as_bytes())?;
        } else {
            out.write_all(found.raw)?;
        }
        out.write_all(b"\n")?;
        if at_once { out.flush() } else { Ok(()) }
    })?;
    if args.count {
        writeln!(out, "{matched}")?;
    }
    out.flush()?;
    Ok(match (tally.unreadable, matched) {
        (0, 0) => exit::NO_MATCH,
        (0, _) => exit::OK,
        _ => exit::UNREADABLE,
    })
}
