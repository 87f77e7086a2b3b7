//! All questions to the tables.

use super::{
    derived::{Derived, TILE_LEVEL, prefix},
    fault::{Fault, Result},
    parent_cache::{Kept, ParentCache},
    rows::{
        compression_of, decode_parents, decode_way, from_time_key, int, limit, steps_of_way, stored_of, to_bits, uint,
    },
    runs::{Entry, Index},
    write,
};
use crate::{
    backend::{BackendError, BlockKey, ChunkRef, Hop, ParentInfo, PayloadInfo, Standing, Totals},
    block::DagBlock,
    dictionary,
    pack::Stored,
    plan::{PayloadKind, PayloadRow, node_number},
};
use pakit_primitives::{
    BlockHash, Compression, ContentHash, Header, MetadataHash, Parent, Parents, SoftwareHasher, hasher::Digest,
    header::PARENTS_MAX, log::hash_node,
};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use std::{cell::Cell, collections::BTreeMap, ops::RangeInclusive};

/// A payload's row.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundPayload {
    pub(super) row: PayloadRow,
    pub(super) compression: Compression,
}

impl FoundPayload {
    fn info(&self) -> PayloadInfo {
        PayloadInfo {
            original_size: self.row.original_size,
            stored_size: self.row.stored_size,
            compression: self.compression,
            is_kept: self.row.kind != PayloadKind::Removed,
        }
    }
}

/// How a chunk is compressed, its original size, and its stored bytes or their place.
pub(super) type FoundChunk = (Compression, u32, Stored);

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
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    Ok(connection.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<_>>()?)
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
pub(super) struct BlockRow {
    block_hash: Digest,
    header: Header,
    parents: Vec<u8>,
}

/// What takes the place of what other tables say of a block, for a repair, which then looks whether that makes the block whole.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Instead {
    /// Hash and plaintext bytes of the content.
    pub(super) content: Option<(Digest, u64)>,
    /// Hash of the metadata.
    pub(super) metadata: Option<MetadataHash>,
}

pub(super) fn block_row(leaf_index: u64, row: &Row<'_>, instead: &Instead) -> rusqlite::Result<Option<BlockRow>> {
    let Some(compression) = Compression::from_code(row.get(6)?) else { return Ok(None) };
    let content = match instead.content {
        Some(content) => Some(content),
        None => row.get::<_, Option<Digest>>(8)?.map(|hash| uint(row, 9).map(|size| (hash, size))).transpose()?,
    };
    let metadata_hash = match instead.metadata {
        Some(hash) => hash,
        None => row.get::<_, Option<Digest>>(10)?.map_or(MetadataHash::NONE, MetadataHash::new),
    };
    let Some((content_hash, original_size)) = content else { return Ok(None) };
    let header = Header {
        leaf_index,
        parents: Parents::none(),
        depth: row.get(1)?,
        timestamp_ms: from_time_key(row, 2)?,
        slices_before: to_bits(row, 3)?,
        content_hash: ContentHash::new(content_hash),
        codec: row.get(4)?,
        original_size,
        stored_size: uint(row, 5)?,
        compression,
        metadata_hash,
    };
    Ok(Some(BlockRow { block_hash: row.get(0)?, header, parents: row.get(7)? }))
}

pub(super) fn block(connection: &Connection, leaf_index: u64) -> Result<Option<DagBlock>> {
    match find_row(connection, leaf_index)? {
        Some(row) => complete_from(connection, row).map(Some),
        None => Ok(None),
    }
}

/// A block, and the first step from it to genesis, which genesis has none of.
pub(super) fn block_and_hop(connection: &Connection, leaf_index: u64) -> Result<Option<(DagBlock, Option<Hop>)>> {
    let Some((row, way)) = find_row_and(connection, ROW_AND_WAY, leaf_index, |row| uint(row, BEHIND))? else {
        return Ok(None);
    };
    let hop = decode_way(leaf_index, way, &decode_parents(leaf_index, &row.parents)?)?;
    Ok(Some((complete_from(connection, row)?, hop)))
}

