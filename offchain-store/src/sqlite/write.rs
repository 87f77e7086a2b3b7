//! Carries a [`Plan`] out, and clears away what writers that died left behind. Everything here runs in a transaction.

use super::{
    derived::{Additions, Derived, TILE_LEVEL},
    fault::{Fault, Result},
    marks,
    parent_cache::ParentCache,
    read,
    rows::{PACKED, decode_parents, encode_parents, encode_way, from_bits, int, limit, time_key, uint},
    runs::Index,
};
use crate::{
    backend::{BackendError, Hop, StoredChunk, Totals},
    pack::Place,
    plan::{BlockPlan, Known, ListPlan, ParentRow, PayloadKind, PayloadRow, Plan, node_number},
};
use pakit_primitives::{ContentHash, MetadataHash};
use rusqlite::Connection;
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

/// Rows that one transaction of the clearing away deletes at most.
const CLEARED_ROWS_MAX: usize = 4096;
/// Payloads that the clearing away looks at after one walk over all lists of chunks: 2 MB.
const UNNAMED_MAX: usize = 1 << 16;

/// What a batch is checked against: the tables as the transaction sees them.
pub(super) struct Tables<'a> {
    pub(super) connection: &'a Connection,
    pub(super) derived: &'a Derived,
    pub(super) parents: &'a ParentCache,
    /// For [`read::payload_in_turn`]: whoever restores a log asks for the contents in its order.
    pub(super) payload_next: &'a Cell<u64>,
    pub(super) dir: &'a Path,
}

impl Tables<'_> {
    fn ask<T>(&self, answer: Result<T>) -> Result<T, BackendError> {
        answer.map_err(|fault| fault.in_repository(self.dir))
    }
}

impl Known for Tables<'_> {
    fn totals(&self) -> Result<Totals, BackendError> {
        self.ask(read::totals(self.connection)).map(|(totals, _)| totals)
    }

    fn payload_next(&self) -> Result<u64, BackendError> {
        self.ask(read::totals(self.connection)).map(|(_, next)| next)
    }

    fn payload(&self, hash: &ContentHash) -> Result<Option<PayloadRow>, BackendError> {
        self.ask((|| match self.derived.may_contain(hash.as_bytes()) {
            true => {
                let found = read::payload_in_turn(self.connection, self.derived, hash, self.payload_next)?;
                Ok(found.map(|found| found.row))
            }
            false => Ok(None),
        })())
    }

    fn list(&self, id: u64) -> Result<Vec<(u64, u64)>, BackendError> {
        self.ask(read::list(self.connection, id))
    }

    fn parent(&self, leaf_index: u64) -> Result<Option<ParentRow>, BackendError> {
        let found = self.parents.get_or_read(leaf_index, || self.ask(read::parent(self.connection, leaf_index)))?;
        let is_frontier = self.derived.is_frontier(leaf_index);
        Ok(found.map(|(info, steps)| ParentRow { info, steps, is_frontier }))
    }

    fn has_metadata(&self, hash: &MetadataHash) -> Result<bool, BackendError> {
        self.ask(read::metadata_id(self.connection, hash)).map(|found| found.is_some())
    }

    fn is_held(&self, hash: &ContentHash) -> Result<bool, BackendError> {
        self.ask(marks::is_held(self.connection, self.derived, hash))
    }

    fn listed(&self, ids: &HashSet<u64>) -> Result<HashSet<u64>, BackendError> {
        self.ask(named_by_lists(self.connection, ids))
    }
}

/// The lowest level whose nodes stand in tiles.
const TILE_LEVEL_MIN: u32 = 3;
/// Bytes of a tile: 63 nodes.
pub(super) const TILE_BYTES: usize = ((2 << (TILE_LEVEL - TILE_LEVEL_MIN)) - 1) * 32;

/// The nodes that stand in a tile, by level and place among the nodes of their level, in the order they stand there.
pub(super) fn tile_nodes(tile: u64) -> impl Iterator<Item = (u32, u64)> {
    (TILE_LEVEL_MIN..=TILE_LEVEL).flat_map(move |level| {
        let width = 1 << (TILE_LEVEL - level);
        (tile * width..(tile + 1) * width).map(move |index| (level, index))
    })
}

