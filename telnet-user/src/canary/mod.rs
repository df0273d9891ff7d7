//! Sessions of the agent's own, to know that sessions are seen.
//!
//! A probe that reports nothing looks like a quiet host. So now and then a session is opened on a
//! monitored port, where nobody else can reach it, and awaited where documents leave the pipeline.
//! It becomes no event and no alert.

mod namespace;

use std::{
    fmt, io,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, timeout_at},
};

pub use self::namespace::{Namespace, free_ports};
use crate::session::{Direction, Fact, Observation, Owner, Session};

/// Name of the agent's process, as the kernel has it.
const AGENT: &str = "telnet-monitor";
/// How long a session may take from its opening to the output.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between sessions: a probe that is gone is noticed within a minute.
const PAUSE: Duration = Duration::from_secs(45);
const _: () = assert!(PAUSE.as_secs() + PATIENCE.as_secs() < 60);
/// Sightings that wait for the round to take them; a session makes four.
const SIGHTINGS: usize = 64;

/// Tells the sessions of canaries from all others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// Inode number of the network namespace of this agent's own canary.
    own: Option<u32>,
    /// That of the host.
    host: Option<u32>,
}

/// Whose canary a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This agent's.
    Own,
    /// That of another agent on this host, such as `telnet-monitor doctor`.
    Other,
}

impl Mark {
    /// Tells only the canaries of other agents.
    pub fn of_others() -> Self {
        let host = std::fs::metadata("/proc/self/ns/net").ok();
        Self {
            own: None,
            host: host.and_then(|host| u32::try_from(host.ino()).ok()),
        }
    }

    /// Whether this is one of this agent's own sessions: nobody has to find out who is on it.
    pub fn is_own(self, session: &Session) -> bool {
        session.netns.is_some() && session.netns == self.own
    }

    /// Whose canary made this; none for all that matters.
    ///
    /// Of another agent's it must be certain at each end that both are on loopback in a namespace
    /// that is not the host's, and that an agent is on this end. Whoever takes that name can hide
    /// what he does with himself.
    pub fn of(self, observation: &Observation) -> Option<Whose> {
        let (netns, ips, owner) = match observation {
            Observation::Session { session, .. } | Observation::Program { session, .. } => (
                session.netns,
                [session.local.ip(), session.remote.ip()],
                session.owners.closest(),
            ),
            Observation::ListenerOpened { listener, .. }
            | Observation::ListenerClosed { listener, .. } => {
                let ip = listener.local.ip();
                (listener.netns, [ip, ip], listener.owner.as_ref())
            }
        };
        let netns = netns?;
        if self.own == Some(netns) {
            return Some(Whose::Own);
        }
        let is_private = self.host.is_some_and(|host| host != netns);
        let is_agent = |owner: &Owner| owner.task.comm == AGENT;
        let is_other =
            is_private && ips.iter().all(IpAddr::is_loopback) && owner.is_some_and(is_agent);
        is_other.then_some(Whose::Other)
    }
}

/// What came out of the pipeline of a canary's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    end: End,
    is_over: bool,
    client_port: u16,
    /// The closest process.
    owner: Option<u32>,
    acceptor: Option<u32>,
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

impl Sighting {
    /// The sighting in an observation; none in those of listeners and attempts.
    pub fn of(observation: &Observation) -> Option<Self> {
        let Observation::Session { session, fact, .. } = observation else {
            return None;
        };
        let is_over = match fact {
            Fact::Accepted | Fact::Established => false,
            Fact::Closed(..) => true,
            Fact::Attempted
            | Fact::Failed(_)
            | Fact::Bypassed
            | Fact::LoggedIn
            | Fact::LoginFailed
            | Fact::Identified => return None,
        };
        let Session {
            local,
            remote,
            owners,
            ..
        } = &**session;
        let (end, client_port) = match session.direction {
            Direction::Egress => (End::Client, local.port()),
            Direction::Ingress => (End::Server, remote.port()),
        };
        let pid = |owner: &Owner| owner.task.pid;
        Some(Self {
            end,
            is_over,
            client_port,
            owner: owners.closest().map(pid),
            acceptor: owners.acceptor.as_ref().map(pid),
        })
    }
}

