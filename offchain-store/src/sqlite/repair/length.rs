//! How long the log is, for a repair that finds rows contradicting each other.
//!
//! What counts by itself: a block that can be put together, since its hash covers its place; an anchor that the chain finalized; and
//! rows that follow those blocks without a gap, unless the sums are exactly those of the blocks that there are. Whatever else
//! tells of more blocks is believed as far as a second one tells of as many: the number of blocks in the sums, the tiles and the nodes of
//! the log, the largest head that was seen on a chain. (The last one may be larger for a good reason: a restore ends where it was told to.) The
//! number in the sums is borne out by another sum as well, if that is larger by what so many blocks add at least.

use super::Repairer;
use crate::{
    backend::Totals,
    sqlite::{
        derived::{LOST_AT_END_MAX, TILE_LEVEL},
        fault::Result,
        rows::{to_bits, uint},
        strays,
    },
};
use rusqlite::OptionalExtension;
use std::ops::Range;

/// Sums stay below: no store keeps as much in its life.
const SUM_END: u64 = 1 << 60;

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
        self.told = self.read_told()?;
        let told = self.told;
        // Every block but an empty genesis adds to the sums, whatever they say of how many there are.
        let is_none_more = certain > 0 || told.blocks == Some(0);
        let are_sums = walked.sound == certain && is_none_more && told.sums() == sums_of(&self.counted);
        self.are_sums_of_blocks = are_sums && told.blocks == Some(certain);
        if self.are_sums_of_blocks {
            return Ok(certain);
        }
        let mut claims = vec![
            self.last("SELECT max(tile) FROM log_tiles")?.map_or(0, |tile| (tile + 1).saturating_mul(1 << TILE_LEVEL)),
            self.end_of_nodes()?,
            self.last("SELECT max(seen_size) FROM chain_binding WHERE is_current = 1")?.unwrap_or(0),
        ];
        if let Some(blocks) = told.blocks {
            claims.push(blocks);
            claims.extend(self.is_borne_out(blocks, &told, walked).then_some(blocks));
        }
        claims.retain(is_near);
        claims.sort_unstable_by(|a, b| b.cmp(a));
        let borne_out = claims.get(1).copied().unwrap_or(0);
        if are_sums && borne_out <= certain {
            // Only the number of blocks is wrong, and a row behind them is none.
            self.are_sums_of_blocks = true;
            return Ok(certain);
        }
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

    /// Each sum by itself: one that is no number says nothing, and takes nothing from the others.
    fn read_told(&self) -> Result<Told> {
        let sql = "SELECT blocks, edges, depth_sum, slices, original_bytes, referenced_bytes, depth_max FROM totals
            WHERE id = 1";
        let found = self.connection.query_row(sql, (), |row| {
            let number = |column| uint(row, column).ok();
            Ok(Told {
                blocks: number(0),
                edges: number(1),
                depth_sum: number(2),
                slices: to_bits(row, 3).ok(),
                original_bytes: number(4),
                referenced_bytes: number(5),
                depth_max: row.get(6).ok(),
            })
        });
        Ok(found.optional()?.unwrap_or_default())
    }

    /// Whether other sums have what so many more blocks add at least: each block but genesis has a parent, and stands below it.
    fn is_borne_out(&self, blocks: u64, told: &Told, walked: &Walked) -> bool {
        let missing = blocks.saturating_sub(walked.sound);
        let below_genesis = if walked.has_genesis { missing } else { missing.saturating_sub(1) };
        let adds = |told: Option<u64>, counted: u64| {
            told.is_some_and(|told| below_genesis > 0 && told.saturating_sub(counted) >= below_genesis)
        };
        let is_more = |told: Option<u64>, counted: u64| told.is_some_and(|told| told > counted);
        missing > 0
            && (adds(told.edges, self.counted.edges)
                || adds(told.depth_sum, self.counted.depth_sum)
                || (is_more(told.slices, self.counted.slices)
                    && is_more(told.original_bytes, self.counted.original_bytes)))
    }
}

/// What the sums tell of the log, as far as they can be read.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Told {
    blocks: Option<u64>,
    edges: Option<u64>,
    depth_sum: Option<u64>,
    slices: Option<u64>,
    original_bytes: Option<u64>,
    referenced_bytes: Option<u64>,
    depth_max: Option<u32>,
}

impl Told {
    /// Adds what is known from here only: what the blocks that are lost added. Of sums that leave no room for what comes next nothing is
    /// kept, nor of slices where the newest block tells them.
    pub(super) fn add_lost(&self, counted: &mut Totals, is_newest_lost: bool) {
        let larger = |sum: &mut u64, told: Option<u64>| {
            *sum = told.filter(|told| *told < SUM_END).map_or(*sum, |told| told.max(*sum))
        };
        larger(&mut counted.edges, self.edges);
        larger(&mut counted.depth_sum, self.depth_sum);
        larger(&mut counted.original_bytes, self.original_bytes);
        larger(&mut counted.referenced_bytes, self.referenced_bytes);
        larger(&mut counted.slices, self.slices.filter(|_| is_newest_lost));
        counted.depth_max = self.depth_max.map_or(counted.depth_max, |told| told.max(counted.depth_max));
    }

    fn sums(&self) -> [Option<u64>; 5] {
        [self.edges, self.depth_sum, self.slices, self.original_bytes, self.referenced_bytes]
    }
}

fn sums_of(counted: &Totals) -> [Option<u64>; 5] {
    let Totals { edges, depth_sum, slices, original_bytes, referenced_bytes, .. } = *counted;
    [edges, depth_sum, slices, original_bytes, referenced_bytes].map(Some)
}
