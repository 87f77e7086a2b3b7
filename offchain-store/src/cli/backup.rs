//! backup, restore.

use super::{
    args::{Backup, BackupCommand, BackupFolder, BackupPrune, Global, Keep, Restore},
    failure::Failure,
    output::{Output, printable_path},
    time,
};
use crate::{
    backup::{self, BackupOptions, Pruned, Snapshot, Verified},
    config::Config,
    sqlite::{Access, SqliteBackend},
};
use indicatif::BinaryBytes;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::path::Path;

/// What is said of a snapshot.
#[derive(Serialize)]
struct SnapshotLine {
    snapshot: u64,
    time_ms: u64,
    size: u64,
    root: String,
    /// Bytes that were written for it.
    added_bytes: u64,
    /// Bytes of all that it needs.
    bytes: u64,
    /// Contents that were not kept.
    absent: u64,
    series: u64,
}

impl From<&Snapshot> for SnapshotLine {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            snapshot: snapshot.number,
            time_ms: snapshot.time_ms,
            size: snapshot.head.size,
            root: snapshot.head.root.to_string(),
            added_bytes: snapshot.added_bytes,
            bytes: snapshot.bytes,
            absent: snapshot.absent,
            series: snapshot.series,
        }
    }
}

fn snapshot_text(line: &SnapshotLine) -> String {
    format!(
        "{:>5}  {}  {:>10} blocks  {:>12} added  {:>12} in all  series {}",
        line.snapshot,
        time::display(line.time_ms),
        line.size,
        BinaryBytes(line.added_bytes).to_string(),
        BinaryBytes(line.bytes).to_string(),
        line.series,
    )
}

pub(super) fn backup(global: &Global, out: &Output, args: Backup) -> Result<(), Failure> {
    match (args.command, args.dir) {
        (Some(BackupCommand::List(BackupFolder { dir })), _) => list(out, &dir),
        (Some(BackupCommand::Verify(BackupFolder { dir })), _) => {
            let verified = VerifiedLine::from(&verify(out, &dir)?);
            out.print(&verified, || verified_text(&verified))
        }
        (Some(BackupCommand::Prune(args)), _) => prune(out, &args),
        (None, Some(dir)) => {
            let options = BackupOptions { is_full: args.full, ..BackupOptions::default() };
            take(global, out, &dir, &options, args.verify, &args.keep)
        }
        // The grammar demands one of them.
        (None, None) => Err(Failure::usage("no folder for the backup is named")),
    }
}

