//! What the pallet stores, and the short names of what it borrows from other pallets.

use crate::Config;
use codec::{Decode, Encode, MaxEncodedLen};
use frame_support::{
    BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound,
    traits::{ConstU32, fungible::Inspect},
};
use frame_system::pallet_prelude::BlockNumberFor;
use pakit_primitives::{
    BlockHash, DagStorageProof, Head,
    chain::{AnchorNumber, AnchoredHead, DagId, DagInfo, Succession, VerifiedBlock},
    fraud::{Evidence, LEAF_BYTES_MAX},
    hasher::Digest,
    header::{HEADER_BYTES_MAX, PARENTS_MAX},
    lineage::LINEAGE_HEADERS_MAX,
    log::{CONSISTENCY_PATH_MAX, INCLUSION_PATH_MAX},
    possession::{Fault, OpenChallenge, RemovedRange, StakeInfo},
};
use scale_info::TypeInfo;

/// An account of the chain.
pub type AccountIdOf<T> = <T as frame_system::Config>::AccountId;
/// An amount of the currency in which deposits are held.
pub type BalanceOf<T> = <<T as Config>::Currency as Inspect<AccountIdOf<T>>>::Balance;
/// Accounts that may anchor besides the owner, in ascending order.
pub type OperatorsOf<T> = BoundedVec<AccountIdOf<T>, <T as Config>::MaxOperators>;
/// The record of a proved block.
pub type RecordOf<T> = DagStorageProof<AccountIdOf<T>, BalanceOf<T>, BlockNumberFor<T>>;
/// An anchored head.
pub type AnchoredHeadOf<T> = AnchoredHead<BlockNumberFor<T>>;
/// What is told about a DAG.
pub type DagInfoOf<T> = DagInfo<AccountIdOf<T>, BalanceOf<T>>;
/// A block that was proved.
pub type VerifiedBlockOf<T> = VerifiedBlock<BlockNumberFor<T>>;
/// What is told of the stake behind a DAG.
pub type StakeInfoOf<T> = StakeInfo<AccountIdOf<T>, BalanceOf<T>, BlockNumberFor<T>>;
/// A challenge that waits for its answer.
pub type OpenChallengeOf<T> = OpenChallenge<BlockNumberFor<T>>;
/// Leaves whose contents were let go.
pub type RemovedRangeOf<T> = RemovedRange<AccountIdOf<T>, BalanceOf<T>, BlockNumberFor<T>>;
/// What was shown to be wrong in a log.
pub type FaultOf<T> = Fault<BlockNumberFor<T>>;
/// What shows it.
pub type EvidenceOf = Evidence<LeafBytes, HeaderBytes, InclusionPath, ParentHeaders>;

/// The bytes of one header.
pub type HeaderBytes = BoundedVec<u8, ConstU32<{ HEADER_BYTES_MAX as u32 }>>;
/// An inclusion proof: hashes from the leaf to the root.
pub type InclusionPath = BoundedVec<Digest, ConstU32<{ INCLUSION_PATH_MAX as u32 }>>;
/// A consistency proof: hashes in the order of RFC 9162.
pub type ConsistencyPath = BoundedVec<Digest, ConstU32<{ CONSISTENCY_PATH_MAX as u32 }>>;
/// Headers from a block's parent to genesis.
pub type Ancestors = BoundedVec<HeaderBytes, ConstU32<{ LINEAGE_HEADERS_MAX as u32 }>>;
/// The bytes of a leaf that is no header.
pub type LeafBytes = BoundedVec<u8, ConstU32<{ LEAF_BYTES_MAX as u32 }>>;
/// Headers of all parents of a block.
pub type ParentHeaders = BoundedVec<HeaderBytes, ConstU32<{ PARENTS_MAX as u32 }>>;

/// A DAG as it is stored: all that the decision about an anchor needs, under one key.
///
/// Frozen bytes: `tests::frozen::a_stored_dag_has_the_bytes_it_always_had`.
#[derive(CloneNoBound, PartialEqNoBound, EqNoBound, DebugNoBound, Encode, Decode, MaxEncodedLen, TypeInfo)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound())]
pub struct Dag<T: Config> {
    /// Who answers for it and has the deposit held.
    pub owner: AccountIdOf<T>,
    /// Who else may anchor, strictly ascending.
    pub operators: OperatorsOf<T>,
    /// Block hash of its genesis. Several DAGs may have the same.
    pub genesis: BlockHash,
    /// What is held of the owner's for it.
    pub deposit: BalanceOf<T>,
    /// Number of the latest anchor; creation is anchor 1.
    pub anchors: AnchorNumber,
    /// The latest head.
    pub latest: Head,
    /// Whether anchoring has ended for good.
    pub retired: bool,
    /// The DAG that it goes on from.
    pub succeeds: Option<Succession>,
    /// The DAG that goes on from it.
    pub successor: Option<DagId>,
}

impl<T: Config> Dag<T> {
    /// Whether the account may anchor while the DAG is not retired.
    pub fn may_anchor(&self, who: &AccountIdOf<T>) -> bool {
        self.owner == *who || self.operators.binary_search(who).is_ok()
    }
}
