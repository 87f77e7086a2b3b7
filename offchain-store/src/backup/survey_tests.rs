#![allow(clippy::unwrap_used)]

//! Backups whose every checksum is right and that say what is not so, as only somebody makes them who means to.

use super::*;
use crate::{
    Config, InitOptions, MemoryBackend, StorageEngine,
    backup::{
        self, At, BackupOptions, RestoreBackupError, manifest,
        segment::{SegmentStart, SegmentWriter},
    },
    metadata::Metadata,
    record::{BlockEntry, Encoder, PartChunk},
    removal::ForgetOptions,
    sqlite::{Access, Options, SqliteBackend},
};
use proptest::prelude::*;
use std::{fs, io::Cursor, sync::LazyLock, thread, time::Duration};

/// A backup of contents of one chunk and of several.
fn backed_up() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (repository, dir) = (folder.path().join("repository"), folder.path().join("backup"));
    let config = Config { chunk_bytes: 4096, ..Config::default() };
    let (engine, _) = StorageEngine::init(&repository, &InitOptions::default(), config).unwrap();
    for seed in 0..8u32 {
        let content: Vec<u8> =
            (0..1_000 + seed * 4_000).map(|at| (at.wrapping_mul(2_654_435_761 + seed) >> 24) as u8).collect();
        engine.store(Cursor::new(content), None).unwrap();
    }
    let backend = SqliteBackend::open(&repository, Access::Read, &Options::default()).unwrap();
    backup::back_up(&backend, &dir, &BackupOptions::default(), &mut |_, _| {}).unwrap();
    (folder, dir)
}

/// A record, and the segment that it stands in.
type Placed = (u64, Kind, Vec<u8>);

/// All records of the one series.
fn records(folder: &Folder) -> Vec<Placed> {
    let mut records = Vec::new();
    for number in folder.segments().unwrap() {
        let mut reader = SegmentReader::open(&folder.segment(number)).unwrap();
        while let Some((kind, body)) = reader.next().unwrap() {
            records.push((number, kind, body));
        }
    }
    records
}

/// Writes the series again with these records, and snapshots that name it.
fn rewrite(folder: &Folder, records: &[Placed]) {
    let manifests = folder.manifests().unwrap();
    let (mut previous, mut bytes) = ([0; 32], 0);
    for number in folder.segments().unwrap() {
        let path = folder.segment(number);
        let start = SegmentStart { previous, ..SegmentReader::open(&path).unwrap().start() };
        let mut writer = SegmentWriter::create(&path, start).unwrap();
        for (_, kind, body) in records.iter().filter(|(of, ..)| *of == number) {
            writer.record(*kind, body).unwrap();
        }
        let (digest, len) = writer.finish().unwrap();
        (previous, bytes) = (digest, bytes + len);
        for mut manifest in manifests.iter().filter(|manifest| manifest.last_segment == number).cloned() {
            (manifest.digest, manifest.bytes) = (digest, bytes);
            manifest::write(&folder.snapshot(manifest.number), &mut manifest).unwrap();
        }
    }
}

/// Writes the series again with records that `change` makes of the old ones.
fn tamper(dir: &Path, mut change: impl FnMut(Kind, Vec<u8>) -> Vec<u8>) {
    let folder = Folder::open(dir).unwrap();
    let changed = records(&folder).into_iter().map(|(number, kind, body)| (number, kind, change(kind, body)));
    rewrite(&folder, &changed.collect::<Vec<_>>());
}

/// The records of blocks with other numbers of payloads.
fn renumbered(body: &[u8], mut number: impl FnMut(u64) -> u64) -> Vec<u8> {
    let (mut from, mut to) = (Decoder::new(body), Encoder::default());
    while !from.is_empty() {
        match from.block_entry().unwrap() {
            BlockEntry::Metadata(hash, map) => to.metadata(&hash, map),
            BlockEntry::Block(payload, header) => to.block(number(payload), header, false),
            BlockEntry::Audit(payload, header) => to.block(number(payload), header, true),
        }
    }
    to.bytes
}

fn verify(dir: &Path) -> Result<Verified, FolderError> {
    super::verify(dir, &mut |_, _| {})
}

/// Restores each snapshot.
fn restore_all(dir: &Path) -> Result<(), RestoreBackupError> {
    for manifest in Folder::open(dir)?.manifests()? {
        backup::restore_into(dir, At::Time(manifest.time_ms), &MemoryBackend::new(), &mut |_, _| {})?;
    }
    Ok(())
}

