//! What calls, view functions and the runtime API have in common: answers, verification, deposits.

use crate::{
    AnchoredHeads, BalanceOf, Config, Dag, Dags, Error, HoldReason, Pallet, PendingTransfers,
    types::{AccountIdOf, AnchoredHeadOf, DagInfoOf, VerifiedBlockOf},
};
use alloc::vec::Vec;
use core::cmp::Ordering;
use frame_support::{
    dispatch::DispatchResult,
    ensure,
    traits::{Get, fungible::MutateHold, tokens::Precision::BestEffort},
};
use pakit_primitives::{
    Hasher, Head, Header,
    chain::{AnchorNumber, DagId, DepositSubject, Succession, VerifiedBlock, VerifyError, verify_block},
    hasher::Digest,
    heads, verify_lineage_to_genesis,
};
use sp_runtime::{
    DispatchError,
    traits::{Saturating, Zero},
};

/// Puts SHA-256, of which every log proof consists, under the node's native code. BLAKE3, which answers to challenges need, has no
/// host function and runs in the runtime's own code.
pub struct HostHasher;

impl Hasher for HostHasher {
    fn sha256(data: &[u8]) -> Digest {
        sp_io::hashing::sha2_256(data)
    }
}

/// Answers.
impl<T: Config> Pallet<T> {
    pub(crate) fn dag_info(dag: DagId) -> Option<DagInfoOf<T>> {
        let stored = Dags::<T>::get(dag)?;
        Some(DagInfoOf::<T> {
            owner: stored.owner,
            operators: stored.operators.into_inner(),
            pending_owner: PendingTransfers::<T>::get(dag),
            genesis: stored.genesis,
            anchors: stored.anchors,
            latest: stored.latest,
            retired: stored.retired,
            succeeds: stored.succeeds,
            successor: stored.successor,
            deposit: stored.deposit,
        })
    }

    pub(crate) fn latest_head(dag: DagId) -> Option<(AnchorNumber, AnchoredHeadOf<T>)> {
        let anchor = Dags::<T>::get(dag)?.anchors;
        Some((anchor, AnchoredHeads::<T>::get(dag, anchor)?))
    }

    pub(crate) fn kept_heads(dag: DagId) -> Vec<(AnchorNumber, AnchoredHeadOf<T>)> {
        let latest = Dags::<T>::get(dag).map_or(0, |stored| stored.anchors);
        heads::kept(latest).filter_map(|anchor| Some((anchor, AnchoredHeads::<T>::get(dag, anchor)?))).collect()
    }

    /// What would be held today. Saturates where the configured deposits do not fit the balance, so that the hold fails.
    pub(crate) fn price(subject: DepositSubject) -> BalanceOf<T> {
        match subject {
            DepositSubject::Dag { operators } => {
                T::DagDeposit::get().saturating_add(T::OperatorDeposit::get().saturating_mul(operators.into()))
            }
            DepositSubject::Record => T::RecordDeposit::get(),
        }
    }
}

/// Verification against anchored heads.
impl<T: Config> Pallet<T> {
    /// Verifies that the block is in the log at the anchor's head; also gives what the proof was about.
    pub(crate) fn verify_at_anchor(
        dag: DagId,
        anchor: AnchorNumber,
        header_bytes: &[u8],
        inclusion: &[Digest],
    ) -> Result<(VerifiedBlockOf<T>, Header), VerifyError> {
        let anchored = AnchoredHeads::<T>::get(dag, anchor).ok_or_else(|| {
            if Dags::<T>::contains_key(dag) { VerifyError::UnknownHead } else { VerifyError::UnknownDag }
        })?;
        let (block_hash, header) = verify_block::<HostHasher>(&anchored.head, header_bytes, inclusion)?;
        let verified = VerifiedBlock {
            block_hash,
            leaf_index: header.leaf_index,
            depth: header.depth,
            content_hash: header.content_hash,
            original_size: header.original_size,
            head: anchored.head,
            anchored_at: anchored.block_number,
        };
        Ok((verified, header))
    }

    /// Verifies the same, and that the block descends from the DAG's genesis.
    pub(crate) fn verify_descent_to_genesis(
        dag: DagId,
        anchor: AnchorNumber,
        header_bytes: &[u8],
        inclusion: &[Digest],
        ancestors: &[impl AsRef<[u8]>],
    ) -> Result<VerifiedBlockOf<T>, VerifyError> {
        let genesis = Dags::<T>::get(dag).ok_or(VerifyError::UnknownDag)?.genesis;
        let (verified, header) = Self::verify_at_anchor(dag, anchor, header_bytes, inclusion)?;
        verify_lineage_to_genesis::<HostHasher>(&header, ancestors, &genesis)?;
        Ok(verified)
    }

    /// Whether `head` is among the DAG's heads that are kept.
    ///
    /// Sizes grow with the number of the anchor, so that a binary search finds it, in at most 11 reads.
    pub(crate) fn is_kept_head(dag: DagId, latest: AnchorNumber, head: &Head) -> bool {
        let anchors: Vec<AnchorNumber> = heads::kept(latest).collect();
        let mut found = false;
        // The result says the same as `found`; only the comparison has the head at hand.
        let _ = anchors.binary_search_by(|anchor| match AnchoredHeads::<T>::get(dag, anchor) {
            Some(anchored) => {
                found |= anchored.head == *head;
                anchored.head.size.cmp(&head.size)
            }
            None => Ordering::Less,
        });
        found
    }
}

