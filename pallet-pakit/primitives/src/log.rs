//! The log: the Merkle tree of RFC 6962 (RFC 9162, section 2.1) with SHA-256 over all blocks in commit order.
//!
//! Leaf data are header bytes, so that leaf hashes are block hashes. A node is SHA-256(0x01 || left || right), and n > 1
//! leaves split at the largest power of two below n. Sizes are at most 2^48.
//!
//! A prover asks this module which [`Subtree`]s a proof consists of and looks their hashes up; the verifiers here demand
//! exactly those. The two can therefore not disagree on an order.

mod accumulator;
mod consistency;
mod delta;
mod inclusion;
mod multiproof;

pub use accumulator::Accumulator;
pub use consistency::{consistency_path_len, consistency_subtrees, verify_consistency};
pub use delta::{DeltaProof, delta_shared_len, verify_delta};
pub use inclusion::{inclusion_path_len, inclusion_subtrees, root_from_path, verify_inclusion};
pub use multiproof::{multiproof_len, multiproof_subtrees, verify_multiproof};

pub(crate) use inclusion::{check_path, sibling_sides};

use crate::{
    hasher::{Digest, Hasher},
    header::LEAVES_MAX,
    id::LogRoot,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// First byte of the input of a leaf hash.
pub const LEAF_PREFIX: u8 = 0;
/// First byte of the input of a node hash.
pub const NODE_PREFIX: u8 = 1;
/// Most hashes in an audit path: log2 of the largest size.
pub const INCLUSION_PATH_MAX: usize = 48;
/// Most hashes in a consistency proof: one more than an audit path.
pub const CONSISTENCY_PATH_MAX: usize = 49;

/// A log at some size. About 60 bytes on a chain commit to every block before it.
///
/// Root and size go together: another size may give one leaf the same path, so only the pair is to be trusted.
///
/// Frozen bytes: `log::tests::head_bytes_are_frozen`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: LogRoot,
}

/// The complete or ragged subtree over the leaves `start..end` of a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subtree {
    /// First leaf.
    pub start: u64,
    /// The leaf after the last one.
    pub end: u64,
}

impl Subtree {
    /// Number of leaves.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has no leaf. No proof names such a subtree.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Level and index of the node if the subtree is complete: 2^level leaves from index x 2^level on. Level 0 is a leaf.
    pub fn as_complete(&self) -> Option<(u32, u64)> {
        let level = self.len().checked_ilog2()?;
        (self.len().is_power_of_two() && self.start.trailing_zeros() >= level.min(u64::BITS - 1))
            .then(|| (level, self.start >> level))
    }

    /// The complete subtrees that make it up, left to right; their hashes are combined from the right. For a subtree that
    /// stands in a log, that is at most 48.
    pub fn complete_parts(self) -> impl Iterator<Item = Subtree> {
        let mut start = self.start;
        core::iter::from_fn(move || {
            let level = self.end.checked_sub(start)?.checked_ilog2()?;
            let part = Subtree { start, end: start + (1 << level) };
            start = part.end;
            Some(part)
        })
    }

    /// Where n > 1 leaves split: the largest power of two below n, from the start.
    fn halves(self) -> Option<(Subtree, Subtree)> {
        let half = 1u64 << self.len().checked_sub(1)?.checked_ilog2()?;
        let middle = self.start + half;
        Some((Subtree { start: self.start, end: middle }, Subtree { start: middle, end: self.end }))
    }
}

