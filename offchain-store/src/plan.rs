//! Checks a [`WriteBatch`] against what is kept and settles what it changes, before anything is changed.
//!
//! All backends commit through here, so that they refuse the same batches for the same reasons and hand out the same row
//! numbers. A plan holds nothing that still could be refused: a backend only has to carry it out.
//!
//! One rule keeps chunk lists flat. Two chunk sizes may cut the same bytes into one chunk here and into a list of chunks
//! there. Where a list names a chunk whose hash is kept as a list, the list's chunks take its place, so that every list
//! names chunks that hold bytes.

use crate::{
    backend::{
        BackendError, ChunkRef, Hop, LogNode, NewContent, ParentInfo, PayloadInfo, StagingId, StoredChunk, Totals,
        WriteBatch,
    },
    block::DagBlock,
    removal::marks::Mark,
};
use pakit_primitives::{
    ContentHash, MetadataHash,
    hasher::Digest,
    header::{LEAVES_MAX, SIZE_LIMIT},
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Most stored bytes of one chunk or metadata map; what SQLite can hold in a row, with room to spare.
pub(crate) const STORED_BYTES_MAX: usize = 1 << 29;

/// What a payload's row holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PayloadKind {
    /// One chunk's bytes.
    Chunk,
    /// A list of chunks.
    List,
    /// Nothing any more; headers still name the hash.
    Removed,
}

/// A payload that has a hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PayloadRow {
    /// Number of the payload.
    pub(crate) id: u64,
    /// Number under which its chunks are listed. Differs from `id` only within a plan that restores a removed payload.
    pub(crate) list_id: u64,
    pub(crate) kind: PayloadKind,
    pub(crate) original_size: u64,
    pub(crate) stored_size: u64,
}

/// What is checked of a parent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParentRow {
    pub(crate) info: ParentInfo,
    /// Steps from it to genesis.
    pub(crate) steps: u32,
    /// Whether nothing builds on it yet.
    pub(crate) is_frontier: bool,
}

/// A content that is being written in several batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Staging {
    /// Number of its payload.
    pub(crate) id: u64,
    original_size: u64,
    stored_size: u64,
    refs_given: u64,
}

impl Staging {
    /// Number of its payload.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

/// Contents that are being written, by the writer's name for them.
pub(crate) type Stagings = HashMap<StagingId, Staging>;

/// What is kept already.
pub(crate) trait Known {
    /// Sums so far.
    fn totals(&self) -> Result<Totals, BackendError>;
    /// The number of the next payload. Numbers are never given twice, also not those of payloads that were deleted.
    fn payload_next(&self) -> Result<u64, BackendError>;
    /// The payload with a hash.
    fn payload(&self, hash: &ContentHash) -> Result<Option<PayloadRow>, BackendError>;
    /// Offsets and numbers of the chunks listed under a payload's number, in order.
    fn list(&self, id: u64) -> Result<Vec<(u64, u64)>, BackendError>;
    /// A block as far as it matters to its children.
    fn parent(&self, leaf_index: u64) -> Result<Option<ParentRow>, BackendError>;
    /// Whether a metadata map is kept.
    fn has_metadata(&self, hash: &MetadataHash) -> Result<bool, BackendError>;
    /// Whether a block with this content is not forgotten.
    fn is_held(&self, hash: &ContentHash) -> Result<bool, BackendError>;
    /// Those of these payloads that some list names as a chunk. Looks at the lists and believes no count.
    fn listed(&self, ids: &HashSet<u64>) -> Result<HashSet<u64>, BackendError>;
}

/// A payload that goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Removal {
    /// The chunk of this number.
    Chunk(u64),
    /// The list of this number. Its rows go to a number of their own that has no name and no references, so that they are cleared
    /// away in steps, as those of a content that was never completed.
    List { id: u64, rows_to: u64 },
    /// One that had been removed. What was set aside of it goes too.
    Again(u64),
}

