//! Who holds a socket, asked after the fact: `sock_diag` gives the socket's inode number, and
//! `/proc/PID/fd` the processes that have it open.

mod diag;
mod holders;
mod namespace;
mod table;

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tracing::warn;

use self::{
    diag::{Diag, Entry, canonical, is_link_local},
    namespace::Namespaces,
};
use crate::probe::record::TcpState;

/// Why sockets or their holders could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `sock_diag` socket.
    #[error("cannot open a sock_diag socket: {0}")]
    Open(#[source] io::Error),
    /// The kernel did not answer, or refused.
    #[error("sock_diag request failed: {0}")]
    Request(#[source] io::Error),
    /// The kernel's answer makes no sense.
    #[error("cannot decode a sock_diag answer: {0}")]
    Decode(String),
    /// The kernel has no `sock_diag` for TCP (`CONFIG_INET_TCP_DIAG`).
    #[error("the kernel has no sock_diag for TCP")]
    Unsupported,
    /// setns(2) or what it needs is not permitted.
    #[error("cannot enter network namespace {netns}: {source}")]
    Enter {
        /// Inode number of the namespace.
        netns: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// No process is in the namespace (any more).
    #[error("no process in network namespace {netns}")]
    Gone {
        /// Inode number of the namespace.
        netns: u32,
    },
    /// A part of `/proc` cannot be read.
    #[error("cannot read /proc: {0}")]
    Proc(#[source] io::Error),
}

impl Error {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Request(_) => "request",
            Self::Decode(_) => "decode",
            Self::Unsupported => "unsupported",
            Self::Enter { .. } => "enter",
            Self::Gone { .. } => "gone",
            Self::Proc(_) => "proc",
        }
    }
}

/// A TCP socket that is open now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// Inode number of its network namespace.
    pub netns: Option<u32>,
    /// Local end; IPv4-mapped addresses are IPv4 here.
    pub local: SocketAddr,
    /// Remote end, unspecified for a listener.
    pub remote: SocketAddr,
    /// Its state.
    pub state: TcpState,
    /// Socket cookie, the same as the probe's.
    pub cookie: Option<u64>,
    /// Inode number in sockfs; 0 for a connection that nobody has accepted yet.
    pub inode: u32,
    /// Processes that hold it, ascending.
    pub pids: Vec<u32>,
}

impl OpenSocket {
    /// With its holders not known yet.
    fn new(netns: Option<u32>, entry: &Entry) -> Self {
        Self {
            netns,
            local: entry.local,
            remote: entry.remote,
            state: entry.state,
            cookie: entry.cookie,
            inode: entry.inode,
            pids: Vec::new(),
        }
    }
}

/// What became of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests for the holders of one socket.
    pub asked: u64,
    /// Answered with at least one.
    pub found: u64,
    /// Errors on the way, whether or not another way led to an answer.
    pub errors: u64,
}

/// Finds the holders of sockets.
#[derive(Debug)]
pub struct SocketFinder {
    proc_root: PathBuf,
    namespaces: Namespaces,
    own: Option<Diag>,
    /// The kernel has been seen to have `sock_diag` for TCP.
    supported: bool,
    counters: Counters,
    /// Kinds of errors that were logged.
    logged: HashSet<&'static str>,
}

impl SocketFinder {
    /// Reads under `proc_root`, which must be that of the initial pid namespace.
    pub fn new(proc_root: PathBuf) -> Self {
        Self {
            namespaces: Namespaces::new(&proc_root),
            proc_root,
            own: None,
            supported: false,
            counters: Counters::default(),
            logged: HashSet::new(),
        }
    }

    /// A connection and the processes that hold it; none when it has ended or nobody holds it.
    /// Reads all of `/proc/*/fd`.
    ///
    /// Without `netns` it is looked for in the agent's own network namespace. IPv4 ends are also
    /// looked for as those of an IPv6 socket. A socket cookie makes certain that it is not
    /// another connection with the same ends.
    pub fn find(
        &mut self,
        netns: Option<u32>,
        local: SocketAddr,
        remote: SocketAddr,
        cookie: Option<u64>,
    ) -> Option<OpenSocket> {
        self.counters.asked += 1;
        let entry = self.look_up(netns, local, remote, cookie)?;
        let netns = netns.or(self.namespaces.own());
        let mut socket = [OpenSocket::new(netns, &entry)];
        self.fill_in_holders(&mut socket);
        let [socket] = socket;
        let held = !socket.pids.is_empty();
        self.counters.found += u64::from(held);
        held.then_some(socket)
    }

    /// Pids of [`Self::find`].
    pub fn holders(
        &mut self,
        netns: Option<u32>,
        local: SocketAddr,
        remote: SocketAddr,
        cookie: Option<u64>,
    ) -> Vec<u32> {
        self.find(netns, local, remote, cookie)
            .map_or_else(Vec::new, |socket| socket.pids)
    }

    /// Whether a process has the socket with this inode number open.
    pub fn is_held_by(&mut self, inode: u32, pid: u32) -> bool {
        let mut held = false;
        let read = holders::each_socket(&self.proc_root, pid, |found| held |= found == inode);
        self.told(read.map_err(Error::Proc));
        held
    }

