//! Who is on a socket, and what is known about them.

mod accounting;
mod cache;
pub mod cgroup;
pub mod facts;
mod found;
pub mod hash;
mod held;
pub mod host;
mod login;
mod owner;
pub mod process;
pub mod socket;
pub mod user;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use self::{
    accounting::Books,
    cache::Cache,
    facts::{Facts, Host, OwnerFacts, OwnersFacts},
    process::ProcessReader,
    socket::{Connection, OpenSocket, OpenSockets, SocketFinder},
};
use crate::{
    probe::record::{Task, TcpState},
    session::{Attribution, Check, Listener, Observation, Owner, Owners, Session},
};

/// Most logins whose books are kept open.
const MAX_BOOKS: usize = 512;

/// How often the owner of a session is looked for.
const MAX_LOOKS: usize = 2;

/// Where the system's files are; other folders in tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/etc`.
    pub etc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            etc: "/etc".into(),
            sys: "/sys".into(),
        }
    }
}

/// What became of the requests of all kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Of processes to describe.
    pub processes: process::Counters,
    /// Of holders of sockets to find.
    pub sockets: socket::Counters,
}

/// Completes observations with what can be found out on this host.
#[derive(Debug)]
pub struct Enricher {
    roots: Roots,
    host: Arc<Host>,
    processes: ProcessReader,
    sockets: SocketFinder,
    /// What each login(1) writes down, by its process id.
    books: Cache<u32, Books>,
}

impl Enricher {
    /// Reads the host's facts at once.
    pub fn new(roots: Roots) -> Self {
        let host = host::read(&roots);
        Self {
            processes: ProcessReader::new(roots.proc.clone(), host.boot_id.clone()),
            sockets: SocketFinder::new(roots.proc.clone()),
            books: Cache::new(MAX_BOOKS),
            host: Arc::new(host),
            roots,
        }
    }

    /// The host's facts.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Reads the host's facts again: addresses and names change. To be called now and then.
    pub fn refresh_host(&mut self) {
        let host = host::read(&self.roots);
        if *self.host != host {
            self.host = Arc::new(host);
        }
    }

    /// What is known of the owners in an observation, and of the host.
    pub fn facts(&mut self, observation: &Observation) -> Facts {
        let mut facts = Facts {
            host: Arc::clone(&self.host),
            ..Facts::default()
        };
        match observation {
            Observation::Session { session, .. } => {
                facts.owners = self.owners(&session.owners);
                facts.login = self.login(session);
            }
            Observation::Program {
                session, program, ..
            } => {
                facts.owners = self.owners(&session.owners);
                facts.program = Some(self.processes.describe(&program.task));
            }
            Observation::ListenerOpened { listener, .. }
            | Observation::ListenerClosed { listener, .. } => {
                facts.owners = self.listener(listener);
            }
        }
        facts
    }

    /// What is known of these owners, and of the host.
    pub fn facts_of(&mut self, owners: &Owners) -> Facts {
        Facts {
            host: Arc::clone(&self.host),
            owners: self.owners(owners),
            ..Facts::default()
        }
    }

    /// Who holds a session's socket now. Of several holders it is the one that the others are
    /// ancestors of, such as the child that a server forked; none when that leaves several.
    pub fn find_owner(&mut self, session: &Session) -> Option<Owner> {
        self.find_owners(std::slice::from_ref(session)).pop()?
    }

    /// [`Self::find_owner`] for each of `sessions`, with one look at all processes for all of
    /// them.
    pub fn find_owners(&mut self, sessions: &[Session]) -> Vec<Option<Owner>> {
        let mut owners = vec![None; sessions.len()];
        let mut missing: Vec<_> = owners.iter_mut().zip(sessions).collect();
        // A process between fork and exec holds what its parent holds, and not a moment later:
        // it is not confirmed, and the next look does not find it.
        for _ in 0..MAX_LOOKS {
            let wanted: Vec<_> = missing
                .iter()
                .map(|(_, session)| Connection::of(session))
                .collect();
            let found = self.sockets.find_all(&wanted);
            let mut seen = HashMap::new();
            missing = missing
                .into_iter()
                .zip(found)
                .filter_map(|((owner, session), socket)| {
                    let socket = socket?;
                    *owner = owner::youngest(&self.roots.proc, &socket.pids)
                        .and_then(|pid| self.confirmed(pid, socket.inode, &mut seen));
                    owner.is_none().then_some((owner, session))
                })
                .collect();
            if missing.is_empty() {
                break;
            }
        }
        owners
    }

