//! [`check`]: the audit of a repository. It recomputes whatever can be recomputed and compares it with what is kept.
//!
//! It reads only, in a stream: memory does not grow with the repository. What it finds it lists; nothing is mended. Hold the
//! writer's lock meanwhile, or a commit that comes in between looks like damage.
//!
//! An audit goes on in steps: a block, a page of an index, a chunk. Between any two of them it can be written down as a
//! [`CheckState`] and taken up by another process, which then reports what one that was never interrupted would have.

mod file;
mod payload;
mod problem;
mod removal;
mod state;

pub use file::{StateError, StateFile};
pub use problem::{Lookup, NodeState, Problem};
pub use state::{CheckState, ResumeError};

use crate::{
    backend::{BackendError, DagBackend, Hop, StrayRow, Totals},
    block::DagBlock,
    dictionary, setting,
};
use lru::LruCache;
use pakit_primitives::{BlockHash, ContentHash, Head, SoftwareHasher, log::Accumulator};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use std::{collections::VecDeque, num::NonZeroUsize, ops::ControlFlow};

/// Problems that are listed. More are counted only.
pub const PROBLEMS_LISTED_MAX: usize = 1_000;
/// Blocks whose hash, depth and time are remembered for their children: 6 MB.
const PARENTS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(65_536).expect("is not 0; qed");
/// Items that are read at once.
const PAGE: usize = 1_024;

/// How thorough an audit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Blocks, edges, log, indices, sums, and that every payload is there. Reads no payload.
    Structure,
    /// That, and every payload: each chunk restores to its hash, each content of several chunks to its own.
    Full,
}

/// What an audit found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CheckReport {
    /// How thorough it was.
    pub depth: Depth,
    /// Whether it came to its end. One that was stopped says nothing about the rest.
    pub is_complete: bool,
    /// Blocks looked at.
    pub blocks: u64,
    /// Chunks looked at.
    pub chunks: u64,
    /// Contents whose payload was removed on purpose, each counted once. Not a problem.
    pub removed_payloads: u64,
    /// The log's head, computed from the blocks and not read. Absent for an empty log and where a block's hash is lost.
    #[serde(serialize_with = "head_as_object")]
    pub head: Option<Head>,
    /// The first problems, in the order found.
    pub problems: Vec<Problem>,
    /// How many there are, with those that are not listed.
    pub problem_count: u64,
}

impl CheckReport {
    /// Whether the audit came to its end and found nothing.
    pub fn is_sound(&self) -> bool {
        self.is_complete && self.problem_count == 0
    }
}

/// Audits a repository. `progress` is told of (steps done, steps in all) and may stop the audit; all steps are reads, so
/// stopping harms nothing. Damage goes into the report. The error is for a repository whose sums cannot be read: there is
/// nothing to compare with then.
///
/// ```
/// use offchain_store::{check::{self, Depth}, memory::MemoryBackend};
/// use std::ops::ControlFlow;
/// let report = check::check(&MemoryBackend::new(), Depth::Full, &mut |_, _| ControlFlow::Continue(())).unwrap();
/// assert!(report.is_sound());
/// ```
pub fn check(
    backend: &dyn DagBackend,
    depth: Depth,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<CheckReport, BackendError> {
    let mut checker = Checker::new(backend, depth)?;
    let _ = checker.run(progress);
    Ok(checker.into_report())
}

/// An audit under way. It can be stopped between any two steps and goes on from there, here or, by way of
/// [`Self::state`], in another process.
pub struct Checker<'a> {
    backend: &'a dyn DagBackend,
    report: CheckReport,
    stored: Totals,
    counted: Totals,
    /// Whether the block before was read, so that the slices up to it are known.
    is_continuous: bool,
    /// Whether all blocks were read, so that their sums are known.
    is_counted: bool,
    /// Sum of the lengths of all lists of children.
    edges_listed: u64,
    parents: LruCache<u64, Remembered>,
    /// Given up where a block's hash is lost.
    log: Option<Accumulator<SoftwareHasher>>,
    frontier: Frontier,
    /// What is looked at next; nothing at the end.
    phase: Option<Phase>,
    /// Chunks that were listed and not looked at yet, and whether there are no others.
    chunks: VecDeque<ContentHash>,
    are_chunks_listed: bool,
    steps_done: u64,
    steps: u64,
}

