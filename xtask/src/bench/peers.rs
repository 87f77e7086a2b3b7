//! Real files against other stores, in pairs of runs: A B, B A, A B, ... A machine that slows down or speeds up favours nobody.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{Peer, Wanted, machine};
use crate::{
    process::run,
    setup::{self, Environment},
    test::target_folder,
};

/// A program that stores a folder.
struct Contender {
    name: &'static str,
    /// Which peer it is; none for Pakit itself.
    peer: Option<Peer>,
    /// Makes an empty store.
    prepare: fn(&Programs, &Path, &Path) -> Command,
    /// Stores the folder.
    store: fn(&Programs, &Path, &Path) -> Command,
}

/// Where those programs are that are not on the path.
struct Programs {
    pakit: PathBuf,
    rustic: PathBuf,
}

const PAKIT: Contender = Contender {
    name: "pakit put",
    peer: None,
    prepare: |programs, store, _| pakit(programs, store, &["init"]),
    store: |programs, store, folder| with(pakit(programs, store, &["put", "--quiet"]), folder),
};

const PEERS: [Contender; 4] = [
    Contender {
        name: "restic backup",
        peer: Some(Peer::Restic),
        prepare: |_, store, _| restic(store, &["init", "--quiet"]),
        store: |_, store, folder| with(restic(store, &["backup", "--quiet"]), folder),
    },
    Contender {
        name: "rustic backup",
        peer: Some(Peer::Rustic),
        prepare: |programs, store, _| rustic(programs, store, &["init"]),
        store: |programs, store, folder| with(rustic(programs, store, &["backup"]), folder),
    },
    Contender {
        name: "borg create",
        peer: Some(Peer::Borg),
        prepare: |_, store, _| with(borg(store, &["init", "--encryption", "none"]), store),
        store: |_, store, folder| {
            let mut archive = store.as_os_str().to_owned();
            archive.push("::bench");
            let mut create = borg(store, &["create", "--compression", "zstd,3"]);
            create.arg(archive).arg(folder);
            create
        },
    },
    Contender {
        name: "git add",
        peer: Some(Peer::Git),
        prepare: |_, store, folder| git(store, folder, &["init", "--quiet"]),
        store: |_, store, folder| git(store, folder, &["-c", "core.safecrlf=false", "add", "--force", "--all", "."]),
    },
];

fn with(mut command: Command, path: &Path) -> Command {
    command.arg(path);
    command
}

fn pakit(programs: &Programs, store: &Path, arguments: &[&str]) -> Command {
    let mut pakit = Command::new(&programs.pakit);
    pakit.arg("--repo").arg(store).args(arguments);
    pakit
}

fn git(store: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(store).arg("--work-tree").arg(folder).args(arguments).current_dir(folder);
    git
}

// No caches on the side: what counts is the store.

fn restic(store: &Path, arguments: &[&str]) -> Command {
    let mut restic = Command::new("restic");
    restic.args(["--no-cache", "--repo"]).arg(store).args(arguments).env("RESTIC_PASSWORD", "bench");
    restic
}

fn rustic(programs: &Programs, store: &Path, arguments: &[&str]) -> Command {
    let mut rustic = Command::new(&programs.rustic);
    rustic.args(["--no-cache", "--no-progress", "--log-level", "error", "--repository"]).arg(store).args(arguments);
    rustic.env("RUSTIC_PASSWORD", "bench");
    rustic
}

fn borg(store: &Path, arguments: &[&str]) -> Command {
    let mut borg = Command::new("borg");
    borg.args(arguments).env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
    borg.env("BORG_BASE_DIR", store.with_extension("borg"));
    borg
}

/// One run of one program.
#[derive(Clone, Copy)]
struct Measured {
    wall: Duration,
    cpu: Duration,
    stored_bytes: u64,
}

