//! One process at a time in a folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
};

use tracing::debug;

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
        let file = options.open(dir.join("lock"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use already", dir.display()),
            ),
        })?;
        Ok(Self(file))
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
        let lock = Lock::take(dir.path()).expect("free");
        let taken = Lock::take(dir.path()).expect_err("in use");
        assert_eq!(taken.kind(), io::ErrorKind::ResourceBusy);
        // What a child between fork and exec has.
        let inherited = lock.0.try_clone().expect("a descriptor");
        drop(lock);
        Lock::take(dir.path()).expect("free again");
        drop(inherited);
    }
}
