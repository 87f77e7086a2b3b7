//! What the benchmarks share.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

use offchain_store::{Config, InitOptions, StorageEngine, put::PutEvent, walk::Source};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Contents per call of put; within, commits happen in batches of the configured size.
const PUT_CONTENTS: u64 = 8_192;
/// Points of a curve.
const POINTS: u64 = 20;

/// Bytes of each content.
pub(crate) const CONTENT_BYTES: usize = 2048;

/// A number among the arguments: `cargo bench` passes --bench beside it.
pub(crate) fn number_argument(default: u64) -> u64 {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(default)
}

/// A disk, where a temporary folder may be a tmpfs.
pub(crate) fn beside_outputs() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

pub(crate) fn report(name: &str, figures: Value) {
    println!("{}", json!({ "name": name, "figures": figures }));
}

/// Records of one kind, as a land register has them: the same fields, other values. zstd shrinks one to about a third.
pub(crate) fn content(number: u64) -> Vec<u8> {
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
    // Room for the longest word behind the end, so that no content holds twice its bytes.
    let mut text = String::with_capacity(CONTENT_BYTES + 32);
    text.push_str(&format!("{{\"register\":\"land\",\"folio\":{number},\"owner\":\"{owner:032x}\",\"text\":\""));
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

/// Times each call, and gives the median and the 99th percentile in microseconds.
pub(crate) fn percentiles<T>(items: impl IntoIterator<Item = T>, mut call: impl FnMut(&T)) -> Value {
    let mut time = |item| {
        let began = Instant::now();
        call(&item);
        began.elapsed()
    };
    summary(items.into_iter().map(&mut time).collect())
}

/// Median and 99th percentile in microseconds.
pub(crate) fn summary(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_nanos() as f64 / 1e3;
    json!({ "p50_us": at(50), "p99_us": at(99), "samples": times.len() })
}

/// A new repository of so many blocks, put in with its rate reported.
pub(crate) fn filled(repository: &Path, blocks: u64) -> StorageEngine {
    let options = InitOptions { name: "bench".into(), seed: Some(1), ..InitOptions::default() };
    let (engine, _) = StorageEngine::init(repository, &options, Config::default()).unwrap();
    let (mut stored_bytes, mut number, mut spent) = (0, 1, Duration::ZERO);
    // Blocks, and the rate since the point before.
    let (mut at, mut rates, mut since) = (Vec::new(), Vec::new(), (1, Duration::ZERO));
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
        if number >= blocks * (at.len() as u64 + 1) / POINTS {
            at.push(number);
            rates.push(((number - since.0) as f64 / (spent - since.1).as_secs_f64()).round());
            since = (number, spent);
        }
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
    let plot = json!({ "x": "blocks", "y": "blocks a second", "at": at, "values": rates });
    println!("{}", json!({ "name": "durable puts as the log grows", "plot": plot }));
    engine
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}
