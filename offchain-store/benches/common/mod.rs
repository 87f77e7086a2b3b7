//! What the benchmarks share.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

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
