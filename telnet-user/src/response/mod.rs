//! Closing a session because a rule asks for it; only when the configuration lets it.
//!
//! What is closed is one connection's socket, never a process and never a listening socket: the
//! server goes on, and so do its other sessions. [`Responder`] decides, without doing anything;
//! [`audit`] says what was decided and what came of it, whether or not something was done.

pub mod audit;

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use crate::{
    clock::BootTime,
    config::{Response, ResponseMode},
    kql::pushdown::Wanted,
    probe::filter::Direction,
    rules::{ResponseAction, Rule},
    session::Session,
};

/// The time in which `max_per_minute` counts.
const MINUTE: Duration = Duration::from_mins(1);

/// What is to become of a session that a rule wants closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Close it.
    Close,
    /// It would be closed, were this no dry run.
    DryRun,
    /// Leave it.
    Refuse(Refusal),
}

/// Why a session is left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its peer is on the list of those that are never closed.
    PeerAllowed,
    /// The rule does not limit itself to ports, this one among them: it could be about anything.
    OutsidePorts,
    /// So many were closed within the last minute that something else may be wrong.
    TooMany,
}

impl Refusal {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PeerAllowed => "the peer is on the list of those that are never closed",
            Self::OutsidePorts => "the query of the rule does not require the port of this session",
            Self::TooMany => "as many sessions as allowed were closed within a minute",
        }
    }
}

/// What came of closing a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is closed, and the peer got a reset.
    Closed,
    /// It was gone before.
    Gone,
    /// The kernel did not do it, for this reason.
    Failed(String),
}

/// What was decided on a session, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It was to be closed, and this came of it.
    Close(Outcome),
    /// It would have been closed, were this no dry run.
    DryRun,
    /// It was left open.
    Refuse(Refusal),
}

/// How often what became of a session that a rule wanted closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Closed.
    pub closed: u64,
    /// Gone before it could be closed.
    pub gone: u64,
    /// Not closed by the kernel.
    pub failed: u64,
    /// Would have been closed.
    pub dry_run: u64,
    /// Left open.
    pub refused: u64,
}

/// A rule that asks for sessions to be closed.
#[derive(Clone, Debug)]
struct Asking {
    /// What its query can be about.
    wanted: Wanted,
}

impl Asking {
    /// Whether its query requires one of some ports of the server, and `session` has one of them.
    fn is_about(&self, session: &Session) -> bool {
        let (flows, port) = match session.direction {
            Direction::Ingress => (self.wanted.ingress(), session.local.port()),
            Direction::Egress => (self.wanted.egress(), session.remote.port()),
        };
        flows.iter().any(|flow| {
            let server = match session.direction {
                Direction::Ingress => &flow.local,
                Direction::Egress => &flow.remote,
            };
            !server.ports.is_all() && server.ports.contains(port)
        })
    }
}

/// Decides which sessions are closed.
#[derive(Clone, Debug, Default)]
pub struct Responder {
    policy: Response,
    /// By `rule_id`.
    asking: HashMap<String, Asking>,
    /// When sessions were closed, or would have been, within the last minute.
    recent: VecDeque<BootTime>,
    counters: Counters,
}

impl Responder {
    /// A responder that has closed nothing yet. The default one never will.
    pub fn new(policy: Response, rules: &[Rule]) -> Self {
        let mut responder = Self::default();
        responder.replace(policy, rules);
        responder
    }

    /// Goes on with another policy and other rules. What was closed counts on.
    pub fn replace(&mut self, policy: Response, rules: &[Rule]) {
        let asks = |rule: &&Rule| {
            rule.enabled
                && (rule.response == Some(ResponseAction::CloseSession)
                    || policy.rules.contains(&rule.rule_id))
        };
        let asking = |rule: &Rule| {
            let wanted = rule.wanted();
            (rule.rule_id.clone(), Asking { wanted })
        };
        self.asking = if policy.mode == ResponseMode::Off {
            HashMap::new()
        } else {
            rules.iter().filter(asks).map(asking).collect()
        };
        self.policy = policy;
    }

    /// What is to become of the open `session`, on which the rule `rule_id` has alerted; none when
    /// the rule asks for nothing.
    pub fn judge(&mut self, rule_id: &str, session: &Session, now: BootTime) -> Option<Verdict> {
        let asking = self.asking.get(rule_id)?;
        let peer = session.remote.ip().to_canonical();
        let verdict = if !asking.is_about(session) {
            Verdict::Refuse(Refusal::OutsidePorts)
        } else if self.is_allowed(peer) {
            Verdict::Refuse(Refusal::PeerAllowed)
        } else if !self.has_room(now) {
            Verdict::Refuse(Refusal::TooMany)
        } else {
            self.recent.push_back(now);
            match self.policy.mode {
                ResponseMode::Off => return None,
                ResponseMode::DryRun => Verdict::DryRun,
                ResponseMode::Enforce => Verdict::Close,
            }
        };
        match verdict {
            Verdict::Close => {}
            Verdict::DryRun => self.counters.dry_run += 1,
            Verdict::Refuse(_) => self.counters.refused += 1,
        }
        Some(verdict)
    }

    /// Takes in what came of [`Verdict::Close`].
    pub const fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Closed => self.counters.closed += 1,
            Outcome::Gone => self.counters.gone += 1,
            Outcome::Failed(_) => self.counters.failed += 1,
        }
    }

    /// How often what was decided and done.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn is_allowed(&self, peer: IpAddr) -> bool {
        self.policy.allow.iter().any(|net| net.contains(&peer))
    }

    /// Whether fewer were closed in the last minute than may be. The times kept are never more.
    fn has_room(&mut self, now: BootTime) -> bool {
        while self
            .recent
            .front()
            .is_some_and(|time| now.since(*time) >= MINUTE)
        {
            self.recent.pop_front();
        }
        u64::try_from(self.recent.len())
            .is_ok_and(|count| count < u64::from(self.policy.max_per_minute))
    }
}

#[cfg(test)]
mod tests;
