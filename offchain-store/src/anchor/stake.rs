//! What stands behind the repository's DAG on its chain, and which contents that lets go.
//!
//! A round that is frozen in block N takes a declaration for an answer if that was in effect by N. So contents go once no round that may still
//! be asked about was frozen before: the declaration's block of effect is final, and the round under way, if there is one, was
//! frozen no earlier. Both are read of the finalized block: what is frozen in any block after that one is frozen later.

use super::{
    client::{Balance, BlockRef, ChainClient, ChainError, DeclaredRange, Ends, RemovalTerms},
    error::AnchorError,
    prepare::{self, check_extends},
};
use crate::{
    backend::DagBackend,
    removal::LeafRanges,
    sqlite::outbox::{Outbox, ids::AccountId, rows::Binding},
};
use pakit_primitives::chain::DagId;

/// Most declared ranges that are read of a DAG. Each costs somebody a deposit for good.
const RANGES_MAX: u32 = 1 << 16;

/// The stake behind the repository's DAG, as of a finalized block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StakeStanding {
    /// The DAG.
    pub dag: DagId,
    /// Who owns it, and alone can declare.
    pub owner: AccountId,
    /// The finalized block.
    pub at: BlockRef,
    /// Blocks under the head that is anchored there: only these can be declared.
    pub size: u64,
    /// What is left of the stake.
    pub amount: Balance,
    /// The block in which the round under way was frozen.
    pub frozen_at: Option<u64>,
    /// What was declared removed.
    pub ranges: Vec<DeclaredRange>,
    /// What it takes to declare more.
    pub terms: RemovalTerms,
}

impl StakeStanding {
    /// All leaves that were declared.
    pub fn declared(&self) -> LeafRanges {
        self.ranges.iter().map(|range| range.leaves.clone()).collect()
    }

    /// The leaves whose contents no round asks for any more, whatever it draws.
    pub fn in_effect(&self) -> LeafRanges {
        self.ranges.iter().filter(|range| self.is_in_effect(range)).map(|range| range.leaves.clone()).collect()
    }

    /// From which block on all that was declared is in effect, the end of the round under way aside; nothing where all is.
    pub fn awaited_block(&self) -> Option<u64> {
        self.ranges.iter().filter(|range| !self.is_in_effect(range)).map(|range| range.effective_at).max()
    }

    /// Whether an account may declare these leaves, as far as that is known beforehand.
    pub fn check_may_declare(&self, leaves: &LeafRanges, account: AccountId) -> Result<(), AnchorError> {
        let Self { dag, owner, size, .. } = *self;
        if owner != account {
            return Err(AnchorError::NotOwner { account, dag, owner });
        }
        match leaves.iter().map(|leaves| *leaves.end()).max().filter(|last| *last >= size) {
            Some(leaf_index) => Err(AnchorError::NotAnchoredYet { dag, leaf_index, size }),
            None => Ok(()),
        }
    }

    fn is_in_effect(&self, range: &DeclaredRange) -> bool {
        let is_asked = self.frozen_at.is_some_and(|frozen_at| frozen_at < range.effective_at);
        range.effective_at <= self.at.number && !is_asked
    }
}

/// What stands behind the DAG that the repository is bound to; nothing where there is no stake. Takes no lock and signs nothing.
///
/// A node that is on another chain, or knows less than this repository has seen finalized, is refused: it might not know of the stake.
pub async fn standing<C: ChainClient>(
    client: &C,
    outbox: &Outbox,
    backend: &dyn DagBackend,
    binding: &Binding,
) -> Result<Option<StakeStanding>, AnchorError> {
    let identity = client.identity();
    if binding.chain != identity.genesis {
        let url = identity.url.clone();
        return Err(AnchorError::WrongChain { url, expected: binding.chain, found: identity.genesis });
    }
    let ends = client.ends().await?;
    let settled = outbox.highest_settled(&binding.chain)?;
    let settled = settled.map(|placement| BlockRef { number: placement.block_number, hash: placement.block_hash });
    let created = BlockRef { number: binding.created_block_number, hash: binding.created_block_hash };
    for block in settled.into_iter().chain([created]) {
        if block.number > ends.finalized.number {
            let behind = "the node has not finalized a block yet that this repository saw finalized";
            return Err(ChainError::Inconsistent(behind).into());
        }
        if client.block_hash(block.number).await? != Some(block.hash) {
            return Err(AnchorError::DifferentHistory { number: block.number });
        }
    }
    look(client, &ends, backend, binding).await
}

/// The same of a chain that is known to be the repository's.
pub(super) async fn look<C: ChainClient>(
    client: &C,
    ends: &Ends,
    backend: &dyn DagBackend,
    binding: &Binding,
) -> Result<Option<StakeStanding>, AnchorError> {
    let (dag, at) = (binding.dag, ends.finalized);
    // One that is about to be final counts: what it stands for must not go meanwhile.
    let stake = match client.stake_behind(dag, at).await? {
        Some(stake) => Some(stake),
        None => client.stake_behind(dag, ends.best).await?,
    };
    let Some(stake) = stake else { return Ok(None) };
    let info = client.dag(dag, at).await?.ok_or(AnchorError::DagUnknown(dag))?;
    let expected = prepare::genesis(backend)?.block_hash();
    if info.genesis != expected {
        return Err(AnchorError::WrongGenesis { dag, expected, found: info.genesis });
    }
    // In another log the same leaves are other blocks.
    check_extends(backend, dag, info.latest)?;
    if stake.ranges > RANGES_MAX {
        return Err(AnchorError::TooManyRanges(stake.ranges, dag));
    }
    let mut ranges = Vec::new();
    for number in 0..stake.ranges {
        ranges.extend(client.removed_range(dag, number, at).await?);
    }
    let terms = client.removal_terms(ends.best).await?;
    let (amount, frozen_at) = (stake.amount, stake.frozen_at);
    Ok(Some(StakeStanding { dag, owner: info.owner, at, size: info.latest.size, amount, frozen_at, ranges, terms }))
}
