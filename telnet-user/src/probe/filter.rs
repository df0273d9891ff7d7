//! The kernel filter as userspace holds it: which ports a record may have.

use std::collections::BTreeSet;

use telnet_common::PORT_WORDS;

/// Ports of either end for which the kernel reports; nothing else leaves it.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    words: Box<[u64]>,
}

impl Filter {
    /// Reports nothing.
    pub fn none() -> Self {
        Self::filled(0)
    }

    /// Reports every TCP session.
    pub fn all() -> Self {
        Self::filled(u64::MAX)
    }

    /// Reports sessions with one of these ports on either end.
    pub fn ports(ports: &BTreeSet<u16>) -> Self {
        let mut filter = Self::none();
        for &port in ports {
            let (word, bit) = place(port);
            if let Some(word) = filter.words.get_mut(word) {
                *word |= bit;
            }
        }
        filter
    }

    fn filled(word: u64) -> Self {
        let count = usize::try_from(PORT_WORDS).unwrap_or(0);
        Self {
            words: vec![word; count].into_boxed_slice(),
        }
    }

    /// Whether a port is reported.
    pub fn contains(&self, port: u16) -> bool {
        let (word, bit) = place(port);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Reports what either of the two does.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.zip(other, |mine, others| mine | others)
    }

    /// Reports what this one does and the other does not.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.zip(other, |mine, others| mine & !others)
    }

    fn zip(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let words = self.words.iter().zip(&other.words);
        Self {
            words: words.map(|(&mine, &others)| join(mine, others)).collect(),
        }
    }

    /// Whether nothing is reported.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The words of the kernel's map, with their index.
    pub(crate) fn words(&self) -> impl Iterator<Item = (u32, u64)> {
        (0u32..).zip(self.words.iter().copied())
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        write!(formatter, "Filter({count} ports)")
    }
}

fn place(port: u16) -> (usize, u64) {
    (usize::from(port >> 6), 1 << (port & 63))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn contains_what_was_put_in_and_nothing_else(ports: BTreeSet<u16>, other: u16) {
            let filter = Filter::ports(&ports);
            prop_assert!(ports.iter().all(|&port| filter.contains(port)));
            prop_assert_eq!(filter.contains(other), ports.contains(&other));
            prop_assert_eq!(filter.is_empty(), ports.is_empty());
        }

        #[test]
        fn or_and_without_are_those_of_sets(one: BTreeSet<u16>, two: BTreeSet<u16>) {
            let (first, second) = (Filter::ports(&one), Filter::ports(&two));
            let union: BTreeSet<u16> = one.union(&two).copied().collect();
            let rest: BTreeSet<u16> = one.difference(&two).copied().collect();
            prop_assert_eq!(first.or(&second), Filter::ports(&union));
            prop_assert_eq!(first.without(&second), Filter::ports(&rest));
        }
    }

    #[test]
    fn all_and_none_are_that() {
        assert!(Filter::all().contains(0) && Filter::all().contains(65535));
        assert!(Filter::none().is_empty() && !Filter::none().contains(23));
    }
}
