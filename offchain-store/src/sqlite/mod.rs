//! [`SqliteBackend`]: a repository's blocks in a SQLite database. All SQL of the store stands in this folder.
//!
//! | file | holds |
//! |---|---|
//! | `schema.rs` | the tables, their legend and their versions |
//! | `connection.rs` | how connections are opened and set up |
//! | `read.rs`, `write.rs` | the questions and the changes |
//! | `bulk.rs` | the rows in their order, for copies of everything |
//! | `derived.rs` | what is derived from the rows to find them: existence filter, indexes, counts of children |
//! | `runs.rs` | the indexes as sorted runs |
//! | `recent.rs` | the newest entries of the indexes, in memory |
//! | `sieve.rs` | what a run does not hold, in memory |
//! | `turned.rs` | where a run was last read |
//! | `packs.rs` | the larger chunks, which stand in files beside the database |
//! | `parent_cache.rs` | what blocks ask of their parents, in memory |
//! | `marks.rs` | the tables of what was decided about blocks |
//! | `scratch.rs` | sets on the disk, for walks that look at everything |
//! | `compact.rs` | giving the space of what was removed back |
//! | `strays.rs` | rows that stand where none can |
//! | `repair.rs` | making anew what can be derived, telling what is lost |
//! | `outbox.rs` | the tables of anchors |
//!
//! One process writes, and holds the file `lock` for it; any number read meanwhile. A commit is one transaction of
//! SQLite's write-ahead log and, with [`Fsync::Full`], on the disk when it returns.

mod bulk;
pub mod compact;
mod connection;
mod derived;
mod fault;
mod marks;
pub mod outbox;
mod packs;
mod parent_cache;
mod read;
mod recent;
pub mod repair;
mod rows;
mod runs;
mod schema;
pub(crate) mod scratch;
mod sieve;
mod strays;
#[cfg(test)]
mod tests;
mod turned;
mod write;

use fault::Result;

use crate::{
    backend::{
        BackendError, BlockKey, CheckedRecord, ChunkRef, DagBackend, Hop, PackPlace, ParentInfo, PayloadInfo, Standing,
        StoredChunk, StrayRow, Totals, WriteBatch, follow_way,
    },
    block::DagBlock,
    dictionary::{Dictionary, Shelf},
    pack::{PackError, PackReader, PackWriter},
    plain_file,
    plan::{Plan, Staging, Stagings},
    removal::marks::{BlockMark, MarkTotals, Marks, Pin},
};
use connection::{Pool, Sight, Snapshot};
use derived::{Additions, Derived};
use pakit_primitives::{BlockHash, ContentHash, MetadataHash, hasher::Digest};
use parent_cache::ParentCache;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{
    cell::Cell,
    collections::HashSet,
    fs::{File, TryLockError},
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

/// The database within a repository's folder.
const DATABASE_FILE: &str = "pakit.db";
/// The database while it is being made.
const NEW_DATABASE_FILE: &str = "pakit.db.new";
/// The file that the writer holds locked.
const LOCK_FILE: &str = "lock";

/// What a repository is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading, also beside a writer, and also where nothing can be written.
    Read,
    /// Reading and writing, as the only writer.
    Write,
}

/// When a commit is on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fsync {
    /// When it returns, also if the power fails then.
    #[default]
    Full,
    /// A while later. A power cut may take the last commits back, whole ones, in order.
    Normal,
    /// When the system likes to. A power cut may damage the repository.
    Off,
}

/// How a repository is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Memory for pages of the database: half for the writer, half for all readers together.
    pub cache_bytes: u64,
    /// When a commit is on the disk.
    pub fsync: Fsync,
    /// How long to wait for another process that holds the database.
    pub busy_timeout: Duration,
    /// Most connections that read at once; further readers wait.
    pub read_connections_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            fsync: Fsync::Full,
            busy_timeout: Duration::from_secs(5),
            read_connections_max: 8,
        }
    }
}

