//! Forgetting: blocks give their contents up. What then goes is dropped by `gc`, and only if nothing else holds it.
//!
//! A folder was put as a block for each file and one for each listing, and a file's block is the same whether it was put with a folder
//! or on its own: nothing tells them apart. So forgetting a folder's block forgets the blocks that its links lead to as well, all the way
//! down. A file that is in another folder stays all the same, since that folder's listing holds it, and a block with metadata of its own
//! is another block. A folder's own block is marked last: a forgetting that was interrupted gave nothing up that the folder still names.

use super::{
    PAGE, Pages, Removal, Retention,
    hold::{Fate, HoldError, Holders, Rules},
    marks::Mark,
    record::{self, Action, AuditedBlock, RECORD_BLOCKS_MAX, RecordError},
};
use crate::{backend::BackendError, block::DagBlock, commit::CommitError, listing::find_cid, sqlite::scratch::Scratch};
use pakit_primitives::BlockHash;

/// What is to be forgotten besides the blocks themselves, and why.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ForgetOptions {
    /// The reason, for the audit block.
    pub why: String,
    /// Only the blocks that are named, and not what their listings lead to.
    pub only_listing: bool,
}

/// Why blocks were not forgotten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// An audit block could not be made or committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What is said of it cannot be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What holds or is named could not be read.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// All lineages lead there.
    #[error("block {0} is the genesis of the DAG, which is not forgotten")]
    Genesis(BlockHash),
    /// What was decided stays on record.
    #[error("block {0} is an audit block, which is not forgotten")]
    AuditBlock(BlockHash),
    /// A pin holds it.
    #[error("block {block_hash} is held by the pin of block {pinned} and not forgotten; `pakit unpin` it first")]
    Pinned {
        /// The block.
        block_hash: BlockHash,
        /// The pinned block: this one, or one whose listing leads to it.
        pinned: BlockHash,
    },
}

/// What a forgetting did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forgotten {
    /// Blocks that are forgotten now and were not before.
    pub blocks: u64,
    /// Plaintext bytes of them.
    pub bytes: u64,
    /// Blocks that had been forgotten before.
    pub already: u64,
    /// Blocks that listings lead to and that stay, because a pin holds them.
    pub pinned: u64,
    /// Audit blocks that tell of it.
    pub audits: Vec<BlockHash>,
}

/// A block that would be forgotten, and what would become of its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreseen {
    /// The block.
    pub block: DagBlock,
    /// What the next `gc` would do; `None` where the content is gone already.
    pub fate: Option<Fate>,
}

