//! Preparing chunks for a commit: hashed, looked up, and compressed if they are new.

use crate::{
    backend::{BackendError, DagBackend, StoredChunk},
    commit::ProcessedChunk,
    compress::{CompressError, Compressor},
    config::Config,
    dictionary::Trainer,
};
use pakit_primitives::ContentHash;
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
        let chunk_hash = ContentHash::new(*blake3::hash(plain).as_bytes());
        if let Some(info) = self.backend.payload(&chunk_hash)?.filter(|info| info.is_kept) {
            return Ok(ProcessedChunk::Known { chunk_hash, info });
        }
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
