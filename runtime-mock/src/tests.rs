#![allow(clippy::unwrap_used)]

use codec::{Decode, Encode};
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use frame_support::{
    dispatch::GetDispatchInfo,
    traits::{Get, GetStorageVersion, PalletInfoAccess, StorageVersion, fungible::Inspect},
};
use sp_api::runtime_decl_for_metadata::MetadataV2;
use sp_core::OpaqueMetadata;
use sp_genesis_builder::{PresetId, runtime_decl_for_genesis_builder::GenesisBuilderV1};
use sp_io::TestExternalities;
use sp_keyring::Sr25519Keyring;
use sp_runtime::traits::TransactionExtension;

use crate::{
    Balances, EXISTENTIAL_DEPOSIT, Executive, Multisig, Pakit, Proxy, Runtime, RuntimeCall, Sudo, System, Timestamp,
    TransactionPayment, TxExtension, UNIT, Utility, genesis_presets,
};

mod possession;
mod room;
mod ways;

/// The state that a preset describes, built the way a node builds it: by the runtime API, from JSON.
fn chain_of(preset: &str) -> TestExternalities {
    let mut chain = TestExternalities::default();
    chain.execute_with(|| {
        let patch = Runtime::get_preset(&Some(PresetId::from(preset))).unwrap();
        let mut config: serde_json::Value = serde_json::from_slice(&Runtime::get_preset(&None).unwrap()).unwrap();
        merge(&mut config, serde_json::from_slice(&patch).unwrap());
        Runtime::build_state(serde_json::to_vec(&config).unwrap()).unwrap();
    });
    chain
}

