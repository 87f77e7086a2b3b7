//! What a run is for, when it is reached, and what has to be signed for it.

use super::{
    client::{Call, ChainClient, ChainDag, Connect, Ends},
    error::AnchorError,
    key::SigningKey,
    plan::{AnchorPlan, PendingAnchor, allocate_nonce, plan_anchor},
    prepare::{self, Order, anchor_call, check_extends},
    progress::{AnchorProgress, AnchorReceipt, DagReceipt, RecordReceipt, Until},
    worker::{AnchorWorker, ProgressSink},
};
use crate::{
    anchor::client::CallFailure,
    log::LogReader,
    sqlite::outbox::rows::{Binding, BindingId, OutboxRow, Purpose, RowId, RowState},
};
use pakit_primitives::{
    BlockHash, Head,
    chain::{DagId, DepositSubject, Succession},
};
use std::collections::BTreeSet;

/// What a run is for.
#[derive(Clone, Debug)]
pub(super) enum Goal {
    /// A DAG, bound. With `succession`, one that goes on from the named DAG or from the current binding's.
    CreateDag { succession: Option<Option<DagId>>, row: Option<RowId> },
    /// A head of the log, anchored.
    Anchor { target: Head, until: Until, is_first_look: bool },
    /// A block, recorded.
    Record { block_hash: BlockHash, until: Until, is_first_look: bool },
    /// Every live row, settled as far as the chain is.
    Reconcile,
}

impl Goal {
    /// For messages that say that it was not reached.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::CreateDag { .. } => "created and finalized",
            Self::Anchor { until: Until::InBlock, .. } => "anchored",
            Self::Anchor { until: Until::Finalized, .. } => "anchored and finalized",
            Self::Record { until: Until::InBlock, .. } => "recorded",
            Self::Record { until: Until::Finalized, .. } => "recorded and finalized",
            Self::Reconcile => "settled",
        }
    }

    /// Whether an extrinsic that failed must be told before anything else is signed for this goal.
    fn concerns(&self, purpose: &Purpose) -> bool {
        match (self, purpose) {
            (Self::CreateDag { .. }, Purpose::CreateDag { .. }) | (Self::Anchor { .. }, Purpose::Anchor { .. }) => true,
            (Self::Record { block_hash, .. }, Purpose::RecordProof { block_hash: of, .. }) => block_hash == of,
            _ => false,
        }
    }

    /// Whether it is about the DAG that the repository is bound to.
    pub(super) fn needs_binding(&self) -> bool {
        matches!(self, Self::Anchor { .. } | Self::Record { .. })
    }
}

/// A goal that is reached.
#[derive(Clone, Debug)]
pub(super) enum Reached {
    Dag(DagReceipt),
    Anchor(AnchorReceipt),
    Record(RecordReceipt),
    Reconciled,
}

/// A run gives what its goal asks for; anything else would be a mistake of this module.
macro_rules! unwrap_reached {
    ($name:ident, $variant:ident, $receipt:ty) => {
        pub(super) fn $name(self) -> Result<$receipt, AnchorError> {
            match self {
                Self::$variant(receipt) => Ok(receipt),
                _ => Err(AnchorError::NotBound),
            }
        }
    };
}

impl Reached {
    unwrap_reached!(into_dag, Dag, DagReceipt);
    unwrap_reached!(into_anchor, Anchor, AnchorReceipt);
    unwrap_reached!(into_record, Record, RecordReceipt);
}

/// What every step of a goal looks at.
struct View<'a, C> {
    client: &'a C,
    ends: &'a Ends,
    key: &'a SigningKey,
    /// The live rows, settled.
    rows: Vec<OutboxRow>,
}

