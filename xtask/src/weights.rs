//! Measures the pallet's weights by running its benchmarks on the runtime's Wasm.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    process::{self, typed},
    setup::{self, Environment},
    test::target_folder,
};

/// Of the same SDK release as the runtime's crates: they share the host functions.
const BENCHER_VERSION: &str = "0.28.0";
const OUTPUT: &str = "pallet-pakit/src/weights.rs";

/// The recipe `weights`.
pub(crate) fn run(steps: u32, repeat: u32) -> Result<()> {
    ensure!(steps >= 2, "a slope needs two steps at least");
    let environment = setup::ensure()?;
    let bencher = bencher(&environment)?;
    let wasm = runtime_with_benchmarks(&environment)?;

    let mut command = process::command(&bencher.to_string_lossy());
    command.args(["v1", "benchmark", "pallet", "--runtime"]).arg(&wasm);
    command.args(["--pallet", "pallet_pakit", "--extrinsic", "*"]);
    command.args(["--steps", &steps.to_string(), "--repeat", &repeat.to_string()]);
    command.args(["--template", "xtask/templates/weights.hbs", "--output", OUTPUT]);
    println!("$ {}", typed(&command));
    process::run(&mut command)?;
    process::run(process::command("rustfmt").args(["--edition", "2024", OUTPUT]))?;
    println!("wrote {OUTPUT}; rebuild the runtime before you look at what a call costs");
    Ok(())
}

/// frame-omni-bencher, installed the first time it is wanted: it takes long to build, and no check needs it.
fn bencher(environment: &Environment) -> Result<PathBuf> {
    let tools = tools_folder()?;
    let program = tools.join("bin/frame-omni-bencher");
    if version_of(&program).is_some_and(|version| version == BENCHER_VERSION) {
        return Ok(program);
    }
    println!("installing frame-omni-bencher {BENCHER_VERSION} into {} (once, some 20 minutes)", tools.display());
    let mut cargo = environment.cargo(&["install", "--locked", "--force", "--root"]);
    cargo.arg(&tools).arg(format!("frame-omni-bencher@{BENCHER_VERSION}"));
    // Beside the tool, so that a build that was cut short goes on where it was, and the checkout's target stays its own.
    cargo.env("CARGO_TARGET_DIR", tools.join("target"));
    process::run(&mut cargo)?;
    Ok(program)
}

/// The version the program says it is, if it is there and runs.
fn version_of(program: &Path) -> Option<String> {
    let mut command = process::command(program.to_str()?);
    let said = process::said(command.arg("--version"), std::time::Duration::from_secs(60)).ok()?;
    let version = said.stdout.split_whitespace().nth(1)?;
    // The tools print the commit after the version: `0.28.0-unknown`.
    Some(version.split('-').next()?.to_owned())
}

/// Where tools are kept that the project builds for itself: `PAKIT_TOOLS`, or a folder in the user's cache.
fn tools_folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("PAKIT_TOOLS") {
        return Ok(folder.into());
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    Ok(cache.context("neither PAKIT_TOOLS, XDG_CACHE_HOME nor HOME is set")?.join("pakit/tools"))
}

/// The Wasm is optimized in a development build too; the native code beside it, which nobody runs, is then built sooner.
fn runtime_with_benchmarks(environment: &Environment) -> Result<PathBuf> {
    let mut cargo = environment.cargo(&["build", "--locked", "--package", "pakit-runtime-mock"]);
    process::run(cargo.args(["--features", "runtime-benchmarks"]))?;
    let folder = target_folder()?.join("debug/wbuild/pakit-runtime-mock");
    let wasm = folder.join("pakit_runtime_mock.wasm");
    ensure!(wasm.is_file(), "the build left no Wasm at {}", wasm.display());
    Ok(wasm)
}
