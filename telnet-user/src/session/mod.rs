//! Sessions: what the kernel's state changes mean.
//!
//! [`Tracker`](tracker::Tracker) turns kernel records into [`Observation`]s, each of which
//! becomes one ECS event.

pub mod activity;
mod authentication;
mod ending;
mod handlers;
pub mod kept;
mod listeners;
mod looks;
pub mod table;
pub mod tracker;
mod tree;

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

pub use self::{
    activity::{Activity, Program},
    authentication::is_login,
    handlers::{Candidate, Check, Stage},
    looks::Look,
};
pub use crate::probe::filter::Direction;
use crate::{
    clock::BootTime,
    probe::record::{Hook, Protocol, SocketError, SocketKey, Task},
};

/// One TCP connection on a monitored port, as one end sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The socket.
    pub key: SocketKey,
    /// Which side this host is on.
    pub direction: Direction,
    /// Inode number of the network namespace, when the kernel tells.
    pub netns: Option<u32>,
    /// This host's end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// When connect(2) was called; outbound sessions only.
    pub attempted: Option<BootTime>,
    /// When the handshake completed; absent for a session that failed before.
    pub opened: Option<BootTime>,
    /// When this side closed its end, or else when it was over. What a login writes down later comes
    /// of that, not of anything that was tried.
    pub closed: Option<BootTime>,
    /// It was found open, not seen to open: its times before that are unknown.
    pub preexisting: bool,
    /// An earlier run of the agent has written the event of its opening.
    pub reported: bool,
    /// Inode number of the socket, as in `/proc/PID/fd`, once it has one and it was learnt.
    pub inode: Option<u64>,
    /// What its first bytes have proven that it speaks.
    pub protocol: Option<Protocol>,
    /// Who is on this end.
    pub owners: Owners,
    /// What the processes of the session did so far; inbound only.
    pub activity: Activity,
}

impl Session {
    /// A session of which nothing is known but where it is.
    pub fn new(
        key: SocketKey,
        direction: Direction,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Self {
        Self {
            key,
            direction,
            netns: None,
            local,
            remote,
            attempted: None,
            opened: None,
            closed: None,
            preexisting: false,
            reported: false,
            inode: None,
            protocol: None,
            owners: Owners::default(),
            activity: Activity::default(),
        }
    }

    /// Whose of `listeners` it came in through. Several sockets can share an address
    /// (`SO_REUSEPORT`): then the one that accepted or serves it, or nobody rather than a guess.
    pub fn came_through<'a>(&self, listeners: impl Iterator<Item = &'a Listener>) -> Option<Owner> {
        listeners::owner_for(self, listeners).cloned()
    }
}

/// Whether two values can be the same, as far as both are known.
fn may_equal<T: PartialEq>(left: Option<T>, right: Option<T>) -> bool {
    left.zip(right).is_none_or(|(left, right)| left == right)
}

/// The processes on this host's end of a session, each as it was learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Called listen(2); inbound only.
    pub listener: Option<Owner>,
    /// Called accept(2); inbound only.
    pub acceptor: Option<Owner>,
    /// Serves the session: holds the socket after fork and exec; inbound only.
    pub handler: Option<Owner>,
    /// Called connect(2); outbound only.
    pub client: Option<Owner>,
}

impl Owners {
    /// The closest process known: client, else handler, acceptor, listener.
    pub fn closest(&self) -> Option<&Owner> {
        self.client
            .as_ref()
            .or(self.handler.as_ref())
            .or(self.acceptor.as_ref())
            .or(self.listener.as_ref())
    }
}

/// A process and how it was learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub task: Arc<Task>,
    /// How it was learnt.
    pub source: Attribution,
}

/// How an owner was learnt (`telnet.attribution`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribution {
    /// In the kernel, in the context of the process that called connect(2).
    Connect,
    /// In the kernel, in the context of the process that called listen(2).
    Listen,
    /// In the kernel, in the context of the process that called accept(2).
    Accept(Hook),
    /// The process holds the socket, by the inode number that `sock_diag` gave and `/proc/PID/fd`.
    SockDiag,
    /// In the kernel, at exec(2): a descendant of the acceptor runs with the socket as its
    /// standard input.
    Exec,
    /// In the kernel, in the context of the process that closed the socket as its last holder.
    Close,
    /// The acceptor or a descendant of it, and `/proc/PID/fd` says that it holds the socket.
    Held,
}