impl<C: Connect> AnchorWorker<C> {
    /// After all rows are settled: is the goal reached, and if not, is there something to sign for it?
    pub(super) async fn pursue(
        &mut self,
        client: &C::Client,
        ends: &Ends,
        goal: &mut Goal,
        key: Option<&SigningKey>,
        progress: ProgressSink<'_>,
    ) -> Result<Option<Reached>, AnchorError> {
        let Some(key) = key else { return Ok(Some(Reached::Reconciled)) };
        let rows = self.outbox.live_rows(&client.identity().genesis)?;
        let view = View { client, ends, key, rows };
        for row in self.failed.iter().filter(|row| goal.concerns(&row.purpose)) {
            check_call(row)?;
        }
        match goal {
            Goal::Reconcile => Ok(Some(Reached::Reconciled)),
            Goal::CreateDag { succession, row } => self.pursue_dag(&view, *succession, row, progress).await,
            Goal::Anchor { target, until, is_first_look } => {
                let was_anchored = std::mem::take(is_first_look);
                self.pursue_anchor(&view, *target, *until, was_anchored, progress).await
            }
            Goal::Record { block_hash, until, is_first_look } => {
                let was_recorded = std::mem::take(is_first_look);
                self.pursue_record(&view, *block_hash, *until, was_recorded, progress).await
            }
        }
    }

    // ---- create_dag

    async fn pursue_dag(
        &mut self,
        view: &View<'_, C::Client>,
        succession: Option<Option<DagId>>,
        row: &mut Option<RowId>,
        progress: ProgressSink<'_>,
    ) -> Result<Option<Reached>, AnchorError> {
        *row = row.or(self.bound);
        if let Some(id) = *row {
            let row_now = self.outbox.row(id)?;
            match row_now.state {
                RowState::Finalized => return self.dag_receipt(&row_now).map(Some),
                RowState::Expired => *row = None,
                _ => return check_call(&row_now).map(|()| None),
            }
        }
        // One that an earlier run began is taken up again, whatever it was to go on from.
        let begun = view.rows.iter().find(|row| matches!(row.purpose, Purpose::CreateDag { .. }));
        if let Some(begun) = begun {
            *row = Some(begun.id);
            return check_call(begun).map(|()| None);
        }
        let current = self.outbox.current_binding()?;
        let (succeeds, predecessor) = match succession {
            None => match current {
                Some(Binding { chain, dag, .. }) => return Err(AnchorError::AlreadyBound { chain, dag }),
                None => (None, None),
            },
            Some(named) => self.choose_succession(view, named, current).await?,
        };
        let genesis = prepare::genesis(self.backend.as_ref())?;
        let head = Head { size: 1, root: genesis.block_hash().as_root_of_one() };
        let order = Order {
            call: Call::CreateDag { genesis_header: genesis.header().to_bytes(), succeeds },
            purpose: Purpose::CreateDag { head, predecessor },
            nonce: self.next_nonce(view).await?,
            deposit: Some(DepositSubject::Dag { operators: 0 }),
        };
        let prepared = self.sign(view, order, progress).await?;
        // Noted before it is sent, since what is sent may be final by the time the sending is known to have failed.
        *row = Some(prepared.id);
        self.send(view.client, view.ends, prepared, progress).await?;
        Ok(None)
    }

    /// The DAG that is gone on from, and the greatest head of it that the chain keeps and this log contains.
    async fn choose_succession(
        &self,
        view: &View<'_, C::Client>,
        named: Option<DagId>,
        current: Option<Binding>,
    ) -> Result<(Option<Succession>, Option<BindingId>), AnchorError> {
        let chain = view.client.identity().genesis;
        let current = current.filter(|binding| binding.chain == chain);
        let dag = named.or(current.as_ref().map(|binding| binding.dag)).ok_or(AnchorError::NotBound)?;
        let at = view.ends.best;
        let info = view.client.dag(dag, at).await?.ok_or(AnchorError::DagUnknown(dag))?;
        let account = view.key.account();
        if info.owner != account {
            return Err(AnchorError::NotOwner { account, dag, owner: info.owner });
        }
        if let Some(successor) = info.successor {
            return Err(AnchorError::AlreadySucceeded { dag, successor });
        }
        if !info.retired && check_extends(self.backend.as_ref(), dag, info.latest).is_ok() {
            return Err(AnchorError::NothingToSucceed(dag));
        }
        let kept = view.client.heads_kept(dag, at).await?;
        let common = self.greatest_common(kept.iter().map(|(_, anchored)| anchored.head))?;
        let Head { size, root } = common.ok_or(AnchorError::NoCommonHead(dag))?;
        let predecessor = current.filter(|binding| binding.dag == dag).map(|binding| binding.id);
        Ok((Some(Succession { dag, size, root }), predecessor))
    }

