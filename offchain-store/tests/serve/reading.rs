//! Every path that reads.

use super::{Archive, bytes};
use offchain_store::{
    ProofDocument, StorageEngine,
    verify::{Expected, TrustedHead},
};
use pakit_primitives::{BlockHash, ContentHash, Head, Header, LogRoot, SoftwareHasher, verify_consistency};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

fn digest(value: &Value) -> [u8; 32] {
    let mut digest = [0; 32];
    hex::decode_to_slice(value.as_str().unwrap().strip_prefix("0x").unwrap(), &mut digest).unwrap();
    digest
}

fn head(value: &Value) -> Head {
    Head { size: value["size"].as_u64().unwrap(), root: LogRoot::new(digest(&value["root"])) }
}

#[test]
fn status_head_and_block_say_what_the_command_line_says() {
    let archive = Archive::new();
    let block = archive.put(b"parcel 12/7");
    let server = archive.serve(&[]);

    let status = server.get("/v1/status").json();
    assert_eq!((&status["name"], &status["size"]), (&json!("served"), &json!(2)));
    assert_eq!((&status["dag"], &status["blocks_finalized"]), (&Value::Null, &json!(0)));
    assert_eq!(server.get("/v1/head").json(), archive.run(&["head"])[0]);
    let raw = server.get("/v1/head/raw").body;
    let told = head(&server.get("/v1/head").json());
    assert_eq!((&raw[..8], &raw[8..]), (&told.size.to_le_bytes()[..], &told.root.as_bytes()[..]));
    assert_eq!(server.get("/v1/head?size=1").json()["size"], 1);

    let told = server.get(&format!("/v1/blocks/{block}")).json();
    let shown = &archive.run(&["show", &block])[0];
    for (key, value) in told.as_object().unwrap() {
        assert_eq!(value, &shown[key], "{key}");
    }
    let header = server.get(&format!("/v1/blocks/{}/header", &block[2..]));
    assert_eq!(header.header("content-type"), "application/octet-stream");
    assert_eq!(Header::decode(&header.body).unwrap().block_hash::<SoftwareHasher>().to_string(), block);
    assert_eq!(server.get("/healthz").body, b"ok\n");
    assert_eq!(server.get("/readyz").body, b"ok\n");
}

#[test]
fn proofs_and_consistency_verify_against_the_head() {
    let archive = Archive::new();
    let blocks: Vec<_> = (0..9).map(|number| archive.put(format!("deed {number}").as_bytes())).collect();
    let server = archive.serve(&[]);
    let trusted = head(&server.get("/v1/head").json());

    let reply = server.get(&format!("/v1/blocks/{}/proof?lineage=true", blocks[4]));
    let document = ProofDocument::from_json(&reply.body).unwrap();
    let expected = Expected::of_head(TrustedHead::Given(trusted));
    let verified = StorageEngine::verify(&document, Some(&mut &b"deed 4"[..]), &expected).unwrap();
    assert!(verified.valid && document.lineage.is_some(), "{verified:?}");
    let reply = server.get(&format!("/v1/blocks/{}/proof?size=6&consistent_with=10", blocks[4]));
    let document = ProofDocument::from_json(&reply.body).unwrap();
    assert_eq!(document.consistency.as_ref().map(|later| later.head), Some(trusted));
    assert!(StorageEngine::verify(&document, None, &expected).unwrap().valid);

    for from in 1..=10 {
        let proof = server.get(&format!("/v1/consistency?from={from}")).json();
        let path: Vec<[u8; 32]> = proof["path"].as_array().unwrap().iter().map(digest).collect();
        assert_eq!(head(&proof["to"]), trusted);
        verify_consistency::<SoftwareHasher>(&head(&proof["from"]), &trusted, &path).unwrap();
    }
    server.get(&format!("/v1/blocks/{}/proof?size=5", blocks[4])).is_problem(404, "no-such-proof");
    server.get("/v1/consistency?from=9&to=8").is_problem(404, "no-such-proof");
    server.get("/v1/consistency?from=0").is_problem(404, "no-such-proof");
    server.get("/v1/consistency?from=5&to=11").is_problem(404, "beyond-log");
    server.get("/v1/head?size=11").is_problem(404, "beyond-log");
    server.get("/v1/head?size=0").is_problem(404, "no-such-proof");
}

#[test]
fn a_content_is_served_whole_with_its_hash_as_its_tag() {
    let archive = Archive::new();
    for (seed, size) in [0, 1, 70_000, 3_000_000].into_iter().enumerate() {
        let content = bytes(size, seed as u64);
        let block = archive.put(&content);
        let server = archive.serve(&[]);
        let path = format!("/v1/blocks/{block}/content");
        let tag = format!("\"{}\"", ContentHash::new(*blake3::hash(&content).as_bytes()));
        // Twice: what is small comes from the cache then.
        for _ in 0..2 {
            let reply = server.get(&path);
            assert_eq!((reply.status, reply.is_whole), (200, true));
            assert!(reply.body == content, "{size}");
            assert_eq!((reply.header("etag"), reply.header("accept-ranges")), (&*tag, "bytes"));
        }
        let asked = server.ask("HEAD", &path, &[("range", "bytes=0-0")]);
        assert_eq!((asked.status, asked.header("content-length")), (200, &*size.to_string()));
        for known in [&*tag, "*", &*format!("\"a\", W/{tag}")] {
            let reply = server.ask("GET", &path, &[("if-none-match", known)]);
            assert_eq!((reply.status, reply.header("etag")), (304, &*tag), "{known}");
        }
        assert_eq!(server.ask("GET", &path, &[("if-none-match", "\"0x00\"")]).status, 200);
    }
}

