//! [`DagStore`], the store as a service uses it: one handle for all its parts, asynchronous, many readers and writers at once.
//!
//! ```text
//! callers --content--> hashed and compressed on their own threads --+
//!                                                                   +--> one writer: all that wait, in one commit --> acknowledged
//! batches --commit---> all their contents at once -----------------+
//! ```
//!
//! A commit costs one wait for the disk however many blocks it holds. So while one is under way, whatever comes waits and is
//! committed together with the next; nobody is acknowledged before the bytes are on the disk.

mod writer;

use crate::{
    backend::{BackendError, BlockKey},
    block::DagBlock,
    chunk::Chunks,
    cid,
    commit::{CommitError, ProcessedChunk},
    dictionary::Trainer,
    engine::{ProofOptions, ProveError, StorageEngine},
    get::GetError,
    log::LogReadError,
    metadata::Metadata,
    prepare::{PrepareError, Preparer},
    proof::ProofDocument,
};
use async_trait::async_trait;
use pakit_primitives::{BlockHash, ContentHash, Head};
use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};
use writer::{Request, Writer};

/// Most contents of one batch.
pub const BATCH_CONTENTS_MAX: usize = 65_536;
/// Most bytes that a batch holds, compressed.
pub const BATCH_BYTES_MAX: usize = 256 << 20;
/// Greatest content that is inserted from memory; [`StorageEngine::put`] streams greater ones.
pub const INSERT_BYTES_MAX: usize = 256 << 20;
/// Requests that wait for the writer; callers beyond wait to be taken in.
const WAITING_MAX: usize = 1_024;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The commit failed, and with it everything that was part of it.
    #[error(transparent)]
    Commit(Arc<CommitError>),
    /// The content could not be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The content could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// No proof could be made.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// There is no such block.
    #[error("there is no block {0} in this store")]
    UnknownBlock(BlockHash),
    /// A content is greater than [`INSERT_BYTES_MAX`].
    #[error("a content of {0} bytes is more than is inserted from memory; put it as a stream")]
    ContentTooLarge(usize),
    /// A batch is full; it can be committed as it is.
    #[error("the batch holds {BATCH_CONTENTS_MAX} contents or {BATCH_BYTES_MAX} bytes; commit it and begin another")]
    BatchFull,
    /// The store's writer has ended, or the service's runtime is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// A content that is in the store, durably.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inserted {
    /// Its block; an earlier one where the same was inserted before.
    pub block: DagBlock,
    /// Whether it is an earlier one.
    pub is_deduplicated: bool,
    /// Bytes that it added to the store.
    pub new_bytes: u64,
}

/// A store of blocks, shared by all parts of a service as `Arc<dyn DagStore>`.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use offchain_store::{Config, DagStore, InitOptions, ProofOptions, StorageEngine, Store};
/// use std::sync::Arc;
/// let (engine, _genesis) = StorageEngine::in_memory(&InitOptions::default(), Config::default()).unwrap();
/// let store: Arc<dyn DagStore> = Arc::new(Store::new(Arc::new(engine)).unwrap());
///
/// let inserted = store.insert(b"parcel 12/7".to_vec(), None).await.unwrap();
/// let hash = inserted.block.block_hash();
/// assert_eq!(&*store.get(hash).await.unwrap(), b"parcel 12/7");
///
/// let mut batch = store.begin_batch().await.unwrap();
/// batch.insert(b"parcel 12/8".to_vec(), None).await.unwrap();
/// batch.insert(b"parcel 12/9".to_vec(), None).await.unwrap();
/// assert_eq!(store.head().await.unwrap().size, 2, "nobody sees the batch yet");
/// assert_eq!(batch.commit().await.unwrap().len(), 2);
/// assert_eq!(store.head().await.unwrap().size, 4);
/// assert_eq!(store.prove(hash, ProofOptions::default()).await.unwrap().tree_head.size, 4);
/// # });
/// ```
#[async_trait]
pub trait DagStore: Send + Sync {
    /// Inserts a content; returns when it is durable. An equal content with equal metadata gives the block that it has.
    async fn insert(&self, content: Vec<u8>, metadata: Option<Metadata>) -> Result<Inserted, StoreError>;

    /// A block's content, verified.
    async fn get(&self, block_hash: BlockHash) -> Result<Arc<[u8]>, StoreError>;