/// A list of chunks, begun, continued, completed or dropped.
#[derive(Debug)]
pub(crate) struct ListPlan {
    /// Whether earlier batches wrote the list's row and chunks.
    pub(crate) has_row: bool,
    /// The hash and what is known of the content, if it is complete with this batch.
    pub(crate) name: Option<(ContentHash, PayloadInfo)>,
    /// Number of the removed payload that gets this list.
    pub(crate) restores: Option<u64>,
    /// Offsets and chunk numbers to add.
    pub(crate) rows: Vec<(u64, u64)>,
    /// Whether the list goes instead, with everything that earlier batches wrote of it.
    pub(crate) is_dropped: bool,
}

/// A block and the numbers of what it names.
#[derive(Debug)]
pub(crate) struct BlockPlan {
    pub(crate) block: DagBlock,
    pub(crate) payload_id: u64,
    pub(crate) hop: Option<Hop>,
}

impl BlockPlan {
    /// Steps from the block to genesis.
    pub(crate) fn steps(&self) -> u32 {
        self.hop.map_or(0, |hop| hop.steps)
    }
}

/// All that a batch changes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// New payloads of one chunk, with their numbers, ascending.
    pub(crate) chunks: Vec<(u64, StoredChunk)>,
    /// Chunks of removed payloads, with the payloads' numbers.
    pub(crate) restored: Vec<(u64, StoredChunk)>,
    /// New payloads of which only hash and size are known, with their numbers, ascending.
    pub(crate) absent: Vec<(u64, ContentHash, u64)>,
    /// Lists by number.
    pub(crate) lists: BTreeMap<u64, ListPlan>,
    /// By how much the count of references to a payload grows.
    pub(crate) refs: BTreeMap<u64, u64>,
    /// Metadata maps that are not kept yet.
    pub(crate) metadata: Vec<(MetadataHash, Vec<u8>)>,
    /// Blocks in log order.
    pub(crate) blocks: Vec<BlockPlan>,
    /// (parent, child), ascending.
    pub(crate) edges: Vec<(u64, u64)>,
    /// Earlier blocks that are no longer without children.
    pub(crate) frontier_left: BTreeSet<u64>,
    /// Blocks of this batch without children.
    pub(crate) frontier_joined: BTreeSet<u64>,
    /// Inner nodes of the log.
    pub(crate) log_nodes: Vec<LogNode>,
    /// Sums afterwards.
    pub(crate) totals: Totals,
    /// The next payload's number before: numbers below it had a row.
    pub(crate) payload_first: u64,
    /// The next payload's number afterwards.
    pub(crate) payload_next: u64,
    /// Contents being written afterwards.
    pub(crate) stagings: Stagings,
    /// Audit blocks of this batch.
    pub(crate) audits: Vec<u64>,
    /// Changes of marks, in order.
    pub(crate) marks: Vec<Mark>,
    /// Named values.
    pub(crate) settings: Vec<(String, Vec<u8>)>,
    /// Payloads that go.
    pub(crate) removed: Vec<Removal>,
}

impl Plan {
    /// Checks a batch and settles what it changes.
    pub(crate) fn new(known: &impl Known, stagings: &Stagings, batch: WriteBatch) -> Result<Self, BackendError> {
        let WriteBatch {
            chunks,
            staged,
            abandoned,
            contents,
            absent,
            metadata,
            blocks,
            log_nodes,
            audits,
            marks,
            settings,
            removed,
        } = batch;
        let mut planner = Planner::new(known, stagings.clone())?;
        for chunk in chunks {
            planner.chunk(chunk)?;
        }
        for (staging_id, refs) in staged {
            planner.stage(staging_id, &refs)?;
        }
        for staging_id in abandoned {
            planner.abandon(staging_id)?;
        }
        for content in contents {
            planner.content(content)?;
        }
        for (content_hash, original_size) in absent {
            planner.absent(content_hash, original_size)?;
        }
        planner.metadata(metadata)?;
        let size_before = planner.plan.totals.blocks;
        for block in blocks {
            planner.block(block)?;
        }
        planner.plan.totals.frontier = (planner.plan.totals.frontier + planner.plan.frontier_joined.len() as u64)
            .checked_sub(planner.plan.frontier_left.len() as u64)
            .ok_or_else(|| BackendError::Damaged("more blocks leave the frontier than it has".into()))?;
        planner.plan.edges.sort_unstable();
        check_log_nodes(size_before, planner.plan.totals.blocks, &log_nodes)?;
        planner.plan.log_nodes = log_nodes;
        planner.mark(size_before, audits, marks)?;
        planner.plan.settings = settings;
        planner.remove(&removed)?;
        Ok(planner.plan)
    }

