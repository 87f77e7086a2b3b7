//! Damaged contents are told, and never served whole.

use super::{Archive, bytes};
use std::fs;

/// Changes a byte of the repository's packs where `part` stands, a piece of a stored chunk.
pub(crate) fn damage(archive: &Archive, part: &[u8]) {
    let mut found = 0;
    for folder in ["archive/packs", "archive"] {
        let Ok(entries) = fs::read_dir(archive.path(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let mut content = fs::read(&path).unwrap();
            let places: Vec<_> = (0..content.len().saturating_sub(part.len()))
                .filter(|place| content[*place..].starts_with(part))
                .collect();
            places.iter().for_each(|place| content[*place + 3] ^= 1);
            found += places.len();
            if !places.is_empty() {
                fs::write(&path, content).unwrap();
            }
        }
    }
    assert!(found > 0, "the chunk was not found");
}

#[test]
fn a_small_content_that_is_damaged_is_a_problem_and_its_header_and_proof_are_served() {
    let archive = Archive::new();
    let content = bytes(3_000, 1);
    let block = archive.put(&content);
    damage(&archive, &content[..32]);
    let server = archive.serve(&[]);
    for headers in [&[][..], &[("range", "bytes=0-1")]] {
        let reply = server.ask("GET", &format!("/v1/blocks/{block}/content"), headers);
        reply.is_problem(500, "content-damaged");
    }
    assert_eq!(server.get(&format!("/v1/blocks/{block}/header")).status, 200);
    assert_eq!(server.get(&format!("/v1/blocks/{block}/proof")).status, 200);
    assert!(server.log().contains("content-damaged"), "{}", server.log());
}

#[test]
fn a_large_content_that_is_damaged_at_its_end_never_ends_cleanly() {
    let archive = Archive::new();
    let content = bytes(8 << 20, 2);
    let block = archive.put(&content);
    let last = archive.run(&["show", &block])[0]["original_size"].as_u64().unwrap() as usize;
    damage(&archive, &content[last - 64..last - 32]);
    let server = archive.serve(&[]);
    let path = format!("/v1/blocks/{block}/content");
    let reply = server.get(&path);
    assert_eq!((reply.status, reply.is_whole), (200, false), "the status was sent before the damage was met");
    assert!(content.starts_with(&reply.body));
    // A range that ends long before the damage: nobody knows of it that it belongs there.
    let reply = server.ask("GET", &path, &[("range", "bytes=10-99")]);
    assert!(reply.status == 500 || !reply.is_whole, "{}", reply.status);
    assert!(reply.status == 500 || reply.body.is_empty());
    // The connection is gone, the service is not.
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.metric("pakit_blocks_read_total"), 0.0);
}
