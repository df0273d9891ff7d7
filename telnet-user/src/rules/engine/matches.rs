//! Matches that the runs of a schedule have not dealt with.

use std::collections::{BTreeMap, HashSet};

use super::{maker::Hit, time::EventTime};
use crate::alert::AlertId;

/// Time of a match and its number: runs take the oldest first.
pub(crate) type Key = (EventTime, u64);

/// Matches of one rule in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    hits: BTreeMap<Key, Hit>,
    ids: HashSet<AlertId>,
    bytes: usize,
    sequence: u64,
}

impl Matches {
    /// Whether the event of alert `id` is among them.
    pub(crate) fn contains(&self, id: AlertId) -> bool {
        self.ids.contains(&id)
    }

    pub(crate) fn insert(&mut self, hit: Hit) {
        self.sequence += 1;
        self.bytes = self.bytes.saturating_add(hit.bytes());
        self.ids.insert(hit.id);
        self.hits.insert((hit.time, self.sequence), hit);
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<Hit> {
        let hit = self.hits.remove(key)?;
        self.bytes = self.bytes.saturating_sub(hit.bytes());
        self.ids.remove(&hit.id);
        Some(hit)
    }

    /// Their number.
    pub(crate) fn len(&self) -> usize {
        self.hits.len()
    }

    /// What they take, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn oldest(&self) -> Option<Key> {
        self.hits.first_key_value().map(|(key, _)| *key)
    }

    pub(crate) fn newest(&self) -> Option<Key> {
        self.hits.last_key_value().map(|(key, _)| *key)
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Hit)> {
        self.hits.iter()
    }
}