impl Removal<'_> {
    /// Forgets blocks and, unless told otherwise, what their listings lead to.
    pub fn forget(&mut self, blocks: &[DagBlock], options: &ForgetOptions) -> Result<Forgotten, ForgetError> {
        record::check_why(&options.why)?;
        let (scratch, mut done) = self.choose(blocks, options)?;
        let mut after = None;
        loop {
            let page = scratch.chosen(after, RECORD_BLOCKS_MAX)?;
            let Some(last) = page.last() else { return Ok(done) };
            after = Some(*last);
            let mut named = Vec::with_capacity(page.len());
            for leaf_index in page {
                let block = self.backend.block(leaf_index)?.ok_or(HoldError::MissingBlock(leaf_index))?;
                done.blocks += 1;
                done.bytes = done.bytes.saturating_add(block.header().original_size);
                named.push(AuditedBlock::from(&block));
            }
            let audit = self.committer.record(Action::Forget, &options.why, None, named.clone())?;
            for AuditedBlock { leaf_index, .. } in named {
                self.committer.mark(Mark::Forget { leaf_index, audit: audit.leaf_index() });
            }
            self.committer.flush()?;
            done.audits.push(audit.block_hash());
        }
    }

    /// Tells `foreseen` of each block that [`Self::forget`] would forget, and of what would become of its content. Changes nothing.
    pub fn foresee<E: From<ForgetError>>(
        &self,
        blocks: &[DagBlock],
        options: &ForgetOptions,
        foreseen: &mut dyn FnMut(Foreseen) -> Result<(), E>,
    ) -> Result<Forgotten, E> {
        let foresee = |error: HoldError| E::from(error.into());
        let (scratch, mut sums) = self.choose(blocks, options)?;
        self.holders(&scratch).and_then(|holders| holders.judge_all()).map_err(foresee)?;
        let mut chosen = Pages::new(|after| scratch.chosen(after, PAGE));
        while let Some(leaf_index) = chosen.next().map_err(ForgetError::from)? {
            let block = self.backend.block(leaf_index).map_err(ForgetError::from)?;
            let block = block.ok_or_else(|| foresee(HoldError::MissingBlock(leaf_index)))?;
            sums.blocks += 1;
            sums.bytes = sums.bytes.saturating_add(block.header().original_size);
            let fate = scratch.fate(&block.header().content_hash).map_err(ForgetError::from)?;
            foreseen(Foreseen { block, fate })?;
        }
        Ok(sums)
    }

    pub(super) fn holders<'b>(&'b self, scratch: &'b Scratch) -> Result<Holders<'b>, HoldError> {
        let (now_ms, retention) = (self.now_ms, Retention::read(self.backend.as_ref())?);
        let rules = Rules { now_ms, retention, declared: self.declared.clone() };
        Ok(Holders { backend: self.backend, scratch, rules })
    }

    /// The blocks that are to be forgotten, in the scratch.
    pub(super) fn choose(
        &self,
        blocks: &[DagBlock],
        options: &ForgetOptions,
    ) -> Result<(Scratch, Forgotten), ForgetError> {
        let scratch = Scratch::new()?;
        let mut sums = Forgotten::default();
        let holders = self.holders(&scratch)?;
        self.note_pinned(&holders)?;
        for block in blocks {
            self.check_named(block, &scratch)?;
        }
        scratch.clear_listings()?;
        for block in blocks {
            let (leaf_index, content_hash) = (block.leaf_index(), block.header().content_hash);
            let is_forgotten = self.backend.mark(leaf_index)?.forgotten.is_some();
            match is_forgotten {
                true => sums.already += 1,
                false => drop(scratch.choose(leaf_index)?),
            }
            // A listing that is gone had its entries forgotten before.
            let is_gone = is_forgotten && !self.backend.payload(&content_hash)?.is_some_and(|info| info.is_kept);
            if !options.only_listing && !is_gone {
                scratch.queue(&content_hash, leaf_index, Fate::Goes)?;
            }
        }
        holders.follow(|cid, _| {
            let Some(block) = find_cid(self.backend.as_ref(), cid)? else { return Ok(()) };
            let leaf_index = block.leaf_index();
            let mark = self.backend.mark(leaf_index)?;
            let is_pinned = mark.pin.is_some_and(|pin| pin.holds(self.now_ms));
            if is_pinned || scratch.pinned_by(&cid.content_hash())?.is_some() {
                sums.pinned += 1;
            } else if mark.forgotten.is_some() {
                sums.already += 1;
            } else if leaf_index > 0 && !mark.is_audit {
                scratch.choose(leaf_index)?;
            }
            Ok(())
        })?;
        Ok((scratch, sums))
    }

    /// Notes all that the listings of pinned blocks lead to.
    fn note_pinned(&self, holders: &Holders<'_>) -> Result<(), HoldError> {
        let mut after = None;
        loop {
            let page = self.backend.pins(after, PAGE)?;
            for pin in page.iter().filter(|pin| pin.holds(self.now_ms)) {
                let content_hash = holders.block(pin.leaf_index)?.header().content_hash;
                holders.scratch.queue(&content_hash, pin.leaf_index, Fate::HeldByPin(pin.leaf_index))?;
            }
            after = page.last().map(|pin| pin.leaf_index);
            if page.len() < PAGE {
                break;
            }
        }
        holders.follow(|cid, fate| {
            if let Fate::HeldByPin(leaf_index) = fate {
                holders.scratch.pin(&cid.content_hash(), leaf_index)?;
            }
            Ok(())
        })
    }

    fn check_named(&self, block: &DagBlock, scratch: &Scratch) -> Result<(), ForgetError> {
        let block_hash = block.block_hash();
        if block.leaf_index() == 0 {
            return Err(ForgetError::Genesis(block_hash));
        }
        let mark = self.backend.mark(block.leaf_index())?;
        if mark.is_audit {
            return Err(ForgetError::AuditBlock(block_hash));
        }
        let own = mark.pin.filter(|pin| pin.holds(self.now_ms)).map(|pin| pin.leaf_index);
        let by = match own {
            Some(leaf_index) => Some(leaf_index),
            None => scratch.pinned_by(&block.header().content_hash)?,
        };
        let Some(leaf_index) = by else { return Ok(()) };
        let pinned = self.backend.block(leaf_index)?.ok_or(HoldError::MissingBlock(leaf_index))?.block_hash();
        Err(ForgetError::Pinned { block_hash, pinned })
    }
}