impl Attribution {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Listen => "listen",
            Self::Accept(hook) => hook.as_str(),
            Self::SockDiag => "sock_diag",
            Self::Exec => "exec",
            Self::Close => "close",
            Self::Held => "held",
        }
    }
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The SYN was sent; not yet known how it ends.
    Attempted,
    /// Inbound: the handshake completed.
    Accepted,
    /// Outbound: the handshake completed.
    Established,
    /// The handshake did not complete.
    Failed(Failure),
    /// A login without authentication that nothing on this host asks for; inbound only.
    Bypassed,
    /// The user's first program was started; inbound only.
    LoggedIn,
    /// The login program ended and had started nothing; inbound only.
    LoginFailed,
    /// Its first bytes have proven what it speaks.
    Identified,
    /// An open session ended.
    Closed(Ending, Option<Traffic>),
}

/// Why a connection was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `sk_err` when the socket closed; clear when the process gave up (close, disconnect).
    pub error: SocketError,
}

/// Why an open session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides closed in order; the side that closed first, when seen.
    Fin {
        /// Whether this host closed first.
        local_first: Option<bool>,
    },
    /// A reset was received or sent, or the session was aborted.
    Reset,
    /// The peer no longer answered.
    Timeout,
    /// In no order, and the kernel does not tell why.
    Unknown,
    /// The record of its end was lost; its socket was found to be gone.
    Unseen,
}

/// What went over a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Payload bytes sent and acknowledged.
    pub bytes_sent: u64,
    /// Segments received.
    pub segments_received: u32,
    /// Segments sent, retransmissions included.
    pub segments_sent: u32,
}

/// A listening socket on a monitored port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The socket.
    pub key: SocketKey,
    /// Inode number of the network namespace, when the kernel tells.
    pub netns: Option<u32>,
    /// Address and port it is bound to.
    pub local: SocketAddr,
    /// When listen(2) was called.
    pub opened: Option<BootTime>,
    /// It was found listening, not seen to start.
    pub preexisting: bool,
    /// An earlier run of the agent has written the event of its opening.
    pub reported: bool,
    /// Who called listen(2), or holds the socket.
    pub owner: Option<Owner>,
}

/// What is open, as the kernel's lists of sockets tell.
#[derive(Debug, Default)]
pub struct Listing {
    /// Sessions that are new, and all listening sockets.
    pub found: Vec<Found>,
    /// Inode numbers of the network namespaces that were listed.
    pub namespaces: HashSet<u32>,
    /// All of them were.
    pub is_complete: bool,
}

impl Listing {
    /// Whether what is in this namespace, or in one that is not known, would be listed.
    fn covers(&self, netns: Option<u32>) -> bool {
        netns.map_or(self.is_complete, |netns| self.namespaces.contains(&netns))
    }
}

/// A socket in the kernel's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Inode number of its network namespace.
    pub netns: Option<u32>,
    /// This host's end.
    pub local: SocketAddr,
    /// The peer's end, unspecified for a listener.
    pub remote: SocketAddr,
    /// Its cookie, where the list has any.
    pub cookie: Option<u64>,
    /// It listens.
    pub is_listening: bool,
    /// It is a session: the handshake is over, and somebody can still read from it.
    pub is_session: bool,
}

/// Something that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A session; the address in its key is not known.
    Session(Box<Session>),
    /// A listening socket; the address in its key is not known.
    Listener(Listener),
}

/// One thing that happened, to be written as one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A session changed.
    Session {
        /// The session as it is now.
        session: Box<Session>,
        /// What happened to it.
        fact: Fact,
        /// When it happened.
        time: BootTime,
    },
    /// A process of a session did something.
    Program {
        /// The session as it is now.
        session: Box<Session>,
        /// The process and what it did.
        program: Program,
        /// When it happened.
        time: BootTime,
    },
    /// A listening socket was opened, or found open at start.
    ListenerOpened {
        /// The listening socket.
        listener: Listener,
        /// When it happened.
        time: BootTime,
    },
    /// A listening socket was closed.
    ListenerClosed {
        /// The listening socket.
        listener: Listener,
        /// When it happened.
        time: BootTime,
    },
}

impl Observation {
    /// Whether an earlier run of the agent has written the event of this.
    pub fn was_reported(&self) -> bool {
        match self {
            Self::Session { session, fact, .. } => {
                session.reported && matches!(fact, Fact::Accepted | Fact::Established)
            }
            Self::ListenerOpened { listener, .. } => listener.reported,
            Self::Program { .. } | Self::ListenerClosed { .. } => false,
        }
    }
}
