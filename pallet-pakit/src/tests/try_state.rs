//! The state's invariants: that honest use keeps them, and that each one's breach is seen.

use super::*;
use crate::{
    AnchoredHeads, Dag, Dags, Faults, NextDagId, PendingTransfers, Records, RemovedCount, RemovedRanges, Stake, Stakes,
    possession::{Drawn, Round},
    types::{RecordOf, RemovedRangeOf},
};
use frame_support::traits::{
    StorageVersion,
    fungible::MutateHold,
    tokens::{Fortitude::Force, Precision::Exact},
};
use pakit_primitives::{chain::AnchoredHead, fraud::FaultKind, possession::Fault};
use sp_runtime::DispatchError;

/// DAG 0 with 24 anchors, operators, an offer and records; DAG 1, which goes on from it; DAG 2, retired.
fn busy_state() -> Archive {
    let archive = Archive::new(30);
    assert_ok!(archive.create(OWNER));
    for size in 2..=24 {
        System::set_block_number(size * 10);
        assert_ok!(archive.anchor(OWNER, DAG, size));
    }
    assert_ok!(Pakit::set_operators(signed(OWNER), DAG, vec![OPERATOR, CLERK].try_into().unwrap()));
    assert_ok!(Pakit::transfer_ownership(signed(OWNER), DAG, Some(HEIR)));
    assert_ok!(archive.record(CLERK, 24, 7));
    assert_ok!(archive.record(CLERK, 24, 8));
    assert_ok!(Pakit::create_dag(signed(OWNER), archive.header(0), Some(archive.succession(DAG, 20))));
    assert_ok!(archive.create(STRANGER));
    assert_ok!(Pakit::retire_dag(signed(STRANGER), 2));
    assert_ok!(Pakit::stake(signed(OWNER), DAG, 1_000));
    assert_ok!(Pakit::declare_removed(signed(OWNER), DAG, 3, 5));
    // DAG 0 has a round under way, drawn in block 243.
    next_block();
    next_block();
    renew_seed();
    next_block();
    archive
}

fn detects(message: &'static str, corrupt: impl FnOnce(&Archive)) {
    new_test_ext().execute_with(|| {
        let archive = busy_state();
        assert_ok!(Pakit::do_try_state());
        corrupt(&archive);
        assert_eq!(Pakit::do_try_state(), Err(DispatchError::Other(message)));
    });
}

fn edit_dag(dag: u32, edit: impl FnOnce(&mut Dag<Test>)) {
    Dags::<Test>::mutate(dag, |stored| edit(stored.as_mut().unwrap()));
}

fn edit_head(anchor: u64, edit: impl FnOnce(&mut AnchoredHead<u64>)) {
    AnchoredHeads::<Test>::mutate(DAG, anchor, |anchored| edit(anchored.as_mut().unwrap()));
}

fn edit_stake(edit: impl FnOnce(&mut Stake<Test>)) {
    Stakes::<Test>::mutate(DAG, |stake| edit(stake.as_mut().unwrap()));
}

fn edit_round(edit: impl FnOnce(&mut Round<u64>)) {
    edit_stake(|stake| edit(stake.round.as_mut().unwrap()));
}

fn edit_drawn(edit: impl FnOnce(&mut Drawn)) {
    edit_round(|round| edit(round.drawn.as_mut().unwrap()));
}

fn edit_range(edit: impl FnOnce(&mut RemovedRangeOf<Test>)) {
    RemovedRanges::<Test>::mutate(DAG, 0, |range| edit(range.as_mut().unwrap()));
}

fn edit_record(archive: &Archive, edit: impl FnOnce(&mut RecordOf<Test>)) {
    Records::<Test>::mutate((DAG, archive.block_hash(7), CLERK), |record| edit(record.as_mut().unwrap()));
}

#[test]
fn try_state_passes_on_an_empty_chain() {
    run(|| ());
}

#[test]
fn try_state_passes_on_a_busy_chain() {
    run(|| {
        busy_state();
    });
}

#[test]
fn try_state_passes_when_a_dag_changed_hands_and_records_are_gone() {
    run(|| {
        let archive = busy_state();
        assert_ok!(Pakit::accept_ownership(signed(HEIR), DAG));
        assert_ok!(Pakit::remove_record(signed(CLERK), DAG, archive.block_hash(7)));
    });
}

#[test]
fn try_state_detects_a_dag_number_that_was_not_given_out() {
    detects("a DAG has a number that was not given out", |_| NextDagId::<Test>::put(2));
}

#[test]
fn try_state_detects_a_missing_dag() {
    detects("a DAG whose number was given out is missing", |_| NextDagId::<Test>::put(4));
}

#[test]
fn try_state_detects_a_head_of_no_dag() {
    detects("an anchored head is of no DAG", |_| {
        AnchoredHeads::<Test>::insert(3, 1, AnchoredHeads::<Test>::get(DAG, 24).unwrap());
    });
}

