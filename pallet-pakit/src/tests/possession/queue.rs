//! Many DAGs due at once.

use super::*;
use crate::{AnchoredHeads, Dags, NextDagId, NextVisit, WeightInfo};
use frame_support::{traits::Hooks, weights::Weight};

/// So many DAGs with the same log and stakes of the same staker.
fn stake_many(keeper: &Keeper, count: u32) {
    for dag in 0..count {
        if dag > 0 {
            Dags::<Test>::insert(dag, Dags::<Test>::get(DAG).unwrap());
            for anchor in 1..=2 {
                AnchoredHeads::<Test>::insert(dag, anchor, AnchoredHeads::<Test>::get(DAG, anchor).unwrap());
            }
            Stakes::<Test>::insert(dag, Stakes::<Test>::get(DAG).unwrap());
        }
    }
    NextDagId::<Test>::put(count);
    assert_eq!(keeper.archive.head(keeper.blocks()), Dags::<Test>::get(count - 1).unwrap().latest);
}

fn rounds() -> usize {
    Stakes::<Test>::iter_values().filter(|stake| stake.round.is_some()).count()
}

fn drawn() -> usize {
    Stakes::<Test>::iter_values().filter_map(|stake| stake.round).filter(|round| round.drawn.is_some()).count()
}

#[test]
fn ten_thousand_dags_due_in_one_block_are_carried_over_and_none_is_passed_over() {
    new_test_ext().execute_with(|| {
        DagsPerBlock::set(100);
        let keeper = Keeper::of_sizes([36, 100]).staked(1_000);
        stake_many(&keeper, 10_000);
        let most = <Test as crate::Config>::WeightInfo::visit_none()
            + (<Test as crate::Config>::WeightInfo::visit_freeze() * 100)
            + <Test as crate::Config>::WeightInfo::count_room();
        for block in 1..=100u64 {
            let weight = Pakit::on_initialize(System::block_number());
            assert!(weight.all_lte(most), "block {block} weighs {weight}");
            assert_eq!(rounds(), 100 * block as usize);
            System::set_block_number(block + 1);
        }
        // The end was reached with the last one; the next block notices, and the one after begins anew.
        Pakit::on_initialize(System::block_number());
        assert_eq!(NextVisit::<Test>::get(), None);
        renew_seed();
        for block in 1..=100 {
            Pakit::on_initialize(System::block_number());
            assert_eq!(drawn(), 100 * block);
        }
    });
}

#[test]
fn the_hook_weighs_no_more_than_its_bound_whatever_is_due() {
    run(|| {
        let bound: Weight = Pakit::heaviest_hook();
        let keeper = Keeper::new().staked(1_000);
        for _ in 0..60 {
            let now = System::block_number();
            System::set_block_number(now + 1);
            assert!(Pakit::on_initialize(now + 1).all_lte(bound));
            Pakit::on_idle(now + 1, Weight::MAX);
            renew_seed();
        }
        assert!(missed().is_some());
        drop(keeper);
    });
}

#[test]
fn a_stake_that_goes_while_it_is_next_does_not_stop_the_hook() {
    run(|| {
        DagsPerBlock::set(1);
        let keeper = Keeper::new().staked(1_000);
        for dag in 1..6 {
            assert_ok!(keeper.archive.create(OWNER));
            assert_ok!(Pakit::stake(signed(OWNER), dag, 1_000));
        }
        for dag in 0..6 {
            assert_ok!(Pakit::unbond(signed(OWNER), dag));
        }
        System::set_block_number(60);
        for _ in 0..20 {
            next_block();
            if let Some(dag) = NextVisit::<Test>::get() {
                assert_ok!(Pakit::withdraw_stake(signed(OWNER), dag));
            }
        }
        assert_eq!((Stakes::<Test>::iter().count(), NextVisit::<Test>::get()), (0, None));
    });
}
