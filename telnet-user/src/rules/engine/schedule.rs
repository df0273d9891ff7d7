//! The scheduled runs of Elastic, for recorded events.
//!
//! Written from the description of the batch algorithm alone: every run searches
//! its span, oldest first, leaves out what was alerted before and stops at the
//! cap. It shares no window state with the streaming engine, which is tested
//! against it.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::groups::{Group, Groups};
use super::maker::{Found, Members, Run, descends_from};
use super::matches::{Key, Matches};
use super::numbers::{Numbers, Scope, summary};
use super::shared::{Common, Outbox, Shared};
use super::time::EventTime;
use super::windows::{Windows, timestamp};
use super::{Limits, Memory, Retention};
use crate::alert::{AlertId, Origin, Settings, Template};
use crate::json::Node;
use crate::rules::rule::Rule;

/// Runs rules over recorded events as scheduled runs would have.
///
/// Events may come in any order as long as the matches that a run can still alert on are not
/// more than [`Limits::deferred_max`] a rule and [`Limits::kept_bytes`] of all rules; beyond that
/// the oldest runs are done first, and an event that comes too late for its runs is counted as
/// `unsearched`. Input in the order of time needs little of it; what there is no room for all the
/// same is counted as `overflowed`.
#[derive(Debug)]
pub struct Schedule {
    batches: Vec<Batch>,
    common: Common,
    limits: Limits,
}

/// One rule and the matches its runs have not dealt with.
#[derive(Debug)]
struct Batch {
    rule: Rule,
    template: Template,
    windows: Windows,
    budget: usize,
    /// First run that has not taken place.
    next: Option<i64>,
    matches: Matches,
    groups: Groups,
    totals: Numbers,
}

/// A hit that a run handles, and those that share its alert.
struct Unit {
    first: Key,
    others: Vec<Key>,
}

impl Schedule {
    /// Runs of the enabled ones of `rules`, run 0 of each at `start`.
    pub fn new(rules: Vec<Rule>, start: Timestamp, settings: Settings, limits: Limits) -> Self {
        let batch = |rule: Rule| Batch {
            template: Template::new(&rule, &settings),
            windows: Windows::of(&rule, start),
            budget: rule.max_signals.min(limits.alerts_max).max(1),
            next: None,
            matches: Matches::default(),
            groups: Groups::default(),
            totals: Numbers::default(),
            rule,
        };
        let batches = rules
            .into_iter()
            .filter(|rule| rule.enabled)
            .map(batch)
            .collect();
        let memory = Memory::volatile(Retention::default());
        Self {
            batches,
            common: Common::new(settings, memory, &limits),
            limits,
        }
    }

