//! `pakit-dev-node`: a chain in one process, for development and tests only.
//!
//! It runs the Wasm of [`pakit_runtime_mock`] in a stock client (`sc-service`) with the RPC of a stock node, but it has no
//! consensus and no peers: it makes blocks when it is told to, and finalizes them by its own word. What holds on it about
//! a pallet, a runtime API or a client's handling of forks and finality holds elsewhere; what holds about trust does not.

mod branch;
mod cli;
mod config;
mod database;
mod error;
mod export;
mod finality;
mod genesis;
mod rpc;
mod seal;
mod service;

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command},
    error::NodeError,
};

/// How long tasks may take to notice that the node is going down.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pakit-dev-node: {}", error::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), NodeError> {
    let filter = EnvFilter::try_new(&cli.log).map_err(NodeError::LogFilter)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    if let Some(Command::ExportChainSpec(what)) = &cli.command {
        return export::chain_spec(what);
    }
    let folder = Folder::open(cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(NodeError::Runtime)?;
    let result = runtime.block_on(serve(cli, folder.path()));
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    result
}

/// Starts the node, says where it listens, and returns when it was told to stop or could not go on.
async fn serve(cli: &Cli, base_path: &Path) -> Result<(), NodeError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(NodeError::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(NodeError::Runtime)?;

    let config = config::configuration(cli, base_path, tokio::runtime::Handle::current())?;
    let mut node = service::start(config, &cli.preset, wasm_cache(cli).as_deref(), cli.seal, cli.finalize_after)?;
    announce(node.rpc_address).map_err(NodeError::Announce)?;

    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        ended = node.tasks.future() => ended.map_err(NodeError::from),
    }
}

/// Where compiled Wasm is kept: beside the chain, unless the user has another place for it.
fn wasm_cache(cli: &Cli) -> Option<PathBuf> {
    let beside_chain = || cli.place.base_path.as_ref().map(|path| path.join("wasm-cache"));
    let folder = cli.wasm_cache.clone().or_else(beside_chain)?;
    // Wasmtime takes only absolute ones.
    std::path::absolute(folder).ok()
}

/// The one line on standard output, which scripts and tests wait for.
fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "pakit-dev-node listening on ws://{address}")?;
    out.flush()
}

/// Where the chain is kept.
enum Folder {
    /// Gone with the process.
    Temporary(tempfile::TempDir),
    /// The user's.
    Given(PathBuf),
}

impl Folder {
    fn open(cli: &Cli) -> Result<Self, NodeError> {
        match &cli.place.base_path {
            Some(path) => {
                std::fs::create_dir_all(path).map_err(|source| NodeError::BasePath { path: path.clone(), source })?;
                Ok(Self::Given(path.clone()))
            }
            None => {
                let folder = tempfile::Builder::new().prefix("pakit-dev-node-").tempdir();
                Ok(Self::Temporary(folder.map_err(NodeError::TemporaryFolder)?))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}
