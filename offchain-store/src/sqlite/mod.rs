//! [`SqliteBackend`]: a repository's blocks in a SQLite database. All SQL of the store stands in this folder.
//!
//! | file | holds |
//! |---|---|
//! | `schema.rs` | the tables, their legend and their versions |
//! | `connection.rs` | how connections are opened and set up |
//! | `read.rs`, `write.rs` | the questions and the changes |
//! | `existence.rs` | the saved existence filter |
//! | `outbox.rs` | the tables of anchors |
//!
//! One process writes, and holds the file `lock` for it; any number read meanwhile. A commit is one transaction of
//! SQLite's write-ahead log and, with [`Fsync::Full`], on the disk when it returns.

mod connection;
mod existence;
mod fault;
pub mod outbox;
mod read;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use fault::Result;

use crate::{
    backend::{BackendError, BlockKey, ChunkRef, DagBackend, PayloadInfo, StoredChunk, Totals, WriteBatch},
    block::DagBlock,
    plan::{Plan, Stagings},
};
use connection::{Pool, Sight};
use existence::Existence;
use pakit_primitives::{BlockHash, ContentHash, MetadataHash, hasher::Digest};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{
    fs::{File, TryLockError},
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
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
    existence: Existence,
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
    /// Keys that the existence filter had when it was saved.
    saved_keys: u64,
}

