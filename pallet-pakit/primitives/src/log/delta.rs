//! Delta proofs: an audit path told by what it does not share with another one of the same log.

use super::{Head, LogError, check_leaf, check_len, sibling_sides, verify_inclusion};
use crate::{
    hasher::{Digest, Hasher},
    id::BlockHash,
};
use alloc::vec::Vec;

/// An audit path whose upper end is that of a reference path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeltaProof {
    /// The path's own hashes, from the leaf upwards.
    pub leading: Vec<Digest>,
    /// How many hashes at the end of the reference path complete it.
    pub shared: usize,
}

/// How many hashes at their ends the audit paths of two leaves of one log share; `None` if either is not in the log.
///
/// Both paths share what lies above the smallest subtree that holds both leaves.
pub fn delta_shared_len(reference_index: u64, leaf_index: u64, size: u64) -> Option<usize> {
    if reference_index >= size || leaf_index >= size {
        return None;
    }
    let own = sibling_sides(leaf_index, size);
    if reference_index == leaf_index {
        return Some(own.len());
    }
    // The ways to the two leaves part at this level; a path's hashes up to and with that level are its own.
    let parting = (u64::BITS - (reference_index ^ leaf_index).leading_zeros()) as usize;
    let own_len = if parting <= own.inner {
        parting
    } else {
        // Above `inner`, levels without a 1 bit have no hash. The bit at the parting counts for whichever leaf is right.
        let above = leaf_index >> own.inner;
        let below_parting = above & (1u64 << (parting - 1 - own.inner)).wrapping_sub(1);
        own.inner + below_parting.count_ones() as usize + 1
    };
    Some(own.len().saturating_sub(own_len))
}

/// Verifies a leaf by a delta proof against the already verified audit path of another leaf under the same head.
pub fn verify_delta<H: Hasher>(
    head: &Head,
    reference_index: u64,
    reference_path: &[Digest],
    leaf_index: u64,
    block_hash: &BlockHash,
    proof: &DeltaProof,
) -> Result<(), LogError> {
    check_leaf(leaf_index, head.size)?;
    check_leaf(reference_index, head.size)?;
    check_len(sibling_sides(reference_index, head.size).len(), reference_path.len())?;
    let expected = delta_shared_len(reference_index, leaf_index, head.size).unwrap_or(usize::MAX);
    if proof.shared != expected {
        return Err(LogError::WrongSharedCount { expected, actual: proof.shared });
    }
    let own_len = sibling_sides(leaf_index, head.size).len().saturating_sub(expected);
    check_len(own_len, proof.leading.len())?;
    let shared = reference_path.get(reference_path.len().saturating_sub(expected)..).unwrap_or_default();
    let path: Vec<Digest> = proof.leading.iter().chain(shared).copied().collect();
    verify_inclusion::<H>(head, leaf_index, block_hash, &path)
}
