//! Putting: one thread reads, several hash and compress, the caller's commits. Order is kept, memory is bounded.
//!
//! The reading thread sends packs of chunks to the workers and, in the same order, the places where the results will appear to
//! the committing thread. So the log's order is that of the walk, however the workers race, and the two bounded queues hold all
//! that is ever in memory.

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
    chunk::Chunks,
    cid,
    commit::{CommitError, Committer, OpenContent, Placed},
    compress::CompressError,
    config::Config,
    dictionary::Trainer,
    metadata::Metadata,
    prepare::{PrepareError, Prepared, Preparer},
    tree::{self, Entry, Node},
    walk::{Place, Sink, Source, SourceError, Step, Walk},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use pakit_primitives::{ContentHash, MetadataHash};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Bytes of plaintext on their way through the pipeline, if every chunk were of the greatest size.
const IN_FLIGHT_BYTES: usize = 64 << 20;

/// Items that wait for the next commit at most; deduplicated ones add no block to the batch and fill it up otherwise.
const UNACKNOWLEDGED_MAX: usize = 4_096;

/// Why a put ended before all sources were read. Items reported as stored are durable all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// Blocks could not be made or committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A chunk could not be looked up.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A chunk could not be compressed.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// A worker died. It has no reason to.
    #[error("a worker thread ended early")]
    WorkerLost,
    /// A stream could not be read, or a listing not made.
    #[error("{}: {error}", path.display())]
    Source {
        /// The item.
        path: PathBuf,
        /// What is wrong with it.
        error: SourceError,
    },
}

impl From<PrepareError> for PutError {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Backend(error) => Self::Backend(error),
            PrepareError::Compress(error) => Self::Compress(error),
        }
    }
}

/// An item that is stored, durably.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutItem {
    /// The path as it was given, and joined below it.
    pub path: PathBuf,
    /// Its block.
    pub block: DagBlock,
    /// Whether the block had been there before.
    pub is_deduplicated: bool,
    /// Bytes that this item added to the store.
    pub new_bytes: u64,
}

/// What a put tells while it runs.
#[derive(Debug)]
pub enum PutEvent {
    /// An item is durable.
    Stored(Box<PutItem>),
    /// An item could not be read; the rest goes on.
    Failed {
        /// The item.
        path: PathBuf,
        /// What is wrong with it.
        error: SourceError,
    },
    /// Bytes read so far.
    Progress {
        /// In all.
        bytes_read: u64,
    },
}

/// Sums of a put.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PutSummary {
    /// Items stored, deduplicated ones included.
    pub items: u64,
    /// Items that were there before.
    pub deduplicated: u64,
    /// Items that could not be read.
    pub failed: u64,
    /// Bytes of the items' contents.
    pub original_bytes: u64,
    /// Bytes added to the store.
    pub new_bytes: u64,
}

/// Plaintext that is sent to a worker at once, unless one chunk alone is larger: waking a thread for each small chunk would
/// cost more than hashing it.
const PACK_BYTES: usize = 128 << 10;
/// Steps that are sent at once at most.
const PACK_STEPS: usize = 256;

/// What a worker makes of a pack's chunks.
type Processed = Result<Vec<Prepared>, PrepareError>;
/// What goes to a worker: chunks and where the results belong.
type Work = (Vec<Vec<u8>>, Sender<Processed>);

/// Consecutive steps; the results for their chunks appear in `processed`.
struct Pack {
    steps: Vec<Step<()>>,
    processed: Receiver<Processed>,
}

/// Sends the walk's steps on, several at once.
struct Queue {
    work: Sender<Work>,
    packs: Sender<Pack>,
    steps: Vec<Step<()>>,
    chunks: Vec<Vec<u8>>,
    chunks_bytes: usize,
}

impl Queue {
    fn new(work: Sender<Work>, packs: Sender<Pack>) -> Self {
        Self { work, packs, steps: Vec::new(), chunks: Vec::new(), chunks_bytes: 0 }
    }

    fn push(&mut self, step: Step<()>) -> bool {
        self.steps.push(step);
        match self.chunks_bytes >= PACK_BYTES || self.steps.len() >= PACK_STEPS {
            true => self.flush(),
            false => true,
        }
    }
}

impl Sink for Queue {
    type Chunk = ();

    fn chunk(&mut self, bytes: Vec<u8>) -> bool {
        self.chunks_bytes += bytes.len();
        self.chunks.push(bytes);
        self.push(Step::Chunk(()))
    }

    fn step(&mut self, step: Step<()>) -> bool {
        self.push(step)
    }

