//! Putting, getting and restoring through the engine, over every backend.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::{
    Config, DagBlock, InitOptions, ParentSelectionStrategy, PutItem, StorageEngine,
    cid::DAG_CBOR,
    config::Overrides,
    engine::Access,
    get::GetError,
    listing::ListingError,
    metadata::Metadata,
    put::{PutEvent, PutSummary},
    restore::{RestoreError, RestoreOptions},
    walk::{Source, SourceError},
};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

/// Small chunks, so that a content of a few hundred KiB has many.
fn config() -> Config {
    Config { chunk_bytes: 4 << 10, ..Config::default() }
}

fn options() -> InitOptions {
    InitOptions { name: "test".into(), seed: Some(7), ..InitOptions::default() }
}

/// Runs a test over an engine in memory and one on disk.
fn on_every_backend(test: impl Fn(&StorageEngine)) {
    let (engine, _) = StorageEngine::in_memory(&options(), config()).unwrap();
    test(&engine);
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = StorageEngine::init(&folder.path().join("repo"), &options(), config()).unwrap();
    test(&engine);
}

fn noise(length: usize, key: &str) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(key.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

struct Put {
    items: Vec<PutItem>,
    failed: Vec<(PathBuf, SourceError)>,
    summary: PutSummary,
}

fn put(engine: &StorageEngine, paths: &[&Path]) -> Put {
    let (mut items, mut failed) = (Vec::new(), Vec::new());
    let sources = paths.iter().map(|path| Source::Path(path.to_path_buf())).collect();
    let summary = engine
        .put(sources, None, &mut |event| match event {
            PutEvent::Stored(item) => items.push(*item),
            PutEvent::Failed { path, error } => failed.push((path, error)),
            PutEvent::Progress { .. } => {}
        })
        .unwrap();
    Put { items, failed, summary }
}

/// What a restored folder must have in common with the one that was put.
fn describe(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut to_come = vec![folder.to_path_buf()];
    while let Some(path) = to_come.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_dir() {
            to_come.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            fs::read(&path).unwrap()
        };
        let name = path.strip_prefix(folder).unwrap().to_path_buf();
        if name != Path::new("") {
            found.insert(name, (metadata.mode(), metadata.mtime(), metadata.mtime_nsec(), content));
        }
    }
    found
}

