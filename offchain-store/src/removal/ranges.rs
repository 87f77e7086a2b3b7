//! [`LeafRanges`]: leaves of the log, as the few ranges that they are.

use std::ops::RangeInclusive;

/// Ranges of leaf indices, ascending, with a gap between each and the next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LeafRanges(Vec<RangeInclusive<u64>>);

impl LeafRanges {
    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &RangeInclusive<u64>> {
        self.0.iter()
    }

    /// How many ranges they are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no leaf is in them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many leaves they are.
    pub fn leaves(&self) -> u64 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add((range.end() - range.start()).saturating_add(1)))
    }

    /// Whether a leaf is in them.
    pub fn contains(&self, leaf_index: u64) -> bool {
        self.covers(&(leaf_index..=leaf_index))
    }

    /// Whether all leaves of a range are in them.
    pub fn covers(&self, wanted: &RangeInclusive<u64>) -> bool {
        // The last one that begins no later; none that follows has a leaf before its own first.
        let place = self.0.partition_point(|range| range.start() <= wanted.start());
        let range = place.checked_sub(1).and_then(|place| self.0.get(place));
        range.is_some_and(|range| wanted.is_empty() || range.end() >= wanted.end())
    }

    /// Adds a leaf that is above all that are in them. Says whether that began a range.
    pub(crate) fn push(&mut self, leaf_index: u64) -> bool {
        if let Some(last) = self.0.last_mut()
            && last.end().checked_add(1) == Some(leaf_index)
        {
            *last = *last.start()..=leaf_index;
            return false;
        }
        self.0.push(leaf_index..=leaf_index);
        true
    }
}

/// Of ranges in any order, which may overlap. Ranges without a leaf are none.
impl FromIterator<RangeInclusive<u64>> for LeafRanges {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u64>>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_ends_of_the_numbers_are_leaves_too() {
        let all: LeafRanges = [u64::MAX..=u64::MAX, 0..=u64::MAX - 1].into_iter().collect();
        assert_eq!((all.len(), all.leaves()), (1, u64::MAX));
        assert!(all.contains(0) && all.contains(u64::MAX) && all.covers(&(0..=u64::MAX)));
    }

    proptest! {
        #[test]
        fn ranges_hold_the_leaves_that_they_were_made_of(parts in prop::collection::vec((0u64..60, 0u64..8), 0..12)) {
            let leaves: BTreeSet<u64> = parts.iter().flat_map(|(first, more)| *first..first + more).collect();
            // Without a leaf where `more` is 0.
            #[allow(clippy::reversed_empty_ranges)]
            let made: LeafRanges = parts
                .iter()
                .map(|(first, more)| if *more == 0 { 1..=0 } else { *first..=first + more - 1 })
                .collect();
            let mut pushed = LeafRanges::default();
            let begun = leaves.iter().filter(|leaf| pushed.push(**leaf)).count();
            prop_assert_eq!((&pushed, begun), (&made, made.len()));
            prop_assert_eq!(made.leaves(), leaves.len() as u64);
            for first in 0..70 {
                prop_assert_eq!(made.contains(first), leaves.contains(&first));
                for last in first..70 {
                    prop_assert_eq!(made.covers(&(first..=last)), (first..=last).all(|leaf| leaves.contains(&leaf)));
                }
            }
            let ends: Vec<_> = made.iter().collect();
            prop_assert!(ends.windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
        }
    }
}
