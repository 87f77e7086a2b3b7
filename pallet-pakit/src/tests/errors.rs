//! Each error by the call that gives it. None of them leaves a trace in the state.

use super::*;
use crate::{
    AnchoredHeads, Dags, NextDagId,
    possession::Answer,
    types::{Ancestors, HeaderBytes},
};
use pakit_primitives::{Head, Header, Parent, Parents, fraud::Evidence};
use scale_info::{TypeDef, TypeInfo};
use sp_runtime::traits::Dispatchable;
use std::collections::BTreeSet;

/// What spoils something good.
type Edit<Subject> = fn(&mut Subject);
/// Names of the errors that were seen.
pub(super) type Seen = BTreeSet<&'static str>;

pub(super) fn refuse(seen: &mut Seen, error: Error<Test>, call: impl FnOnce() -> DispatchResult) {
    seen.insert(error.as_str());
    assert_noop!(call(), error);
}

/// A DAG of the owner's with 8 blocks, at anchor 2, size 6.
fn with_archive(test: impl FnOnce(&Archive)) {
    run(|| {
        let archive = Archive::new(8);
        assert_ok!(archive.create(OWNER));
        assert_ok!(archive.anchor(OWNER, DAG, 6));
        test(&archive);
    });
}

#[test]
fn every_error_is_given_by_some_call() {
    let mut seen = Seen::new();
    for cases in [dag_cases, owner_cases, anchor_cases, record_cases, header_cases, position_cases, lineage_cases] {
        cases(&mut seen);
    }
    possession::refusals::all(&mut seen);
    fraud::refusals(&mut seen);
    let TypeDef::Variant(variants) = Error::<Test>::type_info().type_def else { panic!("an error is an enum") };
    let declared: Seen = variants.variants.iter().map(|variant| variant.name).collect();
    assert_eq!(declared.difference(&seen).collect::<Vec<_>>(), Vec::<&&str>::new(), "not given by any call");
}

fn dag_cases(seen: &mut Seen) {
    with_archive(|archive| {
        let create = |header, succeeds| Pakit::create_dag(signed(OWNER), header, succeeds);
        let genesis = || archive.header(0);
        refuse(seen, Error::NotGenesis, || create(archive.header(1), None));
        let mut unknown = archive.succession(DAG, 6);
        unknown.dag = 9;
        refuse(seen, Error::UnknownDag, || create(genesis(), Some(unknown)));
        refuse(seen, Error::UnknownHead, || create(genesis(), Some(archive.succession(DAG, 5))));
        let succession = Some(archive.succession(DAG, 6));
        refuse(seen, Error::NotOwner, || Pakit::create_dag(signed(STRANGER), genesis(), succession));
        assert_ok!(create(genesis(), succession));
        refuse(seen, Error::AlreadySucceeded, || create(genesis(), succession));
    });
    new_test_ext().execute_with(|| {
        NextDagId::<Test>::put(u32::MAX);
        refuse(seen, Error::DagIdsExhausted, || Archive::new(1).create(OWNER));
    });
}

fn owner_cases(seen: &mut Seen) {
    with_archive(|archive| {
        let offer = |dag, to| Pakit::transfer_ownership(signed(OWNER), dag, to);
        let operators = || vec![OPERATOR].try_into().unwrap();
        for unknown in [1, u32::MAX] {
            refuse(seen, Error::UnknownDag, || Pakit::set_operators(signed(OWNER), unknown, operators()));
            refuse(seen, Error::UnknownDag, || offer(unknown, Some(HEIR)));
            refuse(seen, Error::UnknownDag, || Pakit::accept_ownership(signed(HEIR), unknown));
            refuse(seen, Error::UnknownDag, || Pakit::retire_dag(signed(OWNER), unknown));
        }
        refuse(seen, Error::NotOwner, || Pakit::set_operators(signed(STRANGER), DAG, operators()));
        refuse(seen, Error::NotOwner, || Pakit::transfer_ownership(signed(STRANGER), DAG, None));
        refuse(seen, Error::NotOwner, || Pakit::retire_dag(signed(STRANGER), DAG));
        let descending = || vec![OPERATOR, OWNER].try_into().unwrap();
        refuse(seen, Error::OperatorsNotAscending, || Pakit::set_operators(signed(OWNER), DAG, descending()));
        refuse(seen, Error::NoPendingTransfer, || Pakit::accept_ownership(signed(HEIR), DAG));
        refuse(seen, Error::NoPendingTransfer, || offer(DAG, None));
        refuse(seen, Error::AlreadyOwner, || offer(DAG, Some(OWNER)));
        assert_ok!(offer(DAG, Some(HEIR)));
        refuse(seen, Error::NotPendingOwner, || Pakit::accept_ownership(signed(STRANGER), DAG));
        assert_ok!(Pakit::retire_dag(signed(OWNER), DAG));
        refuse(seen, Error::DagRetired, || Pakit::retire_dag(signed(OWNER), DAG));
        refuse(seen, Error::DagRetired, || Pakit::set_operators(signed(OWNER), DAG, operators()));
        refuse(seen, Error::DagRetired, || archive.anchor(OWNER, DAG, 8));
    });
}

