//! How far a long command is, for the person who waits for it.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

/// Shorter work says nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two updates.
const EVERY: Duration = Duration::from_millis(500);
/// Lines between two looks at the clock.
const STRIDE: u64 = 1_024;

/// One line on the terminal that is written over and over.
#[derive(Debug)]
pub(super) struct Progress {
    /// When to write next; absent without a terminal.
    due: Option<Instant>,
    start: Instant,
    shown: bool,
}

impl Progress {
    /// Progress on standard error, if `wanted`.
    pub(super) fn new(wanted: bool) -> Self {
        let start = Instant::now();
        Self {
            due: start.checked_add(PATIENCE).filter(|_| wanted),
            start,
            shown: false,
        }
    }

    /// Says that so many lines are read and so many events found.
    pub(super) fn show(&mut self, lines: u64, events: u64) {
        let Some(due) = self.due.filter(|_| lines.is_multiple_of(STRIDE)) else {
            return;
        };
        let now = Instant::now();
        if now < due {
            return;
        }
        self.due = now.checked_add(EVERY);
        self.shown = true;
        let seconds = self.start.elapsed().as_secs().max(1);
        write(&format!(
            "\r\u{1b}[K{lines} lines, {events} events, {} lines/s",
            lines / seconds
        ));
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            write("\r\u{1b}[K");
        }
    }
}

fn write(text: &str) {
    let mut err = io::stderr().lock();
    // Nobody is left to tell when standard error is gone.
    let _told = err.write_all(text.as_bytes());
}
