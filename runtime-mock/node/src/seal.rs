//! What asks the engine for blocks: transactions as they come, or the clock.

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt, SinkExt, StreamExt,
    channel::{mpsc, oneshot},
};
use sc_consensus_manual_seal::{CreatedBlock, EngineCommand, Error as EngineError};
use sc_transaction_pool_api::TransactionPool;
use tokio::time::{Instant, MissedTickBehavior};

use crate::service::{Hash, Pool};

/// How long a ready transaction may wait whose notification came while the pool had not caught up with the last block.
const RECHECK: Duration = Duration::from_millis(100);
/// Notifications taken off the stream before the next block: all these transactions may be in it.
const NOTIFICATIONS_MAX: usize = 1_024;

/// Makes a block whenever transactions are ready, with all that fit into it; never an empty one. Ends with the node.
pub(crate) async fn on_transactions(pool: Arc<Pool>, mut engine: mpsc::Sender<EngineCommand<Hash>>) {
    let mut imported = pool.import_notification_stream();
    loop {
        if let Ok(None) = tokio::time::timeout(RECHECK, imported.next()).await {
            return;
        }
        for _ in 1..NOTIFICATIONS_MAX {
            if imported.next().now_or_never().flatten().is_none() {
                break;
            }
        }
        while pool.status().ready > 0 {
            match seal(&mut engine, false).await {
                Ok(_) => {}
                // The pool had not yet noticed that the last block took them all, or none of them fits a block.
                Err(SealError::Refused(EngineError::EmptyTransactionPool)) => break,
                Err(SealError::Refused(error)) => {
                    tracing::error!("no block was made: {error}");
                    break;
                }
                Err(SealError::Gone) => return,
            }
        }
    }
}

/// Makes a block each `period`, with transactions or without. Ends with the node.
pub(crate) async fn on_clock(period: Duration, mut engine: mpsc::Sender<EngineCommand<Hash>>) {
    let mut clock = tokio::time::interval_at(Instant::now() + period, period);
    // After a block that took longer than the period, the next comes a period later and not at once.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        match seal(&mut engine, true).await {
            Ok(_) => {}
            Err(SealError::Refused(error)) => tracing::error!("no block was made: {error}"),
            Err(SealError::Gone) => return,
        }
    }
}

/// Why there is no block.
enum SealError {
    /// The engine has ended.
    Gone,
    /// The engine made none.
    Refused(EngineError),
}

async fn seal(
    engine: &mut mpsc::Sender<EngineCommand<Hash>>,
    create_empty: bool,
) -> Result<CreatedBlock<Hash>, SealError> {
    let (sender, receiver) = oneshot::channel();
    let command =
        EngineCommand::SealNewBlock { create_empty, finalize: false, parent_hash: None, sender: Some(sender) };
    engine.send(command).await.map_err(|_closed| SealError::Gone)?;
    receiver.await.map_err(|_dropped| SealError::Gone)?.map_err(SealError::Refused)
}
