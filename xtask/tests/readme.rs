//! README.md shows code that is compiled elsewhere; this holds it to that.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

/// What stands between these lines of the example, the README shows.
const BEGIN: &str = "// [README\n";
const END: &str = "// README]\n";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)).unwrap()
}

#[test]
fn the_readme_shows_the_runtime_of_the_example_as_it_is_compiled() {
    let example = read("pallet-pakit/examples/runtime.rs");
    let (_, rest) = example.split_once(BEGIN).unwrap();
    let (shown, _) = rest.split_once(END).unwrap();
    assert!(shown.contains("impl pallet_pakit::Config for Runtime") && !shown.contains(BEGIN), "{shown}");
    let block = format!("```rust\n{shown}```\n");
    assert!(
        read("README.md").contains(&block),
        "write this into README.md, under \"Adding the pallet to a runtime\":\n{block}"
    );
}
