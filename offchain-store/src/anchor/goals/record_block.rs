//! Having the chain keep a record of a block.

use super::{Goal, View, check_call, check_may_anchor};
use crate::{
    anchor::{
        client::{Call, ChainClient, ChainDag, Connect},
        error::AnchorError,
        key::SigningKey,
        plan::AnchorPlan,
        prepare::{Order, check_extends},
        progress::{RecordReceipt, Until},
        worker::{AnchorWorker, ProgressSink},
    },
    log::LogReader,
    sqlite::outbox::rows::{Purpose, RowState},
};
use pakit_primitives::{
    BlockHash,
    chain::{DagId, DepositSubject},
};

/// A block of the log, recorded.
pub(in crate::anchor) struct RecordBlock<'k> {
    pub(in crate::anchor) key: &'k SigningKey,
    pub(in crate::anchor) block_hash: BlockHash,
    pub(in crate::anchor) until: Until,
    pub(in crate::anchor) is_first_look: bool,
}

impl<C: Connect> Goal<C> for RecordBlock<'_> {
    type Receipt = RecordReceipt;

    fn name(&self) -> &'static str {
        match self.until {
            Until::InBlock => "recorded",
            Until::Finalized => "recorded and finalized",
        }
    }

    fn needs_binding(&self) -> bool {
        true
    }

    fn concerns(&self, purpose: &Purpose) -> bool {
        matches!(purpose, Purpose::RecordProof { block_hash, .. } if *block_hash == self.block_hash)
    }

    async fn pursue(
        &mut self,
        worker: &mut AnchorWorker<C>,
        view: &View<'_, C::Client>,
        progress: ProgressSink<'_>,
    ) -> Result<Option<RecordReceipt>, AnchorError> {
        let was_recorded = std::mem::take(&mut self.is_first_look);
        let (key, block_hash) = (self.key, self.block_hash);
        let binding = worker.outbox.current_binding()?.ok_or(AnchorError::NotBound)?;
        let dag = binding.dag;
        let info = worker.dag_of(view, &binding).await?;
        check_extends(worker.backend.as_ref(), dag, info.latest)?;
        for at in [view.ends.finalized, view.ends.best] {
            let is_final = at == view.ends.finalized;
            let Some(record) = view.client.record(dag, block_hash, key.account(), at).await? else { continue };
            if !is_final && self.until == Until::Finalized {
                return Ok(None);
            }
            let row = worker.outbox.record_of(&binding.chain, dag, &block_hash)?;
            return Ok(Some(RecordReceipt {
                chain: binding.chain,
                dag,
                block_hash,
                depositor: record.depositor,
                deposit: record.deposit,
                status: if is_final { RowState::Finalized } else { RowState::InBlock },
                block_number: record.timestamp,
                extrinsic_index: row.and_then(|row| row.placement).map(|placement| placement.extrinsic_index),
                was_recorded,
            }));
        }
        let begun = view.rows.iter().find(|row| {
            matches!(row.purpose, Purpose::RecordProof { dag: its_dag, block_hash: of, .. } if (its_dag, of) == (dag, block_hash))
        });
        if let Some(begun) = begun {
            return check_call(begun).map(|()| None);
        }
        if worker.mend(view, key, dag, &info, progress).await? {
            return Ok(None);
        }
        let (call, purpose) = worker.record_call(view, dag, &info, block_hash).await?;
        let nonce = worker.next_nonce(view, key).await?;
        let order = Order { call, purpose, nonce, deposit: Some(DepositSubject::Record) };
        let row = worker.sign(view, key, order, progress).await?;
        worker.send(view.client, view.ends, row, progress).await?;
        Ok(None)
    }
}

impl<C: Connect> AnchorWorker<C> {
    /// An open nonce below a pending anchor belongs to the anchor that it builds on: with anything else there, it would be
    /// included without its base, and fail. Whether there is such a one.
    async fn mend(
        &mut self,
        view: &View<'_, C::Client>,
        key: &SigningKey,
        dag: DagId,
        info: &ChainDag,
        progress: ProgressSink<'_>,
    ) -> Result<bool, AnchorError> {
        let plan = self.plan(view, key, dag, info, info.latest).await?;
        if !matches!(plan, AnchorPlan::Restore { .. }) {
            return Ok(false);
        }
        check_may_anchor(dag, info, key)?;
        self.carry_out(view, key, dag, plan, progress).await?;
        Ok(true)
    }

    async fn record_call(
        &self,
        view: &View<'_, C::Client>,
        dag: DagId,
        info: &ChainDag,
        block_hash: BlockHash,
    ) -> Result<(Call, Purpose), AnchorError> {
        let leaf_index = self.backend.find_block(&block_hash)?.ok_or(AnchorError::BlockUnknown(block_hash))?;
        let block = self.backend.block(leaf_index)?.ok_or(AnchorError::BlockUnknown(block_hash))?;
        // A finalized head where one covers the block: it cannot be renumbered. Else the latest one.
        let finalized = view.client.dag(dag, view.ends.finalized).await?;
        let against = finalized.filter(|finalized| leaf_index < finalized.latest.size);
        let (anchor, head) = against.map_or((info.anchors, info.latest), |info| (info.anchors, info.latest));
        if leaf_index >= head.size {
            return Err(AnchorError::NotAnchored { block: block_hash, leaf_index, size: head.size });
        }
        let inclusion = LogReader::new(self.backend.as_ref()).inclusion(leaf_index, head.size)?;
        let call = Call::RecordProof { dag, anchor, header: block.header().to_bytes(), inclusion };
        Ok((call, Purpose::RecordProof { dag, anchor, head, block_hash }))
    }
}
