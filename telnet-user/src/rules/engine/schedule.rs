//! The scheduled runs of Elastic, for recorded events.
//!
//! Written from the description of the batch algorithm alone: every run searches
//! its span, oldest first, leaves out what was alerted before and stops at the
//! cap. It shares no window state with the streaming engine, which is tested
//! against it.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;

use super::groups::{Group, Groups};
use super::maker::{Found, Hit, Members, Run, descends_from};
use super::numbers::{Numbers, Scope, summary};
use super::time::EventTime;
use super::windows::{Windows, timestamp};
use super::{Evaluation, Limits, Memory, Retention};
use crate::alert::{AlertId, Origin, Settings};
use crate::rules::rule::Rule;

/// Runs rules over recorded events as scheduled runs would have.
///
/// Events may come in any order as long as no rule has to hold more than
/// `retained_max` matches that a run can still alert on; beyond that the oldest
/// runs are done first, and an event that comes too late for its runs is counted
/// as `unsearched`. Input in the order of time is never too long.
#[derive(Debug)]
pub struct Schedule {
    batches: Vec<Batch>,
    settings: Settings,
    memory: Memory,
    retained_max: usize,
}

/// One rule and the matches its runs have not dealt with.
#[derive(Debug)]
struct Batch {
    rule: Rule,
    windows: Windows,
    budget: usize,
    /// First run that has not taken place.
    next: Option<i64>,
    matches: BTreeMap<(EventTime, u64), Hit>,
    ids: HashSet<AlertId>,
    sequence: u64,
    groups: Groups,
    totals: Numbers,
    /// Runs that reached the cap.
    capped: Vec<i64>,
}

impl Schedule {
    /// Runs of the enabled ones of `rules`, run 0 of each at `start`.
    pub fn new(
        rules: Vec<Rule>,
        start: Timestamp,
        settings: Settings,
        limits: Limits,
        retained_max: usize,
    ) -> Self {
        let batch = |rule: Rule| Batch {
            windows: Windows::of(&rule, start),
            budget: rule.max_signals.min(limits.alerts_max).max(1),
            next: None,
            matches: BTreeMap::new(),
            ids: HashSet::new(),
            sequence: 0,
            groups: Groups::default(),
            totals: Numbers::default(),
            capped: Vec::new(),
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
            settings,
            memory,
            retained_max: retained_max.max(1),
        }
    }

    /// Takes one event, stored at `origin` or where its fields say.
    pub fn push(&mut self, event: &Value, origin: Option<Origin>) -> Evaluation {
        let mut out = Evaluation::default();
        let mut origin = origin;
        // Some slack: pruning looks at every match, which must not happen for each new one.
        let full = self.retained_max.saturating_add(self.retained_max / 4);
        for batch in &mut self.batches {
            batch.take(event, &mut origin, &self.settings, &self.memory);
            if batch.matches.len() > full {
                batch.prune();
                batch.make_room(
                    self.retained_max,
                    &self.settings,
                    &mut self.memory,
                    &mut out,
                );
            }
        }
        out
    }

    /// Does the earliest of the remaining runs that find anything; `None` when
    /// there is none. For the end of the events: what comes after is late.
    pub fn next_run(&mut self) -> Option<Evaluation> {
        let waiting = self
            .batches
            .iter_mut()
            .filter_map(|batch| Some((batch.next_run()?, batch)));
        let (_, batch) = waiting.min_by_key(|(index, batch)| batch.windows.run(*index))?;
        let mut out = Evaluation::default();
        batch.run(&self.settings, &mut self.memory, &mut out);
        Some(out)
    }

    /// Does the remaining runs and sums up.
    pub fn finish(&mut self) -> Evaluation {
        let mut out = Evaluation::default();
        while let Some(run) = self.next_run() {
            out.alerts.extend(run.alerts);
            out.updates.extend(run.updates);
        }
        for batch in &mut self.batches {
            let next = batch.next.unwrap_or_default();
            let now = timestamp(batch.windows.run(next));
            let updates = batch.groups.updates(&batch.rule, &batch.windows, next, now);
            out.updates.extend(updates);
            let Batch {
                rule,
                windows,
                totals,
                ..
            } = batch;
            out.summaries
                .push(summary(rule, windows, Scope::Total, totals, now));
        }
        out
    }

    /// What became of the matches of each rule so far.
    pub fn totals(&self) -> impl Iterator<Item = (&Rule, Numbers)> {
        self.batches.iter().map(|batch| (&batch.rule, batch.totals))
    }

