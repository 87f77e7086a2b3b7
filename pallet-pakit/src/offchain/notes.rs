//! What a node remembers from block to block, in its own storage: what it sent, and which archives are not anchored. Losing it
//! costs a request more.

use alloc::{format, vec::Vec};
use codec::{Decode, Encode};
use frame_support::{BoundedVec, traits::ConstU32};
use pakit_primitives::{
    Head,
    chain::DagId,
    possession::{CHALLENGES_MAX, ChallengeNumber, OpenChallenge},
};
use sp_runtime::{
    offchain::{StorageKind, storage::StorageValueRef},
    traits::AtLeast32BitUnsigned,
};

/// After so many blocks at most an answer is sent again, if the challenge is still open: the one before was lost, or stands on
/// a fork that is no more. Shorter than an answer's life in a pool, which takes it once.
const RESEND_BLOCKS: u32 = 5;
/// After so many blocks it is told again that an archive is not anchored.
const REMIND_BLOCKS: u32 = 100;

/// The key of a note about a DAG.
pub(super) fn key(what: &str, dag: DagId) -> Vec<u8> {
    format!("pakit/worker/{what}/{dag}").into_bytes()
}

/// The key of the note that an archive's head is not anchored.
#[must_use]
pub fn behind_key(dag: DagId) -> Vec<u8> {
    key("behind", dag)
}

/// An answer that was sent. With what was asked: on another fork a number may ask for something else.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
struct Sent<BlockNumber> {
    challenge: ChallengeNumber,
    position: u64,
    head: Head,
    at: BlockNumber,
}

/// Answers that were sent for a DAG, of its round under way.
pub(super) struct SentAnswers<BlockNumber> {
    key: Vec<u8>,
    sent: BoundedVec<Sent<BlockNumber>, ConstU32<CHALLENGES_MAX>>,
}

impl<BlockNumber: AtLeast32BitUnsigned + Copy + Encode + Decode> SentAnswers<BlockNumber> {
    /// Without those whose challenge is no longer open.
    pub(super) fn of(dag: DagId, open: &[OpenChallenge<BlockNumber>]) -> Self {
        let key = key("sent", dag);
        // What does not decode is not of this version, and what it tells of is sent again.
        let stored = StorageValueRef::persistent(&key).get();
        let mut sent: BoundedVec<Sent<BlockNumber>, _> = stored.ok().flatten().unwrap_or_default();
        sent.retain(|sent| open.iter().any(|open| sent.is_for(open)));
        Self { key, sent }
    }

    /// Whether to send an answer: none was sent, or it is a while ago.
    pub(super) fn is_due(&self, open: &OpenChallenge<BlockNumber>, now: BlockNumber) -> bool {
        let sent = self.sent.iter().find(|sent| sent.is_for(open));
        let wait = resend_after(open.blocks_left).into();
        sent.is_none_or(|sent| now < sent.at || now.saturating_sub(sent.at) >= wait)
    }

    /// Whether one was sent at all.
    pub(super) fn has(&self, open: &OpenChallenge<BlockNumber>) -> bool {
        self.sent.iter().any(|sent| sent.is_for(open))
    }

    /// Remembers that one was sent.
    pub(super) fn note(&mut self, open: &OpenChallenge<BlockNumber>, now: BlockNumber) {
        self.sent.retain(|sent| !sent.is_for(open));
        let sent = Sent { challenge: open.challenge, position: open.position, head: open.head, at: now };
        // A round has no more challenges than there is room for.
        if self.sent.try_push(sent).is_ok() {
            StorageValueRef::persistent(&self.key).set(&self.sent);
        }
    }
}

/// Blocks after which an answer is sent again: half of those that are left at most, so that a pool that was lost costs a part of
/// the time and never all of it, however short the deadline is.
fn resend_after(blocks_left: u64) -> u32 {
    u32::try_from(blocks_left / 2).unwrap_or(RESEND_BLOCKS).clamp(1, RESEND_BLOCKS)
}

impl<BlockNumber> Sent<BlockNumber> {
    fn is_for(&self, open: &OpenChallenge<BlockNumber>) -> bool {
        (self.challenge, self.position, self.head) == (open.challenge, open.position, open.head)
    }
}

/// That an archive has blocks which no anchor covers. Stands under [`behind_key`] for as long as that is so.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Behind<BlockNumber> {
    /// Blocks that the latest anchor covers.
    pub anchored: u64,
    /// Blocks that the archive has.
    pub archived: u64,
    /// The block after which this was first so, with this anchor.
    pub since: BlockNumber,
    /// The block after which it was last told to the log.
    pub told: BlockNumber,
}

/// Writes down how far an anchor is behind. True if that is to be told: it is new, or was told long ago.
pub(super) fn note_behind<BlockNumber>(dag: DagId, anchored: u64, archived: u64, now: BlockNumber) -> bool
where
    BlockNumber: AtLeast32BitUnsigned + Copy + Encode + Decode,
{
    let key = behind_key(dag);
    let note = StorageValueRef::persistent(&key);
    let before: Option<Behind<BlockNumber>> = note.get().ok().flatten();
    let since = before.filter(|before| before.anchored == anchored && before.since <= now && before.told <= now);
    let is_told = since.as_ref().is_some_and(|before| now.saturating_sub(before.told) < REMIND_BLOCKS.into());
    let (since, told) = match since {
        Some(before) if is_told => (before.since, before.told),
        Some(before) => (before.since, now),
        None => (now, now),
    };
    note.set(&Behind { anchored, archived, since, told });
    !is_told
}

/// Forgets that an anchor was behind.
pub(super) fn clear_behind(dag: DagId) {
    let key = behind_key(dag);
    // A read is cheaper than a write, and mostly there is nothing.
    if sp_io::offchain::local_storage_get(StorageKind::PERSISTENT, &key).is_some() {
        sp_io::offchain::local_storage_clear(StorageKind::PERSISTENT, &key);
    }
}
