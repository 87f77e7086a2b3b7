//! Backups and restores of real repositories, and of backends in memory.

#![allow(clippy::unwrap_used, dead_code)]

mod backend_suite;

use backend_suite::{Shape, Writer, assert_same, content_hash};
use jiff::tz::TimeZone;
use offchain_store::{
    BulkBackend, Config, InitOptions, MemoryBackend, SqliteBackend, StorageEngine,
    backend::{DagBackend, WriteBatch},
    backup::{self, At, BackupError, BackupOptions, FolderError, Keep, RestoreBackupError, SETTING_INSTANCE, Snapshot},
    check::{self, Depth},
    config::Overrides,
    put::PutEvent,
    removal::ForgetOptions,
    sqlite::{Access, Options},
    walk::Source,
};
use pakit_primitives::Head;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// A repository, and a place for backups of it.
struct Site {
    folder: TempDir,
    engine: StorageEngine,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = InitOptions { name: "backups".into(), seed: Some(7), ..InitOptions::default() };
        let config = Config { chunk_bytes: 4096, ..Config::default() };
        let (engine, _) = StorageEngine::init(&folder.path().join("repository"), &options, config).unwrap();
        Self { folder, engine }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Stores contents of many sizes, of one chunk and of several.
    fn put(&self, seeds: std::ops::Range<u64>) {
        let contents = seeds.map(|seed| Source::Bytes(seed.to_string().into(), bytes(seed))).collect();
        let summary = self.engine.put(contents, None, &mut |event| drop::<PutEvent>(event)).unwrap();
        assert_eq!(summary.failed, 0);
    }

    fn reader(&self) -> SqliteBackend {
        SqliteBackend::open(&self.path("repository"), Access::Read, &Options::default()).unwrap()
    }

    fn back_up_with(&self, options: &BackupOptions) -> Snapshot {
        for _ in 0..200 {
            let mut last = 0;
            let snapshot = backup::back_up(&self.reader(), &self.path("backup"), options, &mut |done, total| {
                assert!(done >= last && done <= total);
                last = done;
            });
            match snapshot {
                // A process that another test is starting holds all files of this one open, and their locks, for a moment.
                Err(BackupError::Folder(FolderError::Locked(_))) => thread::sleep(Duration::from_millis(10)),
                snapshot => return snapshot.unwrap(),
            }
        }
        panic!("the backup stays locked");
    }

    fn back_up(&self) -> Snapshot {
        self.back_up_with(&BackupOptions::default())
    }

    fn restore(&self, at: At) -> MemoryBackend {
        let backend = MemoryBackend::new();
        backup::restore_into(&self.path("backup"), at, &backend, &mut |_, _| {}).unwrap();
        backend
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("repository/pakit.db")).unwrap()
    }
}

fn bytes(seed: u64) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    let size = [0, 1, 700, 3_000, 30_000][seed as usize % 5] + rng.random_range(0..900usize);
    (0..size).map(|_| rng.random_range(b'a'..=b'h')).collect()
}

fn head(backend: &dyn DagBackend) -> Head {
    offchain_store::LogReader::new(backend).head().unwrap().unwrap()
}

