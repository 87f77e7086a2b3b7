//! The reader against RFC 9162's recursive definition, at every size up to 70; the appender against the reader.

#![allow(clippy::unwrap_used)]

use super::{testing::TestLog, *};
use pakit_primitives::{
    BlockHash,
    log::{verify_consistency, verify_delta, verify_inclusion, verify_multiproof},
};
use proptest::prelude::*;
use std::sync::atomic::Ordering;

const SIZE_MAX: u64 = 70;

/// MTH of RFC 9162, section 2.1.1, over leaf hashes.
fn naive_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            hash_node::<SoftwareHasher>(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_head(log: &TestLog, size: u64) -> Head {
    Head { size, root: LogRoot::new(naive_root(&log.leaves()[..size as usize])) }
}

#[test]
fn the_worked_example_has_its_published_head() {
    let log = TestLog::grown(5);
    let head = LogReader::new(&log).head().unwrap().unwrap();
    assert_eq!(head.root.to_string(), "0x048c6615b99ce1ad65a0581bf1204567068606817077d9886371185736f61298");
    assert_eq!(
        log.blocks[4].block_hash().to_string(),
        "0xaea709b39d72917ab4f528a2a502db399dce33abbd2207cc3f3d639af68765e0"
    );
}

#[test]
fn an_empty_log_has_no_head() {
    let log = TestLog::default();
    assert_eq!(LogReader::new(&log).head().unwrap(), None);
    assert_eq!(LogAppender::resume(&log).unwrap().head(), None);
}

#[test]
fn proofs_of_every_leaf_and_size_verify_against_heads_defined_recursively() {
    let log = TestLog::grown(SIZE_MAX);
    let reader = LogReader::new(&log);
    for size in 1..=SIZE_MAX {
        let head = naive_head(&log, size);
        assert_eq!(reader.head_at(size).unwrap(), head);
        for leaf_index in 0..size {
            let path = reader.inclusion(leaf_index, size).unwrap();
            let block_hash = log.blocks[leaf_index as usize].block_hash();
            verify_inclusion::<SoftwareHasher>(&head, leaf_index, &block_hash, &path).unwrap();
        }
        for old_size in 1..=size {
            let path = reader.consistency(old_size, size).unwrap();
            verify_consistency::<SoftwareHasher>(&naive_head(&log, old_size), &head, &path).unwrap();
        }
    }
}

#[test]
fn a_log_that_went_on_gives_the_same_proofs_at_its_earlier_sizes() {
    let whole = TestLog::grown(SIZE_MAX);
    for size in 1..=SIZE_MAX {
        let cut = whole.cut(size);
        let (now, then) = (LogReader::new(&whole), LogReader::new(&cut));
        assert_eq!(now.head_at(size).unwrap(), then.head().unwrap().unwrap());
        assert_eq!(now.inclusion(size / 2, size).unwrap(), then.inclusion(size / 2, size).unwrap());
    }
}

#[test]
fn a_proof_costs_at_most_two_reads_for_each_level() {
    let log = TestLog::grown(1000);
    let reader = LogReader::new(&log);
    for size in [1u64, 2, 3, 511, 512, 513, 999, 1000] {
        let levels = u64::BITS - size.leading_zeros();
        for leaf_index in [0, size / 2, size - 1] {
            log.node_reads.store(0, Ordering::Relaxed);
            reader.inclusion(leaf_index, size).unwrap();
            assert!(log.node_reads.load(Ordering::Relaxed) <= 2 * levels as usize, "leaf {leaf_index} at {size}");
        }
    }
    log.node_reads.store(0, Ordering::Relaxed);
    assert!(matches!(reader.inclusion(1, u64::MAX), Err(LogReadError::NoSuchProof(LogError::SizeTooLarge))));
    assert!(matches!(reader.inclusion(4, 4), Err(LogReadError::NoSuchProof(LogError::IndexOutOfRange))));
    assert_eq!(log.node_reads.load(Ordering::Relaxed), 0, "what cannot be proved is refused before it is read");
}

#[test]
fn sizes_and_leaves_that_are_not_there_are_refused_by_name() {
    let log = TestLog::grown(4);
    let reader = LogReader::new(&log);
    let beyond = |result: Result<Vec<Digest>, LogReadError>| {
        matches!(result, Err(LogReadError::SizeBeyondLog { size: 5, log_size: 4 }))
    };
    // Every hash of this path is stored, for the leaf that is missing is the one to be proved.
    assert!(beyond(reader.inclusion(4, 5)));
    assert!(beyond(reader.consistency(4, 5)));
    assert!(beyond(reader.consistency(5, 5)));
    assert!(beyond(reader.multiproof(&[4], 5)));
    assert!(matches!(reader.head_at(5), Err(LogReadError::SizeBeyondLog { size: 5, log_size: 4 })));
    assert!(matches!(reader.head_at(0), Err(LogReadError::NoSuchProof(LogError::EmptyLog))));
    assert!(matches!(reader.inclusion(0, 0), Err(LogReadError::NoSuchProof(LogError::EmptyLog))));
    assert!(matches!(reader.consistency(0, 4), Err(LogReadError::NoSuchProof(LogError::EmptyLog))));
    assert!(matches!(reader.consistency(4, 3), Err(LogReadError::NoSuchProof(LogError::SizeShrinks))));
    assert!(matches!(reader.multiproof(&[], 4), Err(LogReadError::NoSuchProof(LogError::NoLeaves))));
    assert!(matches!(reader.multiproof(&[2, 1], 4), Err(LogReadError::NoSuchProof(LogError::LeavesNotAscending))));
}

#[test]
fn a_reader_sees_a_log_that_grew_after_it_looked() {
    let mut log = TestLog::grown(3);
    let later = TestLog::grown(5);
    assert_eq!(LogReader::new(&log).head().unwrap().unwrap().size, 3);
    log.blocks = later.blocks.clone();
    log.nodes = later.nodes.clone();
    let reader = LogReader::new(&log);
    assert_eq!(reader.head_at(2).unwrap().size, 2);
    assert_eq!(reader.head_at(5).unwrap(), naive_head(&later, 5));
}

#[test]
fn a_missing_node_is_named_as_damage() {
    let mut log = TestLog::grown(7);
    log.nodes.remove(&(1, 2));
    let reader = LogReader::new(&log);
    let is_named = |result: Result<Vec<Digest>, LogReadError>| {
        matches!(result, Err(LogReadError::NodeMissing { level: 1, index: 2 }))
    };
    assert!(is_named(reader.inclusion(0, 7)));
    assert!(is_named(reader.inclusion(6, 7)));
    assert!(reader.inclusion(4, 7).is_ok(), "a proof that does not need the node");
    assert!(matches!(reader.head(), Err(LogReadError::NodeMissing { level: 1, index: 2 })));
    assert!(matches!(LogAppender::resume(&log), Err(LogReadError::NodeMissing { level: 1, index: 2 })));
}

#[test]
fn an_appender_resumed_at_any_size_completes_the_same_nodes() {
    let whole = TestLog::grown(SIZE_MAX);
    for size in 0..SIZE_MAX {
        let mut log = whole.cut(size);
        let mut appender = LogAppender::resume(&log).unwrap();
        assert_eq!(appender.head(), LogReader::new(&log).head().unwrap());
        let mut completed = Vec::new();
        for block in &whole.blocks[size as usize..] {
            completed.clear();
            appender.append(block, &mut completed).unwrap();
            log.keep(block.clone(), &completed);
        }
        assert_eq!(log.nodes, whole.nodes);
        assert_eq!(appender.head().unwrap(), naive_head(&whole, SIZE_MAX));
    }
}

#[test]
fn every_complete_subtree_is_named_exactly_once() {
    let log = TestLog::grown(SIZE_MAX);
    let mut expected = Vec::new();
    for level in 0..7u32 {
        expected.extend((0..SIZE_MAX >> level).map(|index| (level, index)));
    }
    assert_eq!(log.nodes.keys().copied().collect::<Vec<_>>(), expected);
}

#[test]
fn a_block_made_for_another_place_is_refused_and_changes_nothing() {
    let whole = TestLog::grown(6);
    let mut appender = LogAppender::resume(&whole.cut(4)).unwrap();
    let mut completed = Vec::new();
    for (misplaced, leaf_index) in [(&whole.blocks[3], 3), (&whole.blocks[5], 5)] {
        let refused = appender.append(misplaced, &mut completed);
        assert_eq!(refused, Err(LogAppendError::Misplaced { leaf_index, size: 4 }));
    }
    assert!(completed.is_empty());
    assert_eq!(appender.head().unwrap(), naive_head(&whole, 4));
    appender.append(&whole.blocks[4], &mut completed).unwrap();
    assert_eq!(appender.head().unwrap(), naive_head(&whole, 5));
}

proptest! {
    #[test]
    fn delta_proofs_of_any_two_leaves_verify(size in 1..=SIZE_MAX, a in 0..SIZE_MAX, b in 0..SIZE_MAX) {
        let log = TestLog::grown(size);
        let (reference, leaf) = (a % size, b % size);
        let reader = LogReader::new(&log);
        let proof = reader.delta(reference, leaf, size).unwrap();
        let path = reader.inclusion(reference, size).unwrap();
        let (head, hash) = (naive_head(&log, size), log.blocks[leaf as usize].block_hash());
        let verified = verify_delta::<SoftwareHasher>(&head, reference, &path, leaf, &hash, &proof);
        prop_assert_eq!(verified, Ok(()));
        prop_assert_eq!(proof.leading.len() + proof.shared, reader.inclusion(leaf, size).unwrap().len());
    }

    #[test]
    fn multiproofs_of_any_leaves_verify(
        size in 1..=SIZE_MAX,
        wanted in proptest::collection::btree_set(0..SIZE_MAX, 1..12),
    ) {
        let log = TestLog::grown(size);
        let leaves: Vec<u64> = wanted.into_iter().filter(|leaf| *leaf < size).collect();
        prop_assume!(!leaves.is_empty());
        let proof = LogReader::new(&log).multiproof(&leaves, size).unwrap();
        let named: Vec<(u64, BlockHash)> =
            leaves.iter().map(|leaf| (*leaf, log.blocks[*leaf as usize].block_hash())).collect();
        prop_assert_eq!(verify_multiproof::<SoftwareHasher>(&naive_head(&log, size), &named, &proof), Ok(()));
    }
}
