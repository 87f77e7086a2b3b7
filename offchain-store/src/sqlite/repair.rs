//! Repair: makes anew whatever follows from blocks and payloads, sets damaged payloads aside, and tells exactly what is lost.
//!
//! What cannot be derived is never invented: a block whose header no longer hashes to its block hash stays as it is and is
//! named. Where a pack holds the chunk that a row should name, the row is made anew. A chunk whose bytes are not its content
//! moves to the table `set_aside`, as it was found, and its payload counts as removed: to put the same content again restores it
//! under its old block. Where only the hash that the row names was damaged, the block's header tells, and the chunk stays.
//!
//! Rows are walked and not numbers: a row that stands far beyond all others costs no more than any. What it says of the log's length is
//! believed as far as something else bears it out (`repair/length.rs`). A repair ends with the comparisons of an audit, and names what they find.

mod content;
mod length;
mod log;
mod metadata;
mod packed;
mod rehash;
mod settings;
mod strays;

use super::{
    DATABASE_FILE, Options, SqliteBackend, connection, derived,
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
    check::{self, Depth, Problem},
    chunk::CHUNK_BYTES_LIMIT,
    compress::decompress,
    dictionary::{self, Dictionary},
    pack::{PackReader, Place, Stored},
    removal::{self, marks::Marks, replay},
};
use content::{Content, content_state, correct_list_size};
use length::{Told, Walked};
use pakit_primitives::{BlockHash, Compression, ContentHash, hasher::Digest};
use rusqlite::{Connection, TransactionBehavior, types::ValueRef};
use serde::{Serialize, Serializer};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::ControlFlow,
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
    /// Rows of blocks looked at.
    pub blocks: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// Nodes of the log that were missing or wrong and follow from the block hashes.
    pub log_nodes_restored: u64,
    /// Rows that said something wrong, and now say what follows from the rest.
    pub rows_corrected: u64,
    /// Rows that stood where none can, and that nothing names: they are gone. Of chunks among them the bytes are in the table `set_aside`.
    pub rows_removed: u64,
    /// Packs that were damaged or missing; what was whole in them was written anew.
    pub packs_renewed: u64,
    /// Copies of dictionaries that were damaged and were written anew from the others.
    pub dictionaries_restored: u64,
    /// 1, if the named values were not those that were set, or lacked some.
    pub settings_corrected: u64,
    /// Named values that nothing bears out any more: what is there is what was found, or the default.
    pub settings_lost: Vec<&'static str>,
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
    /// What an audit of the structure finds afterwards: what is lost, and what could not be mended. The first of them.
    pub remaining: Vec<Problem>,
    /// How many there are.
    pub remaining_count: u64,
}

