//! [`Recent`]: the entries of an index that are in no run yet, in memory.
//!
//! Each commit brings some thousand entries at once, in no order. They are sorted and kept as they came; two lists of about the
//! same length become one, so that there are few, and each entry is moved a dozen times at most. A tree would be searched anew
//! for each entry.

use super::runs::Entry;
use std::ops::RangeInclusive;

/// Sorted lists, each more than twice as long as the next.
#[derive(Clone, Default, Debug)]
pub(super) struct Recent {
    lists: Vec<Vec<Entry>>,
}

impl Recent {
    /// Entries; one that came twice counts twice.
    pub(super) fn len(&self) -> usize {
        self.lists.iter().map(Vec::len).sum()
    }

    /// Adds entries, in any order.
    pub(super) fn extend(&mut self, mut entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        entries.sort_unstable();
        while let Some(last) = self.lists.pop_if(|last| last.len() <= entries.len().saturating_mul(2)) {
            entries = merge(last, entries);
        }
        self.lists.push(entries);
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.lists.iter().flatten().copied()
    }

    /// The entries of a range: in ascending order within each of a few lists, of which at most `limit` each.
    pub(super) fn first_of_each(&self, range: RangeInclusive<Entry>, limit: usize) -> impl Iterator<Item = Entry> {
        self.lists.iter().flat_map(move |list| {
            let from = list.partition_point(|entry| entry < range.start());
            let end = *range.end();
            list.iter().skip(from).take(limit).copied().take_while(move |entry| *entry <= end)
        })
    }

    /// The entries of a range, in no order.
    pub(super) fn range(&self, range: RangeInclusive<Entry>) -> impl Iterator<Item = Entry> {
        self.first_of_each(range, usize::MAX)
    }
}

/// Two sorted lists as one.
fn merge(one: Vec<Entry>, other: Vec<Entry>) -> Vec<Entry> {
    let mut merged = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    while let (Some(first), Some(second)) = (one.peek(), other.peek()) {
        merged.extend(if first < second { one.next() } else { other.next() });
    }
    merged.extend(one);
    merged.extend(other);
    merged
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_answers_like_one_sorted_set_and_keeps_few_lists(
            commits in prop::collection::vec(prop::collection::btree_set((0..40u64, 0..40u64), 0..60), 0..40),
            ranges in prop::collection::vec(((0..45u64, 0..45u64), (0..45u64, 0..45u64), 0..9usize), 10),
        ) {
            let (mut recent, mut all) = (Recent::default(), BTreeSet::new());
            for commit in commits {
                let mut new: Vec<Entry> = commit.difference(&all).copied().collect();
                new.reverse();
                all.extend(new.iter().copied());
                recent.extend(new);
                prop_assert!(recent.lists.windows(2).all(|pair| pair[0].len() > 2 * pair[1].len()));
            }
            prop_assert_eq!(recent.len(), all.len());
            prop_assert_eq!(recent.iter().collect::<BTreeSet<_>>(), all.clone());
            for (start, end, limit) in ranges {
                let mut found: Vec<Entry> = recent.range(start..=end).collect();
                found.sort_unstable();
                prop_assert_eq!(found, all.iter().filter(|entry| (start..=end).contains(entry)).copied().collect::<Vec<_>>());
                let mut first: Vec<Entry> = recent.first_of_each(start..=end, limit).collect();
                first.sort_unstable();
                first.truncate(limit);
                let expected = all.iter().filter(|entry| (start..=end).contains(entry)).take(limit);
                prop_assert_eq!(first, expected.copied().collect::<Vec<_>>());
            }
        }
    }
}