    /// Takes one event, stored at `origin` or where its fields say.
    pub fn push<'e>(
        &mut self,
        event: impl Into<Node<'e>>,
        origin: Option<Origin>,
        out: &mut dyn Outbox,
    ) {
        let event = event.into();
        let mut origin = origin;
        let mut shared = self.common.share(out);
        for batch in &mut self.batches {
            if !batch.take(event, &mut origin, &shared) {
                continue;
            }
            let most = self.limits.deferred_max;
            if batch.matches.len() > with_slack(most) {
                batch.prune();
                while batch.matches.len() > most.max(1) {
                    batch.give_way(&mut shared);
                }
            }
        }
        self.make_room(out);
    }

    /// Holds what all rules keep to its bound in bytes.
    fn make_room(&mut self, out: &mut dyn Outbox) {
        let kept = |batches: &[Batch]| -> usize {
            let bytes = batches.iter().map(|batch| batch.matches.bytes());
            bytes.fold(0, usize::saturating_add)
        };
        if kept(&self.batches) <= with_slack(self.limits.kept_bytes) {
            return;
        }
        let mut shared = self.common.share(out);
        self.batches.iter_mut().for_each(Batch::prune);
        while kept(&self.batches) > self.limits.kept_bytes {
            let largest = self
                .batches
                .iter_mut()
                .max_by_key(|batch| batch.matches.bytes());
            if let Some(batch) = largest {
                batch.give_way(&mut shared);
            }
        }
    }

    /// Does the remaining runs in the order of time and sums up. What comes after is late.
    pub fn finish(&mut self, out: &mut dyn Outbox) {
        let mut shared = self.common.share(out);
        loop {
            let waiting = self
                .batches
                .iter_mut()
                .filter_map(|batch| Some((batch.next_run()?, batch)));
            let earliest = waiting.min_by_key(|(index, batch)| batch.windows.run(*index));
            match earliest {
                Some((index, batch)) => batch.run(index, &mut shared),
                None => break,
            }
        }
        for batch in &mut self.batches {
            let next = batch.next.unwrap_or_default();
            batch.close(next, batch.windows.run(next), &mut shared);
            let now = timestamp(batch.windows.run(next));
            let record = summary(
                &batch.rule,
                batch.budget,
                &batch.windows,
                Scope::Total,
                &batch.totals,
                now,
            );
            shared.out.summary(record);
        }
    }

    /// What became of the matches of each rule so far.
    pub fn totals(&self) -> impl Iterator<Item = (&Rule, Numbers)> {
        self.batches.iter().map(|batch| (&batch.rule, batch.totals))
    }
}

/// How much is taken in before something has to go: that looks at every match, and must not
/// happen for each new one.
const fn with_slack(most: usize) -> usize {
    most.saturating_add(most / 4)
}

impl Batch {
    /// Keeps `event` if the rule matches it; whether it did.
    fn take(&mut self, event: Node<'_>, origin: &mut Option<Origin>, shared: &Shared<'_>) -> bool {
        let time = EventTime::of(event, &self.rule);
        let run = time.map(|time| self.windows.run(self.windows.index_of(time.searched)));
        let now = timestamp(run.unwrap_or_default());
        if !self.rule.matches(event, now) || descends_from(event, &self.rule) {
            return false;
        }
        let next = self.next.unwrap_or(i64::MIN);
        let Some(time) = time.filter(|time| self.found(time.searched, next)) else {
            self.totals.unsearched += 1;
            return false;
        };
        self.totals.matched += 1;
        if self.rule.exceptions.covering(event, now).is_some() {
            self.totals.excepted += 1;
            return false;
        }
        let origin = origin.get_or_insert_with(|| Origin::of(event));
        let id = AlertId::of(origin, &shared.settings.space, &self.rule.uuid);
        if shared.memory.contains(id) || self.matches.contains(id) {
            self.totals.duplicates += 1;
            return false;
        }
        let group = Group::of(event, self.rule.suppression.as_ref());
        let found = Found {
            event,
            time,
            id,
            origin,
            group,
        };
        self.matches.insert(found.keep());
        true
    }

    /// Whether run `next` or a later one searches the instant `at`.
    fn found(&self, at: i64, next: i64) -> bool {
        let first = self.windows.index_of(at).max(next);
        at >= self.windows.oldest(first)
    }

    /// Drops the matches that no run will alert on because older ones use up the
    /// budget of every run that searches them. More events only add to these.
    fn prune(&mut self) {
        let mut runs: HashMap<i64, (usize, HashSet<&str>)> = HashMap::new();
        let mut hopeless = Vec::new();
        for (key, hit) in self.matches.iter() {
            let at = key.0.searched;
            let mut run = self.windows.index_of(at).max(self.next.unwrap_or(i64::MIN));
            let group = hit.group.as_ref().map(|group| group.key.as_str());
            let served = loop {
                if at < self.windows.oldest(run) {
                    break false;
                }
                let (used, groups) = runs.entry(run).or_default();
                if group.is_some_and(|group| groups.contains(group)) {
                    break true;
                }
                if *used < self.budget {
                    *used += 1;
                    groups.extend(group);
                    break true;
                }
                run = run.saturating_add(1);
            };
            if !served {
                hopeless.push(*key);
            }
        }
        for key in hopeless {
            self.drop_match(&key);
        }
    }

