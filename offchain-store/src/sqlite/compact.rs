//! Compacting: the space of what was removed goes back to the file system.
//!
//! SQLite writes the database anew into a temporary file beside it, from there through the write-ahead log into the database, and
//! cuts it to its new length. Until that is committed the old state counts, afterwards the new one: a kill at any point
//! leaves one of them. Packs that hold little that is still named are written anew before. Readers go on; one that began before may keep the log from being emptied until it has ended.

use super::{
    DATABASE_FILE, Options, connection,
    fault::{Fault, Result},
    io_error, lock, packs, schema,
};
use crate::{backend::BackendError, pack};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// How often the progress is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// A page in the write-ahead log has a header of 24 bytes.
const FRAME_HEADER_BYTES: u64 = 24;

/// Why a repository was not compacted. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The database failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The file system has less room than the work takes.
    #[error("compacting needs {needed} bytes for a while, and {} has {free} free", dir.display())]
    NoRoom {
        /// The repository's folder.
        dir: PathBuf,
        /// Bytes that are needed at most.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

/// What a compacting did. Bytes are those of the database, its write-ahead log and the packs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Compacted {
    /// Before.
    pub bytes_before: u64,
    /// Afterwards.
    pub bytes_after: u64,
    /// Bytes that were free within the database before.
    pub free_before: u64,
    /// Whether the write-ahead log was emptied. A reader was in the way otherwise; the next writer empties it.
    pub is_log_empty: bool,
}

/// Compacts the repository in `dir`, which nobody else may have open for writing. `progress` is told of (bytes written,
/// bytes to write) of the second half of the work; the first half cannot be seen.
pub fn compact(
    dir: &Path,
    options: &Options,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> std::result::Result<Compacted, CompactError> {
    let path = dir.join(DATABASE_FILE);
    std::fs::metadata(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => BackendError::NotFound(dir.to_owned()),
        _ => io_error(dir, &path, error),
    })?;
    let _lock = lock(dir)?;
    let wal = PathBuf::from([path.as_os_str(), "-wal".as_ref()].join("".as_ref()));
    let in_dir = |fault: Fault| fault.in_repository(dir);
    let open = || -> Result<_> {
        let mut connection = connection::open_write(&path, false, options)?;
        let version = schema::version(&connection)?;
        if version < schema::VERSION {
            schema::migrate(&mut connection, version)?;
        }
        schema::verify(&connection)?;
        let _ = connection::empty_log(&connection);
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let bytes =
            |pages: i64| u64::try_from(pages).unwrap_or(0).saturating_mul(connection::PAGE_BYTES.unsigned_abs());
        let sizes = (bytes(number("page_count")?), bytes(number("freelist_count")?));
        Ok((connection, sizes))
    };
    let (mut connection, (all, free_before)) = open().map_err(in_dir)?;
    let packed = || -> std::result::Result<u64, BackendError> {
        Ok(pack::list(dir).map_err(|error| io_error(dir, dir, error))?.values().sum())
    };
    let bytes = |packed: u64| size(&path) + size(&wal) + packed;
    let bytes_before = bytes(packed()?);
    packs::compact(dir, &mut connection).map_err(in_dir)?;
    let kept = all.saturating_sub(free_before);
    let to_write = kept + kept / connection::PAGE_BYTES.unsigned_abs() * FRAME_HEADER_BYTES;
    // Once in the temporary file, once in the log.
    let needed = kept.saturating_add(to_write);
    let free = free_space(dir).map_err(|error| io_error(dir, dir, error))?;
    if free < needed {
        return Err(CompactError::NoRoom { dir: dir.to_owned(), needed, free });
    }
    let run = || -> Result<bool> {
        connection::use_temporary_files(&connection, Some(dir))?;
        let vacuumed = connection.execute_batch("VACUUM");
        connection::use_temporary_files(&connection, None)?;
        vacuumed?;
        connection::try_empty_log(&connection)
    };
    let is_log_empty = watched(&wal, to_write, progress, run).map_err(in_dir)?;
    connection.close().map_err(|(_, error)| in_dir(error.into()))?;
    Ok(Compacted { bytes_before, bytes_after: bytes(packed()?), free_before, is_log_empty })
}

/// Runs the work and tells how the log grows meanwhile.
fn watched<T: Send>(wal: &Path, to_write: u64, progress: &(dyn Fn(u64, u64) + Sync), work: impl FnOnce() -> T) -> T {
    let is_done = &AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                progress(size(wal).min(to_write), to_write);
                thread::park_timeout(LOOK_INTERVAL);
            }
        });
        let done = work();
        is_done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        done
    })
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Bytes that this user may write.
fn free_space(dir: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(dir)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
