//! Repair: makes anew whatever follows from blocks and payloads, sets damaged payloads aside, and tells exactly what is lost.
//!
//! What cannot be derived is never invented: a block whose header no longer hashes to its block hash stays as it is and is
//! named. Where a pack holds the chunk that a row should name, the row is made anew. A chunk whose bytes are not its content
//! moves to the table `set_aside`, as it was found, and its payload counts as removed: to put the same content again restores it
//! under its old block. Where only the hash that the row names was damaged, the block's header tells, and the chunk stays.

mod packed;
mod rehash;

use super::{
    DATABASE_FILE, Options, SqliteBackend, connection,
    derived::{self, LOST_AT_END_MAX, TILE_LEVEL},
    fault::{Fault, Result},
    io_error, lock, packs, read,
    rows::{PACKED, compression_of, int, stored_of, uint},
    schema,
    scratch::Scratch,
    write,
};
use crate::{
    backend::{BackendError, DagBackend, Totals},
    block::DagBlock,
    chunk::CHUNK_BYTES_LIMIT,
    compress::decompress,
    dictionary::{self, Dictionary},
    pack::{PackReader, Place, Stored},
    plan::node_number,
    removal::{self, replay},
};
use pakit_primitives::{BlockHash, ContentHash, SoftwareHasher, hasher::Digest, log::hash_node};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use serde::{Serialize, Serializer};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

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
    /// Rows of payloads that said something wrong of what they hold.
    pub rows_corrected: u64,
    /// Packs that were damaged or missing; what was whole in them was written anew.
    pub packs_renewed: u64,
    /// Copies of dictionaries that were damaged and were written anew from the others.
    pub dictionaries_restored: u64,
    /// Ways to genesis that were wrong.
    pub ways_corrected: u64,
    /// Counts of references that were wrong.
    pub counts_corrected: u64,
    /// Marks of forgotten and pinned blocks that were not what the audit trail tells, and the retention rule. 0 where a part of the
    /// trail is lost: then they stay as they are, and a check tells of it.
    pub marks_corrected: u64,
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
    let mut report = repair_rows(dir, options, progress).map_err(|fault| fault.in_repository(dir))?;
    let backend = SqliteBackend::open_locked(dir, lock, options, false).map_err(|fault| fault.in_repository(dir))?;
    let frontier = backend.derived().frontier(None, usize::MAX).len() as u64;
    if backend.totals()?.frontier != frontier {
        backend.write(|txn| Ok(txn.execute("UPDATE totals SET frontier = ?1", [int(frontier)])?))?;
    }
    report.marks_corrected = learn_marks(&Arc::new(backend), false)?;
    Ok(report)
}

/// Makes the marks what the audit trail in the log tells, if no part of it is lost; says how much was other. Of a new repository nothing
/// is lost: what cannot be read there is an error.
pub(crate) fn learn_marks(backend: &Arc<SqliteBackend>, is_new: bool) -> std::result::Result<u64, BackendError> {
    let all: Arc<dyn DagBackend> = backend.clone();
    let is_part_unread = Cell::new(false);
    let record = &mut |leaf_index| match removal::record_at(&all, leaf_index) {
        // SQLite calls it damage, too, when a disk does not give a page for once.
        Err(BackendError::Damaged(what)) if !is_new => {
            is_part_unread.set(true);
            Ok(Err(what))
        }
        read => read,
    };
    let mut different = 0;
    replay::differences(all.as_ref(), &Scratch::new()?, true, record, &mut |_| different += 1)?;
    if different == 0 {
        return Ok(0);
    }
    let told = Scratch::new()?;
    let learned = replay::learn(all.as_ref(), &told, record)?.filter(|_| !is_part_unread.get());
    let Some(retention) = learned else { return Ok(0) };
    backend.write(|txn| super::marks::rewrite(txn, &told, retention))?;
    Ok(different)
}

