//! A log of any size with only a few blocks that matter, for tests and benchmarks of proofs as deep as they get.
//!
//! All leaves that are not named have one and the same hash, so that the hash of a complete subtree of them follows from its
//! level, and a root over 2^48 leaves takes a few thousand hashes. Proofs come from the same `*_subtrees` functions that any
//! store uses.

use crate::HostHasher;
use alloc::{collections::BTreeMap, vec::Vec};
use pakit_primitives::{
    BlockHash, Head, LogRoot,
    hasher::Digest,
    log::{Subtree, consistency_subtrees, hash_node, inclusion_subtrees},
};

/// The leaf that stands wherever no other is named.
const FILLER: BlockHash = BlockHash::new([0xf1; 32]);
/// Levels of complete subtrees in the largest log, leaves included.
const LEVELS: usize = 49;

/// The log; its size is told with each question, so that one log serves as its own past.
pub(crate) struct SparseLog {
    leaves: BTreeMap<u64, BlockHash>,
    fillers: [Digest; LEVELS],
}

impl SparseLog {
    pub(crate) fn new(leaves: impl IntoIterator<Item = (u64, BlockHash)>) -> Self {
        let mut fillers = [FILLER.to_bytes(); LEVELS];
        let mut node = FILLER.to_bytes();
        for filler in fillers.iter_mut().skip(1) {
            node = hash_node::<HostHasher>(&node, &node);
            *filler = node;
        }
        Self { leaves: leaves.into_iter().collect(), fillers }
    }

    pub(crate) fn head(&self, size: u64) -> Head {
        Head { size, root: LogRoot::new(self.hash_of(Subtree { start: 0, end: size })) }
    }

    /// Empty for a leaf that is not in the log.
    pub(crate) fn inclusion(&self, leaf_index: u64, size: u64) -> Vec<Digest> {
        self.hashes_of(inclusion_subtrees(leaf_index, size).unwrap_or_default())
    }

    /// Empty for sizes between which there is no proof.
    pub(crate) fn consistency(&self, old_size: u64, new_size: u64) -> Vec<Digest> {
        self.hashes_of(consistency_subtrees(old_size, new_size).unwrap_or_default())
    }

    fn hashes_of(&self, subtrees: Vec<Subtree>) -> Vec<Digest> {
        subtrees.into_iter().map(|subtree| self.hash_of(subtree)).collect()
    }

    fn hash_of(&self, subtree: Subtree) -> Digest {
        let named = self.leaves.range(subtree.start..subtree.end).next();
        match (named, subtree.as_complete()) {
            (None, Some((level, _))) => self.fillers.get(level as usize).copied().unwrap_or_default(),
            (Some((_, leaf)), Some((0, _))) => leaf.to_bytes(),
            _ => {
                let half = subtree.len().saturating_sub(1).checked_ilog2().map_or(0, |level| 1 << level);
                let middle = subtree.start + half;
                hash_node::<HostHasher>(
                    &self.hash_of(Subtree { start: subtree.start, end: middle }),
                    &self.hash_of(Subtree { start: middle, end: subtree.end }),
                )
            }
        }
    }
}