fn anchor_cases(seen: &mut Seen) {
    with_archive(|archive| {
        let (head, consistency) = (archive.head(8), archive.consistency(6, 8));
        let (header, inclusion) = (archive.header(7), archive.inclusion(7, 8));
        let anchor = |who, dag, head: Head, consistency: &[[u8; 32]], header: &HeaderBytes, inclusion: &[[u8; 32]]| {
            let (consistency, inclusion) = (consistency.to_vec().try_into(), inclusion.to_vec().try_into());
            Pakit::anchor(signed(who), dag, head, consistency.unwrap(), header.clone(), inclusion.unwrap())
        };
        refuse(seen, Error::UnknownDag, || anchor(OWNER, 1, head, &consistency, &header, &inclusion));
        refuse(seen, Error::NotOwnerNorOperator, || anchor(OPERATOR, DAG, head, &consistency, &header, &inclusion));
        for size in [0, 1, 5, 6] {
            let stale = Head { size, ..head };
            refuse(seen, Error::StaleSize, || anchor(OWNER, DAG, stale, &consistency, &header, &inclusion));
        }
        for size in [(1 << 48) + 1, 1 << 63, u64::MAX] {
            let beyond = Head { size, ..head };
            refuse(seen, Error::LogTooLarge, || anchor(OWNER, DAG, beyond, &consistency, &header, &inclusion));
        }
        let older = archive.header(6);
        refuse(seen, Error::NotNewestBlock, || anchor(OWNER, DAG, head, &consistency, &older, &inclusion));
        for count in (0..=49).filter(|count| *count != consistency.len()) {
            let wrong = vec![[1; 32]; count];
            refuse(seen, Error::WrongConsistencyLength, || anchor(OWNER, DAG, head, &wrong, &header, &inclusion));
        }
        for count in (0..=48).filter(|count| *count != inclusion.len()) {
            let wrong = vec![[1; 32]; count];
            refuse(seen, Error::WrongInclusionLength, || anchor(OWNER, DAG, head, &consistency, &header, &wrong));
        }
        let forged = vec![[1; 32]; consistency.len()];
        refuse(seen, Error::NotAppendOnly, || anchor(OWNER, DAG, head, &forged, &header, &inclusion));
        let other = Head { root: archive.head(7).root, ..head };
        refuse(seen, Error::NewRootMismatch, || anchor(OWNER, DAG, other, &consistency, &header, &inclusion));
        let forged = vec![[1; 32]; inclusion.len()];
        refuse(seen, Error::NotInLog, || anchor(OWNER, DAG, head, &consistency, &header, &forged));
    });
    new_test_ext().execute_with(|| {
        let archive = Archive::new(2);
        assert_ok!(archive.create(OWNER));
        Dags::<Test>::mutate(DAG, |stored| stored.as_mut().unwrap().anchors = u64::MAX);
        refuse(seen, Error::AnchorsExhausted, || archive.anchor(OWNER, DAG, 2));
    });
}

fn record_cases(seen: &mut Seen) {
    with_archive(|archive| {
        let record = |dag, anchor, leaf_index| {
            let (header, inclusion) = (archive.header(leaf_index), archive.inclusion(leaf_index, 6));
            Pakit::record_proof(signed(CLERK), dag, anchor, header, inclusion)
        };
        refuse(seen, Error::UnknownDag, || record(7, 2, 3));
        for unknown in [0, 3, u64::MAX] {
            refuse(seen, Error::UnknownHead, || record(DAG, unknown, 3));
        }
        refuse(seen, Error::IndexOutOfRange, || record(DAG, 2, 6));
        refuse(seen, Error::WrongInclusionLength, || record(DAG, 1, 0));
        refuse(seen, Error::NotInLog, || {
            Pakit::record_proof(signed(CLERK), DAG, 2, archive.header(2), archive.inclusion(3, 6))
        });
        assert_ok!(record(DAG, 2, 3));
        refuse(seen, Error::AlreadyRecorded, || record(DAG, 2, 3));
        let block_hash = archive.block_hash(3);
        refuse(seen, Error::UnknownRecord, || Pakit::remove_record(signed(OWNER), DAG, block_hash));
        refuse(seen, Error::UnknownRecord, || Pakit::remove_record(signed(CLERK), 7, block_hash));
        refuse(seen, Error::UnknownRecord, || Pakit::remove_record(signed(CLERK), DAG, archive.block_hash(2)));
    });
}

