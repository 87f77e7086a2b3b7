//! Larger chunks stand in packs: they are found, removed, moved, missed and repaired like all others.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::{
    Config, InitOptions, StorageEngine,
    check::{Depth, check},
    config::Overrides,
    engine::Access,
    removal::{ForgetError, ForgetOptions, GcError},
    sqlite::{
        compact::compact,
        repair::{RepairReport, repair},
    },
};
use pakit_primitives::BlockHash;
use std::{
    fs,
    ops::ControlFlow,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

fn content(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

struct Repository {
    _folder: tempfile::TempDir,
    path: PathBuf,
    blocks: Vec<(BlockHash, Vec<u8>)>,
}

/// Contents below and above what goes into packs, and of several chunks.
fn repository() -> Repository {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repository");
    let config = Config { chunk_bytes: 64 << 10, ..Config::default() };
    let (engine, _) = StorageEngine::init(&path, &InitOptions::default(), config).unwrap();
    let lengths = [0, 1, 1_000, 1_023, 1_024, 1_025, 5_000, 60_000, 64 << 10, (64 << 10) + 1, 700_000];
    let blocks = (0..).zip(lengths).map(|(number, length)| {
        let content = content(number, length);
        let stored = engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
        (stored.block.block_hash(), content)
    });
    let blocks = blocks.collect();
    Repository { _folder: folder, path, blocks }
}

fn open(path: &Path) -> StorageEngine {
    let flags = Overrides { chunk_size: Some("64KiB".into()), ..Overrides::default() };
    StorageEngine::open(path, Access::Write, &flags).unwrap()
}

fn problems(path: &Path) -> Vec<String> {
    let engine = StorageEngine::open(path, Access::Read, &Overrides::default()).unwrap();
    let report = check(engine.backend().as_ref(), Depth::Full, &mut |_, _| ControlFlow::Continue(())).unwrap();
    report.problems.iter().map(ToString::to_string).collect()
}

fn pack(path: &Path, number: u32) -> PathBuf {
    path.join("packs").join(format!("{number:08}.pack"))
}

#[test]
fn contents_of_all_sizes_come_back_and_only_the_larger_ones_stand_in_packs() {
    let Repository { path, blocks, .. } = &repository();
    let engine = open(path);
    for (block, content) in blocks {
        assert!(*engine.retrieve(block).unwrap() == **content);
    }
    let in_packs = fs::metadata(pack(path, 1)).unwrap().len();
    let larger: usize = blocks.iter().map(|(_, content)| content.len()).filter(|length| *length >= 1_024).sum();
    assert!((larger as u64..larger as u64 + 4_096).contains(&in_packs), "{in_packs} bytes for {larger}");
    drop(engine);
    assert!(problems(path).is_empty());
}

#[test]
fn a_flipped_bit_anywhere_in_a_pack_is_never_served_and_always_found_by_a_full_check() {
    let Repository { path, blocks, .. } = &repository();
    let sound = fs::read(pack(path, 1)).unwrap();
    // Every 997th byte, and all of the pack's and the first record's header.
    for at in (0..60).chain((60..sound.len()).step_by(997 * 7)) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(pack(path, 1), &damaged).unwrap();
        let engine = StorageEngine::open(path, Access::Read, &Overrides::default()).unwrap();
        let mut refused = 0;
        for (block, content) in blocks {
            match engine.retrieve(block) {
                Ok(got) => assert!(*got == **content, "byte {at} was served"),
                Err(_) => refused += 1,
            }
        }
        drop(engine);
        assert!(refused > 0 || is_beside_chunks(&sound, at), "byte {at}");
        let problems = problems(path);
        let is_told = |problem: &String| problem.starts_with("pack 1 is damaged at byte ");
        assert_eq!(problems.iter().filter(|problem| is_told(problem)).count(), 1, "byte {at}: {problems:?}");
        assert_eq!(problems.len() > 1, refused > 0, "byte {at}: {problems:?}");
    }
}

#[test]
fn a_repair_writes_a_damaged_pack_anew_and_loses_only_the_chunks_that_are_damaged() {
    let Repository { path, blocks, .. } = &repository();
    // The first record's length; a byte of the last chunk; the first and one in the middle. Each in the pack that the one before made.
    let places: [fn(usize) -> Vec<usize>; 3] = [|_| vec![24], |end| vec![end - 1], |end| vec![24, end / 2]];
    for (number, (places, lost)) in (2..).zip(places.into_iter().zip([0, 1, 1])) {
        let before = pack(path, number - 1);
        let mut damaged = fs::read(&before).unwrap();
        places(damaged.len()).into_iter().for_each(|at| damaged[at] ^= 4);
        fs::write(&before, damaged).unwrap();
        assert!(!problems(path).is_empty());
        let report = repair(path, &Config::default().database_options(), &mut |_, _| {}).unwrap();
        assert_eq!((report.packs_renewed, report.set_aside_count), (1, lost), "{report:?}");
        assert!(!before.exists() && pack(path, number).exists());
        assert!(problems(path).iter().all(|problem| problem.contains("is lost") || problem.contains("lacks")));
        let engine = open(path);
        for (block, content) in blocks {
            // What was damaged is put again, under its old block.
            engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
            assert!(*engine.retrieve(block).unwrap() == **content);
        }
        drop(engine);
        assert_eq!(problems(path), [""; 0]);
        let again = repair(path, &Config::default().database_options(), &mut |_, _| {}).unwrap();
        assert_eq!((again.packs_renewed, again.is_whole()), (0, true));
    }
}

/// Headers and entries of records are only read when an index is made anew from them.
fn is_beside_chunks(pack: &[u8], at: usize) -> bool {
    let starts = pack.windows(4).enumerate().filter(|(_, bytes)| *bytes == b"PKTR").map(|(start, _)| start);
    // A header and at most a handful of entries in this test.
    at < 16 || starts.into_iter().any(|start| (start..start + 1_200).contains(&at))
}

#[test]
fn a_damaged_table_of_packs_is_found_and_what_is_put_meanwhile_goes_into_another_pack() {
    for sql in ["DELETE FROM packs", "UPDATE packs SET bytes = bytes - 100", "UPDATE packs SET bytes = 16"] {
        let Repository { path, blocks, .. } = &repository();
        let sound = fs::read(pack(path, 1)).unwrap();
        rusqlite::Connection::open(path.join("pakit.db")).unwrap().execute_batch(sql).unwrap();
        assert!(problems(path).iter().any(|problem| problem.contains("pack 1 is said to end before chunks")), "{sql}");
        let engine = open(path);
        engine.store(std::io::Cursor::new(content(99, 5_000)), None).unwrap();
        drop(engine);
        assert!(fs::read(pack(path, 1)).unwrap() == sound && pack(path, 2).exists(), "{sql}");
        let report = repair(path, &Config::default().database_options(), &mut |_, _| {}).unwrap();
        assert_eq!((report.rows_corrected, report.packs_renewed, report.is_whole()), (1, 0, true), "{sql}");
        assert_eq!(problems(path), [""; 0], "{sql}");
        let engine = open(path);
        assert!(blocks.iter().all(|(block, content)| *engine.retrieve(block).unwrap() == **content), "{sql}");
    }
}

#[test]
fn a_repair_gives_nothing_up_for_a_pack_that_cannot_be_read_now() {
    let Repository { path, blocks, .. } = &repository();
    let away = path.join("away");
    fs::rename(pack(path, 1), &away).unwrap();
    // A link to itself, which the system refuses to follow, as it does a file without the permission.
    symlink(pack(path, 1), pack(path, 1)).unwrap();
    let error = repair(path, &Config::default().database_options(), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("00000001.pack"), "{error}");
    fs::remove_file(pack(path, 1)).unwrap();
    fs::rename(&away, pack(path, 1)).unwrap();
    assert_eq!(problems(path), [""; 0]);
    let engine = open(path);
    assert!(blocks.iter().all(|(block, content)| *engine.retrieve(block).unwrap() == **content));
}

#[test]
fn what_stands_in_the_place_of_a_pack_and_is_no_file_is_refused_alike_by_reads_checks_and_repairs() {
    let Repository { path, blocks, .. } = &repository();
    let (away, place) = (path.join("away"), pack(path, 1));
    fs::rename(&place, &away).unwrap();
    let pipe = || assert!(Command::new("mkfifo").arg(&place).status().unwrap().success());
    let make: [(&str, &dyn Fn()); 3] = [
        // To open it would wait for whoever writes to it.
        ("a pipe", &pipe),
        // The bytes are there, and neither a repair nor compacting would know where.
        ("a symlink", &|| symlink(&away, &place).unwrap()),
        ("a folder", &|| fs::create_dir(&place).unwrap()),
    ];
    for (what, make) in make {
        make();
        let refusal = format!("pack 1 is {what} and not a file; put the pack itself in its place");
        let engine = StorageEngine::open(path, Access::Read, &Overrides::default()).unwrap();
        assert!(engine.retrieve(&blocks[6].0).unwrap_err().to_string().contains(&refusal), "{what}");
        assert!(*engine.retrieve(&blocks[2].0).unwrap() == *blocks[2].1);
        drop(engine);
        let problems = problems(path);
        assert!(problems.iter().any(|problem| problem.contains(&refusal)), "{problems:?}");
        let error = repair(path, &Config::default().database_options(), &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains(&refusal), "{error}");
        if what == "a folder" { fs::remove_dir(&place).unwrap() } else { fs::remove_file(&place).unwrap() }
    }
    // Nothing was given up meanwhile.
    fs::rename(&away, &place).unwrap();
    assert_all_is_there(path, blocks);
}

#[test]
fn a_missing_pack_is_named_and_a_repair_says_which_contents_are_lost() {
    let Repository { path, blocks, .. } = &repository();
    let away = path.join("away");
    fs::rename(pack(path, 1), &away).unwrap();
    let engine = StorageEngine::open(path, Access::Read, &Overrides::default()).unwrap();
    assert!(engine.retrieve(&blocks[6].0).unwrap_err().to_string().contains("pack 1 is missing"));
    assert!(*engine.retrieve(&blocks[2].0).unwrap() == *blocks[2].1);
    drop(engine);
    assert!(problems(path).iter().any(|problem| problem.contains("pack 1 is missing")));
    let report = repair(path, &Config::default().database_options(), &mut |_, _| {}).unwrap();
    assert_eq!(report.contents_lost_count, 7);
    // Put back, it is left alone, though nothing names it any more.
    fs::rename(&away, pack(path, 1)).unwrap();
    // Put again, they are there again.
    let engine = open(path);
    for (block, content) in blocks {
        engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
        assert!(*engine.retrieve(block).unwrap() == **content);
    }
    drop(engine);
    assert_eq!(problems(path), [""; 0]);
    assert!(pack(path, 1).exists() && pack(path, 2).exists());
}

fn repaired(path: &Path) -> RepairReport {
    repair(path, &Config::default().database_options(), &mut |_, _| {}).unwrap()
}

fn execute(path: &Path, sql: &str) -> usize {
    rusqlite::Connection::open(path.join("pakit.db")).unwrap().execute(sql, ()).unwrap()
}

fn assert_all_is_there(path: &Path, blocks: &[(BlockHash, Vec<u8>)]) {
    let engine = StorageEngine::open(path, Access::Read, &Overrides::default()).unwrap();
    for (block, content) in blocks {
        assert!(*engine.retrieve(block).unwrap() == **content);
    }
    drop(engine);
    assert_eq!(problems(path), Vec::<String>::new());
}

#[test]
fn rows_of_packed_chunks_that_are_damaged_or_gone_are_made_anew_from_the_packs() {
    for damage in [
        "DELETE FROM payloads WHERE compression >= 16",
        "DELETE FROM payloads WHERE payload_id = (SELECT max(payload_id) FROM payloads WHERE compression >= 16)",
        "UPDATE payloads SET bytes = x'00' WHERE compression >= 16",
        "UPDATE payloads SET bytes = zeroblob(16) WHERE compression >= 16",
        "UPDATE payloads SET compression = 0 WHERE compression >= 16",
        "UPDATE payloads SET compression = 99 WHERE compression >= 16",
        "UPDATE payloads SET original_size = original_size + 1 WHERE compression >= 16",
        "UPDATE payloads SET stored_size = 3 WHERE compression >= 16",
        "UPDATE payloads SET hash = zeroblob(32) WHERE compression >= 16",
        "UPDATE payloads SET kind = 2 WHERE compression >= 16",
        "UPDATE packs SET bytes = 20",
        "DELETE FROM packs",
    ] {
        let Repository { path, blocks, .. } = &repository();
        assert!(execute(path, damage) > 0, "{damage}");
        let report = repaired(path);
        assert!(report.is_whole(), "{damage}: {report:?}");
        assert!(report.rows_corrected > 0, "{damage}: {report:?}");
        assert_all_is_there(path, blocks);
        let again = repaired(path);
        assert_eq!((again.rows_corrected, again.counts_corrected, again.totals_corrected), (0, 0, false), "{damage}");
    }
}

#[test]
fn a_writer_removes_nothing_of_packs_that_the_database_does_not_know() {
    for damage in ["UPDATE packs SET bytes = 20", "DELETE FROM packs", "UPDATE packs SET pack = 7"] {
        let Repository { path, blocks, .. } = &mut repository();
        execute(path, damage);
        let engine = open(path);
        let content = content(99, 50_000);
        let stored = engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
        blocks.push((stored.block.block_hash(), content));
        drop(engine);
        let _ = compact(path, &Config::default().database_options(), &|_, _| {});
        assert!(repaired(path).is_whole(), "{damage}");
        for (block, content) in blocks.iter() {
            assert!(*open(path).retrieve(block).unwrap() == **content, "{damage}");
        }
    }
}

#[test]
fn what_was_forgotten_does_not_come_back_from_a_pack() {
    let Repository { path, blocks, .. } = &repository();
    let engine = open(path);
    let options = ForgetOptions { why: "a court said so".into(), ..ForgetOptions::default() };
    let block = engine.block(&blocks[6].0).unwrap().unwrap();
    engine.removal::<_, ForgetError>(|mut removal| removal.forget(&[block.as_ref().clone()], &options)).unwrap();
    engine.removal::<_, GcError>(|mut removal| removal.gc("a test", &mut |_, _| ())).unwrap();
    let id = "(SELECT payload_id FROM blocks WHERE leaf_index = 7)";
    drop(engine);
    assert_eq!(execute(path, &format!("DELETE FROM payloads WHERE kind = 2 AND payload_id = {id}")), 1);
    assert!(repaired(path).is_whole());
    let engine = open(path);
    assert!(engine.retrieve(&blocks[6].0).unwrap_err().to_string().contains("forgotten"));
    assert!(engine.block(&blocks[6].0).unwrap().is_some());
    drop(engine);
    assert_eq!(problems(path), Vec::<String>::new());
}

#[test]
fn compacting_removes_what_a_writer_left_that_died() {
    let Repository { path, blocks, .. } = &repository();
    let length = fs::metadata(pack(path, 1)).unwrap().len();
    let mut longer = fs::read(pack(path, 1)).unwrap();
    longer.extend_from_slice(&[1; 10_000]);
    fs::write(pack(path, 1), longer).unwrap();
    fs::write(pack(path, 2), [2; 10_000]).unwrap();
    compact(path, &Config::default().database_options(), &|_, _| {}).unwrap();
    assert_eq!(fs::metadata(pack(path, 1)).unwrap().len(), length);
    assert!(!pack(path, 2).exists());
    assert_all_is_there(path, blocks);
}

#[test]
fn compacting_moves_what_is_named_out_of_sparse_packs_and_removes_those() {
    let Repository { path, blocks, .. } = &repository();
    let before = fs::metadata(pack(path, 1)).unwrap().len();
    // The largest content goes, and its chunks are no longer named.
    let engine = open(path);
    let largest = engine.block(&blocks[10].0).unwrap().unwrap();
    let options = ForgetOptions { why: "a test".into(), only_listing: false };
    engine.removal(|mut removal| removal.forget(&[largest.as_ref().clone()], &options)).unwrap();
    engine.removal(|mut removal| removal.gc("a test", &mut |_, _| ())).unwrap();
    drop(engine);
    let reader = StorageEngine::open(path, Access::Read, &Overrides::default()).unwrap();
    assert!(*reader.retrieve(&blocks[7].0).unwrap() == *blocks[7].1);
    let done = compact(path, &Config::default().database_options(), &|_, _| {}).unwrap();
    assert!(done.bytes_after < done.bytes_before);
    assert!(!pack(path, 1).exists());
    assert!(fs::metadata(pack(path, 2)).unwrap().len() < before / 2);
    // The reader had the old pack in view.
    for (block, content) in &blocks[..10] {
        assert!(*reader.retrieve(block).unwrap() == **content);
        assert!(*open(path).retrieve(block).unwrap() == **content);
    }
    let again = compact(path, &Config::default().database_options(), &|_, _| {}).unwrap();
    assert_eq!(again.bytes_before, again.bytes_after);
}