    fn greatest_common(&self, heads: impl Iterator<Item = Head>) -> Result<Option<Head>, AnchorError> {
        let reader = LogReader::new(self.backend.as_ref());
        let log_size = reader.head()?.map_or(0, |head| head.size);
        let mut greatest: Option<Head> = None;
        for head in heads.filter(|head| (1..=log_size).contains(&head.size)) {
            if greatest.is_none_or(|known| known.size < head.size) && reader.head_at(head.size)? == head {
                greatest = Some(head);
            }
        }
        Ok(greatest)
    }

    fn dag_receipt(&self, row: &OutboxRow) -> Result<Reached, AnchorError> {
        let binding = self.outbox.current_binding()?.ok_or(AnchorError::NotBound)?;
        let extrinsic_index = row.placement.map_or(0, |placement| placement.extrinsic_index);
        Ok(Reached::Dag(DagReceipt { binding, extrinsic_index }))
    }

    // ---- anchor

    async fn pursue_anchor(
        &mut self,
        view: &View<'_, C::Client>,
        target: Head,
        until: Until,
        was_anchored: bool,
        progress: ProgressSink<'_>,
    ) -> Result<Option<Reached>, AnchorError> {
        let binding = self.outbox.current_binding()?.ok_or(AnchorError::NotBound)?;
        let dag = binding.dag;
        let info = self.dag_of(view, &binding).await?;
        check_extends(self.backend.as_ref(), dag, info.latest)?;
        let is_final = self.note_finalized(view, &binding).await?.size >= target.size;
        let is_in_block = info.latest.size >= target.size;
        if is_final || (is_in_block && until == Until::InBlock) {
            return self.anchor_receipt(view, &binding, target, is_final, was_anchored).await.map(Some);
        }
        for row in view.rows.iter().filter(|row| row.purpose.dag() == Some(dag) && row.purpose.head() == target) {
            check_call(row)?;
        }
        if is_in_block {
            return Ok(None);
        }
        check_may_anchor(dag, &info, view.key)?;
        match self.plan(view, dag, &info, target).await? {
            AnchorPlan::Wait => {}
            AnchorPlan::Extend { base } => {
                let nonce = self.next_nonce(view).await?;
                self.sign_anchor(view, dag, base, target.size, nonce, progress).await?;
            }
            AnchorPlan::Restore { base, size, before_nonce } => {
                self.restore(view, dag, base, size, before_nonce, progress).await?;
            }
        }
        Ok(None)
    }

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

