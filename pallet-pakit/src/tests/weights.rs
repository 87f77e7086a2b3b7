//! What the heaviest calls take, beside what their weights say.

use super::*;
use crate::{
    Call, Dags, HostHasher, WeightInfo,
    possession::{Answer, Draw, Drawn, Round},
    sparse_log::SparseLog,
};
use codec::Encode;
use frame_support::{
    dispatch::GetDispatchInfo,
    traits::UnfilteredDispatchable,
    weights::{Weight, constants::WEIGHT_REF_TIME_PER_NANOS},
};
use pakit_primitives::{
    ContentHash, Hasher, Header, Parent, Parents,
    header::PARENTS_MAX,
    lineage::LINEAGE_HEADERS_MAX,
    log::{CONSISTENCY_PATH_MAX, INCLUSION_PATH_MAX},
    slice::SLICE_SIBLINGS_MAX,
};
use std::time::Instant;

/// The shortest of so many runs is what the call takes; the others were disturbed.
const RUNS: usize = 32;

/// The last leaf that a log can have, and the size from which the proof of consistency to that log is longest.
const NEWEST: u64 = (1 << 48) - 1;
const OLD_SIZE: u64 = (1 << 47) - 1;

/// A header with the most parents, one of them real.
fn longest_header(leaf_index: u64, depth: u32, parent: &Header) -> Header {
    let mut parents: Vec<Parent> = (1..PARENTS_MAX as u64)
        .map(|leaf_index| Parent { leaf_index, block_hash: hash_of(&[leaf_index as u8]) })
        .collect();
    parents.push(Parent { leaf_index: parent.leaf_index, block_hash: hash_of(&parent.to_bytes()) });
    parents.sort_unstable_by_key(|parent| parent.leaf_index);
    let parents = Parents::from_slice(&parents).unwrap();
    Header { leaf_index, depth, slices_before: leaf_index, parents, timestamp_ms: parent.timestamp_ms, ..*parent }
}

/// A DAG with the most operators whose latest head is `size` blocks of a log: put there, since a chain of real anchors that
/// far would be hashed for years.
fn dag_at(archive: &Archive, log: &SparseLog, size: u64) {
    assert_ok!(archive.create(OWNER));
    let operators: Vec<AccountId> = (100..100 + u64::from(MaxOperators::get())).collect();
    assert_ok!(Pakit::set_operators(signed(OWNER), DAG, operators.try_into().unwrap()));
    Dags::<Test>::mutate(DAG, |dag| dag.as_mut().unwrap().latest = log.head(size));
    crate::AnchoredHeads::<Test>::mutate(DAG, 1, |anchored| anchored.as_mut().unwrap().head = log.head(size));
}

/// Extends a log of 2^47 - 1 blocks to the largest there is.
fn heaviest_anchor() -> (sp_io::TestExternalities, Call<Test>) {
    let archive = Archive::new(1);
    let newest = longest_header(NEWEST, 1, &archive.headers[0]);
    let log = SparseLog::new([(NEWEST, hash_of(&newest.to_bytes()))]);
    let consistency = log.consistency(OLD_SIZE, NEWEST + 1);
    let inclusion = log.inclusion(NEWEST, NEWEST + 1);
    assert_eq!((consistency.len(), inclusion.len()), (CONSISTENCY_PATH_MAX, INCLUSION_PATH_MAX));
    let mut ext = new_test_ext();
    ext.execute_with(|| dag_at(&archive, &log, OLD_SIZE));
    let call = Call::anchor {
        dag: DAG,
        new_head: log.head(NEWEST + 1),
        consistency: consistency.try_into().unwrap(),
        newest_header: bytes_of(&newest),
        inclusion: inclusion.try_into().unwrap(),
    };
    (ext, call)
}

/// Proves the longest descent, of the longest headers, from the last block of the largest log.
fn heaviest_lineage() -> (sp_io::TestExternalities, Call<Test>) {
    let archive = Archive::new(1);
    let mut lineage = vec![archive.headers[0].clone()];
    for depth in 1..LINEAGE_HEADERS_MAX as u32 {
        let parent = lineage.last().unwrap();
        lineage.push(longest_header(u64::from(depth) + PARENTS_MAX as u64, depth, parent));
    }
    let newest = longest_header(NEWEST, LINEAGE_HEADERS_MAX as u32, lineage.last().unwrap());
    let log = SparseLog::new([(NEWEST, hash_of(&newest.to_bytes()))]);
    let mut ext = new_test_ext();
    ext.execute_with(|| dag_at(&archive, &log, NEWEST + 1));
    let ancestors: Vec<_> = lineage.iter().rev().map(bytes_of).collect();
    let call = Call::verify_lineage {
        dag: DAG,
        anchor: 1,
        header: bytes_of(&newest),
        inclusion: log.inclusion(NEWEST, NEWEST + 1).try_into().unwrap(),
        ancestors: ancestors.try_into().unwrap(),
    };
    (ext, call)
}

