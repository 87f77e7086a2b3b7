//! All checks, in the order in which they share the most work: what CI runs.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    clients, fuzz, http,
    process::{self, typed},
    setup::{self, Environment},
    text, verifier,
};

/// Where the end-to-end tests find `pakit` and `pakit-dev-node`.
pub(crate) const BIN_DIR_ENV: &str = "PAKIT_BIN_DIR";

/// The features of the pallet and the runtime that only tools and benchmarks switch on.
const CHAIN_FEATURES: &str = "runtime-benchmarks,try-runtime";

/// How a step went.
enum Outcome {
    Passed(String),
    Failed(anyhow::Error),
    /// Not run, and why; only where the tool for it is optional.
    NotRun(&'static str),
}

struct Report {
    keep_going: bool,
    rows: Vec<(&'static str, Duration, Outcome)>,
}

/// The recipe `test`.
pub(crate) fn run(keep_going: bool) -> Result<()> {
    let start = Instant::now();
    let mut report = Report { keep_going, rows: Vec::new() };
    let outcome = all(&mut report);
    report.print(start.elapsed());
    outcome?;
    let failed: Vec<_> =
        report.rows.iter().filter(|(_, _, outcome)| matches!(outcome, Outcome::Failed(_))).map(|row| row.0).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    println!("all checks passed");
    Ok(())
}

/// No step skips the runtime's Wasm: cargo runs its build script once for lints, tests and documentation alike, and
/// would run it anew, and rebuild all that depends on the runtime, whenever `SKIP_WASM_BUILD` changes.
fn all(report: &mut Report) -> Result<()> {
    let mut environment = None;
    report.step("setup", || {
        environment = Some(setup::ensure()?);
        Ok(String::new())
    })?;
    let Some(environment) = environment else { bail!("nothing else can run without the setup") };
    let cargo = |arguments: &[&str]| environment.cargo(arguments);
    let documented = || {
        let mut command = cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        command
    };

    report.run("format", cargo(&["fmt", "--all", "--check"]))?;
    report.run("lints", cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    report.run("format of the verifier's glue", cargo(&["fmt", "--manifest-path", verifier::GLUE, "--check"]))?;
    report.step("lints of the verifier's glue", || {
        let mut clippy = verifier::glue(&environment, "clippy")?;
        process::run(clippy.args(["--", "-D", "warnings"]))?;
        Ok(String::new())
    })?;
    report.run("format of the fuzzed program", cargo(&["fmt", "--manifest-path", fuzz::MANIFEST, "--check"]))?;
    report.step("dependencies' licenses and sources", || dependencies(&environment))?;
    report.run("documentation", documented())?;
    report.run(
        "primitives without std, for Wasm",
        environment.wasm_cargo(&["check", "--locked", "--package", "pakit-primitives", "--no-default-features"]),
    )?;
    // Tests and binaries in one go, with the features the tests need: asked for by themselves the binaries would have
    // other features, and their dependencies would be built a second time.
    report.run("build", cargo(&["build", "--locked", "--workspace", "--bins", "--tests"]))?;
    report.step("tests, end to end too", || {
        let mut command = cargo(&["test", "--locked", "--workspace"]);
        command.env(BIN_DIR_ENV, target_folder()?.join("debug"));
        tests(&mut command)
    })?;
    report.step("hostile bytes, guided by coverage", || fuzz::check(&environment))?;
    report.step("the verifier in Node.js and Chromium", || {
        verifier::check(&environment, Some(target_folder()?.join("debug")))
    })?;
    report.step("clients of other people", || {
        clients::run_with(&target_folder()?.join("debug"))?;
        Ok(String::new())
    })?;
    report.step("the service against its description", || {
        http::run_with(&target_folder()?.join("debug"))?;
        Ok(String::new())
    })?;
    report.step("the pallet's lints and tests with benchmarks and try-runtime", || {
        tests(linted(&mut cargo(&["test", "--locked", "--package", "pallet-pakit", "--features", CHAIN_FEATURES])))
    })?;
    report.run("runtime with benchmarks and try-runtime, for Wasm", runtime_for_tools(&environment))
}

/// Has the workspace's crates compiled by the compiler that lints too, with all warnings as errors. `cargo clippy` would do the same
/// and build the dependencies a second time, without code, which for these features nothing else asks for.
fn linted(command: &mut Command) -> &mut Command {
    command.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    // `-D warnings`, as cargo-clippy hands it on.
    command.env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__")
}

/// The runtime as it is inside a Wasm, without std: which needs no Wasm of its own to be built before. Its features here are
/// for tools, and building a whole one with them is the recipe `weights`.
fn runtime_for_tools(environment: &Environment) -> Command {
    let mut command = environment.wasm_cargo(&["check", "--locked", "--package", "pakit-runtime-mock"]);
    command.args(["--no-default-features", "--features", CHAIN_FEATURES]);
    // As substrate-wasm-builder tells the SDK's crates where they are.
    command.env("RUSTFLAGS", "--cfg substrate_runtime");
    command
}

fn dependencies(environment: &Environment) -> Result<Outcome> {
    if !process::is_on_path("cargo-deny") {
        return Ok(Outcome::NotRun("cargo-deny is not installed (cargo install --locked cargo-deny)"));
    }
    for manifest in WORKSPACES {
        process::run(&mut deny(environment.cargo(&["deny", "--locked"]), manifest))?;
    }
    Ok(Outcome::Passed(format!("{} lock files", WORKSPACES.len())))
}

/// The manifests that have a lock file beside them: what stands in one of these stands in no other's.
const WORKSPACES: [&str; 3] = ["Cargo.toml", verifier::GLUE, fuzz::MANIFEST];

/// Asks cargo-deny about the dependencies of a workspace, by the one deny.toml that there is. Paths are whole: it does not take a manifest
/// without a folder. Advisories change from day to day and need a network: they are not for a recipe that must give the same answer twice.
fn deny(mut command: Command, manifest: &str) -> Command {
    command.arg("--manifest-path").arg(process::checkout().join(manifest));
    command.arg("check").arg("--config").arg(process::checkout().join("deny.toml"));
    command.args(["bans", "licenses", "sources"]);
    command
}

/// Runs tests; an ignored one is a failure, since nobody would ever see it fail.
fn tests(command: &mut Command) -> Result<Outcome> {
    let mut totals = Totals::default();
    let result = process::run_seen(command, |line| totals.add(line));
    result?;
    ensure!(totals.passed > 0, "`{}` ran no test", typed(command));
    ensure!(totals.ignored == 0, "{} tests are ignored: each must run or go", totals.ignored);
    Ok(Outcome::Passed(format!("{} tests", totals.passed)))
}

/// The sums over libtest's summary lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    ignored: u64,
}

impl Totals {
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s`
    fn add(&mut self, line: &str) {
        let Some(counts) = line.trim_start().strip_prefix("test result: ").and_then(|line| line.split_once(". "))
        else {
            return;
        };
        for count in counts.1.split("; ") {
            match count.split_once(' ').and_then(|(number, what)| Some((number.parse::<u64>().ok()?, what))) {
                Some((number, "passed")) => self.passed += number,
                Some((number, "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Where cargo puts what it builds from this workspace.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let mut command = process::command("cargo");
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let said = process::said(&mut command, Duration::from_secs(120))?;
    ensure!(said.status.success(), "`{}` failed:\n{}", typed(&command), said.stderr.trim());
    let metadata: serde_json::Value = serde_json::from_str(&said.stdout)?;
    let folder = metadata["target_directory"].as_str().context("cargo's metadata name no target directory")?;
    Ok(Path::new(folder).to_path_buf())
}

impl Report {
    fn run(&mut self, name: &'static str, mut command: Command) -> Result<()> {
        self.step(name, || {
            println!("$ {}", typed(&command));
            process::run(&mut command)?;
            Ok(Outcome::Passed(String::new()))
        })
    }

    /// Runs a step and notes how it went. An error is returned only where it ends the recipe.
    fn step<T: Into<Outcome>>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<()> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = step().map_or_else(Outcome::Failed, Into::into);
        let elapsed = start.elapsed();
        let failed = matches!(outcome, Outcome::Failed(_));
        match &outcome {
            Outcome::Passed(_) => println!("== {name}: {}", text::duration(elapsed)),
            Outcome::Failed(error) => println!("== {name}: FAILED after {}: {error:#}", text::duration(elapsed)),
            Outcome::NotRun(why) => println!("== {name}: NOT RUN: {why}"),
        }
        self.rows.push((name, elapsed, outcome));
        if failed && !self.keep_going {
            bail!("failed: {name}");
        }
        Ok(())
    }

    fn print(&self, total: Duration) {
        println!("\n{:<42} {:>12}", "step", "time");
        for (name, elapsed, outcome) in &self.rows {
            let note = match outcome {
                Outcome::Passed(note) => note,
                Outcome::Failed(_) => "FAILED",
                Outcome::NotRun(why) => why,
            };
            println!("{name:<42} {:>12}  {note}", text::duration(*elapsed));
        }
        println!("{:<42} {:>12}", "total", text::duration(total));
    }
}

impl From<String> for Outcome {
    fn from(note: String) -> Self {
        Self::Passed(note)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::process::Scratch;
    use std::fs;

    fn report(keep_going: bool) -> Report {
        Report { keep_going, rows: Vec::new() }
    }

    #[test]
    fn libtests_summaries_are_added_up() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests\n",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s\n",
            "test result: FAILED. 7 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.00s\n",
        ] {
            totals.add(line);
        }
        assert_eq!(totals, Totals { passed: 9, ignored: 3 });
    }

    /// Tests of a package of one file.
    fn linted_tests_of(source: &str) -> Result<Outcome> {
        let package = Scratch::new()?;
        let manifest = package.path().join("Cargo.toml");
        fs::write(&manifest, "[package]\nname = \"linted\"\nedition = \"2024\"\n[workspace]\n")?;
        fs::create_dir(package.path().join("src"))?;
        fs::write(package.path().join("src/lib.rs"), source)?;
        let mut command = process::command("cargo");
        command.args(["test", "--offline", "--lib", "--manifest-path"]).arg(&manifest);
        command.arg("--target-dir").arg(package.path().join("target"));
        tests(linted(&mut command))
    }

    #[test]
    fn linted_tests_pass_without_a_warning_and_fail_with_one() {
        let passing = "#[test]\nfn passes() {}\n";
        linted_tests_of(passing).unwrap();
        // Of the compiler's, and of clippy's alone.
        for warning in ["fn unused() {}\n", "pub fn id(of: u8) -> u8 {\n    return of;\n}\n"] {
            assert!(linted_tests_of(&[passing, warning].concat()).is_err(), "{warning}");
        }
    }

    fn tests_that_say(summary: &str) -> Result<Outcome> {
        tests(Command::new("echo").arg(format!("test result: ok. {summary}; 0 measured")))
    }

    #[test]
    fn ignored_tests_fail() {
        let error = tests_that_say("2 passed; 0 failed; 1 ignored").err().unwrap();
        assert!(error.to_string().contains("1 tests are ignored"), "{error}");
    }

    #[test]
    fn no_tests_at_all_fail() {
        assert!(tests_that_say("0 passed; 0 failed; 0 ignored").is_err());
        assert!(tests_that_say("1 passed; 0 failed; 0 ignored").is_ok());
    }

    #[test]
    fn a_failed_step_ends_the_recipe() {
        let mut report = report(false);
        assert!(report.run("fails", Command::new("false")).is_err());
    }

    #[test]
    fn a_failed_step_is_remembered_when_going_on() {
        let mut report = report(true);
        report.run("fails", Command::new("false")).unwrap();
        report.run("passes", Command::new("true")).unwrap();
        let failed = report.rows.iter().map(|(_, _, outcome)| matches!(outcome, Outcome::Failed(_)));
        assert_eq!(failed.collect::<Vec<_>>(), [true, false]);
    }

    /// Folders of the repository below `folder` that have a lock file.
    fn locked(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "Cargo.lock" {
                found.push(folder.join("Cargo.toml").to_str().unwrap().to_owned());
            } else if entry.file_type().unwrap().is_dir() && name != "target" && !name.starts_with('.') {
                locked(root, &path, found);
            }
        }
    }

    #[test]
    fn the_dependencies_of_each_lock_file_are_looked_at() {
        let mut found = Vec::new();
        locked(&process::checkout(), Path::new(""), &mut found);
        let mut known = WORKSPACES.to_vec();
        found.sort_unstable();
        known.sort_unstable();
        assert_eq!(found, known);
        for manifest in WORKSPACES {
            let typed = typed(&deny(Command::new("cargo-deny"), manifest));
            let of = |name: &str| process::checkout().join(name).display().to_string();
            assert!(typed.contains(&format!("--manifest-path {} check", of(manifest))), "{typed}");
            assert!(typed.contains(&format!("--config {} bans", of("deny.toml"))), "{typed}");
        }
    }

    #[test]
    fn the_target_folder_is_cargos() {
        assert!(target_folder().unwrap().is_absolute());
    }
}
