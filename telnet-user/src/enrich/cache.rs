//! A bounded cache that forgets what was not used lately.

use std::{collections::HashMap, hash::Hash};

/// Two generations of entries: a full young one becomes the old one, and what was old and not
/// used since is forgotten. Nearly an LRU, with constant cost and no links between entries.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
    evicted: u64,
}

impl<K: Eq + Hash + Clone, V> Cache<K, V> {
    /// Holds at least half of `capacity` entries and never more than `capacity`.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation: (capacity / 2).max(1),
            evicted: 0,
        }
    }

    /// The entry, which counts as a use.
    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        if let Some(value) = self.old.remove(key) {
            self.insert(key.clone(), value);
        }
        self.young.get(key)
    }

    /// Adds or replaces an entry.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            let count = u64::try_from(forgotten.len()).unwrap_or(u64::MAX);
            self.evicted = self.evicted.saturating_add(count);
        }
        self.young.insert(key, value);
    }

    /// Forgets an entry.
    pub(super) fn remove(&mut self, key: &K) {
        self.old.remove(key);
        self.young.remove(key);
    }

    /// How many entries were forgotten for want of room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_counted_out() {
        let mut cache = Cache::new(8);
        for key in 0..100 {
            cache.insert(key, key);
            assert_eq!(cache.get(&0), Some(&0), "used at every step, at {key}");
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        let held = u64::try_from(cache.young.len() + cache.old.len()).expect("a count");
        assert_eq!(cache.evicted() + held, 100);
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn a_removed_entry_is_gone_from_both_generations() {
        let mut cache = Cache::new(4);
        for key in 0..3 {
            cache.insert(key, key);
        }
        assert!(cache.old.contains_key(&0) && cache.young.contains_key(&2));
        for key in 0..3 {
            cache.remove(&key);
            assert_eq!(cache.get(&key), None);
        }
        assert_eq!(cache.evicted(), 0);
    }

    #[test]
    fn a_replaced_entry_is_not_counted_as_evicted() {
        let mut cache = Cache::new(2);
        cache.insert('a', 1);
        cache.insert('a', 2);
        assert_eq!(cache.get(&'a'), Some(&2));
        assert_eq!(cache.evicted(), 0);
    }
}
