//! What the node answers beyond the calls that every client has.

use std::sync::Arc;

use futures::channel::mpsc;
use jsonrpsee::{RpcModule, core::RegisterMethodError};
use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
use sc_consensus_manual_seal::{
    EngineCommand,
    rpc::{ManualSeal, ManualSealApiServer},
};
use sc_rpc::dev::{Dev, DevApiServer};
use substrate_frame_rpc_system::{System, SystemApiServer};

use crate::service::{Client, Hash, Pool};

/// `system_accountNextIndex`, `payment_*`, `dev_*` and `engine_*`.
pub(crate) fn extensions(
    client: Arc<Client>,
    pool: Arc<Pool>,
    engine: mpsc::Sender<EngineCommand<Hash>>,
) -> Result<RpcModule<()>, RegisterMethodError> {
    let mut module = RpcModule::new(());
    module.merge(System::new(client.clone(), pool).into_rpc())?;
    module.merge(TransactionPayment::new(client.clone()).into_rpc())?;
    module.merge(Dev::new(client).into_rpc())?;
    module.merge(ManualSeal::new(engine).into_rpc())?;
    Ok(module)
}
