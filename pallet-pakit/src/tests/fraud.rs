//! Reports of faults. Which evidence shows which fault, and that an honest log has none, is tested with the verifier.

use super::{
    errors::{Seen, refuse},
    *,
};
use crate::{
    Faults, Stakes,
    types::{EvidenceOf, HeaderBytes},
};
use pakit_primitives::{
    Header,
    fraud::{Evidence, FaultKind},
};

/// Nine blocks, of which the one at 7 is changed after all were made, anchored as anchor 2.
fn anchored_with(edit: impl FnOnce(&mut Header)) -> Archive {
    let mut headers = Archive::new(9).headers;
    edit(&mut headers[7]);
    let archive = Archive::of(headers);
    assert_ok!(archive.create(OWNER));
    assert_ok!(archive.anchor(OWNER, DAG, 9));
    archive
}

pub(super) fn slices(archive: &Archive, index: u64) -> EvidenceOf {
    Evidence::WrongSlicesBefore {
        before: archive.header(index - 1),
        before_inclusion: archive.inclusion(index - 1, 9),
        header: archive.header(index),
        inclusion: archive.inclusion(index, 9),
    }
}

fn depth(archive: &Archive, index: u64) -> EvidenceOf {
    let parents: Vec<HeaderBytes> = [index - 2, index - 1].map(|parent| archive.header(parent)).to_vec();
    Evidence::WrongDepth {
        header: archive.header(index),
        inclusion: archive.inclusion(index, 9),
        parents: parents.try_into().unwrap(),
    }
}

fn earlier(archive: &Archive, index: u64) -> EvidenceOf {
    Evidence::EarlierThanParent {
        header: archive.header(index),
        inclusion: archive.inclusion(index, 9),
        parent: archive.header(index - 1),
    }
}

fn other_parent(archive: &Archive, index: u64, parent: u64) -> EvidenceOf {
    Evidence::OtherParent {
        header: archive.header(index),
        inclusion: archive.inclusion(index, 9),
        parent,
        leaf: archive.block_hash(parent),
        leaf_inclusion: archive.inclusion(parent, 9),
    }
}

fn report(dag: u32, anchor: u64, evidence: EvidenceOf) -> DispatchResult {
    Pakit::report_block(signed(CLERK), dag, anchor, evidence)
}

#[test]
fn a_fault_marks_the_dag_for_good_and_its_evidence_stands_in_the_event() {
    run(|| {
        System::set_block_number(5);
        let archive = anchored_with(|header| header.slices_before += 1);
        assert_ok!(report(DAG, 2, slices(&archive, 7)));
        assert_last(Event::FaultReported {
            dag: DAG,
            anchor: 2,
            kind: FaultKind::WrongSlicesBefore,
            evidence: slices(&archive, 7),
            slashed: 0,
            rewarded: 0,
            reporter: CLERK,
        });
        let fault = Pakit::fault(DAG).unwrap();
        assert_eq!((fault.kind, fault.head, fault.reported_at), (FaultKind::WrongSlicesBefore, archive.head(9), 5));
        assert_noop!(report(DAG, 2, slices(&archive, 8)), Error::<Test>::DagFaulty);
    });
}

#[test]
fn each_kind_of_fault_can_be_reported() {
    type Case = (FaultKind, fn(&mut Header), fn(&Archive) -> EvidenceOf);
    let cases: [Case; 4] = [
        (FaultKind::WrongDepth, |header| header.depth = 6, |archive| depth(archive, 7)),
        (FaultKind::EarlierThanParent, |header| header.timestamp_ms = 1, |archive| earlier(archive, 7)),
        (FaultKind::WrongSlicesBefore, |header| header.slices_before += 9, |archive| slices(archive, 8)),
        // The header after the changed one names what it was before.
        (FaultKind::OtherParent, |header| header.codec += 1, |archive| other_parent(archive, 8, 7)),
    ];
    for (kind, edit, evidence) in cases {
        run(|| {
            let archive = anchored_with(edit);
            assert_ok!(report(DAG, 2, evidence(&archive)));
            assert_eq!(Pakit::fault(DAG).unwrap().kind, kind);
        });
    }
    run(|| {
        let archive = anchored_with(|header| {
            header.leaf_index = 8;
            header.slices_before = 8;
        });
        let evidence =
            Evidence::OtherIndex { leaf_index: 7, header: archive.header(7), inclusion: archive.inclusion(7, 9) };
        assert_ok!(report(DAG, 2, evidence));
        assert_eq!(Pakit::fault(DAG).unwrap().kind, FaultKind::OtherIndex);
    });
    run(|| {
        let archive = anchored_with(|header| header.depth = 0);
        let evidence = Evidence::Undecodable {
            leaf_index: 7,
            leaf: archive.header(7).into_inner().try_into().unwrap(),
            inclusion: archive.inclusion(7, 9),
        };
        assert_ok!(report(DAG, 2, evidence));
        assert_eq!(Pakit::fault(DAG).unwrap().kind, FaultKind::Undecodable);
    });
}

