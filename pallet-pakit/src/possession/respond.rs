//! Answers. The same check stands before the pool, which lets nothing in that proves nothing, and before the state: an answer
//! without a signature is taken because of what it shows, so it is not taken on anybody's word, a transaction extension's
//! included.

use super::{Answer, OnChallengeOutcome, RoundOutcome, Stake};
use crate::{
    BlocksWithRoom, Config, Error, Event, HostHasher, Pallet, RemovedRanges, Stakes, WeightInfo,
    types::{HeaderBytes, InclusionPath},
};
use codec::Encode;
use frame_support::{
    dispatch::DispatchResult,
    ensure,
    pallet_prelude::{
        InvalidTransaction, TransactionPriority, TransactionSource, TransactionValidityError,
        TransactionValidityWithRefund, ValidTransaction,
    },
    weights::Weight,
};
use pakit_primitives::{
    Head,
    chain::DagId,
    possession::{AnswerError, ChallengeNumber, verify_answer, verify_drawn_block},
    slice::SliceError,
};
use sp_runtime::traits::Zero;

/// Blocks for which an answer waits in a pool. It is sent again where it was lost.
const LONGEVITY: u64 = 16;
/// Before transactions that pay: there are few answers, and each must not come late.
const PRIORITY: TransactionPriority = TransactionPriority::MAX / 2;

/// A right answer.
struct Checked<T: Config> {
    stake: Stake<T>,
    /// Which of the round's draws it answers.
    place: usize,
    position: u64,
    leaf_index: u64,
    declared: bool,
}

impl<T: Config> Pallet<T> {
    /// What it weighs to take an answer.
    pub(crate) fn weight_of_response(inclusion: &InclusionPath, answer: &Answer) -> Weight {
        let hashes = inclusion.len() as u32;
        let taking = match answer {
            Answer::Slice { siblings, .. } => T::WeightInfo::respond(hashes, siblings.len() as u32),
            Answer::Removed { .. } => T::WeightInfo::respond_removed(hashes),
        };
        taking.saturating_add(T::OnChallengeOutcome::weight())
    }

    /// What it weighs to check one beforehand.
    pub(crate) fn weight_of_authorization(inclusion: &InclusionPath, answer: &Answer) -> Weight {
        let hashes = inclusion.len() as u32;
        match answer {
            Answer::Slice { siblings, .. } => T::WeightInfo::authorize_respond(hashes, siblings.len() as u32),
            Answer::Removed { .. } => T::WeightInfo::authorize_respond_removed(hashes),
        }
    }

    /// Whether a pool takes the answer. It provides the challenge, so that of several answers one is taken.
    pub(crate) fn authorize_response(
        _: TransactionSource,
        dag: &DagId,
        challenge: &ChallengeNumber,
        header: &HeaderBytes,
        inclusion: &InclusionPath,
        answer: &Answer,
    ) -> TransactionValidityWithRefund {
        // It would fail in a block, and come back for nothing.
        ensure!(Self::lets_answers_through(), InvalidTransaction::Call);
        Self::check_response(*dag, *challenge, header, inclusion, answer).map_err(refused)?;
        let valid = ValidTransaction::with_tag_prefix("PakitRespond")
            .and_provides((dag, challenge))
            .priority(PRIORITY)
            .longevity(LONGEVITY)
            .propagate(true)
            .build()?;
        Ok((valid, Weight::zero()))
    }

    /// Whether the chain would take the answer now, as far as its state tells: for who is about to send one.
    pub(crate) fn ensure_answers(
        dag: DagId,
        challenge: ChallengeNumber,
        header: &HeaderBytes,
        inclusion: &InclusionPath,
        answer: &Answer,
    ) -> Result<(), Error<T>> {
        Self::check_response(dag, challenge, header, inclusion, answer).map(drop)
    }

