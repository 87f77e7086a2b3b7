//! Which leaves a chain has to be told of before their contents go.
//!
//! A stake behind a DAG stands for every slice under its anchored head. A draw of a leaf whose content is gone is answered by a
//! declaration that was in effect before the round began, and by nothing else. So what is declared is what the next `gc` would drop, to
//! the leaf: all blocks of each content that nothing holds. What `gc` dropped before there was a stake is declared as well. A content that
//! is damaged is not: that is a loss and no removal.

use super::{
    ForgetError, ForgetOptions, PAGE, Pages, Removal,
    hold::{Fate, HoldError},
    ranges::LeafRanges,
};
use crate::{backend::BackendError, block::DagBlock, sqlite::scratch::Scratch};
use pakit_primitives::ContentHash;

/// Why it is not known what to declare.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// What is to be forgotten, or is held, could not be found out.
    #[error(transparent)]
    Forget(#[from] ForgetError),
    /// Each range costs a deposit that does not come back.
    #[error("the blocks are in more than {max} ranges of the log, each of which costs a deposit")]
    TooManyRanges {
        /// How many were allowed.
        max: usize,
    },
}

impl From<BackendError> for DeclareError {
    fn from(error: BackendError) -> Self {
        Self::Forget(error.into())
    }
}

impl From<HoldError> for DeclareError {
    fn from(error: HoldError) -> Self {
        Self::Forget(error.into())
    }
}

impl Removal<'_> {
    /// The leaves of all contents that the next `gc` would drop, were these blocks forgotten as well, and of those that were dropped
    /// before; without those in `declared`. At most `ranges_max` ranges.
    pub fn to_declare(
        &self,
        blocks: &[DagBlock],
        options: &ForgetOptions,
        declared: &LeafRanges,
        ranges_max: usize,
    ) -> Result<LeafRanges, DeclareError> {
        let (scratch, _) = self.choose(blocks, options)?;
        self.holders(&scratch)?.judge_held()?;
        for is_list in [true, false] {
            let mut after = None;
            loop {
                let page = scratch.verdicts(Some(is_list), after, PAGE)?;
                let Some(last) = page.last() else { break };
                after = Some(last.content_hash);
                page.iter().try_for_each(|verdict| self.note_leaves(&scratch, &verdict.content_hash))?;
            }
        }
        let mut forgotten = Pages::new(|after| self.backend.forgotten(after, PAGE));
        while let Some(leaf_index) = forgotten.next()? {
            if self.is_gone(&scratch, leaf_index)? {
                scratch.note_leaf(leaf_index)?;
            }
        }
        let mut ranges = LeafRanges::default();
        let mut leaves = Pages::new(|after| scratch.noted_leaves(after, PAGE));
        while let Some(leaf_index) = leaves.next()? {
            if !declared.contains(leaf_index) && ranges.push(leaf_index) && ranges.len() > ranges_max {
                return Err(DeclareError::TooManyRanges { max: ranges_max });
            }
        }
        Ok(ranges)
    }

    fn note_leaves(&self, scratch: &Scratch, content_hash: &ContentHash) -> Result<(), BackendError> {
        let mut blocks = Pages::new(|after| self.backend.find_content(content_hash, after, PAGE));
        while let Some(leaf_index) = blocks.next()? {
            scratch.note_leaf(leaf_index)?;
        }
        Ok(())
    }

    /// Whether nothing is left of a forgotten block's content. What a repair set aside has a verdict.
    fn is_gone(&self, scratch: &Scratch, leaf_index: u64) -> Result<bool, HoldError> {
        let content_hash =
            self.backend.block(leaf_index)?.ok_or(HoldError::MissingBlock(leaf_index))?.header().content_hash;
        if scratch.fate(&content_hash)?.is_some() {
            return Ok(false);
        }
        Ok(!self.backend.payload(&content_hash)?.is_some_and(|info| info.is_kept))
    }
}

impl super::hold::Holders<'_> {
    /// Spares what a stake stands for: each content of which a block is in no declaration that is in effect.
    pub(super) fn spare_undeclared(&self, declared: &LeafRanges) -> Result<(), HoldError> {
        for is_list in [true, false] {
            let mut after = None;
            loop {
                let page = self.scratch.verdicts(Some(is_list), after, PAGE)?;
                let Some(last) = page.last() else { break };
                after = Some(last.content_hash);
                for verdict in page {
                    if let Some(leaf_index) = self.undeclared_block(&verdict.content_hash, declared)? {
                        self.scratch.spare(&verdict.content_hash, Fate::Undeclared(leaf_index))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn undeclared_block(&self, content_hash: &ContentHash, declared: &LeafRanges) -> Result<Option<u64>, BackendError> {
        let mut blocks = Pages::new(|after| self.backend.find_content(content_hash, after, PAGE));
        while let Some(leaf_index) = blocks.next()? {
            if !declared.contains(leaf_index) {
                return Ok(Some(leaf_index));
            }
        }
        Ok(None)
    }
}
