//! Dropping the payloads that nothing holds, in batches that are each atomic and each told by an audit block.
//!
//! Whoever is interrupted begins again: what is held is found out anew, and what was dropped is gone. The writer's lock keeps
//! puts away meanwhile, in this process and others; readers go on, and one that was reading what is dropped is told so.
//!
//! Contents of several chunks go first, then the chunks that nothing else names, then contents of one chunk: one that was also a chunk of
//! a content that went is a chunk of none then.

use super::{
    PAGE, Removal,
    hold::{Fate, HoldError, Verdict},
    record::{Action, AuditedBlock, RECORD_BLOCKS_MAX, RecordError},
    replay,
};
use crate::{backend::BackendError, commit::CommitError, sqlite::scratch::Scratch};
use pakit_primitives::ContentHash;
use serde::Serialize;

/// Why nothing, or not everything, was dropped. What was dropped is on record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GcError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A batch could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The audit block cannot be made.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What is held could not be found out.
    #[error(transparent)]
    Hold(#[from] HoldError),
}

/// Sums of a gc. Bytes are those of the plaintext.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct GcSummary {
    /// Contents that were dropped, or would be.
    pub dropped: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Contents of forgotten blocks that something holds: a block, a listing, a pin, or another content that they are a chunk of.
    pub held: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Contents that only the retention rule holds.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the first of them can go, in Unix milliseconds.
    pub waiting_until_ms: Option<u64>,
    /// Contents that only a stake on a chain holds, for their removal is not declared or not in effect yet.
    pub undeclared: u64,
    /// Their bytes.
    pub undeclared_bytes: u64,
    /// Stored bytes that are free now; `pakit compact` returns them to the file system.
    pub freed_bytes: u64,
    /// Audit blocks that tell of it.
    pub audits: u64,
}

impl GcSummary {
    fn add(&mut self, verdict: &Verdict) {
        let (count, bytes) = match verdict.fate {
            Fate::Goes => (&mut self.dropped, &mut self.dropped_bytes),
            Fate::Waits { until_ms } => {
                let first = self.waiting_until_ms.map_or(until_ms, |first| first.min(until_ms));
                self.waiting_until_ms = Some(first);
                (&mut self.waiting, &mut self.waiting_bytes)
            }
            Fate::Undeclared(_) => (&mut self.undeclared, &mut self.undeclared_bytes),
            Fate::HeldByBlock(_) | Fate::HeldByListing(_) | Fate::HeldByPin(_) | Fate::PartOfAnother => {
                (&mut self.held, &mut self.held_bytes)
            }
        };
        *count += 1;
        *bytes = bytes.saturating_add(verdict.bytes);
    }
}

impl Removal<'_> {
    /// Tells `verdict` what becomes of each content of a forgotten block, in the order of the hashes. Changes nothing.
    pub fn gc_foresee<E: From<GcError>>(
        &self,
        verdict: &mut dyn FnMut(Verdict) -> Result<(), E>,
    ) -> Result<GcSummary, E> {
        let scratch = self.judged()?;
        let mut summary = GcSummary::default();
        each(&scratch, |found| {
            summary.add(&found);
            verdict(found)
        })?;
        Ok(summary)
    }

    /// Drops what nothing holds. `progress` is told of (contents dropped, contents to drop).
    pub fn gc(&mut self, why: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<GcSummary, GcError> {
        super::record::check_why(why)?;
        let stored_before = self.backend.totals()?.stored_bytes;
        let scratch = self.judged()?;
        let mut summary = GcSummary::default();
        each::<GcError>(&scratch, |verdict| {
            summary.add(&verdict);
            Ok(())
        })?;
        let mut done = 0;
        // What an earlier gc was interrupted in, too.
        self.clear()?;
        for is_list in [true, false] {
            let mut after = None;
            loop {
                let page = scratch.verdicts(Some(is_list), after, RECORD_BLOCKS_MAX)?;
                let Some(last) = page.last() else { break };
                after = Some(last.content_hash);
                done += page.len() as u64;
                self.drop_contents(&page, why)?;
                summary.audits += 1;
                progress(done, summary.dropped);
            }
            if is_list {
                self.clear()?;
            }
        }
        summary.freed_bytes = stored_before.saturating_sub(self.backend.totals()?.stored_bytes);
        Ok(summary)
    }

    fn judged(&self) -> Result<Scratch, GcError> {
        let scratch = Scratch::new()?;
        if !self.backend.forgotten(None, 1)?.is_empty() {
            self.compare_marks(&scratch)?;
            self.holders(&scratch)?.judge_all()?;
        }
        Ok(scratch)
    }

    /// What is dropped is gone, so that marks are not believed that the audit trail does not tell of.
    fn compare_marks(&self, scratch: &Scratch) -> Result<(), GcError> {
        let mut first = None;
        let record = &mut |leaf_index| super::record_at(self.backend, leaf_index);
        replay::differences(self.backend.as_ref(), scratch, true, record, &mut |difference| {
            first.get_or_insert(difference);
        })?;
        match first {
            Some(difference) => Err(HoldError::Marks(difference).into()),
            None => Ok(()),
        }
    }

    fn clear(&self) -> Result<(), GcError> {
        while self.backend.clear_unnamed()? {}
        Ok(())
    }

    fn drop_contents(&mut self, page: &[Verdict], why: &str) -> Result<(), GcError> {
        let mut named = Vec::with_capacity(page.len());
        for Verdict { leaf_index, .. } in page {
            let block = self.backend.block(*leaf_index)?.ok_or(HoldError::MissingBlock(*leaf_index))?;
            named.push(AuditedBlock::from(&block));
        }
        named.sort_unstable_by_key(|block| block.leaf_index);
        self.committer.record(Action::Drop, why, None, named)?;
        page.iter().for_each(|verdict| self.committer.remove(verdict.content_hash));
        Ok(self.committer.flush()?)
    }
}

/// All verdicts, in the order of the hashes.
fn each<E: From<GcError>>(scratch: &Scratch, mut tell: impl FnMut(Verdict) -> Result<(), E>) -> Result<(), E> {
    let mut after: Option<ContentHash> = None;
    loop {
        let page = scratch.verdicts(None, after, PAGE).map_err(GcError::from)?;
        after = page.last().map(|verdict| verdict.content_hash);
        let is_last = page.len() < PAGE;
        page.into_iter().try_for_each(&mut tell)?;
        if is_last {
            return Ok(());
        }
    }
}
