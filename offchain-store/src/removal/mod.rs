//! Removal: payloads that nobody holds any more go, headers and proofs stay, and every decision is itself a block.
//!
//! | file | holds |
//! |---|---|
//! | `marks.rs` | what a backend knows of removal: [`Marks`], forgotten blocks, pins, audit blocks |
//! | `record.rs` | the content of an audit block, `pakit-audit/1` |
//! | `decide.rs` | legal holds and the retention rule |
//! | `hold.rs` | what is held, by whom, and what nothing holds |
//! | `forget.rs` | giving blocks up |
//! | `declare.rs` | which removals a chain is to be told of beforehand |
//! | `ranges.rs` | leaves of the log, as ranges |
//! | `replay.rs` | whether marks are what the audit trail says |
//! | `gc.rs` | dropping the payloads that nothing holds |
//!
//! What is put is held until someone forgets it. A content stays as long as any of these is there: a block of it that was
//! not forgotten, a listing that stays and names it, a pin, or the retention rule. Restoring is putting again.

pub mod decide;
pub mod declare;
pub mod forget;
pub mod gc;
pub mod hold;
pub mod marks;
pub mod ranges;
pub mod record;
pub mod replay;

pub use decide::{DecideError, Retention};
pub use declare::DeclareError;
pub use forget::{ForgetError, ForgetOptions, Forgotten};
pub use gc::{GcError, GcSummary};
pub use hold::{Fate, HoldError, Verdict};
pub use marks::{BlockMark, Mark, MarkTotals, Marks, Pin};
pub use ranges::LeafRanges;
pub use record::{Action, AuditRecord, AuditedBlock, RecordError};
pub use replay::Difference;

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
    commit::Committer,
    get::GetError,
};
use pakit_primitives::BlockHash;
use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Items that are read from a backend at once.
pub(crate) const PAGE: usize = 1_024;

/// What removal works on: one writer, and the rules of the moment.
pub struct Removal<'a> {
    pub(crate) backend: &'a Arc<dyn DagBackend>,
    pub(crate) committer: &'a mut Committer,
    pub(crate) now_ms: u64,
    pub(crate) declared: Option<LeafRanges>,
}

impl<'a> Removal<'a> {
    /// Pins and the retention rule are looked at as of `now_ms`, in Unix milliseconds.
    pub fn new(backend: &'a Arc<dyn DagBackend>, committer: &'a mut Committer, now_ms: u64) -> Self {
        Self { backend, committer, now_ms, declared: None }
    }

    /// Leaves only these to be dropped: a stake on a chain stands for all others, whose removal was not declared there or is not in
    /// effect yet. A content goes when all its blocks are among them. Without a stake, `None`.
    #[must_use]
    pub fn declared(self, declared: Option<LeafRanges>) -> Self {
        Self { declared, ..self }
    }
}

/// The system's time in Unix milliseconds; 0 where its clock stands before 1970: then every pin holds and nothing is old.
pub fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// Who is said to have decided something when nobody says who: the user's name, at the machine's.
pub fn default_who() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var_os(name).filter(|name| !name.is_empty()));
    // A name that is no text is told as far as it is one.
    let user = user.map(|name| name.to_string_lossy().into_owned());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    record::plain_text(&format!("{user}@{}", system.nodename().to_string_lossy()), record::WHO_BYTES_MAX)
}

/// An audit block and what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// The block.
    pub block: DagBlock,
    /// Its content.
    pub record: AuditRecord,
}

/// Reads the record of the audit block at a place in the log.
pub fn audit_at(backend: &Arc<dyn DagBackend>, leaf_index: u64) -> Result<Audit, RecordError> {
    let missing = || BackendError::Damaged(format!("audit block {leaf_index} of the log is missing"));
    let block = backend.block(leaf_index)?.ok_or_else(missing)?;
    let record = record::read(backend, &block)?;
    Ok(Audit { block, record })
}

/// The record of the audit block at a place in the log, or what is wrong with it. That it could not be looked at says nothing of
/// it, and is an error: whoever went on would take the trail to be without it.
pub(crate) fn record_at(backend: &Arc<dyn DagBackend>, leaf_index: u64) -> Result<replay::Read, BackendError> {
    match audit_at(backend, leaf_index) {
        Ok(audit) => Ok(Ok(audit.record)),
        Err(RecordError::Backend(error)) => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// Who forgot a block, when and why, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// The audit block.
    pub audit_block: BlockHash,
    /// Unix milliseconds.
    pub time_ms: u64,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

impl From<Audit> for Told {
    fn from(audit: Audit) -> Self {
        let AuditRecord { time_ms, who, why, .. } = audit.record;
        Self { audit_block: audit.block.block_hash(), time_ms, who, why }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { audit_block, time_ms, who, why } = self;
        let time = i64::try_from(*time_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let time = time.map_or_else(|| format!("{time_ms} ms"), |time| format!("{time:.3}"));
        write!(f, "forgotten by {who} on {time}: {why}, audit block {audit_block}")
    }
}

/// All items of a list that is given in pages.
pub(crate) struct Pages<T, F> {
    read: F,
    page: VecDeque<T>,
    after: Option<T>,
    is_read: bool,
}

impl<T: Copy, F: FnMut(Option<T>) -> Result<Vec<T>, BackendError>> Pages<T, F> {
    /// `read` gives at most [`PAGE`] items after the given one, ascending; fewer only at the end.
    pub(crate) fn new(read: F) -> Self {
        Self { read, page: VecDeque::new(), after: None, is_read: false }
    }

    pub(crate) fn next(&mut self) -> Result<Option<T>, BackendError> {
        if self.page.is_empty() && !self.is_read {
            self.page = (self.read)(self.after)?.into();
            self.is_read = self.page.len() < PAGE;
            self.after = self.page.back().copied();
        }
        Ok(self.page.pop_front())
    }
}

/// What is to be told of a block whose content was forgotten: by whom, when and why.
pub(crate) fn told_of(backend: &Arc<dyn DagBackend>, leaf_index: u64) -> Result<Option<Audit>, GetError> {
    let Some(audit) = backend.mark(leaf_index)?.forgotten else { return Ok(None) };
    match audit_at(backend, audit) {
        Ok(audit) => Ok(Some(audit)),
        Err(RecordError::Backend(error)) => Err(error.into()),
        // That it was forgotten is known all the same.
        Err(_) => Ok(None),
    }
}
