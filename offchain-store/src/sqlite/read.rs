//! All questions to the tables.

use super::{
    fault::{Fault, Result},
    rows::{decode_parents, from_time_key, int, limit, time_key, to_bits, uint},
};
use crate::{
    backend::{BlockKey, ChunkRef, PayloadInfo, StoredChunk, Totals},
    block::DagBlock,
    plan::{ParentRow, PayloadKind, PayloadRow, node_number},
};
use pakit_primitives::{BlockHash, Compression, ContentHash, Header, MetadataHash, Parent, Parents, hasher::Digest};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use std::ops::RangeInclusive;

/// A payload's row.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundPayload {
    pub(super) row: PayloadRow,
    pub(super) compression: Compression,
}

/// First row of the answer, if there is one.
fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    Ok(connection.prepare_cached(sql)?.query_row(params, read).optional()?)
}

/// All rows of the answer.
fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    Ok(connection.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<_>>()?)
}

/// The place before the first leaf, or that of `after`.
fn start(after: Option<u64>) -> i64 {
    after.map_or(-1, int)
}

pub(super) fn totals(connection: &Connection) -> Result<(Totals, u64)> {
    let sql = "SELECT blocks, edges, depth_max, depth_sum, slices, original_bytes, referenced_bytes, unique_bytes,
        stored_bytes, chunks, frontier, payload_next FROM totals WHERE id = 1";
    let found = one(connection, sql, (), |row| {
        let totals = Totals {
            blocks: uint(row, 0)?,
            edges: uint(row, 1)?,
            depth_max: row.get(2)?,
            depth_sum: uint(row, 3)?,
            slices: to_bits(row, 4)?,
            original_bytes: uint(row, 5)?,
            referenced_bytes: uint(row, 6)?,
            unique_bytes: uint(row, 7)?,
            stored_bytes: uint(row, 8)?,
            chunks: uint(row, 9)?,
            frontier: uint(row, 10)?,
        };
        Ok((totals, uint(row, 11)?))
    })?;
    found.ok_or_else(|| Fault::damaged("the row of the totals is missing"))
}

/// A block's row without its parents' hashes.
struct BlockRow {
    block_hash: Digest,
    header: Header,
    parents: Vec<u8>,
}

fn block_row(leaf_index: u64, row: &Row<'_>) -> rusqlite::Result<Option<BlockRow>> {
    let Some(compression) = Compression::from_code(row.get(6)?) else { return Ok(None) };
    let (Some(content_hash), Some(_)) = (row.get::<_, Option<Digest>>(8)?, row.get::<_, Option<i64>>(9)?) else {
        return Ok(None);
    };
    let header = Header {
        leaf_index,
        parents: Parents::none(),
        depth: row.get(1)?,
        timestamp_ms: from_time_key(row, 2)?,
        slices_before: to_bits(row, 3)?,
        content_hash: ContentHash::new(content_hash),
        codec: row.get(4)?,
        original_size: uint(row, 9)?,
        stored_size: uint(row, 5)?,
        compression,
        metadata_hash: row.get::<_, Option<Digest>>(10)?.map_or(MetadataHash::NONE, MetadataHash::new),
    };
    Ok(Some(BlockRow { block_hash: row.get(0)?, header, parents: row.get(7)? }))
}

pub(super) fn block(connection: &Connection, leaf_index: u64) -> Result<Option<DagBlock>> {
    let sql = "SELECT b.block_hash, b.depth, b.timestamp_key, b.slices_before, b.codec, b.stored_size, b.compression,
        b.parents, p.hash, p.original_size, m.hash
        FROM blocks b LEFT JOIN payloads p ON p.payload_id = b.payload_id
        LEFT JOIN metadata m ON m.metadata_id = b.metadata_id WHERE b.leaf_index = ?1";
    let damaged = |what: &str| Fault::damaged(format!("block {leaf_index} {what}"));
    // One transaction for the block and its parents takes SQLite's locks once instead of for each.
    let connection = &connection.unchecked_transaction()?;
    let found = one(connection, sql, [int(leaf_index)], |row| block_row(leaf_index, row));
    let Some(found) = found.map_err(|fault| of_block(leaf_index, fault))? else { return Ok(None) };
    let BlockRow { block_hash, mut header, parents } =
        found.ok_or_else(|| damaged("has an unknown compression or no payload"))?;
    let mut named = Vec::new();
    for parent in decode_parents(leaf_index, &parents)? {
        let block_hash =
            block_hash_at(connection, parent)?.ok_or_else(|| damaged("names a parent that is not there"))?;
        named.push(Parent { leaf_index: parent, block_hash: BlockHash::new(block_hash) });
    }
    header.parents = Parents::from_slice(&named).map_err(|error| damaged(&error.to_string()))?;
    let block = DagBlock::new(header).map_err(|error| damaged(&error.to_string()))?;
    match block.block_hash().to_bytes() == block_hash {
        true => Ok(Some(block)),
        false => Err(damaged("does not have its block hash")),
    }
}

