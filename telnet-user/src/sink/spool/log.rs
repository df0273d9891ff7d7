//! The log of one stream: segments that are written at one end, read, and removed at the other.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tracing::warn;

use super::{
    cursor::{Cursor, CursorFile},
    record::{Entry, Found, MAGIC, read_at, size},
};

/// Ending of segments' names.
const ENDING: &str = "seg";

/// One file of a log.
#[derive(Debug)]
struct Segment {
    number: u64,
    /// Up to the end of the last whole record.
    bytes: u64,
    records: u64,
}

/// Documents in the order they came, on disk.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    segment_bytes: u64,
    segments: VecDeque<Segment>,
    /// The last segment, when this process began it: what an earlier one left is not added to,
    /// so that a torn record at its end needs no mending.
    writer: Option<File>,
    next_number: u64,
    /// Delivered up to here.
    committed: Cursor,
    /// Read up to here.
    ahead: Cursor,
    cursor_file: CursorFile,
    reader: Option<(u64, File)>,
    /// Bytes that could not be read back.
    damaged: u64,
    /// Written and not yet made to outlast a power failure.
    unsynced: bool,
}

impl Log {
    /// Opens the log in `dir`, made when missing.
    pub(super) fn open(dir: &Path, segment_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (cursor_file, cursor) = CursorFile::open(&dir.join("cursor"))?;
        let mut log = Self {
            dir: dir.to_owned(),
            segment_bytes,
            segments: VecDeque::new(),
            writer: None,
            next_number: 1,
            committed: cursor.unwrap_or_default(),
            ahead: Cursor::default(),
            cursor_file,
            reader: None,
            damaged: 0,
            unsynced: false,
        };
        for number in numbers(dir)? {
            log.take_in(number)?;
        }
        let last = log.segments.back().map_or(0, |segment| segment.number);
        log.next_number = last.max(log.committed.segment) + 1;
        log.committed = log.within(log.committed);
        log.ahead = log.committed;
        log.remove_delivered();
        Ok(log)
    }

    /// Takes in a segment of an earlier process up to its last whole record.
    fn take_in(&mut self, number: u64) -> io::Result<()> {
        let file = File::open(self.path(number))?;
        let end = file.metadata()?.len();
        let mut segment = Segment {
            number,
            bytes: size(MAGIC.len()).min(end),
            records: 0,
        };
        loop {
            match read_at(&file, segment.bytes, end)? {
                Found::Record(_, next) => {
                    segment.bytes = next;
                    segment.records += 1;
                }
                Found::End => break,
                Found::Damage => {
                    let bytes = end - segment.bytes;
                    self.damaged += bytes;
                    let path = self.path(number);
                    warn!(file = %path.display(), bytes, "end of a spool file is not readable");
                    break;
                }
            }
        }
        self.segments.push_back(segment);
        Ok(())
    }

