#![allow(clippy::unwrap_used)]

//! Backups whose every checksum is right and that say what is not so, as only somebody makes them who means to.

use super::*;
use crate::{
    Config, InitOptions, StorageEngine,
    backup::{
        self, BackupOptions,
        manifest::{self, SnapshotManifest},
        segment::SegmentWriter,
    },
    record::Encoder,
    sqlite::{Access, Options, SqliteBackend},
};

/// A backup of contents of one chunk and of several.
fn backed_up() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (repository, dir) = (folder.path().join("repository"), folder.path().join("backup"));
    let config = Config { chunk_bytes: 4096, ..Config::default() };
    let (engine, _) = StorageEngine::init(&repository, &InitOptions::default(), config).unwrap();
    for seed in 0..8u32 {
        let content: Vec<u8> =
            (0..1_000 + seed * 4_000).map(|at| (at.wrapping_mul(2_654_435_761 + seed) >> 24) as u8).collect();
        engine.store(std::io::Cursor::new(content), None).unwrap();
    }
    let backend = SqliteBackend::open(&repository, Access::Read, &Options::default()).unwrap();
    backup::back_up(&backend, &dir, &BackupOptions::default(), &mut |_, _| {}).unwrap();
    (folder, dir)
}

/// Writes the only segment again with records that `change` makes of the old ones, and a snapshot that names it.
fn tamper(dir: &Path, mut change: impl FnMut(Kind, Vec<u8>) -> Vec<u8>) {
    let folder = Folder::open(dir).unwrap();
    let mut manifest: SnapshotManifest = folder.manifests().unwrap().remove(0);
    let path = folder.segment(1);
    let mut reader = SegmentReader::open(&path).unwrap();
    let (start, mut records) = (reader.start(), Vec::new());
    while let Some(record) = reader.next().unwrap() {
        records.push(record);
    }
    drop(reader);
    let mut writer = SegmentWriter::create(&path, start).unwrap();
    for (kind, body) in records {
        writer.record(kind, &change(kind, body)).unwrap();
    }
    (manifest.digest, manifest.bytes) = writer.finish().unwrap();
    manifest::write(&folder.snapshot(manifest.number), &mut manifest).unwrap();
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
