//! The part of a repair that is about payloads whose row names another hash or size than that of the bytes it holds, though the bytes
//! are what was put. Nothing is believed for it: the header that is put together with the bytes' hash has to have the block's.

use super::{Content, Materials, Repairer, content_state, name, plain_chunk, stored_size};
use crate::{
    block::DagBlock,
    sqlite::{
        fault::Result,
        read::{self, Instead},
        rows::{int, uint},
    },
};
use pakit_primitives::hasher::Digest;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::collections::HashMap;

/// A payload whose hash and size are known again.
#[derive(Debug)]
pub(super) struct Rehashed {
    hash: Digest,
    size: u64,
    /// The blocks that say so.
    blocks: Vec<u64>,
}

impl Repairer<'_> {
    /// A block that could not be put together, with the hash of what its payload holds, if that makes it whole.
    pub(super) fn rehashed_block(&mut self, leaf_index: u64) -> Result<Option<DagBlock>> {
        let sql = "SELECT payload_id FROM blocks WHERE leaf_index = ?1 AND payload_id >= 0";
        let id = self.connection.query_row(sql, [int(leaf_index)], |row| uint(row, 0)).optional()?;
        let Some(id) = id else { return Ok(None) };
        let content = match self.rehashed.get(&id) {
            Some(known) => Some((known.hash, known.size)),
            None => held_content(self.connection, id, &self.materials)?,
        };
        let Some((hash, size)) = content else { return Ok(None) };
        let instead = Instead { content, ..Instead::default() };
        let block = read::block_with(self.connection, int(leaf_index), leaf_index, &instead)?;
        if block.is_some() {
            let rehashed = self.rehashed.entry(id).or_insert_with(|| Rehashed { hash, size, blocks: Vec::new() });
            rehashed.blocks.push(leaf_index);
        }
        Ok(block)
    }

    /// Writes the hashes down, and takes back what was set aside for them.
    pub(super) fn rehash(&mut self) -> Result<()> {
        let rehashed = std::mem::take(&mut self.rehashed);
        if rehashed.is_empty() {
            return Ok(());
        }
        let others = self.rows_of(&rehashed.values().map(|payload| (payload.hash, None)).collect())?;
        for (id, Rehashed { hash, size, blocks }) in rehashed {
            // The content may have been put again meanwhile: two rows of one hash would each hide the other.
            let row = others.get(&hash).copied().flatten().unwrap_or(id);
            let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if row == id {
                let sql = "UPDATE payloads SET hash = ?2, original_size = ?3 WHERE payload_id = ?1";
                txn.execute(sql, (int(id), hash, int(size)))?;
            } else {
                for leaf_index in &blocks {
                    let sql = "UPDATE blocks SET payload_id = ?2 WHERE leaf_index = ?1";
                    txn.execute(sql, (int(*leaf_index), int(row)))?;
                }
            }
            let taken_back = take_back(&txn, id, row, &hash, &self.materials)?;
            txn.commit()?;
            self.report.rows_corrected += 1;
            if let Some(Taken { original_size, stored_size, named }) = taken_back {
                self.counted.chunks += 1;
                self.counted.unique_bytes += original_size;
                self.counted.stored_bytes += stored_size;
                if self.aside.remove(&id) {
                    self.report.set_aside_count -= 1;
                    let place = self.report.set_aside.iter().position(|hash| hash.to_bytes() == named);
                    place.map(|place| self.report.set_aside.remove(place));
                }
            }
            for leaf_index in blocks {
                self.name_lost_content(leaf_index)?;
            }
        }
        Ok(())
    }

    /// Rows that have one of these hashes.
    fn rows_of(&self, hashes: &HashMap<Digest, Option<u64>>) -> Result<HashMap<Digest, Option<u64>>> {
        let mut found = hashes.clone();
        let mut select = self.connection.prepare("SELECT payload_id, hash FROM payloads WHERE hash IS NOT NULL")?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            let Ok(hash) = row.get::<_, Digest>(1) else { continue };
            if let Some(id) = found.get_mut(&hash) {
                *id = Some(uint(row, 0)?);
            }
        }
        Ok(found)
    }

    fn name_lost_content(&mut self, leaf_index: u64) -> Result<()> {
        let Some(block) = read::block(self.connection, leaf_index)? else { return Ok(()) };
        let content = content_state(self.connection, leaf_index, block.header().original_size, &self.materials)?;
        if !matches!(content, Content::Whole | Content::Mended) {
            name(&mut self.report.contents_lost, &mut self.report.contents_lost_count, block.block_hash());
        }
        Ok(())
    }
}

