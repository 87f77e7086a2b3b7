//! Legal holds and the retention rule: decisions that keep contents, each told by an audit block.

use super::{
    Removal,
    hold::{Fate, HoldError, Holders, Rules},
    marks::{Mark, Pin},
    record::{self, Action, AuditedBlock, RECORD_BLOCKS_MAX, RecordError},
};
use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
    cid::Cid,
    commit::CommitError,
    sqlite::scratch::Scratch,
};
use pakit_primitives::{BlockHash, ContentHash};

/// Name of the setting that holds the retention rule: 8 bytes, little-endian; no rule where it is empty or not there.
const SETTING_KEEP_FOR_MS: &str = "keep_for_ms";

/// The retention rule of a repository. It stands in the repository and not in its settings file: a rule that a law demands should
/// not be gone because a file was left out of a copy, and each change of it is told by an audit block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Milliseconds for which a content stays after its block's time, also if it is forgotten.
    pub keep_for_ms: Option<u64>,
}

impl Retention {
    /// Reads the rule.
    pub fn read(backend: &dyn DagBackend) -> Result<Self, BackendError> {
        let Some(bytes) = backend.setting(SETTING_KEEP_FOR_MS)?.filter(|bytes| !bytes.is_empty()) else {
            return Ok(Self::default());
        };
        let bytes = bytes.try_into().map_err(|_| BackendError::Damaged("the retention rule cannot be read".into()))?;
        Ok(Self { keep_for_ms: Some(u64::from_le_bytes(bytes)) })
    }

    /// Name and value of the setting that holds the rule.
    pub(crate) fn setting(&self) -> (&'static str, Vec<u8>) {
        let value = self.keep_for_ms.map_or_else(Vec::new, |keep_for_ms| keep_for_ms.to_le_bytes().to_vec());
        (SETTING_KEEP_FOR_MS, value)
    }

    /// Unix milliseconds up to which the rule keeps the content of a block of that time; 0 without a rule.
    pub fn until_ms(&self, timestamp_ms: u64) -> u64 {
        self.keep_for_ms.map_or(0, |keep_for_ms| timestamp_ms.saturating_add(keep_for_ms))
    }
}

/// Why something was not decided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The audit block could not be made or committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What is said of it cannot be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What the block leads to could not be read.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// There is nothing to hold any more.
    #[error("block {0} cannot be pinned: its content is not there any more; put it again first")]
    NotKept(BlockHash),
    /// A folder of which something is gone.
    #[error(
        "block {block_hash} cannot be pinned: its listing names {cid}, which is not there any more; put it again first"
    )]
    MemberNotKept {
        /// The folder's block.
        block_hash: BlockHash,
        /// What is gone.
        cid: Cid,
    },
    /// No pin is there to be taken away.
    #[error("block {0} is not pinned")]
    NotPinned(BlockHash),
    /// More blocks than one audit block can tell of.
    #[error("at most {RECORD_BLOCKS_MAX} blocks can be pinned at once")]
    TooMany,
}

impl Removal<'_> {
    /// Pins blocks up to `until_ms`, or for good; a pin that is there is replaced. Nothing that a pinned block's listing leads to can be
    /// forgotten or dropped while the pin holds. All of it is there when it is pinned.
    pub fn pin(&mut self, blocks: &[DagBlock], until_ms: Option<u64>, why: &str) -> Result<DagBlock, DecideError> {
        record::check_why(why)?;
        for block in blocks {
            self.check_all_kept(block)?;
        }
        let (named, audit) = self.decide(Action::Pin, blocks, until_ms, why)?;
        for block in named {
            self.committer.mark(Mark::Pin(Pin { leaf_index: block.leaf_index, until_ms, audit: audit.leaf_index() }));
        }
        self.committer.flush()?;
        Ok(audit)
    }

    /// Takes pins away.
    pub fn unpin(&mut self, blocks: &[DagBlock], why: &str) -> Result<DagBlock, DecideError> {
        record::check_why(why)?;
        for block in blocks {
            if self.backend.mark(block.leaf_index())?.pin.is_none() {
                return Err(DecideError::NotPinned(block.block_hash()));
            }
        }
        let (named, audit) = self.decide(Action::Unpin, blocks, None, why)?;
        for block in named {
            self.committer.mark(Mark::Unpin { leaf_index: block.leaf_index });
        }
        self.committer.flush()?;
        Ok(audit)
    }

    /// Sets the retention rule.
    pub fn retain(&mut self, retention: Retention, why: &str) -> Result<DagBlock, DecideError> {
        record::check_why(why)?;
        let (_, audit) = self.decide(Action::Retain, &[], retention.keep_for_ms, why)?;
        let (key, value) = retention.setting();
        self.committer.set(key, value);
        self.committer.flush()?;
        Ok(audit)
    }

    fn decide(
        &mut self,
        action: Action,
        blocks: &[DagBlock],
        term_ms: Option<u64>,
        why: &str,
    ) -> Result<(Vec<AuditedBlock>, DagBlock), DecideError> {
        let mut named: Vec<AuditedBlock> = blocks.iter().map(AuditedBlock::from).collect();
        named.sort_unstable_by_key(|block| block.leaf_index);
        named.dedup();
        if named.len() > RECORD_BLOCKS_MAX {
            return Err(DecideError::TooMany);
        }
        let audit = self.committer.record(action, why, term_ms, named.clone())?;
        Ok((named, audit))
    }

    fn check_all_kept(&self, block: &DagBlock) -> Result<(), DecideError> {
        let scratch = Scratch::new()?;
        let rules = Rules { now_ms: self.now_ms, retention: Retention::default(), declared: None };
        let holders = Holders { backend: self.backend, scratch: &scratch, rules };
        let content_hash = block.header().content_hash;
        let is_kept =
            |hash: &ContentHash| Ok::<_, BackendError>(self.backend.payload(hash)?.is_some_and(|info| info.is_kept));
        if !is_kept(&content_hash)? {
            return Err(DecideError::NotKept(block.block_hash()));
        }
        scratch.queue(&content_hash, block.leaf_index(), Fate::Goes)?;
        let mut gone = None;
        holders.follow(|cid, _| {
            if gone.is_none() && !is_kept(&cid.content_hash())? {
                gone = Some(*cid);
            }
            Ok(())
        })?;
        match gone {
            Some(cid) => Err(DecideError::MemberNotKept { block_hash: block.block_hash(), cid }),
            None => Ok(()),
        }
    }
}
