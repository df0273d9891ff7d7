//! Facts as plain values: what enrichment found out, nothing more. What is unknown is `None`.

use std::{net::IpAddr, sync::Arc};

use crate::{
    clock::BootTime,
    probe::record::Task,
    session::{Attribution, Fact, Observation, activity::Progress},
};

/// The host the agent runs on (ECS `host.*`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Kernel's host name.
    pub hostname: Option<String>,
    /// `/etc/machine-id`.
    pub id: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// Machine architecture as `uname -m` says it.
    pub architecture: Option<String>,
    /// Addresses of all interfaces but loopback.
    pub ip: Vec<IpAddr>,
    /// Hardware addresses in ECS form, `00-00-5E-00-53-23`.
    pub mac: Vec<String>,
    /// Distribution.
    pub os: Os,
}

/// The operating system (ECS `host.os.*`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Os {
    /// `NAME` of os-release.
    pub name: Option<String>,
    /// `VERSION_ID` of os-release.
    pub version: Option<String>,
    /// `PRETTY_NAME` of os-release.
    pub full: Option<String>,
    /// `ID` of os-release (ECS `host.os.platform`).
    pub platform: Option<String>,
    /// `uname -r`.
    pub kernel: Option<String>,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Numeric id.
    pub id: u32,
    /// Name, when the system's databases have one.
    pub name: Option<String>,
}

/// A process, its facts from the kernel and, where the start time matched, from `/proc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// When it started.
    pub start: Option<BootTime>,
    /// Hash of boot id, pid and start: unique for ever; absent without a start time.
    pub entity_id: Option<String>,
    /// `comm` of the group leader, completed by the executable's base name where it was cut.
    pub name: Option<String>,
    /// Path of the executable.
    pub executable: Option<String>,
    /// SHA-256 of the executable, lower-case hex.
    pub sha256: Option<String>,
    /// Arguments, `argv[0]` first.
    pub args: Vec<String>,
    /// The arguments are only the head of the command line.
    pub args_truncated: bool,
    /// Working directory.
    pub working_directory: Option<String>,
    /// Controlling terminal as device numbers.
    pub tty: Option<(u32, u32)>,
    /// Real user.
    pub user: Named,
    /// Real group.
    pub group: Named,
    /// Effective user, when it was read.
    pub effective_user: Option<Named>,
    /// Effective group, when it was read.
    pub effective_group: Option<Named>,
    /// Effective capabilities of a process that is not root, `CAP_…`.
    pub capabilities: Vec<String>,
    /// Parent first, then its parent, up to init.
    pub ancestors: Vec<Ancestor>,
    /// Container it runs in.
    pub container: Option<Container>,
    /// systemd unit, such as `inetd.service`.
    pub unit: Option<String>,
    /// systemd slice, such as `system.slice`.
    pub slice: Option<String>,
}

/// A process further up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Process id.
    pub pid: u32,
    /// When it started.
    pub start: Option<BootTime>,
    /// As [`Process::entity_id`].
    pub entity_id: Option<String>,
    /// As [`Process::name`].
    pub name: Option<String>,
    /// As [`Process::executable`].
    pub executable: Option<String>,
}

/// A container (ECS `container.*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// `docker`, `podman`, `containerd`, `cri-o`, `lxc`, …
    pub runtime: Option<&'static str>,
    /// Kubernetes pod uid.
    pub pod_uid: Option<String>,
}

/// An owner of a socket with its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerFacts {
    /// The process; shared, since one daemon owns many sessions.
    pub process: Arc<Process>,
    /// How it was learnt.
    pub source: Attribution,
}

/// Owners of a session or listener with their facts, as [`crate::session::Owners`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnersFacts {
    /// Called listen(2).
    pub listener: Option<OwnerFacts>,
    /// Called accept(2).
    pub acceptor: Option<OwnerFacts>,
    /// Serves the session.
    pub handler: Option<OwnerFacts>,
    /// Called connect(2).
    pub client: Option<OwnerFacts>,
}

impl OwnersFacts {
    /// The closest process known: client, else handler, acceptor, listener.
    pub fn closest(&self) -> Option<&OwnerFacts> {
        self.client
            .as_ref()
            .or(self.handler.as_ref())
            .or(self.acceptor.as_ref())
            .or(self.listener.as_ref())
    }
}

/// Everything an event says beyond the session itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host; shared, it hardly changes.
    pub host: Arc<Host>,
    /// Who is on this end.
    pub owners: OwnersFacts,
    /// The process that an event of a session's processes is about.
    pub program: Option<Arc<Process>>,
    /// Who logged in.
    pub login: LoginFacts,
}

impl Facts {
    /// Whether there is something to say of an observation: a login that the peer gave up is a
    /// failed one only if somebody tried.
    pub fn tell_of(&self, observation: &Observation) -> bool {
        match observation {
            Observation::Session {
                session,
                fact: Fact::LoginFailed,
                ..
            } => {
                session.activity.login.progress == Progress::Failed
                    || self.login.failures.is_some_and(|count| count > 0)
            }
            Observation::Session { .. }
            | Observation::Program { .. }
            | Observation::ListenerOpened { .. }
            | Observation::ListenerClosed { .. } => true,
        }
    }
}

/// What is known of a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginFacts {
    /// Who was let in.
    pub user: Option<Named>,
    /// How that is known: `utmp`, `wtmp`, or `exec` for the user of the first program.
    pub user_source: Option<&'static str>,
    /// How often it failed before, by btmp; absent when no such book is kept.
    pub failures: Option<u64>,
    /// login(1).
    pub program: Option<Arc<Process>>,
    /// The first program of the user.
    pub shell: Option<Arc<Process>>,
    /// Processes that outlived the session.
    pub survivors: Vec<Arc<Task>>,
}
