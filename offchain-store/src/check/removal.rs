//! The part of an audit that is about removal: what is gone was given up, and each decision is told by an audit block.

use super::{Checker, Depth, PAGE, Problem, problem::shortened};
use crate::{
    removal::{
        AuditRecord,
        record::RECORD_BYTES_MAX,
        replay::{Difference, differences},
    },
    sqlite::scratch::Scratch,
};
use pakit_primitives::ContentHash;

impl Checker<'_> {
    /// All blocks of a content that was removed are forgotten.
    pub(super) fn check_forgotten(&mut self, content_hash: &ContentHash) {
        let mut after = None;
        loop {
            let page = self.backend.find_content(content_hash, after, PAGE);
            let Some(page) = self.read(page, || format!("blocks with the content {content_hash}")) else { return };
            for leaf_index in &page {
                let mark = self.backend.mark(*leaf_index);
                let mark = self.read(mark, || format!("marks of block {leaf_index}"));
                if mark.is_some_and(|mark| mark.forgotten.is_none()) {
                    self.found(Problem::RemovedWhileHeld { leaf_index: *leaf_index });
                }
            }
            after = page.last().copied();
            if page.len() < PAGE {
                return;
            }
        }
    }

    /// Marks are what the audit trail says, and none of its blocks is left out.
    pub(super) fn check_marks(&mut self) {
        let mut found = Vec::new();
        let compared = Scratch::new().and_then(|scratch| {
            let record = &mut |leaf_index| Ok(self.audit_record(leaf_index));
            // Many of one kind say no more than a few.
            let tell = &mut |difference| found.extend((found.len() < PAGE).then_some(difference));
            differences(self.backend, &scratch, self.report.depth == Depth::Full, record, tell)
        });
        self.read(compared, || "the marks of blocks".into());
        for difference in found {
            self.found(match difference {
                Difference::WrongAudit { leaf_index, what } => {
                    Problem::WrongAudit { leaf_index, what: shortened(what) }
                }
                Difference::Untold { leaf_index, mark } => Problem::UntoldMark { leaf_index, mark },
                Difference::Lost { leaf_index, mark } => Problem::LostMark { leaf_index, mark },
                Difference::Retention => Problem::WrongRetention,
            });
        }
    }

    /// What an audit block says, or what is wrong with it.
    fn audit_record(&self, leaf_index: u64) -> Result<AuditRecord, String> {
        let block = self.backend.block(leaf_index).map_err(|error| error.to_string())?.ok_or("it is missing")?;
        let (content_hash, size) = (block.header().content_hash, block.header().original_size);
        if size > RECORD_BYTES_MAX {
            return Err("it is larger than a record".into());
        }
        let chunks = self.backend.chunks(&content_hash, 0, PAGE).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        for chunk in &chunks {
            bytes.extend(self.restore(&chunk.chunk_hash)?);
        }
        if blake3::hash(&bytes).as_bytes() != content_hash.as_bytes() {
            return Err("its content does not match its hash".into());
        }
        AuditRecord::decode(&bytes).map_err(|error| error.to_string())
    }
}