/// A row that does not have the types or ranges that were written gets the block's name.
fn of_block(leaf_index: u64, fault: Fault) -> Fault {
    match fault {
        Fault::Sql(
            error @ (rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)),
        ) => Fault::damaged(format!("block {leaf_index}: {error}")),
        other => other,
    }
}

fn block_hash_at(connection: &Connection, leaf_index: u64) -> Result<Option<Digest>> {
    one(connection, "SELECT block_hash FROM blocks WHERE leaf_index = ?1", [int(leaf_index)], |row| row.get(0))
}

pub(super) fn find_block(connection: &Connection, block_hash: &BlockHash) -> Result<Option<u64>> {
    let sql = "SELECT leaf_index FROM blocks WHERE substr(block_hash, 1, 8) = substr(?1, 1, 8) AND block_hash = ?1";
    one(connection, sql, [block_hash.as_bytes()], |row| uint(row, 0))
}

pub(super) fn find_key(connection: &Connection, key: &BlockKey) -> Result<Option<u64>> {
    let Some(payload) = payload(connection, &key.content_hash)? else { return Ok(None) };
    let metadata_id = match key.metadata_hash.is_some() {
        false => None,
        true => match metadata_id(connection, &key.metadata_hash)? {
            None => return Ok(None),
            found => found,
        },
    };
    let sql = "SELECT leaf_index FROM blocks WHERE payload_id = ?1 AND codec = ?2 AND metadata_id IS ?3
        ORDER BY leaf_index LIMIT 1";
    one(connection, sql, (int(payload.row.id), key.codec, metadata_id), |row| uint(row, 0))
}

pub(super) fn find_content(
    connection: &Connection,
    content_hash: &ContentHash,
    after: Option<u64>,
    limit_: usize,
) -> Result<Vec<u64>> {
    let Some(payload) = payload(connection, content_hash)? else { return Ok(Vec::new()) };
    let sql = "SELECT leaf_index FROM blocks INDEXED BY blocks_by_content WHERE payload_id = ?1 AND leaf_index > ?2
        ORDER BY leaf_index LIMIT ?3";
    all(connection, sql, (int(payload.row.id), start(after), limit(limit_)), |row| uint(row, 0))
}

pub(super) fn log_node(connection: &Connection, level: u32, index: u64) -> Result<Option<Digest>> {
    if level == 0 {
        return block_hash_at(connection, index);
    }
    let Some(number) = node_number(level, index) else { return Ok(None) };
    one(connection, "SELECT hash FROM log_nodes WHERE node_id = ?1", [int(number)], |row| row.get(0))
}

pub(super) fn children(
    connection: &Connection,
    leaf_index: u64,
    after: Option<u64>,
    limit_: usize,
) -> Result<Vec<u64>> {
    let sql = "SELECT child FROM edges WHERE parent = ?1 AND child > ?2 ORDER BY child LIMIT ?3";
    all(connection, sql, (int(leaf_index), start(after), limit(limit_)), |row| uint(row, 0))
}

pub(super) fn child_count(connection: &Connection, leaf_index: u64) -> Result<u64> {
    let sql = "SELECT count(*) FROM edges WHERE parent = ?1";
    Ok(one(connection, sql, [int(leaf_index)], |row| uint(row, 0))?.unwrap_or_default())
}

pub(super) fn frontier(connection: &Connection, after: Option<u64>, limit_: usize) -> Result<Vec<u64>> {
    let sql = "SELECT leaf_index FROM frontier WHERE leaf_index > ?1 ORDER BY leaf_index LIMIT ?2";
    all(connection, sql, (start(after), limit(limit_)), |row| uint(row, 0))
}

