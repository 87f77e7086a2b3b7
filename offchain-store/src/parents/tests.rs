#![allow(clippy::unwrap_used)]
use super::*;
use rand::{SeedableRng, rngs::StdRng};
use std::cell::Cell;

const STRATEGIES: [ParentSelectionStrategy; 5] = [
    ParentSelectionStrategy::BalancedRandom,
    ParentSelectionStrategy::RECENT_ONLY_DEFAULT,
    ParentSelectionStrategy::RecentOnly { blocks: 5 },
    ParentSelectionStrategy::DepthBalanced,
    ParentSelectionStrategy::WeightedRandom,
];

/// A log that is only its edges.
#[derive(Default)]
struct Simulation {
    children: Vec<u64>,
    depths: Vec<u32>,
    by_depth: Vec<Vec<u64>>,
    /// Steps on the shortest way to genesis.
    hops: Vec<u32>,
    edges: u64,
    lookups: Cell<u64>,
}

impl Simulation {
    fn grown(strategy: ParentSelectionStrategy, blocks: u64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut simulation = Self::default();
        for _ in 0..blocks {
            let parents = select(strategy, &simulation, &mut rng).unwrap();
            simulation.append(&parents);
        }
        simulation
    }

    fn append(&mut self, parents: &[u64]) {
        let over = |values: &[u32]| parents.iter().map(|parent| values[*parent as usize]).collect::<Vec<_>>();
        let depth = over(&self.depths).into_iter().max().map_or(0, |depth| depth + 1);
        let hops = over(&self.hops).into_iter().min().map_or(0, |hops| hops + 1);
        for parent in parents {
            self.children[*parent as usize] += 1;
        }
        self.by_depth.resize(self.by_depth.len().max(depth as usize + 1), Vec::new());
        self.by_depth[depth as usize].push(self.children.len() as u64);
        self.children.push(0);
        self.depths.push(depth);
        self.hops.push(hops);
        self.edges += parents.len() as u64;
    }

    fn mean_hops_of_newest(&self, blocks: usize) -> f64 {
        let newest = &self.hops[self.hops.len() - blocks..];
        newest.iter().map(|hops| f64::from(*hops)).sum::<f64>() / blocks as f64
    }
}

impl ParentView for Simulation {
    fn block_count(&self) -> u64 {
        self.children.len() as u64
    }

    fn edge_count(&self) -> u64 {
        self.edges
    }

    fn depth_max(&self) -> u32 {
        self.by_depth.len().saturating_sub(1) as u32
    }

    fn child_count(&self, leaf_index: u64) -> Result<u64, BackendError> {
        self.lookups.set(self.lookups.get() + 1);
        Ok(self.children[leaf_index as usize])
    }

    fn first_at_depth(&self, depth: u32, from: u64) -> Result<Option<u64>, BackendError> {
        self.lookups.set(self.lookups.get() + 1);
        let blocks = &self.by_depth[depth as usize];
        Ok(blocks.get(blocks.partition_point(|leaf_index| *leaf_index < from)).copied())
    }
}

#[test]
fn parents_are_distinct_earlier_blocks_in_a_number_that_headers_may_have() {
    for strategy in STRATEGIES {
        for seed in 0..40 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut simulation = Simulation::default();
            for blocks in 0..60u64 {
                let parents = select(strategy, &simulation, &mut rng).unwrap();
                let what = format!("{strategy}, {blocks} blocks: {parents:?}");
                assert!(parents.is_sorted_by(|a, b| a < b), "{what}");
                assert!(parents.iter().all(|parent| *parent < blocks), "{what}");
                assert!(parents.len() <= PARENTS_MAX && parents.len() as u64 >= blocks.min(2), "{what}");
                simulation.append(&parents);
            }
        }
    }
}