/// Hash and size of what a payload holds: its list of chunks, or what was set aside of it.
fn held_content(connection: &Connection, payload_id: u64, materials: &Materials) -> Result<Option<(Digest, u64)>> {
    let sql = "SELECT kind FROM payloads WHERE payload_id = ?1";
    match connection.query_row(sql, [int(payload_id)], |row| row.get::<_, i64>(0)).optional()? {
        Some(1) => content_of_list(connection, payload_id, materials),
        Some(2) => {
            let sql = "SELECT set_aside_id, hash, compression, original_size, bytes FROM set_aside
                WHERE payload_id = ?1 ORDER BY set_aside_id DESC LIMIT 1";
            let plain = connection
                .query_row(sql, [int(payload_id)], |row| Ok(plain_chunk(row, materials)))
                .optional()?
                .transpose()?
                .flatten();
            Ok(plain.map(|plain| (*blake3::hash(&plain).as_bytes(), plain.len() as u64)))
        }
        _ => Ok(None),
    }
}

fn content_of_list(connection: &Connection, payload_id: u64, materials: &Materials) -> Result<Option<(Digest, u64)>> {
    let sql = "SELECT c.start_offset, p.hash, p.compression, p.original_size, p.bytes FROM payload_chunks c
        LEFT JOIN payloads p ON p.payload_id = c.chunk_id WHERE c.payload_id = ?1 ORDER BY c.start_offset";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([int(payload_id)])?;
    let (mut hasher, mut end) = (blake3::Hasher::new(), 0u64);
    while let Some(row) = rows.next()? {
        let Some(plain) = plain_chunk(row, materials)?.filter(|_| row.get(0).is_ok_and(|start: i64| start == int(end)))
        else {
            return Ok(None);
        };
        end += plain.len() as u64;
        hasher.update(&plain);
    }
    Ok((end > 0).then(|| (*hasher.finalize().as_bytes(), end)))
}

/// What was taken back.
struct Taken {
    original_size: u64,
    stored_size: u64,
    /// The hash under which it was set aside.
    named: Digest,
}

/// Puts what was set aside of a payload into a row that holds nothing, if it has this hash.
fn take_back(
    txn: &Connection,
    payload_id: u64,
    row: u64,
    hash: &Digest,
    materials: &Materials,
) -> Result<Option<Taken>> {
    let sql = "SELECT set_aside_id, hash, compression, original_size, bytes FROM set_aside
        WHERE payload_id = ?1 ORDER BY set_aside_id DESC LIMIT 1";
    let found = txn.query_row(sql, [int(payload_id)], |row| {
        let stored_size = stored_size(row);
        let named = row.get::<_, Option<Digest>>(1).ok().flatten().unwrap_or_default();
        Ok((row.get::<_, i64>(0)?, plain_chunk(row, materials), stored_size, named))
    });
    let Some((id, plain, stored_size, named)) = found.optional()? else { return Ok(None) };
    let Some(plain) = plain?.filter(|plain| blake3::hash(plain).as_bytes() == hash) else { return Ok(None) };
    let original_size = plain.len() as u64;
    let sql = "UPDATE payloads SET kind = 0, compression = s.compression, original_size = s.original_size,
        stored_size = ?3, bytes = s.bytes FROM set_aside s WHERE payloads.payload_id = ?1 AND payloads.kind = 2
        AND s.set_aside_id = ?2";
    if txn.execute(sql, (int(row), id, int(stored_size)))? == 0 {
        return Ok(None);
    }
    txn.execute("DELETE FROM set_aside WHERE set_aside_id = ?1", [id])?;
    Ok(Some(Taken { original_size, stored_size, named }))
}