/// A block, and its content as stored, where it is one chunk that is kept.
pub(super) fn block_and_chunk(
    connection: &Connection,
    derived: &Derived,
    block_hash: &BlockHash,
) -> Result<Option<(DagBlock, Option<FoundChunk>)>> {
    derived.find(connection, Index::Blocks, prefix(block_hash.as_bytes()), |leaf_index| {
        let chunk_of = |row: &Row<'_>| match row.get::<_, Option<u8>>(BEHIND)? {
            Some(0) => Ok(Some((row.get(BEHIND + 1)?, row.get(BEHIND + 2)?, row.get(BEHIND + 3)?))),
            _ => Ok(None),
        };
        let found = find_row_and(connection, ROW_AND_CHUNK, leaf_index, chunk_of)?;
        let Some((row, chunk)) = found else { return Ok(None) };
        if row.block_hash != *block_hash.as_bytes() {
            return Ok(None);
        }
        let block = complete_from(connection, row)?;
        let chunk = chunk.map(|found| stored_chunk(&block.header().content_hash, found)).transpose()?;
        Ok(Some((block, chunk)))
    })
}

/// The block of a leaf index as the row at `row_number` has it with other things said of it; nothing, if that is no block.
pub(super) fn block_with(
    connection: &Connection,
    row_number: i64,
    leaf_index: u64,
    instead: &Instead,
) -> Result<Option<DagBlock>> {
    let completed = row_with(connection, row_number, leaf_index, instead)
        .and_then(|row| row.map(|row| complete_from(connection, row)).transpose());
    match completed {
        Err(Fault::Backend(BackendError::Damaged(_))) => Ok(None),
        completed => completed,
    }
}

pub(super) fn block_by_hash(
    connection: &Connection,
    derived: &Derived,
    block_hash: &BlockHash,
) -> Result<Option<DagBlock>> {
    derived.find(connection, Index::Blocks, prefix(block_hash.as_bytes()), |leaf_index| {
        match find_row(connection, leaf_index)? {
            Some(row) if row.block_hash == *block_hash.as_bytes() => complete_from(connection, row).map(Some),
            _ => Ok(None),
        }
    })
}

fn find_row(connection: &Connection, leaf_index: u64) -> Result<Option<BlockRow>> {
    row_with(connection, int(leaf_index), leaf_index, &Instead::default())
}

fn row_with(connection: &Connection, row_number: i64, leaf_index: u64, instead: &Instead) -> Result<Option<BlockRow>> {
    let read = |row: &Row<'_>| Ok(block_row(leaf_index, row, instead)?.map(|found| (found, ())));
    Ok(row_that(connection, ROW_AND_WAY, row_number, leaf_index, read)?.map(|(row, ())| row))
}

/// The question for a block's row, with the columns of [`block_row`] first.
macro_rules! block_row_and {
    ($more:literal) => {
        concat!(
            "SELECT b.block_hash, b.depth, b.timestamp_key, b.slices_before, b.codec, b.stored_size, b.compression,
            b.parents, p.hash, p.original_size, m.hash, ",
            $more,
            " FROM blocks b LEFT JOIN payloads p ON p.payload_id = b.payload_id
            LEFT JOIN metadata m ON m.metadata_id = b.metadata_id WHERE b.leaf_index = ?1"
        )
    };
}
/// With the way to genesis in the column behind.
const ROW_AND_WAY: &str = block_row_and!("b.way");
/// With the payload's kind, compression, size and bytes in the columns behind.
const ROW_AND_CHUNK: &str = block_row_and!("p.kind, p.compression, p.original_size, p.bytes");
/// The first column behind those of [`block_row`].
const BEHIND: usize = 11;

/// What `sql` finds, with what `and` reads of the columns behind.
fn find_row_and<T>(
    connection: &Connection,
    sql: &str,
    leaf_index: u64,
    and: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<(BlockRow, T)>> {
    let read = |row: &Row<'_>| match block_row(leaf_index, row, &Instead::default())? {
        Some(found) => Ok(Some((found, and(row)?))),
        None => Ok(None),
    };
    row_that(connection, sql, int(leaf_index), leaf_index, read)
}