impl SqliteBackend {
    /// Makes an empty repository in `dir`, which may exist, and opens it for writing.
    pub fn create(dir: &Path, options: &Options) -> std::result::Result<Self, BackendError> {
        std::fs::create_dir_all(dir).map_err(|source| io_error(dir, dir, source))?;
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
            Ok(connection.close().map_err(|(_, error)| error)?)
        };
        make().map_err(|fault| fault.in_repository(dir))?;
        std::fs::rename(&new_path, &path).map_err(|source| io_error(dir, &path, source))?;
        sync_dir(dir)?;
        Self::open_locked(dir, lock, options).map_err(|fault| fault.in_repository(dir))
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
            Access::Write => Self::open_locked(dir, lock(dir)?, options),
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
        Ok(Self {
            dir: dir.to_owned(),
            existence: Existence::of_reader(connection)?,
            readers: Pool::new(path, sight, *options),
            writer: None,
            _lock: None,
        })
    }

    fn open_locked(dir: &Path, lock: File, options: &Options) -> Result<Self> {
        let path = dir.join(DATABASE_FILE);
        let mut connection = connection::open_write(&path, false, options)?;
        let version = schema::version(&connection)?;
        if version < schema::VERSION {
            schema::migrate(&mut connection, version)?;
        }
        schema::verify(&connection)?;
        loop {
            let txn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let may_be_more = write::clear_unreferenced(&txn)?;
            if !may_be_more {
                break;
            }
            txn.commit()?;
        }
        let (existence, saved_keys) = Existence::of_writer(&connection)?;
        let writer = Writer { connection, stagings: Stagings::new(), saved_keys };
        Ok(Self {
            dir: dir.to_owned(),
            existence,
            readers: Pool::new(path, Sight::Shared, *options),
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

    /// Answers a question about a hash; without the tables, where the existence filter knows the answer.
    fn read_by_hash<T: Default>(
        &self,
        hash: &Digest,
        question: impl FnOnce(&Connection) -> Result<T>,
    ) -> std::result::Result<T, BackendError> {
        match self.existence.may_contain(hash).map_err(|fault| fault.in_repository(&self.dir))? {
            true => self.read(question),
            false => Ok(T::default()),
        }
    }

    fn commit_batch(&self, writer: &mut Writer, batch: WriteBatch) -> Result<()> {
        let txn = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tables = write::Tables { connection: &txn, existence: &self.existence, dir: &self.dir };
        let plan = Plan::new(&tables, &writer.stagings, batch)?;
        write::apply(&txn, &plan)?;
        // Before the commit, so that nobody who sees it is told otherwise. If it fails, the filter only says "maybe" more.
        self.existence.insert(plan.new_keys());
        let saved_keys = self.existence.save_if_due(&txn, writer.saved_keys)?;
        txn.commit()?;
        writer.stagings = plan.stagings;
        writer.saved_keys = saved_keys.unwrap_or(writer.saved_keys);
        Ok(())
    }
}

type Answer<T> = std::result::Result<T, BackendError>;

impl DagBackend for SqliteBackend {
    fn totals(&self) -> Answer<Totals> {
        self.read(|connection| read::totals(connection).map(|(totals, _)| totals))
    }

    fn block(&self, leaf_index: u64) -> Answer<Option<DagBlock>> {
        self.read(|connection| read::block(connection, leaf_index))
    }

    fn find_block(&self, block_hash: &BlockHash) -> Answer<Option<u64>> {
        self.read_by_hash(block_hash.as_bytes(), |connection| read::find_block(connection, block_hash))
    }

    fn find_key(&self, key: &BlockKey) -> Answer<Option<u64>> {
        self.read_by_hash(key.content_hash.as_bytes(), |connection| read::find_key(connection, key))
    }

    fn find_content(&self, content_hash: &ContentHash, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.read_by_hash(content_hash.as_bytes(), |connection| {
            read::find_content(connection, content_hash, after, limit)
        })
    }

    fn log_node(&self, level: u32, index: u64) -> Answer<Option<Digest>> {
        self.read(|connection| read::log_node(connection, level, index))
    }

    fn children(&self, leaf_index: u64, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.read(|connection| read::children(connection, leaf_index, after, limit))
    }

    fn child_count(&self, leaf_index: u64) -> Answer<u64> {
        self.read(|connection| read::child_count(connection, leaf_index))
    }

    fn frontier(&self, after: Option<u64>, limit: usize) -> Answer<Vec<u64>> {
        self.read(|connection| read::frontier(connection, after, limit))
    }

    fn by_depth(
        &self,
        depths: RangeInclusive<u32>,
        after: Option<(u32, u64)>,
        limit: usize,
    ) -> Answer<Vec<(u32, u64)>> {
        self.read(|connection| read::by_depth(connection, depths, after, limit))
    }

    fn by_time(
        &self,
        times_ms: RangeInclusive<u64>,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Answer<Vec<(u64, u64)>> {
        self.read(|connection| read::by_time(connection, times_ms, after, limit))
    }

    fn payload(&self, content_hash: &ContentHash) -> Answer<Option<PayloadInfo>> {
        self.read_by_hash(content_hash.as_bytes(), |connection| read::payload_info(connection, content_hash))
    }

    fn chunks(&self, content_hash: &ContentHash, from: u64, limit: usize) -> Answer<Vec<ChunkRef>> {
        self.read_by_hash(content_hash.as_bytes(), |connection| read::chunks(connection, content_hash, from, limit))
    }

    fn chunk(&self, chunk_hash: &ContentHash) -> Answer<Option<StoredChunk>> {
        self.read_by_hash(chunk_hash.as_bytes(), |connection| read::chunk(connection, chunk_hash))
    }

    fn metadata(&self, metadata_hash: &MetadataHash) -> Answer<Option<Vec<u8>>> {
        self.read(|connection| read::metadata(connection, metadata_hash))
    }

    fn setting(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        self.read(|connection| read::setting(connection, key))
    }

    fn set_setting(&self, key: &str, value: &[u8]) -> Answer<()> {
        self.write(|txn| write::set_setting(txn, key, value))
    }

    fn commit(&self, batch: WriteBatch) -> Answer<()> {
        let mut writer = self.writer()?;
        self.commit_batch(&mut writer, batch).map_err(|fault| fault.in_repository(&self.dir))
    }

    fn chunk_hashes(&self, after: Option<ContentHash>, limit: usize) -> Answer<Vec<ContentHash>> {
        self.read(|connection| read::chunk_hashes(connection, after, limit))
    }
}

/// Becomes the writer, or says who is.
fn lock(dir: &Path) -> Answer<File> {
    let path = dir.join(LOCK_FILE);
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = opened.map_err(|source| io_error(dir, &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackendError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(BackendError::Io { path, source }),
    }
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
