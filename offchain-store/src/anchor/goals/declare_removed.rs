//! Declaring on the chain that contents are let go.
//!
//! A declaration is not in the table of the outbox: the chain keeps each for ever, so that its state tells what became of one, and no
//! block has to be searched. What was signed stands in the repository before it is sent, and nothing else is signed for the same leaves
//! before the finalized state tells that it is there, or that it never will be: its nonce is used up there, or its era is over. So a
//! deposit is not paid twice, whenever the process is killed. A nonce that an anchor of a later run takes is used up like any other.

use super::{Goal, View};
use crate::{
    anchor::{
        client::{Call, ChainClient, Connect, Submission},
        error::AnchorError,
        key::SigningKey,
        prepare,
        progress::{AnchorProgress, DeclareReceipt},
        stake::{self, StakeStanding},
        worker::{AnchorWorker, ProgressSink},
    },
    removal::LeafRanges,
    sqlite::outbox::{
        declaring::{DECLARING_MAX, Declaring},
        rows::{Binding, Purpose, RowState},
    },
};
use std::{ops::RangeInclusive, time::Instant};

/// How often in one run declarations may end in finalized blocks without having declared anything.
const TRIES_MAX: u32 = 3;
/// After so many refusals in a row that time does not mend, a run gives up.
const REFUSALS_MAX: u32 = 3;

/// Leaves, declared removed.
pub(in crate::anchor) struct DeclareRemoved<'k> {
    key: &'k SigningKey,
    leaves: &'k LeafRanges,
    /// How often declarations were signed in this run since the last of them was found on the chain.
    tries: u32,
    missing_last: usize,
    signed: u64,
    refusals: u32,
    /// When what is on its way is sent again.
    due: Option<Instant>,
}

impl<'k> DeclareRemoved<'k> {
    pub(in crate::anchor) fn new(key: &'k SigningKey, leaves: &'k LeafRanges) -> Self {
        Self { key, leaves, tries: 0, missing_last: usize::MAX, signed: 0, refusals: 0, due: None }
    }
}

impl<C: Connect> Goal<C> for DeclareRemoved<'_> {
    type Receipt = DeclareReceipt;

    fn name(&self) -> &'static str {
        "declared and finalized"
    }

    fn needs_binding(&self) -> bool {
        true
    }

    fn concerns(&self, _purpose: &Purpose) -> bool {
        false
    }

    async fn pursue(
        &mut self,
        worker: &mut AnchorWorker<C>,
        view: &View<'_, C::Client>,
        progress: ProgressSink<'_>,
    ) -> Result<Option<DeclareReceipt>, AnchorError> {
        let binding = worker.outbox.current_binding()?.ok_or(AnchorError::NotBound)?;
        let standing = stake::look(view.client, view.ends, worker.backend.as_ref(), &binding).await?;
        let Some(standing) = standing else {
            return Ok(Some(DeclareReceipt { standing: None, signed: self.signed }));
        };
        let pending = worker.unsettled(view, &binding, &standing).await?;
        let declared = standing.declared();
        let mut missing: Vec<_> = self.leaves.iter().filter(|leaves| !declared.covers(leaves)).cloned().collect();
        if missing.is_empty() {
            return Ok(Some(DeclareReceipt { standing: Some(standing), signed: self.signed }));
        }
        if !pending.is_empty() {
            self.send(worker, view, &pending, progress).await?;
            return Ok(None);
        }
        // An open nonce below a pending anchor belongs to the one that it builds on.
        if view.rows.iter().any(|row| row.state != RowState::InBlock) {
            return Ok(None);
        }
        if missing.len() < self.missing_last {
            (self.tries, self.missing_last) = (0, missing.len());
        }
        if self.tries >= TRIES_MAX {
            return Err(AnchorError::NotDeclared { dag: binding.dag, tries: self.tries });
        }
        standing.check_may_declare(self.leaves, self.key.account())?;
        missing.truncate(DECLARING_MAX);
        let signed = worker.sign_declarations(view, self.key, &standing, &binding, missing).await?;
        (self.tries, self.signed) = (self.tries + 1, self.signed + signed.len() as u64);
        self.due = None;
        self.send(worker, view, &signed, progress).await?;
        Ok(None)
    }
}