#[test]
fn any_range_is_that_part_of_the_file() {
    let archive = Archive::new();
    let sizes = [1_000, 50_000, 1_500_000];
    let contents: Vec<_> = sizes.into_iter().map(|size| bytes(size, size as u64)).collect();
    let blocks: Vec<_> = contents.iter().map(|content| archive.put(content)).collect();
    let server = archive.serve(&[]);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() });
    let ranges = (0..3usize, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3u8);
    runner
        .run(&ranges, |(which, first, last, form)| {
            let (content, size) = (&contents[which], sizes[which]);
            let (first, last) = (first.index(size), last.index(size + 10));
            let (value, expected) = match form {
                0 if first <= last => (format!("bytes={first}-{last}"), first..size.min(last + 1)),
                1 => (format!("bytes=-{}", last.max(1)), size.saturating_sub(last.max(1))..size),
                _ => (format!("bytes={first}-"), first..size),
            };
            let reply = server.ask("GET", &format!("/v1/blocks/{}/content", blocks[which]), &[("range", &value)]);
            prop_assert_eq!((reply.status, reply.is_whole), (206, true));
            prop_assert!(reply.body == content[expected.clone()], "{}", value);
            let of = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
            prop_assert_eq!(reply.header("content-range"), of);
            Ok(())
        })
        .unwrap();
}

#[test]
fn ranges_beyond_the_content_of_other_contents_and_malformed_ones_are_answered_as_rfc_9110_says() {
    let archive = Archive::new();
    let (content, block) = (bytes(5_000, 1), archive.put(&bytes(5_000, 1)));
    let server = archive.serve(&[]);
    let path = format!("/v1/blocks/{block}/content");
    let tag = server.get(&path).header("etag").to_owned();
    for beyond in ["bytes=5000-", "bytes=9999-10000", "bytes=-0"] {
        let reply = server.ask("GET", &path, &[("range", beyond)]);
        assert_eq!(reply.is_problem(416, "range-not-satisfiable").header("content-range"), "bytes */5000");
    }
    for ignored in ["bytes=0-1,3-4", "items=0-1", "bytes=3-2", "bytes", "bytes=a-b", "bytes=--1"] {
        let reply = server.ask("GET", &path, &[("range", ignored)]);
        assert_eq!((reply.status, reply.body.len()), (200, content.len()), "{ignored}");
    }
    let reply = server.ask("GET", &path, &[("range", "bytes=1-2"), ("if-range", &tag)]);
    assert_eq!((reply.status, &reply.body[..]), (206, &content[1..3]));
    for other in ["\"0x00\"", "Sat, 01 Jan 2000 00:00:00 GMT", &format!("W/{tag}")] {
        let reply = server.ask("GET", &path, &[("range", "bytes=1-2"), ("if-range", other)]);
        assert_eq!((reply.status, reply.body.len()), (200, content.len()), "{other}");
    }
}

#[test]
fn what_is_not_there_or_not_asked_for_rightly_is_a_named_problem() {
    let archive = Archive::new();
    let block = archive.put(b"a");
    let server = archive.serve(&[]);
    let unknown = BlockHash::new([7; 32]);
    for below in ["", "/header", "/content", "/proof"] {
        server.get(&format!("/v1/blocks/{unknown}{below}")).is_problem(404, "unknown-block");
        for bad in ["0x12", "@1", &block.to_uppercase(), &block[..40], "%ff", &format!("{block}00")] {
            server.get(&format!("/v1/blocks/{bad}{below}")).is_problem(400, "bad-block-hash");
        }
    }
    for path in ["/", "/v1", "/v1/blocks/", "/v2/head", "/v1/head/", "/../etc/passwd", "//v1/head"] {
        server.get(path).is_problem(404, "no-such-path");
    }
    for query in ["size=-1", "size=x", "size=", "siez=1", "size=1&size=2", "size=99999999999999999999", "size=%ff"] {
        server.get(&format!("/v1/head?{query}")).is_problem(400, "bad-parameter");
    }
    server.get(&format!("/v1/blocks/{block}/proof?lineage=yes")).is_problem(400, "bad-parameter");
    server.get("/v1/consistency").is_problem(400, "bad-parameter");
    for method in ["DELETE", "PUT", "OPTIONS", "BREW"] {
        server.ask(method, "/v1/head", &[]).is_problem(405, "method-not-allowed");
    }
    assert!(server.ask("POST", "/v1/head", &[("content-length", "0")]).header("allow").contains("GET"));
}

#[test]
fn what_another_process_stores_and_drops_is_seen_at_once() {
    let archive = Archive::new();
    let server = archive.serve(&[]);
    let block = archive.put(b"a letter");
    let path = format!("/v1/blocks/{block}/content");
    assert_eq!(server.get("/v1/head").json(), archive.run(&["head"])[0]);
    assert_eq!(server.get(&path).body, b"a letter");
    assert_eq!(server.get(&path).body, b"a letter");
    archive.run(&["forget", &block, "--why", "a test"]);
    archive.run(&["gc"]);
    archive.run(&["compact"]);
    server.get(&path).is_problem(410, "content-gone");
    server.ask("HEAD", &path, &[]).has("content-type");
    assert_eq!(server.get(&format!("/v1/blocks/{block}")).json()["kept"], false);
    assert_eq!(archive.put(b"a letter"), block);
    assert_eq!(server.get(&path).body, b"a letter");
}