#[test]
fn a_seed_decides_all_parents() {
    for strategy in STRATEGIES {
        let children = |seed| Simulation::grown(strategy, 2_000, seed).children;
        assert_eq!(children(1), children(1), "{strategy}");
        let is_random = !matches!(strategy, ParentSelectionStrategy::RecentOnly { .. });
        assert_eq!(children(1) != children(2), is_random, "{strategy}");
    }
}

#[test]
fn the_way_to_genesis_stays_short_and_a_selection_cheap() {
    let simulation = Simulation::grown(ParentSelectionStrategy::BalancedRandom, 200_000, 7);
    let hops = simulation.mean_hops_of_newest(10_000);
    assert!((4.0..6.5).contains(&hops), "{hops} steps to genesis");
    // One recent, 0.7 under-referenced, 2 of history on average.
    let parents = simulation.edges as f64 / 200_000.0;
    assert!((3.6..3.75).contains(&parents), "{parents} parents");
    let lookups = simulation.lookups.get() as f64 / 200_000.0;
    assert!(lookups < 3.0, "{lookups} look-ups for a selection");
}

#[test]
fn balanced_random_names_a_recent_block_always_and_under_referenced_ones_above_their_share() {
    let mut simulation = Simulation::default();
    // A star under each even block: half of all blocks have 4 children, half have none.
    for index in 0..10_000u64 {
        simulation.append(&if index < 8 {
            vec![]
        } else {
            (0..4).map(|back| (index - 8) / 2 * 2 + 2 - back % 2).collect()
        });
    }
    simulation.children = (0..10_000).map(|index| if index % 2 == 0 { 4 } else { 0 }).collect();
    simulation.edges = 20_000;
    let mut rng = StdRng::seed_from_u64(3);
    let (mut odd, mut old) = (0u32, 0u32);
    for _ in 0..20_000 {
        let parents = select(ParentSelectionStrategy::BalancedRandom, &simulation, &mut rng).unwrap();
        assert!(parents.iter().any(|parent| *parent >= 10_000 - RECENT_BLOCKS));
        let history = parents.iter().filter(|parent| **parent < 10_000 - RECENT_BLOCKS);
        for parent in history {
            old += 1;
            odd += u32::from(parent % 2 == 1);
        }
    }
    // 2 of history, half of them odd, and 0.7 that are all odd: 1.7 of 2.7.
    let share = f64::from(odd) / f64::from(old);
    assert!((0.615..0.645).contains(&share), "{share}");
    let count = f64::from(old) / 20_000.0;
    assert!((2.67..2.73).contains(&count), "{count}");
}

#[test]
fn no_under_referenced_block_is_named_where_all_have_as_many_children() {
    let mut simulation = Simulation::default();
    simulation.append(&[]);
    for _ in 1..1_000 {
        simulation.append(&[0]);
    }
    simulation.children = vec![3; 1_000];
    simulation.edges = 3_000;
    let mut rng = StdRng::seed_from_u64(4);
    let total: usize = (0..1_000)
        .map(|_| {
            simulation.lookups.set(0);
            let parents = select(ParentSelectionStrategy::BalancedRandom, &simulation, &mut rng).unwrap();
            assert!(simulation.lookups.get() <= UNDER_REFERENCED_TRIES_MAX as u64);
            assert!(parents.len() <= 4);
            parents.len()
        })
        .sum();
    assert!((2_900..3_100).contains(&total), "{total}");
}

#[test]
fn blocks_of_history_are_uniform() {
    let mut simulation = Simulation::default();
    (0..1_000).for_each(|_| simulation.append(&[]));
    let mut rng = StdRng::seed_from_u64(5);
    let mut tenths = [0u32; 10];
    for _ in 0..50_000 {
        let mut chosen = Chosen { blocks: 1_000, indices: vec![0, 5, 999] };
        let drawn = chosen.draw(&mut rng).unwrap();
        assert!(!chosen.indices.contains(&drawn));
        chosen.insert(drawn);
        assert_eq!(chosen.indices.len(), 4);
        tenths[drawn as usize / 100] += 1;
    }
    assert!(tenths.iter().all(|count| (4_700..5_300).contains(count)), "{tenths:?}");
    let all = Chosen { blocks: 3, indices: vec![0, 1, 2] };
    assert_eq!(all.draw(&mut rng), None);
}

