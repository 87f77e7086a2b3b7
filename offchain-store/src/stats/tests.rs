#![allow(clippy::unwrap_used)]
use super::*;
use crate::{backend::WriteBatch, dag::testing::Repository, memory::MemoryBackend, parents::ParentSelectionStrategy};

fn gini_of(values: &[u64]) -> f64 {
    let mut counts = BTreeMap::new();
    values.iter().for_each(|value| *counts.entry(*value).or_default() += 1);
    gini(&counts)
}

/// Half the mean difference of all pairs over the mean: the definition that needs no order.
fn gini_by_pairs(values: &[u64]) -> f64 {
    let (n, sum) = (values.len() as f64, values.iter().sum::<u64>() as f64);
    let differences: u64 = values.iter().flat_map(|a| values.iter().map(|b| a.abs_diff(*b))).sum();
    differences as f64 / (2.0 * n * sum)
}

#[test]
fn gini_agrees_with_the_definition_by_pairs() {
    for values in [&[1, 1, 1][..], &[0, 0, 0, 8], &[3], &[0, 1, 2, 3, 4, 5], &[7, 7, 1, 0, 0, 2, 7]] {
        assert!((gini_of(values) - gini_by_pairs(values)).abs() < 1e-12, "{values:?}");
    }
    assert_eq!(gini_of(&[]), 0.0);
    assert_eq!(gini_of(&[0, 0]), 0.0);
}

#[test]
fn figures_of_an_empty_repository_are_zero_and_no_division_fails() {
    let stats = DagStats::read(&MemoryBackend::new(), WALK_BLOCKS_DEFAULT).unwrap();
    assert_eq!((stats.blocks, stats.walked_blocks, stats.truncated), (0, 0, false));
    assert_eq!((stats.depth_mean, stats.parents_mean, stats.child_count_gini), (0.0, 0.0, 0.0));
    assert_eq!(stats.efficiency.ratio, None);
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["ratio"], serde_json::Value::Null);
    assert_eq!(json["original_bytes"], 0);
}

#[test]
fn figures_follow_their_definitions() {
    let mut repository = Repository::of(&[&[], &[0]]);
    // Two chunks of which one is shared with the next block, and a codec that has no name here.
    repository.add_chunked(&[0, 1], &[&[1; 100], &[2; 50]], WriteBatch::default(), |_| ());
    repository.add_chunked(&[0, 1], &[&[1; 100], &[3; 30]], WriteBatch::default(), |content| content.codec = 0x300);
    let stats = DagStats::read(&*repository.backend, WALK_BLOCKS_DEFAULT).unwrap();
    assert_eq!((stats.blocks, stats.edges, stats.chunks, stats.frontier), (4, 5, 5, 2));
    let efficiency = stats.efficiency;
    // The first two blocks have 9 bytes each.
    assert_eq!((efficiency.original_bytes, efficiency.unique_bytes, efficiency.stored_bytes), (298, 198, 198));
    assert_eq!((efficiency.shared_bytes, efficiency.dedup_saved_bytes), (100, 100));
    assert_eq!(efficiency.compression_saved_bytes, 0);
    assert_eq!(efficiency.ratio, Some(298.0 / 198.0));
    assert_eq!(efficiency.dedup_saved_share, 100.0 / 298.0);
    assert_eq!((stats.depth_max, stats.depth_mean, stats.parents_mean), (2, 1.25, 1.25));
    // Children: 3, 2, 0, 0.
    assert!((stats.child_count_gini - gini_by_pairs(&[3, 2, 0, 0])).abs() < 1e-12);
    let codecs: Vec<_> = stats.blocks_by_codec.iter().map(|count| (count.codec, count.name, count.blocks)).collect();
    assert_eq!(codecs, [(0x55, Some("raw"), 3), (0x300, None, 1)]);
    assert_eq!((stats.walked_blocks, stats.truncated), (4, false));
    assert_eq!((stats.blocks_anchored, stats.blocks_finalized), (None, None));
    assert_eq!(EfficiencyReport::read(&*repository.backend).unwrap(), efficiency);
}

#[test]
fn what_compression_saves_is_told_apart_from_what_is_shared() {
    let totals = Totals {
        original_bytes: 1_000,
        referenced_bytes: 400,
        unique_bytes: 500,
        stored_bytes: 200,
        ..Totals::default()
    };
    let report = EfficiencyReport::from_totals(&totals);
    assert_eq!((report.dedup_saved_bytes, report.compression_saved_bytes, report.shared_bytes), (500, 300, 200));
    assert_eq!((report.dedup_saved_share, report.compression_saved_share, report.ratio), (0.5, 0.6, Some(5.0)));
    // Chunks of a content that is still being written.
    let report = EfficiencyReport::from_totals(&Totals { unique_bytes: 7, stored_bytes: 9, ..Totals::default() });
    assert_eq!((report.dedup_saved_bytes, report.compression_saved_bytes, report.shared_bytes), (0, 0, 0));
}

#[test]
fn a_cut_walk_is_spread_evenly_and_says_so() {
    let repository = Repository::grown(ParentSelectionStrategy::BalancedRandom, 500, 2);
    let whole = DagStats::read(&*repository.backend, 500).unwrap();
    assert!(!whole.truncated);
    let cut = DagStats::read(&*repository.backend, 100).unwrap();
    assert_eq!((cut.walked_blocks, cut.truncated), (100, true));
    assert!((cut.child_count_gini - whole.child_count_gini).abs() < 0.1);
    let places: Vec<u64> = (0..4).map(|step| sampled(step, 4, 10)).collect();
    assert_eq!(places, [0, 2, 5, 7]);
    assert_eq!(sampled(u64::MAX - 2, u64::MAX - 1, u64::MAX), u64::MAX - 2);
}
