//! `telnet-monitor session`: the story of one session, from the documents that the agent wrote.

mod story;
mod words;

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use self::story::{Refused, Story};
use super::{complain, events, exit, print, printable};
use crate::{
    config::{Config, Stream, Target},
    sink::files,
};

/// Which session, and where its documents are.
///
/// What happened to the session and its processes, in the order of time; every word of it is in
/// the documents.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The session, `telnet.session.id`, or as much of its beginning as no other one has.
    #[arg(value_name = "ID")]
    id: String,
    /// Configuration whose file sinks are read when no FILE is named, instead of
    /// /etc/telnet-monitor/config.toml, which need not be there.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "TELNET_MONITOR_CONFIG"
    )]
    config: Option<PathBuf>,
    /// NDJSON files of the agent's documents, gzip or not; `-`: standard input. None: the files
    /// that the agent is configured to write, rotated ones too, or else standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Prints the story.
pub(super) fn main(args: &Args) -> u8 {
    let id = args.id.trim();
    if id.is_empty() {
        complain("which session? an empty ID is the beginning of all of them");
        return exit::USAGE;
    }
    let Some(files) = sources(args) else {
        return exit::INVALID;
    };
    print(tell(id, files), exit::INVALID)
}

/// The files to read; none for standard input. What is wrong is on standard error by then.
fn sources(args: &Args) -> Option<Vec<PathBuf>> {
    if !args.files.is_empty() {
        return Some(args.files.clone());
    }
    let config = match Config::read(args.config.as_deref()) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            for problem in problems {
                complain(&problem.render());
            }
            return None;
        }
    };
    let mut found = Vec::new();
    for sink in &config.sinks {
        let is_told = [Stream::Events, Stream::Alerts]
            .iter()
            .any(|stream| sink.streams.contains(*stream));
        if let Target::File(file) = &sink.target
            && is_told
        {
            let there = files(file);
            if there.is_empty() {
                // Reading it says why.
                found.push(file.path.clone());
            }
            found.extend(there);
        }
    }
    Some(found)
}

fn tell(id: &str, files: Vec<PathBuf>) -> io::Result<u8> {
    let mut story = Story::of(id);
    let mut refused = None;
    let tally = events::Args::of(files).each(&mut |found, _| {
        if refused.is_none() {
            refused = story.take(&found.event.document).err();
        }
        Ok(())
    })?;
    if let Some(Refused::Ambiguous(first, second)) = refused {
        let ids = printable(&format!("{first} and {second}"));
        complain(&format!("several sessions begin like this: {ids}"));
        return Ok(exit::INVALID);
    }
    let Some(lines) = story.lines() else {
        let events = tally.events;
        complain(&format!("no such session in {events} documents"));
        return Ok(exit::INVALID);
    };
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", printable(&line))?;
    }
    Ok(if tally.unreadable > 0 {
        exit::INVALID
    } else {
        exit::OK
    })
}
