//! The part of a repair that makes the log's nodes anew from the blocks, and takes away those that are none.

use super::{Repairer, STEP_ROWS};
use crate::{
    plan::node_number,
    sqlite::{derived::TILE_LEVEL, fault::Result, read, rows::int, strays, write},
};
use pakit_primitives::{SoftwareHasher, hasher::Digest, log::hash_node};
use rusqlite::{Connection, OptionalExtension};

/// How stray rows of a table are found in a log of a length, at most so many.
type Find = fn(&Connection, u64, usize) -> Result<Vec<i64>>;

impl Repairer<'_> {
    /// Takes away tiles and nodes that no log of this length has: they follow from nothing.
    pub(super) fn stray_nodes(&mut self) -> Result<()> {
        let kinds: [(Find, &str); 2] = [
            (strays::tiles_out_of_place, "DELETE FROM log_tiles WHERE tile = ?1"),
            (strays::nodes_out_of_place, "DELETE FROM log_nodes WHERE node_id = ?1"),
        ];
        for (find, sql) in kinds {
            loop {
                let page: Vec<i64> = find(self.connection, self.blocks_end, STEP_ROWS as usize)?;
                for number in &page {
                    self.connection.execute(sql, [number])?;
                }
                self.report.rows_removed += page.len() as u64;
                if page.len() < STEP_ROWS as usize {
                    break;
                }
            }
        }
        Ok(())
    }

    /// A block's hash, if its header has it.
    fn leaf(&self, leaf_index: u64) -> Result<Option<Digest>> {
        match self.lost.contains(&leaf_index) {
            true => Ok(None),
            false => read::block_hash_at(self.connection, leaf_index),
        }
    }

    /// Writes the nodes of the log that follow from sound leaves. Where a leaf is lost, what is stored above it stays.
    pub(super) fn log(&mut self) -> Result<()> {
        let mut roots: Vec<Option<Digest>> = Vec::new();
        for tile in 0..self.blocks_end >> TILE_LEVEL {
            roots.push(self.tile(tile)?);
        }
        let mut level = TILE_LEVEL + 1;
        while roots.len() > 1 {
            let mut above = Vec::new();
            for (index, [left, right]) in (0u64..).zip(roots.as_chunks::<2>().0) {
                let stored = self.stored_node(level, index)?;
                let computed = left.zip(*right).map(|(left, right)| hash_node::<SoftwareHasher>(&left, &right));
                if let Some(hash) = computed.filter(|hash| stored.as_ref() != Some(hash)) {
                    let number = node_number(level, index).map_or(-1, int);
                    let sql = "INSERT OR REPLACE INTO log_nodes (node_id, hash) VALUES (?1, ?2)";
                    self.connection.execute(sql, (number, hash))?;
                    self.report.log_nodes_restored += 1;
                }
                above.push(computed.or(stored));
            }
            roots = above;
            level += 1;
        }
        Ok(())
    }

    fn stored_node(&self, level: u32, index: u64) -> Result<Option<Digest>> {
        let number = node_number(level, index).map_or(-1, int);
        let sql = "SELECT hash FROM log_nodes WHERE node_id = ?1";
        // What is no hash is as good as none.
        let read = |row: &rusqlite::Row<'_>| Ok(row.get(0).ok());
        Ok(self.connection.prepare_cached(sql)?.query_row([number], read).optional()?.flatten())
    }

    /// The tile's root.
    fn tile(&mut self, tile: u64) -> Result<Option<Digest>> {
        let first = tile << TILE_LEVEL;
        let mut row = Vec::with_capacity(1 << TILE_LEVEL);
        for leaf_index in first..first + (1 << TILE_LEVEL) {
            row.push(self.leaf(leaf_index)?);
        }
        let sql = "SELECT nodes FROM log_tiles WHERE tile = ?1";
        let stored: Option<Vec<u8>> = self.connection.query_row(sql, [int(tile)], |row| row.get(0)).optional()?;
        let mut nodes = stored.clone().unwrap_or_else(|| vec![0; write::TILE_BYTES]);
        nodes.resize(write::TILE_BYTES, 0);
        for level in 1..=TILE_LEVEL {
            row = row
                .as_chunks::<2>()
                .0
                .iter()
                .map(|[left, right]| left.zip(*right).map(|(left, right)| hash_node::<SoftwareHasher>(&left, &right)))
                .collect();
            for (index, node) in (first >> level..).zip(&mut row) {
                let place = write::place_in_tile(level, index).and_then(|place| nodes.get_mut(place..place + 32));
                let Some(place) = place else { continue };
                match node {
                    Some(hash) if *place != hash[..] => {
                        place.copy_from_slice(hash);
                        self.report.log_nodes_restored += 1;
                    }
                    Some(_) => {}
                    // Below it a leaf is lost: what is stored is all that is known.
                    None => *node = stored.as_ref().and_then(|_| place.first_chunk().copied()),
                }
            }
        }
        if stored.as_ref() != Some(&nodes) {
            let sql = "INSERT OR REPLACE INTO log_tiles (tile, nodes) VALUES (?1, ?2)";
            self.connection.execute(sql, (int(tile), nodes))?;
        }
        Ok(row.first().copied().flatten())
    }
}
