//! Many leaves at once: multiproofs and delta proofs.

use crate::common::{
    CountingHasher, NaiveLog, counting, multiproof_ranges, mutations, ranges, shared_ranges, with_bit_flipped,
};
use pakit_primitives::{
    BlockHash, Head, LogError, LogRoot, SoftwareHasher,
    hasher::Digest,
    log::{DeltaProof, delta_shared_len, multiproof_len, multiproof_subtrees, verify_delta, verify_multiproof},
};
use proptest::prelude::*;

fn verify(head: &Head, leaves: &[(u64, BlockHash)], proof: &[Digest]) -> Result<(), LogError> {
    verify_multiproof::<SoftwareHasher>(head, leaves, proof)
}

/// Round trip and single changes of one multiproof.
fn prove_and_disprove(log: &NaiveLog, wanted: &[u64], size: u64) {
    let defined = multiproof_ranges(wanted, (0, size));
    assert_eq!(ranges(&multiproof_subtrees(wanted, size).unwrap()), defined, "{wanted:?} of {size}");
    assert_eq!(multiproof_len(wanted, size), Ok(defined.len()));
    let (head, leaves, proof) = (log.head(size), log.leaves(wanted), log.hashes(&defined));
    assert_eq!(verify(&head, &leaves, &proof), Ok(()), "{wanted:?} of {size}");

    for (what, changed) in mutations(&proof, size as usize) {
        let error = verify(&head, &leaves, &changed).unwrap_err();
        if changed.len() == proof.len() {
            assert_eq!(error, LogError::RootMismatch, "{what}: {wanted:?} of {size}");
        } else {
            let (expected, actual) = (proof.len(), changed.len());
            assert_eq!(error, LogError::WrongPathLength { expected, actual }, "{what}: {wanted:?} of {size}");
        }
    }
    for place in 0..leaves.len() {
        let mut other = leaves.clone();
        other[place].1 = BlockHash::new(with_bit_flipped(leaves[place].1.as_bytes(), place));
        assert_eq!(verify(&head, &other, &proof), Err(LogError::RootMismatch));
        let mut moved = leaves.clone();
        moved[place].0 += 1;
        assert!(verify(&head, &moved, &proof).is_err(), "{wanted:?} of {size}, {place} moved");
        let mut dropped = leaves.clone();
        dropped.remove(place);
        assert!(verify(&head, &dropped, &proof).is_err(), "{wanted:?} of {size}, {place} dropped");
        let mut doubled = leaves.clone();
        doubled.insert(place, leaves[place]);
        assert_eq!(verify(&head, &doubled, &proof), Err(LogError::LeavesNotAscending));
    }
    if leaves.len() > 1 {
        let reversed: Vec<_> = leaves.iter().rev().copied().collect();
        assert_eq!(verify(&head, &reversed, &proof), Err(LogError::LeavesNotAscending));
    }
    let root = LogRoot::new(with_bit_flipped(head.root.as_bytes(), size as usize));
    assert_eq!(verify(&Head { root, ..head }, &leaves, &proof), Err(LogError::RootMismatch));
}

