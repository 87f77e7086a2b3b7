//! Repair: makes anew whatever follows from blocks and payloads, sets damaged payloads aside, and tells exactly what is lost.
//!
//! What cannot be derived is never invented: a block whose header no longer hashes to its block hash stays as it is and is
//! named. A chunk whose bytes are not its content moves to the table `set_aside`, as it was found, and its payload counts as
//! removed: to put the same content again restores it under its old block.

use super::{
    DATABASE_FILE, Options, SqliteBackend, connection,
    derived::{self, TILE_LEVEL},
    fault::{Fault, Result},
    io_error, lock, read,
    rows::{int, uint},
    schema, write,
};
use crate::{
    backend::{BackendError, DagBackend, Totals},
    compress::decompress,
    plan::node_number,
};
use pakit_primitives::{BlockHash, Compression, ContentHash, SoftwareHasher, hasher::Digest, log::hash_node};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use serde::{Serialize, Serializer};
use std::{collections::BTreeSet, path::Path};

/// Rows that are looked at between two reports of progress, and in one transaction.
const STEP_ROWS: u64 = 1024;
/// Items of each kind that a report names. More are counted only.
pub const NAMED_MAX: usize = 10_000;

/// What a repair did, and what is lost.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RepairReport {
    /// Blocks looked at.
    pub blocks: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// Nodes of the log that were missing or wrong and follow from the block hashes.
    pub log_nodes_restored: u64,
    /// Ways to genesis that were wrong.
    pub ways_corrected: u64,
    /// Counts of references that were wrong.
    pub counts_corrected: u64,
    /// Whether a sum over the repository was wrong.
    pub totals_corrected: bool,
    /// Chunks that were set aside, by content hash: their bytes were missing or not what they should be.
    #[serde(serialize_with = "as_texts")]
    pub set_aside: Vec<ContentHash>,
    /// How many there are.
    pub set_aside_count: u64,
    /// Blocks whose content is not whole. Putting the content again restores it.
    #[serde(serialize_with = "as_texts")]
    pub contents_lost: Vec<BlockHash>,
    /// How many there are.
    pub contents_lost_count: u64,
    /// Leaf indices of blocks whose header cannot be put together any more. Nothing brings them back but a backup.
    pub blocks_lost: Vec<u64>,
    /// How many there are.
    pub blocks_lost_count: u64,
}

impl RepairReport {
    /// Whether everything that was ever acknowledged, and not removed on purpose, is there.
    pub fn is_whole(&self) -> bool {
        self.set_aside_count == 0 && self.contents_lost_count == 0 && self.blocks_lost_count == 0
    }
}

fn as_texts<T: std::fmt::Display, S: Serializer>(hashes: &[T], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(hashes.iter().map(T::to_string))
}

fn name<T>(list: &mut Vec<T>, count: &mut u64, item: T) {
    *count += 1;
    if list.len() < NAMED_MAX {
        list.push(item);
    }
}

/// Repairs the repository in `dir`, which nobody else may have open for writing. `progress` is told of (rows looked at,
/// rows in all). Whatever is interrupted can be begun again.
pub fn repair(
    dir: &Path,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> std::result::Result<RepairReport, BackendError> {
    let path = dir.join(DATABASE_FILE);
    std::fs::metadata(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BackendError::NotFound(dir.to_owned()),
        _ => io_error(dir, &path, error),
    })?;
    let lock = lock(dir)?;
    let report = repair_rows(&path, options, progress).map_err(|fault| fault.in_repository(dir))?;
    let backend = SqliteBackend::open_locked(dir, lock, options).map_err(|fault| fault.in_repository(dir))?;
    let frontier = backend.derived().frontier(None, usize::MAX).len() as u64;
    if backend.totals()?.frontier != frontier {
        backend.write(|txn| Ok(txn.execute("UPDATE totals SET frontier = ?1", [int(frontier)])?))?;
    }
    Ok(report)
}

fn repair_rows(path: &Path, options: &Options, progress: &mut dyn FnMut(u64, u64)) -> Result<RepairReport> {
    let mut connection = connection::open_write(path, false, options)?;
    let version = schema::version(&connection)?;
    if version < schema::VERSION {
        schema::migrate(&mut connection, version)?;
    }
    schema::verify(&connection)?;
    // What is derived is made anew by whoever opens the repository next.
    connection.execute_batch(derived::FORGET)?;
    let mut repairer = Repairer::new(&mut connection, progress)?;
    repairer.chunks()?;
    repairer.blocks()?;
    repairer.log()?;
    repairer.ways()?;
    repairer.counts()?;
    repairer.totals()?;
    let report = repairer.report;
    connection.close().map_err(|(_, error)| error)?;
    Ok(report)
}

