//! A small repository in memory, and one that lies, for tests of what reads the DAG.

#![allow(clippy::unwrap_used)]

use crate::{
    backend::{BackendError, BlockKey, ChunkRef, DagBackend, NewContent, PayloadInfo, StoredChunk, Totals, WriteBatch},
    block::{DagBlock, DagBuilder, NewBlock},
    log::LogAppender,
    memory::MemoryBackend,
    parents::{self, Overlay, ParentSelectionStrategy},
    removal::{BlockMark, MarkTotals, Marks, Pin},
    setting,
};
use pakit_primitives::{BlockHash, Compression, ContentHash, MetadataHash, hasher::Digest};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    sync::Arc,
};

/// When the block at leaf index 0 of a [`Repository`] was made; each later one is a millisecond later.
pub(crate) const GENESIS_TIME_MS: u64 = 1_000;

pub(crate) struct Repository {
    pub(crate) backend: Arc<dyn DagBackend>,
    builder: DagBuilder,
    log: LogAppender,
}

impl Repository {
    pub(crate) fn empty() -> Self {
        Self::on(Arc::new(MemoryBackend::new()))
    }

    pub(crate) fn on(backend: Arc<dyn DagBackend>) -> Self {
        setting::set(&*backend);
        let log = LogAppender::resume(&*backend).unwrap();
        assert_eq!(log.size(), 0);
        Self { backend, builder: DagBuilder::new(0, 0), log }
    }

    /// One block per list of parents, the first of them without.
    pub(crate) fn of(parents: &[&[u64]]) -> Self {
        let mut repository = Self::empty();
        for parents in parents {
            repository.add(parents);
        }
        repository
    }

    pub(crate) fn grown(strategy: ParentSelectionStrategy, blocks: u64, seed: u64) -> Self {
        let mut repository = Self::empty();
        repository.grow(strategy, blocks, seed);
        repository
    }

    pub(crate) fn grow(&mut self, strategy: ParentSelectionStrategy, blocks: u64, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut overlay = Overlay::new(self.backend.clone()).unwrap();
        for _ in 0..blocks {
            let block = self.add(&parents::select(strategy, &overlay, &mut rng).unwrap());
            overlay.append(&block);
            overlay.commit_begins();
            overlay.committed();
        }
    }

    pub(crate) fn block(&self, leaf_index: u64) -> DagBlock {
        self.backend.block(leaf_index).unwrap().unwrap()
    }

    pub(crate) fn hash(&self, leaf_index: u64) -> BlockHash {
        self.block(leaf_index).block_hash()
    }

    /// A raw block with a content of its own.
    pub(crate) fn add(&mut self, parents: &[u64]) -> DagBlock {
        let content = format!("content {}", self.builder.leaf_index());
        self.add_chunked(parents, &[content.as_bytes()], WriteBatch::default(), |_| ())
    }

    /// A block whose content is these chunks, with what else `batch` holds and what `change` makes of it.
    pub(crate) fn add_chunked(
        &mut self,
        parents: &[u64],
        chunks: &[&[u8]],
        mut batch: WriteBatch,
        change: impl FnOnce(&mut NewBlock),
    ) -> DagBlock {
        let whole = chunks.concat();
        let mut content = NewBlock::raw(&whole);
        change(&mut content);
        let mut listed = Vec::new();
        let mut offset = 0;
        for chunk in chunks {
            let chunk_hash = NewBlock::raw(chunk).content_hash;
            let original_size = chunk.len() as u32;
            let compression = Compression::None;
            batch.chunks.push(StoredChunk { chunk_hash, compression, original_size, bytes: chunk.to_vec() });
            listed.push(ChunkRef { offset, chunk_hash, original_size });
            offset += u64::from(original_size);
        }
        if chunks.len() > 1 {
            let info = PayloadInfo {
                original_size: whole.len() as u64,
                stored_size: whole.len() as u64,
                compression: Compression::None,
                is_kept: true,
            };
            batch.contents.push(NewContent { content_hash: content.content_hash, info, staged: None, chunks: listed });
        }
        let parents: Vec<DagBlock> = parents.iter().map(|parent| self.block(*parent)).collect();
        let time_ms = GENESIS_TIME_MS + self.builder.leaf_index();
        let block = self.builder.block(content, time_ms, &parents).unwrap();
        self.builder.advance(&block);
        self.log.append(&block, &mut batch.log_nodes).unwrap();
        batch.blocks.push(block.clone());
        self.backend.commit(batch).unwrap();
        block
    }
}