    fn flush(&mut self) -> bool {
        if self.steps.is_empty() {
            return true;
        }
        let (done, processed) = bounded(1);
        let chunks = std::mem::take(&mut self.chunks);
        self.chunks_bytes = 0;
        // To the worker first: the committer waits for what it receives.
        let is_sent = chunks.is_empty() || self.work.send((chunks, done)).is_ok();
        is_sent && self.packs.send(Pack { steps: std::mem::take(&mut self.steps), processed }).is_ok()
    }
}

/// Puts `sources` in their order. `events` is told each item once it is durable; returning from here says so of all.
///
/// `excluded` is a folder that is left out wherever it is met: the repository itself.
pub fn put(
    backend: &Arc<dyn DagBackend>,
    committer: &mut Committer,
    config: &Config,
    sources: Vec<Source>,
    metadata: Option<&Metadata>,
    excluded: Option<&Path>,
    events: &mut dyn FnMut(PutEvent),
) -> Result<PutSummary, PutError> {
    committer.clear_left_over()?;
    let pack_bytes_max = PACK_BYTES + config.chunk_bytes as usize * 4;
    let in_flight = (IN_FLIGHT_BYTES / pack_bytes_max).clamp(4, 256);
    let (work, to_do) = bounded::<Work>(in_flight);
    let (packs, walked) = bounded::<Pack>(in_flight);
    let bytes_read = AtomicU64::new(0);
    let trainer = Arc::new(Trainer::new(backend.clone(), config)?);
    let new_preparer = || Preparer::new(backend.clone(), trainer.clone(), config);
    let preparers = (0..config.jobs).map(|_| new_preparer()).collect::<Result<Vec<_>, _>>()?;
    let preparer = new_preparer()?;
    let metadata_hash = metadata.map_or(MetadataHash::NONE, Metadata::hash);
    thread::scope(|scope| {
        let (trainings, due) = bounded(1);
        // In here, so that whatever ends the writer ends the threads that wait for it.
        let mut writer = Writer {
            committer,
            preparer,
            trainings,
            chunk_bytes: config.chunk_bytes,
            metadata,
            bytes_read: &bytes_read,
            events,
            content: OpenContent::default(),
            folders: Vec::new(),
            unacknowledged: Vec::new(),
            committing: Vec::new(),
            summary: PutSummary::default(),
        };
        for mut preparer in preparers {
            let to_do = to_do.clone();
            scope.spawn(move || {
                for (chunks, done) in to_do {
                    // A committer that has failed no longer waits for the result.
                    let _ = done.send(preparer.prepare_all(&chunks, cid::RAW, metadata_hash));
                }
            });
        }
        drop(to_do);
        scope.spawn(move || due.into_iter().for_each(|()| trainer.train()));
        let walk = Walk::new(Queue::new(work, packs), config.chunk_bytes, excluded, &bytes_read);
        scope.spawn(move || walk.run(sources));
        // Consumed here, so that an early end drops the queue and with it stops the walk, then the workers.
        let written = walked.into_iter().try_for_each(|pack| writer.take_pack(pack));
        written.and_then(|()| writer.finish())
    })
}

fn add(committer: &mut Committer, content: &mut OpenContent, prepared: Prepared) -> Result<(), CommitError> {
    match prepared {
        Prepared::Placed(info, block) => committer.add_placed(content, &info, block),
        Prepared::Chunk(chunk) => committer.add_chunk(content, chunk),
    }
}

/// Takes the steps in order, on the caller's thread.
struct Writer<'a> {
    committer: &'a mut Committer,
    preparer: Preparer,
    /// Asks for a dictionary to be trained.
    trainings: Sender<()>,
    chunk_bytes: u32,
    metadata: Option<&'a Metadata>,
    bytes_read: &'a AtomicU64,
    events: &'a mut dyn FnMut(PutEvent),
    content: OpenContent,
    /// Entries of the folders that are entered, the innermost last.
    folders: Vec<Vec<Entry>>,
    unacknowledged: Vec<PutItem>,
    /// Items of the batch that is being committed.
    committing: Vec<PutItem>,
    summary: PutSummary,
}

