//! SHA-256 of executables, off the hot path.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    process::setpriority_process,
};
use sha2::{Digest as _, Sha256};
use tracing::{debug, warn};

use super::{cache::Cache, process::Image};
use crate::sandbox;

/// Longest executable that is read.
const MAX_SIZE: u64 = 256 * 1024 * 1024;

/// Executables that wait to be read.
const MAX_WAITING: usize = 64;

/// Executables whose hash is remembered.
const CAPACITY: usize = 4096;

/// What is asked of the worker.
#[derive(Debug)]
struct Job {
    image: Image,
    /// `/proc/PID/exe`, which leads to the file wherever it is.
    link: PathBuf,
    /// Where it was when it was run, for a process that is gone.
    path: Option<PathBuf>,
}

/// Hashes executables on a thread of its own; what is not ready yet is unknown.
#[derive(Debug)]
pub(super) struct Hasher {
    jobs: Option<SyncSender<Job>>,
    results: Receiver<(Image, Result<String, Refused>)>,
    known: Cache<Image, State>,
    counters: Counters,
}

/// What became of the executables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Hashed.
    pub hashed: u64,
    /// Too long, gone, or changed while they were read: attempts.
    pub refused: u64,
    /// Put off because too many were waiting.
    pub deferred: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Known(String),
    TooLong,
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("cannot read the executable: {0}")]
    Read(#[from] io::Error),
    #[error("the executable of {0} bytes is too long")]
    TooLong(u64),
    #[error("the executable changed")]
    Changed,
}

impl Hasher {
    /// Starts the worker, which ends with this value.
    pub(super) fn new() -> Self {
        let (jobs, inbox) = sync_channel::<Job>(MAX_WAITING);
        let (outbox, results) = sync_channel(MAX_WAITING);
        let work = move || {
            // Of this thread only.
            if let Err(error) = setpriority_process(None, 19) {
                debug!(%error, "hashing at normal priority");
            }
            for job in inbox {
                let result = hash(&job);
                if outbox.send((job.image, result)).is_err() {
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("hash".to_owned()).spawn(|| {
            sandbox::only_look();
            work();
        });
        if let Err(error) = &started {
            warn!(%error, "executables will not be hashed");
        }
        Self {
            jobs: started.is_ok().then_some(jobs),
            results,
            known: Cache::new(CAPACITY),
            counters: Counters::default(),
        }
    }

    /// The hash of an executable if it is known by now, else asks for it. `process` is the
    /// `/proc` folder of a process that runs it, `executable` the path it had when it was run.
    pub(super) fn sha256(
        &mut self,
        image: Image,
        process: &Path,
        executable: Option<&str>,
    ) -> Option<String> {
        self.collect();
        match self.known.get(&image) {
            Some(State::Known(hash)) => return Some(hash.clone()),
            Some(State::Waiting | State::TooLong) => return None,
            None => {}
        }
        let job = Job {
            image,
            link: process.join("exe"),
            path: executable.map(PathBuf::from),
        };
        match self.jobs.as_ref()?.try_send(job) {
            Ok(()) => self.known.insert(image, State::Waiting),
            Err(TrySendError::Full(_)) => self.counters.deferred += 1,
            Err(TrySendError::Disconnected(_)) => self.jobs = None,
        }
        None
    }

    /// What became of the executables so far.
    pub(super) const fn counters(&self) -> Counters {
        self.counters
    }

    fn collect(&mut self) {
        while let Ok((image, result)) = self.results.try_recv() {
            match result {
                Ok(hash) => {
                    self.counters.hashed += 1;
                    self.known.insert(image, State::Known(hash));
                }
                Err(error) => {
                    self.counters.refused += 1;
                    debug!(%error, inode = image.inode, "no hash");
                    if let Refused::TooLong(_) = error {
                        self.known.insert(image, State::TooLong);
                    } else {
                        // The next process that runs it may live longer.
                        self.known.remove(&image);
                    }
                }
            }
        }
    }
}

fn hash(job: &Job) -> Result<String, Refused> {
    if job.image.size > MAX_SIZE {
        return Err(Refused::TooLong(job.image.size));
    }
    let mut result = open(&job.link, OFlags::empty())
        .map_err(Refused::from)
        .and_then(|file| hash_file(&file, job.image));
    if result.is_err()
        && let Some(path) = &job.path
    {
        // Whatever is there by now: this does not wait for a FIFO.
        result = open(path, OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW)
            .map_err(Refused::from)
            .and_then(|file| hash_file(&file, job.image));
    }
    result
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(File::from(openat(CWD, path, flags, Mode::empty())?))
}

/// Hashes a file that must be the image before and after.
fn hash_file(file: &File, image: Image) -> Result<String, Refused> {
    let is_image = || -> Result<(), Refused> {
        if Image::of_file(file)? == image {
            Ok(())
        } else {
            Err(Refused::Changed)
        }
    };
    is_image()?;
    let mut hasher = Sha256::new();
    let mut reader = file.take(image.size);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = reader.read(&mut chunk)?;
        let Some(read @ [_, ..]) = chunk.get(..length) else {
            break;
        };
        hasher.update(read);
    }
    if reader.limit() != 0 {
        return Err(Refused::Changed);
    }
    is_image()?;
    let digest = hasher.finalize();
    let (words, _) = digest.as_chunks::<16>();
    Ok(words
        .iter()
        .map(|word| format!("{:032x}", u128::from_be_bytes(*word)))
        .collect::<Vec<_>>()
        .concat())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn image(path: &Path) -> Image {
        Image::of_file(File::open(path).expect("a file")).expect("an image")
    }

    fn job(path: &Path, image: Image) -> Job {
        Job {
            image,
            link: path.with_file_name("exe"),
            path: Some(path.to_owned()),
        }
    }

    #[test]
    fn by_the_link_or_by_the_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        fs::write(&path, "abc").expect("a file");
        let job = job(&path, image(&path));
        assert_eq!(hash(&job).expect("by path"), OF_ABC);
        std::os::unix::fs::symlink(&path, &job.link).expect("a link");
        let gone = Job { path: None, ..job };
        assert_eq!(hash(&gone).expect("by link"), OF_ABC);
    }

    #[test]
    fn another_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        fs::write(&path, "abc").expect("a file");
        let image = image(&path);
        let refused = |job: &Job, why: &str| {
            let refused = hash(job).expect_err("refused").to_string();
            assert!(refused.contains(why), "{refused}");
        };
        // Replaced, as an upgrade does; the old one is kept so that its inode is not reused.
        fs::rename(&path, folder.path().join("old")).expect("a file");
        fs::write(&path, "abc").expect("a file");
        refused(&job(&path, image), "changed");
        // A trap instead of a file.
        for trap in [folder.path(), Path::new("/dev/zero")] {
            refused(&job(trap, image), "changed");
        }
        fs::remove_file(&path).expect("a file");
        std::os::unix::fs::symlink(folder.path().join("old"), &path).expect("a link");
        refused(&job(&path, image), "symbolic link");
        let mut longest = image;
        longest.size = MAX_SIZE + 1;
        refused(&job(&folder.path().join("old"), longest), "too long");
    }

