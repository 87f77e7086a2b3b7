//! Whether marks are what the audit trail says: all audit records from the first on, and what follows from them.
//!
//! A mark that somebody changed in the database, or that was lost, would let a content go that is held, or hold one for good. So `gc`
//! drops nothing before this has found no difference, and `check` names each.

use super::{
    PAGE, Pages, Retention,
    marks::Pin,
    record::{Action, AuditRecord},
};
use crate::{
    backend::{BackendError, DagBackend},
    cid,
    sqlite::scratch::Scratch,
};

/// Where marks and audit trail differ. Blocks are named by leaf index.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Difference {
    /// An audit block whose record cannot be read.
    #[error("the audit block {leaf_index} is wrong: {what}")]
    WrongAudit {
        /// Its place.
        leaf_index: u64,
        /// What is wrong.
        what: String,
    },
    /// A mark that no audit block tells of, or other than it tells.
    #[error("block {leaf_index} is marked as {mark}, and its audit block does not tell of it")]
    Untold {
        /// The block.
        leaf_index: u64,
        /// Forgotten or pinned.
        mark: &'static str,
    },
    /// A mark that an audit block tells of and that is not there.
    #[error("block {leaf_index} is not marked as {mark}, as its audit block tells")]
    Lost {
        /// The block.
        leaf_index: u64,
        /// Forgotten or pinned.
        mark: &'static str,
    },
    /// The retention rule is not what the last audit block about it tells.
    #[error("the retention rule is not what its audit block tells")]
    Retention,
}

/// The record of an audit block, or what is wrong with it.
pub(crate) type Read = Result<AuditRecord, String>;

/// Names of the marks.
const FORGOTTEN: &str = "forgotten";
const PINNED: &str = "pinned";

/// Tells of each difference; gives the retention rule that the trail tells of, and leaves its marks in the scratch. Costs the audit records; a thorough look also at what was put as
/// a listing since the newest of them. `record` reads the record of an audit block, or says what is wrong with it; differences that follow from a
/// wrong record are told too.
pub(crate) fn differences(
    backend: &dyn DagBackend,
    scratch: &Scratch,
    is_thorough: bool,
    record: &mut dyn FnMut(u64) -> Result<Read, BackendError>,
    tell: &mut dyn FnMut(Difference),
) -> Result<Retention, BackendError> {
    let mut retention = Retention::default();
    let mut audits = Pages::new(|after| backend.audits(after, PAGE));
    let (mut sequence, mut last) = (0, None);
    while let Some(leaf_index) = audits.next()? {
        match record(leaf_index)? {
            Ok(record) => {
                if record.sequence != sequence {
                    let what = format!("it counts {} audit blocks before it instead of {sequence}", record.sequence);
                    tell(Difference::WrongAudit { leaf_index, what });
                }
                if record.action == Action::Retain {
                    retention.keep_for_ms = record.term_ms;
                }
                replay(scratch, leaf_index, &record)?;
            }
            Err(what) => tell(Difference::WrongAudit { leaf_index, what }),
        }
        (sequence, last) = (sequence + 1, Some(leaf_index));
    }
    // The newest ones leave no gap in the numbers when they are left out.
    let mut later = Pages::new(|after: Option<u64>| backend.of_codec(cid::DAG_CBOR, after.or(last), PAGE));
    while let Some(leaf_index) = later.next()?.filter(|_| is_thorough) {
        if record(leaf_index)?.is_ok_and(|record| record.sequence == sequence) {
            tell(Difference::WrongAudit { leaf_index, what: "it is not listed as one".into() });
        }
    }
    match Retention::read(backend) {
        Ok(stored) if stored == retention => {}
        // A setting that cannot be read says nothing else than the trail does.
        Ok(_) | Err(BackendError::Damaged(_)) => tell(Difference::Retention),
        Err(error) => return Err(error),
    }
    let told = Pages::new(|after: Option<(u64, u64)>| scratch.told_forgotten(after.map(|(leaf, _)| leaf), PAGE));
    let kept = Pages::new(|after: Option<(u64, u64)>| {
        let leaves = backend.forgotten(after.map(|(leaf, _)| leaf), PAGE)?;
        leaves.into_iter().map(|leaf| Ok((leaf, backend.mark(leaf)?.forgotten.unwrap_or(u64::MAX)))).collect()
    });
    compare(told, kept, |(leaf_index, _)| leaf_index, FORGOTTEN, tell)?;
    let told = Pages::new(|after: Option<Pin>| scratch.told_pins(after.map(|pin| pin.leaf_index), PAGE));
    let kept = Pages::new(|after: Option<Pin>| backend.pins(after.map(|pin| pin.leaf_index), PAGE));
    compare(told, kept, |pin| pin.leaf_index, PINNED, tell)?;
    Ok(retention)
}

