//! What the hook does with staked DAGs: a few in each block, one after the other, round and round.
//!
//! All staked DAGs may be due in one block. Each block takes up at most `DagsPerBlock` of them from where the block before
//! left off, in the order of their keys; the others are carried over. So a block's work is bounded, nobody is passed over,
//! and how long a round over all takes follows from their number alone.

use super::{Draw, Drawn, OnChallengeOutcome, PerChallenge, Round, RoundOutcome, Slashed, Stake};
use crate::{
    BlocksWithRoom, Config, Error, Event, NextChallenge, NextVisit, Pallet, Stakes, WeightInfo,
    types::{AccountIdOf, BalanceOf},
};
use alloc::vec::Vec;
use codec::Encode;
use frame_support::{
    dispatch::DispatchResult,
    ensure,
    traits::{Get, Randomness},
    weights::Weight,
};
use frame_system::pallet_prelude::BlockNumberFor;
use pakit_primitives::{
    chain::DagId,
    hasher::Digest,
    possession::{CHALLENGES_MAX, CHALLENGES_MIN, drawn_position},
};
use sp_io::hashing::blake2_256;
use sp_runtime::traits::Saturating;

/// What the randomness is asked for, so that nobody else gets the same.
const SUBJECT: &[u8] = b"pakit/possession/1";

impl<T: Config> Pallet<T> {
    /// Visits the next DAGs; gives what that weighed.
    pub(crate) fn visit_dags(now: BlockNumberFor<T>) -> Weight {
        let mut weight = T::WeightInfo::visit_none();
        let visits_max = T::DagsPerBlock::get();
        let clock = BlocksWithRoom::<T>::get();
        let mut dags = match NextVisit::<T>::get() {
            Some(last) => Stakes::<T>::iter_keys_from_key(last),
            None => Stakes::<T>::iter_keys(),
        };
        let mut last = None;
        for _ in 0..visits_max {
            last = dags.next();
            let Some(dag) = last else { break };
            weight = weight.saturating_add(Self::visit(dag, now, clock));
        }
        // From the beginning again, once the end is reached.
        NextVisit::<T>::set(last);
        weight
    }

    /// Does what is due for a DAG, one step; gives its weight.
    pub(crate) fn visit(dag: DagId, now: BlockNumberFor<T>, clock: u64) -> Weight {
        let Some(stake) = Stakes::<T>::get(dag) else { return T::WeightInfo::visit_idle() };
        match &stake.round {
            None if stake.is_challenged(now) && stake.next_round_at <= now => {
                Self::freeze(dag, stake, now);
                T::WeightInfo::visit_freeze()
            }
            Some(Round { drawn: None, .. }) => {
                Self::draw(dag, stake, clock);
                T::WeightInfo::visit_draw()
            }
            Some(Round { drawn: Some(drawn), .. }) if drawn.due <= clock => {
                Self::settle_missed(dag, stake, None);
                T::WeightInfo::visit_miss().saturating_add(T::OnChallengeOutcome::weight())
            }
            _ => T::WeightInfo::visit_idle(),
        }
    }

    /// Remembers the latest head. What is drawn later is drawn from this, so that an archive cannot add to its log, or
    /// declare a removal, once it knows what it will be asked for.
    fn freeze(dag: DagId, mut stake: Stake<T>, now: BlockNumberFor<T>) {
        // Every DAG has a latest head.
        let Some((_, anchored)) = Self::latest_head(dag) else { return };
        let (head, slices) = (anchored.head, anchored.slices);
        stake.round = Some(Round { head, slices, frozen_at: now, drawn: None });
        stake.next_round_at = now.saturating_add(T::ChallengePeriod::get());
        Stakes::<T>::insert(dag, stake);
        Self::deposit_event(Event::HeadFrozen { dag, head, slices });
    }

    /// Draws the challenges, if there is randomness that nobody knew when the head was frozen.
    fn draw(dag: DagId, stake: Stake<T>, clock: u64) {
        if let Some(seed) = stake.round.as_ref().and_then(|round| Self::seed_for(dag, round)) {
            Self::draw_from(dag, stake, &seed, clock);
        }
    }

