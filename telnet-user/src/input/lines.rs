//! Lines of bounded length.

use std::{
    fmt,
    io::{self, BufRead, Read as _},
};

/// Reads line by line; memory does not grow with the length of a line.
pub struct Lines {
    input: Box<dyn BufRead>,
    buffer: Vec<u8>,
    limit: usize,
    number: u64,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'l> {
    /// Its bytes, without the newline.
    Text(&'l [u8]),
    /// It is longer than the limit, in bytes, and was passed over.
    TooLong(usize),
}

impl Lines {
    /// Lines of `input` of at most `limit` bytes.
    pub fn new(input: Box<dyn BufRead>, limit: usize) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            limit,
            number: 0,
        }
    }

    /// The next line; `None` at the end. The last line needs no newline.
    ///
    /// # Errors
    ///
    /// When the input cannot be read or decompressed any further.
    pub fn read(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        // One more than the limit: the newline, or the sign that the line goes on.
        let most = u64::try_from(self.limit).unwrap_or(u64::MAX);
        let got = (&mut self.input)
            .take(most.saturating_add(1))
            .read_until(b'\n', &mut self.buffer)?;
        if got == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if self.buffer.len() > self.limit {
            self.input.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong(self.limit)));
        }
        Ok(Some(Line::Text(&self.buffer)))
    }

    /// Number of the line read last, from 1.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("limit", &self.limit)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
