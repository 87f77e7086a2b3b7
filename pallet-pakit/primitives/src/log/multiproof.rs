//! Multiproofs: many leaves of one log at once, without the nodes that their paths share or that follow from the leaves.

use super::{Head, LogError, Subtree, check_leaf, check_len, check_size, hash_node};
use crate::{
    hasher::{Digest, Hasher},
    id::BlockHash,
};
use alloc::vec::Vec;

/// Hashes in the multiproof of the strictly ascending leaves at `indices`.
pub fn multiproof_len(indices: &[u64], size: u64) -> Result<usize, LogError> {
    check_indices(indices.iter().copied(), size)?;
    let mut length = 0;
    visit(Subtree { start: 0, end: size }, indices, |index| *index, &mut |_| length += 1);
    Ok(length)
}

/// The subtrees whose hashes are the multiproof of the leaves at `indices`, in canonical order: a subtree without a wanted
/// leaf is one hash, a single wanted leaf is none, and otherwise left comes before right.
pub fn multiproof_subtrees(indices: &[u64], size: u64) -> Result<Vec<Subtree>, LogError> {
    check_indices(indices.iter().copied(), size)?;
    let mut subtrees = Vec::new();
    visit(Subtree { start: 0, end: size }, indices, |index| *index, &mut |subtree| subtrees.push(subtree));
    Ok(subtrees)
}

/// Verifies that each (leaf index, block hash) of the strictly ascending `leaves` stands in the log at `head`.
///
/// O(leaves x log size) steps; the caller bounds the number of leaves.
pub fn verify_multiproof<H: Hasher>(
    head: &Head,
    leaves: &[(u64, BlockHash)],
    proof: &[Digest],
) -> Result<(), LogError> {
    check_indices(leaves.iter().map(|(index, _)| *index), head.size)?;
    let whole = Subtree { start: 0, end: head.size };
    let mut expected = 0;
    visit(whole, leaves, |(index, _)| *index, &mut |_| expected += 1);
    check_len(expected, proof.len())?;
    let mut rest = proof.iter();
    match root_of::<H>(whole, leaves, &mut rest) {
        Some(root) if root == *head.root.as_bytes() && rest.len() == 0 => Ok(()),
        _ => Err(LogError::RootMismatch),
    }
}

fn check_indices(indices: impl Iterator<Item = u64>, size: u64) -> Result<(), LogError> {
    check_size(size)?;
    let mut previous = None;
    for index in indices {
        check_leaf(index, size)?;
        if previous.is_some_and(|previous| previous >= index) {
            return Err(LogError::LeavesNotAscending);
        }
        previous = Some(index);
    }
    previous.map(|_| ()).ok_or(LogError::NoLeaves)
}

/// Calls `emit` for each subtree of the proof. The recursion is as deep as the tree is high: at most 48.
fn visit<T>(around: Subtree, wanted: &[T], index_of: fn(&T) -> u64, emit: &mut impl FnMut(Subtree)) {
    if wanted.is_empty() {
        return emit(around);
    }
    if let Some((left, right)) = around.halves() {
        let (in_left, in_right) = wanted.split_at(wanted.partition_point(|item| index_of(item) < left.end));
        visit(left, in_left, index_of, emit);
        visit(right, in_right, index_of, emit);
    }
}

fn root_of<H: Hasher>(
    around: Subtree,
    leaves: &[(u64, BlockHash)],
    proof: &mut core::slice::Iter<'_, Digest>,
) -> Option<Digest> {
    if leaves.is_empty() {
        return proof.next().copied();
    }
    match around.halves() {
        None => leaves.first().map(|(_, block_hash)| block_hash.to_bytes()),
        Some((left, right)) => {
            let (in_left, in_right) = leaves.split_at(leaves.partition_point(|(index, _)| *index < left.end));
            let left_root = root_of::<H>(left, in_left, proof)?;
            let right_root = root_of::<H>(right, in_right, proof)?;
            Some(hash_node::<H>(&left_root, &right_root))
        }
    }
}
