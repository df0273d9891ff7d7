//! Network namespaces, by the inode number of `/proc/PID/ns/net` (namespaces(7)).

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Error, diag::Diag, holders::pids};

/// Namespaces that are remembered, more than any host has in use.
const MAX_KNOWN: usize = 4096;

/// Which process to go through to a namespace.
///
/// A pid is remembered rather than an open socket: a socket in it would keep the namespace of a
/// container that has ended alive, and its interfaces with it.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    own: Option<u32>,
    through: HashMap<u32, u32>,
}

impl Namespaces {
    pub(super) fn new(proc_root: &Path) -> Self {
        Self {
            own: inode(&proc_root.join("self")),
            through: HashMap::new(),
        }
    }

    /// The agent's own.
    pub(super) const fn own(&self) -> Option<u32> {
        self.own
    }

    /// A process in the namespace, looked for when the one known is not in it any more.
    pub(super) fn process_in(&mut self, proc_root: &Path, netns: u32) -> Option<PathBuf> {
        let folder = |pid: u32| proc_root.join(pid.to_string());
        let known = self.through.get(&netns).map(|pid| folder(*pid));
        if let Some(known) = known
            && inode(&known) == Some(netns)
        {
            return Some(known);
        }
        self.look_around(proc_root).ok()?;
        self.through.get(&netns).map(|pid| folder(*pid))
    }

    /// Every namespace that a process is in, each with the `/proc` folder of one that is.
    pub(super) fn all(&mut self, proc_root: &Path) -> Result<Vec<(u32, PathBuf)>, Error> {
        self.look_around(proc_root)?;
        let mut all: Vec<_> = self
            .through
            .iter()
            .map(|(netns, pid)| (*netns, proc_root.join(pid.to_string())))
            .collect();
        all.sort_unstable();
        Ok(all)
    }

    fn look_around(&mut self, proc_root: &Path) -> Result<(), Error> {
        self.through.clear();
        for pid in pids(proc_root).map_err(Error::Proc)? {
            if let Some(netns) = inode(&proc_root.join(pid.to_string()))
                && self.through.len() < MAX_KNOWN
            {
                self.through.entry(netns).or_insert(pid);
            }
        }
        Ok(())
    }
}

/// Opens a `sock_diag` socket in the network namespace `netns`, which `process` should be in.
///
/// On a thread of its own, since setns(2) moves the thread that calls it.
pub(super) fn open(process: &Path, netns: u32) -> Result<Diag, Error> {
    let link = process.join("ns/net");
    let enter = move || {
        let file = File::open(&link).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                Error::Gone { netns }
            } else {
                Error::Enter { netns, source }
            }
        })?;
        let metadata = file
            .metadata()
            .map_err(|source| Error::Enter { netns, source })?;
        if u32::try_from(metadata.ino()) != Ok(netns) {
            return Err(Error::Gone { netns });
        }
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
            |errno| Error::Enter {
                netns,
                source: errno.into(),
            },
        )?;
        Diag::open()
    };
    thread::Builder::new()
        .name("netns".to_owned())
        .spawn(enter)
        .map_err(Error::Open)?
        .join()
        .unwrap_or(Err(Error::Gone { netns }))
}

fn inode(process: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(process.join("ns/net")).ok()?;
    u32::try_from(metadata.ino()).ok()
}