/// The part of an audit that is under way, with how far it has come. Blocks are counted by the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
enum Phase {
    Blocks {},
    DepthIndex {
        after: Option<(u32, u64)>,
        entries: u64,
    },
    TimeIndex {
        after: Option<(u64, u64)>,
        entries: u64,
    },
    SurplusEdges {
        parent: u64,
        after: Option<u64>,
    },
    Dictionaries {},
    Chunks {
        #[serde(with = "state::optional_hash")]
        after: Option<ContentHash>,
    },
    Packs {
        pack: u32,
        offset: u64,
    },
    Marks {},
    Indexes {},
}

/// What children are compared with.
#[derive(Clone, Copy)]
struct Remembered {
    block_hash: BlockHash,
    depth: u32,
    timestamp_ms: u64,
}

impl Remembered {
    fn of(block: &DagBlock) -> Self {
        let header = block.header();
        Self { block_hash: block.block_hash(), depth: header.depth, timestamp_ms: header.timestamp_ms }
    }
}

/// The frontier, read page by page along with the blocks.
#[derive(Default)]
struct Frontier {
    page: VecDeque<u64>,
    /// The last one that was read.
    after: Option<u64>,
    /// The last one that a block was found to be.
    taken: Option<u64>,
    is_read: bool,
}

impl<'a> Checker<'a> {
    /// Begins an audit. The error is for a repository whose sums cannot be read: there is nothing to compare with then.
    pub fn new(backend: &'a dyn DagBackend, depth: Depth) -> Result<Self, BackendError> {
        let stored = backend.totals()?;
        let report = CheckReport {
            depth,
            is_complete: false,
            blocks: 0,
            chunks: 0,
            removed_payloads: 0,
            head: None,
            problems: Vec::new(),
            problem_count: 0,
        };
        Ok(Self {
            backend,
            report,
            stored,
            counted: Totals::default(),
            is_continuous: true,
            is_counted: true,
            edges_listed: 0,
            parents: LruCache::new(PARENTS_REMEMBERED),
            log: Some(Accumulator::default()),
            frontier: Frontier::default(),
            phase: Some(Phase::Blocks {}),
            chunks: VecDeque::new(),
            are_chunks_listed: false,
            steps_done: 0,
            steps: state::steps(&stored),
        })
    }

    /// Goes on until the end, or until `progress`, which is told of (steps done, steps in all) after each step, says to stop.
    /// May be called again then.
    pub fn run(&mut self, progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>) -> ControlFlow<()> {
        while let Some(phase) = self.phase {
            self.phase = self.advance(phase);
            if self.phase.is_some() {
                progress(self.steps_done, self.steps)?;
            }
        }
        self.report.is_complete = true;
        // The end is told even where the last steps were not. Nothing is left to stop.
        let _ = progress(self.steps, self.steps);
        ControlFlow::Continue(())
    }

    /// What was found so far.
    pub fn report(&self) -> &CheckReport {
        &self.report
    }

    /// The same, where no more is to come.
    pub fn into_report(self) -> CheckReport {
        self.report
    }

