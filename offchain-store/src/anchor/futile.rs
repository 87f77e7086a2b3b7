//! Calls that can only fail on top of the best block. Sent there, they would be paid for and change nothing.
//!
//! What a call stands on may have fallen out of the best chain, or been overtaken by somebody else's extrinsic in the branch
//! that won. Such a call is not sent again while that is so: another fork may bring back what it needs, and else it expires,
//! unpaid. What a node's pool holds already is out of reach.

use super::{
    client::{BlockRef, ChainClient, Ends},
    error::AnchorError,
};
use crate::sqlite::outbox::{
    Outbox,
    rows::{OutboxRow, Purpose, RowState},
};
use pakit_primitives::{
    BlockHash, Head,
    chain::{AnchorNumber, DagId},
};

const OVERTAKEN: &str = "another anchor stands where it was to extend the DAG";
const BASE_GONE: &str = "the anchor that it extends is in no block";
const RETIRED: &str = "the DAG is retired";
const RECORDED: &str = "the block is recorded already";
const HEAD_GONE: &str = "the head that it is proved against is not on the chain";

/// Why the row's call can only fail, if it can. A creation stands on nothing that a fork takes away.
pub(super) async fn why_futile<C: ChainClient>(
    client: &C,
    ends: &Ends,
    outbox: &Outbox,
    row: &OutboxRow,
) -> Result<Option<&'static str>, AnchorError> {
    match row.purpose {
        Purpose::CreateDag { .. } => Ok(None),
        Purpose::Anchor { dag, base_size, .. } => {
            let Some(info) = client.dag(dag, ends.best).await? else { return Ok(None) };
            let latest = info.latest.size;
            if latest > base_size {
                return Ok(Some(OVERTAKEN));
            }
            if latest < base_size && !has_earlier_anchor(outbox, row, dag, |head| head.size == base_size)? {
                return Ok(Some(BASE_GONE));
            }
            Ok(info.retired.then_some(RETIRED))
        }
        Purpose::RecordProof { dag, anchor, head, block_hash } => {
            let proof = Proof { dag, anchor, head, block_hash };
            why_record_futile(client, ends.best, outbox, row, &proof).await
        }
    }
}

/// What a record is made by.
struct Proof {
    dag: DagId,
    anchor: AnchorNumber,
    head: Head,
    block_hash: BlockHash,
}

async fn why_record_futile<C: ChainClient>(
    client: &C,
    best: BlockRef,
    outbox: &Outbox,
    row: &OutboxRow,
    proof: &Proof,
) -> Result<Option<&'static str>, AnchorError> {
    if client.record(proof.dag, proof.block_hash, row.signed.signer, best).await?.is_some() {
        return Ok(Some(RECORDED));
    }
    let kept = client.heads_kept(proof.dag, best).await?;
    let is_there = match kept.iter().find(|(anchor, _)| *anchor == proof.anchor) {
        Some((_, kept)) => kept.head == proof.head,
        // Beyond the latest one: it may be made by what is on its way.
        None => {
            kept.last().is_some_and(|(latest, _)| *latest < proof.anchor)
                && has_earlier_anchor(outbox, row, proof.dag, |head| head == proof.head)?
        }
    };
    Ok((!is_there).then_some(HEAD_GONE))
}

/// Whether an anchor of such a head is in no block yet and on its way, and can only be included before the row.
fn has_earlier_anchor(
    outbox: &Outbox,
    row: &OutboxRow,
    dag: DagId,
    is_wanted: impl Fn(Head) -> bool,
) -> Result<bool, AnchorError> {
    let live = outbox.live_rows(&row.chain)?;
    Ok(live.iter().any(|other| {
        let is_before = other.state != RowState::InBlock
            && other.signed.signer == row.signed.signer
            && other.signed.nonce < row.signed.nonce;
        is_before && matches!(other.purpose, Purpose::Anchor { dag: its, head, .. } if its == dag && is_wanted(head))
    }))
}
