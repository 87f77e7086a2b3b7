//! A day of blocks, and what losing some bytes comes to.

use super::*;
use crate::{AnchoredHeads, Dags, NextDagId};
use sp_io::hashing::blake2_128;
use sp_runtime::TransactionOutcome;

/// Blocks of 6 seconds in a day.
pub(super) const DAY: u64 = 14_400;

/// A number below `below` that looks random and is always the same.
pub(super) fn chance(what: &str, at: u64, below: u64) -> u64 {
    use codec::Encode;
    let digest = blake2_128(&(what, at).encode());
    digest.iter().fold(0, |number, byte| (number * 256 + u64::from(*byte)) % below)
}

/// One in three blocks is full, some in long runs.
pub(super) fn is_full(at: u64) -> bool {
    chance("full", at, 3) == 0 || chance("run of full blocks", at / 40, 10) == 0
}

fn some_block(at: u64) {
    if is_full(at) {
        next_block_after_a_full_one();
    } else {
        next_block();
    }
    if chance("seed", at, 5) == 0 {
        renew_seed();
    }
}

/// The operator answers some challenges at once and others in the last block that has time for them.
fn answer_late(keeper: &Keeper, at: u64) {
    for open in Pakit::open_challenges(DAG) {
        if open.blocks_left <= 1 + chance("patience", open.challenge, 5) {
            assert_ok!(keeper.answer(&open).send());
        }
    }
    // Clients that do not know of the answer send it again.
    if let (0, Some(open)) = (at % 7, Pakit::open_challenges(DAG).first()) {
        let answer = keeper.answer(open);
        assert_ok!(answer.send());
        assert!(answer.send().is_err());
    }
}

/// Blocks that a fork makes and that are forgotten again, with challenges that differ from those of the branch that stays.
fn forked(keeper: &Keeper, at: u64) {
    let (seed, since) = (Seed::get(), SeedKnownSince::get());
    let blocks = [1, 2, 10][at as usize % 3];
    frame_support::storage::with_transaction(|| {
        for block in 0..blocks {
            some_block(at * 1_000 + block);
            renew_seed();
            answer_late(keeper, block);
        }
        TransactionOutcome::Rollback(Ok::<_, sp_runtime::DispatchError>(()))
    })
    .unwrap();
    Seed::set(seed);
    SeedKnownSince::set(since);
}

#[test]
fn an_honest_archive_is_never_slashed_in_a_day_of_full_blocks_late_answers_and_forks() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        for at in 0..DAY {
            some_block(at);
            answer_late(&keeper, at);
            if chance("fork", at, 50) == 0 {
                forked(&keeper, at);
            }
        }
        let tally = Pakit::stake_behind(DAG).unwrap().tally;
        assert_eq!((tally.missed, staked(OWNER)), (0, 1_000));
        assert!(tally.answered > 4 * DAY / 60, "{tally:?}");
        assert_eq!(System::block_number(), DAY + 1);
    });
}

/// DAGs that lost the same 5 of 100 slices.
const DAGS: u32 = 300;
const ROUNDS: u32 = 14;

#[test]
fn a_loss_of_5_percent_is_found_within_14_rounds_as_often_as_the_docs_compute() {
    new_test_ext().execute_with(|| {
        // One more than there are, so that each block comes to the end of them.
        DagsPerBlock::set(DAGS + 1);
        let keeper = Keeper::of_sizes([100; 100]).staked(1_000);
        for dag in 1..DAGS {
            Dags::<Test>::insert(dag, Dags::<Test>::get(DAG).unwrap());
            AnchoredHeads::<Test>::insert(dag, 2, AnchoredHeads::<Test>::get(DAG, 2).unwrap());
            Stakes::<Test>::insert(dag, Stakes::<Test>::get(DAG).unwrap());
        }
        NextDagId::<Test>::put(DAGS);
        let lost = |position: u64| keeper.leaf_of(position) % 20 == 7;
        let mut found = std::collections::BTreeSet::new();
        for _ in 0..ROUNDS {
            draw(DAG);
            for dag in (0..DAGS).filter(|dag| !found.contains(dag)).collect::<Vec<_>>() {
                let open = Pakit::open_challenges(dag);
                assert_eq!(open.len(), 4);
                for open in &open {
                    if !lost(open.position) {
                        assert_ok!(keeper.answer(open).send());
                    }
                }
            }
            // Until all deadlines are over.
            for _ in 0..10 {
                next_block();
            }
            for (dag, _, outcome) in Outcomes::take() {
                if outcome.missed > 0 {
                    found.insert(dag);
                    Stakes::<Test>::remove(dag);
                }
            }
            // `draw` waits for this one.
            if found.contains(&DAG) {
                Stakes::<Test>::insert(DAG, Stakes::<Test>::iter_values().next().unwrap());
            }
        }
        // 1 - 0.95^56 = 94.3 %: 283 of 300, with a standard deviation of 4.
        assert!((271..=295).contains(&found.len()), "{} of {DAGS} were found", found.len());
    });
}
