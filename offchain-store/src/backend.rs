//! What the store needs of a place that keeps blocks: the trait [`DagBackend`], its rows and its errors.
//!
//! A backend keeps, finds and atomically commits. It decides nothing: which parents a block gets, how content is cut and
//! what is hashed is settled above it, so that the same commits give the same log in every implementation. The
//! implementations stand beside this file: [`crate::memory`] and [`crate::sqlite`], under one conformance suite.

use crate::{
    block::DagBlock,
    dictionary::{self, Dictionary},
    removal::marks::{Mark, Marks},
};
use pakit_primitives::{BlockHash, Compression, ContentHash, MetadataHash, hasher::Digest};
use serde::{Deserialize, Serialize};
use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

/// What makes two puts the same block: equal content under an equal codec with equal metadata.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct BlockKey {
    /// Multicodec of the content.
    pub codec: u32,
    /// BLAKE3 of the content.
    pub content_hash: ContentHash,
    /// BLAKE3 of the metadata map, or zeros.
    pub metadata_hash: MetadataHash,
}

/// What is known of a payload without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadInfo {
    /// Plaintext bytes.
    pub original_size: u64,
    /// Stored bytes, chunks shared within the content counted as often as they occur.
    pub stored_size: u64,
    /// Compression of most of those bytes; of the chunk itself for a payload that is one chunk.
    pub compression: Compression,
    /// Whether the bytes are still there. Removing a payload keeps its row, because headers name its hash.
    pub is_kept: bool,
}

/// A chunk's place in a content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkRef {
    /// First byte of the chunk in the content.
    pub offset: u64,
    /// BLAKE3 of the chunk's plaintext. A content of one chunk has the chunk's hash as its own.
    pub chunk_hash: ContentHash,
    /// Plaintext bytes, at least 1 except for the empty content.
    pub original_size: u32,
}

/// A chunk as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredChunk {
    /// BLAKE3 of the plaintext.
    pub chunk_hash: ContentHash,
    /// How `bytes` are compressed.
    pub compression: Compression,
    /// Plaintext bytes.
    pub original_size: u32,
    /// The stored bytes.
    pub bytes: Vec<u8>,
}

/// What is kept of a content that somebody wants kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nothing, or no longer.
    Unknown,
    /// It is kept; as a list of chunks, or without a block that one looked for.
    Kept(PayloadInfo),
    /// It is kept as one chunk, and this is the block that one looked for.
    Placed(PayloadInfo, Box<DagBlock>),
}

/// Names a content that is being written and whose hash is not known yet. Never 0, unique within one writer's life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct StagingId(pub u64);

/// A content of several chunks, complete with this batch. (A content of one chunk is that chunk and needs no entry.)
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewContent {
    /// BLAKE3 of the whole plaintext.
    pub content_hash: ContentHash,
    /// Size, stored size and compression of the whole.
    pub info: PayloadInfo,
    /// Chunks staged by earlier batches or this one come first, under this name.
    pub staged: Option<StagingId>,
    /// The remaining chunks, in order.
    pub chunks: Vec<ChunkRef>,
}

/// An inner node of the log: the complete subtree over 2^level leaves from `index` x 2^level on, level at least 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogNode {
    /// Height above the leaves.
    pub level: u32,
    /// Place among the nodes of its level.
    pub index: u64,
    /// RFC 6962 hash.
    pub hash: Digest,
}

/// A block as far as it matters to those that build on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParentInfo {
    /// Its place in the log.
    pub leaf_index: u64,
    /// Its identity.
    pub block_hash: BlockHash,
    /// Its depth.
    pub depth: u32,
    /// Its time in Unix milliseconds.
    pub timestamp_ms: u64,
}

impl From<&DagBlock> for ParentInfo {
    fn from(block: &DagBlock) -> Self {
        let header = block.header();
        Self {
            leaf_index: header.leaf_index,
            block_hash: block.block_hash(),
            depth: header.depth,
            timestamp_ms: header.timestamp_ms,
        }
    }
}

/// The first step of a shortest way to genesis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// Steps of the whole way.
    pub steps: u32,
    /// The parent that it begins with.
    pub parent: u64,
}

