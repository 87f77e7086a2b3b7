//! The runtime's pallets, and what FRAME makes of them: the types of its calls, events, errors, origins and hold reasons.

#![allow(missing_docs, reason = "the macro writes public items without documentation")]

use alloc::vec::Vec;

use sp_inherents::{CheckInherentsResult, InherentData};
use sp_runtime::traits::Block as BlockT;

use crate::{Block, UncheckedExtrinsic};

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
}

/// The extrinsics that the block's author adds by itself. Here, because the trait that FRAME writes for it is private.
pub(crate) fn create_inherents(data: &InherentData) -> Vec<UncheckedExtrinsic> {
    data.create_extrinsics()
}

/// Whether another author's inherents agree with what this node knows.
pub(crate) fn check_inherents(data: &InherentData, block: &<Block as BlockT>::LazyBlock) -> CheckInherentsResult {
    data.check_extrinsics(block)
}
