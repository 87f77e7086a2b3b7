//! The node's parts, put together.

use std::{net::SocketAddr, path::Path, sync::Arc};

use futures::{FutureExt, channel::mpsc};
use pakit_runtime_mock::{Header, RuntimeApi};
use sc_chain_spec::GenesisBlockBuilder;
use sc_client_api::Backend as _;
use sc_consensus::LongestChain;
use sc_consensus_manual_seal::{EngineCommand, ManualSealParams, run_manual_seal};
use sc_executor::WasmExecutor;
use sc_network::{NetworkBackend, NetworkWorker, config::FullNetworkConfiguration, multiaddr::Protocol};
use sc_offchain::{OffchainWorkerOptions, OffchainWorkers};
use sc_service::{
    BuildNetworkParams, Configuration, KeystoreContainer, RpcHandlers, SpawnTasksParams, TaskManager,
    config::ExecutorConfiguration,
};
use sc_transaction_pool::TransactionPoolHandle;
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_blockchain::HeaderBackend as _;
use sp_core::storage::Storage;
use sp_runtime::{OpaqueExtrinsic, generic};

use crate::{
    cli::{FinalizeAfter, Seal},
    error::NodeError,
    finality,
    genesis::Genesis,
    rpc, seal,
};

/// A block as the node sees it: extrinsics are bytes, and what is in them is the Wasm runtime's business.
pub(crate) type Block = generic::Block<Header, OpaqueExtrinsic>;
pub(crate) type Hash = pakit_runtime_mock::Hash;
pub(crate) type Executor = WasmExecutor<sp_io::SubstrateHostFunctions>;
type Backend = sc_service::TFullBackend<Block>;
pub(crate) type Client = sc_service::TFullClient<Block, RuntimeApi, Executor>;
pub(crate) type Pool = TransactionPoolHandle<Block, Client>;

/// Commands to the engine that may wait before their senders do.
const ENGINE_COMMANDS_MAX: usize = 1_024;

/// A node that runs.
pub(crate) struct Node {
    /// Its tasks; to drop them is to stop it.
    pub(crate) tasks: TaskManager,
    /// Where its RPC server listens.
    pub(crate) rpc_address: SocketAddr,
}

/// What the parts of the node share.
struct Parts {
    client: Arc<Client>,
    backend: Arc<Backend>,
    pool: Arc<Pool>,
}

/// Builds the node and starts it. Compiled Wasm is kept in `wasm_cache`, if given, so that the next start is quick.
pub(crate) fn start(
    config: Configuration,
    preset: &str,
    wasm_cache: Option<&Path>,
    seal: Seal,
    finalize_after: FinalizeAfter,
) -> Result<Node, NodeError> {
    let executor = executor(&config.executor, wasm_cache);
    let backend = sc_service::new_db_backend::<Block>(config.db_config()).map_err(sc_service::Error::from)?;
    let genesis_storage = if backend.blockchain().info().finalized_state.is_none() {
        Genesis::new(&executor, pakit_runtime_mock::wasm_binary(), preset).build()?
    } else {
        // There is a chain already, and nobody asks for its beginning.
        Storage::default()
    };
    let genesis = GenesisBlockBuilder::new_with_storage(genesis_storage, true, backend.clone(), executor.clone())
        .map_err(sc_service::Error::from)?;
    let (client, backend, keystore, mut tasks) =
        sc_service::new_full_parts_with_genesis_builder::<Block, RuntimeApi, Executor, _>(
            &config, None, executor, backend, genesis, false,
        )?;
    let client = Arc::new(client);
    let pool = sc_transaction_pool::Builder::new(tasks.spawn_essential_handle(), client.clone(), true.into())
        .with_options(config.transaction_pool.clone())
        .build();
    let parts = Parts { client, backend, pool: Arc::new(pool) };

    let (engine, commands) = mpsc::channel(ENGINE_COMMANDS_MAX);
    let rpc = serve(config, &parts, &keystore, &mut tasks, engine.clone())?;
    author(&parts, &tasks, commands);
    match seal {
        Seal::Manual => {}
        Seal::Instant => {
            let task = seal::on_transactions(parts.pool.clone(), engine);
            tasks.spawn_essential_handle().spawn("instant-seal", None, task);
        }
        Seal::Interval(period) => {
            tasks.spawn_essential_handle().spawn("interval-seal", None, seal::on_clock(period, engine));
        }
    }
    if let FinalizeAfter::Blocks(depth) = finalize_after {
        let task = finality::behind_best(parts.client.clone(), depth);
        tasks.spawn_essential_handle().spawn_blocking("finality", None, task);
    }

    let rpc_address = rpc_address(&rpc).ok_or(NodeError::NoRpcAddress)?;
    // The in-memory handlers hold parts of the node that must live as long as its tasks.
    tasks.keep_alive(rpc);
    Ok(Node { tasks, rpc_address })
}

