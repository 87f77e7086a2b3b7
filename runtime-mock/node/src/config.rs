//! The client's configuration: a node that keeps everything, talks to nobody, and answers on 127.0.0.1.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use pakit_runtime_mock::{SS58_PREFIX, genesis_presets::PRESETS, omni::PARACHAIN_ID};
use sc_chain_spec::{ChainSpecExtension, ChainType, Properties};
use sc_network::config::{NetworkConfiguration, TransportConfig};
use sc_service::{
    BasePath, BlocksPruning, Configuration, PruningMode, Role, RpcMethods, TracingReceiver, TransactionPoolOptions,
    config::{
        ExecutorConfiguration, KeystoreConfig, OffchainWorkerConfig, RpcBatchRequestConfig, RpcConfiguration,
        RpcEndpoint,
    },
};
use sc_transaction_pool::TransactionPoolType;
use serde::{Deserialize, Serialize};

use crate::{cli::Cli, database, error::NodeError};

/// The chain's specification, in JSON or built from a preset.
type ChainSpec = sc_service::GenericChainSpec<Extensions>;

/// What a stock node wants to read in a specification besides what it says of every chain.
#[derive(Debug, Clone, Serialize, Deserialize, ChainSpecExtension)]
pub(crate) struct Extensions {
    /// The relay chain. There is none, and only a node in its development mode goes on without it.
    relay_chain: String,
    /// The parachain's number, for nodes that do not ask the runtime for it.
    para_id: u32,
}

const NAME: &str = "pakit-dev-node";
/// Ready transactions the pool holds, in number and in bytes.
const POOL_TRANSACTIONS_MAX: usize = 8_192;
const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;
const TRIE_CACHE_BYTES: usize = 64 * 1024 * 1024;
const RPC_CONNECTIONS_MAX: u32 = 256;
const RPC_PAYLOAD_MB_MAX: u32 = 16;
const RPC_BATCH_MAX: u32 = 1_024;
const RPC_SUBSCRIPTIONS_MAX: u32 = 1_024;
const RPC_MESSAGES_BUFFERED_MAX: u32 = 1_024;
/// Wasm instances kept for reuse, one for each call that may run at a time.
const RUNTIME_INSTANCES_MAX: usize = 8;
/// Runtime versions kept compiled: the one in force and the one before it.
const RUNTIME_VERSIONS_CACHED: u8 = 2;

/// Web pages that may talk to the node. Programs other than browsers are not asked where they come from.
const ORIGINS: [&str; 5] = [
    "http://localhost:*",
    "http://127.0.0.1:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://polkadot.js.org",
];

/// Opens the database below `base_path` and puts the configuration together.
pub(crate) fn configuration(
    cli: &Cli,
    base_path: &Path,
    tokio_handle: tokio::runtime::Handle,
) -> Result<Configuration, NodeError> {
    let chain_spec = chain_spec(&cli.preset);
    let base_path = BasePath::new(base_path);
    let data_path = base_path.config_dir(sc_service::ChainSpec::id(&chain_spec));
    let database_path = data_path.join("paritydb");
    std::fs::create_dir_all(&database_path)
        .map_err(|source| NodeError::BasePath { path: database_path.clone(), source })?;
    let database =
        database::source(&database_path).map_err(|source| NodeError::Database { path: database_path, source })?;

    Ok(Configuration {
        impl_name: NAME.into(),
        impl_version: env!("CARGO_PKG_VERSION").into(),
        role: Role::Authority,
        tokio_handle,
        transaction_pool: TransactionPoolOptions::new_with_params(
            POOL_TRANSACTIONS_MAX,
            POOL_BYTES_MAX,
            None,
            TransactionPoolType::ForkAware,
            // A transaction that was dropped may be sent again at once.
            true,
            false,
        ),
        network: network(),
        keystore: KeystoreConfig::InMemory,
        database,
        trie_cache_maximum_size: Some(TRIE_CACHE_BYTES),
        warm_up_trie_cache: None,
        state_pruning: Some(PruningMode::ArchiveAll),
        blocks_pruning: BlocksPruning::KeepAll,
        chain_spec: Box::new(chain_spec),
        executor: ExecutorConfiguration {
            max_runtime_instances: RUNTIME_INSTANCES_MAX,
            runtime_cache_size: RUNTIME_VERSIONS_CACHED,
            ..ExecutorConfiguration::default()
        },
        wasm_runtime_overrides: None,
        rpc: rpc(SocketAddr::from((Ipv4Addr::LOCALHOST, cli.rpc_port))),
        prometheus_config: None,
        telemetry_endpoints: None,
        offchain_worker: OffchainWorkerConfig { enabled: true, indexing_enabled: false },
        force_authoring: true,
        disable_grandpa: true,
        dev_key_seed: None,
        tracing_targets: None,
        tracing_receiver: TracingReceiver::Log,
        announce_block: false,
        data_path,
        base_path,
    })
}

