//! What is in a spool, and what gives way when it is full.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use tracing::{info, warn};

use super::{
    Batch, Limits,
    log::Log,
    record::{Entry, size},
};
use crate::config::Stream;

/// Most bytes of a stream that wait in memory while the disk takes nothing.
const TAIL_BYTES: u64 = 1 << 20;
/// What is written to ask whether the disk takes something again: a block of most file systems.
const PROBE: [u8; 4096] = [0; 4096];

#[derive(Debug)]
pub(super) struct State {
    dir: PathBuf,
    /// The most precious first.
    pub(super) channels: Vec<Channel>,
    pub(super) max_bytes: u64,
    /// Wakes whoever waits, for another reason than documents.
    pub(super) nudged: bool,
    pub(super) synced: Instant,
    /// When the disk was last asked whether it takes again what it refused.
    pub(super) asked: Instant,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) stream: Stream,
    pub(super) log: Log,
    /// What the disk did not take, newer than the log.
    pub(super) tail: VecDeque<Entry>,
    pub(super) tail_bytes: u64,
    /// How many of the tail are read.
    pub(super) tail_ahead: usize,
    /// Whether the disk took nothing when it was last asked. What goes to memory because older
    /// documents are there does not ask it.
    pub(super) is_refused: bool,
    pub(super) lost: u64,
}

impl State {
    /// Opens the logs below `dir`.
    pub(super) fn open(dir: &Path, max_bytes: u64) -> io::Result<Self> {
        let segment_bytes = (max_bytes / 32).clamp(64 << 10, 8 << 20);
        let channels = Stream::ALL.iter().map(|&stream| {
            Ok(Channel {
                stream,
                log: Log::open(&dir.join(stream.name()), segment_bytes)?,
                tail: VecDeque::new(),
                tail_bytes: 0,
                tail_ahead: 0,
                is_refused: false,
                lost: 0,
            })
        });
        Ok(Self {
            dir: dir.to_owned(),
            channels: channels.collect::<io::Result<_>>()?,
            max_bytes,
            nudged: false,
            synced: Instant::now(),
            asked: Instant::now(),
        })
    }

    pub(super) fn append(&mut self, entry: Entry) {
        let stream = entry.kind.stream();
        let Some(record) = entry.encode() else {
            self.lose(stream, 1);
            return;
        };
        if !self.admit(stream, size(record.len())) {
            self.lose(stream, 1);
            return;
        }
        self.settle_tails();
        let channel = self.channel(stream);
        if channel.is_some_and(|channel| !channel.tail.is_empty()) {
            // Order: what waits in memory is older.
            self.keep_in_memory(stream, entry);
            return;
        }
        let written = self.write(stream, &record);
        let is_written = written.is_ok();
        self.note(stream, written);
        if !is_written {
            self.keep_in_memory(stream, entry);
        }
    }

    fn keep_in_memory(&mut self, stream: Stream, entry: Entry) {
        if let Some(channel) = self.channel(stream) {
            channel.keep_in_memory(entry);
        }
    }

    /// Writes, giving up what is less precious when the disk is full.
    fn write(&mut self, stream: Stream, record: &[u8]) -> io::Result<()> {
        loop {
            let channel = self.channel(stream).ok_or(io::ErrorKind::NotFound)?;
            match channel.log.append(record) {
                Err(error) if is_full(&error) && self.give_way(stream, false) => {}
                written => return written,
            }
        }
    }

    /// Makes room within the bounds; `false` when this document has to give way itself.
    fn admit(&mut self, stream: Stream, bytes: u64) -> bool {
        while self.bytes() + bytes > self.max_bytes {
            if !self.give_way(stream, true) {
                return false;
            }
        }
        true
    }

    /// Gives up the oldest segment of the least precious stream, down to `stream`, which itself
    /// gives way only when `own` allows it. `false` when there is nothing to give up.
    fn give_way(&mut self, stream: Stream, own: bool) -> bool {
        for channel in self.channels.iter_mut().rev() {
            if channel.stream == stream && !own {
                return false;
            }
            if let Some(lost) = channel.log.evict() {
                channel.lost += lost;
                return true;
            }
            if channel.stream == stream {
                return false;
            }
        }
        false
    }

    /// Moves to disk what waits in memory.
    pub(super) fn settle_tails(&mut self) {
        let channels = self.channels.iter_mut();
        let answers: Vec<_> = channels
            .filter_map(|channel| Some((channel.stream, channel.settle_tail()?)))
            .collect();
        for (stream, answer) in answers {
            self.note(stream, answer);
        }
    }

