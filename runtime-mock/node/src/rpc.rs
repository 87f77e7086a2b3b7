//! What the node answers beyond the calls that every client has.

use std::sync::Arc;

use futures::channel::mpsc;
use jsonrpsee::{
    RpcModule,
    core::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
use sc_client_api::Finalizer;
use sc_consensus_manual_seal::{
    EngineCommand, Error as EngineError,
    rpc::{ManualSeal, ManualSealApiServer},
};
use sc_rpc::dev::{Dev, DevApiServer};
use substrate_frame_rpc_system::{System, SystemApiServer};

use crate::{
    branch,
    service::{Client, Hash, Pool},
};

const FINALIZE: &str = "engine_finalizeBlock";
const CREATE_BRANCH: &str = "engine_createBranch";

/// `system_accountNextIndex`, `payment_*`, `dev_*` and `engine_*`, those of [`branch`] among them.
pub(crate) fn extensions(
    client: Arc<Client>,
    pool: Arc<Pool>,
    engine: mpsc::Sender<EngineCommand<Hash>>,
) -> Result<RpcModule<()>, RegisterMethodError> {
    let mut module = RpcModule::new(());
    module.merge(System::new(client.clone(), pool).into_rpc())?;
    module.merge(TransactionPayment::new(client.clone()).into_rpc())?;
    module.merge(Dev::new(client.clone()).into_rpc())?;
    module.merge(ManualSeal::new(engine).into_rpc())?;
    // The engine's own answers `true` whatever came of it.
    module.remove_method(FINALIZE);
    let finalizer = client.clone();
    module.register_blocking_method(FINALIZE, move |parameters, _, _| finalize(&parameters, &finalizer))?;
    module.register_blocking_method(CREATE_BRANCH, move |parameters, _, _| {
        branch::create(&parameters, &client).map_err(ErrorObjectOwned::from)
    })?;
    Ok(module)
}

/// `engine_finalizeBlock(HASH)`: finalizes the block and all below it. If it is on another branch than the best block, it
/// becomes the best block itself. A justification, which the engine's own takes too, proves nothing here and is dropped.
fn finalize(parameters: &Params<'_>, client: &Arc<Client>) -> Result<bool, ErrorObjectOwned> {
    let hash = parameters.sequence().next::<Hash>()?;
    client.finalize_block(hash, None, true).map(|()| true).map_err(|error| EngineError::from(error).into())
}
