//! What a fact is called: `event.action`, `event.type`, `event.outcome`, reason and error.
//!
//! The words are chosen for the rule "Accepted Default Telnet Port Connection". Its version 102
//! tells failures and closes apart by `event.action` alone, by a list of excluded words; later
//! versions also exclude the types `denied` and `end`. Whatever is not an open connection must
//! carry an excluded word, so no word here is made up.

use std::borrow::Cow;

use rustix::io::Errno;
use serde::Serialize;

use crate::{
    flood::Outcome,
    probe::record::SocketError,
    response::{self, Decision},
    session::{Ending, Fact, Failure, activity::ProgramStep},
};

const NETWORK: &[&str] = &["network"];
const LOGIN: &[&str] = &["authentication", "session"];
const INTRUSION: &[&str] = &["intrusion_detection"];
const PROCESS: &[&str] = &["process"];
const START: &[&str] = &["connection", "start"];
const END: &[&str] = &["connection", "end"];
const PROTOCOL: &[&str] = &["info", "protocol"];
const DENIED: &[&str] = &["connection", "denied", "end"];

/// The words for one fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `event.action`.
    pub(super) action: &'static str,
    /// `event.category`.
    pub(super) category: &'static [&'static str],
    /// `event.type`.
    pub(super) types: &'static [&'static str],
    /// `event.outcome`.
    pub(super) outcome: &'static str,
    /// `event.reason`.
    pub(super) reason: Option<&'static str>,
    /// `error.*`.
    pub(super) error: Option<ErrorFields>,
    /// The activity ended at the event's time (`event.end`).
    pub(super) is_end: bool,
    /// The fact in `event.id`: stays the same whatever action it maps to.
    pub(super) fact: &'static str,
}

/// ECS `error.*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ErrorFields {
    /// Name of the errno, its number when it has no name here.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'static, str>>,
}

/// A listening socket was opened. Without type `connection`, direction and destination, so that
/// no rule on sessions takes it for one.
pub(super) const LISTENER_OPENED: Verdict = Verdict {
    category: NETWORK,
    action: "listener_opened",
    types: &["info", "start"],
    outcome: "success",
    reason: None,
    error: None,
    is_end: false,
    fact: "listener_opened",
};

/// A listening socket was closed.
pub(super) const LISTENER_CLOSED: Verdict = Verdict {
    category: NETWORK,
    action: "listener_closed",
    types: &["info", "end"],
    outcome: "success",
    reason: None,
    error: None,
    is_end: true,
    fact: "listener_closed",
};

/// What the connections of a flood came to; whether it is over, and the fact in `event.id`, are the
/// caller's. Without category `network`, so that no rule on sessions takes it for one.
pub(super) const fn flood(outcome: Outcome) -> Verdict {
    Verdict {
        category: INTRUSION,
        action: "connection_flood",
        types: &["info"],
        outcome: match outcome {
            Outcome::Unknown => "unknown",
            Outcome::Success => "success",
            Outcome::Failure => "failure",
        },
        reason: None,
        error: None,
        is_end: false,
        fact: "flood",
    }
}

/// What was decided on a session that a rule wants closed; the fact in `event.id` is the caller's.
/// Without category `network`, so that no rule on sessions takes it for one.
pub(super) fn response(decision: &Decision) -> Verdict {
    let (types, outcome, reason): (&[&str], _, _) = match decision {
        Decision::Close(response::Outcome::Closed) => (&["denied"], "success", "closed"),
        Decision::Close(response::Outcome::Gone) => (&["info"], "failure", "ended before"),
        Decision::Close(response::Outcome::Failed(_)) => (&["info"], "failure", "not closed"),
        Decision::DryRun => (&["info"], "unknown", "dry run"),
        Decision::Refuse(refusal) => (&["info"], "unknown", refusal.as_str()),
    };
    let error = match decision {
        Decision::Close(response::Outcome::Failed(message)) => Some(ErrorFields {
            code: None,
            message: Some(Cow::Owned(message.clone())),
        }),
        Decision::Close(_) | Decision::DryRun | Decision::Refuse(_) => None,
    };
    Verdict {
        category: INTRUSION,
        action: "session_close",
        types,
        outcome,
        reason: Some(reason),
        error,
        is_end: false,
        fact: "session_close",
    }
}