/// The first byte of a node in its tile; `None` for one that is in none.
pub(super) fn place_in_tile(level: u32, index: u64) -> Option<usize> {
    if !(TILE_LEVEL_MIN..=TILE_LEVEL).contains(&level) {
        return None;
    }
    let width = 1usize << (TILE_LEVEL - level);
    // 2^n + ... + 4 + 2 x width nodes stand before those of this level.
    let lower = (2 << (TILE_LEVEL - TILE_LEVEL_MIN)) - 2 * width;
    Some((lower + index as usize % width) * 32)
}

/// Where those chunks of a plan stand that are in packs, by the numbers of their payloads.
pub(super) type Places = HashMap<u64, Place>;

/// Writes all that a plan says. Parents of foreign keys come first.
pub(super) fn apply(
    connection: &Connection,
    plan: &Plan,
    places: &Places,
    derived: &Derived,
    additions: &Additions,
) -> Result<()> {
    insert_chunks(connection, plan, places)?;
    for (id, chunk) in &plan.restored {
        restore_chunk(connection, *id, chunk, places.get(id))?;
    }
    for (id, hash, original_size) in &plan.absent {
        let refs = plan.refs.get(id).copied().unwrap_or_default();
        let row = (int(*id), 2, int(refs), 0, int(*original_size), 0, hash.as_bytes(), None::<&[u8]>);
        execute(connection, INSERT_PAYLOAD, row)?;
    }
    for (id, list) in &plan.lists {
        apply_list(connection, plan, *id, list)?;
    }
    count_refs(connection, plan)?;
    for (hash, map) in &plan.metadata {
        execute(connection, "INSERT INTO metadata (hash, map) VALUES (?1, ?2)", (hash.as_bytes(), map))?;
    }
    insert_blocks(connection, plan)?;
    insert_log(connection, plan, derived, additions)?;
    marks::apply(connection, plan)?;
    write_totals(connection, &plan.totals, plan.payload_next)
}

/// Tiles that are complete now, and the nodes above tiles. They follow from the blocks, so that what stands in their place, as only a hand
/// other than ours can have put it there, gives way.
fn insert_log(connection: &Connection, plan: &Plan, derived: &Derived, additions: &Additions) -> Result<()> {
    for tile in derived.position().blocks >> TILE_LEVEL..plan.totals.blocks >> TILE_LEVEL {
        let mut bytes = Vec::with_capacity(TILE_BYTES);
        for (level, index) in tile_nodes(tile) {
            let node = derived.node_with(additions, level, index);
            bytes
                .extend(node.ok_or(BackendError::BatchMisfit("the log nodes are not those that the blocks complete"))?);
        }
        execute(connection, "INSERT OR REPLACE INTO log_tiles (tile, nodes) VALUES (?1, ?2)", (int(tile), bytes))?;
    }
    for node in plan.log_nodes.iter().filter(|node| node.level > TILE_LEVEL) {
        let number = node_number(node.level, node.index).ok_or(BackendError::BatchMisfit("a log node is no node"))?;
        let sql = "INSERT OR REPLACE INTO log_nodes (node_id, hash) VALUES (?1, ?2)";
        execute(connection, sql, (int(number), node.hash))?;
    }
    Ok(())
}

