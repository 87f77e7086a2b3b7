//! Restoring a folder from its tree listing: bytes, modes, times and symlinks.
//!
//! The listing is not trusted. Names cannot leave their folder (the listing refuses such names), the target folder is new or
//! empty, files are only ever created and never opened for writing where something stands, and symlinks are made last: so
//! nothing is written through a symlink or outside the target. A file has its name only when all of its content was
//! verified. What cannot be restored is told, and the rest is restored.
//!
//! Listings may name each other more than once, as two equal folders do. A few that each name the next one twice make more
//! folders than any disk holds, so what is made again from a listing that was gone into before is counted and bounded;
//! everything else takes no more entries than the repository holds.

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
    cid::Cid,
    get::{ContentReader, GetError},
    listing::{ListingError, TreeWalk, find_entry},
    tree::{Entry, Node},
};
use pakit_primitives::ContentHash;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, File, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

/// Entries that may be made again from listings that were gone into before, unless it is said otherwise.
pub const REPEATS_MAX_DEFAULT: u64 = 1_000_000;

/// Permission bits that are restored; set-user-ID and set-group-ID of a foreign listing are not.
const MODE_BITS: u32 = 0o1777;

/// Begins the names of files that are being written.
const PARTIAL_PREFIX: &str = ".pakit-";

/// Why a folder, or an item in it, was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A listing could not be read.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// A file's content could not be read.
    #[error("{}: {source}", path.display())]
    Get {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GetError,
    },
    /// The target is there already and is not an empty folder.
    #[error("{} is there already; name a new or empty folder", .0.display())]
    TargetNotEmpty(PathBuf),
    /// Listings name each other so often that more would be made of them than is allowed.
    #[error(
        "{}: listings that name each other over and over made more than {max} entries again up to here; \
         --max-repeats N allows more", path.display()
    )]
    TooManyRepeats {
        /// The folder that would be too many.
        path: PathBuf,
        /// What is allowed.
        max: u64,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl RestoreError {
    /// Whether it concerns one item, so that the others can be restored.
    fn is_of_item(&self) -> bool {
        match self {
            Self::Backend(error)
            | Self::Listing(ListingError::Backend(error))
            | Self::Listing(ListingError::Get { source: GetError::Backend(error), .. })
            | Self::Get { source: GetError::Backend(error), .. } => matches!(error, BackendError::Damaged(_)),
            Self::Listing(_) | Self::Get { .. } => true,
            Self::Io { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
            ),
            Self::TargetNotEmpty(_) | Self::TooManyRepeats { .. } => false,
        }
    }
}

/// Sums of a restore.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// Files.
    pub files: u64,
    /// Folders, the target itself included.
    pub folders: u64,
    /// Symlinks.
    pub symlinks: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Items that could not be restored. A folder without its listing is one.
    pub failed: u64,
}

/// What is told while a folder is restored.
#[derive(Debug)]
#[non_exhaustive]
pub enum RestoreEvent {
    /// So many more bytes were written.
    Progress {
        /// How many.
        bytes: u64,
    },
    /// An item could not be restored; nothing of it is there.
    Failed {
        /// The item.
        path: PathBuf,
        /// Why.
        error: RestoreError,
    },
}

/// What a restore may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestoreOptions {
    /// Entries that may be made again from listings that were gone into before.
    pub repeats_max: u64,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { repeats_max: REPEATS_MAX_DEFAULT }
    }
}

/// Restores the folder of `block` at `target`, which is created or empty. What fails item by item is told as an event and
/// counted; an error ends it, and what was restored up to there stays.
pub fn restore(
    backend: &Arc<dyn DagBackend>,
    block: DagBlock,
    target: &Path,
    options: &RestoreOptions,
    events: &mut dyn FnMut(RestoreEvent),
) -> Result<Restored, RestoreError> {
    let content_hash = block.header().content_hash;
    let walk = TreeWalk::new(backend, block, target)?;
    create_target(target)?;
    let mut restore = Restore {
        backend,
        options,
        events,
        restored: Restored { folders: 1, ..Restored::default() },
        entered: HashSet::from([content_hash]),
        repeats: 0,
        symlinks: Vec::new(),
        folders: Vec::new(),
    };
    restore.folder(walk)?;
    restore.finish()
}

fn create_target(target: &Path) -> Result<(), RestoreError> {
    let failed = io_error(target);
    match fs::create_dir_all(target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RestoreError::TargetNotEmpty(target.to_owned()));
        }
        created => created.map_err(&failed)?,
    }
    match fs::read_dir(target).map_err(&failed)?.next() {
        None => Ok(()),
        Some(_) => Err(RestoreError::TargetNotEmpty(target.to_owned())),
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> RestoreError {
    move |source| RestoreError::Io { path: path.to_owned(), source }
}

struct Restore<'a> {
    backend: &'a Arc<dyn DagBackend>,
    options: &'a RestoreOptions,
    events: &'a mut dyn FnMut(RestoreEvent),
    restored: Restored,
    /// Listings that were gone into.
    entered: HashSet<ContentHash>,
    /// Entries that were made again from them.
    repeats: u64,
    /// Made after everything else.
    symlinks: Vec<(PathBuf, Vec<u8>, i64)>,
    /// Modes and times that are set when nothing is written within any more, in the order of creation.
    folders: Vec<(PathBuf, u32, i64)>,
}

