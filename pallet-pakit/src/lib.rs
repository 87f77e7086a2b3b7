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
//! timestamps in headers are true, that every block in the log is well formed, or that the content is still kept.
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
//! Deposits are priced by the constants at the time of the call that sets them. Only more operators than before can raise the
//! deposit of a DAG: an owner without funds can always dismiss or replace operators, and retire the DAG.
//!
//! ## Interface
//!
//! ### Calls
//!
//! - `create_dag`, `anchor`, `set_operators`, `transfer_ownership` and `accept_ownership`, `retire_dag`: for archives.
//! - `record_proof`, `remove_record`, `verify_lineage`: for anyone with a proof.
//!
//! ### View functions
//!
//! Everything stored, verification of proofs and the price of deposits, without a fee. `pakit_runtime_api::PakitApi`
//! is the same to callers that know it at compile time; a runtime implements it by naming the view functions.
//!
//! ## Cost
//!
//! All calls are O(log n) hashes in the size of the log, and weights count each hash. `anchor` reads one item of the
//! pallet's and writes three, whatever came before: removing the head that is no longer kept needs no read.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod impls;
mod limits;
#[cfg(test)]
mod mock;
#[cfg(any(test, feature = "runtime-benchmarks"))]
mod sparse_log;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "try-runtime"))]
mod try_state;
pub mod types;
pub mod weights;

pub use impls::HostHasher;
pub use pakit_primitives::chain::{AnchorNumber, DagId, Succession};
pub use pallet::*;
pub use types::{BalanceOf, Dag};
pub use weights::WeightInfo;

/// The pallet's items as FRAME knows them.
#[allow(unused_qualifications, reason = "the macro writes paths in full under the spans of the attributes")]
#[frame_support::pallet]
pub mod pallet {
    use super::*;
    use crate::types::{
        AccountIdOf, Ancestors, AnchoredHeadOf, ConsistencyPath, DagInfoOf, HeaderBytes, InclusionPath, OperatorsOf,
        RecordOf, VerifiedBlockOf,
    };
    use alloc::vec::Vec;
    use frame_support::{
        pallet_prelude::*,
        traits::{
            ConstU32, ConstU64,
            fungible::{Inspect, Mutate, MutateHold},
        },
    };
    use frame_system::pallet_prelude::*;
    use pakit_primitives::{
        BlockHash, Head, Header,
        chain::{AnchoredHead, DepositSubject, VerifyError, verify_extension},
        hasher::Digest,
        header::hash_header_bytes,
        heads,
    };

    /// The in-code storage version.
    pub const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

    #[pallet::pallet]
    #[pallet::storage_version(STORAGE_VERSION)]
    pub struct Pallet<T>(_);

    /// Default implementations of [`DefaultConfig`], which can be used to implement [`Config`].
    pub mod config_preludes {
        use super::*;
        use frame_support::derive_impl;

        /// For tests: a deposit of 100 for a DAG, 10 for each operator, 20 for a record; 8 operators; no weights measured.
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
            type WeightInfo = ();
        }
    }

    /// What the pallet needs of a runtime.
    #[pallet::config(with_default)]
    pub trait Config: frame_system::Config<RuntimeEvent: From<Event<Self>>> {
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

        /// Weights of the calls.
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

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
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
    }
}