#[test]
fn try_state_detects_a_head_that_should_have_been_dropped() {
    for anchor in [1, 7, 25] {
        detects("a head is stored that is not to be kept", |_| {
            AnchoredHeads::<Test>::insert(DAG, anchor, AnchoredHeads::<Test>::get(DAG, 24).unwrap());
        });
    }
}

#[test]
fn try_state_detects_a_missing_head() {
    detects("a head that is to be kept is missing", |_| AnchoredHeads::<Test>::remove(DAG, 16));
}

#[test]
fn try_state_detects_operators_out_of_order() {
    detects("operators are not strictly ascending", |_| {
        edit_dag(DAG, |stored| stored.operators.as_mut().reverse());
    });
}

#[test]
fn try_state_detects_operators_of_a_retired_dag() {
    detects("a retired DAG has operators", |_| {
        edit_dag(2, |stored| stored.operators.try_push(OPERATOR).unwrap());
    });
}

#[test]
fn try_state_detects_a_dag_without_anchors() {
    detects("a DAG has no anchor", |_| {
        AnchoredHeads::<Test>::remove(2, 1);
        edit_dag(2, |stored| stored.anchors = 0);
    });
}

#[test]
fn try_state_detects_a_successor_of_no_dag() {
    detects("a DAG goes on from no DAG", |_| {
        edit_dag(2, |stored| stored.succeeds = Some(crate::Succession { dag: 9, size: 1, root: [0; 32].into() }));
    });
}

#[test]
fn try_state_detects_a_successor_that_is_not_named_by_the_dag_it_goes_on_from() {
    detects("a DAG goes on from one that does not name it", |archive| {
        edit_dag(2, |stored| stored.succeeds = Some(archive.succession(DAG, 20)));
    });
}

#[test]
fn try_state_detects_a_succession_against_the_order_of_numbers() {
    detects("a DAG goes on from a later one", |archive| {
        edit_dag(DAG, |stored| {
            stored.succeeds = Some(archive.succession(2, 1));
            stored.successor = None;
        });
        edit_dag(1, |stored| stored.succeeds = None);
        edit_dag(2, |stored| stored.successor = Some(DAG));
    });
}

#[test]
fn try_state_detects_a_succession_from_a_head_beyond_the_log() {
    detects("a DAG goes on from a head that was never anchored", |archive| {
        edit_dag(1, |stored| stored.succeeds = Some(archive.succession(DAG, 25)));
    });
}

#[test]
fn try_state_detects_a_dag_that_names_no_dag_as_successor() {
    detects("a DAG is succeeded by no DAG", |_| edit_dag(2, |stored| stored.successor = Some(9)));
}

#[test]
fn try_state_detects_a_dag_that_names_another_ones_successor() {
    detects("a DAG is succeeded by one that does not name it", |_| {
        edit_dag(2, |stored| stored.successor = Some(1));
    });
}

#[test]
fn try_state_detects_an_impossible_head() {
    detects("a head has an impossible size", |_| edit_head(20, |anchored| anchored.head.size = 19));
    detects("a head has an impossible size", |_| edit_head(20, |anchored| anchored.head.size = (1 << 48) + 1));
    detects("a head is deeper than its log is long", |_| edit_head(20, |anchored| anchored.depth = 20));
    detects("a head has fewer slices than blocks", |_| edit_head(20, |anchored| anchored.slices = 19));
    detects("a head was anchored in the future", |_| edit_head(20, |anchored| anchored.block_number = 244));
}

#[test]
fn try_state_detects_heads_out_of_order() {
    detects("a log does not grow from one anchor to the next", |_| {
        edit_head(20, |anchored| {
            anchored.head.size = 21;
            anchored.slices = 21;
        });
    });
    detects("anchors are out of the chain's order", |_| edit_head(20, |anchored| anchored.block_number = 211));
}

#[test]
fn try_state_detects_a_first_head_that_is_not_genesis() {
    detects("the first head is not that of genesis", |_| {
        edit_dag(2, |stored| stored.genesis = [9; 32].into());
    });
}

#[test]
fn try_state_detects_a_latest_head_that_is_not_the_latest_anchors() {
    detects("the latest head is not that of the latest anchor", |archive| {
        edit_dag(DAG, |stored| stored.latest = archive.head(25));
    });
}

#[test]
fn try_state_detects_an_offer_of_no_dag() {
    detects("a pending transfer is of no DAG", |_| PendingTransfers::<Test>::insert(9, HEIR));
}

#[test]
fn try_state_detects_an_offer_to_the_owner() {
    detects("a pending transfer is to the owner itself", |_| PendingTransfers::<Test>::insert(DAG, OWNER));
}

#[test]
fn try_state_detects_a_record_of_no_dag() {
    detects("a record is of no DAG", |archive| {
        let block_hash = archive.block_hash(7);
        Records::<Test>::insert((9, block_hash, CLERK), Pakit::record(DAG, block_hash, CLERK).unwrap());
    });
}