    /// Does the oldest run if it is over, as far as the input shows; else drops the newest match.
    fn give_way(&mut self, shared: &mut Shared<'_>) {
        let (Some(run), Some(newest)) = (self.next_run(), self.matches.newest()) else {
            return;
        };
        if newest.0.searched > self.windows.closes(run) {
            self.run(run, shared);
        } else {
            self.drop_match(&newest);
            self.totals.overflowed += 1;
        }
    }

    fn drop_match(&mut self, key: &Key) {
        let dropped = self.matches.remove(key).is_some();
        self.totals.dropped += u64::from(dropped);
    }

    /// The next run that finds anything.
    fn next_run(&self) -> Option<i64> {
        let (oldest, _) = self.matches.oldest()?;
        let first = self.windows.index_of(oldest.searched);
        Some(self.next.map_or(first, |next| next.max(first)))
    }

    /// Does run `index`.
    fn run(&mut self, index: i64, shared: &mut Shared<'_>) {
        let (units, capped) = self.search(index);
        self.totals.capped_runs += u64::from(capped);
        for Unit { first, others } in units {
            let Some(hit) = self.matches.remove(&first) else {
                continue;
            };
            let others = others.iter().filter_map(|key| self.matches.remove(key));
            let mut members = Members::default();
            for other in others {
                members.count += 1;
                members.end = members.end.max(other.time.searched);
                members.ids.push(other.id);
            }
            let run = Run {
                rule: &self.rule,
                template: &self.template,
                windows: &self.windows,
                index,
                now: timestamp(self.windows.run(index)),
                settings: shared.settings,
            };
            let event = hit.event.read();
            let hit = hit.found(Node::from(&event));
            let done = run.handle(hit, members, &mut self.groups, shared);
            self.totals.alerted += done.alerted;
            self.totals.suppressed += done.suppressed;
            self.totals.evicted += done.evicted;
        }
        let next = index.saturating_add(1);
        self.close(next, self.windows.run(index), shared);
        self.next = Some(next);
        self.drop_unreachable(next);
    }

    /// What run `index` finds and has budget for, oldest first; whether it finds more.
    fn search(&self, index: i64) -> (Vec<Unit>, bool) {
        let searched = self.windows.oldest(index)..=self.windows.closes(index);
        let (mut units, mut capped) = (Vec::<Unit>::new(), false);
        let mut served: HashMap<&str, usize> = HashMap::new();
        for (key, hit) in self.matches.iter() {
            if !searched.contains(&key.0.searched) {
                continue;
            }
            let group = hit.group.as_ref().map(|group| group.key.as_str());
            let shares = group.and_then(|group| served.get(group));
            if let Some(unit) = shares.and_then(|unit| units.get_mut(*unit)) {
                unit.others.push(*key);
            } else if units.len() < self.budget {
                served.extend(group.map(|group| (group, units.len())));
                units.push(Unit {
                    first: *key,
                    others: Vec::new(),
                });
            } else {
                capped = true;
            }
        }
        (units, capped)
    }

    /// Gives out alerts that took in events by `at`, before run `next`.
    fn close(&mut self, next: i64, at: i64, shared: &mut Shared<'_>) {
        let run = Run {
            rule: &self.rule,
            template: &self.template,
            windows: &self.windows,
            index: next,
            now: timestamp(at),
            settings: shared.settings,
        };
        self.groups.update(&run, shared);
    }

    /// Drops matches that run `next` no longer searches.
    fn drop_unreachable(&mut self, next: i64) {
        let oldest = self.windows.oldest(next);
        while let Some(key) = self.matches.oldest().filter(|key| key.0.searched < oldest) {
            self.drop_match(&key);
        }
    }
}