/// A backend that gives other answers to some questions.
pub(crate) struct Altered {
    pub(crate) inner: Arc<dyn DagBackend>,
    pub(crate) totals: Option<Totals>,
    pub(crate) blocks: HashMap<u64, Option<DagBlock>>,
    /// Blocks that cannot be read.
    pub(crate) unreadable: HashSet<u64>,
    /// Block hashes, keys and contents that are not found.
    pub(crate) lost_hashes: HashSet<BlockHash>,
    pub(crate) lost_keys: HashSet<BlockKey>,
    pub(crate) contents: HashMap<ContentHash, Vec<u64>>,
    pub(crate) log_nodes: HashMap<(u32, u64), Option<Digest>>,
    pub(crate) children: HashMap<u64, Vec<u64>>,
    pub(crate) frontier: Option<Vec<u64>>,
    pub(crate) by_depth: Option<Vec<(u32, u64)>>,
    pub(crate) by_time: Option<Vec<(u64, u64)>>,
    pub(crate) payloads: HashMap<ContentHash, Option<PayloadInfo>>,
    pub(crate) chunk_lists: HashMap<ContentHash, Vec<ChunkRef>>,
    pub(crate) chunks: HashMap<ContentHash, Option<StoredChunk>>,
    pub(crate) metadata: HashMap<MetadataHash, Option<Vec<u8>>>,
    pub(crate) marks: HashMap<u64, BlockMark>,
    pub(crate) pins: Option<Vec<Pin>>,
    pub(crate) audits: Option<Vec<u64>>,
}

impl Altered {
    pub(crate) fn new(inner: Arc<dyn DagBackend>) -> Self {
        Self {
            inner,
            totals: None,
            blocks: HashMap::new(),
            unreadable: HashSet::new(),
            lost_hashes: HashSet::new(),
            lost_keys: HashSet::new(),
            contents: HashMap::new(),
            log_nodes: HashMap::new(),
            children: HashMap::new(),
            frontier: None,
            by_depth: None,
            by_time: None,
            payloads: HashMap::new(),
            chunk_lists: HashMap::new(),
            chunks: HashMap::new(),
            metadata: HashMap::new(),
            marks: HashMap::new(),
            pins: None,
            audits: None,
        }
    }
}

fn paged<T: Copy + Ord>(items: &[T], after: Option<T>, limit: usize) -> Vec<T> {
    items.iter().copied().filter(|item| after.is_none_or(|after| *item > after)).take(limit).collect()
}

impl DagBackend for Altered {
    fn totals(&self) -> Result<Totals, BackendError> {
        self.totals.map_or_else(|| self.inner.totals(), Ok)
    }

    fn block(&self, leaf_index: u64) -> Result<Option<DagBlock>, BackendError> {
        if self.unreadable.contains(&leaf_index) {
            return Err(BackendError::Damaged("a header does not match its hash".into()));
        }
        self.blocks.get(&leaf_index).map_or_else(|| self.inner.block(leaf_index), |block| Ok(block.clone()))
    }

    fn find_block(&self, block_hash: &BlockHash) -> Result<Option<u64>, BackendError> {
        if self.lost_hashes.contains(block_hash) { Ok(None) } else { self.inner.find_block(block_hash) }
    }

    fn find_blocks(
        &self,
        hashes: RangeInclusive<BlockHash>,
        limit: usize,
    ) -> Result<Vec<(BlockHash, u64)>, BackendError> {
        let found = self.inner.find_blocks(hashes, limit)?;
        Ok(found.into_iter().filter(|(hash, _)| !self.lost_hashes.contains(hash)).collect())
    }

    fn find_key(&self, key: &BlockKey) -> Result<Option<u64>, BackendError> {
        if self.lost_keys.contains(key) { Ok(None) } else { self.inner.find_key(key) }
    }

