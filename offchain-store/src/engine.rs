//! [`StorageEngine`], the library's face: one repository, opened.

use crate::{
    backend::{BackendError, DagBackend},
    backup::{SETTING_INSTANCE, new_instance},
    block::DagBlock,
    cache::{BlockCache, CACHED_CONTENT_BYTES_MAX, CachedBlock},
    commit::{CommitError, Committer},
    config::{Config, ConfigError, Overrides},
    dag::{DagError, MerkleDag},
    get::{ContentReader, GetError},
    index::DagIndex,
    listing::{self, ListingError, TreeWalk},
    log::{LogReadError, LogReader},
    memory::MemoryBackend,
    metadata::Metadata,
    parents::ParentSelectionStrategy,
    proof::{self, ProofBuildError, ProofDocument, ProofRequest},
    put::{self, PutError, PutEvent, PutItem, PutSummary},
    removal::{self, Audit, BlockMark, RecordError, Removal, Retention, Told},
    resolve::{self, ResolveError},
    restore::{self, RestoreError, RestoreEvent, RestoreOptions, Restored},
    setting::{self, GENESIS_NONCE_BYTES},
    sqlite::SqliteBackend,
    stats::{self, DagStats, EfficiencyReport},
    tree::Entry,
    verify::{self, ContentReadError, Expected, Verification},
    walk::Source,
};
use pakit_primitives::{BlockHash, Head};
use std::{
    ffi::OsStr,
    io::{Cursor, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Greatest content that [`StorageEngine::retrieve`] holds in memory, in bytes; [`StorageEngine::reader`] has no limit.
pub const RETRIEVE_BYTES_MAX: u64 = 256 << 20;

pub use crate::setting::NAME_BYTES_MAX;
/// What an opened repository may be used for.
pub use crate::sqlite::Access;

/// How a new repository is made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InitOptions {
    /// Name of the DAG; stands in the genesis block.
    pub name: String,
    /// How later blocks choose their parents.
    pub strategy: ParentSelectionStrategy,
    /// Makes genesis and the choice of parents reproducible, for tests.
    pub seed: Option<u64>,
}

/// Why a repository could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The settings are not accepted.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Genesis could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Genesis could not be put.
    #[error(transparent)]
    Put(#[from] Box<PutError>),
    /// The name is too long.
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// The repository has no genesis: making it was interrupted.
    #[error("the repository in {} was not completely made; run `pakit init` again", .0.display())]
    Incomplete(PathBuf),
}

/// Why a proof could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// The lineage could not be found.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// What was built does not verify.
    #[error(transparent)]
    Build(#[from] ProofBuildError),
}

/// What a proof should show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProofOptions {
    /// Size of the log to prove the block in; the whole log where it is `None`.
    pub size: Option<u64>,
    /// Also prove that a log of this later size extends it.
    pub consistent_with: Option<u64>,
    /// Also prove that the block descends from genesis.
    pub lineage: bool,
}

/// A block with what the repository knows beyond its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockInfo {
    /// The block.
    pub block: DagBlock,
    /// Blocks that name it as a parent, the earliest first.
    pub children: Vec<u64>,
    /// Whether there are more children than are listed.
    pub children_truncated: bool,
    /// Whether its content is still kept.
    pub is_kept: bool,
    /// What was decided about it.
    pub mark: BlockMark,
    /// Who forgot it, when and why, if it is forgotten and that can be read.
    pub forgotten: Option<Told>,
}

/// A repository, opened. Shared by reference among threads: reads run side by side, writes one after the other.
///
/// ```
/// use offchain_store::{Config, InitOptions, ProofOptions, StorageEngine, verify::{Expected, TrustedHead}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let options = InitOptions { name: "land titles".into(), ..Default::default() };
/// let (engine, _genesis) = StorageEngine::init(folder.path().join("repo").as_path(), &options, Config::default())?;
///
/// let stored = engine.store(&b"parcel 12/7"[..], None)?;
/// assert_eq!(&*engine.retrieve(&stored.block.block_hash())?, b"parcel 12/7");
///
/// let proof = engine.prove(&stored.block, &ProofOptions { lineage: true, ..Default::default() })?;
/// let head = engine.head()?;
/// let expected = Expected::of_head(TrustedHead::Given(head));
/// assert!(StorageEngine::verify(&proof, Some(&mut &b"parcel 12/7"[..]), &expected)?.valid);
/// assert!(!StorageEngine::verify(&proof, Some(&mut &b"parcel 12/8"[..]), &expected)?.valid);
/// assert_eq!(engine.dag_stats()?.blocks, 2);
/// # Ok(()) }
/// ```
pub struct StorageEngine {
    backend: Arc<dyn DagBackend>,
    folder: Option<PathBuf>,
    config: Config,
    seed: Option<u64>,
    /// Who is said to decide what audit blocks tell of.
    who: String,
    cache: BlockCache,
    /// Made by the first write; taken out while a write runs, and only put back if it succeeded.
    committer: Mutex<Option<Committer>>,
}

