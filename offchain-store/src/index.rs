//! [`DagIndex`]: which blocks lie within a range of depths, of times, or below a place in the log.

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
};
use std::{ops::RangeInclusive, sync::Arc};

/// Most blocks in one page of an answer.
pub const PAGE_BLOCKS_MAX: usize = 10_000;
/// Index entries that are looked at for one page. A page that this bound cut is short and says where to go on.
pub const PAGE_ENTRIES_READ_MAX: usize = 65_536;
/// With both a depth and a time range: up to so many blocks within the depths are all read and put in order of time. Where
/// there are more, the times are walked.
const DEPTH_BLOCKS_SORTED_MAX: usize = 4_096;
/// Index entries that are read at once.
const ENTRIES_PAGE: usize = 1_024;
/// Blocks that are read at once, from one state of the backend.
const BLOCKS_READ: usize = 256;

/// Which blocks are asked for. Without a range, all are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Within these depths.
    pub depths: Option<RangeInclusive<u32>>,
    /// Within these times, Unix milliseconds.
    pub times_ms: Option<RangeInclusive<u64>>,
    /// Before this leaf index: the size of an anchored head gives the blocks that it covers.
    pub below: Option<u64>,
    /// At most so many, and at most [`PAGE_BLOCKS_MAX`].
    pub limit: usize,
    /// Where an earlier page of the same query stopped.
    pub after: Option<Cursor>,
}

impl Default for Query {
    fn default() -> Self {
        Self { depths: None, times_ms: None, below: None, limit: PAGE_BLOCKS_MAX, after: None }
    }
}

/// A place in the order of an answer: the last block seen. Valid for the query it came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cursor {
    /// Depth or time, whatever the answer is ordered by; 0 where it is the log's order.
    key: u64,
    leaf_index: u64,
}

/// A part of an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The blocks, in ascending order of time, else of depth, else of the log; of leaf index where that is equal.
    pub blocks: Vec<DagBlock>,
    /// Where to go on, unless the answer is complete. There need not be any further block.
    pub next: Option<Cursor>,
}

/// Finds blocks by depth and time.
///
/// ```
/// # fn example(backend: std::sync::Arc<dyn offchain_store::DagBackend>) -> Result<(), offchain_store::BackendError> {
/// use offchain_store::{DagIndex, index::Query};
/// let index = DagIndex::new(backend);
/// let mut query = Query { depths: Some(3..=5), limit: 100, ..Query::default() };
/// loop {
///     let page = index.query(&query)?;
///     page.blocks.iter().for_each(|block| println!("{}", block.block_hash()));
///     query.after = page.next;
///     if query.after.is_none() {
///         break;
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DagIndex {
    backend: Arc<dyn DagBackend>,
}

impl DagIndex {
    /// Reads nothing yet.
    pub fn new(backend: Arc<dyn DagBackend>) -> Self {
        Self { backend }
    }

    /// One page of the blocks that are asked for.
    pub fn query(&self, query: &Query) -> Result<Page, BackendError> {
        let limit = query.limit.min(PAGE_BLOCKS_MAX);
        if limit == 0 {
            return Ok(Page { blocks: Vec::new(), next: query.after });
        }
        // Backends may take an order of the bounds for granted.
        if query.depths.as_ref().is_some_and(RangeInclusive::is_empty)
            || query.times_ms.as_ref().is_some_and(RangeInclusive::is_empty)
        {
            return Ok(Page::default());
        }
        let mut page = PageBuilder { query, limit, backend: &*self.backend, page: Page::default() };
        match (&query.times_ms, &query.depths) {
            (None, None) => page.by_log()?,
            (None, Some(depths)) => page.by_depth(depths)?,
            (Some(times_ms), None) => page.by_time(times_ms)?,
            (Some(times_ms), Some(depths)) => page.by_both(times_ms, depths)?,
        }
        Ok(page.page)
    }
}

struct PageBuilder<'a> {
    query: &'a Query,
    limit: usize,
    backend: &'a dyn DagBackend,
    page: Page,
}

