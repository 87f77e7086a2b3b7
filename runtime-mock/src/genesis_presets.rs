//! The genesis presets: named starting states, for [`sp_genesis_builder`].

use alloc::vec::Vec;

use frame_support::build_struct_json_patch;
use serde_json::Value;
use sp_genesis_builder::{DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET, PresetId};
use sp_keyring::Sr25519Keyring;

use crate::{AccountId, Balance, BalancesConfig, RuntimeGenesisConfig, SudoConfig, UNIT};

/// What each endowed account starts with.
pub const ENDOWMENT: Balance = 1_000_000 * UNIT;

/// The names of all presets; the first is the default of the development node.
pub const PRESETS: [&str; 2] = [DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET];

/// The preset of that name as a JSON patch over the default genesis, if there is one.
///
/// - `development`: Alice to Ferdie are endowed, Alice is sudo;
/// - `local_testnet`: these and their stash accounts are endowed, and nobody is sudo, so that a test can show what works
///   without it.
#[must_use]
pub fn get_preset(id: &PresetId) -> Option<Vec<u8>> {
    let patch = match id.as_ref() {
        DEV_RUNTIME_PRESET => genesis(Sr25519Keyring::invulnerable(), Some(Sr25519Keyring::Alice.to_account_id())),
        LOCAL_TESTNET_RUNTIME_PRESET => genesis(Sr25519Keyring::well_known(), None),
        _ => return None,
    };
    Some(serde_json::to_vec(&patch).expect("a JSON value without non-string keys serializes; qed"))
}

/// The names of all presets as the runtime API gives them.
#[must_use]
pub fn preset_names() -> Vec<PresetId> {
    PRESETS.into_iter().map(PresetId::from).collect()
}

fn genesis(endowed: impl Iterator<Item = Sr25519Keyring>, sudo: Option<AccountId>) -> Value {
    build_struct_json_patch!(RuntimeGenesisConfig {
        balances: BalancesConfig { balances: endowed.map(|key| (key.to_account_id(), ENDOWMENT)).collect() },
        sudo: SudoConfig { key: sudo },
    })
}
