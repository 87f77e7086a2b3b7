//! Anchoring a head of the log.

use super::{Goal, View, check_call, check_may_anchor};
use crate::{
    anchor::{
        client::{ChainClient, ChainDag, Connect},
        error::AnchorError,
        key::SigningKey,
        plan::{AnchorPlan, PendingAnchor, plan_anchor},
        prepare::{Order, anchor_call, check_extends},
        progress::{AnchorReceipt, Until},
        worker::{AnchorWorker, ProgressSink},
    },
    sqlite::outbox::rows::{Binding, Purpose, RowState},
};
use pakit_primitives::{Head, chain::DagId};

/// A head of the log, anchored.
pub(in crate::anchor) struct AnchorHead<'k> {
    pub(in crate::anchor) key: &'k SigningKey,
    pub(in crate::anchor) target: Head,
    pub(in crate::anchor) until: Until,
    pub(in crate::anchor) is_first_look: bool,
}

impl<C: Connect> Goal<C> for AnchorHead<'_> {
    type Receipt = AnchorReceipt;

    fn name(&self) -> &'static str {
        match self.until {
            Until::InBlock => "anchored",
            Until::Finalized => "anchored and finalized",
        }
    }

    fn needs_binding(&self) -> bool {
        true
    }

    fn concerns(&self, purpose: &Purpose) -> bool {
        matches!(purpose, Purpose::Anchor { .. })
    }

    async fn pursue(
        &mut self,
        worker: &mut AnchorWorker<C>,
        view: &View<'_, C::Client>,
        progress: ProgressSink<'_>,
    ) -> Result<Option<AnchorReceipt>, AnchorError> {
        let was_anchored = std::mem::take(&mut self.is_first_look);
        let (key, target) = (self.key, self.target);
        let binding = worker.outbox.current_binding()?.ok_or(AnchorError::NotBound)?;
        let dag = binding.dag;
        let info = worker.dag_of(view, &binding).await?;
        check_extends(worker.backend.as_ref(), dag, info.latest)?;
        let is_final = worker.note_finalized(view, &binding).await?.size >= target.size;
        let is_in_block = info.latest.size >= target.size;
        if is_final || (is_in_block && self.until == Until::InBlock) {
            return worker.anchor_receipt(view, &binding, target, is_final, was_anchored).await.map(Some);
        }
        for row in view.rows.iter().filter(|row| row.purpose.dag() == Some(dag) && row.purpose.head() == target) {
            check_call(row)?;
        }
        if is_in_block {
            return Ok(None);
        }
        check_may_anchor(dag, &info, key)?;
        let plan = worker.plan(view, key, dag, &info, target).await?;
        worker.carry_out(view, key, dag, plan, progress).await?;
        Ok(None)
    }
}

impl<C: Connect> AnchorWorker<C> {
    /// The DAG's latest head in a finalized block, also noted for those who ask while there is no chain.
    async fn note_finalized(&self, view: &View<'_, C::Client>, binding: &Binding) -> Result<Head, AnchorError> {
        let dag = binding.dag;
        let info = view.client.dag(dag, view.ends.finalized).await?.ok_or(AnchorError::DagUnknown(dag))?;
        let url = &view.client.identity().url;
        if info.latest != binding.seen || *url != binding.url {
            self.outbox.note_seen(binding.id, url, info.latest)?;
        }
        Ok(info.latest)
    }

    /// What to sign next, going by what is signed and in no block.
    pub(super) async fn plan(
        &self,
        view: &View<'_, C::Client>,
        key: &SigningKey,
        dag: DagId,
        info: &ChainDag,
        target: Head,
    ) -> Result<AnchorPlan, AnchorError> {
        let mut pending = Vec::new();
        let mut account_nonce = 0;
        for row in &view.rows {
            let Purpose::Anchor { dag: its_dag, head, base_size } = row.purpose else { continue };
            if its_dag != dag {
                continue;
            }
            if row.state == RowState::InBlock {
                if head.size > info.latest.size && row.dispatch_error.is_none() {
                    // Its block fell out of the best chain within this look: the next one sees it there, or nowhere.
                    return Ok(AnchorPlan::Wait);
                }
                continue;
            }
            if row.signed.signer != key.account() {
                // Another key's nonces are in no order with this one's: its anchors are settled first.
                return Ok(AnchorPlan::Wait);
            }
            if pending.is_empty() {
                account_nonce = view.client.account(row.signed.signer, view.ends.best).await?.nonce;
            }
            pending.push(PendingAnchor { head, base_size, nonce: row.signed.nonce });
        }
        Ok(plan_anchor(info.latest, account_nonce, &pending, target))
    }

    /// Signs what was planned, and sends it.
    pub(super) async fn carry_out(
        &mut self,
        view: &View<'_, C::Client>,
        key: &SigningKey,
        dag: DagId,
        plan: AnchorPlan,
        progress: ProgressSink<'_>,
    ) -> Result<(), AnchorError> {
        let (AnchorPlan::Extend { base, size, .. } | AnchorPlan::Restore { base, size, .. }) = plan else {
            return Ok(());
        };
        let nonce = self.next_nonce(view, key).await?;
        if !plan.fits_nonce(nonce) {
            return Ok(());
        }
        let (call, purpose) = anchor_call(self.backend.as_ref(), dag, base, size)?;
        let row = self.sign(view, key, Order { call, purpose, nonce, deposit: None }, progress).await?;
        self.send(view.client, view.ends, row, progress).await
    }

    async fn anchor_receipt(
        &self,
        view: &View<'_, C::Client>,
        binding: &Binding,
        target: Head,
        is_final: bool,
        was_anchored: bool,
    ) -> Result<AnchorReceipt, AnchorError> {
        let at = if is_final { view.ends.finalized } else { view.ends.best };
        let kept = view.client.heads_kept(binding.dag, at).await?;
        // The anchor of the head itself, or the first one that covers it.
        let entry =
            kept.iter().filter(|(_, anchored)| anchored.head.size >= target.size).min_by_key(|(anchor, _)| *anchor);
        let placement = self.outbox.anchor_of(&binding.chain, binding.dag, target.size)?.and_then(|row| row.placement);
        Ok(AnchorReceipt {
            chain: binding.chain,
            dag: binding.dag,
            head: target,
            status: if is_final { RowState::Finalized } else { RowState::InBlock },
            anchor: entry.map(|(anchor, _)| *anchor),
            block_number: placement
                .map(|placement| placement.block_number)
                .or(entry.map(|(_, anchored)| anchored.block_number)),
            block_hash: placement.map(|placement| placement.block_hash),
            extrinsic_index: placement.map(|placement| placement.extrinsic_index),
            was_anchored,
        })
    }
}