#[test]
fn recent_only_names_exactly_the_newest() {
    let mut rng = StdRng::seed_from_u64(6);
    let mut simulation = Simulation::default();
    (0..10).for_each(|_| simulation.append(&[]));
    for (blocks, expected) in [(0, 8..10), (2, 8..10), (3, 7..10), (5, 5..10), (255, 5..10)] {
        let strategy = ParentSelectionStrategy::RecentOnly { blocks };
        assert_eq!(select(strategy, &simulation, &mut rng).unwrap(), expected.collect::<Vec<u64>>());
    }
}

#[test]
fn depth_balanced_names_one_block_of_each_band() {
    let simulation = Simulation::grown(ParentSelectionStrategy::DepthBalanced, 5_000, 8);
    let depths = u64::from(simulation.depth_max()) + 1;
    assert!(depths > 8, "{depths}");
    let mut rng = StdRng::seed_from_u64(9);
    for _ in 0..500 {
        let parents = select(ParentSelectionStrategy::DepthBalanced, &simulation, &mut rng).unwrap();
        let mut bands: Vec<u64> = parents
            .iter()
            .map(|parent| {
                let depth = u64::from(simulation.depths[*parent as usize]);
                (0..4).find(|band| depth < depths * (band + 1) / 4).unwrap()
            })
            .collect();
        bands.sort_unstable();
        assert_eq!(bands, [0, 1, 2, 3]);
    }
}

#[test]
fn weighted_random_prefers_blocks_with_few_children_and_reaches_all_ages() {
    let mut simulation = Simulation::default();
    (0..4_096).for_each(|_| simulation.append(&[]));
    simulation.children = (0..4_096).map(|index| if index % 2 == 0 { 9 } else { 0 }).collect();
    let mut rng = StdRng::seed_from_u64(10);
    let (mut odd, mut older_half, mut total) = (0u32, 0u32, 0u32);
    for _ in 0..5_000 {
        for parent in select(ParentSelectionStrategy::WeightedRandom, &simulation, &mut rng).unwrap() {
            total += 1;
            odd += u32::from(parent % 2 == 1);
            older_half += u32::from(parent < 2_048);
        }
    }
    // Weights 1 to 1/10; the older half is one of 12 doublings.
    let (odd, older_half) = (f64::from(odd) / f64::from(total), f64::from(older_half) / f64::from(total));
    assert!((0.85..0.95).contains(&odd), "{odd}");
    assert!((0.06..0.12).contains(&older_half), "{older_half}");
    let hops = Simulation::grown(ParentSelectionStrategy::WeightedRandom, 50_000, 11).mean_hops_of_newest(5_000);
    assert!(hops < 12.0, "{hops} steps to genesis");
}

#[test]
fn strategies_round_trip_through_their_text() {
    for strategy in STRATEGIES {
        assert_eq!(strategy.to_string().parse(), Ok(strategy));
    }
    assert_eq!("recent-only".parse(), Ok(ParentSelectionStrategy::RecentOnly { blocks: 2 }));
    let parse = |text: &str| text.parse::<ParentSelectionStrategy>().unwrap_err();
    for text in ["", "random", "Balanced-Random", "recent-onl", "depth-balanced:2"] {
        assert_eq!(parse(text), ParseStrategyError::UnknownName, "{text}");
    }
    for text in ["recent-only:", "recent-only:1", "recent-only:6", "recent-only:+3", "recent-only:03", "recent-only:x"]
    {
        assert_eq!(parse(text), ParseStrategyError::RecentCountOutOfRange, "{text}");
    }
}