#[test]
fn try_state_detects_a_record_under_a_wrong_key() {
    detects("a record is stored under another block", |archive| {
        edit_record(archive, |record| record.block_hash = [9; 32].into());
    });
    detects("a record is stored under another depositor", |archive| {
        edit_record(archive, |record| record.depositor = OWNER);
    });
}

#[test]
fn try_state_detects_a_record_that_no_proof_can_give() {
    detects("a record is of a block beyond its head", |archive| {
        edit_record(archive, |record| record.leaf_index = 24);
    });
    detects("a record was proved against a head that was never anchored", |archive| {
        edit_record(archive, |record| record.size = 25);
    });
    detects("a record is deeper than its place", |archive| edit_record(archive, |record| record.depth = 8));
    for parent_count in [1, 6] {
        detects("a record has an impossible number of parents", |archive| {
            edit_record(archive, |record| record.parent_count = parent_count);
        });
    }
    detects("a record has an impossible size", |archive| {
        edit_record(archive, |record| record.size_original = 1 << 53);
    });
    detects("a record has an impossible size", |archive| {
        edit_record(archive, |record| record.size_compressed = 1 << 53);
    });
    detects("a record was made in the future", |archive| edit_record(archive, |record| record.timestamp = 244));
}

#[test]
fn try_state_detects_a_stake_that_does_not_belong_to_its_dag() {
    detects("a stake is behind no DAG", |_| Stakes::<Test>::insert(9, Stakes::<Test>::get(DAG).unwrap()));
    detects("a stake does not know whether its DAG is faulty", |_| edit_stake(|stake| stake.faulty = true));
    detects("a stake does not know whether its DAG is faulty", |archive| {
        Faults::<Test>::insert(DAG, Fault { kind: FaultKind::WrongDepth, head: archive.head(5), reported_at: 3 });
    });
    detects("an unbonding began in the future", |_| edit_stake(|stake| stake.unbonding_since = Some(244)));
}

#[test]
fn try_state_detects_a_round_that_could_not_be() {
    detects("a head was frozen that was never anchored", |_| edit_round(|round| round.head.size = 25));
    detects("a frozen head has fewer slices than blocks", |_| edit_round(|round| round.slices = 23));
    detects("a head was frozen in the future", |_| edit_round(|round| round.frozen_at = 244));
    detects("a round goes on of which all challenges are answered", |_| {
        edit_drawn(|drawn| drawn.draws.iter_mut().for_each(|draw| draw.answered = true));
    });
    detects("a position was drawn beyond the frozen head", |_| edit_drawn(|drawn| drawn.draws[1].position = 24));
    detects("a challenge has a number that was not given out", |_| edit_drawn(|drawn| drawn.first += 1));
}

#[test]
fn try_state_detects_a_range_that_could_not_be_declared() {
    detects("the count of declared ranges is not that of the ranges", |_| RemovedCount::<Test>::insert(DAG, 2));
    detects("a declared range has a number that was not given out", |_| RemovedCount::<Test>::remove(DAG));
    detects("a declared range is empty", |_| edit_range(|range| range.first = 6));
    detects("a declared range lies beyond the log", |_| edit_range(|range| range.last = 24));
    detects("a declared range is of no DAG", |_| {
        let range = RemovedRanges::<Test>::take(DAG, 0).unwrap();
        RemovedCount::<Test>::remove(DAG);
        RemovedRanges::<Test>::insert(9, 0, range);
    });
}

#[test]
fn try_state_detects_a_fault_of_nothing() {
    detects("a fault is of no DAG", |archive| {
        Faults::<Test>::insert(9, Fault { kind: FaultKind::WrongDepth, head: archive.head(5), reported_at: 3 });
    });
    detects("a fault is of a head that was never anchored", |archive| {
        Faults::<Test>::insert(2, Fault { kind: FaultKind::WrongDepth, head: archive.head(5), reported_at: 3 });
    });
}

#[test]
fn try_state_detects_deposits_that_are_not_held() {
    const MESSAGE: &str = "the balance on hold is not the sum of the deposits";
    detects(MESSAGE, |_| edit_dag(1, |stored| stored.deposit += 1));
    detects(MESSAGE, |archive| edit_record(archive, |record| record.deposit += 1));
    detects(MESSAGE, |_| edit_stake(|stake| stake.amount += 1));
    detects(MESSAGE, |_| edit_range(|range| range.deposit += 1));
    let reasons = [
        (HoldReason::Dag, OWNER),
        (HoldReason::Record, CLERK),
        (HoldReason::Stake, OWNER),
        (HoldReason::Removal, OWNER),
    ];
    for (reason, who) in reasons {
        detects(MESSAGE, |_| {
            assert_ok!(Balances::burn_held(&reason.into(), &who, 1, Exact, Force));
        });
        detects(MESSAGE, |_| Balances::hold(&reason.into(), &who, 1).unwrap());
    }
}

#[test]
fn try_state_detects_a_state_of_another_version() {
    for version in [0, 1, 3] {
        detects("the state is of another storage version than the code", |_| {
            StorageVersion::new(version).put::<Pakit>()
        });
    }
}
