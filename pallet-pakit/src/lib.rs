//! # Pakit pallet
//!
//! Anchors append-only logs of off-chain blocks, and verifies proofs against what it anchored.
//!
//! - [`Config`]
//! - [`Call`]
//! - [`Pallet`]
//!
//! ## Overview
//!
//! An archive keeps its files itself, in a DAG of blocks whose headers form an RFC 6962 log. It tells the chain only the
//! log's *head*, size and root: about 60 bytes that commit to every block before. The chain accepts a new head only with a
//! proof that the log was appended to, so that from then on nobody, the archive included, can change what was there.
//! Whoever has a file, its header and an inclusion proof can show, on the chain or off it, that the file was kept by the
//! time of the anchor. Formats: `docs/formats.md`.
//!
//! What an anchor proves: these bytes existed by that block, and the log was only appended to. It does not prove that the
//! timestamps in headers are true, that every block in the log is well formed, or that the content is still kept. The latter
//! two are for reports of faults and for challenges: `docs/possession.md`.
//!
//! ### Words
//!
//! - **DAG**: one archive's blocks; on the chain a number ([`DagId`]), an owner, and its anchored heads.
//! - **Head**: size and root of the DAG's log.
//! - **Anchor**: a head that the chain accepted; they are numbered from 1, which is the creation with genesis alone. Anchor
//!   `j` is kept while `k - j < 16 x 2^tz(j)`, `k` the latest and `tz` the number of trailing zero bits: dense of late,
//!   sparse in the past, about 150 of a million.
//! - **Operator**: an account that may anchor but nothing else, for the machine that holds a key day and night.
//! - **Record**: what the chain keeps of one block whose inclusion somebody proved, under that somebody's deposit.
//! - **Stake**: what an owner puts behind a DAG, for its data being kept. Every [`Config::ChallengePeriod`], the chain draws
//!   slices of it at random (a *round* of *challenges*); what is not shown by the deadline costs a part of the stake.
//! - **Fault**: somebody showed that the log breaks the rules; the DAG is marked, and its stake slashed.
//! - **Succession**: a DAG goes on from a head of another one, which only the other one's owner can say. It is the way on
//!   after a lost repository or a stolen operator key, and is visible for good.
//!
//! ### Deposits
//!
//! All are holds of the owner's or depositor's own balance, under [`HoldReason`].
//!
//! - A record's deposit comes back with [`Pallet::remove_record`].
//! - A DAG's deposit has a part for each operator, which comes back when there are fewer, and a base for its entry and its
//!   heads. The base stays held for as long as those stay, which is for good, since proofs must remain verifiable after an
//!   archive has closed: were it released on retirement, anyone could fill the state for no more than fees. It moves
//!   with the ownership: the account that accepts a DAG has it held, and the former owner's is released.
//!
//! - A stake is held until it is unbonded and withdrawn. It is its staker's: it does not move with the ownership, and while it
//!   stands nobody else can stake the DAG. Answers to challenges publish slices of the contents, plain as they were put;
//!   what must not be read by all is to be encrypted before it is put.
//! - The deposit for a declared removal stays held, as what it declares stays true.
//!
//! Deposits are priced by the constants at the time of the call that sets them. Only more operators than before can raise the
//! deposit of a DAG: an owner without funds can always dismiss or replace operators, and retire the DAG.
//!
//! ## Interface
//!
//! ### Calls
//!
//! - `create_dag`, `anchor`, `set_operators`, `transfer_ownership` and `accept_ownership`, `retire_dag`: for archives.
//! - `record_proof`, `remove_record`, `verify_lineage`: for anyone with a proof.
//! - `stake`, `unbond`, `withdraw_stake`, `declare_removed`: for archives that promise to keep their data.
//! - `respond`: without a signature or a fee, for whoever has the slice; a runtime needs the extension
//!   [`frame_system::AuthorizeCall`].
//! - `report_miss`, `report_block`: for anyone who watches.
//!
//! ### View functions
//!
//! Everything stored, verification of proofs and the price of deposits, without a fee. `pakit_runtime_api::PakitApi`
//! is the same to callers that know it at compile time; a runtime implements it by naming the view functions.
//!
//! ## Cost
//!
//! All calls are O(log n) hashes in the size of the log, and weights count each hash. `anchor` reads one item of the
//! pallet's and writes three, whatever came before: removing the head that is no longer kept needs no read. Hooks take up at
//! most [`Config::DagsPerBlock`] staked DAGs in a block, however many are due.
//!
//! ## Upgrades
//!
//! A runtime that had the pallet in an earlier version names the migrations in between: [`migrations`].
//!
//! ## Off-chain worker
//!
//! With [`Config::OffchainWorker`] set to [`AnswerChallenges`], a node whose operator says so answers challenges by itself:
//! `docs/offchain-worker.md`.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod fraud;
mod impls;
mod limits;
pub mod migrations;
#[cfg(test)]
mod mock;
pub mod offchain;
pub mod possession;
#[cfg(any(test, feature = "runtime-benchmarks"))]
mod sparse_log;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "try-runtime"))]
mod try_state;
pub mod types;
pub mod weights;

pub use impls::HostHasher;
pub use offchain::{AnswerChallenges, OffchainWorker};
pub use pakit_primitives::chain::{AnchorNumber, DagId, Succession};
pub use pallet::*;
pub use possession::{OnChallengeOutcome, Stake};
pub use types::{BalanceOf, Dag};
pub use weights::WeightInfo;

