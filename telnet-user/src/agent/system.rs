//! The running system behind the pipeline: processes, users, the host, and how they become events.

use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::pace::Pace;
use crate::{
    clock::BootTime,
    ecs::{AgentInfo, Builder},
    enrich::{
        Enricher, Roots,
        facts::{Facts, Host},
    },
    flood::Flood,
    json::Indexed,
    pipeline::{Enrich, Now},
    probe::record::Task,
    response::{Outcome, Response},
    session::{Check, Listing, Observation, Owner, Seen, Session, Traffic},
};

/// Name of the agent in documents (`agent.type`).
pub const NAME: &str = "telnet-monitor";

/// Host name and addresses change now and then. Read again with the next event after this long: a
/// host without events needs none.
const REFRESH_EVERY: Duration = Duration::from_mins(1);

/// Namespace of the agent's ids: any UUID that nothing else uses.
const AGENT_NAMESPACE: Uuid = Uuid::from_u128(0x7d1d_5f0e_4a53_4c36_9f5e_23a1_6c1f_0b17);

/// Enrichment from `/proc`, netlink and the system's databases.
#[derive(Debug)]
pub struct System {
    enricher: Enricher,
    builder: Builder,
    /// When the host's facts are to be read again.
    refresh: BootTime,
    /// Of looks at who holds sockets.
    looks: Pace,
}

impl System {
    /// Reads the host's facts.
    pub fn new() -> Self {
        let enricher = Enricher::new(Roots::default());
        let agent = AgentInfo {
            name: NAME.to_owned(),
            id: agent_id(enricher.host()).to_string(),
            ephemeral_id: Uuid::new_v4().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Self {
            enricher,
            builder: Builder::new(agent),
            refresh: BootTime::now().plus(REFRESH_EVERY),
            looks: Pace::new(),
        }
    }

    /// What finds out about sockets and processes.
    pub const fn enricher(&mut self) -> &mut Enricher {
        &mut self.enricher
    }

    fn refresh(&mut self, now: &Now) {
        if now.boot >= self.refresh {
            self.enricher.refresh_host();
            self.refresh = now.boot.plus(REFRESH_EVERY);
        }
    }

    /// The event of a session or listener that is open at `now`, with what went over it so far.
    pub fn open_event(
        &self,
        observation: &Observation,
        traffic: Option<Traffic>,
        facts: &Facts,
        now: &Now,
    ) -> Indexed {
        self.builder
            .open_event(observation, traffic, facts, &now.clocks(), now.wall)
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

/// The same on this host after every restart, without a file to keep it in; random on a host
/// without a machine id.
fn agent_id(host: &Host) -> Uuid {
    host.id.as_ref().map_or_else(Uuid::new_v4, |machine| {
        Uuid::new_v5(&AGENT_NAMESPACE, machine.as_bytes())
    })
}

impl Enrich for System {
    fn event(&mut self, observation: &Observation, now: &Now) -> Option<Indexed> {
        self.refresh(now);
        let facts = self.enricher.facts(observation);
        let event = || {
            self.builder
                .event(observation, &facts, &now.clocks(), now.wall)
        };
        facts.tell_of(observation).then(event)
    }

    fn flood(&mut self, flood: &Flood, now: &Now) -> Indexed {
        self.refresh(now);
        let facts = self.enricher.facts_of(&flood.owners);
        self.builder.flood(flood, &facts, &now.clocks(), now.wall)
    }

    fn find_owners(&mut self, sessions: &[Session]) -> Option<Vec<Option<Owner>>> {
        self.looks.run(|| self.enricher.find_owners(sessions))
    }

    fn found(
        &mut self,
        is_monitored: &dyn Fn(u16) -> bool,
        is_new: &mut dyn FnMut(&Seen) -> bool,
    ) -> Listing {
        self.enricher.found(is_monitored, is_new)
    }

    fn gone(&mut self, sessions: &[Session]) -> Vec<bool> {
        self.enricher.gone(sessions)
    }

    fn close(&mut self, session: &Session) -> Outcome {
        match self.enricher.close(session) {
            Ok(true) => Outcome::Closed,
            Ok(false) => Outcome::Gone,
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    fn response(&mut self, session: &Session, response: &Response, now: &Now) -> Indexed {
        let facts = self.enricher.facts_of(&session.owners);
        let (about, clocks) = ((session, now.boot), now.clocks());
        self.builder
            .response(about, response, &facts, &clocks, now.wall)
    }

    fn release(&mut self, session: &Session) {
        self.enricher.forget_login(session);
    }

    fn learn(&mut self, task: &Task) {
        self.enricher.learn(task);
    }

    fn inherit(&mut self, child: &Task) {
        self.enricher.inherit(child);
    }

    fn holders(&mut self, checks: &dyn Fn() -> Vec<Check>) -> Option<Vec<(Check, Vec<u32>)>> {
        self.looks.run(|| {
            let checks = checks();
            let holders = self.enricher.holders(&checks);
            checks.into_iter().zip(holders).collect()
        })
    }

    fn envelope(&self) -> Map<String, Value> {
        self.builder.envelope(self.enricher.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_the_same_after_a_restart() {
        let host = |id: Option<&str>| Host {
            id: id.map(str::to_owned),
            ..Host::default()
        };
        let machine = host(Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(agent_id(&machine), agent_id(&machine));
        assert_ne!(agent_id(&machine), agent_id(&host(Some("other"))));
        assert_ne!(agent_id(&host(None)), agent_id(&host(None)));
    }
}
