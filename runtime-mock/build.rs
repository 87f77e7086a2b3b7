//! Builds the runtime's Wasm, which is what nodes execute.

fn main() {
    build_wasm();
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