    pub(crate) fn draw_from(dag: DagId, mut stake: Stake<T>, seed: &T::Hash, clock: u64) {
        let Some(round) = &mut stake.round else { return };
        let count = T::ChallengesPerRound::get().clamp(CHALLENGES_MIN, CHALLENGES_MAX);
        let positions: Vec<u64> =
            (0..count).map(|index| drawn_position(&digest_of::<T>(dag, seed, index), round.slices)).collect();
        let first = NextChallenge::<T>::mutate(|next| {
            let first = *next;
            *next = next.saturating_add(count.into());
            first
        });
        // The block in which they are drawn does not count: nobody can answer in it.
        let due = clock.saturating_add(1).saturating_add(T::ResponseDeadline::get().into());
        let draws = positions.iter().map(|position| Draw { position: *position, answered: false }).collect();
        round.drawn = Some(Drawn { first, due, draws: PerChallenge::truncate_from(draws) });
        Stakes::<T>::insert(dag, stake);
        Self::deposit_event(Event::ChallengesDrawn {
            dag,
            first,
            positions: PerChallenge::truncate_from(positions),
            due,
        });
    }

    /// The randomness of a round; none while the newest was known before its head was frozen.
    pub(crate) fn seed_for(dag: DagId, round: &Round<BlockNumberFor<T>>) -> Option<T::Hash> {
        let (seed, known_since) = T::Randomness::random(&(SUBJECT, dag, round.frozen_at).encode());
        (known_since > round.frozen_at).then_some(seed)
    }

    /// Anyone may settle a missed deadline before the hook comes by, and has the reporter's part for it.
    pub(crate) fn report_missed(by: &AccountIdOf<T>, dag: DagId) -> DispatchResult {
        let stake = Stakes::<T>::get(dag).ok_or(Error::<T>::NotStaked)?;
        let drawn = stake.round.as_ref().and_then(|round| round.drawn.as_ref()).ok_or(Error::<T>::UnknownChallenge)?;
        ensure!(drawn.due <= BlocksWithRoom::<T>::get(), Error::<T>::DeadlineNotOver);
        Self::settle_missed(dag, stake, Some(by));
        Ok(())
    }

    /// Ends a round whose deadline is over. Each challenge that nobody answered costs its share of the stake.
    fn settle_missed(dag: DagId, mut stake: Stake<T>, reporter: Option<&AccountIdOf<T>>) {
        let Some(drawn) = stake.round.take().and_then(|round| round.drawn) else { return };
        let missed: Vec<_> = drawn.open().map(|(challenge, _)| challenge).collect();
        // At most 16.
        let count = missed.len() as u32;
        let Slashed { slashed, rewarded } = Self::slash(&mut stake, T::MissSlash::get(), count, reporter);
        stake.tally.missed = stake.tally.missed.saturating_add(count.into());
        Stakes::<T>::insert(dag, &stake);
        Self::deposit_event(Event::ChallengeMissed {
            dag,
            challenges: PerChallenge::truncate_from(missed),
            slashed,
            rewarded,
            reporter: reporter.cloned(),
        });
        let answered = (drawn.draws.len() as u32).saturating_sub(count);
        Self::tell_outcome(dag, &stake, RoundOutcome { answered, missed: count, slashed });
    }

    /// To be called when all is stored: whoever is told may look at the stake, and act on it.
    pub(crate) fn tell_outcome(dag: DagId, stake: &Stake<T>, outcome: RoundOutcome<BalanceOf<T>>) {
        T::OnChallengeOutcome::on_challenge_outcome(dag, &stake.staker, &outcome);
    }
}

/// One digest for each challenge of a round.
fn digest_of<T: Config>(dag: DagId, seed: &T::Hash, index: u32) -> Digest {
    blake2_256(&(SUBJECT, dag, seed, index).encode())
}