impl Restore<'_> {
    fn folder(&mut self, mut walk: TreeWalk<'_>) -> Result<(), RestoreError> {
        while let Some((path, entry)) = walk.next() {
            let restored = match &entry.node {
                Node::File(cid) => self.file(&path, *cid, &entry),
                Node::Folder(cid) => self.enter(&mut walk, &path, *cid, &entry),
                Node::Symlink(target) => {
                    self.symlinks.push((path.clone(), target.clone(), entry.mtime_ns));
                    Ok(())
                }
            };
            self.settle(path, restored)?;
        }
        Ok(())
    }

    /// Tells what failed of one item; gives back what ends the restore.
    fn settle(&mut self, path: PathBuf, restored: Result<(), RestoreError>) -> Result<(), RestoreError> {
        match restored {
            Err(error) if error.is_of_item() => {
                self.restored.failed += 1;
                (self.events)(RestoreEvent::Failed { path, error });
                Ok(())
            }
            restored => restored,
        }
    }

    /// Makes the folder whose entries come next.
    fn enter(&mut self, walk: &mut TreeWalk<'_>, path: &Path, cid: Cid, entry: &Entry) -> Result<(), RestoreError> {
        fs::create_dir(path).map_err(io_error(path))?;
        let entries = match walk.enter(path, cid) {
            Ok(entries) => entries,
            Err(error) => {
                // An empty folder would pass for one that was restored.
                fs::remove_dir(path).map_err(io_error(path))?;
                return Err(error.into());
            }
        };
        if !self.entered.insert(cid.content_hash()) {
            self.repeats = self.repeats.saturating_add(entries as u64);
        }
        if self.repeats > self.options.repeats_max {
            return Err(RestoreError::TooManyRepeats { path: path.to_owned(), max: self.options.repeats_max });
        }
        self.restored.folders += 1;
        self.folders.push((path.to_owned(), entry.mode, entry.mtime_ns));
        Ok(())
    }

    /// Writes under another name, which the file exchanges for its own when all of it is right.
    fn file(&mut self, path: &Path, cid: Cid, entry: &Entry) -> Result<(), RestoreError> {
        let failed = io_error(path);
        let get = |source| match source {
            GetError::Write(source) => io_error(path)(source),
            source => RestoreError::Get { path: path.to_owned(), source },
        };
        let block = find_entry(self.backend.as_ref(), path, cid)?;
        let mut reader = ContentReader::new(self.backend.clone(), block, None).map_err(get)?;
        // Readable by nobody else before its mode is known to be right.
        let create = |path: &Path| File::options().write(true).create_new(true).mode(0o600).open(path);
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(PARTIAL_PREFIX).make_in(folder, create).map_err(&failed)?;
        let bytes = reader.copy_to(file.as_file_mut()).map_err(get)?;
        file.as_file().set_permissions(Permissions::from_mode(entry.mode & MODE_BITS)).map_err(&failed)?;
        rustix::fs::futimens(file.as_file(), &times(entry.mtime_ns)).map_err(|error| failed(error.into()))?;
        file.persist_noclobber(path).map_err(|error| failed(error.error))?;
        self.restored.files += 1;
        self.restored.bytes += bytes;
        (self.events)(RestoreEvent::Progress { bytes });
        Ok(())
    }

    fn finish(mut self) -> Result<Restored, RestoreError> {
        for (path, target, mtime_ns) in std::mem::take(&mut self.symlinks) {
            let made = std::os::unix::fs::symlink(OsStr::from_bytes(&target), &path).map_err(io_error(&path));
            self.restored.symlinks += u64::from(made.is_ok());
            let made = made.and_then(|()| set_mtime(&path, mtime_ns));
            self.settle(path, made)?;
        }
        // The innermost first: a mode may forbid entering, and making an entry touches its folder's time.
        for (path, mode, mtime_ns) in std::mem::take(&mut self.folders).into_iter().rev() {
            let set = set_mtime(&path, mtime_ns).and_then(|()| {
                fs::set_permissions(&path, Permissions::from_mode(mode & MODE_BITS)).map_err(io_error(&path))
            });
            self.settle(path, set)?;
        }
        Ok(self.restored)
    }
}

fn times(mtime_ns: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime_ns.div_euclid(1_000_000_000), tv_nsec: mtime_ns.rem_euclid(1_000_000_000) };
    Timestamps { last_access: time, last_modification: time }
}

/// Sets the time of a folder or symlink itself.
fn set_mtime(path: &Path, mtime_ns: i64) -> Result<(), RestoreError> {
    rustix::fs::utimensat(CWD, path, &times(mtime_ns), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| RestoreError::Io { path: path.to_owned(), source: error.into() })
}