/// Follows the audit trail as it stands in the log, whatever the tables say: its blocks become the chosen ones of the scratch, its
/// marks are left there. Gives the retention rule; nothing where a number of the trail is missing, since what follows from the rest is not
/// what was decided.
pub(crate) fn learn(
    backend: &dyn DagBackend,
    scratch: &Scratch,
    record: &mut dyn FnMut(u64) -> Result<Read, BackendError>,
) -> Result<Option<Retention>, BackendError> {
    let (mut retention, mut sequence) = (Retention::default(), 0);
    let mut listings = Pages::new(|after| backend.of_codec(cid::DAG_CBOR, after, PAGE));
    while let Some(leaf_index) = listings.next()? {
        let Ok(record) = record(leaf_index)? else { continue };
        if record.sequence > sequence {
            return Ok(None);
        }
        // A record that repeats a number is none of the trail: it was put as a content.
        if record.sequence == sequence {
            if record.action == Action::Retain {
                retention.keep_for_ms = record.term_ms;
            }
            scratch.choose(leaf_index)?;
            replay(scratch, leaf_index, &record)?;
            sequence += 1;
        }
    }
    Ok(Some(retention))
}

fn replay(scratch: &Scratch, audit: u64, record: &AuditRecord) -> Result<(), BackendError> {
    for block in &record.blocks {
        let leaf_index = block.leaf_index;
        match record.action {
            Action::Forget => scratch.tell_forgotten(leaf_index, Some(audit))?,
            Action::Restore => scratch.tell_forgotten(leaf_index, None)?,
            Action::Pin => scratch.tell_pin(leaf_index, Some(Pin { leaf_index, until_ms: record.term_ms, audit }))?,
            Action::Unpin => scratch.tell_pin(leaf_index, None)?,
            Action::Retain | Action::Drop => {}
        }
    }
    Ok(())
}

/// Walks along two ascending lists of marks.
fn compare<T: Copy + PartialEq, A, B>(
    mut told: Pages<T, A>,
    mut kept: Pages<T, B>,
    leaf: impl Fn(T) -> u64,
    mark: &'static str,
    tell: &mut dyn FnMut(Difference),
) -> Result<(), BackendError>
where
    A: FnMut(Option<T>) -> Result<Vec<T>, BackendError>,
    B: FnMut(Option<T>) -> Result<Vec<T>, BackendError>,
{
    let (mut next_told, mut next_kept) = (told.next()?, kept.next()?);
    loop {
        let leaves = (next_told.map(&leaf), next_kept.map(&leaf));
        let (is_told_first, is_kept_first) = match leaves {
            (None, None) => return Ok(()),
            (Some(told), Some(kept)) => (told <= kept, kept <= told),
            (told, kept) => (told.is_some(), kept.is_some()),
        };
        match (leaves.0, leaves.1) {
            (Some(leaf_index), _) if !is_kept_first => tell(Difference::Lost { leaf_index, mark }),
            (_, Some(leaf_index)) if !is_told_first || next_told != next_kept => {
                tell(Difference::Untold { leaf_index, mark });
            }
            _ => {}
        }
        if is_told_first {
            next_told = told.next()?;
        }
        if is_kept_first {
            next_kept = kept.next()?;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{Config, InitOptions, StorageEngine, removal::ForgetOptions};
    use std::io::Cursor;

    /// Else a restore whose disk failed for a moment would leave out that blocks were forgotten, and say that all is well.
    #[test]
    fn a_record_that_cannot_be_looked_at_is_not_taken_for_one_that_is_not_there() {
        let engine = StorageEngine::in_memory(&InitOptions::default(), Config::default()).unwrap().0;
        let block = engine.store(Cursor::new(b"forgotten"), None).unwrap().block;
        let options = ForgetOptions { why: String::new(), only_listing: false };
        engine.removal(|mut removal| removal.forget(&[block], &options)).unwrap();
        let (backend, scratch) = (engine.backend().as_ref(), || Scratch::new().unwrap());
        let fails = &mut |_| Err(BackendError::DiskFull);
        let told = &mut |difference| panic!("{difference}");
        assert!(matches!(differences(backend, &scratch(), false, fails, told), Err(BackendError::DiskFull)));
        assert!(matches!(learn(backend, &scratch(), fails), Err(BackendError::DiskFull)));
        // What is wrong with a record is told, and ends nothing.
        let mut told = 0;
        let wrong = &mut |_| Ok(Err("it is wrong".to_owned()));
        differences(backend, &scratch(), false, wrong, &mut |_| told += 1).unwrap();
        assert!(told > 0);
        assert!(learn(backend, &scratch(), wrong).unwrap().is_some());
    }
}
