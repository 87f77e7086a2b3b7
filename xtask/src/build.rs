//! Release builds of the programs.

use std::path::PathBuf;

use anyhow::Result;

use crate::{process, setup, test::target_folder};

/// The recipe `build`.
pub(crate) fn run() -> Result<()> {
    let folder = binaries()?;
    println!("built {0}/pakit and {0}/pakit-dev-node", folder.display());
    Ok(())
}

/// Builds `pakit` and the development node, its runtime with the metadata hash that wallets check what they sign against;
/// returns the folder they are in.
pub(crate) fn binaries() -> Result<PathBuf> {
    let environment = setup::ensure()?;
    println!("Building pakit and its development node (release; the first time takes a while) ...");
    let mut cargo = environment.cargo(&["build", "--locked", "--release", "--package", "offchain-store"]);
    process::run(cargo.args(["--package", "pakit-dev-node", "--features", "pakit-dev-node/metadata-hash"]))?;
    Ok(target_folder()?.join("release"))
}