/// A repository's database.
///
/// ```
/// use offchain_store::{DagBackend, sqlite::{Access, Options, SqliteBackend}};
/// # let folder = tempfile::tempdir().unwrap();
/// # let dir = folder.path().join("repository");
/// let backend = SqliteBackend::create(&dir, &Options::default()).unwrap();
/// backend.set_setting("name", b"land titles").unwrap();
/// drop(backend);
/// let backend = SqliteBackend::open(&dir, Access::Read, &Options::default()).unwrap();
/// assert_eq!(backend.setting("name").unwrap().unwrap(), b"land titles");
/// ```
#[derive(Debug)]
pub struct SqliteBackend {
    dir: PathBuf,
    /// What is derived from the rows. A writer changes it with each commit; other processes' commits are followed.
    derived: RwLock<Derived>,
    parents: ParentCache,
    dictionaries: Shelf,
    packs: PackReader,
    // Closed before the writer, whose connection then is the last one and empties the write-ahead log.
    readers: Pool,
    writer: Option<Mutex<Writer>>,
    // Given up last.
    _lock: Option<File>,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    /// Contents that are being written.
    stagings: Stagings,
    /// Whether what a writer that died left behind is cleared away.
    is_cleared: bool,
    packs: PackWriter,
    /// Whether commits wait for the disk. Packs are waited for as soon as the database's order of writes counts: what a row
    /// names has to be on the disk before the row is.
    waits_for_packs: bool,
    /// Whether the database was asked to commit the last batch.
    is_committing: bool,
}

impl Writer {
    /// Gives back what a batch that failed had written of itself. What cannot be given back is written over later, or by the
    /// next opening.
    fn give_up(&mut self, is_disk_full: bool) {
        let is_log_empty = is_disk_full && connection::try_empty_log(&self.connection).is_ok_and(|is_empty| is_empty);
        // Nothing is left in the log, or was ever in it, that a crash could make whole.
        if is_log_empty || !self.is_committing {
            self.packs.forget();
            let _ = self.packs.give_back();
        } else {
            self.packs.skip();
        }
    }
}

impl SqliteBackend {
    /// Makes an empty repository in `dir`, which may exist, and opens it for writing.
    pub fn create(dir: &Path, options: &Options) -> std::result::Result<Self, BackendError> {
        let (dir, lock) = Self::make(dir, options)?;
        Self::open_locked(&dir, lock, options, false).map_err(|fault| fault.in_repository(&dir))
    }

    /// Makes an empty repository in `dir` that is filled at once: nothing waits for the disk, and nothing is written twice. A
    /// crash, or a batch that cannot be committed, leaves files of no use; so nobody else may open it before
    /// [`Self::filled`] has returned.
    pub(crate) fn create_to_fill(dir: &Path, options: &Options) -> std::result::Result<Self, BackendError> {
        let (dir, lock) = Self::make(dir, options)?;
        Self::open_locked(&dir, lock, options, true).map_err(|fault| fault.in_repository(&dir))
    }

    /// Closes a repository that was filled at once, as one that can be opened like any other. Its files are not on the disk yet.
    pub(crate) fn filled(self, options: &Options) -> std::result::Result<(), BackendError> {
        let dir = self.dir.clone();
        drop(self);
        let path = dir.join(DATABASE_FILE);
        let close = || -> Result<()> {
            let connection = connection::open_write(&path, true, options)?;
            connection::empty_log(&connection)?;
            Ok(connection.close().map_err(|(_, error)| error)?)
        };
        Self::make_whole(&dir, &path, options, close)
    }

    /// Makes a new database, and looks at it: SQLite tells of some failures only whoever opens the file next, of one to switch to the
    /// write-ahead log, for one. What is new is not damaged: the disk failed, or is full.
    fn make_whole(
        dir: &Path,
        path: &Path,
        options: &Options,
        make: impl FnOnce() -> Result<()>,
    ) -> std::result::Result<(), BackendError> {
        let look = |()| schema::verify(&connection::open_write(path, false, options)?);
        match make().and_then(look).map_err(|fault| fault.in_repository(dir)) {
            Err(BackendError::Damaged(what)) => {
                connection::rewrite(path).map_err(|fault| fault.in_repository(dir))?;
                let source = io::Error::other(format!("the new database did not become whole: {what}"));
                Err(BackendError::Io { path: path.to_owned(), source })
            }
            looked => looked,
        }
    }