    /// Reads what `/proc` knows of a process now, for events to come.
    pub fn learn(&mut self, task: &Task) {
        self.processes.describe(task);
        self.learn_login(task);
    }

    /// Takes in that a known process made this child.
    pub fn inherit(&mut self, child: &Task) {
        self.processes.inherit(child);
    }

    /// For each check, which of its candidates hold the socket.
    pub fn holders(&mut self, checks: &[Check]) -> Vec<Vec<u32>> {
        held::holders(&self.roots.proc, checks)
    }

    /// Open sockets on the ports that `ports` wants: see [`SocketFinder::list`].
    pub fn open_sockets(&mut self, ports: &dyn Fn(u16) -> bool) -> OpenSockets {
        self.sockets.list(ports)
    }

    /// For each session, whether its socket is certainly gone.
    pub fn gone(&mut self, sessions: &[Session]) -> Vec<bool> {
        let connections: Vec<_> = sessions.iter().map(Connection::of).collect();
        self.sockets.gone(&connections)
    }

    /// Closes a session's socket, for whoever holds it; `false` when it is gone.
    pub fn close(&mut self, session: &Session) -> Result<bool, socket::Error> {
        self.sockets.close(&Connection::of(session))
    }

    /// As [`Self::open_sockets`], with their traffic so far: see
    /// [`SocketFinder::list_with_counters`].
    pub fn open_sockets_with_counters(&mut self, ports: &dyn Fn(u16) -> bool) -> OpenSockets {
        self.sockets.list_with_counters(ports)
    }

    /// Who holds an open socket: of a connection as [`Self::find_owner`]; of a listening socket
    /// the one that is an ancestor of the others, since workers that share it have it from there.
    pub fn owner_of(&mut self, socket: &OpenSocket) -> Option<Owner> {
        self.owners_of(std::slice::from_ref(socket)).pop()?
    }

    /// [`Self::owner_of`] for each of `sockets`, with one look at each process that holds some.
    pub fn owners_of(&mut self, sockets: &[OpenSocket]) -> Vec<Option<Owner>> {
        let mut seen: HashMap<u32, Option<Holder>> = HashMap::new();
        let owner = |socket: &OpenSocket| {
            let pid = if socket.state == TcpState::Listen {
                owner::eldest(&self.roots.proc, &socket.pids)
            } else {
                owner::youngest(&self.roots.proc, &socket.pids)
            }?;
            self.confirmed(pid, socket.inode, &mut seen)
        };
        sockets.iter().map(owner).collect()
    }

    /// What became of the requests so far.
    pub fn counters(&self) -> Counters {
        Counters {
            processes: self.processes.counters(),
            sockets: self.sockets.counters(),
        }
    }

    /// The process as an owner, if after all was read it still holds the socket: in the meantime
    /// the pid may have become another process. Each is read once.
    fn confirmed(
        &mut self,
        pid: u32,
        inode: u32,
        seen: &mut HashMap<u32, Option<Holder>>,
    ) -> Option<Owner> {
        let process = seen.entry(pid).or_insert_with(|| {
            let task = Arc::new(self.processes.task(pid)?);
            let sockets = self.sockets.held_by(pid);
            Some(Holder { task, sockets })
        });
        let holder = process.as_ref()?;
        holder.sockets.contains(&inode).then(|| Owner {
            task: Arc::clone(&holder.task),
            source: Attribution::SockDiag,
        })
    }

    fn owners(&mut self, owners: &Owners) -> OwnersFacts {
        OwnersFacts {
            listener: self.owner(owners.listener.as_ref()),
            acceptor: self.owner(owners.acceptor.as_ref()),
            handler: self.owner(owners.handler.as_ref()),
            client: self.owner(owners.client.as_ref()),
        }
    }

    fn listener(&mut self, listener: &Listener) -> OwnersFacts {
        OwnersFacts {
            listener: self.owner(listener.owner.as_ref()),
            ..OwnersFacts::default()
        }
    }

    fn owner(&mut self, owner: Option<&Owner>) -> Option<OwnerFacts> {
        let owner = owner?;
        Some(OwnerFacts {
            process: self.processes.describe(&owner.task),
            source: owner.source,
        })
    }
}

/// A process and what it was seen to hold.
struct Holder {
    task: Arc<Task>,
    /// Inode numbers.
    sockets: HashSet<u32>,
}

#[cfg(test)]
mod tests;
