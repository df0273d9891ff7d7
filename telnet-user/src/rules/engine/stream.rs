//! One rule over a stream of events: alerts at once, as many as its runs would.

use std::collections::HashSet;

use jiff::Timestamp;

use super::Limits;
use super::groups::{Group, Groups};
use super::maker::{Found, Members, Run, descends_from};
use super::numbers::{Numbers, Scope, summary};
use super::queue::{Deferral, Queue, Slot};
use super::shared::Shared;
use super::time::EventTime;
use super::windows::{Windows, timestamp};
use crate::alert::{AlertId, Origin, Settings, Template};
use crate::json::Node;
use crate::rules::rule::Rule;

/// The state of one rule.
#[derive(Debug)]
pub(crate) struct Stream {
    rule: Rule,
    template: Template,
    windows: Windows,
    /// Most alerts of one run.
    budget: usize,
    /// Window the clock is in.
    current: i64,
    /// Budget used in the current window.
    used: usize,
    /// Groups that have their share of the current budget.
    slotted: HashSet<String>,
    queue: Queue,
    groups: Groups,
    numbers: Numbers,
    totals: Numbers,
}

impl Stream {
    /// `rule` with run 0 at `start`.
    pub(crate) fn new(rule: Rule, start: Timestamp, limits: &Limits, settings: &Settings) -> Self {
        let windows = Windows::of(&rule, start);
        Self {
            template: Template::new(&rule, settings),
            windows,
            budget: rule.max_signals.min(limits.alerts_max).max(1),
            current: windows.index_of(start.as_millisecond()),
            used: 0,
            slotted: HashSet::new(),
            queue: Queue::new(limits.deferred_max),
            groups: Groups::default(),
            numbers: Numbers::default(),
            totals: Numbers::default(),
            rule,
        }
    }

    /// The rule.
    pub(crate) fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Takes `rule`, a new reading of the same rule, without losing any state.
    /// `false` when it is another rule or has changed.
    pub(crate) fn adopt(&mut self, rule: &Rule) -> bool {
        let same = self.rule.uuid == rule.uuid && self.rule.raw == rule.raw;
        if same {
            self.rule = rule.clone();
        }
        same
    }

    /// Counts since the start, the current window included.
    pub(crate) fn totals(&self) -> Numbers {
        let mut totals = self.totals;
        let deferred_out = self.queue.events();
        totals.add(&Numbers {
            deferred_out,
            ..self.numbers
        });
        totals
    }

    /// First instant of the next window.
    pub(crate) fn next_boundary(&self) -> i64 {
        self.windows.opens(self.current.saturating_add(1))
    }

    /// Evaluates one event. The clock must have been advanced to `now`.
    pub(crate) fn offer(
        &mut self,
        event: Node<'_>,
        origin: &mut Option<Origin>,
        now: Timestamp,
        shared: &mut Shared<'_>,
    ) {
        if !self.rule.matches(event, now) || descends_from(event, &self.rule) {
            return;
        }
        let time = EventTime::of(event, &self.rule);
        let searched = |time: &EventTime| time.searched >= self.windows.oldest(self.current);
        let Some(time) = time.filter(searched) else {
            self.numbers.unsearched += 1;
            return;
        };
        self.numbers.matched += 1;
        if self.rule.exceptions.covering(event, now).is_some() {
            self.numbers.excepted += 1;
            return;
        }
        let origin = origin.get_or_insert_with(|| Origin::of(event));
        let id = AlertId::of(origin, &shared.settings.space, &self.rule.uuid);
        if shared.memory.contains(id) || self.queue.contains(id) {
            self.numbers.duplicates += 1;
            return;
        }
        let group = Group::of(event, self.rule.suppression.as_ref());
        self.hit(
            Found {
                event,
                time,
                id,
                origin,
                group,
            },
            now,
            shared,
        );
    }