/// Owners and deposits.
impl<T: Config> Pallet<T> {
    /// The DAG, if it is the account's.
    pub(crate) fn owned_dag(dag: DagId, who: &AccountIdOf<T>) -> Result<Dag<T>, Error<T>> {
        let stored = Dags::<T>::get(dag).ok_or(Error::<T>::UnknownDag)?;
        ensure!(stored.owner == *who, Error::<T>::NotOwner);
        Ok(stored)
    }

    /// Notes that `successor` goes on from the named DAG of the same owner.
    pub(crate) fn succeed(who: &AccountIdOf<T>, succession: &Succession, successor: DagId) -> DispatchResult {
        let mut stored = Self::owned_dag(succession.dag, who)?;
        ensure!(stored.successor.is_none(), Error::<T>::AlreadySucceeded);
        ensure!(Self::is_kept_head(succession.dag, stored.anchors, &succession.head()), Error::<T>::UnknownHead);
        stored.successor = Some(successor);
        Dags::<T>::insert(succession.dag, stored);
        Ok(())
    }

    /// Makes a DAG's hold what it costs today with so many operators, and gives that.
    ///
    /// Without more operators than before it never grows, whatever deposits cost today: that an owner is out of funds must
    /// not keep a stolen operator key in office, or a DAG from being retired.
    pub(crate) fn reprice_dag(stored: &Dag<T>, operators: usize) -> Result<BalanceOf<T>, DispatchError> {
        // Bounded by `MaxOperators`, a u32.
        let subject = DepositSubject::Dag { operators: u32::try_from(operators).unwrap_or(u32::MAX) };
        let mut price = Self::price(subject);
        if operators <= stored.operators.len() {
            price = price.min(stored.deposit);
        }
        if price > stored.deposit {
            Self::hold(HoldReason::Dag, &stored.owner, price.saturating_sub(stored.deposit))?;
        } else {
            Self::release(HoldReason::Dag, &stored.owner, stored.deposit.saturating_sub(price))?;
        }
        Ok(price)
    }

    pub(crate) fn hold(reason: HoldReason, who: &AccountIdOf<T>, amount: BalanceOf<T>) -> DispatchResult {
        if amount.is_zero() {
            return Ok(());
        }
        T::Currency::hold(&reason.into(), who, amount)
    }

    /// Releases a deposit, or what is left of it: whoever may burn held balance (a court, a governance) must not be able
    /// to keep state from being removed.
    pub(crate) fn release(
        reason: HoldReason,
        who: &AccountIdOf<T>,
        amount: BalanceOf<T>,
    ) -> Result<BalanceOf<T>, DispatchError> {
        if amount.is_zero() {
            return Ok(amount);
        }
        T::Currency::release(&reason.into(), who, amount, BestEffort)
    }
}

/// One error for each case. Two that a call's bounds exclude fall to the case that a shorter input of the kind has.
impl<T: Config> From<VerifyError> for Error<T> {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::UnknownDag => Self::UnknownDag,
            VerifyError::UnknownHead => Self::UnknownHead,
            VerifyError::LogTooLarge => Self::LogTooLarge,
            VerifyError::StaleSize => Self::StaleSize,
            VerifyError::IndexOutOfRange => Self::IndexOutOfRange,
            VerifyError::WrongInclusionLength => Self::WrongInclusionLength,
            VerifyError::WrongConsistencyLength => Self::WrongConsistencyLength,
            VerifyError::NotInLog => Self::NotInLog,
            VerifyError::NotAppendOnly => Self::NotAppendOnly,
            VerifyError::NewRootMismatch => Self::NewRootMismatch,
            VerifyError::NotNewestBlock => Self::NotNewestBlock,
            VerifyError::HeaderEmpty => Self::HeaderEmpty,
            VerifyError::HeaderTruncated => Self::HeaderTruncated,
            VerifyError::HeaderOversized | VerifyError::HeaderTrailingBytes => Self::HeaderTooLong,
            VerifyError::HeaderWrongMagic => Self::HeaderWrongMagic,
            VerifyError::MalformedParentCount => Self::MalformedParentCount,
            VerifyError::TooManyParents => Self::TooManyParents,
            VerifyError::TooFewParents => Self::TooFewParents,
            VerifyError::GenesisWithParents => Self::GenesisWithParents,
            VerifyError::DuplicateParent => Self::DuplicateParent,
            VerifyError::UnsortedParents => Self::UnsortedParents,
            VerifyError::ParentNotBefore => Self::ParentNotBefore,
            VerifyError::LeafIndexTooLarge => Self::LeafIndexTooLarge,
            VerifyError::DepthNotOfPosition => Self::DepthNotOfPosition,
            VerifyError::DepthTooLarge => Self::DepthTooLarge,
            VerifyError::SlicesBeforeImpossible => Self::SlicesBeforeImpossible,
            VerifyError::SlicesOverflow => Self::SlicesOverflow,
            VerifyError::OriginalSizeTooLarge => Self::OriginalSizeTooLarge,
            VerifyError::StoredSizeTooLarge => Self::StoredSizeTooLarge,
            VerifyError::UnknownCompression => Self::UnknownCompression,
            VerifyError::EmptyContentCompressed => Self::EmptyContentCompressed,
            VerifyError::LineageEmpty => Self::LineageEmpty,
            VerifyError::LineageTooLong | VerifyError::LineageHeaderMalformed => Self::LineageMalformed,
            VerifyError::NotAParent => Self::NotAParent,
            VerifyError::DepthNotFalling => Self::DepthNotFalling,
            VerifyError::TimestampRising => Self::TimestampRising,
            VerifyError::LineageNotGenesis => Self::LineageNotGenesis,
        }
    }
}
