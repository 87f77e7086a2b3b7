//! Challenge answers, verified as a chain does.

use super::{Archive, Server, bytes};
use codec::Decode;
use offchain_store::challenge::{ChallengeAnswer, DrawnBlock};
use pakit_primitives::{Head, Header, SoftwareHasher, log::verify_inclusion, slice::verify_slice};
use proptest::{prelude::*, test_runner::TestRunner};

/// Asks for the answer and verifies it from the head and the position alone. Gives the leaf index.
fn challenge(server: &Server, head: &Head, position: u64) -> u64 {
    let reply = server.get(&format!("/v1/challenge?size={}&position={position}", head.size));
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/octet-stream"), "{reply:?}");
    let mut rest = &reply.body[..];
    let answer = ChallengeAnswer::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    let header = Header::decode(&answer.header).unwrap();
    let block_hash = header.block_hash::<SoftwareHasher>();
    verify_inclusion::<SoftwareHasher>(head, header.leaf_index, &block_hash, &answer.inclusion).unwrap();
    assert!(header.slices_before <= position && position < header.slices_through());
    let index = position - header.slices_before;
    let (hash, size) = (&header.content_hash, header.original_size);
    verify_slice::<SoftwareHasher>(hash, size, index, &answer.slice, &answer.siblings).unwrap();
    header.leaf_index
}

#[test]
fn random_positions_are_answered_with_what_verifies() {
    let archive = Archive::new();
    for (seed, size) in [0, 1, 1024, 1025, 70_000, 3_000_000].into_iter().enumerate() {
        archive.put(&bytes(size, seed as u64 + 1));
    }
    let server = archive.serve(&[]);
    let heads: Vec<Head> = (1..=7)
        .map(|size| Head::decode(&mut &server.get(&format!("/v1/head/raw?size={size}")).body[..]).unwrap())
        .collect();
    let slices: Vec<u64> = (0..7)
        .map(|leaf_index| {
            let shown = &archive.run(&["show", &format!("@{leaf_index}")])[0];
            shown["slices_before"].as_u64().unwrap() + shown["original_size"].as_u64().unwrap().div_ceil(1024).max(1)
        })
        .collect();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&(0..7usize, any::<prop::sample::Index>()), |(which, at)| {
            challenge(&server, &heads[which], at.index(slices[which] as usize) as u64);
            Ok(())
        })
        .unwrap();
    // Genesis, the empty content, one of one byte: a slice each; then both ends of the largest.
    let edges = [(0, 0), (1, 1), (2, 2), (slices[5], 6), (slices[6] - 1, 6)];
    for (position, leaf_index) in edges {
        assert_eq!(challenge(&server, &heads[6], position), leaf_index);
    }
    assert_eq!(server.metric("pakit_challenges_answered_total"), 64.0 + 5.0);
    for (position, size) in [(slices[6], 7), (slices[2], 3), (u64::MAX, 7)] {
        server.get(&format!("/v1/challenge?size={size}&position={position}")).is_problem(404, "beyond-log");
    }
    server.get("/v1/challenge?size=8&position=0").is_problem(404, "beyond-log");
    server.get("/v1/challenge?size=0&position=0").is_problem(404, "no-such-proof");
    server.get("/v1/challenge?size=1").is_problem(400, "bad-parameter");
}

#[test]
fn a_content_that_is_gone_or_damaged_is_not_answered_for() {
    let archive = Archive::new();
    let gone = archive.put(&bytes(5_000, 1));
    let damaged = bytes(5_000, 2);
    archive.put(&damaged);
    archive.run(&["forget", &gone, "--why", "a test"]);
    archive.run(&["gc"]);
    super::damage::damage(&archive, &damaged[..32]);
    let server = archive.serve(&[]);
    server.get("/v1/challenge?size=3&position=3").is_problem(410, "content-gone");
    // Its block is there still.
    let drawn = server.get("/v1/challenge/block?size=3&position=3");
    assert_eq!((drawn.status, drawn.header("content-type")), (200, "application/octet-stream"), "{drawn:?}");
    let drawn = DrawnBlock::decode(&mut &drawn.body[..]).unwrap();
    let head = Head::decode(&mut &server.get("/v1/head/raw?size=3").body[..]).unwrap();
    let header = Header::decode(&drawn.header).unwrap();
    let block_hash = header.block_hash::<SoftwareHasher>();
    assert_eq!((header.leaf_index, block_hash.to_string()), (1, gone));
    verify_inclusion::<SoftwareHasher>(&head, 1, &block_hash, &drawn.inclusion).unwrap();
    server.get("/v1/challenge/block?size=3&position=99").is_problem(404, "beyond-log");
    server.get("/v1/challenge/block?size=0&position=0").is_problem(404, "no-such-proof");
    server.get("/v1/challenge/block?size=3").is_problem(400, "bad-parameter");
    server.get("/v1/challenge?size=3&position=8").is_problem(500, "content-damaged");
    assert_eq!(server.metric("pakit_challenges_answered_total"), 0.0);
}

#[test]
fn an_answer_that_was_given_is_not_given_again_once_its_content_is_gone() {
    let archive = Archive::new();
    let block = archive.put(&bytes(5_000, 1));
    let server = archive.serve(&[]);
    for _ in 0..2 {
        assert_eq!(server.get("/v1/challenge?size=2&position=3").status, 200);
    }
    archive.run(&["forget", &block, "--why", "a test"]);
    archive.run(&["gc"]);
    server.get("/v1/challenge?size=2&position=3").is_problem(410, "content-gone");
}
