//! A log without a store, for tests of what reads logs: it counts reads and can lose nodes.

#![allow(clippy::unwrap_used)]

use super::LogAppender;
use crate::{
    backend::{BackendError, BlockKey, ChunkRef, DagBackend, LogNode, PayloadInfo, StoredChunk, Totals, WriteBatch},
    block::{DagBlock, DagBuilder, NewBlock},
    removal::{BlockMark, MarkTotals, Marks, Pin},
};
use pakit_primitives::{BlockHash, ContentHash, MetadataHash, hasher::Digest};
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::atomic::{AtomicUsize, Ordering},
};

/// When the genesis block of a [`TestLog`] was made.
const GENESIS_TIME_MS: u64 = 1_700_000_000_000;

#[derive(Default)]
pub(crate) struct TestLog {
    pub(crate) blocks: Vec<DagBlock>,
    pub(crate) nodes: BTreeMap<(u32, u64), Digest>,
    pub(crate) node_reads: AtomicUsize,
}

/// The content of a block of [`TestLog::grown`].
pub(crate) fn content(leaf_index: u64) -> Vec<u8> {
    match leaf_index {
        0 => [&[0; 32][..], b"demo"].concat(),
        _ => format!("document {leaf_index}\n").into_bytes(),
    }
}

impl TestLog {
    /// The log of the worked example in docs/formats.md, for as many blocks as are wanted: each on the two newest.
    pub(crate) fn grown(size: u64) -> Self {
        let mut log = Self::default();
        let mut appender = LogAppender::resume(&log).unwrap();
        let mut builder = DagBuilder::new(0, 0);
        for leaf_index in 0..size {
            let newest = log.blocks.len().saturating_sub(2);
            let parents = &log.blocks[newest..];
            let block =
                builder.block(NewBlock::raw(&content(leaf_index)), GENESIS_TIME_MS + leaf_index, parents).unwrap();
            builder.advance(&block);
            let mut completed = Vec::new();
            appender.append(&block, &mut completed).unwrap();
            log.keep(block, &completed);
        }
        log
    }

    pub(crate) fn keep(&mut self, block: DagBlock, completed: &[LogNode]) {
        self.nodes.insert((0, block.leaf_index()), block.block_hash().to_bytes());
        self.nodes.extend(completed.iter().map(|node| ((node.level, node.index), node.hash)));
        self.blocks.push(block);
    }

    /// The same leaves as far as `size`.
    pub(crate) fn cut(&self, size: u64) -> Self {
        let is_within = |level: u32, index: u64| (index + 1) << level <= size;
        Self {
            blocks: self.blocks[..size as usize].to_vec(),
            nodes: self
                .nodes
                .iter()
                .filter(|((level, index), _)| is_within(*level, *index))
                .map(|(a, b)| (*a, *b))
                .collect(),
            node_reads: AtomicUsize::new(0),
        }
    }

    pub(crate) fn leaves(&self) -> Vec<Digest> {
        self.blocks.iter().map(|block| block.block_hash().to_bytes()).collect()
    }

    /// Header bytes from the parent of a block down to genesis, always by the oldest parent.
    pub(crate) fn lineage(&self, leaf_index: u64) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut block = &self.blocks[leaf_index as usize];
        while let Some(parent) = block.header().parents.first() {
            block = &self.blocks[parent.leaf_index as usize];
            out.push(block.header().to_bytes());
        }
        out
    }
}

impl DagBackend for TestLog {
    fn totals(&self) -> Result<Totals, BackendError> {
        Ok(Totals { blocks: self.blocks.len() as u64, ..Totals::default() })
    }

    fn block(&self, leaf_index: u64) -> Result<Option<DagBlock>, BackendError> {
        Ok(self.blocks.get(leaf_index as usize).cloned())
    }

    fn find_block(&self, block_hash: &BlockHash) -> Result<Option<u64>, BackendError> {
        Ok(self.blocks.iter().map(DagBlock::block_hash).position(|hash| hash == *block_hash).map(|place| place as u64))
    }