/// The pallet's items as FRAME knows them.
#[allow(unused_qualifications, reason = "the macro writes paths in full under the spans of the attributes")]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use crate::{
        possession::{Answer, PerChallenge},
        types::{
            AccountIdOf, Ancestors, AnchoredHeadOf, ConsistencyPath, DagInfoOf, EvidenceOf, FaultOf, HeaderBytes,
            InclusionPath, OpenChallengeOf, OperatorsOf, RecordOf, RemovedRangeOf, StakeInfoOf, VerifiedBlockOf,
        },
    };
    use alloc::vec::Vec;
    use frame_support::{
        pallet_prelude::*,
        parameter_types,
        traits::{
            ConstU32, ConstU64, Randomness,
            fungible::{Inspect, Mutate, MutateHold},
        },
    };
    use frame_system::pallet_prelude::*;
    use pakit_primitives::{
        BlockHash, Head, Header,
        chain::{AnchoredHead, DepositSubject, VerifyError, verify_extension},
        fraud::FaultKind,
        hasher::Digest,
        header::hash_header_bytes,
        heads,
        possession::{ChallengeNumber, RangeNumber},
    };
    use sp_runtime::Perbill;

    /// The in-code storage version: [`migrations`] tells what became of those before it.
    pub const STORAGE_VERSION: StorageVersion = StorageVersion::new(2);

    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// Default implementations of [`DefaultConfig`], which can be used to implement [`Config`].
    pub mod config_preludes {
        use super::*;
        use frame_support::derive_impl;

        parameter_types! {
            /// A tenth of the stake for each missed challenge.
            pub const TestMissSlash: Perbill = Perbill::from_percent(10);
            /// Half of the stake for a fault.
            pub const TestFaultSlash: Perbill = Perbill::from_percent(50);
            /// A fifth of what is slashed.
            pub const TestReporterShare: Perbill = Perbill::from_percent(20);
        }

        /// For tests: a deposit of 100 for a DAG, 10 for each operator, 20 for a record, 5 for a removed range; 8 operators; 4
        /// challenges each 20 blocks, answered within 5; no weights measured.
        pub struct TestDefaultConfig;

        #[derive_impl(frame_system::config_preludes::TestDefaultConfig, no_aggregated_types)]
        impl frame_system::DefaultConfig for TestDefaultConfig {}

        #[frame_support::register_default_impl(TestDefaultConfig)]
        impl DefaultConfig for TestDefaultConfig {
            #[inject_runtime_type]
            type RuntimeHoldReason = ();
            type DagDeposit = ConstU64<100>;
            type OperatorDeposit = ConstU64<10>;
            type RecordDeposit = ConstU64<20>;
            type MaxOperators = ConstU32<8>;
            type OnChallengeOutcome = ();
            type OffchainWorker = ();
            type StakeMin = ConstU64<1_000>;
            type RemovalDeposit = ConstU64<5>;
            type ChallengePeriod = ConstU64<20>;
            type ChallengesPerRound = ConstU32<4>;
            type DrawDelay = ConstU64<5>;
            type ResponseDeadline = ConstU32<5>;
            type FraudWindow = ConstU64<10>;
            type UnbondingPeriod = ConstU64<50>;
            type MissSlash = TestMissSlash;
            type FaultSlash = TestFaultSlash;
            type ReporterShare = TestReporterShare;
            type DagsPerBlock = ConstU32<4>;
            type WeightInfo = ();
        }
    }

    /// What the pallet needs of a runtime.
    #[pallet::config(with_default)]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>, RuntimeCall: From<Call<Self>>> {
        /// The overarching hold reason.
        #[pallet::no_default_bounds]
        type RuntimeHoldReason: From<HoldReason>;

        /// The currency in which deposits are held.
        #[pallet::no_default]
        type Currency: Inspect<AccountIdOf<Self>>
            + Mutate<AccountIdOf<Self>>
            + MutateHold<AccountIdOf<Self>, Reason = Self::RuntimeHoldReason>;

        /// Held of the owner for a DAG: its entry, a pending transfer of it, and its kept heads, about 18 kB after a million
        /// anchors.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type DagDeposit: Get<BalanceOf<Self>>;

        /// Held of the owner for each operator of a DAG, in addition.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type OperatorDeposit: Get<BalanceOf<Self>>;

        /// Held of the depositor for a record: an entry of about 330 bytes, key included.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type RecordDeposit: Get<BalanceOf<Self>>;

        /// Most operators that a DAG may have. Every anchor reads them.
        #[pallet::constant]
        type MaxOperators: Get<u32>;

        /// From where challenges are drawn. A stake is as safe as this is: docs/possession.md tells which sources will do, and
        /// why the hash of the parent block will not.
        #[pallet::no_default]
        type Randomness: Randomness<Self::Hash, BlockNumberFor<Self>>;

        /// Is told how each round of challenges ended.
        #[pallet::no_default_bounds]
        type OnChallengeOutcome: OnChallengeOutcome<AccountIdOf<Self>, BalanceOf<Self>>;

        /// What nodes do after each block: [`AnswerChallenges`], where their operators want it, or `()` for nothing.
        #[pallet::no_default_bounds]
        type OffchainWorker: OffchainWorker<BlockNumberFor<Self>>;

        /// Least stake with which a DAG is challenged.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type StakeMin: Get<BalanceOf<Self>>;

        /// Held of the owner, for good, for each range that is declared removed: an entry of about 110 bytes.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type RemovalDeposit: Get<BalanceOf<Self>>;

        /// Blocks from one round of a DAG to the next, and until a declared removal is effective.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type ChallengePeriod: Get<BlockNumberFor<Self>>;

        /// Challenges in a round: 4 to 16. Each of them weighs on every staked DAG.
        #[pallet::constant]
        type ChallengesPerRound: Get<u32>;

        /// Blocks after which the randomness has become new at the latest, when all is well: an epoch, for BABE's.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type DrawDelay: Get<BlockNumberFor<Self>>;

        /// Blocks with room for an answer until it is too late for one. Long enough that an honest author is among them, and
        /// that somebody wakes up.
        #[pallet::constant]
        type ResponseDeadline: Get<u32>;

        /// Blocks in which a fault of what a stake stands behind can still be found.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type FraudWindow: Get<BlockNumberFor<Self>>;

        /// Blocks from the unbonding of a stake to its withdrawal: more than `DrawDelay`, `ResponseDeadline` and `FraudWindow`
        /// together. Rounds go on as long.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type UnbondingPeriod: Get<BlockNumberFor<Self>>;

        /// The part of a stake that each missed challenge costs.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type MissSlash: Get<Perbill>;

        /// The part of a stake that a fault of the log costs.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type FaultSlash: Get<Perbill>;

        /// The part of what is slashed that goes to the one who reported it. Less than all of it: else who is to be slashed
        /// would report it and lose nothing.
        #[pallet::constant]
        #[pallet::no_default_bounds]
        type ReporterShare: Get<Perbill>;

        /// Most staked DAGs that are looked at in a block. With n of them, each is looked at every n / this blocks; that is to
        /// be shorter than `ChallengePeriod`.
        #[pallet::constant]
        type DagsPerBlock: Get<u32>;

        /// Weights of the calls and hooks.
        type WeightInfo: WeightInfo;
    }

    /// Why balance is held.
    #[pallet::composite_enum]
    pub enum HoldReason {
        /// For a DAG and its operators.
        #[codec(index = 0)]
        Dag,
        /// For records of proved blocks.
        #[codec(index = 1)]
        Record,
        /// A stake behind a DAG.
        #[codec(index = 2)]
        Stake,
        /// For ranges that were declared removed.
        #[codec(index = 3)]
        Removal,
    }

    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// A DAG was created; its genesis is anchor 1.
        #[codec(index = 0)]
        DagCreated {
            /// Its number.
            dag: DagId,
            /// Its owner.
            owner: T::AccountId,
            /// Block hash of its genesis.
            genesis: BlockHash,
        },
        /// A DAG goes on from another one, by the word of the other one's owner.
        #[codec(index = 1)]
        DagSucceeded {
            /// The DAG gone on from.
            dag: DagId,
            /// The DAG that goes on from it.
            successor: DagId,
            /// The last head of `dag` that `successor` stands by.
            head: Head,
        },
        /// A head was anchored: the log was appended to.
        #[codec(index = 2)]
        Anchored {
            /// The DAG.
            dag: DagId,
            /// The anchor's number.
            anchor: AnchorNumber,
            /// The new head.
            head: Head,
            /// Depth of its newest block.
            depth: u32,
            /// Slices of 1 KiB in all blocks under it.
            slices: u64,
            /// Who anchored it.
            by: T::AccountId,
        },
        /// A block was proved and a record of it is kept.
        #[codec(index = 3)]
        ProofRecorded {
            /// The DAG.
            dag: DagId,
            /// The anchor against which the block was proved.
            anchor: AnchorNumber,
            /// The block.
            block_hash: BlockHash,
            /// Its place in the log.
            leaf_index: u64,
            /// Who keeps the record.
            depositor: T::AccountId,
            /// What is held for it.
            deposit: BalanceOf<T>,
        },
        /// A record was removed and its deposit released.
        #[codec(index = 4)]
        RecordRemoved {
            /// The DAG.
            dag: DagId,
            /// The block.
            block_hash: BlockHash,
            /// Who kept the record.
            depositor: T::AccountId,
            /// What came back.
            released: BalanceOf<T>,
        },
        /// A DAG has these operators from now on.
        #[codec(index = 5)]
        OperatorsSet {
            /// The DAG.
            dag: DagId,
            /// All of its operators.
            operators: OperatorsOf<T>,
            /// What is held for the DAG from now on.
            deposit: BalanceOf<T>,
        },
        /// An owner offers a DAG to another account.
        #[codec(index = 6)]
        TransferOffered {
            /// The DAG.
            dag: DagId,
            /// Who may accept it.
            to: T::AccountId,
        },
        /// An owner withdrew an offer.
        #[codec(index = 7)]
        TransferWithdrawn {
            /// The DAG.
            dag: DagId,
            /// Who may no longer accept it.
            to: T::AccountId,
        },
        /// A DAG changed hands. Its operators are no more.
        #[codec(index = 8)]
        OwnershipTransferred {
            /// The DAG.
            dag: DagId,
            /// The former owner.
            from: T::AccountId,
            /// The owner.
            to: T::AccountId,
        },
        /// Anchoring to a DAG ended for good.
        #[codec(index = 9)]
        DagRetired {
            /// The DAG.
            dag: DagId,
            /// Its last head.
            head: Head,
        },
        /// A block descends from its DAG's genesis.
        #[codec(index = 10)]
        LineageVerified {
            /// The DAG.
            dag: DagId,
            /// The anchor against which the block was proved.
            anchor: AnchorNumber,
            /// The block.
            block_hash: BlockHash,
            /// Its place in the log.
            leaf_index: u64,
            /// Headers on the way to genesis, its own not counted.
            steps: u32,
            /// Who proved it.
            by: T::AccountId,
        },
        /// A stake was put behind a DAG, or added to.
        #[codec(index = 11)]
        Staked {
            /// The DAG.
            dag: DagId,
            /// Whose stake it is.
            staker: T::AccountId,
            /// What was added.
            amount: BalanceOf<T>,
            /// What it is now.
            total: BalanceOf<T>,
        },
        /// A stake is being unbonded. Challenges go on until it can be withdrawn.
        #[codec(index = 12)]
        UnbondingBegun {
            /// The DAG.
            dag: DagId,
            /// From which block on the stake can be withdrawn, unless challenges are open.
            withdrawable_at: BlockNumberFor<T>,
        },
        /// A stake was withdrawn. Nothing is promised of the DAG's data any more.
        #[codec(index = 13)]
        StakeWithdrawn {
            /// The DAG.
            dag: DagId,
            /// Whose stake it was.
            staker: T::AccountId,
            /// What came back.
            released: BalanceOf<T>,
        },
        /// A round began: its challenges will be drawn from this head, whatever is anchored since.
        #[codec(index = 14)]
        HeadFrozen {
            /// The DAG.
            dag: DagId,
            /// The head.
            head: Head,
            /// Slices under it.
            slices: u64,
        },
        /// Challenges were drawn.
        #[codec(index = 15)]
        ChallengesDrawn {
            /// The DAG.
            dag: DagId,
            /// Number of the first; the others follow.
            first: ChallengeNumber,
            /// The slice that each asks for, counted over all under the head.
            positions: PerChallenge<u64>,
            /// It is too late when [`BlocksWithRoom`] is as much.
            due: u64,
        },
        /// A challenge was answered.
        #[codec(index = 16)]
        ChallengeAnswered {
            /// The DAG.
            dag: DagId,
            /// The challenge.
            challenge: ChallengeNumber,
            /// What was asked for.
            position: u64,
            /// The block that holds it.
            leaf_index: u64,
            /// Whether the content was declared removed, and not shown.
            declared: bool,
        },
        /// The deadline of a round is over and these challenges were not answered.
        #[codec(index = 17)]
        ChallengeMissed {
            /// The DAG.
            dag: DagId,
            /// The challenges.
            challenges: PerChallenge<ChallengeNumber>,
            /// What was taken from the stake.
            slashed: BalanceOf<T>,
            /// The reporter's part of that; the rest was burned.
            rewarded: BalanceOf<T>,
            /// Who reported it before the chain saw by itself.
            reporter: Option<T::AccountId>,
        },
        /// An owner declared that the contents of these blocks were let go.
        #[codec(index = 18)]
        RemovalDeclared {
            /// The DAG.
            dag: DagId,
            /// Number of the range within the DAG.
            range: RangeNumber,
            /// The first leaf.
            first: u64,
            /// The last leaf, itself removed.
            last: u64,
            /// It answers challenges of rounds that begin in this block or later.
            effective_at: BlockNumberFor<T>,
        },
        /// A log was shown to break the rules, by this evidence.
        #[codec(index = 19)]
        FaultReported {
            /// The DAG.
            dag: DagId,
            /// The anchor under whose head the evidence stands.
            anchor: AnchorNumber,
            /// Which rule is broken.
            kind: FaultKind,
            /// What shows it.
            evidence: EvidenceOf,
            /// What was taken from the stake.
            slashed: BalanceOf<T>,
            /// The reporter's part of that; the rest was burned.
            rewarded: BalanceOf<T>,
            /// Who reported it.
            reporter: T::AccountId,
        },
    }

    /// Why a call was refused. Variants are appended only: a program of an older version names them by their index.
    #[pallet::error]
    pub enum Error<T> {
        /// There is no DAG of that number.
        UnknownDag,
        /// The anchor was never made or is no longer kept, or the head is not one of the DAG's kept heads.
        UnknownHead,
        /// The signer keeps no record of that block.
        UnknownRecord,
        /// The signer is not the DAG's owner.
        NotOwner,
        /// The signer is neither the DAG's owner nor one of its operators.
        NotOwnerNorOperator,
        /// The DAG is retired.
        DagRetired,
        /// All DAG numbers are used up.
        DagIdsExhausted,
        /// All anchor numbers of the DAG are used up.
        AnchorsExhausted,
        /// The header is not that of a genesis block.
        NotGenesis,
        /// Another DAG already goes on from that DAG.
        AlreadySucceeded,
        /// The signer already keeps a record of that block.
        AlreadyRecorded,
        /// The operators are not in strictly ascending order.
        OperatorsNotAscending,
        /// The account already owns the DAG.
        AlreadyOwner,
        /// Nobody was offered the DAG.
        NoPendingTransfer,
        /// The DAG was offered to another account.
        NotPendingOwner,
        /// The new log is not longer than the anchored one.
        StaleSize,
        /// The log size is above 2^48.
        LogTooLarge,
        /// The header is not that of the log's newest block.
        NotNewestBlock,
        /// The leaf index is not below the log size.
        IndexOutOfRange,
        /// The inclusion proof has more or fewer hashes than leaf index and size demand.
        WrongInclusionLength,
        /// The consistency proof has more or fewer hashes than the two sizes demand.
        WrongConsistencyLength,
        /// The block is not at that place in the log.
        NotInLog,
        /// The new log does not begin with the anchored one: it is not append-only.
        NotAppendOnly,
        /// The consistency proof does not lead to the new root.
        NewRootMismatch,
        /// The header is empty.
        HeaderEmpty,
        /// The header is truncated.
        HeaderTruncated,
        /// Bytes follow the end of the header.
        HeaderTooLong,
        /// The header does not begin with `PKT1`.
        HeaderWrongMagic,
        /// The header's count of parents is not canonically encoded.
        MalformedParentCount,
        /// The header names more than 5 parents.
        TooManyParents,
        /// The header names fewer parents than its position demands.
        TooFewParents,
        /// The header is of a genesis with parents.
        GenesisWithParents,
        /// The header names a parent twice.
        DuplicateParent,
        /// The header's parents are not in ascending order.
        UnsortedParents,
        /// The header names a parent that does not come before the block.
        ParentNotBefore,
        /// The header's leaf index is not below 2^48.
        LeafIndexTooLarge,
        /// The header has depth 0 elsewhere than at genesis, or genesis another depth.
        DepthNotOfPosition,
        /// The header's depth is above its leaf index.
        DepthTooLarge,
        /// The header's count of earlier slices cannot belong to its position.
        SlicesBeforeImpossible,
        /// The header's count of slices overflows.
        SlicesOverflow,
        /// The header's original size is not below 2^53.
        OriginalSizeTooLarge,
        /// The header's stored size is not below 2^53.
        StoredSizeTooLarge,
        /// The header's compression code is unknown.
        UnknownCompression,
        /// The header is of an empty content that claims to be compressed.
        EmptyContentCompressed,
        /// The lineage is empty, and the block is not genesis.
        LineageEmpty,
        /// A header of the lineage does not decode, or there are too many.
        LineageMalformed,
        /// A header of the lineage is no parent of the one before it.
        NotAParent,
        /// The depth does not fall along the lineage.
        DepthNotFalling,
        /// A timestamp rises along the lineage.
        TimestampRising,
        /// The lineage does not end at the DAG's genesis.
        LineageNotGenesis,
        /// There is no stake behind the DAG.
        NotStaked,
        /// The stake would be less than the least stake.
        StakeTooSmall,
        /// The stake behind the DAG is another account's.
        StakeOfAnother,
        /// The stake is being unbonded.
        Unbonding,
        /// The stake is not being unbonded.
        NotUnbonding,
        /// The unbonding of the stake is not over.
        StillUnbonding,
        /// Challenges of the DAG are open, or will be as soon as they are drawn.
        ChallengesOpen,
        /// The DAG's log was shown to break the rules.
        DagFaulty,
        /// The DAG has no such challenge open.
        UnknownChallenge,
        /// The challenge was answered before.
        AlreadyAnswered,
        /// The deadline of the challenge is over.
        ResponseTooLate,
        /// The deadline of the challenges is not over.
        DeadlineNotOver,
        /// The block does not hold the slice that was drawn.
        PositionNotInBlock,
        /// The slice is shorter or longer than its place demands.
        WrongSliceLength,
        /// The slice has more or fewer siblings than its place demands.
        WrongSiblingCount,
        /// The slice is not part of the block's content.
        SliceMismatch,
        /// The range ends before it begins.
        EmptyRange,
        /// All numbers of ranges of the DAG are used up.
        RangesExhausted,
        /// The DAG has no declared range of that number.
        UnknownRange,
        /// The range was not effective when the head was frozen.
        RangeNotEffective,
        /// The block is not in the range.
        NotInRange,
        /// The two headers are not those of neighbours.
        NotNeighbours,
        /// The evidence shows nothing that is against the rules.
        WellFormed,
    }

    /// The number of the next DAG, and so the count of all. Numbers are never used again, as a DAG's number is part of its
    /// identity.
    #[pallet::storage]
    pub type NextDagId<T: Config> = StorageValue<_, DagId, ValueQuery>;

    /// All DAGs. None is ever removed.
    #[pallet::storage]
    pub type Dags<T: Config> = StorageMap<_, Twox64Concat, DagId, Dag<T>>;

    /// The heads kept of each DAG: anchor `j` while `pakit_primitives::heads::is_kept`.
    #[pallet::storage]
    pub type AnchoredHeads<T: Config> =
        StorageDoubleMap<_, Twox64Concat, DagId, Twox64Concat, AnchorNumber, AnchoredHeadOf<T>>;

    /// To whom the owner of a DAG has offered it.
    #[pallet::storage]
    pub type PendingTransfers<T: Config> = StorageMap<_, Twox64Concat, DagId, T::AccountId>;

    /// Records of proved blocks. Block hashes and accounts are chosen by users, so these keys go through a cryptographic
    /// hash, lest somebody unbalance the state's trie.
    #[pallet::storage]
    pub type Records<T: Config> = StorageNMap<
        _,
        (NMapKey<Twox64Concat, DagId>, NMapKey<Blake2_128Concat, BlockHash>, NMapKey<Blake2_128Concat, T::AccountId>),
        RecordOf<T>,
    >;

    /// The stakes behind DAGs, each with its round of challenges. Goes when it is withdrawn.
    #[pallet::storage]
    pub type Stakes<T: Config> = StorageMap<_, Twox64Concat, DagId, Stake<T>>;

    /// The staked DAG at which the hook left off; none when it begins from the beginning.
    #[pallet::storage]
    pub type NextVisit<T: Config> = StorageValue<_, DagId, OptionQuery>;

    /// The number of the next challenge, and so the count of all.
    #[pallet::storage]
    pub type NextChallenge<T: Config> = StorageValue<_, ChallengeNumber, ValueQuery>;

    /// Blocks in which an answer would have found room, counted since the pallet has challenges: the clock of deadlines.
    #[pallet::storage]
    pub type BlocksWithRoom<T: Config> = StorageValue<_, u64, ValueQuery>;

    /// Contents that were let go, by the number of the declaration. Stay for good, each with its deposit.
    #[pallet::storage]
    pub type RemovedRanges<T: Config> =
        StorageDoubleMap<_, Twox64Concat, DagId, Twox64Concat, RangeNumber, RemovedRangeOf<T>>;

    /// How many ranges of a DAG were declared removed.
    #[pallet::storage]
    pub type RemovedCount<T: Config> = StorageMap<_, Twox64Concat, DagId, RangeNumber, ValueQuery>;

    /// DAGs whose logs were shown to break the rules, with the first report. Stay for good.
    #[pallet::storage]
    pub type Faults<T: Config> = StorageMap<_, Twox64Concat, DagId, FaultOf<T>>;

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(now: BlockNumberFor<T>) -> Weight {
            Self::visit_dags(now).saturating_add(Self::weight_of_count())
        }

        fn on_idle(_now: BlockNumberFor<T>, _remaining: Weight) -> Weight {
            Self::count_room();
            // It was taken at the beginning of the block.
            Weight::zero()
        }

        fn offchain_worker(now: BlockNumberFor<T>) {
            T::OffchainWorker::run(now);
        }

        fn on_runtime_upgrade() -> Weight {
            migrations::tell_of_other_version::<T>()
        }

        fn integrity_test() {
            Self::assert_limits_fit();
        }

        #[cfg(feature = "try-runtime")]
        fn try_state(_now: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
            Self::do_try_state()
        }
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Creates a DAG from the header of its genesis. The signer owns it, and has a deposit held.
        ///
        /// Its genesis alone is anchor 1. With `succeeds`, the DAG goes on from another one of the signer's, which stands by
        /// the named head of it: one of its kept heads. Only one DAG may go on from another one; whoever lost the way again
        /// goes on from the successor.
        #[pallet::call_index(0)]
        #[pallet::weight(match succeeds {
            None => T::WeightInfo::create_dag(),
            Some(_) => T::WeightInfo::create_dag_succeeding(),
        })]
        pub fn create_dag(
            origin: OriginFor<T>,
            genesis_header: HeaderBytes,
            succeeds: Option<Succession>,
        ) -> DispatchResult {
            let owner = ensure_signed(origin)?;
            let header = Header::decode(&genesis_header).map_err(VerifyError::from).map_err(Error::<T>::from)?;
            ensure!(header.leaf_index == 0, Error::<T>::NotGenesis);
            let genesis = hash_header_bytes::<HostHasher>(&genesis_header);
            let dag = NextDagId::<T>::get();
            NextDagId::<T>::put(dag.checked_add(1).ok_or(Error::<T>::DagIdsExhausted)?);

            if let Some(succession) = &succeeds {
                Self::succeed(&owner, succession, dag)?;
            }
            let deposit = Self::deposit_for(DepositSubject::Dag { operators: 0 });
            Self::hold(HoldReason::Dag, &owner, deposit)?;
            let head = Head { size: 1, root: genesis.as_root_of_one() };
            AnchoredHeads::<T>::insert(
                dag,
                1,
                AnchoredHead {
                    head,
                    depth: header.depth,
                    slices: header.slices_through(),
                    block_number: frame_system::Pallet::<T>::block_number(),
                },
            );
            Dags::<T>::insert(
                dag,
                Dag {
                    owner: owner.clone(),
                    operators: OperatorsOf::<T>::new(),
                    genesis,
                    deposit,
                    anchors: 1,
                    latest: head,
                    retired: false,
                    succeeds,
                    successor: None,
                },
            );
            Self::deposit_event(Event::DagCreated { dag, owner, genesis });
            if let Some(succession) = succeeds {
                Self::deposit_event(Event::DagSucceeded {
                    dag: succession.dag,
                    successor: dag,
                    head: succession.head(),
                });
            }
            Ok(())
        }

        /// Anchors a head that extends the DAG's latest one. For the owner and the operators.
        ///
        /// `consistency` proves that the new log begins with the anchored one, and `inclusion` that the block of
        /// `newest_header` is its last leaf, from which the chain learns the log's depth and slices.
        #[pallet::call_index(1)]
        #[pallet::weight(T::WeightInfo::anchor(consistency.len() as u32, inclusion.len() as u32))]
        pub fn anchor(
            origin: OriginFor<T>,
            dag: DagId,
            new_head: Head,
            consistency: ConsistencyPath,
            newest_header: HeaderBytes,
            inclusion: InclusionPath,
        ) -> DispatchResult {
            let by = ensure_signed(origin)?;
            let mut stored = Dags::<T>::get(dag).ok_or(Error::<T>::UnknownDag)?;
            ensure!(stored.may_anchor(&by), Error::<T>::NotOwnerNorOperator);
            ensure!(!stored.retired, Error::<T>::DagRetired);
            let anchor = stored.anchors.checked_add(1).ok_or(Error::<T>::AnchorsExhausted)?;
            let newest =
                verify_extension::<HostHasher>(&stored.latest, &new_head, &consistency, &newest_header, &inclusion)
                    .map_err(Error::<T>::from)?;

            let (depth, slices) = (newest.depth, newest.slices_through());
            AnchoredHeads::<T>::insert(
                dag,
                anchor,
                AnchoredHead { head: new_head, depth, slices, block_number: frame_system::Pallet::<T>::block_number() },
            );
            if let Some(dropped) = heads::dropped_by(anchor) {
                AnchoredHeads::<T>::remove(dag, dropped);
            }
            stored.anchors = anchor;
            stored.latest = new_head;
            Dags::<T>::insert(dag, stored);
            Self::deposit_event(Event::Anchored { dag, anchor, head: new_head, depth, slices, by });
            Ok(())
        }

        /// Proves that a block is in the log at a kept head and has the chain keep a record of it. For anyone; the signer has
        /// a deposit held until the record is removed.
        #[pallet::call_index(2)]
        #[pallet::weight(T::WeightInfo::record_proof(inclusion.len() as u32))]
        pub fn record_proof(
            origin: OriginFor<T>,
            dag: DagId,
            anchor: AnchorNumber,
            header: HeaderBytes,
            inclusion: InclusionPath,
        ) -> DispatchResult {
            let depositor = ensure_signed(origin)?;
            let (verified, header) =
                Self::verify_at_anchor(dag, anchor, &header, &inclusion).map_err(Error::<T>::from)?;
            let block_hash = verified.block_hash;
            let key = (dag, block_hash, depositor.clone());
            ensure!(!Records::<T>::contains_key(&key), Error::<T>::AlreadyRecorded);

            let deposit = Self::deposit_for(DepositSubject::Record);
            Self::hold(HoldReason::Record, &depositor, deposit)?;
            let now = frame_system::Pallet::<T>::block_number();
            Records::<T>::insert(
                key,
                RecordOf::<T>::new(block_hash, &header, &verified.head, now, depositor.clone(), deposit),
            );
            Self::deposit_event(Event::ProofRecorded {
                dag,
                anchor,
                block_hash,
                leaf_index: verified.leaf_index,
                depositor,
                deposit,
            });
            Ok(())
        }

        /// Removes the signer's record of a block and releases its deposit.
        #[pallet::call_index(3)]
        #[pallet::weight(T::WeightInfo::remove_record())]
        pub fn remove_record(origin: OriginFor<T>, dag: DagId, block_hash: BlockHash) -> DispatchResult {
            let depositor = ensure_signed(origin)?;
            let record = Records::<T>::take((dag, block_hash, depositor.clone())).ok_or(Error::<T>::UnknownRecord)?;
            let released = Self::release(HoldReason::Record, &depositor, record.deposit)?;
            Self::deposit_event(Event::RecordRemoved { dag, block_hash, depositor, released });
            Ok(())
        }

        /// Gives a DAG these operators in place of those it has, in strictly ascending order. For the owner, whose deposit is
        /// made to fit; it grows only if the operators become more.
        #[pallet::call_index(4)]
        #[pallet::weight(T::WeightInfo::set_operators(operators.len() as u32))]
        pub fn set_operators(origin: OriginFor<T>, dag: DagId, operators: OperatorsOf<T>) -> DispatchResult {
            let owner = ensure_signed(origin)?;
            let mut stored = Self::owned_dag(dag, &owner)?;
            ensure!(!stored.retired, Error::<T>::DagRetired);
            ensure!(operators.is_sorted_by(|one, next| one < next), Error::<T>::OperatorsNotAscending);

            stored.deposit = Self::reprice_dag(&stored, operators.len())?;
            stored.operators = operators.clone();
            let deposit = stored.deposit;
            Dags::<T>::insert(dag, stored);
            Self::deposit_event(Event::OperatorsSet { dag, operators, deposit });
            Ok(())
        }

        /// Offers a DAG to another account, in place of an earlier offer, or withdraws the offer with `None`. For the owner.
        ///
        /// Nothing changes until that account accepts, so that a DAG cannot go to an account that nobody has the key of.
        #[pallet::call_index(5)]
        #[pallet::weight(T::WeightInfo::transfer_ownership())]
        pub fn transfer_ownership(origin: OriginFor<T>, dag: DagId, new_owner: Option<T::AccountId>) -> DispatchResult {
            let owner = ensure_signed(origin)?;
            Self::owned_dag(dag, &owner)?;
            match new_owner {
                Some(to) => {
                    ensure!(to != owner, Error::<T>::AlreadyOwner);
                    PendingTransfers::<T>::insert(dag, &to);
                    Self::deposit_event(Event::TransferOffered { dag, to });
                }
                None => {
                    let to = PendingTransfers::<T>::take(dag).ok_or(Error::<T>::NoPendingTransfer)?;
                    Self::deposit_event(Event::TransferWithdrawn { dag, to });
                }
            }
            Ok(())
        }

        /// Accepts a DAG that its owner offered to the signer.
        ///
        /// The signer's deposit is held and the former owner's released. The operators end: they are the former owner's
        /// machines, and a new owner should not have to read a list of them, or pay for it, before accepting.
        #[pallet::call_index(6)]
        #[pallet::weight(T::WeightInfo::accept_ownership())]
        pub fn accept_ownership(origin: OriginFor<T>, dag: DagId) -> DispatchResult {
            let to = ensure_signed(origin)?;
            let mut stored = Dags::<T>::get(dag).ok_or(Error::<T>::UnknownDag)?;
            let pending = PendingTransfers::<T>::take(dag).ok_or(Error::<T>::NoPendingTransfer)?;
            ensure!(pending == to, Error::<T>::NotPendingOwner);

            let deposit = Self::deposit_for(DepositSubject::Dag { operators: 0 });
            Self::hold(HoldReason::Dag, &to, deposit)?;
            Self::release(HoldReason::Dag, &stored.owner, stored.deposit)?;
            let from = core::mem::replace(&mut stored.owner, to.clone());
            stored.deposit = deposit;
            stored.operators = OperatorsOf::<T>::new();
            Dags::<T>::insert(dag, stored);
            Self::deposit_event(Event::OwnershipTransferred { dag, from, to });
            Ok(())
        }

        /// Ends anchoring to a DAG for good. For the owner, who gets the operators' part of the deposit back.
        ///
        /// The heads stay, and with them the base of the deposit; proofs remain verifiable, and the owner can still name a
        /// successor or hand the DAG over.
        #[pallet::call_index(7)]
        #[pallet::weight(T::WeightInfo::retire_dag())]
        pub fn retire_dag(origin: OriginFor<T>, dag: DagId) -> DispatchResult {
            let owner = ensure_signed(origin)?;
            let mut stored = Self::owned_dag(dag, &owner)?;
            ensure!(!stored.retired, Error::<T>::DagRetired);

            stored.deposit = Self::reprice_dag(&stored, 0)?;
            stored.operators = OperatorsOf::<T>::new();
            stored.retired = true;
            let head = stored.latest;
            Dags::<T>::insert(dag, stored);
            Self::deposit_event(Event::DagRetired { dag, head });
            Ok(())
        }

        /// Proves that a block is in the log at a kept head and descends from the DAG's genesis, and says so in an event. For
        /// anyone; nothing is kept.
        ///
        /// `ancestors` are the headers from one of the block's parents to genesis, with it.
        #[pallet::call_index(8)]
        #[pallet::weight(T::WeightInfo::verify_lineage(inclusion.len() as u32, ancestors.len() as u32))]
        pub fn verify_lineage(
            origin: OriginFor<T>,
            dag: DagId,
            anchor: AnchorNumber,
            header: HeaderBytes,
            inclusion: InclusionPath,
            ancestors: Ancestors,
        ) -> DispatchResult {
            let by = ensure_signed(origin)?;
            let verified = Self::verify_descent_to_genesis(dag, anchor, &header, &inclusion, &ancestors)
                .map_err(Error::<T>::from)?;
            Self::deposit_event(Event::LineageVerified {
                dag,
                anchor,
                block_hash: verified.block_hash,
                leaf_index: verified.leaf_index,
                steps: ancestors.len() as u32,
                by,
            });
            Ok(())
        }

        /// Puts a stake behind a DAG, or adds to it. For the owner.
        ///
        /// From now on slices of the DAG are drawn at random, and whoever answers publishes them: 1 KiB each, plain as it was
        /// put, to be read by all. An archive of confidential contents stores them encrypted, or does not stake.
        #[pallet::call_index(9)]
        #[pallet::weight(T::WeightInfo::stake())]
        pub fn stake(origin: OriginFor<T>, dag: DagId, amount: BalanceOf<T>) -> DispatchResult {
            Self::put_stake(ensure_signed(origin)?, dag, amount)
        }

        /// Begins the unbonding of all of a stake. For the staker, whoever owns the DAG by now.
        ///
        /// Challenges go on until it can be withdrawn. That cannot be taken back; the DAG can be staked anew afterwards.
        #[pallet::call_index(10)]
        #[pallet::weight(T::WeightInfo::unbond())]
        pub fn unbond(origin: OriginFor<T>, dag: DagId) -> DispatchResult {
            Self::unbond_stake(&ensure_signed(origin)?, dag)
        }

        /// Withdraws a stake, or what is left of it, once its unbonding is over and no challenge is open. For the staker.
        #[pallet::call_index(11)]
        #[pallet::weight(T::WeightInfo::withdraw_stake())]
        pub fn withdraw_stake(origin: OriginFor<T>, dag: DagId) -> DispatchResult {
            Self::withdraw_unbonded(ensure_signed(origin)?, dag)
        }

        /// Answers a challenge. Needs no signature and pays no fee, since it proves itself; operational, so that a block full
        /// of other transactions has room for it.
        ///
        /// The block of `header` holds the slice that was drawn and is in the log at the head that was frozen, by
        /// `inclusion`. `answer` is the slice with its siblings, or the number of a declared range that the block is in.
        #[pallet::call_index(12)]
        // An authorized transaction has nobody to pay a fee. With a signature the call is refused, and that must cost one: were it
        // `Pays::No`, anybody could fill blocks with refused answers for nothing.
        #[pallet::weight((Pallet::<T>::weight_of_response(inclusion, answer), DispatchClass::Operational))]
        #[pallet::authorize(Self::authorize_response)]
        #[pallet::weight_of_authorize(Pallet::<T>::weight_of_authorization(inclusion, answer))]
        pub fn respond(
            origin: OriginFor<T>,
            dag: DagId,
            challenge: ChallengeNumber,
            header: HeaderBytes,
            inclusion: InclusionPath,
            answer: Answer,
        ) -> DispatchResult {
            ensure_authorized(origin)?;
            Self::take_response(dag, challenge, &header, &inclusion, &answer)
        }

        /// Settles a round whose deadline is over, before the chain does so by itself. For anyone, who has the reporter's part
        /// of what is slashed, unless it is the staker.
        #[pallet::call_index(13)]
        #[pallet::weight(T::WeightInfo::report_miss().saturating_add(T::OnChallengeOutcome::weight()))]
        pub fn report_miss(origin: OriginFor<T>, dag: DagId) -> DispatchResult {
            Self::report_missed(&ensure_signed(origin)?, dag)
        }

        /// Declares that the contents of these blocks, `first` to `last`, were let go. For the owner; visible for ever, with a
        /// deposit that is held as long.
        ///
        /// After one period, a challenge that falls on them is answered by naming the range. What is drawn before is to be
        /// shown; so an archive declares first and removes then.
        #[pallet::call_index(14)]
        #[pallet::weight(T::WeightInfo::declare_removed())]
        pub fn declare_removed(origin: OriginFor<T>, dag: DagId, first: u64, last: u64) -> DispatchResult {
            Self::declare_range(ensure_signed(origin)?, dag, first, last)
        }

        /// Shows that the log of a DAG breaks the rules, by evidence that stands under the head of a kept anchor. For anyone, who
        /// has the reporter's part of what is slashed, unless it is the staker.
        ///
        /// The DAG is marked as faulty for good. A DAG is reported once.
        #[pallet::call_index(15)]
        #[pallet::weight(T::WeightInfo::report_block())]
        pub fn report_block(
            origin: OriginFor<T>,
            dag: DagId,
            anchor: AnchorNumber,
            evidence: EvidenceOf,
        ) -> DispatchResult {
            Self::report_fault(ensure_signed(origin)?, dag, anchor, evidence)
        }
    }

    #[pallet::view_functions]
    impl<T: Config> Pallet<T> {
        /// The DAG of that number.
        pub fn dag(dag: DagId) -> Option<DagInfoOf<T>> {
            Self::dag_info(dag)
        }

        /// The DAG's latest head and the number of its anchor.
        pub fn head(dag: DagId) -> Option<(AnchorNumber, AnchoredHeadOf<T>)> {
            Self::latest_head(dag)
        }

        /// The head of one anchor, while it is kept.
        pub fn anchored_head(dag: DagId, anchor: AnchorNumber) -> Option<AnchoredHeadOf<T>> {
            AnchoredHeads::<T>::get(dag, anchor)
        }

        /// All heads that are kept, in the order of their anchors.
        pub fn heads_kept(dag: DagId) -> Vec<(AnchorNumber, AnchoredHeadOf<T>)> {
            Self::kept_heads(dag)
        }

        /// What `depositor` keeps on the chain of one block.
        pub fn record(dag: DagId, block_hash: BlockHash, depositor: T::AccountId) -> Option<RecordOf<T>> {
            Records::<T>::get((dag, block_hash, depositor))
        }

        /// Verifies that the block of the header bytes is in the log, at the head of that anchor.
        pub fn verify_inclusion(
            dag: DagId,
            anchor: AnchorNumber,
            header: Vec<u8>,
            inclusion: Vec<Digest>,
        ) -> Result<VerifiedBlockOf<T>, VerifyError> {
            Self::verify_at_anchor(dag, anchor, &header, &inclusion).map(|(verified, _)| verified)
        }

        /// Verifies the same, and that the block descends from the DAG's genesis: `ancestors` are the header bytes from one
        /// of its parents to genesis. Named apart from the call that does this in an extrinsic.
        pub fn verify_descent(
            dag: DagId,
            anchor: AnchorNumber,
            header: Vec<u8>,
            inclusion: Vec<Digest>,
            ancestors: Vec<Vec<u8>>,
        ) -> Result<VerifiedBlockOf<T>, VerifyError> {
            Self::verify_descent_to_genesis(dag, anchor, &header, &inclusion, &ancestors)
        }

        /// What would be held today for a DAG or a record.
        pub fn deposit_for(subject: DepositSubject) -> BalanceOf<T> {
            Self::price(subject)
        }

        /// The stake behind a DAG, and how its challenges went.
        pub fn stake_behind(dag: DagId) -> Option<StakeInfoOf<T>> {
            Self::stake_info(dag)
        }

        /// The challenges of a DAG that wait for an answer.
        pub fn open_challenges(dag: DagId) -> Vec<OpenChallengeOf<T>> {
            Self::challenges_of(dag)
        }

        /// A range of a DAG's leaves that was declared removed.
        pub fn removed_range(dag: DagId, range: RangeNumber) -> Option<RemovedRangeOf<T>> {
            RemovedRanges::<T>::get(dag, range)
        }

        /// What was shown to be wrong in a DAG's log.
        pub fn fault(dag: DagId) -> Option<FaultOf<T>> {
            Faults::<T>::get(dag)
        }
    }
}
