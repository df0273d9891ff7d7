//! What is open now, with its owners, in the shape of the agent's observations.

mod evidence;
mod records;

use std::{
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use self::{evidence::is_open, records::Records};
use super::table::Row;
use crate::{
    agent::system::System,
    enrich::{
        facts::{Facts, Named},
        socket::OpenSocket,
    },
    json::Indexed,
    kql::pushdown::Ports,
    pipeline::Now,
    probe::record::TcpState,
    session::{Activity, Direction, Fact, Found, Listener, Observation, Traffic, kept::Kept},
};

/// How long documents wait for the hashes of executables.
const HASH_PATIENCE: Duration = Duration::from_millis(500);

/// Time between two looks for them.
const HASH_LOOK: Duration = Duration::from_millis(10);

/// Lists sockets on the monitored ports.
#[derive(Debug)]
pub(super) struct Lister {
    system: System,
    ports: Ports,
    records: Records,
    /// Inode number of the network namespace this process is in.
    netns: Option<u32>,
}

/// What was open at one moment: listeners, then inbound, then outbound sessions.
#[derive(Debug)]
pub(super) struct Listing {
    now: Now,
    netns: Option<u32>,
    open: Vec<Open>,
}

/// A socket that is open.
#[derive(Debug)]
struct Open {
    socket: OpenSocket,
    observation: Observation,
    traffic: Option<Traffic>,
    facts: Facts,
}

impl Lister {
    /// Reads the host's facts. `state` is the folder of the agent's state.
    pub(super) fn new(ports: Ports, state: PathBuf) -> Self {
        let own = std::fs::metadata("/proc/self/ns/net").ok();
        Self {
            system: System::new(),
            ports,
            records: Records::of(state),
            netns: own.and_then(|own| u32::try_from(own.ino()).ok()),
        }
    }

    /// The ports it looks at.
    pub(super) const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Looks once.
    pub(super) fn list(&mut self) -> Listing {
        let now = Now::read();
        let ports = &self.ports;
        let mut sockets = self
            .system
            .enricher()
            .open_sockets_with_counters(&|port| ports.contains(port))
            .sockets;
        sockets.retain(is_open);
        // After the sockets: what the agent knows of one that it found open is no older than that.
        let mut kept = self.records.read();
        let found = self
            .system
            .enricher()
            .identify(sockets, &|port| ports.contains(port));
        let listeners: Vec<Listener> = found
            .iter()
            .filter_map(|(_, found)| match found {
                Found::Listener(listener) => Some(listener.clone()),
                Found::Session(_) => None,
            })
            .collect();
        let mut open: Vec<Open> = found
            .into_iter()
            .map(|(socket, found)| self.open(socket, found, &listeners, &mut kept, &now))
            .collect();
        open.sort_by_key(|open| {
            let socket = &open.socket;
            let is_foreign = socket.netns != self.netns;
            let place = (is_foreign, socket.netns, socket.local, socket.remote);
            (open.rank(), place, socket.cookie)
        });
        Listing {
            now,
            netns: self.netns,
            open,
        }
    }

    /// Looks once, and waits a moment for the hashes of executables, which are made in the
    /// background. One that is too large to be hashed is done without.
    pub(super) fn list_with_hashes(&mut self) -> Listing {
        let mut listing = self.list();
        let deadline = Instant::now() + HASH_PATIENCE;
        while listing.open.iter().any(Open::lacks_hash) && Instant::now() < deadline {
            thread::sleep(HASH_LOOK);
            for open in listing.open.iter_mut().filter(|open| open.lacks_hash()) {
                open.facts = self.system.enricher().facts(&open.observation);
            }
        }
        listing
    }

    /// Their events. Where the kernel gives the probe cookies, the ids are those of the running
    /// agent.
    pub(super) fn events(&self, listing: &Listing) -> impl Iterator<Item = Indexed> {
        listing.open.iter().map(|open| {
            self.system
                .open_event(&open.observation, open.traffic, &open.facts, &listing.now)
        })
    }

    fn open(
        &mut self,
        socket: OpenSocket,
        found: Found,
        listeners: &[Listener],
        kept: &mut Kept,
        now: &Now,
    ) -> Open {
        let time = now.boot;
        let mut traffic = None;
        let observation = match found {
            Found::Listener(listener) => Observation::ListenerOpened { listener, time },
            Found::Session(mut session) => {
                kept.complete_session(&mut session);
                self.system.enricher().recall_login(&session);
                if session.direction == Direction::Ingress {
                    session.owners.listener = session.came_through(listeners.iter());
                }
                traffic = socket
                    .counters
                    .map(|counters| Traffic::so_far(session.direction, socket.state, counters));
                let fact = match (socket.state, session.direction) {
                    (TcpState::SynSent, _) => Fact::Attempted,
                    (_, Direction::Ingress) => Fact::Accepted,
                    (_, Direction::Egress) => Fact::Established,
                };
                Observation::Session {
                    session,
                    fact,
                    time,
                }
            }
        };
        Open {
            facts: self.system.enricher().facts(&observation),
            socket,
            observation,
            traffic,
        }
    }
}

impl Listing {
    /// Whether nothing was open.
    pub(super) const fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Rows of a table.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.open.iter().map(|open| self.row(open)).collect()
    }

    fn row(&self, open: &Open) -> Row {
        let socket = &open.socket;
        let process = open.facts.owners.closest().map(|owner| &owner.process);
        let start = process.and_then(|process| process.start);
        let activity = open.activity();
        let name = |user: &Named| user.name.clone().unwrap_or_else(|| user.id.to_string());
        Row {
            direction: open.direction(),
            local: socket.local,
            remote: socket.remote,
            state: socket.state,
            process: process.map(|process| (process.name.clone(), process.pid)),
            user: process.map(|process| name(&process.user)),
            login: activity.and_then(|activity| activity.login.as_str()),
            login_user: open.facts.login.user.as_ref().map(name),
            last_command: activity.and_then(last_command),
            container: process.and_then(|process| process.container.clone()),
            unit: process.and_then(|process| process.unit.clone()),
            process_age: start.map(|start| self.now.boot.since(start)),
            received: open.traffic.map(|traffic| traffic.bytes_received),
            sent: open.traffic.map(|traffic| traffic.bytes_sent),
            netns: socket.netns.filter(|_| socket.netns != self.netns),
        }
    }
}

impl Open {
    /// Which way a session goes; none for a listener.
    fn direction(&self) -> Option<Direction> {
        match &self.observation {
            Observation::Session { session, .. } | Observation::Program { session, .. } => {
                Some(session.direction)
            }
            Observation::ListenerOpened { .. } | Observation::ListenerClosed { .. } => None,
        }
    }

    /// What the processes of a session did, as the agent saw it.
    fn activity(&self) -> Option<&Activity> {
        match &self.observation {
            Observation::Session { session, .. } | Observation::Program { session, .. } => {
                Some(&session.activity)
            }
            Observation::ListenerOpened { .. } | Observation::ListenerClosed { .. } => None,
        }
    }

    fn rank(&self) -> u8 {
        match self.direction() {
            None => 0,
            Some(Direction::Ingress) => 1,
            Some(Direction::Egress) => 2,
        }
    }

    fn lacks_hash(&self) -> bool {
        self.facts.owners.closest().is_some_and(|owner| {
            owner.process.executable.is_some() && owner.process.sha256.is_none()
        })
    }
}

fn last_command(activity: &Activity) -> Option<String> {
    let task = activity.last.as_deref()?;
    let words = task.args.as_ref().map(|args| args.list.join(" "));
    Some(words.unwrap_or_else(|| task.comm.clone()))
}