/// Three snapshots of one series: contents of one chunk and of several, with metadata and without; some removed before the first and
/// some after it, all of which were put again before the last.
fn eventful() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (repository, dir) = (folder.path().join("repository"), folder.path().join("backup"));
    let config = Config { chunk_bytes: 4096, ..Config::default() };
    let (engine, _) = StorageEngine::init(&repository, &InitOptions::default(), config).unwrap();
    let content = |seed: u32| -> Vec<u8> {
        let size = if seed.is_multiple_of(2) { 300 } else { 9_000 };
        (0..size).map(|at: u32| (at.wrapping_mul(2_654_435_761 + seed) >> 24) as u8).collect()
    };
    let metadata = Metadata::from_texts(&[("a".to_owned(), "b".to_owned())].into()).unwrap();
    let put = |seeds: std::ops::Range<u32>| {
        for seed in seeds {
            let metadata = seed.is_multiple_of(3).then_some(&metadata);
            engine.store(Cursor::new(content(seed)), metadata).unwrap();
        }
    };
    let remove = |seeds: std::ops::Range<u64>| {
        let blocks: Vec<_> = seeds.map(|seed| engine.dag().at(seed + 1).unwrap()).collect();
        let options = ForgetOptions { why: "a test".into(), ..ForgetOptions::default() };
        engine.removal(|mut removal| removal.forget(&blocks, &options)).unwrap();
        engine.removal(|mut removal| removal.gc("a test", &mut |_, _| ())).unwrap();
    };
    let back_up = || {
        // Times tell the snapshots apart.
        thread::sleep(Duration::from_millis(3));
        let backend = SqliteBackend::open(&repository, Access::Read, &Options::default()).unwrap();
        backup::back_up(&backend, &dir, &BackupOptions::default(), &mut |_, _| {}).unwrap();
    };
    put(0..6);
    remove(0..2);
    back_up();
    remove(2..4);
    put(6..8);
    back_up();
    put(0..4);
    put(8..10);
    back_up();
    (folder, dir)
}

/// Copies what makes a backup.
fn copy(from: &Path, to: &Path) {
    for part in ["", "segments", "snapshots"] {
        fs::create_dir_all(to.join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(part).join(entry.file_name())).unwrap();
            }
        }
    }
}

static EVENTFUL: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(eventful);

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn verifying_and_restoring_take_and_refuse_the_same_orders_of_records(
        changes in prop::collection::vec((0..3u8, any::<prop::sample::Index>()), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("backup");
        copy(&EVENTFUL.1, &dir);
        let backup = Folder::open(&dir).unwrap();
        let mut records = records(&backup);
        for (change, index) in changes {
            let at = index.index(records.len());
            match change {
                0 => drop(records.remove(at)),
                1 => records.insert(at, records[at].clone()),
                // Also across the boundary of two segments, which stays where it is.
                _ if at + 1 < records.len() => {
                    let (before, after) = (records[at].0, records[at + 1].0);
                    records.swap(at, at + 1);
                    (records[at].0, records[at + 1].0) = (before, after);
                }
                _ => {}
            }
        }
        rewrite(&backup, &records);
        let (verified, restored) = (verify(&dir), restore_all(&dir));
        prop_assert_eq!(verified.is_ok(), restored.is_ok(), "{:?} and {:?}", verified, restored);
    }
}

#[test]
fn a_series_of_many_events_is_whole_and_each_of_its_snapshots_is_restored() {
    let dir = &EVENTFUL.1;
    assert_eq!(verify(dir).unwrap().snapshots.iter().map(|found| found.absent).collect::<Vec<_>>(), [1, 2, 0]);
    restore_all(dir).unwrap();
}

/// Makes the entries of a block, and of the map that it names.
type Place = fn(&mut Encoder, &MetadataHash, &[u8], &dyn Fn(&mut Encoder));

/// A backup whose blocks with metadata stand there as `place` has them.
fn with_maps(place: Place) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("backup");
    copy(&EVENTFUL.1, &dir);
    let mut changed = 0;
    tamper(&dir, |kind, body| {
        if kind != Kind::Blocks {
            return body;
        }
        let (mut from, mut to, mut map) = (Decoder::new(&body), Encoder::default(), None);
        while !from.is_empty() {
            let (payload, header, is_audit) = match from.block_entry().unwrap() {
                BlockEntry::Metadata(hash, bytes) => {
                    map = Some((hash, bytes));
                    continue;
                }
                BlockEntry::Block(payload, header) => (payload, header, false),
                BlockEntry::Audit(payload, header) => (payload, header, true),
            };
            let block = |to: &mut Encoder| to.block(payload, header, is_audit);
            match map.take() {
                Some((hash, bytes)) => {
                    changed += 1;
                    place(&mut to, &hash, bytes, &block);
                }
                None => block(&mut to),
            }
        }
        to.bytes
    });
    assert!(changed > 0);
    (folder, dir)
}

