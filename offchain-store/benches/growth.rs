//! Puts into a log of ten million blocks: whether the rate holds, and the memory that it takes. `cargo xtask bench growth` runs this.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{beside_outputs, filled, number_argument, percentiles, report};
use offchain_store::{StorageEngine, config::Overrides, engine::Access};
use std::hint::black_box;

fn main() {
    let blocks = number_argument(10_000_000);
    let folder = tempfile::Builder::new().prefix("pakit-bench").tempdir_in(beside_outputs()).unwrap();
    let repository = folder.path().join("repo");
    drop(filled(&repository, blocks));
    let open = |_: &usize| {
        drop(black_box(StorageEngine::open(&repository, Access::Write, &Overrides::default())).unwrap());
    };
    report("open for writing", percentiles(0..5usize, open));
}
