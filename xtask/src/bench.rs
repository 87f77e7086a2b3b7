//! Measures the store, beside its peers in the same run, and writes the report `docs/benchmarks.md`.
//!
//! Machines are noisy: what counts are the ratios within one run. The raw output stands in the report.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    build,
    process::{checkout, run, run_seen},
    setup::{self, Environment},
    test::target_folder,
};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bench {
    /// The engine by itself: puts, lookups, proofs, bytes on disk.
    Engine,
    /// Real files, against git and restic.
    Files,
}

/// Runs of each program over the files, alternating.
const FILE_RUNS: usize = 3;

/// Runs what was asked for, or all, and writes the report if it was all.
pub(crate) fn run_benches(only: Option<Bench>, blocks: u64, folder: Option<PathBuf>) -> Result<()> {
    let environment = setup::ensure()?;
    // One selection of packages for all of it: another would build their dependencies with other features.
    let programs = build::binaries()?;
    let wants = |bench| only.is_none_or(|only| only == bench);
    let mut report = format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench`. Every figure is of one run on one machine; compare the ratios, not the machines.\n\n{}",
        machine(),
    );
    if wants(Bench::Engine) {
        engine(&environment, blocks, &mut report)?;
    }
    if wants(Bench::Files) {
        files(&programs, folder, &mut report)?;
    }
    if only.is_none() {
        let path = checkout().join("docs/benchmarks.md");
        let kept = kept_by_hand(&path);
        fs::write(&path, report + &kept).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote docs/benchmarks.md");
    } else {
        println!("\n{report}");
    }
    Ok(())
}

/// Everything from this line on is written by people and stays.
const BY_HAND: &str = "<!-- by hand from here on -->";

fn kept_by_hand(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.find(BY_HAND).map_or_else(String::new, |at| format!("\n{}", &text[at..]))
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or(": unknown")
        .trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or("unknown").trim().to_owned();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("Machine: {model}, {cores} cores, {memory} of memory, load {load} when it began.\n\n")
}

fn engine(environment: &Environment, blocks: u64, report: &mut String) -> Result<()> {
    let mut raw = String::new();
    let mut cargo = environment.cargo(&["bench", "--locked", "--bench", "engine"]);
    cargo.args(build::SELECTION).args(["--", &blocks.to_string()]);
    run_seen(&mut cargo, |line| raw.push_str(line))?;
    writeln!(report, "## Engine, {blocks} blocks of 2 KiB\n\n| what | figures |\n|---|---|")?;
    for line in raw.lines() {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let figures = value["figures"].as_object().context("a line of the bench has no figures")?;
        let figures: Vec<String> =
            figures.iter().map(|(name, value)| format!("{} {}", name.replace('_', " "), rounded(value))).collect();
        writeln!(report, "| {} | {} |", value["name"].as_str().unwrap_or_default(), figures.join(", "))?;
    }
    writeln!(report, "\nRaw output:\n\n```\n{}```\n", raw.trim_start())?;
    Ok(())
}

fn rounded(value: &serde_json::Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() != 0.0 => format!("{number:.2}"),
        _ => value.to_string(),
    }
}

/// A program that stores a folder, with what prepares an empty store for it.
struct Contender {
    name: &'static str,
    prepare: fn(&Path, &Path, &Path) -> Vec<Command>,
    store: fn(&Path, &Path, &Path) -> Command,
}

const CONTENDERS: [Contender; 3] = [
    Contender {
        name: "pakit put",
        prepare: |programs, store, _| vec![pakit(programs, store, &["init"])],
        store: |programs, store, folder| {
            let mut put = pakit(programs, store, &["put", "--quiet"]);
            put.arg(folder);
            put
        },
    },
    Contender {
        name: "git add",
        prepare: |_, store, folder| vec![git(store, folder, &["init", "--quiet"])],
        store: |_, store, folder| git(store, folder, &["-c", "core.safecrlf=false", "add", "--force", "--all", "."]),
    },
    Contender {
        name: "restic backup",
        prepare: |_, store, _| vec![restic(store, &["init", "--quiet"])],
        store: |_, store, folder| {
            let mut backup = restic(store, &["backup", "--quiet"]);
            backup.arg(folder);
            backup
        },
    },
];

fn pakit(programs: &Path, store: &Path, arguments: &[&str]) -> Command {
    let mut pakit = Command::new(programs.join("pakit"));
    pakit.arg("--repo").arg(store).args(arguments);
    pakit
}

fn git(store: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(store).arg("--work-tree").arg(folder).args(arguments).current_dir(folder);
    git
}

fn restic(store: &Path, arguments: &[&str]) -> Command {
    let mut restic = Command::new("restic");
    // No cache on the side: what counts is the store.
    restic.args(["--no-cache", "--repo"]).arg(store).args(arguments).env("RESTIC_PASSWORD", "bench");
    restic
}

/// One run of one contender.
struct Measured {
    wall: Duration,
    cpu: Duration,
    stored_bytes: u64,
}

fn files(programs: &Path, folder: Option<PathBuf>, report: &mut String) -> Result<()> {
    let folder = match folder {
        Some(folder) => folder,
        None => registry_sources()?,
    };
    setup::ensure_restic()?;
    let (count, bytes) = size_of(&folder)?;
    let scratch = target_folder()?.join("bench-files");
    let mut runs: Vec<Vec<Measured>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    // One unmeasured read brings the files into the page cache for all alike.
    for round in 0..FILE_RUNS {
        // A B C, C B A, ...: a machine that slows down or speeds up favours nobody.
        let mut order: Vec<usize> = (0..CONTENDERS.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let measured = measure(&CONTENDERS[at], programs, &scratch, &folder)?;
            println!(
                "{}: {:.1} s wall, {:.1} s CPU, {:.1} MB stored",
                CONTENDERS[at].name,
                measured.wall.as_secs_f64(),
                measured.cpu.as_secs_f64(),
                measured.stored_bytes as f64 / 1e6,
            );
            runs[at].push(measured);
        }
    }
    writeln!(
        report,
        "## Real files\n\n{count} files, {:.0} MB, from cargo's registry of sources, in the page cache. Median of {FILE_RUNS} runs, interleaved. \
         pakit waits for the disk at every batch; restic encrypts, which pakit does not; git neither cuts nor waits.\n\n\
         | program | MB/s | wall s | CPU s | stored MB | all runs, wall s |\n|---|---|---|---|---|---|",
        bytes as f64 / 1e6,
    )?;
    for (contender, runs) in CONTENDERS.iter().zip(&runs) {
        let wall = median(runs.iter().map(|run| run.wall.as_secs_f64()));
        let cpu = median(runs.iter().map(|run| run.cpu.as_secs_f64()));
        let stored = median(runs.iter().map(|run| run.stored_bytes as f64 / 1e6));
        let all: Vec<String> = runs.iter().map(|run| format!("{:.1}", run.wall.as_secs_f64())).collect();
        writeln!(
            report,
            "| {} | {:.0} | {wall:.1} | {cpu:.1} | {stored:.0} | {} |",
            contender.name,
            bytes as f64 / 1e6 / wall,
            all.join(", "),
        )?;
    }
    writeln!(report)?;
    Ok(())
}

fn measure(contender: &Contender, programs: &Path, scratch: &Path, folder: &Path) -> Result<Measured> {
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    fs::create_dir_all(scratch)?;
    let store = scratch.join("store");
    for mut prepare in (contender.prepare)(programs, &store, folder) {
        run(prepare.stdout(std::process::Stdio::null()))?;
    }
    let cpu_before = children_cpu()?;
    let began = Instant::now();
    run((contender.store)(programs, &store, folder).stdout(std::process::Stdio::null()))?;
    let wall = began.elapsed();
    let cpu = children_cpu()?.saturating_sub(cpu_before);
    let (_, stored_bytes) = size_of(&store)?;
    fs::remove_dir_all(scratch)?;
    Ok(Measured { wall, cpu, stored_bytes })
}

/// CPU time of all children that have ended: fields 16 and 17 of /proc/self/stat (proc(5)), in ticks of 10 ms.
fn children_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field, the program's name, may hold spaces; it ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("/proc/self/stat is odd");
    Ok(Duration::from_millis((ticks(13)? + ticks(14)?) * 10))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Files below a folder and their bytes.
fn size_of(folder: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut to_come = vec![folder.to_owned()];
    while let Some(folder) = to_come.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                to_come.push(entry.path());
            } else if metadata.is_file() {
                files += 1;
                bytes += metadata.len();
            }
        }
    }
    Ok((files, bytes))
}

/// Real files that are on every machine that built this.
fn registry_sources() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let sources = home.join("registry/src");
    if !sources.is_dir() {
        bail!("{} is not there; name a folder", sources.display());
    }
    Ok(sources)
}
