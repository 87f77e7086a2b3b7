//! Disks that are really full, and file systems that really cannot be written: small ones, mounted where nobody else sees them.
//!
//! That takes a mount namespace: root's, or a user's own. Where a machine allows neither it is said, and not passed over.

use crate::{
    invariant::{Known, examine},
    operation::{Acknowledged, Before, Promise, acknowledged, content, pakit, put, write_sources},
    place::{Layer, Place, faults_binary, run, start},
};
use anyhow::{Context, Result, bail, ensure};
use offchain_store::{
    BackendError, StorageEngine,
    config::Overrides,
    engine::{Access, OpenError},
};
use rand::{SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
};

/// Bytes of the file systems.
const DISK_MIB: u64 = 24;

/// Figures of a campaign.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Full {
    /// The file systems that were mounted.
    pub file_systems: Vec<String>,
    /// Those that were not, and why.
    pub not_run: Vec<String>,
    /// Puts that ended because the disk was full.
    pub full: u64,
    /// Commands that were refused because nothing could be written, by the name of the error.
    pub read_only: u64,
    /// Blocks that were acknowledged before the disk was full, all of them there and read back while it was.
    pub acknowledged: u64,
}

/// Runs this program again in a mount namespace of its own, where [`in_namespace`] does the work.
pub fn campaign(seed: u64) -> Result<Full> {
    let folder = tempfile::tempdir()?;
    let mut why = String::new();
    for flags in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let mut command = Command::new("unshare");
        command.args(flags).args(["--propagation", "private"]).arg(faults_binary());
        command.args(["full-inside", &seed.to_string()]).arg(folder.path());
        let output = command.output().context("unshare(1) of util-linux is not there")?;
        if output.status.success() {
            return serde_json::from_slice::<Reported>(&output.stdout)
                .map(Reported::into)
                .with_context(|| String::from_utf8_lossy(&output.stdout).into_owned());
        }
        why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !why.contains("unshare") && !why.contains("mount of") {
            bail!("{why}");
        }
    }
    Ok(Full { not_run: vec![why], ..Full::default() })
}

#[derive(serde::Deserialize)]
struct Reported {
    file_systems: Vec<String>,
    not_run: Vec<String>,
    full: u64,
    read_only: u64,
    acknowledged: u64,
}

impl From<Reported> for Full {
    fn from(it: Reported) -> Self {
        let Reported { file_systems, not_run, full, read_only, acknowledged } = it;
        Self { file_systems, not_run, full, read_only, acknowledged }
    }
}

/// What the program does within the namespace.
pub fn in_namespace(seed: u64, folder: &Path) -> Result<Full> {
    let mut figures = Full::default();
    for kind in ["tmpfs", "ext4"] {
        let at = folder.join(kind);
        fs::create_dir(&at)?;
        match mount(kind, folder, &at) {
            Ok(()) => {
                on_a_full_disk(seed, &at, &mut figures).with_context(|| format!("a full {kind}"))?;
                on_a_read_only_disk(seed, &at, &mut figures).with_context(|| format!("a read-only {kind}"))?;
                figures.file_systems.push(kind.to_owned());
            }
            Err(error) if kind == "ext4" => figures.not_run.push(format!("{kind}: {error:#}")),
            Err(error) => return Err(error).context("mount of a tmpfs"),
        }
    }
    Ok(figures)
}

fn mount(kind: &str, folder: &Path, at: &Path) -> Result<()> {
    let mut command = Command::new("mount");
    if kind == "tmpfs" {
        command.args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "tmpfs"]).arg(at);
    } else {
        let image = folder.join("image");
        File::create(&image)?.set_len(DISK_MIB << 20)?;
        ended(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        command.args(["-o", "loop"]).arg(&image).arg(at);
    }
    ended(&mut command)
}