impl Writer<'_> {
    fn take_pack(&mut self, pack: Pack) -> Result<(), PutError> {
        let has_chunks = pack.steps.iter().any(|step| matches!(step, Step::Chunk(())));
        let processed = match has_chunks {
            true => pack.processed.recv().map_err(|_| PutError::WorkerLost)??,
            false => Vec::new(),
        };
        let mut processed = processed.into_iter();
        pack.steps.into_iter().try_for_each(|step| self.take(step, &mut processed))
    }

    fn take(&mut self, step: Step<()>, processed: &mut impl Iterator<Item = Prepared>) -> Result<(), PutError> {
        match step {
            Step::Chunk(()) => {
                let prepared = processed.next().ok_or(PutError::WorkerLost)?;
                add(self.committer, &mut self.content, prepared)?;
            }
            Step::Content { place, content_hash } => self.end_content(place, content_hash)?,
            Step::Failed { path, error } => self.fail(path, error),
            Step::EnterFolder => self.folders.push(Vec::new()),
            Step::LeaveFolder(place) => self.end_folder(place)?,
            Step::Symlink { place, target } => self.list(place, target.len() as u64, Node::Symlink(target)),
        }
        if self.committer.is_full() || self.unacknowledged.len() >= UNACKNOWLEDGED_MAX {
            self.commit()?;
        } else if !self.committing.is_empty() && self.committer.is_settled()? {
            self.acknowledge()?;
        }
        Ok(())
    }

    fn end_content(&mut self, place: Place, content_hash: Option<ContentHash>) -> Result<(), PutError> {
        let content = std::mem::take(&mut self.content);
        let placed = self.committer.finish(content, cid::RAW, content_hash, self.metadata)?;
        let size = placed.block.header().original_size;
        let node = Node::File(placed.block.cid());
        self.stored(place.path.clone(), placed);
        self.list(place, size, node);
        Ok(())
    }

    fn end_folder(&mut self, place: Place) -> Result<(), PutError> {
        let entries = self.folders.pop().unwrap_or_default();
        let listing = match tree::encode(&entries) {
            Ok(listing) => listing,
            Err(error) => {
                self.fail(place.path, error.into());
                return Ok(());
            }
        };
        let mut content = OpenContent::default();
        let chunks = Chunks::new(listing.as_slice(), self.chunk_bytes)
            .and_then(|chunks| chunks.collect::<std::io::Result<Vec<_>>>())
            .map_err(|error| PutError::Source { path: place.path.clone(), error: error.into() })?;
        for prepared in self.preparer.prepare_all(&chunks, cid::DAG_CBOR, MetadataHash::NONE)? {
            add(self.committer, &mut content, prepared)?;
        }
        let content_hash = ContentHash::new(*blake3::hash(&listing).as_bytes());
        let placed = self.committer.finish(content, cid::DAG_CBOR, Some(content_hash), None)?;
        let node = Node::Folder(placed.block.cid());
        self.stored(place.path.clone(), placed);
        self.list(place, listing.len() as u64, node);
        Ok(())
    }

    /// Adds an entry to the folder that is being walked, if there is one.
    fn list(&mut self, place: Place, size: u64, node: Node) {
        if let Some(entries) = self.folders.last_mut() {
            entries.push(Entry { name: place.name(), node, mode: place.mode, mtime_ns: place.mtime_ns, size });
        }
    }

    fn stored(&mut self, path: PathBuf, placed: Placed) {
        let Placed { block, is_deduplicated, new_bytes } = placed;
        self.unacknowledged.push(PutItem { path, block, is_deduplicated, new_bytes });
    }

    fn fail(&mut self, path: PathBuf, error: SourceError) {
        self.committer.abandon(std::mem::take(&mut self.content));
        self.summary.failed += 1;
        (self.events)(PutEvent::Failed { path, error });
    }

    /// Has everything so far made durable while more is read, and says so of what was begun before.
    fn commit(&mut self) -> Result<(), PutError> {
        let is_committing = self.committer.begin_flush()?;
        self.acknowledge()?;
        self.committing = std::mem::take(&mut self.unacknowledged);
        if is_committing { Ok(()) } else { self.acknowledge() }
    }

    /// Says of the items of the batch that was being committed that they are durable.
    fn acknowledge(&mut self) -> Result<(), PutError> {
        for item in self.committing.drain(..) {
            self.summary.items += 1;
            self.summary.deduplicated += u64::from(item.is_deduplicated);
            self.summary.original_bytes += item.block.header().original_size;
            self.summary.new_bytes += item.new_bytes;
            (self.events)(PutEvent::Stored(Box::new(item)));
        }
        (self.events)(PutEvent::Progress { bytes_read: self.bytes_read.load(Ordering::Relaxed) });
        if self.preparer.trainer().is_due()? {
            // One that is under way is enough.
            let _ = self.trainings.try_send(());
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<PutSummary, PutError> {
        self.committer.flush()?;
        self.acknowledge()?;
        self.committing = std::mem::take(&mut self.unacknowledged);
        self.acknowledge()?;
        Ok(self.summary)
    }
}
