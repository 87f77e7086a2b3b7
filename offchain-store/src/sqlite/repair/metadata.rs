//! The part of a repair that is about blocks whose row names the wrong metadata, or metadata under a wrong hash. The block's hash covers that of its
//! metadata: what makes the header whole is right.

use super::{Repairer, STEP_ROWS};
use crate::{
    block::DagBlock,
    sqlite::{
        fault::Result,
        read::{self, Instead},
        rows::{int, uint},
    },
};
use pakit_primitives::MetadataHash;
use rusqlite::OptionalExtension;

/// Maps of others that are tried on blocks in one repair: a few seconds.
pub(super) const TRIES_MAX: u64 = 1 << 16;

/// What makes a block whole.
enum Mended {
    /// It has no metadata.
    None,
    /// The metadata of this number.
    Row(i64),
    /// Its own, whose row has another hash than its map.
    Rehashed(i64, MetadataHash),
}

impl Repairer<'_> {
    /// A block that could not be put together, with the metadata that makes it whole, if any that is kept does.
    pub(super) fn block_of_other_metadata(&mut self, leaf_index: u64) -> Result<Option<DagBlock>> {
        let sql = "SELECT metadata_id FROM blocks WHERE leaf_index = ?1";
        let own: Option<i64> =
            self.connection.query_row(sql, [int(leaf_index)], |row| row.get(0)).optional()?.flatten();
        let sql = "SELECT map FROM metadata WHERE metadata_id = ?1";
        let map: Option<Vec<u8>> = self.connection.query_row(sql, [own], |row| row.get(0)).optional()?;
        let mut tries = vec![(Mended::None, MetadataHash::NONE)];
        if let Some((id, map)) = own.zip(map) {
            let hash = MetadataHash::new(*blake3::hash(&map).as_bytes());
            tries.push((Mended::Rehashed(id, hash), hash));
        }
        for (mended, hash) in tries {
            if let Some(block) = self.try_metadata(leaf_index, hash)? {
                self.mend_metadata(leaf_index, &mended)?;
                return Ok(Some(block));
            }
        }
        let mut after = i64::MIN;
        while self.metadata_tries > 0 {
            let sql = "SELECT metadata_id, hash FROM metadata WHERE metadata_id > ?1 ORDER BY metadata_id LIMIT ?2";
            let of_row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, MetadataHash::new(row.get(1)?)));
            let page: Vec<(i64, MetadataHash)> =
                read::all(self.connection, sql, (after, int(STEP_ROWS.min(self.metadata_tries))), of_row)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            self.metadata_tries -= page.len() as u64;
            for (id, hash) in &page {
                if let Some(block) = self.try_metadata(leaf_index, *hash)? {
                    self.mend_metadata(leaf_index, &Mended::Row(*id))?;
                    return Ok(Some(block));
                }
            }
        }
        Ok(None)
    }

    fn try_metadata(&self, leaf_index: u64, hash: MetadataHash) -> Result<Option<DagBlock>> {
        let instead = Instead { metadata: Some(hash), ..Instead::default() };
        read::block_with(self.connection, int(leaf_index), leaf_index, &instead)
    }

    fn mend_metadata(&mut self, leaf_index: u64, mended: &Mended) -> Result<()> {
        let id = match *mended {
            Mended::None => None,
            Mended::Row(id) => Some(id),
            Mended::Rehashed(id, hash) => {
                let sql = "SELECT metadata_id FROM metadata WHERE hash = ?1";
                let other: Option<i64> =
                    self.connection.query_row(sql, [hash.as_bytes()], |row| row.get(0)).optional()?;
                if other.is_none() {
                    let sql = "UPDATE metadata SET hash = ?2 WHERE metadata_id = ?1";
                    self.connection.execute(sql, (id, hash.as_bytes()))?;
                }
                Some(other.unwrap_or(id))
            }
        };
        let sql = "UPDATE blocks SET metadata_id = ?2 WHERE leaf_index = ?1";
        self.connection.execute(sql, (int(leaf_index), id))?;
        self.report.rows_corrected += 1;
        Ok(())
    }

    /// Blocks that are whole without metadata, and whose rows name some that is not there: nobody finds them by what they are.
    pub(super) fn metadata_of_none(&mut self) -> Result<()> {
        let mut from = 0;
        loop {
            let sql = "SELECT leaf_index FROM blocks b WHERE leaf_index >= ?1 AND metadata_id IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM metadata m WHERE m.metadata_id = b.metadata_id)
                ORDER BY leaf_index LIMIT ?2";
            let page = read::all(self.connection, sql, (int(from), int(STEP_ROWS)), |row| uint(row, 0))?;
            for leaf_index in
                page.iter().filter(|leaf_index| **leaf_index < self.blocks_end && !self.lost.contains(*leaf_index))
            {
                let sql = "UPDATE blocks SET metadata_id = NULL WHERE leaf_index = ?1";
                self.report.rows_corrected += self.connection.execute(sql, [int(*leaf_index)])? as u64;
            }
            let Some(last) = page.last().filter(|_| page.len() == STEP_ROWS as usize) else { return Ok(()) };
            from = last.saturating_add(1);
        }
    }
}
