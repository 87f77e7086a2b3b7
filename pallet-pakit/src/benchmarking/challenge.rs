//! Stakes, challenges and evidence as they are at their worst.

use super::{ANCHORS, bytes_of, genesis, hash_of, header_on, newest_index, parent, store_dag};
use crate::{
    Config, HoldReason, HostHasher, NextChallenge, Pallet, RemovedCount, RemovedRanges, Stake, Stakes,
    possession::{Answer, Draw, Drawn, PerChallenge, Round},
    sparse_log::SparseLog,
    types::{AccountIdOf, BalanceOf, EvidenceOf, HeaderBytes, InclusionPath},
};
use alloc::vec::Vec;
use frame_benchmarking::account;
use frame_support::{
    BoundedVec,
    traits::{Get, fungible::Inspect},
};
use frame_system::pallet_prelude::BlockNumberFor;
use pakit_primitives::{
    ContentHash, Hasher, Head, Header,
    chain::DagId,
    fraud::Evidence,
    hasher::Digest,
    header::{LEAVES_MAX, SIZE_LIMIT},
    possession::{CHALLENGES_MAX, ChallengeNumber, RemovedRange, Tally},
    slice::SLICE_BYTES,
};
use sp_runtime::traits::{Bounded, Saturating, Zero};

/// A stake of which a reporter's part is enough for an account to exist.
pub(super) fn stake_amount<T: Config>() -> BalanceOf<T> {
    T::StakeMin::get().max(T::Currency::minimum_balance().saturating_mul(100u32.into()))
}

/// Puts a stake, all of it held, behind a DAG.
pub(super) fn store_stake<T: Config>(staker: &AccountIdOf<T>, dag: DagId, round: Option<Round<BlockNumberFor<T>>>) {
    let amount = stake_amount::<T>();
    Pallet::<T>::hold(HoldReason::Stake, staker, amount).expect("the staker was given enough");
    let stake = Stake {
        staker: staker.clone(),
        amount,
        unbonding_since: None,
        next_round_at: Zero::zero(),
        faulty: false,
        tally: Tally::default(),
        round,
    };
    Stakes::<T>::insert(dag, stake);
}

/// Lets the unbonding of a stake be over.
pub(super) fn unbonded<T: Config>(dag: DagId) {
    Stakes::<T>::mutate(dag, |stake| {
        stake.iter_mut().for_each(|stake| stake.unbonding_since = Some(Zero::zero()));
    });
    frame_system::Pallet::<T>::set_block_number(T::UnbondingPeriod::get());
}

/// A head that was frozen so late that no randomness is newer.
pub(super) fn frozen_last<T: Config>(head: Head) -> Round<BlockNumberFor<T>> {
    Round { head, slices: head.size, frozen_at: Bounded::max_value(), drawn: None }
}

/// A round with the most challenges, all for the same position.
pub(super) fn drawn<T: Config>(head: Head, slices: u64, position: u64, due: u64) -> Round<BlockNumberFor<T>> {
    let draw = Draw { position, answered: false };
    let draws = PerChallenge::truncate_from(alloc::vec![draw; CHALLENGES_MAX as usize]);
    NextChallenge::<T>::put(u64::from(CHALLENGES_MAX));
    Round { head, slices, frozen_at: Zero::zero(), drawn: Some(Drawn { first: 0, due, draws }) }
}

/// Looks at the first staked DAG as the hook does.
pub(super) fn visit_first<T: Config>(now: BlockNumberFor<T>, clock: u64) {
    let dag = Stakes::<T>::iter_keys().next().expect("a DAG is staked");
    Pallet::<T>::visit(dag, now, clock);
}

/// The last open challenge of a round, and its answer: a slice with `siblings` of them in a block `hashes` below the root.
pub(super) fn last_open<T: Config>(
    hashes: u32,
    siblings: u32,
) -> (DagId, ChallengeNumber, HeaderBytes, InclusionPath, Answer) {
    let owner = super::account_with_balance::<T>("owner");
    let (content_hash, slice, siblings_of) = first_slice(siblings);
    let original_size = (SLICE_BYTES << siblings).min(SIZE_LIMIT - 1);
    let newest = header_on(newest_index(hashes), 1, parent(&genesis()));
    let newest = Header { content_hash, original_size, ..newest };
    let (dag, log) = super::dag_with_newest::<T>(&owner, hash_of(&genesis()), &newest);
    let size = newest.leaf_index + 1;
    let mut round = drawn::<T>(log.head(size), newest.slices_through(), newest.slices_before, 1);
    let last = u64::from(CHALLENGES_MAX) - 1;
    for draw in round.drawn.iter_mut().flat_map(|drawn| drawn.draws.iter_mut().take(last as usize)) {
        draw.answered = true;
    }
    store_stake::<T>(&owner, dag, Some(round));
    let inclusion: InclusionPath = BoundedVec::truncate_from(log.inclusion(newest.leaf_index, size));
    assert_eq!(inclusion.len() as u32, hashes);
    let answer =
        Answer::Slice { slice: BoundedVec::truncate_from(slice), siblings: BoundedVec::truncate_from(siblings_of) };
    (dag, last, bytes_of(&newest), inclusion, answer)
}

/// The first slice of a content of 2^siblings slices, and the content's hash.
fn first_slice(siblings: u32) -> (ContentHash, Vec<u8>, Vec<Digest>) {
    let slice = alloc::vec![7; SLICE_BYTES as usize];
    let siblings: Vec<Digest> = (0..siblings).map(|level| [level as u8; 32]).collect();
    let root = match siblings.split_last() {
        None => HostHasher::blake3(&slice),
        Some((topmost, lower)) => {
            let below = lower
                .iter()
                .fold(HostHasher::blake3_slice(0, &slice), |node, sibling| HostHasher::blake3_parent(&node, sibling));
            HostHasher::blake3_root(&below, topmost)
        }
    };
    (ContentHash::new(root), slice, siblings)
}

/// Declares all of a log removed since ever, and gives the answer that says so.
pub(super) fn declared<T: Config>(dag: DagId) -> Answer {
    let range = RemovedRange {
        first: 0,
        last: LEAVES_MAX - 1,
        effective_at: Zero::zero(),
        declared_by: account("owner", 0, 0),
        deposit: Zero::zero(),
    };
    RemovedRanges::<T>::insert(dag, 0, range);
    RemovedCount::<T>::insert(dag, 1);
    Answer::Removed { range: 0 }
}

/// A staked DAG at the largest log, whose last two blocks do not agree about slices.
pub(super) fn ill_formed<T: Config>(owner: &AccountIdOf<T>) -> (DagId, EvidenceOf) {
    let before = header_on(LEAVES_MAX - 2, 1, parent(&genesis()));
    let after = header_on(LEAVES_MAX - 1, 1, parent(&genesis()));
    let after = Header { slices_before: after.slices_before.saturating_add(9), ..after };
    let log = SparseLog::new([before.clone(), after.clone()].map(|header| (header.leaf_index, hash_of(&header))));
    let dag = store_dag::<T>(owner, hash_of(&genesis()), ANCHORS, log.head(LEAVES_MAX));
    store_stake::<T>(owner, dag, None);
    let path = |header: &Header| BoundedVec::truncate_from(log.inclusion(header.leaf_index, LEAVES_MAX));
    let evidence = Evidence::WrongSlicesBefore {
        before_inclusion: path(&before),
        before: bytes_of(&before),
        inclusion: path(&after),
        header: bytes_of(&after),
    };
    (dag, evidence)
}
