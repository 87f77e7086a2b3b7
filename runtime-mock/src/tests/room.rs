//! How many anchors a block holds, by what they weigh.

use frame_support::{assert_ok, dispatch::DispatchClass, weights::Weight};
use frame_system::offchain::CreateAuthorizedTransaction;
use pakit_primitives::{
    Head, LogRoot, Parent, Parents, SoftwareHasher,
    header::hash_header_bytes,
    log::{consistency_path_len, hash_node, inclusion_path_len},
};
use sp_runtime::{
    generic::Era,
    traits::{Dispatchable, Header as _},
    transaction_validity::{InvalidTransaction, TransactionValidityError},
};

use super::{possession::genesis, *};
use crate::{Executive, Hash, Header, Nonce, RuntimeOrigin, SignedPayload, UncheckedExtrinsic};

/// Blocks in a log that nobody fills: a thousand a second for 35 years.
const MANY: u64 = 1 << 40;
const NANOS: u64 = frame_support::weights::constants::WEIGHT_REF_TIME_PER_NANOS;

/// What transactions of the normal class have of a block, before the first.
fn room() -> Weight {
    let weights = <Runtime as frame_system::Config>::BlockWeights::get();
    let total = weights.get(DispatchClass::Normal).max_total.unwrap();
    // Three quarters of 2 s and of 5 MiB.
    assert_eq!(total, Weight::from_parts(1_500_000_000 * NANOS, 5 * 1024 * 1024 * 3 / 4));
    total - weights.base_block
}

fn fitting(room: Weight, each: Weight) -> u64 {
    room.checked_div_per_component(&each).unwrap()
}

/// Takes a log from one block fewer to the size, with proofs of the right length and nothing in them.
fn anchor_of(size: u64) -> RuntimeCall {
    let consistency = consistency_path_len(size - 1, size).unwrap();
    let inclusion = inclusion_path_len(size - 1, size).unwrap();
    pallet_pakit::Call::anchor {
        dag: 0,
        new_head: Head { size, root: LogRoot::new([0; 32]) },
        consistency: vec![[0; 32]; consistency].try_into().unwrap(),
        newest_header: genesis().to_bytes().try_into().unwrap(),
        inclusion: vec![[0; 32]; inclusion].try_into().unwrap(),
    }
    .into()
}

/// Signed by Alice, with the extensions of any other transaction, for as long as the chain lasts.
fn signed(call: RuntimeCall, nonce: Nonce) -> UncheckedExtrinsic {
    type Unsigned = pallet_pakit::Call<Runtime>;
    let mut extension = <Runtime as CreateAuthorizedTransaction<Unsigned>>::create_extension();
    extension.5 = frame_system::CheckMortality::from(Era::Immortal);
    extension.6 = frame_system::CheckNonce::from(nonce);
    let payload = SignedPayload::new(call.clone(), extension.clone()).unwrap();
    let alice = Sr25519Keyring::Alice;
    let signature = payload.using_encoded(|bytes| alice.sign(bytes));
    UncheckedExtrinsic::new_signed(call, alice.to_account_id().into(), signature.into(), extension)
}

#[test]
fn an_anchor_of_2_to_the_40_blocks_weighs_so_little_that_a_block_holds_800() {
    let call = anchor_of(MANY);
    let RuntimeCall::Pakit(pallet_pakit::Call::anchor { consistency, inclusion, .. }) = &call else { unreachable!() };
    let hashes = (consistency.len() + inclusion.len()) as u64;
    assert_eq!(hashes, 81);
    let weight = call.get_dispatch_info().call_weight;
    // One map read, the new head and the DAG written, the oldest head removed.
    let database = <Runtime as frame_system::Config>::DbWeight::get().reads_writes(1, 3);
    let time = weight.ref_time() - database.ref_time();
    assert!(time <= (40_000 + 1_000 * hashes) * NANOS, "{time} ps");
    let anchors = fitting(room(), weight);
    assert!(anchors >= 800, "{anchors} anchors of {weight}");
}

#[test]
fn a_block_holds_180_signed_anchors_with_their_extensions() {
    chain_of("development").execute_with(|| {
        let info = signed(anchor_of(MANY), 0).get_dispatch_info();
        let base = <Runtime as frame_system::Config>::BlockWeights::get().get(DispatchClass::Normal).base_extrinsic;
        let anchors = fitting(room(), info.total_weight() + base);
        assert!(anchors >= 180, "{anchors} anchors of {}", info.total_weight());
    });
}

#[test]
fn a_block_of_180_signed_anchors_is_made() {
    let mut chain = chain_of("development");
    let first = genesis();
    let first_hash = hash_header_bytes::<SoftwareHasher>(&first.to_bytes());
    let parent = Parent { leaf_index: 0, block_hash: first_hash };
    let second = pakit_primitives::Header {
        leaf_index: 1,
        parents: Parents::from_slice(&[parent]).unwrap(),
        depth: 1,
        slices_before: first.slices_through(),
        ..first
    };
    let second_hash = hash_header_bytes::<SoftwareHasher>(&second.to_bytes());
    let (left, right) = (*first_hash.as_bytes(), *second_hash.as_bytes());
    let anchor = |dag| -> RuntimeCall {
        pallet_pakit::Call::anchor {
            dag,
            new_head: Head { size: 2, root: LogRoot::new(hash_node::<SoftwareHasher>(&left, &right)) },
            consistency: vec![right].try_into().unwrap(),
            newest_header: second.to_bytes().try_into().unwrap(),
            inclusion: vec![left].try_into().unwrap(),
        }
        .into()
    };
    let made = chain.execute_with(|| {
        for _ in 0..400 {
            let genesis_header = first.to_bytes().try_into().unwrap();
            let create = RuntimeCall::from(pallet_pakit::Call::create_dag { genesis_header, succeeds: None });
            assert_ok!(create.dispatch(RuntimeOrigin::signed(Sr25519Keyring::Alice.to_account_id())));
        }
        let header = Header::new(1, Hash::default(), Hash::default(), System::block_hash(0), Default::default());
        Executive::initialize_block(&header);
        let now = RuntimeCall::Timestamp(pallet_timestamp::Call::set { now: 6_000 });
        Executive::apply_extrinsic(UncheckedExtrinsic::new_bare(now)).unwrap().unwrap();
        let mut made = 0;
        loop {
            match Executive::apply_extrinsic(signed(anchor(made), made)) {
                Ok(outcome) => outcome.unwrap(),
                Err(refusal) => {
                    let full = TransactionValidityError::Invalid(InvalidTransaction::ExhaustsResources);
                    assert_eq!(refusal, full);
                    break;
                }
            }
            made += 1;
        }
        Executive::finalize_block();
        (0..made).for_each(|dag| assert_eq!(Pakit::head(dag).unwrap().0, 2));
        made
    });
    assert!(made >= 180, "{made} anchors");
}