/// What was wrong with a round.
#[derive(Debug)]
pub enum Failure {
    /// The session could not be opened: nothing is known of the probe.
    NotOpened(io::Error),
    /// These did not come out in time.
    Missing(Vec<&'static str>),
    /// They came out with another process, or none.
    WrongProcess {
        /// What came out.
        what: &'static str,
        /// Which process it named.
        named: Option<u32>,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpened(error) => write!(f, "the canary session could not be opened: {error}"),
            Self::Missing(what) => write!(
                f,
                "of the canary session, {} did not come out within {PATIENCE:?}",
                what.join(" and ")
            ),
            Self::WrongProcess { what, named } => match named {
                Some(pid) => write!(f, "{what} of the canary session named process {pid}"),
                None => write!(f, "{what} of the canary session named no process"),
            },
        }
    }
}

/// The port of sessions, shared with whoever may change it.
#[derive(Clone, Debug)]
pub struct Port(Arc<AtomicU16>);

impl Port {
    fn new(port: u16) -> Self {
        Self(Arc::new(AtomicU16::new(port)))
    }

    /// Its number.
    pub fn get(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    /// From the next session on it is another one.
    pub fn set(&self, port: u16) {
        self.0.store(port, Ordering::Relaxed);
    }
}

/// Opens sessions and waits for them.
#[derive(Debug)]
pub struct Canary {
    namespace: Namespace,
    port: Port,
    /// A kernel hook tells who accepts.
    names_acceptors: bool,
    pause: Duration,
    sightings: Receiver<Sighting>,
}

/// What is expected of each session, in words.
const EXPECTED: [(End, bool, &str); 4] = [
    (End::Client, false, "the established session"),
    (End::Server, false, "the accepted session"),
    (End::Client, true, "the end at the client"),
    (End::Server, true, "the end at the server"),
];

impl Canary {
    /// Opens sessions on the monitored `port` in `namespace`; and where their sightings are to be
    /// put. `names_acceptors`: a kernel hook tells who accepts.
    pub fn new(namespace: Namespace, port: u16, names_acceptors: bool) -> (Self, Sender<Sighting>) {
        let (seen, sightings) = channel(SIGHTINGS);
        let canary = Self {
            namespace,
            port: Port::new(port),
            names_acceptors,
            pause: PAUSE,
            sightings,
        };
        (canary, seen)
    }

    /// The same with this time between sessions.
    #[must_use]
    pub const fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The port of its sessions, which may be changed.
    pub fn port(&self) -> Port {
        self.port.clone()
    }

    /// Time between sessions.
    pub const fn pause(&self) -> Duration {
        self.pause
    }

    /// Tells its sessions from others.
    pub fn mark(&self) -> Mark {
        Mark {
            own: Some(self.namespace.inode()),
            ..Mark::of_others()
        }
    }

    /// Opens a session and waits for all of it; how long it took until both ends were reported
    /// open.
    ///
    /// # Errors
    ///
    /// What was wrong.
    pub async fn round(&mut self) -> Result<Duration, Failure> {
        // Of a round that was given up.
        while self.sightings.try_recv().is_ok() {}
        let started = Instant::now();
        let client_port = self
            .namespace
            .open_session(self.port.get())
            .await
            .map_err(Failure::NotOpened)?;
        let mut missing = EXPECTED.to_vec();
        let mut took = None;
        while !missing.is_empty() {
            let next = timeout_at(started + PATIENCE, self.sightings.recv()).await;
            let Ok(Some(sighting)) = next else {
                let words = missing.iter().map(|(.., words)| *words).collect();
                return Err(Failure::Missing(words));
            };
            if sighting.client_port != client_port {
                continue;
            }
            let of = |(end, is_over, _): &(End, bool, &str)| {
                (*end, *is_over) == (sighting.end, sighting.is_over)
            };
            if let Some(index) = missing.iter().position(of) {
                let (.., what) = missing.swap_remove(index);
                self.check_process(&sighting, what)?;
            }
            if took.is_none() && missing.iter().all(|(_, is_over, _)| *is_over) {
                took = Some(started.elapsed());
            }
        }
        Ok(took.unwrap_or_else(|| started.elapsed()))
    }

    fn check_process(&self, sighting: &Sighting, what: &'static str) -> Result<(), Failure> {
        let me = Some(std::process::id());
        let is_server = sighting.end == End::Server;
        let named = match sighting.owner {
            // On a busy host who accepts can be known later than an accepted session waits for it.
            None if is_server && !sighting.is_over => me,
            owner if owner != me => owner,
            _ if is_server && sighting.is_over && self.names_acceptors => sighting.acceptor,
            _ => me,
        };
        if named == me {
            Ok(())
        } else {
            Err(Failure::WrongProcess { what, named })
        }
    }
}
