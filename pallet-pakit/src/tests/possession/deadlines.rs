use super::*;
use crate::WeightInfo;
use frame_support::{
    dispatch::DispatchClass,
    traits::{Get, Hooks},
    weights::Weight,
};
use sp_runtime::transaction_validity::InvalidTransaction;

#[test]
fn a_missed_deadline_costs_a_share_for_each_challenge_and_all_of_it_is_burned() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        let open = draw(DAG);
        let issuance = Balances::total_issuance();
        assert_ok!(keeper.answer(&open[2]).send());
        while missed().is_none() {
            next_block();
        }
        assert_eq!(missed(), Some((vec![0, 1, 3], 300, 0, None)));
        assert_eq!((staked(OWNER), Balances::total_issuance()), (700, issuance - 300));
        assert_eq!(Outcomes::get(), [(DAG, OWNER, outcome(1, 3, 300))]);
        let tally = Pakit::stake_behind(DAG).unwrap().tally;
        assert_eq!((tally.answered, tally.declared, tally.missed), (1, 0, 3));
        // Below the least stake nobody is challenged; topped up, the DAG is again.
        for _ in 0..50 {
            next_block();
            renew_seed();
        }
        assert_eq!(Pakit::stake_behind(DAG).unwrap().frozen, None);
        assert_ok!(Pakit::stake(signed(OWNER), DAG, 300));
        assert_eq!(draw(DAG).len(), 4);
    });
}

#[test]
fn a_stake_can_be_lost_to_the_last() {
    run(|| {
        let _lost = Keeper::new().staked(1_000);
        ChallengesPerRound::set(16);
        draw(DAG);
        while missed().is_none() {
            next_block();
        }
        assert_eq!((staked(OWNER), Pakit::stake_behind(DAG).unwrap().amount), (0, 0));
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        for _ in 0..50 {
            next_block();
        }
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
    });
}

#[test]
fn whoever_is_told_of_an_outcome_may_call_the_pallet() {
    for is_answered in [true, false] {
        run(|| {
            let keeper = Keeper::new().staked(1_000);
            IsUnbondedWhenTold::set(true);
            Outcomes::set(Vec::new());
            draw(DAG);
            if is_answered {
                keeper.answer_all(DAG);
            }
            while Outcomes::get().is_empty() {
                next_block();
            }
            assert_eq!(missed().is_none(), is_answered);
            let stake = Stakes::<Test>::get(DAG).unwrap();
            assert_eq!((stake.unbonding_since, stake.round), (Some(System::block_number()), None));
        });
    }
}

#[test]
fn an_answer_is_in_time_up_to_the_last_block_with_room() {
    for blocks in [4, 5, 6] {
        run(|| {
            let keeper = Keeper::new().staked(1_000);
            let open = draw(DAG);
            for _ in 0..blocks {
                next_block();
            }
            let result = keeper.answer(&open[0]).send();
            // In the block of the draw nobody can answer; then there are five.
            if blocks < 6 {
                assert_ok!(result);
            } else {
                assert_eq!(result, Err(Error::<Test>::UnknownChallenge.into()));
                assert!(missed().is_some());
            }
        });
    }
}

#[test]
fn an_answer_too_late_is_refused_though_the_hook_has_not_come_by() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        let open = draw(DAG);
        BlocksWithRoom::<Test>::mutate(|count| *count += 100);
        assert_noop!(keeper.answer(&open[0]).send(), Error::<Test>::ResponseTooLate);
        assert_eq!(Pakit::open_challenges(DAG), vec![]);
    });
}

#[test]
fn whoever_reports_a_miss_first_has_a_part_of_the_slash() {
    run(|| {
        let _lost = Keeper::new().staked(1_000);
        draw(DAG);
        assert_noop!(Pakit::report_miss(signed(CLERK), DAG), Error::<Test>::DeadlineNotOver);
        BlocksWithRoom::<Test>::mutate(|count| *count += 100);
        let issuance = Balances::total_issuance();
        assert_ok!(Pakit::report_miss(signed(CLERK), DAG));
        assert_eq!(missed(), Some((vec![0, 1, 2, 3], 400, 80, Some(CLERK))));
        assert_eq!(Balances::free_balance(CLERK), ENDOWMENT + 80);
        assert_eq!(Balances::total_issuance(), issuance - 320);
        assert_noop!(Pakit::report_miss(signed(CLERK), DAG), Error::<Test>::UnknownChallenge);
    });
}

#[test]
fn whoever_reports_oneself_has_no_part() {
    run(|| {
        let _lost = Keeper::new().staked(1_000);
        draw(DAG);
        BlocksWithRoom::<Test>::mutate(|count| *count += 100);
        assert_ok!(Pakit::report_miss(signed(OWNER), DAG));
        assert_eq!(missed(), Some((vec![0, 1, 2, 3], 400, 0, Some(OWNER))));
        assert_eq!((staked(OWNER), Balances::free_balance(OWNER)), (600, ENDOWMENT - 1_100));
    });
}

