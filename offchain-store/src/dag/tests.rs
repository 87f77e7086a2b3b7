#![allow(clippy::unwrap_used)]
use super::{
    testing::{Altered, Repository},
    *,
};
use crate::parents::ParentSelectionStrategy;
use pakit_primitives::{SoftwareHasher, verify_lineage_to_genesis};

/// ```text
/// 0 <- 1 <- 2, 3, 7 (each also on what is left of it)   4 on 2 and 3   5 on 1 and 4   6 on 3 and 4
/// ```
const SMALL: [&[u64]; 8] = [&[], &[0], &[0, 1], &[0, 1], &[2, 3], &[1, 4], &[3, 4], &[2, 3]];

const NONE: [u64; 0] = [];

fn dag(repository: &Repository) -> MerkleDag {
    MerkleDag::new(repository.backend.clone())
}

fn leaves(blocks: &[DagBlock]) -> Vec<u64> {
    blocks.iter().map(DagBlock::leaf_index).collect()
}

fn within(steps_max: u32, blocks_max: usize) -> WalkLimits {
    WalkLimits { steps_max, blocks_max }
}

#[test]
fn blocks_are_found_by_hash_and_place_and_unknown_ones_are_named() {
    let repository = Repository::of(&SMALL);
    let dag = dag(&repository);
    assert_eq!(dag.block(&repository.hash(3)).unwrap(), dag.at(3).unwrap());
    let unknown = BlockHash::new([7; 32]);
    assert!(matches!(dag.block(&unknown), Err(DagError::UnknownBlock(hash)) if hash == unknown));
    assert!(matches!(dag.ancestors(&unknown, WalkLimits::default()), Err(DagError::UnknownBlock(_))));
    assert!(matches!(dag.common_ancestors(&repository.hash(1), &unknown, 10), Err(DagError::UnknownBlock(_))));
    assert!(matches!(dag.lineage_to_genesis(&unknown), Err(DagError::UnknownBlock(_))));
    assert!(matches!(dag.at(8), Err(DagError::UnknownLeaf(8))));
}

#[test]
fn parents_children_and_frontier_are_direct_and_in_pages() {
    let repository = Repository::of(&SMALL);
    let dag = dag(&repository);
    assert_eq!(leaves(&dag.parents(&repository.hash(0)).unwrap()), NONE);
    assert_eq!(leaves(&dag.parents(&repository.hash(5)).unwrap()), [1, 4]);
    assert_eq!(leaves(&dag.children(&repository.hash(3), None, 10).unwrap()), [4, 6, 7]);
    assert_eq!(leaves(&dag.children(&repository.hash(3), None, 2).unwrap()), [4, 6]);
    assert_eq!(leaves(&dag.children(&repository.hash(3), Some(6), 2).unwrap()), [7]);
    assert_eq!(leaves(&dag.frontier(None, 10).unwrap()), [5, 6, 7]);
    assert_eq!(leaves(&dag.frontier(Some(5), 1).unwrap()), [6]);
}

#[test]
fn walks_give_near_blocks_first_and_each_once() {
    let repository = Repository::of(&SMALL);
    let dag = dag(&repository);
    let ancestors = |leaf_index, limits| dag.ancestors(&repository.hash(leaf_index), limits).unwrap();
    let descendants = |leaf_index, limits| dag.descendants(&repository.hash(leaf_index), limits).unwrap();
    assert_eq!(leaves(&ancestors(6, WalkLimits::default()).blocks), [3, 4, 0, 1, 2]);
    assert_eq!(leaves(&ancestors(0, WalkLimits::default()).blocks), NONE);
    assert_eq!(leaves(&descendants(1, WalkLimits::default()).blocks), [2, 3, 5, 4, 6, 7]);
    assert_eq!(leaves(&descendants(6, WalkLimits::default()).blocks), NONE);
    // A bound on steps is what was asked for; a bound on blocks cuts.
    let near = ancestors(6, within(1, 100));
    assert_eq!((leaves(&near.blocks), near.truncated), (vec![3, 4], false));
    let none = ancestors(6, within(0, 100));
    assert_eq!((leaves(&none.blocks), none.truncated), (vec![], false));
    for blocks_max in 0..8 {
        let walk = ancestors(6, within(u32::MAX, blocks_max));
        assert_eq!((walk.blocks.len(), walk.truncated), (blocks_max.min(5), blocks_max < 5));
        let walk = descendants(1, within(u32::MAX, blocks_max));
        assert_eq!((walk.blocks.len(), walk.truncated), (blocks_max.min(6), blocks_max < 6));
    }
}

