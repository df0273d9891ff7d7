//! What the pipeline must ask the system for.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    clock::{BootTime, ClockPair},
    flood::Flood,
    json::Indexed,
    probe::record::Task,
    response::{Outcome, Response},
    session::{Check, Listing, Observation, Owner, Seen, Session},
};

/// Facts about processes, users and the host, and how they become an ECS event.
pub trait Enrich {
    /// The event for one observation, which rules get `now` (`event.ingested`): what their windows
    /// are cut on. None when it turns out that there is nothing to say.
    fn event(&mut self, observation: &Observation, now: &Now) -> Option<Indexed>;

    /// The event that sums up a flood, which rules get `now`.
    fn flood(&mut self, flood: &Flood, now: &Now) -> Indexed;

    /// For each session, the process that holds its socket, as far as userspace can tell; none when
    /// such looks took too much time of late.
    fn find_owners(&mut self, sessions: &[Session]) -> Option<Vec<Option<Owner>>>;

    /// What is open on monitored ports now: sessions that are new, and all listening sockets.
    fn found(
        &mut self,
        is_monitored: &dyn Fn(u16) -> bool,
        is_new: &mut dyn FnMut(&Seen) -> bool,
    ) -> Listing;

    /// For each session, whether its socket is certainly gone.
    fn gone(&mut self, sessions: &[Session]) -> Vec<bool>;

    /// Closes the session's socket, whoever holds it.
    fn close(&mut self, session: &Session) -> Outcome;

    /// The event of a decision on the session at `now`.
    fn response(&mut self, session: &Session, response: &Response, now: &Now) -> Indexed;

    /// Reads what only the running process tells, before it is asked for: the process may be gone
    /// by then.
    fn learn(&mut self, task: &Task);

    /// Lets go of what was kept open for a session that is over.
    fn release(&mut self, session: &Session);

    /// Takes in that a process made this child, which until exec is what its parent is.
    fn inherit(&mut self, child: &Task);

    /// Each of `checks`, and which of its candidates hold the socket. None as with
    /// [`Self::find_owners`], and then nobody makes the checks either.
    fn holders(&mut self, checks: &dyn Fn() -> Vec<Check>) -> Option<Vec<(Check, Vec<u32>)>>;

    /// What is the same in all documents of this host: `host.*`, `agent.*` and `ecs.*`.
    fn envelope(&self) -> Map<String, Value>;
}

/// The moment at which something is done, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Boot-time clock.
    pub boot: BootTime,
    /// Wall clock.
    pub wall: Timestamp,
}

impl Now {
    /// Both clocks now.
    pub fn read() -> Self {
        Self {
            boot: BootTime::now(),
            wall: Timestamp::now(),
        }
    }

    /// Turns kernel times near this moment into wall time.
    pub const fn clocks(&self) -> ClockPair {
        ClockPair::new(self.boot, self.wall)
    }
}
