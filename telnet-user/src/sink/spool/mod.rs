//! Where documents wait on disk until the other end has them.
//!
//! Each stream is a log of segments of its own, so that its order is kept and events can give way
//! to alerts. What [`Spool::append`] took outlasts the agent: it is in the kernel's hands when the
//! call returns, and on the disk when [`crate::config::Spool::sync`] says. Delivery is at least
//! once: what was read and not committed is read again after a restart.
//!
//! Written here and not taken from a library, since none that is kept has all of it: bounds on
//! disk with an order of what gives way, checksums, appends that need no fsync to survive
//! `kill -9`, and going on from memory when the disk is full. Embedded databases (redb, fjall)
//! stop on a failed write and give space back late; queue files (queue-file, yaque) have no
//! checksums or are no longer kept.

mod cursor;
mod log;
mod record;
mod state;
#[cfg(test)]
mod tests;

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::warn;

pub use self::record::Entry;
use self::{record::size, state::State};
use crate::{
    config::{Stream, Sync},
    lock::Lock,
};

/// How long until a disk that refused something is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Documents of one stream, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Their stream.
    pub stream: Stream,
    /// The documents; never empty.
    pub entries: Vec<Entry>,
}

/// Bounds of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most documents.
    pub documents: usize,
    /// Most bytes, but always one document.
    pub bytes: u64,
}

/// The numbers of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Documents that are not delivered.
    pub pending: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Alerts that gave way.
    pub lost_alerts: u64,
    /// Events that gave way.
    pub lost_events: u64,
    /// Health documents that gave way.
    pub lost_health: u64,
    /// Bytes that could not be read back.
    pub damaged_bytes: u64,
    /// Whether the disk takes nothing just now.
    pub degraded: bool,
}

/// Documents of one sink that are not delivered yet.
#[derive(Debug)]
pub struct Spool {
    state: Mutex<State>,
    news: Condvar,
    sync: Sync,
    dir: PathBuf,
    _lock: Lock,
}

impl Spool {
    /// Opens the spool in `dir`, made when missing.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or another process uses it.
    pub fn open(dir: &Path, max_bytes: u64, sync: Sync) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let lock = Lock::take(dir)?;
        Ok(Self {
            state: Mutex::new(State::open(dir, max_bytes)?),
            news: Condvar::new(),
            sync,
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// Takes a document. One that finds no room is counted as lost.
    pub fn append(&self, entry: Entry) {
        let mut state = self.lock();
        state.append(entry);
        if self.sync == Sync::Always {
            state.sync();
        }
        drop(state);
        self.news.notify_all();
    }

    /// The next documents, of the most precious stream that has any. Waits for some until
    /// `deadline` or [`Self::nudge`], without end when there is none.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn read(&self, limits: Limits, deadline: Option<Instant>) -> io::Result<Option<Batch>> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.take(limits)? {
                return Ok(Some(batch));
            }
            if std::mem::take(&mut state.nudged) {
                return Ok(None);
            }
            state = match deadline {
                None => self
                    .news
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    let woken = self.news.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Waits for [`Self::nudge`], at most until `deadline`.
    pub fn pause(&self, deadline: Instant) {
        let mut state = self.lock();
        while !std::mem::take(&mut state.nudged) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.news.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes whoever waits in [`Self::read`] or [`Self::pause`].
    pub fn nudge(&self) {
        self.lock().nudged = true;
        self.news.notify_all();
    }

    /// What was read is delivered.
    pub fn commit(&self) {
        self.lock().commit();
    }

    /// What was read and not committed is read again.
    pub fn rewind(&self) {
        for channel in &mut self.lock().channels {
            channel.log.rewind();
            channel.tail_ahead = 0;
        }
    }

    /// When [`Self::tick`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let waits = state
            .channels
            .iter()
            .any(|channel| !channel.tail.is_empty());
        let asks = waits || state.is_degraded();
        let retry = asks.then(|| state.asked + ASK_AGAIN);
        let unsynced = state
            .channels
            .iter()
            .any(|channel| channel.log.is_unsynced());
        let sync = match self.sync {
            Sync::Every(time) if unsynced => state.synced.checked_add(time),
            Sync::Every(_) | Sync::Always | Sync::Never => None,
        };
        retry.into_iter().chain(sync).min()
    }

    /// Does what is due: moves to disk what waits in memory, or asks whether it takes something
    /// again, and synchronises.
    pub fn tick(&self) {
        let mut state = self.lock();
        state.ask_again();
        let Sync::Every(time) = self.sync else {
            return;
        };
        if state.synced.elapsed() < time {
            return;
        }
        state.synced = Instant::now();
        let files: Vec<_> = state
            .channels
            .iter_mut()
            .map(|c| c.log.take_unsynced())
            .collect();
        drop(state);
        // Without the lock: it may take long, and neither end has to wait for it.
        for file in files {
            let synced = file.and_then(|file| file.map_or(Ok(()), |file| file.sync_data()));
            if let Err(error) = synced {
                warn!(dir = %self.dir.display(), %error, "the spool cannot be synchronised");
            }
        }
    }

    /// Its numbers now.
    pub fn numbers(&self) -> Numbers {
        let state = self.lock();
        let mut numbers = Numbers {
            degraded: state.is_degraded(),
            ..Numbers::default()
        };
        for channel in &state.channels {
            numbers.pending += channel.log.pending() + size(channel.tail.len());
            numbers.bytes += channel.log.bytes();
            numbers.damaged_bytes += channel.log.damaged();
            match channel.stream {
                Stream::Alerts => numbers.lost_alerts = channel.lost,
                Stream::Events => numbers.lost_events = channel.lost,
                Stream::Health => numbers.lost_health = channel.lost,
            }
        }
        numbers
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
