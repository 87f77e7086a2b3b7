//! What is done for one DAG after a block: its open challenges are answered, and its archive's head is compared with the
//! anchored one.

use super::{
    AskError, LOG_TARGET,
    ask::Asked,
    companions::Companion,
    notes::{SentAnswers, clear_behind, note_behind},
};
use crate::{
    Call, Config, Error, Pallet,
    possession::{Answer, SliceBytes, SliceSiblings},
    types::{HeaderBytes, InclusionPath, OpenChallengeOf},
};
use alloc::{format, vec::Vec};
use codec::{Decode, Encode, MaxEncodedLen};
use frame_system::{
    offchain::{CreateAuthorizedTransaction, SubmitTransaction},
    pallet_prelude::BlockNumberFor,
};
use pakit_primitives::possession::ChallengeNumber;
use sp_runtime::{SaturatedConversion, offchain::Timestamp};

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
    let bytes = asked.decode(&path, AnswerBytes::max_encoded_len());
    let AnswerBytes { header, inclusion, slice, siblings } =
        bytes.map_err(|source| Failure::NotAsked { challenge, source })?;
    let answer = Answer::Slice { slice, siblings };
    Pallet::<T>::ensure_answers(dag, challenge, &header, &inclusion, &answer)
        .map_err(|error: Error<T>| Failure::Refused { challenge, reason: error.into() })?;
    let call = Call::<T>::respond { dag, challenge, header, inclusion, answer };
    let extrinsic = T::create_authorized_transaction(call.into());
    SubmitTransaction::<T, Call<T>>::submit_transaction(extrinsic).map_err(|()| Failure::NotPooled(challenge))?;
    log::info!(target: LOG_TARGET, "DAG {dag}: challenge {challenge} is answered");
    Ok(())
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
