//! The settings that each repository has from before its genesis on: the DAG's name, and how its blocks choose their parents.
//!
//! Reading takes neither, so that a repository whose settings are damaged can be read, checked and repaired; whatever needs one refuses
//! by its name. The name stands in genesis too, behind a nonce; the parent strategy stands nowhere else.

use crate::{
    backend::{BackendError, DagBackend},
    check::NodeState,
    parents::ParentSelectionStrategy,
};

/// The DAG's name.
pub(crate) const NAME: &str = "name";
/// How its blocks choose their parents.
pub(crate) const STRATEGY: &str = "strategy";

/// Greatest name of a DAG, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;

/// Random bytes at the start of a genesis content, which make each DAG's genesis its own. The name follows.
pub(crate) const GENESIS_NONCE_BYTES: usize = 32;

/// The name that the content of a genesis block tells.
pub(crate) fn name_in_genesis(content: &[u8]) -> Option<&[u8]> {
    content.get(GENESIS_NONCE_BYTES..).filter(|name| name.len() <= NAME_BYTES_MAX)
}

/// The DAG's name, as it is set.
pub(crate) fn name(backend: &dyn DagBackend) -> Result<String, BackendError> {
    let name = backend.setting(NAME)?.ok_or_else(|| missing(NAME))?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

/// The parent strategy, as it is set.
pub(crate) fn strategy(backend: &dyn DagBackend) -> Result<ParentSelectionStrategy, BackendError> {
    let value = backend.setting(STRATEGY)?.ok_or_else(|| missing(STRATEGY))?;
    parse_strategy(&value).ok_or_else(|| BackendError::Damaged(format!("its setting {STRATEGY} cannot be read")))
}

/// The strategy that a value names.
pub(crate) fn parse_strategy(value: &[u8]) -> Option<ParentSelectionStrategy> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn missing(key: &str) -> BackendError {
    BackendError::Damaged(format!("its setting {key} is missing"))
}

/// Settings that are not there, or not what a setting of their name can be.
pub(crate) fn damaged(backend: &dyn DagBackend) -> Result<Vec<(&'static str, NodeState)>, BackendError> {
    let is_right = [
        (NAME, backend.setting(NAME)?.map(|value| value.len() <= NAME_BYTES_MAX)),
        (STRATEGY, backend.setting(STRATEGY)?.map(|value| parse_strategy(&value).is_some())),
    ];
    let state = |(key, is_right)| match is_right {
        None => Some((key, NodeState::Missing)),
        Some(false) => Some((key, NodeState::Wrong)),
        Some(true) => None,
    };
    Ok(is_right.into_iter().filter_map(state).collect())
}

/// Sets what each repository has, for tests that make one by hand.
#[cfg(test)]
pub(crate) fn set(backend: &dyn DagBackend) {
    let strategy = ParentSelectionStrategy::default().to_string();
    for (key, value) in [(NAME, "tests"), (STRATEGY, strategy.as_str())] {
        assert!(backend.set_setting(key, value.as_bytes()).is_ok());
    }
}
