//! What can be seen of this host without the probe.

use std::{io, path::Path};

use rustix::system::uname;

use super::report::Check;
use crate::{
    enrich::{Enricher, Roots},
    probe::{AcceptorHook, LoadError, Options, Probe, ProtocolLook, record::Hook},
};

/// What loading needs, in the order in which it is found missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Kernel,
    Privileges,
    Types,
    Probe,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Kernel, Self::Privileges, Self::Types, Self::Probe];

    const fn of(error: &LoadError) -> Self {
        match error {
            LoadError::TooOld { .. } => Self::Kernel,
            LoadError::NotPermitted => Self::Privileges,
            LoadError::NoBtf { .. } | LoadError::Btf { .. } => Self::Types,
            LoadError::Ring { .. }
            | LoadError::Refused(_)
            | LoadError::Hook { .. }
            | LoadError::Object(_) => Self::Probe,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Privileges => "privileges",
            Self::Types => "kernel types",
            Self::Probe => "probe",
        }
    }

    fn works(self) -> Check {
        let uname = uname();
        let detail = match self {
            Self::Kernel => format!(
                "{} {}",
                uname.release().to_string_lossy(),
                uname.machine().to_string_lossy()
            ),
            Self::Privileges => "enough to load the probe".to_owned(),
            Self::Types => "exposed in /sys/kernel/btf/vmlinux".to_owned(),
            Self::Probe => "loaded and attached to inet_sock_set_state".to_owned(),
        };
        Check::ok(self.name(), detail)
    }

    fn fails(self, error: &LoadError) -> Check {
        let remedy = match self {
            Self::Kernel => "run a newer kernel",
            Self::Privileges => "run it as root: sudo telnet-monitor doctor",
            Self::Types => "run a kernel that is built with CONFIG_DEBUG_INFO_BTF=y",
            Self::Probe => {
                "see whether a security policy forbids it, such as lockdown or a seccomp filter"
            }
        };
        Check::failed(self.name(), error.to_string(), remedy)
    }
}

/// What loading told, up to what it failed at. Types that a probe does without are among its
/// [`features`].
pub(super) fn loading(outcome: &Result<Probe, LoadError>) -> Vec<Check> {
    let failed = outcome.as_ref().err();
    let stage = failed.map(Stage::of);
    let has_no_types = outcome
        .as_ref()
        .is_ok_and(|probe| !probe.tells_namespaces());
    let mut checks: Vec<Check> = Stage::ALL
        .into_iter()
        .filter(|each| stage.is_none_or(|stage| *each < stage))
        .filter(|each| !(has_no_types && *each == Stage::Types))
        .map(Stage::works)
        .collect();
    checks.extend(failed.map(|error| Stage::of(error).fails(error)));
    checks
}

/// What the probe cannot use of this kernel.
pub(super) fn features(probe: &Probe) -> Vec<Check> {
    let degraded = probe.degraded().iter();
    degraded
        .map(|missing| {
            let remedy = "nothing, unless a newer kernel is at hand; documents hold less";
            Check::degraded("kernel features", *missing, remedy)
        })
        .collect()
}

/// How it is learnt who accepts, and why not better. Tries the better ones again for their reasons.
pub(super) fn accept_hook(used: Option<Hook>) -> Check {
    const NAME: &str = "accept hook";
    let better = [Hook::Fentry, Hook::Kprobe, Hook::SyscallExit]
        .into_iter()
        .take_while(|hook| Some(*hook) != used);
    let refused: Vec<String> = better
        .filter_map(|hook| {
            let options = Options {
                acceptor: AcceptorHook::Only(hook),
                ..Options::default()
            };
            match Probe::load(options) {
                Err(LoadError::Hook { reason, .. }) => Some(format!("{}: {reason}", hook.as_str())),
                // Loads now: then it will be used from the next start on.
                Ok(_) | Err(_) => None,
            }
        })
        .collect();
    let because = if refused.is_empty() {
        String::new()
    } else {
        format!(" ({})", refused.join("; "))
    };
    match used {
        Some(hook) => Check::ok(NAME, format!("{}{because}", hook.as_str())),
        None => Check::degraded(
            NAME,
            format!("none, userspace looks for the holder of each socket{because}"),
            "mount tracefs: mount -t tracefs tracefs /sys/kernel/tracing",
        ),
    }
}

/// Whether the protocol of sessions can be proven.
pub(super) fn protocol(look: &ProtocolLook) -> Option<Check> {
    const NAME: &str = "network.protocol";
    match look {
        ProtocolLook::Unasked => None,
        ProtocolLook::On => Some(Check::ok(
            NAME,
            "proven by first bytes, if a rule asks for it",
        )),
        ProtocolLook::Refused(reason) => Some(Check::degraded(
            NAME,
            reason,
            "nothing, unless a rule asks for it: cgroup v2 and CAP_NET_ADMIN at start",
        )),
    }
}

/// Whether sockets and the processes that hold them can be looked up.
pub(super) fn sockets() -> Check {
    const NAME: &str = "socket owners";
    let mut enricher = Enricher::new(Roots::default());
    let listed = enricher.open_sockets(&|_| true).sockets.len();
    match enricher.counters().sockets.errors {
        0 => Check::ok(
            NAME,
            format!("sock_diag and /proc tell of {listed} sockets"),
        ),
        errors => Check::degraded(
            NAME,
            format!("{listed} sockets found, and something refused {errors} times"),
            "see the log above; the agent needs CAP_SYS_PTRACE and an unrestricted /proc",
        ),
    }
}

/// Which cgroups there are: containers and units are read from them.
pub(super) fn cgroups() -> Check {
    const NAME: &str = "cgroups";
    let root = Path::new("/sys/fs/cgroup");
    let has = |name: &str| -> io::Result<bool> { root.join(name).try_exists() };
    match (has("cgroup.controllers"), has("unified/cgroup.controllers")) {
        (Ok(true), _) => Check::ok(NAME, "version 2"),
        (_, Ok(true)) => Check::ok(NAME, "version 1, with version 2 beside it"),
        (Ok(false), Ok(false)) => Check::ok(NAME, "version 1"),
        (Err(error), _) | (_, Err(error)) => Check::degraded(
            NAME,
            error.to_string(),
            "mount them on /sys/fs/cgroup, or containers and units stay unknown",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::Status;

    #[test]
    fn what_comes_before_the_failure_works_and_what_comes_after_is_not_told() {
        let names = |error| -> Vec<(&'static str, Status)> {
            let checks = loading(&Err(error));
            let one = |check: &Check| (check.name, check.status);
            checks.iter().map(one).collect()
        };
        let old = LoadError::TooOld {
            release: "4.19.0".to_owned(),
        };
        assert_eq!(names(old), [("kernel", Status::Failed)]);
        let refused = LoadError::Refused("no".to_owned());
        assert_eq!(
            names(refused),
            [
                ("kernel", Status::Ok),
                ("privileges", Status::Ok),
                ("kernel types", Status::Ok),
                ("probe", Status::Failed)
            ]
        );
    }
}
