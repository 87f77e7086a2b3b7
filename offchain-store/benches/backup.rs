//! Figures of backups, one JSON object a line: how fast a full one is, how small one after a growth of 1 %, and how fast a restore
//! beside a plain write of as many bytes in the same run.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::{
    Config, InitOptions, SqliteBackend, StorageEngine,
    backup::{self, At, BackupOptions, Snapshot},
    put::PutEvent,
    sqlite::{Access, Options},
    walk::Source,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

/// Bytes of the contents of each kind of repository that is measured.
const CONTENT_BYTES: [(&str, usize); 2] = [("2 KiB records", 2 << 10), ("1 MiB files", 1 << 20)];
/// Restores and plain writes, alternating.
const RUNS: usize = 3;

fn main() {
    // `cargo bench` passes --bench; MB of contents may stand beside it.
    let megabytes: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2_000);
    for (name, content_bytes) in CONTENT_BYTES {
        let folder = tempfile::Builder::new().prefix("pakit-bench").tempdir_in(beside_outputs()).unwrap();
        measure(folder.path(), name, content_bytes, (megabytes * 1_000_000 / content_bytes).max(100) as u64);
    }
}

/// A disk, where a temporary folder may be a tmpfs.
fn beside_outputs() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

fn report(name: &str, of: &str, figures: Value) {
    println!("{}", json!({ "name": format!("{name}, {of}"), "figures": figures }));
}

/// Half of it compresses away.
fn content(number: u64, bytes: usize) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(number);
    (0..bytes).map(|_| b'a' + rng.random_range(0..16u8)).collect()
}

fn put(engine: &StorageEngine, content_bytes: usize, numbers: std::ops::Range<u64>) {
    // Not all in memory at once.
    let step = (64 << 20) / content_bytes as u64;
    for from in numbers.clone().step_by(step as usize) {
        let numbers = from..(from + step).min(numbers.end);
        let source = |number: u64| Source::Bytes(number.to_string().into(), content(number, content_bytes));
        let summary = engine.put(numbers.map(source).collect(), None, &mut |event| drop::<PutEvent>(event)).unwrap();
        assert_eq!(summary.failed, 0);
    }
}

fn bytes_of(folder: &Path) -> u64 {
    let of_entry = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => bytes_of(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    fs::read_dir(folder).unwrap().map(|entry| of_entry(entry.unwrap())).sum()
}

fn measure(folder: &Path, name: &str, content_bytes: usize, contents: u64) {
    let (repository, kept) = (folder.join("repository"), folder.join("backup"));
    let options = InitOptions { seed: Some(1), ..InitOptions::default() };
    let (engine, _) = StorageEngine::init(&repository, &options, Config::default()).unwrap();
    put(&engine, content_bytes, 0..contents);
    let stored = engine.backend().totals().unwrap().stored_bytes;
    let began = Instant::now();
    let full = back_up(&repository, &kept);
    let seconds = began.elapsed().as_secs_f64();
    report(
        "full backup",
        name,
        json!({
            "contents": contents,
            "stored_mb": stored as f64 / 1e6,
            "backup_mb": full.added_bytes as f64 / 1e6,
            "mb_per_s": full.added_bytes as f64 / 1e6 / seconds,
        }),
    );
    grow(&engine, &repository, &kept, name, content_bytes, contents);
    drop(engine);
    let began = Instant::now();
    backup::verify(&kept, &mut |_, _| {}).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let (_, snapshots) = backup::list(&kept).unwrap();
    let bytes = snapshots.last().unwrap().bytes;
    report("verify", name, json!({ "mb_per_s": bytes as f64 / 1e6 / seconds }));
    restore(folder, &kept, name);
}

fn back_up(repository: &Path, kept: &Path) -> Snapshot {
    let backend = SqliteBackend::open(repository, Access::Read, &Options::default()).unwrap();
    backup::back_up(&backend, kept, &BackupOptions::default(), &mut |_, _| {}).unwrap()
}

/// What a growth of 1 % adds to the repository and to the backup.
fn grow(engine: &StorageEngine, repository: &Path, kept: &Path, name: &str, content_bytes: usize, contents: u64) {
    let on_disk = || bytes_of(repository);
    let (before, stored_before) = (on_disk(), engine.backend().totals().unwrap().stored_bytes);
    put(engine, content_bytes, contents..contents + (contents / 100).max(1));
    let stored = engine.backend().totals().unwrap().stored_bytes - stored_before;
    let began = Instant::now();
    let added = back_up(repository, kept).added_bytes;
    report(
        "backup after 1 % growth",
        name,
        json!({
            "added_payload_bytes": stored,
            // With the write-ahead log, which need not grow.
            "repository_grew_bytes": on_disk().saturating_sub(before),
            "backup_bytes": added,
            "backup_to_payload": added as f64 / stored as f64,
            "seconds": began.elapsed().as_secs_f64(),
        }),
    );
}

fn restore(folder: &Path, kept: &Path, name: &str) {
    let (mut restored, mut written, mut bytes) = (Vec::new(), Vec::new(), 0);
    for run in 0..RUNS {
        // A B, B A, ...: a machine that slows down or speeds up favours neither.
        for is_restore in [run % 2 == 0, run % 2 == 1] {
            let target = folder.join("target");
            let began = Instant::now();
            if is_restore {
                backup::restore(kept, At::Newest, &target, &Options::default(), &mut |_, _| {}).unwrap();
                restored.push(began.elapsed().as_secs_f64());
                bytes = bytes_of(&target);
                fs::remove_dir_all(&target).unwrap();
            } else {
                let bytes = backup::list(kept).unwrap().1.last().unwrap().bytes;
                written.push(bytes as f64 / 1e6 / write(&target, bytes));
                fs::remove_file(&target).unwrap();
            }
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (seconds, plain) = (median(restored), median(written));
    let rate = bytes as f64 / 1e6 / seconds;
    report(
        "restore",
        name,
        json!({
            "repository_mb": bytes as f64 / 1e6,
            "mb_per_s": rate,
            "plain_fsynced_write_mb_per_s": plain,
            "ratio": rate / plain,
        }),
    );
}

/// Seconds that a plain write of as many bytes takes, until they are on the disk.
fn write(path: &Path, bytes: u64) -> f64 {
    let mut buffer = vec![0; 1 << 20];
    StdRng::seed_from_u64(2).fill(&mut buffer[..]);
    let began = Instant::now();
    let mut file = File::create(path).unwrap();
    let mut left = bytes as usize;
    while left > 0 {
        let part = left.min(buffer.len());
        file.write_all(&buffer[..part]).unwrap();
        left -= part;
    }
    file.sync_all().unwrap();
    began.elapsed().as_secs_f64()
}
