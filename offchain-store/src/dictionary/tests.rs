#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    Config, InitOptions, StorageEngine, config::Overrides, engine::Access, get::GetError, memory::MemoryBackend,
    put::PutEvent, walk::Source,
};
use pakit_primitives::BlockHash;

/// Records of one kind: the same fields, other values.
fn record(number: u64) -> Vec<u8> {
    let noise = blake3::hash(&number.to_le_bytes()).to_hex();
    format!(
        "{{\"register\":\"land titles\",\"folio\":{number},\"grantor\":\"{}\",\"grantee\":\"{}\",\"encumbrances\":[],\
         \"description\":\"all that parcel of land situate in the county, bounded as follows\",\"signature\":\"{}\"}}",
        &noise[..8],
        &noise[8..16],
        &noise[16..48],
    )
    .into_bytes()
}

fn noise(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 500];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn put(engine: &StorageEngine, contents: impl Iterator<Item = Vec<u8>>) -> Vec<(BlockHash, u64)> {
    let sources = contents.map(|content| Source::Bytes("record".into(), content)).collect();
    let mut stored = Vec::new();
    let summary = engine.put(sources, None, &mut |event| {
        if let PutEvent::Stored(item) = event {
            stored.push((item.block.block_hash(), item.new_bytes));
        }
    });
    assert_eq!(summary.unwrap().failed, 0);
    stored
}

fn small_batches() -> Config {
    Config { batch_blocks: 256, ..Config::default() }
}

fn stored_bytes(stored: &[(BlockHash, u64)]) -> u64 {
    stored.iter().map(|(_, bytes)| bytes).sum()
}

#[test]
fn records_of_a_kind_are_stored_in_less_once_the_store_has_a_dictionary() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repository");
    let (engine, _) = StorageEngine::init(&path, &InitOptions::default(), small_batches()).unwrap();
    let first = put(&engine, (0..TRAINING_CHUNKS_FIRST + 100).map(record));
    assert_eq!(newest(engine.backend().as_ref()).unwrap(), 1);
    let second = put(&engine, (10_000..11_000).map(record));
    let means = [&first[..900], &second].map(|stored| stored_bytes(stored) as f64 / stored.len() as f64);
    assert!(means[0] > means[1] * 1.5, "{means:?}");
    drop(engine);

    let engine = StorageEngine::open(&path, Access::Read, &Overrides::default()).unwrap();
    for (number, (block, _)) in (0..).zip(&first).chain((10_000..).zip(&second)) {
        assert_eq!(&*engine.retrieve(block).unwrap(), record(number));
    }
    let chunk = engine.backend().chunk(&ContentHash::new(*blake3::hash(&record(10_500)).as_bytes())).unwrap().unwrap();
    assert_eq!(Dictionary::of_frame(&chunk.bytes), Some(1));
}

#[test]
fn a_dictionary_that_gains_nothing_is_not_kept_and_not_tried_again_at_once() {
    let (engine, _) = StorageEngine::in_memory(&InitOptions::default(), small_batches()).unwrap();
    put(&engine, (0..TRAINING_CHUNKS_FIRST + 100).map(noise));
    let backend = engine.backend().as_ref();
    assert_eq!(newest(backend).unwrap(), 0);
    let chunks = backend.totals().unwrap().chunks;
    assert!(!is_training_due(backend, chunks).unwrap());
    assert!(is_training_due(backend, TRAINING_GROWTH * chunks).unwrap());
}

#[test]
fn a_later_dictionary_leaves_the_chunks_of_earlier_ones_readable() {
    let (engine, _) = StorageEngine::in_memory(&InitOptions::default(), small_batches()).unwrap();
    let of_one_kind =
        |number: u64| [b"a quite different kind of record: ".repeat(3), noise(number)[..40].to_vec()].concat();
    let first = put(&engine, (0..2_000).map(record));
    // Rare enough in the first training's samples, frequent in those of the second.
    let second = put(&engine, (0..20_000).map(of_one_kind));
    let third = put(&engine, (20_000..20_100).map(of_one_kind));
    let newest = newest(engine.backend().as_ref()).unwrap();
    assert_eq!(newest, 2);
    assert!(stored_bytes(&third) / 100 < stored_bytes(&second[..100]) / 100);
    for (number, (block, _)) in (0..).zip(&first) {
        assert_eq!(&*engine.retrieve(block).unwrap(), record(number));
    }
    for (number, (block, _)) in (0..).zip(&second).chain((20_000..).zip(&third)).step_by(7) {
        assert_eq!(&*engine.retrieve(block).unwrap(), of_one_kind(number));
    }
}