    /// `cursor`, moved to where something is: a segment that is gone is passed over, and what a
    /// power failure took from the end is not waited for.
    fn within(&self, cursor: Cursor) -> Cursor {
        let segment = self.segments.iter().find(|s| s.number >= cursor.segment);
        match segment {
            Some(segment) if segment.number == cursor.segment => Cursor {
                offset: cursor.offset.clamp(size(MAGIC.len()), segment.bytes.max(8)),
                index: cursor.index.min(segment.records),
                ..cursor
            },
            Some(segment) => start_of(segment.number),
            None => start_of(self.next_number.max(cursor.segment)),
        }
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Documents that are not delivered.
    pub(super) fn pending(&self) -> u64 {
        self.after(self.committed)
    }

    /// Documents that are not read.
    pub(super) fn unread(&self) -> u64 {
        self.after(self.ahead)
    }

    /// Bytes that could not be read back.
    pub(super) const fn damaged(&self) -> u64 {
        self.damaged
    }

    fn after(&self, cursor: Cursor) -> u64 {
        let later = self.segments.iter().filter(|s| s.number >= cursor.segment);
        let records: u64 = later.map(|segment| segment.records).sum();
        let here = self.segments.iter().any(|s| s.number == cursor.segment);
        records.saturating_sub(if here { cursor.index } else { 0 })
    }

    /// Writes one encoded record at the end.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let full = |segment: &Segment| {
            segment.records > 0 && segment.bytes + size(record.len()) > self.segment_bytes
        };
        if self.writer.is_none() || self.segments.back().is_none_or(full) {
            self.begin_segment()?;
        }
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else {
            return Err(io::Error::other("no segment to write to"));
        };
        match writer.write_all(record) {
            Ok(()) => {
                segment.bytes += size(record.len());
                segment.records += 1;
                self.unsynced = true;
                Ok(())
            }
            Err(error) => {
                // A part of the record may be there: the next one goes where this one began, or
                // into a new segment when even that is refused.
                if writer.set_len(segment.bytes).is_err() {
                    self.writer = None;
                }
                Err(error)
            }
        }
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.sync()?;
        let number = self.next_number;
        let path = self.path(number);
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        let mut file = options.open(&path)?;
        if let Err(error) = file.write_all(&MAGIC) {
            // Nothing of it counts; it only must not be in the way of the next attempt.
            self.next_number += u64::from(fs::remove_file(&path).is_err());
            return Err(error);
        }
        self.next_number += 1;
        self.writer = Some(file);
        self.segments.push_back(Segment {
            number,
            bytes: size(MAGIC.len()),
            records: 0,
        });
        self.remove_delivered();
        Ok(())
    }

    /// Gives up the oldest segment; the number of undelivered documents in it, `None` when there
    /// is no segment.
    pub(super) fn evict(&mut self) -> Option<u64> {
        let before = self.pending();
        let segment = self.segments.pop_front()?;
        if self.segments.is_empty() {
            self.writer = None;
        }
        self.remove(segment.number);
        self.committed = self.within(self.committed);
        self.ahead = self.within(self.ahead);
        Some(before.saturating_sub(self.pending()))
    }

    /// Reads on; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            self.ahead = self.within(self.ahead);
            let Some(at) = self
                .segments
                .iter()
                .position(|s| s.number == self.ahead.segment)
            else {
                return Ok(None);
            };
            let following = self.segments.get(at + 1).map(|segment| segment.number);
            let Some(segment) = self.segments.get(at) else {
                return Ok(None);
            };
            let (end, records) = (segment.bytes, segment.records);
            if self.ahead.offset >= end {
                match following {
                    Some(number) => self.ahead = start_of(number),
                    None => return Ok(None),
                }
                continue;
            }
            self.open_reader()?;
            let Some((_, file)) = &self.reader else {
                return Ok(None);
            };
            match read_at(file, self.ahead.offset, end)? {
                Found::Record(entry, next) => {
                    self.ahead.offset = next;
                    self.ahead.index += 1;
                    return Ok(Some(entry));
                }
                Found::End | Found::Damage => {
                    self.damaged += end - self.ahead.offset;
                    warn!(
                        segment = self.ahead.segment,
                        "a spool file is damaged, its rest is lost"
                    );
                    self.ahead.offset = end;
                    self.ahead.index = records;
                }
            }
        }
    }

    fn open_reader(&mut self) -> io::Result<()> {
        let number = self.ahead.segment;
        if self.reader.as_ref().is_none_or(|(open, _)| *open != number) {
            self.reader = Some((number, File::open(self.path(number))?));
        }
        Ok(())
    }

    /// What was read is delivered.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        if self.committed == self.ahead {
            return Ok(());
        }
        self.committed = self.ahead;
        let written = self.cursor_file.write(self.committed);
        self.remove_delivered();
        written
    }

    /// What was read and not delivered is read again.
    pub(super) const fn rewind(&mut self) {
        self.ahead = self.committed;
    }

    /// Makes what was written outlast a power failure.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = self.take_unsynced()? {
            file.sync_data()?;
        }
        Ok(())
    }

    /// What has to be synchronised, if anything.
    pub(super) fn take_unsynced(&mut self) -> io::Result<Option<File>> {
        match &self.writer {
            Some(writer) if std::mem::take(&mut self.unsynced) => writer.try_clone().map(Some),
            _ => Ok(None),
        }
    }

    /// Whether something was written that a power failure would take.
    pub(super) const fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Removes segments that are delivered whole and not written to any more.
    fn remove_delivered(&mut self) {
        while let Some(first) = self.segments.front() {
            let number = first.number;
            let delivered = number < self.committed.segment
                || number == self.committed.segment && self.committed.offset >= first.bytes;
            let in_use = self.segments.len() == 1 && self.writer.is_some();
            if !delivered || in_use {
                return;
            }
            self.segments.pop_front();
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        if self
            .reader
            .as_ref()
            .is_some_and(|(open, _)| *open == number)
        {
            self.reader = None;
        }
        let path = self.path(number);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(file = %path.display(), %error, "a spool file cannot be removed");
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016}.{ENDING}"))
    }
}

const fn start_of(segment: u64) -> Cursor {
    Cursor {
        segment,
        offset: 8,
        index: 0,
    }
}

/// Numbers of the segments in `dir`, ascending.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        found.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}