    fn make(dir: &Path, options: &Options) -> std::result::Result<(PathBuf, File), BackendError> {
        create_dir(dir)?;
        let dir = &canonical(dir)?;
        let lock = lock(dir)?;
        let path = dir.join(DATABASE_FILE);
        if path.exists() {
            return Err(BackendError::AlreadyExists(dir.clone()));
        }
        // Under another name until it is whole, so that a crash leaves no half-made repository.
        let new_path = dir.join(NEW_DATABASE_FILE);
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut left_over = new_path.clone().into_os_string();
            left_over.push(suffix);
            remove_if_there(dir, Path::new(&left_over))?;
        }
        let make = || -> Result<()> {
            let mut connection = connection::open_write(&new_path, true, options)?;
            schema::migrate(&mut connection, 0)?;
            // Closing would do the same and keep a failure to itself; the log then stays behind when its database is renamed.
            connection::empty_log(&connection)?;
            Ok(connection.close().map_err(|(_, error)| error)?)
        };
        Self::make_whole(dir, &new_path, options, make)?;
        std::fs::rename(&new_path, &path).map_err(|source| io_error(dir, &path, source))?;
        sync_dir(dir)?;
        Ok((dir.clone(), lock))
    }

    /// Opens the repository in `dir`.
    pub fn open(dir: &Path, access: Access, options: &Options) -> std::result::Result<Self, BackendError> {
        let path = dir.join(DATABASE_FILE);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(BackendError::Damaged(format!("{} is not a file", path.display()))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(BackendError::NotFound(dir.to_owned()));
            }
            Err(source) => return Err(BackendError::Io { path, source }),
        }
        let dir = &canonical(dir)?;
        let opened = match access {
            Access::Read => Self::open_unlocked(dir, options),
            Access::Write => Self::open_locked(dir, lock(dir)?, options, false),
        };
        opened.map_err(|fault| fault.in_repository(dir))
    }

    fn open_unlocked(dir: &Path, options: &Options) -> Result<Self> {
        let path = dir.join(DATABASE_FILE);
        let sight = connection::sight(dir, &path, options)?;
        let connection = connection::open_read(&path, sight, options)?;
        if schema::version(&connection)? < schema::VERSION {
            // Whoever writes next brings it up to date.
            return Err(BackendError::ReadOnly(dir.to_owned()).into());
        }
        schema::verify(&connection)?;
        let snapshot = Snapshot::begin(&connection)?;
        let derived = Derived::of_reader(&snapshot)?;
        drop(snapshot);
        Ok(Self {
            dir: dir.to_owned(),
            derived: RwLock::new(derived),
            parents: ParentCache::new(0),
            dictionaries: Shelf::default(),
            packs: PackReader::new(dir),
            readers: Pool::new(path, sight, *options),
            writer: None,
            _lock: None,
        })
    }

    fn open_locked(dir: &Path, lock: File, options: &Options, is_to_fill: bool) -> Result<Self> {
        let path = dir.join(DATABASE_FILE);
        let mut connection = connection::open_write(&path, false, options)?;
        let version = schema::version(&connection)?;
        if version < schema::VERSION {
            schema::migrate(&mut connection, version)?;
        }
        schema::verify(&connection)?;
        // What a writer that died, or filled the disk, left in the write-ahead log. Readers may be in its way.
        let _ = connection::empty_log(&connection);
        if is_to_fill {
            connection::stop_log(&connection)?;
        }
        let sight = if is_to_fill { Sight::Filled } else { Sight::Shared };
        let derived = Derived::of_writer(&mut connection)?;
        let packs = PackWriter::new(dir, &read::packs(&connection)?);
        let waits_for_packs = options.fsync != Fsync::Off;
        let writer = Writer {
            connection,
            stagings: Stagings::new(),
            is_cleared: false,
            packs,
            waits_for_packs,
            is_committing: false,
        };
        Ok(Self {
            dir: dir.to_owned(),
            derived: RwLock::new(derived),
            parents: ParentCache::new(options.cache_bytes / 2),
            dictionaries: Shelf::default(),
            packs: PackReader::new(dir),
            readers: Pool::new(path, sight, *options),
            writer: Some(Mutex::new(writer)),
            _lock: Some(lock),
        })
    }

    /// The repository's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it was opened for.
    pub fn access(&self) -> Access {
        if self.writer.is_some() { Access::Write } else { Access::Read }
    }

    /// Asks the tables something.
    pub(crate) fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T>,
    ) -> std::result::Result<T, BackendError> {
        self.readers.with(question).map_err(|fault| fault.in_repository(&self.dir))
    }

    /// Changes the tables in one transaction, which counts when `change` succeeds and is on the disk on return.
    pub(crate) fn write<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> std::result::Result<T, BackendError> {
        let mut writer = self.writer()?;
        let run = || -> Result<T> {
            let txn = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&txn)?;
            txn.commit()?;
            Ok(result)
        };
        run().map_err(|fault| fault.in_repository(&self.dir))
    }

    fn writer(&self) -> std::result::Result<MutexGuard<'_, Writer>, BackendError> {
        let writer = self.writer.as_ref().ok_or_else(|| BackendError::ReadOnly(self.dir.clone()))?;
        // A thread that panicked in a transaction rolled it back, and what is in memory changes only after a commit.
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    // What is in memory changes in steps that cannot panic half way, and is only added to.
    fn derived(&self) -> RwLockReadGuard<'_, Derived> {
        self.derived.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn derived_mut(&self) -> RwLockWriteGuard<'_, Derived> {
        self.derived.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a snapshot of the tables something that takes what is derived from them: as much as the snapshot shows.
    fn ask<T>(&self, question: impl Fn(&Connection, &Derived) -> Result<T>) -> Answer<T> {
        self.read(|connection| {
            loop {
                let snapshot = Snapshot::begin(connection)?;
                let position = derived::position(&snapshot)?;
                let derived = self.derived();
                if derived.fits(&position) {
                    return question(&snapshot, &derived);
                }
                let is_behind = derived.position().generation <= position.generation;
                drop(derived);
                match self.writer {
                    // A commit has just ended, and its thread is about to add it to what is derived.
                    Some(_) => std::thread::yield_now(),
                    None if is_behind => self.derived_mut().catch_up(&snapshot)?,
                    // Another thread has seen a later state, as the next snapshot will.
                    None => {}
                }
            }
        })
    }

    /// Answers a question about a hash; without the tables, where the existence filter knows the answer.
    fn ask_by_hash<T: Default>(
        &self,
        hash: &Digest,
        question: impl Fn(&Connection, &Derived) -> Result<T>,
    ) -> Answer<T> {
        if self.writer.is_some() && !self.derived().may_contain(hash) {
            return Ok(T::default());
        }
        self.ask(|connection, derived| match derived.may_contain(hash) {
            true => question(connection, derived),
            false => Ok(T::default()),
        })
    }

    /// Before the first commit and not when it is opened: whoever only looks deletes nothing.
    fn clear_unreferenced(&self, writer: &mut Writer) -> Result<()> {
        while !writer.is_cleared {
            writer.is_cleared = !self.clear_part(writer)?;
        }
        Ok(())
    }

    /// Clears away what one walk over all lists of chunks found, in transactions of a bounded size. Says whether there may be more.
    fn clear_part(&self, writer: &mut Writer) -> Result<bool> {
        let being_written: HashSet<u64> = writer.stagings.values().map(Staging::id).collect();
        let mut unnamed = write::find_unnamed(&writer.connection, &being_written)?;
        if unnamed.is_empty() {
            return Ok(false);
        }
        while !unnamed.is_empty() {
            let txn = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            unnamed.clear_some(&txn, &self.derived())?;
            txn.commit()?;
        }
        Ok(true)
    }

    fn commit_batch(&self, writer: &mut Writer, batch: WriteBatch) -> Result<()> {
        writer.is_committing = false;
        self.clear_unreferenced(writer)?;
        let txn = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Only this changes it, and holds the writer: between the locks nothing moves.
        let derived = self.derived();
        let payload_next = Cell::new(0);
        let tables = write::Tables {
            connection: &txn,
            derived: &derived,
            parents: &self.parents,
            payload_next: &payload_next,
            dir: &self.dir,
        };
        let plan = Plan::new(&tables, &writer.stagings, batch)?;
        let additions = Additions::of_plan(&plan);
        let places = packs::append(&mut writer.packs, &plan)?;
        write::apply(&txn, &plan, &places, &derived, &additions)?;
        write::write_packs(&txn, writer.packs.sync(writer.waits_for_packs).map_err(PackError::from)?)?;
        drop(derived);
        // Before the commit, so that nobody who sees it is told otherwise.
        self.derived_mut().note(plan.new_keys());
        let position = derived::position(&txn)?;
        let derived = self.derived();
        if derived.is_save_due(position) {
            let saved = derived.save_with(&txn, &additions, position)?;
            drop(derived);
            // Locked over the commit: it takes away the pages of runs that were merged.
            let mut derived = self.derived_mut();
            writer.is_committing = true;
            txn.commit()?;
            derived.saved_is(saved, additions, position);
        } else {
            drop(derived);
            writer.is_committing = true;
            txn.commit()?;
            self.derived_mut().add(additions, position);
        }
        writer.packs.committed();
        self.parents.keep(plan.blocks.iter().map(|planned| ((&planned.block).into(), planned.steps())));
        writer.stagings = plan.stagings;
        Ok(())
    }
}

