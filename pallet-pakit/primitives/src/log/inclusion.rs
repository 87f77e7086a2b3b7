//! Audit paths: one leaf of a log.

use super::{Head, LogError, Subtree, check_leaf, check_len, hash_node};
use crate::{
    hasher::{Digest, Hasher},
    id::{BlockHash, LogRoot},
};
use alloc::vec::Vec;

/// On which side the siblings of an audit path stand, from the leaf to the root.
///
/// The path of leaf i among n has two parts. Up to the level at which the ways to i and to the last leaf n - 1 part (the
/// bits in which they differ), every level has a sibling, left of the path where i has a 1 bit. Above it the path runs along
/// the right edge, which has a sibling, always on the left, for each 1 bit left in i.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SiblingSides {
    leaf_index: u64,
    /// Levels below the parting.
    pub(super) inner: usize,
    /// Siblings along the right edge.
    pub(super) border: usize,
}

impl SiblingSides {
    pub(crate) fn len(&self) -> usize {
        self.inner + self.border
    }

    pub(crate) fn is_left(&self, step: usize) -> bool {
        step >= self.inner || (self.leaf_index >> step) & 1 == 1
    }
}

/// The sides for leaf `leaf_index` among `size`, `leaf_index < size`.
pub(crate) fn sibling_sides(leaf_index: u64, size: u64) -> SiblingSides {
    let differing = leaf_index ^ size.wrapping_sub(1);
    let inner = u64::BITS - differing.leading_zeros();
    let border = leaf_index.checked_shr(inner).unwrap_or(0).count_ones();
    SiblingSides { leaf_index, inner: inner as usize, border: border as usize }
}

/// Hashes in the audit path of a leaf; `None` if the index is not below the size.
pub fn inclusion_path_len(leaf_index: u64, size: u64) -> Option<usize> {
    (leaf_index < size).then(|| sibling_sides(leaf_index, size).len())
}

/// The subtrees whose hashes are the audit path of `leaf_index` in a log of `size` leaves, leaf to root.
pub fn inclusion_subtrees(leaf_index: u64, size: u64) -> Result<Vec<Subtree>, LogError> {
    check_leaf(leaf_index, size)?;
    let mut path = Vec::with_capacity(sibling_sides(leaf_index, size).len());
    let mut around = Subtree { start: 0, end: size };
    while let Some((left, right)) = around.halves() {
        (around, _) = if leaf_index < left.end {
            path.push(right);
            (left, right)
        } else {
            path.push(left);
            (right, left)
        };
    }
    path.reverse();
    Ok(path)
}

/// Refuses an audit path that cannot be one, without computing a hash.
pub(crate) fn check_path(leaf_index: u64, size: u64, path_len: usize) -> Result<SiblingSides, LogError> {
    check_leaf(leaf_index, size)?;
    let sides = sibling_sides(leaf_index, size);
    check_len(sides.len(), path_len)?;
    Ok(sides)
}

/// The root that a leaf and its audit path lead to, after the bounds and the path's length were checked.
pub fn root_from_path<H: Hasher>(
    size: u64,
    leaf_index: u64,
    block_hash: &BlockHash,
    path: &[Digest],
) -> Result<LogRoot, LogError> {
    let sides = check_path(leaf_index, size, path.len())?;
    let root = path.iter().enumerate().fold(block_hash.to_bytes(), |node, (step, sibling)| {
        if sides.is_left(step) { hash_node::<H>(sibling, &node) } else { hash_node::<H>(&node, sibling) }
    });
    Ok(LogRoot::new(root))
}

/// Verifies that the block is leaf `leaf_index` of the log at `head`. At most 48 hashes.
///
/// That the leaf index is also the one in the block's header is for the caller to check, who has the header.
pub fn verify_inclusion<H: Hasher>(
    head: &Head,
    leaf_index: u64,
    block_hash: &BlockHash,
    path: &[Digest],
) -> Result<(), LogError> {
    if root_from_path::<H>(head.size, leaf_index, block_hash, path)? == head.root {
        Ok(())
    } else {
        Err(LogError::RootMismatch)
    }
}
