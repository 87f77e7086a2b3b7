//! Which anchor a proof document names.

use crate::{
    proof::AnchorReference,
    sqlite::outbox::{
        Outbox, OutboxError,
        rows::{OutboxRow, Purpose},
    },
};

/// The anchor of the size that was asked for, or else the newest one that covers the block, as far as this repository has
/// seen them.
pub fn newest_anchor(outbox: &Outbox, leaf_index: u64, size: Option<u64>) -> Result<Option<OutboxRow>, OutboxError> {
    let Some(binding) = outbox.current_binding()? else { return Ok(None) };
    let (anchored, finalized) = outbox.anchored_sizes()?;
    let size = match size {
        Some(size) => size,
        // A finalized anchor stays; one in the best chain may fall out again.
        None => match [finalized, anchored].into_iter().find(|size| *size > leaf_index) {
            Some(size) => size,
            None => return Ok(None),
        },
    };
    outbox.anchor_of(&binding.chain, binding.dag, size)
}

/// How a document names an anchor; nothing for one that is in no block.
pub fn anchor_reference(row: &OutboxRow) -> Option<AnchorReference> {
    let placement = row.placement?;
    let Purpose::Anchor { dag, .. } = row.purpose else { return None };
    Some(AnchorReference {
        genesis: *row.chain.as_bytes(),
        dag,
        anchor: row.anchor_number?,
        block_hash: *placement.block_hash.as_bytes(),
        block_number: placement.block_number,
        extrinsic_index: placement.extrinsic_index,
    })
}
