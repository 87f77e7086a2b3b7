//! Transactions that the runtime's off-chain worker makes: calls that prove themselves, without a signature, wrapped as a node
//! wraps any other.

use frame_system::offchain::{CreateAuthorizedTransaction, CreateTransaction, CreateTransactionBase};
use sp_runtime::generic::Era;

use crate::{BlockNumber, Runtime, RuntimeCall, System, TxExtension, UncheckedExtrinsic};

/// Blocks for which such a transaction is valid, and after which the same call has the same bytes again: more than the 300 blocks of 6 seconds
/// for which a pool refuses what it found invalid once or had too long.
const ERA_BLOCKS: u64 = 512;
/// Blocks before the present one at which it is born, on a chain that is long enough: a branch that is shorter by fewer has its birth too.
const BORN_BEFORE: BlockNumber = 16;

impl<Call> CreateTransactionBase<Call> for Runtime
where
    RuntimeCall: From<Call>,
{
    type Extrinsic = UncheckedExtrinsic;
    type RuntimeCall = RuntimeCall;
}

impl<Call> CreateTransaction<Call> for Runtime
where
    RuntimeCall: From<Call>,
{
    type Extension = TxExtension;

    fn create_transaction(call: RuntimeCall, extension: TxExtension) -> UncheckedExtrinsic {
        UncheckedExtrinsic::new_transaction(call, extension)
    }
}

impl<Call> CreateAuthorizedTransaction<Call> for Runtime
where
    RuntimeCall: From<Call>,
{
    /// Nobody signs and nobody pays: `AuthorizeCall` lets in what the call's own check lets in.
    ///
    /// Mortal, so that the same call is another transaction after each block. A pool that let one go because it waited for long (full
    /// blocks do that) takes the very same bytes no more for half an hour, and another transaction at once.
    fn create_extension() -> TxExtension {
        let now = System::block_number();
        let birth = now.saturating_sub(BORN_BEFORE.min(now / 2));
        (
            frame_system::AuthorizeCall::new(),
            frame_system::CheckNonZeroSender::new(),
            frame_system::CheckSpecVersion::new(),
            frame_system::CheckTxVersion::new(),
            frame_system::CheckGenesis::new(),
            frame_system::CheckMortality::from(Era::mortal(ERA_BLOCKS, birth.into())),
            frame_system::CheckNonce::from(0),
            frame_system::CheckWeight::new(),
            pallet_transaction_payment::ChargeTransactionPayment::from(0),
            frame_metadata_hash_extension::CheckMetadataHash::new(false),
            frame_system::WeightReclaim::new(),
        )
    }
}
