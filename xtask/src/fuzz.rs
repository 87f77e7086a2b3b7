//! Builds the targets of hostile bytes with the instrumentation that guides libFuzzer, and runs them.
//!
//! This is what cargo-fuzz does for `--sanitizer none`, and all that it would do here: the compiler's own pass counts which edges an input
//! takes, on the toolchain that everything is built with. Sanitizers need a nightly one, and would look for what no crate of the
//! workspace can do: `unsafe_code` is forbidden.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    process::{self, Scratch, checkout, said},
    setup::{self, Environment},
    test::target_folder,
};

/// The manifest of the program with the targets and the engine.
pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";
/// The corpora, a folder for each target.
const CORPORA: &str = "faults/corpora";
/// Where the program learns which target is meant.
const TARGET_ENV: &str = "PAKIT_FUZZ_TARGET";

/// Counters on all edges, and what is compared with what.
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // An edge for each condition, not one for several that were folded into one.
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// Greatest input, in bytes.
const INPUT_BYTES_MAX: u32 = 16 << 10;
/// Greatest input that is kept in the checkout, in bytes.
const KEPT_BYTES_MAX: u32 = 2 << 10;
/// Most inputs that are added to a corpus in the checkout at once.
const KEPT_NEW_MAX: usize = 16;
/// No input may take longer, in seconds.
const INPUT_SECONDS_MAX: u32 = 5;
/// Memory for the whole process, in MiB. What a target may allocate for one input, the program bounds.
const MEMORY_MIB_MAX: u32 = 1024;
/// Beyond the time that a run was given: to read the corpus, and for an input that takes too long.
const SLACK: Duration = Duration::from_secs(120);
/// Time to find out what of a corpus is worth keeping.
const MERGE_MAX: Duration = Duration::from_secs(1_200);
/// Seconds for each target within the recipe `test`.
const CHECK_SECONDS: u64 = 2;
/// Targets at once.
const LANES: usize = 2;
/// Lines that are shown of what the engine said before it failed.
const SHOWN_LINES: usize = 25;

/// What the recipe `fuzz` is asked for.
pub(crate) struct Wanted {
    pub(crate) target: Option<String>,
    pub(crate) seconds: u64,
    pub(crate) keep: bool,
    pub(crate) input: Option<PathBuf>,
}

/// How a target fared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    /// Inputs that were run.
    inputs: u64,
    /// Edges that some input took.
    edges: u64,
    /// Edges there are, in all targets together and whatever else is linked.
    edges_in_all: u64,
    /// Inputs each of which reaches something that no other does.
    corpus: u64,
}

/// The recipe `fuzz`.
pub(crate) fn run(wanted: &Wanted) -> Result<()> {
    let program = build(&setup::ensure()?)?;
    let all = targets()?;
    let chosen = match &wanted.target {
        Some(target) if all.contains(target) => vec![target.clone()],
        Some(target) => bail!("there is no target {target}; there are {}", all.join(", ")),
        None => all,
    };
    if let (Some(input), [target]) = (&wanted.input, chosen.as_slice()) {
        // The engine is another program, in another folder.
        let input = fs::canonicalize(input).with_context(|| format!("cannot find {}", input.display()))?;
        return process::run(engine(&program, target)?.arg(input));
    }
    let found = folder()?.join("corpora");
    run_all(&program, &chosen, wanted.seconds, 0, &found, LANES)?;
    if wanted.keep {
        chosen.iter().try_for_each(|target| keep(&program, target, &found.join(target)))?;
    }
    Ok(())
}

/// Each target for a short time, from what the checkout keeps. Part of the recipe `test`.
pub(crate) fn check(environment: &Environment) -> Result<String> {
    let program = build(environment)?;
    let (scratch, targets) = (Scratch::new()?, targets()?);
    let figures = run_all(&program, &targets, CHECK_SECONDS, 0, scratch.path(), LANES)?;
    let inputs: u64 = figures.iter().map(|(_, figures)| figures.inputs).sum();
    Ok(format!("{} targets, {inputs} inputs", targets.len()))
}

/// All targets for so many seconds each, one at a time, as a campaign of the recipe `faults`.
pub(crate) fn campaign(seconds: u64, seed: u64) -> Result<Value> {
    let start = Instant::now();
    let program = build(&setup::ensure()?)?;
    let figures = run_all(&program, &targets()?, seconds, seed, &folder()?.join("corpora"), 1)?;
    let edges_in_all = figures.iter().map(|(_, figures)| figures.edges_in_all).max();
    let by_target = figures
        .into_iter()
        .map(|(target, Figures { inputs, edges, corpus, .. })| (target, json!([inputs, edges, corpus])));
    Ok(json!({
        "campaign": "fuzz",
        "seed": seed,
        "seconds": start.elapsed().as_secs(),
        "figures": { "by_target": by_target.collect::<serde_json::Map<_, _>>(), "edges_in_all": edges_in_all },
    }))
}