fn row_that<T>(
    connection: &Connection,
    sql: &str,
    row_number: i64,
    leaf_index: u64,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<Option<(BlockRow, T)>>,
) -> Result<Option<(BlockRow, T)>> {
    let found = one(connection, sql, [row_number], read);
    let Some(found) = found.map_err(|fault| of_block(leaf_index, fault))? else { return Ok(None) };
    found.map(Some).ok_or_else(|| damaged_block(leaf_index, "has an unknown compression or no payload"))
}

/// Puts the header together with the parents' hashes in the tables.
fn complete_from(connection: &Connection, row: BlockRow) -> Result<DagBlock> {
    let leaf_index = row.header.leaf_index;
    complete(row, |parents| block_hashes_at(connection, parents).map_err(|fault| of_block(leaf_index, fault)))
}

/// Puts the header together, and checks it against the block hash. `hashes_of` knows the blocks before it.
pub(super) fn complete(
    row: BlockRow,
    hashes_of: impl FnOnce(&[u64]) -> Result<Vec<Option<Digest>>>,
) -> Result<DagBlock> {
    let BlockRow { block_hash, mut header, parents } = row;
    let leaf_index = header.leaf_index;
    let parents = decode_parents(leaf_index, &parents)?;
    let mut named = Vec::with_capacity(parents.len());
    for (parent, block_hash) in parents.iter().zip(hashes_of(&parents)?) {
        let block_hash = block_hash.ok_or_else(|| damaged_block(leaf_index, "names a parent that is not there"))?;
        named.push(Parent { leaf_index: *parent, block_hash: BlockHash::new(block_hash) });
    }
    header.parents = Parents::from_slice(&named).map_err(|error| damaged_block(leaf_index, &error.to_string()))?;
    let block = DagBlock::new(header).map_err(|error| damaged_block(leaf_index, &error.to_string()))?;
    match block.block_hash().to_bytes() == block_hash {
        true => Ok(block),
        false => Err(damaged_block(leaf_index, "does not have its block hash")),
    }
}

pub(super) fn damaged_block(leaf_index: u64, what: &str) -> Fault {
    Fault::damaged(format!("block {leaf_index} {what}"))
}

/// A row that does not have the types or ranges that were written gets the block's name.
pub(super) fn of_block(leaf_index: u64, fault: Fault) -> Fault {
    match fault {
        Fault::Sql(
            error @ (rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)),
        ) => Fault::damaged(format!("block {leaf_index}: {error}")),
        other => other,
    }
}

const BLOCK_HASH_AT: &str = "SELECT block_hash FROM blocks WHERE leaf_index = ?1";

pub(super) fn block_hash_at(connection: &Connection, leaf_index: u64) -> Result<Option<Digest>> {
    one(connection, BLOCK_HASH_AT, [int(leaf_index)], |row| row.get(0))
}

/// Hashes of a block's parents, by one question instead of one for each.
fn block_hashes_at(connection: &Connection, leaf_indices: &[u64]) -> Result<Vec<Option<Digest>>> {
    let sql = "SELECT (SELECT block_hash FROM blocks WHERE leaf_index = ?1),
        (SELECT block_hash FROM blocks WHERE leaf_index = ?2), (SELECT block_hash FROM blocks WHERE leaf_index = ?3),
        (SELECT block_hash FROM blocks WHERE leaf_index = ?4), (SELECT block_hash FROM blocks WHERE leaf_index = ?5)";
    let mut hashes = Vec::with_capacity(leaf_indices.len());
    for asked in leaf_indices.chunks(PARENTS_MAX) {
        let mut params = [None; PARENTS_MAX];
        params.iter_mut().zip(asked).for_each(|(param, leaf_index)| *param = Some(int(*leaf_index)));
        let read = |row: &Row<'_>| {
            (0..asked.len()).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Option<Digest>>>>()
        };
        hashes.extend(one(connection, sql, params, read)?.unwrap_or_default());
    }
    Ok(hashes)
}

/// Hashes of consecutive blocks.
pub(super) fn block_hashes(connection: &Connection, from: u64, to: u64) -> Result<Vec<Digest>> {
    let sql = "SELECT block_hash FROM blocks WHERE leaf_index >= ?1 AND leaf_index < ?2 ORDER BY leaf_index";
    let found = all(connection, sql, (int(from), int(to)), |row| row.get(0))?;
    match found.len() as u64 == to.saturating_sub(from) {
        true => Ok(found),
        false => Err(Fault::damaged(format!("of the blocks from {from} to {to} of the log some are missing"))),
    }
}

