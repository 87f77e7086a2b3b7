//! Proof documents from a log.

use super::{Consistency, Inclusion, ProofDocument};
use crate::{
    block::DagBlock,
    log::{LogReadError, LogReader},
    verify::{Expected, VerifyError},
};
use pakit_primitives::lineage::LINEAGE_HEADERS_MAX;
use pakit_verifier::verify::check_document;

/// What a proof is to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofRequest {
    /// The size of the log whose head the block is shown to be under. Above the block's leaf index.
    pub size: u64,
    /// Also shows that the log of this size, at least `size`, begins with that one.
    pub later_size: Option<u64>,
    /// Also shows descent, by the bytes of the headers from one of the block's parents down to genesis.
    pub lineage: Option<Vec<Vec<u8>>>,
}

impl ProofRequest {
    /// The block's inclusion in the log of `size` blocks and no more.
    pub fn at(size: u64) -> Self {
        Self { size, later_size: None, lineage: None }
    }

    /// With the consistency proof to a later size.
    pub fn with_consistency_to(self, later_size: u64) -> Self {
        Self { later_size: Some(later_size), ..self }
    }

    /// With headers down to genesis. At most one more than a lineage may have is taken from the iterator.
    pub fn with_lineage(self, headers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { lineage: Some(headers.into_iter().take(LINEAGE_HEADERS_MAX + 1).collect()), ..self }
    }
}

/// Why a proof could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofBuildError {
    /// The log could not be read, or has no such proof.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// What was read does not prove the block: the repository is damaged, the block is not its own, or the lineage given is
    /// none.
    #[error("the repository does not prove the block: {0}")]
    Refused(#[from] VerifyError),
}

/// Makes the proof that `block` is in the log. It is verified before it is handed out: what damage made of a stored node is
/// to show here, and not where the proof is needed.
pub fn build(log: &LogReader<'_>, block: &DagBlock, request: ProofRequest) -> Result<ProofDocument, ProofBuildError> {
    let ProofRequest { size, later_size, lineage } = request;
    let leaf_index = block.leaf_index();
    let inclusion = Inclusion { leaf_index, path: log.inclusion(leaf_index, size)? };
    let tree_head = log.head_at(size)?;
    let consistency = match later_size {
        None => None,
        Some(later) => Some(Consistency { path: log.consistency(size, later)?, head: log.head_at(later)? }),
    };
    let header = block.header().to_bytes();
    let block_hash = block.block_hash();
    let document = ProofDocument { header, block_hash, tree_head, inclusion, lineage, consistency, anchor: None };
    check_document(&document, &Expected::default(), &mut Vec::new())?;
    Ok(document)
}