    /// Whether a block is in the log, its content kept or not.
    async fn has(&self, block_hash: BlockHash) -> Result<bool, StoreError>;

    /// Up to `limit` blocks in the order of the log, those behind leaf `after`.
    async fn list(&self, after: Option<u64>, limit: usize) -> Result<Vec<DagBlock>, StoreError>;

    /// The head of the log.
    async fn head(&self) -> Result<Head, StoreError>;

    /// A proof that a block is in the log.
    async fn prove(&self, block_hash: BlockHash, options: ProofOptions) -> Result<ProofDocument, StoreError>;

    /// Begins a batch. Any number may be open at once; the log's order is that of their commits.
    async fn begin_batch(&self) -> Result<Box<dyn Batch>, StoreError>;
}

/// Changes that become visible at once, or not at all. Dropped without [`Batch::commit`], it leaves no trace.
#[async_trait]
pub trait Batch: Send {
    /// Stages a content. It is hashed and compressed now, seen by nobody.
    async fn insert(&mut self, content: Vec<u8>, metadata: Option<Metadata>) -> Result<(), StoreError>;

    /// Commits everything staged; returns when it is durable, with what was inserted, in order.
    async fn commit(self: Box<Self>) -> Result<Vec<Inserted>, StoreError>;
}

/// A content, ready to be committed.
#[derive(Debug)]
struct Staged {
    chunks: Vec<ProcessedChunk>,
    content_hash: ContentHash,
    metadata: Option<Metadata>,
}

impl Staged {
    fn key(&self) -> BlockKey {
        let metadata_hash = self.metadata.as_ref().map_or(pakit_primitives::MetadataHash::NONE, Metadata::hash);
        BlockKey { codec: cid::RAW, content_hash: self.content_hash, metadata_hash }
    }

    fn stored_bytes(&self) -> usize {
        let bytes = |chunk: &ProcessedChunk| match chunk {
            ProcessedChunk::Known { .. } => 0,
            ProcessedChunk::New(chunk) => chunk.bytes.len(),
        };
        self.chunks.iter().map(bytes).sum()
    }
}

/// A [`DagStore`] over a [`StorageEngine`], in memory or in SQLite. Clones share it; the last one to go waits for the writer.
///
/// Its methods want a Tokio runtime, whose blocking threads they hash, compress and read on.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<StorageEngine>,
    trainer: Arc<Trainer>,
    /// Preparers that nobody uses at the moment.
    preparers: Mutex<Vec<Preparer>>,
    /// Taken when the store closes.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take() {
            // It has told whoever waits; a panic of its own has no further consequence.
            let _ = writer.join();
        }
    }
}

impl Store {
    /// A store over an engine that was opened for writing. The engine may be used beside it.
    pub fn new(engine: Arc<StorageEngine>) -> Result<Self, StoreError> {
        let trainer = Arc::new(Trainer::new(engine.backend().clone(), engine.config())?);
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let writer = Writer::new(engine.clone(), trainer.clone(), waiting);
        let thread = std::thread::Builder::new().name("pakit-writer".into()).spawn(move || writer.run());
        let writer = thread.map_err(|source| BackendError::Io { path: "the writer's thread".into(), source })?;
        let (requests, writer) = (Some(requests), Some(writer));
        let shared = Shared { engine, trainer, preparers: Mutex::default(), requests, writer };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The engine below.
    pub fn engine(&self) -> &Arc<StorageEngine> {
        &self.shared.engine
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&StorageEngine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        blocking(move || question(&shared.engine)).await
    }

    async fn stage(&self, content: Vec<u8>, metadata: Option<Metadata>) -> Result<Staged, StoreError> {
        if content.len() > INSERT_BYTES_MAX {
            return Err(StoreError::ContentTooLarge(content.len()));
        }
        let shared = self.shared.clone();
        blocking(move || shared.prepare(&content, metadata)).await
    }

    async fn commit(&self, staged: Vec<Staged>) -> Result<Vec<Inserted>, StoreError> {
        if staged.is_empty() {
            return Ok(Vec::new());
        }
        let (done, committed) = oneshot::channel();
        let requests = self.shared.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(Request { staged, done }).await.map_err(|_| StoreError::Closed)?;
        committed.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::Commit)
    }
}