    /// Takes one step, and says which part the next one belongs to.
    fn advance(&mut self, phase: Phase) -> Option<Phase> {
        Some(match phase {
            Phase::Blocks {} if self.report.blocks < self.stored.blocks => {
                self.check_place(self.report.blocks);
                self.count_steps(1);
                phase
            }
            Phase::Blocks {} => {
                self.check_end();
                Phase::DepthIndex { after: None, entries: 0 }
            }
            Phase::DepthIndex { after, entries } => {
                let page = self.backend.by_depth(0..=u32::MAX, after, PAGE);
                match self.check_index_page(Lookup::Depth, page, entries) {
                    Some((after, entries)) => Phase::DepthIndex { after: Some(after), entries },
                    None => Phase::TimeIndex { after: None, entries: 0 },
                }
            }
            Phase::TimeIndex { after, entries } => {
                let page = self.backend.by_time(0..=u64::MAX, after, PAGE);
                match self.check_index_page(Lookup::Time, page, entries) {
                    Some((after, entries)) => Phase::TimeIndex { after: Some(after), entries },
                    None if self.edges_listed != self.counted.edges || !self.is_counted => {
                        Phase::SurplusEdges { parent: 0, after: None }
                    }
                    None => Phase::Dictionaries {},
                }
            }
            Phase::SurplusEdges { parent, .. } if parent >= self.stored.blocks => Phase::Dictionaries {},
            Phase::SurplusEdges { parent, after } => match self.find_surplus_edges(parent, after) {
                Some(after) => Phase::SurplusEdges { parent, after: Some(after) },
                None => Phase::SurplusEdges { parent: parent + 1, after: None },
            },
            Phase::Dictionaries {} => {
                self.check_settings();
                self.check_dictionaries();
                Phase::Chunks { after: None }
            }
            Phase::Chunks { after } => match self.check_next_chunk(after) {
                Some(after) => Phase::Chunks { after: Some(after) },
                None if self.report.depth == Depth::Full => Phase::Packs { pack: 0, offset: 0 },
                None => Phase::Marks {},
            },
            Phase::Packs { pack, offset } => match self.check_record((pack, offset)) {
                Some((pack, offset)) => Phase::Packs { pack, offset },
                None => Phase::Marks {},
            },
            Phase::Marks {} => {
                self.check_marks();
                Phase::Indexes {}
            }
            Phase::Indexes {} => {
                self.check_strays();
                let indexes = self.backend.check_indexes(!self.is_counted);
                self.read(indexes, || "the indexes".into());
                self.compare_totals();
                return None;
            }
        })
    }

    /// A repository without a block has not been made yet.
    fn check_settings(&mut self) {
        if self.stored.blocks == 0 {
            return;
        }
        let damaged = setting::damaged(self.backend);
        for (key, state) in self.read(damaged, || "the settings".into()).unwrap_or_default() {
            self.found(Problem::WrongSetting { key, state });
        }
    }

    fn check_dictionaries(&mut self) {
        let damaged = dictionary::damaged(self.backend);
        for (number, is_repairable) in self.read(damaged, || "the dictionaries".into()).unwrap_or_default() {
            self.found(Problem::DamagedDictionary { number, is_repairable });
        }
    }

    /// Many rows of one table say no more than a page of them.
    fn check_strays(&mut self) {
        let strays = self.backend.stray_rows(PAGE);
        for StrayRow { table, number } in self.read(strays, || "stray rows".into()).unwrap_or_default() {
            self.found(Problem::StrayRow { table, number });
        }
    }

    fn count_steps(&mut self, steps: u64) {
        // What is counted now may be more than the sums promised.
        self.steps_done = self.steps_done.saturating_add(steps).min(self.steps);
    }

    fn found(&mut self, problem: Problem) {
        self.report.problem_count += 1;
        if self.report.problems.len() < PROBLEMS_LISTED_MAX {
            self.report.problems.push(problem);
        }
    }

    /// What was read; a failure is a problem like any other.
    fn read<T>(&mut self, result: Result<T, BackendError>, place: impl FnOnce() -> String) -> Option<T> {
        result
            .map_err(|error| {
                self.found(Problem::Unreadable { place: place(), error: problem::shortened(error.to_string()) })
            })
            .ok()
    }