impl Verdict {
    /// The words for what happened to a session.
    pub(super) fn of(fact: &Fact) -> Self {
        match fact {
            Fact::Attempted => Self::start("connection_attempted", "unknown", "attempted"),
            Fact::Accepted => Self::start("connection_accepted", "success", "accepted"),
            Fact::Established => Self::start("connection_established", "success", "established"),
            Fact::Failed(failure) => Self::failed(*failure),
            Fact::Bypassed => Self::login("authentication_bypass", &["info"], "unknown"),
            Fact::LoggedIn => Self::login("user_login", &["start"], "success"),
            Fact::LoginFailed => Self::login("user_login_failed", &["start"], "failure"),
            // Without type `connection`, and without direction.
            Fact::Identified => Self {
                types: PROTOCOL,
                ..Self::start("protocol_identified", "success", "protocol_identified")
            },
            Fact::Closed(ending, _) => Self {
                category: NETWORK,
                action: "network_flow",
                types: END,
                outcome: "success",
                reason: match ending {
                    Ending::Fin { .. } => Some("fin"),
                    Ending::Reset => Some("reset"),
                    Ending::Timeout => Some("timeout"),
                    Ending::Unseen => Some("unseen"),
                    Ending::Unknown => None,
                },
                error: None,
                // One that was not seen has no time.
                is_end: *ending != Ending::Unseen,
                fact: "closed",
            },
        }
    }

    /// The words for what a process of a session did; the fact in `event.id` is the caller's.
    pub(super) const fn of_program(step: ProgramStep) -> Self {
        let (action, types, is_end): (_, &[&str], _) = match step {
            ProgramStep::Started => ("exec", &["start"], false),
            ProgramStep::Ended(_) => ("end", &["end"], true),
        };
        Self {
            category: PROCESS,
            action,
            types,
            outcome: "unknown",
            reason: None,
            error: None,
            is_end,
            fact: action,
        }
    }

    const fn login(
        action: &'static str,
        types: &'static [&'static str],
        outcome: &'static str,
    ) -> Self {
        Self {
            category: LOGIN,
            action,
            types,
            outcome,
            reason: None,
            error: None,
            is_end: false,
            fact: action,
        }
    }

    const fn start(action: &'static str, outcome: &'static str, fact: &'static str) -> Self {
        Self {
            category: NETWORK,
            action,
            types: START,
            outcome,
            reason: None,
            error: None,
            is_end: false,
            fact,
        }
    }

    fn failed(failure: Failure) -> Self {
        let errno = failure.error.errno();
        let known = errno.and_then(|errno| ERRNOS.iter().find(|known| known.is(errno)));
        let kind = match (failure.error, known) {
            (_, Some(known)) => known.kind,
            (SocketError::Clear, None) => Kind::Aborted,
            (SocketError::Errno(_), None) => Kind::Other,
            (SocketError::Unknown, None) => Kind::Unknown,
        };
        let error = errno.map(|errno| match known {
            Some(known) => ErrorFields {
                code: Some(Cow::Borrowed(known.name)),
                message: Some(Cow::Borrowed(known.message)),
            },
            None => ErrorFields {
                code: Some(Cow::Owned(errno.to_string())),
                message: None,
            },
        });
        let (action, types, reason) = kind.words();
        Self {
            category: NETWORK,
            action,
            types,
            outcome: "failure",
            reason,
            error,
            is_end: true,
            fact: "failed",
        }
    }
}

/// Why a handshake did not complete.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The peer answered the SYN with RST, or a firewall said so by ICMP.
    Refused,
    /// RST during the handshake.
    Reset,
    /// No answer.
    Timeout,
    /// ICMP or the routing table says that the peer cannot be reached.
    Unreachable,
    /// Local policy.
    Blocked,
    /// This host gave up: close, disconnect or `ss -K` before the handshake ended.
    Aborted,
    /// Some other error of this host.
    Other,
    /// The kernel does not tell.
    Unknown,
}

