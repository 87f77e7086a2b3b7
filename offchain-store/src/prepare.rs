//! Preparing chunks for a commit: hashed, looked up, and compressed if they are new.

use crate::{
    backend::{BackendError, BlockKey, DagBackend, PayloadInfo, Standing, StoredChunk},
    block::DagBlock,
    commit::ProcessedChunk,
    compress::{CompressError, Compressor},
    config::Config,
    dictionary::Trainer,
};
use pakit_primitives::{ContentHash, MetadataHash};
use std::sync::Arc;

/// Why a chunk could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// It could not be looked up.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// It could not be compressed.
    #[error(transparent)]
    Compress(#[from] CompressError),
}

/// A chunk that was prepared with others, in one question, by whoever has had the committer to itself since before that.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// Kept as one, with the block whose content it is.
    Placed(PayloadInfo, Box<DagBlock>),
    /// Any other.
    Chunk(ProcessedChunk),
}

/// Hashes and compresses chunks, on one thread, with one set of working memory.
pub(crate) struct Preparer {
    backend: Arc<dyn DagBackend>,
    trainer: Arc<Trainer>,
    compressor: Compressor,
    /// Number of the dictionary that the compressor has.
    dictionary: u32,
}

impl Preparer {
    pub(crate) fn new(
        backend: Arc<dyn DagBackend>,
        trainer: Arc<Trainer>,
        config: &Config,
    ) -> Result<Self, PrepareError> {
        let compressor = Compressor::new(config.compression, config.compression_level)?;
        Ok(Self { backend, trainer, compressor, dictionary: 0 })
    }

    pub(crate) fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Compresses unless the chunk is kept already.
    pub(crate) fn prepare(&mut self, plain: &[u8]) -> Result<ProcessedChunk, PrepareError> {
        let chunk_hash = hash(plain);
        match self.backend.payload(&chunk_hash)?.filter(|info| info.is_kept) {
            Some(info) => Ok(ProcessedChunk::Known { chunk_hash, info }),
            None => self.compress(chunk_hash, plain),
        }
    }

    /// The same for several chunks, any of which may be a content with a block of this codec and metadata: then that is told.
    pub(crate) fn prepare_all(
        &mut self,
        chunks: &[Vec<u8>],
        codec: u32,
        metadata_hash: MetadataHash,
    ) -> Result<Vec<Prepared>, PrepareError> {
        let key = |plain: &Vec<u8>| BlockKey { codec, content_hash: hash(plain), metadata_hash };
        let keys: Vec<BlockKey> = chunks.iter().map(key).collect();
        let standings = self.backend.standings(&keys)?;
        let prepared = chunks.iter().zip(keys).zip(standings).map(|((plain, key), standing)| {
            let chunk_hash = key.content_hash;
            Ok(match standing {
                Standing::Placed(info, block) => Prepared::Placed(info, block),
                Standing::Kept(info) => Prepared::Chunk(ProcessedChunk::Known { chunk_hash, info }),
                Standing::Unknown => Prepared::Chunk(self.compress(chunk_hash, plain)?),
            })
        });
        prepared.collect()
    }

    fn compress(&mut self, chunk_hash: ContentHash, plain: &[u8]) -> Result<ProcessedChunk, PrepareError> {
        let newest = self.trainer.number();
        if self.dictionary != newest {
            self.compressor.set_dictionary(self.trainer.newest().as_deref())?;
            self.dictionary = newest;
        }
        let (compression, bytes) = self.compressor.compress(plain)?;
        Ok(ProcessedChunk::New(StoredChunk {
            chunk_hash,
            compression,
            // A chunk is at most 16 MiB.
            original_size: plain.len() as u32,
            bytes: bytes.into_owned(),
        }))
    }
}

fn hash(plain: &[u8]) -> ContentHash {
    ContentHash::new(*blake3::hash(plain).as_bytes())
}
