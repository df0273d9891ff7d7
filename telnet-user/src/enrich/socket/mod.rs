//! Who holds a socket, asked after the fact: `sock_diag` gives the socket's inode number, and
//! `/proc/PID/fd` the processes that have it open.

mod diag;
mod error;
mod holders;
mod lookup;
mod namespace;
mod open;
mod table;
mod wire;

use std::{collections::HashSet, net::SocketAddr, path::PathBuf};

use tracing::{debug, warn};

use self::{
    diag::Diag,
    lookup::Lookup,
    namespace::{Namespaces, Way},
    wire::Entry,
};
pub use self::{
    error::Error,
    open::{Connection, OpenSocket, OpenSockets},
};
use crate::probe::record::TcpState;

/// A way to list all sockets of a namespace.
type Ask = fn(&mut Diag, &mut dyn FnMut(Entry)) -> Result<(), Error>;

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
    /// See [`Self::find_all`].
    pub fn find(
        &mut self,
        netns: Option<u32>,
        local: SocketAddr,
        remote: SocketAddr,
        cookie: Option<u64>,
    ) -> Option<OpenSocket> {
        let connection = Connection {
            netns,
            local,
            remote,
            cookie,
        };
        self.find_all(&[connection]).pop().flatten()
    }

    /// Connections and the processes that hold them, in the order of `wanted`; none for one that
    /// has ended or that nobody holds. Reads all of `/proc/*/fd`, once for all of them.
    pub fn find_all(&mut self, wanted: &[Connection]) -> Vec<Option<OpenSocket>> {
        let lookups = self.look_up(wanted);
        let own = self.namespaces.own();
        let socket = |(netns, lookup): &(Option<u32>, Lookup)| match lookup {
            Lookup::There(entry) => Some(OpenSocket::new(netns.or(own), entry)),
            Lookup::Gone | Lookup::Unknown => None,
        };
        let mut sockets: Vec<_> = lookups.iter().map(socket).collect();
        self.fill_in_holders(sockets.iter_mut().flatten());
        for socket in &mut sockets {
            self.counters.asked += 1;
            let held = socket.take_if(|socket| socket.pids.is_empty()).is_none();
            self.counters.found += u64::from(held && socket.is_some());
        }
        sockets
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

    /// Inode numbers of the sockets that a process has open.
    pub(super) fn held_by(&mut self, pid: u32) -> HashSet<u32> {
        let mut held = HashSet::new();
        let read = holders::each_socket(&self.proc_root, pid, |inode| {
            held.insert(inode);
        });
        self.told(read.map_err(Error::Proc));
        held
    }

    /// Connections with a local or remote port that `ports` wants, and all listening sockets,
    /// which tell who connected; in every network namespace that a process is in. Who holds a
    /// listening socket is told for those on such a port.
    pub fn list(&mut self, ports: &dyn Fn(u16) -> bool) -> OpenSockets {
        self.list_by(ports, &mut |_| true, |diag, each| diag.list(each))
    }

    /// As [`Self::list`], only the connections that `is_new`; who holds a listening socket is told for
    /// those that are. With nothing new no open files are read.
    pub fn list_new(
        &mut self,
        ports: &dyn Fn(u16) -> bool,
        is_new: &mut dyn FnMut(&OpenSocket) -> bool,
    ) -> OpenSockets {
        self.list_by(ports, is_new, |diag, each| diag.list(each))
    }

    /// As [`Self::list`], with the traffic counters of connections where `sock_diag` works.
    pub fn list_with_counters(&mut self, ports: &dyn Fn(u16) -> bool) -> OpenSockets {
        self.list_by(ports, &mut |_| true, |diag, each| {
            diag.list_with_counters(each)
        })
    }

    fn list_by(
        &mut self,
        ports: &dyn Fn(u16) -> bool,
        is_new: &mut dyn FnMut(&OpenSocket) -> bool,
        ask: Ask,
    ) -> OpenSockets {
        let all = self.namespaces.all(&self.proc_root);
        let mut namespaces: Vec<_> = self
            .told(all)
            .unwrap_or_default()
            .into_iter()
            .map(|(netns, way)| (Some(netns), way))
            .collect();
        let mut open = OpenSockets {
            is_complete: !namespaces.is_empty(),
            ..OpenSockets::default()
        };
        if namespaces.is_empty() {
            namespaces.push((None, self.own_way()));
        }
        let mut held = HashSet::new();
        for (netns, way) in namespaces {
            let mut keep = |entry: &Entry| {
                let is_listener = entry.state == TcpState::Listen;
                let is_wanted =
                    ports(entry.local.port()) || !is_listener && ports(entry.remote.port());
                let socket = OpenSocket::new(netns, entry);
                let is_asked_for = is_wanted && is_new(&socket);
                if is_asked_for {
                    held.insert(socket.inode);
                }
                (is_asked_for || is_listener).then_some(socket)
            };
            let Some(sockets) = self.list_in(netns, &way, &mut keep, ask) else {
                open.is_complete = false;
                continue;
            };
            open.sockets.extend(sockets);
            open.namespaces.extend(netns);
        }
        let sockets = open.sockets.iter_mut();
        self.fill_in_holders(sockets.filter(|socket| held.contains(&socket.inode)));
        open
    }

    /// What became of the requests so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// One pass over all open files for all `sockets`.
    fn fill_in_holders<'a>(&mut self, sockets: impl Iterator<Item = &'a mut OpenSocket>) {
        let sockets: Vec<_> = sockets.filter(|socket| socket.inode != 0).collect();
        if sockets.is_empty() {
            return;
        }
        let wanted = sockets.iter().map(|socket| socket.inode).collect();
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

    /// Closes a connection, for whoever holds it: [`Diag::destroy`]. `false` when it is gone.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked, or refuses.
    pub(super) fn close(&mut self, connection: &Connection) -> Result<bool, Error> {
        let netns = match connection.netns {
            // Where it is, if it is anywhere.
            None => self.look_up(&[*connection]).pop().and_then(|it| it.0),
            known => known,
        };
        let way = self.find_way(netns)?;
        self.with_diag(netns, &way, |diag| {
            match lookup::ask(diag, &[connection])?.pop() {
                Some(Lookup::There(entry)) => diag.destroy(&entry),
                _ => Ok(false),
            }
        })
    }

    fn list_in(
        &mut self,
        netns: Option<u32>,
        way: &Way,
        keep: &mut dyn FnMut(&Entry) -> Option<OpenSocket>,
        ask: Ask,
    ) -> Option<Vec<OpenSocket>> {
        let mut sockets = Vec::new();
        let mut each = |entry: Entry| sockets.extend(keep(&entry));
        let asked = self.with_diag(netns, way, |diag| ask(diag, &mut each));
        if self.told(asked).is_none() {
            sockets.clear();
            let mut each = |entry: Entry| sockets.extend(keep(&entry));
            let read = table::list(way.process()?, &mut each).map_err(Error::Proc);
            self.told(read)?;
        }
        Some(sockets)
    }

    fn way_to(&mut self, netns: Option<u32>) -> Option<Way> {
        let way = self.find_way(netns);
        self.told(way)
    }

    fn find_way(&mut self, netns: Option<u32>) -> Result<Way, Error> {
        match netns {
            Some(netns) if self.namespaces.own() != Some(netns) => {
                self.namespaces.way_to(&self.proc_root, netns)
            }
            _ => Ok(self.own_way()),
        }
    }

    fn own_way(&self) -> Way {
        Way::Process(self.proc_root.join("self"))
    }

    /// Asks `sock_diag` in a namespace.
    fn with_diag<T>(
        &mut self,
        netns: Option<u32>,
        way: &Way,
        ask: impl FnOnce(&mut Diag) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let foreign = netns.filter(|netns| self.namespaces.own() != Some(*netns));
        let mut diag = match (foreign, self.own.take()) {
            (Some(netns), own) => {
                self.own = own;
                match namespace::open(way, netns) {
                    // That process has ended; there may be other ways.
                    Err(Error::Gone { .. }) => {
                        let other = self.namespaces.way_to(&self.proc_root, netns)?;
                        namespace::open(&other, netns)?
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

    /// Counts an error, and logs it if it is the first of its kind. That a namespace has ended, as that
    /// of each canary session does, is nothing to mend.
    fn tell(&mut self, error: &Error) {
        self.counters.errors += 1;
        if matches!(error, Error::Gone { .. }) {
            debug!(%error, "owners of its sockets stay unknown");
        } else if self.logged.insert(error.kind()) {
            warn!(%error, "owners of some sockets may stay unknown");
        }
    }
}

#[cfg(test)]
mod tests;
