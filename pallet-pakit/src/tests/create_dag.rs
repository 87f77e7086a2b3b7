use super::*;
use crate::{AnchoredHeads, NextDagId};
use frame_support::storage::with_transaction;
use pakit_primitives::{Head, chain::AnchoredHead, heads};
use sp_runtime::TransactionOutcome;

#[test]
fn a_dag_begins_with_its_genesis_as_anchor_1() {
    run(|| {
        System::set_block_number(7);
        let archive = Archive::new(1);
        assert_ok!(archive.create(OWNER));

        assert_last(Event::DagCreated { dag: DAG, owner: OWNER, genesis: archive.block_hash(0) });
        let head = Head { size: 1, root: archive.block_hash(0).as_root_of_one() };
        assert_eq!(head, archive.head(1));
        assert_eq!(
            AnchoredHeads::<Test>::get(DAG, 1),
            Some(AnchoredHead { head, depth: 0, slices: 1, block_number: 7 })
        );
        assert_eq!(held_for_dags(OWNER), 100);
    });
}

#[test]
fn dags_with_one_genesis_are_still_two_dags() {
    run(|| {
        let archive = Archive::new(1);
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.create(STRANGER));
        assert_eq!(NextDagId::<Test>::get(), 3);
        assert_eq!((held_for_dags(OWNER), held_for_dags(STRANGER)), (200, 100));
    });
}

#[test]
fn who_cannot_pay_the_deposit_cannot_create_a_dag() {
    run(|| {
        let archive = Archive::new(1);
        assert_noop!(
            Pakit::create_dag(signed(PAUPER), archive.header(0), None),
            sp_runtime::TokenError::FundsUnavailable
        );
    });
}

#[test]
fn a_dag_can_go_on_from_any_kept_head_and_no_other() {
    let archive = Archive::new(60);
    run(|| {
        assert_ok!(archive.create(OWNER));
        archive.anchor_each(2..=60);
        for size in 1..=60 {
            let succession = archive.succession(DAG, size);
            let create = || Pakit::create_dag(signed(OWNER), archive.header(0), Some(succession));
            if !heads::is_kept(size, 60) {
                assert_noop!(create(), Error::<Test>::UnknownHead);
                continue;
            }
            let _ = with_transaction(|| {
                assert_ok!(create());
                assert_last(Event::DagSucceeded { dag: DAG, successor: 1, head: archive.head(size) });
                assert_eq!(Pakit::dag(DAG).unwrap().successor, Some(1));
                assert_eq!(Pakit::dag(1).unwrap().succeeds, Some(succession));
                assert_ok!(Pakit::do_try_state());
                TransactionOutcome::Rollback(DispatchResult::Ok(()))
            });
        }
    });
}

#[test]
fn a_retired_dag_can_be_succeeded_and_a_succeeded_one_still_anchors() {
    run(|| {
        let archive = Archive::new(3);
        assert_ok!(archive.create(OWNER));
        assert_ok!(Pakit::retire_dag(signed(OWNER), DAG));
        assert_ok!(Pakit::create_dag(signed(OWNER), archive.header(0), Some(archive.succession(DAG, 1))));
        assert_ok!(archive.anchor(OWNER, 1, 2));
        assert_ok!(Pakit::create_dag(signed(OWNER), archive.header(0), Some(archive.succession(1, 2))));
        assert_ok!(archive.anchor(OWNER, 1, 3));
        assert_eq!(Pakit::dag(1).unwrap().successor, Some(2));
    });
}

#[test]
fn a_succession_names_size_and_root_of_one_head() {
    run(|| {
        let archive = Archive::new(9);
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.anchor(OWNER, DAG, 4));
        assert_ok!(archive.anchor(OWNER, DAG, 9));
        for wrong in [
            crate::Succession { size: 4, ..archive.succession(DAG, 9) },
            crate::Succession { size: 10, ..archive.succession(DAG, 9) },
            archive.succession(DAG, 5),
        ] {
            assert_noop!(Pakit::create_dag(signed(OWNER), archive.header(0), Some(wrong)), Error::<Test>::UnknownHead);
        }
    });
}
