//! Restoring a folder from its tree listing: bytes, modes, times and symlinks.
//!
//! The listing is not trusted. Names cannot leave their folder (the listing refuses such names), the target folder is new or
//! empty, files are only ever created and never opened for writing where something stands, and symlinks are made last: so
//! nothing is written through a symlink or outside the target.

use crate::{
    backend::{BackendError, BlockKey, DagBackend},
    block::DagBlock,
    cid::{self, Cid},
    get::{ContentReader, GetError},
    tree::{self, Entry, LISTING_BYTES_MAX, Node, TreeError},
};
use pakit_primitives::MetadataHash;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::{
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

/// Folders within folders that are restored at most.
const DEPTH_MAX: usize = 1_024;

/// Permission bits that are restored; set-user-ID and set-group-ID of a foreign listing are not.
const MODE_BITS: u32 = 0o1777;

/// Why a folder was not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A content could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The block is not a folder.
    #[error("block {0} is not a folder's tree listing")]
    NotATree(pakit_primitives::BlockHash),
    /// A listing that is none.
    #[error("{}: {source}", path.display())]
    Tree {
        /// The folder.
        path: PathBuf,
        /// What is wrong with its listing.
        source: TreeError,
    },
    /// The target is there already and is not an empty folder.
    #[error("{} is there already; name a new or empty folder", .0.display())]
    TargetNotEmpty(PathBuf),
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A listing names content that the repository does not have.
    #[error("{}: the repository has no block for {cid}", path.display())]
    MissingEntry {
        /// The file or folder.
        path: PathBuf,
        /// Its content.
        cid: Cid,
    },
    /// Folders nested too deep.
    #[error("{} is nested deeper than {DEPTH_MAX} folders", .0.display())]
    TooDeep(PathBuf),
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
}

/// The entries of a folder's block.
pub fn read_listing(backend: &Arc<dyn DagBackend>, block: DagBlock) -> Result<Vec<Entry>, RestoreError> {
    let header = block.header();
    if header.codec != cid::DAG_CBOR {
        return Err(RestoreError::NotATree(block.block_hash()));
    }
    let (size, block_hash) = (header.original_size, block.block_hash());
    if size > LISTING_BYTES_MAX {
        return Err(GetError::TooLarge { block_hash, size, limit: LISTING_BYTES_MAX }.into());
    }
    let mut listing = Vec::new();
    ContentReader::new(backend.clone(), block, None)?.copy_to(&mut listing)?;
    tree::decode(&listing).map_err(|source| match source {
        TreeError::UnknownFormat => RestoreError::NotATree(block_hash),
        source => RestoreError::Tree { path: PathBuf::new(), source },
    })
}