#[test]
fn a_part_that_its_reporter_cannot_take_is_burned_with_the_rest() {
    run(|| {
        let _lost = Keeper::new().staked(1_000);
        draw(DAG);
        BlocksWithRoom::<Test>::mutate(|count| *count += 100);
        // A balance so full that not a unit more fits.
        let _ = <Balances as frame_support::traits::fungible::Mutate<_>>::set_balance(&CLERK, u64::MAX - 10_000_000);
        let before = Balances::free_balance(CLERK);
        assert_ok!(Pakit::report_miss(signed(CLERK), DAG));
        let (_, slashed, rewarded, _) = missed().unwrap();
        assert_eq!((slashed, staked(OWNER)), (400, 600));
        assert_eq!(Balances::free_balance(CLERK), before + rewarded);
    });
}

#[test]
fn blocks_without_room_do_not_count() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        let open = draw(DAG);
        let left = open[0].blocks_left;
        for _ in 0..500 {
            next_block_after_a_full_one();
        }
        assert_eq!(Pakit::open_challenges(DAG)[0].blocks_left, left);
        keeper.answer_all(DAG);
        assert_eq!(missed(), None);
    });
}

#[test]
fn blocks_whose_runtime_lets_no_answer_through_do_not_count_and_no_pool_takes_one() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        let open = draw(DAG);
        let (left, answer) = (open[0].blocks_left, keeper.answer(&open[0]));
        AreAnswersPaused::set(true);
        // In a block it would fail for nothing, again and again.
        assert_eq!(answer.validity(), Err(InvalidTransaction::Call.into()));
        for _ in 0..500 {
            next_block();
        }
        assert_eq!(Pakit::open_challenges(DAG)[0].blocks_left, left);
        AreAnswersPaused::set(false);
        keeper.answer_all(DAG);
        assert_eq!(missed(), None);
    });
}

/// Fills the block so that the longest answer has just room, or just none, by one measure.
#[test]
fn a_block_has_room_exactly_if_one_more_answer_fits() {
    run(|| {
        let limits: frame_system::limits::BlockWeights = <Test as frame_system::Config>::BlockWeights::get();
        let lengths: frame_system::limits::BlockLength = <Test as frame_system::Config>::BlockLength::get();
        let length = *lengths.max.get(DispatchClass::Operational);
        let answer = Pakit::longest_answer();
        let counted = |used: Weight, bytes: u32| {
            System::set_block_consumed_resources(used, bytes as usize);
            let before = BlocksWithRoom::<Test>::get();
            Pakit::on_idle(1, Weight::MAX);
            BlocksWithRoom::<Test>::get() == before + 1
        };
        assert!(counted(Weight::zero(), 0));
        let room = limits.max_block - answer;
        // `set_block_consumed_resources` counts as mandatory, of which operational transactions have a reserve.
        let reserved = limits.get(DispatchClass::Operational).reserved.unwrap_or_default();
        assert!(answer.all_lte(reserved), "answers have a reserve of their own");
        assert!(counted(room, 0));
        assert!(counted(Weight::zero(), length - 6_000));
        assert!(!counted(Weight::zero(), length));
        // A reserve that others of the class have filled is none.
        System::set_block_consumed_resources(Weight::zero(), 0);
        System::register_extra_weight_unchecked(limits.max_block, DispatchClass::Operational);
        let before = BlocksWithRoom::<Test>::get();
        Pakit::on_idle(1, Weight::MAX);
        assert_eq!(BlocksWithRoom::<Test>::get(), before);
    });
}

/// A pallet that uses whatever a block has left.
struct Greedy;

impl frame_support::traits::OnIdle<u64> for Greedy {
    fn on_idle(_: u64, remaining: Weight) -> Weight {
        remaining
    }
}

#[test]
fn idle_work_of_other_pallets_does_not_stop_the_count() {
    run(|| {
        let left = Weight::from_parts(1, 1);
        // FRAME begins with another pallet in each block.
        for (blocks, now) in (1..).zip([1, 2]) {
            assert_eq!(<(Greedy, Pakit) as frame_support::traits::OnIdle<u64>>::on_idle(now, left), left);
            assert_eq!(BlocksWithRoom::<Test>::get(), blocks);
        }
        assert_eq!(Pakit::on_idle(3, Weight::zero()), Weight::zero());
        assert_eq!(BlocksWithRoom::<Test>::get(), 3);
    });
}

#[test]
fn the_count_is_weighed_at_the_beginning_of_a_block_whether_or_not_there_will_be_room() {
    type Weights = <Test as crate::Config>::WeightInfo;
    run(|| {
        let weighed = Weights::visit_none() + Weights::count_room();
        assert_eq!(Pakit::on_initialize(1), weighed);
        System::set_block_consumed_resources(Weight::zero(), u32::MAX as usize);
        assert_eq!(Pakit::on_idle(1, Weight::MAX), Weight::zero());
        assert_eq!(BlocksWithRoom::<Test>::get(), 0);
        assert!(weighed.all_lte(Pakit::heaviest_hook()));
    });
}
