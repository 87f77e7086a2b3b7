//! Checks the service against its own description: schemathesis makes requests up from docs/openapi.json, sends them to the real
//! program, and looks whether each answer is one that the document has.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    process::{self, Background, Scratch, typed},
    setup,
    test::{BIN_DIR_ENV, target_folder},
    tools::PythonTool,
};

const SCHEMATHESIS: PythonTool = PythonTool { program: "schemathesis", package: "schemathesis", version: "4.32.5" };
/// Time for the service to listen, and for a command on a new repository.
const START_MAX: Duration = Duration::from_secs(60);
/// A token as good as any: the service is gone with the recipe.
const TOKEN: &str = "schemathesis-makes-requests-up";

/// Requests for each path at most.
pub(crate) const EXAMPLES: u32 = 100;
/// What requests are made up from within `test`, which gives the same answer twice.
const SEED: &str = "20190213";

/// The recipe `http`: other requests each time.
pub(crate) fn run(examples: u32) -> Result<()> {
    let pakit = pakit()?;
    process::clean_up_when_interrupted()?;
    ask(&pakit, &["--max-examples", &examples.to_string()])
}

/// The same with the `pakit` in that folder, and with the same requests each time.
pub(crate) fn run_with(binaries: &Path) -> Result<()> {
    setup::ensure_scripting()?;
    ask(&binaries.join("pakit"), &["--max-examples", &EXAMPLES.to_string(), "--seed", SEED])
}

fn ask(pakit: &Path, requests: &[&str]) -> Result<()> {
    let schemathesis = SCHEMATHESIS.ensure()?;
    let scratch = Scratch::new()?;
    let repository = scratch.path().join("archive");
    // So that something is there to be asked for: blocks of no, one and many chunks.
    fs::write(scratch.path().join("deed"), vec![7; 300_000])?;
    fs::write(scratch.path().join("nothing"), [])?;
    pakit_does(pakit, &repository, &["init", "--name", "made-up requests"])?;
    let stored =
        pakit_does(pakit, &repository, &["put", &in_folder(&scratch, "deed"), &in_folder(&scratch, "nothing")])?;
    let (_service, address) = serve(pakit, &repository)?;

    let mut command = process::command(&schemathesis.to_string_lossy());
    command.args(["run", &format!("{address}/openapi.json"), "--url", &address]);
    command.args(["--checks", "all", "--no-color"]).args(requests);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}")]).current_dir(scratch.path());
    // Paths of blocks that are there, besides those it makes up.
    fs::write(scratch.path().join("schemathesis.toml"), parameters(&stored)?)?;
    println!("$ {}", typed(&command));
    process::run(&mut command)?;
    println!("the service answers as docs/openapi.json says");
    Ok(())
}

/// The `pakit` in the folder that the environment names, or that of a build.
fn pakit() -> Result<PathBuf> {
    if let Some(folder) = env::var_os(BIN_DIR_ENV) {
        return Ok(Path::new(&folder).join("pakit"));
    }
    let environment = setup::ensure()?;
    let mut build = environment.cargo(&["build", "--locked", "--package", "offchain-store", "--bin", "pakit"]);
    process::run(&mut build)?;
    Ok(target_folder()?.join("debug/pakit"))
}

fn in_folder(scratch: &Scratch, name: &str) -> String {
    scratch.path().join(name).to_string_lossy().into_owned()
}

fn pakit_does(pakit: &Path, repository: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = process::command(&pakit.to_string_lossy());
    command.arg("--repo").arg(repository).arg("--json").args(arguments);
    let said = process::said(&mut command, START_MAX)?;
    ensure!(said.status.success(), "`{}` failed:\n{}", typed(&command), said.stderr.trim());
    Ok(said.stdout)
}

/// Starts the service, and says where it listens.
fn serve(pakit: &Path, repository: &Path) -> Result<(Background, String)> {
    let mut command = process::command(&pakit.to_string_lossy());
    command.arg("--repo").arg(repository).args(["serve", "--listen", "127.0.0.1:0", "--max-body", "1MiB"]);
    let mut service = Background::spawn(command.env("PAKIT_TOKEN", TOKEN).stdout(Stdio::piped()))?;
    let stdout = service.stdout()?;
    let listening = |line: &str| line.strip_prefix("listening on ").map(ToOwned::to_owned);
    let address = process::await_line(stdout, listening, START_MAX).context("the service does not listen")?;
    Ok((service, address))
}

/// schemathesis' settings: what to take for a block half of the time.
fn parameters(stored: &str) -> Result<String> {
    let line = stored.lines().next().context("put printed nothing")?;
    let item: serde_json::Value = serde_json::from_str(line)?;
    let block = item["block"].as_str().context("put named no block")?;
    Ok(format!("[parameters]\n\"path.block\" = \"{block}\"\n"))
}
