//! The one writer: turns processed contents into blocks and commits them in batches, each atomic.
//!
//! A block made here is promised to nobody until [`Committer::flush`] has returned, or the
//! [`Committer::begin_flush`] after the one that it was made before.

mod behind;

use self::behind::Behind;
use crate::{
    backend::{
        BackendError, BlockKey, ChunkRef, DagBackend, NewContent, ParentInfo, PayloadInfo, StagingId, StoredChunk,
        WriteBatch,
    },
    block::{DagBlock, DagBuilder, NewBlock},
    cid,
    log::{LogAppendError, LogAppender, LogReadError},
    metadata::Metadata,
    parents::{self, Overlay, ParentSelectionStrategy},
    removal::{
        self,
        marks::Mark,
        record::{Action, AuditRecord, AuditedBlock, RECORD_BLOCKS_MAX, RecordError},
    },
};
use pakit_primitives::{Compression, ContentHash, HeaderError, MetadataHash};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// A content's chunk references are written out, before its hash is known, when there are this many: so memory does not
/// grow with a file.
const OPEN_CHUNKS_MAX: usize = 16_384;

/// Chunk references of a nested content that are read at once.
const NESTED_CHUNKS_PAGE: usize = 1_024;

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Blocks in it.
    pub blocks_max: usize,
    /// Bytes of new chunks in it.
    pub bytes_max: usize,
    /// Milliseconds since its first block: how long a caller waits at most for an acknowledgement.
    pub age_ms_max: u64,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { blocks_max: 4_096, bytes_max: 32 << 20, age_ms_max: 1_000 }
    }
}