    /// Hashes that are kept after this plan and were not before, or may not have been.
    pub(crate) fn new_keys(&self) -> impl Iterator<Item = Digest> {
        let chunks = self.chunks.iter().map(|(_, chunk)| chunk.chunk_hash.to_bytes());
        let lists = self.lists.values().filter(|list| !list.is_dropped);
        let contents = lists.filter_map(|list| list.name.map(|(hash, _)| hash.to_bytes()));
        let absent = self.absent.iter().map(|(_, hash, _)| hash.to_bytes());
        chunks
            .chain(contents)
            .chain(absent)
            .chain(self.blocks.iter().map(|planned| planned.block.block_hash().to_bytes()))
    }
}

struct Planner<'a, K> {
    known: &'a K,
    plan: Plan,
    /// Payloads that this batch adds or restores, and those that were looked up.
    payloads: HashMap<ContentHash, PayloadRow>,
    /// Parents that were looked up.
    parents: HashMap<u64, ParentRow>,
    metadata: HashSet<MetadataHash>,
    /// Contents that blocks of this batch may name although they are not kept.
    absent: HashSet<ContentHash>,
}

impl<'a, K: Known> Planner<'a, K> {
    fn new(known: &'a K, stagings: Stagings) -> Result<Self, BackendError> {
        let payload_first = known.payload_next()?;
        let plan = Plan {
            chunks: Vec::new(),
            restored: Vec::new(),
            absent: Vec::new(),
            lists: BTreeMap::new(),
            refs: BTreeMap::new(),
            metadata: Vec::new(),
            blocks: Vec::new(),
            edges: Vec::new(),
            frontier_left: BTreeSet::new(),
            frontier_joined: BTreeSet::new(),
            log_nodes: Vec::new(),
            totals: known.totals()?,
            payload_first,
            payload_next: payload_first,
            stagings,
            audits: Vec::new(),
            marks: Vec::new(),
            settings: Vec::new(),
            removed: Vec::new(),
        };
        Ok(Self {
            known,
            plan,
            payloads: HashMap::new(),
            parents: HashMap::new(),
            metadata: HashSet::new(),
            absent: HashSet::new(),
        })
    }

    fn payload(&mut self, hash: &ContentHash) -> Result<Option<PayloadRow>, BackendError> {
        if let Some(row) = self.payloads.get(hash) {
            return Ok(Some(*row));
        }
        let row = self.known.payload(hash)?;
        if let Some(row) = row {
            self.payloads.insert(*hash, row);
        }
        Ok(row)
    }

    fn next_id(&mut self) -> u64 {
        let id = self.plan.payload_next;
        self.plan.payload_next += 1;
        id
    }

    fn chunk(&mut self, chunk: StoredChunk) -> Result<(), BackendError> {
        if chunk.bytes.len() > STORED_BYTES_MAX {
            return Err(BackendError::BatchMisfit("a chunk is larger than a row can be"));
        }
        let old = self.payload(&chunk.chunk_hash)?;
        let id = match old {
            Some(row) if row.kind != PayloadKind::Removed => return Ok(()),
            Some(row) => row.id,
            None => self.next_id(),
        };
        let row = PayloadRow {
            id,
            list_id: id,
            kind: PayloadKind::Chunk,
            original_size: u64::from(chunk.original_size),
            stored_size: chunk.bytes.len() as u64,
        };
        let totals = &mut self.plan.totals;
        add(&mut totals.chunks, 1)?;
        add(&mut totals.unique_bytes, row.original_size)?;
        add(&mut totals.stored_bytes, row.stored_size)?;
        self.payloads.insert(chunk.chunk_hash, row);
        let kept = if old.is_some() { &mut self.plan.restored } else { &mut self.plan.chunks };
        kept.push((id, chunk));
        Ok(())
    }

