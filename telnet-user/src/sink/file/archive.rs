//! Files that were rotated: `NAME.1` is the newest, compressed by a thread of its own.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use flate2::{Compression, write::GzEncoder};
use tracing::warn;

use crate::{config, sandbox};

/// The files beside a log that is rotated.
#[derive(Debug)]
pub(super) struct Archive {
    base: PathBuf,
    keep: u32,
    /// Wakes the thread that compresses. One pending wake-up is enough for any number of files.
    compressor: Option<SyncSender<()>>,
}

impl Archive {
    /// Starts the thread, when the configuration asks for compression.
    pub(super) fn start(config: &config::File) -> io::Result<Self> {
        let (base, keep) = (config.path.clone(), config.keep);
        let compressor = if config.compress {
            let (wake, woken) = sync_channel(1);
            let base = base.clone();
            thread::Builder::new()
                .name("compress".to_owned())
                .spawn(move || {
                    sandbox::only_write();
                    while woken.recv().is_ok() {
                        if let Err(error) = compress_all(&base, keep) {
                            warn!(file = %base.display(), %error, "rotated file is not compressed");
                        }
                    }
                })?;
            Some(wake)
        } else {
            None
        };
        Ok(Self {
            base,
            keep,
            compressor,
        })
    }

    /// Takes in the file at `current` as the newest, gives up the oldest if there is no room, and
    /// returns a new current file. After an error this can be tried again without giving up more.
    pub(super) fn rotate(
        &self,
        current: &Path,
        open: impl Fn(&Path) -> io::Result<File>,
    ) -> io::Result<File> {
        let next = with_ending(&self.base, "next");
        let file = open(&next)?;
        if let Err(error) = self.take(current).and_then(|()| fs::rename(&next, current)) {
            unless_missing(fs::remove_file(&next))?;
            return Err(error);
        }
        if let Some(compressor) = &self.compressor {
            // Full means that it will look anyway.
            let _pending = compressor.try_send(());
        }
        Ok(file)
    }

    fn take(&self, current: &Path) -> io::Result<()> {
        // Somebody else may have moved it already.
        if !current.try_exists()? {
            return Ok(());
        }
        let free = self.free()?;
        for number in (1..=free).rev() {
            for compressed in [false, true] {
                let path = numbered(&self.base, number, compressed);
                if number == free {
                    unless_missing(fs::remove_file(&path))?;
                } else {
                    let older = numbered(&self.base, number + 1, compressed);
                    unless_missing(fs::rename(&path, &older))?;
                }
            }
        }
        fs::rename(current, numbered(&self.base, 1, false))
    }

    /// The number up to which files move on: the first that no file has, or the last.
    fn free(&self) -> io::Result<u32> {
        for number in 1..self.keep {
            let there = |compressed| numbered(&self.base, number, compressed).try_exists();
            if !there(false)? && !there(true)? {
                return Ok(number);
            }
        }
        Ok(self.keep)
    }
}

/// Compresses what is not compressed yet, oldest first.
fn compress_all(base: &Path, keep: u32) -> io::Result<()> {
    for number in (1..=keep).rev() {
        compress(base, number, keep)?;
    }
    Ok(())
}

/// Compresses one file. While it does so the next rotation may rename it: the result takes the
/// number that the file has by then.
fn compress(base: &Path, number: u32, keep: u32) -> io::Result<()> {
    let plain = numbered(base, number, false);
    let mut input = match File::open(&plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let partial = with_ending(base, "compressing");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o640);
    let mut encoder = GzEncoder::new(options.open(&partial)?, Compression::default());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = input.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        io::Write::write_all(&mut encoder, read)?;
    }
    encoder.finish()?.sync_all()?;
    let identity = identity(&input.metadata()?);
    for now in number..=keep {
        let plain = numbered(base, now, false);
        if let Ok(metadata) = fs::metadata(&plain)
            && self::identity(&metadata) == identity
        {
            fs::rename(&partial, numbered(base, now, true))?;
            return fs::remove_file(&plain);
        }
    }
    // It was given up meanwhile.
    fs::remove_file(&partial)
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// The files that a log was or is written to and that are there, the newest first.
pub fn files(config: &config::File) -> Vec<PathBuf> {
    let rotated = (1..=config.keep).flat_map(|number| {
        [false, true].map(|compressed| numbered(&config.path, number, compressed))
    });
    let all = std::iter::once(config.path.clone()).chain(rotated);
    all.filter(|path| path.is_file()).collect()
}

fn numbered(base: &Path, number: u32, compressed: bool) -> PathBuf {
    let ending = if compressed { ".gz" } else { "" };
    with_ending(base, &format!("{number}{ending}"))
}

fn with_ending(base: &Path, ending: &str) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn unless_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
