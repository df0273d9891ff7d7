//! Who holds a socket: `/proc/PID/fd/* -> socket:[INODE]` (`proc_pid_fd(5)`).

use std::{
    collections::{HashMap, HashSet},
    io,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use super::Error;

/// Pids under a `/proc`, in no order.
pub(super) fn pids(proc_root: &Path) -> io::Result<impl Iterator<Item = u32>> {
    let entries = std::fs::read_dir(proc_root)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// What one pass over all open files found.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Pids, ascending, by the inode number of the socket.
    pub(super) by_inode: HashMap<u32, Vec<u32>>,
    /// Why some processes could not be looked at: those found are holders all the same.
    pub(super) refused: Option<Error>,
}

/// Holders of each wanted socket.
pub(super) fn holders(proc_root: &Path, wanted: &HashSet<u32>) -> Holders {
    let mut found: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut refused = None;
    let pids = match pids(proc_root) {
        Ok(pids) => pids,
        Err(error) => {
            return Holders {
                refused: Some(Error::Proc(error)),
                ..Holders::default()
            };
        }
    };
    for pid in pids {
        let read = each_socket(proc_root, pid, |inode| {
            if wanted.contains(&inode) {
                found.entry(inode).or_default().push(pid);
            }
        });
        refused = refused.or(read.err());
    }
    for pids in found.values_mut() {
        pids.sort_unstable();
        pids.dedup();
    }
    Holders {
        by_inode: found,
        refused: refused.map(Error::Proc),
    }
}

/// Inode numbers of the sockets that a process has open; an error only when it may not be told.
pub(super) fn each_socket(proc_root: &Path, pid: u32, mut each: impl FnMut(u32)) -> io::Result<()> {
    let forbidden = |error: io::Error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Err(error);
        }
        // The process has ended, or the file was closed.
        Ok(())
    };
    let folder = proc_root.join(pid.to_string()).join("fd");
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) => return forbidden(error),
    };
    for file in files.flatten() {
        match std::fs::read_link(file.path()) {
            Ok(target) => socket_inode(target.as_os_str().as_bytes())
                .into_iter()
                .for_each(&mut each),
            Err(error) => forbidden(error)?,
        }
    }
    Ok(())
}

fn socket_inode(target: &[u8]) -> Option<u32> {
    let digits = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
