//! Figures of a repository: [`DagStats`] and, of its storage alone, [`EfficiencyReport`].
//!
//! What the backend's sums tell is exact and costs one read. What only a walk over the blocks tells (blocks by codec, Gini
//! coefficient) is bounded: a longer log is sampled evenly, and the figures say so.

use crate::{
    backend::{BackendError, DagBackend, Totals},
    cid,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Blocks that statistics read unless they are told otherwise.
pub const WALK_BLOCKS_DEFAULT: u64 = 200_000;

/// What storing once and compressing saves. All bytes are those of payloads; headers, indices and proofs are not in them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct EfficiencyReport {
    /// Sum of the plaintext sizes of all blocks.
    pub original_bytes: u64,
    /// Plaintext bytes of the distinct chunks that are kept: what would be stored without compression.
    pub unique_bytes: u64,
    /// Stored bytes of the distinct chunks that are kept.
    pub stored_bytes: u64,
    /// Stored bytes that blocks refer to beyond those that are there: sum of the blocks' stored sizes at commit, shared chunks
    /// counted each time, minus `stored_bytes`.
    pub shared_bytes: u64,
    /// `original_bytes - unique_bytes`: not stored because an equal chunk was there. Removed payloads count here too.
    pub dedup_saved_bytes: u64,
    /// `unique_bytes - stored_bytes`.
    pub compression_saved_bytes: u64,
    /// `dedup_saved_bytes / original_bytes`; 0 where there are no bytes.
    pub dedup_saved_share: f64,
    /// `compression_saved_bytes / unique_bytes`; 0 where there are no bytes.
    pub compression_saved_share: f64,
    /// `original_bytes / stored_bytes`; absent where nothing is stored.
    pub ratio: Option<f64>,
}

impl EfficiencyReport {
    /// From sums that were read before.
    pub fn from_totals(totals: &Totals) -> Self {
        // A chunk of a content that is still being written is kept and in no block yet, so a difference may fall below 0.
        let dedup_saved_bytes = totals.original_bytes.saturating_sub(totals.unique_bytes);
        let compression_saved_bytes = totals.unique_bytes.saturating_sub(totals.stored_bytes);
        Self {
            original_bytes: totals.original_bytes,
            unique_bytes: totals.unique_bytes,
            stored_bytes: totals.stored_bytes,
            shared_bytes: totals.referenced_bytes.saturating_sub(totals.stored_bytes),
            dedup_saved_bytes,
            compression_saved_bytes,
            dedup_saved_share: quotient(dedup_saved_bytes, totals.original_bytes).unwrap_or(0.0),
            compression_saved_share: quotient(compression_saved_bytes, totals.unique_bytes).unwrap_or(0.0),
            ratio: quotient(totals.original_bytes, totals.stored_bytes),
        }
    }

    /// Reads the backend's sums.
    pub fn read(backend: &dyn DagBackend) -> Result<Self, BackendError> {
        Ok(Self::from_totals(&backend.totals()?))
    }
}

/// How many of the walked blocks have a codec.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CodecCount {
    /// Multicodec.
    pub codec: u32,
    /// Its name, where this store gives it a meaning.
    pub name: Option<&'static str>,
    /// Blocks.
    pub blocks: u64,
}

/// All figures of a repository.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DagStats {
    /// Blocks: the size of the log.
    pub blocks: u64,
    /// Parent-child edges.
    pub edges: u64,
    /// Distinct chunks that are kept.
    pub chunks: u64,
    /// Bytes and what is saved of them.
    #[serde(flatten)]
    pub efficiency: EfficiencyReport,
    /// Sum of all depths / blocks; 0 without blocks.
    pub depth_mean: f64,
    /// Greatest depth; the depth of a block is the number of steps on the longest way to genesis.
    pub depth_max: u32,
    /// Edges / blocks; 0 without blocks.
    pub parents_mean: f64,
    /// Blocks without children.
    pub frontier: u64,
    /// Contents whose payload was removed and not restored.
    pub removed_payloads: u64,
    /// Their plaintext bytes.
    pub removed_bytes: u64,
    /// Blocks that no longer hold their content, whether or not it was removed.
    pub forgotten_blocks: u64,
    /// Pins, also those that have run out.
    pub pins: u64,
    /// Audit blocks.
    pub audit_blocks: u64,
    /// Blocks below the size of the newest head that is in a best block; absent where no chain is known.
    pub blocks_anchored: Option<u64>,
    /// Blocks below the size of the newest head that is finalized; absent where no chain is known.
    pub blocks_finalized: Option<u64>,
    /// Codecs of the walked blocks, ascending.
    pub blocks_by_codec: Vec<CodecCount>,
    /// Gini coefficient of the numbers of children of the walked blocks: 0 where all have equally many, towards 1 where few
    /// blocks have nearly all. With the n numbers in ascending order x_1 .. x_n it is
    /// `2 * sum(i * x_i) / (n * sum(x_i)) - (n + 1) / n`; 0 where there are no children.
    pub child_count_gini: f64,
    /// Blocks that the two figures above are taken from.
    pub walked_blocks: u64,
    /// Whether those are fewer than all: then they are spread evenly over the log.
    pub truncated: bool,
}