/// What is wrong with the bytes of a header, whoever shows it.
fn header_cases(seen: &mut Seen) {
    with_archive(|archive| {
        let good = archive.header(5).into_inner();
        let edited = |edit: Edit<Vec<u8>>| {
            let mut bytes = good.clone();
            edit(&mut bytes);
            HeaderBytes::try_from(bytes).unwrap()
        };
        let cases: [(_, Edit<Vec<u8>>); 8] = [
            (Error::HeaderEmpty, Vec::clear),
            (Error::HeaderTruncated, |bytes| bytes.truncate(3)),
            (Error::HeaderTruncated, |bytes| bytes.truncate(bytes.len() - 1)),
            (Error::HeaderTooLong, |bytes| bytes.push(0)),
            (Error::HeaderWrongMagic, |bytes| bytes[3] = b'2'),
            (Error::MalformedParentCount, |bytes| bytes[12] |= 1),
            (Error::TooManyParents, |bytes| bytes[12] = 6 << 2),
            // 33 bytes before the end: the compression code.
            (Error::UnknownCompression, |bytes| {
                let at = bytes.len() - 33;
                bytes[at] = 5;
            }),
        ];
        for (error, edit) in cases {
            show_everywhere(seen, archive, error, edited(edit));
        }
    });
}

/// What is wrong with what a header says.
fn position_cases(seen: &mut Seen) {
    with_archive(|archive| {
        let cases: [(_, Edit<Header>); 14] = [
            (Error::TooFewParents, |header| header.parents = parents(&[0])),
            (Error::TooFewParents, |header| header.parents = Parents::none()),
            (Error::GenesisWithParents, |header| header.leaf_index = 0),
            (Error::DuplicateParent, |header| header.parents = parents(&[1, 1])),
            (Error::UnsortedParents, |header| header.parents = parents(&[2, 1])),
            (Error::ParentNotBefore, |header| header.parents = parents(&[1, 5])),
            (Error::LeafIndexTooLarge, |header| header.leaf_index = 1 << 48),
            (Error::DepthNotOfPosition, |header| header.depth = 0),
            (Error::DepthTooLarge, |header| header.depth = 6),
            (Error::SlicesBeforeImpossible, |header| header.slices_before = 4),
            (Error::SlicesOverflow, |header| header.slices_before = u64::MAX),
            (Error::OriginalSizeTooLarge, |header| header.original_size = 1 << 53),
            (Error::StoredSizeTooLarge, |header| header.stored_size = 1 << 53),
            (Error::EmptyContentCompressed, |header| header.original_size = 0),
        ];
        for (error, edit) in cases {
            let mut header = archive.headers[5].clone();
            edit(&mut header);
            show_everywhere(seen, archive, error, bytes_of(&header));
        }
    });
}

fn parents(indices: &[u64]) -> Parents {
    let parent = |index: &u64| Parent { leaf_index: *index, block_hash: [9; 32].into() };
    Parents::from_slice(&indices.iter().map(parent).collect::<Vec<_>>()).unwrap()
}

/// Shows a header to each call that takes one.
fn show_everywhere(seen: &mut Seen, archive: &Archive, error: Error<Test>, header: HeaderBytes) {
    let (inclusion, ancestors) = (archive.inclusion(5, 6), archive.ancestors(5));
    refuse(seen, clone(&error), || Pakit::create_dag(signed(OWNER), header.clone(), None));
    refuse(seen, clone(&error), || {
        let (head, consistency, inclusion) = (archive.head(8), archive.consistency(6, 8), archive.inclusion(7, 8));
        Pakit::anchor(signed(OWNER), DAG, head, consistency, header.clone(), inclusion)
    });
    refuse(seen, clone(&error), || {
        Pakit::verify_lineage(signed(CLERK), DAG, 2, header.clone(), inclusion.clone(), ancestors)
    });
    refuse(seen, error, || Pakit::record_proof(signed(CLERK), DAG, 2, header.clone(), inclusion.clone()));
}

/// Errors are not `Clone`.
fn clone(error: &Error<Test>) -> Error<Test> {
    use codec::{Decode, Encode};
    Error::decode(&mut &error.encode()[..]).unwrap()
}

