//! The detection engine: Elastic's schedule, look-back and cap over a stream.

mod groups;
mod lineage;
mod maker;
mod matches;
mod memory;
mod numbers;
mod queue;
mod room;
mod schedule;
mod shared;
mod stored;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod windows;

use jiff::Timestamp;
use serde_json::Value;

pub use self::memory::{Memory, Retention};
pub use self::numbers::Numbers;
pub use self::schedule::Schedule;
use self::shared::Common;
pub use self::shared::Outbox;
use self::stream::Stream;
pub(crate) use self::time::is_date;
pub use self::time::recorded_at;
use super::rule::Rule;
use crate::alert::{Alert, Origin, Settings};
use crate::json::Node;
use crate::kql::Index;
use crate::state::Change;

/// Bounds of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most alerts of a run whatever a rule asks for, as Kibana's
    /// `xpack.alerting.rules.run.alerts.max`.
    pub alerts_max: usize,
    /// Most events of a rule that wait for a later run.
    pub deferred_max: usize,
    /// Most bytes of events that wait, of all rules together, and again as many of events whose
    /// alerts are open for others (alert suppression).
    pub kept_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            alerts_max: 1_000,
            deferred_max: 10_000,
            kept_bytes: 8 << 20,
        }
    }
}

/// What a call of the engine gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// New alerts.
    pub alerts: Vec<Alert>,
    /// Earlier alerts that took in further events (alert suppression), whole and
    /// under the same `kibana.alert.uuid`.
    pub updates: Vec<Alert>,
    /// Numbers of windows in which the cap was reached, and at the end of all.
    pub summaries: Vec<Value>,
}

impl Outbox for Evaluation {
    fn alert(&mut self, alert: Alert) {
        self.alerts.push(alert);
    }

    fn update(&mut self, alert: Alert) {
        self.updates.push(alert);
    }

    fn summary(&mut self, document: Value) {
        self.summaries.push(document);
    }
}

/// Runs rules over a stream of events.
///
/// Alerts come at once. That they are the alerts of the scheduled runs is the
/// work of the windows: the first `max_signals` matches of a window alert, further
/// ones wait for the next window as long as its look-back reaches them.
///
/// The clock is the caller's. [`evaluate`](Self::evaluate) and
/// [`tick`](Self::tick) take the time, which never runs backwards: an earlier
/// time than before counts as the latest one, unless [`set_back`](Self::set_back)
/// comes first.
#[derive(Debug)]
pub struct Engine {
    streams: Vec<Stream>,
    common: Common,
    limits: Limits,
    now: Timestamp,
    /// The streams that an event can concern.
    index: Index,
    /// Reused between calls.
    candidates: Vec<usize>,
    /// First instant at which a window ends.
    boundary: i64,
}

impl Engine {
    /// An engine for the enabled ones of `rules`, with run 0 of each at `start`.
    pub fn new(rules: Vec<Rule>, start: Timestamp, settings: Settings) -> Self {
        Self::with(
            rules,
            start,
            settings,
            Memory::volatile(Retention::default()),
            Limits::default(),
        )
    }

    /// An engine with a memory of alerts made before, and other limits.
    pub fn with(
        rules: Vec<Rule>,
        start: Timestamp,
        settings: Settings,
        memory: Memory,
        limits: Limits,
    ) -> Self {
        let enabled = rules.into_iter().filter(|rule| rule.enabled);
        let streams: Vec<Stream> = enabled
            .map(|rule| Stream::new(rule, start, &limits, &settings))
            .collect();
        let mut engine = Self {
            streams,
            common: Common::new(settings, memory, &limits),
            limits,
            now: start,
            index: Index::default(),
            candidates: Vec::new(),
            boundary: i64::MIN,
        };
        engine.set_up();
        engine
    }

    /// Replaces the rules at `now`. A rule that is the same as before keeps its
    /// windows, what waits and its open alerts; a rule that is gone or changed ends
    /// as in [`finish`](Self::finish), a new one starts with run 0 at `now`.
    pub fn replace(&mut self, rules: Vec<Rule>, now: Timestamp) -> Evaluation {
        let mut out = self.tick(now);
        let mut old = std::mem::take(&mut self.streams);
        for rule in rules.into_iter().filter(|rule| rule.enabled) {
            let kept = old.iter_mut().position(|stream| stream.adopt(&rule));
            self.streams.push(match kept {
                Some(index) => old.swap_remove(index),
                None => Stream::new(rule, self.now, &self.limits, &self.common.settings),
            });
        }
        let mut shared = self.common.share(&mut out);
        for mut stream in old {
            stream.finish(self.now, &mut shared);
        }
        self.set_up();
        out
    }