/// Runs a statement that changes one row or none, and says how many.
pub(super) fn execute(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

/// Runs a statement that must find its row.
pub(super) fn change(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<()> {
    match execute(connection, sql, params)? {
        1 => Ok(()),
        _ => Err(Fault::damaged("a payload that the tables name is not there")),
    }
}

const INSERT_PAYLOAD: &str = "INSERT INTO payloads
    (payload_id, kind, refs, compression, original_size, stored_size, hash, bytes)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

fn insert_chunks(connection: &Connection, plan: &Plan, places: &Places) -> Result<()> {
    let mut rows = connection.prepare_cached(INSERT_PAYLOAD)?;
    for (id, chunk) in &plan.chunks {
        // With its references at once: a row without any enters an index that it leaves again when it gets one.
        let refs = plan.refs.get(id).copied().unwrap_or_default();
        let place = places.get(id).map(|place| place.to_bytes());
        rows.execute((
            int(*id),
            0,
            int(refs),
            code(chunk, place.is_some()),
            chunk.original_size,
            int(chunk.bytes.len() as u64),
            chunk.chunk_hash.as_bytes(),
            place.as_ref().map_or(chunk.bytes.as_slice(), |place| place),
        ))?;
    }
    Ok(())
}

fn code(chunk: &StoredChunk, is_packed: bool) -> u8 {
    chunk.compression.code() | if is_packed { PACKED } else { 0 }
}

fn restore_chunk(connection: &Connection, id: u64, chunk: &StoredChunk, place: Option<&Place>) -> Result<()> {
    let sql = "UPDATE payloads SET kind = 0, compression = ?2, original_size = ?3, stored_size = ?4, bytes = ?5
        WHERE payload_id = ?1";
    let sizes = (chunk.original_size, int(chunk.bytes.len() as u64));
    let place = place.map(|place| place.to_bytes());
    let bytes = place.as_ref().map_or(chunk.bytes.as_slice(), |place| place);
    change(connection, sql, (int(id), code(chunk, place.is_some()), sizes.0, sizes.1, bytes))
}

/// Up to where packs count from now on.
pub(super) fn write_packs(connection: &Connection, packs: &BTreeMap<u32, u64>) -> Result<()> {
    let sql = "INSERT INTO packs (pack, bytes) VALUES (?1, ?2) ON CONFLICT (pack) DO UPDATE SET bytes = excluded.bytes";
    packs.iter().try_for_each(|(pack, bytes)| execute(connection, sql, (pack, int(*bytes))).map(|_| ()))
}

fn apply_list(connection: &Connection, plan: &Plan, id: u64, list: &ListPlan) -> Result<()> {
    if list.is_dropped {
        while clear_list(connection, id, CLEARED_ROWS_MAX)? == CLEARED_ROWS_MAX {}
        return change(connection, "DELETE FROM payloads WHERE payload_id = ?1", [int(id)]);
    }
    let target = match (list.restores, list.name) {
        (Some(target), Some((_, info))) => {
            let sql = "UPDATE payloads SET kind = 1, compression = ?2, original_size = ?3, stored_size = ?4
                WHERE payload_id = ?1";
            let sizes = (int(info.original_size), int(info.stored_size));
            change(connection, sql, (int(target), info.compression.code(), sizes.0, sizes.1))?;
            if list.has_row {
                let sql = "UPDATE payload_chunks SET payload_id = ?2 WHERE payload_id = ?1";
                execute(connection, sql, (int(id), int(target)))?;
                change(connection, "DELETE FROM payloads WHERE payload_id = ?1", [int(id)])?;
            }
            target
        }
        (_, Some((hash, info))) if list.has_row => {
            let sql = "UPDATE payloads SET hash = ?2, compression = ?3, original_size = ?4, stored_size = ?5
                WHERE payload_id = ?1";
            let sizes = (int(info.original_size), int(info.stored_size));
            change(connection, sql, (int(id), hash.as_bytes(), info.compression.code(), sizes.0, sizes.1))?;
            execute(connection, "INSERT INTO late_names (payload_id) VALUES (?1)", [int(id)])?;
            id
        }
        (_, name) if !list.has_row => {
            let refs = plan.refs.get(&id).copied().unwrap_or_default();
            let (code, original, stored) =
                name.map_or((0, 0, 0), |(_, info)| (info.compression.code(), info.original_size, info.stored_size));
            let hash = name.map(|(hash, _)| hash.to_bytes());
            let row = (int(id), 1, int(refs), code, int(original), int(stored), hash, None::<&[u8]>);
            execute(connection, INSERT_PAYLOAD, row)?;
            id
        }
        _ => id,
    };
    let sql = "INSERT INTO payload_chunks (payload_id, start_offset, chunk_id) VALUES (?1, ?2, ?3)";
    let mut insert = connection.prepare_cached(sql)?;
    for (offset, chunk_id) in &list.rows {
        insert.execute((int(target), int(*offset), int(*chunk_id)))?;
    }
    Ok(())
}

/// References to payloads that had a row before; new rows got theirs when they were written.
fn count_refs(connection: &Connection, plan: &Plan) -> Result<()> {
    for (id, refs) in plan.refs.range(..plan.payload_first).filter(|(_, refs)| **refs > 0) {
        let sql = "UPDATE payloads SET refs = refs + ?2 WHERE payload_id = ?1";
        change(connection, sql, (int(*id), int(*refs)))?;
    }
    Ok(())
}

fn insert_blocks(connection: &Connection, plan: &Plan) -> Result<()> {
    let sql = "INSERT INTO blocks (leaf_index, payload_id, metadata_id, depth, timestamp_key, slices_before, codec,
        stored_size, compression, block_hash, parents, way)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let mut insert = connection.prepare_cached(sql)?;
    for BlockPlan { block, payload_id, hop } in &plan.blocks {
        let header = block.header();
        let parents = || header.parents.iter().map(|parent| parent.leaf_index);
        let metadata_id = match header.metadata_hash.is_some() {
            true => read::metadata_id(connection, &header.metadata_hash)?,
            false => None,
        };
        insert.execute((
            int(header.leaf_index),
            int(*payload_id),
            metadata_id,
            header.depth,
            time_key(header.timestamp_ms),
            from_bits(header.slices_before),
            header.codec,
            int(header.stored_size),
            header.compression.code(),
            block.block_hash().as_bytes(),
            encode_parents(header.leaf_index, parents()),
            int(encode_way(*hop, parents())),
        ))?;
    }
    Ok(())
}

pub(super) fn write_totals(connection: &Connection, totals: &Totals, payload_next: u64) -> Result<()> {
    let sql = "UPDATE totals SET blocks = ?1, edges = ?2, depth_max = ?3, depth_sum = ?4, slices = ?5,
        original_bytes = ?6, referenced_bytes = ?7, unique_bytes = ?8, stored_bytes = ?9, chunks = ?10, frontier = ?11,
        payload_next = ?12, late_sequence = (SELECT ifnull(max(sequence), 0) FROM late_names) WHERE id = 1";
    let changed = execute(
        connection,
        sql,
        (
            int(totals.blocks),
            int(totals.edges),
            totals.depth_max,
            int(totals.depth_sum),
            from_bits(totals.slices),
            int(totals.original_bytes),
            int(totals.referenced_bytes),
            int(totals.unique_bytes),
            int(totals.stored_bytes),
            int(totals.chunks),
            int(totals.frontier),
            int(payload_next),
        ),
    )?;
    if changed == 1 { Ok(()) } else { Err(Fault::damaged("the row of the totals is missing")) }
}

/// Finds the ways to genesis of all blocks anew; says how many were others.
pub(super) fn write_ways(txn: &Connection, blocks: u64) -> Result<u64> {
    let mut steps: Vec<u32> = Vec::new();
    let mut changed = 0;
    for leaf_index in 0..blocks {
        let sql = "SELECT parents, way FROM blocks WHERE leaf_index = ?1";
        let mut select = txn.prepare_cached(sql)?;
        let found = select.query_row([int(leaf_index)], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?)));
        // A block that is lost leads nowhere.
        let parents = found.as_ref().ok().and_then(|(parents, _)| decode_parents(leaf_index, parents).ok());
        let parents = parents.unwrap_or_default();
        let of_parents = parents.iter().filter_map(|parent| Some((*steps.get(*parent as usize)?, *parent)));
        let hop = of_parents.min().map(|(steps, parent)| Hop { steps: steps.saturating_add(1), parent });
        let way = int(encode_way(hop, parents.iter().copied()));
        if found.is_ok_and(|(_, stored)| stored != way) {
            execute(txn, "UPDATE blocks SET way = ?2 WHERE leaf_index = ?1", (int(leaf_index), way))?;
            changed += 1;
        }
        steps.push(if leaf_index == 0 { 0 } else { hop.map_or(u32::MAX - 1, |hop| hop.steps) });
    }
    Ok(changed)
}

