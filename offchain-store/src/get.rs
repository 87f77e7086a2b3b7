//! Getting: content is read chunk by chunk, and nothing is handed out that was not checked against a hash.

use crate::{
    backend::{BackendError, ChunkRef, DagBackend, StoredChunk},
    block::DagBlock,
    chunk::CHUNK_BYTES_LIMIT,
    compress::{self, CompressError},
    removal::{self, Told},
};
use pakit_primitives::{BlockHash, ContentHash};
use std::{collections::VecDeque, io, ops::Range, sync::Arc};

/// Chunk references that are read at once.
const CHUNKS_PAGE: usize = 256;

/// Why content was not given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// There is no such block.
    #[error("there is no block {0} in this repository")]
    UnknownBlock(String),
    /// The block's payload was removed; its header and proofs remain.
    #[error("the content of block {0} was removed")]
    Removed(BlockHash),
    /// The same, and it is known who decided it.
    #[error("the content of block {block_hash} was removed ({told})")]
    Forgotten {
        /// The block.
        block_hash: BlockHash,
        /// By whom, when and why.
        told: Box<Told>,
    },
    /// The block's payload was damaged, and set aside by a repair.
    #[error("the content of block {0} is lost: it was damaged, and a repair set it aside; put it again to restore it")]
    SetAside(BlockHash),
    /// A chunk is not there.
    #[error("the content of block {block_hash} is damaged: chunk {chunk_hash} is missing; run `pakit check --full`")]
    MissingChunk {
        /// The block.
        block_hash: BlockHash,
        /// The chunk.
        chunk_hash: ContentHash,
    },
    /// A chunk does not decompress.
    #[error("the content of block {block_hash} is damaged: chunk {chunk_hash}: {source}; run `pakit check --full`")]
    UnreadableChunk {
        /// The block.
        block_hash: BlockHash,
        /// The chunk.
        chunk_hash: ContentHash,
        /// Why.
        source: CompressError,
    },
    /// What is stored is not what was put.
    #[error(
        "the content of block {block_hash} is damaged: it does not match its content hash; run `pakit check --full`"
    )]
    Mismatch {
        /// The block.
        block_hash: BlockHash,
    },
    /// A range that begins behind the end of the content or behind its own end.
    #[error("the range {}-{} is not within the {size} bytes of block {block_hash}", range.start, range.end)]
    BadRange {
        /// The block.
        block_hash: BlockHash,
        /// What was asked for.
        range: Range<u64>,
        /// Bytes of the content.
        size: u64,
    },
    /// The content is too large to be held in memory at once.
    #[error("the content of block {block_hash} has {size} bytes, more than {limit} at once")]
    TooLarge {
        /// The block.
        block_hash: BlockHash,
        /// Bytes of the content.
        size: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The bytes could not be written where they should go.
    #[error("the content cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Reads a content, or a range of it, verified. Memory: a chunk and a page of references.
pub struct ContentReader {
    backend: Arc<dyn DagBackend>,
    block: DagBlock,
    range: Range<u64>,
    page: VecDeque<ChunkRef>,
    /// The content, as stored, where it is one chunk.
    only: Option<StoredChunk>,
    /// First byte of the content that no chunk was read for yet.
    position: u64,
    /// Hash of the whole, for contents of several chunks.
    whole: Option<blake3::Hasher>,
    is_done: bool,
}

/// Why a block's content is not there, if it is not.
fn absence(backend: &Arc<dyn DagBackend>, block: &DagBlock) -> Result<Option<GetError>, GetError> {
    let (block_hash, content_hash) = (block.block_hash(), &block.header().content_hash);
    if backend.payload(content_hash)?.is_some_and(|info| info.is_kept) {
        return Ok(None);
    }
    if backend.is_set_aside(content_hash)? {
        return Ok(Some(GetError::SetAside(block_hash)));
    }
    let told = removal::told_of(backend, block.leaf_index())?;
    Ok(Some(match told {
        Some(audit) => GetError::Forgotten { block_hash, told: Box::new(audit.into()) },
        None => GetError::Removed(block_hash),
    }))
}

impl ContentReader {
    /// Reads the bytes of `range` (all where it is `None`). The whole content is checked in either case, since a chunk's
    /// own hash does not show where in the content it belongs.
    pub fn new(backend: Arc<dyn DagBackend>, block: DagBlock, range: Option<Range<u64>>) -> Result<Self, GetError> {
        // Most contents are one chunk, which this finds by one question instead of three.
        let only = match block.header().original_size <= u64::from(CHUNK_BYTES_LIMIT) {
            true => backend.chunk(&block.header().content_hash)?,
            false => None,
        };
        Self::with_chunk(backend, block, range, only)
    }

    /// The same where it was looked already whether the content is one chunk.
    pub(crate) fn with_chunk(
        backend: Arc<dyn DagBackend>,
        block: DagBlock,
        range: Option<Range<u64>>,
        only: Option<StoredChunk>,
    ) -> Result<Self, GetError> {
        let size = block.header().original_size;
        let range = range.unwrap_or(0..size);
        if range.start > range.end || range.end > size {
            return Err(GetError::BadRange { block_hash: block.block_hash(), range, size });
        }
        if only.is_none()
            && let Some(absence) = absence(&backend, &block)?
        {
            return Err(absence);
        }
        Ok(Self { backend, block, range, page: VecDeque::new(), only, position: 0, whole: None, is_done: false })
    }

    /// The next verified piece of the range, or nothing at its end. The last piece of a content of several chunks is given
    /// only after the whole was verified.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, GetError> {
        while !self.is_done {
            let start = self.position;
            let plain = self.next_chunk()?;
            let begin = self.range.start.clamp(start, self.position) - start;
            let end = self.range.end.clamp(start, self.position) - start;
            if begin < end {
                // Offsets within a chunk, which is in memory.
                return Ok(Some(plain[begin as usize..end as usize].to_vec()));
            }
        }
        Ok(None)
    }

    /// Writes all pieces; gives the number of bytes.
    pub fn copy_to(&mut self, out: &mut dyn io::Write) -> Result<u64, GetError> {
        let mut written = 0;
        while let Some(piece) = self.next_piece()? {
            out.write_all(&piece).map_err(GetError::Write)?;
            written += piece.len() as u64;
        }
        out.flush().map_err(GetError::Write)?;
        Ok(written)
    }

    /// What was there when the reading began may have been removed meanwhile, and even put again in other chunks.
    fn gone(&self) -> Result<Option<GetError>, GetError> {
        if let Some(absence) = absence(&self.backend, &self.block)? {
            return Ok(Some(absence));
        }
        let now = self.backend.chunks(&self.block.header().content_hash, self.position, 1)?;
        let is_cut_otherwise = match now.first() {
            Some(chunk) => self.backend.chunk(&chunk.chunk_hash)?.is_some(),
            None => false,
        };
        Ok(is_cut_otherwise.then(|| GetError::Removed(self.block.block_hash())))
    }

    fn mismatch(&self) -> GetError {
        GetError::Mismatch { block_hash: self.block.block_hash() }
    }

    fn next_chunk(&mut self) -> Result<Vec<u8>, GetError> {
        let header = self.block.header();
        let (content_hash, size) = (header.content_hash, header.original_size);
        if let Some(stored) = self.only.take() {
            if u64::from(stored.original_size) != size {
                return Err(self.mismatch());
            }
            (self.position, self.is_done) = (size, true);
            return self.restore(&stored, stored.original_size);
        }
        if self.page.is_empty() {
            self.page = self.backend.chunks(&content_hash, self.position, CHUNKS_PAGE)?.into();
        }
        let Some(next) = self.page.pop_front() else { return Err(self.gone()?.unwrap_or_else(|| self.mismatch())) };
        // Also ends the reading of a damaged list that goes in circles.
        let follows = next.offset == self.position && u64::from(next.original_size) <= size - self.position;
        if !follows || next.original_size > CHUNK_BYTES_LIMIT || (next.original_size == 0 && size != 0) {
            return Err(self.mismatch());
        }
        let plain = self.read_chunk(&next)?;
        self.position += plain.len() as u64;
        self.is_done = self.position == size;
        if next.chunk_hash != content_hash {
            let whole = self.whole.get_or_insert_with(blake3::Hasher::new);
            whole.update(&plain);
            if self.is_done && whole.finalize().as_bytes() != content_hash.as_bytes() {
                return Err(self.mismatch());
            }
        } else if !self.is_done {
            return Err(self.mismatch());
        }
        Ok(plain)
    }

    fn read_chunk(&self, wanted: &ChunkRef) -> Result<Vec<u8>, GetError> {
        let block_hash = self.block.block_hash();
        let chunk_hash = wanted.chunk_hash;
        let Some(stored) = self.backend.chunk(&chunk_hash)? else {
            return Err(self.gone()?.unwrap_or(GetError::MissingChunk { block_hash, chunk_hash }));
        };
        self.restore(&stored, wanted.original_size)
    }

    /// A chunk's plaintext, verified.
    fn restore(&self, stored: &StoredChunk, original_size: u32) -> Result<Vec<u8>, GetError> {
        let (block_hash, chunk_hash) = (self.block.block_hash(), stored.chunk_hash);
        let plain = compress::decompress(stored.compression, &stored.bytes, original_size, |number| {
            self.backend.dictionary(number)
        })
        .map_err(|source| GetError::UnreadableChunk { block_hash, chunk_hash, source })?;
        if blake3::hash(&plain).as_bytes() == chunk_hash.as_bytes() { Ok(plain) } else { Err(self.mismatch()) }
    }
}
