//! Reading listings: one folder, the block of a path within a folder, or all entries below it.
//!
//! Listings come from whoever made the repository and are not trusted. How deep they name each other is bounded, and so is
//! what is held of those that are open; how often they name each other is for the caller to count.

use crate::{
    backend::{BackendError, BlockKey, DagBackend},
    block::DagBlock,
    cid::{self, Cid},
    get::{ContentReader, GetError},
    tree::{self, Entry, LISTING_BYTES_MAX, Node, TreeError},
};
use pakit_primitives::{BlockHash, MetadataHash};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    vec,
};

/// Folders within folders that are gone into at most.
pub const DEPTH_MAX: usize = 1_024;

/// Bytes of all listings on the way to one entry, at most: four of the greatest there can be.
pub const OPEN_BYTES_MAX: u64 = 4 * LISTING_BYTES_MAX;

/// Why a listing was not read. What `path` names is empty for the folder that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListingError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The listing's content could not be read.
    #[error("{}{source}", prefix(path))]
    Get {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: GetError,
    },
    /// The block is not a folder.
    #[error("{}block {block_hash} is not a folder's tree listing", prefix(path))]
    NotATree {
        /// The path at which it stands.
        path: PathBuf,
        /// The block.
        block_hash: BlockHash,
    },
    /// A listing that is none.
    #[error("{}{source}", prefix(path))]
    Tree {
        /// The folder.
        path: PathBuf,
        /// What is wrong with its listing.
        source: TreeError,
    },
    /// A listing names content that the repository does not have.
    #[error("{}the repository has no block for {cid}", prefix(path))]
    MissingEntry {
        /// The file or folder.
        path: PathBuf,
        /// Its content.
        cid: Cid,
    },
    /// Folders nested too deep.
    #[error("{}folders are nested deeper than {DEPTH_MAX}", prefix(path))]
    TooDeep {
        /// The folder that would be one too many.
        path: PathBuf,
    },
    /// Listings on the way to a folder that are too large together.
    #[error("{}the listings on the way to it have more than {OPEN_BYTES_MAX} bytes", prefix(path))]
    TooLarge {
        /// The folder that would be one too many.
        path: PathBuf,
    },
}

fn prefix(path: &Path) -> String {
    if path.as_os_str().is_empty() { String::new() } else { format!("{}: ", path.display()) }
}

/// The entries of a folder's block.
pub fn read_listing(backend: &Arc<dyn DagBackend>, block: DagBlock) -> Result<Vec<Entry>, ListingError> {
    read_listing_at(backend, block, Path::new(""))
}

/// The same for a folder that stands at `path`, which errors name.
fn read_listing_at(backend: &Arc<dyn DagBackend>, block: DagBlock, path: &Path) -> Result<Vec<Entry>, ListingError> {
    let path = || path.to_owned();
    let get = |source| ListingError::Get { path: path(), source };
    let header = block.header();
    let (codec, size, block_hash) = (header.codec, header.original_size, block.block_hash());
    if codec != cid::DAG_CBOR {
        return Err(ListingError::NotATree { path: path(), block_hash });
    }
    if size > LISTING_BYTES_MAX {
        return Err(get(GetError::TooLarge { block_hash, size, limit: LISTING_BYTES_MAX }));
    }
    let mut listing = Vec::new();
    ContentReader::new(backend.clone(), block, None).map_err(get)?.copy_to(&mut listing).map_err(get)?;
    tree::decode(&listing).map_err(|source| match source {
        TreeError::UnknownFormat => ListingError::NotATree { path: path(), block_hash },
        source => ListingError::Tree { path: path(), source },
    })
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

/// The block of what a listing names at `path`. Metadata belongs to blocks and not to entries: without one of the plain key,
/// any block of that content and codec will do.
pub(crate) fn find_entry(backend: &dyn DagBackend, path: &Path, cid: Cid) -> Result<DagBlock, ListingError> {
    let missing = || ListingError::MissingEntry { path: path.to_owned(), cid };
    let found =
        find_cid(backend, &cid).map_err(|source| ListingError::Get { path: path.to_owned(), source: source.into() });
    found?.ok_or_else(missing)
}

/// Goes through all entries below a folder, depth first and in the order of the listings. A folder is only gone into when
/// [`TreeWalk::enter`] is called with it.
///
/// Memory: the listings on the way to the present entry, at most [`DEPTH_MAX`] and a few times [`OPEN_BYTES_MAX`].
pub struct TreeWalk<'a> {
    backend: &'a Arc<dyn DagBackend>,
    open: Vec<Open>,
    open_bytes: u64,
}