impl Shared {
    fn prepare(&self, content: &[u8], metadata: Option<Metadata>) -> Result<Staged, StoreError> {
        let config = self.engine.config();
        let idle = self.preparers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut preparer = match idle {
            Some(preparer) => preparer,
            None => Preparer::new(self.engine.backend().clone(), self.trainer.clone(), config)?,
        };
        let mut chunks = Vec::new();
        if content.len() <= config.chunk_bytes as usize {
            chunks.push(preparer.prepare(content)?);
        } else {
            let cut = Chunks::new(content, config.chunk_bytes);
            for chunk in cut.map_err(memory_fails)? {
                chunks.push(preparer.prepare(&chunk.map_err(memory_fails)?)?);
            }
        }
        self.preparers.lock().unwrap_or_else(PoisonError::into_inner).push(preparer);
        let content_hash = match chunks.as_slice() {
            [ProcessedChunk::Known { chunk_hash, .. }] => *chunk_hash,
            [ProcessedChunk::New(chunk)] => chunk.chunk_hash,
            _ => ContentHash::new(*blake3::hash(content).as_bytes()),
        };
        Ok(Staged { chunks, content_hash, metadata })
    }
}

/// A slice is read without errors; whatever the chunker says otherwise is passed on as it is.
fn memory_fails(source: std::io::Error) -> BackendError {
    BackendError::Io { path: "a content in memory".into(), source }
}

async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // Cancelled only when the runtime shuts down.
    tokio::task::spawn_blocking(task).await.map_err(|_| StoreError::Closed)?
}

#[async_trait]
impl DagStore for Store {
    async fn insert(&self, content: Vec<u8>, metadata: Option<Metadata>) -> Result<Inserted, StoreError> {
        let staged = self.stage(content, metadata).await?;
        self.commit(vec![staged]).await?.pop().ok_or(StoreError::Closed)
    }

    async fn get(&self, block_hash: BlockHash) -> Result<Arc<[u8]>, StoreError> {
        self.read(move |engine| match engine.retrieve(&block_hash) {
            Err(GetError::UnknownBlock(_)) => Err(StoreError::UnknownBlock(block_hash)),
            got => Ok(got?),
        })
        .await
    }

    async fn has(&self, block_hash: BlockHash) -> Result<bool, StoreError> {
        self.read(move |engine| Ok(engine.backend().find_block(&block_hash)?.is_some())).await
    }

    async fn list(&self, after: Option<u64>, limit: usize) -> Result<Vec<DagBlock>, StoreError> {
        self.read(move |engine| {
            let first = after.map_or(0, |after| after.saturating_add(1));
            let end = engine.backend().totals()?.blocks.min(first.saturating_add(limit as u64));
            let block = |leaf_index| {
                let missing = || BackendError::Damaged(format!("block {leaf_index} of the log is missing"));
                Ok(engine.backend().block(leaf_index)?.ok_or_else(missing)?)
            };
            (first..end).map(block).collect()
        })
        .await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(|engine| Ok(engine.head()?)).await
    }

    async fn prove(&self, block_hash: BlockHash, options: ProofOptions) -> Result<ProofDocument, StoreError> {
        self.read(move |engine| {
            let block = engine.block(&block_hash)?.ok_or(StoreError::UnknownBlock(block_hash))?;
            Ok(engine.prove(&block, &options)?)
        })
        .await
    }

    async fn begin_batch(&self) -> Result<Box<dyn Batch>, StoreError> {
        Ok(Box::new(StagedBatch { store: self.clone(), staged: Vec::new(), bytes: 0 }))
    }
}

/// A batch, in this process's memory until it is committed.
struct StagedBatch {
    store: Store,
    staged: Vec<Staged>,
    bytes: usize,
}

#[async_trait]
impl Batch for StagedBatch {
    async fn insert(&mut self, content: Vec<u8>, metadata: Option<Metadata>) -> Result<(), StoreError> {
        if self.staged.len() >= BATCH_CONTENTS_MAX {
            return Err(StoreError::BatchFull);
        }
        let staged = self.store.stage(content, metadata).await?;
        let bytes = staged.stored_bytes();
        // One content alone always fits.
        if self.bytes + bytes > BATCH_BYTES_MAX && !self.staged.is_empty() {
            return Err(StoreError::BatchFull);
        }
        self.bytes += bytes;
        self.staged.push(staged);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<Vec<Inserted>, StoreError> {
        self.store.commit(self.staged).await
    }
}
