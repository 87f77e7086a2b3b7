//! Backups: copies of a repository in a folder, made while it is written, each as small as what was added since the last.
//!
//! | file | holds |
//! |---|---|
//! | `record.rs` | records: how chunks, lists and blocks stand in files |
//! | `segment.rs` | files of records, each bound to the one before |
//! | `manifest.rs` | what a backup is of, and what a snapshot consists of |
//! | `folder.rs` | the folder, its lock, and how files get into it whole or not at all |
//! | `take.rs`, `stretch.rs`, `absent.rs` | taking a snapshot, the segments that it adds, the payloads that it misses |
//! | `sequence.rs` | what has to follow what in segments, for whoever reads them |
//! | `survey.rs` | reading it back, and what a snapshot needs of it |
//! | `recover.rs` | restoring a repository |
//! | `retain.rs` | which snapshots are kept |
//!
//! docs/formats.md describes the files, docs/operations.md how to use them.

mod absent;
mod folder;
mod manifest;
mod recover;
mod retain;
mod segment;
mod sequence;
mod stretch;
mod survey;
mod take;

pub use crate::record::RecordError;
pub use recover::{At, Restored, restore, restore_into};
pub use retain::{Keep, Pruned, prune};
pub use survey::{Verified, verify};
pub use take::back_up;

use crate::{backend::BackendError, log::LogReadError};
use folder::Folder;
use manifest::SnapshotManifest;
use pakit_primitives::{BlockHash, Head};
use std::path::{Path, PathBuf};

/// The setting that tells one copy of a repository from another: 16 random bytes, its own in each that is made or restored.
/// Payload numbers mean something only within one of them.
pub const SETTING_INSTANCE: &str = "instance";

/// A new value for [`SETTING_INSTANCE`].
pub fn new_instance() -> [u8; 16] {
    rand::random()
}

/// How a snapshot is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackupOptions {
    /// Copies everything again, whatever is in the folder, as the beginning of a new series.
    pub is_full: bool,
    /// Bytes after which a segment ends. One that is finished need not be written again after a kill.
    pub segment_bytes: u64,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self { is_full: false, segment_bytes: 64 << 20 }
    }
}

/// A snapshot that a backup holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Its number, from 1.
    pub number: u64,
    /// When it was begun, Unix milliseconds.
    pub time_ms: u64,
    /// The head of the log that it holds.
    pub head: Head,
    /// Bytes that were written for it, without its manifest.
    pub added_bytes: u64,
    /// Bytes of all segments that it needs.
    pub bytes: u64,
    /// Contents that had been removed, or were still being written.
    pub absent: u64,
    /// Its series: the number of the first segment that it needs.
    pub series: u64,
}

impl From<&SnapshotManifest> for Snapshot {
    fn from(manifest: &SnapshotManifest) -> Self {
        Self {
            number: manifest.number,
            time_ms: manifest.time_ms,
            head: Head { size: manifest.size, root: manifest.root() },
            added_bytes: manifest.added_bytes,
            bytes: manifest.bytes,
            absent: manifest.absent.as_ref().map_or(0, |absent| absent.count),
            series: manifest.first_segment,
        }
    }
}

/// Lists a backup's snapshots, the oldest first, and says of which log. Reads manifests only, and looks whether the files are
/// there that they name.
///
/// ```
/// # fn example() -> Result<(), offchain_store::backup::FolderError> {
/// for snapshot in offchain_store::backup::list("backup".as_ref())?.1 {
///     println!("{}: {} blocks", snapshot.number, snapshot.head.size);
/// }
/// # Ok(()) }
/// ```
pub fn list(dir: &Path) -> Result<(BlockHash, Vec<Snapshot>), FolderError> {
    let folder = Folder::open(dir)?;
    let manifests = folder.manifests()?;
    for manifest in &manifests {
        survey::check_presence(&folder, manifest)?;
    }
    Ok((folder.genesis(), manifests.iter().map(Snapshot::from).collect()))
}