impl RepairReport {
    /// Whether everything that was ever acknowledged, and not removed on purpose, is there, and nothing else is wrong.
    pub fn is_whole(&self) -> bool {
        let lost = [self.set_aside_count, self.contents_lost_count, self.blocks_lost_count];
        lost == [0; 3] && self.remaining_count == 0 && self.settings_lost.is_empty()
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

/// Repairs the repository in `dir`, which nobody else may have open for writing. `progress` is told of (steps done, steps in all): the
/// first half of them rows, the second the audit at the end. Whatever is interrupted can be begun again.
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
    let mut rows = 0;
    let of_rows = &mut |done: u64, all: u64| {
        rows = all;
        progress(done, all.saturating_mul(2));
    };
    let mut report = repair_rows(dir, options, of_rows).map_err(|fault| fault.in_repository(dir))?;
    let backend = SqliteBackend::open_locked(dir, lock, options, false).map_err(|fault| fault.in_repository(dir))?;
    let frontier = backend.derived().frontier(None, usize::MAX).len() as u64;
    if backend.totals()?.frontier != frontier {
        backend.write(|txn| Ok(txn.execute("UPDATE totals SET frontier = ?1", [int(frontier)])?))?;
    }
    let backend = Arc::new(backend);
    report.marks_corrected = learn_marks(&backend, false)?;
    let of_audit = &mut |done: u64, all: u64| {
        let share = u128::from(rows) * u128::from(done) / u128::from(all.max(1));
        progress(rows.saturating_add(u64::try_from(share).unwrap_or(rows)), rows.saturating_mul(2));
    };
    (report.remaining, report.remaining_count) = remaining(backend.as_ref(), of_audit)?;
    Ok(report)
}

/// What an audit finds. Payloads were read before, and packs.
fn remaining(
    backend: &dyn DagBackend,
    progress: &mut dyn FnMut(u64, u64),
) -> std::result::Result<(Vec<Problem>, u64), BackendError> {
    let report = check::check(backend, Depth::Structure, &mut |done, all| {
        progress(done, all);
        ControlFlow::Continue(())
    })?;
    Ok((report.problems, report.problem_count))
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
    // What the newest record said leaves no gap where it is lost, and would be taken for undone.
    if !is_new && is_audit_lost(backend)? {
        return Ok(0);
    }
    let told = Scratch::new()?;
    let learned = replay::learn(all.as_ref(), &told, record)?.filter(|_| !is_part_unread.get());
    let Some(retention) = learned else { return Ok(0) };
    backend.write(|txn| super::marks::rewrite(txn, &told, retention))?;
    Ok(different)
}

/// Whether a block that is listed as one of the audit trail, or its record, is not there.
fn is_audit_lost(backend: &SqliteBackend) -> std::result::Result<bool, BackendError> {
    let blocks = backend.totals()?.blocks;
    let mut audits = removal::Pages::new(|after| backend.audits(after, removal::PAGE));
    while let Some(leaf_index) = audits.next()?.filter(|leaf_index| *leaf_index < blocks) {
        let block = match backend.block(leaf_index) {
            Ok(block) => block,
            Err(BackendError::Damaged(_)) => None,
            Err(error) => return Err(error),
        };
        let Some(block) = block else { return Ok(true) };
        if backend.payload(&block.header().content_hash)?.is_none_or(|payload| !payload.is_kept) {
            return Ok(true);
        }
    }
    Ok(false)
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
    repairer.pack_numbers()?;
    repairer.numbers_in_marks()?;
    repairer.late_names()?;
    repairer.payload_numbers()?;
    repairer.chunks(dir)?;
    repairer.lists()?;
    repairer.misplaced_blocks()?;
    repairer.blocks()?;
    repairer.stray_blocks()?;
    repairer.metadata_of_none()?;
    repairer.settings()?;
    repairer.stray_nodes()?;
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
    /// The length of the log, once all blocks were looked at; and one more than the greatest number of a payload.
    blocks_end: u64,
    payloads_end: u64,
    counted: Totals,
    /// Leaf indices of all blocks that are lost.
    lost: BTreeSet<u64>,
    /// What the sums told before anything was changed.
    told: Told,
    /// Whether the sums were those of the blocks that there are: then nothing else was ever committed.
    are_sums_of_blocks: bool,
    /// Whether the settings had their checksum before anything was changed.
    are_settings_borne_out: bool,
    /// How many more metadata maps are tried on blocks that cannot be put together.
    metadata_tries: u64,
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
        let count = |table| connection.query_row(table, (), |row| uint(row, 0));
        let rows = count("SELECT count(*) FROM blocks")? + count("SELECT count(*) FROM payloads")?;
        let are_settings_borne_out = settings::are_borne_out(connection)?;
        Ok(Self {
            connection,
            progress,
            report: RepairReport::default(),
            rows_done: 0,
            rows,
            blocks_end: 0,
            payloads_end: 0,
            counted: Totals::default(),
            lost: BTreeSet::new(),
            told: Told::default(),
            are_sums_of_blocks: false,
            are_settings_borne_out,
            metadata_tries: metadata::TRIES_MAX,
            aside: BTreeSet::new(),
            rehashed: BTreeMap::new(),
            materials: Materials { dictionaries: HashMap::new(), packs: PackReader::new(dir) },
        })
    }

    /// Before the chunks, which cannot be read without them.
    fn dictionaries(&mut self) -> Result<()> {
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // A new checksum would bear out what the one before did not.
        let set = match self.are_settings_borne_out {
            true => write::set_setting,
            false => settings::set_raw,
        };
        let (dictionaries, written) =
            dictionary::repair(|key| settings::raw_setting(&txn, key), |key, value| set(&txn, key, value))?;
        txn.commit()?;
        (self.materials.dictionaries, self.report.dictionaries_restored) = (dictionaries, written);
        Ok(())
    }