    fn check_place(&mut self, leaf_index: u64) {
        self.report.blocks += 1;
        let block = self.backend.block(leaf_index);
        let block = match self.read(block, || format!("block {leaf_index}")) {
            Some(Some(block)) => Some(block),
            Some(None) => {
                self.found(Problem::MissingBlock { leaf_index });
                None
            }
            None => None,
        };
        self.check_log(leaf_index, block.as_ref());
        self.check_frontier(leaf_index);
        let block = block.filter(|block| {
            let found = block.leaf_index();
            if found != leaf_index {
                self.found(Problem::WrongLeafIndex { leaf_index, found });
            }
            found == leaf_index
        });
        let Some(block) = block else {
            (self.is_continuous, self.is_counted) = (false, false);
            return;
        };
        self.check_header(&block);
        self.check_lookups(&block);
        self.check_payload(&block);
        self.count(&block);
        self.parents.put(leaf_index, Remembered::of(&block));
    }

    /// That the way to genesis begins with the parent that is nearest to it.
    fn check_way(&mut self, block: &DagBlock) {
        let leaf_index = block.leaf_index();
        let hops = || -> Result<bool, BackendError> {
            let mut of_parents = Vec::new();
            for parent in block.header().parents.iter() {
                let steps = self.backend.hop(parent.leaf_index)?.map_or(0, |hop| hop.steps);
                of_parents.push((steps, parent.leaf_index));
            }
            let nearest = of_parents.into_iter().min();
            let expected = nearest.map(|(steps, parent)| Hop { steps: steps.saturating_add(1), parent });
            Ok(self.backend.hop(leaf_index)? == expected)
        };
        let is_right = hops();
        if self.read(is_right, || format!("way from block {leaf_index} to genesis")) == Some(false) {
            self.found(Problem::WrongWay { leaf_index });
        }
    }

    /// Header rules that need other blocks, and the edges that follow from the header.
    fn check_header(&mut self, block: &DagBlock) {
        let (leaf_index, header) = (block.leaf_index(), block.header());
        let mut expected = 0;
        let mut are_parents_known = true;
        for parent in header.parents.iter() {
            let Some(known) = self.remembered(parent.leaf_index) else {
                // Reported at its own place, once and not again for each of its children.
                are_parents_known = false;
                continue;
            };
            if known.block_hash != parent.block_hash {
                self.found(Problem::WrongParent { leaf_index, parent: parent.leaf_index });
                are_parents_known = false;
                continue;
            }
            expected = expected.max(known.depth.saturating_add(1));
            if header.timestamp_ms < known.timestamp_ms {
                self.found(Problem::TimeRunsBackwards { leaf_index, parent: parent.leaf_index });
            }
            let listed = self.backend.children(parent.leaf_index, leaf_index.checked_sub(1), 1);
            let listed = self.read(listed, || format!("children of block {}", parent.leaf_index));
            if listed.is_some_and(|listed| listed.first() != Some(&leaf_index)) {
                self.found(Problem::MissingEdge { parent: parent.leaf_index, child: leaf_index });
            }
        }
        // Without all parents, their greatest depth is not known.
        if are_parents_known && header.depth != expected {
            self.found(Problem::WrongDepth { leaf_index, expected, found: header.depth });
        }
        if are_parents_known {
            self.check_way(block);
        }
        if self.is_continuous && header.slices_before != self.counted.slices {
            let (expected, found) = (self.counted.slices, header.slices_before);
            self.found(Problem::WrongSlicesBefore { leaf_index, expected, found });
        }
    }

    fn remembered(&mut self, leaf_index: u64) -> Option<Remembered> {
        if let Some(known) = self.parents.get(&leaf_index) {
            return Some(*known);
        }
        // A parent that cannot be read was reported at its own place.
        let known = Remembered::of(&self.backend.block(leaf_index).ok()??);
        self.parents.put(leaf_index, known);
        Some(known)
    }