pub(super) fn by_depth(
    connection: &Connection,
    depths: RangeInclusive<u32>,
    after: Option<(u32, u64)>,
    limit_: usize,
) -> Result<Vec<(u32, u64)>> {
    // What comes after (depth, leaf) within the range is either that depth's rest or a greater depth.
    let (depth, leaf) = match after {
        Some((depth, leaf)) if depth >= *depths.start() => (depth, int(leaf)),
        _ => (*depths.start(), -1),
    };
    let sql = "SELECT depth, leaf_index FROM blocks INDEXED BY blocks_by_depth
        WHERE (depth, leaf_index) > (?1, ?2) AND depth <= ?3 ORDER BY depth, leaf_index LIMIT ?4";
    all(connection, sql, (depth, leaf, depths.end(), limit(limit_)), |row| Ok((row.get(0)?, uint(row, 1)?)))
}

pub(super) fn by_time(
    connection: &Connection,
    times_ms: RangeInclusive<u64>,
    after: Option<(u64, u64)>,
    limit_: usize,
) -> Result<Vec<(u64, u64)>> {
    let (time, leaf) = match after {
        Some((time, leaf)) if time >= *times_ms.start() => (time_key(time), int(leaf)),
        _ => (time_key(*times_ms.start()), -1),
    };
    let sql = "SELECT timestamp_key, leaf_index FROM blocks INDEXED BY blocks_by_time
        WHERE (timestamp_key, leaf_index) > (?1, ?2) AND timestamp_key <= ?3
        ORDER BY timestamp_key, leaf_index LIMIT ?4";
    let params = (time, leaf, time_key(*times_ms.end()), limit(limit_));
    all(connection, sql, params, |row| Ok((from_time_key(row, 0)?, uint(row, 1)?)))
}

pub(super) fn payload(connection: &Connection, hash: &ContentHash) -> Result<Option<FoundPayload>> {
    let sql = "SELECT payload_id, kind, original_size, stored_size, compression FROM payloads
        WHERE substr(hash, 1, 8) = substr(?1, 1, 8) AND hash = ?1";
    let found = one(connection, sql, [hash.as_bytes()], |row| {
        let (id, kind, compression): (_, u8, u8) = (uint(row, 0)?, row.get(1)?, row.get(4)?);
        let kind = match kind {
            0 => Some(PayloadKind::Chunk),
            1 => Some(PayloadKind::List),
            2 => Some(PayloadKind::Removed),
            _ => None,
        };
        let sizes = (uint(row, 2)?, uint(row, 3)?);
        Ok(kind.zip(Compression::from_code(compression)).map(|(kind, compression)| FoundPayload {
            row: PayloadRow { id, list_id: id, kind, original_size: sizes.0, stored_size: sizes.1 },
            compression,
        }))
    })?;
    found.map(|row| row.ok_or_else(|| Fault::damaged(format!("payload {hash} has an unknown kind")))).transpose()
}

pub(super) fn payload_info(connection: &Connection, hash: &ContentHash) -> Result<Option<PayloadInfo>> {
    Ok(payload(connection, hash)?.map(|FoundPayload { row, compression }| PayloadInfo {
        original_size: row.original_size,
        stored_size: row.stored_size,
        compression,
        is_kept: row.kind != PayloadKind::Removed,
    }))
}

pub(super) fn chunks(connection: &Connection, hash: &ContentHash, from: u64, limit_: usize) -> Result<Vec<ChunkRef>> {
    // Two questions, which must see one state: a payload may be removed between them.
    let txn = connection.unchecked_transaction()?;
    let Some(FoundPayload { row, .. }) = payload(&txn, hash)? else { return Ok(Vec::new()) };
    if limit_ == 0 || (from > 0 && from >= row.original_size) {
        return Ok(Vec::new());
    }
    match row.kind {
        PayloadKind::Removed => Ok(Vec::new()),
        PayloadKind::Chunk => Ok(vec![ChunkRef {
            offset: 0,
            chunk_hash: *hash,
            original_size: u32::try_from(row.original_size)
                .map_err(|_| Fault::damaged(format!("chunk {hash} has an impossible size")))?,
        }]),
        PayloadKind::List => list_from(&txn, row.id, from, limit_),
    }
}