/// Everything that becomes visible at once, or not at all. Applied in the order of the fields.
#[derive(Clone, Default, Debug)]
pub struct WriteBatch {
    /// Chunks, each stored unless its hash is kept already. A chunk whose payload had been removed is kept again.
    pub chunks: Vec<StoredChunk>,
    /// Chunk lists of contents that go on in a later batch. What is staged when a writer opens the backend belongs to a
    /// writer that died, and is dropped then.
    pub staged: Vec<(StagingId, Vec<ChunkRef>)>,
    /// Staged contents that are given up: unreadable to the end, or found to be kept already.
    pub abandoned: Vec<StagingId>,
    /// Contents of several chunks.
    pub contents: Vec<NewContent>,
    /// Contents that blocks of this batch name and that are not kept: hash and plaintext bytes. Only whoever writes a log anew
    /// whose contents had been removed commits such blocks. A content that is kept after all stays.
    pub absent: Vec<(ContentHash, u64)>,
    /// Metadata maps by hash, dag-cbor.
    pub metadata: Vec<(MetadataHash, Vec<u8>)>,
    /// Blocks in log order. The first one's leaf index is the size of the log.
    pub blocks: Vec<DagBlock>,
    /// Inner nodes that these blocks complete.
    pub log_nodes: Vec<LogNode>,
    /// Leaf indices of those of these blocks that are audit blocks.
    pub audits: Vec<u64>,
    /// What was decided, as the audit blocks of this batch tell.
    pub marks: Vec<Mark>,
    /// Named values, as [`DagBackend::set_setting`] sets them.
    pub settings: Vec<(String, Vec<u8>)>,
    /// Contents whose payload goes, each kept or removed before and named by forgotten blocks only. Its size and hash stay, since
    /// headers name them. A content that some other one lists as a chunk cannot go. The chunks of a content of several go with
    /// [`Marks::clear_unnamed`], if nothing else names them. A later batch that brings the content again restores it.
    pub removed: Vec<ContentHash>,
}

impl WriteBatch {
    /// Whether committing would change nothing.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
            && self.staged.is_empty()
            && self.abandoned.is_empty()
            && self.contents.is_empty()
            && self.absent.is_empty()
            && self.metadata.is_empty()
            && self.blocks.is_empty()
            && self.marks.is_empty()
            && self.settings.is_empty()
            && self.removed.is_empty()
    }
}

/// Sums over all blocks and payloads, kept up to date by each commit, so that reading them costs no scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Blocks: the size of the log.
    pub blocks: u64,
    /// Parent-child edges.
    pub edges: u64,
    /// Greatest depth.
    pub depth_max: u32,
    /// Sum of all depths.
    pub depth_sum: u64,
    /// Slices in all blocks: `slices_before` of the next one.
    pub slices: u64,
    /// Sum of the original sizes of all blocks.
    pub original_bytes: u64,
    /// Sum of the stored sizes of all blocks, shared chunks counted each time.
    pub referenced_bytes: u64,
    /// Plaintext bytes of the distinct chunks that are kept.
    pub unique_bytes: u64,
    /// Stored bytes of the distinct chunks that are kept.
    pub stored_bytes: u64,
    /// Distinct chunks that are kept.
    pub chunks: u64,
    /// Blocks without children.
    pub frontier: u64,
}

/// Why a backend could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No repository is there.
    #[error("there is no repository in {}", .0.display())]
    NotFound(PathBuf),
    /// A repository is there already.
    #[error("{} already holds a repository", .0.display())]
    AlreadyExists(PathBuf),
    /// Another process has the repository open for writing.
    #[error("{} is being written by another process", .0.display())]
    Locked(PathBuf),
    /// Opened for reading, or on a file system that is.
    #[error("the repository cannot be written: {}", .0.display())]
    ReadOnly(PathBuf),
    /// Written by a newer version of this software.
    #[error("the repository has format version {found}; this program knows versions up to {supported}")]
    NewerVersion {
        /// The repository's.
        found: u32,
        /// The greatest one known here.
        supported: u32,
    },
    /// What is stored contradicts itself. The text says what and where.
    #[error("the repository is damaged: {0}")]
    Damaged(String),
    /// A batch that does not continue the log, or names what is not there. Nothing of it was committed.
    #[error("the batch does not fit the repository: {0}")]
    BatchMisfit(&'static str),
    /// No room is left on the disk. Nothing of the batch was committed.
    #[error("the disk is full")]
    DiskFull,
    /// A file of the repository could not be opened, locked or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database below failed.
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A place in the files that hold chunks beside what finds them: the number of a file, and an offset in it. In the order of the files.
pub type PackPlace = (u32, u64);

/// What an audit finds of a record in one of those files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedRecord {
    /// Where it begins.
    pub at: PackPlace,
    /// From where on to look for the next one: behind it, or where nothing leads on from it behind the file.
    pub next: PackPlace,
    /// What is wrong with it, if anything is.
    pub damage: Option<String>,
}

/// A row of a backend's tables that stands where none can: beyond the end of what its kind is numbered by, or under a number that is
/// never given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StrayRow {
    /// The table.
    pub table: &'static str,
    /// The row's number in it.
    pub number: i64,
}