#[test]
fn descendants_are_read_over_several_pages() {
    let mut repository = Repository::of(&[&[], &[0]]);
    let count = CHILDREN_PAGE + 5;
    for _ in 0..count {
        repository.add(&[0, 1]);
    }
    let dag = dag(&repository);
    let walk = dag.descendants(&repository.hash(1), WalkLimits::default()).unwrap();
    assert_eq!((walk.blocks.len(), walk.truncated), (count, false));
    let walk = dag.descendants(&repository.hash(1), within(9, count - 1)).unwrap();
    assert_eq!((walk.blocks.len(), walk.truncated), (count - 1, true));
}

#[test]
fn nearest_common_ancestors_are_those_that_no_other_builds_on() {
    let repository = Repository::of(&SMALL);
    let dag = dag(&repository);
    let common = |a, b| {
        let walk = dag.common_ancestors(&repository.hash(a), &repository.hash(b), 100).unwrap();
        assert!(!walk.truncated);
        leaves(&walk.blocks)
    };
    assert_eq!(common(5, 6), [4]);
    assert_eq!(common(2, 3), [1]);
    assert_eq!(common(4, 7), [3, 2]);
    assert_eq!(common(6, 7), [3, 2]);
    assert_eq!(common(5, 5), [5]);
    assert_eq!(common(5, 1), [1]);
    assert_eq!(common(0, 7), [0]);
    // One visit short of the second answer.
    let cut = dag.common_ancestors(&repository.hash(4), &repository.hash(7), 3).unwrap();
    assert_eq!((leaves(&cut.blocks), cut.truncated), (vec![3], true));
    let cut = dag.common_ancestors(&repository.hash(4), &repository.hash(7), 0).unwrap();
    assert_eq!((leaves(&cut.blocks), cut.truncated), (vec![], true));
}

/// Ancestors of each block as sets, and the shortest way to genesis of each, from the headers alone.
fn by_force(repository: &Repository, blocks: u64) -> (Vec<HashSet<u64>>, Vec<usize>) {
    let (mut ancestors, mut hops) = (Vec::<HashSet<u64>>::new(), Vec::<usize>::new());
    for leaf_index in 0..blocks {
        let parents: Vec<usize> =
            repository.block(leaf_index).header().parents.iter().map(|parent| parent.leaf_index as usize).collect();
        let mut all = HashSet::new();
        for parent in &parents {
            all.extend(ancestors[*parent].iter().copied());
            all.insert(*parent as u64);
        }
        hops.push(parents.iter().map(|parent| hops[*parent] + 1).min().unwrap_or(0));
        ancestors.push(all);
    }
    (ancestors, hops)
}

