//! The hash of the runtime's metadata, which `build.rs` gives to the Wasm.
#![allow(clippy::unwrap_used)]

use codec::Decode;
use frame_metadata::RuntimeMetadataPrefixed;
use merkleized_metadata::{ExtraInfo, generate_metadata_digest};
use pakit_runtime_mock::{Block, Runtime, SS58_PREFIX, VERSION};
use sp_api::runtime_decl_for_metadata::MetadataV2;

/// Frozen: what hardware wallets check before they sign. A release takes what is computed from its own Wasm.
#[test]
fn the_metadata_hash_that_the_wasm_is_given_is_that_of_its_metadata() {
    let opaque = <Runtime as MetadataV2<Block>>::metadata_at_version(15).unwrap();
    let RuntimeMetadataPrefixed(_, metadata) = Decode::decode(&mut &opaque[..]).unwrap();
    let info = ExtraInfo {
        spec_version: VERSION.spec_version,
        spec_name: VERSION.spec_name.into(),
        base58_prefix: SS58_PREFIX,
        decimals: 12,
        token_symbol: "PAKT".into(),
    };
    let digest = generate_metadata_digest(&metadata, info).unwrap().hash();
    let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        include_str!("../metadata-hash.txt").trim(),
        format!("0x{hash}"),
        "the calls, the extensions or the version changed: write the right-hand hash into runtime-mock/metadata-hash.txt"
    );
}