impl Kind {
    /// `event.action`, `event.type`, `event.reason`.
    ///
    /// `flow_terminated` for what this host ended itself: both rule versions exclude it, and
    /// unlike `timeout` it blames neither the peer nor the network.
    const fn words(self) -> (&'static str, &'static [&'static str], Option<&'static str>) {
        match self {
            Self::Refused => ("denied", DENIED, Some("refused")),
            Self::Reset => ("denied", DENIED, Some("reset")),
            Self::Timeout => ("timeout", END, Some("timeout")),
            Self::Unreachable => ("flow_dropped", DENIED, Some("unreachable")),
            Self::Blocked => ("deny", DENIED, Some("blocked")),
            Self::Aborted => ("flow_terminated", END, Some("aborted")),
            Self::Other | Self::Unknown => ("flow_terminated", END, None),
        }
    }
}

/// An errno with its name, its text and what it says of a handshake.
struct Known {
    errno: Errno,
    name: &'static str,
    message: &'static str,
    kind: Kind,
}

impl Known {
    const fn new(errno: Errno, name: &'static str, message: &'static str, kind: Kind) -> Self {
        Self {
            errno,
            name,
            message,
            kind,
        }
    }

    fn is(&self, errno: u16) -> bool {
        self.errno.raw_os_error() == i32::from(errno)
    }
}

/// What `sk_err` can be in a handshake: RST, time-out and policy, and what
/// `icmp_err_convert` (net/ipv4/icmp.c) and `icmpv6_err_convert` make of an ICMP error.
static ERRNOS: &[Known] = &{
    use Kind::{Aborted, Blocked, Other, Refused, Reset, Timeout, Unreachable};
    [
        Known::new(
            Errno::CONNREFUSED,
            "ECONNREFUSED",
            "connection refused",
            Refused,
        ),
        Known::new(
            Errno::CONNRESET,
            "ECONNRESET",
            "connection reset by peer",
            Reset,
        ),
        Known::new(
            Errno::TIMEDOUT,
            "ETIMEDOUT",
            "connection timed out",
            Timeout,
        ),
        Known::new(
            Errno::HOSTUNREACH,
            "EHOSTUNREACH",
            "no route to host",
            Unreachable,
        ),
        Known::new(
            Errno::NETUNREACH,
            "ENETUNREACH",
            "network is unreachable",
            Unreachable,
        ),
        Known::new(Errno::HOSTDOWN, "EHOSTDOWN", "host is down", Unreachable),
        Known::new(Errno::NETDOWN, "ENETDOWN", "network is down", Unreachable),
        Known::new(
            Errno::NONET,
            "ENONET",
            "machine is not on the network",
            Unreachable,
        ),
        Known::new(
            Errno::NOPROTOOPT,
            "ENOPROTOOPT",
            "protocol not available",
            Unreachable,
        ),
        Known::new(
            Errno::OPNOTSUPP,
            "EOPNOTSUPP",
            "operation not supported",
            Unreachable,
        ),
        Known::new(Errno::PROTO, "EPROTO", "protocol error", Unreachable),
        Known::new(Errno::PERM, "EPERM", "operation not permitted", Blocked),
        Known::new(Errno::ACCESS, "EACCES", "permission denied", Blocked),
        Known::new(
            Errno::CONNABORTED,
            "ECONNABORTED",
            "connection aborted",
            Aborted,
        ),
        Known::new(
            Errno::ADDRNOTAVAIL,
            "EADDRNOTAVAIL",
            "cannot assign the address",
            Other,
        ),
        Known::new(Errno::PIPE, "EPIPE", "broken pipe", Other),
        Known::new(Errno::MSGSIZE, "EMSGSIZE", "message too long", Other),
        Known::new(Errno::NOMEM, "ENOMEM", "out of memory", Other),
        Known::new(Errno::NOBUFS, "ENOBUFS", "no buffer space available", Other),
        Known::new(Errno::INVAL, "EINVAL", "invalid argument", Other),
    ]
};