    fn stage(&mut self, staging_id: StagingId, refs: &[ChunkRef]) -> Result<(), BackendError> {
        let mut staging = match self.plan.stagings.get(&staging_id) {
            Some(staging) => *staging,
            None => self.open_list(),
        };
        self.append(&mut staging, refs)?;
        self.plan.stagings.insert(staging_id, staging);
        Ok(())
    }

    fn open_list(&mut self) -> Staging {
        let id = self.next_id();
        self.plan.lists.insert(id, ListPlan::new(false));
        Staging { id, original_size: 0, stored_size: 0, refs_given: 0 }
    }

    fn append(&mut self, staging: &mut Staging, refs: &[ChunkRef]) -> Result<(), BackendError> {
        let mut rows = Vec::with_capacity(refs.len());
        for chunk in refs {
            let row = match self.payload(&chunk.chunk_hash)? {
                Some(row) if row.kind != PayloadKind::Removed => row,
                _ => return Err(BackendError::BatchMisfit("a content names a chunk that is not kept")),
            };
            if chunk.original_size == 0 || row.original_size != u64::from(chunk.original_size) {
                return Err(BackendError::BatchMisfit("a content gives a chunk another size"));
            }
            if chunk.offset != staging.original_size {
                return Err(BackendError::BatchMisfit("the chunks of a content do not follow each other"));
            }
            match row.kind {
                PayloadKind::List => {
                    for (offset, chunk_id) in self.listed(row.list_id)? {
                        rows.push((chunk.offset + offset, chunk_id));
                    }
                }
                PayloadKind::Chunk | PayloadKind::Removed => rows.push((chunk.offset, row.id)),
            }
            staging.original_size += row.original_size;
            staging.stored_size += row.stored_size;
            staging.refs_given += 1;
            if staging.original_size >= SIZE_LIMIT || staging.stored_size >= SIZE_LIMIT {
                return Err(BackendError::BatchMisfit("a content is larger than a content can be"));
            }
        }
        for (_, chunk_id) in &rows {
            *self.plan.refs.entry(*chunk_id).or_default() += 1;
        }
        self.plan.lists.entry(staging.id).or_insert_with(|| ListPlan::new(true)).rows.append(&mut rows);
        Ok(())
    }

    /// All chunks of a list, wherever they stand by now.
    fn listed(&self, list_id: u64) -> Result<Vec<(u64, u64)>, BackendError> {
        match self.plan.lists.get(&list_id) {
            Some(list) if list.has_row => {
                let mut rows = self.known.list(list_id)?;
                rows.extend_from_slice(&list.rows);
                Ok(rows)
            }
            Some(list) => Ok(list.rows.clone()),
            None => self.known.list(list_id),
        }
    }

    fn abandon(&mut self, staging_id: StagingId) -> Result<(), BackendError> {
        let staging = self
            .plan
            .stagings
            .remove(&staging_id)
            .ok_or(BackendError::BatchMisfit("a content is given up that was not begun"))?;
        self.drop_list(staging.id);
        Ok(())
    }

    /// Takes back what this plan added to a list, and lets the backend take back the rest.
    fn drop_list(&mut self, id: u64) {
        let list = self.plan.lists.entry(id).or_insert_with(|| ListPlan::new(true));
        list.is_dropped = true;
        for (_, chunk_id) in std::mem::take(&mut list.rows) {
            if let Some(refs) = self.plan.refs.get_mut(&chunk_id) {
                *refs = refs.saturating_sub(1);
            }
        }
        if !list.has_row {
            self.plan.lists.remove(&id);
        }
    }