impl StorageEngine {
    /// Makes a repository in `folder` with its genesis block. Where an earlier attempt was interrupted, it is completed.
    pub fn init(folder: &Path, options: &InitOptions, config: Config) -> Result<(Self, DagBlock), OpenError> {
        if options.name.len() > NAME_BYTES_MAX {
            return Err(OpenError::NameTooLong);
        }
        let backend = match SqliteBackend::create(folder, &config.database_options()) {
            Err(BackendError::AlreadyExists(path)) => {
                let begun = SqliteBackend::open(folder, Access::Write, &config.database_options())?;
                if begun.totals()?.blocks > 0 {
                    return Err(BackendError::AlreadyExists(path).into());
                }
                begun
            }
            created => created?,
        };
        Self::found(Arc::new(backend), Some(folder.to_owned()), options, config)
    }

    /// A repository in memory, for tests and for trying things out.
    pub fn in_memory(options: &InitOptions, config: Config) -> Result<(Self, DagBlock), OpenError> {
        Self::found(Arc::new(MemoryBackend::new()), None, options, config)
    }

    /// Opens the repository in `folder`. `flags` override its settings file and the environment.
    pub fn open(folder: &Path, access: Access, flags: &Overrides) -> Result<Self, OpenError> {
        let config = Config::load(folder, flags)?;
        let backend = SqliteBackend::open(folder, access, &config.database_options())?;
        if backend.totals()?.blocks == 0 {
            return Err(OpenError::Incomplete(folder.to_owned()));
        }
        Ok(Self::assemble(Arc::new(backend), Some(folder.to_owned()), None, config))
    }

    fn found(
        backend: Arc<dyn DagBackend>,
        folder: Option<PathBuf>,
        options: &InitOptions,
        config: Config,
    ) -> Result<(Self, DagBlock), OpenError> {
        backend.set_setting(setting::NAME, options.name.as_bytes())?;
        backend.set_setting(setting::STRATEGY, options.strategy.to_string().as_bytes())?;
        backend.set_setting(SETTING_INSTANCE, &new_instance())?;
        let engine = Self::assemble(backend, folder, options.seed, config);
        let mut content = match options.seed {
            Some(seed) => blake3::hash(&seed.to_le_bytes()).as_bytes().to_vec(),
            None => rand::random::<[u8; GENESIS_NONCE_BYTES]>().to_vec(),
        };
        content.extend_from_slice(options.name.as_bytes());
        let genesis = engine.store(Cursor::new(content), None).map_err(Box::new)?;
        Ok((engine, genesis.block))
    }

    fn assemble(backend: Arc<dyn DagBackend>, folder: Option<PathBuf>, seed: Option<u64>, config: Config) -> Self {
        let cache = BlockCache::new(usize::try_from(config.cache_bytes).unwrap_or(usize::MAX));
        let who = removal::default_who();
        Self { backend, folder, config, seed, who, cache, committer: Mutex::new(None) }
    }

    /// Names who decides what audit blocks tell of; without it, the user at this machine.
    pub fn decided_by(mut self, who: &str) -> Result<Self, RecordError> {
        removal::record::check_who(who)?;
        self.who = who.to_owned();
        Ok(self)
    }

    /// What keeps the blocks.
    pub fn backend(&self) -> &Arc<dyn DagBackend> {
        &self.backend
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The repository's folder, if it has one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The DAG's name.
    pub fn name(&self) -> Result<String, BackendError> {
        setting::name(self.backend.as_ref())
    }

    /// How new blocks choose their parents. Read when it is asked for: only who makes blocks needs it.
    pub fn strategy(&self) -> Result<ParentSelectionStrategy, BackendError> {
        setting::strategy(self.backend.as_ref())
    }

    /// The graph of blocks.
    pub fn dag(&self) -> MerkleDag {
        MerkleDag::new(self.backend.clone())
    }

    /// Queries by depth and time.
    pub fn index(&self) -> DagIndex {
        DagIndex::new(self.backend.clone())
    }

    /// The log and its proofs.
    pub fn log(&self) -> LogReader<'_> {
        LogReader::new(self.backend.as_ref())
    }

    /// The head of the log.
    pub fn head(&self) -> Result<Head, LogReadError> {
        let size = self.backend.totals()?.blocks;
        self.log().head_at(size)
    }

