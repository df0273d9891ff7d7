//! Why the holders of a socket may stay unknown.

use std::io;

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
    /// No process is in the namespace (any more), and it is not mounted.
    #[error("no way to network namespace {netns}")]
    Gone {
        /// Inode number of the namespace.
        netns: u32,
    },
    /// A part of `/proc` cannot be read.
    #[error("cannot read /proc: {0}")]
    Proc(#[source] io::Error),
}

impl Error {
    pub(super) const fn kind(&self) -> &'static str {
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
