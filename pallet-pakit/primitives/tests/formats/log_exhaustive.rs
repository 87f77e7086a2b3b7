//! Every size up to 257, every leaf, every pair of sizes: round trips and single changes.

use crate::common::{
    CountingHasher, NaiveLog, Range, counting, mutations, path_ranges, ranges, subproof_ranges, with_bit_flipped,
};
use pakit_primitives::{
    BlockHash, Head, LogError, LogRoot, SoftwareHasher,
    hasher::Digest,
    header::LEAVES_MAX,
    log::{
        Accumulator, CONSISTENCY_PATH_MAX, INCLUSION_PATH_MAX, consistency_path_len, consistency_subtrees,
        inclusion_path_len, inclusion_subtrees,
    },
};
use std::collections::HashMap;

/// One more than a complete tree of height 8, so that every kind of right edge occurs.
const SIZE_MAX: u64 = 257;

fn verify_inclusion(head: &Head, leaf: u64, block: &BlockHash, path: &[Digest]) -> Result<(), LogError> {
    pakit_primitives::verify_inclusion::<SoftwareHasher>(head, leaf, block, path)
}

fn verify_consistency(old: &Head, new: &Head, path: &[Digest]) -> Result<(), LogError> {
    pakit_primitives::verify_consistency::<SoftwareHasher>(old, new, path)
}

#[test]
fn the_accumulator_agrees_with_the_definition_and_tells_each_complete_node_once() {
    let log = NaiveLog::new(SIZE_MAX);
    let mut grown = Accumulator::<SoftwareHasher>::default();
    assert_eq!((grown.size(), grown.root()), (0, None));
    let mut nodes = HashMap::new();
    for index in 0..SIZE_MAX {
        let size = index + 1;
        let mut previous_level = 0;
        grown.append(&log.block(index), |level, place, hash| {
            assert_eq!(level, previous_level + 1, "lowest first");
            previous_level = level;
            let (low, high) = (place << level, (place + 1) << level);
            assert_eq!(high, size, "completed by the last leaf");
            assert_eq!(*hash, log.root_of((low, high)));
            assert!(nodes.insert((level, place), *hash).is_none(), "told twice");
        });
        assert_eq!(grown.head(), Some(log.head(size)));

        // What a store needs to go on: the complete parts of the log, looked up.
        let peaks = pakit_primitives::log::Subtree { start: 0, end: size }
            .complete_parts()
            .map(|part| match part.as_complete().unwrap() {
                (0, place) => log.leaf(place),
                node => nodes[&node],
            })
            .collect::<Vec<_>>();
        let resumed = Accumulator::<SoftwareHasher>::resume(size, peaks.clone()).unwrap();
        assert_eq!(resumed.head(), grown.head());
        let mut next = resumed.clone();
        next.append(&BlockHash::new([9; 32]), |_, _, _| {});
        let mut expected = grown.clone();
        expected.append(&BlockHash::new([9; 32]), |_, _, _| {});
        assert_eq!(next.head(), expected.head());
        assert!(Accumulator::<SoftwareHasher>::resume(size, [peaks, vec![[0; 32]]].concat()).is_none());
        assert!(Accumulator::<SoftwareHasher>::resume(size, Vec::new()).is_none());
    }
    let complete_nodes: u64 = (1..=8).map(|level| SIZE_MAX >> level).sum();
    assert_eq!(nodes.len() as u64, complete_nodes);
}

#[test]
fn an_accumulator_of_an_impossible_size_is_not_resumed() {
    assert!(Accumulator::<SoftwareHasher>::resume(0, Vec::new()).is_some());
    assert!(Accumulator::<SoftwareHasher>::resume(LEAVES_MAX, vec![[0; 32]]).is_some());
    assert!(Accumulator::<SoftwareHasher>::resume(LEAVES_MAX + 1, vec![[0; 32]; 2]).is_none());
    assert!(Accumulator::<SoftwareHasher>::resume(u64::MAX, vec![[0; 32]; 64]).is_none());
}

#[test]
fn every_leaf_of_every_size_is_proved_by_the_path_that_the_rfc_defines() {
    let log = NaiveLog::new(SIZE_MAX);
    for size in 1..=SIZE_MAX {
        let head = log.head(size);
        for leaf in 0..size {
            let defined = path_ranges(leaf, (0, size));
            assert_eq!(ranges(&inclusion_subtrees(leaf, size).unwrap()), defined, "leaf {leaf} of {size}");
            assert_eq!(inclusion_path_len(leaf, size), Some(defined.len()));
            assert_eq!(verify_inclusion(&head, leaf, &log.block(leaf), &log.hashes(&defined)), Ok(()));
        }
        assert_eq!(inclusion_path_len(size, size), None);
        assert_eq!(inclusion_subtrees(size, size), Err(LogError::IndexOutOfRange));
    }
}

