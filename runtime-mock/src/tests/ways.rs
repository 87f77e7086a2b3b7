//! Calls of the pallet that come by way of a batch, a proxy or a multisig.

use frame_support::{assert_noop, assert_ok, traits::InstanceFilter};
use pakit_primitives::{Head, SoftwareHasher, header::hash_header_bytes};
use sp_runtime::{DispatchError, traits::Dispatchable};

use super::{possession::genesis, *};
use crate::{AccountId, RuntimeEvent, RuntimeOrigin, ways::ProxyType};

const TYPES: [ProxyType; 3] = [ProxyType::Any, ProxyType::Pakit, ProxyType::Anchor];

fn create() -> RuntimeCall {
    let genesis_header = genesis().to_bytes().try_into().unwrap();
    pallet_pakit::Call::create_dag { genesis_header, succeeds: None }.into()
}

fn anchor() -> RuntimeCall {
    let block = hash_header_bytes::<SoftwareHasher>(&genesis().to_bytes());
    pallet_pakit::Call::anchor {
        dag: 0,
        new_head: Head { size: 1, root: block.as_root_of_one() },
        consistency: Default::default(),
        newest_header: genesis().to_bytes().try_into().unwrap(),
        inclusion: Default::default(),
    }
    .into()
}

fn transfer() -> RuntimeCall {
    let dest = Sr25519Keyring::Bob.to_account_id().into();
    pallet_balances::Call::transfer_keep_alive { dest, value: UNIT }.into()
}

fn development<R>(test: impl FnOnce() -> R) -> R {
    chain_of("development").execute_with(|| {
        // There are no events in the genesis block.
        System::set_block_number(1);
        test()
    })
}

fn owner() -> Option<AccountId> {
    Pakit::dag(0).map(|dag| dag.owner)
}

#[test]
fn a_proxy_that_may_more_may_all_that_one_who_may_less() {
    let calls = [anchor(), create(), transfer()];
    for (index, kind) in TYPES.iter().enumerate() {
        // `Anchor` may the first, `Pakit` the first two, `Any` all.
        let allowed = calls.iter().map(|call| kind.filter(call)).collect::<Vec<_>>();
        let expected = (0..calls.len()).map(|call| call < calls.len() - index).collect::<Vec<_>>();
        assert_eq!(allowed, expected, "{kind:?}");
        for other in TYPES {
            let may_all = calls.iter().all(|call| kind.filter(call) || !other.filter(call));
            assert_eq!(kind.is_superset(&other), may_all, "{kind:?} and {other:?}");
        }
    }
    assert_eq!(ProxyType::default(), ProxyType::Any);
}

#[test]
fn a_batch_creates_a_dag_and_takes_all_back_where_one_call_fails() {
    development(|| {
        let alice = || RuntimeOrigin::signed(Sr25519Keyring::Alice.to_account_id());
        let calls = vec![create(), anchor()];
        let failed = RuntimeCall::from(pallet_utility::Call::batch_all { calls }).dispatch(alice()).unwrap_err();
        assert_eq!(failed.error, pallet_pakit::Error::<Runtime>::StaleSize.into());
        assert_eq!(owner(), None);
        let calls = vec![create(), transfer()];
        assert_ok!(RuntimeCall::from(pallet_utility::Call::batch_all { calls }).dispatch(alice()));
        assert_eq!(owner(), Some(Sr25519Keyring::Alice.to_account_id()));
    });
}

#[test]
fn a_proxy_acts_for_the_account_that_named_it_and_within_its_kind() {
    development(|| {
        let (alice, bob) = (Sr25519Keyring::Alice.to_account_id(), Sr25519Keyring::Bob.to_account_id());
        let name = |proxy_type| pallet_proxy::Call::add_proxy { delegate: bob.clone().into(), proxy_type, delay: 0 };
        assert_ok!(RuntimeCall::from(name(ProxyType::Anchor)).dispatch(RuntimeOrigin::signed(alice.clone())));
        let through = || {
            let call = Box::new(create());
            let call = pallet_proxy::Call::proxy { real: alice.clone().into(), force_proxy_type: None, call };
            RuntimeCall::from(call).dispatch(RuntimeOrigin::signed(bob.clone()))
        };
        assert_ok!(through());
        let filtered = DispatchError::from(frame_system::Error::<Runtime>::CallFiltered);
        System::assert_last_event(RuntimeEvent::Proxy(pallet_proxy::Event::ProxyExecuted { result: Err(filtered) }));
        assert_eq!(owner(), None);

        assert_ok!(RuntimeCall::from(name(ProxyType::Pakit)).dispatch(RuntimeOrigin::signed(alice.clone())));
        assert_ok!(through());
        assert_eq!(owner(), Some(alice.clone()));
    });
}

#[test]
fn a_multisig_owns_a_dag_once_enough_have_agreed() {
    development(|| {
        let mut parties =
            [Sr25519Keyring::Alice, Sr25519Keyring::Bob, Sr25519Keyring::Charlie].map(|key| key.to_account_id());
        parties.sort();
        let together = Multisig::multi_account_id(&parties, 2);
        Balances::force_set_balance(RuntimeOrigin::root(), together.clone().into(), 1_000 * UNIT).unwrap();
        let agree = |party: usize, maybe_timepoint| {
            let mut others = parties.to_vec();
            let one = others.remove(party);
            let call = pallet_multisig::Call::as_multi {
                threshold: 2,
                other_signatories: others,
                maybe_timepoint,
                call: Box::new(create()),
                max_weight: create().get_dispatch_info().call_weight,
            };
            RuntimeCall::from(call).dispatch(RuntimeOrigin::signed(one))
        };
        assert_ok!(agree(0, None));
        assert_eq!(owner(), None);
        let first = Some(Multisig::timepoint());
        assert_noop!(agree(0, first), pallet_multisig::Error::<Runtime>::AlreadyApproved);
        assert_ok!(agree(2, first));
        assert_eq!(owner(), Some(together));
    });
}
