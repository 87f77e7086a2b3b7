//! [`Sieve`]: which hashes a run does not hold, learned where asking it in vain has cost as much as learning costs.
//!
//! A million blocks stand in about eight runs of an index, and a hash stands in one of them. Each run that is asked in vain is
//! a page read, checked and decoded; what the run holds at 10 bits an entry answers from memory. It is not saved: a program
//! that asks once should neither load nor make it, and one that goes on asking has it made after as many vain questions as
//! it takes to pay for it.

use fastbloom::BloomFilter;
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Bits of an entry: the best number of bits set for it then answers 0.8 % of the absent hashes with "maybe".
const BITS_PER_ENTRY: usize = 10;
/// Entries learned in the time of one vain question: some ten nanoseconds against a few microseconds.
const ENTRIES_PER_QUESTION: u64 = 64;

/// What one run is known not to hold.
#[derive(Default, Debug)]
pub(super) struct Sieve {
    asked_in_vain: AtomicU64,
    held: OnceLock<BloomFilter>,
}

impl Sieve {
    /// Whether the run may hold the hash that begins with these bytes; `false` is certain.
    pub(super) fn may_hold(&self, prefix: u64) -> bool {
        // The bytes of a hash are evenly spread already.
        self.held.get().is_none_or(|held| held.contains_hash(prefix))
    }

    /// Notes a question in vain to a run of so many entries. True for one of them: the one after which to learn.
    pub(super) fn is_worth_learning(&self, entries: u64) -> bool {
        self.asked_in_vain.fetch_add(1, Ordering::Relaxed) == entries / ENTRIES_PER_QUESTION
    }

    /// From all entries of the run.
    pub(super) fn learn(&self, prefixes: &[u64]) {
        let bits = prefixes.len().saturating_mul(BITS_PER_ENTRY).max(64);
        let mut held = BloomFilter::with_num_bits(bits).expected_items(prefixes.len().max(1));
        for prefix in prefixes {
            held.insert_hash(*prefix);
        }
        // Whoever learned the same meanwhile learned it from the same entries.
        let _ = self.held.set(held);
    }
}

/// A run is the same with and without what is known of it.
impl PartialEq for Sieve {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Sieve {}