impl PageBuilder<'_> {
    fn by_log(&mut self) -> Result<(), BackendError> {
        let blocks = self.backend.totals()?.blocks;
        let end = self.query.below.map_or(blocks, |below| below.min(blocks));
        let start = self.query.after.map_or(0, |after| after.leaf_index.saturating_add(1));
        let mut next = start;
        while next < end && !self.is_full(Cursor { key: 0, leaf_index: next }) {
            let past = next.saturating_add(self.room() as u64).min(end);
            let blocks = self.read(&(next..past).collect::<Vec<u64>>())?;
            self.page.blocks.extend(blocks);
            next = past;
        }
        Ok(())
    }

    fn by_depth(&mut self, depths: &RangeInclusive<u32>) -> Result<(), BackendError> {
        let backend = self.backend;
        self.by_entries(|after, limit| {
            // A cursor of another query may hold a time; no depth lies beyond the greatest.
            let after = after.map(|after| (u32::try_from(after.key).unwrap_or(u32::MAX), after.leaf_index));
            let entries = backend.by_depth(depths.clone(), after, limit)?;
            Ok(entries.into_iter().map(|(depth, leaf_index)| Cursor { key: depth.into(), leaf_index }).collect())
        })
    }

    fn by_time(&mut self, times_ms: &RangeInclusive<u64>) -> Result<(), BackendError> {
        let backend = self.backend;
        self.by_entries(|after, limit| {
            let after = after.map(|after| (after.key, after.leaf_index));
            let entries = backend.by_time(times_ms.clone(), after, limit)?;
            Ok(entries.into_iter().map(|(key, leaf_index)| Cursor { key, leaf_index }).collect())
        })
    }

    /// In order of time either way. The depths decide which way is short: a few levels of a long log, or most of it.
    fn by_both(&mut self, times_ms: &RangeInclusive<u64>, depths: &RangeInclusive<u32>) -> Result<(), BackendError> {
        let within = self.backend.by_depth(depths.clone(), None, DEPTH_BLOCKS_SORTED_MAX + 1)?;
        if within.len() > DEPTH_BLOCKS_SORTED_MAX {
            return self.by_time(times_ms);
        }
        let mut matching = Vec::new();
        let within: Vec<u64> = within.into_iter().map(|(_, leaf_index)| leaf_index).collect();
        for some in within.chunks(BLOCKS_READ) {
            for block in self.read(some)? {
                let place = Cursor { key: block.header().timestamp_ms, leaf_index: block.leaf_index() };
                if self.query.after.is_none_or(|after| place > after) && matches(self.query, &block) {
                    matching.push((place, block));
                }
            }
        }
        matching.sort_unstable_by_key(|(place, _)| *place);
        for (place, block) in matching {
            if self.is_full(place) {
                break;
            }
            self.page.blocks.push(block);
        }
        Ok(())
    }

    /// Walks an index from the cursor on and keeps what matches, within the bounds of a page.
    fn by_entries(
        &mut self,
        entries: impl Fn(Option<Cursor>, usize) -> Result<Vec<Cursor>, BackendError>,
    ) -> Result<(), BackendError> {
        let mut after = self.query.after;
        for _ in 0..PAGE_ENTRIES_READ_MAX / ENTRIES_PAGE {
            let page = entries(after, ENTRIES_PAGE)?;
            let mut rest = page.as_slice();
            while let Some(place) = rest.first() {
                if self.is_full(*place) {
                    return Ok(());
                }
                let (some, others) = rest.split_at(self.room().min(rest.len()));
                (rest, after) = (others, some.last().copied());
                let leaves = some.iter().map(|place| place.leaf_index);
                let leaves: Vec<u64> =
                    leaves.filter(|leaf_index| self.query.below.is_none_or(|below| *leaf_index < below)).collect();
                let blocks = self.read(&leaves)?;
                self.page.blocks.extend(blocks.into_iter().filter(|block| matches(self.query, block)));
            }
            if page.len() < ENTRIES_PAGE {
                return Ok(());
            }
        }
        self.page.next = after;
        Ok(())
    }

    /// Whether the page has no room for the block at `place`; then it says that it goes on behind its last block.
    fn is_full(&mut self, place: Cursor) -> bool {
        if self.page.blocks.len() < self.limit {
            return false;
        }
        self.page.next = self.page.blocks.last().map(|last| Cursor {
            key: match (&self.query.times_ms, &self.query.depths) {
                (Some(_), _) => last.header().timestamp_ms,
                (None, Some(_)) => last.header().depth.into(),
                (None, None) => place.key,
            },
            leaf_index: last.leaf_index(),
        });
        true
    }

    /// Blocks to read at once: no more than the page has room for.
    fn room(&self) -> usize {
        self.limit.saturating_sub(self.page.blocks.len()).clamp(1, BLOCKS_READ)
    }

    fn read(&self, leaf_indices: &[u64]) -> Result<Vec<DagBlock>, BackendError> {
        let missing =
            |leaf_index| BackendError::Damaged(format!("the index names block {leaf_index}, which is not there"));
        let found = self.backend.blocks(leaf_indices)?.into_iter().zip(leaf_indices);
        found.map(|(block, leaf_index)| block.ok_or_else(|| missing(leaf_index))).collect()
    }
}

fn matches(query: &Query, block: &DagBlock) -> bool {
    let header = block.header();
    query.depths.as_ref().is_none_or(|depths| depths.contains(&header.depth))
        && query.times_ms.as_ref().is_none_or(|times| times.contains(&header.timestamp_ms))
        && query.below.is_none_or(|below| header.leaf_index < below)
}

#[cfg(test)]
mod tests;