/// What the call takes here: picoseconds of its shortest run, and bytes of the storage it reads with their proof.
fn measured(mut ext: sp_io::TestExternalities, call: Call<Test>, origin: &RuntimeOrigin) -> Weight {
    ext.commit_all().unwrap();
    let mut shortest = u64::MAX;
    let mut proof_bytes = 0;
    for _ in 0..RUNS {
        let call = call.clone();
        let ((result, elapsed), proof) = ext.execute_and_prove(|| {
            frame_support::storage::with_transaction(|| {
                let began = Instant::now();
                let result = call.dispatch_bypass_filter(origin.clone());
                // Undone, so that each run finds the same state.
                sp_runtime::TransactionOutcome::Rollback(Ok::<_, sp_runtime::DispatchError>((result, began.elapsed())))
            })
            .unwrap()
        });
        assert_ok!(result);
        shortest = shortest.min(elapsed.as_nanos() as u64 * WEIGHT_REF_TIME_PER_NANOS);
        proof_bytes = proof.encoded_size() as u64;
    }
    Weight::from_parts(shortest, proof_bytes)
}

fn assert_takes_no_more_than_its_weight((ext, call): (sp_io::TestExternalities, Call<Test>)) {
    let declared = call.get_dispatch_info().call_weight;
    let measured = measured(ext, call, &signed(OWNER));
    assert!(measured.all_lte(declared), "takes {measured:?}, weighs {declared:?}");
}

#[test]
fn the_heaviest_anchor_takes_no_more_than_its_weight() {
    assert_takes_no_more_than_its_weight(heaviest_anchor());
}

#[test]
fn the_heaviest_lineage_takes_no_more_than_its_weight() {
    assert_takes_no_more_than_its_weight(heaviest_lineage());
}

/// The largest content there is, of which only the first slice was ever made: 1,024 bytes and as many siblings as can be.
fn largest_content() -> (ContentHash, Answer) {
    let slice = vec![7; 1024];
    let siblings: Vec<[u8; 32]> = (0..SLICE_SIBLINGS_MAX).map(|level| [level as u8; 32]).collect();
    let (topmost, lower) = siblings.split_last().unwrap();
    let node = lower
        .iter()
        .fold(HostHasher::blake3_slice(0, &slice), |node, sibling| HostHasher::blake3_parent(&node, sibling));
    let content_hash = ContentHash::new(HostHasher::blake3_root(&node, topmost));
    (content_hash, Answer::Slice { slice: slice.try_into().unwrap(), siblings: siblings.try_into().unwrap() })
}

/// Answers the last of the most challenges with a slice of the largest content in the last block of the largest log.
fn heaviest_answer() -> (sp_io::TestExternalities, Call<Test>) {
    let archive = Archive::new(1);
    let (content_hash, answer) = largest_content();
    let newest = longest_header(NEWEST, 1, &archive.headers[0]);
    let newest = Header { content_hash, original_size: (1 << 53) - 1, ..newest };
    let log = SparseLog::new([(NEWEST, hash_of(&newest.to_bytes()))]);
    let mut draws = vec![Draw { position: newest.slices_before, answered: true }; 16];
    draws[15].answered = false;
    let drawn = Drawn { first: 0, due: 9, draws: draws.try_into().unwrap() };
    let (head, slices) = (log.head(NEWEST + 1), newest.slices_through());
    let mut ext = new_test_ext();
    ext.execute_with(|| {
        dag_at(&archive, &log, NEWEST + 1);
        assert_ok!(Pakit::stake(signed(OWNER), DAG, 1_000));
        crate::Stakes::<Test>::mutate(DAG, |stake| {
            stake.as_mut().unwrap().round = Some(Round { head, slices, frozen_at: 0, drawn: Some(drawn) });
        });
    });
    let inclusion = log.inclusion(NEWEST, NEWEST + 1).try_into().unwrap();
    (ext, Call::respond { dag: DAG, challenge: 15, header: bytes_of(&newest), inclusion, answer })
}

#[test]
fn the_heaviest_answer_takes_no_more_than_its_weight() {
    let (ext, call) = heaviest_answer();
    let declared = call.get_dispatch_info().call_weight;
    let measured = measured(ext, call, &frame_system::RawOrigin::Authorized.into());
    assert!(measured.all_lte(declared), "takes {measured:?}, weighs {declared:?}");
}

#[test]
fn each_hash_and_each_header_of_a_proof_adds_weight() {
    type Weights = crate::weights::SubstrateWeight<Test>;
    let time = |weight: Weight| weight.ref_time();
    for at in 1..CONSISTENCY_PATH_MAX as u32 {
        assert!(time(Weights::anchor(at + 1, 1)) > time(Weights::anchor(at, 1)));
    }
    for at in 1..INCLUSION_PATH_MAX as u32 {
        assert!(time(Weights::anchor(1, at + 1)) > time(Weights::anchor(1, at)));
        assert!(time(Weights::record_proof(at + 1)) > time(Weights::record_proof(at)));
        assert!(time(Weights::verify_lineage(at + 1, 1)) > time(Weights::verify_lineage(at, 1)));
    }
    for at in 1..LINEAGE_HEADERS_MAX as u32 {
        assert!(time(Weights::verify_lineage(1, at + 1)) > time(Weights::verify_lineage(1, at)));
    }
}
