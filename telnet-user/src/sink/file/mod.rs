//! Documents in a file, one JSON object a line, rotated by size and age.

mod archive;
#[cfg(test)]
mod tests;

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use tracing::{info, warn};

use self::archive::Archive;
pub use self::archive::files;
use super::{Document, Sink};
use crate::config::{self, Sync};

/// The owner writes, the group reads: documents name users and their commands.
const MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

/// After a rotation that failed, until the next one is tried. Documents go on into the old file.
const RETRY: Duration = Duration::from_mins(1);

/// A file that is rotated.
#[derive(Debug)]
pub(super) struct RotatingFile {
    config: config::File,
    file: File,
    archive: Archive,
    bytes: u64,
    /// When it was begun.
    began: SystemTime,
    /// When to try a rotation again that failed.
    retry: Option<Instant>,
    /// Ends with a part of a document, which the disk did not take whole.
    is_torn: bool,
    synced: Instant,
    unsynced: bool,
}

impl RotatingFile {
    /// Opens the file, made when missing, and goes on at its end.
    pub(super) fn open(config: &config::File) -> io::Result<Self> {
        if let Some(folder) = config.path.parent() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(DIR_MODE).create(folder)?;
        }
        let archive = Archive::start(config)?;
        let file = open(&config.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let began = began(&file)?;
        Ok(Self {
            config: config.clone(),
            bytes: metadata.len(),
            file,
            archive,
            began,
            retry: None,
            // Whatever an earlier process left half written stays a line of its own.
            is_torn: !ends_with_newline(&config.path, metadata.len())?,
            synced: Instant::now(),
            unsynced: false,
        })
    }

    /// Begins a new file when this one is as large or as old as it may get, and this can be done.
    fn rotate_when_due(&mut self, next: u64) {
        let config::File {
            max_bytes, max_age, ..
        } = self.config;
        let is_full = max_bytes > 0 && self.bytes + next > max_bytes;
        let age = self.began.elapsed().unwrap_or_default();
        let is_old = !max_age.is_zero() && age >= max_age;
        let now = Instant::now();
        if self.bytes == 0 || !(is_full || is_old) || self.retry.is_some_and(|retry| now < retry) {
            return;
        }
        let outcome = self.rotate();
        let file = self.config.path.display();
        match outcome {
            Ok(()) => {
                if self.retry.take().is_some() {
                    info!(%file, "rotated at last");
                }
            }
            Err(error) => {
                if self.retry.is_none() {
                    warn!(%file, %error, "cannot be rotated, and grows until it can");
                }
                self.retry = now.checked_add(RETRY);
            }
        }
    }

    /// On an error documents go on into the file that is open.
    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.file = self.archive.rotate(&self.config.path, open)?;
        self.bytes = 0;
        self.began = SystemTime::now();
        self.is_torn = false;
        self.unsynced = false;
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        match self.file.write_all(line) {
            Ok(()) => {
                self.bytes += length(line);
                self.is_torn = false;
                self.unsynced = true;
                Ok(())
            }
            Err(error) => {
                // A part may be there; what is cut off again is no line.
                self.is_torn = self.file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.synced = Instant::now();
        self.unsynced = false;
        self.file.sync_data()
    }

    /// When the file is too old, if it has anything in it.
    fn rotation_at(&self) -> Option<Instant> {
        let max_age = self.config.max_age;
        if self.bytes == 0 || max_age.is_zero() {
            return None;
        }
        let left = max_age.saturating_sub(self.began.elapsed().unwrap_or_default());
        Instant::now().checked_add(left).max(self.retry)
    }
}

impl Sink for RotatingFile {
    fn write(&mut self, document: &Document) -> io::Result<()> {
        let mut line = Vec::new();
        if self.is_torn {
            line.push(b'\n');
        }
        line.extend_from_slice(document.text().as_bytes());
        line.push(b'\n');
        self.rotate_when_due(length(&line));
        self.append(&line)?;
        if self.config.sync == Sync::Always {
            self.sync()?;
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        let sync = match self.config.sync {
            Sync::Every(time) if self.unsynced => self.synced.checked_add(time),
            Sync::Every(_) | Sync::Always | Sync::Never => None,
        };
        sync.into_iter().chain(self.rotation_at()).min()
    }

    fn tick(&mut self) -> io::Result<()> {
        self.rotate_when_due(0);
        if let Sync::Every(time) = self.config.sync
            && self.unsynced
            && self.synced.elapsed() >= time
        {
            self.sync()?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path)
}

/// When the file was made; for want of that, last written: an agent that is restarted often still
/// rotates.
fn began(file: &File) -> io::Result<SystemTime> {
    let metadata = file.metadata()?;
    metadata.created().or_else(|_| metadata.modified())
}

fn ends_with_newline(path: &Path, bytes: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let Some(last) = bytes.checked_sub(1) else {
        return Ok(true);
    };
    let mut byte = [0];
    File::open(path)?.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
