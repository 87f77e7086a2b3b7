//! How long the log is, for a repair that finds rows contradicting each other.
//!
//! What counts by itself: a block that can be put together, since its hash covers its place; an anchor that the chain finalized; and
//! rows that follow those blocks without a gap, unless the sums are exactly those of the blocks that there are. Whatever else
//! tells of more blocks is believed as far as a second one tells of as many: the number of blocks in the sums, the tiles and the nodes of
//! the log, the largest head that was seen on a chain. (The last one may be larger for a good reason: a restore ends where it was told to.) The
//! number in the sums is borne out by the other sums as well, if they are larger by what so many blocks add at least.

use super::Repairer;
use crate::{
    backend::Totals,
    sqlite::{
        derived::{LOST_AT_END_MAX, TILE_LEVEL},
        fault::Result,
        read, strays,
    },
};
use std::ops::Range;

/// What a walk over the rows of blocks found, in ascending order.
pub(super) struct Walked {
    /// Rows in all.
    rows: u64,
    /// Where the walk goes on.
    pub(super) next_row: u64,
    /// Behind the last row before the first gap.
    rows_end: u64,
    /// Behind the last sound block.
    sound_end: u64,
    sound: u64,
    has_genesis: bool,
    /// Where no sound block is, before `sound_end`.
    gaps: Vec<Range<u64>>,
}

impl Walked {
    pub(super) fn new(rows: u64) -> Self {
        Self { rows, next_row: 0, rows_end: 0, sound_end: 0, sound: 0, has_genesis: false, gaps: Vec::new() }
    }

    /// Whether a block may stand there. One that was moved far beyond all others may not, or all that is before it would be lost.
    pub(super) fn may_stand(&self, leaf_index: u64) -> bool {
        leaf_index < self.rows.saturating_add(LOST_AT_END_MAX)
    }

    pub(super) fn note(&mut self, leaf_index: u64, is_sound: bool) {
        if is_sound {
            if leaf_index > self.sound_end {
                self.gaps.push(self.sound_end..leaf_index);
            }
            self.sound_end = leaf_index.saturating_add(1);
            self.sound += 1;
            self.has_genesis |= leaf_index == 0;
        }
        // Behind a sound block the rows go on, whatever is missing before it.
        if leaf_index == self.rows_end || is_sound {
            self.rows_end = leaf_index.saturating_add(1);
        }
        self.next_row = leaf_index.saturating_add(1);
    }

    /// Leaf indices of a log of this length at which there is no sound block.
    pub(super) fn lost(&self, end: u64) -> impl Iterator<Item = u64> {
        self.gaps.iter().cloned().flatten().chain(self.sound_end..end)
    }
}

impl Repairer<'_> {
    /// The length of the log. Rows that were not put together and stand behind it are no part of it.
    pub(super) fn end_of_log(&mut self, walked: &Walked) -> Result<u64> {
        let anchored = self.last("SELECT max(size) FROM outbox WHERE kind = 2 AND state = 4")?;
        let is_near = |end: &u64| end.saturating_sub(walked.rows) <= LOST_AT_END_MAX;
        let certain = walked.sound_end.max(anchored.filter(is_near).unwrap_or(0));
        let stored = read::totals(self.connection).ok().map(|(totals, _)| totals);
        let is_told = |stored: &Totals| stored.blocks == certain && is_sum(stored, &self.counted);
        self.are_sums_of_blocks = walked.sound == certain && stored.as_ref().is_some_and(is_told);
        if self.are_sums_of_blocks {
            return Ok(certain);
        }
        let mut claims = vec![
            self.last("SELECT max(tile) FROM log_tiles")?.map_or(0, |tile| (tile + 1).saturating_mul(1 << TILE_LEVEL)),
            self.end_of_nodes()?,
            self.last("SELECT max(seen_size) FROM chain_binding WHERE is_current = 1")?.unwrap_or(0),
        ];
        if let Some(stored) = stored {
            claims.push(stored.blocks);
            claims.extend(self.is_borne_out(&stored, walked).then_some(stored.blocks));
        }
        claims.retain(is_near);
        claims.sort_unstable_by(|a, b| b.cmp(a));
        let borne_out = claims.get(1).copied().unwrap_or(0);
        Ok(certain.max(Some(walked.rows_end).filter(is_near).unwrap_or(0)).max(borne_out))
    }

    fn last(&self, sql: &str) -> Result<Option<u64>> {
        let found: Option<i64> = self.connection.query_row(sql, (), |row| row.get(0))?;
        Ok(found.and_then(|found| u64::try_from(found).ok()))
    }

    fn end_of_nodes(&self) -> Result<u64> {
        let last: Option<i64> =
            self.connection.query_row("SELECT max(node_id) FROM log_nodes", (), |row| row.get(0))?;
        Ok(last.and_then(strays::nodes_end).unwrap_or(0))
    }

    /// Whether the sums have what so many more blocks add at least: each block but genesis has a parent, and stands below it.
    fn is_borne_out(&self, stored: &Totals, walked: &Walked) -> bool {
        let missing = stored.blocks.saturating_sub(walked.sound);
        let below_genesis = if walked.has_genesis { missing } else { missing.saturating_sub(1) };
        let has_more = |stored: u64, counted: u64| stored.saturating_sub(counted) >= below_genesis;
        // Genesis alone adds nothing to the others.
        let is_longer = stored.original_bytes > self.counted.original_bytes || below_genesis > 0;
        missing > 0
            && is_longer
            && has_more(stored.edges, self.counted.edges)
            && has_more(stored.depth_sum, self.counted.depth_sum)
    }
}

/// Whether these are the sums over the blocks that were counted.
fn is_sum(stored: &Totals, counted: &Totals) -> bool {
    let of_blocks = |totals: &Totals| {
        let Totals { edges, depth_max, depth_sum, slices, original_bytes, referenced_bytes, .. } = *totals;
        (edges, depth_max, depth_sum, slices, original_bytes, referenced_bytes)
    };
    of_blocks(stored) == of_blocks(counted)
}