struct Repairer<'a> {
    connection: &'a mut Connection,
    progress: &'a mut dyn FnMut(u64, u64),
    report: RepairReport,
    rows_done: u64,
    rows: u64,
    /// One more than the greatest leaf index, and than the greatest number of a payload.
    blocks_end: u64,
    payloads_end: u64,
    counted: Totals,
    /// Leaf indices of all blocks that are lost.
    lost: BTreeSet<u64>,
}

impl<'a> Repairer<'a> {
    fn new(connection: &'a mut Connection, progress: &'a mut dyn FnMut(u64, u64)) -> Result<Self> {
        let end = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, Option<i64>>(0));
        let after = |last: Option<i64>| last.and_then(|last| u64::try_from(last).ok()).map_or(0, |last| last + 1);
        let blocks_end = after(end("SELECT max(leaf_index) FROM blocks")?);
        let payloads_end = after(end("SELECT max(payload_id) FROM payloads")?);
        let rows = blocks_end + payloads_end;
        let (report, counted) = (RepairReport::default(), Totals::default());
        let lost = BTreeSet::new();
        Ok(Self { connection, progress, report, rows_done: 0, rows, blocks_end, payloads_end, counted, lost })
    }

    fn step(&mut self) {
        self.rows_done = (self.rows_done + STEP_ROWS).min(self.rows);
        (self.progress)(self.rows_done, self.rows);
    }

    /// Sets aside the chunks that do not restore to their hash.
    fn chunks(&mut self) -> Result<()> {
        for first in (0..self.payloads_end).step_by(STEP_ROWS as usize) {
            let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut damaged = Vec::new();
            {
                let sql = "SELECT payload_id, hash, compression, original_size, stored_size, bytes FROM payloads
                    WHERE payload_id >= ?1 AND payload_id < ?2 AND kind = 0";
                let mut select = txn.prepare_cached(sql)?;
                let mut rows = select.query((int(first), int(first + STEP_ROWS)))?;
                while let Some(row) = rows.next()? {
                    self.report.chunks += 1;
                    match sound_chunk(row) {
                        Some((original_size, stored_size)) => {
                            self.counted.chunks += 1;
                            self.counted.unique_bytes += original_size;
                            self.counted.stored_bytes += stored_size;
                        }
                        None => damaged.push((uint(row, 0)?, row.get::<_, Option<Digest>>(1)?.unwrap_or_default())),
                    }
                }
            }
            for (id, hash) in damaged {
                let keep = "INSERT INTO set_aside (payload_id, hash, compression, original_size, bytes)
                    SELECT payload_id, hash, compression, original_size, bytes FROM payloads WHERE payload_id = ?1";
                txn.execute(keep, [int(id)])?;
                txn.execute("UPDATE payloads SET kind = 2, bytes = NULL WHERE payload_id = ?1", [int(id)])?;
                name(&mut self.report.set_aside, &mut self.report.set_aside_count, ContentHash::new(hash));
            }
            txn.commit()?;
            self.step();
        }
        Ok(())
    }

    /// Finds the blocks that are lost and those whose content is, and sums up the others.
    fn blocks(&mut self) -> Result<()> {
        for leaf_index in 0..self.blocks_end {
            self.report.blocks += 1;
            if leaf_index % STEP_ROWS == 0 {
                self.step();
            }
            let block = match read::block(self.connection, leaf_index) {
                Ok(Some(block)) => block,
                Ok(None) | Err(Fault::Backend(BackendError::Damaged(_))) => {
                    name(&mut self.report.blocks_lost, &mut self.report.blocks_lost_count, leaf_index);
                    self.lost.insert(leaf_index);
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            let header = block.header();
            self.counted.edges += header.parents.len() as u64;
            self.counted.depth_max = self.counted.depth_max.max(header.depth);
            self.counted.depth_sum += u64::from(header.depth);
            self.counted.original_bytes += header.original_size;
            self.counted.referenced_bytes += header.stored_size;
            self.counted.slices = header.slices_through();
            if !is_content_whole(self.connection, leaf_index, header.original_size)? {
                name(&mut self.report.contents_lost, &mut self.report.contents_lost_count, block.block_hash());
            }
        }
        self.counted.blocks = self.blocks_end;
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
    fn log(&mut self) -> Result<()> {
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
        Ok(self.connection.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?)
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

    fn ways(&mut self) -> Result<()> {
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.report.ways_corrected = write::write_ways(&txn, self.blocks_end)?;
        Ok(txn.commit()?)
    }

    fn counts(&mut self) -> Result<()> {
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // On the disk, where there is room for one row for each payload.
        txn.execute_batch(
            "DROP TABLE IF EXISTS temp.counted;
            CREATE TEMP TABLE counted AS SELECT id, count(*) AS refs FROM
                (SELECT chunk_id AS id FROM payload_chunks UNION ALL SELECT payload_id FROM blocks) GROUP BY id;
            CREATE INDEX temp.counted_by_id ON counted (id, refs);",
        )?;
        let sql = "UPDATE payloads
            SET refs = ifnull((SELECT c.refs FROM temp.counted c WHERE c.id = payloads.payload_id), 0)
            WHERE refs <> ifnull((SELECT c.refs FROM temp.counted c WHERE c.id = payloads.payload_id), 0)";
        self.report.counts_corrected = txn.execute(sql, ())? as u64;
        txn.execute_batch("DROP TABLE temp.counted")?;
        Ok(txn.commit()?)
    }

    fn totals(&mut self) -> Result<()> {
        let stored = read::totals(self.connection).ok();
        let payload_next = stored.map_or(0, |(_, next)| next).max(self.payloads_end);
        // The frontier is counted once the indexes are there.
        self.counted.frontier = stored.map_or(0, |(totals, _)| totals.frontier);
        self.report.totals_corrected = stored != Some((self.counted, payload_next));
        if self.report.totals_corrected {
            let sql = "INSERT OR IGNORE INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0)";
            self.connection.execute(sql, ())?;
            write::write_totals(self.connection, &self.counted, payload_next)?;
        }
        Ok(())
    }
}

/// Original and stored size of a chunk whose bytes are its content.
fn sound_chunk(row: &rusqlite::Row<'_>) -> Option<(u64, u64)> {
    let hash: Digest = row.get(1).ok()?;
    let compression = Compression::from_code(row.get(2).ok()?)?;
    let (original_size, stored_size): (u32, u64) = (row.get(3).ok()?, uint(row, 4).ok()?);
    let bytes = row.get_ref(5).ok()?.as_blob().ok()?;
    let plain = decompress(compression, bytes, original_size).ok()?;
    let is_sound = *blake3::hash(&plain).as_bytes() == hash && bytes.len() as u64 == stored_size;
    is_sound.then_some((u64::from(original_size), stored_size))
}

/// Whether a block's content is there, or was removed on purpose and not set aside.
fn is_content_whole(connection: &Connection, leaf_index: u64, original_size: u64) -> Result<bool> {
    let sql = "SELECT p.payload_id, p.kind FROM blocks b JOIN payloads p ON p.payload_id = b.payload_id
        WHERE b.leaf_index = ?1";
    let found = connection.prepare_cached(sql)?.query_row([int(leaf_index)], |row| Ok((row.get(0)?, row.get(1)?)));
    let (id, kind): (i64, u8) = match found.optional()? {
        Some(found) => found,
        None => return Ok(false),
    };
    match kind {
        0 => Ok(true),
        1 => is_list_whole(connection, id, original_size),
        _ => {
            let sql = "SELECT EXISTS (SELECT 1 FROM set_aside WHERE payload_id = ?1)";
            let is_set_aside: bool = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
            Ok(!is_set_aside)
        }
    }
}

/// Whether the chunks of a list follow each other and are there.
fn is_list_whole(connection: &Connection, id: i64, original_size: u64) -> Result<bool> {
    let sql = "SELECT c.start_offset, p.original_size, p.kind FROM payload_chunks c
        LEFT JOIN payloads p ON p.payload_id = c.chunk_id WHERE c.payload_id = ?1 ORDER BY c.start_offset";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([id])?;
    let mut end = 0u64;
    while let Some(row) = rows.next()? {
        let (size, kind): (Option<u32>, Option<u8>) = (row.get(1)?, row.get(2)?);
        match (size, kind) {
            (Some(size), Some(0)) if uint(row, 0)? == end => end += u64::from(size),
            _ => return Ok(false),
        }
    }
    Ok(end == original_size)
}