#[test]
fn a_fault_costs_a_part_of_the_stake_and_ends_the_rounds() {
    run(|| {
        let archive = anchored_with(|header| header.slices_before += 1);
        assert_ok!(Pakit::stake(signed(OWNER), DAG, 4_000));
        let issuance = Balances::total_issuance();
        assert_ok!(report(DAG, 2, slices(&archive, 7)));
        assert_eq!(Balances::balance_on_hold(&HoldReason::Stake.into(), &OWNER), 2_000);
        assert_eq!(Balances::free_balance(CLERK), ENDOWMENT + 400);
        assert_eq!(Balances::total_issuance(), issuance - 1_600);
        for _ in 0..50 {
            next_block();
            renew_seed();
        }
        assert!(Stakes::<Test>::get(DAG).unwrap().round.is_none());
        assert_noop!(Pakit::stake(signed(OWNER), DAG, 1_000), Error::<Test>::DagFaulty);
        assert_ok!(Pakit::unbond(signed(OWNER), DAG));
        System::set_block_number(System::block_number() + 50);
        assert_ok!(Pakit::withdraw_stake(signed(OWNER), DAG));
        assert!(Faults::<Test>::contains_key(DAG));
    });
}

#[test]
fn an_honest_log_is_not_reported() {
    run(|| {
        let archive = anchored_with(|_| ());
        for index in 2..9 {
            for evidence in [slices(&archive, index), depth(&archive, index), earlier(&archive, index)] {
                assert_noop!(report(DAG, 2, evidence), Error::<Test>::WellFormed);
            }
            assert_noop!(report(DAG, 2, other_parent(&archive, index, index - 1)), Error::<Test>::WellFormed);
            let (leaf_index, header, inclusion) = (index, archive.header(index), archive.inclusion(index, 9));
            let leaf = header.clone().into_inner().try_into().unwrap();
            let evidence = Evidence::Undecodable { leaf_index, leaf, inclusion: inclusion.clone() };
            assert_noop!(report(DAG, 2, evidence), Error::<Test>::WellFormed);
            let evidence = Evidence::OtherIndex { leaf_index, header, inclusion };
            assert_noop!(report(DAG, 2, evidence), Error::<Test>::WellFormed);
        }
        assert_eq!(Pakit::fault(DAG), None);
    });
}

/// Each error by the evidence that gives it.
pub(super) fn refusals(seen: &mut Seen) {
    run(|| {
        let archive = anchored_with(|header| header.slices_before += 1);
        refuse(seen, Error::UnknownDag, || report(7, 2, slices(&archive, 7)));
        refuse(seen, Error::UnknownHead, || report(DAG, 3, slices(&archive, 7)));
        refuse(seen, Error::IndexOutOfRange, || report(DAG, 1, slices(&archive, 7)));
        refuse(seen, Error::WellFormed, || report(DAG, 2, slices(&archive, 6)));
        refuse(seen, Error::NotAParent, || report(DAG, 2, other_parent(&archive, 7, 2)));
        let far = Evidence::WrongSlicesBefore {
            before: archive.header(5),
            before_inclusion: archive.inclusion(5, 9),
            header: archive.header(7),
            inclusion: archive.inclusion(7, 9),
        };
        refuse(seen, Error::NotNeighbours, || report(DAG, 2, far));
        let mut forged = archive.inclusion(7, 9);
        forged[0][0] ^= 1;
        let forged = Evidence::WrongSlicesBefore {
            before: archive.header(6),
            before_inclusion: archive.inclusion(6, 9),
            header: archive.header(7),
            inclusion: forged,
        };
        refuse(seen, Error::NotInLog, || report(DAG, 2, forged));
        let short = Evidence::EarlierThanParent {
            header: archive.header(7),
            inclusion: Default::default(),
            parent: archive.header(6),
        };
        refuse(seen, Error::WrongInclusionLength, || report(DAG, 2, short));
    });
}