/// RFC 7396, which is how chain specifications apply a patch.
fn merge(into: &mut serde_json::Value, patch: serde_json::Value) {
    match (into, patch) {
        (serde_json::Value::Object(into), serde_json::Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

fn decoded(opaque: &OpaqueMetadata) -> RuntimeMetadata {
    RuntimeMetadataPrefixed::decode(&mut &opaque[..]).unwrap().1
}

fn identifiers() -> Vec<&'static str> {
    <TxExtension as TransactionExtension<RuntimeCall>>::metadata().iter().map(|entry| entry.identifier).collect()
}

#[test]
fn every_named_preset_builds_a_genesis_with_money_in_it() {
    let names = Runtime::preset_names();
    assert_eq!(names, genesis_presets::PRESETS.map(PresetId::from));
    for name in &names {
        chain_of(name.as_ref()).execute_with(|| {
            let alice = Sr25519Keyring::Alice.to_account_id();
            assert_eq!(Balances::total_balance(&alice), genesis_presets::ENDOWMENT, "{name:?}");
            assert!(Balances::total_issuance() >= 6 * genesis_presets::ENDOWMENT, "{name:?}");
        });
    }
}

#[test]
fn alice_is_sudo_in_the_development_preset_and_nobody_is_in_the_other() {
    let sudo_of = |preset| chain_of(preset).execute_with(pallet_sudo::Key::<Runtime>::get);
    assert_eq!(sudo_of("development"), Some(Sr25519Keyring::Alice.to_account_id()));
    assert_eq!(sudo_of("local_testnet"), None);
}

#[test]
fn a_preset_nobody_named_is_refused() {
    assert_eq!(Runtime::get_preset(&Some(PresetId::from("mainnet"))), None);
}

#[test]
fn a_genesis_that_is_not_ours_is_refused() {
    let refused = |json: &str| {
        TestExternalities::default().execute_with(|| Runtime::build_state(json.as_bytes().to_vec())).unwrap_err()
    };
    assert!(refused("").contains("Invalid JSON"));
    assert!(refused(r#"{"nobody": {}}"#).contains("unknown field"));
}

#[test]
fn metadata_is_given_at_versions_14_to_16_and_decodes() {
    let versions = <Runtime as MetadataV2<crate::Block>>::metadata_versions();
    for version in [14, 15, 16] {
        assert!(versions.contains(&version), "{version} is not among {versions:?}");
    }
    let at = |version| decoded(&<Runtime as MetadataV2<crate::Block>>::metadata_at_version(version).unwrap());
    assert!(matches!(decoded(&<Runtime as MetadataV2<crate::Block>>::metadata()), RuntimeMetadata::V14(_)));
    assert!(matches!(at(14), RuntimeMetadata::V14(_)));
    assert!(matches!(at(15), RuntimeMetadata::V15(_)));
    assert!(matches!(at(16), RuntimeMetadata::V16(_)));
    assert!(<Runtime as MetadataV2<crate::Block>>::metadata_at_version(13).is_none());
}

#[test]
fn metadata_names_every_runtime_api_a_client_relies_on() {
    let opaque = <Runtime as MetadataV2<crate::Block>>::metadata_at_version(16).unwrap();
    let RuntimeMetadata::V16(metadata) = decoded(&opaque) else { panic!("asked for version 16") };
    let apis: Vec<_> = metadata.apis.iter().map(|api| api.name.clone()).collect();
    for api in [
        "AccountNonceApi",
        "AuraApi",
        "BlockBuilder",
        "Core",
        "GenesisBuilder",
        "GetParachainInfo",
        "Metadata",
        "OffchainWorkerApi",
        "PakitApi",
        "RuntimeViewFunction",
        "SessionKeys",
        "TaggedTransactionQueue",
        "TransactionPaymentApi",
        "TransactionPaymentCallApi",
    ] {
        assert!(apis.iter().any(|name| name == api), "{api} is not among {apis:?}");
    }
}

/// Frozen: clients encode transactions in this order.
#[test]
fn transaction_extensions_stand_in_the_order_that_clients_encode() {
    assert_eq!(
        identifiers(),
        [
            "AuthorizeCall",
            "CheckNonZeroSender",
            "CheckSpecVersion",
            "CheckTxVersion",
            "CheckGenesis",
            "CheckMortality",
            "CheckNonce",
            "CheckWeight",
            "ChargeTransactionPayment",
            "CheckMetadataHash",
            "WeightReclaim",
        ]
    );
}

#[test]
fn a_chain_of_an_earlier_storage_version_is_brought_up_to_date_by_the_upgrade() {
    chain_of("development").execute_with(|| {
        assert_eq!(Pakit::on_chain_storage_version(), Pakit::in_code_storage_version());
        StorageVersion::new(1).put::<Pakit>();
        Executive::execute_on_runtime_upgrade();
        assert_eq!(Pakit::on_chain_storage_version(), Pakit::in_code_storage_version());
    });
}

/// Frozen: the index is the first byte of every call of the pallet.
#[test]
fn pallets_keep_their_indices() {
    assert_eq!(
        [
            System::index(),
            Timestamp::index(),
            Balances::index(),
            TransactionPayment::index(),
            Sudo::index(),
            Pakit::index(),
            Utility::index(),
            Proxy::index(),
            Multisig::index(),
        ],
        [0, 1, 2, 3, 4, 10, 11, 12, 13]
    );
}

#[test]
fn a_stock_node_finds_the_slots_and_the_parachain_that_it_asks_for() {
    use sp_api::RuntimeApiInfo;
    use sp_consensus_aura::{AuraApi, sr25519::AuthorityId};

    use crate::{Block, RUNTIME_API_VERSIONS, omni::GetParachainInfo};

    // BLAKE2b with 8 bytes of output, of the names: by these a node looks an API up, whoever declared it.
    let aura = [0xdd, 0x71, 0x8d, 0x5c, 0xc5, 0x32, 0x62, 0xd4];
    let parachain_info = [0xa2, 0xdd, 0xb6, 0xa5, 0x84, 0x77, 0xbf, 0x63];
    assert_eq!(<dyn AuraApi<Block, AuthorityId>>::ID, aura);
    assert_eq!(<dyn GetParachainInfo<Block>>::ID, parachain_info);
    for id in [aura, parachain_info] {
        assert!(RUNTIME_API_VERSIONS.contains(&(id, 1)), "{id:02x?}");
    }
}

#[test]
fn a_dead_transaction_s_era_is_remembered_for_4096_blocks() {
    let remembered: u32 = <Runtime as frame_system::Config>::BlockHashCount::get();
    assert_eq!(remembered, 4096);
}

#[test]
fn a_transfer_costs_a_small_part_of_one_unit_and_more_when_it_is_longer() {
    chain_of("development").execute_with(|| {
        let call = RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
            dest: Sr25519Keyring::Bob.to_account_id().into(),
            value: EXISTENTIAL_DEPOSIT,
        });
        let fee = |len| TransactionPayment::compute_fee(len, &call.get_dispatch_info(), 0);
        let length = u32::try_from(call.encoded_size()).unwrap();
        assert!(fee(length) > 0 && fee(length) < UNIT / 100, "{}", fee(length));
        assert_eq!(fee(length + 1000) - fee(length), 1000 * crate::MICRO_UNIT);
    });
}

#[test]
fn the_wasm_was_built() {
    // What is in it, the development node's tests ask of it.
    let wasm = crate::wasm_binary();
    assert!(wasm.len() > 100_000, "{} bytes are no runtime", wasm.len());
}