    /// Stores one content as a block; returns when it is durable. Content of any size is streamed.
    pub fn store(&self, content: impl Read + Send + 'static, metadata: Option<&Metadata>) -> Result<PutItem, PutError> {
        let name = PathBuf::from("-");
        let mut stored = None;
        let mut failed = None;
        self.put(vec![Source::Stream(name.clone(), Box::new(content))], metadata, &mut |event| match event {
            PutEvent::Stored(item) => stored = Some(item),
            PutEvent::Failed { error, .. } => failed = Some(error),
            PutEvent::Progress { .. } => {}
        })?;
        match (stored, failed) {
            (Some(item), _) => Ok(*item),
            (None, Some(error)) => Err(PutError::Source { path: name, error }),
            // The pipeline reports each source as stored or failed.
            (None, None) => Err(PutError::WorkerLost),
        }
    }

    /// Stores files, folders and streams. `events` is told each item once it is durable.
    pub fn put(
        &self,
        sources: Vec<Source>,
        metadata: Option<&Metadata>,
        events: &mut dyn FnMut(PutEvent),
    ) -> Result<PutSummary, PutError> {
        let excluded = self.folder.as_deref();
        self.with_committer(|committer| {
            put::put(&self.backend, committer, &self.config, sources, metadata, excluded, events)
        })
    }

    /// Lets `write` make and commit blocks, as the only one meanwhile.
    pub(crate) fn with_committer<T, E: From<CommitError>>(
        &self,
        write: impl FnOnce(&mut Committer) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut slot = self.committer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut committer = match slot.take() {
            Some(committer) => committer,
            None => Committer::new(
                self.backend.clone(),
                self.strategy().map_err(CommitError::from)?,
                self.config.batch_limits(),
                self.seed,
            )?
            .decided_by(&self.who),
        };
        let written = write(&mut committer)?;
        *slot = Some(committer);
        Ok(written)
    }

    /// Runs a task of removal: forgetting, pinning, the retention rule, dropping what nothing holds. No put runs meanwhile.
    ///
    /// ```
    /// use offchain_store::{Config, InitOptions, StorageEngine, removal::{ForgetError, ForgetOptions, GcError}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (engine, _) = StorageEngine::in_memory(&InitOptions::default(), Config::default())?;
    /// let letter = engine.store(&b"a letter"[..], None)?.block;
    /// let options = ForgetOptions { why: "erasure request 12".into(), only_listing: false };
    /// engine.removal(|mut removal| removal.forget(&[letter.clone()], &options)).map_err(|error: ForgetError| error)?;
    /// let dropped = engine.removal(|mut removal| removal.gc("", &mut |_, _| ())).map_err(|error: GcError| error)?;
    /// assert_eq!(dropped.dropped, 1);
    /// assert!(engine.retrieve(&letter.block_hash()).is_err());
    /// // Its proofs stay.
    /// assert!(engine.prove(&letter, &Default::default()).is_ok());
    /// # Ok(()) }
    /// ```
    pub fn removal<T, E: From<CommitError>>(&self, task: impl FnOnce(Removal<'_>) -> Result<T, E>) -> Result<T, E> {
        let done = self.with_committer(|committer| task(Removal::new(&self.backend, committer, removal::now_ms())));
        // Contents that were read before may be among those that are gone.
        self.cache.clear();
        done
    }

    /// The retention rule.
    pub fn retention(&self) -> Result<Retention, BackendError> {
        Retention::read(self.backend.as_ref())
    }

    /// Audit blocks in the order of the log, after the one of a leaf index.
    pub fn audits(&self, after: Option<u64>, limit: usize) -> Result<Vec<Audit>, RecordError> {
        let leaves = self.backend.audits(after, limit)?;
        leaves.into_iter().map(|leaf_index| removal::audit_at(&self.backend, leaf_index)).collect()
    }

    /// Finds the block that a text names: see [`crate::resolve::resolve`].
    pub fn resolve(&self, text: &(impl AsRef<OsStr> + ?Sized)) -> Result<DagBlock, ResolveError> {
        resolve::resolve(&self.backend, text.as_ref())
    }

    /// How often a block was found in the cache, and how often it was not, since the repository was opened.
    pub fn cache_counts(&self) -> (u64, u64) {
        self.cache.counts()
    }

    /// A block by its hash.
    pub fn block(&self, block_hash: &BlockHash) -> Result<Option<Arc<DagBlock>>, BackendError> {
        if let Some(cached) = self.cache.get(block_hash) {
            return Ok(Some(cached.block));
        }
        let block = self.backend.block_by_hash(block_hash)?.map(Arc::new);
        if let Some(block) = &block {
            self.cache.insert(CachedBlock { block: block.clone(), content: None });
        }
        Ok(block)
    }

    /// A block's content, verified, in memory. At most [`RETRIEVE_BYTES_MAX`] bytes.
    pub fn retrieve(&self, block_hash: &BlockHash) -> Result<Arc<[u8]>, GetError> {
        let unknown = || GetError::UnknownBlock(block_hash.to_string());
        let (block, found) = match self.cache.get(block_hash) {
            Some(CachedBlock { content: Some(content), .. }) => return Ok(content),
            Some(CachedBlock { block, content: None }) => (block, None),
            None => {
                let (block, chunk) = self.backend.block_with_chunk(block_hash)?.ok_or_else(unknown)?;
                let block = Arc::new(block);
                self.cache.insert(CachedBlock { block: block.clone(), content: None });
                (block, Some(chunk))
            }
        };
        let size = block.header().original_size;
        if size > RETRIEVE_BYTES_MAX {
            return Err(GetError::TooLarge { block_hash: *block_hash, size, limit: RETRIEVE_BYTES_MAX });
        }
        let mut reader = match found {
            Some(chunk) => ContentReader::with_chunk(self.backend.clone(), (*block).clone(), None, chunk)?,
            None => self.reader(&block, None)?,
        };
        // Bounded just before.
        let mut content = Vec::with_capacity(size as usize);
        reader.copy_to(&mut content)?;
        let content: Arc<[u8]> = content.into();
        if size <= CACHED_CONTENT_BYTES_MAX {
            self.cache.insert(CachedBlock { block, content: Some(content.clone()) });
        }
        Ok(content)
    }

    /// Streams a block's content, or the bytes of `range`, verified.
    pub fn reader(&self, block: &DagBlock, range: Option<Range<u64>>) -> Result<ContentReader, GetError> {
        ContentReader::new(self.backend.clone(), block.clone(), range)
    }

    /// The entries of a folder's block.
    pub fn listing(&self, block: &DagBlock) -> Result<Vec<Entry>, ListingError> {
        listing::read_listing(&self.backend, block.clone())
    }

    /// Goes through all entries below a folder's block; their paths begin with `path`.
    pub fn walk(&self, block: &DagBlock, path: &Path) -> Result<TreeWalk<'_>, ListingError> {
        TreeWalk::new(&self.backend, block.clone(), path)
    }

