//! Heads to verify against, read from a chain.

use super::client::{BlockRef, ChainClient, ChainDag, ChainError};
use crate::sqlite::outbox::ids::{AccountId, ChainBlockHash};
use pakit_primitives::{
    Head, LogError, SoftwareHasher,
    chain::{AnchorNumber, DagId},
    hasher::Digest,
    log::verify_consistency,
};

/// A document's claim of where its head was anchored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnchorRef {
    /// The chain's genesis hash.
    pub genesis: ChainBlockHash,
    /// The DAG.
    pub dag: DagId,
    /// Number of the anchoring block.
    pub block_number: u64,
    /// Hash of the anchoring block.
    pub block_hash: ChainBlockHash,
}

/// Where on the chain a head was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadSource {
    /// The DAG's latest head.
    Latest,
    /// An earlier head that the chain keeps.
    Kept,
    /// In the state at an earlier block, which an archive node has.
    AnchoringBlock,
}

/// A head that the chain vouches for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrustedHead {
    /// The head on the chain.
    pub head: Head,
    /// Whether the proof's own head is another, earlier one, which this head was shown to extend.
    pub by_consistency: bool,
    /// Where it was found.
    pub source: HeadSource,
    /// Who owns the DAG, and so answers for what is anchored.
    pub owner: AccountId,
    /// The anchor, where the chain tells.
    pub anchor: Option<AnchorNumber>,
    /// The chain's block that anchored it: all under it existed by then.
    pub anchored_at: Option<u64>,
    /// The block in whose state it was read.
    pub read_at: BlockRef,
}

/// Why no head to verify against was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustedHeadError {
    /// The chain could not be asked.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain is not the one that is meant.
    #[error("the node is of the chain {found}, not of {expected}")]
    WrongChain {
        /// The chain that is meant.
        expected: ChainBlockHash,
        /// The node's chain.
        found: ChainBlockHash,
    },
    /// The document names another DAG or chain than the verifier.
    #[error("the document was anchored by DAG {dag} on the chain {genesis}, not by the DAG that is asked about")]
    OtherDag {
        /// The document's chain.
        genesis: ChainBlockHash,
        /// The document's DAG.
        dag: DagId,
    },
    /// The chain has no such DAG.
    #[error("the chain has no DAG {0}")]
    DagUnknown(DagId),
    /// The document's consistency proof does not hold.
    #[error("the consistency proof does not hold: {0}")]
    BadConsistency(LogError),
    /// The chain does not know the head.
    #[error("the chain does not vouch for the head: it is neither the DAG's latest head nor one that is kept{hint}")]
    NotOnChain {
        /// What else could be tried.
        hint: &'static str,
    },
}

/// Finds a head of the DAG on the chain that is `tree_head`, or that `consistency` (a later head, and the proof from
/// `tree_head` to it) shows to extend it.
///
/// Tried in turn: the latest head, the heads that are kept, and, where the document names a block of the canonical chain,
/// the heads in that block's state. With `finalized`, blocks that may still be left behind do not count.
pub async fn find_trusted_head<C: ChainClient>(
    client: &C,
    dag: DagId,
    tree_head: Head,
    consistency: Option<(Head, &[Digest])>,
    anchor: Option<&AnchorRef>,
    finalized: bool,
) -> Result<TrustedHead, TrustedHeadError> {
    if let Some(claim) = anchor
        && (claim.genesis != client.identity().genesis || claim.dag != dag)
    {
        return Err(TrustedHeadError::OtherDag { genesis: claim.genesis, dag: claim.dag });
    }
    if let Some((later, path)) = consistency {
        verify_consistency::<SoftwareHasher>(&tree_head, &later, path).map_err(TrustedHeadError::BadConsistency)?;
    }
    let later = consistency.map(|(later, _)| later);
    let ends = client.ends().await?;
    let at = if finalized { ends.finalized } else { ends.best };
    let info = client.dag(dag, at).await?.ok_or(TrustedHeadError::DagUnknown(dag))?;
    if let Some(found) = find_in_state(client, dag, &info, tree_head, later, at).await? {
        return Ok(found);
    }
    match anchor {
        None => Err(TrustedHeadError::NotOnChain { hint: "" }),
        Some(claim) => find_at_anchoring_block(client, claim, &info, tree_head, later, at).await,
    }
}

/// The latest head, then those kept; the proof's own head before the later one.
async fn find_in_state<C: ChainClient>(
    client: &C,
    dag: DagId,
    info: &ChainDag,
    tree_head: Head,
    later: Option<Head>,
    at: BlockRef,
) -> Result<Option<TrustedHead>, ChainError> {
    let kept = client.heads_kept(dag, at).await?;
    let wanted = std::iter::once((tree_head, false)).chain(later.map(|later| (later, true)));
    for (head, by_consistency) in wanted {
        let entry = kept.iter().find(|(_, anchored)| anchored.head == head);
        let source = if info.latest == head { HeadSource::Latest } else { HeadSource::Kept };
        if entry.is_some() || source == HeadSource::Latest {
            return Ok(Some(TrustedHead {
                head,
                by_consistency,
                source,
                owner: info.owner,
                anchor: entry.map(|(anchor, _)| *anchor),
                anchored_at: entry.map(|(_, anchored)| anchored.block_number),
                read_at: at,
            }));
        }
    }
    Ok(None)
}

/// The state at the block that the document names, if that block is on the chain as it is now.
async fn find_at_anchoring_block<C: ChainClient>(
    client: &C,
    claim: &AnchorRef,
    now: &ChainDag,
    tree_head: Head,
    later: Option<Head>,
    at: BlockRef,
) -> Result<TrustedHead, TrustedHeadError> {
    let block = BlockRef { number: claim.block_number, hash: claim.block_hash };
    let is_canonical = block.number <= at.number && client.block_hash(block.number).await? == Some(block.hash);
    if !is_canonical {
        return Err(TrustedHeadError::NotOnChain {
            hint: ", and the block that the document names is not on the chain",
        });
    }
    let then = match client.dag(claim.dag, block).await {
        Ok(then) => then,
        Err(ChainError::StateUnavailable { .. }) => {
            return Err(TrustedHeadError::NotOnChain { hint: "; an archive node may still know it" });
        }
        Err(error) => return Err(error.into()),
    };
    let nothing_there = TrustedHeadError::NotOnChain { hint: ", nor one at the block that the document names" };
    let Some(then) = then else { return Err(nothing_there) };
    let found = find_in_state(client, claim.dag, &then, tree_head, later, block).await?.ok_or(nothing_there)?;
    // Who answers for the DAG today is named, not who did then.
    Ok(TrustedHead { source: HeadSource::AnchoringBlock, owner: now.owner, ..found })
}
