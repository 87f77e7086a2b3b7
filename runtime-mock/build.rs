//! Builds the runtime's Wasm, which is what nodes execute.

/// Where cargo tells what to put in front of rustc for the crates of this workspace: clippy's driver.
const WRAPPER: &str = "RUSTC_WORKSPACE_WRAPPER";

/// Where `CheckMetadataHash` is told, when it is compiled, the hash of what wallets are to show of a transaction.
const METADATA_HASH: &str = "RUNTIME_METADATA_HASH";

fn main() -> std::io::Result<()> {
    let metadata_hash = include_str!("metadata-hash.txt").trim();
    // A release takes the hash of the very Wasm that it is put into, and substrate-wasm-builder sees to that.
    let is_computed = cfg!(feature = "metadata-hash");
    let is_as_told = is_computed || std::env::var(METADATA_HASH).is_ok_and(|told| told == metadata_hash);
    if std::env::var_os(WRAPPER).is_none() && is_as_told {
        build_wasm();
        return Ok(());
    }
    // The driver would speak for the compiler of another toolchain and say that it cannot build Wasm. A build script cannot
    // change a variable of its own environment, but of another run of itself.
    let mut again = std::process::Command::new(std::env::current_exe()?);
    again.env_remove(WRAPPER).env_remove(METADATA_HASH);
    if !is_computed {
        again.env(METADATA_HASH, metadata_hash);
    }
    std::process::exit(again.status()?.code().unwrap_or(1));
}

#[cfg(all(feature = "std", feature = "metadata-hash"))]
fn build_wasm() {
    // The symbol and the decimals are those a wallet shows to its user; `UNIT` in `src/lib.rs` has as many zeros.
    substrate_wasm_builder::WasmBuilder::init_with_defaults().enable_metadata_hash("PAKT", 12).build();
}

#[cfg(all(feature = "std", not(feature = "metadata-hash")))]
fn build_wasm() {
    // Said aloud, so that nobody ships a runtime with a hash that nobody computed from it.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!(
            "cargo:warning=this runtime's metadata hash is the one that the checkout says; for a release, build with \
             `--features metadata-hash`"
        );
    }
    substrate_wasm_builder::WasmBuilder::build_using_defaults();
}

/// Inside the Wasm build itself there is nothing more to build.
#[cfg(not(feature = "std"))]
fn build_wasm() {}
