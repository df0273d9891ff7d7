//! Network namespaces, by the inode number of `/proc/PID/ns/net` (namespaces(7)).

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::AsFd as _,
        unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Error, diag::Diag, holders::pids};

/// Namespaces that are remembered, more than any host has in use.
pub(super) const MAX_KNOWN: usize = 4096;

/// A way into a network namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// The `/proc` folder of a process that is in it.
    Process(PathBuf),
    /// A file that it is mounted on, as `ip netns` and `NetworkNamespacePath=` of systemd have it:
    /// nobody needs to be in there.
    Mount(PathBuf),
}

impl Way {
    /// What setns(2) is given.
    fn link(&self) -> PathBuf {
        match self {
            Self::Process(process) => process.join("ns/net"),
            Self::Mount(path) => path.clone(),
        }
    }

    /// The process, if it leads through one.
    pub(super) fn process(&self) -> Option<&Path> {
        match self {
            Self::Process(process) => Some(process),
            Self::Mount(_) => None,
        }
    }

    /// Inode number of the namespace it leads to now.
    fn leads_to(&self) -> Option<u32> {
        let metadata = std::fs::metadata(self.link()).ok()?;
        u32::try_from(metadata.ino()).ok()
    }
}

/// Which way to go to a namespace.
///
/// A pid or a path is remembered rather than an open socket: a socket in it would keep the
/// namespace of a container that has ended alive, and its interfaces with it.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    own: Option<u32>,
    ways: HashMap<u32, Way>,
}

impl Namespaces {
    pub(super) fn new(proc_root: &Path) -> Self {
        Self {
            own: Way::Process(proc_root.join("self")).leads_to(),
            ways: HashMap::new(),
        }
    }

    /// The agent's own.
    pub(super) const fn own(&self) -> Option<u32> {
        self.own
    }

    /// A way to the namespace, looked for when the one known does not lead there any more.
    pub(super) fn way_to(&mut self, proc_root: &Path, netns: u32) -> Result<Way, Error> {
        let known = self.ways.get(&netns);
        if let Some(known) = known.filter(|way| way.leads_to() == Some(netns)) {
            return Ok(known.clone());
        }
        self.look_around(proc_root)?;
        let found = self.ways.get(&netns);
        found.cloned().ok_or(Error::Gone { netns })
    }

    /// Every namespace that a process is in or that is mounted.
    pub(super) fn all(&mut self, proc_root: &Path) -> Result<Vec<(u32, Way)>, Error> {
        self.look_around(proc_root)?;
        let ways = self.ways.iter();
        let mut all: Vec<_> = ways.map(|(netns, way)| (*netns, way.clone())).collect();
        all.sort_unstable();
        Ok(all)
    }

    fn look_around(&mut self, proc_root: &Path) -> Result<(), Error> {
        self.ways.clear();
        let pids = pids(proc_root).map_err(Error::Proc)?;
        let processes = pids.map(|pid| Way::Process(proc_root.join(pid.to_string())));
        let mounted = mounted(proc_root).map_err(Error::Proc)?;
        for way in processes.chain(mounted.into_iter().map(Way::Mount)) {
            if let Some(netns) = way.leads_to()
                && self.ways.len() < MAX_KNOWN
            {
                self.ways.entry(netns).or_insert(way);
            }
        }
        Ok(())
    }
}

/// Where network namespaces are mounted: in `mountinfo` (`proc_pid_mountinfo(5)`) a mount whose
/// root is `net:[NUMBER]`.
fn mounted(proc_root: &Path) -> io::Result<Vec<PathBuf>> {
    let text = match std::fs::read(proc_root.join("self/mountinfo")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let lines = text.split(|byte| *byte == b'\n');
    let paths = lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let root = fields.next()?;
        let path = fields.next()?;
        root.starts_with(b"net:[").then(|| unescaped(path))
    });
    Ok(paths.take(MAX_KNOWN).collect())
}

/// A path whose blanks and backslashes are written as three octal digits.
fn unescaped(path: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.first_chunk::<3>().filter(|_| first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = code.and_then(|_| after.get(3..)).unwrap_or(after);
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Opens a `sock_diag` socket in the network namespace `netns`, to which `way` should lead.
///
/// On a thread of its own, since setns(2) moves the thread that calls it.
pub(super) fn open(way: &Way, netns: u32) -> Result<Diag, Error> {
    let link = way.link();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_namespaces_are_read() {
        let proc = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(proc.path().join("self")).expect("a folder");
        let text = "24 1 0:22 / /proc rw - proc proc rw\n\
                    90 24 0:4 net:[4026532177] /run/netns/a\\040b rw shared:5 - nsfs nsfs rw\n\
                    91 24 0:4 mnt:[4026532178] /run/mnt rw - nsfs nsfs rw\n\
                    \n92 24 0:4 net:[\n\
                    93 24 0:4 net:[1] /a\\09\\134 rw - nsfs nsfs rw\n";
        std::fs::write(proc.path().join("self/mountinfo"), text).expect("a file");
        let paths = mounted(proc.path()).expect("read");
        assert_eq!(paths, ["/run/netns/a b", "/a\\09\\"].map(PathBuf::from));
    }
}
