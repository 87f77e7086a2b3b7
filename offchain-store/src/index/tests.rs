#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    dag::testing::{Altered, GENESIS_TIME_MS, Repository},
    parents::ParentSelectionStrategy,
};

const BLOCKS: u64 = 300;

fn repository() -> Repository {
    Repository::grown(ParentSelectionStrategy::BalancedRandom, BLOCKS, 1)
}

/// All pages of a query, as leaf indices; each page but the last is full.
fn all(index: &DagIndex, mut query: Query) -> Vec<u64> {
    let mut found = Vec::new();
    for _ in 0..=BLOCKS {
        let page = index.query(&query).unwrap();
        assert!(page.blocks.len() == query.limit || page.next.is_none());
        found.extend(page.blocks.iter().map(DagBlock::leaf_index));
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
    panic!("the pages do not end");
}

fn by_force(repository: &Repository, query: &Query) -> Vec<u64> {
    let mut matching: Vec<(u64, u64)> = (0..BLOCKS)
        .map(|leaf_index| repository.block(leaf_index))
        .filter(|block| query.depths.as_ref().is_none_or(|depths| depths.contains(&block.header().depth)))
        .filter(|block| query.times_ms.as_ref().is_none_or(|times| times.contains(&block.header().timestamp_ms)))
        .filter(|block| query.below.is_none_or(|below| block.leaf_index() < below))
        .map(|block| match (&query.times_ms, &query.depths) {
            (Some(_), _) => (block.header().timestamp_ms, block.leaf_index()),
            (None, Some(_)) => (block.header().depth.into(), block.leaf_index()),
            (None, None) => (0, block.leaf_index()),
        })
        .collect();
    matching.sort_unstable();
    matching.into_iter().map(|(_, leaf_index)| leaf_index).collect()
}

#[test]
fn every_query_in_pages_of_every_size_agrees_with_a_scan() {
    let repository = repository();
    let index = DagIndex::new(repository.backend.clone());
    let depth_max = repository.backend.totals().unwrap().depth_max;
    let time = |leaf_index: u64| GENESIS_TIME_MS + leaf_index;
    for depths in [None, Some(0..=0), Some(3..=depth_max / 2), Some(0..=u32::MAX), Some(depth_max + 1..=u32::MAX)] {
        for times_ms in [None, Some(0..=u64::MAX), Some(time(20)..=time(120)), Some(time(50)..=time(50)), Some(0..=5)] {
            for below in [None, Some(0), Some(100), Some(u64::MAX)] {
                for limit in [1, 7, 100, usize::MAX] {
                    let query = Query { depths: depths.clone(), times_ms: times_ms.clone(), below, limit, after: None };
                    let expected = by_force(&repository, &query);
                    assert_eq!(all(&index, query.clone()), expected, "{query:?}");
                }
            }
        }
    }
}

#[test]
fn many_blocks_within_the_depths_are_walked_by_time_to_the_same_answer() {
    let mut repository = Repository::of(&[&[], &[0]]);
    let many = DEPTH_BLOCKS_SORTED_MAX as u64 + 10;
    for _ in 0..many {
        repository.add(&[0, 1]);
    }
    repository.add(&[0, 5]);
    let index = DagIndex::new(repository.backend.clone());
    let query = Query { depths: Some(2..=2), times_ms: Some(GENESIS_TIME_MS + 9..=u64::MAX), ..Query::default() };
    let page = index.query(&query).unwrap();
    assert_eq!(page.blocks.len() as u64, many + 2 - 9);
    assert!(page.blocks.iter().all(|block| block.header().depth == 2 && block.leaf_index() >= 9));
    assert!(page.blocks.is_sorted_by_key(DagBlock::leaf_index));
    assert_eq!(page.next, None);
    let first = index.query(&Query { limit: 10, ..query.clone() }).unwrap();
    assert_eq!(first.blocks, page.blocks[..10]);
    let second = index.query(&Query { limit: 10, after: first.next, ..query }).unwrap();
    assert_eq!(second.blocks, page.blocks[10..20]);
}

#[test]
fn a_page_that_reads_too_much_is_short_and_goes_on() {
    let repository = Repository::of(&[&[], &[0]]);
    let mut altered = Altered::new(repository.backend.clone());
    // A long index of blocks that are all beyond the bound, but for the last.
    let count = PAGE_ENTRIES_READ_MAX as u64 + 10;
    altered.by_depth = Some((0..count).map(|place| (1, 5 + place)).chain([(2, 1)]).collect());
    let index = DagIndex::new(Arc::new(altered));
    let mut query = Query { depths: Some(0..=9), below: Some(2), ..Query::default() };
    let page = index.query(&query).unwrap();
    assert!(page.blocks.is_empty());
    query.after = page.next;
    assert_eq!(query.after, Some(Cursor { key: 1, leaf_index: 5 + PAGE_ENTRIES_READ_MAX as u64 - 1 }));
    // Block 1 itself has depth 1, which the filter sees.
    let page = index.query(&query).unwrap();
    assert_eq!((page.blocks.len(), page.next), (1, None));
}

#[test]
fn empty_ranges_and_limits_give_empty_pages() {
    let repository = repository();
    let index = DagIndex::new(repository.backend.clone());
    #[allow(clippy::reversed_empty_ranges)]
    for query in [
        Query { depths: Some(5..=3), ..Query::default() },
        Query { times_ms: Some(5_000..=3), ..Query::default() },
        Query { depths: Some(0..=9), times_ms: Some(2..=1), ..Query::default() },
        Query { limit: 0, ..Query::default() },
    ] {
        assert_eq!(index.query(&query).unwrap(), Page::default(), "{query:?}");
    }
}

#[test]
fn an_index_that_names_a_missing_block_is_damage() {
    let repository = repository();
    let mut altered = Altered::new(repository.backend.clone());
    altered.blocks.insert(7, None);
    let index = DagIndex::new(Arc::new(altered));
    for query in [
        Query::default(),
        Query { depths: Some(0..=u32::MAX), ..Query::default() },
        Query { times_ms: Some(0..=u64::MAX), ..Query::default() },
    ] {
        assert!(matches!(index.query(&query), Err(BackendError::Damaged(text)) if text.contains("block 7")));
    }
}