/// Keeps blocks, their payloads and their log.
///
/// All methods may be called from many threads. Reads see a committed state, and each sees everything committed before it
/// began. Lists are in ascending order, hold at most `limit` items and continue after the item named by `after`.
pub trait DagBackend: Marks {
    /// Sums over everything kept.
    fn totals(&self) -> Result<Totals, BackendError>;

    /// The block at a place in the log. Its header was checked against its stored block hash.
    fn block(&self, leaf_index: u64) -> Result<Option<DagBlock>, BackendError>;

    /// The blocks at these places, in their order, in one question.
    fn blocks(&self, leaf_indices: &[u64]) -> Result<Vec<Option<DagBlock>>, BackendError> {
        leaf_indices.iter().map(|leaf_index| self.block(*leaf_index)).collect()
    }

    /// What a block is asked that another one builds on. Its header need not have been checked against the block hash.
    fn parent(&self, leaf_index: u64) -> Result<Option<ParentInfo>, BackendError> {
        Ok(self.block(leaf_index)?.as_ref().map(ParentInfo::from))
    }

    /// The first step of a shortest way to genesis; `None` for genesis itself, and for a block that is not there.
    fn hop(&self, leaf_index: u64) -> Result<Option<Hop>, BackendError>;

    /// The blocks on a shortest way to genesis, from the block after this one down to genesis; `None` where there are more than
    /// `limit`. That each is a parent of the one before is not checked.
    fn way_to_genesis(&self, leaf_index: u64, limit: usize) -> Result<Option<Vec<DagBlock>>, BackendError> {
        let and_hop = |at, block| Ok((block, self.hop(at)?));
        let next = |at| self.block(at)?.map(|block| and_hop(at, block)).transpose();
        follow_way(leaf_index, self.hop(leaf_index)?, limit, next)
    }

    /// Where a block stands in the log.
    fn find_block(&self, block_hash: &BlockHash) -> Result<Option<u64>, BackendError>;

    /// The block with a hash, and its content as stored, where that is one chunk that is kept; in one question.
    fn block_with_chunk(
        &self,
        block_hash: &BlockHash,
    ) -> Result<Option<(DagBlock, Option<StoredChunk>)>, BackendError> {
        let Some(block) = self.block_by_hash(block_hash)? else { return Ok(None) };
        let chunk = self.chunk(&block.header().content_hash)?;
        Ok(Some((block, chunk)))
    }

    /// The block with a hash; [`Self::find_block`] and [`Self::block`] in one question.
    fn block_by_hash(&self, block_hash: &BlockHash) -> Result<Option<DagBlock>, BackendError> {
        match self.find_block(block_hash)? {
            Some(leaf_index) => self.block(leaf_index),
            None => Ok(None),
        }
    }

    /// The blocks whose hashes lie within these, ascending by hash, and where they stand in the log: at most `limit`.
    fn find_blocks(
        &self,
        hashes: RangeInclusive<BlockHash>,
        limit: usize,
    ) -> Result<Vec<(BlockHash, u64)>, BackendError>;

    /// Where the block of this content, codec and metadata stands in the log.
    fn find_key(&self, key: &BlockKey) -> Result<Option<u64>, BackendError>;

