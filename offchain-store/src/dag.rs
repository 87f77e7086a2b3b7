//! [`MerkleDag`]: questions about which block builds on which. Every walk is iterative and bounded, and reads headers only.

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
};
use pakit_primitives::{BlockHash, Parent, lineage::LINEAGE_HEADERS_MAX};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// Blocks that a walk visits unless it is told otherwise; it then holds about 40 MB.
pub const WALK_BLOCKS_DEFAULT: usize = 100_000;
/// Children that are read at once.
const CHILDREN_PAGE: usize = 1024;

/// Why a question about the DAG has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DagError {
    /// No block has this hash.
    #[error("there is no block {0}")]
    UnknownBlock(BlockHash),
    /// The log does not reach so far.
    #[error("there is no block at leaf index {0}")]
    UnknownLeaf(u64),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// An edge whose parent or child is not there, is another block, or is not before the other in depth and time.
    #[error(
        "the repository is damaged: the edge between block {child} and its parent {parent} does not fit the blocks"
    )]
    BrokenEdge {
        /// Leaf index of the child.
        child: u64,
        /// Leaf index of the parent.
        parent: u64,
    },
    /// The shortest way to genesis has more blocks than a lineage proof may hold.
    #[error("the shortest way to genesis has more than {LINEAGE_HEADERS_MAX} blocks")]
    LineageTooLong,
}

/// How far a walk goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalkLimits {
    /// Steps away from the block, at most. What lies further was not asked for: this bound does not make a walk truncated.
    pub steps_max: u32,
    /// Blocks visited, at most. A walk that this bound cut is truncated.
    pub blocks_max: usize,
}

impl Default for WalkLimits {
    fn default() -> Self {
        Self { steps_max: u32::MAX, blocks_max: WALK_BLOCKS_DEFAULT }
    }
}

/// What a walk found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Walk {
    /// The blocks, in the order that the walk promises.
    pub blocks: Vec<DagBlock>,
    /// Whether the bound on visited blocks cut the walk, so that there may be more.
    pub truncated: bool,
}

/// The DAG of a repository: blocks, and who builds on whom.
///
/// ```
/// # fn example(backend: std::sync::Arc<dyn offchain_store::DagBackend>) -> Result<(), offchain_store::dag::DagError> {
/// use offchain_store::{MerkleDag, dag::WalkLimits};
/// let dag = MerkleDag::new(backend);
/// let newest = dag.frontier(None, 1)?;
/// for block in &newest {
///     let near = dag.ancestors(&block.block_hash(), WalkLimits { steps_max: 2, ..WalkLimits::default() })?;
///     println!("{} blocks within two steps, truncated: {}", near.blocks.len(), near.truncated);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MerkleDag {
    backend: Arc<dyn DagBackend>,
}

impl MerkleDag {
    /// Reads nothing yet.
    pub fn new(backend: Arc<dyn DagBackend>) -> Self {
        Self { backend }
    }

    /// The block with this hash.
    pub fn block(&self, block_hash: &BlockHash) -> Result<DagBlock, DagError> {
        self.backend.block_by_hash(block_hash)?.ok_or(DagError::UnknownBlock(*block_hash))
    }

    /// The block at a place in the log.
    pub fn at(&self, leaf_index: u64) -> Result<DagBlock, DagError> {
        self.backend.block(leaf_index)?.ok_or(DagError::UnknownLeaf(leaf_index))
    }

    /// The blocks that a block builds on directly, ascending by leaf index.
    pub fn parents(&self, block_hash: &BlockHash) -> Result<Vec<DagBlock>, DagError> {
        let block = self.block(block_hash)?;
        block.header().parents.iter().map(|parent| self.parent(&block, parent)).collect()
    }