fn repair_rows(dir: &Path, options: &Options, progress: &mut dyn FnMut(u64, u64)) -> Result<RepairReport> {
    let mut connection = connection::open_write(&dir.join(DATABASE_FILE), false, options)?;
    let version = schema::version(&connection)?;
    if version < schema::VERSION {
        schema::migrate(&mut connection, version)?;
    }
    schema::verify(&connection)?;
    // What is derived is made anew by whoever opens the repository next.
    connection.execute_batch(derived::FORGET)?;
    connection.execute("UPDATE totals SET generation = 0 WHERE generation < 0", ())?;
    let mut repairer = Repairer::new(&mut connection, dir, progress)?;
    repairer.dictionaries()?;
    repairer.chunks(dir)?;
    repairer.blocks()?;
    repairer.log()?;
    repairer.ways()?;
    repairer.counts()?;
    repairer.totals()?;
    let mut report = repairer.report;
    report.packs_renewed = packs::renew(dir, &mut connection)?;
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
    /// Payloads that this repair set aside as chunks.
    aside: BTreeSet<u64>,
    /// Payloads whose rows name another hash than that of what they hold, which their blocks bear out.
    rehashed: BTreeMap<u64, rehash::Rehashed>,
    materials: Materials,
}

/// What it takes to restore a chunk beside its row.
struct Materials {
    dictionaries: HashMap<u32, Arc<Dictionary>>,
    packs: PackReader,
}