    /// Blocks with this content, whatever their codec and metadata.
    fn find_content(
        &self,
        content_hash: &ContentHash,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, BackendError>;

    /// Hash of the complete subtree over 2^level leaves from `index` x 2^level on; level 0 gives block hashes.
    fn log_node(&self, level: u32, index: u64) -> Result<Option<Digest>, BackendError>;

    /// The same for many nodes, in their order.
    fn log_nodes(&self, nodes: &[(u32, u64)]) -> Result<Vec<Option<Digest>>, BackendError> {
        nodes.iter().map(|(level, index)| self.log_node(*level, *index)).collect()
    }

    /// Blocks that name this one as a parent.
    fn children(&self, leaf_index: u64, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError>;

    /// How many blocks name this one as a parent.
    fn child_count(&self, leaf_index: u64) -> Result<u64, BackendError> {
        self.child_count_at(leaf_index).map(|(children, _)| children)
    }

    /// The same, and the size of the log that it was counted in: a writer counts on while a batch is being committed.
    fn child_count_at(&self, leaf_index: u64) -> Result<(u64, u64), BackendError>;

    /// Blocks without children.
    fn frontier(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError>;

    /// (depth, leaf index) of the blocks within these depths.
    fn by_depth(
        &self,
        depths: RangeInclusive<u32>,
        after: Option<(u32, u64)>,
        limit: usize,
    ) -> Result<Vec<(u32, u64)>, BackendError>;

    /// (timestamp in Unix milliseconds, leaf index) of the blocks within these times.
    fn by_time(
        &self,
        times_ms: RangeInclusive<u64>,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<(u64, u64)>, BackendError>;

    /// What is known of a content or chunk.
    fn payload(&self, content_hash: &ContentHash) -> Result<Option<PayloadInfo>, BackendError>;

    /// How contents stand that may have blocks of these keys, in the order of the keys and in one question.
    fn standings(&self, keys: &[BlockKey]) -> Result<Vec<Standing>, BackendError> {
        let standing = |key: &BlockKey| {
            let Some(info) = self.payload(&key.content_hash)?.filter(|info| info.is_kept) else {
                return Ok(Standing::Unknown);
            };
            // Two, since one could be the first of a list.
            let chunks = self.chunks(&key.content_hash, 0, 2)?;
            let is_one_chunk = matches!(chunks.as_slice(), [chunk] if chunk.chunk_hash == key.content_hash);
            let leaf_index = if is_one_chunk { self.find_key(key)? } else { None };
            let block = leaf_index.map(|leaf_index| self.block(leaf_index)).transpose()?.flatten();
            Ok(block.map_or(Standing::Kept(info), |block| Standing::Placed(info, Box::new(block))))
        };
        keys.iter().map(standing).collect()
    }

    /// The chunks of a content from the one that holds byte `from` on. A content of one chunk lists itself. A content that
    /// is unknown or was removed lists nothing.
    fn chunks(&self, content_hash: &ContentHash, from: u64, limit: usize) -> Result<Vec<ChunkRef>, BackendError>;

    /// A chunk's stored bytes; they are not checked here.
    fn chunk(&self, chunk_hash: &ContentHash) -> Result<Option<StoredChunk>, BackendError>;

    /// A metadata map.
    fn metadata(&self, metadata_hash: &MetadataHash) -> Result<Option<Vec<u8>>, BackendError>;

    /// A named value that belongs to the repository (its name, its parent strategy).
    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, BackendError>;

    /// A dictionary that chunks were compressed against. A backend keeps those that it has read.
    fn dictionary(&self, number: u32) -> Result<Option<Arc<Dictionary>>, BackendError> {
        Ok(dictionary::read(number, |key| self.setting(key))?.map(Arc::new))
    }

    /// Sets a named value, durably.
    fn set_setting(&self, key: &str, value: &[u8]) -> Result<(), BackendError>;

    /// Commits a batch: on return it is on the disk (as far as the backend has one), on an error nothing of it is.
    fn commit(&self, batch: WriteBatch) -> Result<(), BackendError>;

    /// Hashes of all kept chunks, in ascending order of the hashes, for audits.
    fn chunk_hashes(&self, after: Option<ContentHash>, limit: usize) -> Result<Vec<ContentHash>, BackendError>;

    /// Whether a content that is not kept was set aside as damaged, and not removed on purpose.
    fn is_set_aside(&self, _content_hash: &ContentHash) -> Result<bool, BackendError> {
        Ok(false)
    }

    /// Checks what the other questions do not show: whether what the backend keeps in order to find things is whole. Where
    /// blocks are lost, so is what is known of them, and only what is too much is told.
    fn check_indexes(&self, _are_blocks_lost: bool) -> Result<(), BackendError> {
        Ok(())
    }

    /// Rows that no other question comes upon, since they stand where none can; the first `rows_max` of each kind. For backends that
    /// keep rows. A block right behind the end of the log is found by whoever asks for it.
    fn stray_rows(&self, _rows_max: usize) -> Result<Vec<StrayRow>, BackendError> {
        Ok(Vec::new())
    }

    /// Looks at the first record at this place or behind it, for backends that keep chunks in files of records beside what finds them.
    /// (0, 0) is the first place of all. `None` behind the last one.
    fn check_pack(&self, _from: PackPlace) -> Result<Option<CheckedRecord>, BackendError> {
        Ok(None)
    }
}

/// [`DagBackend::way_to_genesis`] from single steps.
pub(crate) fn follow_way<E: From<BackendError>>(
    leaf_index: u64,
    first: Option<Hop>,
    limit: usize,
    mut next: impl FnMut(u64) -> Result<Option<(DagBlock, Option<Hop>)>, E>,
) -> Result<Option<Vec<DagBlock>>, E> {
    let (mut way, mut at, mut hop) = (Vec::new(), leaf_index, first);
    while at > 0 {
        let stray = || BackendError::Damaged(format!("the way from block {at} to genesis leads astray"));
        let Hop { steps, parent } = hop.filter(|hop| hop.parent < at).ok_or_else(stray)?;
        if way.len() + (steps.max(1) as usize) > limit {
            return Ok(None);
        }
        let (block, hop_of_block) = next(parent)?.ok_or_else(stray)?;
        way.push(block);
        (at, hop) = (parent, hop_of_block);
    }
    Ok(Some(way))
}
