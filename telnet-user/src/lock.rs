//! One process at a time in a folder.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::fs::{major, minor};
use tracing::debug;

/// Name of the file that is locked.
const FILE: &str = "lock";

/// A folder that no other process uses while this lives. The kernel releases it when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the folder, which must be there.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` when another process has it, else what the file system says.
    pub fn take(dir: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = options.open(dir.join(FILE))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use already", dir.display()),
            ),
        })?;
        Ok(Self(file))
    }

    /// Whether some process has the folder, as the kernel's list of locks says: to try would be to
    /// take it, and an agent that starts at that moment would find it in use.
    ///
    /// # Errors
    ///
    /// When the list cannot be read.
    pub fn is_taken(dir: &Path) -> io::Result<bool> {
        let file = match fs::metadata(dir.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let (major, minor) = (major(file.dev()), minor(file.dev()));
        let place = format!("{major:02x}:{minor:02x}:{}", file.ino());
        let list = fs::read_to_string("/proc/locks")?;
        let is_it = |line: &str| line.split_whitespace().any(|word| word == place);
        Ok(list.lines().any(is_it))
    }
}

impl Drop for Lock {
    /// Closing the file is not enough: a child that another thread is about to start has it open
    /// until it runs its program.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            debug!(%error, "a folder stays locked until the agent ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_free_again_although_a_child_has_the_lock_open() {
        let dir = tempfile::tempdir().expect("folder");
        assert!(!Lock::is_taken(dir.path()).expect("listed"));
        let lock = Lock::take(dir.path()).expect("free");
        assert!(Lock::is_taken(dir.path()).expect("listed"));
        let taken = Lock::take(dir.path()).expect_err("in use");
        assert_eq!(taken.kind(), io::ErrorKind::ResourceBusy);
        // What a child between fork and exec has.
        let inherited = lock.0.try_clone().expect("a descriptor");
        drop(lock);
        assert!(!Lock::is_taken(dir.path()).expect("listed"));
        Lock::take(dir.path()).expect("free again");
        drop(inherited);
    }
}