fn make_folder(folder: &Path) {
    fs::create_dir_all(folder.join("deeds/1900")).unwrap();
    fs::create_dir(folder.join("empty folder")).unwrap();
    for (name, length) in [("empty", 0), ("one", 1), ("slice", 1024), ("more", 1025), ("chunks", 300_000)] {
        fs::write(folder.join("deeds").join(name), noise(length, name)).unwrap();
    }
    fs::write(folder.join("deeds/1900/script.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(folder.join("deeds/1900/script.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"not \xff UTF-8")), "bytes").unwrap();
    symlink("deeds/one", folder.join("link")).unwrap();
    symlink("/nowhere/at/all", folder.join("dangling")).unwrap();
    symlink("loop", folder.join("loop")).unwrap();
    symlink("../..", folder.join("deeds/up")).unwrap();
    fs::set_permissions(folder.join("deeds/1900"), fs::Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn a_folder_is_restored_to_the_byte_the_mode_the_nanosecond_and_the_link() {
    on_every_backend(|engine| {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        make_folder(&source);
        let stored = put(engine, &[&source]);
        assert!(stored.failed.is_empty(), "{:?}", stored.failed);
        let root = stored.items.last().unwrap();
        assert_eq!((root.path.as_path(), root.block.header().codec), (source.as_path(), DAG_CBOR));

        let target = folder.path().join("target");
        let restored = engine.restore(&root.block, &target, &RestoreOptions::default(), &mut |_| {}).unwrap();
        assert_eq!((restored.files, restored.folders, restored.symlinks), (7, 4, 4));
        assert_eq!(describe(&target), describe(&source));
    });
}

#[test]
fn putting_again_stores_nothing_and_names_the_same_blocks() {
    on_every_backend(|engine| {
        let folder = tempfile::tempdir().unwrap();
        make_folder(folder.path());
        let first = put(engine, &[folder.path()]);
        let head = engine.head().unwrap();
        let second = put(engine, &[folder.path()]);
        let blocks = |put: &Put| put.items.iter().map(|item| item.block.block_hash()).collect::<Vec<_>>();
        assert_eq!(blocks(&first), blocks(&second));
        assert_eq!((second.summary.new_bytes, second.summary.deduplicated), (0, second.summary.items));
        assert_eq!(engine.head().unwrap(), head);
    });
}

#[test]
fn contents_at_every_boundary_come_back_whole_and_in_ranges() {
    on_every_backend(|engine| {
        for length in [0usize, 1, 1023, 1024, 1025, 4095, 4096, 4097, 16_384, 16_385, 100_000] {
            let content = noise(length, "boundary");
            let stored = engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
            assert_eq!(stored.block.header().original_size, length as u64);
            let read = |range| {
                let mut bytes = Vec::new();
                engine.reader(&stored.block, range).unwrap().copy_to(&mut bytes).unwrap();
                bytes
            };
            assert_eq!(read(None), content, "{length} bytes");
            for start in [0, 1, length / 2, length.saturating_sub(1), length] {
                for end in [start, start + 1, length] {
                    if start <= end && end <= length {
                        assert_eq!(
                            read(Some(start as u64..end as u64)),
                            content[start..end],
                            "{start}..{end} of {length}"
                        );
                    }
                }
            }
            let beyond = engine.reader(&stored.block, Some(0..length as u64 + 1));
            assert!(matches!(beyond, Err(GetError::BadRange { .. })));
        }
    });
}

#[test]
fn a_small_change_in_a_large_content_stores_little() {
    on_every_backend(|engine| {
        let mut content = noise(1 << 20, "large");
        let first = engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
        content.insert(500_000, b'!');
        let second = engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
        assert!(second.new_bytes * 10 < first.new_bytes, "{} of {}", second.new_bytes, first.new_bytes);
        assert_eq!(*engine.retrieve(&second.block.block_hash()).unwrap(), content);
    });
}

#[test]
fn content_cut_otherwise_before_is_found_again_within_larger_content() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repo");
    let small = noise(20_000, "small");
    StorageEngine::init(&repository, &options(), config())
        .unwrap()
        .0
        .store(std::io::Cursor::new(small.clone()), None)
        .unwrap();
    // Under larger chunks, the small content is a chunk of its own; it is stored as several.
    let flags = Overrides { chunk_size: Some("1MiB".into()), ..Default::default() };
    let engine = StorageEngine::open(&repository, Access::Write, &flags).unwrap();
    let again = engine.store(std::io::Cursor::new(small.clone()), None).unwrap();
    assert!(again.is_deduplicated);
    assert_eq!(*engine.retrieve(&again.block.block_hash()).unwrap(), small);
}