pub(super) fn find_block(connection: &Connection, derived: &Derived, block_hash: &BlockHash) -> Result<Option<u64>> {
    let hash = block_hash.as_bytes();
    derived.find(connection, Index::Blocks, prefix(hash), |leaf_index| {
        Ok((block_hash_at(connection, leaf_index)?.as_ref() == Some(hash)).then_some(leaf_index))
    })
}

/// The index knows the first 8 bytes of each hash: what lies within those is looked at.
pub(super) fn find_blocks(
    connection: &Connection,
    derived: &Derived,
    hashes: &RangeInclusive<BlockHash>,
    limit: usize,
) -> Result<Vec<(BlockHash, u64)>> {
    let mut found = Vec::new();
    if hashes.is_empty() {
        return Ok(found);
    }
    let mut from = (prefix(hashes.start().as_bytes()), 0);
    let end = (prefix(hashes.end().as_bytes()), u64::MAX);
    while from <= end {
        let entries = derived.list(connection, Index::Blocks, from..=end, CANDIDATES_PAGE)?;
        for (key, leaf_index) in &entries {
            // Those that share these bytes stand in the order of the log, so that all of them are looked at.
            if found.len() >= limit
                && found.last().is_none_or(|(hash, _): &(BlockHash, u64)| prefix(hash.as_bytes()) != *key)
            {
                found.sort_unstable();
                found.truncate(limit);
                return Ok(found);
            }
            let hash = block_hash_at(connection, *leaf_index)?.map(BlockHash::new);
            found.extend(hash.filter(|hash| hashes.contains(hash)).map(|hash| (hash, *leaf_index)));
        }
        let last = entries.last().filter(|_| entries.len() == CANDIDATES_PAGE);
        let next = last.and_then(|(key, leaf_index)| Some((*key, leaf_index.checked_add(1)?)));
        let Some(next) = next else { break };
        from = next;
    }
    found.sort_unstable();
    found.truncate(limit);
    Ok(found)
}

/// Block hashes that are looked at at once.
const CANDIDATES_PAGE: usize = 64;

pub(super) fn find_key(connection: &Connection, derived: &Derived, key: &BlockKey) -> Result<Option<u64>> {
    match payload(connection, derived, &key.content_hash)? {
        Some(payload) => find_key_of(connection, derived, payload.row.id, key),
        None => Ok(None),
    }
}

/// The same where the number of the content's payload is known.
fn find_key_of(connection: &Connection, derived: &Derived, payload_id: u64, key: &BlockKey) -> Result<Option<u64>> {
    let metadata_id = match key.metadata_hash.is_some() {
        false => None,
        true => match metadata_id(connection, &key.metadata_hash)? {
            None => return Ok(None),
            found => found,
        },
    };
    let sql = "SELECT codec = ?2 AND metadata_id IS ?3 FROM blocks WHERE leaf_index = ?1";
    let mut after = None;
    loop {
        let named = blocks_of(connection, derived, payload_id, after, KEY_PAGE)?;
        for leaf_index in &named {
            if one(connection, sql, (int(*leaf_index), key.codec, metadata_id), |row| row.get(0))? == Some(true) {
                return Ok(Some(*leaf_index));
            }
        }
        if named.len() < KEY_PAGE {
            return Ok(None);
        }
        after = named.last().copied();
    }
}

/// Blocks of one content that are looked at at once.
const KEY_PAGE: usize = 16;

