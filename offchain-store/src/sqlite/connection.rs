//! Connections to the database: how they are opened and set up, and the pool of those that read.

use super::{
    Fsync, Options,
    fault::{Fault, Result},
};
use crate::{backend::BackendError, config::kind_of};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, types::FromSql};
use std::{
    fmt,
    fs::Metadata,
    io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Bytes per page. Chunks of a few KiB overflow less than with SQLite's 4,096.
pub(super) const PAGE_BYTES: i64 = 8192;
/// Pages in the write-ahead log after which it is copied back into the database: 64 MiB.
const WAL_PAGES_MAX: i64 = 8192;
/// Bytes that the write-ahead log's file keeps when it was copied back.
const WAL_BYTES_KEPT: i64 = PAGE_BYTES * WAL_PAGES_MAX;
/// Least cache of a connection, in KiB: the inner pages of the trees of a repository of ten million blocks.
const CACHE_KIB_MIN: u64 = 2048;
/// Statements that each connection keeps prepared; more than there are.
const STATEMENTS_MAX: usize = 96;

/// How a reading connection looks at the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sight {
    /// With locks, beside a writer.
    Shared,
    /// As a file that nobody writes and that may lie where nothing can be written.
    Immutable,
    /// Beside the writer of the same process that fills it without a log.
    Filled,
}

/// What SQLite puts behind a database's name for the files beside it.
const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Refuses what is no file where SQLite expects one. It opens the files beside a database by their names, whatever they are, and to
/// open a pipe among them waits for ever; a symlink would have it write elsewhere.
fn refuse_irregular(path: &Path) -> Result<()> {
    let refuse = |path: PathBuf, found: io::Result<Metadata>| -> Result<()> {
        match found {
            Ok(metadata) if !metadata.is_file() => {
                let what = kind_of(&metadata);
                let source = io::Error::other(format!("it is {what} and not a file; take it away"));
                Err(BackendError::Io { path, source }.into())
            }
            // One that is not there is none to wait for, and what else is wrong SQLite says.
            _ => Ok(()),
        }
    };
    refuse(path.to_owned(), path.metadata())?;
    // They stand beside what a symlink leads to.
    let database = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    BESIDE.into_iter().try_for_each(|ending| {
        let mut beside = database.clone().into_os_string();
        beside.push(ending);
        let beside = PathBuf::from(beside);
        refuse(beside.clone(), beside.symlink_metadata())
    })
}

/// Opens for writing a file that exists, or makes one.
pub(super) fn open_write(path: &Path, is_new: bool, options: &Options) -> Result<Connection> {
    refuse_irregular(path)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, is_new);
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection, options, options.cache_bytes / 2)?;
    if is_new {
        set(&connection, "page_size", PAGE_BYTES, PAGE_BYTES)?;
        set(&connection, "journal_mode", "WAL", "wal".to_owned())?;
    }
    let fsync = match options.fsync {
        Fsync::Off => 0,
        Fsync::Normal => 1,
        Fsync::Full => 2,
    };
    set(&connection, "synchronous", fsync, fsync)?;
    set(&connection, "wal_autocheckpoint", WAL_PAGES_MAX, WAL_PAGES_MAX)?;
    set(&connection, "journal_size_limit", WAL_BYTES_KEPT, WAL_BYTES_KEPT)?;
    expect(&connection, "page_size", &PAGE_BYTES)?;
    expect(&connection, "journal_mode", &"wal".to_owned())?;
    Ok(connection)
}

/// Opens for reading only.
pub(super) fn open_read(path: &Path, sight: Sight, options: &Options) -> Result<Connection> {
    refuse_irregular(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match sight {
        Sight::Shared | Sight::Filled => Connection::open_with_flags(path, flags)?,
        Sight::Immutable => Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)?,
    };
    set_up(&connection, options, options.cache_bytes / 2 / options.read_connections_max.max(1) as u64)?;
    if sight == Sight::Shared {
        expect(&connection, "journal_mode", &"wal".to_owned())?;
    }
    expect(&connection, "page_size", &PAGE_BYTES)?;
    Ok(connection)
}

/// One state of the database for several questions, which also takes SQLite's locks once instead of for each.
#[derive(Debug)]
pub(super) struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    /// Begins with the state of the first question that follows.
    pub(super) fn begin(connection: &'a Connection) -> Result<Self> {
        connection.prepare_cached("BEGIN")?.execute(())?;
        Ok(Self(connection))
    }
}

impl Deref for Snapshot<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Kept as compiled statements; SQLite's own end of a transaction would be compiled for each.
        let ended = self.0.prepare_cached("COMMIT").and_then(|mut commit| commit.execute(()));
        if let Err(error) = ended {
            tracing::debug!("a snapshot could not be ended: {error}");
            // Nothing was changed in it; a connection that cannot even go back refuses the next one.
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}

/// Writes what is there. SQLite keeps to itself why a switch to the write-ahead log did not take; whatever it was, a full disk above
/// all, fails this as well, and is told.
pub(super) fn rewrite(path: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(connection.pragma_update(None, "user_version", version)?)
}

/// From now on pages go into the database at once, and a transaction that fails leaves it damaged.
pub(super) fn stop_log(connection: &Connection) -> Result<()> {
    set(connection, "journal_mode", "OFF", "off".to_owned())?;
    set(connection, "synchronous", 0, 0)
}

