//! A chain runtime with the Pakit pallet, for tests and development.
//!
//! It is a small but complete present-day runtime: balances, fees, sudo, the transaction extensions wallets expect, the
//! runtime APIs a stock node calls, and two genesis presets. It is built natively (for tests and benchmarks) and as Wasm
//! (what [`pakit-dev-node`](../pakit_dev_node/index.html) executes).
//!
//! There is no consensus in it: whoever makes blocks is trusted, and sudo belongs to a key everybody knows. Do not run it
//! where anything is at stake; copy the few lines about the pallet into a runtime of your own.

#![cfg_attr(not(feature = "std"), no_std)]
#![recursion_limit = "256"]
#![allow(missing_docs, reason = "FRAME's macros write public items without documentation")]

extern crate alloc;

mod apis;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarks;
mod configs;
pub mod genesis_presets;
mod offchain;
pub mod omni;
#[cfg(test)]
mod tests;
pub mod ways;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use sp_inherents::{CheckInherentsResult, InherentData};
use sp_runtime::{
    MultiAddress, MultiSignature, generic, impl_opaque_keys,
    traits::{BlakeTwo256, Block as BlockT, IdentifyAccount, Verify},
};
use sp_version::RuntimeVersion;

pub use apis::{RUNTIME_API_VERSIONS, api};
#[cfg(feature = "std")]
pub use apis::{RuntimeApi, RuntimeApiImpl};

/// The Wasm that `build.rs` compiled from this crate.
#[cfg(feature = "std")]
#[allow(missing_docs, unreachable_pub, reason = "the file is written by substrate-wasm-builder")]
mod wasm {
    include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));
}

#[cfg(feature = "std")]
pub use wasm::{WASM_BINARY, WASM_BINARY_BLOATY, WASM_BINARY_PATH};

/// The runtime's Wasm, as a chain keeps it under `:code`: compressed, in release builds.
///
/// # Panics
/// When this crate was built with `SKIP_WASM_BUILD` set.
#[cfg(feature = "std")]
#[must_use]
pub fn wasm_binary() -> &'static [u8] {
    WASM_BINARY.expect(
        "pakit-runtime-mock was built without its Wasm: unset SKIP_WASM_BUILD and build again (see docs/toolchain.md)",
    )
}

/// A block's number.
pub type BlockNumber = u32;
/// Any key type a user of the chain may sign with.
pub type Signature = MultiSignature;
/// An account: the public key, or its hash where that is longer than 32 bytes.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// An account as extrinsics name it.
pub type Address = MultiAddress<AccountId, ()>;
/// An amount of money, in [`PLANCK`]s.
pub type Balance = u128;
/// How many extrinsics an account has signed.
pub type Nonce = u32;
/// The chain's hash.
pub type Hash = sp_core::H256;
/// What hashes blocks and the state.
pub type Hashing = BlakeTwo256;
/// A block's header.
pub type Header = generic::Header<BlockNumber, Hashing>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;
/// An extrinsic as it travels.
pub type UncheckedExtrinsic = generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;
/// What a signer signs.
pub type SignedPayload = generic::SignedPayload<RuntimeCall, TxExtension>;

/// What a transaction carries and is checked for besides its call, in the order it is encoded.
///
/// The order is part of the format of every signed transaction: a change breaks clients and needs a new
/// `transaction_version`.
pub type TxExtension = (
    frame_system::AuthorizeCall<Runtime>,
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckSpecVersion<Runtime>,
    frame_system::CheckTxVersion<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckMortality<Runtime>,
    frame_system::CheckNonce<Runtime>,
    frame_system::CheckWeight<Runtime>,
    pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
    frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
    frame_system::WeightReclaim<Runtime>,
);

/// Orchestrates a block's execution.
pub type Executive =
    frame_executive::Executive<Runtime, Block, frame_system::ChainContext<Runtime>, Runtime, AllPalletsWithSystem>;

/// The smallest amount of money.
pub const PLANCK: Balance = 1;
/// One PAKT, the token wallets show.
pub const UNIT: Balance = 1_000_000_000_000;
/// A thousandth of a [`UNIT`].
pub const MILLI_UNIT: Balance = UNIT / 1_000;
/// A millionth of a [`UNIT`].
pub const MICRO_UNIT: Balance = UNIT / 1_000_000;
/// What an account must hold to exist.
pub const EXISTENTIAL_DEPOSIT: Balance = MILLI_UNIT;
/// How addresses are written: 42 is the generic Substrate prefix.
pub const SS58_PREFIX: u16 = 42;
/// How many blocks' hashes the runtime remembers, and so the longest useful era of a mortal transaction: long enough
/// that a client may be away for hours of 6-second blocks and still know that its transaction is valid or dead.
pub const BLOCK_HASH_COUNT: BlockNumber = 4096;

impl_opaque_keys! {
    /// Session keys: none, since there is no consensus to hold keys for.
    pub struct SessionKeys {}
}

/// Identifies this runtime to nodes and clients.
#[sp_version::runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
    spec_name: Cow::Borrowed("pakit-mock"),
    impl_name: Cow::Borrowed("pakit-mock"),
    authoring_version: 1,
    spec_version: 2,
    impl_version: 1,
    apis: RUNTIME_API_VERSIONS,
    transaction_version: 1,
    system_version: 1,
};

// Here and in no module below: some clients (substrate-interface is one) know a runtime's calls and events by the path
// `crate::RuntimeCall` and `crate::RuntimeEvent`, and decode neither under a longer one.
#[frame_support::runtime]
mod runtime {
    /// The runtime.
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;

    #[runtime::pallet_index(1)]
    pub type Timestamp = pallet_timestamp;

    #[runtime::pallet_index(2)]
    pub type Balances = pallet_balances;

    #[runtime::pallet_index(3)]
    pub type TransactionPayment = pallet_transaction_payment;

    #[runtime::pallet_index(4)]
    pub type Sudo = pallet_sudo;

    #[runtime::pallet_index(10)]
    pub type Pakit = pallet_pakit;

    #[runtime::pallet_index(11)]
    pub type Utility = pallet_utility;

    #[runtime::pallet_index(12)]
    pub type Proxy = pallet_proxy;

    #[runtime::pallet_index(13)]
    pub type Multisig = pallet_multisig;
}

/// The extrinsics that the block's author adds by itself. Here, because the trait that FRAME writes for it is private.
pub(crate) fn create_inherents(data: &InherentData) -> Vec<UncheckedExtrinsic> {
    data.create_extrinsics()
}

/// Whether another author's inherents agree with what this node knows.
pub(crate) fn check_inherents(data: &InherentData, block: &<Block as BlockT>::LazyBlock) -> CheckInherentsResult {
    data.check_extrinsics(block)
}
