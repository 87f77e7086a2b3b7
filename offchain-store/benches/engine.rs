//! Figures of the engine at a million blocks, one JSON object a line. `cargo xtask bench` runs this and writes the report.
//!
//! Not criterion: most of it is one long run whose state, a repository of a million blocks, is what is measured.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::{
    Config, DagBlock, InitOptions, StorageEngine, config::Overrides, engine::Access, put::PutEvent, walk::Source,
};
use pakit_primitives::{BlockHash, SoftwareHasher, verify_inclusion, verify_lineage_to_genesis};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Bytes of each content.
const CONTENT_BYTES: usize = 2048;
/// Contents per call of put; within, commits happen in batches of the configured size.
const PUT_CONTENTS: u64 = 16_384;
/// Measurements of each small operation.
const SAMPLES: usize = 20_000;

fn main() {
    // `cargo bench` passes --bench; the number of blocks may stand beside it.
    let blocks = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::Builder::new().prefix("pakit-bench").tempdir_in(beside_outputs()).unwrap();
    let repository = folder.path().join("repo");
    bare_sqlite(&folder.path().join("bare.db"), blocks);
    fill(&repository, blocks);
    let uncached = Overrides { cache: Some("0".into()), ..Overrides::default() };
    let engine = StorageEngine::open(&repository, Access::Read, &uncached).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let sample: Vec<DagBlock> = (0..SAMPLES).map(|_| engine.dag().at(rng.random_range(0..blocks)).unwrap()).collect();
    lookups(&repository, &engine, &sample, &mut rng);
    proofs(&engine, &sample, blocks);
    bytes_on_disk(&repository, &engine);
    drop(engine);
    open_again(&repository);
}

/// A disk, where a temporary folder may be a tmpfs.
fn beside_outputs() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

fn report(name: &str, figures: Value) {
    println!("{}", json!({ "name": name, "figures": figures }));
}

/// Records of one kind, as a land register has them: the same fields, other values. zstd shrinks one to about a third.
fn content(number: u64) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "parcel",
        "easement",
        "north",
        "boundary",
        "deed",
        "recorded",
        "county",
        "survey",
        "grantor",
        "grantee",
        "heirs",
        "assigns",
        "metes",
        "bounds",
        "section",
        "township",
        "range",
        "meridian",
        "conveyed",
        "thence",
        "degrees",
        "chains",
        "consideration",
        "whereas",
    ];
    let mut rng = StdRng::seed_from_u64(number);
    let owner = rng.random::<u128>();
    let mut text = format!("{{\"register\":\"land\",\"folio\":{number},\"owner\":\"{owner:032x}\",\"text\":\"");
    while text.len() < CONTENT_BYTES {
        text.push_str(WORDS.choose(&mut rng).unwrap());
        text.push(' ');
        if rng.random_ratio(1, 6) {
            text.push_str(&rng.random_range(0..100_000u32).to_string());
            text.push(' ');
        }
    }
    text.truncate(CONTENT_BYTES);
    text.into_bytes()
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

fn fill(repository: &Path, blocks: u64) {
    let options = InitOptions { name: "bench".into(), seed: Some(1), ..InitOptions::default() };
    let (engine, _) = StorageEngine::init(repository, &options, Config::default()).unwrap();
    let (mut stored_bytes, mut number, mut spent) = (0, 1, Duration::ZERO);
    while number < blocks {
        let end = (number + PUT_CONTENTS).min(blocks);
        // Made beforehand, so that making them is not measured.
        let sources = (number..end).map(|number| Source::Bytes(number.to_string().into(), content(number))).collect();
        let began = Instant::now();
        let summary = engine.put(sources, None, &mut |event| drop::<PutEvent>(event)).unwrap();
        spent += began.elapsed();
        assert_eq!(summary.failed, 0);
        stored_bytes += summary.new_bytes;
        number = end;
    }
    let original = ((blocks - 1) * CONTENT_BYTES as u64) as f64;
    report(
        "durable put of 2 KiB records",
        json!({
            "blocks": blocks,
            "blocks_per_s": ((blocks - 1) as f64 / spent.as_secs_f64()).round(),
            "mb_per_s": (original / 1e6 / spent.as_secs_f64()).round(),
            "compression_ratio": original / stored_bytes as f64,
            "peak_memory_mib": peak_memory_mib(),
        }),
    );
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Times each call, and gives the median and the 99th percentile in microseconds.
fn percentiles<T>(items: impl IntoIterator<Item = T>, mut call: impl FnMut(&T)) -> Value {
    let mut time = |item| {
        let began = Instant::now();
        call(&item);
        began.elapsed()
    };
    let mut times: Vec<Duration> = items.into_iter().map(&mut time).collect();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_nanos() as f64 / 1e3;
    json!({ "p50_us": at(50), "p99_us": at(99), "samples": times.len() })
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
    report("absent block hash", percentiles(&absent, |hash| assert!(!find(uncached, hash))));
    let get = percentiles(&hashes, |hash| assert!(!black_box(uncached.retrieve(hash)).unwrap().is_empty()));
    report("verified get of 2 KiB, from the page cache", get);
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

fn open_again(repository: &Path) {
    let open =
        |_: &usize| drop(black_box(StorageEngine::open(repository, Access::Write, &Overrides::default())).unwrap());
    report("open for writing", percentiles(0..11usize, open));
}
