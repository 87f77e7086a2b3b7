//! One suite for every implementation of [`DagStore`].

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::{
    Batch, Config, DagStore, InitOptions, ProofOptions, StorageEngine, Store,
    metadata::Metadata,
    store::{BATCH_CONTENTS_MAX, INSERT_BYTES_MAX, StoreError},
    verify::{Expected, TrustedHead},
};
use pakit_primitives::BlockHash;
use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    sync::Arc,
};

/// Sizes at which something changes.
const BOUNDARY_SIZES: [(usize, &str); 10] = [
    (0, "empty"),
    (1, "one byte"),
    (1023, "a slice less one byte"),
    (1024, "a slice"),
    (1025, "a slice and a byte"),
    (32 << 10, "the greatest chunk that a dictionary is for"),
    ((32 << 10) + 1, "one byte more"),
    ((64 << 10) - 1, "the average chunk less a byte"),
    (64 << 10, "the average chunk, still whole"),
    (700_001, "many chunks"),
];

/// An implementation, and the engine below it.
struct Subject {
    store: Arc<dyn DagStore>,
    engine: Arc<StorageEngine>,
}

fn options() -> InitOptions {
    InitOptions { name: "suite".into(), seed: Some(7), ..InitOptions::default() }
}

fn config() -> Config {
    Config { chunk_bytes: 64 << 10, ..Config::default() }
}

fn subject(engine: StorageEngine) -> Subject {
    let engine = Arc::new(engine);
    Subject { store: Arc::new(Store::new(engine.clone()).unwrap()), engine }
}

fn in_memory() -> Subject {
    subject(StorageEngine::in_memory(&options(), config()).unwrap().0)
}

fn run<F: Future<Output = ()>>(test: impl Fn(Subject) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let in_sqlite = subject(StorageEngine::init(&folder.path().join("repository"), &options(), config()).unwrap().0);
    for (name, subject) in [("memory", in_memory()), ("sqlite", in_sqlite)] {
        println!("{name}");
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap().block_on(test(subject));
    }
}

fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    // Half of it compresses.
    let half = size / 2;
    bytes[..half].fill(b'a');
    bytes
}

#[test]
fn contents_of_every_boundary_size_come_back_with_a_proof_that_verifies() {
    run(|Subject { store, .. }| async move {
        let mut inserted = Vec::new();
        for (size, caption) in BOUNDARY_SIZES {
            let one = store.insert(content(size, 1), None).await.unwrap();
            assert!(!one.is_deduplicated, "{caption}");
            inserted.push((one.block, size));
        }
        let head = store.head().await.unwrap();
        assert_eq!(head.size, BOUNDARY_SIZES.len() as u64 + 1);
        for (block, size) in inserted {
            let got = store.get(block.block_hash()).await.unwrap();
            assert!(*got == *content(size, 1), "{size}");
            let proof = store.prove(block.block_hash(), ProofOptions { lineage: true, ..Default::default() }).await;
            let expected = Expected::of_head(TrustedHead::Given(head));
            let verified = StorageEngine::verify(&proof.unwrap(), Some(&mut &*got), &expected).unwrap();
            assert!(verified.valid, "{size}");
        }
    });
}

#[test]
fn an_equal_content_gives_the_block_that_it_has_unless_its_metadata_differs() {
    run(|Subject { store, .. }| async move {
        let first = store.insert(b"deed".to_vec(), None).await.unwrap();
        let again = store.insert(b"deed".to_vec(), None).await.unwrap();
        assert!(again.is_deduplicated);
        assert_eq!((first.block.block_hash(), again.new_bytes), (again.block.block_hash(), 0));
        let metadata = Metadata::from_texts(&BTreeMap::from([("kind".into(), "copy".into())])).unwrap();
        let other = store.insert(b"deed".to_vec(), Some(metadata)).await.unwrap();
        assert!(!other.is_deduplicated);
        assert_ne!(other.block.block_hash(), first.block.block_hash());
        assert_eq!(store.head().await.unwrap().size, 3);
    });
}

#[test]
fn what_is_not_there_is_said_by_name() {
    run(|Subject { store, .. }| async move {
        let absent = BlockHash::new([7; 32]);
        assert!(!store.has(absent).await.unwrap());
        assert!(matches!(store.get(absent).await, Err(StoreError::UnknownBlock(hash)) if hash == absent));
        let proof = store.prove(absent, ProofOptions::default()).await;
        assert!(matches!(proof, Err(StoreError::UnknownBlock(hash)) if hash == absent));
        let too_large = store.insert(vec![0; INSERT_BYTES_MAX + 1], None).await;
        assert!(matches!(too_large, Err(StoreError::ContentTooLarge(_))));
        assert_eq!(store.head().await.unwrap().size, 1);
    });
}

