//! What each kernel must give the agent, and what it does not have: stated here with the reason,
//! and checked in the guest, so that neither a lost hook nor a test left out goes unseen.

use std::fmt;

use crate::target::Target;

/// What the agent finds at start on a kernel that is used as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The hook the agent must choose by itself, by the name in its log.
    pub(crate) hook: &'static str,
    /// All that is missing.
    pub(crate) lacks: &'static [Lack],
}

/// Something that a kernel does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    /// Name of the test that checks it.
    pub(crate) name: &'static str,
    /// Why.
    reason: &'static str,
    /// Tests that cannot pass without it, by what their names contain.
    leaves_out: Option<&'static str>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            reason,
            leaves_out,
        } = self;
        write!(f, "without {}: {reason}", name.replace('_', " "))?;
        leaves_out.map_or(Ok(()), |tests| write!(f, "; not run: {tests}"))
    }
}

const SOCKET_COOKIES: Lack = Lack {
    name: "socket_cookies",
    reason: "bpf_get_socket_cookie is not for tracing programs before 5.12",
    leaves_out: None,
};

const LANDLOCK: Lack = Lack {
    name: "landlock",
    reason: "it came with 5.13",
    leaves_out: None,
};

const MPTCP: Lack = Lack {
    name: "mptcp",
    reason: "Debian built 5.10 for clouds without CONFIG_MPTCP",
    leaves_out: None,
};

const READING_BY_ADDRESS: Lack = Lack {
    name: "reading_of_memory_by_address",
    reason: "lockdown=confidentiality refuses bpf_probe_read_kernel",
    // The agent says itself that it tells nothing of logins.
    leaves_out: Some("logins::"),
};

const TRACEFS: Lack = Lack {
    name: "tracefs",
    reason: "lockdown=confidentiality leaves tracefs empty, and with it classic tracepoints",
    leaves_out: None,
};

impl Expected {
    /// Of the kernels of `series` as they come.
    pub(crate) fn of(target: Target, series: &str) -> Self {
        let lacks: &[Lack] = match series {
            "5.10" => &[SOCKET_COOKIES, LANDLOCK, MPTCP],
            _ => &[],
        };
        let hook = match (target, series) {
            // ftrace calls BPF programs directly from 6.4 on.
            (Target::Aarch64, "5.10" | "6.1") => "kprobe",
            _ => "fentry",
        };
        Self { hook, lacks }
    }

    /// Of a recent kernel under lockdown=confidentiality.
    pub(crate) const fn locked_down() -> Self {
        Self {
            hook: "fentry",
            lacks: &[READING_BY_ADDRESS, TRACEFS],
        }
    }

    /// What the names of tests contain that cannot pass.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = &'static str> {
        self.lacks.iter().filter_map(|lack| lack.leaves_out)
    }

    /// The names of what is missing, for the guest.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.lacks.iter().map(|lack| lack.name).collect();
        names.join(" ")
    }
}
