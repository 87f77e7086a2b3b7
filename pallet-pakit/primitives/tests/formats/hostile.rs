//! Whatever the input, a verifier answers. Most of these inputs are refused; that none of them panics or hangs is the point,
//! and that nothing is accepted by chance.

use crate::common::sample_header;
use pakit_primitives::{
    BlockHash, ContentHash, Head, Header, LogRoot, SoftwareHasher,
    hasher::{Digest, Hasher as _},
    header::LEAVES_MAX,
    heads,
    log::{
        Accumulator, DeltaProof, Subtree, consistency_path_len, consistency_subtrees, delta_shared_len,
        inclusion_path_len, inclusion_subtrees, multiproof_len, multiproof_subtrees, root_from_path, verify_delta,
        verify_multiproof,
    },
    slice::{slice_count, slice_len, verify_slice},
    verify_consistency, verify_inclusion, verify_lineage_to_ancestor, verify_lineage_to_genesis,
};
use proptest::prelude::*;

/// Numbers at the borders of everything, and others.
fn number() -> impl Strategy<Value = u64> {
    let borders = [0, 1, 2, 3, LEAVES_MAX - 1, LEAVES_MAX, LEAVES_MAX + 1, 1 << 53, 1 << 63, u64::MAX - 1, u64::MAX];
    prop_oneof![prop::sample::select(borders.to_vec()), 0u64..70, any::<u64>(), (0u32..64).prop_map(|bit| 1 << bit)]
}

fn hash() -> impl Strategy<Value = Digest> {
    prop_oneof![Just([0; 32]), any::<[u8; 32]>()]
}

fn path() -> impl Strategy<Value = Vec<Digest>> {
    prop::collection::vec(hash(), 0..70)
}

