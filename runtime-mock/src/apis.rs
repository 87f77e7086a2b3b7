//! The runtime APIs: what a node and, through it, every client may ask of the runtime.

#![allow(missing_docs, reason = "the macro writes public items without documentation")]

use alloc::vec::Vec;

use frame_support::{
    genesis_builder_helper::{build_state, get_preset},
    weights::Weight,
};
use pakit_primitives::{
    BlockHash, DagStorageProof,
    chain::{AnchorNumber, AnchoredHead, DagId, DagInfo, DepositSubject, VerifiedBlock, VerifyError},
    hasher::Digest,
    possession::{Fault, OpenChallenge, RangeNumber, RemovedRange, StakeInfo},
};
use pallet_transaction_payment::{FeeDetails, RuntimeDispatchInfo};
use sp_api::impl_runtime_apis;
use sp_consensus_aura::{SlotDuration, sr25519::AuthorityId as AuraId};
use sp_core::{OpaqueMetadata, crypto::KeyTypeId};
use sp_genesis_builder::PresetId;
use sp_inherents::{CheckInherentsResult, InherentData};
use sp_runtime::{
    ApplyExtrinsicResult, ExtrinsicInclusionMode,
    traits::Block as BlockT,
    transaction_validity::{TransactionSource, TransactionValidity},
};
use sp_session::OpaqueGeneratedSessionKeys;
use sp_version::RuntimeVersion;

use crate::{
    AccountId, Balance, Block, BlockNumber, Executive, Nonce, Pakit, Runtime, RuntimeCall, RuntimeGenesisConfig,
    SessionKeys, System, TransactionPayment, VERSION, genesis_presets, omni,
};