    fn step(&mut self, rows: u64) {
        self.rows_done = (self.rows_done + rows).min(self.rows);
        (self.progress)(self.rows_done, self.rows);
    }

    /// Mends what rows say of chunks, from the chunks themselves or from packs, and sets aside what does not restore to its hash.
    fn chunks(&mut self, dir: &Path) -> Result<()> {
        let (mut damaged, mut ends) = (BTreeMap::new(), BTreeMap::new());
        // Chunks with the numbers of their rows; other rows are passed over.
        let mut next = Some(0);
        while let Some(first) = next {
            let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let sql = "SELECT payload_id, hash, compression, original_size, bytes, kind, stored_size FROM payloads
                    WHERE payload_id >= ?1 ORDER BY payload_id LIMIT ?2";
                let mut select = txn.prepare_cached(sql)?;
                let mut rows = select.query((int(first), int(STEP_ROWS)))?;
                next = None;
                while let Some(row) = rows.next()? {
                    let id = uint(row, 0)?;
                    next = id.checked_add(1);
                    if row.get::<_, i64>(5)? != 0 && row.get_ref(4)? == ValueRef::Null {
                        continue;
                    }
                    self.report.chunks += 1;
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
            if next.is_some() {
                self.step(STEP_ROWS);
            }
        }
        let last_named = ends.last_key_value().map_or(0, |(number, _)| *number);
        self.report.rows_corrected += packs::recount(dir, self.connection, ends)?;
        self.report.rows_removed += packs::forget_unused(dir, self.connection, last_named)?;
        self.restore_from_packs(dir, &mut damaged)?;
        let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (id, hash) in damaged {
            if has_list(&txn, id)? {
                // A content of several chunks, whatever its row says: what the list says is looked at with its blocks.
                self.report.rows_corrected += 1;
                make_list(&txn, id, &self.materials)?;
                continue;
            }
            set_aside(&txn, id, &self.materials)?;
            self.aside.insert(id);
            name(&mut self.report.set_aside, &mut self.report.set_aside_count, ContentHash::new(hash));
        }
        Ok(txn.commit()?)
    }

    /// The compression of a list is that of most of its stored bytes; of what was removed it is none. What is neither can be read by nobody.
    fn lists(&mut self) -> Result<()> {
        // Of chunks the kind is known by now.
        let sql = "UPDATE payloads SET kind = iif(EXISTS (SELECT 1 FROM payload_chunks c
            WHERE c.payload_id = payloads.payload_id), 1, 2) WHERE kind NOT BETWEEN 0 AND 2";
        self.report.rows_corrected += self.connection.execute(sql, ())? as u64;
        let sql = "UPDATE payloads SET compression = iif(kind = 2, 0, ifnull(
            (SELECT p.compression & ~?1 FROM payload_chunks c JOIN payloads p ON p.payload_id = c.chunk_id
                WHERE c.payload_id = payloads.payload_id
                GROUP BY p.compression & ~?1 ORDER BY total(p.stored_size) DESC, 1 LIMIT 1), 0))
            WHERE kind <> 0 AND (compression < 0 OR compression >= ?2)";
        let codes = int(Compression::ALL.len() as u64);
        self.report.rows_corrected += self.connection.execute(sql, (PACKED, codes))? as u64;
        Ok(())
    }

    /// Finds the blocks that are lost and those whose content is, and sums up the others.
    fn blocks(&mut self) -> Result<()> {
        let rows = self.connection.query_row("SELECT count(*) FROM blocks", (), |row| uint(row, 0))?;
        let mut walked = Walked::new(rows);
        loop {
            let sql = "SELECT leaf_index FROM blocks WHERE leaf_index >= ?1 ORDER BY leaf_index LIMIT ?2";
            let from = (int(walked.next_row), int(STEP_ROWS));
            let page = read::all(self.connection, sql, from, |row| uint(row, 0))?;
            for leaf_index in &page {
                let is_sound = walked.may_stand(*leaf_index) && self.is_block_sound(*leaf_index)?;
                walked.note(*leaf_index, is_sound);
            }
            self.report.blocks += page.len() as u64;
            self.step(page.len() as u64);
            if page.len() < STEP_ROWS as usize {
                break;
            }
        }
        self.blocks_end = self.end_of_log(&walked)?;
        for leaf_index in walked.lost(self.blocks_end) {
            name(&mut self.report.blocks_lost, &mut self.report.blocks_lost_count, leaf_index);
            self.lost.insert(leaf_index);
        }
        self.counted.blocks = self.blocks_end;
        self.rehash()
    }

    /// Whether a block can be put together; sums it up, and names it if its content is lost.
    fn is_block_sound(&mut self, leaf_index: u64) -> Result<bool> {
        let read = match read::block(self.connection, leaf_index) {
            Ok(block) => block,
            Err(Fault::Backend(BackendError::Damaged(_))) => None,
            Err(fault) => return Err(fault),
        };
        let block = match read {
            Some(block) => block,
            None => match self.rehashed_block(leaf_index)? {
                // Its content is looked at when the hash is written down.
                Some(block) => {
                    self.count(&block);
                    return Ok(true);
                }
                None => match self.block_of_other_metadata(leaf_index)? {
                    Some(block) => block,
                    None => return Ok(false),
                },
            },
        };
        self.count(&block);
        let original_size = block.header().original_size;
        let content = content_state(self.connection, leaf_index, original_size, &self.materials)?;
        if let Content::ListLost { payload_id } = content {
            let txn = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            set_aside(&txn, payload_id, &self.materials)?;
            txn.commit()?;
        }
        if matches!(content, Content::Whole | Content::Mended) {
            self.report.rows_corrected += u64::from(matches!(content, Content::Mended));
            self.report.rows_corrected += correct_list_size(self.connection, leaf_index)?;
        } else {
            name(&mut self.report.contents_lost, &mut self.report.contents_lost_count, block.block_hash());
        }
        Ok(true)
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
        if !self.lost.is_empty() {
            let is_newest_lost = self.blocks_end.checked_sub(1).is_some_and(|newest| self.lost.contains(&newest));
            self.told.add_lost(&mut self.counted, is_newest_lost);
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

/// Keeps what a payload's row holds where nothing reads it but people, and makes room for the same content to be put again.
fn set_aside(txn: &Connection, payload_id: u64, materials: &Materials) -> Result<()> {
    set_aside_as(txn, int(payload_id), int(payload_id), materials)?;
    // The size stays: headers are put together with it.
    let sql = "UPDATE payloads SET kind = 2, compression = 0, stored_size = 0, bytes = NULL WHERE payload_id = ?1";
    txn.execute(sql, [int(payload_id)])?;
    txn.execute("DELETE FROM payload_chunks WHERE payload_id = ?1", [int(payload_id)])?;
    Ok(())
}

fn has_list(txn: &Connection, payload_id: u64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM payload_chunks WHERE payload_id = ?1)";
    Ok(txn.query_row(sql, [int(payload_id)], |row| row.get(0))?)
}

/// Lets a payload be its list of chunks again. Bytes in its row are nobody's, and are kept for people.
fn make_list(txn: &Connection, payload_id: u64, materials: &Materials) -> Result<()> {
    let sql = "SELECT bytes IS NOT NULL FROM payloads WHERE payload_id = ?1";
    if txn.query_row(sql, [int(payload_id)], |row| row.get(0))? {
        set_aside_as(txn, int(payload_id), strays::NO_PAYLOAD, materials)?;
    }
    let sql = "UPDATE payloads SET kind = 1, bytes = NULL WHERE payload_id = ?1";
    txn.execute(sql, [int(payload_id)])?;
    Ok(())
}

/// Keeps what a row holds as that of a payload of another number, or of none.
fn set_aside_as(txn: &Connection, row: i64, payload_id: i64, materials: &Materials) -> Result<()> {
    let keep = "INSERT INTO set_aside (payload_id, hash, compression, original_size, bytes)
        SELECT ?2, hash, compression, original_size, bytes FROM payloads WHERE payload_id = ?1";
    txn.execute(keep, (row, payload_id))?;
    take_out_of_pack(txn, txn.last_insert_rowid(), materials)
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
