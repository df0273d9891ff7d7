//! The ordered core: kernel records in, documents out.
//!
//! One thread owns it. It reads no clock and runs no task: time comes in with each call, and
//! what it must ask the system for goes through [`Enrich`], so that a test can drive it with
//! recorded bytes.

mod enrich;
mod holders;
mod open;
mod options;
mod respond;
mod shed;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use self::shed::{Fate, Shedder};
pub use self::{
    enrich::{Enrich, Now},
    options::{Emit, Making, Options},
};
use crate::{
    canary::{Sighting, Whose},
    clock::BootTime,
    config,
    flood::{self, Flood, Floods},
    health::{PipelineReport, Report, RuleReport},
    json::Indexed,
    probe::record::{Exec, KernelEvent, Record, SocketKey},
    response::Responder,
    rules::{Engine, Evaluation, Rule},
    session::{
        Fact, Observation, Session,
        kept::{Keeper, Kept},
        tracker::{self, Tracker},
    },
    sink::{Document, Kind},
    state::Change,
};

/// What leaves the pipeline, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// To be delivered.
    Document(Document),
    /// A session of the agent's own has come this far.
    Canary(Sighting),
    /// To be made once the documents before it are delivered.
    State(Change),
}

/// What keeps a restart from saying things twice.
#[derive(Debug)]
pub struct Memories {
    /// What an earlier run of the agent knew of what is open.
    pub kept: Kept,
    /// Tells the next one; absent when nothing is kept.
    pub keeper: Option<Keeper>,
}

/// Sessions, enrichment, rules: everything between the ring buffer and the sinks.
#[derive(Debug)]
pub struct Pipeline<E> {
    tracker: Tracker,
    enrich: E,
    engine: Engine,
    shedder: Shedder,
    options: Options,
    responder: Responder,
    memories: Memories,
    next_look: Option<BootTime>,
    /// Who held the socket of each waiting session at the last look.
    holders: HashMap<SocketKey, u32>,
    /// Reused between calls.
    observations: Vec<Observation>,
}

impl<E: Enrich> Pipeline<E> {
    /// A pipeline that has seen nothing yet.
    pub fn new(enrich: E, engine: Engine, memories: Memories, options: Options) -> Self {
        let mut engine = engine;
        engine.set_reports(options.making.emit.alerts);
        Self {
            tracker: Tracker::new(options.limits),
            enrich,
            engine,
            shedder: Shedder::new(Floods::new(options.making.budget), options.limits.sessions),
            options,
            responder: Responder::default(),
            memories,
            next_look: None,
            holders: HashMap::new(),
            observations: Vec::new(),
        }
    }

    /// Closes sessions for its rules as `policy` lets it.
    #[must_use]
    pub fn responding(self, policy: config::Response) -> Self {
        let responder = Responder::new(policy, respond::asking(self.engine.rules()));
        Self { responder, ..self }
    }

    /// Takes one kernel record; what it leads to is appended to `out`.
    pub fn push(&mut self, record: Record, now: &Now, out: &mut Vec<Output>) {
        match &record.event {
            KernelEvent::Exec(Exec { task, .. }) | KernelEvent::Close(_, task) => {
                self.enrich.learn(task);
            }
            KernelEvent::Fork(fork) => self.enrich.inherit(&fork.child),
            KernelEvent::State(_)
            | KernelEvent::Connect(..)
            | KernelEvent::Listen(..)
            | KernelEvent::Accept(_)
            | KernelEvent::Exit(_)
            | KernelEvent::Protocol(..) => {}
        }
        self.tracker.push(record, &mut self.observations);
        self.flush(now, out);
    }

    /// Does what is due by now: sessions that waited long enough, rule windows that end.
    pub fn tick(&mut self, now: &Now, out: &mut Vec<Output>) {
        self.look_for_holders(now);
        self.check_handlers(now);
        self.tracker.tick(now.boot, &mut self.observations);
        self.flush(now, out);
        for flood in self.shedder.floods.due(now.boot) {
            self.tell_flood(&flood, now, out);
        }
        let evaluation = self.engine.tick(now.wall);
        self.deliver(evaluation, out);
        self.remember(out);
    }

