//! The off-chain worker: a node that answers challenges by itself, with the help of the archive's companion.
//!
//! | module | tells |
//! |---|---|
//! | `companions` | which DAGs the node's operator wants to be answered for, and where their companions listen |
//! | `ask` | how a companion is asked, over HTTP on the loopback address |
//! | `dag` | what is done for one DAG after a block |
//! | `notes` | what a node remembers between blocks, in its own storage |
//!
//! A runtime opts in with [`Config::OffchainWorker`]; a node does nothing until its operator names a companion in its local
//! storage, and the chain believes nobody because of it: an answer that the worker sends proves itself like any other.
//! docs/offchain-worker.md tells the whole.

mod ask;
pub(crate) mod companions;
pub(crate) mod dag;
mod notes;

pub use ask::AskError;
pub use companions::{COMPANIONS_BYTES_MAX, COMPANIONS_KEY, COMPANIONS_MAX, CompanionsError};
pub use notes::{Behind, behind_key};

use crate::{Call, Config};
use alloc::vec::Vec;
use companions::Companion;
use core::marker::PhantomData;
use dag::Failure;
use frame_system::{offchain::CreateAuthorizedTransaction, pallet_prelude::BlockNumberFor};
use pakit_primitives::chain::DagId;
use sp_runtime::{
    SaturatedConversion,
    offchain::{
        Duration,
        storage_lock::{StorageLock, Time},
    },
};

/// Under what the worker logs.
pub const LOG_TARGET: &str = "pakit::worker";

/// After how long no further DAG is taken up after a block, and how long one may take: a companion reads the whole of a
/// content for an answer.
const TIME_MAX: Duration = Duration::from_millis(20_000);
/// After how long another worker takes over a DAG. Longer than one may take, so that it happens to one that is dead alone.
const LOCK_MAX: Duration = Duration::from_millis(30_000);

/// What a node does after each block, beside the chain.
pub trait OffchainWorker<BlockNumber> {
    /// The node has imported block `now` as its best one. Runs in its own thread, beside others of it.
    fn run(now: BlockNumber);
}

/// Nothing.
impl<BlockNumber> OffchainWorker<BlockNumber> for () {
    fn run(_: BlockNumber) {}
}

/// Answers the open challenges of the DAGs that the node's operator named, and tells when an archive's head is not anchored.
///
/// Needs of a runtime that it can wrap a call into a transaction with its extensions,
/// [`CreateAuthorizedTransaction`]; `pakit-runtime-mock` shows how.
pub struct AnswerChallenges<T>(PhantomData<T>);

impl<T: Config + CreateAuthorizedTransaction<Call<T>>> OffchainWorker<BlockNumberFor<T>> for AnswerChallenges<T> {
    fn run(now: BlockNumberFor<T>) {
        let companions = match companions::named() {
            Ok(companions) => companions,
            Err(error) => {
                return log::error!(target: LOG_TARGET, "no challenge is answered: the companions' list is refused: {error}");
            }
        };
        Self::serve_all(now, companions, |dag, failure| {
            log::warn!(target: LOG_TARGET, "DAG {dag}: {failure}");
        });
    }
}

impl<T: Config + CreateAuthorizedTransaction<Call<T>>> AnswerChallenges<T> {
    /// One DAG after the other, beginning with another one after each block, so that a slow companion does not keep the same
    /// others waiting. What another worker is at is left to it.
    pub(crate) fn serve_all(
        now: BlockNumberFor<T>,
        mut companions: Vec<Companion>,
        mut tell: impl FnMut(DagId, Failure),
    ) {
        if companions.is_empty() {
            return;
        }
        let begin = sp_io::offchain::timestamp();
        let turn = now.saturated_into::<u64>() % (companions.len() as u64);
        companions.rotate_left(turn as usize);
        for companion in companions {
            let now_ms = sp_io::offchain::timestamp();
            if now_ms >= begin.add(TIME_MAX) {
                return;
            }
            let key = notes::key("lock", companion.dag);
            let mut lock = StorageLock::<Time>::with_deadline(&key, LOCK_MAX);
            let Ok(_guard) = lock.try_lock() else {
                log::debug!(target: LOG_TARGET, "DAG {}: another worker is at it", companion.dag);
                continue;
            };
            dag::serve::<T>(now, &companion, now_ms.add(TIME_MAX), |failure| tell(companion.dag, failure));
        }
    }
}