#[test]
fn metadata_makes_another_block_of_the_same_content() {
    on_every_backend(|engine| {
        let metadata = Metadata::from_texts(&[("parcel".to_owned(), "12/7".to_owned())].into()).unwrap();
        let plain = engine.store(&b"deed"[..], None).unwrap();
        let described = engine.store(&b"deed"[..], Some(&metadata)).unwrap();
        assert_ne!(plain.block, described.block);
        assert_eq!((described.new_bytes, described.block.header().metadata_hash), (0, metadata.hash()));
        assert_eq!(engine.backend().metadata(&metadata.hash()).unwrap().unwrap(), metadata.as_bytes());
        assert!(engine.store(&b"deed"[..], Some(&metadata)).unwrap().is_deduplicated);
        // A CID names the block without metadata.
        assert_eq!(engine.resolve(&plain.block.cid().to_string()).unwrap(), plain.block);
    });
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_goes_on() {
    on_every_backend(|engine| {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("good"), "good").unwrap();
        fs::create_dir(path("within")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("within/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        fs::write(path("within/good"), "also good").unwrap();
        symlink("loop", path("loop")).unwrap();
        let stored =
            put(engine, &[&path("gone"), &path("loop"), Path::new("/dev/null"), &path("within"), &path("good")]);
        let failed: Vec<&Path> = stored.failed.iter().map(|(path, _)| path.as_path()).collect();
        assert_eq!(failed, [&path("gone"), &path("loop"), Path::new("/dev/null"), &path("within/pipe")]);
        assert!(matches!(stored.failed[2].1, SourceError::NotStorable));
        let paths: Vec<&Path> = stored.items.iter().map(|item| item.path.as_path()).collect();
        assert_eq!(paths, [&path("within/good"), &path("within"), &path("good")]);
        assert_eq!(stored.summary.failed, 4);
        // The listing holds what could be read.
        assert_eq!(engine.listing(&stored.items[1].block).unwrap().len(), 1);
    });
}

#[test]
fn a_stream_that_fails_midway_leaves_nothing_behind() {
    struct Failing(usize);
    impl std::io::Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("the disk fails"));
            }
            let length = buffer.len().min(self.0);
            buffer[..length].copy_from_slice(&noise(length, "failing"));
            self.0 -= length;
            Ok(length)
        }
    }
    on_every_backend(|engine| {
        let head = engine.head().unwrap();
        let error = engine.store(Failing(200_000), None).unwrap_err();
        assert!(error.to_string().contains("the disk fails"), "{error}");
        assert_eq!(engine.head().unwrap(), head);
        assert_eq!(engine.store(&b"works again"[..], None).unwrap().block.leaf_index(), head.size);
    });
}

#[test]
fn a_restore_never_touches_what_is_there() {
    let (engine, _) = StorageEngine::in_memory(&options(), config()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    make_folder(&source);
    let stored = put(&engine, &[&source]);
    let root = &stored.items.last().unwrap().block;

    let occupied = folder.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    fs::write(occupied.join("mine"), "mine").unwrap();
    for target in [&occupied, &occupied.join("mine")] {
        let refused = engine.restore(root, target, &RestoreOptions::default(), &mut |_| {});
        assert!(matches!(refused, Err(RestoreError::TargetNotEmpty(_))), "{refused:?}");
    }
    assert_eq!(fs::read(occupied.join("mine")).unwrap(), b"mine");
    let file = &stored.items[0].block;
    let refused = engine.restore(file, &folder.path().join("new"), &RestoreOptions::default(), &mut |_| {});
    assert!(matches!(refused, Err(RestoreError::Listing(ListingError::NotATree { .. }))), "{refused:?}");
    assert!(!folder.path().join("new").exists());
}

#[test]
fn many_threads_store_and_read_side_by_side() {
    on_every_backend(|engine| {
        std::thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || {
                    for number in 0..10 {
                        let content = noise(6_000 + number, &format!("{thread}/{number}"));
                        let stored = engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
                        assert_eq!(*engine.retrieve(&stored.block.block_hash()).unwrap(), content);
                    }
                });
            }
        });
        assert_eq!(engine.head().unwrap().size, 81);
        assert!(
            offchain_store::check::check(engine.backend().as_ref(), offchain_store::check::Depth::Full, &mut |_, _| {
                std::ops::ControlFlow::Continue(())
            })
            .unwrap()
            .is_sound()
        );
    });
}

#[test]
fn the_same_seed_and_contents_give_the_same_structure_in_every_backend() {
    let folder = tempfile::tempdir().unwrap();
    let shape = |engine: &StorageEngine| {
        for number in 0..300u32 {
            engine.store(std::io::Cursor::new(number.to_le_bytes()), None).unwrap();
        }
        (0..=300)
            .map(|leaf| {
                let block = engine.dag().at(leaf).unwrap();
                let parents: Vec<u64> = block.header().parents.iter().map(|parent| parent.leaf_index).collect();
                (parents, block.header().depth)
            })
            .collect::<Vec<_>>()
    };
    let (memory, _) = StorageEngine::in_memory(&options(), config()).unwrap();
    let (disk, _) = StorageEngine::init(&folder.path().join("repo"), &options(), config()).unwrap();
    assert_eq!(shape(&memory), shape(&disk));
}