    #[test]
    fn who_was_gone_too_early_does_not_speak_for_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        fs::write(&path, "abc").expect("a file");
        let image = image(&path);
        let mut hasher = Hasher::new();
        let gone = folder.path().join("gone");
        assert_eq!(hasher.sha256(image, &gone, None), None);
        while hasher.counters().refused == 0 {
            hasher.collect();
            thread::yield_now();
        }
        let executable = path.to_str();
        assert_eq!(hasher.sha256(image, &gone, executable), None);
        let found = loop {
            if let Some(hash) = hasher.sha256(image, &gone, executable) {
                break hash;
            }
            thread::yield_now();
        };
        assert_eq!(found, OF_ABC);
    }

    #[test]
    fn what_cannot_be_queued_is_counted_and_asked_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        fs::write(&path, "abc").expect("a file");
        let real = image(&path);
        let mut hasher = Hasher::new();
        // Nobody works: the queue of a worker that is busy.
        let (jobs, inbox) = sync_channel(1);
        hasher.jobs = Some(jobs);
        let mut other = real;
        other.inode = 0;
        for image in [real, other, real, other] {
            assert_eq!(hasher.sha256(image, folder.path(), None), None);
        }
        assert_eq!(
            hasher.counters().deferred,
            2,
            "the first waits, the other does not"
        );
        assert_eq!(inbox.try_iter().count(), 1);
        // The worker is gone.
        drop(inbox);
        assert_eq!(hasher.sha256(other, folder.path(), None), None);
        assert!(hasher.jobs.is_none());
    }
}
