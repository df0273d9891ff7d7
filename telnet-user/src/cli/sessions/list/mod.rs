//! What is open now, with its owners, in the shape of the agent's observations.

mod evidence;

use std::{
    os::unix::fs::MetadataExt as _,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::evidence::{direction, is_open, listener_of};
use super::table::Row;
use crate::{
    agent::system::System,
    enrich::{facts::Facts, socket::OpenSocket},
    kql::pushdown::Ports,
    pipeline::Now,
    probe::record::{SocketKey, TcpState},
    session::{Direction, Fact, Listener, Observation, Owner, Owners, Session, Traffic},
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
    /// Reads the host's facts.
    pub(super) fn new(ports: Ports) -> Self {
        let own = std::fs::metadata("/proc/self/ns/net").ok();
        Self {
            system: System::new(),
            ports,
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
            .open_sockets_with_counters(&|port| is_wanted(ports, port));
        sockets.retain(is_open);
        let owners = self.system.enricher().owners_of(&sockets);
        let (listening, connected): (Vec<_>, Vec<_>) = sockets
            .into_iter()
            .zip(owners)
            .partition(|(socket, _)| socket.state == TcpState::Listen);
        let listeners: Vec<(OpenSocket, Listener)> = listening
            .into_iter()
            .map(|(socket, owner)| {
                let listener = listener(&socket, owner);
                (socket, listener)
            })
            .collect();
        let mut open: Vec<Open> = connected
            .into_iter()
            .map(|(socket, holder)| self.session(socket, holder, &listeners, &now))
            .collect();
        open.extend(listeners.into_iter().map(|(socket, listener)| {
            let time = now.boot;
            let observation = Observation::ListenerOpened { listener, time };
            self.open(socket, observation, None)
        }));
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
    pub(super) fn events(&self, listing: &Listing) -> impl Iterator<Item = Value> {
        listing.open.iter().map(|open| {
            self.system
                .open_event(&open.observation, open.traffic, &open.facts, &listing.now)
        })
    }

    fn session(
        &mut self,
        socket: OpenSocket,
        holder: Option<Owner>,
        listeners: &[(OpenSocket, Listener)],
        now: &Now,
    ) -> Open {
        let mut session = Session {
            key: key(&socket),
            direction: Direction::Egress,
            netns: socket.netns,
            local: socket.local,
            remote: socket.remote,
            attempted: None,
            opened: None,
            preexisting: true,
            inode: Some(u64::from(socket.inode)).filter(|inode| *inode != 0),
            owners: Owners::default(),
        };
        let has_listener = listeners
            .iter()
            .any(|(_, listener)| session.came_through(listener));
        session.direction = direction(&socket, has_listener, |port| is_wanted(&self.ports, port));
        session.owners = match session.direction {
            Direction::Ingress => Owners {
                listener: listener_of(&session, holder.as_ref(), listeners),
                handler: holder,
                ..Owners::default()
            },
            Direction::Egress => Owners {
                client: holder,
                ..Owners::default()
            },
        };
        let traffic = socket
            .counters
            .map(|counters| Traffic::so_far(session.direction, socket.state, counters));
        let fact = match (socket.state, session.direction) {
            (TcpState::SynSent, _) => Fact::Attempted,
            (_, Direction::Ingress) => Fact::Accepted,
            (_, Direction::Egress) => Fact::Established,
        };
        let observation = Observation::Session {
            session: Box::new(session),
            fact,
            time: now.boot,
        };
        self.open(socket, observation, traffic)
    }

    fn open(
        &mut self,
        socket: OpenSocket,
        observation: Observation,
        traffic: Option<Traffic>,
    ) -> Open {
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
        Row {
            direction: open.direction(),
            local: socket.local,
            remote: socket.remote,
            state: socket.state,
            process: process.map(|process| (process.name.clone(), process.pid)),
            user: process.map(|process| {
                let user = &process.user;
                user.name.clone().unwrap_or_else(|| user.id.to_string())
            }),
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
            Observation::Session { session, .. } => Some(session.direction),
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

fn is_wanted(ports: &Ports, port: u16) -> bool {
    match ports {
        Ports::Any => true,
        Ports::OneOf(ports) => ports.contains(&port),
    }
}

fn listener(socket: &OpenSocket, owner: Option<Owner>) -> Listener {
    Listener {
        key: key(socket),
        netns: socket.netns,
        local: socket.local,
        opened: None,
        preexisting: true,
        owner,
    }
}

/// Userspace does not know the socket's address; the cookie alone names it.
const fn key(socket: &OpenSocket) -> SocketKey {
    SocketKey {
        address: 0,
        cookie: socket.cookie,
    }
}
