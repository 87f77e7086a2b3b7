//! The audit against repositories whose file was changed behind the store's back.
#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::{
    BackendError, DagBackend, DagBlock, DagBuilder, LogAppender, NewBlock,
    backend::{ChunkRef, NewContent, PayloadInfo, StoredChunk, WriteBatch},
    check::{CheckReport, Depth, Problem, check},
    sqlite::{Access, Fsync, Options, SqliteBackend},
};
use pakit_primitives::{Compression, ContentHash};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rusqlite::Connection;
use std::{fs, ops::ControlFlow, path::Path};
use tempfile::TempDir;

const BLOCKS: u64 = 24;

/// A folder with a repository of 24 blocks, each on the two before it; every third content has several chunks.
fn repository() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    // No power fails here.
    let options = Options { fsync: Fsync::Off, ..Options::default() };
    let backend = SqliteBackend::create(dir.path(), &options).unwrap();
    backend.set_setting("name", b"audited").unwrap();
    backend.set_setting("strategy", b"balanced-random").unwrap();
    let mut builder = DagBuilder::new(0, 0);
    let mut log = LogAppender::resume(&backend).unwrap();
    let mut blocks: Vec<DagBlock> = Vec::new();
    for leaf_index in 0..BLOCKS {
        let parents = &blocks[blocks.len().saturating_sub(2)..];
        let chunks: Vec<Vec<u8>> = match leaf_index % 3 {
            0 => (0..3).map(|part| format!("part {part} of {leaf_index}, ").repeat(40).into_bytes()).collect(),
            _ => vec![format!("content {leaf_index} ").repeat(100).into_bytes()],
        };
        let mut batch = WriteBatch::default();
        let content = fill(&mut batch, &chunks);
        let block = builder.block(content, 1_000 + leaf_index, parents).unwrap();
        builder.advance(&block);
        log.append(&block, &mut batch.log_nodes).unwrap();
        batch.blocks.push(block.clone());
        backend.commit(batch).unwrap();
        blocks.push(block);
    }
    dir
}

/// Adds a content of these chunks to a batch.
fn fill(batch: &mut WriteBatch, chunks: &[Vec<u8>]) -> NewBlock {
    let content = NewBlock::raw(&chunks.concat());
    let mut offset = 0;
    let mut listed = Vec::new();
    for bytes in chunks {
        let chunk_hash = NewBlock::raw(bytes).content_hash;
        let (compression, original_size) = (Compression::None, bytes.len() as u32);
        batch.chunks.push(StoredChunk { chunk_hash, compression, original_size, bytes: bytes.clone() });
        listed.push(ChunkRef { offset, chunk_hash, original_size });
        offset += u64::from(original_size);
    }
    if chunks.len() > 1 {
        let (original_size, stored_size) = (content.original_size, content.stored_size);
        let info = PayloadInfo { original_size, stored_size, compression: Compression::None, is_kept: true };
        batch.contents.push(NewContent { content_hash: content.content_hash, info, staged: None, chunks: listed });
    }
    content
}

fn audit(dir: &Path, depth: Depth) -> Result<CheckReport, BackendError> {
    let backend = SqliteBackend::open(dir, Access::Read, &Options::default())?;
    check(&backend, depth, &mut |_, _| ControlFlow::Continue(()))
}

/// The problems that an audit finds after these statements were run on the file.
fn after(depth: Depth, statements: &str) -> Vec<Problem> {
    let dir = repository();
    assert!(audit(dir.path(), Depth::Full).unwrap().is_sound());
    let connection = Connection::open(dir.path().join("pakit.db")).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;").unwrap();
    connection.execute_batch(statements).unwrap();
    drop(connection);
    let report = audit(dir.path(), depth).unwrap();
    assert!(!report.is_sound(), "not found: {statements}");
    report.problems
}