fn ended(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn remount(at: &Path, how: &str) -> Result<()> {
    ended(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(at))
}

/// Writes until there is no room for another byte.
fn fill(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    for size in [1 << 20, 64 << 10, 4096, 512, 1] {
        let piece = vec![0xa5; size];
        while file.write_all(&piece).and_then(|()| file.sync_all()).is_ok() {}
    }
    Ok(())
}

/// A repository on the mounted disk, and the files to put on another.
fn place_on(at: &Path, seed: u64) -> Result<(Place, Place)> {
    let sources = Place::new()?;
    write_sources(&sources, seed)?;
    let mut rng = StdRng::seed_from_u64(seed);
    for number in 0..80 {
        let mut bytes = content(&mut rng, 8);
        bytes.extend((0..400_000).map(|_| rand::RngExt::random::<u8>(&mut rng)));
        fs::create_dir_all(sources.source().join("more than fits"))?;
        fs::write(sources.source().join(format!("more than fits/{number}")), bytes)?;
    }
    let place = Place::below(at)?.with_source_of(&sources);
    run(pakit(&place, &["init"]), None)?;
    run(put(&place, &["folder"], &[]), None)?;
    Ok((place, sources))
}

fn on_a_full_disk(seed: u64, at: &Path, figures: &mut Full) -> Result<()> {
    let (place, _sources) = place_on(at, seed)?;
    let before = {
        let engine = StorageEngine::open(&place.repository(), Access::Read, &Overrides::default())?;
        Before { head: Some(engine.head()?), blocks: Vec::new() }
    };
    let mut said = Vec::new();
    for _ in 0..3 {
        let done = start(put(&place, &["more than fits"], &["--batch-blocks", "4"]), None)?.wait();
        said.extend(acknowledged(&done.stdout)?);
        ensure!(
            done.code == Some(3) && done.stderr.contains("the disk is full"),
            "the first put ended with {:?}, {:?}: {}",
            done.code,
            done.signal,
            done.stderr
        );
        figures.full += 1;
        // All of it can be looked at, whether or not the log could be emptied into a database that had no room to grow.
        let done = run(pakit(&place, &["check", "--full"]), None)?;
        ensure!(done.text().contains("\"problem_count\":0"), "{}", done.text());
    }
    ensure!(!said.is_empty(), "nothing was stored before the disk was full");
    let before = &before;
    let is_there = |said: &[Acknowledged], when: &'static str| {
        let known = Known { before, said, promise: Promise::Acknowledged, is_power_cut: false, is_finished: false };
        examine(&place.repository(), &known).context(when)
    };
    match is_there(&said, "while the disk is nearly full") {
        // Where even the map of the write-ahead log has no room, who wants to write is told so, and all can be read.
        Err(error) if matches!(error.downcast_ref(), Some(OpenError::Backend(BackendError::DiskFull))) => {
            figures.acknowledged += said.len() as u64;
            return said.iter().try_for_each(|said| run(pakit(&place, &["get", &said.block]), None).map(drop));
        }
        examined => examined.map(drop)?,
    }
    // Not one byte left: what is there can be read, or is refused by name.
    let ballast = at.join("ballast");
    fill(&ballast)?;
    for (number, said) in said.iter().enumerate().step_by(7) {
        let done = start(pakit(&place, &["get", &said.block]), None)?.wait();
        let is_refused =
            done.code == Some(3) && ["full", "cannot be written"].iter().any(|it| done.stderr.contains(it));
        ensure!(done.code == Some(0) || is_refused, "get {number} says {:?}", done.stderr);
    }
    // What the batch that did not fit had taken of the log may be room enough for a small one.
    let done = start(put(&place, &["large"], &[]), None)?.wait();
    let is_full = done.code == Some(3) && done.stderr.contains("the disk is full");
    ensure!(done.code == Some(0) || is_full, "put ended with {:?}: {}", done.code, done.stderr);
    said.extend(acknowledged(&done.stdout)?);
    fs::remove_file(&ballast)?;
    is_there(&said, "once there is room again")?;
    run(put(&place, &["large"], &[]), None).context("once there is room again")?;
    figures.acknowledged += said.len() as u64;
    Ok(())
}

fn on_a_read_only_disk(seed: u64, at: &Path, figures: &mut Full) -> Result<()> {
    let (place, _sources) = place_on(at, seed)?;
    let said = acknowledged(&run(put(&place, &["large"], &[]), None)?.stdout)?;
    let block = said.first().context("a put says its block")?.block.clone();
    remount(at, "ro")?;
    for arguments in [&["get", &block][..], &["head"], &["check", "--full"], &["stats"], &["log"]] {
        run(pakit(&place, arguments), None).context("reading needs nothing to be written")?;
    }
    let is_refused = |done: &pakit_tests::process::Done| {
        done.code == Some(3) && ["cannot be written", "Read-only"].iter().any(|text| done.stderr.contains(text))
    };
    for command in [put(&place, &["larger"], &[]), pakit(&place, &["repair"])] {
        let done = start(command, None)?.wait();
        ensure!(is_refused(&done), "{} says {:?}", done.typed, done.stderr);
        figures.read_only += 1;
    }
    remount(at, "rw")?;
    // The same with what a killed writer left: it can be read once somebody could write.
    let kill = Layer { journal: false, fail: Some("sync:6:kill:once".to_owned()) };
    let command =
        place.with_layer(put(&place, &["larger"], &["--batch-blocks", "2", "--chunk-size", "4KiB"]), &kill)?;
    ensure!(start(command, None)?.wait().signal.is_some(), "it ended before its sixth sync");
    remount(at, "ro")?;
    let done = start(pakit(&place, &["get", &block]), None)?.wait();
    ensure!(done.code == Some(0) || is_refused(&done), "get says {:?}", done.stderr);
    figures.read_only += u64::from(done.code != Some(0));
    remount(at, "rw")?;
    let known = Known {
        before: &Before::default(),
        said: &said,
        promise: Promise::Acknowledged,
        is_power_cut: false,
        is_finished: true,
    };
    examine(&place.repository(), &known).map(|_| ())
}