/// Why a backup's folder cannot be used. What was in it is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// No backup is there.
    #[error("there is no backup in {}", .0.display())]
    NotABackup(PathBuf),
    /// A backup cannot be made there: something else is.
    #[error("{} is not empty, and not a backup", .0.display())]
    NotEmpty(PathBuf),
    /// Another process is changing it.
    #[error("another process is working in the backup {}", .0.display())]
    Locked(PathBuf),
    /// Written by a newer version of this software.
    #[error("{} has the format {found}, which this program does not know", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// A file that a snapshot needs is not there.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// A manifest that was changed or is cut off.
    #[error("{} is damaged", .0.display())]
    Malformed(PathBuf),
    /// A segment that was changed or is cut off.
    #[error("{} is damaged: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RecordError,
    },
    /// Files that are whole, each by itself, and do not belong together.
    #[error("{} does not belong to this backup: {what}", path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// Why.
        what: &'static str,
    },
    /// A chunk that is not what its hash says.
    #[error("{} is damaged: chunk {chunk_hash} does not have its hash", path.display())]
    Chunk {
        /// The file.
        path: PathBuf,
        /// The chunk.
        chunk_hash: pakit_primitives::ContentHash,
    },
    /// More files than a backup has.
    #[error("{} holds too many files", .0.display())]
    TooManyFiles(PathBuf),
    /// On a file system that cannot be written, or without the right to.
    #[error("{} cannot be written or read", .0.display())]
    ReadOnly(PathBuf),
    /// No room is left.
    #[error("the disk is full: {}", .0.display())]
    DiskFull(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was read could not be noted down meanwhile.
    #[error("no notes can be kept in the folder for temporary files: {0}")]
    Notes(#[source] BackendError),
}

impl FolderError {
    fn record(path: &Path, source: RecordError) -> Self {
        Self::Record { path: path.to_owned(), source }
    }

    fn misfit(path: &Path, what: &'static str) -> Self {
        Self::Misfit { path: path.to_owned(), what }
    }
}

/// Why no snapshot was taken. Those that were taken before are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The backup's folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The repository cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The repository's log cannot be read.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// The repository has no block yet.
    #[error("the repository holds no block yet")]
    Empty,
    /// The folder is a backup of another repository.
    #[error("{} is a backup of another repository, whose genesis is {backed_up}; this one's is {genesis}", dir.display())]
    OtherRepository {
        /// The folder.
        dir: PathBuf,
        /// Genesis of what is backed up there.
        backed_up: BlockHash,
        /// Genesis of the repository.
        genesis: BlockHash,
    },
    /// The backup holds more than the repository does.
    #[error("the backup holds {backed_up} blocks of this log, the repository only {size}")]
    RepositoryOlder {
        /// Blocks in the newest snapshot.
        backed_up: u64,
        /// Blocks in the repository.
        size: u64,
    },
    /// The two agree on genesis and not on what follows.
    #[error("the repository's log and the backed up one differ within their first {0} blocks")]
    Diverged(u64),
    /// The system clock stands before 1970.
    #[error("the system clock stands before 1970")]
    Clock,
}

/// Why a repository was not restored. Where the target is, nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreBackupError {
    /// The backup is damaged or incomplete, or cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The repository could not be made.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The log of the new repository cannot be read.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// A block does not continue the log.
    #[error(transparent)]
    LogAppend(#[from] crate::log::LogAppendError),
    /// No snapshot is old enough, or none is there.
    #[error("{} holds no snapshot from before that time", .0.display())]
    NoSnapshot(PathBuf),
    /// No snapshot holds so many blocks.
    #[error("no snapshot holds {size} blocks; the largest holds {largest}")]
    NotReached {
        /// What was asked for.
        size: u64,
        /// Blocks of the largest.
        largest: u64,
    },
    /// Something is where the repository should be.
    #[error("{} is there already, and not empty", .0.display())]
    TargetNotEmpty(PathBuf),
    /// What stands where the repository is put together did not come from an earlier restore.
    #[error("{} is there and did not come from a restore; move it away", .0.display())]
    Workplace(PathBuf),
    /// Another process is restoring to the same place.
    #[error("another process is restoring to {}", .0.display())]
    Busy(PathBuf),
    /// The new repository is not what the snapshot says, although all files were whole.
    #[error("the restored log is not the one that the snapshot names")]
    WrongHead,
    /// A file or folder of the new repository could not be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
