//! Sets of ports or addresses, as ranges.

/// What ranges can be made of: whole numbers.
pub(super) trait Whole: Copy + Ord {
    /// The least and the greatest.
    const ENDS: (Self, Self);
    /// The next greater one.
    fn after(self) -> Option<Self>;
    /// The next lesser one.
    fn before(self) -> Option<Self>;
}

impl Whole for u16 {
    const ENDS: (Self, Self) = (Self::MIN, Self::MAX);

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Whole for u128 {
    const ENDS: (Self, Self) = (Self::MIN, Self::MAX);

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// A set: ranges with both ends in them, ascending, with a gap between any two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges<T>(Vec<(T, T)>);

#[expect(private_bounds, reason = "only ports and addresses are made into sets")]
impl<T: Whole> Ranges<T> {
    /// Everything.
    pub(super) fn all() -> Self {
        Self(vec![T::ENDS])
    }

    /// Nothing.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    /// The union of these ranges, each from its first to its last.
    pub(super) fn of(ranges: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut sorted: Vec<(T, T)> = ranges.into_iter().collect();
        sorted.retain(|(first, last)| first <= last);
        sorted.sort_unstable();
        let mut out: Vec<(T, T)> = Vec::new();
        for (first, last) in sorted {
            match out.last_mut() {
                // Overlapping, or next to each other.
                Some((_, end)) if end.after().is_none_or(|next| first <= next) => {
                    *end = last.max(*end);
                }
                _ => out.push((first, last)),
            }
        }
        Self(out)
    }

    /// The ranges.
    pub fn ranges(&self) -> &[(T, T)] {
        &self.0
    }

    /// Whether it is everything.
    pub fn is_all(&self) -> bool {
        self.0 == [T::ENDS]
    }

    /// Whether it has this one.
    pub fn contains(&self, one: T) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|&(first, last)| (first..=last).contains(&one))
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What either has.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied())
    }

    /// What it has not.
    pub(super) fn complement(&self) -> Self {
        let mut out = Vec::new();
        let (mut from, end) = (Some(T::ENDS.0), T::ENDS.1);
        for &(first, last) in &self.0 {
            if let (Some(from), Some(before)) = (from, first.before()) {
                out.push((from, before));
            }
            from = last.after();
        }
        out.extend(from.map(|from| (from, end)));
        Self::of(out)
    }

    /// What both have.
    pub(super) fn and(&self, other: &Self) -> Self {
        self.complement().or(&other.complement()).complement()
    }
}

impl Ranges<u128> {
    /// The networks that make it up: the first address of each, and the length of its prefix.
    pub fn networks(&self) -> Vec<(u128, u8)> {
        let mut out = Vec::new();
        for &(first, last) in &self.0 {
            let mut from = Some(first);
            while let Some(address) = from.filter(|address| *address <= last) {
                // The largest aligned block that starts here and does not go beyond the range.
                let mut host = u128::BITS.min(address.trailing_zeros());
                while block_end(address, host) > last {
                    host -= 1;
                }
                out.push((address, u8::try_from(u128::BITS - host).unwrap_or(u8::MAX)));
                from = block_end(address, host).checked_add(1);
            }
        }
        out
    }
}

/// The last address of the block at `address` with so many bits free.
fn block_end(address: u128, host: u32) -> u128 {
    let ones = u128::MAX.checked_shr(u128::BITS - host).unwrap_or(0);
    address | ones
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn small() -> impl Strategy<Value = Ranges<u16>> {
        let end = prop_oneof![0u16..12, 65_530u16..=65_535];
        prop::collection::vec((end.clone(), end), 0..5).prop_map(Ranges::of)
    }

    fn has(set: &Ranges<u16>, value: u16) -> bool {
        let mut ranges = set.ranges().iter();
        ranges.any(|&(first, last)| (first..=last).contains(&value))
    }

    proptest! {
        #[test]
        fn they_are_sets(one in small(), two in small()) {
            for value in (0..14).chain(65_528..=65_535) {
                let (first, second) = (has(&one, value), has(&two, value));
                prop_assert_eq!(has(&one.or(&two), value), first || second);
                prop_assert_eq!(has(&one.and(&two), value), first && second);
                prop_assert_eq!(has(&one.complement(), value), !first);
            }
            prop_assert_eq!(one.complement().complement(), one.clone());
            prop_assert_eq!(one.or(&two).and(&one), one.clone());
        }

        #[test]
        fn networks_are_the_set_again(first: u128, length in 0u128..5_000) {
            let set = Ranges::of([(first, first.saturating_add(length))]);
            let blocks = set.networks().into_iter().map(|(address, length)| {
                (address, block_end(address, u128::BITS - u32::from(length)))
            });
            prop_assert_eq!(Ranges::of(blocks), set);
        }
    }

    #[test]
    fn the_whole_and_aligned_blocks_are_one_network() {
        assert_eq!(Ranges::<u128>::all().networks(), [(0, 0)]);
        assert_eq!(Ranges::of([(256u128, 511)]).networks(), [(256, 120)]);
        assert_eq!(
            Ranges::of([(u128::MAX, u128::MAX)]).networks(),
            [(u128::MAX, 128)]
        );
    }
}
