//! The pallet through clients that other people write: a chain of the real node, and scripts with `@polkadot/api`,
//! `polkadot-api` and `substrate-interface` that sign, submit, decode and ask.
//!
//! The scripts stand in `tests/clients`. Each ends with another exit code than 0 at the first thing that is not as expected.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    build,
    demo::{NODE_READY, NODE_START_MAX},
    process::{self, Background, Scratch, typed},
    setup,
    test::BIN_DIR_ENV,
    text::duration,
    tools::{NodeModules, PythonPackages},
};

/// Where the scripts and the lists of what they want are.
const FOLDER: &str = "tests/clients";
const PYTHON_PACKAGES: PythonPackages = PythonPackages { name: "clients-python", folder: FOLDER };

/// What runs on Node.js, and what of it is only imported.
const NODE_SCRIPTS: [&str; 2] = ["polkadot-js.mjs", "papi.mjs"];
const NODE_MODULES: [&str; 1] = ["expect.mjs"];
const PYTHON_SCRIPT: &str = "substrate_interface.py";

/// Time for one command of `pakit` on a new repository.
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// What a wallet is told about the chain's money, and what the runtime's metadata hash was computed with.
const TOKEN: &str = "PAKT";
const DECIMALS: u8 = 12;

/// The recipe `clients`.
pub(crate) fn run() -> Result<()> {
    let binaries = match env::var_os(BIN_DIR_ENV) {
        Some(folder) => PathBuf::from(folder),
        None => build::binaries()?,
    };
    process::clean_up_when_interrupted()?;
    run_with(&binaries)
}

/// Runs every client against the node in that folder.
pub(crate) fn run_with(binaries: &Path) -> Result<()> {
    setup::ensure_scripting()?;
    let node_modules = NodeModules { name: "clients", manifest: &process::checkout().join(FOLDER) }.ensure()?;
    let python = PYTHON_PACKAGES.ensure()?;

    let start = Instant::now();
    let scratch = Scratch::new()?;
    let (_node, url) = start_node(binaries, scratch.path())?;
    let given = scratch.path().join("given.json");
    fs::write(&given, serde_json::to_vec_pretty(&log_of_two(binaries, &scratch, &url)?)?)?;

    // A module finds its packages from where it stands, and nothing is written into the checkout.
    symlink(&node_modules, scratch.path().join("node_modules"))?;
    for name in NODE_SCRIPTS.iter().chain(&NODE_MODULES) {
        fs::copy(process::checkout().join(FOLDER).join(name), scratch.path().join(name))
            .with_context(|| format!("cannot copy {FOLDER}/{name}"))?;
    }
    for name in NODE_SCRIPTS {
        let mut command = process::command("node");
        process::run(command.arg(scratch.path().join(name)).arg(&given))?;
    }
    let mut command = process::command(&python.to_string_lossy());
    process::run(command.arg(process::checkout().join(FOLDER).join(PYTHON_SCRIPT)).arg(&given))?;
    println!("every client did what its tests say, in {}", duration(start.elapsed()));
    Ok(())
}

/// Starts the node on a free port, with money for as many accounts as three clients want.
fn start_node(binaries: &Path, scratch: &Path) -> Result<(Background, String)> {
    let log_path = scratch.join("node.log");
    let mut command = process::command(&binaries.join("pakit-dev-node").to_string_lossy());
    command.args(["--tmp", "--rpc-port", "0", "--preset", "local_testnet"]);
    command.stdout(Stdio::piped()).stderr(fs::File::create(&log_path)?);
    let mut node = Background::spawn(&mut command)?;
    let ready = |line: &str| line.strip_prefix(NODE_READY).map(|url| url.trim().to_owned());
    let url = process::await_line(node.stdout()?, ready, NODE_START_MAX).with_context(|| {
        format!("the node did not start; its log:\n{}", fs::read_to_string(&log_path).unwrap_or_default())
    })?;
    Ok((node, url))
}

/// What the scripts are told: the node's address, and a log of two blocks that `pakit` made.
fn log_of_two(binaries: &Path, scratch: &Scratch, url: &str) -> Result<Value> {
    let repository = scratch.path().join("archive");
    let file = scratch.path().join("deed");
    fs::write(&file, "a file for clients to anchor")?;
    let pakit = |arguments: &[&str]| pakit_does(binaries, &repository, arguments);
    pakit(&["init", "--name", "clients"])?;
    pakit(&["put", &file.to_string_lossy()])?;
    let (genesis, newest, head) = (pakit(&["show", "@0"])?, pakit(&["show", "@1"])?, pakit(&["head"])?);
    ensure!(head["size"] == 2, "the log was to have two blocks: {head}");
    Ok(json!({
        "url": url,
        "token": TOKEN,
        "decimals": DECIMALS,
        "genesis": { "header": genesis["header"], "block": genesis["block"] },
        "newest": { "header": newest["header"], "block": newest["block"] },
        "root": head["root"],
    }))
}

/// The last answer of a command.
fn pakit_does(binaries: &Path, repository: &Path, arguments: &[&str]) -> Result<Value> {
    let mut command = process::command(&binaries.join("pakit").to_string_lossy());
    command.arg("--repo").arg(repository).arg("--json").args(arguments);
    let said = process::said(&mut command, COMMAND_MAX)?;
    ensure!(said.status.success(), "`{}` failed:\n{}", typed(&command), said.stderr.trim());
    let answer = said.stdout.lines().rfind(|line| !line.trim().is_empty());
    let answer = answer.with_context(|| format!("`{}` printed nothing", typed(&command)))?;
    serde_json::from_str(answer).with_context(|| format!("not JSON from pakit: {answer}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_script_that_is_run_is_there_and_every_script_there_is_run() {
        let scripts = fs::read_dir(process::checkout().join(FOLDER)).unwrap();
        let mut there: Vec<_> = scripts.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        there.retain(|name| name.ends_with(".mjs") || name.ends_with(".py"));
        there.sort_unstable();
        let mut known = [&NODE_SCRIPTS[..], &NODE_MODULES, &[PYTHON_SCRIPT]].concat();
        known.sort_unstable();
        assert_eq!(there, known);
    }
}