    /// For each rule the times of the runs that reached the cap.
    pub fn capped(&self) -> impl Iterator<Item = (&Rule, Vec<Timestamp>)> {
        self.batches.iter().map(|batch| {
            let runs = batch
                .capped
                .iter()
                .map(|index| timestamp(batch.windows.run(*index)));
            (&batch.rule, runs.collect())
        })
    }
}

impl Batch {
    fn take(
        &mut self,
        event: &Value,
        origin: &mut Option<Origin>,
        settings: &Settings,
        memory: &Memory,
    ) {
        let time = EventTime::of(event, &self.rule);
        let run = time.map(|time| self.windows.run(self.windows.index_of(time.searched)));
        let now = timestamp(run.unwrap_or_default());
        if !self.rule.matches(event, now) || descends_from(event, &self.rule) {
            return;
        }
        let next = self.next.unwrap_or(i64::MIN);
        let Some(time) = time.filter(|time| self.found(time.searched, next)) else {
            self.totals.unsearched += 1;
            return;
        };
        self.totals.matched += 1;
        if self.rule.exceptions.covering(event, now).is_some() {
            self.totals.excepted += 1;
            return;
        }
        let origin = origin.get_or_insert_with(|| Origin::of(event));
        let id = AlertId::of(origin, &settings.space, &self.rule.uuid);
        if memory.contains(id) || !self.ids.insert(id) {
            self.totals.duplicates += 1;
            return;
        }
        let group = Group::of(event, self.rule.suppression.as_ref());
        self.sequence += 1;
        let hit = Found {
            event,
            time,
            id,
            origin,
            group,
        }
        .keep();
        self.matches.insert((time, self.sequence), hit);
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
        for (key, hit) in &self.matches {
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

    /// Does runs that are over, as far as the input shows, until at most `most`
    /// matches are left; drops the newest ones when that is not enough.
    fn make_room(
        &mut self,
        most: usize,
        settings: &Settings,
        memory: &mut Memory,
        out: &mut Evaluation,
    ) {
        while self.matches.len() > most {
            let newest = self.matches.last_key_value().map(|(key, _)| *key);
            let (Some(run), Some(newest)) = (self.next_run(), newest) else {
                return;
            };
            if newest.0.searched > self.windows.closes(run) {
                self.run(settings, memory, out);
            } else {
                self.drop_match(&newest);
                self.totals.overflowed += 1;
            }
        }
    }

    fn drop_match(&mut self, key: &(EventTime, u64)) {
        if let Some(hit) = self.matches.remove(key) {
            self.ids.remove(&hit.id);
            self.totals.dropped += 1;
        }
    }

    /// The next run that finds anything.
    fn next_run(&self) -> Option<i64> {
        let ((oldest, _), _) = self.matches.first_key_value()?;
        let first = self.windows.index_of(oldest.searched);
        Some(self.next.map_or(first, |next| next.max(first)))
    }

    /// Does the next run that finds anything.
    fn run(&mut self, settings: &Settings, memory: &mut Memory, out: &mut Evaluation) {
        let Some(index) = self.next_run() else {
            return;
        };
        let (from, to) = (self.windows.oldest(index), self.windows.closes(index));
        let now = timestamp(self.windows.run(index));
        let (mut used, mut capped) = (0, false);
        let mut served: HashSet<String> = HashSet::new();
        let mut handled = Vec::new();
        for (key, hit) in &self.matches {
            let at = key.0.searched;
            if at < from || at > to {
                continue;
            }
            let shares = hit
                .group
                .as_ref()
                .is_some_and(|group| served.contains(&group.key));
            if !shares && used >= self.budget {
                capped = true;
                continue;
            }
            if !shares {
                used += 1;
                served.extend(hit.group.as_ref().map(|group| group.key.clone()));
            }
            handled.push(*key);
        }
        let run = Run {
            rule: &self.rule,
            windows: &self.windows,
            index,
            now,
            settings,
        };
        for key in handled {
            let Some(hit) = self.matches.remove(&key) else {
                continue;
            };
            self.ids.remove(&hit.id);
            let members = Members::default();
            let done = run.handle(&hit, &members, &mut self.groups, memory, &mut out.alerts);
            self.totals.alerted += done.alerted;
            self.totals.suppressed += done.suppressed;
        }
        if capped {
            self.capped.push(index);
        }
        out.updates.extend(
            self.groups
                .updates(&self.rule, &self.windows, index + 1, now),
        );
        self.next = Some(index + 1);
        self.drop_unreachable(index + 1);
    }

    /// Drops matches that run `next` no longer searches.
    fn drop_unreachable(&mut self, next: i64) {
        let oldest = self.windows.oldest(next);
        while let Some((&key, _)) = self.matches.first_key_value() {
            if key.0.searched >= oldest {
                break;
            }
            self.drop_match(&key);
        }
    }
}
