use super::*;

#[test]
fn an_owner_puts_a_stake_and_adds_to_it() {
    run(|| {
        let _keeper = Keeper::new().staked(1_000);
        assert_last(Event::Staked { dag: DAG, staker: OWNER, amount: 1_000, total: 1_000 });
        assert_ok!(Pakit::stake(signed(OWNER), DAG, 500));
        assert_last(Event::Staked { dag: DAG, staker: OWNER, amount: 500, total: 1_500 });
        assert_eq!((staked(OWNER), Pakit::stake_behind(DAG).unwrap().amount), (1_500, 1_500));
    });
}

#[test]
fn a_stake_that_nobody_has_is_not_put() {
    run(|| {
        let keeper = Keeper::new();
        assert_ok!(keeper.archive.create(OWNER));
        assert_noop!(Pakit::stake(signed(OWNER), DAG, 2 * ENDOWMENT), sp_runtime::TokenError::FundsUnavailable);
        assert_eq!(Pakit::stake_behind(DAG), None);
    });
}

#[test]
fn a_stake_comes_back_when_its_unbonding_is_over() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        assert_last(Event::UnbondingBegun { dag: DAG, withdrawable_at: 51 });
        while System::block_number() < 51 {
            assert_noop!(Pakit::withdraw_stake(signed(OWNER), DAG), Error::<Test>::StillUnbonding);
            next_block();
            renew_seed();
            keeper.answer_all(DAG);
        }
        assert_eq!(Pakit::open_challenges(DAG), vec![]);
        // The round that was frozen last waits for its draw.
        while Stakes::<Test>::get(DAG).unwrap().round.is_some() {
            assert_noop!(Pakit::withdraw_stake(signed(OWNER), DAG), Error::<Test>::ChallengesOpen);
            next_block();
            renew_seed();
            keeper.answer_all(DAG);
        }
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
        assert_last(Event::StakeWithdrawn { dag: DAG, staker: OWNER, released: 1_000 });
        assert_eq!((staked(OWNER), Pakit::stake_behind(DAG)), (0, None));
        // And can be put again.
        assert_ok!(Pakit::stake(signed(OWNER), DAG, 1_000));
    });
}

#[test]
fn challenges_go_on_while_a_stake_is_unbonded_and_none_begin_afterwards() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        while System::block_number() < 200 {
            next_block();
            renew_seed();
            keeper.answer_all(DAG);
        }
        // Frozen in blocks 2, 22 and 42.
        assert_eq!(Pakit::stake_behind(DAG).unwrap().tally.answered, 12);
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
    });
}

#[test]
fn to_unbond_is_no_way_out_of_a_round() {
    run(|| {
        let _lost = Keeper::new().staked(1_000);
        draw(DAG);
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        for _ in 0..40 {
            next_block();
        }
        assert_eq!(missed(), Some((vec![0, 1, 2, 3], 400, 0, None)));
        assert_eq!(staked(OWNER), 600);
    });
}

#[test]
fn a_randomness_that_stands_still_does_not_keep_a_stake_for_ever() {
    run(|| {
        let _keeper = Keeper::new().staked(1_000);
        next_block();
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        for _ in 0..50 {
            assert_noop!(Pakit::withdraw_stake(signed(OWNER), DAG), Error::<Test>::StillUnbonding);
            next_block();
        }
        assert!(Stakes::<Test>::get(DAG).unwrap().round.is_some_and(|round| round.drawn.is_none()));
        assert_eq!(Pakit::open_challenges(DAG), vec![]);
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
        assert_eq!(staked(OWNER), 0);
    });
}

#[test]
fn a_head_that_was_frozen_shortly_before_the_end_of_an_unbonding_is_still_drawn_from() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        while System::block_number() < 51 {
            next_block();
            // Then randomness takes its time, as it does, and the data are lost.
            if System::block_number() < 42 {
                renew_seed();
                keeper.answer_all(DAG);
            }
        }
        assert_eq!(Pakit::stake_behind(DAG).unwrap().frozen.map(|(_, _, frozen_at)| frozen_at), Some(42));
        assert_noop!(Pakit::withdraw_stake(signed(OWNER), DAG), Error::<Test>::ChallengesOpen);
        renew_seed();
        while missed().is_none() {
            assert_noop!(Pakit::withdraw_stake(signed(OWNER), DAG), Error::<Test>::ChallengesOpen);
            next_block();
        }
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
        assert_last(Event::StakeWithdrawn { dag: DAG, staker: OWNER, released: 600 });
    });
}

#[test]
fn a_stake_stays_its_stakers_when_the_dag_changes_hands() {
    run(|| {
        let keeper = Keeper::new().staked(1_000);
        assert_ok!(Pakit::transfer_ownership(signed(OWNER), DAG, Some(HEIR)));
        assert_ok!(Pakit::accept_ownership(signed(HEIR), DAG));
        assert_eq!((staked(OWNER), staked(HEIR)), (1_000, 0));
        assert_noop!(Pakit::stake(signed(HEIR), DAG, 1_000), Error::<Test>::StakeOfAnother);
        assert_noop!(Pakit::unbond(signed(HEIR), DAG), Error::<Test>::StakeOfAnother);
        draw(DAG);
        keeper.answer_all(DAG);
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        for _ in 0..100 {
            next_block();
            renew_seed();
            keeper.answer_all(DAG);
        }
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
        assert_ok!(Pakit::stake(signed(HEIR), DAG, 1_000));
    });
}

#[test]
fn a_stake_can_be_withdrawn_though_a_part_of_it_was_burned() {
    use frame_support::traits::{
        fungible::MutateHold,
        tokens::{Fortitude::Force, Precision::Exact},
    };
    run(|| {
        let _keeper = Keeper::new().staked(1_000);
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        // The head that was frozen in block 2 is let go after 50 more.
        for _ in 0..51 {
            next_block();
        }
        assert_ok!(Balances::burn_held(&HoldReason::Stake.into(), &OWNER, 900, Exact, Force));
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
        assert_last(Event::StakeWithdrawn { dag: DAG, staker: OWNER, released: 100 });
    });
}