type Answer<T> = std::result::Result<T, BackendError>;

impl DagBackend for SqliteBackend {
    fn totals(&self) -> Answer<Totals> {
        self.read(|connection| read::totals(connection).map(|(totals, _)| totals))
    }

    fn block(&self, leaf_index: u64) -> Answer<Option<DagBlock>> {
        self.read(|connection| read::block(&*Snapshot::begin(connection)?, leaf_index))
    }

    fn blocks(&self, leaf_indices: &[u64]) -> Answer<Vec<Option<DagBlock>>> {
        self.read(|connection| {
            let snapshot = Snapshot::begin(connection)?;
            leaf_indices.iter().map(|leaf_index| read::block(&snapshot, *leaf_index)).collect()
        })
    }

    fn way_to_genesis(&self, leaf_index: u64, limit: usize) -> Answer<Option<Vec<DagBlock>>> {
        self.read(|connection| {
            let snapshot = Snapshot::begin(connection)?;
            let first = read::hop(&snapshot, leaf_index)?;
            follow_way(leaf_index, first, limit, |at| read::block_and_hop(&snapshot, at))
        })
    }

    fn block_by_hash(&self, block_hash: &BlockHash) -> Answer<Option<DagBlock>> {
        self.ask_by_hash(block_hash.as_bytes(), |connection, derived| {
            read::block_by_hash(connection, derived, block_hash)
        })
    }