fn with_dictionary() -> (tempfile::TempDir, std::path::PathBuf, BlockHash) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repository");
    let (engine, _) = StorageEngine::init(&path, &InitOptions::default(), small_batches()).unwrap();
    put(&engine, (0..TRAINING_CHUNKS_FIRST + 100).map(record));
    let stored = put(&engine, [record(77_777)].into_iter());
    (folder, path, stored[0].0)
}

fn damage(path: &std::path::Path, keys: &[&str]) {
    let engine = StorageEngine::open(path, Access::Write, &Overrides::default()).unwrap();
    for key in keys {
        let mut stored = engine.backend().setting(key).unwrap().unwrap();
        let last = stored.len() - 1;
        stored[last] ^= 1;
        engine.backend().set_setting(key, &stored).unwrap();
    }
}

fn problems(path: &std::path::Path) -> Vec<String> {
    let engine = StorageEngine::open(path, Access::Read, &Overrides::default()).unwrap();
    let depth = crate::check::Depth::Full;
    let report = crate::check::check(engine.backend().as_ref(), depth, &mut |_, _| std::ops::ControlFlow::Continue(()));
    report.unwrap().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_damaged_copy_of_a_dictionary_is_told_and_repaired_from_the_other() {
    for key in ["dictionary/1", "dictionary/1/copy"] {
        let (_folder, path, block) = with_dictionary();
        damage(&path, &[key]);
        let engine = StorageEngine::open(&path, Access::Read, &Overrides::default()).unwrap();
        assert_eq!(&*engine.retrieve(&block).unwrap(), record(77_777));
        drop(engine);
        assert_eq!(problems(&path), ["a copy of dictionary 1 is damaged; `pakit repair` restores it"]);
        let repaired =
            crate::sqlite::repair::repair(&path, &Config::default().database_options(), &mut |_, _| {}).unwrap();
        assert!(repaired.is_whole() && repaired.dictionaries_restored == 1, "{repaired:?}");
        assert!(problems(&path).is_empty());
    }
}

#[test]
fn without_its_dictionary_a_chunk_is_an_error_that_names_it() {
    let (_folder, path, block) = with_dictionary();
    damage(&path, &["dictionary/1", "dictionary/1/copy"]);
    let engine = StorageEngine::open(&path, Access::Read, &Overrides::default()).unwrap();
    let error = engine.retrieve(&block).unwrap_err();
    assert!(matches!(error, GetError::UnreadableChunk { source: CompressError::Dictionary(_), .. }), "{error}");
    assert!(error.to_string().contains("both copies of dictionary 1"), "{error}");
    drop(engine);
    assert!(problems(&path).iter().any(|problem| problem.contains("so is the other one")));
}

#[test]
fn a_frame_that_names_a_dictionary_that_never_was_is_refused_by_number() {
    let trained = Dictionary::train(7, &(0..1_000).map(record).collect::<Vec<_>>()).unwrap();
    let mut compressor = Compressor::new(Compression::Zstd, 3).unwrap();
    compressor.set_dictionary(Some(&trained)).unwrap();
    let plain = record(123);
    let (compression, bytes) = compressor.compress(&plain).unwrap();
    assert_eq!(Dictionary::of_frame(&bytes), Some(7));
    let empty = MemoryBackend::new();
    let refused = decompress(compression, &bytes, plain.len() as u32, |number| empty.dictionary(number));
    assert!(matches!(refused, Err(CompressError::NoDictionary(7))));
    let found = decompress(compression, &bytes, plain.len() as u32, |_| Ok(Some(Arc::new(trained))));
    assert_eq!(found.unwrap(), plain);
}

#[test]
fn stored_dictionaries_are_only_read_as_they_were_written() {
    let trained = Dictionary::train(1, &(0..1_000).map(record).collect::<Vec<_>>()).unwrap();
    let stored = trained.encode();
    assert_eq!(Dictionary::decode(1, &stored).unwrap().bytes(), trained.bytes());
    assert!(Dictionary::decode(2, &stored).is_none(), "it carries its number");
    for at in [0, 31, 32, 40, stored.len() - 1] {
        let mut damaged = stored.clone();
        damaged[at] ^= 4;
        assert!(Dictionary::decode(1, &damaged).is_none());
    }
    for length in [0, 31, 32, 33, stored.len() - 1] {
        assert!(Dictionary::decode(1, &stored[..length]).is_none());
    }
}