/// Copies what is committed from the write-ahead log into the database, and gives the log's space back.
pub(super) fn empty_log(connection: &Connection) -> Result<()> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?)
}

/// The same; says whether it is done, or readers were in the way.
pub(super) fn try_empty_log(connection: &Connection) -> Result<bool> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0))? == 0)
}

/// Lets what SQLite needs for a while stand in files of this folder, and not in memory or wherever the system keeps such files: a copy of
/// the whole database is among it.
pub(super) fn use_temporary_files(connection: &Connection, dir: Option<&Path>) -> Result<()> {
    // For the whole process, which is why it is given back. A folder whose name is no text cannot be told to SQLite.
    let dir = dir.and_then(Path::to_str).unwrap_or_default();
    connection.pragma_update(None, "temp_store_directory", dir)?;
    set(connection, "temp_store", 1, 1)
}

/// What all connections share.
fn set_up(connection: &Connection, options: &Options, cache_bytes: u64) -> Result<()> {
    let timeout_ms = i64::try_from(options.busy_timeout.as_millis()).unwrap_or(i64::MAX).min(i64::from(i32::MAX));
    connection.busy_timeout(Duration::from_millis(timeout_ms.unsigned_abs()))?;
    expect(connection, "busy_timeout", &timeout_ms)?;
    // Negative: in KiB.
    let cache = -i64::try_from((cache_bytes / 1024).max(CACHE_KIB_MIN)).unwrap_or(i64::MAX).min(i64::from(i32::MAX));
    set(connection, "cache_size", cache, cache)?;
    set(connection, "foreign_keys", 1, 1)?;
    set(connection, "temp_store", 2, 2)?;
    // Else a statement that a partial index might help is compiled anew for each value that is bound to it: a third of the time
    // of a look-up.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A file that someone else damaged must not run functions, and is looked at more closely.
    set(connection, "trusted_schema", 0, 0)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    set(connection, "cell_size_check", 1, 1)?;
    // A mapped file that is cut short ends the process with a signal instead of an error.
    set(connection, "mmap_size", 0, 0)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

/// Sets a pragma and makes sure that it took.
fn set<V: rusqlite::ToSql, T: FromSql + PartialEq + fmt::Debug>(
    connection: &Connection,
    name: &str,
    value: V,
    expected: T,
) -> Result<()> {
    connection.pragma_update(None, name, value)?;
    expect(connection, name, &expected)
}

/// SQLite ignores pragmas that it does not know or cannot follow. That must not go unseen.
fn expect<T: FromSql + PartialEq + fmt::Debug>(connection: &Connection, name: &str, expected: &T) -> Result<()> {
    let found: T = connection.pragma_query_value(None, name, |row| row.get(0))?;
    if found == *expected {
        return Ok(());
    }
    Err(Fault::damaged(format!("the database's {name} is {found:?} instead of {expected:?}")))
}

/// `file:` and the path with all but its plain characters escaped.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// How the file can be read from here. A database with a write-ahead log is read through files beside it; where those
/// cannot be made, it can only be read as a file that nobody writes, and only if the log holds nothing.
pub(super) fn sight(dir: &Path, path: &Path, options: &Options) -> Result<Sight> {
    let probe = open_read(path, Sight::Shared, options);
    match probe {
        Ok(_) => return Ok(Sight::Shared),
        Err(Fault::Sql(rusqlite::Error::SqliteFailure(failure, _)))
            if matches!(failure.code, ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {}
        Err(fault) => return Err(fault),
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match std::fs::metadata(&log) {
        Ok(metadata) if metadata.len() > 0 => Err(BackendError::ReadOnly(dir.to_owned()).into()),
        Ok(_) => Ok(Sight::Immutable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Sight::Immutable),
        Err(source) => Err(BackendError::Io { path: log.into(), source }.into()),
    }
}

/// Reading connections, opened when they are needed and lent to one thread at a time.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    sight: Sight,
    options: Options,
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct PoolState {
    idle: Vec<Connection>,
    lent: usize,
}

impl Pool {
    pub(super) fn new(path: PathBuf, sight: Sight, options: Options) -> Self {
        Self { path, sight, options, state: Mutex::default(), returned: Condvar::new() }
    }

    /// Runs `task` with a connection, after waiting for one if all are lent.
    pub(super) fn with<T>(&self, task: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let lent = Lent { pool: self, connection: Some(self.borrow()?) };
        match &lent.connection {
            Some(connection) => task(connection),
            None => Err(Fault::damaged("a lent connection is gone")),
        }
    }

    fn borrow(&self) -> Result<Connection> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.lent >= self.options.read_connections_max.max(1) {
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.lent += 1;
        let idle = state.idle.pop();
        drop(state);
        idle.map_or_else(|| open_read(&self.path, self.sight, &self.options), Ok).inspect_err(|_| self.give_back(None))
    }

    fn give_back(&self, connection: Option<Connection>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lent -= 1;
        state.idle.extend(connection);
        drop(state);
        self.returned.notify_one();
    }
}

/// Gives its connection back also when the task panics.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.connection.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_any_characters_becomes_a_uri() {
        let uri = immutable_uri(Path::new("/a b/100%?x=1#ü/pakit.db"));
        assert_eq!(uri, "file:/a%20b/100%25%3Fx%3D1%23%C3%BC/pakit.db?immutable=1");
    }
}