    /// Ends: nothing waits any longer, and the rules say what they held back.
    pub fn finish(&mut self, now: &Now, out: &mut Vec<Output>) {
        let forever = BootTime::from_nanos(u64::MAX);
        self.look_for_holders(now);
        self.tracker.tick(forever, &mut self.observations);
        self.flush(now, out);
        for flood in self.shedder.floods.finish() {
            self.tell_flood(&flood, now, out);
        }
        let evaluation = self.engine.finish(now.wall);
        self.deliver(evaluation, out);
        self.remember(out);
    }

    /// When [`Self::tick`] has something to do next, on the boot-time clock.
    pub fn deadline(&self) -> Option<BootTime> {
        self.tracker
            .deadline()
            .into_iter()
            .chain(self.next_look)
            .chain(self.shedder.floods.deadline())
            .min()
    }

    /// When the rules have something to do next, on the wall clock.
    pub fn next_run(&self) -> Option<Timestamp> {
        self.engine.next_tick()
    }

    /// Runs other rules from now on, and makes other documents. A rule that is the same as before
    /// keeps its windows and its open alerts; one that is gone says its numbers.
    pub fn replace(
        &mut self,
        rules: Vec<Rule>,
        response: config::Response,
        making: Making,
        now: &Now,
        out: &mut Vec<Output>,
    ) {
        self.flush(now, out);
        let evaluation = self.engine.replace(rules, now.wall);
        let asking = respond::asking(self.engine.rules());
        self.responder.replace(response, asking);
        // Before: what a rule that is gone has to say goes where its alerts went.
        self.deliver(evaluation, out);
        self.options.making = making;
        let floods = &mut self.shedder.floods;
        for flood in floods.set_budget(making.budget, now.boot) {
            self.tell_flood(&flood, now, out);
        }
        self.engine.set_reports(making.emit.alerts);
        if let Some(keeper) = &mut self.memories.keeper {
            keeper.set_reports(making.emit.events);
        }
        self.remember(out);
    }

    /// What it holds, and what became of the rules' matches.
    pub fn report(&self) -> PipelineReport {
        PipelineReport {
            open_sessions: self.tracker.sessions().count(),
            open_listeners: self.tracker.listeners().count(),
            counters: self.tracker.counters(),
            response: self.responder.counters(),
            observations: self.shedder.counters,
            floods: self.shedder.floods.ongoing(),
            rules: self
                .engine
                .totals()
                .map(|(rule, numbers)| RuleReport {
                    id: rule.rule_id.clone(),
                    name: rule.name.clone(),
                    numbers,
                })
                .collect(),
        }
    }

    /// The heartbeat that tells `report`.
    pub fn heartbeat(&self, report: &Report, now: &Now) -> Output {
        let envelope = self.enrich.envelope();
        let document = report.document(envelope, now.wall);
        Output::Document(Document::new(Kind::Health, document.to_string()))
    }

    /// What became of all observations.
    pub const fn observations(&self) -> flood::Counters {
        self.shedder.counters
    }

    /// What the session table could not do.
    pub fn counters(&self) -> tracker::Counters {
        self.tracker.counters()
    }

    fn flush(&mut self, now: &Now, out: &mut Vec<Output>) {
        let of_before = self.engine.set_back(now.wall);
        self.deliver(of_before, out);
        // Alerts that waited for a run that has begun by now are about none of these.
        let due = self.engine.tick(now.wall);
        self.deliver(due, out);
        let mut observations = std::mem::take(&mut self.observations);
        for observation in observations.drain(..) {
            self.observe(&observation, now, out);
        }
        self.observations = observations;
        self.remember(out);
        if self.next_look.is_none() {
            self.next_look = self.first_look();
        }
    }