    /// From now on somebody gets the alerts, or nobody does. What nobody was told is not remembered: an
    /// alert on it is still to be made once somebody is.
    pub const fn set_reports(&mut self, reports: bool) {
        self.common.memory.set_reports(reports);
    }

    /// Brings up to date what is derived from the streams.
    fn set_up(&mut self) {
        self.index = Index::new(self.streams.iter().map(|stream| &stream.rule().predicate));
        self.boundary = self.next_boundary();
    }

    fn next_boundary(&self) -> i64 {
        let boundaries = self.streams.iter().map(Stream::next_boundary);
        boundaries.min().unwrap_or(i64::MAX)
    }

    /// The rules that run.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.streams.iter().map(Stream::rule)
    }

    /// What became of the matches of each rule so far.
    pub fn totals(&self) -> impl Iterator<Item = (&Rule, Numbers)> {
        self.streams
            .iter()
            .map(|stream| (stream.rule(), stream.totals()))
    }

    /// When [`tick`](Self::tick) has something to do next, without events.
    pub fn next_tick(&self) -> Option<Timestamp> {
        (!self.streams.is_empty()).then(|| windows::timestamp(self.boundary))
    }

    /// Evaluates every rule on `event`, stored where its fields say.
    pub fn evaluate<'e>(&mut self, event: impl Into<Node<'e>>, now: Timestamp) -> Evaluation {
        let mut out = Evaluation::default();
        self.evaluate_at(event, None, now, &mut out);
        out
    }

    /// Evaluates every rule on `event`, stored at `origin`.
    pub fn evaluate_at<'e>(
        &mut self,
        event: impl Into<Node<'e>>,
        origin: Option<Origin>,
        now: Timestamp,
        out: &mut dyn Outbox,
    ) {
        self.tick_to(now, out);
        let (event, mut origin) = (event.into(), origin);
        self.index.candidates(event, &mut self.candidates);
        let mut shared = self.common.share(out);
        for index in &self.candidates {
            if let Some(stream) = self.streams.get_mut(*index) {
                stream.offer(event, &mut origin, self.now, &mut shared);
            }
        }
    }

    /// Moves the clock: closes windows, alerts on what waited for the next one.
    pub fn tick(&mut self, now: Timestamp) -> Evaluation {
        let mut out = Evaluation::default();
        self.tick_to(now, &mut out);
        out
    }

    /// [`tick`](Self::tick), alert by alert.
    pub fn tick_to(&mut self, now: Timestamp, out: &mut dyn Outbox) {
        self.now = self.now.max(now);
        let millis = self.now.as_millisecond();
        if millis >= self.boundary {
            let mut shared = self.common.share(out);
            for stream in &mut self.streams {
                stream.advance(self.now, &mut shared);
            }
            self.boundary = self.next_boundary();
        }
        self.common.memory.expire(millis);
    }

    /// Takes in that the clock was set back, if it was. Each rule goes on with the run that `now` is
    /// in, and what waited for later ones alerts at once: otherwise no run would search what happens
    /// until the clock is where it was.
    pub fn set_back(&mut self, now: Timestamp) -> Evaluation {
        let mut out = Evaluation::default();
        if now < self.now {
            self.now = now;
            let mut shared = self.common.share(&mut out);
            for stream in &mut self.streams {
                stream.set_back(now, &mut shared);
            }
            self.boundary = self.next_boundary();
        }
        out
    }

    /// Ends the stream: the runs still to come alert on what waits, at once, and
    /// every rule gives its total numbers.
    pub fn finish(&mut self, now: Timestamp) -> Evaluation {
        let mut out = Evaluation::default();
        self.finish_to(now, &mut out);
        out
    }

    /// [`finish`](Self::finish), alert by alert.
    pub fn finish_to(&mut self, now: Timestamp, out: &mut dyn Outbox) {
        self.tick_to(now, out);
        let mut shared = self.common.share(out);
        for stream in &mut self.streams {
            stream.finish(self.now, &mut shared);
        }
        self.boundary = self.next_boundary();
    }

    /// How the file of the memory changes with the alerts made since the last time. To be
    /// written once they are where they are safe.
    pub fn take_change(&mut self) -> Option<Change> {
        self.common.memory.take_change()
    }
}