#[test]
fn every_log_is_consistent_with_every_later_one_by_the_path_that_the_rfc_defines() {
    let log = NaiveLog::new(SIZE_MAX);
    for new in 1..=SIZE_MAX {
        for old in 1..=new {
            let defined = subproof_ranges(old, (0, new), true);
            assert_eq!(ranges(&consistency_subtrees(old, new).unwrap()), defined, "{old} to {new}");
            assert_eq!(consistency_path_len(old, new), Some(defined.len()));
            assert_eq!(verify_consistency(&log.head(old), &log.head(new), &log.hashes(&defined)), Ok(()));
        }
        assert_eq!(consistency_path_len(new + 1, new), None);
        assert_eq!(consistency_path_len(0, new), None);
        assert_eq!(consistency_subtrees(new + 1, new), Err(LogError::SizeShrinks));
        assert_eq!(consistency_subtrees(0, new), Err(LogError::EmptyLog));
    }
}

/// On which sides the siblings of a leaf stand: all that a size means to the verifier of one path.
fn sides(leaf: u64, size: u64) -> Vec<bool> {
    path_ranges(leaf, (0, size)).iter().map(|(low, _)| *low < leaf).collect()
}

#[test]
fn an_inclusion_proof_with_one_thing_changed_is_refused() {
    let log = NaiveLog::new(SIZE_MAX);
    for size in 1..=SIZE_MAX {
        let head = log.head(size);
        for leaf in 0..size {
            let (block, path) = (log.block(leaf), log.inclusion(leaf, size));
            let turn = (size * 31 + leaf) as usize;
            for (what, changed) in mutations(&path, turn) {
                let error = verify_inclusion(&head, leaf, &block, &changed).unwrap_err();
                if changed.len() == path.len() {
                    assert_eq!(error, LogError::RootMismatch, "{what}: leaf {leaf} of {size}");
                } else {
                    let (expected, actual) = (path.len(), changed.len());
                    assert_eq!(error, LogError::WrongPathLength { expected, actual }, "{what}: leaf {leaf} of {size}");
                }
            }
            let other_block = BlockHash::new(with_bit_flipped(block.as_bytes(), turn));
            assert_eq!(verify_inclusion(&head, leaf, &other_block, &path), Err(LogError::RootMismatch));
            let root = LogRoot::new(with_bit_flipped(head.root.as_bytes(), turn));
            assert_eq!(verify_inclusion(&Head { root, ..head }, leaf, &block, &path), Err(LogError::RootMismatch));
            for other in [leaf ^ 1, leaf + 1, leaf.wrapping_sub(1), leaf ^ 64, size - 1 - leaf, size, u64::MAX] {
                if other != leaf {
                    assert!(verify_inclusion(&head, other, &block, &path).is_err(), "leaf {leaf} as {other}");
                }
            }
            // Another size is noticed unless it puts the leaf's siblings on the very same sides. That some do is why a
            // size is trusted only together with its root.
            for other in [size - 1, size + 1, size + 2, 2 * size, size ^ 1, size.next_power_of_two()] {
                let same_shape = other > leaf && sides(leaf, other) == sides(leaf, size);
                let accepted = verify_inclusion(&Head { size: other, ..head }, leaf, &block, &path).is_ok();
                assert_eq!(accepted, same_shape, "leaf {leaf} of {size} as of {other}");
            }
        }
    }
}

/// What the two sizes mean to the verifier of a consistency proof: for each hash whether it begins the walk, stands on the
/// left or stands on the right.
fn consistency_shape(old: u64, new: u64) -> Vec<(bool, bool)> {
    let ranges: Vec<Range> = subproof_ranges(old, (0, new), true);
    let mut starts = !old.is_power_of_two() && old != new;
    ranges.iter().map(|(low, _)| (std::mem::take(&mut starts), *low < old)).collect()
}

#[test]
fn a_consistency_proof_with_one_thing_changed_is_refused() {
    let log = NaiveLog::new(SIZE_MAX);
    for new in 1..=SIZE_MAX {
        let new_head = log.head(new);
        for old in 1..=new {
            let (old_head, path) = (log.head(old), log.consistency(old, new));
            let turn = (new * 31 + old) as usize;
            for (what, changed) in mutations(&path, turn) {
                let error = verify_consistency(&old_head, &new_head, &changed).unwrap_err();
                if changed.len() == path.len() {
                    assert!(
                        matches!(error, LogError::NotAppendOnly | LogError::NewRootMismatch),
                        "{what}: {old} to {new}: {error}"
                    );
                } else {
                    let (expected, actual) = (path.len(), changed.len());
                    assert_eq!(error, LogError::WrongPathLength { expected, actual }, "{what}: {old} to {new}");
                }
            }
            let other_old = Head { root: LogRoot::new(with_bit_flipped(old_head.root.as_bytes(), turn)), ..old_head };
            // Where the old root is the seed, a wrong one leads to another new root.
            let expected =
                if old.is_power_of_two() && old != new { LogError::NewRootMismatch } else { LogError::NotAppendOnly };
            assert_eq!(verify_consistency(&other_old, &new_head, &path), Err(expected), "{old} to {new}");
            if old != new {
                let root = LogRoot::new(with_bit_flipped(new_head.root.as_bytes(), turn));
                let other_new = Head { root, ..new_head };
                assert_eq!(verify_consistency(&old_head, &other_new, &path), Err(LogError::NewRootMismatch));
                assert_eq!(verify_consistency(&new_head, &old_head, &path), Err(LogError::SizeShrinks));
            }
            for (other_old, other_new) in
                [(old - 1, new), (old + 1, new), (2 * old, new), (old, new - 1), (old, new + 1), (old, 2 * new)]
            {
                let heads = (Head { size: other_old, ..old_head }, Head { size: other_new, ..new_head });
                let accepted = verify_consistency(&heads.0, &heads.1, &path).is_ok();
                let same_shape = other_old >= 1
                    && other_old <= other_new
                    && (other_old == other_new) == (old == new)
                    && consistency_shape(other_old, other_new) == consistency_shape(old, new);
                assert_eq!(accepted, same_shape, "{old} to {new} as {other_old} to {other_new}");
            }
        }
    }
}

