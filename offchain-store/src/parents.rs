//! Which earlier blocks a new block names as its parents: [`ParentSelectionStrategy`] and [`select`].
//!
//! A selection costs a few look-ups however long the log is. It sees the log through [`ParentView`], of which [`Overlay`] is
//! the writer's: what the backend has committed, and the blocks of the batch that is being made.

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
};
use pakit_primitives::header::{PARENTS_MAX, PARENTS_MIN};
use rand::{Rng, RngExt};
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
    sync::Arc,
};

/// Of so many newest blocks, balanced random selection takes one.
pub const RECENT_BLOCKS: u64 = 16;
/// How often balanced random selection looks for an under-referenced block.
pub const UNDER_REFERENCED_PROBABILITY: f64 = 0.7;
/// Candidates that are looked at for one under-referenced block. About half of all blocks are, so that two are looked at on
/// average; the bound is reached where hardly any are, and then none is named.
pub const UNDER_REFERENCED_TRIES_MAX: usize = 32;
/// Most parents that balanced random selection takes from all of history.
pub const HISTORY_PARENTS_MAX: u32 = 3;
/// Depth bands, each of which gives a parent in depth balanced selection.
pub const DEPTH_BANDS: u32 = 4;
/// Parents that weighted random selection looks for.
pub const WEIGHTED_PARENTS: usize = 3;
/// Candidates that are looked at for each of them.
pub const WEIGHTED_TRIES_MAX: usize = 16;

/// How parents are chosen. Belongs to a repository and is kept there as its text.
///
/// ```
/// use offchain_store::parents::ParentSelectionStrategy;
/// let strategy: ParentSelectionStrategy = "recent-only:3".parse().unwrap();
/// assert_eq!(strategy, ParentSelectionStrategy::RecentOnly { blocks: 3 });
/// assert_eq!(ParentSelectionStrategy::default().to_string(), "balanced-random");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum ParentSelectionStrategy {
    /// One of the newest 16 blocks; in 7 of 10 cases one under-referenced block, which has fewer than 0.7 times the average
    /// number of children; and 1 to 3 of all of history. The way to genesis stays near 6 blocks long at a million blocks.
    #[default]
    BalancedRandom,
    /// The newest blocks. Cheap, but the way to genesis grows with the log, beyond what a lineage proof may hold.
    RecentOnly {
        /// How many. Counts outside 2 to 5, which no header may have, are taken as the nearest of these.
        blocks: u8,
    },
    /// One block of each quarter of the depths so far.
    DepthBalanced,
    /// Three blocks by the weight 1 / (age x (1 + children)), age rounded down to a power of two: old blocks are chosen as
    /// often as new ones are on the scale of doublings, and seldom named blocks before often named ones.
    WeightedRandom,
}

impl ParentSelectionStrategy {
    /// What is parsed for `recent-only` without a count.
    pub const RECENT_ONLY_DEFAULT: Self = Self::RecentOnly { blocks: PARENTS_MIN as u8 };
}

impl fmt::Display for ParentSelectionStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BalancedRandom => f.write_str("balanced-random"),
            Self::RecentOnly { blocks } => write!(f, "recent-only:{blocks}"),
            Self::DepthBalanced => f.write_str("depth-balanced"),
            Self::WeightedRandom => f.write_str("weighted-random"),
        }
    }
}

/// A text that names no strategy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseStrategyError {
    /// None of the known names.
    #[error("unknown parent strategy; known are balanced-random, recent-only[:N], depth-balanced and weighted-random")]
    UnknownName,
    /// The count behind `recent-only:` is not one that headers can have.
    #[error("recent-only takes a count of {PARENTS_MIN} to {PARENTS_MAX} blocks")]
    RecentCountOutOfRange,
}

impl FromStr for ParentSelectionStrategy {
    type Err = ParseStrategyError;

    fn from_str(text: &str) -> Result<Self, ParseStrategyError> {
        match text {
            "balanced-random" => Ok(Self::BalancedRandom),
            "recent-only" => Ok(Self::RECENT_ONLY_DEFAULT),
            "depth-balanced" => Ok(Self::DepthBalanced),
            "weighted-random" => Ok(Self::WeightedRandom),
            _ => {
                let count = text.strip_prefix("recent-only:").ok_or(ParseStrategyError::UnknownName)?;
                // Only the digits that Display prints: "+3" and "03" would be a second text for the same strategy.
                let blocks = (PARENTS_MIN..=PARENTS_MAX)
                    .find(|blocks| count == blocks.to_string())
                    .ok_or(ParseStrategyError::RecentCountOutOfRange)?;
                Ok(Self::RecentOnly { blocks: blocks as u8 })
            }
        }
    }
}

