//! A log's root kept up to date while leaves are appended, in O(log n) memory.

use super::{Head, hash_node};
use crate::{
    hasher::{Digest, Hasher},
    header::LEAVES_MAX,
    id::{BlockHash, LogRoot},
};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// The complete subtrees along the right edge of a log, which are all that appending and the root need.
#[derive(Debug)]
pub struct Accumulator<H> {
    size: u64,
    /// Roots of the complete subtrees for the 1 bits of `size`, the largest first.
    peaks: Vec<Digest>,
    hasher: PhantomData<H>,
}

impl<H> Clone for Accumulator<H> {
    fn clone(&self) -> Self {
        Self { size: self.size, peaks: self.peaks.clone(), hasher: PhantomData }
    }
}

impl<H: Hasher> Default for Accumulator<H> {
    fn default() -> Self {
        Self { size: 0, peaks: Vec::new(), hasher: PhantomData }
    }
}

impl<H: Hasher> Accumulator<H> {
    /// Goes on from a log of `size` leaves whose complete subtrees are `peaks`, the largest first; `None` if their number
    /// is not that of the 1 bits of `size`, or if no log has that size. Compare the head with the one you expect: peaks
    /// that were damaged give another root.
    pub fn resume(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        // Without the bound, a damaged size of 2^64 - 1 would overflow with the next leaf.
        (size <= LEAVES_MAX && peaks.len() == size.count_ones() as usize).then_some(Self {
            size,
            peaks,
            hasher: PhantomData,
        })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the complete subtrees for the 1 bits of the size, the largest first: what [`Self::resume`] goes on from.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Appends a leaf. `completed` is told each inner node that this completes, as (level, index, hash), lowest first.
    pub fn append(&mut self, block_hash: &BlockHash, mut completed: impl FnMut(u32, u64, &Digest)) {
        let mut node = block_hash.to_bytes();
        // Each trailing 1 bit of the old size is a peak that the new leaf completes to a larger one.
        for level in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            node = hash_node::<H>(&left, &node);
            completed(level + 1, self.size >> (level + 1), &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root; `None` for a log without leaves.
    pub fn root(&self) -> Option<LogRoot> {
        let (last, larger) = self.peaks.split_last()?;
        Some(LogRoot::new(larger.iter().rev().fold(*last, |node, left| hash_node::<H>(left, &node))))
    }

    /// Size and root; `None` for a log without leaves.
    pub fn head(&self) -> Option<Head> {
        self.root().map(|root| Head { size: self.size, root })
    }
}
