//! What a backend knows of removal: [`Marks`].

use crate::backend::BackendError;
use pakit_primitives::ContentHash;

/// A legal hold: the block's content, and all that its listing leads to, stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The block.
    pub leaf_index: u64,
    /// Unix milliseconds up to which it holds; for good where it is `None`.
    pub until_ms: Option<u64>,
    /// Leaf index of the audit block that tells of it.
    pub audit: u64,
}

impl Pin {
    /// Whether it holds at a time in Unix milliseconds.
    pub fn holds(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until_ms| now_ms <= until_ms)
    }
}

/// What was decided about a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlockMark {
    /// Leaf index of the audit block that tells why the block was forgotten, if it was.
    pub forgotten: Option<u64>,
    /// Its pin, also one that has run out.
    pub pin: Option<Pin>,
    /// Whether it is an audit block.
    pub is_audit: bool,
}

/// A change of a mark, made in the batch that holds the audit block which tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// The block no longer holds its content.
    Forget {
        /// The block.
        leaf_index: u64,
        /// The audit block.
        audit: u64,
    },
    /// The block holds its content again.
    Restore {
        /// The block.
        leaf_index: u64,
    },
    /// A pin is set, or takes the place of the block's earlier one.
    Pin(Pin),
    /// The block's pin is taken away.
    Unpin {
        /// The block.
        leaf_index: u64,
    },
}

/// Sums over marks and removed payloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MarkTotals {
    /// Audit blocks.
    pub audits: u64,
    /// Blocks that are forgotten.
    pub forgotten: u64,
    /// Pins, also those that have run out.
    pub pins: u64,
    /// Payloads that were removed and not restored.
    pub removed: u64,
    /// Their plaintext bytes.
    pub removed_bytes: u64,
}

/// The part of a backend that is about removal. Every [`crate::DagBackend`] has it.
///
/// Lists are in ascending order, hold at most `limit` items and continue after the item named by `after`.
pub trait Marks: Send + Sync {
    /// What was decided about a block.
    fn mark(&self, leaf_index: u64) -> Result<BlockMark, BackendError>;

    /// Leaf indices of the blocks that are forgotten.
    fn forgotten(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError>;

    /// Pins by leaf index.
    fn pins(&self, after: Option<u64>, limit: usize) -> Result<Vec<Pin>, BackendError>;

    /// Leaf indices of the audit blocks.
    fn audits(&self, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError>;

    /// How many audit blocks there are.
    fn audit_count(&self) -> Result<u64, BackendError>;

    /// Leaf indices of the blocks with a codec.
    fn of_codec(&self, codec: u32, after: Option<u64>, limit: usize) -> Result<Vec<u64>, BackendError>;

    /// Sums over marks and removed payloads, counted anew.
    fn mark_totals(&self) -> Result<MarkTotals, BackendError>;

    /// Which of these contents some content of several chunks lists as a chunk; lists of contents that `except` names do
    /// not count. Reads all lists of chunks once, however many contents are asked for.
    fn listed(
        &self,
        contents: &[ContentHash],
        except: &dyn Fn(&ContentHash) -> Result<bool, BackendError>,
    ) -> Result<Vec<bool>, BackendError>;

    /// Clears away, durably, some of what neither a block nor a content names: the chunks of removed contents above all. Says whether there may
    /// be more. A bounded part of the work for each call. Nobody may be about to name chunks that an earlier batch brought.
    fn clear_unnamed(&self) -> Result<bool, BackendError>;
}