    fn block_with_chunk(&self, block_hash: &BlockHash) -> Answer<Option<(DagBlock, Option<StoredChunk>)>> {
        let found = self.ask_by_hash(block_hash.as_bytes(), |connection, derived| {
            read::block_and_chunk(connection, derived, block_hash)
        })?;
        let Some((block, found)) = found else { return Ok(None) };
        let chunk_hash = block.header().content_hash;
        let Some((compression, original_size, stored)) = found else { return Ok(Some((block, None))) };
        let chunk = match self.packs.restore(&stored) {
            Ok(bytes) => Some(StoredChunk { chunk_hash, compression, original_size, bytes }),
            // A compacting may have moved it meanwhile, and removed the pack.
            Err(_) => self.chunk(&chunk_hash)?,
        };
        Ok(Some((block, chunk)))
    }

    fn parent(&self, leaf_index: u64) -> Answer<Option<ParentInfo>> {
        let read = || self.read(|connection| read::parent(connection, leaf_index));
        Ok(self.parents.get_or_read(leaf_index, read)?.map(|(info, _)| info))
    }

    fn hop(&self, leaf_index: u64) -> Answer<Option<Hop>> {
        self.read(|connection| read::hop(connection, leaf_index))
    }

    fn find_block(&self, block_hash: &BlockHash) -> Answer<Option<u64>> {
        self.ask_by_hash(block_hash.as_bytes(), |connection, derived| read::find_block(connection, derived, block_hash))
    }

    fn find_blocks(&self, hashes: RangeInclusive<BlockHash>, limit: usize) -> Answer<Vec<(BlockHash, u64)>> {
        self.ask(|connection, derived| read::find_blocks(connection, derived, &hashes, limit))
    }

    fn find_key(&self, key: &BlockKey) -> Answer<Option<u64>> {
        self.ask_by_hash(key.content_hash.as_bytes(), |connection, derived| read::find_key(connection, derived, key))
    }

    fn find_content(&self, content_hash: &ContentHash, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.ask_by_hash(content_hash.as_bytes(), |connection, derived| {
            read::find_content(connection, derived, content_hash, after, limit)
        })
    }

    fn log_node(&self, level: u32, index: u64) -> Answer<Option<Digest>> {
        match level {
            0 => self.read(|connection| read::block_hash_at(connection, index)),
            _ => self.ask(|connection, derived| read::log_node(connection, derived, level, index)),
        }
    }

    fn log_nodes(&self, nodes: &[(u32, u64)]) -> Answer<Vec<Option<Digest>>> {
        self.ask(|connection, derived| read::log_nodes(connection, derived, nodes))
    }