impl DeclareRemoved<'_> {
    /// Sends all that is on its way, always the same bytes. What the node answers settles nothing.
    async fn send<C: Connect>(
        &mut self,
        worker: &AnchorWorker<C>,
        view: &View<'_, C::Client>,
        pending: &[Declaring],
        progress: ProgressSink<'_>,
    ) -> Result<(), AnchorError> {
        if self.due.is_some_and(|due| Instant::now() < due) {
            return Ok(());
        }
        self.due = Some(Instant::now() + worker.config.resend_delay);
        let mut is_refused = false;
        for declaring in pending {
            let objection = match view.client.submit(&declaring.signed.bytes).await? {
                Submission::Accepted | Submission::AlreadyKnown => None,
                Submission::Stale => Some("its nonce is used up: it may be in a block already"),
                Submission::NotValidNow => Some("its era or signature does not fit the best block"),
                Submission::NotNow => Some("the node does not take it now"),
                Submission::CannotPay => Some("the signer cannot pay the fee"),
                Submission::Refused => {
                    is_refused = true;
                    Some("the runtime does not take it")
                }
            };
            progress(AnchorProgress::Declaring { leaves: declaring.leaves.clone(), objection });
        }
        self.refusals = if is_refused { self.refusals + 1 } else { 0 };
        match self.refusals < REFUSALS_MAX {
            true => Ok(()),
            false => Err(AnchorError::RefusedByNode { call: "declare_removed" }),
        }
    }
}

impl<C: Connect> AnchorWorker<C> {
    /// What was signed, by this run or an earlier one, and may still be included. All else is settled, and is not kept.
    async fn unsettled(
        &self,
        view: &View<'_, C::Client>,
        binding: &Binding,
        standing: &StakeStanding,
    ) -> Result<Vec<Declaring>, AnchorError> {
        let kept = self.outbox.declaring()?;
        let declared = standing.declared();
        let mut pending = Vec::with_capacity(kept.len());
        for declaring in kept.iter().filter(|it| (it.chain, it.dag) == (binding.chain, binding.dag)) {
            let signed = &declaring.signed;
            let is_used = view.client.account(signed.signer, view.ends.finalized).await?.nonce > signed.nonce;
            let is_over = view.ends.finalized.number >= signed.era.death();
            if !declared.covers(&declaring.leaves) && !is_used && !is_over {
                pending.push(declaring.clone());
            }
        }
        if pending.len() < kept.len() {
            self.outbox.set_declaring(&pending)?;
        }
        Ok(pending)
    }

    /// Signs a declaration for each range. On return all are on the disk and may be sent.
    async fn sign_declarations(
        &self,
        view: &View<'_, C::Client>,
        key: &SigningKey,
        standing: &StakeStanding,
        binding: &Binding,
        missing: Vec<RangeInclusive<u64>>,
    ) -> Result<Vec<Declaring>, AnchorError> {
        let era = prepare::era(view.ends, &self.config)?;
        let mut nonce = self.next_nonce(view, key).await?;
        let mut needed = standing.terms.deposit.saturating_mul(missing.len() as u128);
        let mut signed = Vec::with_capacity(missing.len());
        for leaves in missing {
            let call = Call::DeclareRemoved { dag: binding.dag, leaves: leaves.clone() };
            let extrinsic = view.client.sign(&call, key, nonce, era, view.ends.best).await?;
            needed = needed.saturating_add(view.client.fee(&extrinsic.bytes, view.ends.best).await?);
            signed.push(Declaring { chain: binding.chain, dag: binding.dag, leaves, signed: extrinsic });
            nonce = nonce.saturating_add(1);
        }
        let spendable = view.client.account(key.account(), view.ends.best).await?.spendable;
        if spendable < needed {
            return Err(AnchorError::InsufficientBalance { account: key.account(), spendable, needed });
        }
        self.outbox.set_declaring(&signed)?;
        Ok(signed)
    }
}