fn blocks_of(
    connection: &Connection,
    derived: &Derived,
    payload_id: u64,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<u64>> {
    let from = after.map_or(0, |after| after.saturating_add(1));
    let found = derived.list(connection, Index::Contents, (payload_id, from)..=(payload_id, u64::MAX), limit)?;
    Ok(found.into_iter().map(|(_, leaf_index)| leaf_index).collect())
}

pub(super) fn find_content(
    connection: &Connection,
    derived: &Derived,
    content_hash: &ContentHash,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<u64>> {
    match payload(connection, derived, content_hash)? {
        Some(payload) => blocks_of(connection, derived, payload.row.id, after, limit),
        None => Ok(Vec::new()),
    }
}

/// Nodes in their order; those of one tile, if they follow each other, by one look at it.
pub(super) fn log_nodes(
    connection: &Connection,
    derived: &Derived,
    nodes: &[(u32, u64)],
) -> Result<Vec<Option<Digest>>> {
    let mut last: Option<(u64, Vec<u8>)> = None;
    let mut hashes = Vec::with_capacity(nodes.len());
    for (level, index) in nodes.iter().copied() {
        let Some(place) = write::place_in_tile(level, index) else {
            hashes.push(log_node(connection, derived, level, index)?);
            continue;
        };
        let tile = index >> (TILE_LEVEL - level);
        if tile >= derived.position().blocks >> TILE_LEVEL {
            hashes.push(derived.tail_node(level, index));
            continue;
        }
        if last.as_ref().is_none_or(|(number, _)| *number != tile) {
            let sql = "SELECT nodes FROM log_tiles WHERE tile = ?1";
            last = one(connection, sql, [int(tile)], |row| row.get(0))?.map(|nodes| (tile, nodes));
        }
        let bytes = last.as_ref().filter(|(number, _)| *number == tile).and_then(|(_, nodes)| nodes.get(place..));
        hashes.push(bytes.and_then(|bytes| bytes.first_chunk().copied()));
    }
    Ok(hashes)
}

pub(super) fn log_node(connection: &Connection, derived: &Derived, level: u32, index: u64) -> Result<Option<Digest>> {
    if level == 0 {
        return block_hash_at(connection, index);
    }
    let Some(number) = node_number(level, index) else { return Ok(None) };
    if level > TILE_LEVEL {
        return one(connection, "SELECT hash FROM log_nodes WHERE node_id = ?1", [int(number)], |row| row.get(0));
    }
    let tile = index >> (TILE_LEVEL - level);
    if tile >= derived.position().blocks >> TILE_LEVEL {
        return Ok(derived.tail_node(level, index));
    }
    match write::place_in_tile(level, index) {
        Some(place) => {
            let sql = "SELECT substr(nodes, ?2, 32) FROM log_tiles WHERE tile = ?1";
            one(connection, sql, (int(tile), limit(place + 1)), |row| row.get(0))
        }
        None => {
            let leaves = block_hashes(connection, index << level, (index + 1) << level)?;
            Ok(fold(&leaves))
        }
    }
}

/// The root over a power of two of leaves.
fn fold(leaves: &[Digest]) -> Option<Digest> {
    match leaves {
        [] => None,
        [leaf] => Some(*leaf),
        _ => {
            let (left, right) = leaves.split_at(leaves.len() / 2);
            Some(hash_node::<SoftwareHasher>(&fold(left)?, &fold(right)?))
        }
    }
}

pub(super) fn children(
    connection: &Connection,
    derived: &Derived,
    leaf_index: u64,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<u64>> {
    let from = after.map_or(0, |after| after.saturating_add(1));
    let found = derived.list(connection, Index::Children, (leaf_index, from)..=(leaf_index, u64::MAX), limit)?;
    Ok(found.into_iter().map(|(_, child)| child).collect())
}

/// Where a list over several keys begins that goes on after an entry, or begins with a key; `None` behind the last of all.
fn list_start(first_key: u64, after: Option<Entry>) -> Option<Entry> {
    match after {
        Some((key, value)) if key >= first_key => match value.checked_add(1) {
            Some(value) => Some((key, value)),
            None => Some((key.checked_add(1)?, 0)),
        },
        _ => Some((first_key, 0)),
    }
}

pub(super) fn by_depth(
    connection: &Connection,
    derived: &Derived,
    depths: RangeInclusive<u32>,
    after: Option<(u32, u64)>,
    limit: usize,
) -> Result<Vec<(u32, u64)>> {
    let after = after.map(|(depth, leaf_index)| (u64::from(depth), leaf_index));
    let Some(start) = list_start(u64::from(*depths.start()), after) else { return Ok(Vec::new()) };
    let range = start..=(u64::from(*depths.end()), u64::MAX);
    let found = derived.list(connection, Index::Depths, range, limit)?;
    // Depths were numbers of 32 bits when they were indexed.
    Ok(found.into_iter().map(|(depth, leaf_index)| (depth as u32, leaf_index)).collect())
}

pub(super) fn by_time(
    connection: &Connection,
    derived: &Derived,
    times_ms: RangeInclusive<u64>,
    after: Option<(u64, u64)>,
    limit: usize,
) -> Result<Vec<(u64, u64)>> {
    let Some(start) = list_start(*times_ms.start(), after) else { return Ok(Vec::new()) };
    derived.list(connection, Index::Times, start..=(*times_ms.end(), u64::MAX), limit)
}

pub(super) fn payload(connection: &Connection, derived: &Derived, hash: &ContentHash) -> Result<Option<FoundPayload>> {
    derived.find(connection, Index::Payloads, prefix(hash.as_bytes()), |id| payload_at(connection, id, hash))
}

/// The same where what is asked for is often what was kept behind the one before: its number is tried first. `next` is that number, 0 for
/// none.
pub(super) fn payload_in_turn(
    connection: &Connection,
    derived: &Derived,
    hash: &ContentHash,
    next: &Cell<u64>,
) -> Result<Option<FoundPayload>> {
    let beside = match next.get() {
        0 => None,
        id => payload_at(connection, id, hash)?,
    };
    let found = match beside {
        Some(found) => Some(found),
        None => payload(connection, derived, hash)?,
    };
    next.set(found.map_or(0, |found| found.row.id + 1));
    Ok(found)
}

/// The payload of a number, if it has this hash.
fn payload_at(connection: &Connection, id: u64, hash: &ContentHash) -> Result<Option<FoundPayload>> {
    let sql = "SELECT kind, original_size, stored_size, compression FROM payloads WHERE payload_id = ?1 AND hash = ?2";
    let found = one(connection, sql, (int(id), hash.as_bytes()), |row| {
        let (kind, compression): (u8, u8) = (row.get(0)?, row.get(3)?);
        let kind = match kind {
            0 => Some(PayloadKind::Chunk),
            1 => Some(PayloadKind::List),
            2 => Some(PayloadKind::Removed),
            _ => None,
        };
        let sizes = (uint(row, 1)?, uint(row, 2)?);
        Ok(kind.zip(compression_of(compression)).map(|(kind, compression)| FoundPayload {
            row: PayloadRow { id, list_id: id, kind, original_size: sizes.0, stored_size: sizes.1 },
            compression,
        }))
    })?;
    found.map(|row| row.ok_or_else(|| Fault::damaged(format!("payload {hash} has an unknown kind")))).transpose()
}

pub(super) fn is_set_aside(connection: &Connection, derived: &Derived, hash: &ContentHash) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM set_aside WHERE payload_id = ?1)";
    match payload(connection, derived, hash)? {
        Some(FoundPayload { row: PayloadRow { id, kind: PayloadKind::Removed, .. }, .. }) => {
            Ok(one(connection, sql, [int(id)], |row| row.get(0))?.unwrap_or(false))
        }
        _ => Ok(false),
    }
}

pub(super) fn payload_info(
    connection: &Connection,
    derived: &Derived,
    hash: &ContentHash,
) -> Result<Option<PayloadInfo>> {
    Ok(payload(connection, derived, hash)?.map(|found| found.info()))
}

/// How a content stands that may have a block of this key. `next` is that of [`payload_in_turn`].
pub(super) fn standing(
    connection: &Connection,
    derived: &Derived,
    parents: &ParentCache,
    key: &BlockKey,
    next: &Cell<u64>,
) -> Result<Standing> {
    let found = payload_in_turn(connection, derived, &key.content_hash, next)?;
    let Some(found) = found else { return Ok(Standing::Unknown) };
    let leaf_index = match found.row.kind {
        PayloadKind::Removed => return Ok(Standing::Unknown),
        PayloadKind::List => None,
        PayloadKind::Chunk => find_key_of(connection, derived, found.row.id, key)?,
    };
    let row = leaf_index.map(|leaf_index| find_row(connection, leaf_index)).transpose()?.flatten();
    let Some(row) = row else { return Ok(Standing::Kept(found.info())) };
    // Whoever puts a folder again asks for block after block, and their parents are mostly the same.
    let hash_of = |parent: &u64| {
        let found = parents.get_or_read(*parent, || self::parent(connection, *parent))?;
        Ok(found.map(|(info, _)| info.block_hash.to_bytes()))
    };
    let hashes_of = |parents: &[u64]| parents.iter().map(hash_of).collect();
    Ok(Standing::Placed(found.info(), Box::new(complete(row, hashes_of)?)))
}

pub(super) fn chunks(
    connection: &Connection,
    derived: &Derived,
    hash: &ContentHash,
    from: u64,
    limit_: usize,
) -> Result<Vec<ChunkRef>> {
    let Some(FoundPayload { row, .. }) = payload(connection, derived, hash)? else { return Ok(Vec::new()) };
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
        PayloadKind::List => list_from(connection, row.id, from, limit_),
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

/// A chunk, and its bytes or their place.
pub(super) fn chunk(connection: &Connection, derived: &Derived, hash: &ContentHash) -> Result<Option<FoundChunk>> {
    let sql = "SELECT compression, original_size, bytes FROM payloads
        WHERE payload_id = ?1 AND hash = ?2 AND kind = 0";
    derived.find(connection, Index::Payloads, prefix(hash.as_bytes()), |id| {
        let found: Option<(u8, u32, Option<Vec<u8>>)> =
            one(connection, sql, (int(id), hash.as_bytes()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        found.map(|found| stored_chunk(hash, found)).transpose()
    })
}

/// From a chunk's compression, size and bytes in its row.
fn stored_chunk(hash: &ContentHash, (code, original_size, bytes): (u8, u32, Option<Vec<u8>>)) -> Result<FoundChunk> {
    let stored = compression_of(code).zip(bytes.and_then(|bytes| stored_of(code, bytes)));
    let damaged = || Fault::damaged(format!("chunk {hash} has an unknown compression or no bytes"));
    stored.ok_or_else(damaged).map(|(compression, stored)| (compression, original_size, stored))
}

pub(super) fn metadata(connection: &Connection, hash: &MetadataHash) -> Result<Option<Vec<u8>>> {
    one(connection, "SELECT map FROM metadata WHERE hash = ?1", [hash.as_bytes()], |row| row.get(0))
}

pub(super) fn metadata_id(connection: &Connection, hash: &MetadataHash) -> Result<Option<i64>> {
    one(connection, "SELECT metadata_id FROM metadata WHERE hash = ?1", [hash.as_bytes()], |row| row.get(0))
}

/// Nothing else would tell that a setting is another one than was set. A repository of an earlier program has no checksum before
/// something is set again. Dictionaries have hashes of their own, and a second copy each that must be found without the first.
pub(super) fn setting(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>> {
    let read = |key: &str| one(connection, "SELECT value FROM settings WHERE key = ?1", [key], |row| row.get(0));
    if key.starts_with(dictionary::SETTINGS) {
        return read(key);
    }
    check_settings(connection)?;
    read(key)
}

fn check_settings(connection: &Connection) -> Result<()> {
    let sql = "SELECT value FROM settings WHERE key = ?1";
    let stored: Option<Vec<u8>> = one(connection, sql, [SETTINGS_CHECKSUM], |row| row.get(0))?;
    match stored {
        Some(stored) if stored != settings_checksum(connection)? => {
            Err(Fault::damaged("the settings are not those that were set"))
        }
        _ => Ok(()),
    }
}

/// All settings but their checksum, which another repository has of its own.
pub(super) fn settings(connection: &Connection, rows_max: usize) -> Result<Vec<(String, Vec<u8>)>> {
    check_settings(connection)?;
    let sql = "SELECT key, value FROM settings WHERE key <> ?1 ORDER BY key LIMIT ?2";
    all(connection, sql, (SETTINGS_CHECKSUM, limit(rows_max)), |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The setting that all others have this checksum.
pub(super) const SETTINGS_CHECKSUM: &str = "checksum";

/// BLAKE3 over all other settings but dictionaries, each with the lengths of its parts.
pub(super) fn settings_checksum(connection: &Connection) -> Result<[u8; 32]> {
    let sql = "SELECT key, value FROM settings WHERE key <> ?1 AND substr(key, 1, length(?2)) <> ?2 ORDER BY key";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([SETTINGS_CHECKSUM, dictionary::SETTINGS])?;
    let mut hasher = blake3::Hasher::new();
    while let Some(row) = rows.next()? {
        let parts = [row.get_ref(0)?.as_bytes(), row.get_ref(1)?.as_bytes()];
        for part in parts {
            let part = part.map_err(rusqlite::Error::from)?;
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

pub(super) fn chunk_hashes(
    connection: &Connection,
    derived: &Derived,
    after: Option<ContentHash>,
    limit: usize,
) -> Result<Vec<ContentHash>> {
    // The index orders by the first 8 bytes; the few hashes that share them are put in order by the rest.
    let mut start = (after.map_or(0, |after| prefix(after.as_bytes())), 0);
    let mut hashes = Vec::new();
    loop {
        let entries = derived.list(connection, Index::Payloads, start..=(u64::MAX, u64::MAX), HASHES_PAGE)?;
        let sql = "SELECT hash FROM payloads WHERE payload_id = ?1 AND kind = 0 AND hash IS NOT NULL";
        for (_, id) in &entries {
            hashes.extend(one(connection, sql, [int(*id)], |row| row.get(0).map(ContentHash::new))?);
        }
        let next = list_start(0, entries.last().copied());
        let is_last = entries.len() < HASHES_PAGE || next.is_none();
        hashes.retain(|hash| after.is_none_or(|after| *hash > after));
        hashes.sort_unstable();
        // The last prefix may go on in the next page, and its hashes then belong in between.
        let last_prefix = entries.last().map_or(u64::MAX, |entry| entry.0);
        let certain = hashes.partition_point(|hash| is_last || prefix(hash.as_bytes()) < last_prefix);
        if is_last || certain >= limit {
            hashes.truncate(limit);
            return Ok(hashes);
        }
        start = next.unwrap_or((u64::MAX, u64::MAX));
    }
}

/// Entries of the index that [`chunk_hashes`] looks at at once.
const HASHES_PAGE: usize = 1024;

/// Packs by number, with the lengths that count.
pub(super) fn packs(connection: &Connection) -> Result<BTreeMap<u32, u64>> {
    let rows = all(connection, "SELECT pack, bytes FROM packs", (), |row| Ok((row.get(0)?, uint(row, 1)?)))?;
    Ok(rows.into_iter().collect())
}

/// A block as far as it matters to its children.
pub(super) fn parent(connection: &Connection, leaf_index: u64) -> Result<Option<Kept>> {
    let sql = "SELECT block_hash, depth, timestamp_key, way FROM blocks WHERE leaf_index = ?1";
    one(connection, sql, [int(leaf_index)], |row| {
        let block_hash = BlockHash::new(row.get(0)?);
        let info = ParentInfo { leaf_index, block_hash, depth: row.get(1)?, timestamp_ms: from_time_key(row, 2)? };
        Ok((info, steps_of_way(uint(row, 3)?)))
    })
}

pub(super) fn hop(connection: &Connection, leaf_index: u64) -> Result<Option<Hop>> {
    let sql = "SELECT way, parents FROM blocks WHERE leaf_index = ?1";
    let found = one(connection, sql, [int(leaf_index)], |row| Ok((uint(row, 0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let Some((way, parents)) = found else { return Ok(None) };
    decode_way(leaf_index, way, &decode_parents(leaf_index, &parents)?)
}

/// Offsets and numbers of the chunks of a list.
pub(super) fn list(connection: &Connection, id: u64) -> Result<Vec<(u64, u64)>> {
    let sql = "SELECT start_offset, chunk_id FROM payload_chunks WHERE payload_id = ?1 ORDER BY start_offset";
    all(connection, sql, [int(id)], |row| Ok((uint(row, 0)?, uint(row, 1)?)))
}