/// The specification of the chain with that genesis preset. Each preset is a chain of its own, with its own folder.
pub(crate) fn chain_spec(preset: &str) -> ChainSpec {
    let chain_type = if preset == PRESETS[0] { ChainType::Development } else { ChainType::Local };
    let properties = Properties::from_iter([
        ("tokenSymbol".to_owned(), "PAKT".into()),
        ("tokenDecimals".to_owned(), 12.into()),
        ("ss58Format".to_owned(), SS58_PREFIX.into()),
    ]);
    let extensions = Extensions { relay_chain: "none".into(), para_id: PARACHAIN_ID };
    ChainSpec::builder(pakit_runtime_mock::wasm_binary(), extensions)
        .with_name(&format!("Pakit {preset}"))
        .with_id(&format!("pakit_{preset}"))
        .with_chain_type(chain_type)
        .with_protocol_id("pakit")
        .with_properties(properties)
        .with_genesis_config_preset_name(preset)
        .build()
}

/// A network with nobody on it: the client's parts want one, but no socket is opened and nobody is called.
fn network() -> NetworkConfiguration {
    let mut network = NetworkConfiguration::new(NAME, env!("CARGO_PKG_VERSION"), Default::default(), None);
    network.transport = TransportConfig::MemoryOnly;
    network.network_backend = sc_network::config::NetworkBackendType::Libp2p;
    network.enable_dht_random_walk = false;
    network
}

fn rpc(listen_addr: SocketAddr) -> RpcConfiguration {
    let cors = Some(ORIGINS.map(str::to_owned).to_vec());
    let batch_config = RpcBatchRequestConfig::Limit(RPC_BATCH_MAX);
    let endpoint = RpcEndpoint {
        listen_addr,
        batch_config,
        max_connections: RPC_CONNECTIONS_MAX,
        max_payload_in_mb: RPC_PAYLOAD_MB_MAX,
        max_payload_out_mb: RPC_PAYLOAD_MB_MAX,
        max_subscriptions_per_connection: RPC_SUBSCRIPTIONS_MAX,
        max_buffer_capacity_per_connection: RPC_MESSAGES_BUFFERED_MAX,
        rate_limit: None,
        rate_limit_trust_proxy_headers: false,
        rate_limit_whitelisted_ips: Vec::new(),
        cors: cors.clone(),
        // It listens on this machine only, and tests need the calls that make and finalize blocks.
        rpc_methods: RpcMethods::Unsafe,
        is_optional: false,
        // Another port than the one asked for would leave a client talking to a stranger's node.
        retry_random_port: false,
    };
    RpcConfiguration {
        addr: Some(vec![endpoint]),
        max_connections: RPC_CONNECTIONS_MAX,
        cors,
        methods: RpcMethods::Unsafe,
        max_request_size: RPC_PAYLOAD_MB_MAX,
        max_response_size: RPC_PAYLOAD_MB_MAX,
        id_provider: None,
        max_subs_per_conn: RPC_SUBSCRIPTIONS_MAX,
        port: listen_addr.port(),
        message_buffer_capacity: RPC_MESSAGES_BUFFERED_MAX,
        batch_config,
        rate_limit: None,
        rate_limit_whitelisted_ips: Vec::new(),
        rate_limit_trust_proxy_headers: false,
        request_logger_limit: 1_024,
    }
}
