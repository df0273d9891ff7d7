//! One document on disk: length, checksum, kind, text.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use crate::sink::document::Kind;

/// What every segment begins with; the digit is the version of the format.
pub(super) const MAGIC: [u8; 8] = *b"TMSPOOL1";
/// Length and CRC-32 of what follows them, little-endian.
const HEADER: usize = 8;
/// Longer than any document; a length beyond it is damage.
const MAX_BYTES: u32 = 64 << 20;

/// A document as the spool keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The document, as JSON text without line ends.
    pub body: Vec<u8>,
}

impl Entry {
    /// The bytes on disk; `None` for a document no spool takes.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let length = u32::try_from(self.body.len() + 1).ok()?;
        if length > MAX_BYTES {
            return None;
        }
        let mut hash = crc32fast::Hasher::new();
        hash.update(&[self.kind.code()]);
        hash.update(&self.body);
        let mut out = Vec::with_capacity(self.body.len() + HEADER + 1);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&hash.finalize().to_le_bytes());
        out.push(self.kind.code());
        out.extend_from_slice(&self.body);
        Some(out)
    }
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole record, and where the next one begins.
    Record(Entry, u64),
    /// Nothing: the end.
    End,
    /// Something that was not written whole, or has changed since.
    Damage,
}

/// Reads the record at `offset` of a segment that is valid up to `end`.
pub(super) fn read_at(file: &File, offset: u64, end: u64) -> io::Result<Found> {
    let Some(left) = end.checked_sub(offset).filter(|&left| left > 0) else {
        return Ok(Found::End);
    };
    let mut header = [0; HEADER];
    if left < size(HEADER) || !read_whole(file, &mut header, offset)? {
        return Ok(Found::Damage);
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
    if length == 0 || length > MAX_BYTES || left - size(HEADER) < u64::from(length) {
        return Ok(Found::Damage);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    if !read_whole(file, &mut bytes, offset + size(HEADER))? {
        return Ok(Found::Damage);
    }
    let kind = bytes.first().copied().and_then(Kind::from_code);
    match kind {
        Some(kind) if crc32fast::hash(&bytes) == checksum => {
            bytes.remove(0);
            let next = offset + size(HEADER) + u64::from(length);
            Ok(Found::Record(Entry { kind, body: bytes }, next))
        }
        _ => Ok(Found::Damage),
    }
}

/// Whether the file had that much.
fn read_whole(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A length in memory as a length on disk.
pub(super) fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