/// Where what it builds and finds is kept from run to run.
fn folder() -> Result<PathBuf> {
    Ok(target_folder()?.join("fuzz"))
}

/// The targets by name. A test of the crate `faults` holds the folders to them.
fn targets() -> Result<Vec<String>> {
    let text = |name: OsString| name.into_string().map_err(|name| anyhow::anyhow!("{name:?} is no target"));
    names(&checkout().join(CORPORA))?.into_iter().map(text).collect()
}

/// The program, built with instrumentation in all that is linked into it, but not in what runs while it is built.
fn build(environment: &Environment) -> Result<PathBuf> {
    println!("Building the targets with their instrumentation ...");
    let host = host()?;
    let mut cargo = environment.cargo(&["build", "--locked", "--release", "--manifest-path", MANIFEST]);
    // Naming the machine's own target keeps the flags from build scripts and macros.
    cargo.args(["--target", &host, "--target-dir"]).arg(folder()?);
    // Between flags stands a byte that none has.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\x1f"));
    // The engine is in C++, and the clang that the setup makes sure of is not `c++` everywhere.
    if env::var_os("CXX").is_none() && !process::is_on_path("c++") {
        cargo.env("CXX", "clang++");
    }
    process::run(&mut cargo)?;
    Ok(folder()?.join(host).join("release/pakit-fuzz"))
}

/// The target that the compiler builds for by default.
fn host() -> Result<String> {
    let said = said(process::command("rustc").arg("-vV"), SLACK)?;
    let host = said.stdout.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say which machine it is on")?.to_owned())
}

/// The program for a target, with the bounds of one input.
fn engine(program: &Path, target: &str) -> Result<Command> {
    let artifacts = folder()?.join("artifacts").join(target);
    fs::create_dir_all(&artifacts).with_context(|| format!("cannot make {}", artifacts.display()))?;
    // A slash at its end makes it a folder.
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(artifacts.join(""));
    let mut command = process::command(&program.to_string_lossy());
    command.env(TARGET_ENV, target).arg(prefix);
    command.args([format!("-timeout={INPUT_SECONDS_MAX}"), format!("-rss_limit_mb={MEMORY_MIB_MAX}")]);
    Ok(command)
}

/// Runs the targets, several at once; what they find goes below a folder. The first that breaks is the error, after all have run.
fn run_all(
    program: &Path,
    targets: &[String],
    seconds: u64,
    seed: u64,
    found: &Path,
    lanes: usize,
) -> Result<Vec<(String, Figures)>> {
    let waiting = Mutex::new(targets.iter());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                loop {
                    let Some(target) = waiting.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
                    let ran = run_one(program, target, seconds, seed, &found.join(target));
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((target.clone(), ran));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by(|(one, _), (other, _)| one.cmp(other));
    done.into_iter().map(|(target, ran)| Ok((target, ran?))).collect()
}

fn run_one(program: &Path, target: &str, seconds: u64, seed: u64, found: &Path) -> Result<Figures> {
    fs::create_dir_all(found).with_context(|| format!("cannot make {}", found.display()))?;
    let mut command = engine(program, target)?;
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-seed={seed}"),
    ]);
    command.args(["-print_final_stats=1", "-reload=0"]).arg(found).arg(checkout().join(CORPORA).join(target));
    let said = said(&mut command, Duration::from_secs(seconds) + SLACK).with_context(|| target.to_owned())?;
    if !said.status.success() {
        let lines: Vec<&str> = said.stderr.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        bail!(
            "{target} broke:\n{shown}\n`cargo xtask fuzz {target} --input FILE` runs an input again. Once it is mended, the input \
             belongs into {CORPORA}/{target}."
        );
    }
    let figures = read_figures(&said.stderr).with_context(|| format!("{target}: cannot read what the engine said"))?;
    let Figures { inputs, edges, corpus, .. } = figures;
    println!("{target:<18} {inputs:>10} inputs, {edges:>5} edges, {corpus:>5} inputs in its corpus");
    Ok(figures)
}