    /// Takes the answer, and ends the round with its last one.
    pub(crate) fn take_response(
        dag: DagId,
        challenge: ChallengeNumber,
        header: &HeaderBytes,
        inclusion: &InclusionPath,
        answer: &Answer,
    ) -> DispatchResult {
        let Checked { mut stake, place, position, leaf_index, declared } =
            Self::check_response(dag, challenge, header, inclusion, answer)?;
        let draws = stake.round.as_mut().and_then(|round| round.drawn.as_mut()).map(|drawn| &mut drawn.draws);
        let draws = draws.ok_or(Error::<T>::UnknownChallenge)?;
        draws.get_mut(place).ok_or(Error::<T>::UnknownChallenge)?.answered = true;
        let (count, complete) = (draws.len() as u32, draws.iter().all(|draw| draw.answered));
        let tallied = if declared { &mut stake.tally.declared } else { &mut stake.tally.answered };
        *tallied = tallied.saturating_add(1);
        Self::deposit_event(Event::ChallengeAnswered { dag, challenge, position, leaf_index, declared });
        if complete {
            stake.round = None;
        }
        Stakes::<T>::insert(dag, &stake);
        if complete {
            Self::tell_outcome(dag, &stake, RoundOutcome { answered: count, missed: 0, slashed: Zero::zero() });
        }
        Ok(())
    }

    /// What is cheap comes first, so that a wrong answer costs its reader little: two reads, lengths, and only then hashes.
    fn check_response(
        dag: DagId,
        challenge: ChallengeNumber,
        header: &HeaderBytes,
        inclusion: &InclusionPath,
        answer: &Answer,
    ) -> Result<Checked<T>, Error<T>> {
        let stake = Stakes::<T>::get(dag).ok_or(Error::<T>::NotStaked)?;
        let round = stake.round.as_ref().ok_or(Error::<T>::UnknownChallenge)?;
        let drawn = round.drawn.as_ref().ok_or(Error::<T>::UnknownChallenge)?;
        let (place, draw) = drawn.draw(challenge).ok_or(Error::<T>::UnknownChallenge)?;
        ensure!(!draw.answered, Error::<T>::AlreadyAnswered);
        ensure!(BlocksWithRoom::<T>::get() < drawn.due, Error::<T>::ResponseTooLate);
        let (position, head) = (draw.position, &round.head);
        let (leaf_index, declared) = match answer {
            Answer::Slice { slice, siblings } => {
                let proved = verify_answer::<HostHasher>(head, position, header, inclusion, slice, siblings);
                (proved.map_err(Error::<T>::from)?.1.leaf_index, false)
            }
            Answer::Removed { range } => {
                let range = RemovedRanges::<T>::get(dag, range).ok_or(Error::<T>::UnknownRange)?;
                ensure!(range.effective_at <= round.frozen_at, Error::<T>::RangeNotEffective);
                let leaf_index = Self::drawn_leaf(head, position, header, inclusion)?;
                ensure!((range.first..=range.last).contains(&leaf_index), Error::<T>::NotInRange);
                (leaf_index, true)
            }
        };
        Ok(Checked { place, position, leaf_index, declared, stake })
    }

    fn drawn_leaf(
        head: &Head,
        position: u64,
        header: &HeaderBytes,
        inclusion: &InclusionPath,
    ) -> Result<u64, Error<T>> {
        let proved = verify_drawn_block::<HostHasher>(head, position, header, inclusion);
        Ok(proved.map_err(Error::<T>::from)?.1.leaf_index)
    }
}

/// How a pool names the refusal: what may have been right once is stale, and anything else carries the index of the error, by
/// which metadata name it.
fn refused<T: Config>(error: Error<T>) -> TransactionValidityError {
    let reason = match error {
        Error::<T>::NotStaked
        | Error::<T>::UnknownChallenge
        | Error::<T>::AlreadyAnswered
        | Error::<T>::ResponseTooLate => InvalidTransaction::Stale,
        // The encoding of an error without fields is its index.
        other => InvalidTransaction::Custom(other.encode().first().copied().unwrap_or(u8::MAX)),
    };
    TransactionValidityError::Invalid(reason)
}

impl<T: Config> From<AnswerError> for Error<T> {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Block(error) => error.into(),
            AnswerError::Slice(SliceError::WrongSliceLength) => Self::WrongSliceLength,
            AnswerError::Slice(SliceError::WrongSiblingCount) => Self::WrongSiblingCount,
            AnswerError::Slice(SliceError::Mismatch) => Self::SliceMismatch,
            // A slice beyond its content is a position that the block does not hold.
            _ => Self::PositionNotInBlock,
        }
    }
}