/// Restores the folder of `block` at `target`, which is created or empty. `progress` is told bytes written.
pub fn restore(
    backend: &Arc<dyn DagBackend>,
    block: DagBlock,
    target: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Restored, RestoreError> {
    let entries = read_listing(backend, block)?;
    create_target(target)?;
    let mut restore = Restore {
        backend,
        progress,
        restored: Restored { folders: 1, ..Restored::default() },
        symlinks: Vec::new(),
        folders: Vec::new(),
    };
    restore.folder(target, entries)?;
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
    progress: &'a mut dyn FnMut(u64),
    restored: Restored,
    /// Made after everything else.
    symlinks: Vec<(PathBuf, Vec<u8>, i64)>,
    /// Modes and times that are set when nothing is written within any more, in the order of creation.
    folders: Vec<(PathBuf, u32, i64)>,
}

impl Restore<'_> {
    /// Depth first with a list of folders to come, so that nesting costs no stack.
    fn folder(&mut self, target: &Path, entries: Vec<Entry>) -> Result<(), RestoreError> {
        let mut to_come = vec![(target.to_owned(), entries, 0)];
        while let Some((folder, entries, depth)) = to_come.pop() {
            for entry in entries {
                let path = folder.join(OsStr::from_bytes(&entry.name));
                match &entry.node {
                    Node::File(cid) => self.file(path, *cid, &entry)?,
                    Node::Symlink(target) => self.symlinks.push((path, target.clone(), entry.mtime_ns)),
                    Node::Folder(cid) => {
                        if depth >= DEPTH_MAX {
                            return Err(RestoreError::TooDeep(path));
                        }
                        let listing = self.find(&path, *cid)?;
                        let entries = read_listing(self.backend, listing).map_err(|error| match error {
                            RestoreError::Tree { source, .. } => RestoreError::Tree { path: path.clone(), source },
                            error => error,
                        })?;
                        fs::create_dir(&path).map_err(io_error(&path))?;
                        self.restored.folders += 1;
                        self.folders.push((path.clone(), entry.mode, entry.mtime_ns));
                        to_come.push((path, entries, depth + 1));
                    }
                }
            }
        }
        Ok(())
    }

    /// The block of an entry's content. Metadata belongs to blocks and not to entries: without one of the plain key, any
    /// block of that content and codec will do.
    fn find(&self, path: &Path, cid: Cid) -> Result<DagBlock, RestoreError> {
        let missing = || RestoreError::MissingEntry { path: path.to_owned(), cid };
        find_cid(self.backend.as_ref(), &cid)?.ok_or_else(missing)
    }

    fn file(&mut self, path: PathBuf, cid: Cid, entry: &Entry) -> Result<(), RestoreError> {
        let failed = io_error(&path);
        let block = self.find(&path, cid)?;
        let mut reader = ContentReader::new(self.backend.clone(), block, None)?;
        // Readable by nobody else before its mode is known to be right.
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(&failed)?;
        let bytes = reader.copy_to(&mut file).map_err(|error| match error {
            GetError::Write(source) => failed(source),
            error => error.into(),
        })?;
        file.set_permissions(Permissions::from_mode(entry.mode & MODE_BITS)).map_err(&failed)?;
        set_mtime(&path, entry.mtime_ns)?;
        self.restored.files += 1;
        self.restored.bytes += bytes;
        (self.progress)(bytes);
        Ok(())
    }

    fn finish(mut self) -> Result<Restored, RestoreError> {
        for (path, target, mtime_ns) in std::mem::take(&mut self.symlinks) {
            std::os::unix::fs::symlink(OsStr::from_bytes(&target), &path).map_err(io_error(&path))?;
            set_mtime(&path, mtime_ns)?;
            self.restored.symlinks += 1;
        }
        // The innermost first: a mode may forbid entering, and making an entry touches its folder's time.
        for (path, mode, mtime_ns) in self.folders.iter().rev() {
            set_mtime(path, *mtime_ns)?;
            fs::set_permissions(path, Permissions::from_mode(mode & MODE_BITS)).map_err(io_error(path))?;
        }
        Ok(self.restored)
    }
}

/// The block that a CID names: the one without metadata, or else the earliest one.
pub fn find_cid(backend: &dyn DagBackend, cid: &Cid) -> Result<Option<DagBlock>, BackendError> {
    let content_hash = cid.content_hash();
    let plain = BlockKey { codec: cid.codec(), content_hash, metadata_hash: MetadataHash::NONE };
    if let Some(leaf_index) = backend.find_key(&plain)? {
        return backend.block(leaf_index);
    }
    let mut after = None;
    loop {
        let page = backend.find_content(&content_hash, after, 64)?;
        let Some(last) = page.last().copied() else { return Ok(None) };
        for leaf_index in page {
            if let Some(block) = backend.block(leaf_index)?.filter(|block| block.header().codec == cid.codec()) {
                return Ok(Some(block));
            }
        }
        after = Some(last);
    }
}

/// Sets the time of a file, folder or symlink itself.
fn set_mtime(path: &Path, mtime_ns: i64) -> Result<(), RestoreError> {
    let time = Timespec { tv_sec: mtime_ns.div_euclid(1_000_000_000), tv_nsec: mtime_ns.rem_euclid(1_000_000_000) };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| RestoreError::Io { path: path.to_owned(), source: error.into() })
}
