//! Matches that wait for the budget of a later run.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::maker::{Found, Hit, Members};
use super::room::Room;
use super::windows::Windows;
use crate::alert::AlertId;

/// Most distinct times remembered of events that no run will alert on.
const DOOMED: usize = 65_536;

/// One unit of a later run's budget: a hit, or the hits of a group.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The first hit.
    pub(crate) hit: Hit,
    /// The others of its group.
    pub(crate) members: Members,
}

impl From<Hit> for Slot {
    fn from(hit: Hit) -> Self {
        Self {
            hit,
            members: Members::default(),
        }
    }
}

/// What became of a hit that could not be alerted on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deferral {
    /// It waits, or its fate shows at the next boundary.
    Deferred,
    /// No later run searches it.
    Dropped,
    /// There was no room for it.
    Overflowed,
}

/// The deferral queue of one rule.
///
/// Runs take the oldest events first and each has a budget, so the run that will
/// alert on an event is known when it is deferred: the first one that searches it
/// and has budget left. Only events with such a run are kept whole; of the others
/// the times are kept, to count them as dropped when they leave the searched span.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Most events kept whole.
    limit: usize,
    held: usize,
    runs: BTreeMap<i64, Vec<Slot>>,
    ids: HashSet<u128>,
    doomed: VecDeque<(i64, u64)>,
}

impl Queue {
    /// An empty queue that keeps at most `limit` events.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: 0,
            runs: BTreeMap::new(),
            ids: HashSet::new(),
            doomed: VecDeque::new(),
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.doomed.is_empty()
    }

    /// Whether the event of alert `id` waits.
    pub(crate) fn contains(&self, id: AlertId) -> bool {
        self.ids.contains(&id.short())
    }

    /// Number of events that wait.
    pub(crate) fn events(&self) -> u64 {
        let slots = self.runs.values().flatten();
        let waiting: u64 = slots.map(|slot| slot.members.count + 1).sum();
        waiting + self.doomed.iter().map(|(_, count)| count).sum::<u64>()
    }

    /// Defers `found` from run `index` to the first later run with budget, as long as there is
    /// `room`.
    pub(crate) fn defer(
        &mut self,
        found: Found<'_>,
        index: i64,
        windows: &Windows,
        budget: usize,
        room: &mut Room,
    ) -> Deferral {
        let at = found.time.searched;
        let mut run = index.saturating_add(1);
        if at < windows.oldest(run) {
            return Deferral::Dropped;
        }
        while at >= windows.oldest(run) {
            let slots = self.runs.entry(run).or_default();
            let key = found.group.as_ref().map(|group| group.key.as_str());
            let same = |slot: &&mut Slot| {
                key.is_some() && slot.hit.group.as_ref().map(|group| group.key.as_str()) == key
            };
            if let Some(slot) = slots.iter_mut().find(same) {
                slot.members.count += 1;
                slot.members.end = slot.members.end.max(at);
                if self.held < self.limit {
                    self.held += 1;
                    self.ids.insert(found.id.short());
                    slot.members.ids.push(found.id);
                }
                return Deferral::Deferred;
            }
            if slots.len() < budget {
                let hit = (self.held < self.limit).then(|| found.keep());
                let Some(hit) = hit.filter(|hit| room.take(hit.bytes())) else {
                    self.forget_empty_runs();
                    return Deferral::Overflowed;
                };
                self.held += 1;
                self.ids.insert(hit.id.short());
                slots.push(Slot::from(hit));
                return Deferral::Deferred;
            }
            run = run.saturating_add(1);
        }
        self.doom(at)
    }

    /// Removes and returns what run `index` alerts on, oldest first.
    pub(crate) fn take(&mut self, index: i64, room: &mut Room) -> Vec<Slot> {
        let mut slots = self.runs.remove(&index).unwrap_or_default();
        slots.sort_by_key(|slot| slot.hit.time);
        for slot in &slots {
            self.ids.remove(&slot.hit.id.short());
            for id in &slot.members.ids {
                self.ids.remove(&id.short());
            }
            self.held = self.held.saturating_sub(1 + slot.members.ids.len());
            room.give(slot.hit.bytes());
        }
        slots
    }

    /// Forgets events that run `index` no longer searches; returns their number.
    pub(crate) fn expire(&mut self, index: i64, windows: &Windows) -> u64 {
        let oldest = windows.oldest(index);
        let mut dropped = 0;
        self.doomed.retain(|(at, count)| {
            let kept = *at >= oldest;
            dropped += if kept { 0 } else { *count };
            kept
        });
        dropped
    }

    fn doom(&mut self, at: i64) -> Deferral {
        if let Some((_, count)) = self.doomed.back_mut().filter(|(last, _)| *last == at) {
            *count += 1;
        } else if self.doomed.len() < DOOMED {
            self.doomed.push_back((at, 1));
        } else {
            return Deferral::Dropped;
        }
        Deferral::Deferred
    }

    fn forget_empty_runs(&mut self) {
        self.runs.retain(|_, slots| !slots.is_empty());
    }
}
