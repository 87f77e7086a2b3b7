//! `pakit-verifier-glue WASM FOLDER`: wasm-bindgen over a built Wasm.
//!
//! The published program `wasm-bindgen` does the same, and brings a web driver's client and a test runner with it. `cargo xtask
//! verifier` builds this one and runs it.

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

/// How the files are called.
const NAME: &str = "core";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [wasm, folder] = arguments.as_slice() else { bail!("usage: pakit-verifier-glue WASM FOLDER") };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name(NAME);
    // Modules that say themselves when and from where the Wasm comes: from a file in Node.js, over HTTP in a browser, from
    // what a bundler made of it.
    bindgen.web(true).context("wasm-bindgen has no output for modules")?;
    // The package's types are written by hand, for people.
    bindgen.typescript(false).remove_name_section(true).remove_producers_section(true);
    bindgen.generate(folder).with_context(|| format!("wasm-bindgen refuses {}", wasm.display()))
}