    /// The blocks that build on a block directly, ascending by leaf index: up to `limit` of those after leaf `after`.
    pub fn children(
        &self,
        block_hash: &BlockHash,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<DagBlock>, DagError> {
        let block = self.block(block_hash)?;
        let children = self.backend.children(block.leaf_index(), after, limit)?;
        children.into_iter().map(|child| self.neighbour(&block, Direction::Children, child)).collect()
    }

    /// Blocks without children, ascending by leaf index: up to `limit` of those after leaf `after`.
    pub fn frontier(&self, after: Option<u64>, limit: usize) -> Result<Vec<DagBlock>, DagError> {
        self.backend.frontier(after, limit)?.into_iter().map(|leaf_index| self.at(leaf_index)).collect()
    }

    /// All blocks that a block builds on, near ones first, ascending by leaf index among equally near ones. The block itself
    /// is not among them.
    pub fn ancestors(&self, block_hash: &BlockHash, limits: WalkLimits) -> Result<Walk, DagError> {
        self.walk(self.block(block_hash)?, Direction::Parents, limits)
    }

    /// All blocks that build on a block, near ones first, ascending by leaf index among equally near ones. The block itself is
    /// not among them.
    pub fn descendants(&self, block_hash: &BlockHash, limits: WalkLimits) -> Result<Walk, DagError> {
        self.walk(self.block(block_hash)?, Direction::Children, limits)
    }

    /// Breadth first.
    fn walk(&self, start: DagBlock, direction: Direction, limits: WalkLimits) -> Result<Walk, DagError> {
        let mut seen = HashSet::from([start.leaf_index()]);
        let mut found = Walk::default();
        let mut layer = vec![start];
        for _ in 0..limits.steps_max {
            // By leaf index, the place in `layer` from which it was reached.
            let mut next = BTreeMap::new();
            for (place, block) in layer.iter().enumerate() {
                self.neighbours(block, direction, &mut |leaf_index| {
                    if seen.contains(&leaf_index) {
                        return true;
                    }
                    // `seen` holds the start too, which is not counted.
                    found.truncated = seen.len() > limits.blocks_max;
                    if !found.truncated {
                        seen.insert(leaf_index);
                        next.insert(leaf_index, place);
                    }
                    !found.truncated
                })?;
                if found.truncated {
                    break;
                }
            }
            let reached = next.into_iter().map(|(leaf_index, place)| {
                let from = layer.get(place).ok_or(DagError::UnknownLeaf(leaf_index))?;
                self.neighbour(from, direction, leaf_index)
            });
            layer = reached.collect::<Result<_, DagError>>()?;
            found.blocks.extend(layer.iter().cloned());
            if layer.is_empty() || found.truncated {
                break;
            }
        }
        Ok(found)
    }

    /// The nearest common ancestors of two blocks: those that both build on and that no other common ancestor builds on. A
    /// block counts as its own ancestor, so that of two blocks one of which builds on the other, that other is the answer.
    /// Newest first, by leaf index. Each block given is one even in a truncated answer; there may be older ones then.
    pub fn common_ancestors(&self, a: &BlockHash, b: &BlockHash, blocks_max: usize) -> Result<Walk, DagError> {
        let (a, b) = (self.block(a)?, self.block(b)?);
        let mut reached = Marks::default();
        reached.mark(a.leaf_index(), FROM_A);
        reached.mark(b.leaf_index(), FROM_B);
        let mut found = Walk::default();
        let mut visited = 0usize;
        // Parents stand before their children in the log. So when the newest marked block is taken, everything that could
        // mark it has been taken before, and its marks are complete.
        while let Some((leaf_index, mut marks)) = reached.pop_newest() {
            if visited == blocks_max {
                found.truncated = true;
                break;
            }
            visited += 1;
            let block = self.at(leaf_index)?;
            for parent in block.header().parents.iter() {
                if parent.leaf_index >= leaf_index {
                    return Err(DagError::BrokenEdge { child: leaf_index, parent: parent.leaf_index });
                }
            }
            let parents = block.header().parents;
            if marks == FROM_A | FROM_B {
                found.blocks.push(block);
                marks |= BELOW_COMMON;
            }
            parents.iter().for_each(|parent| reached.mark(parent.leaf_index, marks));
        }
        Ok(found)
    }

    /// The shortest way from a block to genesis: from one of its parents down to genesis, which is the order of a lineage
    /// proof. Depth strictly falls and time never rises along it. Genesis itself is its own end: no blocks.
    pub fn lineage_to_genesis(&self, block_hash: &BlockHash) -> Result<Vec<DagBlock>, DagError> {
        let start = self.block(block_hash)?;
        let way = self.backend.way_to_genesis(start.leaf_index(), LINEAGE_HEADERS_MAX)?;
        let way = way.ok_or(DagError::LineageTooLong)?;
        let mut child = &start;
        for ancestor in &way {
            if !is_edge(child, ancestor) {
                return Err(DagError::BrokenEdge { child: child.leaf_index(), parent: ancestor.leaf_index() });
            }
            child = ancestor;
        }
        Ok(way)
    }

    /// Tells the leaf indices of a block's neighbours until the answer is no.
    fn neighbours(
        &self,
        block: &DagBlock,
        direction: Direction,
        tell: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), DagError> {
        match direction {
            Direction::Parents => {
                // Whether all were wanted makes no difference here: there are 5 at most.
                let _ = block.header().parents.iter().all(|parent| tell(parent.leaf_index));
                Ok(())
            }
            Direction::Children => {
                let mut after = None;
                loop {
                    let page = self.backend.children(block.leaf_index(), after, CHILDREN_PAGE)?;
                    if !page.iter().all(|child| tell(*child)) || page.len() < CHILDREN_PAGE {
                        return Ok(());
                    }
                    after = page.last().copied();
                }
            }
        }
    }

    /// A neighbour, checked to be joined to `block` by an edge that fits both.
    fn neighbour(&self, block: &DagBlock, direction: Direction, leaf_index: u64) -> Result<DagBlock, DagError> {
        let (child, parent) = match direction {
            Direction::Parents => (block.leaf_index(), leaf_index),
            Direction::Children => (leaf_index, block.leaf_index()),
        };
        // A block in another's place may be a neighbour too, and is not the one asked for.
        let fits = |other: &DagBlock| {
            other.leaf_index() == leaf_index
                && match direction {
                    Direction::Parents => is_edge(block, other),
                    Direction::Children => is_edge(other, block),
                }
        };
        self.backend.block(leaf_index)?.filter(fits).ok_or(DagError::BrokenEdge { child, parent })
    }

    fn parent(&self, child: &DagBlock, named: &Parent) -> Result<DagBlock, DagError> {
        self.neighbour(child, Direction::Parents, named.leaf_index)
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Parents,
    Children,
}

fn is_edge(child: &DagBlock, parent: &DagBlock) -> bool {
    child.header().has_parent(parent.leaf_index(), &parent.block_hash())
        && parent.header().depth < child.header().depth
        && parent.header().timestamp_ms <= child.header().timestamp_ms
}

/// Reached from the first block.
const FROM_A: u8 = 1;
/// Reached from the second block.
const FROM_B: u8 = 2;
/// Reached from a common ancestor, so not a nearest one.
const BELOW_COMMON: u8 = 4;

/// Blocks that were reached and not visited yet.
#[derive(Default)]
struct Marks {
    by_leaf: BTreeMap<u64, u8>,
    /// Those that are not below a common ancestor. Without any, nothing new can be found.
    open: usize,
}

impl Marks {
    fn mark(&mut self, leaf_index: u64, marks: u8) {
        let entry = self.by_leaf.entry(leaf_index).or_default();
        let was_open = *entry != 0 && *entry & BELOW_COMMON == 0;
        *entry |= marks;
        let is_open = *entry & BELOW_COMMON == 0;
        self.open = self.open + usize::from(is_open) - usize::from(was_open);
    }

    fn pop_newest(&mut self) -> Option<(u64, u8)> {
        if self.open == 0 {
            return None;
        }
        let (leaf_index, marks) = self.by_leaf.pop_last()?;
        self.open -= usize::from(marks & BELOW_COMMON == 0);
        Some((leaf_index, marks))
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