    fn check_lookups(&mut self, block: &DagBlock) {
        let (leaf_index, header, backend) = (block.leaf_index(), block.header(), self.backend);
        let before = leaf_index.checked_sub(1);
        let by_hash = backend.find_block(&block.block_hash());
        self.check_lookup(leaf_index, Lookup::Hash, by_hash.map(|found| found == Some(leaf_index)));
        let by_key = backend.find_key(&block.key());
        self.check_lookup(leaf_index, Lookup::Key, by_key.map(|found| found == Some(leaf_index)));
        let by_content = backend.find_content(&header.content_hash, before, 1);
        self.check_lookup(leaf_index, Lookup::Content, by_content.map(|found| found.first() == Some(&leaf_index)));
        let (depth, time) = (header.depth, header.timestamp_ms);
        let by_depth = backend.by_depth(depth..=depth, before.map(|before| (depth, before)), 1);
        let is_there = by_depth.map(|found| found.first() == Some(&(depth, leaf_index)));
        self.check_lookup(leaf_index, Lookup::Depth, is_there);
        let by_time = backend.by_time(time..=time, before.map(|before| (time, before)), 1);
        let is_there = by_time.map(|found| found.first() == Some(&(time, leaf_index)));
        self.check_lookup(leaf_index, Lookup::Time, is_there);
    }

    fn check_lookup(&mut self, leaf_index: u64, by: Lookup, is_there: Result<bool, BackendError>) {
        if self.read(is_there, || format!("block {leaf_index} by its {by}")) == Some(false) {
            self.found(Problem::NotFound { leaf_index, by });
        }
    }

    /// Appends the leaf to the recomputed log and compares the nodes that this completes.
    fn check_log(&mut self, leaf_index: u64, block: Option<&DagBlock>) {
        let leaf = self.backend.log_node(0, leaf_index);
        let leaf = self.read(leaf, || format!("leaf {leaf_index} of the log")).flatten();
        if let (Some(leaf), Some(block)) = (leaf, block)
            && leaf != block.block_hash().to_bytes()
        {
            self.found(Problem::NotFound { leaf_index, by: Lookup::Leaf });
        }
        // A header may be lost while its hash is still known. Without either, all that is above cannot be computed.
        let hash = block.map(DagBlock::block_hash).or(leaf.map(BlockHash::new));
        let Some(hash) = hash else {
            self.log = None;
            return;
        };
        let Some(log) = &mut self.log else { return };
        let mut completed = Vec::new();
        log.append(&hash, |level, index, node| completed.push((level, index, *node)));
        for (level, index, node) in completed {
            let kept = self.backend.log_node(level, index);
            let kept = self.read(kept, || format!("node {index} at level {level} of the log"));
            let state = match kept {
                Some(Some(kept)) if kept == node => continue,
                Some(Some(_)) => NodeState::Wrong,
                Some(None) => NodeState::Missing,
                None => continue,
            };
            self.found(Problem::WrongLogNode { level, index, state });
        }
    }

    /// A block is in the frontier if and only if it has no children.
    fn check_frontier(&mut self, leaf_index: u64) {
        let children = self.backend.child_count(leaf_index);
        let Some(children) = self.read(children, || format!("children of block {leaf_index}")) else { return };
        self.edges_listed = self.edges_listed.saturating_add(children);
        let is_listed = self.next_of_frontier() == Some(leaf_index);
        if is_listed {
            self.frontier.taken = self.frontier.page.pop_front();
        }
        if is_listed != (children == 0) {
            self.found(Problem::WrongFrontier { leaf_index, children });
        }
        self.counted.frontier += u64::from(children == 0);
    }

    fn next_of_frontier(&mut self) -> Option<u64> {
        if self.frontier.page.is_empty() && !self.frontier.is_read {
            let page = self.backend.frontier(self.frontier.after, PAGE);
            let page = self.read(page, || "the frontier".into()).unwrap_or_default();
            self.frontier.is_read = page.len() < PAGE;
            self.frontier.after = page.last().copied();
            self.frontier.page.extend(page);
        }
        self.frontier.page.front().copied()
    }

    fn count(&mut self, block: &DagBlock) {
        let header = block.header();
        let counted = &mut self.counted;
        counted.edges += header.parents.len() as u64;
        counted.depth_max = counted.depth_max.max(header.depth);
        counted.depth_sum = counted.depth_sum.saturating_add(header.depth.into());
        counted.slices = header.slices_through();
        counted.original_bytes = counted.original_bytes.saturating_add(header.original_size);
        counted.referenced_bytes = counted.referenced_bytes.saturating_add(header.stored_size);
        self.is_continuous = true;
    }

