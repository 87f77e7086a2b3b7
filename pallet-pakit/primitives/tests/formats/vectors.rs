//! Agreement with the independent implementation in `vectors/pakit.py`.

use crate::{
    common::{NaiveLog, ranges},
    slices,
};
use pakit_primitives::{
    BlockHash, Compression, ContentHash, Head, Header, LogRoot, MetadataHash, Parent, Parents, SoftwareHasher,
    hasher::{Digest, Hasher as _},
    header::hash_header_bytes,
    heads,
    log::{
        Accumulator, Subtree, consistency_subtrees, delta_shared_len, inclusion_subtrees, multiproof_subtrees,
        verify_multiproof,
    },
    slice::{SLICE_BYTES, slice_count, verify_slice},
    verify_consistency, verify_inclusion,
};
use serde_json::Value;
use std::{path::Path, process::Command};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors"))
}

fn vectors() -> Value {
    let text = std::fs::read_to_string(folder().join("vectors.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(vectors["format"], "pakit-vectors/1");
    vectors
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn digest(value: &Value) -> Digest {
    bytes(value).try_into().unwrap()
}

fn digests(value: &Value) -> Vec<Digest> {
    items(value).iter().map(digest).collect()
}

/// A list that is not empty: a loop over nothing would test nothing.
fn items(value: &Value) -> &[Value] {
    let items = value.as_array().unwrap();
    assert!(!items.is_empty());
    items
}

/// A list that may be empty, as a path may.
fn path(value: &Value) -> Vec<Digest> {
    value.as_array().unwrap().iter().map(digest).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn numbers(value: &Value) -> Vec<u64> {
    items(value).iter().map(number).collect()
}

/// A header from its fields, one by one, not from its bytes.
fn header(value: &Value) -> Header {
    let parents: Vec<Parent> = value["parents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parent| Parent { leaf_index: number(&parent[0]), block_hash: BlockHash::new(digest(&parent[1])) })
        .collect();
    Header {
        leaf_index: number(&value["leaf_index"]),
        parents: Parents::from_slice(&parents).unwrap(),
        depth: number(&value["depth"]).try_into().unwrap(),
        timestamp_ms: number(&value["timestamp_ms"]),
        slices_before: number(&value["slices_before"]),
        content_hash: ContentHash::new(digest(&value["content_hash"])),
        codec: number(&value["codec"]).try_into().unwrap(),
        original_size: number(&value["original_size"]),
        stored_size: number(&value["stored_size"]),
        compression: Compression::from_code(number(&value["compression"]).try_into().unwrap()).unwrap(),
        metadata_hash: MetadataHash::new(digest(&value["metadata_hash"])),
    }
}

fn check_header(value: &Value) -> Header {
    let (header, bytes) = (header(value), bytes(&value["bytes"]));
    assert_eq!(header.to_bytes(), bytes, "{}", value["name"]);
    assert_eq!(Header::decode(&bytes).as_ref(), Ok(&header), "{}", value["name"]);
    assert_eq!(header.block_hash::<SoftwareHasher>().to_bytes(), digest(&value["block_hash"]), "{}", value["name"]);
    header
}

/// SHA-256 over many lists of hashes, each led by its length in one byte.
fn folded(lists: impl IntoIterator<Item = Vec<Digest>>) -> Digest {
    let mut all = Vec::new();
    for list in lists {
        all.push(u8::try_from(list.len()).unwrap());
        all.extend(list.concat());
    }
    SoftwareHasher::sha256(&all)
}

#[test]
fn the_independent_implementation_generates_these_vectors() {
    let script = folder().join("pakit.py");
    let run = Command::new("python3").arg("-B").arg(script).args(["generate", "--check"]).output();
    let output = run.expect("this test needs python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_worked_example_agrees() {
    let example = &vectors()["worked_example"];
    let mut log = Accumulator::<SoftwareHasher>::default();
    let mut blocks = Vec::new();
    for (block, root) in items(&example["blocks"]).iter().zip(items(&example["roots"])) {
        let header = check_header(block);
        assert_eq!(SoftwareHasher::blake3(&bytes(&block["content"])), *header.content_hash.as_bytes());
        blocks.push(header.block_hash::<SoftwareHasher>());
        log.append(&blocks[blocks.len() - 1], |_, _, _| {});
        assert_eq!(log.root(), Some(LogRoot::new(digest(root))));
    }
    let head = |size: u64| {
        let root = digest(&example["roots"][size as usize - 1]);
        Head { size, root: LogRoot::new(root) }
    };
    let inclusion = digests(&example["inclusion"]["path"]);
    assert_eq!(verify_inclusion::<SoftwareHasher>(&head(5), 3, &blocks[3], &inclusion), Ok(()));
    let consistency = digests(&example["consistency"]["path"]);
    assert_eq!(verify_consistency::<SoftwareHasher>(&head(3), &head(5), &consistency), Ok(()));
    let multiproof = digests(&example["multiproof"]["path"]);
    let leaves = [(1, blocks[1]), (4, blocks[4])];
    assert_eq!(verify_multiproof::<SoftwareHasher>(&head(5), &leaves, &multiproof), Ok(()));
    let (slice, content) = (&example["slice"], slices::content(5000));
    let hash = ContentHash::new(digest(&slice["content_hash"]));
    let siblings = digests(&slice["siblings"]);
    assert_eq!(verify_slice::<SoftwareHasher>(&hash, 5000, 2, &content[2048..3072], &siblings), Ok(()));
}

#[test]
fn well_formed_headers_agree() {
    for value in items(&vectors()["headers"]) {
        check_header(value);
    }
}

#[test]
fn malformed_headers_are_refused_for_the_same_reason() {
    for value in items(&vectors()["malformed_headers"]) {
        let error = Header::decode(&bytes(&value["bytes"])).unwrap_err();
        assert_eq!(format!("{error:?}"), value["error"].as_str().unwrap(), "{}", value["name"]);
    }
}

/// The leaves that the vectors' logs have are those of [`NaiveLog::new`].
fn hashes(log: &NaiveLog, subtrees: &[Subtree]) -> Vec<Digest> {
    log.hashes(&ranges(subtrees))
}

#[test]
fn logs_of_every_size_agree() {
    let vectors = &vectors()["log"];
    let roots = digests(&vectors["roots"]);
    let log = NaiveLog::new(roots.len() as u64);
    assert_eq!(log.leaf(69), hash_header_bytes::<SoftwareHasher>(b"leaf 69").to_bytes());
    let mut grown = Accumulator::<SoftwareHasher>::default();
    for (size, root) in (1..).zip(&roots) {
        grown.append(&log.block(size - 1), |_, _, _| {});
        assert_eq!(grown.root(), Some(LogRoot::new(*root)));
        let inclusion = (0..size).map(|leaf| hashes(&log, &inclusion_subtrees(leaf, size).unwrap()));
        assert_eq!(folded(inclusion), digest(&vectors["inclusion_folded"][size as usize - 1]), "{size}");
        let consistency = (1..=size).map(|old| hashes(&log, &consistency_subtrees(old, size).unwrap()));
        assert_eq!(folded(consistency), digest(&vectors["consistency_folded"][size as usize - 1]), "{size}");
    }
    let head = |size: u64| Head { size, root: LogRoot::new(roots[size as usize - 1]) };
    for value in items(&vectors["inclusion"]) {
        let (size, leaf) = (number(&value["size"]), number(&value["leaf_index"]));
        let block = log.block(leaf);
        assert_eq!(verify_inclusion::<SoftwareHasher>(&head(size), leaf, &block, &path(&value["path"])), Ok(()));
    }
    for value in items(&vectors["consistency"]) {
        let (old, new) = (number(&value["old"]), number(&value["new"]));
        assert_eq!(verify_consistency::<SoftwareHasher>(&head(old), &head(new), &path(&value["path"])), Ok(()));
    }
}

/// Sets of `count` among 0..size in lexicographic order.
fn combinations(size: u64, count: usize) -> Vec<Vec<u64>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for last in count as u64 - 1..size {
        for mut set in combinations(last, count - 1) {
            set.push(last);
            out.push(set);
        }
    }
    out.sort();
    out
}

#[test]
fn multiproofs_and_delta_proofs_agree() {
    let vectors = &vectors()["log"];
    let log = NaiveLog::new(70);
    for (size, expected) in (1..).zip(items(&vectors["multiproof_folded"])) {
        let sets = (1..=size as usize).flat_map(|count| combinations(size, count));
        let proofs = sets.map(|set| hashes(&log, &multiproof_subtrees(&set, size).unwrap()));
        assert_eq!(folded(proofs), digest(expected), "{size}");
    }
    for value in items(&vectors["multiproof"]) {
        let (size, wanted) = (number(&value["size"]), numbers(&value["leaves"]));
        let (leaves, proof) = (log.leaves(&wanted), path(&value["path"]));
        assert_eq!(verify_multiproof::<SoftwareHasher>(&log.head(size), &leaves, &proof), Ok(()), "{wanted:?}");
    }
    for (size, expected) in (1..).zip(items(&vectors["delta_shared"])) {
        let counts: Vec<u8> = (0..size)
            .flat_map(|reference| (0..size).map(move |leaf| delta_shared_len(reference, leaf, size).unwrap() as u8))
            .collect();
        assert_eq!(SoftwareHasher::sha256(&counts), digest(expected), "{size}");
    }
}

#[test]
fn slices_agree() {
    for value in items(&vectors()["slices"]) {
        let size = number(&value["size"]);
        let content = slices::content(size as usize);
        let hash = ContentHash::new(digest(&value["content_hash"]));
        assert_eq!(SoftwareHasher::blake3(&content), *hash.as_bytes(), "{size}");
        let indices = numbers(&value["indices"]);
        assert!(indices.iter().all(|index| *index < slice_count(size)));
        let paths = indices.iter().map(|index| slices::siblings(&content, *index));
        assert_eq!(folded(paths), digest(&value["siblings_folded"]), "{size}");
        let last = *indices.last().unwrap();
        let bytes = content.chunks(SLICE_BYTES as usize).nth(last as usize).unwrap_or_default();
        let siblings = path(&value["last"]);
        assert_eq!(verify_slice::<SoftwareHasher>(&hash, size, last, bytes, &siblings), Ok(()), "{size}");
    }
}

#[test]
fn kept_heads_agree() {
    let vectors = &vectors()["heads"];
    for value in items(&vectors["kept"]) {
        let latest = number(&value["latest"]);
        assert_eq!(heads::kept(latest).collect::<Vec<_>>(), numbers(&value["anchors"]), "{latest}");
    }
    for (latest, dropped) in (1..).zip(numbers(&vectors["dropped"])) {
        assert_eq!(heads::dropped_by(latest), (dropped > 0).then_some(dropped), "{latest}");
    }
}