#[test]
fn walks_agree_with_sets_computed_by_force() {
    for (strategy, seed) in [
        (ParentSelectionStrategy::BalancedRandom, 1),
        (ParentSelectionStrategy::WeightedRandom, 2),
        (ParentSelectionStrategy::DepthBalanced, 3),
    ] {
        const BLOCKS: u64 = 90;
        let repository = Repository::grown(strategy, BLOCKS, seed);
        let dag = dag(&repository);
        let (ancestors, hops) = by_force(&repository, BLOCKS);
        let genesis = repository.hash(0);
        for a in 0..BLOCKS {
            let hash = repository.hash(a);
            let found = dag.ancestors(&hash, WalkLimits::default()).unwrap();
            assert_eq!(leaves(&found.blocks).into_iter().collect::<HashSet<_>>(), ancestors[a as usize]);
            assert_eq!(found.blocks.len(), ancestors[a as usize].len());
            let found = dag.descendants(&hash, WalkLimits::default()).unwrap();
            let below: HashSet<u64> = (0..BLOCKS).filter(|b| ancestors[*b as usize].contains(&a)).collect();
            assert_eq!(leaves(&found.blocks).into_iter().collect::<HashSet<_>>(), below);
            let lineage = dag.lineage_to_genesis(&hash).unwrap();
            assert_eq!(lineage.len(), hops[a as usize]);
            let headers: Vec<_> = lineage.iter().map(|block| block.header().to_bytes()).collect();
            verify_lineage_to_genesis::<SoftwareHasher>(repository.block(a).header(), &headers, &genesis).unwrap();
            for b in (a..BLOCKS).step_by(7) {
                let with_itself = |block: u64| ancestors[block as usize].iter().copied().chain([block]);
                let of_b: HashSet<u64> = with_itself(b).collect();
                let common: Vec<u64> = with_itself(a).filter(|block| of_b.contains(block)).collect();
                let is_nearest = |block: &u64| !common.iter().any(|other| ancestors[*other as usize].contains(block));
                let mut nearest: Vec<u64> = common.iter().copied().filter(is_nearest).collect();
                nearest.sort_unstable_by(|a, b| b.cmp(a));
                let found = dag.common_ancestors(&hash, &repository.hash(b), 1_000).unwrap();
                assert_eq!((leaves(&found.blocks), found.truncated), (nearest, false), "{a} and {b}");
            }
        }
    }
}

#[test]
fn a_lineage_has_at_most_64_blocks() {
    // On the two newest, each step goes back two blocks.
    let repository = Repository::grown(ParentSelectionStrategy::RECENT_ONLY_DEFAULT, 130, 0);
    let dag = dag(&repository);
    assert_eq!(dag.lineage_to_genesis(&repository.hash(0)).unwrap(), []);
    assert_eq!(leaves(&dag.lineage_to_genesis(&repository.hash(1)).unwrap()), [0]);
    assert_eq!(leaves(&dag.lineage_to_genesis(&repository.hash(5)).unwrap()), [3, 1, 0]);
    assert_eq!(dag.lineage_to_genesis(&repository.hash(128)).unwrap().len(), LINEAGE_HEADERS_MAX);
    assert!(matches!(dag.lineage_to_genesis(&repository.hash(129)), Err(DagError::LineageTooLong)));
}

#[test]
fn an_edge_that_does_not_fit_its_blocks_is_an_error_and_not_followed() {
    let repository = Repository::of(&SMALL);
    let mut altered = Altered::new(repository.backend.clone());
    // Another block in the place of 3, and one that is gone.
    altered.blocks.insert(3, Some(repository.block(2)));
    altered.blocks.insert(4, None);
    altered.children.insert(2, vec![5]);
    let dag = MerkleDag::new(Arc::new(altered));
    let is_broken = |result: Result<Vec<DagBlock>, DagError>, edge| match result {
        Err(DagError::BrokenEdge { child, parent }) => assert_eq!((child, parent), edge),
        other => panic!("{other:?}"),
    };
    let all = WalkLimits::default();
    is_broken(dag.parents(&repository.hash(7)), (7, 3));
    is_broken(dag.parents(&repository.hash(5)), (5, 4));
    is_broken(dag.ancestors(&repository.hash(6), all).map(|walk| walk.blocks), (6, 3));
    is_broken(dag.children(&repository.hash(2), None, 9), (5, 2));
    is_broken(dag.descendants(&repository.hash(2), all).map(|walk| walk.blocks), (5, 2));
    // Where a way led is told by the block that it led to.
    is_broken(dag.lineage_to_genesis(&repository.hash(6)), (6, 2));
}
