//! Finding extrinsics in blocks.

use super::client::{BlockRef, ChainClient, ChainError, Ends};
use crate::sqlite::outbox::{
    ids::{ChainBlockHash, ExtrinsicHash},
    rows::{OutboxRow, Placement},
};
use std::collections::{HashMap, hash_map::Entry};

/// Blocks whose extrinsics are remembered: the longest era and some of the best chain's end.
const BLOCKS_REMEMBERED_MAX: usize = 8192;

/// Where a row's extrinsic was found, or how far its absence is certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whereabouts {
    /// In a block of the best chain.
    In(Placement),
    /// In none; the era's finalized blocks were searched through this one.
    Nowhere {
        /// `None` while no block of the era is finalized.
        searched_through: Option<u64>,
    },
}

/// Searches blocks, and remembers what was in them: a block's content never changes, only which blocks the chain has.
#[derive(Default, Debug)]
pub(super) struct BlockSearch {
    /// Hashes of finalized blocks by height.
    finalized: HashMap<u64, ChainBlockHash>,
    /// Extrinsics by block.
    extrinsics: HashMap<ChainBlockHash, Vec<ExtrinsicHash>>,
}

impl BlockSearch {
    /// Looks for a row's extrinsic in every block of the best chain that may hold it.
    pub(super) async fn look_for<C: ChainClient>(
        &mut self,
        client: &C,
        ends: &Ends,
        row: &OutboxRow,
    ) -> Result<Whereabouts, ChainError> {
        let era = row.signed.era;
        for number in era.first()..=ends.best.number.min(era.last()) {
            let block = self.block_at(client, ends, number).await?;
            let hashes = self.extrinsics_of(client, block).await?;
            if let Some(index) = hashes.iter().position(|hash| *hash == row.signed.hash) {
                let extrinsic_index =
                    u32::try_from(index).map_err(|_| ChainError::Inconsistent("a block too large"))?;
                let placement = Placement { block_number: number, block_hash: block.hash, extrinsic_index };
                return Ok(Whereabouts::In(placement));
            }
        }
        let searched_through = (ends.finalized.number >= era.first()).then(|| ends.finalized.number.min(era.last()));
        Ok(Whereabouts::Nowhere { searched_through })
    }

    /// The block at a height of the best chain. A finalized one is asked for once.
    async fn block_at<C: ChainClient>(&mut self, client: &C, ends: &Ends, number: u64) -> Result<BlockRef, ChainError> {
        if let Some(hash) = self.finalized.get(&number) {
            return Ok(BlockRef { number, hash: *hash });
        }
        let hash =
            client.block_hash(number).await?.ok_or(ChainError::Inconsistent("the best chain has become shorter"))?;
        if number <= ends.finalized.number {
            if self.finalized.len() >= BLOCKS_REMEMBERED_MAX {
                self.finalized.clear();
            }
            self.finalized.insert(number, hash);
        }
        Ok(BlockRef { number, hash })
    }

    async fn extrinsics_of<C: ChainClient>(
        &mut self,
        client: &C,
        block: BlockRef,
    ) -> Result<&[ExtrinsicHash], ChainError> {
        if self.extrinsics.len() >= BLOCKS_REMEMBERED_MAX && !self.extrinsics.contains_key(&block.hash) {
            self.extrinsics.clear();
        }
        match self.extrinsics.entry(block.hash) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => Ok(unknown.insert(client.extrinsic_hashes(block).await?)),
        }
    }
}
