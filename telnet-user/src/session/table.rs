//! A bounded map that drops its oldest entry when it is full, and says so.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// A map of at most `capacity` entries, in the order they were put in.
#[derive(Debug)]
pub struct Table<K, V> {
    capacity: usize,
    entries: HashMap<K, (u64, V)>,
    /// Keys by age; an entry whose number differs was removed meanwhile.
    ages: VecDeque<(u64, K)>,
    next: u64,
    evicted: u64,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// An empty table of at most `capacity` entries (at least one).
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            entries: HashMap::new(),
            ages: VecDeque::new(),
            next: 0,
            evicted: 0,
        }
    }

    /// Puts a value in, as the newest; returns what had to give way for it.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let number = self.next;
        self.next += 1;
        self.ages.push_back((number, key));
        self.entries.insert(key, (number, value));
        self.forget_removed();
        if self.entries.len() <= self.capacity {
            return None;
        }
        self.evicted += 1;
        self.pop_oldest()
    }

    /// Puts a value in, as [`Self::insert`]; returns the one that the key had.
    pub fn replace(&mut self, key: K, value: V) -> Option<V> {
        let old = self.remove(&key);
        self.insert(key, value);
        old
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The value of a key, to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (_, value) = self.entries.remove(key)?;
        Some(value)
    }

    /// All values, in no order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.entries.values().map(|(_, value)| value)
    }

    /// All values, in no order, to change.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|(_, value)| value)
    }

    /// How many entries gave way so far.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn pop_oldest(&mut self) -> Option<V> {
        while let Some((number, key)) = self.ages.pop_front() {
            if self.is_current(number, &key) {
                return self.remove(&key);
            }
        }
        None
    }

    /// Keeps the queue of ages from growing past twice the entries.
    fn forget_removed(&mut self) {
        if self.ages.len() > self.entries.len().saturating_mul(2).saturating_add(64) {
            let entries = &self.entries;
            self.ages
                .retain(|(number, key)| entries.get(key).is_some_and(|(now, _)| now == number));
        }
    }

    fn is_current(&self, number: u64, key: &K) -> bool {
        self.entries.get(key).is_some_and(|(now, _)| *now == number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oldest_gives_way_and_is_counted() {
        let mut table = Table::new(2);
        assert_eq!(table.insert(1, 'a'), None);
        assert_eq!(table.insert(2, 'b'), None);
        assert_eq!(table.insert(1, 'c'), None);
        assert_eq!(table.insert(3, 'd'), Some('b'));
        assert_eq!(table.evicted(), 1);
        assert_eq!((table.get(&1), table.get(&2)), (Some(&'c'), None));
    }

    proptest! {
        #[test]
        fn never_exceeds_its_capacity_nor_its_memory(
            capacity in 1usize..8,
            steps in proptest::collection::vec((any::<bool>(), 0u8..16), 0..600),
        ) {
            let mut table = Table::new(capacity);
            for (insert, key) in steps {
                if insert {
                    table.insert(key, key);
                } else {
                    table.remove(&key);
                }
                prop_assert!(table.entries.len() <= capacity);
                prop_assert!(table.ages.len() <= 2 * (capacity + 1) + 65);
            }
        }
    }
}
