//! The log as the store keeps it: proofs read from stored nodes, and the nodes that new blocks complete.
//!
//! Every complete subtree of the log is a stored node, so a head, an inclusion proof or a consistency proof costs at most
//! two reads for each level of the tree, whatever the number of blocks. Which nodes a proof consists of is settled in
//! [`pakit_primitives::log`], beside the verifiers that demand exactly those.

use crate::{
    backend::{BackendError, DagBackend, LogNode},
    block::DagBlock,
};
use pakit_primitives::{
    Head, LogError, LogRoot, SoftwareHasher,
    hasher::Digest,
    header::LEAVES_MAX,
    log::{
        Accumulator, DeltaProof, Subtree, consistency_subtrees, delta_shared_len, hash_node, inclusion_subtrees,
        multiproof_subtrees,
    },
};
use std::cell::Cell;

/// Why something could not be read from the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogReadError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A size that the log has not reached.
    #[error("the log has {log_size} blocks, not {size}")]
    SizeBeyondLog {
        /// What was asked for.
        size: u64,
        /// What the log has.
        log_size: u64,
    },
    /// No such proof exists in any log: an index at or beyond the size, a later size below the earlier one, leaves out of
    /// order, an empty log.
    #[error(transparent)]
    NoSuchProof(#[from] LogError),
    /// A node is missing although the log has all its leaves.
    #[error("the repository is damaged: node {index} at level {level} of the log is missing")]
    NodeMissing {
        /// Height above the leaves.
        level: u32,
        /// Place among the nodes of its level.
        index: u64,
    },
}

/// Heads and proofs of a backend's log, at its present size and at every earlier one.
///
/// A proof reads one stored node for each of its hashes, and for the one subtree at the right edge that is not complete,
/// one for each of the complete subtrees that it is folded from.
///
/// ```no_run
/// # fn example(backend: &dyn offchain_store::DagBackend) -> Result<(), offchain_store::log::LogReadError> {
/// let log = offchain_store::log::LogReader::new(backend);
/// if let Some(head) = log.head()? {
///     let path = log.inclusion(0, head.size)?;
///     assert!(path.len() <= 48);
/// }
/// # Ok(()) }
/// ```
pub struct LogReader<'a> {
    backend: &'a dyn DagBackend,
    /// The log never shrinks: a size that it once had is not asked for again.
    known_size: Cell<u64>,
}

impl<'a> LogReader<'a> {
    /// Reads nothing yet.
    pub fn new(backend: &'a dyn DagBackend) -> Self {
        Self { backend, known_size: Cell::new(0) }
    }

    /// The log's present head; `None` while it is empty.
    pub fn head(&self) -> Result<Option<Head>, LogReadError> {
        match self.read_size()? {
            0 => Ok(None),
            size => self.head_at(size).map(Some),
        }
    }

    /// The head that the log had when it had `size` blocks, at least 1.
    pub fn head_at(&self, size: u64) -> Result<Head, LogReadError> {
        self.check_size(size)?;
        let root = LogRoot::new(self.subtree_hash(Subtree { start: 0, end: size })?);
        Ok(Head { size, root })
    }

    /// The audit path of a leaf at `size` blocks, leaf to root.
    pub fn inclusion(&self, leaf_index: u64, size: u64) -> Result<Vec<Digest>, LogReadError> {
        self.check_size(size)?;
        self.subtree_hashes(&inclusion_subtrees(leaf_index, size)?)
    }

    /// The proof that the log at `new_size` begins with all of the log at `old_size`, at least 1.
    pub fn consistency(&self, old_size: u64, new_size: u64) -> Result<Vec<Digest>, LogReadError> {
        self.check_size(new_size)?;
        self.subtree_hashes(&consistency_subtrees(old_size, new_size)?)
    }

    /// The multiproof of strictly ascending leaves at `size` blocks. The caller bounds their number.
    pub fn multiproof(&self, leaves: &[u64], size: u64) -> Result<Vec<Digest>, LogReadError> {
        self.check_size(size)?;
        self.subtree_hashes(&multiproof_subtrees(leaves, size)?)
    }

    /// The inclusion proof of a leaf told by what it does not share with that of another leaf, at `size` blocks.
    pub fn delta(&self, reference_index: u64, leaf_index: u64, size: u64) -> Result<DeltaProof, LogReadError> {
        self.check_size(size)?;
        let subtrees = inclusion_subtrees(leaf_index, size)?;
        let shared = delta_shared_len(reference_index, leaf_index, size).ok_or(LogError::IndexOutOfRange)?;
        let leading = subtrees.get(..subtrees.len().saturating_sub(shared)).unwrap_or_default();
        Ok(DeltaProof { leading: self.subtree_hashes(leading)?, shared })
    }

    fn read_size(&self) -> Result<u64, LogReadError> {
        let size = self.backend.totals()?.blocks;
        self.known_size.set(size);
        Ok(size)
    }

