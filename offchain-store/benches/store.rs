//! Many callers, each with one durable put at a time. `cargo xtask bench store` runs this.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{beside_outputs, content, number_argument, report, summary};
use offchain_store::{Config, DagStore, InitOptions, StorageEngine, Store};
use serde_json::json;
use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

const CALLERS: u64 = 32;

fn main() {
    let puts = number_argument(100_000);
    let folder = tempfile::Builder::new().prefix("pakit-bench").tempdir_in(beside_outputs()).unwrap();
    one_wait(folder.path());
    let options = InitOptions { name: "bench".into(), ..InitOptions::default() };
    let (engine, _) = StorageEngine::init(&folder.path().join("repo"), &options, Config::default()).unwrap();
    let store = Arc::new(Store::new(Arc::new(engine)).unwrap());
    let contents: Vec<Vec<Vec<u8>>> = (0..CALLERS)
        .map(|caller| (0..puts / CALLERS).map(|number| content(number * CALLERS + caller)).collect())
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let began = Instant::now();
    let times = runtime.block_on(async {
        let callers: Vec<_> =
            contents.into_iter().map(|contents| tokio::spawn(call(store.clone(), contents))).collect();
        let mut times = Vec::new();
        for caller in callers {
            times.extend(caller.await.unwrap());
        }
        times
    });
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let mut figures = summary(times);
    figures["puts_per_s"] = json!(rate.round());
    figures["callers"] = json!(CALLERS);
    report("durable puts, one at a time each", figures);
}

async fn call(store: Arc<Store>, contents: Vec<Vec<u8>>) -> Vec<Duration> {
    let mut times = Vec::with_capacity(contents.len());
    for content in contents {
        let began = Instant::now();
        assert!(!store.insert(content, None).await.unwrap().is_deduplicated);
        times.push(began.elapsed());
    }
    times
}

/// What the disk itself takes for a page that has to be on it.
fn one_wait(folder: &std::path::Path) {
    let mut file = std::fs::File::create(folder.join("waits")).unwrap();
    let wait = |_| {
        let began = Instant::now();
        file.write_all(&[7; 8192]).unwrap();
        file.sync_data().unwrap();
        began.elapsed()
    };
    report("a write of 8 KiB and fdatasync", summary((0..500).map(wait).collect()));
}