fn take(
    global: &Global,
    out: &Output,
    dir: &Path,
    options: &BackupOptions,
    is_verified: bool,
    keep: &Keep,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Taken {
        #[serde(flatten)]
        snapshot: SnapshotLine,
        #[serde(skip_serializing_if = "Option::is_none")]
        verified: Option<VerifiedLine>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pruned: Option<PrunedLine>,
    }
    let config = Config::load(&global.repo, &global.overrides())?;
    let backend = SqliteBackend::open(&global.repo, Access::Read, &config.database_options())?;
    let bar = out.progress(Some(0));
    let taken = backup::back_up(&backend, dir, options, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let taken = taken?;
    let verified = match is_verified {
        true => Some(VerifiedLine::from(&verify(out, dir)?)),
        false => None,
    };
    let keep = to_keep(keep);
    let pruned = match keep.is_empty() {
        true => None,
        false => Some(PrunedLine::from(&backup::prune(dir, &keep, &TimeZone::system(), false)?)),
    };
    let line = Taken { snapshot: (&taken).into(), verified, pruned };
    out.print(&line, || {
        let verified = line.verified.iter().map(|line| format!("\n{}", verified_text(line)));
        let pruned = line.pruned.iter().map(|line| format!("\n{}", pruned_text(line, false)));
        let more: String = verified.chain(pruned).collect();
        let snapshot = &line.snapshot;
        format!(
            "snapshot {}: {} blocks, {} added, {} in all{more}",
            snapshot.snapshot,
            snapshot.size,
            BinaryBytes(snapshot.added_bytes),
            BinaryBytes(snapshot.bytes)
        )
    })
}

fn list(out: &Output, dir: &Path) -> Result<(), Failure> {
    let (_, snapshots) = backup::list(dir)?;
    for snapshot in &snapshots {
        let line = SnapshotLine::from(snapshot);
        out.print(&line, || snapshot_text(&line))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct VerifiedLine {
    snapshots: usize,
    segments: u64,
    bytes: u64,
    chunks: u64,
}

impl From<&Verified> for VerifiedLine {
    fn from(verified: &Verified) -> Self {
        let Verified { snapshots, segments, bytes, chunks } = verified;
        Self { snapshots: snapshots.len(), segments: *segments, bytes: *bytes, chunks: *chunks }
    }
}

fn verified_text(line: &VerifiedLine) -> String {
    let VerifiedLine { snapshots, segments, bytes, chunks } = line;
    format!("whole: {snapshots} snapshots, {segments} segments, {}, {chunks} chunks", BinaryBytes(*bytes))
}

fn verify(out: &Output, dir: &Path) -> Result<Verified, Failure> {
    let bar = out.progress(Some(0));
    let verified = backup::verify(dir, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(verified?)
}

#[derive(Serialize)]
struct PrunedLine {
    kept: Vec<u64>,
    dropped: Vec<u64>,
    segments: u64,
    bytes: u64,
}

impl From<&Pruned> for PrunedLine {
    fn from(pruned: &Pruned) -> Self {
        let numbers = |snapshots: &[Snapshot]| snapshots.iter().map(|snapshot| snapshot.number).collect();
        Self {
            kept: numbers(&pruned.kept),
            dropped: numbers(&pruned.dropped),
            segments: pruned.segments,
            bytes: pruned.bytes,
        }
    }
}

fn pruned_text(line: &PrunedLine, is_dry_run: bool) -> String {
    let would = if is_dry_run { "would drop" } else { "dropped" };
    let dropped: String = line.dropped.iter().map(|number| format!(" {number}")).collect();
    let which = if dropped.is_empty() { String::new() } else { format!(" ({})", dropped.trim_start()) };
    format!(
        "{would} {} snapshots{which} and {} segments, {}; {} snapshots stay",
        line.dropped.len(),
        line.segments,
        BinaryBytes(line.bytes),
        line.kept.len()
    )
}

fn to_keep(keep: &Keep) -> backup::Keep {
    backup::Keep { last: keep.keep_last, daily: keep.keep_daily, weekly: keep.keep_weekly, monthly: keep.keep_monthly }
}

fn prune(out: &Output, args: &BackupPrune) -> Result<(), Failure> {
    let keep = to_keep(&args.keep);
    if keep.is_empty() {
        return Err(Failure::usage(
            "it has to be said what stays: --keep-last, --keep-daily, --keep-weekly or --keep-monthly",
        ));
    }
    let line = PrunedLine::from(&backup::prune(&args.dir, &keep, &TimeZone::system(), args.dry_run)?);
    out.print(&line, || pruned_text(&line, args.dry_run))
}

pub(super) fn restore(global: &Global, out: &Output, args: &Restore) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct RestoredLine {
        repository: String,
        snapshot: u64,
        time_ms: u64,
        size: u64,
        root: String,
        absent: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        anchored_beyond: Option<u64>,
    }
    let mut config = Config::default();
    config.apply(&global.overrides(), "the command line")?;
    let bar = out.progress(Some(0));
    let at = args.at.unwrap_or_default();
    let restored = backup::restore(&args.dir, at, &global.repo, &config.database_options(), &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let restored = restored?;
    let line = RestoredLine {
        repository: global.repo.display().to_string(),
        snapshot: restored.snapshot.number,
        time_ms: restored.snapshot.time_ms,
        size: restored.head.size,
        root: restored.head.root.to_string(),
        absent: restored.absent,
        anchored_beyond: restored.anchored_beyond,
    };
    if let Some(anchored) = line.anchored_beyond {
        out.note(&format!(
            "a log of {anchored} blocks was anchored, this one ends before: it will not be anchored to that DAG; restore a newer state, or see `pakit dag succeed`"
        ));
    }
    out.print(&line, || {
        format!(
            "restored {} blocks to {}, from snapshot {} of {}\nroot {}",
            line.size,
            printable_path(&global.repo),
            line.snapshot,
            time::display(line.time_ms),
            line.root
        )
    })
}