#[test]
fn metadata_that_is_no_blocks_own_is_refused_before_anything_is_restored() {
    let (_folder, dir) = with_maps(|to, hash, map, block| {
        to.metadata(hash, map);
        block(to);
    });
    verify(&dir).unwrap();
    restore_all(&dir).unwrap();
    let places: [(&str, Place); 3] = [
        ("twice", |to, hash, map, block| {
            to.metadata(hash, map);
            to.metadata(hash, map);
            block(to);
        }),
        ("behind its block", |to, hash, map, block| {
            block(to);
            to.metadata(hash, map);
        }),
        ("under another hash", |to, _, map, block| {
            to.metadata(&MetadataHash::new([7; 32]), map);
            block(to);
        }),
    ];
    for (caption, place) in places {
        let (_folder, dir) = with_maps(place);
        let is_malformed =
            |error: &FolderError| matches!(error, FolderError::Record { source: RecordError::Malformed, .. });
        verify(&dir).unwrap_err();
        let target = dir.with_extension("restored");
        let refused = backup::restore(&dir, At::Newest, &target, &Options::default(), &mut |_, _| {}).unwrap_err();
        assert!(matches!(&refused, RestoreBackupError::Folder(error) if is_malformed(error)), "{caption}: {refused}");
        // The survey refuses it, before there is a place to restore to.
        let mut folder = Folder::open(&dir).unwrap().manifests().unwrap();
        let manifest = folder.pop().unwrap();
        let folder = Folder::open(&dir).unwrap();
        assert!(read_all(&folder, &manifest, manifest.size, &Checks::default(), &mut |_| {}).is_err(), "{caption}");
    }
    // As chunks that do not have theirs: a restore gives them back as they are, and `check` names them.
    let (_folder, dir) = with_maps(|to, hash, map, block| {
        to.metadata(hash, &[map, b" "].concat());
        block(to);
    });
    let refused = verify(&dir).unwrap_err();
    assert!(refused.to_string().contains("metadata does not have its hash"), "{refused}");
    let (_folder, dir) = with_maps(|to, _, _, block| block(to));
    let refused = verify(&dir).unwrap_err();
    assert!(refused.to_string().contains("names metadata that does not stand before it"), "{refused}");
    restore_all(&dir).unwrap_err();
}

#[test]
fn sizes_that_lists_give_their_chunks_wrongly_are_refused_as_a_restore_refuses_them() {
    for change in [|chunk: &mut PartChunk| chunk.stored_size += 1, |chunk: &mut PartChunk| chunk.original_size += 1] {
        let (_folder, dir) = backed_up();
        tamper(&dir, |kind, body| match kind {
            Kind::List => {
                let mut part = ListPart::decode(&body).unwrap();
                let before = part.chunks[0].original_size;
                change(&mut part.chunks[0]);
                // The sum stays.
                part.chunks[1].original_size -= part.chunks[0].original_size - before;
                part.encode()
            }
            _ => body,
        });
        verify(&dir).unwrap_err();
        restore_all(&dir).unwrap_err();
    }
}

#[test]
fn a_backup_that_was_written_again_as_it_was_is_whole() {
    let (_folder, dir) = backed_up();
    tamper(&dir, |kind, body| if kind == Kind::Blocks { renumbered(&body, |payload| payload) } else { body });
    verify(&dir).unwrap();
}

#[test]
fn a_block_that_names_the_payload_of_another_is_refused() {
    let (_folder, dir) = backed_up();
    let mut numbers = Vec::new();
    tamper(&dir, |kind, body| {
        if kind == Kind::Blocks {
            drop(renumbered(&body, |payload| {
                numbers.push(payload);
                payload
            }));
        }
        body
    });
    // Genesis and the newest change places: all that is named is there.
    let (one, other) = (numbers[0], numbers[numbers.len() - 1]);
    let swap = |payload| {
        if payload == one {
            other
        } else if payload == other {
            one
        } else {
            payload
        }
    };
    tamper(&dir, |kind, body| if kind == Kind::Blocks { renumbered(&body, swap) } else { body });
    let refused = verify(&dir).unwrap_err();
    assert!(matches!(refused, FolderError::Misfit { what: TWO_CONTENTS, .. }), "{refused}");
}

#[test]
fn a_list_that_names_a_chunk_by_the_number_of_another_is_refused() {
    let (_folder, dir) = backed_up();
    tamper(&dir, |kind, body| match kind {
        Kind::List => {
            let mut part = ListPart::decode(&body).unwrap();
            let first = part.chunks[0].number;
            part.chunks.iter_mut().for_each(|chunk| chunk.number = first);
            part.encode()
        }
        _ => body,
    });
    let refused = verify(&dir).unwrap_err();
    assert!(matches!(refused, FolderError::Misfit { what: TWO_CONTENTS, .. }), "{refused}");
}