#[test]
fn a_batch_made_while_another_is_committed_gets_the_parents_and_the_deduplication_it_would_get_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    for (strategy, blocks_max) in [
        (ParentSelectionStrategy::BalancedRandom, 1),
        (ParentSelectionStrategy::BalancedRandom, 7),
        (ParentSelectionStrategy::DepthBalanced, 16),
        (ParentSelectionStrategy::WeightedRandom, 50),
    ] {
        let options = InitOptions { strategy, ..options() };
        let config = Config { batch_blocks: blocks_max, ..config() };
        // Every third content is one of those just before it, in this batch or in the one that is on its way to the disk.
        let number_of = |place: u32| if place % 3 == 2 { place.saturating_sub(1 + place % 5) } else { place };
        let content = |place: u32| noise(40 + number_of(place) as usize % 7 * 2_000, &number_of(place).to_string());
        let shape = |engine: &StorageEngine, at_once: usize| {
            let mut leaves = Vec::new();
            for places in (0..600).collect::<Vec<u32>>().chunks(at_once) {
                let source = |place: &u32| Source::Bytes(place.to_string().into(), content(*place));
                let mut tell = |event| match event {
                    PutEvent::Stored(item) => leaves.push((item.block.leaf_index(), item.is_deduplicated)),
                    PutEvent::Failed { path, error } => panic!("{}: {error}", path.display()),
                    PutEvent::Progress { .. } => {}
                };
                engine.put(places.iter().map(source).collect(), None, &mut tell).unwrap();
            }
            let blocks = (0..engine.head().unwrap().size).map(|leaf| engine.dag().at(leaf).unwrap());
            let parents = |block: DagBlock| block.header().parents.iter().map(|parent| parent.leaf_index).collect();
            (leaves, blocks.map(parents).collect::<Vec<Vec<u64>>>())
        };
        let name = |at_once: usize| folder.path().join(format!("{strategy}-{blocks_max}-{at_once}"));
        // One by one, each is committed before the next is made.
        let (engine, _) = StorageEngine::init(&name(1), &options, config.clone()).unwrap();
        let one_by_one = shape(&engine, 1);
        let (engine, _) = StorageEngine::init(&name(600), &options, config.clone()).unwrap();
        assert_eq!(shape(&engine, 600), one_by_one, "{strategy}, batches of {blocks_max}");
        let (engine, _) = StorageEngine::in_memory(&options, config).unwrap();
        assert_eq!(shape(&engine, 250), one_by_one, "{strategy}, batches of {blocks_max}, in memory");
    }
}

/// Gives its bytes, and then fails.
struct Ending(std::io::Cursor<Vec<u8>>);

impl std::io::Read for Ending {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match std::io::Read::read(&mut self.0, into)? {
            0 => Err(std::io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_content_of_which_an_earlier_put_gave_up_a_part_is_stored_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repo");
    let (engine, _) = StorageEngine::init(&repository, &options(), config()).unwrap();
    // As one chunk, the largest that there is.
    let content = vec![0; 16 << 10];
    let failing = Source::Stream("failing".into(), Box::new(Ending(std::io::Cursor::new(vec![0; 40 << 10]))));
    let summary = engine.put(vec![failing], None, &mut |event| drop::<PutEvent>(event)).unwrap();
    assert_eq!((summary.items, summary.failed), (0, 1));
    assert_eq!(engine.backend().totals().unwrap().chunks, 2, "genesis, and what came before it failed");
    drop(engine);
    let engine = StorageEngine::open(&repository, Access::Write, &Overrides::default()).unwrap();
    let stored = engine.store(std::io::Cursor::new(content.clone()), None).unwrap();
    assert!(*engine.retrieve(&stored.block.block_hash()).unwrap() == *content);
}
