//! Measures the pallet's weights by running its benchmarks on the runtime's Wasm.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::{
    process::{self, typed},
    setup::{self, Environment},
    test::target_folder,
    tools::Tool,
};

/// Of the same SDK release as the runtime's crates: they share the host functions.
const BENCHER: Tool = Tool {
    program: "frame-omni-bencher",
    package: "frame-omni-bencher",
    version: "0.28.0",
    arguments: &[],
    minutes: 20,
};
const OUTPUT: &str = "pallet-pakit/src/weights.rs";

/// The recipe `weights`.
pub(crate) fn run(steps: u32, repeat: u32) -> Result<()> {
    ensure!(steps >= 2, "a slope needs two steps at least");
    let environment = setup::ensure()?;
    let bencher = BENCHER.ensure(&environment)?;
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

/// The Wasm is optimized in a development build too; the native code beside it, which nobody runs, is then built sooner.
fn runtime_with_benchmarks(environment: &Environment) -> Result<PathBuf> {
    let mut cargo = environment.cargo(&["build", "--locked", "--package", "pakit-runtime-mock"]);
    process::run(cargo.args(["--features", "runtime-benchmarks"]))?;
    let folder = target_folder()?.join("debug/wbuild/pakit-runtime-mock");
    let wasm = folder.join("pakit_runtime_mock.wasm");
    ensure!(wasm.is_file(), "the build left no Wasm at {}", wasm.display());
    Ok(wasm)
}