    fn content(&mut self, content: NewContent) -> Result<(), BackendError> {
        let NewContent { content_hash, info, staged, chunks } = content;
        let mut staging = match staged {
            Some(staging_id) => self
                .plan
                .stagings
                .remove(&staging_id)
                .ok_or(BackendError::BatchMisfit("a content continues one that was not begun"))?,
            None => self.open_list(),
        };
        let old = self.payload(&content_hash)?;
        // Of a removed one only the hash counts: whatever has it has its size.
        if old.is_some_and(|row| row.kind != PayloadKind::Removed && row.original_size != info.original_size) {
            return Err(BackendError::BatchMisfit("a content is kept with another size"));
        }
        if old.is_some_and(|row| row.kind != PayloadKind::Removed) {
            self.drop_list(staging.id);
            return Ok(());
        }
        self.append(&mut staging, &chunks)?;
        if !info.is_kept || staging.original_size != info.original_size || staging.stored_size != info.stored_size {
            return Err(BackendError::BatchMisfit("a content is not the sum of its chunks"));
        }
        if staging.refs_given < 2 {
            return Err(BackendError::BatchMisfit("a content of one chunk is given as a list"));
        }
        let list = self.plan.lists.entry(staging.id).or_insert_with(|| ListPlan::new(true));
        list.name = Some((content_hash, info));
        list.restores = old.map(|row| row.id);
        let row = PayloadRow {
            id: list.restores.unwrap_or(staging.id),
            list_id: staging.id,
            kind: PayloadKind::List,
            original_size: info.original_size,
            stored_size: info.stored_size,
        };
        self.payloads.insert(content_hash, row);
        Ok(())
    }

    /// A content that is named and not kept gets a row that says so, unless it has one.
    fn absent(&mut self, content_hash: ContentHash, original_size: u64) -> Result<(), BackendError> {
        if original_size >= SIZE_LIMIT {
            return Err(BackendError::BatchMisfit("a content is larger than a content can be"));
        }
        self.absent.insert(content_hash);
        match self.payload(&content_hash)? {
            Some(row) if row.original_size != original_size => {
                Err(BackendError::BatchMisfit("a content is known with another size"))
            }
            Some(_) => Ok(()),
            None => {
                let id = self.next_id();
                let row = PayloadRow { id, list_id: id, kind: PayloadKind::Removed, original_size, stored_size: 0 };
                self.payloads.insert(content_hash, row);
                self.plan.absent.push((id, content_hash, original_size));
                Ok(())
            }
        }
    }

    fn metadata(&mut self, maps: Vec<(MetadataHash, Vec<u8>)>) -> Result<(), BackendError> {
        for (hash, map) in maps {
            if !hash.is_some() {
                return Err(BackendError::BatchMisfit("a metadata map is given under the hash of none"));
            }
            if map.len() > STORED_BYTES_MAX {
                return Err(BackendError::BatchMisfit("a metadata map is larger than a row can be"));
            }
            let is_new = self.metadata.insert(hash) && !self.known.has_metadata(&hash)?;
            if is_new {
                self.plan.metadata.push((hash, map));
            }
        }
        Ok(())
    }

    fn block(&mut self, block: DagBlock) -> Result<(), BackendError> {
        let header = block.header();
        if header.leaf_index != self.plan.totals.blocks {
            return Err(BackendError::BatchMisfit("a block does not stand at the end of the log"));
        }
        if header.slices_before != self.plan.totals.slices {
            return Err(BackendError::BatchMisfit("a block counts other slices before it"));
        }
        self.check_parents(&block)?;
        let payload = match self.payload(&header.content_hash)? {
            Some(row) if row.kind != PayloadKind::Removed || self.absent.contains(&header.content_hash) => row,
            _ => return Err(BackendError::BatchMisfit("a block's content is not kept")),
        };
        if payload.original_size != header.original_size {
            return Err(BackendError::BatchMisfit("a block gives its content another size"));
        }
        if header.metadata_hash.is_some()
            && !self.metadata.contains(&header.metadata_hash)
            && !self.known.has_metadata(&header.metadata_hash)?
        {
            return Err(BackendError::BatchMisfit("a block's metadata is not kept"));
        }
        self.sum_up(&block)?;
        *self.plan.refs.entry(payload.id).or_default() += 1;
        let hop = self.hop(&block);
        self.link(&block, hop.map_or(0, |hop| hop.steps));
        self.plan.blocks.push(BlockPlan { block, payload_id: payload.id, hop });
        Ok(())
    }