/// Why blocks could not be made or committed. The batch is lost, everything flushed before is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The stored log cannot be continued.
    #[error(transparent)]
    LogRead(#[from] LogReadError),
    /// A block does not continue the log.
    #[error(transparent)]
    LogAppend(#[from] LogAppendError),
    /// A header would break a rule, such as a log beyond its greatest size.
    #[error("the block cannot be made: {0}")]
    Header(#[from] HeaderError),
    /// A parent that was chosen is not there.
    #[error("the repository is damaged: block {0} of the log is missing")]
    MissingParent(u64),
    /// The system clock stands before 1970.
    #[error("the system clock stands before 1970")]
    Clock,
    /// A chunk that was kept when its content was prepared was dropped before it was committed.
    #[error("chunk {0} was dropped while a content with it was being put; put it again")]
    ChunkGone(ContentHash),
    /// The thread that commits died. It has no reason to.
    #[error("the thread that commits ended early")]
    ThreadLost,
    /// What is said of a decision cannot be recorded.
    #[error(transparent)]
    Record(#[from] Box<RecordError>),
}

/// A chunk on its way into a content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProcessedChunk {
    /// Kept already.
    Known {
        /// Its hash.
        chunk_hash: ContentHash,
        /// What is kept.
        info: PayloadInfo,
    },
    /// Compressed and ready.
    New(StoredChunk),
}

/// A content of which some chunks were added.
#[derive(Default, Debug)]
pub struct OpenContent {
    staged: Option<StagingId>,
    chunks: Vec<ChunkRef>,
    /// Chunks as they were cut. One of them may stand for several in `chunks`.
    cut: u64,
    last_cut: Option<ContentHash>,
    original_size: u64,
    stored_by_code: [u64; Compression::ALL.len()],
    new_bytes: u64,
    /// The block that one of the chunks has as its content.
    placed: Option<Box<DagBlock>>,
}

impl OpenContent {
    fn stored_size(&self) -> u64 {
        self.stored_by_code.iter().sum()
    }

    /// The code of most stored bytes, the lowest on a tie.
    fn compression(&self) -> Compression {
        let most = self.stored_by_code.iter().copied().max().unwrap_or(0);
        let code = self.stored_by_code.iter().position(|bytes| *bytes == most).unwrap_or(0);
        if self.original_size == 0 { Compression::None } else { Compression::ALL[code] }
    }

    fn info(&self) -> PayloadInfo {
        PayloadInfo {
            original_size: self.original_size,
            stored_size: self.stored_size(),
            compression: self.compression(),
            is_kept: true,
        }
    }

    fn push(&mut self, chunk_hash: ContentHash, info: &PayloadInfo, original_size: u32) {
        self.chunks.push(ChunkRef { offset: self.original_size, chunk_hash, original_size });
        self.original_size += u64::from(original_size);
        self.stored_by_code[usize::from(info.compression.code())] += info.stored_size;
    }
}

/// A content that has its block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The block; an earlier one where the same was put before.
    pub block: DagBlock,
    /// Whether it is an earlier one.
    pub is_deduplicated: bool,
    /// Bytes newly stored for it.
    pub new_bytes: u64,
}

/// What a batch adds that the backend may not show yet.
#[derive(Default)]
struct Uncommitted {
    /// In log order.
    blocks: Vec<DagBlock>,
    keys: HashMap<BlockKey, u64>,
    payloads: HashMap<ContentHash, PayloadInfo>,
}

impl Uncommitted {
    fn block(&self, leaf_index: u64) -> Option<&DagBlock> {
        let first = self.blocks.first()?.leaf_index();
        self.blocks.get(usize::try_from(leaf_index.checked_sub(first)?).ok()?)
    }
}

/// Makes blocks and commits them. While it lives, nobody else may commit to its backend.
pub struct Committer {
    backend: Arc<dyn DagBackend>,
    strategy: ParentSelectionStrategy,
    rng: StdRng,
    limits: BatchLimits,
    overlay: Overlay,
    builder: DagBuilder,
    log: LogAppender,
    batch: WriteBatch,
    batch_bytes: usize,
    batch_began: Option<Instant>,
    /// Of the batch that is being made.
    making: Uncommitted,
    /// Of the batch that is being committed meanwhile.
    committing: Uncommitted,
    /// Started with the first batch that nobody waits for.
    behind: Option<Behind>,
    staging_ids: u64,
    /// Who is said to decide what audit blocks tell of.
    who: String,
    /// Audit blocks so far.
    audits: u64,
    /// Whether any block is forgotten: else nothing can be restored, and nobody needs to look.
    has_forgotten: bool,
    /// Blocks of this batch whose contents it restores, by leaf index.
    restored: BTreeMap<u64, AuditedBlock>,
    /// Whether what others left is cleared away.
    is_cleared: bool,
}

/// What audit blocks say of a content that was forgotten and put again.
const WHY_RESTORED: &str = "put again";

impl Committer {
    /// Continues the log of `backend`. With a `seed`, parents are drawn reproducibly.
    pub fn new(
        backend: Arc<dyn DagBackend>,
        strategy: ParentSelectionStrategy,
        limits: BatchLimits,
        seed: Option<u64>,
    ) -> Result<Self, CommitError> {
        let totals = backend.totals()?;
        if let Some(newest) = totals.blocks.checked_sub(1) {
            // Its hash is checked as it is read. What follows from it goes into the next header for ever.
            let newest = backend.block(newest)?.ok_or(CommitError::MissingParent(newest))?;
            if newest.header().slices_through() != totals.slices {
                return Err(BackendError::Damaged("the sums do not fit the newest block".into()).into());
            }
        }
        Ok(Self {
            who: removal::default_who(),
            audits: backend.audit_count()?,
            has_forgotten: !backend.forgotten(None, 1)?.is_empty(),
            restored: BTreeMap::new(),
            overlay: Overlay::new(backend.clone())?,
            log: LogAppender::resume(backend.as_ref())?,
            builder: DagBuilder::new(totals.blocks, totals.slices),
            rng: seed.map_or_else(rand::make_rng, StdRng::seed_from_u64),
            backend,
            strategy,
            limits,
            batch: WriteBatch::default(),
            batch_bytes: 0,
            batch_began: None,
            making: Uncommitted::default(),
            committing: Uncommitted::default(),
            behind: None,
            staging_ids: 0,
            is_cleared: false,
        })
    }

    /// Clears away, once, what a writer that died or gave an item up has left and nothing names. Before anybody looks up which chunks are
    /// there: the first commit would clear it away, and name what was found.
    pub(crate) fn clear_left_over(&mut self) -> Result<(), CommitError> {
        while !self.is_cleared {
            self.is_cleared = !self.backend.clear_unnamed()?;
        }
        Ok(())
    }

    /// Names who decides what audit blocks tell of; without it, the user at this machine.
    pub fn decided_by(mut self, who: &str) -> Self {
        self.who = who.to_owned();
        self
    }

    /// Appends the audit block of a decision. What was decided goes into the same batch.
    pub fn record(
        &mut self,
        action: Action,
        why: &str,
        term_ms: Option<u64>,
        blocks: Vec<AuditedBlock>,
    ) -> Result<DagBlock, CommitError> {
        let record = AuditRecord {
            action,
            sequence: self.audits,
            time_ms: clock_ms()?,
            who: self.who.clone(),
            why: why.to_owned(),
            term_ms,
            blocks,
        };
        let bytes = record.encode().map_err(Box::new)?;
        let chunk = StoredChunk {
            chunk_hash: ContentHash::new(*blake3::hash(&bytes).as_bytes()),
            // Hashes do not shrink.
            compression: Compression::None,
            original_size: bytes.len() as u32,
            bytes,
        };
        let mut content = OpenContent::default();
        self.add_chunk(&mut content, ProcessedChunk::New(chunk))?;
        let Placed { block, is_deduplicated, .. } = self.finish(content, cid::DAG_CBOR, None, None)?;
        if is_deduplicated {
            // Time and number make each record another one, so that somebody foresaw this one.
            return Err(BackendError::BatchMisfit("an audit block is there before what it tells of").into());
        }
        self.audits += 1;
        self.batch.audits.push(block.leaf_index());
        Ok(block)
    }

    /// Adds a decision to the batch that holds its audit block.
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.has_forgotten |= matches!(mark, Mark::Forget { .. });
        self.batch.marks.push(mark);
    }

    /// Sets a named value with the batch.
    pub(crate) fn set(&mut self, key: &str, value: Vec<u8>) {
        self.batch.settings.push((key.to_owned(), value));
    }

    /// Removes a payload with the batch.
    pub(crate) fn remove(&mut self, content_hash: ContentHash) {
        self.batch.removed.push(content_hash);
    }

    /// Whoever puts what was forgotten wants it back: its block holds it again. And where a removed content comes back with a new
    /// block, that is told too.
    fn note_restored(&mut self, block: &DagBlock, is_new: bool) -> Result<(), CommitError> {
        if !self.has_forgotten || self.restored.contains_key(&block.leaf_index()) {
            return Ok(());
        }
        let content_hash = block.header().content_hash;
        let is_restored = match is_new {
            false => self.backend.mark(block.leaf_index())?.forgotten.is_some(),
            true => {
                let is_gone = self.backend.payload(&content_hash)?.is_some_and(|info| !info.is_kept);
                is_gone && !self.backend.is_set_aside(&content_hash)?
            }
        };
        if is_restored {
            self.restored.insert(block.leaf_index(), block.into());
            if !is_new {
                self.batch.marks.push(Mark::Restore { leaf_index: block.leaf_index() });
            }
        }
        Ok(())
    }

    fn record_restored(&mut self) -> Result<(), CommitError> {
        let restored: Vec<AuditedBlock> = std::mem::take(&mut self.restored).into_values().collect();
        for part in restored.chunks(RECORD_BLOCKS_MAX) {
            self.record(Action::Restore, WHY_RESTORED, None, part.to_vec())?;
        }
        Ok(())
    }

    /// Whether the batch has reached a limit.
    pub fn is_full(&self) -> bool {
        self.making.blocks.len() >= self.limits.blocks_max
            || self.batch_bytes >= self.limits.bytes_max
            || self.batch_began.is_some_and(|began| began.elapsed().as_millis() >= u128::from(self.limits.age_ms_max))
    }

    /// Adds the next chunk of a content.
    pub fn add_chunk(&mut self, content: &mut OpenContent, chunk: ProcessedChunk) -> Result<(), CommitError> {
        self.batch_began.get_or_insert_with(Instant::now);
        content.cut += 1;
        match chunk {
            ProcessedChunk::Known { chunk_hash, info } => {
                content.last_cut = Some(chunk_hash);
                self.add_known(content, chunk_hash, &info)?;
            }
            ProcessedChunk::New(chunk) => {
                content.last_cut = Some(chunk.chunk_hash);
                let original_size = chunk.original_size;
                let chunk_hash = chunk.chunk_hash;
                if let Some(info) = self.uncommitted_payload(&chunk_hash) {
                    content.push(chunk_hash, &info, original_size);
                } else if let Some(info) = self.kept_payload(&chunk_hash)? {
                    // Committed since the chunk was looked up, maybe compressed against another dictionary.
                    self.add_known(content, chunk_hash, &info)?;
                } else {
                    let info = self.add_new(content, chunk);
                    content.push(chunk_hash, &info, original_size);
                }
            }
        }
        self.stage_if_long(content);
        Ok(())
    }

    /// Adds the next chunk of a content, which is kept as one and is the content of this block. Only for whoever has had the
    /// committer to itself since before that was looked up: a content that has a block goes by a commit alone.
    pub(crate) fn add_placed(
        &mut self,
        content: &mut OpenContent,
        info: &PayloadInfo,
        block: Box<DagBlock>,
    ) -> Result<(), CommitError> {
        self.batch_began.get_or_insert_with(Instant::now);
        let chunk_hash = block.header().content_hash;
        let original_size = u32::try_from(info.original_size)
            .map_err(|_| BackendError::Damaged(format!("chunk {chunk_hash} has an impossible size")))?;
        content.cut += 1;
        content.last_cut = Some(chunk_hash);
        content.push(chunk_hash, info, original_size);
        content.placed = Some(block);
        self.stage_if_long(content);
        Ok(())
    }

    fn stage_if_long(&mut self, content: &mut OpenContent) {
        if content.chunks.len() >= OPEN_CHUNKS_MAX {
            let staging = *content.staged.get_or_insert_with(|| {
                self.staging_ids += 1;
                StagingId(self.staging_ids)
            });
            self.batch.staged.push((staging, std::mem::take(&mut content.chunks)));
        }
    }

    fn add_new(&mut self, content: &mut OpenContent, chunk: StoredChunk) -> PayloadInfo {
        let info = PayloadInfo {
            original_size: u64::from(chunk.original_size),
            stored_size: chunk.bytes.len() as u64,
            compression: chunk.compression,
            is_kept: true,
        };
        content.new_bytes += info.stored_size;
        self.batch_bytes += chunk.bytes.len();
        self.making.payloads.insert(chunk.chunk_hash, info);
        self.batch.chunks.push(chunk);
        info
    }

    /// Adds a chunk that is kept already. Under another chunk size, what is a chunk here may have been a content of several
    /// chunks there; then those stand in its place.
    fn add_known(
        &mut self,
        content: &mut OpenContent,
        chunk_hash: ContentHash,
        info: &PayloadInfo,
    ) -> Result<(), CommitError> {
        let mut from = 0;
        while from < info.original_size.max(1) {
            let parts = self.backend.chunks(&chunk_hash, from, NESTED_CHUNKS_PAGE)?;
            let Some(last) = parts.last() else {
                if !self.backend.payload(&chunk_hash)?.is_some_and(|info| info.is_kept) {
                    return Err(CommitError::ChunkGone(chunk_hash));
                }
                return Err(BackendError::Damaged(format!("the chunks of payload {chunk_hash} are missing")).into());
            };
            from = last.offset + u64::from(last.original_size.max(1));
            for part in &parts {
                let part_info = match part.chunk_hash == chunk_hash {
                    true => *info,
                    false => self.backend.payload(&part.chunk_hash)?.ok_or_else(|| {
                        BackendError::Damaged(format!("chunk {} of payload {chunk_hash} is missing", part.chunk_hash))
                    })?,
                };
                content.push(part.chunk_hash, &part_info, part.original_size);
            }
        }
        Ok(())
    }

    /// Gives a content up.
    pub fn abandon(&mut self, content: OpenContent) {
        self.batch.abandoned.extend(content.staged);
    }

    /// Gives a complete content its block. `content_hash` is that of the whole; a content of one chunk has the chunk's.
    pub fn finish(
        &mut self,
        mut content: OpenContent,
        codec: u32,
        content_hash: Option<ContentHash>,
        metadata: Option<&Metadata>,
    ) -> Result<Placed, CommitError> {
        let only_cut = content.last_cut.filter(|_| content.cut == 1);
        let content_hash = only_cut.or(content_hash).ok_or(BackendError::BatchMisfit("a content has no hash"))?;
        let metadata_hash = metadata.map_or(MetadataHash::NONE, Metadata::hash);
        let key = BlockKey { codec, content_hash, metadata_hash };
        if let Some(block) = content.placed.take_if(|block| content.cut == 1 && block.key() == key) {
            self.note_restored(&block, false)?;
            return Ok(Placed { block: *block, is_deduplicated: true, new_bytes: 0 });
        }
        let new_bytes = content.new_bytes;
        let info = content.info();
        self.keep_content(content, content_hash, info)?;
        if let Some(block) = self.find_block(&key)? {
            self.note_restored(&block, false)?;
            return Ok(Placed { block, is_deduplicated: true, new_bytes });
        }
        if let Some(metadata) = metadata {
            self.batch.metadata.push((metadata_hash, metadata.as_bytes().to_vec()));
        }
        let block = self.append(NewBlock {
            codec,
            content_hash,
            original_size: info.original_size,
            stored_size: info.stored_size,
            compression: info.compression,
            metadata_hash,
        })?;
        self.note_restored(&block, true)?;
        Ok(Placed { block, is_deduplicated: false, new_bytes })
    }

    fn keep_content(
        &mut self,
        content: OpenContent,
        content_hash: ContentHash,
        info: PayloadInfo,
    ) -> Result<(), CommitError> {
        if content.chunks.iter().any(|chunk| chunk.chunk_hash == content_hash) {
            // The content is its one chunk.
            return Ok(());
        }
        let is_kept = self.uncommitted_payload(&content_hash).is_some() || self.kept_payload(&content_hash)?.is_some();
        if is_kept {
            self.abandon(content);
        } else {
            self.making.payloads.insert(content_hash, info);
            let OpenContent { staged, chunks, .. } = content;
            self.batch.contents.push(NewContent { content_hash, info, staged, chunks });
        }
        Ok(())
    }

    fn kept_payload(&self, content_hash: &ContentHash) -> Result<Option<PayloadInfo>, CommitError> {
        Ok(self.backend.payload(content_hash)?.filter(|info| info.is_kept))
    }

    fn find_block(&self, key: &BlockKey) -> Result<Option<DagBlock>, CommitError> {
        let leaf_index = match self.making.keys.get(key).or_else(|| self.committing.keys.get(key)) {
            Some(leaf_index) => Some(*leaf_index),
            None => self.backend.find_key(key)?,
        };
        leaf_index.map(|leaf_index| self.block_at(leaf_index)).transpose()
    }

    /// A block of the log, committed or not.
    fn block_at(&self, leaf_index: u64) -> Result<DagBlock, CommitError> {
        let block = match self.uncommitted(leaf_index) {
            Some(block) => Some(block.clone()),
            None => self.backend.block(leaf_index)?,
        };
        block.ok_or(CommitError::MissingParent(leaf_index))
    }

    fn parent_at(&self, leaf_index: u64) -> Result<ParentInfo, CommitError> {
        let info = match self.uncommitted(leaf_index) {
            Some(block) => Some(block.into()),
            None => self.backend.parent(leaf_index)?,
        };
        info.ok_or(CommitError::MissingParent(leaf_index))
    }

    fn uncommitted(&self, leaf_index: u64) -> Option<&DagBlock> {
        self.making.block(leaf_index).or_else(|| self.committing.block(leaf_index))
    }

    fn uncommitted_payload(&self, content_hash: &ContentHash) -> Option<PayloadInfo> {
        self.making.payloads.get(content_hash).or_else(|| self.committing.payloads.get(content_hash)).copied()
    }

    /// Makes the next block of the log.
    fn append(&mut self, content: NewBlock) -> Result<DagBlock, CommitError> {
        let parents = parents::select(self.strategy, &self.overlay, &mut self.rng)?
            .into_iter()
            .map(|leaf_index| self.parent_at(leaf_index))
            .collect::<Result<Vec<_>, _>>()?;
        let block = self.builder.on(content, clock_ms()?, &parents)?;
        self.builder.advance(&block);
        self.overlay.append(&block);
        self.log.append(&block, &mut self.batch.log_nodes)?;
        self.making.keys.insert(block.key(), block.leaf_index());
        self.making.blocks.push(block.clone());
        self.batch_began.get_or_insert_with(Instant::now);
        Ok(block)
    }

    /// Commits the batch. On return everything finished before is durable; after an error the committer is of no use.
    pub fn flush(&mut self) -> Result<(), CommitError> {
        self.settle()?;
        self.record_restored()?;
        let batch = self.take_batch();
        if !batch.is_empty() {
            self.overlay.commit_begins();
            self.backend.commit(batch)?;
            self.end_commit();
        }
        Ok(())
    }

    /// Begins to commit the batch, and says whether that goes on; if it does not, everything finished before is durable. What
    /// was begun earlier is durable on return in any case. After an error the committer is of no use.
    pub fn begin_flush(&mut self) -> Result<bool, CommitError> {
        if self.has_forgotten {
            // Whether a block is forgotten is asked of the backend, and its answer has to hold.
            return self.flush().map(|()| false);
        }
        self.settle()?;
        let batch = self.take_batch();
        if batch.is_empty() {
            return Ok(false);
        }
        let behind = match &mut self.behind {
            Some(behind) => behind,
            none => none.insert(Behind::new(self.backend.clone())?),
        };
        behind.begin(batch)?;
        self.overlay.commit_begins();
        Ok(true)
    }

    /// Whether what was begun with [`begin_flush`](Self::begin_flush) is over: durable, unless this is an error.
    pub fn is_settled(&mut self) -> Result<bool, CommitError> {
        let is_over = self.behind.as_ref().is_none_or(Behind::is_over);
        if is_over {
            self.settle()?;
        }
        Ok(is_over)
    }

    /// Waits for the batch that is being committed.
    fn settle(&mut self) -> Result<(), CommitError> {
        if let Some(behind) = self.behind.as_mut().filter(|behind| behind.is_committing()) {
            behind.settle()?;
            self.end_commit();
        }
        Ok(())
    }

    fn end_commit(&mut self) {
        self.committing = Uncommitted::default();
        self.overlay.committed();
    }

    /// The batch that was made, which is being committed from now on.
    fn take_batch(&mut self) -> WriteBatch {
        self.batch_bytes = 0;
        self.batch_began = None;
        self.committing = std::mem::take(&mut self.making);
        let mut batch = std::mem::take(&mut self.batch);
        batch.blocks.clone_from(&self.committing.blocks);
        batch
    }
}

fn clock_ms() -> Result<u64, CommitError> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| CommitError::Clock)?;
    u64::try_from(since_1970.as_millis()).map_err(|_| CommitError::Clock)
}