#[test]
fn every_set_of_leaves_up_to_size_9_is_proved_and_its_changed_proofs_refused() {
    let log = NaiveLog::new(9);
    for size in 1..=9u64 {
        for set in 1..1u32 << size {
            let wanted: Vec<u64> = (0..size).filter(|leaf| set >> leaf & 1 == 1).collect();
            prove_and_disprove(&log, &wanted, size);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_set_of_leaves_of_a_larger_log_is_proved_and_its_changed_proofs_refused(
        size in 10u64..600,
        picks in prop::collection::btree_set(any::<u64>(), 1..24),
    ) {
        let wanted: std::collections::BTreeSet<u64> = picks.iter().map(|pick| pick % size).collect();
        prove_and_disprove(&NaiveLog::new(size), &wanted.into_iter().collect::<Vec<_>>(), size);
    }
}

#[test]
fn a_set_that_cannot_be_proved_is_refused_before_anything_is_hashed() {
    let leaf = |index| (index, BlockHash::new([1; 32]));
    let refused = |size, leaves: &[(u64, BlockHash)], length: usize| {
        let head = Head { size, root: LogRoot::new([2; 32]) };
        let proof = vec![[3; 32]; length];
        let (answer, hashes) = counting(|| verify_multiproof::<CountingHasher>(&head, leaves, &proof));
        assert_eq!(hashes, 0);
        let indices: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
        let error = answer.unwrap_err();
        if !matches!(error, LogError::WrongPathLength { .. }) {
            assert_eq!(multiproof_len(&indices, size), Err(error));
            assert_eq!(multiproof_subtrees(&indices, size), Err(error));
        }
        error
    };
    assert_eq!(refused(5, &[], 1), LogError::NoLeaves);
    assert_eq!(refused(0, &[], 0), LogError::EmptyLog);
    assert_eq!(refused(0, &[leaf(0)], 0), LogError::EmptyLog);
    assert_eq!(refused(1 << 63, &[leaf(0)], 63), LogError::SizeTooLarge);
    assert_eq!(refused(u64::MAX, &[leaf(0)], 64), LogError::SizeTooLarge);
    assert_eq!(refused(5, &[leaf(1), leaf(5)], 2), LogError::IndexOutOfRange);
    assert_eq!(refused(5, &[leaf(u64::MAX)], 2), LogError::IndexOutOfRange);
    assert_eq!(refused(5, &[leaf(1), leaf(1)], 2), LogError::LeavesNotAscending);
    assert_eq!(refused(5, &[leaf(4), leaf(1)], 2), LogError::LeavesNotAscending);
    assert_eq!(refused(5, &[leaf(1), leaf(4)], 3), LogError::WrongPathLength { expected: 2, actual: 3 });
    assert_eq!(refused(5, &[leaf(1), leaf(4)], 0), LogError::WrongPathLength { expected: 2, actual: 0 });
}

#[test]
fn every_pair_of_leaves_up_to_size_65_shares_what_the_definition_says() {
    let log = NaiveLog::new(65);
    for size in 1..=65 {
        let head = log.head(size);
        let paths: Vec<_> = (0..size).map(|leaf| log.inclusion(leaf, size)).collect();
        for reference in 0..size {
            let reference_path = &paths[reference as usize];
            for leaf in 0..size {
                let verify = |proof: &DeltaProof| {
                    let block = log.block(leaf);
                    verify_delta::<SoftwareHasher>(&head, reference, reference_path, leaf, &block, proof)
                };
                let shared = shared_ranges(reference, leaf, size);
                assert_eq!(delta_shared_len(reference, leaf, size), Some(shared), "{reference}, {leaf} of {size}");
                let own = &paths[leaf as usize];
                let leading = own[..own.len() - shared].to_vec();
                assert_eq!(verify(&DeltaProof { leading: leading.clone(), shared }), Ok(()));

                // The same path told with another count is another proof, and not a valid one.
                if let Some(fewer) = shared.checked_sub(1) {
                    let leading = own[..own.len() - fewer].to_vec();
                    let refused = LogError::WrongSharedCount { expected: shared, actual: fewer };
                    assert_eq!(verify(&DeltaProof { leading, shared: fewer }), Err(refused));
                }
                for actual in [shared + 1, usize::MAX] {
                    let refused = LogError::WrongSharedCount { expected: shared, actual };
                    assert_eq!(verify(&DeltaProof { leading: leading.clone(), shared: actual }), Err(refused));
                }
                if size % 8 == 1 {
                    for (what, changed) in mutations(&leading, (reference + leaf) as usize) {
                        let answer = verify(&DeltaProof { leading: changed, shared });
                        assert!(answer.is_err(), "{what}: {reference}, {leaf} of {size}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_delta_proof_that_cannot_be_one_is_refused_before_anything_is_hashed() {
    let log = NaiveLog::new(8);
    let refused = |size, reference, reference_len: usize, leaf, leading: usize, shared| {
        let head = Head { size, ..log.head(8) };
        let proof = DeltaProof { leading: vec![[0; 32]; leading], shared };
        let (reference_path, block) = (vec![[0; 32]; reference_len], log.block(3));
        let verify = || verify_delta::<CountingHasher>(&head, reference, &reference_path, leaf, &block, &proof);
        let (answer, hashes) = counting(verify);
        assert_eq!(hashes, 0);
        answer.unwrap_err()
    };
    assert_eq!(refused(0, 0, 0, 0, 0, 0), LogError::EmptyLog);
    assert_eq!(refused(1 << 63, 0, 63, 1, 1, 62), LogError::SizeTooLarge);
    assert_eq!(refused(8, 0, 3, 8, 1, 2), LogError::IndexOutOfRange);
    assert_eq!(refused(8, 8, 3, 3, 2, 1), LogError::IndexOutOfRange);
    assert_eq!(refused(8, 0, 2, 3, 2, 1), LogError::WrongPathLength { expected: 3, actual: 2 });
    assert_eq!(refused(8, 0, 3, 3, 1, 1), LogError::WrongPathLength { expected: 2, actual: 1 });
    assert_eq!(refused(8, 0, 3, 3, 3, 1), LogError::WrongPathLength { expected: 2, actual: 3 });
    assert_eq!(refused(8, 0, 3, 3, 2, 2), LogError::WrongSharedCount { expected: 1, actual: 2 });
    assert_eq!(delta_shared_len(0, 8, 8), None);
    assert_eq!(delta_shared_len(8, 0, 8), None);
    assert_eq!(delta_shared_len(0, 0, 0), None);
}

#[test]
fn a_delta_proof_against_a_damaged_reference_is_refused() {
    let log = NaiveLog::new(13);
    let (head, block) = (log.head(13), log.block(6));
    let shared = shared_ranges(2, 6, 13);
    let own = log.inclusion(6, 13);
    let proof = DeltaProof { leading: own[..own.len() - shared].to_vec(), shared };
    let mut reference = log.inclusion(2, 13);
    let last = reference.len() - 1;
    reference[last] = with_bit_flipped(&reference[last], 5);
    let answer = verify_delta::<SoftwareHasher>(&head, 2, &reference, 6, &block, &proof);
    assert_eq!(answer, Err(LogError::RootMismatch));
}
