//! What is done for one DAG after a block: its open challenges are answered, and its archive's head is compared with the
//! anchored one.

use super::{
    AskError, LOG_TARGET,
    ask::Asked,
    companions::Companion,
    notes::{SentAnswers, clear_behind, note_behind},
};
use crate::{
    Call, Config, Error, Pallet, RemovedRanges,
    possession::{Answer, SliceBytes, SliceSiblings},
    types::{HeaderBytes, InclusionPath, OpenChallengeOf},
};
use alloc::{format, vec::Vec};
use codec::{Decode, Encode, MaxEncodedLen};
use frame_system::{
    offchain::{CreateAuthorizedTransaction, SubmitTransaction},
    pallet_prelude::BlockNumberFor,
};
use pakit_primitives::{Header, possession::ChallengeNumber};
use sp_runtime::{SaturatedConversion, offchain::Timestamp};

/// The status by which a companion says that a content was let go.
const GONE: u16 = 410;
/// Most declared ranges of a DAG that are looked through for an answer.
const RANGES_MAX: usize = 16_384;

/// What did not go well. It is tried again after the next block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// The chain has no such DAG.
    #[error("the chain has no such DAG: is the list of companions for another chain?")]
    UnknownDag,
    /// The companion was not of help for a challenge.
    #[error("challenge {challenge} is not answered: {source}")]
    NotAsked { challenge: ChallengeNumber, source: AskError },
    /// The companion's answer is wrong, as the chain's own check found.
    #[error("challenge {challenge} is not answered: the companion's answer would be refused: {reason}")]
    Refused { challenge: ChallengeNumber, reason: &'static str },
    /// The content is gone, and that was not declared, or too late.
    #[error(
        "challenge {challenge} is not answered: the content of block {leaf_index} was removed, and no range covers it that \
         was declared in time"
    )]
    NotDeclared { challenge: ChallengeNumber, leaf_index: u64 },
    /// The node's pool did not take the answer.
    #[error("challenge {0} is not answered: the node's pool does not take the answer")]
    NotPooled(ChallengeNumber),
    /// The archive's head is not known.
    #[error("the archive's head is not known: {0}")]
    NoHead(AskError),
    /// The archive has fewer blocks than were anchored.
    #[error("the archive has {archived} blocks, and {anchored} are anchored: is it another one, or an old copy?")]
    ArchiveBehind { anchored: u64, archived: u64 },
    /// The archive's log is not the anchored one.
    #[error("the archive's log of {0} blocks is not the one that is anchored")]
    OtherLog(u64),
    /// The archive has blocks that are not anchored.
    #[error("the anchored head is behind: it covers {anchored} blocks, and the archive has {archived}")]
    AnchorBehind { anchored: u64, archived: u64 },
}

/// The bytes of an answer, as section 16 of docs/formats.md has them. Lengths are bounded while they are decoded.
#[derive(Decode, Encode, MaxEncodedLen)]
struct AnswerBytes {
    header: HeaderBytes,
    inclusion: InclusionPath,
    slice: SliceBytes,
    siblings: SliceSiblings,
}

/// Answers what is open and not answered lately, then compares heads.
pub(super) fn serve<T: Config + CreateAuthorizedTransaction<Call<T>>>(
    now: BlockNumberFor<T>,
    companion: &Companion,
    deadline: Timestamp,
    mut tell: impl FnMut(Failure),
) {
    let dag = companion.dag;
    let asked = Asked { address: companion.address, deadline };
    let open = Pallet::<T>::challenges_of(dag);
    let mut sent = SentAnswers::of(dag, &open);
    let mut due: Vec<_> = open.into_iter().filter(|open| sent.is_due(open, now)).collect();
    // Another one first after each block: one that takes all of the time does not keep the others waiting for ever.
    let turn = now.saturated_into::<u64>().checked_rem(due.len() as u64).unwrap_or_default();
    due.rotate_left(turn as usize);
    for open in due {
        match answer::<T>(&asked, &open) {
            Ok(()) => sent.note(&open, now),
            // It waits there since it was sent before.
            Err(Failure::NotPooled(_)) if sent.has(&open) => sent.note(&open, now),
            Err(failure) => {
                tell(failure);
                // Who is not there, or has used up the time, is not asked for more.
                if let Failure::NotAsked { source: AskError::Unreachable | AskError::TooSlow, .. } = failure {
                    return;
                }
            }
        }
    }
    if let Err(failure) = compare_heads::<T>(now, &asked, companion) {
        tell(failure);
    }
}