#[test]
fn changed_rows_are_found_by_an_audit_of_the_structure() {
    for statements in [
        "UPDATE blocks SET timestamp_key = timestamp_key + 1 WHERE leaf_index = 9",
        "UPDATE blocks SET codec = 113 WHERE leaf_index = 9",
        "UPDATE blocks SET depth = depth + 1 WHERE leaf_index = 9",
        "UPDATE blocks SET slices_before = slices_before + 1 WHERE leaf_index = 9",
        "UPDATE blocks SET block_hash = randomblob(32) WHERE leaf_index = 9",
        "UPDATE blocks SET parents = CAST(x'0101' || parents AS BLOB) WHERE leaf_index = 9",
        "UPDATE blocks SET payload_id = payload_id + 1 WHERE leaf_index = 9",
        "UPDATE blocks SET way = way + 8 WHERE leaf_index = 9",
        "UPDATE blocks SET way = 0 WHERE leaf_index = 9",
        "UPDATE blocks SET way = way | 7 WHERE leaf_index = 9",
        "DELETE FROM blocks WHERE leaf_index = 9",
        "DELETE FROM blocks WHERE leaf_index = 23",
        "UPDATE totals SET edges = edges + 1",
        "UPDATE totals SET slices = slices - 1",
        "UPDATE totals SET stored_bytes = stored_bytes + 1",
        "UPDATE totals SET blocks = blocks - 1",
        "UPDATE payloads SET original_size = original_size + 1 WHERE payload_id = 2",
        "UPDATE payloads SET stored_size = stored_size + 1 WHERE kind = 0 AND payload_id = 2",
        "DELETE FROM payload_chunks WHERE start_offset > 0",
        "UPDATE payload_chunks SET start_offset = start_offset + 1 WHERE start_offset > 0",
        "UPDATE payload_chunks SET chunk_id = 999999 WHERE start_offset > 0",
        "DELETE FROM payloads WHERE kind = 0",
        "DELETE FROM payloads WHERE kind = 1",
    ] {
        let problems = after(Depth::Structure, statements);
        assert!(!problems.is_empty(), "{statements}");
    }
}

#[test]
fn changed_bytes_of_a_chunk_are_found_by_a_full_audit_and_named() {
    let problems =
        after(Depth::Full, "UPDATE payloads SET bytes = CAST(x'00' || substr(bytes, 2) AS BLOB) WHERE payload_id = 1");
    // The first chunk belongs to the content of genesis.
    assert!(matches!(problems[0], Problem::WrongContent { leaf_index: 0 }), "{problems:?}");
    assert!(problems.iter().any(|problem| matches!(problem, Problem::DamagedChunk { .. })), "{problems:?}");
    let problems = after(Depth::Full, "UPDATE payloads SET bytes = NULL");
    assert!(problems.iter().filter(|problem| matches!(problem, Problem::DamagedChunk { .. })).count() > 20);
    let swapped = "UPDATE payload_chunks SET chunk_id = (SELECT chunk_id FROM payload_chunks AS other
        WHERE other.payload_id = payload_chunks.payload_id AND other.start_offset = 0)";
    assert!(after(Depth::Full, swapped).contains(&Problem::WrongContent { leaf_index: 3 }));
}

/// All headers and contents, or the first error.
fn everything(dir: &Path) -> Result<Vec<(DagBlock, Vec<u8>)>, BackendError> {
    let backend = SqliteBackend::open(dir, Access::Read, &Options::default())?;
    let mut read = Vec::new();
    for leaf_index in 0..backend.totals()?.blocks {
        let block = backend.block(leaf_index)?.unwrap();
        let mut content = Vec::new();
        for chunk in backend.chunks(&block.header().content_hash, 0, 100)? {
            content.extend(backend.chunk(&chunk.chunk_hash)?.unwrap().bytes);
        }
        assert_eq!(ContentHash::new(*blake3::hash(&content).as_bytes()), block.header().content_hash);
        read.push((block, content));
    }
    Ok(read)
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_changes_nothing_that_is_read() {
    let dir = repository();
    let path = dir.path().join("pakit.db");
    let sound = fs::read(&path).unwrap();
    let expected = everything(dir.path()).unwrap();
    assert_eq!(expected.len() as u64, BLOCKS);
    let mut rng = StdRng::seed_from_u64(1);
    let mut found = 0;
    for _ in 0..300 {
        let mut bytes = sound.clone();
        let place = rng.random_range(0..bytes.len() as u64) as usize;
        bytes[place] ^= 1 << rng.random_range(0..8);
        fs::write(&path, &bytes).unwrap();
        match audit(dir.path(), Depth::Full) {
            Ok(report) if report.is_sound() => {
                assert_eq!(everything(dir.path()).unwrap(), expected, "byte {place}");
            }
            _ => found += 1,
        }
    }
    // The rest fell into free space, or into what no read depends on.
    assert!(found > 20, "{found} of 300 found");
}