fn head() -> impl Strategy<Value = Head> {
    (number(), hash()).prop_map(|(size, root)| Head { size, root: LogRoot::new(root) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn inclusion_answers(head in head(), leaf in number(), block in hash(), path in path()) {
        let block = BlockHash::new(block);
        let lonely = head.size == 1 && leaf == 0 && path.is_empty() && block.as_root_of_one() == head.root;
        let accepted = verify_inclusion::<SoftwareHasher>(&head, leaf, &block, &path).is_ok();
        prop_assert_eq!(accepted, lonely);
        let length = inclusion_path_len(leaf, head.size);
        prop_assert_eq!(length.is_some(), leaf < head.size);
        if let Ok(subtrees) = inclusion_subtrees(leaf, head.size) {
            prop_assert_eq!(Some(subtrees.len()), length);
        }
        // With the length that fits, the walk is made, whatever the hashes.
        let fitting = vec![[1; 32]; length.unwrap_or(0)];
        let walked = root_from_path::<SoftwareHasher>(head.size, leaf, &block, &fitting).is_ok();
        prop_assert_eq!(walked, leaf < head.size && head.size <= LEAVES_MAX);
    }

    #[test]
    fn consistency_answers(old in head(), new in head(), path in path()) {
        let same = old == new && path.is_empty() && (1..=LEAVES_MAX).contains(&old.size);
        prop_assert_eq!(verify_consistency::<SoftwareHasher>(&old, &new, &path).is_ok(), same);
        let length = consistency_path_len(old.size, new.size);
        if let Ok(subtrees) = consistency_subtrees(old.size, new.size) {
            prop_assert_eq!(Some(subtrees.len()), length);
        }
        let fitting = vec![[1; 32]; length.unwrap_or(0)];
        let answer = verify_consistency::<SoftwareHasher>(&old, &new, &fitting);
        prop_assert!(answer.is_err() || old == new);
    }

    #[test]
    fn multiproofs_answer(
        head in head(),
        leaves in prop::collection::vec((number(), hash()), 0..12),
        sorted in any::<bool>(),
        path in path(),
    ) {
        let mut leaves: Vec<_> = leaves.into_iter().map(|(index, hash)| (index, BlockHash::new(hash))).collect();
        if sorted {
            leaves.sort_by_key(|(index, _)| *index);
            leaves.dedup_by_key(|(index, _)| *index);
        }
        let indices: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
        let length = multiproof_len(&indices, head.size);
        prop_assert_eq!(multiproof_subtrees(&indices, head.size).map(|subtrees| subtrees.len()), length);
        let lonely = head.size == 1 && path.is_empty()
            && matches!(leaves[..], [(0, block)] if block.as_root_of_one() == head.root);
        prop_assert_eq!(verify_multiproof::<SoftwareHasher>(&head, &leaves, &path).is_ok(), lonely);
        let fitting = vec![[1; 32]; length.unwrap_or(0)];
        let _refused_or_not = verify_multiproof::<SoftwareHasher>(&head, &leaves, &fitting);
    }

    #[test]
    fn delta_proofs_answer(
        head in head(),
        reference in number(),
        leaf in number(),
        block in hash(),
        reference_path in path(),
        leading in path(),
        shared in prop_oneof![0usize..60, Just(usize::MAX)],
    ) {
        let block = BlockHash::new(block);
        let verify = |path: &[Digest], proof: &DeltaProof| {
            verify_delta::<SoftwareHasher>(&head, reference, path, leaf, &block, proof).is_ok()
        };
        let only_block = head.size == 1 && block.as_root_of_one() == head.root;
        let arbitrary = DeltaProof { leading, shared };
        prop_assert!(!verify(&reference_path, &arbitrary) || only_block);
        let count = delta_shared_len(reference, leaf, head.size);
        prop_assert_eq!(count.is_some(), reference < head.size && leaf < head.size);
        if let (Some(shared), Some(own), Some(other)) =
            (count, inclusion_path_len(leaf, head.size), inclusion_path_len(reference, head.size))
        {
            prop_assert!(shared <= own && shared <= other);
            prop_assert_eq!(delta_shared_len(leaf, reference, head.size), Some(shared));
            let fitting = DeltaProof { leading: vec![[1; 32]; own - shared], shared };
            prop_assert!(!verify(&vec![[1; 32]; other], &fitting) || only_block);
        }
    }

    #[test]
    fn slices_answer(
        hash in hash(),
        size in number(),
        index in number(),
        bytes in prop::collection::vec(any::<u8>(), 0..1100),
        siblings in path(),
    ) {
        let hash = ContentHash::new(hash);
        prop_assert!(slice_count(size) >= 1);
        prop_assert!(verify_slice::<SoftwareHasher>(&hash, size, index, &bytes, &siblings).is_err());
        let length = slice_len(size, index);
        prop_assert_eq!(length.is_some(), index < slice_count(size));
        if let (Some(length), Some(count)) = (length, inclusion_path_len(index, slice_count(size))) {
            let fitting = (vec![5; length as usize], vec![[1; 32]; count]);
            prop_assert!(verify_slice::<SoftwareHasher>(&hash, size, index, &fitting.0, &fitting.1).is_err());
        }
        SoftwareHasher::blake3_slice(index, &bytes);
    }

    #[test]
    fn lineages_answer(
        ancestors in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..70),
        head in head(),
        path in path(),
    ) {
        let block = sample_header();
        prop_assert!(verify_lineage_to_genesis::<SoftwareHasher>(&block, &ancestors, &BlockHash::default()).is_err());
        prop_assert!(verify_lineage_to_ancestor::<SoftwareHasher>(&block, &ancestors, &head, &path).is_err());
    }

    #[test]
    fn subtrees_answer(start in number(), end in number()) {
        let subtree = Subtree { start, end };
        prop_assert_eq!(subtree.is_empty(), end <= start);
        let parts: Vec<Subtree> = subtree.complete_parts().collect();
        prop_assert!(parts.len() <= 64);
        prop_assert_eq!(parts.iter().map(Subtree::len).sum::<u64>(), subtree.len());
        prop_assert!(parts.iter().all(|part| part.len().is_power_of_two()));
        if let Some((level, place)) = subtree.as_complete() {
            prop_assert_eq!(u128::from(place) << level, u128::from(start));
        }
    }

    #[test]
    fn accumulators_answer(size in number(), peaks in path(), fitting in any::<bool>()) {
        let peaks = if fitting { vec![[1; 32]; size.count_ones() as usize] } else { peaks };
        let matches = peaks.len() == size.count_ones() as usize;
        let resumed = Accumulator::<SoftwareHasher>::resume(size, peaks);
        prop_assert_eq!(resumed.is_some(), matches && size <= LEAVES_MAX);
        if let Some(mut log) = resumed {
            prop_assert_eq!(log.head().is_some(), size > 0);
            log.append(&BlockHash::default(), |_, _, _| {});
            prop_assert_eq!(log.size(), size + 1);
            prop_assert!(log.root().is_some());
        }
    }

    #[test]
    fn kept_heads_answer(anchor in number(), latest in number()) {
        let kept = heads::is_kept(anchor, latest);
        prop_assert!(!kept || (1..=latest).contains(&anchor));
        if let Some(dropped) = heads::dropped_by(latest) {
            prop_assert!(heads::is_kept(dropped, latest - 1) && !heads::is_kept(dropped, latest));
        }
        prop_assert_eq!(heads::kept(latest).any(|listed| listed == anchor), kept);
    }

    #[test]
    fn headers_that_hold_to_no_rule_can_still_be_asked(
        leaf_index in number(),
        depth in any::<u32>(),
        slices_before in number(),
        original_size in number(),
    ) {
        let header = Header { leaf_index, depth, slices_before, original_size, ..sample_header() };
        prop_assert!(header.slices_through() >= header.slices());
        let decoded = Header::decode(&header.to_bytes());
        prop_assert_eq!(decoded.is_ok(), header.validate().is_ok());
    }
}