fn lineage_cases(seen: &mut Seen) {
    with_archive(|archive| {
        let verify = |dag, anchor, leaf_index, ancestors: Ancestors| {
            let (header, inclusion) = (archive.header(leaf_index), archive.inclusion(leaf_index, 6));
            Pakit::verify_lineage(signed(CLERK), dag, anchor, header, inclusion, ancestors)
        };
        let ancestors = || archive.ancestors(5);
        refuse(seen, Error::UnknownDag, || verify(1, 2, 5, ancestors()));
        refuse(seen, Error::UnknownHead, || verify(DAG, 3, 5, ancestors()));
        refuse(seen, Error::LineageEmpty, || verify(DAG, 2, 5, Ancestors::default()));
        assert_ok!(verify(DAG, 2, 0, Ancestors::default()));
        let mut malformed = ancestors();
        malformed[1].pop();
        refuse(seen, Error::LineageMalformed, || verify(DAG, 2, 5, malformed));
        let mut too_early_an_end = ancestors();
        too_early_an_end.pop();
        refuse(seen, Error::LineageNotGenesis, || verify(DAG, 2, 5, too_early_an_end));
        let skipping: Ancestors = vec![archive.header(0)].try_into().unwrap();
        refuse(seen, Error::NotAParent, || verify(DAG, 2, 5, skipping));
    });
    // A hostile archive can log whatever it wants: a block 3 as shallow as its parent, or a parent from the future.
    for (error, parent_time, child_depth) in [(Error::DepthNotFalling, 1, 2), (Error::TimestampRising, u64::MAX, 3)] {
        let mut headers = Archive::new(3).headers;
        headers[2].timestamp_ms = parent_time;
        let mut child = header_after(&headers, 3);
        child.depth = child_depth;
        headers.push(child);
        let archive = Archive::of(headers);
        new_test_ext().execute_with(|| {
            assert_ok!(archive.create(OWNER));
            assert_ok!(archive.anchor(OWNER, DAG, 4));
            let ancestors: Ancestors = vec![archive.header(2), archive.header(0)].try_into().unwrap();
            let (header, inclusion) = (archive.header(3), archive.inclusion(3, 4));
            refuse(seen, error, || Pakit::verify_lineage(signed(CLERK), DAG, 2, header, inclusion, ancestors));
        });
    }
}

#[test]
fn calls_without_a_signer_are_refused() {
    with_archive(|archive| {
        let (header, inclusion) = (archive.header(5), archive.inclusion(5, 6));
        for origin in [RuntimeOrigin::none(), RuntimeOrigin::root()] {
            let calls = [
                crate::Call::<Test>::create_dag { genesis_header: archive.header(0), succeeds: None },
                crate::Call::accept_ownership { dag: DAG },
                crate::Call::retire_dag { dag: DAG },
                crate::Call::remove_record { dag: DAG, block_hash: archive.block_hash(5) },
                crate::Call::stake { dag: DAG, amount: 5_000 },
                crate::Call::unbond { dag: DAG },
                crate::Call::withdraw_stake { dag: DAG },
                crate::Call::report_miss { dag: DAG },
                crate::Call::declare_removed { dag: DAG, first: 1, last: 2 },
                crate::Call::report_block {
                    dag: DAG,
                    anchor: 2,
                    evidence: Evidence::OtherIndex {
                        leaf_index: 5,
                        header: header.clone(),
                        inclusion: inclusion.clone(),
                    },
                },
                crate::Call::respond {
                    dag: DAG,
                    challenge: 0,
                    header: header.clone(),
                    inclusion: inclusion.clone(),
                    answer: Answer::Removed { range: 0 },
                },
                crate::Call::set_operators { dag: DAG, operators: Default::default() },
                crate::Call::transfer_ownership { dag: DAG, new_owner: None },
                crate::Call::record_proof { dag: DAG, anchor: 2, header: header.clone(), inclusion: inclusion.clone() },
                crate::Call::verify_lineage {
                    dag: DAG,
                    anchor: 2,
                    header: header.clone(),
                    inclusion: inclusion.clone(),
                    ancestors: archive.ancestors(5),
                },
                crate::Call::anchor {
                    dag: DAG,
                    new_head: archive.head(8),
                    consistency: archive.consistency(6, 8),
                    newest_header: archive.header(7),
                    inclusion: archive.inclusion(7, 8),
                },
            ];
            for call in calls {
                use frame_support::dispatch::GetDispatchInfo;
                assert!(call.get_dispatch_info().call_weight.ref_time() > 0);
                let result = RuntimeCall::from(call).dispatch(origin.clone());
                assert_eq!(result.map_err(|post| post.error), Err(sp_runtime::DispatchError::BadOrigin));
            }
        }
        assert_eq!(AnchoredHeads::<Test>::iter().count(), 2);
    });
}