fn list_from(connection: &Connection, id: u64, from: u64, limit_: usize) -> Result<Vec<ChunkRef>> {
    let sql = "SELECT c.start_offset, p.hash, p.original_size
        FROM payload_chunks c LEFT JOIN payloads p ON p.payload_id = c.chunk_id
        WHERE c.payload_id = ?1 AND c.start_offset >= ifnull(
            (SELECT max(start_offset) FROM payload_chunks WHERE payload_id = ?1 AND start_offset <= ?2), 0)
        ORDER BY c.start_offset LIMIT ?3";
    let found = all(connection, sql, (int(id), int(from), limit(limit_)), |row| {
        let chunk_hash: Option<Digest> = row.get(1)?;
        let original_size: Option<u32> = row.get(2)?;
        Ok((uint(row, 0)?, chunk_hash.zip(original_size)))
    })?;
    if found.is_empty() {
        return Err(Fault::damaged(format!("the chunks of payload number {id} are missing")));
    }
    let chunk = |(offset, found): (u64, Option<(Digest, u32)>)| {
        let (chunk_hash, original_size) = found
            .ok_or_else(|| Fault::damaged(format!("the chunk at byte {offset} of payload number {id} is missing")))?;
        Ok(ChunkRef { offset, chunk_hash: ContentHash::new(chunk_hash), original_size })
    };
    found.into_iter().map(chunk).collect()
}

pub(super) fn chunk(connection: &Connection, hash: &ContentHash) -> Result<Option<StoredChunk>> {
    let sql = "SELECT p.compression, p.original_size, d.bytes
        FROM payloads p LEFT JOIN chunk_data d ON d.payload_id = p.payload_id
        WHERE substr(p.hash, 1, 8) = substr(?1, 1, 8) AND p.hash = ?1 AND p.kind = 0";
    let found: Option<(u8, u32, Option<Vec<u8>>)> =
        one(connection, sql, [hash.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let Some((code, original_size, bytes)) = found else { return Ok(None) };
    let damaged = || Fault::damaged(format!("chunk {hash} has an unknown compression or no bytes"));
    Ok(Some(StoredChunk {
        chunk_hash: *hash,
        compression: Compression::from_code(code).ok_or_else(damaged)?,
        original_size,
        bytes: bytes.ok_or_else(damaged)?,
    }))
}

pub(super) fn metadata(connection: &Connection, hash: &MetadataHash) -> Result<Option<Vec<u8>>> {
    one(connection, "SELECT map FROM metadata WHERE hash = ?1", [hash.as_bytes()], |row| row.get(0))
}

pub(super) fn metadata_id(connection: &Connection, hash: &MetadataHash) -> Result<Option<i64>> {
    one(connection, "SELECT metadata_id FROM metadata WHERE hash = ?1", [hash.as_bytes()], |row| row.get(0))
}

pub(super) fn setting(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>> {
    one(connection, "SELECT value FROM settings WHERE key = ?1", [key], |row| row.get(0))
}

pub(super) fn chunk_hashes(
    connection: &Connection,
    after: Option<ContentHash>,
    limit_: usize,
) -> Result<Vec<ContentHash>> {
    // The index orders by the first 8 bytes; the few rows that share them are put in order by the rest.
    let sql = "SELECT hash FROM payloads INDEXED BY payloads_by_hash
        WHERE substr(hash, 1, 8) >= substr(?1, 1, 8) AND hash > ?1 AND kind = 0
        ORDER BY substr(hash, 1, 8), hash LIMIT ?2";
    let first = "SELECT hash FROM payloads INDEXED BY payloads_by_hash
        WHERE substr(hash, 1, 8) IS NOT NULL AND kind = 0 ORDER BY substr(hash, 1, 8), hash LIMIT ?1";
    let read = |row: &Row<'_>| row.get(0).map(ContentHash::new);
    match after {
        Some(after) => all(connection, sql, (after.as_bytes(), limit(limit_)), read),
        None => all(connection, first, [limit(limit_)], read),
    }
}

/// A block as far as it matters to its children.
pub(super) fn parent(connection: &Connection, leaf_index: u64) -> Result<Option<ParentRow>> {
    let sql = "SELECT block_hash, depth, timestamp_key,
        EXISTS (SELECT 1 FROM frontier f WHERE f.leaf_index = b.leaf_index) FROM blocks b WHERE b.leaf_index = ?1";
    one(connection, sql, [int(leaf_index)], |row| {
        Ok(ParentRow {
            block_hash: BlockHash::new(row.get(0)?),
            depth: row.get(1)?,
            timestamp_ms: from_time_key(row, 2)?,
            is_frontier: row.get(3)?,
        })
    })
}

/// Offsets and numbers of the chunks of a list.
pub(super) fn list(connection: &Connection, id: u64) -> Result<Vec<(u64, u64)>> {
    let sql = "SELECT start_offset, chunk_id FROM payload_chunks WHERE payload_id = ?1 ORDER BY start_offset";
    all(connection, sql, [int(id)], |row| Ok((uint(row, 0)?, uint(row, 1)?)))
}