    fn observe(&mut self, observation: &Observation, now: &Now, out: &mut Vec<Output>) {
        let is_attempt = matches!(
            observation,
            Observation::Session {
                fact: Fact::Attempted,
                ..
            }
        );
        if is_attempt && !self.options.making.attempts {
            return;
        }
        let canary = self.options.canary.of(observation);
        if canary == Some(Whose::Other) {
            return;
        }
        if canary == Some(Whose::Own) {
            if self.enrich.event(observation, now).is_some() {
                out.extend(Sighting::of(observation).map(Output::Canary));
            }
            return;
        }
        match self.shedder.judge(observation) {
            Fate::Told => self.tell(observation, now, out),
            Fate::Recalled(opening) => {
                self.tell(&opening, now, out);
                self.tell(observation, now, out);
            }
            Fate::Shed(began) => {
                self.keep_untold(observation);
                if let Some(flood) = began {
                    self.tell_flood(&flood, now, out);
                }
            }
        }
        if let Observation::Session {
            session,
            fact: Fact::Closed(..),
            ..
        } = observation
        {
            self.enrich.release(session);
        }
    }

    fn tell(&mut self, observation: &Observation, now: &Now, out: &mut Vec<Output>) {
        let Some(event) = self.enrich.event(observation, now) else {
            self.shedder.counters.unsaid += 1;
            return;
        };
        self.shedder.counters.told += 1;
        // Even if it was reported before: the rules may be others now, and they remember their alerts.
        let evaluation = self.engine.evaluate(&event, now.wall);
        let responses = self.respond(observation, &evaluation.alerts, now);
        self.hand_over(event, evaluation, observation.was_reported(), out);
        out.extend(responses);
        if let Some(keeper) = &mut self.memories.keeper {
            keeper.note(observation);
        }
    }

    fn tell_flood(&mut self, flood: &Flood, now: &Now, out: &mut Vec<Output>) {
        let event = self.enrich.flood(flood, now);
        let evaluation = self.engine.evaluate(&event, now.wall);
        self.hand_over(event, evaluation, false, out);
    }

    fn hand_over(
        &self,
        event: Indexed,
        evaluation: Evaluation,
        was_reported: bool,
        out: &mut Vec<Output>,
    ) {
        if self.options.making.emit.events && !was_reported {
            let document = Document::new(Kind::Event, event.into_text());
            out.push(Output::Document(document));
        }
        self.deliver(evaluation, out);
    }

    /// The next run is to know when the session was opened, and that nobody was told.
    fn keep_untold(&mut self, observation: &Observation) {
        let Some(keeper) = &mut self.memories.keeper else {
            return;
        };
        let Observation::Session { session, fact, .. } = observation else {
            return;
        };
        match fact {
            Fact::Accepted | Fact::Established => keeper.note_untold(session),
            Fact::Closed(..) | Fact::Identified => keeper.note(observation),
            Fact::Attempted
            | Fact::Failed(_)
            | Fact::Bypassed
            | Fact::LoggedIn
            | Fact::LoginFailed => {}
        }
    }

    /// Keeps what the documents so far have told, for the next run.
    fn remember(&mut self, out: &mut Vec<Output>) {
        let open = self.memories.keeper.as_mut().and_then(|keeper| {
            let is_untold = |session: &Session| self.shedder.is_shed(session);
            keeper.take_change(&self.tracker, is_untold)
        });
        let alerted = self.engine.take_change();
        out.extend(open.into_iter().chain(alerted).map(Output::State));
    }

    fn deliver(&self, evaluation: Evaluation, out: &mut Vec<Output>) {
        let Evaluation {
            alerts,
            updates,
            summaries,
        } = evaluation;
        if self.options.making.emit.alerts {
            let alerts = alerts.into_iter().map(Document::alert);
            let updates = updates
                .into_iter()
                .map(|update| Document::new(Kind::Update, update.text));
            let summaries = summaries.into_iter().map(|mut summary| {
                // Many hosts write to the same data stream.
                if let Value::Object(fields) = &mut summary {
                    fields.extend(self.enrich.envelope());
                }
                Document::new(Kind::Summary, summary.to_string())
            });
            let documents = alerts.chain(updates).chain(summaries);
            out.extend(documents.map(Output::Document));
        }
    }
}

#[cfg(test)]
mod tests;