/// What a selection asks of the log.
pub trait ParentView {
    /// Blocks there are; parents are chosen among the leaf indices below.
    fn block_count(&self) -> u64;

    /// Parent-child edges between them, for the average number of children.
    fn edge_count(&self) -> u64;

    /// Greatest depth of a block.
    fn depth_max(&self) -> u32;

    /// How many blocks name this one as a parent.
    fn child_count(&self, leaf_index: u64) -> Result<u64, BackendError>;

    /// The first block of this depth whose leaf index is at least `from`.
    fn first_at_depth(&self, depth: u32, from: u64) -> Result<Option<u64>, BackendError>;
}

/// Chooses the parents of the next block: leaf indices, strictly ascending, at most 5, at least 2 once there are two blocks.
/// The first block gets none. The same view and the same state of `rng` give the same parents.
pub fn select(
    strategy: ParentSelectionStrategy,
    view: &dyn ParentView,
    rng: &mut (impl Rng + ?Sized),
) -> Result<Vec<u64>, BackendError> {
    let mut chosen = Chosen { blocks: view.block_count(), indices: Vec::with_capacity(PARENTS_MAX) };
    if chosen.blocks == 0 {
        return Ok(chosen.indices);
    }
    match strategy {
        ParentSelectionStrategy::BalancedRandom => balanced_random(&mut chosen, view, rng)?,
        ParentSelectionStrategy::RecentOnly { blocks } => {
            let count = usize::from(blocks).clamp(PARENTS_MIN, PARENTS_MAX) as u64;
            (chosen.blocks.saturating_sub(count)..chosen.blocks).for_each(|leaf_index| chosen.insert(leaf_index));
        }
        ParentSelectionStrategy::DepthBalanced => depth_balanced(&mut chosen, view, rng)?,
        ParentSelectionStrategy::WeightedRandom => weighted_random(&mut chosen, view, rng)?,
    }
    while chosen.indices.len() < PARENTS_MIN
        && let Some(leaf_index) = chosen.draw(rng)
    {
        chosen.insert(leaf_index);
    }
    Ok(chosen.indices)
}

/// The parents so far, ascending and distinct.
struct Chosen {
    blocks: u64,
    indices: Vec<u64>,
}

impl Chosen {
    fn insert(&mut self, leaf_index: u64) {
        if let Err(place) = self.indices.binary_search(&leaf_index) {
            self.indices.insert(place, leaf_index);
        }
    }

    /// A block that is not chosen yet, each as likely; `None` if all are chosen.
    fn draw(&self, rng: &mut (impl Rng + ?Sized)) -> Option<u64> {
        // A rank among the others, turned into a leaf index by stepping over the chosen ones below: one draw, no repeats.
        let others = self.blocks.checked_sub(self.indices.len() as u64).filter(|others| *others > 0)?;
        let rank = rng.random_range(0..others);
        Some(self.indices.iter().fold(rank, |place, chosen| if place >= *chosen { place + 1 } else { place }))
    }
}

fn balanced_random(
    chosen: &mut Chosen,
    view: &dyn ParentView,
    rng: &mut (impl Rng + ?Sized),
) -> Result<(), BackendError> {
    let oldest_recent = chosen.blocks.saturating_sub(RECENT_BLOCKS);
    chosen.insert(rng.random_range(oldest_recent..chosen.blocks));
    if rng.random_bool(UNDER_REFERENCED_PROBABILITY)
        && let Some(leaf_index) = under_referenced(chosen, view, rng)?
    {
        chosen.insert(leaf_index);
    }
    for _ in 0..rng.random_range(1..=HISTORY_PARENTS_MAX) {
        let Some(leaf_index) = chosen.draw(rng) else { break };
        chosen.insert(leaf_index);
    }
    Ok(())
}