/// What the engine says when it ends.
fn read_figures(said: &str) -> Option<Figures> {
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    let behind = |mark: &str| said.rsplit_once(mark).and_then(|(_, rest)| number(rest.trim_start()));
    // Also where nothing was covered, which would be an instrumentation that does not work.
    let edges = behind(" cov: ").filter(|edges| *edges > 0)?;
    let (before, _) = said.split_once(" inline 8-bit counters)")?;
    let (_, edges_in_all) = before.rsplit_once('(')?;
    Some(Figures {
        inputs: behind("stat::number_of_executed_units:")?,
        edges,
        edges_in_all: edges_in_all.parse().ok()?,
        corpus: behind(" corp: ")?,
    })
}

/// Adds to a target's corpus in the checkout the few inputs that reach most of what no input there does.
fn keep(program: &Path, target: &str, found: &Path) -> Result<()> {
    let kept = checkout().join(CORPORA).join(target);
    let scratch = Scratch::new()?;
    let before: BTreeSet<OsString> = names(&kept)?;
    for name in &before {
        fs::copy(kept.join(name), scratch.path().join(name))
            .with_context(|| format!("cannot copy {target}'s corpus"))?;
    }
    let mut command = engine(program, target)?;
    // Which edges, and not how often.
    command.args(["-set_cover_merge=1", "-use_counters=0", &format!("-max_len={KEPT_BYTES_MAX}")]);
    let said = said(command.arg(scratch.path()).arg(found), MERGE_MAX)?;
    ensure!(said.status.success(), "{target}: cannot merge its corpora:\n{}", said.stderr.trim());
    // The engine writes the one first that adds most to those before it.
    let mut new = Vec::new();
    for name in names(scratch.path())?.difference(&before) {
        let path = scratch.path().join(name);
        new.push((fs::metadata(&path)?.modified()?, path, format!("found-{:.12}", name.to_string_lossy())));
    }
    new.sort();
    for (_, path, name) in new.iter().take(KEPT_NEW_MAX) {
        fs::copy(path, kept.join(name)).with_context(|| format!("cannot write {name} into {target}'s corpus"))?;
    }
    println!("{target}: {} inputs added to {CORPORA}/{target}", new.len().min(KEPT_NEW_MAX));
    Ok(())
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    const SAID: &str = "INFO: Loaded 1 modules   (70112 inline 8-bit counters): 70112 [0x5581, 0x5592),\n\
        #4\tINITED cov: 90 ft: 91 corp: 3/700b exec/s: 0 rss: 40Mb\n\
        #524288\tpulse  cov: 187 ft: 300 corp: 31/4Kb lim: 397 exec/s: 262144 rss: 41Mb\n\
        #604213\tDONE   cov: 188 ft: 301 corp: 32/4097b lim: 397 exec/s: 201404 rss: 41Mb\n\
        Done 604213 runs in 3 second(s)\n\
        stat::number_of_executed_units: 604213\n";

    #[test]
    fn the_engines_last_figures_are_read() {
        let expected = Figures { inputs: 604_213, edges: 188, edges_in_all: 70_112, corpus: 32 };
        assert_eq!(read_figures(SAID), Some(expected));
    }

    #[test]
    fn a_program_without_instrumentation_is_no_success() {
        assert_eq!(read_figures(&SAID.replace(" cov: ", " ft: ")), None);
        assert_eq!(read_figures(&SAID.replace("cov: 188", "cov: 0")), None);
        assert_eq!(read_figures(&SAID.replace("inline 8-bit counters", "guards")), None);
    }

    /// Names, versions and hashes of a lock file's packages.
    fn locked(path: &str) -> BTreeMap<(String, String), Option<String>> {
        let text = fs::read_to_string(checkout().join(path)).unwrap();
        let value = |package: &str, key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
            Some(line.trim_end_matches('"').to_owned())
        };
        let packages = text.split("[[package]]").skip(1);
        let entry = |package| {
            ((value(package, "name").unwrap(), value(package, "version").unwrap()), value(package, "checksum"))
        };
        packages.map(entry).collect()
    }

    #[test]
    fn what_is_fuzzed_is_built_of_what_the_workspace_is_built_of() {
        let (workspace, fuzzed) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
        let own = ["pakit-fuzz", "cap", "libfuzzer-sys", "arbitrary"];
        assert!(fuzzed.keys().any(|(name, _)| name == "offchain-store"));
        for (package, checksum) in fuzzed {
            if !own.contains(&package.0.as_str()) {
                assert_eq!(workspace.get(&package), Some(&checksum), "{package:?} in fuzz/Cargo.lock");
            }
        }
    }
}