    /// Refuses sizes that no log has or this one has not reached. A proof beyond its end need not touch a missing node.
    fn check_size(&self, size: u64) -> Result<(), LogReadError> {
        match size {
            0 => return Err(LogError::EmptyLog.into()),
            _ if size > LEAVES_MAX => return Err(LogError::SizeTooLarge.into()),
            _ if size <= self.known_size.get() => return Ok(()),
            _ => {}
        }
        let log_size = self.read_size()?;
        if size <= log_size { Ok(()) } else { Err(LogReadError::SizeBeyondLog { size, log_size }) }
    }

    fn subtree_hash(&self, subtree: Subtree) -> Result<Digest, LogReadError> {
        let mut hashes = self.subtree_hashes(&[subtree])?;
        Ok(hashes.pop().ok_or(LogError::EmptyLog)?)
    }

    /// Hashes of subtrees within the log's size: each a stored node, or folded from its complete parts, the smallest first.
    fn subtree_hashes(&self, subtrees: &[Subtree]) -> Result<Vec<Digest>, LogReadError> {
        let mut parts = read_parts(self.backend, subtrees)?.into_iter();
        let fold = |subtree: &Subtree| {
            let mut parts: Vec<Digest> = parts.by_ref().take(subtree.complete_parts().count()).collect();
            // No subtree of a proof is empty, and any other has a part.
            let last = parts.pop().ok_or(LogError::EmptyLog)?;
            Ok(parts.iter().rev().fold(last, |right, left| hash_node::<SoftwareHasher>(left, &right)))
        };
        subtrees.iter().map(fold).collect()
    }
}

/// The stored nodes that make up subtrees, left to right: one for a complete subtree, at most 48 for any.
fn read_parts(backend: &dyn DagBackend, subtrees: &[Subtree]) -> Result<Vec<Digest>, LogReadError> {
    let mut places = Vec::new();
    for part in subtrees.iter().flat_map(|subtree| subtree.complete_parts()) {
        let level = part.len().ilog2();
        // Each subtree of a log starts at a multiple of its length rounded up to a power of two, hence so does each part.
        let index = part.start >> level;
        debug_assert_eq!(part.as_complete(), Some((level, index)));
        places.push((level, index));
    }
    let nodes = backend.log_nodes(&places)?;
    let found = places.into_iter().zip(nodes);
    found.map(|((level, index), node)| node.ok_or(LogReadError::NodeMissing { level, index })).collect()
}

/// Why a block cannot be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogAppendError {
    /// A block that was made for another place in the log.
    #[error("the block was made for place {leaf_index} of the log, which goes on at {size}")]
    Misplaced {
        /// The block's place.
        leaf_index: u64,
        /// The place that is next.
        size: u64,
    },
    /// The log has 2^48 blocks.
    #[error("the log is full")]
    Full,
}

/// Computes the nodes that new blocks complete, and the head that they lead to, without reading the log again.
///
/// It runs ahead of the backend: what it was given counts as appended whether or not it is ever committed. After a commit
/// that failed, resume anew.
#[derive(Clone, Debug)]
pub struct LogAppender {
    accumulator: Accumulator<SoftwareHasher>,
}

impl LogAppender {
    /// Goes on where the backend's log ends.
    pub fn resume(backend: &dyn DagBackend) -> Result<Self, LogReadError> {
        Self::resume_at(backend, backend.totals()?.blocks)
    }

    /// Goes on from an earlier size of the backend's log.
    pub fn resume_at(backend: &dyn DagBackend, size: u64) -> Result<Self, LogReadError> {
        if size > LEAVES_MAX {
            return Err(LogError::SizeTooLarge.into());
        }
        let peaks = read_parts(backend, &[Subtree { start: 0, end: size }])?;
        let accumulator = Accumulator::resume(size, peaks).ok_or(LogError::SizeTooLarge)?;
        Ok(Self { accumulator })
    }

    /// Number of blocks, the appended ones counted.
    pub fn size(&self) -> u64 {
        self.accumulator.size()
    }

    /// The head, the appended blocks included; `None` while there is no block.
    pub fn head(&self) -> Option<Head> {
        self.accumulator.head()
    }

    /// Appends a block and adds the inner nodes that it completes to `completed`, lowest first. On an error nothing changes.
    pub fn append(&mut self, block: &DagBlock, completed: &mut Vec<LogNode>) -> Result<(), LogAppendError> {
        let size = self.size();
        if size >= LEAVES_MAX {
            return Err(LogAppendError::Full);
        }
        if block.leaf_index() != size {
            return Err(LogAppendError::Misplaced { leaf_index: block.leaf_index(), size });
        }
        self.accumulator.append(&block.block_hash(), |level, index, hash| {
            completed.push(LogNode { level, index, hash: *hash });
        });
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
