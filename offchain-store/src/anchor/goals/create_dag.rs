//! Creating a DAG, also one that goes on from another one.

use super::{Goal, View, check_call};
use crate::{
    anchor::{
        client::{Call, ChainClient, Connect},
        error::AnchorError,
        key::SigningKey,
        prepare::{self, Order, check_extends},
        progress::DagReceipt,
        worker::{AnchorWorker, ProgressSink},
    },
    log::LogReader,
    sqlite::outbox::rows::{Binding, BindingId, OutboxRow, Purpose, RowId, RowState},
};
use pakit_primitives::{
    Head,
    chain::{DagId, DepositSubject, Succession},
};

/// A DAG, bound to the repository.
pub(in crate::anchor) struct CreateDag<'k> {
    pub(in crate::anchor) key: &'k SigningKey,
    /// `Some` for one that goes on from the DAG named, or from the current binding's.
    pub(in crate::anchor) succession: Option<Option<DagId>>,
    /// The row that creates it.
    pub(in crate::anchor) row: Option<RowId>,
}

impl<C: Connect> Goal<C> for CreateDag<'_> {
    type Receipt = DagReceipt;

    fn name(&self) -> &'static str {
        "created and finalized"
    }

    fn needs_binding(&self) -> bool {
        false
    }

    fn concerns(&self, purpose: &Purpose) -> bool {
        matches!(purpose, Purpose::CreateDag { .. })
    }

    async fn pursue(
        &mut self,
        worker: &mut AnchorWorker<C>,
        view: &View<'_, C::Client>,
        progress: ProgressSink<'_>,
    ) -> Result<Option<DagReceipt>, AnchorError> {
        self.row = self.row.or(worker.bound);
        if let Some(id) = self.row {
            let row_now = worker.outbox.row(id)?;
            match row_now.state {
                RowState::Finalized => return worker.dag_receipt(&row_now).map(Some),
                RowState::Expired => self.row = None,
                _ => return check_call(&row_now).map(|()| None),
            }
        }
        // One that an earlier run began is taken up again, whatever it was to go on from.
        let begun = view.rows.iter().find(|row| matches!(row.purpose, Purpose::CreateDag { .. }));
        if let Some(begun) = begun {
            self.row = Some(begun.id);
            return check_call(begun).map(|()| None);
        }
        if let Some(elsewhere) = worker.outbox.live_creations()?.first() {
            return Err(AnchorError::CreatingElsewhere { chain: elsewhere.chain });
        }
        let current = worker.outbox.current_binding()?;
        let (succeeds, predecessor) = match self.succession {
            None => match current {
                Some(Binding { chain, dag, .. }) => return Err(AnchorError::AlreadyBound { chain, dag }),
                None => (None, None),
            },
            Some(named) => worker.choose_succession(view, self.key, named, current).await?,
        };
        let genesis = prepare::genesis(worker.backend.as_ref())?;
        let head = Head { size: 1, root: genesis.block_hash().as_root_of_one() };
        let order = Order {
            call: Call::CreateDag { genesis_header: genesis.header().to_bytes(), succeeds },
            purpose: Purpose::CreateDag { head, predecessor },
            nonce: worker.next_nonce(view, self.key).await?,
            deposit: Some(DepositSubject::Dag { operators: 0 }),
        };
        let prepared = worker.sign(view, self.key, order, progress).await?;
        // Noted before it is sent, since what is sent may be final by the time the sending is known to have failed.
        self.row = Some(prepared.id);
        worker.send(view.client, view.ends, prepared, progress).await?;
        Ok(None)
    }
}

impl<C: Connect> AnchorWorker<C> {
    /// The DAG that is gone on from, and the greatest head of it that the chain keeps and this log contains.
    async fn choose_succession(
        &self,
        view: &View<'_, C::Client>,
        key: &SigningKey,
        named: Option<DagId>,
        current: Option<Binding>,
    ) -> Result<(Option<Succession>, Option<BindingId>), AnchorError> {
        let chain = view.client.identity().genesis;
        let dag = match (named, &current) {
            (Some(named), _) => named,
            (None, None) => return Err(AnchorError::NotBound),
            (None, Some(binding)) if binding.chain != chain => {
                let url = view.client.identity().url.clone();
                return Err(AnchorError::WrongChain { url, expected: binding.chain, found: chain });
            }
            (None, Some(binding)) => binding.dag,
        };
        let current = current.filter(|binding| binding.chain == chain);
        let at = view.ends.best;
        let info = view.client.dag(dag, at).await?.ok_or(AnchorError::DagUnknown(dag))?;
        let account = key.account();
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

    fn dag_receipt(&self, row: &OutboxRow) -> Result<DagReceipt, AnchorError> {
        let binding = self.outbox.current_binding()?.ok_or(AnchorError::NotBound)?;
        let extrinsic_index = row.placement.map_or(0, |placement| placement.extrinsic_index);
        Ok(DagReceipt { binding, extrinsic_index })
    }
}
