//! Release builds of the programs.

use std::path::PathBuf;

use anyhow::Result;

use crate::{process, setup, test::target_folder};

/// What release builds select, so that all of them share what they build: the runtime with the metadata hash that wallets
/// check what they sign against.
pub(crate) const SELECTION: [&str; 6] =
    ["--package", "offchain-store", "--package", "pakit-dev-node", "--features", "pakit-dev-node/metadata-hash"];

/// The recipe `build`.
pub(crate) fn run() -> Result<()> {
    let folder = binaries()?;
    println!("built {0}/pakit and {0}/pakit-dev-node", folder.display());
    Ok(())
}

/// Builds `pakit` and the development node; returns the folder they are in.
pub(crate) fn binaries() -> Result<PathBuf> {
    let environment = setup::ensure()?;
    println!("Building pakit and its development node (release; the first time takes a while) ...");
    process::run(environment.cargo(&["build", "--locked", "--release"]).args(SELECTION))?;
    Ok(target_folder()?.join("release"))
}

/// Builds `pakit` alone, of the same selection; returns the folder it is in.
pub(crate) fn pakit() -> Result<PathBuf> {
    let environment = setup::ensure()?;
    println!("Building pakit (release; the first time takes a while) ...");
    process::run(environment.cargo(&["build", "--locked", "--release", "--bin", "pakit"]).args(SELECTION))?;
    Ok(target_folder()?.join("release"))
}
