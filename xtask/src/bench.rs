//! Measures the store, beside its peers in the same run, and writes the report `docs/benchmarks.md`.
//!
//! Machines are noisy: what counts are the ratios within one run. Each benchmark writes a section of its own, with its raw
//! output, so that one alone can be run again.

mod peers;

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    build,
    process::{checkout, run_seen},
    setup::{self, Environment},
};

/// MB of contents that are backed up, of each kind.
const BACKUP_MB: u64 = 2_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bench {
    /// The engine by itself: puts, lookups, proofs, bytes on disk.
    Engine,
    /// The same puts, ten times as many: whether the rate holds.
    Growth,
    /// Many callers at once.
    Store,
    /// Backups: full, after a growth of 1 %, restored.
    Backup,
    /// Real files, against restic, rustic, borg and git, in pairs of runs.
    Peers,
}

/// What a run is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Only this, instead of all.
    pub(crate) only: Option<Bench>,
    /// Blocks in the engine's repository.
    pub(crate) blocks: u64,
    /// Files for the peers; by default those that every machine here has.
    pub(crate) folder: Option<PathBuf>,
    /// Pairs of runs for each peer.
    pub(crate) pairs: usize,
    /// Only these peers, instead of all.
    pub(crate) peers: Vec<Peer>,
}

/// A store that Pakit is measured beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// In Go, encrypted.
    Restic,
    /// In Rust, for restic's repositories.
    Rustic,
    /// In Python and C.
    Borg,
    /// Neither cuts nor waits for the disk.
    Git,
}

/// Runs what was asked for, or all, and writes each one's section of the report.
pub(crate) fn run_benches(wanted: &Wanted) -> Result<()> {
    let environment = setup::ensure()?;
    let wants = |bench| wanted.only.is_none_or(|only| only == bench);
    if wants(Bench::Engine) {
        let title = format!("Engine, {} blocks of 2 KiB", wanted.blocks);
        write_section("engine", &of_crate(&environment, "engine", wanted.blocks, &title)?)?;
    }
    if wants(Bench::Growth) {
        let blocks = wanted.blocks * 10;
        let title = format!("Growth to {blocks} blocks of 2 KiB");
        write_section("growth", &of_crate(&environment, "growth", blocks, &title)?)?;
    }
    if wants(Bench::Store) {
        let title = "Many callers, one durable put of 2 KiB each at a time";
        write_section("store", &of_crate(&environment, "store", wanted.blocks / 10, title)?)?;
    }
    if wants(Bench::Backup) {
        let title = format!("Backups of {BACKUP_MB} MB, restored in turn with plain writes of as many bytes");
        write_section("backup", &of_crate(&environment, "backup", BACKUP_MB, &title)?)?;
    }
    if wants(Bench::Peers) {
        write_section("peers", &peers::run_all(&environment, &build::pakit()?, wanted)?)?;
    }
    Ok(())
}

/// Puts a section between its marks in the report, in place of what an earlier run wrote.
fn write_section(name: &str, section: &str) -> Result<()> {
    let path = checkout().join("docs/benchmarks.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let [begin, end] = ["begin", "end"].map(|mark| format!("<!-- {name}: {mark} -->"));
    let places = text.find(&begin).zip(text.find(&end)).filter(|(begin, end)| begin < end);
    let (from, to) = places.with_context(|| format!("docs/benchmarks.md lacks the marks of the section {name}"))?;
    let before = text.get(..from + begin.len()).unwrap_or_default();
    let after = text.get(to..).unwrap_or_default();
    fs::write(&path, format!("{before}\n{}\n{after}", section.trim_end()))?;
    println!("\n{section}\nwrote the section {name} of docs/benchmarks.md");
    Ok(())
}

pub(crate) fn machine() -> String {
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

/// Runs a benchmark of the store's crate, which prints one JSON object a line.
fn of_crate(environment: &Environment, bench: &str, blocks: u64, title: &str) -> Result<String> {
    let mut report = format!("## {title}\n\n{}", machine());
    let mut raw = String::new();
    let mut cargo = environment.cargo(&["bench", "--locked", "--bench", bench]);
    cargo.args(build::SELECTION).args(["--", &blocks.to_string()]);
    run_seen(&mut cargo, |line| raw.push_str(line))?;
    let mut plots = String::new();
    writeln!(report, "| what | figures |\n|---|---|")?;
    for line in raw.lines() {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if value["plot"].is_object() {
            plots.push_str(&plot(&value)?);
            continue;
        }
        let figures = value["figures"].as_object().context("a line of the bench has no figures")?;
        let figures: Vec<String> =
            figures.iter().map(|(name, value)| format!("{} {}", name.replace('_', " "), rounded(value))).collect();
        writeln!(report, "| {} | {} |", value["name"].as_str().unwrap_or_default(), figures.join(", "))?;
    }
    report.push_str(&plots);
    writeln!(report, "\nRaw output:\n\n```\n{}```", raw.trim_start())?;
    Ok(report)
}

/// A curve as a Mermaid chart, which the forges that show Markdown draw.
fn plot(value: &serde_json::Value) -> Result<String> {
    let curve = &value["plot"];
    let numbers = |name: &str| -> Result<Vec<f64>> {
        let numbers = curve[name].as_array().with_context(|| format!("a plot of the bench has no {name}"))?;
        Ok(numbers.iter().filter_map(serde_json::Value::as_f64).collect())
    };
    let (at, values) = (numbers("at")?, numbers("values")?);
    let end = |numbers: &[f64]| numbers.iter().copied().fold(0.0, f64::max);
    let values_listed: Vec<String> = values.iter().map(f64::to_string).collect();
    Ok(format!(
        "\n```mermaid\nxychart-beta\n    title \"{}\"\n    x-axis \"{}\" {} --> {}\n    y-axis \"{}\" 0 --> {}\n    line [{}]\n```\n",
        value["name"].as_str().unwrap_or_default(),
        curve["x"].as_str().unwrap_or_default(),
        at.first().copied().unwrap_or_default(),
        end(&at),
        curve["y"].as_str().unwrap_or_default(),
        end(&values),
        values_listed.join(", "),
    ))
}

fn rounded(value: &serde_json::Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() != 0.0 => format!("{number:.2}"),
        _ => value.to_string(),
    }
}
