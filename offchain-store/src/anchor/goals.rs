//! What a run is for: a DAG, an anchored head, a record, a declared removal, or only to know what became of what was signed.

mod anchor_head;
mod create_dag;
mod declare_removed;
mod record_block;

pub(super) use self::{
    anchor_head::AnchorHead, create_dag::CreateDag, declare_removed::DeclareRemoved, record_block::RecordBlock,
};

use super::{
    client::{CallFailure, ChainClient, ChainDag, Connect, Ends},
    error::AnchorError,
    key::SigningKey,
    plan::allocate_nonce,
    prepare::{self, Order},
    progress::AnchorProgress,
    worker::{AnchorWorker, ProgressSink},
};
use crate::sqlite::outbox::rows::{Binding, OutboxRow, Purpose, RowState};
use pakit_primitives::chain::DagId;
use std::{collections::BTreeSet, future::Future};

/// The chain and the live rows as they were found together, all rows settled.
pub(super) struct View<'a, C> {
    pub(super) client: &'a C,
    pub(super) ends: &'a Ends,
    pub(super) rows: Vec<OutboxRow>,
}

/// What a run is for.
pub(super) trait Goal<C: Connect> {
    /// What the caller gets when it is reached.
    type Receipt;

    /// For messages that say that it was not reached.
    fn name(&self) -> &'static str;

    /// Whether it is about the DAG that the repository is bound to.
    fn needs_binding(&self) -> bool;

    /// Whether an extrinsic for this purpose that failed must be told before anything is signed in its place.
    fn concerns(&self, purpose: &Purpose) -> bool;

    /// Is it reached? If not, what has to be signed for it is.
    fn pursue(
        &mut self,
        worker: &mut AnchorWorker<C>,
        view: &View<'_, C::Client>,
        progress: ProgressSink<'_>,
    ) -> impl Future<Output = Result<Option<Self::Receipt>, AnchorError>> + Send;
}

/// Nothing is signed. Reached once every row was looked at.
pub(super) struct Reconcile;

impl<C: Connect> Goal<C> for Reconcile {
    type Receipt = ();

    fn name(&self) -> &'static str {
        "settled"
    }

    fn needs_binding(&self) -> bool {
        false
    }

    fn concerns(&self, _purpose: &Purpose) -> bool {
        false
    }

    async fn pursue(
        &mut self,
        _worker: &mut AnchorWorker<C>,
        _view: &View<'_, C::Client>,
        _progress: ProgressSink<'_>,
    ) -> Result<Option<()>, AnchorError> {
        Ok(Some(()))
    }
}

/// What the goals have in common.
impl<C: Connect> AnchorWorker<C> {
    /// The DAG as of the best block; refused where it is not this log's.
    async fn dag_of(&self, view: &View<'_, C::Client>, binding: &Binding) -> Result<ChainDag, AnchorError> {
        let dag = binding.dag;
        let info = view.client.dag(dag, view.ends.best).await?.ok_or(AnchorError::DagUnknown(dag))?;
        let expected = prepare::genesis(self.backend.as_ref())?.block_hash();
        if info.genesis == expected {
            Ok(info)
        } else {
            Err(AnchorError::WrongGenesis { dag, expected, found: info.genesis })
        }
    }

    /// The next nonce of a key, with those that are signed and not yet in a block.
    async fn next_nonce(&self, view: &View<'_, C::Client>, key: &SigningKey) -> Result<u64, AnchorError> {
        let account = key.account();
        let in_block = view.client.account(account, view.ends.best).await?.nonce;
        let in_pool = view.client.next_nonce(account).await?;
        let live: BTreeSet<u64> =
            view.rows.iter().filter(|row| row.signed.signer == account).map(|row| row.signed.nonce).collect();
        Ok(allocate_nonce(in_block, in_pool, &live))
    }

    /// Signs into the outbox. What is in it may be sent.
    async fn sign(
        &mut self,
        view: &View<'_, C::Client>,
        key: &SigningKey,
        order: Order,
        progress: ProgressSink<'_>,
    ) -> Result<OutboxRow, AnchorError> {
        if view.rows.len() >= self.config.in_flight_max {
            return Err(AnchorError::TooManyInFlight(view.rows.len()));
        }
        let row = prepare::prepare(view.client, view.ends, &self.outbox, &self.config, key, order).await?;
        progress(AnchorProgress::row(&row, RowState::Prepared, None));
        Ok(row)
    }
}

/// Fails where a row's call failed in a block, even one that may still be left behind.
pub(super) fn check_call(row: &OutboxRow) -> Result<(), AnchorError> {
    let (Some(error), Some(placement)) = (&row.dispatch_error, row.placement) else { return Ok(()) };
    let (name, explanation) = error.split_once(": ").unwrap_or((error, ""));
    Err(AnchorError::CallFailed {
        call: row.purpose.call_name(),
        block_number: placement.block_number,
        failure: CallFailure { name: name.to_owned(), explanation: explanation.to_owned() },
    })
}

fn check_may_anchor(dag: DagId, info: &ChainDag, key: &SigningKey) -> Result<(), AnchorError> {
    let account = key.account();
    if info.retired {
        return Err(AnchorError::Retired(dag));
    }
    if info.owner != account && !info.operators.contains(&account) {
        return Err(AnchorError::NotOwnerNorOperator { account, dag, owner: info.owner });
    }
    Ok(())
}