#[test]
fn many_callers_at_once_each_get_a_block_of_their_own_that_is_there_when_they_are_told() {
    run(|Subject { store, .. }| async move {
        let callers = (0..32u64).map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut hashes = Vec::new();
                for number in 0..20u64 {
                    // Every fifth content is the same for all.
                    let seed = if number % 5 == 0 { number } else { caller * 1_000 + number + 1_000 };
                    let inserted = store.insert(content(2_000, seed), None).await.unwrap();
                    let hash = inserted.block.block_hash();
                    assert!(store.has(hash).await.unwrap());
                    assert!(*store.get(hash).await.unwrap() == *content(2_000, seed));
                    hashes.push(hash);
                }
                hashes
            })
        });
        let mut distinct = HashSet::new();
        for caller in callers.collect::<Vec<_>>() {
            distinct.extend(caller.await.unwrap());
        }
        assert_eq!(distinct.len(), 32 * 16 + 4);
        assert_eq!(store.head().await.unwrap().size, distinct.len() as u64 + 1);
    });
}

#[test]
fn a_batch_is_seen_by_nobody_until_it_is_committed_and_then_at_once() {
    run(|Subject { store, engine, .. }| async move {
        let mut batch = store.begin_batch().await.unwrap();
        let mut dropped = store.begin_batch().await.unwrap();
        for number in 0..100 {
            batch.insert(content(500, number), None).await.unwrap();
            dropped.insert(content(500, number + 1_000), None).await.unwrap();
        }
        // Equal to one of the batch's, and committed before it.
        let alone = store.insert(content(500, 50), None).await.unwrap();
        assert_eq!(store.head().await.unwrap().size, 2);
        drop(dropped);
        let inserted = batch.commit().await.unwrap();
        assert_eq!(inserted.len(), 100);
        assert!(inserted[50].is_deduplicated && inserted[50].block == alone.block);
        assert_eq!(store.head().await.unwrap().size, 101);
        assert_eq!(engine.backend().totals().unwrap().chunks, 101, "nothing of the dropped batch is kept");
        let indices: Vec<u64> = inserted.iter().map(|one| one.block.leaf_index()).filter(|leaf| *leaf > 1).collect();
        assert!(indices.is_sorted(), "in the order in which they were inserted");
    });
}

#[test]
fn an_empty_batch_commits_nothing() {
    run(|Subject { store, .. }| async move {
        assert_eq!(store.begin_batch().await.unwrap().commit().await.unwrap(), []);
        assert_eq!(store.head().await.unwrap().size, 1);
    });
}

#[test]
fn a_batch_that_is_full_says_so_and_can_be_committed() {
    let Subject { store, .. } = in_memory();
    tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
        let mut batch: Box<dyn Batch> = store.begin_batch().await.unwrap();
        for _ in 0..BATCH_CONTENTS_MAX {
            batch.insert(b"the same".to_vec(), None).await.unwrap();
        }
        assert!(matches!(batch.insert(b"one more".to_vec(), None).await, Err(StoreError::BatchFull)));
        assert_eq!(batch.commit().await.unwrap().len(), BATCH_CONTENTS_MAX);
        assert_eq!(store.head().await.unwrap().size, 2);
    });
}

#[test]
fn the_list_follows_the_log_page_by_page() {
    run(|Subject { store, .. }| async move {
        for number in 0..10 {
            store.insert(content(10, number), None).await.unwrap();
        }
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let page = store.list(after, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.leaf_index());
            listed.extend(page.iter().map(offchain_store::DagBlock::leaf_index));
        }
        assert_eq!(listed, (0..11).collect::<Vec<_>>());
        assert!(store.list(Some(u64::MAX), 3).await.unwrap().is_empty());
        assert!(store.list(None, 0).await.unwrap().is_empty());
    });
}

#[test]
fn a_stream_put_beside_the_store_and_inserts_share_one_log() {
    run(|Subject { store, engine, .. }| async move {
        store.insert(b"first".to_vec(), None).await.unwrap();
        let beside = engine.clone();
        let streamed = tokio::task::spawn_blocking(move || beside.store(&b"second"[..], None).unwrap()).await.unwrap();
        let third = store.insert(b"third".to_vec(), None).await.unwrap();
        assert_eq!((streamed.block.leaf_index(), third.block.leaf_index()), (2, 3));
        assert!(store.has(streamed.block.block_hash()).await.unwrap());
    });
}

#[test]
fn what_was_acknowledged_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repository");
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let engine = Arc::new(StorageEngine::init(&path, &options(), config()).unwrap().0);
    let store = Store::new(engine.clone()).unwrap();
    let head = runtime.block_on(async {
        for number in 0..50 {
            store.insert(content(3_000, number), None).await.unwrap();
        }
        store.head().await.unwrap()
    });
    drop((store, engine));
    let flags = offchain_store::config::Overrides::default();
    let engine = StorageEngine::open(&path, offchain_store::engine::Access::Write, &flags).unwrap();
    assert_eq!(engine.head().unwrap(), head);
}