/// Stores the folders with each program, and gives the section of the report.
pub(super) fn run_all(environment: &Environment, programs: &Path, wanted: &Wanted) -> Result<String> {
    let programs = Programs { pakit: programs.join("pakit"), rustic: setup::ensure_peers(environment, &wanted.peers)? };
    let folders = match &wanted.folder {
        Some(folder) => vec![folder.clone()],
        None => vec![registry_sources()?, linux_sources()?],
    };
    let mut report = format!(
        "## Real files\n\n{}All files are in the page cache. Each peer runs in {} pairs with pakit, which alternate in order; \
         a ratio is that of a pair, peer over pakit, told as median and, in brackets, the range; of 11 pairs or more without the least and the greatest. \
         pakit waits for the disk at every batch; restic and rustic encrypt, which pakit and borg here do not; git neither cuts nor \
         waits. All compress with zstd at their default or at level 3, git with zlib.\n\n",
        machine(),
        wanted.pairs,
    );
    for folder in folders {
        of_folder(&programs, &folder, wanted, &mut report)?;
    }
    Ok(report)
}

fn of_folder(programs: &Programs, folder: &Path, wanted: &Wanted, report: &mut String) -> Result<()> {
    let (count, bytes) = size_of(folder)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let scratch = target_folder()?.join("bench-files");
    // Unmeasured: brings the files into the page cache for all alike.
    measure(&PAKIT, programs, &scratch, folder)?;
    let (mut own, mut rows, mut raw) = (Vec::new(), String::new(), String::new());
    let pairs = wanted.pairs;
    let is_wanted =
        |peer: &&Contender| wanted.peers.is_empty() || peer.peer.is_some_and(|peer| wanted.peers.contains(&peer));
    for peer in PEERS.iter().filter(is_wanted) {
        let runs = pairs_with(peer, programs, &scratch, folder, pairs)?;
        let of_peer: Vec<Measured> = runs.iter().map(|[_, peer]| *peer).collect();
        let ratio = |of: fn(&Measured) -> Duration| {
            spread(runs.iter().map(|[own, peer]| of(peer).as_secs_f64() / of(own).as_secs_f64()))
        };
        let ratios = format!("{} | {}", ratio(|run| run.wall), ratio(|run| run.cpu));
        writeln!(rows, "{}{ratios} |", row(peer.name, &of_peer, bytes))?;
        writeln!(raw, "pakit, {}: {}", peer.name, runs.iter().map(told).collect::<Vec<_>>().join("; "))?;
        own.extend(runs.iter().map(|[own, _]| *own));
        println!("{name}: {pairs} pairs with {}", peer.name);
    }
    let again = put_again(programs, &scratch, folder, bytes)?;
    writeln!(report, "### `{name}`: {count} files, {:.0} MB\n", bytes as f64 / 1e6)?;
    writeln!(report, "| program | MB/s | wall s | CPU s | stored MB | wall ratio | CPU ratio |")?;
    writeln!(report, "|---|---|---|---|---|---|---|\n{}1 | 1 |\n{rows}", row(PAKIT.name, &own, bytes))?;
    writeln!(report, "Put again, nothing changed, every byte read and hashed: {again:.0} MB/s.\n")?;
    writeln!(report, "Raw, wall s and CPU s of each pair:\n\n```\n{raw}```\n")?;
    Ok(())
}

/// Runs of pakit and the peer, pair by pair.
fn pairs_with(
    peer: &Contender,
    programs: &Programs,
    scratch: &Path,
    folder: &Path,
    pairs: usize,
) -> Result<Vec<[Measured; 2]>> {
    let mut runs = Vec::new();
    for pair in 0..pairs {
        let [first, second] = if pair % 2 == 0 { [&PAKIT, peer] } else { [peer, &PAKIT] };
        let mut both = [measure(first, programs, scratch, folder)?, measure(second, programs, scratch, folder)?];
        if pair % 2 == 1 {
            both.reverse();
        }
        runs.push(both);
    }
    Ok(runs)
}