    /// Open sockets with a local or remote port that `ports` wants, in every network namespace
    /// that a process is in.
    pub fn list(&mut self, ports: &dyn Fn(u16) -> bool) -> Vec<OpenSocket> {
        let all = self.namespaces.all(&self.proc_root);
        let mut namespaces: Vec<_> = self
            .told(all)
            .unwrap_or_default()
            .into_iter()
            .map(|(netns, process)| (Some(netns), process))
            .collect();
        if namespaces.is_empty() {
            namespaces.push((None, self.proc_root.join("self")));
        }
        let is_wanted = |entry: &Entry| {
            let connected = entry.state != TcpState::Listen;
            ports(entry.local.port()) || (connected && ports(entry.remote.port()))
        };
        let mut sockets = Vec::new();
        for (netns, process) in namespaces {
            let entries = self.list_in(netns, &process, &is_wanted);
            sockets.extend(entries.iter().map(|entry| OpenSocket::new(netns, entry)));
        }
        self.fill_in_holders(&mut sockets);
        sockets
    }

    /// What became of the requests so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// One pass over all open files for all `sockets`.
    fn fill_in_holders(&mut self, sockets: &mut [OpenSocket]) {
        let wanted: HashSet<u32> = sockets
            .iter()
            .map(|socket| socket.inode)
            .filter(|inode| *inode != 0)
            .collect();
        if wanted.is_empty() {
            return;
        }
        let found = holders::holders(&self.proc_root, &wanted);
        if let Some(error) = found.refused {
            self.tell(&error);
        }
        for socket in sockets {
            if let Some(pids) = found.by_inode.get(&socket.inode) {
                socket.pids.clone_from(pids);
            }
        }
    }

    /// The connection with these ends, by `sock_diag` if that works, else by the tables in
    /// `/proc`.
    fn look_up(
        &mut self,
        netns: Option<u32>,
        local: SocketAddr,
        remote: SocketAddr,
        cookie: Option<u64>,
    ) -> Option<Entry> {
        let process = self.process_in(netns)?;
        let (local_end, remote_end) = (canonical(local), canonical(remote));
        let is_it = |entry: &Entry| {
            (entry.local, entry.remote) == (local_end, remote_end)
                && entry.state != TcpState::Listen
                && cookie.is_none_or(|cookie| entry.cookie.is_none_or(|found| found == cookie))
        };
        let mut found = None;
        let mut keep = |entry: Entry| {
            if is_it(&entry) {
                found = Some(entry);
            }
        };
        // An exact request needs to know the interface of link-local ends.
        let listed = is_link_local(local) || is_link_local(remote);
        let asked = self.with_diag(netns, &process, |diag| {
            if listed {
                diag.list(&mut keep)
            } else {
                diag.find(local, remote, cookie)
                    .map(|entry| entry.into_iter().for_each(&mut keep))
            }
        });
        if self.told(asked).is_none() {
            let read = table::list(&process, &mut keep).map_err(Error::Proc);
            self.told(read)?;
        }
        found
    }

    fn list_in(
        &mut self,
        netns: Option<u32>,
        process: &Path,
        is_wanted: &dyn Fn(&Entry) -> bool,
    ) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut keep = |entry: Entry| {
            if is_wanted(&entry) {
                entries.push(entry);
            }
        };
        let asked = self.with_diag(netns, process, |diag| diag.list(&mut keep));
        if self.told(asked).is_none() {
            entries.clear();
            let mut keep = |entry: Entry| {
                if is_wanted(&entry) {
                    entries.push(entry);
                }
            };
            let read = table::list(process, &mut keep).map_err(Error::Proc);
            self.told(read);
        }
        entries
    }

    /// The `/proc` folder of a process in the namespace.
    fn process_in(&mut self, netns: Option<u32>) -> Option<PathBuf> {
        match netns {
            Some(netns) if self.namespaces.own() != Some(netns) => {
                let process = self.namespaces.process_in(&self.proc_root, netns);
                self.told(process.ok_or(Error::Gone { netns }))
            }
            _ => Some(self.proc_root.join("self")),
        }
    }

    /// Asks `sock_diag` in a namespace.
    fn with_diag<T>(
        &mut self,
        netns: Option<u32>,
        process: &Path,
        ask: impl FnOnce(&mut Diag) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let foreign = netns.filter(|netns| self.namespaces.own() != Some(*netns));
        let mut diag = match (foreign, self.own.take()) {
            (Some(netns), own) => {
                self.own = own;
                match namespace::open(process, netns) {
                    // That process has ended; others may be in there.
                    Err(Error::Gone { .. }) => {
                        let other = self.namespaces.process_in(&self.proc_root, netns);
                        namespace::open(&other.ok_or(Error::Gone { netns })?, netns)?
                    }
                    opened => opened?,
                }
            }
            (None, Some(own)) => own,
            (None, None) => Diag::open()?,
        };
        if !self.supported {
            diag.check()?;
            self.supported = true;
        }
        let answer = ask(&mut diag);
        // After an error there may be more of an old answer to come.
        if foreign.is_none() && answer.is_ok() {
            self.own = Some(diag);
        }
        answer
    }

    /// The value, or none once the error is told.
    fn told<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.inspect_err(|error| self.tell(error)).ok()
    }

    /// Counts an error, and logs it if it is the first of its kind.
    fn tell(&mut self, error: &Error) {
        self.counters.errors += 1;
        if self.logged.insert(error.kind()) {
            warn!(%error, "owners of some sockets may stay unknown");
        }
    }
}

#[cfg(test)]
mod tests;