    /// Through the parent that is nearest to genesis, the earliest of several. All of them were looked up.
    fn hop(&self, block: &DagBlock) -> Option<Hop> {
        let parents = block.header().parents.iter().filter_map(|parent| self.parents.get(&parent.leaf_index));
        let nearest = parents.min_by_key(|row| (row.steps, row.info.leaf_index))?;
        Some(Hop { steps: nearest.steps.saturating_add(1), parent: nearest.info.leaf_index })
    }

    fn check_parents(&mut self, block: &DagBlock) -> Result<(), BackendError> {
        let header = block.header();
        let mut depth = 0;
        for parent in header.parents.iter() {
            let row = match self.parents.get(&parent.leaf_index) {
                Some(row) => *row,
                None => self
                    .known
                    .parent(parent.leaf_index)?
                    .ok_or(BackendError::BatchMisfit("a block names a parent that is not there"))?,
            };
            self.parents.insert(parent.leaf_index, row);
            if row.info.block_hash != parent.block_hash {
                return Err(BackendError::BatchMisfit("a block names a parent by another hash"));
            }
            if header.timestamp_ms < row.info.timestamp_ms {
                return Err(BackendError::BatchMisfit("a block is older than its parent"));
            }
            depth = depth.max(row.info.depth.saturating_add(1));
        }
        if header.depth == depth {
            Ok(())
        } else {
            Err(BackendError::BatchMisfit("a block's depth does not follow from its parents"))
        }
    }

    fn sum_up(&mut self, block: &DagBlock) -> Result<(), BackendError> {
        let header = block.header();
        let totals = &mut self.plan.totals;
        add(&mut totals.blocks, 1)?;
        add(&mut totals.edges, header.parents.len() as u64)?;
        add(&mut totals.depth_sum, u64::from(header.depth))?;
        add(&mut totals.original_bytes, header.original_size)?;
        add(&mut totals.referenced_bytes, header.stored_size)?;
        totals.depth_max = totals.depth_max.max(header.depth);
        totals.slices = header.slices_through();
        Ok(())
    }

    /// Whatever is decided is told by an audit block of the same batch.
    fn mark(&mut self, size_before: u64, audits: Vec<u64>, marks: Vec<Mark>) -> Result<(), BackendError> {
        let size = self.plan.totals.blocks;
        if !audits.is_sorted_by(|a, b| a < b) || audits.iter().any(|audit| !(size_before..size).contains(audit)) {
            return Err(BackendError::BatchMisfit("an audit block is not one of the batch's blocks"));
        }
        for mark in &marks {
            let (leaf_index, audit) = match *mark {
                Mark::Forget { leaf_index, audit } => (leaf_index, Some(audit)),
                Mark::Pin(pin) => (pin.leaf_index, Some(pin.audit)),
                Mark::Restore { leaf_index } | Mark::Unpin { leaf_index } => (leaf_index, None),
            };
            if leaf_index >= size {
                return Err(BackendError::BatchMisfit("a mark is for a block that is not there"));
            }
            if audits.is_empty() || audit.is_some_and(|audit| audits.binary_search(&audit).is_err()) {
                return Err(BackendError::BatchMisfit("a mark is told by no audit block of the batch"));
            }
        }
        (self.plan.audits, self.plan.marks) = (audits, marks);
        Ok(())
    }