fn row(name: &str, runs: &[Measured], bytes: u64) -> String {
    let wall = median(runs.iter().map(|run| run.wall.as_secs_f64()));
    let cpu = median(runs.iter().map(|run| run.cpu.as_secs_f64()));
    let stored = median(runs.iter().map(|run| run.stored_bytes as f64 / 1e6));
    format!("| {name} | {:.0} | {wall:.2} | {cpu:.2} | {stored:.1} | ", bytes as f64 / 1e6 / wall)
}

fn told([own, peer]: &[Measured; 2]) -> String {
    let told = |run: &Measured| format!("{:.2}/{:.2}", run.wall.as_secs_f64(), run.cpu.as_secs_f64());
    format!("{} {}", told(own), told(peer))
}

fn empty(scratch: &Path) -> Result<PathBuf> {
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    fs::create_dir_all(scratch)?;
    Ok(scratch.join("store"))
}

fn quietly(mut command: Command) -> Result<()> {
    run(command.stdout(Stdio::null()))
}

fn measure(contender: &Contender, programs: &Programs, scratch: &Path, folder: &Path) -> Result<Measured> {
    let store = empty(scratch)?;
    quietly((contender.prepare)(programs, &store, folder))?;
    let measured = timed((contender.store)(programs, &store, folder))?;
    let (_, stored_bytes) = size_of(&store)?;
    fs::remove_dir_all(scratch)?;
    Ok(Measured { stored_bytes, ..measured })
}

fn timed(command: Command) -> Result<Measured> {
    let cpu_before = children_cpu()?;
    let began = Instant::now();
    quietly(command)?;
    let (wall, cpu) = (began.elapsed(), children_cpu()?.saturating_sub(cpu_before));
    Ok(Measured { wall, cpu, stored_bytes: 0 })
}

/// MB/s of a second put of the same files, the median of three.
fn put_again(programs: &Programs, scratch: &Path, folder: &Path, bytes: u64) -> Result<f64> {
    let store = empty(scratch)?;
    quietly((PAKIT.prepare)(programs, &store, folder))?;
    quietly((PAKIT.store)(programs, &store, folder))?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let run = timed((PAKIT.store)(programs, &store, folder))?;
        rates.push(bytes as f64 / 1e6 / run.wall.as_secs_f64());
    }
    fs::remove_dir_all(scratch)?;
    Ok(median(rates.into_iter()))
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

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Fewest values of which the least and the greatest are left out.
const TRIMMED_MIN: usize = 11;

/// The median, and the range; of 11 values or more without the least and the greatest, which covers the true median with
/// 98.8 % confidence, whatever the distribution.
fn spread(values: impl Iterator<Item = f64>) -> String {
    let values = sorted(values);
    let left_out = usize::from(values.len() >= TRIMMED_MIN);
    let inner = values.get(left_out..values.len().saturating_sub(left_out)).unwrap_or_default();
    let ends = inner.first().zip(inner.last());
    let (least, greatest) = ends.map_or((f64::NAN, f64::NAN), |(least, greatest)| (*least, *greatest));
    format!("{:.2} ({least:.2} to {greatest:.2})", median(values.iter().copied()))
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

/// The kernel's sources from Debian's package, unpacked once.
fn linux_sources() -> Result<PathBuf> {
    let archive = setup::ensure_linux_source()?;
    let folder = target_folder()?.join("bench-linux");
    let unpacked = folder.join("linux");
    if !unpacked.is_dir() {
        let begun = empty(&folder.join("unpacking"))?.with_file_name("");
        run(Command::new("tar").arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&begun))?;
        let top = fs::read_dir(&begun)?.next().context("the archive of the kernel's sources is empty")??.path();
        fs::rename(top, &unpacked)?;
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn a_range_is_of_all_values_unless_there_are_enough_to_leave_two_out() {
        assert_eq!(spread([1.79, 1.64, 1.45].into_iter()), "1.64 (1.45 to 1.79)");
        assert_eq!(spread((0..11).map(f64::from)), "5.00 (1.00 to 9.00)");
        assert_eq!(spread([2.0].into_iter()), "2.00 (2.00 to 2.00)");
    }
}