    fn hit(&mut self, found: Found<'_>, now: Timestamp, shared: &mut Shared<'_>) {
        let joins = found
            .group
            .as_ref()
            .is_some_and(|group| self.slotted.contains(&group.key));
        if joins || self.used < self.budget {
            self.spend(found, Members::default(), now, shared);
            return;
        }
        let (windows, room) = (&self.windows, &mut *shared.waiting);
        let deferral = self
            .queue
            .defer(found, self.current, windows, self.budget, room);
        match deferral {
            Deferral::Deferred => {}
            Deferral::Dropped => self.numbers.dropped += 1,
            Deferral::Overflowed => {
                self.numbers.dropped += 1;
                self.numbers.overflowed += 1;
            }
        }
    }

    /// Handles `hit` out of the budget of the current window.
    fn spend(&mut self, hit: Found<'_>, members: Members, now: Timestamp, shared: &mut Shared<'_>) {
        let known = match &hit.group {
            Some(group) => !self.slotted.insert(group.key.clone()),
            None => false,
        };
        if !known {
            self.used += 1;
        }
        let run = Run {
            rule: &self.rule,
            template: &self.template,
            windows: &self.windows,
            index: self.current,
            now,
            settings: shared.settings,
        };
        let outcome = run.handle(hit, members, &mut self.groups, shared);
        self.numbers.alerted += outcome.alerted;
        self.numbers.suppressed += outcome.suppressed;
        self.numbers.evicted += outcome.evicted;
    }

    /// Moves the clock to `now`, closing windows on the way.
    pub(crate) fn advance(&mut self, now: Timestamp, shared: &mut Shared<'_>) {
        let target = self.windows.index_of(now.as_millisecond());
        while self.current < target {
            let next = if self.queue.is_empty() {
                target
            } else {
                self.current.saturating_add(1)
            };
            self.close(next, now, shared);
        }
    }

    /// Closes the current window and opens window `next`.
    fn close(&mut self, next: i64, now: Timestamp, shared: &mut Shared<'_>) {
        let at = timestamp(self.windows.opens(next)).min(now);
        self.numbers.dropped += self.queue.expire(next, &self.windows);
        self.numbers.deferred_out = self.queue.events();
        let left = self.numbers.deferred_out + self.numbers.dropped;
        self.numbers.capped_runs = u64::from(left > 0);
        debug_assert!(self.numbers.balanced(), "{:?}", self.numbers);
        if self.numbers.notable() {
            let scope = Scope::Window(self.current);
            let record = summary(
                &self.rule,
                self.budget,
                &self.windows,
                scope,
                &self.numbers,
                at,
            );
            shared.out.summary(record);
        }
        self.totals.add(&self.numbers);
        let run = Run {
            rule: &self.rule,
            template: &self.template,
            windows: &self.windows,
            index: next,
            now: at,
            settings: shared.settings,
        };
        self.groups.update(&run, shared);
        self.numbers = Numbers {
            deferred_in: self.numbers.deferred_out,
            ..Numbers::default()
        };
        self.current = next;
        self.used = 0;
        self.slotted.clear();
        for slot in self.queue.take(next, shared.waiting) {
            let Slot { hit, members } = slot;
            let event = hit.event.read();
            self.spend(hit.found(Node::from(&event)), members, at, shared);
        }
    }

    /// Moves the clock to `now` when that is in an earlier window: what waits for the windows
    /// between comes at once, and what is open takes no more events, since neither would come to
    /// its end in time.
    pub(crate) fn set_back(&mut self, now: Timestamp, shared: &mut Shared<'_>) {
        let target = self.windows.index_of(now.as_millisecond());
        if target < self.current {
            self.drain(now, shared);
            self.close(target, now, shared);
            self.groups.clear(shared.open);
        }
    }

    /// Lets the runs that are still to come alert on what waits.
    fn drain(&mut self, now: Timestamp, shared: &mut Shared<'_>) {
        while !self.queue.is_empty() {
            self.close(self.current.saturating_add(1), now, shared);
        }
    }

    /// Lets the runs that are still to come alert on what waits, then sums up.
    pub(crate) fn finish(&mut self, now: Timestamp, shared: &mut Shared<'_>) {
        self.drain(now, shared);
        self.close(self.current.saturating_add(1), now, shared);
        self.groups.clear(shared.open);
        let totals = self.totals;
        let record = summary(
            &self.rule,
            self.budget,
            &self.windows,
            Scope::Total,
            &totals,
            now,
        );
        shared.out.summary(record);
    }
}
