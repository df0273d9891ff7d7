//! What a child process has written so far, and waiting for more of it.

use std::borrow::Cow;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Everything read from one pipe of a child, filled by a thread of its own.
#[derive(Debug, Clone)]
pub struct Capture {
    shared: Arc<(Mutex<Captured>, Condvar)>,
}

/// The bytes so far, and when each line ended.
#[derive(Debug)]
pub struct Captured {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    open: bool,
}

/// One complete line, without its end.
#[derive(Debug, Clone)]
pub struct Line {
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// When its end was read.
    pub at: Instant,
}

impl Captured {
    /// All text so far, the unfinished last line included.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// The complete lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether the writing end was still open at the last look.
    pub fn is_open(&self) -> bool {
        self.open
    }

    fn push(&mut self, bytes: &[u8], at: Instant) {
        for &byte in bytes {
            if byte == b'\n' {
                let start = self
                    .bytes
                    .iter()
                    .rposition(|&b| b == b'\n')
                    .map_or(0, |i| i + 1);
                let line = self.bytes.get(start..).unwrap_or_default();
                self.lines.push(Line {
                    text: String::from_utf8_lossy(line).into_owned(),
                    at,
                });
            }
            self.bytes.push(byte);
        }
    }
}

impl Capture {
    /// Reads `pipe` to its end in a thread.
    pub fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let captured = Captured {
            bytes: Vec::new(),
            lines: Vec::new(),
            open: true,
        };
        let capture = Self {
            shared: Arc::new((Mutex::new(captured), Condvar::new())),
        };
        let writer = capture.clone();
        thread::spawn(move || {
            let mut chunk = [0; 1 << 13];
            loop {
                let read = match pipe.read(&mut chunk) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    other => other.unwrap_or(0),
                };
                let mut captured = writer.lock();
                captured.push(chunk.get(..read).unwrap_or_default(), Instant::now());
                captured.open = read > 0;
                drop(captured);
                writer.shared.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        capture
    }

    /// The bytes so far.
    pub fn lock(&self) -> MutexGuard<'_, Captured> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All text so far.
    pub fn text(&self) -> String {
        self.lock().text().into_owned()
    }

    /// Calls `look` whenever more was written, until it finds something, the pipe ends, or
    /// `patience` is over; the error says which.
    pub fn wait_for<T>(
        &self,
        patience: Duration,
        mut look: impl FnMut(&Captured) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        let mut captured = self.lock();
        loop {
            if let Some(found) = look(&captured) {
                return Ok(found);
            }
            if !captured.open {
                bail!("the output ended");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("not within {patience:?}");
            }
            captured = self
                .shared
                .1
                .wait_timeout(captured, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_across_reads_and_the_end_is_seen() {
        let mut captured = Captured {
            bytes: Vec::new(),
            lines: Vec::new(),
            open: true,
        };
        for piece in ["on", "e\ntwo\n", "", "thr"] {
            captured.push(piece.as_bytes(), Instant::now());
        }
        let lines: Vec<_> = captured
            .lines()
            .iter()
            .map(|line| line.text.as_str())
            .collect();
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(captured.text(), "one\ntwo\nthr");

        let capture = Capture::of(&b"text"[..]);
        let error = capture
            .wait_for(Duration::from_secs(5), |c| c.text().find("never"))
            .unwrap_err();
        assert_eq!(error.to_string(), "the output ended");
    }
}
