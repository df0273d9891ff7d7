//! How far a log was delivered, in a file of its own.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

/// Bytes of the file: three numbers and their CRC-32.
const BYTES: usize = 28;

/// The next record to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Number of the segment.
    pub(super) segment: u64,
    /// Where it begins in the segment.
    pub(super) offset: u64,
    /// How many records of the segment are before it.
    pub(super) index: u64,
}

/// The file, written in place: that needs no room on a full disk, and it fits into a sector.
#[derive(Debug)]
pub(super) struct CursorFile(File);

impl CursorFile {
    /// Opens or makes it, and reads what it says. What is damaged says nothing: everything that
    /// is still there is delivered again.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Cursor>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        let mut bytes = [0; BYTES];
        let cursor = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok((Self(file), cursor))
    }

    /// Writes `cursor`.
    pub(super) fn write(&self, cursor: Cursor) -> io::Result<()> {
        self.0.write_all_at(&encode(cursor), 0)
    }
}

fn encode(cursor: Cursor) -> Vec<u8> {
    let Cursor {
        segment,
        offset,
        index,
    } = cursor;
    let mut out = Vec::with_capacity(BYTES);
    for number in [segment, offset, index] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn decode(bytes: &[u8; BYTES]) -> Option<Cursor> {
    let (numbers, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(numbers) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (numbers, _) = numbers.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes));
    Some(Cursor {
        segment: numbers.next()?,
        offset: numbers.next()?,
        index: numbers.next()?,
    })
}