    fn children(&self, leaf_index: u64, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.ask(|connection, derived| read::children(connection, derived, leaf_index, after, limit))
    }

    fn child_count_at(&self, leaf_index: u64) -> Answer<(u64, u64)> {
        if self.writer.is_some() {
            let derived = self.derived();
            if let Some(count) = derived.exact_child_count(leaf_index) {
                return Ok((count, derived.position().blocks));
            }
        }
        self.ask(|connection, derived| Ok((derived.child_count(connection, leaf_index)?, derived.position().blocks)))
    }

    fn frontier(&self, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.ask(|_, derived| Ok(derived.frontier(after, limit)))
    }

    fn by_depth(
        &self,
        depths: RangeInclusive<u32>,
        after: Option<(u32, u64)>,
        limit: usize,
    ) -> Answer<Vec<(u32, u64)>> {
        self.ask(|connection, derived| read::by_depth(connection, derived, depths.clone(), after, limit))
    }

    fn by_time(
        &self,
        times_ms: RangeInclusive<u64>,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Answer<Vec<(u64, u64)>> {
        self.ask(|connection, derived| read::by_time(connection, derived, times_ms.clone(), after, limit))
    }

    fn payload(&self, content_hash: &ContentHash) -> Answer<Option<PayloadInfo>> {
        self.ask_by_hash(content_hash.as_bytes(), |connection, derived| {
            read::payload_info(connection, derived, content_hash)
        })
    }

    fn standings(&self, keys: &[BlockKey]) -> Answer<Vec<Standing>> {
        let may_contain = |derived: &Derived, key: &BlockKey| derived.may_contain(key.content_hash.as_bytes());
        if self.writer.is_some() {
            let derived = self.derived();
            if !keys.iter().any(|key| may_contain(&derived, key)) {
                return Ok(vec![Standing::Unknown; keys.len()]);
            }
        }
        self.ask(|connection, derived| {
            let next = Cell::new(0);
            let standing = |key| match may_contain(derived, key) {
                true => read::standing(connection, derived, &self.parents, key, &next),
                false => Ok(Standing::Unknown),
            };
            keys.iter().map(standing).collect()
        })
    }

    fn chunks(&self, content_hash: &ContentHash, from: u64, limit: usize) -> Answer<Vec<ChunkRef>> {
        self.ask_by_hash(content_hash.as_bytes(), |connection, derived| {
            read::chunks(connection, derived, content_hash, from, limit)
        })
    }

    fn chunk(&self, chunk_hash: &ContentHash) -> Answer<Option<StoredChunk>> {
        let find = || {
            self.ask_by_hash(chunk_hash.as_bytes(), |connection, derived| read::chunk(connection, derived, chunk_hash))
        };
        let mut tried = None;
        loop {
            let Some((compression, original_size, stored)) = find()? else { return Ok(None) };
            match self.packs.restore(&stored) {
                Ok(bytes) => {
                    return Ok(Some(StoredChunk { chunk_hash: *chunk_hash, compression, original_size, bytes }));
                }
                // A compacting may have moved it meanwhile, and removed the pack.
                Err(_) if tried.as_ref() != Some(&stored) => tried = Some(stored),
                Err(error) => return Err(error),
            }
        }
    }

    fn metadata(&self, metadata_hash: &MetadataHash) -> Answer<Option<Vec<u8>>> {
        self.read(|connection| read::metadata(connection, metadata_hash))
    }

    fn setting(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        // The checksum and what it is of, in one state.
        self.read(|connection| read::setting(&*Snapshot::begin(connection)?, key))
    }

    fn dictionary(&self, number: u32) -> Answer<Option<Arc<Dictionary>>> {
        self.dictionaries.get(number, |key| self.setting(key))
    }

    fn set_setting(&self, key: &str, value: &[u8]) -> Answer<()> {
        self.write(|txn| write::set_setting(txn, key, value))
    }

    fn commit(&self, batch: WriteBatch) -> Answer<()> {
        let mut writer = self.writer()?;
        let committed = self.commit_batch(&mut writer, batch).map_err(|fault| fault.in_repository(&self.dir));
        if committed.is_err() {
            let is_full = matches!(committed, Err(BackendError::DiskFull));
            writer.give_up(is_full);
        }
        committed
    }

    fn chunk_hashes(&self, after: Option<ContentHash>, limit: usize) -> Answer<Vec<ContentHash>> {
        self.ask(|connection, derived| read::chunk_hashes(connection, derived, after, limit))
    }

    fn is_set_aside(&self, content_hash: &ContentHash) -> Answer<bool> {
        self.ask_by_hash(content_hash.as_bytes(), |connection, derived| {
            read::is_set_aside(connection, derived, content_hash)
        })
    }

    fn check_indexes(&self, are_blocks_lost: bool) -> Answer<()> {
        self.ask(|connection, derived| {
            packs::check(&self.dir, connection)?;
            derived.check(connection, are_blocks_lost)
        })
    }

    fn stray_rows(&self, rows_max: usize) -> Answer<Vec<StrayRow>> {
        self.read(|connection| {
            let snapshot = Snapshot::begin(connection)?;
            let (totals, payload_next) = read::totals(&snapshot)?;
            strays::find(&snapshot, totals.blocks, payload_next, rows_max)
        })
    }

    fn check_pack(&self, from: PackPlace) -> Answer<Option<CheckedRecord>> {
        self.read(|connection| Ok(packs::check_record(&self.dir, &read::packs(connection)?, from)))
    }
}

impl Marks for SqliteBackend {
    fn mark(&self, leaf_index: u64) -> Answer<BlockMark> {
        self.read(|connection| marks::mark(connection, leaf_index))
    }

