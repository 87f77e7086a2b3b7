//! Logs as large as the format allows, in which all leaves but a few are the same.

use crate::common::{NaiveLog, mutations, path_ranges, ranges, shared_ranges, subproof_ranges};
use pakit_primitives::{
    BlockHash, LogError, SoftwareHasher,
    header::LEAVES_MAX,
    log::{
        Accumulator, DeltaProof, INCLUSION_PATH_MAX, Subtree, consistency_path_len, consistency_subtrees,
        delta_shared_len, inclusion_path_len, inclusion_subtrees, multiproof_len, multiproof_subtrees, verify_delta,
        verify_multiproof,
    },
    verify_consistency, verify_inclusion,
};

const SIZES: [u64; 8] = [
    (1 << 40) + 1,
    (1 << 40) + 12_345,
    (1 << 41) - 1,
    (1 << 47) + (1 << 13) + 5,
    0xaaaa_aaaa_aaab,
    (1 << 48) - 3,
    (1 << 48) - 1,
    1 << 48,
];

/// Leaves at the edges and at the odd corners of a log.
fn corners(size: u64) -> Vec<u64> {
    let largest = 1 << (size - 1).ilog2();
    let mut out = vec![0, 1, 2, size / 3, size / 2, largest - 1, largest, size - 2, size - 1];
    out.retain(|leaf| *leaf < size);
    out.sort_unstable();
    out.dedup();
    out
}

fn log() -> NaiveLog {
    NaiveLog::sparse(SIZES.iter().flat_map(|size| corners(*size)).collect())
}

#[test]
fn leaves_of_the_largest_logs_are_proved_and_changed_proofs_refused() {
    let log = log();
    for size in SIZES {
        let head = log.head(size);
        for leaf in corners(size) {
            let defined = path_ranges(leaf, (0, size));
            assert_eq!(ranges(&inclusion_subtrees(leaf, size).unwrap()), defined);
            assert_eq!(inclusion_path_len(leaf, size), Some(defined.len()));
            assert!(defined.len() <= INCLUSION_PATH_MAX);
            let (block, path) = (log.block(leaf), log.hashes(&defined));
            assert_eq!(verify_inclusion::<SoftwareHasher>(&head, leaf, &block, &path), Ok(()), "{leaf} of {size}");
            for (what, changed) in mutations(&path, leaf as usize) {
                let answer = verify_inclusion::<SoftwareHasher>(&head, leaf, &block, &changed);
                assert!(answer.is_err(), "{what}: {leaf} of {size}");
            }
        }
    }
}

#[test]
fn the_largest_logs_are_consistent_with_earlier_ones() {
    let log = log();
    for new in SIZES {
        let mut earlier: Vec<u64> = corners(new).into_iter().flat_map(|size| [size, size + 1]).collect();
        earlier.extend(SIZES);
        earlier.retain(|old| (1..=new).contains(old));
        for old in earlier {
            let defined = subproof_ranges(old, (0, new), true);
            assert_eq!(ranges(&consistency_subtrees(old, new).unwrap()), defined, "{old} to {new}");
            assert_eq!(consistency_path_len(old, new), Some(defined.len()));
            let (old_head, new_head, path) = (log.head(old), log.head(new), log.hashes(&defined));
            assert_eq!(verify_consistency::<SoftwareHasher>(&old_head, &new_head, &path), Ok(()), "{old} to {new}");
            for (what, changed) in mutations(&path, old as usize) {
                let answer = verify_consistency::<SoftwareHasher>(&old_head, &new_head, &changed);
                assert!(answer.is_err(), "{what}: {old} to {new}");
            }
        }
    }
}

#[test]
fn many_leaves_of_the_largest_logs_are_proved_at_once() {
    let log = log();
    for size in SIZES {
        let wanted = corners(size);
        let subtrees = multiproof_subtrees(&wanted, size).unwrap();
        let proof = log.multiproof(&wanted, size);
        assert_eq!(log.hashes(&ranges(&subtrees)), proof);
        assert_eq!(multiproof_len(&wanted, size), Ok(proof.len()));
        let (head, leaves) = (log.head(size), log.leaves(&wanted));
        assert_eq!(verify_multiproof::<SoftwareHasher>(&head, &leaves, &proof), Ok(()), "{size}");
        for (what, changed) in mutations(&proof, size as usize) {
            assert!(verify_multiproof::<SoftwareHasher>(&head, &leaves, &changed).is_err(), "{what}: {size}");
        }
    }
}

#[test]
fn delta_proofs_of_the_largest_logs_share_exactly_what_the_paths_share() {
    let log = log();
    for size in SIZES {
        let head = log.head(size);
        for reference in corners(size) {
            let reference_path = log.inclusion(reference, size);
            for leaf in corners(size) {
                let shared = shared_ranges(reference, leaf, size);
                assert_eq!(delta_shared_len(reference, leaf, size), Some(shared), "{reference}, {leaf} of {size}");
                let path = log.inclusion(leaf, size);
                let proof = DeltaProof { leading: path[..path.len() - shared].to_vec(), shared };
                let block = log.block(leaf);
                let verify = verify_delta::<SoftwareHasher>(&head, reference, &reference_path, leaf, &block, &proof);
                assert_eq!(verify, Ok(()));
            }
        }
    }
}

#[test]
fn a_log_goes_on_from_the_complete_parts_of_a_very_large_one() {
    let log = log();
    for size in SIZES.into_iter().filter(|size| *size < LEAVES_MAX) {
        let parts: Vec<Subtree> = Subtree { start: 0, end: size }.complete_parts().collect();
        assert!(parts.iter().all(|part| part.as_complete().is_some()));
        let peaks = log.hashes(&ranges(&parts));
        let mut resumed = Accumulator::<SoftwareHasher>::resume(size, peaks).unwrap();
        assert_eq!(resumed.head(), Some(log.head(size)));
        resumed.append(&log.block(size), |level, place, hash| {
            assert_eq!(*hash, log.root_of((place << level, (place + 1) << level)));
        });
        assert_eq!(resumed.head(), Some(log.head(size + 1)));
    }
}

#[test]
fn a_log_larger_than_the_largest_is_refused() {
    let log = log();
    let (head, block) = (log.head(LEAVES_MAX + 1), log.block(0));
    let path = log.inclusion(0, LEAVES_MAX + 1);
    assert_eq!(verify_inclusion::<SoftwareHasher>(&head, 0, &block, &path), Err(LogError::SizeTooLarge));
    let leaves = [(0, BlockHash::new([0; 32]))];
    assert_eq!(verify_multiproof::<SoftwareHasher>(&head, &leaves, &path), Err(LogError::SizeTooLarge));
}
