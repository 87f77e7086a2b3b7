//! Builds the runtime's Wasm, which is what nodes execute.

/// Where cargo tells what to put in front of rustc for the crates of this workspace: clippy's driver.
const WRAPPER: &str = "RUSTC_WORKSPACE_WRAPPER";

fn main() -> std::io::Result<()> {
    if std::env::var_os(WRAPPER).is_none() {
        build_wasm();
        return Ok(());
    }
    // The driver would speak for the compiler of another toolchain and say that it cannot build Wasm. A build script cannot
    // take a variable back from its own environment, but from another run of itself.
    let status = std::process::Command::new(std::env::current_exe()?).env_remove(WRAPPER).status()?;
    std::process::exit(status.code().unwrap_or(1));
}

#[cfg(all(feature = "std", feature = "metadata-hash"))]
fn build_wasm() {
    // The symbol and the decimals are those a wallet shows to its user; `UNIT` in `src/lib.rs` has as many zeros.
    substrate_wasm_builder::WasmBuilder::init_with_defaults().enable_metadata_hash("PAKT", 12).build();
}

#[cfg(all(feature = "std", not(feature = "metadata-hash")))]
fn build_wasm() {
    // Said aloud, so that nobody ships a runtime which hardware wallets refuse to sign for.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!(
            "cargo:warning=this runtime has no metadata hash; for a release, build with `--features metadata-hash`"
        );
    }
    substrate_wasm_builder::WasmBuilder::build_using_defaults();
}

/// Inside the Wasm build itself there is nothing more to build.
#[cfg(not(feature = "std"))]
fn build_wasm() {}
