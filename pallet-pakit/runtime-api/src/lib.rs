//! The runtime API by which nodes and clients ask a chain about its Pakit DAGs, and have it verify proofs, without a fee.
//!
//! The pallet's view functions answer the same questions out of the same code; this API is for callers that know it at
//! compile time, such as a node's RPC. Types come from [`pakit_primitives::chain`].

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

use alloc::vec::Vec;
use codec::Codec;
use pakit_primitives::{
    BlockHash, DagStorageProof,
    chain::{AnchorNumber, AnchoredHead, DagId, DagInfo, DepositSubject, VerifiedBlock, VerifyError},
    hasher::Digest,
    possession::{Fault, OpenChallenge, RangeNumber, RemovedRange, StakeInfo},
};

sp_api::decl_runtime_apis! {
    /// Reads DAGs, anchored heads and records, and verifies proofs against anchored heads. Version 2 adds stakes, challenges,
    /// declared removals and faults.
    #[api_version(1)]
    pub trait PakitApi<AccountId, Balance, BlockNumber>
    where
        AccountId: Codec,
        Balance: Codec,
        BlockNumber: Codec,
    {
        /// The DAG of that number.
        fn dag(dag: DagId) -> Option<DagInfo<AccountId, Balance>>;

        /// The DAG's latest head and the number of its anchor.
        fn head(dag: DagId) -> Option<(AnchorNumber, AnchoredHead<BlockNumber>)>;

        /// The head of one anchor, while it is kept.
        fn anchored_head(dag: DagId, anchor: AnchorNumber) -> Option<AnchoredHead<BlockNumber>>;

        /// All heads that are kept, in the order of their anchors: about 150 after a million anchors.
        fn heads_kept(dag: DagId) -> Vec<(AnchorNumber, AnchoredHead<BlockNumber>)>;

        /// What `depositor` keeps on the chain of one block.
        fn record(
            dag: DagId,
            block_hash: BlockHash,
            depositor: AccountId,
        ) -> Option<DagStorageProof<AccountId, Balance, BlockNumber>>;

        /// Verifies that the block of the header bytes is in the log, at the head of that anchor.
        fn verify_inclusion(
            dag: DagId,
            anchor: AnchorNumber,
            header: Vec<u8>,
            inclusion: Vec<Digest>,
        ) -> Result<VerifiedBlock<BlockNumber>, VerifyError>;

        /// Verifies the same, and that the block descends from the DAG's genesis: `ancestors` are the header bytes from
        /// one of its parents to genesis.
        fn verify_lineage(
            dag: DagId,
            anchor: AnchorNumber,
            header: Vec<u8>,
            inclusion: Vec<Digest>,
            ancestors: Vec<Vec<u8>>,
        ) -> Result<VerifiedBlock<BlockNumber>, VerifyError>;

        /// What would be held today for a DAG or a record.
        fn deposit_for(subject: DepositSubject) -> Balance;

        /// The stake behind a DAG, and how its challenges went.
        #[api_version(2)]
        fn stake_behind(dag: DagId) -> Option<StakeInfo<AccountId, Balance, BlockNumber>>;

        /// The challenges of a DAG that wait for an answer; at most 16.
        #[api_version(2)]
        fn open_challenges(dag: DagId) -> Vec<OpenChallenge<BlockNumber>>;

        /// A range of a DAG's leaves whose contents were declared removed; ranges are numbered from 0.
        #[api_version(2)]
        fn removed_range(dag: DagId, range: RangeNumber) -> Option<RemovedRange<AccountId, Balance, BlockNumber>>;

        /// What was shown to be wrong in a DAG's log.
        #[api_version(2)]
        fn fault(dag: DagId) -> Option<Fault<BlockNumber>>;
    }
}
