//! Lineage: a block builds on an earlier one, shown by the headers on a way between them.

use crate::{
    hasher::{Digest, Hasher},
    header::{Header, HeaderError, hash_header_bytes},
    id::BlockHash,
    log::{Head, LogError, check_path, verify_inclusion},
};

/// Most headers in a lineage proof, the ancestor's with it.
pub const LINEAGE_HEADERS_MAX: usize = 64;

/// Why a lineage was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineageError {
    /// More than 64 headers.
    #[error("the lineage has more than {LINEAGE_HEADERS_MAX} headers")]
    TooLong,
    /// No header, and the block itself is not where the lineage has to end.
    #[error("the lineage is empty")]
    Empty,
    /// A header that does not decode.
    #[error("a header of the lineage is malformed: {0}")]
    Header(#[from] HeaderError),
    /// A header that the one before it does not name among its parents.
    #[error("a header of the lineage is no parent of the one before it")]
    NotAParent,
    /// A depth that does not fall from child to parent.
    #[error("the depth does not fall along the lineage")]
    DepthNotFalling,
    /// A parent that is later than its child.
    #[error("a timestamp rises along the lineage")]
    TimestampRising,
    /// The last header is not the DAG's genesis.
    #[error("the lineage does not end at the DAG's genesis")]
    NotGenesis,
    /// The ancestor is not in the log.
    #[error("the ancestor is not in the log: {0}")]
    Ancestor(#[from] LogError),
}

/// Verifies that `block` descends from the genesis block `genesis_hash`, by the bytes of the headers from one of its parents
/// down to genesis. At most 64 hashes.
///
/// `block` must have been proved otherwise. Genesis itself descends from genesis by no headers.
pub fn verify_lineage_to_genesis<H: Hasher>(
    block: &Header,
    ancestors: &[impl AsRef<[u8]>],
    genesis_hash: &BlockHash,
) -> Result<(), LineageError> {
    let (last_hash, last) = match walk::<H>(block, ancestors)? {
        Some(ancestor) => ancestor,
        None if block.leaf_index == 0 => (block.block_hash::<H>(), block.clone()),
        None => return Err(LineageError::Empty),
    };
    if last.leaf_index == 0 && last_hash == *genesis_hash { Ok(()) } else { Err(LineageError::NotGenesis) }
}

/// Verifies that `block` descends from the last of `ancestors`, which `path` shows to be in the log at `head`. Gives that
/// ancestor. At most 64 + 48 hashes.
pub fn verify_lineage_to_ancestor<H: Hasher>(
    block: &Header,
    ancestors: &[impl AsRef<[u8]>],
    head: &Head,
    path: &[Digest],
) -> Result<(BlockHash, Header), LineageError> {
    check_count(ancestors.len())?;
    let last = ancestors.last().ok_or(LineageError::Empty)?;
    // The path is as long as the last header's index demands. Known before the walk, so that no hash is spent on it.
    check_path(Header::decode(last.as_ref())?.leaf_index, head.size, path.len())?;
    let (hash, ancestor) = walk::<H>(block, ancestors)?.ok_or(LineageError::Empty)?;
    verify_inclusion::<H>(head, ancestor.leaf_index, &hash, path)?;
    Ok((hash, ancestor))
}

fn check_count(headers: usize) -> Result<(), LineageError> {
    if headers > LINEAGE_HEADERS_MAX { Err(LineageError::TooLong) } else { Ok(()) }
}

/// Checks each step; gives the last header with its hash, or nothing for no headers.
fn walk<H: Hasher>(
    block: &Header,
    ancestors: &[impl AsRef<[u8]>],
) -> Result<Option<(BlockHash, Header)>, LineageError> {
    check_count(ancestors.len())?;
    let mut reached: Option<(BlockHash, Header)> = None;
    for bytes in ancestors {
        let child = reached.as_ref().map_or(block, |(_, header)| header);
        let parent = Header::decode(bytes.as_ref())?;
        let parent_hash = hash_header_bytes::<H>(bytes.as_ref());
        if !child.has_parent(parent.leaf_index, &parent_hash) {
            return Err(LineageError::NotAParent);
        }
        if parent.depth >= child.depth {
            return Err(LineageError::DepthNotFalling);
        }
        if parent.timestamp_ms > child.timestamp_ms {
            return Err(LineageError::TimestampRising);
        }
        reached = Some((parent_hash, parent));
    }
    Ok(reached)
}