    /// Restores a folder's block at `target`, which is new or empty. `events` is told what was written and what failed.
    pub fn restore(
        &self,
        block: &DagBlock,
        target: &Path,
        options: &RestoreOptions,
        events: &mut dyn FnMut(RestoreEvent),
    ) -> Result<Restored, RestoreError> {
        restore::restore(&self.backend, block.clone(), target, options, events)
    }

    /// What is known of a block, with at most `children_max` of its children.
    pub fn info(&self, block: &DagBlock, children_max: usize) -> Result<BlockInfo, BackendError> {
        let mut children = self.backend.children(block.leaf_index(), None, children_max.saturating_add(1))?;
        let children_truncated = children.len() > children_max;
        children.truncate(children_max);
        let payload = self.backend.payload(&block.header().content_hash)?;
        let is_kept = payload.is_some_and(|info| info.is_kept);
        let mark = self.backend.mark(block.leaf_index())?;
        let audit = mark.forgotten.and_then(|audit| removal::audit_at(&self.backend, audit).ok());
        let forgotten = audit.map(Told::from);
        Ok(BlockInfo { block: block.clone(), children, children_truncated, is_kept, mark, forgotten })
    }

    /// Figures of the DAG and its payloads.
    pub fn dag_stats(&self) -> Result<DagStats, BackendError> {
        DagStats::read(self.backend.as_ref(), stats::WALK_BLOCKS_DEFAULT)
    }

    /// What deduplication and compression saved.
    pub fn efficiency_report(&self) -> Result<EfficiencyReport, BackendError> {
        EfficiencyReport::read(self.backend.as_ref())
    }

    /// Proves a block to be in the log.
    pub fn prove(&self, block: &DagBlock, options: &ProofOptions) -> Result<ProofDocument, ProveError> {
        let size = match options.size {
            Some(size) => size,
            None => self.backend.totals().map_err(LogReadError::from)?.blocks,
        };
        let mut request = ProofRequest::at(size);
        if let Some(later_size) = options.consistent_with {
            request = request.with_consistency_to(later_size);
        }
        if options.lineage {
            let lineage = self.dag().lineage_to_genesis(&block.block_hash())?;
            request = request.with_lineage(lineage.iter().map(|ancestor| ancestor.header().to_bytes()));
        }
        Ok(proof::build(&self.log(), block, request)?)
    }

    /// Verifies a proof document, and the content with it. Needs no repository.
    pub fn verify(
        document: &ProofDocument,
        content: Option<&mut dyn Read>,
        expected: &Expected<'_>,
    ) -> Result<Verification, ContentReadError> {
        verify::verify_document(document, content, expected)
    }
}
