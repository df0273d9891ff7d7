//! Which observations are told, when a source makes very many connections.
//!
//! What is shed is that a connection was made, failed or ended, and that the server asked for a
//! login in it. Never shed is what somebody did who came in: then the session is told after all,
//! from its opening on. Otherwise a flood could hide a login.

use crate::{
    clock::BootTime,
    flood::{Answer, Counters, Flood, Floods, Outcome, Reason},
    probe::record::SocketKey,
    session::{
        Direction, Fact, Observation, Program, Session, activity::Progress, is_login, table::Table,
    },
};

/// Decides on each observation.
#[derive(Debug)]
pub(super) struct Shedder {
    pub(super) floods: Floods,
    pub(super) counters: Counters,
    /// The sessions whose opening was shed, and by whose budget.
    sessions: Table<SocketKey, Reason>,
}

/// What becomes of an observation.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is told.
    Told,
    /// It is told, and before it this, which was shed.
    Recalled(Box<Observation>),
    /// It is not told; a flood may have begun with that.
    Shed(Option<Box<Flood>>),
}

impl Shedder {
    /// Remembers at most `capacity` sessions.
    pub(super) fn new(floods: Floods, capacity: usize) -> Self {
        Self {
            floods,
            counters: Counters::default(),
            sessions: Table::new(capacity),
        }
    }

    /// Whether the opening of a session was shed.
    pub(super) fn is_shed(&self, session: &Session) -> bool {
        self.sessions.get(&session.key).is_some()
    }

    /// What becomes of `observation`.
    pub(super) fn judge(&mut self, observation: &Observation) -> Fate {
        self.counters.observed += 1;
        match observation {
            Observation::Session {
                session,
                fact,
                time,
            } => self.session(session, fact, *time),
            Observation::Program {
                session,
                program,
                time,
            } => self.program(session, program, *time),
            Observation::ListenerOpened { .. } | Observation::ListenerClosed { .. } => Fate::Told,
        }
    }

    fn session(&mut self, session: &Session, fact: &Fact, time: BootTime) -> Fate {
        match fact {
            Fact::Accepted | Fact::Established => self.opened(session, time),
            Fact::Attempted => self.connection(session, Outcome::Unknown, time).1,
            Fact::Failed(_) => self.connection(session, Outcome::Failure, time).1,
            Fact::Bypassed | Fact::LoggedIn => self.recall(session, time),
            Fact::LoginFailed => match self.sessions.get(&session.key).copied() {
                Some(reason) => {
                    self.floods.note_failed_login(session, reason);
                    self.shed(reason)
                }
                None => Fate::Told,
            },
            // A flood of telnet sessions speaks telnet.
            Fact::Identified => match self.sessions.get(&session.key).copied() {
                Some(reason) => self.shed(reason),
                None => Fate::Told,
            },
            Fact::Closed(..) => match self.sessions.get(&session.key).copied() {
                Some(reason) => {
                    // Otherwise its processes are still to come.
                    if session.activity.survivors.is_empty() {
                        self.sessions.remove(&session.key);
                    }
                    self.shed(reason)
                }
                None => Fate::Told,
            },
        }
    }

    /// A session that was found open is told: it is in a list, which is as long as it is.
    fn opened(&mut self, session: &Session, time: BootTime) -> Fate {
        // Of another socket at the same address, on a kernel without cookies.
        if self.is_shed(session) {
            self.sessions.remove(&session.key);
        }
        if session.preexisting || session.reported {
            return Fate::Told;
        }
        let (reason, fate) = self.connection(session, Outcome::Success, time);
        if let Some(reason) = reason {
            self.sessions.insert(session.key, reason);
        }
        fate
    }

    fn connection(
        &mut self,
        session: &Session,
        outcome: Outcome,
        time: BootTime,
    ) -> (Option<Reason>, Fate) {
        match self.floods.take(session, outcome, time) {
            Answer::Told => (None, Fate::Told),
            Answer::Shed(reason, began) => {
                self.count(reason);
                (Some(reason), Fate::Shed(began))
            }
        }
    }

    /// Every telnet server runs login(1) for whoever connects.
    fn program(&mut self, session: &Session, program: &Program, time: BootTime) -> Fate {
        let login = &session.activity.login;
        let is_asking = login.progress != Progress::Succeeded && login.verdict.is_none();
        match self.sessions.get(&session.key).copied() {
            Some(reason) if is_asking && is_login(&program.task) => self.shed(reason),
            Some(_) => self.recall(session, time),
            None => Fate::Told,
        }
    }

    fn recall(&mut self, session: &Session, time: BootTime) -> Fate {
        if self.sessions.remove(&session.key).is_none() {
            return Fate::Told;
        }
        self.counters.recalled += 1;
        let fact = match session.direction {
            Direction::Ingress => Fact::Accepted,
            Direction::Egress => Fact::Established,
        };
        Fate::Recalled(Box::new(Observation::Session {
            session: Box::new(session.clone()),
            fact,
            time: session.opened.unwrap_or(time),
        }))
    }

    fn shed(&mut self, reason: Reason) -> Fate {
        self.count(reason);
        Fate::Shed(None)
    }

    const fn count(&mut self, reason: Reason) {
        match reason {
            Reason::Source => self.counters.shed_source += 1,
            Reason::Shared => self.counters.shed_shared += 1,
        }
    }
}

#[cfg(test)]
mod tests;