    async fn plan(
        &self,
        view: &View<'_, C::Client>,
        dag: DagId,
        info: &ChainDag,
        target: Head,
    ) -> Result<AnchorPlan, AnchorError> {
        let mut pending = Vec::new();
        let mut account_nonce = 0;
        for row in &view.rows {
            let Purpose::Anchor { dag: its_dag, head, base_size } = row.purpose else { continue };
            if its_dag != dag || row.state == RowState::InBlock {
                continue;
            }
            if row.signed.signer != view.key.account() {
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

    /// Signs an expired anchor's head again, below the extrinsic that builds on it.
    async fn restore(
        &mut self,
        view: &View<'_, C::Client>,
        dag: DagId,
        base: Head,
        size: u64,
        before_nonce: u64,
        progress: ProgressSink<'_>,
    ) -> Result<(), AnchorError> {
        let nonce = self.next_nonce(view).await?;
        if nonce < before_nonce {
            self.sign_anchor(view, dag, base, size, nonce, progress).await?;
        }
        // Without a nonce below it, the later one can only fail or expire.
        Ok(())
    }

    async fn sign_anchor(
        &mut self,
        view: &View<'_, C::Client>,
        dag: DagId,
        base: Head,
        size: u64,
        nonce: u64,
        progress: ProgressSink<'_>,
    ) -> Result<(), AnchorError> {
        let (call, purpose) = anchor_call(self.backend.as_ref(), dag, base, size)?;
        let row = self.sign(view, Order { call, purpose, nonce, deposit: None }, progress).await?;
        self.send(view.client, view.ends, row, progress).await
    }

    async fn anchor_receipt(
        &self,
        view: &View<'_, C::Client>,
        binding: &Binding,
        target: Head,
        is_final: bool,
        was_anchored: bool,
    ) -> Result<Reached, AnchorError> {
        let at = if is_final { view.ends.finalized } else { view.ends.best };
        let kept = view.client.heads_kept(binding.dag, at).await?;
        // The anchor of the head itself, or the first one that covers it.
        let entry =
            kept.iter().filter(|(_, anchored)| anchored.head.size >= target.size).min_by_key(|(anchor, _)| *anchor);
        let placement = self.outbox.anchor_of(&binding.chain, binding.dag, target.size)?.and_then(|row| row.placement);
        Ok(Reached::Anchor(AnchorReceipt {
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
        }))
    }

    // ---- record_proof

    async fn pursue_record(
        &mut self,
        view: &View<'_, C::Client>,
        block_hash: BlockHash,
        until: Until,
        was_recorded: bool,
        progress: ProgressSink<'_>,
    ) -> Result<Option<Reached>, AnchorError> {
        let binding = self.outbox.current_binding()?.ok_or(AnchorError::NotBound)?;
        let dag = binding.dag;
        let info = self.dag_of(view, &binding).await?;
        check_extends(self.backend.as_ref(), dag, info.latest)?;
        for at in [view.ends.finalized, view.ends.best] {
            let is_final = at == view.ends.finalized;
            let Some(record) = view.client.record(dag, block_hash, view.key.account(), at).await? else { continue };
            if !is_final && until == Until::Finalized {
                return Ok(None);
            }
            let row = self.outbox.record_of(&binding.chain, dag, &block_hash)?;
            return Ok(Some(Reached::Record(RecordReceipt {
                chain: binding.chain,
                dag,
                block_hash,
                depositor: record.depositor,
                deposit: record.deposit,
                status: if is_final { RowState::Finalized } else { RowState::InBlock },
                block_number: record.timestamp,
                extrinsic_index: row.and_then(|row| row.placement).map(|placement| placement.extrinsic_index),
                was_recorded,
            })));
        }
        let begun = view.rows.iter().find(|row| {
            matches!(row.purpose, Purpose::RecordProof { dag: its_dag, block_hash: of, .. } if (its_dag, of) == (dag, block_hash))
        });
        if let Some(begun) = begun {
            return check_call(begun).map(|()| None);
        }
        if self.mend(view, dag, &info, progress).await? {
            return Ok(None);
        }
        let (call, purpose) = self.record_call(view, dag, &info, block_hash).await?;
        let nonce = self.next_nonce(view).await?;
        let order = Order { call, purpose, nonce, deposit: Some(DepositSubject::Record) };
        let row = self.sign(view, order, progress).await?;
        self.send(view.client, view.ends, row, progress).await?;
        Ok(None)
    }

    /// An open nonce below a pending anchor belongs to the anchor that it builds on: with anything else there, it would be
    /// included without its base, and fail. Whether there is such a one.
    async fn mend(
        &mut self,
        view: &View<'_, C::Client>,
        dag: DagId,
        info: &ChainDag,
        progress: ProgressSink<'_>,
    ) -> Result<bool, AnchorError> {
        let AnchorPlan::Restore { base, size, before_nonce } = self.plan(view, dag, info, info.latest).await? else {
            return Ok(false);
        };
        check_may_anchor(dag, info, view.key)?;
        self.restore(view, dag, base, size, before_nonce, progress).await?;
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

    // ---- signing

    async fn next_nonce(&self, view: &View<'_, C::Client>) -> Result<u64, AnchorError> {
        let account = view.key.account();
        let in_block = view.client.account(account, view.ends.best).await?.nonce;
        let in_pool = view.client.next_nonce(account).await?;
        let live: BTreeSet<u64> =
            view.rows.iter().filter(|row| row.signed.signer == account).map(|row| row.signed.nonce).collect();
        Ok(allocate_nonce(in_block, in_pool, &live))
    }

    async fn sign(
        &mut self,
        view: &View<'_, C::Client>,
        order: Order,
        progress: ProgressSink<'_>,
    ) -> Result<OutboxRow, AnchorError> {
        if view.rows.len() >= self.config.in_flight_max {
            return Err(AnchorError::TooManyInFlight(view.rows.len()));
        }
        let row = prepare::prepare(view.client, view.ends, &self.outbox, &self.config, view.key, order).await?;
        progress(AnchorProgress::row(&row, RowState::Prepared, None));
        Ok(row)
    }
}

/// Fails where a row's call failed in a block, even one that may still be left behind.
fn check_call(row: &OutboxRow) -> Result<(), AnchorError> {
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