impl DagStats {
    /// Reads the sums, and up to `walk_blocks_max` blocks. Knows nothing of chains: anchored and finalized stay absent.
    pub fn read(backend: &dyn DagBackend, walk_blocks_max: u64) -> Result<Self, BackendError> {
        let totals = backend.totals()?;
        let marks = backend.mark_totals()?;
        let walked_blocks = totals.blocks.min(walk_blocks_max);
        let mut codecs: BTreeMap<u32, u64> = BTreeMap::new();
        // How many blocks have how many children: as long as there are different numbers, not as there are blocks.
        let mut child_counts: BTreeMap<u64, u64> = BTreeMap::new();
        for step in 0..walked_blocks {
            let leaf_index = sampled(step, walked_blocks, totals.blocks);
            let missing = || BackendError::Damaged(format!("block {leaf_index} of the log is missing"));
            let block = backend.block(leaf_index)?.ok_or_else(missing)?;
            *codecs.entry(block.header().codec).or_default() += 1;
            *child_counts.entry(backend.child_count(leaf_index)?).or_default() += 1;
        }
        Ok(Self {
            blocks: totals.blocks,
            edges: totals.edges,
            chunks: totals.chunks,
            efficiency: EfficiencyReport::from_totals(&totals),
            depth_mean: quotient(totals.depth_sum, totals.blocks).unwrap_or(0.0),
            depth_max: totals.depth_max,
            parents_mean: quotient(totals.edges, totals.blocks).unwrap_or(0.0),
            frontier: totals.frontier,
            removed_payloads: marks.removed,
            removed_bytes: marks.removed_bytes,
            forgotten_blocks: marks.forgotten,
            pins: marks.pins,
            audit_blocks: marks.audits,
            blocks_anchored: None,
            blocks_finalized: None,
            blocks_by_codec: codecs.into_iter().map(codec_count).collect(),
            child_count_gini: gini(&child_counts),
            walked_blocks,
            truncated: walked_blocks < totals.blocks,
        })
    }
}

fn codec_count((codec, blocks): (u32, u64)) -> CodecCount {
    let name = match codec {
        cid::RAW => Some("raw"),
        cid::DAG_CBOR => Some("dag-cbor"),
        _ => None,
    };
    CodecCount { codec, name, blocks }
}

/// The leaf index of step `step` of `steps` that are spread evenly over `blocks`: all of them where `steps` is `blocks`.
fn sampled(step: u64, steps: u64, blocks: u64) -> u64 {
    // step < steps, so the quotient is below blocks and fits.
    (u128::from(step) * u128::from(blocks) / u128::from(steps.max(1))) as u64
}

fn quotient(dividend: u64, divisor: u64) -> Option<f64> {
    (divisor > 0).then(|| dividend as f64 / divisor as f64)
}

/// Gini coefficient of a distribution given as value -> number of items that have it.
fn gini(items_by_value: &BTreeMap<u64, u64>) -> f64 {
    let (mut items, mut sum, mut ranked_sum) = (0.0, 0.0, 0.0);
    for (value, count) in items_by_value {
        let (value, count) = (*value as f64, *count as f64);
        // The items of one value stand at ranks items + 1 to items + count, on average in their middle.
        ranked_sum += value * count * (items + (count + 1.0) / 2.0);
        items += count;
        sum += value * count;
    }
    if sum == 0.0 { 0.0 } else { 2.0 * ranked_sum / (items * sum) - (items + 1.0) / items }
}

#[cfg(test)]
mod tests;