fn assert_sound(backend: &dyn DagBackend) {
    let report = check::check(backend, Depth::Full, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

fn verify(dir: &Path) -> Result<backup::Verified, FolderError> {
    backup::verify(dir, &mut |_, _| {})
}

/// All settings but the one that is each repository's own.
fn settings(backend: &dyn BulkBackend) -> BTreeMap<String, Vec<u8>> {
    backend.settings().unwrap().into_iter().filter(|(key, _)| key != SETTING_INSTANCE).collect()
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for part in [dir.to_owned(), dir.join("segments"), dir.join("snapshots")] {
        for entry in fs::read_dir(part).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && path.file_name().unwrap() != "lock" {
                found.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_backed_up_is_restored(
        shapes in prop::collection::vec((Shape::any(), any::<bool>()), 1..7),
        segment_bytes in prop_oneof![Just(1u64), Just(3_000), Just(64 << 20)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteBackend::create(&folder.path().join("source"), &Options::default()).unwrap();
        let memory = MemoryBackend::new();
        for (source, name) in [(&sqlite as &dyn BulkBackend, "of-sqlite"), (&memory, "of-memory")] {
            source.set_setting("name", name.as_bytes()).unwrap();
            let dir = folder.path().join(name);
            let options = BackupOptions { segment_bytes, ..BackupOptions::default() };
            let mut writer = Writer::new(source);
            for (id, (shape, is_backed_up)) in (1..).zip(&shapes) {
                backend_suite::commit_shape(&mut writer, id, shape);
                if *is_backed_up && source.totals().unwrap().blocks > 0 {
                    backup::back_up(source, &dir, &options, &mut |_, _| {}).unwrap();
                }
            }
            if source.totals().unwrap().blocks == 0 {
                continue;
            }
            backup::back_up(source, &dir, &options, &mut |_, _| {}).unwrap();
            verify(&dir).unwrap();
            let in_memory = MemoryBackend::new();
            backup::restore_into(&dir, At::Newest, &in_memory, &mut |_, _| {}).unwrap();
            let target = folder.path().join(format!("restored-{name}"));
            let restored = backup::restore(&dir, At::Newest, &target, &Options::default(), &mut |_, _| {}).unwrap();
            let on_disk = SqliteBackend::open(&target, Access::Read, &Options::default()).unwrap();
            prop_assert_eq!(restored.head, head(source));
            for copy in [&in_memory as &dyn BulkBackend, &on_disk] {
                assert_same(source, copy);
                prop_assert_eq!(settings(copy), settings(source));
            }
        }
    }
}

#[test]
fn every_earlier_head_is_restored_exactly() {
    let site = Site::new();
    let mut heads = Vec::new();
    for part in 0..4 {
        site.put(part * 9..part * 9 + 9);
        site.back_up();
    }
    let size = site.engine.head().unwrap().size;
    for size in 1..=size {
        heads.push(site.engine.log().head_at(size).unwrap());
    }
    for expected in heads {
        let restored = site.restore(At::Size(expected.size));
        assert_eq!(head(&restored), expected);
        assert_sound(&restored);
        // Nothing that belongs to later blocks came with it.
        let contents: u64 = restored.totals().unwrap().original_bytes;
        assert!(restored.totals().unwrap().unique_bytes <= contents);
    }
    let beyond = backup::restore_into(&site.path("backup"), At::Size(size + 1), &MemoryBackend::new(), &mut |_, _| {});
    assert!(matches!(beyond, Err(RestoreBackupError::NotReached { largest, .. }) if largest == size));
}

#[test]
fn a_time_means_the_newest_snapshot_from_then_or_before() {
    let site = Site::new();
    let mut snapshots = Vec::new();
    for part in 0..3 {
        site.put(part * 5..part * 5 + 5);
        snapshots.push(site.back_up());
        thread::sleep(Duration::from_millis(5));
    }
    let (_, listed) = backup::list(&site.path("backup")).unwrap();
    assert_eq!(listed, snapshots);
    for snapshot in &snapshots {
        for later_ms in [0, 1] {
            assert_eq!(head(&site.restore(At::Time(snapshot.time_ms + later_ms))), snapshot.head);
        }
    }
    let before = At::Time(snapshots[0].time_ms - 1);
    let none = backup::restore_into(&site.path("backup"), before, &MemoryBackend::new(), &mut |_, _| {});
    assert!(matches!(none, Err(RestoreBackupError::NoSnapshot(_))));
}

#[test]
fn an_incremental_backup_is_as_small_as_what_was_added() {
    let site = Site::new();
    site.put(0..300);
    let full = site.back_up();
    let before = site.engine.backend().totals().unwrap().stored_bytes;
    assert!(full.added_bytes < before * 11 / 10 + 300 * 400, "{full:?}");
    site.put(300..304);
    let added = site.engine.backend().totals().unwrap().stored_bytes - before;
    let grown = site.back_up();
    assert!(grown.added_bytes < added * 11 / 10 + 4 * 400 + 400, "{grown:?}, {added}");
    // And without anything new, next to nothing.
    assert!(site.back_up().added_bytes < 400);
}

#[test]
fn a_backup_of_a_repository_that_is_written_is_one_of_its_states() {
    let site = Site::new();
    site.put(0..20);
    thread::scope(|scope| {
        let writer = scope.spawn(|| (1..30).for_each(|part| site.put(part * 20..part * 20 + 20)));
        while !writer.is_finished() {
            site.back_up();
        }
    });
    verify(&site.path("backup")).unwrap();
    let (_, snapshots) = backup::list(&site.path("backup")).unwrap();
    for snapshot in snapshots.iter().rev().step_by(3) {
        assert_eq!(snapshot.head, site.engine.log().head_at(snapshot.head.size).unwrap());
        assert_eq!(head(&site.restore(At::Size(snapshot.head.size))), snapshot.head);
    }
}

/// Takes a content's payload away as a removal does: the row stays, under its number, without what it held.
fn remove(site: &Site, content: &[u8]) {
    let database = site.database();
    let id: i64 = database
        .query_row("SELECT payload_id FROM payloads WHERE hash = ?1", [content_hash(content).as_bytes()], |r| r.get(0))
        .unwrap();
    let sql = "UPDATE totals SET chunks = chunks - (SELECT count(*) FROM payloads WHERE payload_id = ?1 AND kind = 0),
        unique_bytes = unique_bytes - (SELECT ifnull(sum(original_size), 0) FROM payloads WHERE payload_id = ?1 AND kind = 0),
        stored_bytes = stored_bytes - (SELECT ifnull(sum(stored_size), 0) FROM payloads WHERE payload_id = ?1 AND kind = 0)";
    database.execute(sql, [id]).unwrap();
    let sql = "UPDATE payloads SET refs = refs - 1
        WHERE payload_id IN (SELECT chunk_id FROM payload_chunks WHERE payload_id = ?1)";
    database.execute(sql, [id]).unwrap();
    database.execute("DELETE FROM payload_chunks WHERE payload_id = ?1", [id]).unwrap();
    database
        .execute("UPDATE payloads SET kind = 2, stored_size = 0, bytes = NULL WHERE payload_id = ?1", [id])
        .unwrap();
}

#[test]
fn removed_contents_are_there_or_not_as_they_were_at_each_snapshot() {
    let mut site = Site::new();
    site.put(0..10);
    let (short, long) = (bytes(2), bytes(4));
    let is_kept = |backend: &dyn DagBackend| {
        [&short, &long].map(|content| backend.payload(&content_hash(content)).unwrap().unwrap().is_kept)
    };
    // Times tell the snapshots apart.
    let wait = || thread::sleep(Duration::from_millis(3));
    assert_eq!(site.back_up().absent, 0);
    wait();
    remove(&site, &short);
    remove(&site, &long);
    assert_eq!(site.back_up().absent, 2);
    wait();
    site.put(10..12);
    let with_file = files(&site.path("backup"));
    // The same contents are absent: that is not written again.
    let third = site.back_up();
    assert_eq!(third.absent, 2);
    let absent = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        files.keys().filter(|path| path.extension().is_some_and(|ending| ending == "absent")).count()
    };
    assert_eq!((absent(&with_file), absent(&files(&site.path("backup")))), (1, 1));
    // Put again, under the same blocks; a writer that is opened anew first clears away what nothing names.
    let Site { folder, engine } = site;
    drop(engine);
    let engine = StorageEngine::open(&folder.path().join("repository"), Access::Write, &Overrides::default()).unwrap();
    site = Site { folder, engine };
    let sources = [&short, &long].map(|content| Source::Bytes("again".into(), content.clone()));
    site.engine.put(sources.into(), None, &mut |event| drop::<PutEvent>(event)).unwrap();
    assert_eq!(site.engine.head().unwrap(), third.head);
    assert_eq!(site.back_up().absent, 0);
    let (_, snapshots) = backup::list(&site.path("backup")).unwrap();
    for (snapshot, expected) in snapshots.iter().zip([[true; 2], [false; 2], [false; 2], [true; 2]]) {
        // Two snapshots of one size: the oldest is taken by size, each by its time.
        let restored = site.restore(At::Time(snapshot.time_ms));
        assert_eq!((head(&restored), is_kept(&restored)), (snapshot.head, expected), "{snapshot:?}");
    }
    verify(&site.path("backup")).unwrap();
    let restored = site.path("restored");
    backup::restore(
        &site.path("backup"),
        At::Time(snapshots[2].time_ms),
        &restored,
        &Options::default(),
        &mut |_, _| {},
    )
    .unwrap();
    let backend = SqliteBackend::open(&restored, Access::Write, &Options::default()).unwrap();
    assert_eq!(is_kept(&backend), [false; 2]);
    backend.commit(WriteBatch::default()).unwrap();
}

#[test]
fn a_content_that_was_put_again_after_the_backup_of_its_block_is_restored() {
    let site = Site::new();
    let contents = [b"a small one".to_vec(), bytes(4)];
    let store = |content: &Vec<u8>| site.engine.store(std::io::Cursor::new(content.clone()), None).unwrap().block;
    let blocks: Vec<_> = contents.iter().map(store).collect();
    let options = ForgetOptions { why: "a test".into(), ..ForgetOptions::default() };
    site.engine.removal(|mut removal| removal.forget(&blocks, &options)).unwrap();
    site.engine.removal(|mut removal| removal.gc("a test", &mut |_, _| ())).unwrap();
    // More blocks than a restore commits at once.
    let many = (0..9_000u64).map(|number| Source::Bytes("many".into(), number.to_le_bytes().to_vec())).collect();
    site.engine.put(many, None, &mut |event| drop::<PutEvent>(event)).unwrap();
    assert_eq!(site.back_up().absent, 2);
    for content in &contents {
        store(content);
    }
    assert_eq!(site.back_up().absent, 0);
    verify(&site.path("backup")).unwrap();
    let target = site.path("restored");
    backup::restore(&site.path("backup"), At::Newest, &target, &Options::default(), &mut |_, _| {}).unwrap();
    let restored = SqliteBackend::open(&target, Access::Read, &Options::default()).unwrap();
    assert_eq!(head(&restored), site.engine.head().unwrap());
    assert_sound(&restored);
    for copy in [&restored as &dyn BulkBackend, &site.restore(At::Newest)] {
        for content in &contents {
            assert!(copy.payload(&content_hash(content)).unwrap().unwrap().is_kept);
        }
    }
}

#[test]
fn every_changed_bit_is_found() {
    let site = Site::new();
    site.put(0..4);
    site.back_up();
    remove(&site, &bytes(2));
    site.put(5..8);
    site.back_up();
    let dir = site.path("backup");
    verify(&dir).unwrap();
    let mut changed = 0;
    for (path, content) in files(&dir) {
        for place in 0..content.len() {
            // Every bit of what is small, one of each byte of the rest.
            let bits = if content.len() < 400 { 0..8 } else { place as u32 % 8..place as u32 % 8 + 1 };
            for bit in bits {
                let mut bad = content.clone();
                bad[place] ^= 1 << bit;
                fs::write(&path, &bad).unwrap();
                assert!(verify(&dir).is_err(), "{} byte {place} bit {bit}", path.display());
                changed += 1;
            }
        }
        for cut in [0, 1, content.len() / 2, content.len() - 1] {
            fs::write(&path, &content[..cut]).unwrap();
            assert!(verify(&dir).is_err(), "{} cut to {cut}", path.display());
        }
        fs::write(&path, [&content[..], &[0]].concat()).unwrap();
        assert!(verify(&dir).is_err(), "{} with a byte more", path.display());
        fs::remove_file(&path).unwrap();
        // Without its manifest, a snapshot is not there at all.
        let is_gone = path.extension().is_some_and(|ending| ending == "json") && path.parent() != Some(&dir);
        assert_eq!(verify(&dir).is_ok(), is_gone, "{} removed", path.display());
        fs::write(&path, &content).unwrap();
    }
    assert!(changed > 5_000, "{changed}");
    verify(&dir).unwrap();
}

#[test]
fn a_damaged_backup_is_told_before_anything_is_made() {
    let site = Site::new();
    site.put(0..30);
    site.back_up();
    site.put(30..40);
    let newest = site.back_up();
    let dir = site.path("backup");
    let segment = dir.join("segments/00000002.pack");
    let good = fs::read(&segment).unwrap();
    let restore = |name: &str, at| backup::restore(&dir, at, &site.path(name), &Options::default(), &mut |_, _| {});
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 4;
    for (bytes, what) in [(Some(bad), "changed"), (Some(good[..99].to_vec()), "cut"), (None, "gone")] {
        match bytes {
            Some(bytes) => fs::write(&segment, bytes).unwrap(),
            None => fs::remove_file(&segment).unwrap(),
        }
        assert!(matches!(restore("target", At::Newest), Err(RestoreBackupError::Folder(_))), "{what}");
        assert!(!site.path("target").exists() && !site.path("target.restoring").exists(), "{what}");
    }
    // The snapshot before does not need it.
    restore("older", At::Size(20)).unwrap();
    fs::write(&segment, good).unwrap();
    // Nothing is overwritten.
    fs::create_dir(site.path("empty")).unwrap();
    assert_eq!(restore("empty", At::Newest).unwrap().head, newest.head);
    fs::create_dir(site.path("full")).unwrap();
    fs::write(site.path("full/mine"), "mine").unwrap();
    for name in ["repository", "empty", "full", "full/mine"] {
        assert!(matches!(restore(name, At::Newest), Err(RestoreBackupError::TargetNotEmpty(_))), "{name}");
    }
    fs::create_dir(site.path("new.restoring")).unwrap();
    fs::write(site.path("new.restoring/mine"), "mine").unwrap();
    assert!(matches!(restore("new", At::Newest), Err(RestoreBackupError::Workplace(_))));
    assert_eq!(fs::read(site.path("new.restoring/mine")).unwrap(), b"mine");
}

#[test]
fn folders_that_are_no_backup_of_this_repository_are_refused_by_name() {
    let site = Site::new();
    site.put(0..6);
    let older = site.path("older");
    fs::create_dir(&older).unwrap();
    for file in ["pakit.db", "pakit.db-wal"] {
        fs::copy(site.path("repository").join(file), older.join(file)).unwrap();
    }
    let reader = |dir: &Path| SqliteBackend::open(dir, Access::Read, &Options::default()).unwrap();
    let back_up = |backend: &dyn BulkBackend, dir: &str| {
        backup::back_up(backend, &site.path(dir), &BackupOptions::default(), &mut |_, _| {})
    };
    let older_reader = reader(&older);
    fs::create_dir(site.path("foreign")).unwrap();
    fs::write(site.path("foreign/letter"), "mine").unwrap();
    let refused = back_up(&site.reader(), "foreign").unwrap_err();
    assert!(matches!(refused, BackupError::Folder(FolderError::NotEmpty(_))), "{refused}");
    assert_eq!(fs::read_dir(site.path("foreign")).unwrap().count(), 1);
    assert!(matches!(backup::list(&site.path("nowhere")), Err(FolderError::NotABackup(_))));
    site.put(6..9);
    back_up(&site.reader(), "backup").unwrap();
    let refused = back_up(&older_reader, "backup").unwrap_err();
    assert!(matches!(refused, BackupError::RepositoryOlder { .. }), "{refused}");
    // The copy goes another way.
    drop(older_reader);
    let engine = StorageEngine::open(&older, Access::Write, &Overrides::default()).unwrap();
    for number in 0..6 {
        engine.store(std::io::Cursor::new(format!("another history {number}")), None).unwrap();
    }
    let refused = back_up(&reader(&older), "backup").unwrap_err();
    assert!(matches!(refused, BackupError::Diverged(_)), "{refused}");
    let (other, _) = StorageEngine::init(&site.path("other"), &InitOptions::default(), Config::default()).unwrap();
    drop(other);
    let refused = back_up(&reader(&site.path("other")), "backup").unwrap_err();
    assert!(matches!(refused, BackupError::OtherRepository { .. }), "{refused}");
    assert!(matches!(back_up(&MemoryBackend::new(), "new"), Err(BackupError::Empty)));
    // None of them left anything.
    assert_eq!(verify(&site.path("backup")).unwrap().snapshots.len(), 1);
    for (name, format) in [("pakit-backup.json", "pakit-backup/2"), ("snapshots/00000001.json", "pakit-snapshot/9")] {
        let path = site.path("backup").join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(&format!("{}/1", format.split_once('/').unwrap().0), format)).unwrap();
        let refused = back_up(&site.reader(), "backup").unwrap_err();
        let is_named =
            matches!(&refused, BackupError::Folder(FolderError::NewerFormat { found, .. }) if found == format);
        assert!(is_named, "{refused}");
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn two_backups_into_one_folder_at_once_are_one_and_a_refusal() {
    let site = Site::new();
    site.back_up();
    let lock = fs::File::options().write(true).open(site.path("backup/lock")).unwrap();
    lock.lock().unwrap();
    let refused = backup::back_up(&site.reader(), &site.path("backup"), &BackupOptions::default(), &mut |_, _| {});
    assert!(matches!(refused, Err(BackupError::Folder(FolderError::Locked(_)))));
    let keep = Keep { last: 1, ..Keep::default() };
    let refused = backup::prune(&site.path("backup"), &keep, &TimeZone::UTC, false);
    assert!(matches!(refused, Err(FolderError::Locked(_))));
    // Reading needs no lock.
    verify(&site.path("backup")).unwrap();
    drop(lock);
    site.back_up();
}

#[test]
fn what_a_killed_backup_finished_is_gone_on_from() {
    let site = Site::new();
    site.put(0..20);
    site.back_up();
    site.put(20..200);
    let small = BackupOptions { segment_bytes: 1, ..BackupOptions::default() };
    // Records of a MiB make segments of a MiB at the least, so that contents of that size are needed to fill some.
    let large = (0..6u64).map(|seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        Source::Bytes("large".into(), (0..700_000).map(|_| rng.random()).collect())
    });
    site.engine.put(large.collect(), None, &mut |event| drop::<PutEvent>(event)).unwrap();
    let whole = site.back_up_with(&small);
    let dir = site.path("backup");
    let segments: Vec<PathBuf> = {
        let mut paths: Vec<_> =
            fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    assert!(segments.len() > 4, "{segments:?}");
    // As if it had been killed before it was told of: the manifest is not there, and the last segment only in part.
    fs::remove_file(dir.join("snapshots/00000002.json")).unwrap();
    fs::rename(segments.last().unwrap(), segments.last().unwrap().with_extension("pack.new")).unwrap();
    let inode = |path: &PathBuf| fs::metadata(path).unwrap().ino();
    let before: Vec<u64> = segments[..4].iter().map(inode).collect();
    site.put(200..210);
    let again = site.back_up_with(&small);
    assert_eq!(segments[..4].iter().map(inode).collect::<Vec<_>>(), before, "finished segments stay");
    assert!(again.head.size > whole.head.size);
    verify(&dir).unwrap();
    assert_eq!(head(&site.restore(At::Newest)), again.head);
    // One that is not whole does not stay, nor do those behind it.
    fs::remove_file(dir.join("snapshots/00000002.json")).unwrap();
    let mut bad = fs::read(&segments[2]).unwrap();
    bad[500] ^= 1;
    fs::write(&segments[2], &bad).unwrap();
    site.back_up_with(&small);
    verify(&dir).unwrap();
    assert_eq!(head(&site.restore(At::Newest)), again.head);
    assert!(files(&dir).keys().all(|path| path.extension().unwrap() != "new"));
}

#[test]
fn a_restored_repository_begins_a_series_of_its_own() {
    let site = Site::new();
    site.put(0..12);
    let first = site.back_up();
    let restored = site.path("restored");
    backup::restore(&site.path("backup"), At::Newest, &restored, &Options::default(), &mut |_, _| {}).unwrap();
    let engine = StorageEngine::open(&restored, Access::Write, &Overrides::default()).unwrap();
    assert_eq!((engine.name().unwrap(), engine.head().unwrap()), ("backups".to_owned(), first.head));
    engine.store(&b"after the restore"[..], None).unwrap();
    let reader = SqliteBackend::open(&restored, Access::Read, &Options::default()).unwrap();
    let back_up = || backup::back_up(&reader, &site.path("backup"), &BackupOptions::default(), &mut |_, _| {}).unwrap();
    let second = back_up();
    assert!(second.series > first.series && second.added_bytes == second.bytes, "its payloads have other numbers");
    let third = back_up();
    assert_eq!(third.series, second.series);
    assert_eq!(verify(&site.path("backup")).unwrap().snapshots.len(), 3);
    assert_eq!(head(&site.restore(At::Newest)), engine.head().unwrap());
    assert_eq!(head(&site.restore(At::Time(first.time_ms))), first.head);
}

#[test]
fn retention_keeps_what_is_asked_for_and_frees_whole_series() {
    let site = Site::new();
    let mut snapshots = Vec::new();
    for part in 0..6 {
        site.put(part * 4..part * 4 + 4);
        let options = BackupOptions { is_full: part == 4, ..BackupOptions::default() };
        snapshots.push(site.back_up_with(&options));
    }
    let dir = site.path("backup");
    let numbers = |snapshots: &[Snapshot]| snapshots.iter().map(|snapshot| snapshot.number).collect::<Vec<_>>();
    let prune = |keep, is_dry_run| backup::prune(&dir, &keep, &TimeZone::UTC, is_dry_run).unwrap();
    let before = files(&dir);
    // All within one day, one week, one month, unless the night is young.
    let daily = prune(Keep { daily: 9, ..Keep::default() }, true);
    assert!(daily.kept.last() == snapshots.last() && daily.kept.len() <= 2, "{daily:?}");
    let two = prune(Keep { last: 3, ..Keep::default() }, true);
    assert_eq!((numbers(&two.kept), numbers(&two.dropped), two.segments), (vec![4, 5, 6], vec![1, 2, 3], 0));
    assert_eq!(files(&dir), before, "nothing was done");
    let two = prune(Keep { last: 3, ..Keep::default() }, false);
    assert_eq!((numbers(&two.kept), two.segments), (vec![4, 5, 6], 0), "their segments are needed by the fourth");
    verify(&dir).unwrap();
    assert_eq!(head(&site.restore(At::Size(2))).size, 2);
    let one = prune(Keep { last: 2, ..Keep::default() }, false);
    assert_eq!((numbers(&one.kept), one.segments), (vec![5, 6], 4), "the first series is gone");
    let there: u64 = fs::read_dir(dir.join("segments")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(there, one.kept[1].bytes);
    verify(&dir).unwrap();
    assert_eq!(head(&site.restore(At::Size(2))).size, 2);
    assert_eq!(prune(Keep::default(), false).kept.len(), 1, "the newest stays whatever is asked for");
    site.put(24..30);
    assert_eq!(site.back_up().series, snapshots[5].series);
    verify(&dir).unwrap();
}

#[test]
fn arbitrary_files_are_refused_and_never_believed() {
    let site = Site::new();
    site.put(0..3);
    site.back_up();
    let dir = site.path("backup");
    let segment = dir.join("segments/00000001.pack");
    let good = fs::read(&segment).unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    for round in 0..300 {
        let mut bad = good.clone();
        match round % 3 {
            // A record's lengths and counts, of any size.
            0 => {
                let place = rng.random_range(96..bad.len() - 8);
                bad[place..place + 8].copy_from_slice(&rng.random::<u64>().to_le_bytes());
            }
            1 => bad = (0..rng.random_range(0..400)).map(|_| rng.random()).collect(),
            _ => {
                let (from, to) = (rng.random_range(0..bad.len()), rng.random_range(0..bad.len()));
                bad.drain(from.min(to)..=from.max(to));
            }
        }
        fs::write(&segment, &bad).unwrap();
        if bad != good {
            assert!(verify(&dir).is_err(), "{round}");
            let restored = backup::restore_into(&dir, At::Newest, &MemoryBackend::new(), &mut |_, _| {});
            assert!(restored.is_err(), "{round}");
        }
    }
}

/// Starts `pakit`, and kills it after a while unless it has ended.
fn run_and_kill(arguments: &[&str], folder: &Path, after: Duration) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pakit"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(after);
    let was_killed = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    was_killed
}

fn run(arguments: &[&str], folder: &Path) {
    let done = Command::new(env!("CARGO_BIN_EXE_pakit")).args(arguments).current_dir(folder).env_clear().output();
    let done = done.unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_backup_that_is_killed_at_any_moment_is_completed_by_the_next() {
    let site = Site::new();
    let folder = site.folder.path();
    let mut rng = StdRng::seed_from_u64(11);
    let mut killed = 0;
    for round in 0..30u64 {
        site.put(round * 40..round * 40 + 40);
        let after = Duration::from_micros(rng.random_range(500..60_000));
        killed += u32::from(run_and_kill(&["--repo", "repository", "backup", "backup"], folder, after));
        if round % 5 == 4 {
            run(&["--repo", "repository", "backup", "backup"], folder);
            verify(&site.path("backup")).unwrap();
            assert_eq!(head(&site.restore(At::Newest)), site.engine.head().unwrap());
        }
    }
    assert!(killed > 3, "only {killed} were killed in their middle");
}

#[test]
fn a_restore_that_is_killed_at_any_moment_leaves_nothing_or_all_of_it() {
    let site = Site::new();
    site.put(0..600);
    let snapshot = site.back_up();
    let folder = site.folder.path();
    let mut rng = StdRng::seed_from_u64(12);
    let (mut killed, mut whole) = (0, 0);
    for round in 0..30 {
        let after = Duration::from_micros(rng.random_range(500..150_000));
        killed += u32::from(run_and_kill(&["--repo", "restored", "restore", "backup"], folder, after));
        let restored = site.path("restored");
        if restored.exists() {
            let engine = StorageEngine::open(&restored, Access::Write, &Overrides::default()).unwrap();
            assert_eq!(engine.head().unwrap(), snapshot.head, "{round}");
            drop(engine);
            fs::remove_dir_all(&restored).unwrap();
            whole += 1;
        }
    }
    assert!(killed > 3, "only {killed} were killed in their middle, {whole} were whole");
    run(&["--repo", "restored", "restore", "backup"], folder);
    assert!(!site.path("restored.restoring").exists());
    let backend = SqliteBackend::open(&site.path("restored"), Access::Read, &Options::default()).unwrap();
    assert_sound(&backend);
    assert_eq!(head(&backend), snapshot.head);
}
