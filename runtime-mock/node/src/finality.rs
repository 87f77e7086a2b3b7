//! Finality by this node's own word: the block a fixed number below the best one.

use std::sync::Arc;

use futures::StreamExt;
use sc_client_api::{BlockchainEvents, Finalizer};
use sp_blockchain::{HeaderBackend, Result};

use crate::service::Client;

/// Keeps the finalized block `depth` below the best one as blocks come. Ends with the node.
pub(crate) async fn behind_best(client: Arc<Client>, depth: u32) {
    let mut imported = client.import_notification_stream();
    // Blocks that were made before a restart are owed their finality too.
    report(advance(&client, depth));
    while let Some(block) = imported.next().await {
        if block.is_new_best {
            report(advance(&client, depth));
        }
    }
}

fn advance(client: &Client, depth: u32) -> Result<()> {
    let chain = client.info();
    let Some(target) = chain.best_number.checked_sub(depth).filter(|target| *target > chain.finalized_number) else {
        return Ok(());
    };
    match client.hash(target)? {
        Some(hash) => client.finalize_block(hash, None, true),
        // The best chain changed between the two questions: its import brings us here again.
        None => Ok(()),
    }
}

fn report(result: Result<()>) {
    if let Err(error) = result {
        tracing::error!("no block was finalized: {error}");
    }
}