    /// Asks the disk again: with what waits in memory, or in the name of streams of which nothing
    /// waits any more.
    pub(super) fn ask_again(&mut self) {
        self.asked = Instant::now();
        self.settle_tails();
        let asks = |channel: &Channel| channel.is_refused && channel.tail.is_empty();
        if !self.channels.iter().any(asks) {
            return;
        }
        let path = self.dir.join("probe");
        let taken = fs::write(&path, PROBE);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(file = %path.display(), %error, "cannot be removed");
        }
        if taken.is_ok() {
            let streams: Vec<_> = self
                .channels
                .iter()
                .filter(|c| asks(c))
                .map(|c| c.stream)
                .collect();
            for stream in streams {
                self.note(stream, Ok(()));
            }
        }
    }

    /// Whether the disk takes nothing of some stream.
    pub(super) fn is_degraded(&self) -> bool {
        self.channels.iter().any(|channel| channel.is_refused)
    }

    pub(super) fn take(&mut self, limits: Limits) -> io::Result<Option<Batch>> {
        for channel in &mut self.channels {
            let entries = channel.take(limits)?;
            if !entries.is_empty() {
                let stream = channel.stream;
                return Ok(Some(Batch { stream, entries }));
            }
        }
        Ok(None)
    }

    pub(super) fn commit(&mut self) {
        for channel in &mut self.channels {
            if let Err(error) = channel.log.commit() {
                warn!(%error, "what was delivered is not remembered, a restart may repeat it");
            }
            for entry in channel.tail.drain(..channel.tail_ahead) {
                channel.tail_bytes -= size(entry.body.len());
            }
            channel.tail_ahead = 0;
        }
    }

    pub(super) fn sync(&mut self) {
        for channel in &mut self.channels {
            if let Err(error) = channel.log.sync() {
                warn!(%error, "the spool cannot be synchronised");
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.channels
            .iter()
            .map(|channel| channel.log.bytes())
            .sum()
    }

    fn lose(&mut self, stream: Stream, documents: u64) {
        if let Some(channel) = self.channel(stream) {
            channel.lost += documents;
        }
    }

    fn channel(&mut self, stream: Stream) -> Option<&mut Channel> {
        self.channels
            .iter_mut()
            .find(|channel| channel.stream == stream)
    }

    /// Keeps what the disk said to a document of `stream`.
    fn note(&mut self, stream: Stream, answer: io::Result<()>) {
        let was_degraded = self.is_degraded();
        if let Some(channel) = self.channel(stream) {
            channel.is_refused = answer.is_err();
        }
        match answer {
            Err(error) if !was_degraded => {
                warn!(%error, "the disk takes nothing for the spool, documents wait in memory");
            }
            Ok(()) if was_degraded && !self.is_degraded() => {
                info!("the disk takes documents for the spool again");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Channel {
    fn keep_in_memory(&mut self, entry: Entry) {
        let bytes = size(entry.body.len());
        if self.tail_bytes + bytes > TAIL_BYTES {
            self.lost += 1;
            return;
        }
        self.tail_bytes += bytes;
        self.tail.push_back(entry);
    }

    /// Moves to disk what waits in memory; what the disk said, when there was something to move.
    fn settle_tail(&mut self) -> Option<io::Result<()>> {
        let mut answer = None;
        // What is being delivered from memory stays there until that is done.
        while self.tail_ahead == 0
            && let Some(entry) = self.tail.front()
        {
            if let Some(record) = entry.encode() {
                let appended = self.log.append(&record);
                if appended.is_err() {
                    return Some(appended);
                }
                answer = Some(appended);
            }
            self.tail_bytes -= size(entry.body.len());
            self.tail.pop_front();
        }
        answer
    }

    /// Reads on, first what is on disk, then what is in memory.
    pub(super) fn take(&mut self, limits: Limits) -> io::Result<Vec<Entry>> {
        let mut out = Vec::new();
        let mut bytes = 0;
        while out.len() < limits.documents && bytes < limits.bytes {
            let entry = if self.log.unread() > 0 {
                self.log.next()?
            } else {
                let entry = self.tail.get(self.tail_ahead).cloned();
                self.tail_ahead += usize::from(entry.is_some());
                entry
            };
            let Some(entry) = entry else {
                break;
            };
            bytes += size(entry.body.len());
            out.push(entry);
        }
        Ok(out)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
