//! What the agent gives up once the probe is loaded, so that whoever takes it over gains little.
//!
//! [`enter`] is for the whole process: exec(2) gives nothing, only the capabilities that are still
//! needed, only the system calls that are (see `seccomp`). Then threads part. Those that look at
//! other processes write nothing ([`only_look`]); those that write, below the folders that are
//! there for it, see no other process ([`only_write`]): the kernel (landlock) does not let one
//! thread do both. Threads share memory, so that second wall is against being led astray, by a
//! path or a name, more than against foreign code.
//!
//! A wall that this kernel does not have is left out and named in the [`Report`].

mod capabilities;
mod landlock;
mod seccomp;

use std::{
    fs::DirBuilder, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::OnceLock, thread,
};

use rustix::thread::{CapabilitySet, set_no_new_privs};
use tracing::warn;

/// What of a wall stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wall {
    /// All of it.
    Enforced,
    /// What this kernel can.
    Partial,
    /// Nothing, for this reason.
    Absent(String),
}

impl Wall {
    /// As health documents tell it.
    pub const fn status(&self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Partial => "partial",
            Self::Absent(_) => "absent",
        }
    }
}

/// What is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Capabilities that are kept, by their names in capabilities(7).
    pub capabilities: Vec<String>,
    /// All others are gone.
    pub dropped: Wall,
    /// Exec gives nothing.
    pub no_new_privileges: Wall,
    /// System calls.
    pub seccomp: Wall,
    /// Files.
    pub landlock: Wall,
}

impl Report {
    /// Each wall by its name.
    pub fn walls(&self) -> [(&'static str, &Wall); 4] {
        [
            ("capabilities", &self.dropped),
            ("no_new_privs", &self.no_new_privileges),
            ("seccomp", &self.seccomp),
            ("landlock", &self.landlock),
        ]
    }

    /// Whether every wall stands, all of it.
    pub fn is_whole(&self) -> bool {
        let mut walls = self.walls().into_iter();
        walls.all(|(_, wall)| *wall == Wall::Enforced)
    }
}

/// What a running agent still has to be able to do.
const KEPT: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// What it takes to close sockets of other processes.
const CLOSING: CapabilitySet = CapabilitySet::NET_ADMIN;

/// Whether this thread may close the sockets of others.
pub fn can_close_sessions() -> bool {
    capabilities::has(CLOSING)
}

/// Where writing is allowed; nothing as long as the process is not in the sandbox.
static WRITABLE: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Takes this thread, and those it starts from now on, into the sandbox. Only below `writable`,
/// folders that are made when missing, anything will be written.
///
/// - `CAP_SYS_ADMIN`: entering the network namespaces of containers, to list their sockets, and
///   before Linux 5.19 reading the probe's maps
/// - `CAP_SYS_PTRACE`: `/proc/PID/exe` of other users
/// - `CAP_DAC_READ_SEARCH`: `/proc/PID/fd` of other users, programs and secrets only their owner
///   may read
/// - `CAP_NET_ADMIN`, only when it `closes_sessions`: closing the sockets of others
pub fn enter(writable: &[PathBuf], closes_sessions: bool) -> Report {
    for folder in writable {
        // Whoever writes there says what is wrong with it.
        let _made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    let writable = WRITABLE.get_or_init(|| writable.to_vec());
    let no_new_privileges = wall(set_no_new_privs(true));
    // On a thread that ends at once, to know what this kernel does.
    let landlock = thread::spawn(|| landlock::restrict(writable)).join();
    let dropped = wall(capabilities::keep(if closes_sessions {
        KEPT.union(CLOSING)
    } else {
        KEPT
    }));
    Report {
        capabilities: capabilities::names(),
        dropped,
        no_new_privileges,
        landlock: landlock.unwrap_or_else(|_panic| Wall::Absent("it cannot be tried".to_owned())),
        seccomp: seccomp::restrict(seccomp::Filter::Running),
    }
}

/// This thread, and those it starts, open files to read them and change no folder. For threads
/// that look at other processes.
pub fn only_look() {
    if WRITABLE.get().is_some() {
        told("seccomp", &seccomp::restrict(seccomp::Filter::Reading));
    }
}

/// This thread, and those it starts, write only where the process may, and see no other process.
pub fn only_write() {
    if let Some(writable) = WRITABLE.get() {
        let kept = capabilities::keep(CapabilitySet::DAC_READ_SEARCH);
        told("capabilities", &wall(kept));
        // Told by `enter` when this kernel has none.
        drop(landlock::restrict(writable));
    }
}

/// No capabilities, no writing, no other process, only the system calls of a running agent. For a
/// thread that needs none of that.
pub fn only_connect() {
    told("no_new_privs", &wall(set_no_new_privs(true)));
    told(
        "capabilities",
        &wall(capabilities::keep(CapabilitySet::empty())),
    );
    drop(landlock::restrict(&[]));
    told("seccomp", &seccomp::restrict(seccomp::Filter::Running));
}

fn told(name: &str, wall: &Wall) {
    if let Wall::Absent(reason) = wall {
        warn!(wall = name, reason, "a thread keeps more than it needs");
    }
}

fn wall(outcome: rustix::io::Result<()>) -> Wall {
    match outcome {
        Ok(()) => Wall::Enforced,
        Err(error) => Wall::Absent(error.to_string()),
    }
}