impl<'a> Repairer<'a> {
    fn new(connection: &'a mut Connection, dir: &Path, progress: &'a mut dyn FnMut(u64, u64)) -> Result<Self> {
        let end = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, Option<i64>>(0));
        let after = |last: Option<i64>| last.and_then(|last| u64::try_from(last).ok()).map_or(0, |last| last + 1);
        // A row whose place was damaged may stand far beyond all others.
        let count = after(end("SELECT count(*) - 1 FROM blocks WHERE leaf_index >= 0")?);
        let found = after(end("SELECT max(leaf_index) FROM blocks")?).min(count.saturating_add(LOST_AT_END_MAX));
        // What the sums, the log's nodes and the anchors know of the log's length: blocks at its end may be lost too.
        let told = [
            "SELECT max(blocks) FROM totals",
            "SELECT 256 * (max(tile) + 1) FROM log_tiles",
            "SELECT max(size) FROM outbox WHERE kind = 2 AND state = 4",
            "SELECT max(seen_size) FROM chain_binding WHERE is_current = 1",
        ];
        let mut blocks_end = found;
        for sql in told {
            let size = end(sql)?.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            if size.saturating_sub(found) <= LOST_AT_END_MAX {
                blocks_end = blocks_end.max(size);
            }
        }
        let payloads_end = after(end("SELECT max(payload_id) FROM payloads")?);
        let rows = blocks_end + payloads_end;
        let (report, counted) = (RepairReport::default(), Totals::default());
        let (lost, aside, rehashed) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Ok(Self {
            connection,
            progress,
            report,
            rows_done: 0,
            rows,
            blocks_end,
            payloads_end,
            counted,
            lost,
            aside,
            rehashed,
            materials: Materials { dictionaries: HashMap::new(), packs: PackReader::new(dir) },
        })
    }

    /// Before the chunks, which cannot be read without them.
    fn dictionaries(&mut self) -> Result<()> {
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (dictionaries, written) =
            dictionary::repair(|key| read::setting(&txn, key), |key, value| write::set_setting(&txn, key, value))?;
        txn.commit()?;
        (self.materials.dictionaries, self.report.dictionaries_restored) = (dictionaries, written);
        Ok(())
    }

    fn step(&mut self) {
        self.rows_done = (self.rows_done + STEP_ROWS).min(self.rows);
        (self.progress)(self.rows_done, self.rows);
    }

    /// Mends what rows say of chunks, from the chunks themselves or from packs, and sets aside what does not restore to its hash.
    fn chunks(&mut self, dir: &Path) -> Result<()> {
        let (mut damaged, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for first in (0..self.payloads_end).step_by(STEP_ROWS as usize) {
            let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let sql = "SELECT payload_id, hash, compression, original_size, bytes, kind, stored_size FROM payloads
                    WHERE payload_id >= ?1 AND payload_id < ?2 AND (kind = 0 OR bytes IS NOT NULL)";
                let mut select = txn.prepare_cached(sql)?;
                let mut rows = select.query((int(first), int(first + STEP_ROWS)))?;
                while let Some(row) = rows.next()? {
                    self.report.chunks += 1;
                    let id = uint(row, 0)?;
                    let Some((original_size, stored_size)) = sound_chunk(row, &self.materials)? else {
                        damaged.insert(id, row.get::<_, Option<Digest>>(1).ok().flatten().unwrap_or_default());
                        continue;
                    };
                    if let Some(place) = place(row) {
                        let end: &mut u64 = ends.entry(place.pack).or_default();
                        *end = place.end().max(*end);
                    }
                    self.counted.chunks += 1;
                    self.counted.unique_bytes += original_size;
                    self.counted.stored_bytes += stored_size;
                    if row.get::<_, i64>(5)? != 0 || row.get::<_, i64>(6)? != int(stored_size) {
                        let sql = "UPDATE payloads SET kind = 0, stored_size = ?2 WHERE payload_id = ?1";
                        txn.execute(sql, (int(id), int(stored_size)))?;
                        self.report.rows_corrected += 1;
                    }
                }
            }
            txn.commit()?;
            self.step();
        }
        self.report.rows_corrected += packs::recount(dir, self.connection, ends)?;
        self.restore_from_packs(dir, &mut damaged)?;
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (id, hash) in damaged {
            set_aside(&txn, id, &self.materials)?;
            self.aside.insert(id);
            name(&mut self.report.set_aside, &mut self.report.set_aside_count, ContentHash::new(hash));
        }
        Ok(txn.commit()?)
    }

    /// Finds the blocks that are lost and those whose content is, and sums up the others.
    fn blocks(&mut self) -> Result<()> {
        for leaf_index in 0..self.blocks_end {
            self.report.blocks += 1;
            if leaf_index % STEP_ROWS == 0 {
                self.step();
            }
            let (block, is_rehashed) = match read::block(self.connection, leaf_index) {
                Ok(Some(block)) => (Some(block), false),
                Ok(None) | Err(Fault::Backend(BackendError::Damaged(_))) => (self.rehashed_block(leaf_index)?, true),
                Err(fault) => return Err(fault),
            };
            let Some(block) = block else {
                name(&mut self.report.blocks_lost, &mut self.report.blocks_lost_count, leaf_index);
                self.lost.insert(leaf_index);
                continue;
            };
            self.count(&block);
            if is_rehashed {
                continue;
            }
            let header = block.header();
            let content = content_state(self.connection, leaf_index, header.original_size, &self.materials)?;
            if let Content::ListLost { payload_id } = content {
                let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                set_aside(&txn, payload_id, &self.materials)?;
                txn.commit()?;
            }
            if matches!(content, Content::Whole) {
                self.report.rows_corrected += correct_list_size(self.connection, leaf_index)?;
            } else {
                name(&mut self.report.contents_lost, &mut self.report.contents_lost_count, block.block_hash());
            }
        }
        self.counted.blocks = self.blocks_end;
        self.rehash()
    }

    fn count(&mut self, block: &DagBlock) {
        let header = block.header();
        self.counted.edges += header.parents.len() as u64;
        self.counted.depth_max = self.counted.depth_max.max(header.depth);
        self.counted.depth_sum += u64::from(header.depth);
        self.counted.original_bytes += header.original_size;
        self.counted.referenced_bytes += header.stored_size;
        self.counted.slices = header.slices_through();
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
        // What is still counted though nothing names it may be what a damaged row named: it is not given up.
        let sql = "UPDATE payloads SET refs = n FROM
            (SELECT p.payload_id AS id, max(ifnull(c.refs, 0), p.refs > 0) AS n
                FROM payloads p LEFT JOIN temp.counted c ON c.id = p.payload_id) AS counts
            WHERE counts.id = payloads.payload_id AND payloads.refs <> n";
        self.report.counts_corrected = txn.execute(sql, ())? as u64;
        txn.execute_batch("DROP TABLE temp.counted")?;
        Ok(txn.commit()?)
    }

    fn totals(&mut self) -> Result<()> {
        let stored = read::totals(self.connection).ok();
        // A number so far beyond all payloads was never given.
        let told = stored.map_or(0, |(_, next)| next).min(self.payloads_end.saturating_add(1 << 40));
        let payload_next = told.max(self.payloads_end);
        if let Some((stored, _)) = stored.filter(|_| !self.lost.is_empty()) {
            // What the lost blocks added is known from here only.
            self.counted.edges = self.counted.edges.max(stored.edges);
            self.counted.depth_max = self.counted.depth_max.max(stored.depth_max);
            self.counted.depth_sum = self.counted.depth_sum.max(stored.depth_sum);
            self.counted.slices = self.counted.slices.max(stored.slices);
            self.counted.original_bytes = self.counted.original_bytes.max(stored.original_bytes);
            self.counted.referenced_bytes = self.counted.referenced_bytes.max(stored.referenced_bytes);
        }
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
fn sound_chunk(row: &rusqlite::Row<'_>, materials: &Materials) -> Result<Option<(u64, u64)>> {
    let Ok(hash) = row.get::<_, Digest>(1) else { return Ok(None) };
    let plain = plain_chunk(row, materials)?.filter(|plain| *blake3::hash(plain).as_bytes() == hash);
    Ok(plain.map(|plain| (plain.len() as u64, stored_size(row))))
}

/// The plaintext of a row with compression, size and bytes from its third column on, unless it is damaged. What cannot be read now, on a
/// disk that fails or for want of a permission, may be read another time: that is an error, and nothing is given up for it.
fn plain_chunk(row: &rusqlite::Row<'_>, materials: &Materials) -> Result<Option<Vec<u8>>> {
    let described = || {
        let code = row.get(2).ok()?;
        // No chunk of any configuration is larger: a size that lies takes no memory.
        let original_size = row.get(3).ok().filter(|size: &u32| *size <= CHUNK_BYTES_LIMIT)?;
        Some((compression_of(code)?, original_size, stored_of(code, row.get(4).ok()?)?))
    };
    let Some((compression, original_size, stored)) = described() else { return Ok(None) };
    let bytes = match materials.packs.restore(&stored) {
        Ok(bytes) => bytes,
        Err(BackendError::Damaged(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let find = |number| Ok(materials.dictionaries.get(&number).cloned());
    Ok(decompress(compression, &bytes, original_size, find).ok())
}

/// How many bytes are stored of such a row's chunk, in it or in a pack.
fn stored_size(row: &rusqlite::Row<'_>) -> u64 {
    let stored = row.get(2).and_then(|code| Ok(stored_of(code, row.get(4)?)));
    match stored {
        Ok(Some(Stored::Here(bytes))) => bytes.len() as u64,
        Ok(Some(Stored::Packed(place))) => u64::from(place.length),
        Ok(None) | Err(_) => 0,
    }
}

/// Where such a row's chunk stands, if it stands in a pack.
fn place(row: &rusqlite::Row<'_>) -> Option<Place> {
    match stored_of(row.get(2).ok()?, row.get(4).ok()?)? {
        Stored::Here(_) => None,
        Stored::Packed(place) => Some(place),
    }
}

/// What is there of a block's content.
enum Content {
    /// All of it, or it was removed on purpose.
    Whole,
    /// A chunk, or all, was set aside: it comes back when its chunks are put again.
    SetAside,
    /// Its list of chunks lacks some, or names such as have no row any more.
    ListLost { payload_id: u64 },
    /// The payload's row is gone.
    RowLost,
}

fn content_state(
    connection: &Connection,
    leaf_index: u64,
    original_size: u64,
    materials: &Materials,
) -> Result<Content> {
    let sql = "SELECT p.payload_id, p.kind, p.hash,
        EXISTS (SELECT 1 FROM payload_chunks c WHERE c.payload_id = p.payload_id),
        EXISTS (SELECT 1 FROM set_aside s WHERE s.payload_id = p.payload_id)
            OR NOT EXISTS (SELECT 1 FROM forgotten f WHERE f.leaf_index = b.leaf_index)
        FROM blocks b JOIN payloads p ON p.payload_id = b.payload_id WHERE b.leaf_index = ?1";
    let found = connection.prepare_cached(sql)?.query_row([int(leaf_index)], |row| {
        Ok((uint(row, 0)?, row.get::<_, i64>(1)?, row.get::<_, Digest>(2)?, row.get(3)?, row.get(4)?))
    });
    // What was removed though the block was not forgotten is as lost as what was set aside.
    let (id, kind, hash, has_list, is_set_aside): (u64, i64, Digest, bool, bool) = match found.optional()? {
        Some(found) => found,
        None => return Ok(Content::RowLost),
    };
    match kind {
        0 => Ok(Content::Whole),
        1 => list_state(connection, id, &hash, original_size, materials),
        // A list whose row says that it was removed, though nothing of it was.
        2 if has_list && matches!(list_state(connection, id, &hash, original_size, materials)?, Content::Whole) => {
            connection.execute("UPDATE payloads SET kind = 1 WHERE payload_id = ?1", [int(id)])?;
            Ok(Content::Whole)
        }
        _ if has_list => Ok(Content::ListLost { payload_id: id }),
        _ => Ok(if is_set_aside { Content::SetAside } else { Content::Whole }),
    }
}

/// Whether the chunks of a list are there, follow each other, and are the content.
fn list_state(
    connection: &Connection,
    payload_id: u64,
    hash: &Digest,
    original_size: u64,
    materials: &Materials,
) -> Result<Content> {
    let sql = "SELECT c.start_offset, p.hash, p.compression, p.original_size, p.bytes, p.kind FROM payload_chunks c
        LEFT JOIN payloads p ON p.payload_id = c.chunk_id WHERE c.payload_id = ?1 ORDER BY c.start_offset";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([int(payload_id)])?;
    let mut hasher = blake3::Hasher::new();
    let (mut end, mut is_set_aside) = (0u64, false);
    while let Some(row) = rows.next()? {
        if row.get::<_, Option<i64>>(5)? == Some(2) {
            is_set_aside = true;
            continue;
        }
        // Chunks were looked at before: those that are left are sound.
        let Some(plain) = plain_chunk(row, materials)? else { return Ok(Content::ListLost { payload_id }) };
        if !is_set_aside && row.get::<_, i64>(0)? != int(end) {
            return Ok(Content::ListLost { payload_id });
        }
        end += plain.len() as u64;
        hasher.update(&plain);
    }
    Ok(match end == original_size && hasher.finalize().as_bytes() == hash {
        true => Content::Whole,
        // Not known before its chunks are there again.
        false if is_set_aside => Content::SetAside,
        false => Content::ListLost { payload_id },
    })
}

/// Stored bytes of a list are those of its chunks, which were looked at before. Says how many rows said otherwise.
fn correct_list_size(connection: &Connection, leaf_index: u64) -> Result<u64> {
    let sql = "UPDATE payloads SET stored_size = counted.size FROM
        (SELECT c.payload_id AS id, sum(p.stored_size) AS size
            FROM blocks b JOIN payload_chunks c ON c.payload_id = b.payload_id JOIN payloads p ON p.payload_id = c.chunk_id
            WHERE b.leaf_index = ?1 GROUP BY c.payload_id) AS counted
        WHERE payloads.payload_id = counted.id AND kind = 1 AND payloads.stored_size <> counted.size";
    Ok(connection.prepare_cached(sql)?.execute([int(leaf_index)])? as u64)
}

/// Keeps what a payload's row holds where nothing reads it but people, and makes room for the same content to be put again.
fn set_aside(txn: &Connection, payload_id: u64, materials: &Materials) -> Result<()> {
    let keep = "INSERT INTO set_aside (payload_id, hash, compression, original_size, bytes)
        SELECT payload_id, hash, compression, original_size, bytes FROM payloads WHERE payload_id = ?1";
    txn.execute(keep, [int(payload_id)])?;
    take_out_of_pack(txn, txn.last_insert_rowid(), materials)?;
    // The size stays: headers are put together with it.
    let sql = "UPDATE payloads SET kind = 2, compression = 0, stored_size = 0, bytes = NULL WHERE payload_id = ?1";
    txn.execute(sql, [int(payload_id)])?;
    txn.execute("DELETE FROM payload_chunks WHERE payload_id = ?1", [int(payload_id)])?;
    Ok(())
}

/// Puts what was set aside of a pack into its row: packs are written anew for what payloads name. A place of what is missing stays.
fn take_out_of_pack(txn: &Connection, set_aside_id: i64, materials: &Materials) -> Result<()> {
    let sql = "SELECT compression, bytes FROM set_aside WHERE set_aside_id = ?1";
    let found = txn.query_row(sql, [set_aside_id], |row| Ok((row.get(0).ok(), row.get(1).ok())))?;
    let (Some(code), Some(bytes)): (Option<u8>, Option<Vec<u8>>) = found else { return Ok(()) };
    let Some(stored @ Stored::Packed(_)) = stored_of(code, bytes) else { return Ok(()) };
    match materials.packs.restore(&stored) {
        Err(BackendError::Damaged(_)) => return Ok(()),
        restored => {
            let sql = "UPDATE set_aside SET compression = ?2, bytes = ?3 WHERE set_aside_id = ?1";
            txn.execute(sql, (set_aside_id, code & !PACKED, restored?))?;
        }
    }
    Ok(())
}