    fn remove(&mut self, hashes: &[ContentHash]) -> Result<(), BackendError> {
        let mut chunks = HashSet::new();
        for hash in hashes {
            let row = self
                .payload(hash)?
                .ok_or(BackendError::BatchMisfit("a content is to be removed that was never kept"))?;
            let is_new = row.id >= self.plan.payload_first || row.list_id != row.id;
            if is_new || self.plan.refs.get(&row.id).is_some_and(|refs| *refs > 0) {
                return Err(BackendError::BatchMisfit("a content is to be removed that the batch names"));
            }
            if self.known.is_held(hash)? {
                return Err(BackendError::BatchMisfit("a content is to be removed that a block holds"));
            }
            let removal = match row.kind {
                PayloadKind::Chunk => {
                    chunks.insert(row.id);
                    self.take_from_totals(&row)?;
                    Removal::Chunk(row.id)
                }
                PayloadKind::List => Removal::List { id: row.id, rows_to: self.next_id() },
                PayloadKind::Removed => Removal::Again(row.id),
            };
            self.plan.removed.push(removal);
            self.payloads.insert(*hash, PayloadRow { kind: PayloadKind::Removed, stored_size: 0, ..row });
        }
        if !chunks.is_empty() && !self.known.listed(&chunks)?.is_empty() {
            return Err(BackendError::BatchMisfit("a content is to be removed that is a chunk of another one"));
        }
        Ok(())
    }

    fn take_from_totals(&mut self, row: &PayloadRow) -> Result<(), BackendError> {
        let totals = &mut self.plan.totals;
        let sums = [
            (&mut totals.chunks, 1),
            (&mut totals.unique_bytes, row.original_size),
            (&mut totals.stored_bytes, row.stored_size),
        ];
        for (sum, less) in sums {
            *sum = sum
                .checked_sub(less)
                .ok_or_else(|| BackendError::Damaged("the totals are below what is kept".into()))?;
        }
        Ok(())
    }

    fn link(&mut self, block: &DagBlock, steps: u32) {
        let leaf_index = block.leaf_index();
        for parent in block.header().parents.iter() {
            self.plan.edges.push((parent.leaf_index, leaf_index));
            if let Some(row) = self.parents.get_mut(&parent.leaf_index)
                && std::mem::take(&mut row.is_frontier)
                && !self.plan.frontier_joined.remove(&parent.leaf_index)
            {
                self.plan.frontier_left.insert(parent.leaf_index);
            }
        }
        self.plan.frontier_joined.insert(leaf_index);
        self.parents.insert(leaf_index, ParentRow { info: block.into(), steps, is_frontier: true });
    }
}

impl ListPlan {
    fn new(has_row: bool) -> Self {
        Self { has_row, name: None, restores: None, rows: Vec::new(), is_dropped: false }
    }
}

fn add(sum: &mut u64, more: u64) -> Result<(), BackendError> {
    // Rows hold signed numbers; no repository comes near.
    *sum = sum
        .checked_add(more)
        .filter(|sum| i64::try_from(*sum).is_ok())
        .ok_or(BackendError::BatchMisfit("the sums over the repository overflow"))?;
    Ok(())
}

/// The nodes that leaf `i` completes are those on levels 1 to the number of trailing 1 bits of `i`.
fn check_log_nodes(size_before: u64, size: u64, nodes: &[LogNode]) -> Result<(), BackendError> {
    let expected = (size_before..size)
        .flat_map(|leaf| (1..=leaf.trailing_ones()).map(move |level| node_number(level, leaf >> level)));
    let mut expected: Vec<Option<u64>> = expected.collect();
    let mut given: Vec<Option<u64>> = nodes.iter().map(|node| node_number(node.level, node.index)).collect();
    expected.sort_unstable();
    given.sort_unstable();
    if expected == given {
        Ok(())
    } else {
        Err(BackendError::BatchMisfit("the log nodes are not those that the blocks complete"))
    }
}

/// Number of an inner node in the order in which one walks the tree, which is nearly the order of appending:
/// index x 2^(level + 1) + 2^level - 1. `None` for a node that no log has, and for leaves.
pub(crate) fn node_number(level: u32, index: u64) -> Option<u64> {
    let span = 1u64.checked_shl(level).filter(|span| *span > 1 && *span <= LEAVES_MAX)?;
    (index < LEAVES_MAX / span).then(|| index * span * 2 + span - 1)
}