#[test]
fn a_rewritten_log_is_not_consistent_with_any_head_that_it_rewrote() {
    // Block 3 is another one; everything before it is the same.
    let (kept, rewritten) = (NaiveLog::new(64), NaiveLog::sparse((0..64).filter(|index| *index != 3).collect()));
    for old in 1..=63 {
        for new in old + 1..=64 {
            let answer = verify_consistency(&kept.head(old), &rewritten.head(new), &rewritten.consistency(old, new));
            assert_eq!(answer.is_ok(), old <= 3, "{old} to {new}");
        }
    }
}

#[test]
fn sizes_and_indices_that_no_log_has_are_refused_before_anything_is_hashed() {
    let head = |size| Head { size, root: LogRoot::new([1; 32]) };
    let block = BlockHash::new([2; 32]);
    let path = vec![[3; 32]; INCLUSION_PATH_MAX + 2];
    let inclusion = |size, leaf, length: usize| {
        let verify =
            || pakit_primitives::verify_inclusion::<CountingHasher>(&head(size), leaf, &block, &path[..length]);
        let (answer, hashes) = counting(verify);
        assert_eq!(hashes, 0, "leaf {leaf} of {size}");
        answer.unwrap_err()
    };
    assert_eq!(inclusion(0, 0, 0), LogError::EmptyLog);
    for size in [LEAVES_MAX + 1, 1 << 63, u64::MAX] {
        assert_eq!(inclusion(size, 0, 48), LogError::SizeTooLarge);
        assert_eq!(inclusion(size, size - 1, 48), LogError::SizeTooLarge);
    }
    for leaf in [5, 6, 1 << 63, u64::MAX] {
        assert_eq!(inclusion(5, leaf, 3), LogError::IndexOutOfRange);
    }
    assert_eq!(inclusion(5, 0, 4), LogError::WrongPathLength { expected: 3, actual: 4 });
    assert_eq!(inclusion(5, 4, 3), LogError::WrongPathLength { expected: 1, actual: 3 });
    assert_eq!(inclusion(LEAVES_MAX, 0, 47), LogError::WrongPathLength { expected: 48, actual: 47 });
    assert_eq!(inclusion(LEAVES_MAX, 0, 49), LogError::WrongPathLength { expected: 48, actual: 49 });

    let consistency = |old, new, length: usize| {
        let verify = || pakit_primitives::verify_consistency::<CountingHasher>(&head(old), &head(new), &path[..length]);
        let (answer, hashes) = counting(verify);
        assert_eq!(hashes, 0, "{old} to {new}");
        answer.unwrap_err()
    };
    assert_eq!(consistency(0, 5, 0), LogError::EmptyLog);
    assert_eq!(consistency(5, 0, 0), LogError::EmptyLog);
    assert_eq!(consistency(5, 1 << 63, 10), LogError::SizeTooLarge);
    assert_eq!(consistency(u64::MAX, u64::MAX, 0), LogError::SizeTooLarge);
    assert_eq!(consistency(6, 5, 0), LogError::SizeShrinks);
    assert_eq!(consistency(3, 5, 3), LogError::WrongPathLength { expected: 4, actual: 3 });
    assert_eq!(consistency(5, 5, 1), LogError::WrongPathLength { expected: 0, actual: 1 });
}

#[test]
fn no_proof_costs_more_hashes_than_its_documentation_says() {
    let block = BlockHash::new([2; 32]);
    let head = |size| Head { size, root: LogRoot::new([1; 32]) };
    let path = vec![[3; 32]; INCLUSION_PATH_MAX];
    let verify = || pakit_primitives::verify_inclusion::<CountingHasher>(&head(LEAVES_MAX), 0, &block, &path);
    assert_eq!(counting(verify), (Err(LogError::RootMismatch), 48));

    let path = vec![[3; 32]; CONSISTENCY_PATH_MAX];
    let (old, new) = (head(LEAVES_MAX - 1), head(LEAVES_MAX));
    assert_eq!(consistency_path_len(old.size, new.size), Some(CONSISTENCY_PATH_MAX));
    let verify = || pakit_primitives::verify_consistency::<CountingHasher>(&old, &new, &path);
    let (answer, hashes) = counting(verify);
    assert_eq!(answer, Err(LogError::NotAppendOnly));
    assert!(hashes <= 96, "{hashes}");
}
