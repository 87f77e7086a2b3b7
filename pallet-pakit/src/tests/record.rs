use super::*;
use crate::Records;
use pakit_primitives::{Compression, ContentHash};

fn anchored(archive: &Archive, size: u64) {
    assert_ok!(archive.create(OWNER));
    assert_ok!(archive.anchor(OWNER, DAG, size));
}

#[test]
fn anyone_can_have_a_proved_block_recorded() {
    run(|| {
        let archive = Archive::new(9);
        anchored(&archive, 9);
        System::set_block_number(77);
        assert_ok!(archive.record(CLERK, 2, 4));

        let block_hash = archive.block_hash(4);
        assert_last(Event::ProofRecorded {
            dag: DAG,
            anchor: 2,
            block_hash,
            leaf_index: 4,
            depositor: CLERK,
            deposit: 20,
        });
        let record = Pakit::record(DAG, block_hash, CLERK).unwrap();
        assert_eq!((record.merkle_root, record.size), (archive.head(9).root, 9));
        assert_eq!((record.leaf_index, record.depth, record.parent_count), (4, 4, 2));
        assert_eq!((record.size_original, record.size_compressed), (104, 54));
        assert_eq!((record.compression_algo, record.content_hash), (Compression::Zstd, ContentHash::new([4; 32])));
        assert_eq!((record.timestamp, record.depositor, record.deposit), (77, CLERK, 20));
        assert_eq!(held_for_records(CLERK), 20);
    });
}

#[test]
fn every_block_can_be_recorded_against_every_head_that_holds_it() {
    let archive = Archive::new(12);
    for size in 2..=12 {
        run(|| {
            anchored(&archive, size);
            for leaf_index in 0..size {
                assert_ok!(archive.record(CLERK, 2, leaf_index));
            }
            assert_eq!(held_for_records(CLERK), 20 * size);
        });
    }
}

#[test]
fn genesis_can_be_recorded_against_anchor_1() {
    run(|| {
        let archive = Archive::new(1);
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.record(CLERK, 1, 0));
    });
}

#[test]
fn each_depositor_keeps_a_record_of_its_own_once() {
    run(|| {
        let archive = Archive::new(3);
        anchored(&archive, 3);
        assert_ok!(archive.record(CLERK, 2, 1));
        assert_ok!(archive.record(STRANGER, 2, 1));
        assert_noop!(archive.record(CLERK, 2, 1), Error::<Test>::AlreadyRecorded);
        assert_eq!(Records::<Test>::iter_prefix((DAG, archive.block_hash(1))).count(), 2);
    });
}

#[test]
fn a_record_is_not_made_without_its_deposit() {
    run(|| {
        let archive = Archive::new(3);
        anchored(&archive, 3);
        assert_noop!(archive.record(PAUPER, 2, 1), sp_runtime::TokenError::FundsUnavailable);
    });
}

#[test]
fn removing_a_record_returns_the_deposit_that_was_held_for_it() {
    run(|| {
        let archive = Archive::new(3);
        anchored(&archive, 3);
        assert_ok!(archive.record(CLERK, 2, 1));
        // The price at the time of making counts, not that of today.
        RecordDeposit::set(500);
        let block_hash = archive.block_hash(1);
        assert_noop!(Pakit::remove_record(signed(OWNER), DAG, block_hash), Error::<Test>::UnknownRecord);
        assert_ok!(Pakit::remove_record(signed(CLERK), DAG, block_hash));

        assert_last(Event::RecordRemoved { dag: DAG, block_hash, depositor: CLERK, released: 20 });
        assert_eq!(held_for_records(CLERK), 0);
        assert_eq!(Balances::free_balance(CLERK), ENDOWMENT);
        assert_noop!(Pakit::remove_record(signed(CLERK), DAG, block_hash), Error::<Test>::UnknownRecord);
    });
}

#[test]
fn a_record_can_be_removed_though_its_deposit_was_burned() {
    use frame_support::traits::{
        fungible::MutateHold,
        tokens::{Fortitude::Force, Precision::Exact},
    };
    run(|| {
        let archive = Archive::new(3);
        anchored(&archive, 3);
        assert_ok!(archive.record(CLERK, 2, 1));
        assert_ok!(Balances::burn_held(&HoldReason::Record.into(), &CLERK, 15, Exact, Force));
        let block_hash = archive.block_hash(1);
        assert_ok!(Pakit::remove_record(signed(CLERK), DAG, block_hash));
        assert_last(Event::RecordRemoved { dag: DAG, block_hash, depositor: CLERK, released: 5 });
    });
}

#[test]
fn a_record_outlives_the_head_it_was_proved_against() {
    run(|| {
        let archive = Archive::new(30);
        anchored(&archive, 3);
        assert_ok!(archive.anchor(OWNER, DAG, 4));
        assert_ok!(archive.record(CLERK, 3, 1));
        archive.anchor_each(5..=30);
        assert_eq!(Pakit::anchored_head(DAG, 3), None);
        assert_noop!(archive.record(STRANGER, 3, 1), Error::<Test>::UnknownHead);
        assert!(Pakit::record(DAG, archive.block_hash(1), CLERK).is_some());
    });
}
