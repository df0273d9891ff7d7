//! Recorded events: files of one JSON document a line, whoever wrote them.
//!
//! Taken as they come: documents of Beats and Elastic Agent with nested or dotted keys, bodies
//! of `_bulk` requests, search hits with `_source` or `fields`; compressed with gzip or not. A
//! line that is none of these is reported and does not stop the others.

mod document;
mod lines;
#[cfg(test)]
mod tests;
mod value;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

pub use self::document::{Broken, Event, Parser, Place};
pub use self::lines::{Line, Lines};

/// Longest line taken, in bytes. Longer ones are no events: Elasticsearch's own limit for a
/// whole request is a hundred times this, its events are a thousandth.
pub const MAX_LINE: usize = 1 << 20;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// The first bytes of a gzip member (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// What a user calls it: `-` is standard input.
    pub fn of(argument: &Path) -> Self {
        if argument.as_os_str() == "-" {
            Self::Stdin
        } else {
            Self::File(argument.to_owned())
        }
    }

    /// Its name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Size of the file in bytes, compressed or not; unknown for pipes.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => {
                let metadata = path.metadata().ok()?;
                metadata.is_file().then_some(metadata.len())
            }
        }
    }

    /// Opens it and finds out whether it is compressed.
    ///
    /// # Errors
    ///
    /// When the system does not let it be read.
    pub fn open(&self) -> io::Result<Lines> {
        Ok(match self {
            Self::Stdin => Lines::new(decoded(io::stdin().lock())?, MAX_LINE),
            Self::File(path) => Lines::new(decoded(File::open(path)?)?, MAX_LINE),
        })
    }
}

/// `input`, decompressed when it starts like gzip.
fn decoded(mut input: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::with_capacity(GZIP.len());
    (&mut input)
        .take(GZIP.len().try_into().unwrap_or(u64::MAX))
        .read_to_end(&mut head)?;
    let compressed = head == GZIP;
    let whole = BufReader::with_capacity(CHUNK, Cursor::new(head).chain(input));
    if compressed {
        let plain = MultiGzDecoder::new(whole);
        return Ok(Box::new(BufReader::with_capacity(CHUNK, plain)));
    }
    Ok(Box::new(whole))
}