    fn find_content(
        &self,
        content_hash: &ContentHash,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, BackendError> {
        match self.contents.get(content_hash) {
            Some(blocks) => Ok(paged(blocks, after, limit)),
            None => self.inner.find_content(content_hash, after, limit),
        }
    }

    fn hop(&self, leaf_index: u64) -> Result<Option<crate::backend::Hop>, BackendError> {
        self.inner.hop(leaf_index)
    }

    fn log_node(&self, level: u32, index: u64) -> Result<Option<Digest>, BackendError> {
        self.log_nodes.get(&(level, index)).map_or_else(|| self.inner.log_node(level, index), |node| Ok(*node))
    }

    fn children(&self, leaf_index: u64, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        match self.children.get(&leaf_index) {
            Some(children) => Ok(paged(children, after, limit)),
            None => self.inner.children(leaf_index, after, limit),
        }
    }

    fn child_count_at(&self, leaf_index: u64) -> Result<(u64, u64), BackendError> {
        let (children, blocks) = self.inner.child_count_at(leaf_index)?;
        let altered = self.children.get(&leaf_index).map(|children| children.len() as u64);
        Ok((altered.unwrap_or(children), blocks))
    }

    fn frontier(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        match &self.frontier {
            Some(blocks) => Ok(paged(blocks, after, limit)),
            None => self.inner.frontier(after, limit),
        }
    }

    fn by_depth(
        &self,
        depths: RangeInclusive<u32>,
        after: Option<(u32, u64)>,
        limit: usize,
    ) -> Result<Vec<(u32, u64)>, BackendError> {
        let Some(entries) = &self.by_depth else { return self.inner.by_depth(depths, after, limit) };
        let within: Vec<_> = entries.iter().copied().filter(|(depth, _)| depths.contains(depth)).collect();
        Ok(paged(&within, after, limit))
    }

    fn by_time(
        &self,
        times_ms: RangeInclusive<u64>,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<(u64, u64)>, BackendError> {
        let Some(entries) = &self.by_time else { return self.inner.by_time(times_ms, after, limit) };
        let within: Vec<_> = entries.iter().copied().filter(|(time, _)| times_ms.contains(time)).collect();
        Ok(paged(&within, after, limit))
    }

    fn payload(&self, content_hash: &ContentHash) -> Result<Option<PayloadInfo>, BackendError> {
        self.payloads.get(content_hash).map_or_else(|| self.inner.payload(content_hash), |payload| Ok(*payload))
    }

    fn chunks(&self, content_hash: &ContentHash, from: u64, limit: usize) -> Result<Vec<ChunkRef>, BackendError> {
        let Some(list) = self.chunk_lists.get(content_hash) else {
            return self.inner.chunks(content_hash, from, limit);
        };
        let is_wanted = |chunk: &&ChunkRef| chunk.offset + u64::from(chunk.original_size) > from;
        Ok(list.iter().filter(is_wanted).take(limit).copied().collect())
    }

    fn chunk(&self, chunk_hash: &ContentHash) -> Result<Option<StoredChunk>, BackendError> {
        self.chunks.get(chunk_hash).map_or_else(|| self.inner.chunk(chunk_hash), |chunk| Ok(chunk.clone()))
    }

    fn metadata(&self, metadata_hash: &MetadataHash) -> Result<Option<Vec<u8>>, BackendError> {
        self.metadata.get(metadata_hash).map_or_else(|| self.inner.metadata(metadata_hash), |map| Ok(map.clone()))
    }

    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, BackendError> {
        self.inner.setting(key)
    }

    fn set_setting(&self, key: &str, value: &[u8]) -> Result<(), BackendError> {
        self.inner.set_setting(key, value)
    }

    fn commit(&self, batch: WriteBatch) -> Result<(), BackendError> {
        self.inner.commit(batch)
    }

    fn chunk_hashes(&self, after: Option<ContentHash>, limit: usize) -> Result<Vec<ContentHash>, BackendError> {
        self.inner.chunk_hashes(after, limit)
    }
}

impl Marks for Altered {
    fn mark(&self, leaf_index: u64) -> Result<BlockMark, BackendError> {
        self.marks.get(&leaf_index).map_or_else(|| self.inner.mark(leaf_index), |mark| Ok(*mark))
    }
    fn forgotten(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        self.inner.forgotten(after, limit)
    }
    fn pins(&self, after: Option<u64>, limit: usize) -> Result<Vec<Pin>, BackendError> {
        match &self.pins {
            Some(pins) => Ok(pins
                .iter()
                .filter(|pin| after.is_none_or(|after| pin.leaf_index > after))
                .take(limit)
                .copied()
                .collect()),
            None => self.inner.pins(after, limit),
        }
    }
    fn audits(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        match &self.audits {
            Some(audits) => Ok(paged(audits, after, limit)),
            None => self.inner.audits(after, limit),
        }
    }
    fn audit_count(&self) -> Result<u64, BackendError> {
        self.inner.audit_count()
    }

    fn of_codec(&self, codec: u32, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError> {
        self.inner.of_codec(codec, after, limit)
    }
    fn mark_totals(&self) -> Result<MarkTotals, BackendError> {
        self.inner.mark_totals()
    }
    fn listed(
        &self,
        contents: &[ContentHash],
        except: &dyn Fn(&ContentHash) -> Result<bool, BackendError>,
    ) -> Result<Vec<bool>, BackendError> {
        self.inner.listed(contents, except)
    }
    fn clear_unnamed(&self) -> Result<bool, BackendError> {
        self.inner.clear_unnamed()
    }
}