pub(super) fn set_setting(connection: &Connection, key: &str, value: &[u8]) -> Result<()> {
    let sql =
        "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    execute(connection, sql, (key, value))?;
    execute(connection, sql, (read::SETTINGS_CHECKSUM, read::settings_checksum(connection)?)).map(|_| ())
}

/// Takes up to `rows_max` chunks off a list and says how many.
fn clear_list(connection: &Connection, id: u64, rows_max: usize) -> Result<usize> {
    let sql = "SELECT start_offset, chunk_id FROM payload_chunks WHERE payload_id = ?1 LIMIT ?2";
    let mut select = connection.prepare_cached(sql)?;
    let listed = select.query_map((int(id), limit(rows_max)), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let listed: Vec<(i64, i64)> = listed.collect::<rusqlite::Result<_>>()?;
    for (offset, chunk_id) in &listed {
        // A count that lies, or a chunk without a row, is no reason to keep the list. Nothing goes because of the count alone.
        execute(connection, "UPDATE payloads SET refs = max(refs - 1, 0) WHERE payload_id = ?1", [chunk_id])?;
        let sql = "DELETE FROM payload_chunks WHERE payload_id = ?1 AND start_offset = ?2";
        execute(connection, sql, (int(id), offset))?;
    }
    Ok(listed.len())
}

/// What is looked at in one part of the clearing away, after one walk over all lists of chunks.
#[derive(Debug)]
pub(super) struct Unnamed {
    found: Vec<UnnamedRow>,
    named: HashSet<u64>,
}

#[derive(Debug)]
struct UnnamedRow {
    id: u64,
    kind: u8,
    original_size: u64,
    stored_size: u64,
}

/// Finds some of what nothing refers to by its count; the contents that are being written are none of it. What is deleted is gone,
/// so that no count is believed: all lists are looked at once, whatever the counts say.
pub(super) fn find_unnamed(connection: &Connection, being_written: &HashSet<u64>) -> Result<Unnamed> {
    let sql = "SELECT payload_id, kind, original_size, stored_size FROM payloads INDEXED BY payloads_without_refs
        WHERE refs = 0 ORDER BY payload_id LIMIT ?1";
    let mut select = connection.prepare_cached(sql)?;
    let room = UNNAMED_MAX + being_written.len();
    let found = select.query_map([limit(room)], |row| {
        let (id, kind) = (uint(row, 0)?, row.get(1)?);
        Ok(UnnamedRow { id, kind, original_size: uint(row, 2)?, stored_size: uint(row, 3)? })
    })?;
    let mut found: Vec<UnnamedRow> = found.collect::<rusqlite::Result<_>>()?;
    found.retain(|row| !being_written.contains(&row.id));
    let named = match found.is_empty() {
        true => HashSet::new(),
        false => named_by_lists(connection, &found.iter().map(|row| row.id).collect())?,
    };
    Ok(Unnamed { found, named })
}

impl Unnamed {
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Clears away some of what was found: contents that were never completed or never got a block, chunks of neither, the lists
    /// of removed contents, and removed payloads without a block. Nothing else may change the tables in between.
    ///
    /// Whatever a list or a block names stays, and gets its count back.
    pub(super) fn clear_some(&mut self, connection: &Connection, derived: &Derived) -> Result<()> {
        let (mut totals, payload_next) = read::totals(connection)?;
        let mut room = CLEARED_ROWS_MAX;
        while let Some(row) = self.found.last().filter(|_| room > 0) {
            let id = row.id;
            let of_blocks = (id, 0)..=(id, u64::MAX);
            if self.named.contains(&id) || !derived.list(connection, Index::Contents, of_blocks, 1)?.is_empty() {
                tracing::warn!("payload number {id} is named, though its count says otherwise; run pakit check");
                change(connection, "UPDATE payloads SET refs = 1 WHERE payload_id = ?1", [int(id)])?;
                self.found.pop();
                continue;
            }
            if row.kind == 1 {
                room = room.saturating_sub(clear_list(connection, id, room)?);
                if room == 0 {
                    break;
                }
            }
            if row.kind == 0 {
                let left = |sum: u64, less: u64| {
                    sum.checked_sub(less).ok_or_else(|| Fault::damaged("the totals are below what is kept"))
                };
                totals.chunks = left(totals.chunks, 1)?;
                totals.unique_bytes = left(totals.unique_bytes, row.original_size)?;
                totals.stored_bytes = left(totals.stored_bytes, row.stored_size)?;
            }
            execute(connection, "DELETE FROM set_aside WHERE payload_id = ?1", [int(id)])?;
            change(connection, "DELETE FROM payloads WHERE payload_id = ?1", [int(id)])?;
            self.found.pop();
            room -= 1;
        }
        write_totals(connection, &totals, payload_next)
    }
}

/// Those of the payloads that some list names as a chunk, by a walk over all lists.
pub(super) fn named_by_lists(connection: &Connection, ids: &HashSet<u64>) -> Result<HashSet<u64>> {
    let mut named = HashSet::new();
    let mut select = connection.prepare_cached("SELECT chunk_id FROM payload_chunks")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let id = uint(row, 0)?;
        if ids.contains(&id) {
            named.insert(id);
        }
    }
    Ok(named)
}

const _: () = assert!(PayloadKind::Chunk as u8 == 0 && PayloadKind::List as u8 == 1 && PayloadKind::Removed as u8 == 2);