fn executor(config: &ExecutorConfiguration, wasm_cache: Option<&Path>) -> Executor {
    let builder = Executor::builder()
        .with_execution_method(config.wasm_method)
        .with_max_runtime_instances(config.max_runtime_instances)
        .with_runtime_cache_size(config.runtime_cache_size);
    match wasm_cache {
        Some(folder) => builder.with_cache_path(folder).build(),
        None => builder.build(),
    }
}

/// Starts the client's own tasks, the RPC server and the offchain workers.
fn serve(
    config: Configuration,
    parts: &Parts,
    keystore: &KeystoreContainer,
    tasks: &mut TaskManager,
    engine: mpsc::Sender<EngineCommand<Hash>>,
) -> Result<RpcHandlers, NodeError> {
    let Parts { client, backend, pool } = parts;
    let (network, system_rpc_tx, tx_handler_controller, sync_service, _bitswap) =
        sc_service::build_network::<_, NetworkWorker<Block, Hash>, _, _, _>(BuildNetworkParams {
            config: &config,
            net_config: FullNetworkConfiguration::new(&config.network, None),
            client: client.clone(),
            transaction_pool: pool.clone(),
            spawn_handle: tasks.spawn_handle(),
            spawn_essential_handle: tasks.spawn_essential_handle(),
            import_queue: sc_consensus_manual_seal::import_queue(
                Box::new(client.clone()),
                &tasks.spawn_essential_handle(),
                None,
            ),
            block_announce_validator_builder: None,
            warp_sync_config: None,
            block_relay: None,
            metrics: NetworkWorker::<Block, Hash>::register_notification_metrics(None),
            gap_sync_body_policy: None,
        })?;

    let workers = OffchainWorkers::new(OffchainWorkerOptions {
        runtime_api_provider: client.clone(),
        keystore: Some(keystore.keystore()),
        offchain_db: backend.offchain_storage(),
        transaction_pool: Some(OffchainTransactionPoolFactory::new(pool.clone())),
        network_provider: Arc::new(network.clone()),
        is_validator: true,
        // For challenges: the runtime's worker asks companions on this machine, if there are any, and nobody else.
        enable_http_requests: true,
        custom_extensions: |_| Vec::new(),
    })
    .map_err(sc_service::Error::from)?;
    let work = workers.run(client.clone(), tasks.spawn_handle()).boxed();
    tasks.spawn_handle().spawn("offchain-workers", Some("offchain-worker"), work);

    #[allow(clippy::result_large_err, reason = "sc-service demands this error of the closure")]
    let extensions = {
        let (client, pool) = (client.clone(), pool.clone());
        Box::new(move |_| {
            rpc::extensions(client.clone(), pool.clone(), engine.clone())
                .map_err(|error| sc_service::Error::Application(error.into()))
        })
    };
    Ok(sc_service::spawn_tasks(SpawnTasksParams {
        config,
        client: client.clone(),
        backend: backend.clone(),
        task_manager: tasks,
        keystore: keystore.keystore(),
        transaction_pool: pool.clone(),
        rpc_builder: extensions,
        network,
        system_rpc_tx,
        tx_handler_controller,
        sync_service,
        telemetry: None,
        tracing_execute_block: None,
    })?)
}

/// Starts the engine, which makes and finalizes blocks as it is commanded.
fn author(parts: &Parts, tasks: &TaskManager, commands: mpsc::Receiver<EngineCommand<Hash>>) {
    let Parts { client, backend, pool } = parts;
    let env = sc_basic_authorship::ProposerFactory::new(tasks.spawn_handle(), client.clone(), pool.clone(), None, None);
    let engine = run_manual_seal(ManualSealParams {
        block_import: client.clone(),
        env,
        client: client.clone(),
        pool: pool.clone(),
        commands_stream: commands,
        select_chain: LongestChain::new(backend.clone()),
        consensus_data_provider: None,
        create_inherent_data_providers: |_, ()| async { Ok(sp_timestamp::InherentDataProvider::from_system_time()) },
    });
    tasks.spawn_essential_handle().spawn_blocking("manual-seal", Some("block-authoring"), engine);
}

/// The address that the server got, which is not the one asked for where that was port 0.
fn rpc_address(rpc: &RpcHandlers) -> Option<SocketAddr> {
    rpc.listen_addresses().iter().find_map(|address| {
        let mut parts = address.iter();
        match (parts.next(), parts.next()) {
            (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => Some(SocketAddr::from((ip, port))),
            _ => None,
        }
    })
}
