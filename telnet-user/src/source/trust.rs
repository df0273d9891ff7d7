//! Files that decide what the agent does are taken only from those who may decide it.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::process::geteuid;
use thiserror::Error;

/// Permission bits by which group or others may write.
const OTHERS_WRITE: u32 = 0o022;
/// In such a folder only the owner of an entry replaces it.
const STICKY: u32 = 0o1000;

/// Why a file is not used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// Not there, or not readable.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A folder, a pipe or a device.
    #[error("not a regular file")]
    NotAFile,
    /// More than anything of its kind needs.
    #[error("{bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// Its owner is neither root nor the agent's user.
    #[error("{what} belongs to user {uid}, who could change what the agent does")]
    Owner {
        /// The file, or the folder that holds it.
        what: String,
        /// The owner.
        uid: u32,
    },
    /// Group or others may write it.
    #[error("{what} can be written by others than its owner (mode {mode:04o})")]
    Writable {
        /// The file, or the folder that holds it.
        what: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Not text.
    #[error("not UTF-8")]
    NotText,
}

impl TrustError {
    /// How to mend it, for `path`.
    pub fn hint(&self, path: &Path) -> Option<String> {
        let name = |what: &str| match what.strip_prefix("its folder ") {
            Some(folder) => folder.to_owned(),
            None => path.display().to_string(),
        };
        match self {
            Self::Owner { what, .. } => Some(format!("chown root {}", name(what))),
            Self::Writable { what, .. } => Some(format!("chmod go-w {}", name(what))),
            Self::Unreadable(_) | Self::NotAFile | Self::TooLarge { .. } | Self::NotText => None,
        }
    }

    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a text file that nobody but root and the agent's user can change, `limit` bytes at most.
///
/// # Errors
///
/// See [`TrustError`].
pub fn read_trusted(path: &Path, limit: u64) -> Result<String, TrustError> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(TrustError::NotAFile);
    }
    // What was opened is what is judged, whatever the name leads to by now.
    judge(&metadata, "the file", false)?;
    judge_folder(path)?;
    let bytes = metadata.len();
    if bytes > limit {
        return Err(TrustError::TooLarge { bytes, limit });
    }
    let mut text = String::new();
    let read = io::Read::take(&mut file, limit).read_to_string(&mut text);
    read.map_err(|error| {
        if error.kind() == io::ErrorKind::InvalidData {
            TrustError::NotText
        } else {
            TrustError::Unreadable(error)
        }
    })?;
    Ok(text)
}

/// Refuses what others than root and the agent's user could change: a file, or a folder and what
/// it holds.
///
/// # Errors
///
/// See [`TrustError`].
pub fn check_trusted(path: &Path) -> Result<(), TrustError> {
    let metadata = path.metadata()?;
    let what = if metadata.is_dir() {
        "the folder"
    } else {
        "the file"
    };
    judge(&metadata, what, false)?;
    judge_folder(path)
}

/// The folder that holds `path`: who may write there can put another file in its place.
fn judge_folder(path: &Path) -> Result<(), TrustError> {
    let real = path.canonicalize()?;
    let Some(folder) = real.parent() else {
        return Ok(());
    };
    let what = format!("its folder {}", folder.display());
    judge(&folder.metadata()?, &what, true)
}

fn judge(metadata: &Metadata, what: &str, sticky_is_enough: bool) -> Result<(), TrustError> {
    let uid = metadata.uid();
    if uid != 0 && uid != geteuid().as_raw() {
        return Err(TrustError::Owner {
            what: what.to_owned(),
            uid,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 && !(sticky_is_enough && mode & STICKY != 0) {
        return Err(TrustError::Writable {
            what: what.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn file(folder: &Path) -> PathBuf {
        let path = folder.join("a.toml");
        fs::write(&path, "x = 1").expect("written");
        set_mode(&path, 0o644);
        path
    }

    #[test]
    fn what_only_the_owner_can_write_is_read() {
        let folder = tempfile::tempdir().expect("folder");
        let path = file(folder.path());
        assert_eq!(read_trusted(&path, 100).expect("read"), "x = 1");
        check_trusted(&path).expect("trusted");
        let error = read_trusted(&path, 2).expect_err("too large");
        assert_eq!(error.to_string(), "5 bytes, more than the 2 allowed");
        assert!(
            read_trusted(&folder.path().join("none"), 9)
                .expect_err("missing")
                .is_missing()
        );
    }

    #[test]
    fn what_others_can_write_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = file(folder.path());
        for mode in [0o664, 0o646, 0o666] {
            set_mode(&path, mode);
            let error = read_trusted(&path, 100).expect_err("writable");
            assert_eq!(
                error.to_string(),
                format!("the file can be written by others than its owner (mode {mode:04o})")
            );
            assert_eq!(
                error.hint(&path),
                Some(format!("chmod go-w {}", path.display()))
            );
        }
    }

    #[test]
    fn a_folder_others_can_write_is_refused_unless_it_is_sticky() {
        let folder = tempfile::tempdir().expect("folder");
        let path = file(folder.path());
        set_mode(folder.path(), 0o777);
        let error = read_trusted(&path, 100).expect_err("replaceable");
        assert!(error.to_string().starts_with("its folder /"), "{error}");
        let hint = error.hint(&path).expect("hint");
        assert!(!hint.contains("a.toml"), "{hint}");
        set_mode(folder.path(), 0o1777);
        read_trusted(&path, 100).expect("nobody else can replace it");
    }
}