/// Why a log proof was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A proof against, or from, a log without leaves.
    #[error("the log is empty")]
    EmptyLog,
    /// A size above 2^48.
    #[error("the log size is above 2^48")]
    SizeTooLarge,
    /// A leaf index at or beyond the size.
    #[error("the leaf index is not below the log size")]
    IndexOutOfRange,
    /// More or fewer hashes than index and size demand.
    #[error("the path has {actual} hashes instead of {expected}")]
    WrongPathLength {
        /// What index and size demand.
        expected: usize,
        /// What the proof has.
        actual: usize,
    },
    /// The leaf is not at that place in that log.
    #[error("the proof does not lead to the root")]
    RootMismatch,
    /// The later size is below the earlier one.
    #[error("the later size is below the earlier size")]
    SizeShrinks,
    /// The proof does not lead to the earlier root: the later log does not extend that log.
    #[error("the later log does not extend the earlier one")]
    NotAppendOnly,
    /// The proof leads to the earlier root but not to the later one. Where the earlier size is a power of two, its root is
    /// not computed but taken as given, and a rewritten log shows itself here.
    #[error("the proof does not lead to the later root")]
    NewRootMismatch,
    /// No leaf is to be proved.
    #[error("no leaf is named")]
    NoLeaves,
    /// Leaves out of order or named twice.
    #[error("the leaves are not strictly ascending")]
    LeavesNotAscending,
    /// The reference of a delta proof is no proof of the same log.
    #[error("the count of shared hashes is {actual} instead of {expected}")]
    WrongSharedCount {
        /// What the two indices and the size demand.
        expected: usize,
        /// What the proof says.
        actual: usize,
    },
}

/// Hash of an inner node.
pub fn hash_node<H: Hasher>(left: &Digest, right: &Digest) -> Digest {
    let mut input = [NODE_PREFIX; 65];
    let (_, rest) = input.split_at_mut(1);
    let (left_room, right_room) = rest.split_at_mut(32);
    left_room.copy_from_slice(left);
    right_room.copy_from_slice(right);
    H::sha256(&input)
}

/// Refuses sizes that no log has.
fn check_size(size: u64) -> Result<(), LogError> {
    match size {
        0 => Err(LogError::EmptyLog),
        _ if size > LEAVES_MAX => Err(LogError::SizeTooLarge),
        _ => Ok(()),
    }
}

/// Refuses sizes that no log has and leaves that are not in it.
fn check_leaf(leaf_index: u64, size: u64) -> Result<(), LogError> {
    check_size(size)?;
    if leaf_index < size { Ok(()) } else { Err(LogError::IndexOutOfRange) }
}

fn check_len(expected: usize, actual: usize) -> Result<(), LogError> {
    if expected == actual { Ok(()) } else { Err(LogError::WrongPathLength { expected, actual }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use alloc::{vec, vec::Vec};
    use hex_literal::hex;

    #[test]
    fn head_bytes_are_frozen() {
        let root = hex!("048c6615b99ce1ad65a0581bf1204567068606817077d9886371185736f61298");
        let head = Head { size: 5, root: LogRoot::new(root) };
        let bytes = hex!("0500000000000000 048c6615b99ce1ad65a0581bf1204567068606817077d9886371185736f61298");
        assert_eq!(head.encode(), bytes);
        assert_eq!(Head::decode(&mut &bytes[..]).unwrap(), head);
        assert_eq!(Head::max_encoded_len(), bytes.len());
    }

    #[test]
    fn a_subtree_knows_whether_it_is_complete() {
        let complete = |start, end| Subtree { start, end }.as_complete();
        assert_eq!(complete(0, 1), Some((0, 0)));
        assert_eq!(complete(7, 8), Some((0, 7)));
        assert_eq!(complete(4, 8), Some((2, 1)));
        assert_eq!(complete(0, 1 << 63), Some((63, 0)));
        for (start, end) in [(0, 0), (5, 4), (0, 3), (2, 6), (1, 3), (4, 7)] {
            assert_eq!(complete(start, end), None, "{start}..{end}");
        }
    }

    #[test]
    fn a_ragged_subtree_falls_into_complete_parts_from_large_to_small() {
        let parts = |start, end| Subtree { start, end }.complete_parts().map(|part| (part.start, part.end)).collect();
        let none: Vec<(u64, u64)> = parts(4, 4);
        assert!(none.is_empty());
        let ragged: Vec<(u64, u64)> = parts(8, 15);
        assert_eq!(ragged, vec![(8, 12), (12, 14), (14, 15)]);
        let whole: Vec<(u64, u64)> = parts(0, u64::MAX);
        assert_eq!(whole.len(), 64);
    }
}
