use super::*;
use crate::{AnchoredHeads, Dags, HostHasher, Pallet, WeightInfo, weights::SubstrateWeight};
use frame_support::{
    dispatch::DispatchClass,
    storage::{StoragePrefixedMap, unhashed},
    weights::Weight,
};
use frame_system::limits::WeightsPerClass;
use pakit_primitives::{Hasher, SoftwareHasher, heads};

type Weights = SubstrateWeight<Test>;

#[test]
fn the_default_limits_fit_the_default_block() {
    new_test_ext().execute_with(Pallet::<Test>::assert_limits_fit);
}

#[test]
#[should_panic(expected = "the longest `set_operators`")]
fn more_operators_than_a_block_holds_are_refused() {
    MaxOperators::set(10_000_000);
    new_test_ext().execute_with(Pallet::<Test>::assert_limits_fit);
}

#[test]
#[should_panic(expected = "the deposit of a DAG with all operators overflows")]
fn a_deposit_that_overflows_is_refused() {
    OperatorDeposit::set(u64::MAX / 2);
    new_test_ext().execute_with(Pallet::<Test>::assert_limits_fit);
}

#[test]
#[should_panic(expected = "the heaviest `respond`")]
fn an_answer_that_no_block_takes_is_refused() {
    let mut limits = BlockWeightLimits::get();
    let max_extrinsic = Some(Weight::from_parts(1_000_000, 10_000));
    let answers = WeightsPerClass { max_extrinsic, ..*limits.get(DispatchClass::Operational) };
    limits.per_class.set(answers, DispatchClass::Operational);
    BlockWeightLimits::set(limits);
    new_test_ext().execute_with(Pallet::<Test>::assert_limits_fit);
}

#[test]
#[should_panic(expected = "a fault, which ends the rounds, costs less")]
fn a_fault_that_is_a_cheap_way_out_of_the_rounds_is_refused() {
    FaultSlash::set(sp_runtime::Perbill::from_percent(39));
    new_test_ext().execute_with(Pallet::<Test>::assert_limits_fit);
}

#[test]
fn every_call_weighs_time_and_proof() {
    for (call, weight) in Pallet::<Test>::heaviest_calls() {
        assert!(weight.ref_time() > 0 && weight.proof_size() > 0, "{call}");
    }
}

#[test]
fn each_hash_header_and_operator_has_a_weight() {
    fn grows(weight: impl Fn(u32) -> Weight, upper: u32) {
        (0..upper).for_each(|n| assert!(weight(n).ref_time() < weight(n + 1).ref_time()));
    }
    grows(|c| Weights::anchor(c, 48), 49);
    grows(|i| Weights::anchor(49, i), 48);
    grows(Weights::record_proof, 48);
    grows(|i| Weights::verify_lineage(i, 64), 48);
    grows(|h| Weights::verify_lineage(48, h), 64);
}

#[test]
fn the_host_hashes_as_the_software_does() {
    new_test_ext().execute_with(|| {
        for length in [0, 1, 65, 319, 5000] {
            let data: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            assert_eq!(HostHasher::sha256(&data), SoftwareHasher::sha256(&data));
            assert_eq!(HostHasher::blake3(&data), SoftwareHasher::blake3(&data));
        }
    });
}

#[test]
fn a_chain_may_ask_for_no_deposits() {
    run(|| {
        DagDeposit::set(0);
        OperatorDeposit::set(0);
        RecordDeposit::set(0);
        let archive = Archive::new(2);
        assert_ok!(archive.create(OWNER));
        assert_ok!(Pakit::set_operators(signed(OWNER), DAG, vec![OPERATOR].try_into().unwrap()));
        assert_ok!(archive.anchor(OPERATOR, DAG, 2));
        assert_ok!(archive.record(PAUPER, 2, 1));
        assert_ok!(Pakit::remove_record(signed(PAUPER), DAG, archive.block_hash(1)));
        assert_ok!(Pakit::transfer_ownership(signed(OWNER), DAG, Some(PAUPER)));
        assert_ok!(Pakit::accept_ownership(signed(PAUPER), DAG));
        assert_ok!(Pakit::retire_dag(signed(PAUPER), DAG));
    });
}

/// Bytes of keys and values below a prefix.
fn state_bytes(prefix: &[u8]) -> (usize, usize) {
    let next = |key: &[u8]| sp_io::storage::next_key(key).filter(|key| key.starts_with(prefix));
    std::iter::successors(next(prefix), |key| next(key))
        .map(|key| key.len() + unhashed::get_raw(&key).unwrap().len())
        .fold((0, 0), |(items, bytes), item| (items + 1, bytes + item))
}

#[test]
fn a_head_takes_128_bytes_of_state_and_a_dag_of_a_million_anchors_20_kib() {
    new_test_ext().execute_with(|| {
        assert_ok!(Archive::new(1).create(OWNER));
        let anchored = AnchoredHeads::<Test>::take(DAG, 1).unwrap();
        for anchor in heads::kept(1_000_000) {
            AnchoredHeads::<Test>::insert(DAG, anchor, anchored);
        }
        let (kept, bytes) = state_bytes(&AnchoredHeads::<Test>::final_prefix());
        assert_eq!(kept, heads::kept(1_000_000).count());
        assert!(bytes <= 128 * kept, "{bytes} bytes of {kept} heads");
        let (dags, dag_bytes) = state_bytes(&Dags::<Test>::final_prefix());
        assert_eq!(dags, 1);
        assert!(bytes + dag_bytes <= 20 * 1024, "{bytes} bytes of heads, {dag_bytes} of the DAG");
    });
}
