//! Reads the event files that a command was given.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use super::{complain, printable, progress::Progress};
use crate::input::{Event, Line, Parser, Source};

/// Messages about lines of one file that are no events; further ones are only counted.
const TOLD: u64 = 20;

/// Which events a command reads.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// NDJSON files of ECS events, gzip or not; `-` or none: standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// An event and where it was read.
#[derive(Debug)]
pub(super) struct Found<'f> {
    /// File as the user named it.
    pub(super) file: &'f str,
    /// Line, from 1.
    pub(super) line: u64,
    /// The line as it is, without the newline.
    pub(super) raw: &'f [u8],
    /// What it says.
    pub(super) event: &'f Event,
}

/// What is done with each event. The progress has to be cleared before anything is printed.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&Found<'_>, &mut Progress) -> io::Result<()>;

/// What reading came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Lines read.
    pub(super) lines: u64,
    /// Lines that hold an event.
    pub(super) events: u64,
    /// Lines that hold something else.
    pub(super) skipped: u64,
    /// Files that could not be read, or not to their end.
    pub(super) unreadable: u64,
}

impl Args {
    /// Those of `files`; of none: standard input.
    pub(super) const fn of(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    fn sources(&self) -> Vec<Source> {
        if self.files.is_empty() {
            vec![Source::Stdin]
        } else {
            self.files.iter().map(|file| Source::of(file)).collect()
        }
    }

    /// Whether an event may come long after the one before it.
    pub(super) fn is_live(&self) -> bool {
        self.sources().contains(&Source::Stdin)
    }

    /// Calls `visit` with every event of every file, in order. Lines and files that cannot be
    /// read are on standard error by then.
    ///
    /// # Errors
    ///
    /// Those of `visit`, which end the reading.
    pub(super) fn each(&self, visit: Visit<'_>) -> io::Result<Tally> {
        let mut reading = Reading {
            tally: Tally::default(),
            progress: Progress::new(io::stderr().is_terminal()),
        };
        for source in self.sources() {
            reading.file(&source, visit)?;
        }
        reading.progress.clear();
        Ok(reading.tally)
    }
}

struct Reading {
    tally: Tally,
    progress: Progress,
}

impl Reading {
    fn file(&mut self, source: &Source, visit: Visit<'_>) -> io::Result<()> {
        let name = source.name();
        let mut lines = match source.open() {
            Ok(lines) => lines,
            Err(error) => {
                self.fail(&format!("{name}: {error}"));
                return Ok(());
            }
        };
        let before = self.tally.skipped;
        let mut parser = Parser::default();
        loop {
            let number = lines.number() + 1;
            let event = match lines.read() {
                Ok(None) => break,
                Ok(Some(line)) => parse(&mut parser, line),
                Err(error) => {
                    self.fail(&format!("{name}:{number}: {error}"));
                    break;
                }
            };
            self.tally.lines += 1;
            match event {
                Ok(Some((raw, event))) => {
                    self.tally.events += 1;
                    let found = Found {
                        file: &name,
                        line: number,
                        raw,
                        event: &event,
                    };
                    visit(&found, &mut self.progress)?;
                }
                Ok(None) => {}
                Err(broken) => {
                    self.tally.skipped += 1;
                    if self.tally.skipped - before <= TOLD {
                        self.tell(&format!("{name}:{number}:{broken}, skipped"));
                    }
                }
            }
            self.progress.show(self.tally.lines, self.tally.events);
        }
        let untold = (self.tally.skipped - before).saturating_sub(TOLD);
        if untold > 0 {
            self.tell(&format!("{name}: {untold} more lines skipped"));
        }
        Ok(())
    }

    fn fail(&mut self, message: &str) {
        self.tally.unreadable += 1;
        self.tell(message);
    }

    fn tell(&mut self, message: &str) {
        self.progress.clear();
        complain(&printable(message));
    }
}

/// The event on `line` with its bytes, if it is none of those that only wrap others.
fn parse<'l>(parser: &mut Parser, line: Line<'l>) -> Result<Option<(&'l [u8], Event)>, String> {
    match line {
        Line::Text(raw) => match parser.parse(raw) {
            Ok(event) => Ok(event.map(|event| (raw, event))),
            Err(broken) => Err(match broken.column {
                Some(column) => format!("{column}: {}", broken.message),
                None => format!(" {}", broken.message),
            }),
        },
        Line::TooLong(limit) => {
            // Whatever the line before announced is lost with it.
            *parser = Parser::default();
            Err(format!(" longer than {limit} bytes"))
        }
    }
}