    fn forgotten(&self, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.read(|connection| marks::forgotten(connection, after, limit))
    }

    fn pins(&self, after: Option<u64>, limit: usize) -> Answer<Vec<Pin>> {
        self.read(|connection| marks::pins(connection, after, limit))
    }

    fn audits(&self, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.read(|connection| marks::audits(connection, after, limit))
    }

    fn audit_count(&self) -> Answer<u64> {
        self.read(marks::audit_count)
    }

    fn of_codec(&self, codec: u32, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.read(|connection| marks::of_codec(connection, codec, after, limit))
    }

    fn mark_totals(&self) -> Answer<MarkTotals> {
        self.read(marks::totals)
    }

    fn listed(
        &self,
        contents: &[ContentHash],
        except: &dyn Fn(&ContentHash) -> std::result::Result<bool, BackendError>,
    ) -> Answer<Vec<bool>> {
        self.ask(|connection, derived| marks::listed(connection, derived, contents, except))
    }

    fn clear_unnamed(&self) -> Answer<bool> {
        let mut writer = self.writer()?;
        self.clear_part(&mut writer).map_err(|fault| fault.in_repository(&self.dir))
    }
}

/// Becomes the writer, or says who is.
fn lock(dir: &Path) -> Answer<File> {
    let path = dir.join(LOCK_FILE);
    let file = plain_file::open_lock(&path).map_err(|source| io_error(dir, &path, source))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(source)) => return Err(BackendError::Io { path, source }),
        }
    }
    Err(BackendError::Locked(dir.to_owned()))
}

/// How often the writer's lock is tried for, and what is waited in between: a quarter of a second. A process that is just being
/// started holds copies of what the starting one has open, also of a lock that was given up meanwhile, until it runs.
const LOCK_TRIES: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Makes a folder and those above it that are missing, each of them with a name that survives a power cut.
fn create_dir(dir: &Path) -> Answer<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(dir).map_err(|source| io_error(dir, dir, source))?;
    for folder in missing {
        match folder.parent() {
            Some(above) if above.as_os_str().is_empty() => sync_dir(Path::new("."))?,
            Some(above) => sync_dir(above)?,
            None => {}
        }
    }
    Ok(())
}

/// The folder by a path that stays right when the process changes its own.
fn canonical(dir: &Path) -> Answer<PathBuf> {
    dir.canonicalize().map_err(|source| BackendError::Io { path: dir.to_owned(), source })
}

fn remove_if_there(dir: &Path, path: &Path) -> Answer<()> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(dir, path, source)),
        _ => Ok(()),
    }
}

/// Makes a renamed file's new name survive a power cut.
fn sync_dir(dir: &Path) -> Answer<()> {
    let synced = File::open(dir).and_then(|file| file.sync_all());
    synced.map_err(|source| BackendError::Io { path: dir.to_owned(), source })
}

fn io_error(dir: &Path, path: &Path, source: io::Error) -> BackendError {
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => BackendError::ReadOnly(dir.to_owned()),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BackendError::DiskFull,
        _ => BackendError::Io { path: path.to_owned(), source },
    }
}
