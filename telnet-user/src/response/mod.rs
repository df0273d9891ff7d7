//! Closing a session because a rule asks for it; only when the configuration lets it.
//!
//! What is closed is one connection's socket, never a process and never a listening socket: the
//! server goes on, and so do its other sessions. [`Responder`] decides, without doing anything, and
//! each [`Decision`] is told, whether or not something was done.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use crate::{
    clock::BootTime,
    config::{self, ResponseMode},
    kql::pushdown::Wanted,
    probe::filter::Direction,
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

/// One decision, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// `rule_id` of the rule that asked.
    pub rule_id: String,
    /// Its name.
    pub rule_name: String,
    /// `kibana.alert.uuid` of the alert on which it asked.
    pub alert_id: String,
    /// What was decided.
    pub decision: Decision,
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

/// A rule that runs, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Its `rule_id`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it asks by itself for the sessions it alerts on to be closed.
    pub asks: bool,
    /// What its query can be about.
    pub wanted: Wanted,
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
    policy: config::Response,
    /// By `rule_id`.
    asking: HashMap<String, Asking>,
    /// When sessions were closed, or would have been, within the last minute.
    recent: VecDeque<BootTime>,
    counters: Counters,
}

impl Responder {
    /// A responder that has closed nothing yet. The default one never will.
    pub fn new(policy: config::Response, rules: impl Iterator<Item = Asking>) -> Self {
        let mut responder = Self::default();
        responder.replace(policy, rules);
        responder
    }

    /// Goes on with another policy and other rules. What was closed counts on.
    pub fn replace(&mut self, policy: config::Response, rules: impl Iterator<Item = Asking>) {
        self.asking.clear();
        if policy.mode != ResponseMode::Off {
            let asking = rules.filter(|rule| rule.asks || policy.rules.contains(&rule.id));
            self.asking
                .extend(asking.map(|rule| (rule.id.clone(), rule)));
        }
        self.policy = policy;
    }

    /// What is to become of the open `session`, on which the rule `rule_id` has alerted, and the
    /// rule's name; none when the rule asks for nothing.
    pub fn judge(
        &mut self,
        rule_id: &str,
        session: &Session,
        now: BootTime,
    ) -> Option<(Verdict, String)> {
        let asking = self.asking.get(rule_id)?;
        let name = asking.name.clone();
        let refusal = if !asking.is_about(session) {
            Some(Refusal::OutsidePorts)
        } else if self.is_allowed(session.remote.ip().to_canonical()) {
            Some(Refusal::PeerAllowed)
        } else if !self.has_room(now) {
            Some(Refusal::TooMany)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.counters.refused += 1;
            return Some((Verdict::Refuse(refusal), name));
        }
        self.recent.push_back(now);
        if self.policy.mode == ResponseMode::Enforce {
            return Some((Verdict::Close, name));
        }
        self.counters.dry_run += 1;
        Some((Verdict::DryRun, name))
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
