//! What is told of stakes and challenges.

use crate::{
    BlocksWithRoom, Config, Pallet, RemovedCount, Stakes,
    types::{OpenChallengeOf, StakeInfoOf},
};
use alloc::vec::Vec;
use pakit_primitives::{
    chain::DagId,
    possession::{OpenChallenge, StakeInfo},
};

impl<T: Config> Pallet<T> {
    pub(crate) fn stake_info(dag: DagId) -> Option<StakeInfoOf<T>> {
        let stake = Stakes::<T>::get(dag)?;
        Some(StakeInfo {
            withdrawable_at: stake.withdrawable_at(),
            staker: stake.staker,
            amount: stake.amount,
            next_round_at: stake.next_round_at,
            frozen: stake.round.map(|round| (round.head, round.slices, round.frozen_at)),
            tally: stake.tally,
            ranges: RemovedCount::<T>::get(dag),
        })
    }

    /// At most 16, and none once it is too late for them.
    pub(crate) fn challenges_of(dag: DagId) -> Vec<OpenChallengeOf<T>> {
        let Some(round) = Stakes::<T>::get(dag).and_then(|stake| stake.round) else { return Vec::new() };
        let Some(drawn) = &round.drawn else { return Vec::new() };
        let blocks_left = drawn.due.saturating_sub(BlocksWithRoom::<T>::get());
        if blocks_left == 0 {
            return Vec::new();
        }
        let open = |(challenge, position)| OpenChallenge {
            dag,
            challenge,
            position,
            head: round.head,
            frozen_at: round.frozen_at,
            blocks_left,
        };
        drawn.open().map(open).collect()
    }
}