    fn find_blocks(&self, _: RangeInclusive<BlockHash>, _: usize) -> Result<Vec<(BlockHash, u64)>, BackendError> {
        Ok(Vec::new())
    }

    fn hop(&self, _: u64) -> Result<Option<crate::backend::Hop>, BackendError> {
        Ok(None)
    }

    fn log_node(&self, level: u32, index: u64) -> Result<Option<Digest>, BackendError> {
        self.node_reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.nodes.get(&(level, index)).copied())
    }

    fn find_key(&self, _: &BlockKey) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    fn find_content(&self, _: &ContentHash, _: Option<u64>, _: usize) -> Result<Vec<u64>, BackendError> {
        Ok(Vec::new())
    }

    fn children(&self, _: u64, _: Option<u64>, _: usize) -> Result<Vec<u64>, BackendError> {
        Ok(Vec::new())
    }

    fn child_count_at(&self, _: u64) -> Result<(u64, u64), BackendError> {
        Ok((0, 0))
    }

    fn frontier(&self, _: Option<u64>, _: usize) -> Result<Vec<u64>, BackendError> {
        Ok(Vec::new())
    }

    fn by_depth(
        &self,
        _: RangeInclusive<u32>,
        _: Option<(u32, u64)>,
        _: usize,
    ) -> Result<Vec<(u32, u64)>, BackendError> {
        Ok(Vec::new())
    }

    fn by_time(
        &self,
        _: RangeInclusive<u64>,
        _: Option<(u64, u64)>,
        _: usize,
    ) -> Result<Vec<(u64, u64)>, BackendError> {
        Ok(Vec::new())
    }

    fn payload(&self, _: &ContentHash) -> Result<Option<PayloadInfo>, BackendError> {
        Ok(None)
    }

    fn chunks(&self, _: &ContentHash, _: u64, _: usize) -> Result<Vec<ChunkRef>, BackendError> {
        Ok(Vec::new())
    }

    fn chunk(&self, _: &ContentHash) -> Result<Option<StoredChunk>, BackendError> {
        Ok(None)
    }

    fn metadata(&self, _: &MetadataHash) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(None)
    }

    fn setting(&self, _: &str) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(None)
    }

    fn set_setting(&self, _: &str, _: &[u8]) -> Result<(), BackendError> {
        Err(BackendError::BatchMisfit("a test's log takes no settings"))
    }

    fn commit(&self, _: WriteBatch) -> Result<(), BackendError> {
        Err(BackendError::BatchMisfit("a test's log takes no batches"))
    }

    fn chunk_hashes(&self, _: Option<ContentHash>, _: usize) -> Result<Vec<ContentHash>, BackendError> {
        Ok(Vec::new())
    }
}

impl Marks for TestLog {
    fn mark(&self, _: u64) -> Result<BlockMark, BackendError> {
        Ok(Default::default())
    }
    fn forgotten(&self, _: Option<u64>, _: usize) -> Result<Vec<u64>, BackendError> {
        Ok(Vec::new())
    }
    fn pins(&self, _: Option<u64>, _: usize) -> Result<Vec<Pin>, BackendError> {
        Ok(Vec::new())
    }
    fn audits(&self, _: Option<u64>, _: usize) -> Result<Vec<u64>, BackendError> {
        Ok(Vec::new())
    }
    fn audit_count(&self) -> Result<u64, BackendError> {
        Ok(0)
    }

    fn of_codec(&self, _: u32, _: Option<u64>, _: usize) -> Result<Vec<u64>, BackendError> {
        Ok(Vec::new())
    }
    fn mark_totals(&self) -> Result<MarkTotals, BackendError> {
        Ok(Default::default())
    }
    fn listed(
        &self,
        contents: &[ContentHash],
        _: &dyn Fn(&ContentHash) -> Result<bool, BackendError>,
    ) -> Result<Vec<bool>, BackendError> {
        Ok(vec![false; contents.len()])
    }
    fn clear_unnamed(&self) -> Result<bool, BackendError> {
        Ok(false)
    }
}