impl_runtime_apis! {
    impl sp_api::Core<Block> for Runtime {
        fn version() -> RuntimeVersion {
            VERSION
        }

        fn execute_block(block: <Block as BlockT>::LazyBlock) {
            Executive::execute_block(block);
        }

        fn initialize_block(header: &<Block as BlockT>::Header) -> ExtrinsicInclusionMode {
            Executive::initialize_block(header)
        }
    }

    impl sp_api::Metadata<Block> for Runtime {
        fn metadata() -> OpaqueMetadata {
            OpaqueMetadata::new(Runtime::metadata().into())
        }

        fn metadata_at_version(version: u32) -> Option<OpaqueMetadata> {
            Runtime::metadata_at_version(version)
        }

        fn metadata_versions() -> Vec<u32> {
            Runtime::metadata_versions()
        }
    }

    impl frame_support::view_functions::runtime_api::RuntimeViewFunction<Block> for Runtime {
        fn execute_view_function(
            id: frame_support::view_functions::ViewFunctionId,
            input: Vec<u8>,
        ) -> Result<Vec<u8>, frame_support::view_functions::ViewFunctionDispatchError> {
            Runtime::execute_view_function(id, input)
        }
    }

    impl sp_block_builder::BlockBuilder<Block> for Runtime {
        fn apply_extrinsic(extrinsic: <Block as BlockT>::Extrinsic) -> ApplyExtrinsicResult {
            Executive::apply_extrinsic(extrinsic)
        }

        fn finalize_block() -> <Block as BlockT>::Header {
            Executive::finalize_block()
        }

        fn inherent_extrinsics(data: InherentData) -> Vec<<Block as BlockT>::Extrinsic> {
            crate::create_inherents(&data)
        }

        fn check_inherents(block: <Block as BlockT>::LazyBlock, data: InherentData) -> CheckInherentsResult {
            crate::check_inherents(&data, &block)
        }
    }

    impl sp_transaction_pool::runtime_api::TaggedTransactionQueue<Block> for Runtime {
        fn validate_transaction(
            source: TransactionSource,
            tx: <Block as BlockT>::Extrinsic,
            block_hash: <Block as BlockT>::Hash,
        ) -> TransactionValidity {
            Executive::validate_transaction(source, tx, block_hash)
        }
    }

    impl sp_offchain::OffchainWorkerApi<Block> for Runtime {
        fn offchain_worker(header: &<Block as BlockT>::Header) {
            Executive::offchain_worker(header)
        }
    }

    impl sp_session::SessionKeys<Block> for Runtime {
        fn generate_session_keys(owner: Vec<u8>, seed: Option<Vec<u8>>) -> OpaqueGeneratedSessionKeys {
            SessionKeys::generate(&owner, seed).into()
        }

        fn decode_session_keys(encoded: Vec<u8>) -> Option<Vec<(Vec<u8>, KeyTypeId)>> {
            SessionKeys::decode_into_raw_public_keys(&encoded)
        }
    }

    impl frame_system_rpc_runtime_api::AccountNonceApi<Block, AccountId, Nonce> for Runtime {
        fn account_nonce(account: AccountId) -> Nonce {
            System::account_nonce(account)
        }
    }

    impl pallet_transaction_payment_rpc_runtime_api::TransactionPaymentApi<Block, Balance> for Runtime {
        fn query_info(uxt: <Block as BlockT>::Extrinsic, len: u32) -> RuntimeDispatchInfo<Balance> {
            TransactionPayment::query_info(uxt, len)
        }

        fn query_fee_details(uxt: <Block as BlockT>::Extrinsic, len: u32) -> FeeDetails<Balance> {
            TransactionPayment::query_fee_details(uxt, len)
        }

        fn query_weight_to_fee(weight: Weight) -> Balance {
            TransactionPayment::weight_to_fee(weight)
        }

        fn query_length_to_fee(length: u32) -> Balance {
            TransactionPayment::length_to_fee(length)
        }
    }

    impl pallet_transaction_payment_rpc_runtime_api::TransactionPaymentCallApi<Block, Balance, RuntimeCall> for Runtime {
        fn query_call_info(call: RuntimeCall, len: u32) -> RuntimeDispatchInfo<Balance> {
            TransactionPayment::query_call_info(call, len)
        }

        fn query_call_fee_details(call: RuntimeCall, len: u32) -> FeeDetails<Balance> {
            TransactionPayment::query_call_fee_details(call, len)
        }

        fn query_weight_to_fee(weight: Weight) -> Balance {
            TransactionPayment::weight_to_fee(weight)
        }

        fn query_length_to_fee(length: u32) -> Balance {
            TransactionPayment::length_to_fee(length)
        }
    }

    impl sp_genesis_builder::GenesisBuilder<Block> for Runtime {
        fn build_state(config: Vec<u8>) -> sp_genesis_builder::Result {
            build_state::<RuntimeGenesisConfig>(config)
        }

        fn get_preset(id: &Option<PresetId>) -> Option<Vec<u8>> {
            get_preset::<RuntimeGenesisConfig>(id, genesis_presets::get_preset)
        }

        fn preset_names() -> Vec<PresetId> {
            genesis_presets::preset_names()
        }
    }

    #[api_version(2)]
    impl pakit_runtime_api::PakitApi<Block, AccountId, Balance, BlockNumber> for Runtime {
        fn dag(dag: DagId) -> Option<DagInfo<AccountId, Balance>> {
            Pakit::dag(dag)
        }

        fn head(dag: DagId) -> Option<(AnchorNumber, AnchoredHead<BlockNumber>)> {
            Pakit::head(dag)
        }

        fn anchored_head(dag: DagId, anchor: AnchorNumber) -> Option<AnchoredHead<BlockNumber>> {
            Pakit::anchored_head(dag, anchor)
        }

        fn heads_kept(dag: DagId) -> Vec<(AnchorNumber, AnchoredHead<BlockNumber>)> {
            Pakit::heads_kept(dag)
        }

        fn record(
            dag: DagId,
            block_hash: BlockHash,
            depositor: AccountId,
        ) -> Option<DagStorageProof<AccountId, Balance, BlockNumber>> {
            Pakit::record(dag, block_hash, depositor)
        }

        fn verify_inclusion(
            dag: DagId,
            anchor: AnchorNumber,
            header: Vec<u8>,
            inclusion: Vec<Digest>,
        ) -> Result<VerifiedBlock<BlockNumber>, VerifyError> {
            Pakit::verify_inclusion(dag, anchor, header, inclusion)
        }

        fn verify_lineage(
            dag: DagId,
            anchor: AnchorNumber,
            header: Vec<u8>,
            inclusion: Vec<Digest>,
            ancestors: Vec<Vec<u8>>,
        ) -> Result<VerifiedBlock<BlockNumber>, VerifyError> {
            Pakit::verify_descent(dag, anchor, header, inclusion, ancestors)
        }

        fn deposit_for(subject: DepositSubject) -> Balance {
            Pakit::deposit_for(subject)
        }

        fn stake_behind(dag: DagId) -> Option<StakeInfo<AccountId, Balance, BlockNumber>> {
            Pakit::stake_behind(dag)
        }

        fn open_challenges(dag: DagId) -> Vec<OpenChallenge<BlockNumber>> {
            Pakit::open_challenges(dag)
        }

        fn removed_range(dag: DagId, range: RangeNumber) -> Option<RemovedRange<AccountId, Balance, BlockNumber>> {
            Pakit::removed_range(dag, range)
        }

        fn fault(dag: DagId) -> Option<Fault<BlockNumber>> {
            Pakit::fault(dag)
        }
    }

    // A node that makes blocks asks for the time between them before it does. There is no Aura here to keep it, and so nobody
    // who may make a block by it: a node beyond its development mode makes none.
    impl sp_consensus_aura::AuraApi<Block, AuraId> for Runtime {
        fn slot_duration() -> SlotDuration {
            SlotDuration::from_millis(omni::SLOT_DURATION_MS)
        }

        fn authorities() -> Vec<AuraId> {
            Vec::new()
        }
    }

    impl omni::GetParachainInfo<Block> for Runtime {
        fn parachain_id() -> u32 {
            omni::PARACHAIN_ID
        }
    }

    #[cfg(feature = "runtime-benchmarks")]
    impl frame_benchmarking::Benchmark<Block> for Runtime {
        fn benchmark_metadata(
            extra: bool,
        ) -> (Vec<frame_benchmarking::BenchmarkList>, Vec<frame_support::traits::StorageInfo>) {
            crate::benchmarks::metadata(extra)
        }

        fn dispatch_benchmark(
            config: frame_benchmarking::BenchmarkConfig,
        ) -> Result<Vec<frame_benchmarking::BenchmarkBatch>, alloc::string::String> {
            crate::benchmarks::dispatch(config)
        }
    }

    #[cfg(feature = "try-runtime")]
    impl frame_try_runtime::TryRuntime<Block> for Runtime {
        fn on_runtime_upgrade(checks: frame_try_runtime::UpgradeCheckSelect) -> (Weight, Weight) {
            // This API exists to fail loudly: a panic is how it tells the tool that the upgrade does not hold.
            let weight = Executive::try_runtime_upgrade(checks).expect("the upgrade's checks failed");
            (weight, crate::configs::RuntimeBlockWeights::get().max_block)
        }

        fn execute_block(
            block: <Block as BlockT>::LazyBlock,
            state_root_check: bool,
            signature_check: bool,
            select: frame_try_runtime::TryStateSelect,
        ) -> Weight {
            Executive::try_execute_block(block, state_root_check, signature_check, select)
                .expect("the block's checks failed")
        }
    }
}