/// Asks for the answer, verifies it as the chain will, and sends it.
fn answer<T: Config + CreateAuthorizedTransaction<Call<T>>>(
    asked: &Asked,
    open: &OpenChallengeOf<T>,
) -> Result<(), Failure> {
    let (dag, challenge) = (open.dag, open.challenge);
    let path = format!("/v1/challenge?size={}&position={}", open.head.size, open.position);
    let (header, inclusion, answer) = match asked.decode(&path, AnswerBytes::max_encoded_len()) {
        Ok(AnswerBytes { header, inclusion, slice, siblings }) => {
            (header, inclusion, Answer::Slice { slice, siblings })
        }
        Err(AskError::Status(GONE)) => declared::<T>(asked, open)?,
        Err(source) => return Err(Failure::NotAsked { challenge, source }),
    };
    Pallet::<T>::ensure_answers(dag, challenge, &header, &inclusion, &answer)
        .map_err(|error: Error<T>| Failure::Refused { challenge, reason: error.into() })?;
    let call = Call::<T>::respond { dag, challenge, header, inclusion, answer };
    let extrinsic = T::create_authorized_transaction(call.into());
    SubmitTransaction::<T, Call<T>>::submit_transaction(extrinsic).map_err(|()| Failure::NotPooled(challenge))?;
    log::info!(target: LOG_TARGET, "DAG {dag}: challenge {challenge} is answered");
    Ok(())
}

/// What answers for a content that was let go: its block, and the range that was declared.
fn declared<T: Config>(
    asked: &Asked,
    open: &OpenChallengeOf<T>,
) -> Result<(HeaderBytes, InclusionPath, Answer), Failure> {
    let challenge = open.challenge;
    let path = format!("/v1/challenge/block?size={}&position={}", open.head.size, open.position);
    let bytes_max = HeaderBytes::max_encoded_len().saturating_add(InclusionPath::max_encoded_len());
    let (header, inclusion): (HeaderBytes, InclusionPath) =
        asked.decode(&path, bytes_max).map_err(|source| Failure::NotAsked { challenge, source })?;
    let leaf_index = match Header::decode(&header) {
        Ok(header) => header.leaf_index,
        Err(_) => return Err(Failure::NotAsked { challenge, source: AskError::Malformed }),
    };
    let mut ranges = RemovedRanges::<T>::iter_prefix(open.dag).take(RANGES_MAX);
    let in_time = ranges
        .find(|(_, range)| (range.first..=range.last).contains(&leaf_index) && range.effective_at <= open.frozen_at);
    let (range, _) = in_time.ok_or(Failure::NotDeclared { challenge, leaf_index })?;
    Ok((header, inclusion, Answer::Removed { range }))
}

/// Whether the anchored head is the archive's. Where it is behind that is written down, and told from time to time.
fn compare_heads<T: Config>(now: BlockNumberFor<T>, asked: &Asked, companion: &Companion) -> Result<(), Failure> {
    let (_, anchored) = Pallet::<T>::latest_head(companion.dag).ok_or(Failure::UnknownDag)?;
    let archived = asked.head().map_err(Failure::NoHead)?;
    let (anchored, sizes) = (anchored.head, (anchored.head.size, archived.size));
    if sizes.0 < sizes.1 {
        let is_to_be_told = note_behind(companion.dag, sizes.0, sizes.1, now);
        let behind = Failure::AnchorBehind { anchored: sizes.0, archived: sizes.1 };
        return if is_to_be_told { Err(behind) } else { Ok(()) };
    }
    clear_behind(companion.dag);
    match archived {
        archived if archived == anchored => Ok(()),
        archived if archived.size == anchored.size => Err(Failure::OtherLog(anchored.size)),
        _ => Err(Failure::ArchiveBehind { anchored: sizes.0, archived: sizes.1 }),
    }
}