/// A folder with entries that are still to come.
struct Open {
    path: PathBuf,
    entries: vec::IntoIter<Entry>,
    bytes: u64,
}

impl<'a> TreeWalk<'a> {
    /// Begins with the entries of `block`, whose paths begin with `path`.
    pub fn new(backend: &'a Arc<dyn DagBackend>, block: DagBlock, path: &Path) -> Result<Self, ListingError> {
        let bytes = block.header().original_size;
        let entries = read_listing(backend, block)?.into_iter();
        Ok(Self { backend, open: vec![Open { path: path.to_owned(), entries, bytes }], open_bytes: bytes })
    }

    /// The next entry, with its path.
    #[expect(clippy::should_implement_trait, reason = "to go into a folder changes what comes next")]
    pub fn next(&mut self) -> Option<(PathBuf, Entry)> {
        loop {
            let open = self.open.last_mut()?;
            if let Some(entry) = open.entries.next() {
                return Some((open.path.join(OsStr::from_bytes(&entry.name)), entry));
            }
            self.open_bytes -= open.bytes;
            self.open.pop();
        }
    }

    /// Goes into the folder that came last: its entries come next. Gives their number.
    pub fn enter(&mut self, path: &Path, cid: Cid) -> Result<usize, ListingError> {
        if self.open.len() > DEPTH_MAX {
            return Err(ListingError::TooDeep { path: path.to_owned() });
        }
        let block = find_entry(self.backend.as_ref(), path, cid)?;
        let bytes = block.header().original_size;
        if self.open_bytes.saturating_add(bytes) > OPEN_BYTES_MAX {
            return Err(ListingError::TooLarge { path: path.to_owned() });
        }
        let entries = read_listing_at(self.backend, block, path)?.into_iter();
        let count = entries.len();
        self.open_bytes += bytes;
        self.open.push(Open { path: path.to_owned(), entries, bytes });
        Ok(count)
    }
}

/// Why a path leads to no block within a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// A listing on the way could not be read.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// No entry of that name.
    #[error("there is no {} in the folder", .0.display())]
    NoEntry(PathBuf),
    /// A file or symlink where the path goes on.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The path ends at a symlink, which has no block.
    #[error("{} is a symlink to {}; name what it leads to", path.display(), target.display())]
    Symlink {
        /// The path.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
}

/// The block at a path within a folder. Names are separated by `/`; empty ones and `.` stand for nothing.
pub fn block_at(backend: &Arc<dyn DagBackend>, folder: DagBlock, path: &OsStr) -> Result<DagBlock, PathError> {
    let mut block = folder;
    let mut walked = PathBuf::new();
    let names = path.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    for name in names {
        let entries = match read_listing_at(backend, block, &walked) {
            Err(ListingError::NotATree { path, .. }) if !path.as_os_str().is_empty() => {
                return Err(PathError::NotAFolder(path));
            }
            read => read?,
        };
        walked.push(OsStr::from_bytes(name));
        // Strictly ascending by name: the listing would have been refused otherwise.
        let found = entries.binary_search_by(|entry| entry.name.as_slice().cmp(name));
        let Some(entry) = found.ok().and_then(|place| entries.get(place)) else {
            return Err(PathError::NoEntry(walked));
        };
        block = match &entry.node {
            Node::File(cid) | Node::Folder(cid) => find_entry(backend.as_ref(), &walked, *cid)?,
            Node::Symlink(target) => {
                return Err(PathError::Symlink { path: walked, target: OsStr::from_bytes(target).into() });
            }
        };
    }
    Ok(block)
}
