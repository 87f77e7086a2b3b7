//! Figures of the engine at a million blocks, one JSON object a line. `cargo xtask bench` runs this and writes the report.
//!
//! Not criterion: most of it is one long run whose state, a repository of a million blocks, is what is measured.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{beside_outputs, content, filled, number_argument, percentiles, report, summary};
use offchain_store::{
    Config, DagBlock, InitOptions, StorageEngine, config::Overrides, engine::Access, index::Query, put::PutEvent,
    walk::Source,
};
use pakit_primitives::{
    BlockHash, SoftwareHasher, log::verify_multiproof, verify_inclusion, verify_lineage_to_genesis,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use std::{collections::BTreeSet, hint::black_box, path::Path, time::Instant};

/// Measurements of each small operation.
const SAMPLES: usize = 20_000;

fn main() {
    let blocks = number_argument(1_000_000);
    let folder = tempfile::Builder::new().prefix("pakit-bench").tempdir_in(beside_outputs()).unwrap();
    let repository = folder.path().join("repo");
    let engine = filled(&repository, blocks);
    // Not before: the rows that it holds in memory would count as the store's.
    bare_sqlite(&folder.path().join("bare.db"), blocks);
    open_after_crash(&engine, &repository, &folder.path().join("crashed"));
    drop(engine);
    let uncached = Overrides { cache: Some("0".into()), ..Overrides::default() };
    let engine = StorageEngine::open(&repository, Access::Read, &uncached).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let sample: Vec<DagBlock> = (0..SAMPLES).map(|_| engine.dag().at(rng.random_range(0..blocks)).unwrap()).collect();
    lookups(&repository, &engine, &sample, &mut rng);
    two_readers(&engine, &sample);
    depth_range(&engine, &sample);
    proofs(&engine, &sample, blocks);
    multiproofs(&engine, blocks, &mut rng);
    dictionary(blocks);
    bytes_on_disk(&repository, &engine);
    drop(engine);
    open_again(&repository);
    absent_to_the_writer(&repository, &uncached, &mut rng);
}

/// The same stored bytes as one (id, hash, payload) row each, in transactions of as many rows: what SQLite itself can do.
fn bare_sqlite(path: &Path, blocks: u64) {
    // A tenth is enough for a rate: without an index, the table does not slow down as it grows.
    let rows = (blocks / 10).max(1);
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    let mut row = |number| {
        let content = content(number);
        (compressor.compress(&content).unwrap(), *blake3::hash(&content).as_bytes())
    };
    let payloads: Vec<(Vec<u8>, [u8; 32])> = (0..rows).map(&mut row).collect();
    let mut connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute_batch("CREATE TABLE rows (id INTEGER PRIMARY KEY, hash BLOB, payload BLOB)").unwrap();
    let began = Instant::now();
    for batch in payloads.chunks(Config::default().batch_blocks) {
        let txn = connection.transaction().unwrap();
        {
            let mut insert = txn.prepare_cached("INSERT INTO rows (hash, payload) VALUES (?1, ?2)").unwrap();
            batch.iter().for_each(|(payload, hash)| assert_eq!(insert.execute((hash, payload)).unwrap(), 1));
        }
        txn.commit().unwrap();
    }
    let rate = rows as f64 / began.elapsed().as_secs_f64();
    report(
        "bare SQLite, rows of the same bytes, durable in batches",
        json!({ "rows": rows, "rows_per_s": rate.round() }),
    );
}

fn lookups(repository: &Path, uncached: &StorageEngine, sample: &[DagBlock], rng: &mut StdRng) {
    let hashes: Vec<BlockHash> = sample.iter().map(DagBlock::block_hash).collect();
    let find = |engine: &StorageEngine, hash: &BlockHash| black_box(engine.block(hash)).unwrap().is_some();
    let from_page_cache = percentiles(&hashes, |hash| assert!(find(uncached, hash)));
    report("header by block hash, from the page cache", from_page_cache);
    let cached = StorageEngine::open(repository, Access::Read, &Overrides::default()).unwrap();
    let hot = &hashes[..SAMPLES / 10];
    hot.iter().for_each(|hash| assert!(find(&cached, hash)));
    let from_cache = percentiles(hot.iter().cycle().take(SAMPLES), |hash| assert!(find(&cached, hash)));
    report("header by block hash, cached", from_cache);
    let absent: Vec<BlockHash> = (0..SAMPLES).map(|_| BlockHash::new(rng.random())).collect();
    report("absent block hash, beside a writer's files", percentiles(&absent, |hash| assert!(!find(uncached, hash))));
    let get = percentiles(&hashes, |hash| assert!(!black_box(uncached.retrieve(hash)).unwrap().is_empty()));
    report("verified get of 2 KiB, from the page cache", get);
}

/// How much faster two threads look headers up than one.
fn two_readers(engine: &StorageEngine, sample: &[DagBlock]) {
    let look_up = |sample: &[DagBlock]| {
        sample.iter().for_each(|block| assert!(engine.block(&block.block_hash()).unwrap().is_some()));
    };
    let rate = |readers: usize| {
        let began = Instant::now();
        std::thread::scope(|scope| {
            sample.chunks(sample.len() / readers).for_each(|share| drop(scope.spawn(|| look_up(share))));
        });
        sample.len() as f64 / began.elapsed().as_secs_f64()
    };
    // One unmeasured round, then alternating.
    rate(2);
    let mut ratios: Vec<f64> = (0..11).map(|_| rate(2) / rate(1)).collect();
    ratios.sort_by(f64::total_cmp);
    report("two readers to one, headers from the page cache", json!({ "ratio": ratios[ratios.len() / 2] }));
}

/// The headers of a thousand blocks by depth.
fn depth_range(engine: &StorageEngine, sample: &[DagBlock]) {
    let index = engine.index();
    let call = |block: &DagBlock| {
        let depths = Some(block.header().depth..=u32::MAX);
        let query = Query { depths, limit: 1_000, ..Query::default() };
        black_box(index.query(&query).unwrap().blocks.len());
    };
    report("depth range of 1,000 blocks", percentiles(&sample[..200], |block| call(block)));
}

/// A thousand leaves as one proof, beside as many single ones.
fn multiproofs(engine: &StorageEngine, blocks: u64, rng: &mut StdRng) {
    const LEAVES: u64 = 1_000;
    let (log, head) = (engine.log(), engine.head().unwrap());
    let mut random = BTreeSet::new();
    while (random.len() as u64) < LEAVES {
        random.insert(rng.random_range(0..blocks));
    }
    let start = rng.random_range(0..blocks - LEAVES);
    let consecutive: Vec<u64> = (start..start + LEAVES).collect();
    for (name, leaves) in [("random", random.into_iter().collect()), ("consecutive", consecutive)] {
        let proof = log.multiproof(&leaves, blocks).unwrap();
        let single: usize = leaves.iter().map(|leaf| log.inclusion(*leaf, blocks).unwrap().len()).sum();
        let build = percentiles(0..21, |_| drop(black_box(log.multiproof(&leaves, blocks)).unwrap()));
        let named: Vec<_> = leaves.iter().map(|leaf| (*leaf, engine.dag().at(*leaf).unwrap().block_hash())).collect();
        let verify = percentiles(0..21, |_| {
            verify_multiproof::<SoftwareHasher>(&head, &named, black_box(&proof)).unwrap();
        });
        let share = proof.len() as f64 / single as f64 * 100.0;
        let figures = json!({
            "percent_of_single_proofs": share, "build_us": build["p50_us"], "verify_us": verify["p50_us"],
        });
        report(&format!("multiproof of 1,000 {name} leaves"), figures);
    }
}

/// Records of one kind, with a dictionary trained by the store on the first of them and without one.
fn dictionary(blocks: u64) {
    let count = (blocks / 10).max(20_000);
    let (engine, _) = StorageEngine::in_memory(&InitOptions::default(), Config::default()).unwrap();
    let put = |range: std::ops::Range<u64>| {
        let sources = range.map(|number| Source::Bytes(number.to_string().into(), content(number))).collect();
        engine.put(sources, None, &mut |event| drop::<PutEvent>(event)).unwrap()
    };
    put(0..count / 2);
    let after = put(count / 2..count);
    let mut plain = zstd::bulk::Compressor::new(Config::default().compression_level).unwrap();
    let without: usize = (count / 2..count).map(|number| plain.compress(&content(number)).unwrap().len()).sum();
    let original = after.original_bytes as f64;
    let (with, without) = (original / after.new_bytes as f64, original / without as f64);
    let figures = json!({ "ratio": with, "ratio_without": without, "gain": with / without });
    report("compression of 2 KiB records with a trained dictionary", figures);
}

fn proofs(engine: &StorageEngine, sample: &[DagBlock], blocks: u64) {
    let log = engine.log();
    let head = engine.head().unwrap();
    let build = |block: &DagBlock| black_box(log.inclusion(block.leaf_index(), blocks)).unwrap();
    report("inclusion proof, build", percentiles(sample, |block| drop(build(block))));
    let paths: Vec<_> = sample.iter().map(|block| (block, build(block))).collect();
    let verify = percentiles(&paths, |(block, path)| {
        verify_inclusion::<SoftwareHasher>(&head, block.leaf_index(), &block.block_hash(), black_box(path)).unwrap();
    });
    report("inclusion proof, verify", verify);
    let hashes: usize = paths.iter().map(|(_, path)| path.len()).sum();
    report("inclusion proof, size", json!({ "mean_bytes": hashes as f64 * 32.0 / paths.len() as f64 }));
    let consistency =
        percentiles(sample, |block| drop(black_box(log.consistency(block.leaf_index() + 1, blocks)).unwrap()));
    report("consistency proof, build", consistency);
    lineages(engine, &sample[..SAMPLES / 10]);
}

fn lineages(engine: &StorageEngine, sample: &[DagBlock]) {
    let dag = engine.dag();
    let genesis = dag.at(0).unwrap().block_hash();
    let build = |block: &DagBlock| black_box(dag.lineage_to_genesis(&block.block_hash())).unwrap();
    report("lineage to genesis, build", percentiles(sample, |block| drop(build(block))));
    let lineage =
        |block| -> Vec<Vec<u8>> { build(block).iter().map(|ancestor| ancestor.header().to_bytes()).collect() };
    let lineages: Vec<(&DagBlock, Vec<Vec<u8>>)> = sample.iter().map(|block| (block, lineage(block))).collect();
    let verify = percentiles(&lineages, |(block, lineage)| {
        verify_lineage_to_genesis::<SoftwareHasher>(block.header(), black_box(lineage), &genesis).unwrap();
    });
    report("lineage to genesis, verify", verify);
    let bytes: usize = lineages.iter().flat_map(|(_, lineage)| lineage.iter().map(Vec::len)).sum();
    let headers: usize = lineages.iter().map(|(_, lineage)| lineage.len()).sum();
    let mean = |sum: usize| sum as f64 / lineages.len() as f64;
    report("lineage to genesis, size", json!({ "mean_bytes": mean(bytes), "mean_headers": mean(headers) }));
}

fn bytes_on_disk(repository: &Path, engine: &StorageEngine) {
    let files: u64 = std::fs::read_dir(repository).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let totals = engine.backend().totals().unwrap();
    let beyond = files.saturating_sub(totals.stored_bytes);
    report(
        "bytes on disk",
        json!({
            "total_mb": files as f64 / 1e6,
            "payload_mb": totals.stored_bytes as f64 / 1e6,
            "beyond_payload_per_block": beyond as f64 / totals.blocks as f64,
        }),
    );
}

/// The files as a killed writer leaves them, copied while a writer has them open, and opened for writing.
fn open_after_crash(writer: &StorageEngine, repository: &Path, copy: &Path) {
    let crash_and_open = |_: usize| {
        std::fs::create_dir(copy).unwrap();
        for file in std::fs::read_dir(repository).unwrap().map(Result::unwrap) {
            let name = file.file_name();
            // A killed writer's lock is gone with it, and so is what its readers shared.
            if file.file_type().unwrap().is_file() && !name.to_string_lossy().ends_with("-shm") {
                std::fs::copy(file.path(), copy.join(name)).unwrap();
            }
        }
        let began = Instant::now();
        let engine = StorageEngine::open(copy, Access::Write, &Overrides::default()).unwrap();
        let spent = began.elapsed();
        assert_eq!(engine.head().unwrap(), writer.head().unwrap());
        drop(engine);
        std::fs::remove_dir_all(copy).unwrap();
        spent
    };
    report("open for writing after a crash", summary((0..5).map(crash_and_open).collect()));
}

fn open_again(repository: &Path) {
    let open =
        |_: &usize| drop(black_box(StorageEngine::open(repository, Access::Write, &Overrides::default())).unwrap());
    report("open for writing", percentiles(0..11usize, open));
}

/// The process that writes knows of every commit, and need not ask the files whether there was one.
fn absent_to_the_writer(repository: &Path, uncached: &Overrides, rng: &mut StdRng) {
    let engine = StorageEngine::open(repository, Access::Write, uncached).unwrap();
    let absent: Vec<BlockHash> = (0..SAMPLES).map(|_| BlockHash::new(rng.random())).collect();
    let not_found = percentiles(&absent, |hash| assert!(black_box(engine.block(hash)).unwrap().is_none()));
    report("absent block hash, in the writer's process", not_found);
}