    /// What stands behind the last block.
    fn check_end(&mut self) {
        let leaf_index = self.stored.blocks;
        let beyond = self.backend.block(leaf_index);
        if self.read(beyond, || "the end of the log".into()).flatten().is_some() {
            self.found(Problem::BlockBeyondLog { leaf_index });
        }
        if let Some(leaf_index) = self.next_of_frontier() {
            self.found(Problem::WrongFrontier { leaf_index, children: 0 });
        }
        self.report.head = self.log.as_ref().and_then(Accumulator::head);
    }

    /// Counts a page's entries; where the next page begins, and how many entries there are up to it. Each block was found in the
    /// index, so one with as many entries as there are blocks has no others.
    fn check_index_page<K: Copy>(
        &mut self,
        by: Lookup,
        page: Result<Vec<(K, u64)>, BackendError>,
        entries: u64,
    ) -> Option<((K, u64), u64)> {
        let page = self.read(page, || format!("the index by {by}"))?;
        let entries = entries.saturating_add(page.len() as u64);
        self.count_steps(page.len() as u64);
        match page.last() {
            Some(last) if page.len() >= PAGE => Some((*last, entries)),
            _ => {
                // Where blocks are lost, so is what is known of them: that they are was told before.
                let blocks = self.stored.blocks;
                if entries > blocks || (entries < blocks && self.is_counted) {
                    self.found(Problem::WrongIndexSize { by, entries, blocks });
                }
                None
            }
        }
    }

    /// Names the children on a page that are listed without cause; where the next page begins. Only where their number shows that
    /// there are some, or that some lack.
    fn find_surplus_edges(&mut self, parent: u64, after: Option<u64>) -> Option<u64> {
        self.count_steps(1);
        let page = self.backend.children(parent, after, PAGE);
        let page = self.read(page, || format!("children of block {parent}")).unwrap_or_default();
        for child in &page {
            // A child that cannot be read was reported at its own place, unless it is beyond the log.
            let names = match self.backend.block(*child) {
                Ok(Some(block)) => block.header().parents.iter().any(|named| named.leaf_index == parent),
                Ok(None) | Err(_) => *child < self.stored.blocks,
            };
            if !names {
                self.found(Problem::SurplusEdge { parent, child: *child });
            }
        }
        page.last().copied().filter(|_| page.len() >= PAGE)
    }

    fn compare_totals(&mut self) {
        let (stored, counted) = (self.stored, self.counted);
        let of_blocks = [
            ("edges", stored.edges, counted.edges),
            ("the greatest depth", stored.depth_max.into(), counted.depth_max.into()),
            ("depths", stored.depth_sum, counted.depth_sum),
            ("slices", stored.slices, counted.slices),
            ("original bytes", stored.original_bytes, counted.original_bytes),
            ("referenced bytes", stored.referenced_bytes, counted.referenced_bytes),
            ("blocks without children", stored.frontier, counted.frontier),
        ];
        let others = [
            ("unique bytes", stored.unique_bytes, counted.unique_bytes),
            ("stored bytes", stored.stored_bytes, counted.stored_bytes),
            ("chunks", stored.chunks, counted.chunks),
        ];
        // Without all blocks, their sums would only repeat that one is missing.
        let is_counted = self.is_counted;
        for (name, stored, counted) in of_blocks.into_iter().filter(|_| is_counted).chain(others) {
            if stored != counted {
                self.found(Problem::WrongTotal { name, stored, counted });
            }
        }
    }
}

fn head_as_object<S: Serializer>(head: &Option<Head>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(head) = head else { return serializer.serialize_none() };
    let mut object = serializer.serialize_struct("Head", 2)?;
    object.serialize_field("size", &head.size)?;
    object.serialize_field("root", &head.root.to_string())?;
    object.end()
}

#[cfg(test)]
mod tests;
