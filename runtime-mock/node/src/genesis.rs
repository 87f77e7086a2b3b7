//! The genesis state, built by the Wasm runtime from one of its presets.
//!
//! The client could do this by itself, but in an executor of its own: it would compile the runtime twice at every start,
//! which takes longer than all the rest.

use std::borrow::Cow;

use codec::{Decode, Encode};
use sc_chain_spec::json_patch;
use sp_core::{
    storage::{Storage, well_known_keys},
    traits::{CallContext, CodeExecutor, FetchRuntimeCode, RuntimeCode},
};
use sp_genesis_builder::PresetId;
use sp_runtime::traits::Hash as _;
use sp_state_machine::BasicExternalities;

use crate::service::Executor;

/// The genesis that a preset of the runtime describes.
pub(crate) struct Genesis<'a> {
    executor: &'a Executor,
    code: &'a [u8],
    preset: &'a str,
}

/// Why there is no genesis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GenesisError {
    /// The Wasm did not run, or trapped.
    #[error("the runtime failed")]
    Call(#[from] sc_executor::error::Error),
    /// The Wasm speaks another version of the API.
    #[error("the runtime's answer does not decode")]
    Answer(#[from] codec::Error),
    /// The preset is no JSON.
    #[error("the runtime's preset is not JSON")]
    Json(#[from] serde_json::Error),
    /// The runtime knows no preset of that name.
    #[error("the runtime has no preset {0:?}")]
    NoPreset(Option<PresetId>),
    /// The preset does not describe a state.
    #[error("the runtime refuses its preset: {0}")]
    Refused(String),
}

impl<'a> Genesis<'a> {
    pub(crate) fn new(executor: &'a Executor, code: &'a [u8], preset: &'a str) -> Self {
        Self { executor, code, preset }
    }

    /// The whole state, with the runtime in it.
    pub(crate) fn build(&self) -> Result<Storage, GenesisError> {
        let mut config = self.preset(None)?;
        json_patch::merge(&mut config, self.preset(Some(self.preset.to_owned()))?);
        let mut state = BasicExternalities::new_empty();
        let answer = self.call(&mut state, "GenesisBuilder_build_state", &serde_json::to_vec(&config)?)?;
        sp_genesis_builder::Result::decode(&mut &answer[..])?.map_err(GenesisError::Refused)?;
        let mut storage = state.into_storages();
        storage.top.insert(well_known_keys::CODE.to_vec(), self.code.to_vec());
        Ok(storage)
    }

    /// The preset of that name as a patch; without a name, the whole default configuration.
    fn preset(&self, name: Option<PresetId>) -> Result<serde_json::Value, GenesisError> {
        let answer = self.call(&mut BasicExternalities::new_empty(), "GenesisBuilder_get_preset", &name)?;
        let json = Option::<Vec<u8>>::decode(&mut &answer[..])?.ok_or(GenesisError::NoPreset(name))?;
        Ok(serde_json::from_slice(&json)?)
    }

    fn call(
        &self,
        state: &mut BasicExternalities,
        method: &str,
        argument: &impl Encode,
    ) -> Result<Vec<u8>, sc_executor::error::Error> {
        let hash = pakit_runtime_mock::Hashing::hash(self.code).as_bytes().to_vec();
        let code = RuntimeCode { code_fetcher: self, heap_pages: None, hash };
        self.executor.call(state, &code, method, &argument.encode(), CallContext::Offchain).0
    }
}

impl FetchRuntimeCode for Genesis<'_> {
    fn fetch_runtime_code(&self) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.code))
    }
}