/// A block with fewer than 0.7 times the average number of children. Drawing from all blocks until one is found makes each
/// such block as likely, without a list of them.
fn under_referenced(
    chosen: &Chosen,
    view: &dyn ParentView,
    rng: &mut (impl Rng + ?Sized),
) -> Result<Option<u64>, BackendError> {
    // children < 0.7 x edges / blocks, in whole numbers.
    let limit = 7 * u128::from(view.edge_count());
    for _ in 0..UNDER_REFERENCED_TRIES_MAX {
        let Some(candidate) = chosen.draw(rng) else { break };
        if 10 * u128::from(view.child_count(candidate)?) * u128::from(chosen.blocks) < limit {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// Each depth up to the greatest has a block, because a block stands one below its deepest parent. So a depth drawn from a
/// band has one too. Within a depth, the block taken is the first from a random place on.
fn depth_balanced(
    chosen: &mut Chosen,
    view: &dyn ParentView,
    rng: &mut (impl Rng + ?Sized),
) -> Result<(), BackendError> {
    let depths = u64::from(view.depth_max()) + 1;
    let bands = depths.min(u64::from(DEPTH_BANDS));
    for band in 0..bands {
        let depth = rng.random_range(depths * band / bands..depths * (band + 1) / bands) as u32;
        let missing = || BackendError::Damaged(format!("no block has depth {depth}, though deeper ones are there"));
        let first = view.first_at_depth(depth, 0)?.filter(|first| *first < chosen.blocks).ok_or_else(missing)?;
        let from = rng.random_range(first..chosen.blocks);
        chosen.insert(view.first_at_depth(depth, from)?.unwrap_or(first));
    }
    Ok(())
}

fn weighted_random(
    chosen: &mut Chosen,
    view: &dyn ParentView,
    rng: &mut (impl Rng + ?Sized),
) -> Result<(), BackendError> {
    let doublings = chosen.blocks.ilog2() + 1;
    for _ in 0..WEIGHTED_PARENTS {
        for _ in 0..WEIGHTED_TRIES_MAX {
            // Each doubling of the age is as likely as any other: weight 1 / age, without a scan and in whole numbers.
            let youngest = 1u64 << rng.random_range(0..doublings);
            let age = rng.random_range(youngest..2 * youngest);
            let Some(leaf_index) = chosen.blocks.checked_sub(age) else { continue };
            if chosen.indices.contains(&leaf_index) {
                continue;
            }
            // Accepted once in 1 + children times.
            if rng.random_range(0..=view.child_count(leaf_index)?) == 0 {
                chosen.insert(leaf_index);
                break;
            }
        }
    }
    Ok(())
}

/// Slots of the cache of child counts: 4 MiB when it is used, and every block of a log of that length.
const COUNT_SLOTS: usize = 1 << 18;

/// A slot's place that no leaf has.
const NO_LEAF: u64 = u64::MAX;

/// Child counts by leaf index, each in the slot of its lowest bits; a later one takes an earlier one's slot.
#[derive(Default)]
struct CountCache {
    /// (leaf index, children). Empty until something is kept.
    slots: Vec<(u64, u64)>,
}

impl CountCache {
    fn slot(&self, leaf_index: u64) -> Option<&(u64, u64)> {
        self.slots.get(leaf_index as usize % COUNT_SLOTS).filter(|slot| slot.0 == leaf_index)
    }

    fn get(&self, leaf_index: u64) -> Option<u64> {
        self.slot(leaf_index).map(|slot| slot.1)
    }

    fn keep(&mut self, leaf_index: u64, children: u64) {
        if self.slots.is_empty() {
            self.slots = vec![(NO_LEAF, 0); COUNT_SLOTS];
        }
        if let Some(slot) = self.slots.get_mut(leaf_index as usize % COUNT_SLOTS) {
            *slot = (leaf_index, children);
        }
    }

    fn add_child(&mut self, leaf_index: u64) {
        if let Some(slot) = self.slots.get_mut(leaf_index as usize % COUNT_SLOTS)
            && slot.0 == leaf_index
        {
            slot.1 += 1;
        }
    }
}

/// What blocks that are not known to be committed add to the log.
#[derive(Default, Debug)]
struct Layer {
    /// Children, by parent.
    children: HashMap<u64, u64>,
    /// (depth, leaf index) of the blocks.
    depths: BTreeSet<(u32, u64)>,
}

impl Layer {
    fn append(&mut self, block: &DagBlock) {
        for parent in block.header().parents.iter() {
            *self.children.entry(parent.leaf_index).or_default() += 1;
        }
        self.depths.insert((block.header().depth, block.leaf_index()));
    }

    fn children_of(&self, leaf_index: u64) -> u64 {
        self.children.get(&leaf_index).copied().unwrap_or(0)
    }

    fn first_at_depth(&self, depth: u32, from: u64) -> Option<u64> {
        self.depths.range((depth, from)..=(depth, u64::MAX)).next().map(|(_, leaf_index)| *leaf_index)
    }
}

/// The log as its one writer sees it: what is committed, the batch that is being committed on top of it, and on top of that the
/// batch that is being made.
///
/// Belongs to the writer. [`append`](Self::append) tells it of each new block, [`commit_begins`](Self::commit_begins) that the
/// blocks so far are on their way into the backend, and [`committed`](Self::committed) that those have arrived. In between the
/// backend may count them or not at any moment; nothing is counted twice or missed, so that the same blocks and the same
/// drawing give the same parents however fast a disk is.
pub struct Overlay {
    backend: Arc<dyn DagBackend>,
    blocks: u64,
    edges: u64,
    depth_max: u32,
    /// Blocks that are committed for certain: the leaf index of the first one of `committing`.
    committed: u64,
    committing: Layer,
    /// The leaf index of the first block of `making`.
    made_from: u64,
    making: Layer,
    /// Counts with those of both layers in them. Behind a cell because a look-up fills it.
    counts: RefCell<CountCache>,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("blocks", &self.blocks).field("committed", &self.committed).finish()
    }
}

impl Overlay {
    /// What is committed now, and nothing on top.
    pub fn new(backend: Arc<dyn DagBackend>) -> Result<Self, BackendError> {
        let totals = backend.totals()?;
        Ok(Self {
            backend,
            blocks: totals.blocks,
            edges: totals.edges,
            depth_max: totals.depth_max,
            committed: totals.blocks,
            committing: Layer::default(),
            made_from: totals.blocks,
            making: Layer::default(),
            counts: RefCell::default(),
        })
    }

    /// Puts the next block of the log on top. Costs a few steps per parent and reads nothing.
    pub fn append(&mut self, block: &DagBlock) {
        let counts = self.counts.get_mut();
        for parent in block.header().parents.iter() {
            counts.add_child(parent.leaf_index);
        }
        counts.keep(block.leaf_index(), 0);
        self.making.append(block);
        self.blocks = block.leaf_index() + 1;
        self.edges += block.header().parents.len() as u64;
        self.depth_max = self.depth_max.max(block.header().depth);
    }

    /// The blocks that were appended are one batch, which is being committed from now on; the one before it is committed.
    pub fn commit_begins(&mut self) {
        self.committed = self.made_from;
        self.made_from = self.blocks;
        self.committing = std::mem::take(&mut self.making);
    }

    /// The batch that was being committed is committed.
    pub fn committed(&mut self) {
        self.committed = self.made_from;
        self.committing = Layer::default();
    }
}

impl ParentView for Overlay {
    fn block_count(&self) -> u64 {
        self.blocks
    }

    fn edge_count(&self) -> u64 {
        self.edges
    }

    fn depth_max(&self) -> u32 {
        self.depth_max
    }

    fn child_count(&self, leaf_index: u64) -> Result<u64, BackendError> {
        if let Some(children) = self.counts.borrow().get(leaf_index) {
            return Ok(children);
        }
        let (counted, blocks) = match leaf_index < self.committed {
            true => self.backend.child_count_at(leaf_index)?,
            false => (0, self.committed),
        };
        let committing = if blocks < self.made_from { self.committing.children_of(leaf_index) } else { 0 };
        let children = counted + committing + self.making.children_of(leaf_index);
        self.counts.borrow_mut().keep(leaf_index, children);
        Ok(children)
    }

    fn first_at_depth(&self, depth: u32, from: u64) -> Result<Option<u64>, BackendError> {
        // A list goes on behind a place, so the place before `from` is named; before leaf 0 there is none.
        let after = from.checked_sub(1).map(|before| (depth, before));
        if from < self.committed
            && let Some((_, leaf_index)) = self.backend.by_depth(depth..=depth, after, 1)?.first()
        {
            return Ok(Some(*leaf_index));
        }
        // Where the backend has the batch that is being committed already, it has said the same.
        let pending = || self.making.first_at_depth(depth, from);
        Ok(self.committing.first_at_depth(depth, from).or_else(pending))
    }
}

#[cfg(test)]
mod tests;
