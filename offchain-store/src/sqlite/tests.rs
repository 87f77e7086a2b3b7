//! What only a repository on a disk can show: restarts, damage, locks, versions, full disks, and the existence filter.

#![allow(clippy::unwrap_used)]

mod strays;

use super::*;
use crate::{
    backend::{ChunkRef, LogNode, NewContent, StagingId},
    block::{DagBuilder, NewBlock},
    config::Config,
    engine::{InitOptions, StorageEngine},
    get::GetError,
    removal::{DecideError, Difference, ForgetError, ForgetOptions, GcError, HoldError},
};
use pakit_primitives::{Compression, SoftwareHasher, log::Accumulator};
use rusqlite::params;

const TIME_MS: u64 = 1_700_000_000_000;

fn create() -> (tempfile::TempDir, SqliteBackend) {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::create(folder.path(), &Options::default()).unwrap();
    crate::setting::set(&backend);
    (folder, backend)
}

fn open(folder: &tempfile::TempDir, access: Access) -> Answer<SqliteBackend> {
    SqliteBackend::open(folder.path(), access, &Options::default())
}

fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash::new(*blake3::hash(bytes).as_bytes())
}

fn chunk(bytes: &[u8]) -> StoredChunk {
    let original_size = bytes.len() as u32;
    StoredChunk { chunk_hash: hash(bytes), compression: Compression::None, original_size, bytes: bytes.to_vec() }
}

/// The chunks `a` and `b` x 1,000 and the content that they make.
fn two_chunks() -> (Vec<StoredChunk>, Vec<ChunkRef>, Vec<u8>) {
    let parts = [vec![b'a'; 1000], vec![b'b'; 1000]];
    let refs = [0, 1].map(|i| ChunkRef { offset: i as u64 * 1000, chunk_hash: hash(&parts[i]), original_size: 1000 });
    (parts.iter().map(|part| chunk(part)).collect(), refs.to_vec(), parts.concat())
}

fn info(size: u64) -> PayloadInfo {
    PayloadInfo { original_size: size, stored_size: size, compression: Compression::None, is_kept: true }
}

/// A log of `size` blocks from the one at `from` on, as a batch.
struct Log {
    builder: DagBuilder,
    nodes: Accumulator<SoftwareHasher>,
    newest: Vec<DagBlock>,
}

impl Log {
    fn new() -> Self {
        Self { builder: DagBuilder::new(0, 0), nodes: Accumulator::default(), newest: Vec::new() }
    }

    fn add(&mut self, batch: &mut WriteBatch, content: &[u8]) -> DagBlock {
        self.add_with(batch, content, MetadataHash::NONE)
    }

    fn add_with(&mut self, batch: &mut WriteBatch, content: &[u8], metadata_hash: MetadataHash) -> DagBlock {
        let parents = &self.newest[self.newest.len().saturating_sub(2)..];
        let content = NewBlock { metadata_hash, ..NewBlock::raw(content) };
        let block = self.builder.block(content, TIME_MS, parents).unwrap();
        self.builder.advance(&block);
        self.nodes.append(&block.block_hash(), |level, index, hash| {
            batch.log_nodes.push(LogNode { level, index, hash: *hash });
        });
        batch.blocks.push(block.clone());
        self.newest.push(block.clone());
        block
    }

    fn batch(&mut self, count: u64) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for _ in 0..count {
            let content = self.builder.leaf_index().to_le_bytes();
            batch.chunks.push(chunk(&content));
            self.add(&mut batch, &content);
        }
        batch
    }
}

/// Changes the database behind the backend's back.
fn tamper(folder: &tempfile::TempDir, sql: &str) {
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
}

fn count(folder: &tempfile::TempDir, table: &str) -> i64 {
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0)).unwrap()
}

#[test]
fn a_folder_without_a_repository_is_told_apart_from_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    for access in [Access::Read, Access::Write] {
        assert!(matches!(open(&folder, access), Err(BackendError::NotFound(_))));
        let missing = folder.path().join("missing");
        assert!(matches!(SqliteBackend::open(&missing, access, &Options::default()), Err(BackendError::NotFound(_))));
        assert!(!missing.exists(), "opening makes nothing");
    }
    for bytes in [&b""[..], b"not a database, whatever its name", &[0; 100_000]] {
        std::fs::write(folder.path().join(DATABASE_FILE), bytes).unwrap();
        for access in [Access::Read, Access::Write] {
            let error = open(&folder, access).unwrap_err();
            assert!(matches!(error, BackendError::Damaged(_)), "{error}");
        }
        assert_eq!(std::fs::read(folder.path().join(DATABASE_FILE)).unwrap(), bytes, "and changes nothing");
    }
    std::fs::remove_file(folder.path().join(DATABASE_FILE)).unwrap();
    std::fs::create_dir(folder.path().join(DATABASE_FILE)).unwrap();
    assert!(matches!(open(&folder, Access::Read), Err(BackendError::Damaged(_))));
}

#[test]
fn a_repository_is_not_made_over_another_nor_beside_a_writer() {
    let (folder, backend) = create();
    let again = || SqliteBackend::create(folder.path(), &Options::default());
    assert!(matches!(again(), Err(BackendError::Locked(_))));
    assert!(matches!(open(&folder, Access::Write), Err(BackendError::Locked(_))));
    assert!(open(&folder, Access::Read).is_ok());
    drop(backend);
    assert!(matches!(again(), Err(BackendError::AlreadyExists(_))));
    assert!(open(&folder, Access::Write).is_ok());
}

#[test]
fn what_a_crash_left_of_a_repository_being_made_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(NEW_DATABASE_FILE), b"half").unwrap();
    std::fs::write(folder.path().join("pakit.db.new-wal"), b"half").unwrap();
    assert!(matches!(open(&folder, Access::Read), Err(BackendError::NotFound(_))));
    assert!(SqliteBackend::create(folder.path(), &Options::default()).is_ok());
    assert!(!folder.path().join(NEW_DATABASE_FILE).exists());
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let (folder, backend) = create();
    drop(backend);
    tamper(&folder, "PRAGMA user_version = 7");
    for access in [Access::Read, Access::Write] {
        assert!(matches!(open(&folder, access), Err(BackendError::NewerVersion { found: 7, supported: 3 })));
    }
    for (sql, what) in [
        ("PRAGMA user_version = 0", "version"),
        ("PRAGMA user_version = -1", "version"),
        ("PRAGMA user_version = 3; PRAGMA application_id = 5", "application id"),
        ("PRAGMA application_id = 0x504b5431; DROP TABLE log_tiles", "log_tiles"),
    ] {
        tamper(&folder, sql);
        for access in [Access::Read, Access::Write] {
            match open(&folder, access) {
                Err(BackendError::Damaged(text)) => assert!(text.contains(what), "{text}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_table_that_was_altered_or_added_is_damage() {
    for sql in [
        "DROP INDEX payloads_without_refs",
        "ALTER TABLE blocks ADD COLUMN more INTEGER",
        "CREATE TABLE more (id INTEGER PRIMARY KEY)",
        "CREATE TRIGGER more AFTER INSERT ON blocks BEGIN DELETE FROM blocks; END",
        "DROP TABLE outbox",
    ] {
        let (folder, backend) = create();
        drop(backend);
        tamper(&folder, sql);
        assert!(matches!(open(&folder, Access::Write), Err(BackendError::Damaged(_))), "{sql}");
        assert!(matches!(open(&folder, Access::Read), Err(BackendError::Damaged(_))), "{sql}");
    }
}

#[test]
fn a_change_to_any_column_of_a_block_is_found_when_it_is_read() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(300)).unwrap();
    drop(backend);
    for change in [
        "block_hash = zeroblob(32)",
        "payload_id = payload_id - 1",
        "depth = depth + 1",
        "depth = -1",
        "timestamp_key = timestamp_key + 1",
        "slices_before = slices_before + 1",
        "slices_before = -1",
        "codec = 113",
        "codec = -1",
        "stored_size = stored_size + 1",
        "stored_size = -1",
        "compression = 1",
        "compression = 5",
        "parents = x'0102'",
        "parents = x'80'",
        "parents = x''",
        "parents = x'010101010101'",
        "parents = x'ffffffffffff7f'",
    ] {
        let sql = format!("UPDATE blocks SET {change} WHERE leaf_index = 299");
        let undo =
            "UPDATE blocks SET (payload_id, depth, timestamp_key, slices_before, codec, stored_size, compression,
            block_hash, parents) = (SELECT payload_id, depth, timestamp_key, slices_before, codec, stored_size,
            compression, block_hash, parents FROM saved) WHERE leaf_index = 299; DROP TABLE saved";
        tamper(&folder, &format!("CREATE TABLE saved AS SELECT * FROM blocks WHERE leaf_index = 299; {sql}"));
        // The table that remembers the row must go before the schema is looked at.
        let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        let answer = read::block(&connection, 299).map_err(|fault| fault.in_repository(folder.path()));
        match answer {
            Err(BackendError::Damaged(text)) => assert!(text.contains("299"), "{change}: {text}"),
            other => panic!("{change}: {other:?}"),
        }
        drop(connection);
        tamper(&folder, undo);
    }
    let backend = open(&folder, Access::Read).unwrap();
    assert_eq!(backend.block(299).unwrap().as_ref(), log.newest.last());
}

#[test]
fn rows_that_are_gone_are_damage_and_not_absence() {
    let (folder, backend) = create();
    let mut log = Log::new();
    let mut batch = log.batch(3);
    let (chunks, refs, content) = two_chunks();
    batch.chunks.extend(chunks);
    let new = NewContent { content_hash: hash(&content), info: info(2000), staged: None, chunks: refs };
    batch.contents.push(new);
    log.add(&mut batch, &content);
    backend.commit(batch).unwrap();
    drop(backend);
    tamper(
        &folder,
        "DELETE FROM blocks WHERE leaf_index = 0; UPDATE payloads SET bytes = NULL WHERE payload_id = 1;
        DELETE FROM payloads WHERE payload_id = 3; DELETE FROM payloads WHERE payload_id = 5",
    );
    let backend = open(&folder, Access::Read).unwrap();
    let is_damaged = |error: BackendError| matches!(error, BackendError::Damaged(_));
    assert!(is_damaged(backend.block(1).unwrap_err()), "a parent is gone");
    assert!(is_damaged(backend.block(2).unwrap_err()), "a payload is gone");
    assert!(is_damaged(backend.chunk(&hash(&0u64.to_le_bytes())).unwrap_err()), "the bytes are gone");
    assert!(is_damaged(backend.chunks(&hash(&content), 0, 9).unwrap_err()), "a chunk is gone");
    drop(backend);
    tamper(&folder, "DELETE FROM payload_chunks");
    let backend = open(&folder, Access::Read).unwrap();
    assert!(is_damaged(backend.chunks(&hash(&content), 0, 9).unwrap_err()), "the list is gone");
    drop(backend);
    tamper(&folder, "DELETE FROM totals");
    assert!(is_damaged(open(&folder, Access::Write).unwrap_err()));
}

#[test]
fn a_file_that_was_cut_short_or_overwritten_never_panics() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(500)).unwrap();
    drop(backend);
    let path = folder.path().join(DATABASE_FILE);
    let whole = std::fs::read(&path).unwrap();
    let mut found = 0;
    for (number, at) in (0..whole.len()).step_by(whole.len() / 40).enumerate() {
        let mut bytes = whole.clone();
        match number % 2 {
            0 => bytes.truncate(at),
            _ => bytes[at..(at + 8192).min(whole.len())].fill(0xa5),
        }
        std::fs::write(&path, &bytes).unwrap();
        let outcome = open(&folder, Access::Read).and_then(|backend| {
            for block in &log.newest {
                let read = backend.block(block.leaf_index())?;
                assert!(read.is_none() || read.as_ref() == Some(block), "a wrong block was handed out");
                backend.find_block(&block.block_hash())?;
                backend.chunk(&block.header().content_hash)?;
                backend.children(block.leaf_index(), None, 9)?;
            }
            backend.by_time(0..=u64::MAX, None, 999)?;
            backend.chunk_hashes(None, 999).map(|_| ())
        });
        match outcome {
            Err(BackendError::Damaged(_)) => found += 1,
            Err(error) => panic!("{number}: {error:?}"),
            Ok(()) => {}
        }
    }
    assert!(found > 20, "only {found} damages were noticed");
}

#[test]
fn what_a_dead_writer_left_behind_is_cleared_away_and_nothing_else() {
    let (folder, backend) = create();
    let mut log = Log::new();
    let mut batch = log.batch(2);
    let (chunks, refs, content) = two_chunks();
    batch.chunks.extend(chunks);
    let new = NewContent { content_hash: hash(&content), info: info(2000), staged: None, chunks: refs.clone() };
    batch.contents.push(new);
    log.add(&mut batch, &content);
    backend.commit(batch).unwrap();
    let before = (backend.totals().unwrap(), count(&folder, "payloads"), count(&folder, "payload_chunks"));
    // A staged content that shares a chunk, one of many chunks, a content without a block, a chunk of nothing.
    let mut left = WriteBatch::default();
    left.chunks.push(chunk(b"of nothing"));
    left.staged.push((StagingId(1), refs[..1].to_vec()));
    let many: Vec<StoredChunk> = (0..5000u32).map(|number| chunk(&number.to_le_bytes())).collect();
    let place = |(at, chunk): (usize, &StoredChunk)| ChunkRef {
        offset: at as u64 * 4,
        chunk_hash: chunk.chunk_hash,
        original_size: 4,
    };
    left.staged.push((StagingId(2), many.iter().enumerate().map(place).collect()));
    let whole: Vec<u8> = many[..2].iter().flat_map(|chunk| chunk.bytes.clone()).collect();
    let chunks = many[..2].iter().enumerate().map(place).collect();
    left.contents.push(NewContent { content_hash: hash(&whole), info: info(8), staged: None, chunks });
    left.chunks.extend(many);
    backend.commit(left).unwrap();
    assert!(backend.payload(&hash(&whole)).unwrap().is_some());
    assert_eq!(backend.totals().unwrap().chunks, before.0.chunks + 5001);
    drop(backend);
    let reader = open(&folder, Access::Read).unwrap();
    assert!(reader.chunk(&hash(b"of nothing")).unwrap().is_some(), "a reader clears nothing away");
    let backend = open(&folder, Access::Write).unwrap();
    assert!(reader.chunk(&hash(b"of nothing")).unwrap().is_some(), "nor does a writer that writes nothing");
    backend.commit(WriteBatch::default()).unwrap();
    assert_eq!(reader.chunk(&hash(b"of nothing")).unwrap(), None);
    let after = (backend.totals().unwrap(), count(&folder, "payloads"), count(&folder, "payload_chunks"));
    assert_eq!(after, before);
    assert_eq!(backend.chunks(&hash(&content), 0, 9).unwrap(), refs);
    // The numbers of what was cleared away are not used again: the reader, which went past them, must see what is new.
    backend.commit(log.batch(1)).unwrap();
    let newest = log.newest.last().unwrap();
    assert_eq!(reader.find_block(&newest.block_hash()).unwrap(), Some(3));
    assert!(reader.payload(&newest.header().content_hash).unwrap().is_some());
}

#[test]
fn a_removed_payload_comes_back_under_its_number() {
    let (folder, backend) = create();
    let mut log = Log::new();
    let mut batch = log.batch(2);
    let (chunks, refs, content) = two_chunks();
    batch.chunks.extend(chunks.clone());
    let new = || NewContent { content_hash: hash(&content), info: info(2000), staged: None, chunks: refs.clone() };
    batch.contents.push(new());
    log.add(&mut batch, &content);
    backend.commit(batch).unwrap();
    drop(backend);
    let remove = "DELETE FROM payload_chunks; DELETE FROM payloads WHERE payload_id IN (3, 4);
        UPDATE payloads SET kind = 2, bytes = NULL WHERE payload_id IN (1, 5);
        UPDATE totals SET chunks = 1, unique_bytes = 8, stored_bytes = 8";
    let zero = 0u64.to_le_bytes();
    for is_staged in [false, true] {
        tamper(&folder, remove);
        let backend = open(&folder, Access::Write).unwrap();
        for hash in [hash(&zero), hash(&content)] {
            assert!(!backend.payload(&hash).unwrap().unwrap().is_kept);
            assert!(backend.chunks(&hash, 0, 9).unwrap().is_empty());
            assert_eq!(backend.chunk(&hash).unwrap(), None);
        }
        assert!(backend.block(2).unwrap().is_some(), "the header outlives the payload");
        let mut again = WriteBatch { chunks: chunks.clone(), ..WriteBatch::default() };
        again.chunks.push(chunk(&zero));
        let mut new = new();
        if is_staged {
            again.staged.push((StagingId(1), refs[..1].to_vec()));
            backend.commit(std::mem::take(&mut again)).unwrap();
            new = NewContent { staged: Some(StagingId(1)), chunks: refs[1..].to_vec(), ..new };
        }
        again.contents.push(new);
        backend.commit(again).unwrap();
        assert_eq!(backend.payload(&hash(&content)).unwrap(), Some(info(2000)));
        assert_eq!(backend.chunks(&hash(&content), 0, 9).unwrap(), refs);
        assert_eq!(backend.chunk(&hash(&zero)).unwrap(), Some(chunk(&zero)));
        assert_eq!(backend.find_content(&hash(&content), None, 9).unwrap(), [2]);
        assert_eq!(backend.totals().unwrap().chunks, 4);
        drop(backend);
        drop(open(&folder, Access::Write).unwrap());
        let backend = open(&folder, Access::Read).unwrap();
        assert_eq!(backend.chunks(&hash(&content), 1500, 9).unwrap(), refs[1..]);
        drop(backend);
        tamper(&folder, "UPDATE payloads SET payload_id = payload_id - 3 WHERE payload_id > 5");
        tamper(&folder, "DELETE FROM payload_chunks; DELETE FROM payloads WHERE hash IS NOT NULL AND refs = 0");
    }
}

#[test]
fn a_full_disk_is_named_and_takes_nothing_of_the_batch() {
    let (_folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(10)).unwrap();
    let before = backend.totals().unwrap();
    let pages_max = |pages: i64| {
        let writer = backend.writer().unwrap();
        writer.connection.pragma_update(None, "max_page_count", pages).unwrap();
    };
    pages_max(1);
    let mut batch = log.batch(1);
    batch.chunks.extend((0..200u32).map(|number| chunk(&number.to_le_bytes().repeat(300))));
    assert!(matches!(backend.commit(batch.clone()), Err(BackendError::DiskFull)));
    assert_eq!(backend.totals().unwrap(), before);
    pages_max(1 << 30);
    backend.commit(batch).unwrap();
    assert_eq!(backend.totals().unwrap().blocks, 11);
}

#[test]
fn a_folder_that_cannot_be_written_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(300)).unwrap();
    drop(backend);
    let mode = |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::remove_file(folder.path().join(LOCK_FILE)).unwrap();
    mode(0o555);
    let is_writable = std::fs::write(folder.path().join("probe"), b"").is_ok();
    let backend = open(&folder, Access::Read).unwrap();
    assert_eq!(backend.block(299).unwrap().as_ref(), log.newest.last());
    assert!(backend.find_block(&log.newest[7].block_hash()).unwrap().is_some());
    drop(backend);
    // Nothing keeps root from writing.
    let written = open(&folder, Access::Write);
    assert_eq!(matches!(written, Err(BackendError::ReadOnly(_))), !is_writable, "{written:?}");
    mode(0o755);
}

#[test]
fn a_database_that_nobody_writes_is_read_without_files_beside_it() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(300)).unwrap();
    drop(backend);
    let path = folder.path().join(DATABASE_FILE);
    let connection = connection::open_read(&path, Sight::Immutable, &Options::default()).unwrap();
    schema::verify(&connection).unwrap();
    assert_eq!(read::block(&connection, 299).unwrap().as_ref(), log.newest.last());
    let derived = Derived::of_reader(&connection).unwrap();
    assert!(derived.may_contain(log.newest[3].block_hash().as_bytes()));
    assert_eq!(read::find_block(&connection, &derived, &log.newest[3].block_hash()).unwrap(), Some(3));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// Whether everything can be found that was put, by every way to it.
fn assert_finds_all(backend: &SqliteBackend, log: &Log) {
    let mut children = vec![Vec::new(); log.newest.len()];
    for block in &log.newest {
        let leaf_index = block.leaf_index();
        block.header().parents.iter().for_each(|parent| children[parent.leaf_index as usize].push(leaf_index));
    }
    for (block, children) in log.newest.iter().zip(&children).step_by(11) {
        let leaf_index = block.leaf_index();
        assert_eq!(backend.find_block(&block.block_hash()).unwrap(), Some(leaf_index));
        assert_eq!(backend.find_key(&block.key()).unwrap(), Some(leaf_index));
        assert_eq!(&backend.children(leaf_index, None, 9).unwrap(), children);
        assert_eq!(backend.child_count(leaf_index).unwrap(), children.len() as u64);
    }
    let frontier: Vec<u64> =
        (0..).zip(&children).filter(|(_, children)| children.is_empty()).map(|(at, _)| at).collect();
    assert_eq!(backend.frontier(None, 9).unwrap(), frontier);
    let depth = log.newest[777].header().depth;
    let depths: Vec<(u32, u64)> = log.newest.iter().map(|block| (block.header().depth, block.leaf_index())).collect();
    let expected: Vec<_> = depths.into_iter().filter(|entry| *entry > (depth, 777)).take(99).collect();
    assert_eq!(backend.by_depth(depth..=u32::MAX, Some((depth, 777)), 99).unwrap(), expected);
    assert_eq!(backend.by_time(TIME_MS..=TIME_MS, None, usize::MAX).unwrap().len(), log.newest.len());
    assert_eq!(backend.chunk_hashes(None, usize::MAX).unwrap().len(), log.newest.len());
    let head = crate::log::LogReader::new(backend).head().unwrap();
    assert_eq!(head, log.nodes.head());
}

#[test]
fn what_was_saved_finds_all_after_a_restart_or_a_crash_or_damage() {
    let (folder, backend) = create();
    let mut log = Log::new();
    // Two hashes a block: the second batch overfills the filter, which is enlarged, and all is saved; so does the fourth.
    let generation = || backend.derived().position().generation;
    for (count, capacity, generations) in
        [(20_000, 1 << 16, 0), (20_000, 1 << 17, 1), (20_000, 1 << 17, 1), (30_010, 1 << 18, 2), (300, 1 << 18, 2)]
    {
        backend.commit(log.batch(count)).unwrap();
        assert_eq!((backend.derived().filter_size().1, generation()), (capacity, generations));
    }
    assert_finds_all(&backend, &log);
    // A process that dies saves nothing more: its files are those of this moment.
    let image = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
    }
    for access in [Access::Read, Access::Write] {
        assert_finds_all(&open(&image, access).unwrap(), &log);
    }
    drop(backend);
    for damage in [
        "UPDATE filter_pages SET bits = zeroblob(length(bits)) WHERE page = 1",
        "DELETE FROM filter_pages",
        "UPDATE child_counts SET counts = zeroblob(length(counts))",
        "UPDATE derived SET blocks = blocks - 1",
        "UPDATE derived SET generation = generation + 1",
        "UPDATE runs SET fences = zeroblob(length(fences))",
        "DELETE FROM runs WHERE index_id = 0",
        "DELETE FROM derived",
    ] {
        tamper(&folder, damage);
        let backend = open(&folder, Access::Read).unwrap();
        assert_finds_all(&backend, &log);
        assert!(backend.check_indexes(false).is_err(), "a reader leaves it as it is: {damage}");
        drop(backend);
        assert_finds_all(&open(&folder, Access::Write).unwrap(), &log);
        let backend = open(&folder, Access::Read).unwrap();
        backend.check_indexes(false).unwrap();
        assert!(backend.derived().position().generation > 2, "the writer saved what it made anew: {damage}");
    }
    let backend = open(&folder, Access::Read).unwrap();
    let absent =
        (0..10_000u32).map(|number| *blake3::hash(&[&b"absent"[..], &number.to_le_bytes()].concat()).as_bytes());
    let wrong = absent.filter(|hash| backend.derived().may_contain(hash)).count();
    assert!(wrong <= 100, "{wrong} of 10,000");
}

#[test]
fn a_page_of_an_index_that_is_damaged_denies_nothing() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(70_000)).unwrap();
    drop(backend);
    for (sql, index) in
        [("bytes = substr(bytes, 1, 2000)", 0), ("bytes = zeroblob(length(bytes))", 1), ("page_id = -page_id", 3)]
    {
        let pages = format!("(SELECT run_id << 24 FROM runs WHERE index_id = {index})");
        let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        let page: Vec<u8> = connection
            .query_row(&format!("SELECT bytes FROM run_pages WHERE page_id = {pages}"), (), |row| row.get(0))
            .unwrap();
        let id: i64 = connection.query_row(&format!("SELECT * FROM {pages}"), (), |row| row.get(0)).unwrap();
        drop(connection);
        tamper(&folder, &format!("UPDATE run_pages SET {sql} WHERE page_id = {id}"));
        let backend = open(&folder, Access::Read).unwrap();
        let mut damaged = 0;
        for block in log.newest.iter().step_by(3) {
            let answers = [
                backend.find_block(&block.block_hash()).map(|found| found == Some(block.leaf_index())),
                backend.payload(&block.header().content_hash).map(|found| found.is_some()),
                backend
                    .children(block.leaf_index(), None, 9)
                    .map(|children| !children.is_empty() || block.leaf_index() > 69_990),
            ];
            for answer in answers {
                match answer {
                    Ok(is_right) => assert!(is_right, "a wrong answer about block {}", block.leaf_index()),
                    Err(BackendError::Damaged(_)) => damaged += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(damaged > 10 && damaged < 5_000, "{damaged} answers were refused");
        assert!(matches!(backend.check_indexes(false), Err(BackendError::Damaged(_))));
        drop(backend);
        tamper(&folder, &format!("DELETE FROM run_pages WHERE page_id IN ({id}, -{id})"));
        let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        connection.execute("INSERT INTO run_pages (page_id, bytes) VALUES (?1, ?2)", params![id, page]).unwrap();
    }
    open(&folder, Access::Read).unwrap().check_indexes(false).unwrap();
}

#[test]
fn a_reader_in_another_process_follows_commits_and_saves() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(300)).unwrap();
    // Opened by themselves, as another process would.
    let readers = [open(&folder, Access::Read).unwrap(), open(&folder, Access::Read).unwrap()];
    for count in [1, 255, 40_000, 40_000, 10] {
        backend.commit(log.batch(count)).unwrap();
        for block in log.newest.iter().rev().step_by(997) {
            for reader in &readers {
                assert_eq!(reader.find_block(&block.block_hash()).unwrap(), Some(block.leaf_index()));
            }
        }
        assert_eq!(crate::log::LogReader::new(&readers[1]).head().unwrap(), log.nodes.head());
    }
    readers.iter().for_each(|reader| assert_finds_all(reader, &log));
    assert!(readers[0].derived().position().generation > 0);
}

#[test]
fn a_node_of_the_log_that_was_changed_or_lost_is_found() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(800)).unwrap();
    drop(backend);
    let problems = || {
        let go_on = &mut |_, _| std::ops::ControlFlow::Continue(());
        let backend = open(&folder, Access::Read).unwrap();
        crate::check::check(&backend, crate::check::Depth::Structure, go_on).unwrap().problem_count
    };
    assert_eq!((problems(), count(&folder, "log_tiles"), count(&folder, "log_nodes")), (0, 3, 1));
    for (table, change) in [
        ("log_tiles", "UPDATE log_tiles SET nodes = CAST(x'00' || substr(nodes, 2) AS BLOB) WHERE tile = 1"),
        ("log_tiles", "UPDATE log_tiles SET nodes = CAST(substr(nodes, 1, 2015) || x'00' AS BLOB) WHERE tile = 2"),
        ("log_tiles", "DELETE FROM log_tiles WHERE tile = 0"),
        ("log_nodes", "UPDATE log_nodes SET hash = zeroblob(32)"),
        ("log_nodes", "DELETE FROM log_nodes"),
    ] {
        let path = folder.path().join(DATABASE_FILE);
        let sound = std::fs::read(&path).unwrap();
        tamper(&folder, change);
        assert!(problems() > 0, "{table}: {change}");
        std::fs::write(&path, sound).unwrap();
    }
    assert_eq!(problems(), 0);
}

fn problems(folder: &tempfile::TempDir) -> Vec<crate::check::Problem> {
    let go_on = &mut |_, _| std::ops::ControlFlow::Continue(());
    crate::check::check(&open(folder, Access::Read).unwrap(), crate::check::Depth::Full, go_on).unwrap().problems
}

fn repaired(folder: &tempfile::TempDir) -> repair::RepairReport {
    repair::repair(folder.path(), &Options::default(), &mut |_, _| ()).unwrap()
}

#[test]
fn what_follows_from_the_rest_is_repaired_and_nothing_is_lost() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(1500)).unwrap();
    drop(backend);
    let report = repaired(&folder);
    assert!(report.is_whole() && report.log_nodes_restored == 0 && !report.totals_corrected, "{report:?}");
    for damage in [
        "DELETE FROM log_tiles WHERE tile = 2",
        "UPDATE log_tiles SET nodes = CAST(x'00' || substr(nodes, 2) AS BLOB) WHERE tile = 1",
        "DELETE FROM log_nodes",
        "UPDATE payloads SET stored_size = stored_size + 1 WHERE payload_id % 3 = 0",
        "UPDATE payloads SET kind = 2 WHERE payload_id = 9; UPDATE payloads SET kind = 1 WHERE payload_id = 11",
        "UPDATE totals SET payload_next = 1 << 62",
        "UPDATE totals SET blocks = 1 << 40, generation = -1",
        "UPDATE log_nodes SET hash = zeroblob(32)",
        "UPDATE payloads SET refs = 7 WHERE payload_id % 5 = 0",
        "UPDATE blocks SET way = 8 * 3 + 1 WHERE leaf_index % 7 = 6",
        "UPDATE blocks SET way = 0 WHERE leaf_index % 2 = 0",
        "UPDATE totals SET blocks = 3, edges = 2, frontier = 5, stored_bytes = 0, payload_next = 8",
        "DELETE FROM totals",
        "INSERT INTO runs VALUES (9, 0, 0, 1, x'00'); INSERT INTO run_pages VALUES (3, x'01')",
        "INSERT INTO derived VALUES (1, 0, 5, 5, 0, 8, 9, zeroblob(32))",
    ] {
        tamper(&folder, damage);
        let report = repaired(&folder);
        assert!(report.is_whole(), "{damage}: {report:?}");
        assert_eq!(problems(&folder), [], "{damage}");
        assert_finds_all(&open(&folder, Access::Read).unwrap(), &log);
    }
}

#[test]
fn the_stored_size_of_a_list_is_made_that_of_its_chunks() {
    let (folder, backend) = create();
    let mut log = Log::new();
    let mut batch = log.batch(3);
    let (chunks, refs, content) = two_chunks();
    batch.chunks.extend(chunks);
    batch.contents.push(NewContent { content_hash: hash(&content), info: info(2000), staged: None, chunks: refs });
    log.add(&mut batch, &content);
    backend.commit(batch).unwrap();
    drop(backend);
    tamper(&folder, "UPDATE payloads SET stored_size = 7 WHERE kind = 1");
    assert_eq!(problems(&folder).len(), 1);
    let report = repaired(&folder);
    assert_eq!((report.is_whole(), report.rows_corrected), (true, 1));
    assert_eq!(problems(&folder), []);
}

#[test]
fn a_setting_that_is_not_the_one_that_was_set_is_damage() {
    let (folder, backend) = create();
    backend.set_setting("name", b"land titles").unwrap();
    drop(backend);
    tamper(&folder, "UPDATE settings SET value = CAST('land titlas' AS BLOB) WHERE key = 'name'");
    let backend = open(&folder, Access::Write).unwrap();
    assert!(matches!(backend.setting("name"), Err(BackendError::Damaged(_))));
    // Set again, it is right again.
    backend.set_setting("name", b"sea titles").unwrap();
    assert_eq!(backend.setting("name").unwrap().unwrap(), b"sea titles");
}

#[test]
fn a_damaged_chunk_is_set_aside_and_restored_when_its_content_is_put_again() {
    let (folder, backend) = create();
    let mut log = Log::new();
    let mut batch = log.batch(20);
    let (chunks, refs, content) = two_chunks();
    batch.chunks.extend(chunks.clone());
    let new = NewContent { content_hash: hash(&content), info: info(2000), staged: None, chunks: refs.clone() };
    batch.contents.push(new);
    let of_two = log.add(&mut batch, &content);
    backend.commit(batch).unwrap();
    drop(backend);
    let (seven, a) = (7u64.to_le_bytes(), vec![b'a'; 1000]);
    for damage in
        ["bytes = CAST(x'ff' || substr(bytes, 2) AS BLOB)", "bytes = NULL", "compression = 1", "compression = 99"]
    {
        let which = |hash: ContentHash| format!("hash = x'{}'", hex::encode(hash.as_bytes()));
        tamper(&folder, &format!("UPDATE payloads SET {damage} WHERE {}", which(hash(&seven))));
        tamper(&folder, &format!("UPDATE payloads SET {damage} WHERE {}", which(hash(&a))));
        let report = repaired(&folder);
        assert_eq!((report.set_aside, report.blocks_lost), (vec![hash(&seven), hash(&a)], vec![]), "{damage}");
        assert_eq!(report.contents_lost, [log.newest[7].block_hash(), of_two.block_hash()]);
        // What is told once is not forgotten.
        assert_eq!(repaired(&folder).contents_lost_count, 2);
        assert!(problems(&folder).contains(&crate::check::Problem::LostContent { leaf_index: 7 }));
        let backend = open(&folder, Access::Write).unwrap();
        assert_eq!(backend.chunk(&hash(&seven)).unwrap(), None, "what is damaged is not handed out");
        assert!(backend.chunk(&hash(&9u64.to_le_bytes())).unwrap().is_some());
        backend.commit(WriteBatch { chunks: vec![chunk(&seven), chunk(&a)], ..WriteBatch::default() }).unwrap();
        assert_eq!(backend.chunk(&hash(&a)).unwrap(), Some(chunk(&a)));
        drop(backend);
        let report = repaired(&folder);
        assert!(report.is_whole(), "{damage}: {report:?}");
        assert_eq!(problems(&folder), [], "{damage}");
    }
    assert_eq!(count(&folder, "set_aside"), 8);
}

#[test]
fn a_content_whose_list_or_chunk_has_no_row_any_more_is_restored_when_it_is_put_again() {
    let (chunks, refs, content) = two_chunks();
    for damage in [
        "DELETE FROM payloads WHERE payload_id = 2",
        "DELETE FROM payload_chunks WHERE start_offset > 0",
        "DELETE FROM payload_chunks",
    ] {
        let (folder, backend) = create();
        let mut log = Log::new();
        let mut batch = WriteBatch { chunks: chunks.clone(), ..WriteBatch::default() };
        let new = || NewContent { content_hash: hash(&content), info: info(2000), staged: None, chunks: refs.clone() };
        batch.contents.push(new());
        let block = log.add(&mut batch, &content);
        backend.commit(batch).unwrap();
        drop(backend);
        tamper(&folder, damage);
        assert_eq!(repaired(&folder).contents_lost, [block.block_hash()], "{damage}");
        assert!(!problems(&folder).is_empty(), "{damage}");
        let backend = open(&folder, Access::Write).unwrap();
        let again = WriteBatch { chunks: chunks.clone(), contents: vec![new()], ..WriteBatch::default() };
        backend.commit(again).unwrap();
        assert_eq!(backend.chunks(&hash(&content), 0, 9).unwrap(), refs, "{damage}");
        drop(backend);
        assert!(repaired(&folder).is_whole(), "{damage}");
        assert_eq!(problems(&folder), [], "{damage}");
    }
}

#[test]
fn counts_that_lie_delete_nothing() {
    let (folder, backend) = create();
    let mut log = Log::new();
    let mut batch = log.batch(3);
    let (chunks, refs, content) = two_chunks();
    batch.chunks.extend(chunks);
    batch.contents.push(NewContent {
        content_hash: hash(&content),
        info: info(2000),
        staged: None,
        chunks: refs.clone(),
    });
    log.add(&mut batch, &content);
    backend.commit(batch).unwrap();
    drop(backend);
    tamper(&folder, "UPDATE payloads SET refs = 0");
    drop(open(&folder, Access::Write).unwrap());
    let backend = open(&folder, Access::Write).unwrap();
    backend.commit(log.batch(1)).unwrap();
    assert_eq!(backend.chunks(&hash(&content), 0, 9).unwrap(), refs);
    for block in &log.newest[..3] {
        assert!(backend.chunk(&block.header().content_hash).unwrap().is_some());
    }
    assert!(backend.chunk(&refs[0].chunk_hash).unwrap().is_some());
}

#[test]
fn sums_that_cannot_be_are_damage_and_take_no_memory() {
    for (sum, is_refused) in [
        ("blocks = 1 << 40", true),
        ("blocks = 1 << 62", true),
        ("payload_next = 1 << 62", false),
        ("generation = -1", true),
    ] {
        let (folder, backend) = create();
        let mut log = Log::new();
        backend.commit(log.batch(30)).unwrap();
        drop(backend);
        tamper(&folder, &format!("UPDATE totals SET {sum}"));
        for access in [Access::Read, Access::Write] {
            assert_eq!(matches!(open(&folder, access), Err(BackendError::Damaged(_))), is_refused, "{sum}");
        }
    }
}

#[test]
fn a_row_that_cannot_be_read_is_nobody_elses_trouble() {
    for damage in ["depth = -1", "parents = x'8080808080'", "payload_id = -7", "block_hash = zeroblob(32)", "way = -1"]
    {
        let (folder, backend) = create();
        let mut log = Log::new();
        backend.commit(log.batch(30)).unwrap();
        drop(backend);
        tamper(&folder, &format!("UPDATE blocks SET {damage} WHERE leaf_index = 12"));
        let backend = open(&folder, Access::Read).unwrap();
        assert_eq!(backend.block(9).unwrap().as_ref(), Some(&log.newest[9]), "{damage}");
        assert_eq!(backend.find_block(&log.newest[20].block_hash()).unwrap(), Some(20), "{damage}");
        drop(backend);
        let report = repaired(&folder);
        assert_eq!(report.blocks_lost.first().copied(), (damage != "way = -1").then_some(12), "{damage}");
    }
}

#[test]
fn an_index_that_lacks_a_run_is_made_anew() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(66_000)).unwrap();
    drop(backend);
    for index in 0..6 {
        tamper(&folder, &format!("DELETE FROM runs WHERE index_id = {index}"));
        assert_finds_all(&open(&folder, Access::Write).unwrap(), &log);
    }
}

/// Two blocks of 8 bytes and one of two chunks: payloads 1 to 4, and the list is number 5.
fn with_a_list() -> (tempfile::TempDir, Log, WriteBatch) {
    let (folder, backend) = create();
    let mut log = Log::new();
    let mut batch = log.batch(2);
    let (chunks, refs, content) = two_chunks();
    batch.chunks.extend(chunks);
    batch.contents.push(NewContent { content_hash: hash(&content), info: info(2000), staged: None, chunks: refs });
    log.add(&mut batch, &content);
    let again = WriteBatch { chunks: batch.chunks.clone(), contents: batch.contents.clone(), ..WriteBatch::default() };
    backend.commit(batch).unwrap();
    (folder, log, again)
}

#[test]
fn whatever_a_row_says_wrongly_is_told_and_put_again_it_is_whole() {
    for damage in [
        "UPDATE payload_chunks SET chunk_id = 3 WHERE chunk_id = 4",
        "UPDATE payloads SET original_size = original_size + 1 WHERE payload_id = 4",
        "UPDATE payloads SET original_size = 99999999999 WHERE payload_id = 4",
        "UPDATE payload_chunks SET start_offset = -5 WHERE start_offset > 0",
        "UPDATE payload_chunks SET chunk_id = 5 WHERE chunk_id = 4",
    ] {
        let (folder, log, again) = with_a_list();
        tamper(&folder, damage);
        let report = repaired(&folder);
        assert_eq!(report.contents_lost, [log.newest[2].block_hash()], "{damage}");
        assert!(!problems(&folder).is_empty(), "{damage}");
        open(&folder, Access::Write).unwrap().commit(again).unwrap();
        assert!(repaired(&folder).is_whole(), "{damage}");
        assert_eq!(problems(&folder), [], "{damage}");
    }
}

#[test]
fn a_block_whose_payloads_row_names_a_wrong_hash_is_not_lost() {
    for (damage, blocks) in [
        ("UPDATE payloads SET hash = zeroblob(32) WHERE payload_id = 2", &[1][..]),
        ("UPDATE payloads SET hash = zeroblob(32) WHERE payload_id = 5", &[2]),
        ("UPDATE payloads SET hash = randomblob(32) WHERE payload_id IN (1, 2, 5)", &[0, 1, 2]),
        ("UPDATE payloads SET hash = NULL WHERE payload_id IN (1, 5)", &[0, 2]),
    ] {
        let (folder, log, again) = with_a_list();
        tamper(&folder, damage);
        for leaf_index in blocks {
            assert!(open(&folder, Access::Read).unwrap().block(*leaf_index).is_err(), "{damage}");
        }
        let report = repaired(&folder);
        assert!(report.is_whole() && report.set_aside.is_empty(), "{damage}: {report:?}");
        assert_eq!(report.rows_corrected, blocks.len() as u64, "{damage}");
        assert_eq!(problems(&folder), [], "{damage}");
        assert_eq!(count(&folder, "set_aside"), 0, "{damage}");
        assert_eq!(open(&folder, Access::Read).unwrap().block(1).unwrap().as_ref(), Some(&log.newest[1]));
        assert_eq!(repaired(&folder), repaired(&folder), "{damage}");
        // The same content put again is the one that is kept.
        let chunks = count(&folder, "payloads");
        open(&folder, Access::Write).unwrap().commit(again).unwrap();
        assert_eq!(count(&folder, "payloads"), chunks, "{damage}");
    }
}

#[test]
fn a_payload_whose_content_came_again_under_another_row_gives_its_blocks_to_that() {
    let (folder, log, _) = with_a_list();
    tamper(&folder, "UPDATE payloads SET hash = zeroblob(32) WHERE payload_id = 2");
    let one = 1u64.to_le_bytes();
    let backend = open(&folder, Access::Write).unwrap();
    backend.commit(WriteBatch { chunks: vec![chunk(&one)], ..WriteBatch::default() }).unwrap();
    drop(backend);
    // A chunk that nothing names is cleared away when a writer begins; here it stays, as if a block named it.
    tamper(&folder, "UPDATE payloads SET refs = 1 WHERE refs = 0");
    let report = repaired(&folder);
    assert_eq!((report.blocks_lost_count, report.contents_lost_count), (0, 0), "{report:?}");
    assert_eq!(problems(&folder), []);
    let backend = open(&folder, Access::Read).unwrap();
    assert_eq!(backend.block(1).unwrap().as_ref(), Some(&log.newest[1]));
    assert_eq!(backend.chunk(&hash(&one)).unwrap(), Some(chunk(&one)));
}

#[test]
fn a_hash_and_bytes_that_are_both_damaged_are_lost_and_nothing_is_invented() {
    let (folder, log, again) = with_a_list();
    tamper(&folder, "UPDATE payloads SET hash = zeroblob(32), bytes = zeroblob(8) WHERE payload_id = 2");
    tamper(
        &folder,
        "UPDATE payloads SET hash = zeroblob(32) WHERE payload_id = 5; DELETE FROM payload_chunks WHERE start_offset = 0",
    );
    let report = repaired(&folder);
    assert_eq!((report.blocks_lost, report.set_aside_count), (vec![1, 2], 1));
    drop((log, again));
}

#[test]
fn what_a_damaged_row_may_have_named_is_not_given_up() {
    let (_, refs, _) = two_chunks();
    for damage in [
        "UPDATE payload_chunks SET chunk_id = 3 WHERE chunk_id = 4",
        "UPDATE blocks SET payload_id = 3 WHERE leaf_index = 2",
    ] {
        let (folder, mut log, _) = with_a_list();
        tamper(&folder, damage);
        assert!(!repaired(&folder).is_whole(), "{damage}");
        let backend = open(&folder, Access::Write).unwrap();
        // What clears away comes with a commit, whether or not the log can go on.
        let _ = backend.commit(log.batch(1));
        assert!(backend.chunk(&refs[1].chunk_hash).unwrap().is_some(), "{damage}");
        assert!(count(&folder, "payloads") >= 5, "{damage}");
    }
}

#[test]
fn a_block_lost_at_the_end_does_not_shorten_the_log_in_silence() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(300)).unwrap();
    drop(backend);
    tamper(&folder, "DELETE FROM blocks WHERE leaf_index = 299");
    for _ in 0..2 {
        assert_eq!(repaired(&folder).blocks_lost, [299]);
        assert!(!problems(&folder).is_empty());
    }
    let backend = open(&folder, Access::Write).unwrap();
    assert_eq!(backend.totals().unwrap().blocks, 300);
    assert!(crate::log::LogAppender::resume(&backend).is_err(), "nothing takes the place of what is lost");
}

#[test]
fn a_block_that_is_lost_is_named_and_the_rest_stays_provable() {
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(600)).unwrap();
    drop(backend);
    tamper(&folder, "UPDATE blocks SET codec = 113 WHERE leaf_index = 100; DELETE FROM blocks WHERE leaf_index = 300");
    let report = repaired(&folder);
    // Those who name block 300 as a parent cannot be put together without its hash.
    assert_eq!(report.blocks_lost, [100, 300, 301, 302]);
    assert_eq!((report.contents_lost_count, report.log_nodes_restored), (0, 0));
    let backend = open(&folder, Access::Read).unwrap();
    let log_reader = crate::log::LogReader::new(&backend);
    let head = log_reader.head().unwrap().unwrap();
    assert_eq!(Some(head), log.nodes.head());
    let path = log_reader.inclusion(99, 600).unwrap();
    let block = backend.block(99).unwrap().unwrap();
    pakit_primitives::verify_inclusion::<SoftwareHasher>(&head, 99, &block.block_hash(), &path).unwrap();
    assert!(backend.block(100).is_err());
}

/// Made by the program when version 1 was current: a folder of 301 files, one of them put again with metadata.
#[test]
fn a_repository_of_version_1_is_brought_up_to_date_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = zstd::decode_all(&include_bytes!("../../tests/data/version-1.db.zst")[..]).unwrap();
    std::fs::write(folder.path().join(DATABASE_FILE), database).unwrap();
    assert!(matches!(open(&folder, Access::Read), Err(BackendError::ReadOnly(_))), "a reader changes nothing");
    let backend = open(&folder, Access::Write).unwrap();
    let head = crate::log::LogReader::new(&backend).head().unwrap().unwrap();
    assert_eq!(head.size, 305);
    assert_eq!(head.root.to_string(), "0x46b848317e7949ac4d272607140fa4832d9ebf84880a31ce177f6c8c17b4900b");
    let go_on = &mut |_, _| std::ops::ControlFlow::Continue(());
    let report = crate::check::check(&backend, crate::check::Depth::Full, go_on).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.blocks, report.chunks), (305, 310));
    let mut batch = WriteBatch::default();
    batch.chunks.push(chunk(b"what came later"));
    let mut appender = crate::log::LogAppender::resume(&backend).unwrap();
    let parents = [303, 304].map(|leaf_index| backend.block(leaf_index).unwrap().unwrap());
    let totals = backend.totals().unwrap();
    let builder = DagBuilder::new(totals.blocks, totals.slices);
    let block = builder.block(NewBlock::raw(b"what came later"), u64::MAX >> 1, &parents).unwrap();
    appender.append(&block, &mut batch.log_nodes).unwrap();
    batch.blocks.push(block);
    backend.commit(batch).unwrap();
    assert_eq!(crate::log::LogReader::new(&backend).head().unwrap(), appender.head());
}

#[test]
fn marks_that_the_audit_trail_does_not_tell_drop_nothing_and_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = StorageEngine::init(folder.path(), &InitOptions::default(), Config::default()).unwrap();
    let [a, b, c] = [&b"a"[..], b"b", b"c"].map(|bytes| engine.store(bytes, None).unwrap().block);
    let options = ForgetOptions::default();
    engine.removal::<_, ForgetError>(|mut removal| removal.forget(&[a.clone(), c], &options)).unwrap();
    engine.removal::<_, DecideError>(|mut removal| removal.pin(&[b], None, "")).unwrap();
    engine.store(&b"c"[..], None).unwrap();
    drop(engine);
    let gc = || {
        let engine = StorageEngine::open(folder.path(), Access::Write, &Default::default()).unwrap();
        engine.removal::<_, GcError>(|mut removal| removal.gc("", &mut |_, _| ()))
    };
    for (damage, is_refused) in [
        ("DELETE FROM pins", true),
        ("INSERT INTO forgotten VALUES (2, 4)", true),
        ("INSERT INTO forgotten VALUES (3, 4)", true),
        ("UPDATE forgotten SET audit = 5", true),
        ("UPDATE pins SET until_ms = 1", true),
        ("DELETE FROM forgotten", false),
    ] {
        tamper(&folder, damage);
        assert_ne!(problems(&folder), [], "{damage}");
        match gc() {
            Err(refused) => assert!(is_refused && matches!(refused, GcError::Hold(HoldError::Marks(_))), "{refused}"),
            Ok(summary) => assert!(!is_refused && summary.dropped == 0, "{damage}"),
        }
        let report = repaired(&folder);
        assert!(report.marks_corrected > 0 && report.is_whole(), "{damage}");
        assert_eq!(problems(&folder), [], "{damage}");
        let backend = open(&folder, Access::Read).unwrap();
        assert_eq!((backend.forgotten(None, 9).unwrap(), backend.pins(None, 9).unwrap().len()), (vec![1], 1));
    }
    // The trail stands in the log, whatever the table of its blocks says.
    tamper(&folder, "DELETE FROM audits WHERE leaf_index = 5; DELETE FROM pins");
    assert!(matches!(gc(), Err(GcError::Hold(HoldError::Marks(Difference::WrongAudit { .. })))));
    assert!(repaired(&folder).marks_corrected > 0);
    assert_eq!(problems(&folder), []);
    assert_eq!(gc().unwrap().dropped, 1);
    let engine = StorageEngine::open(folder.path(), Access::Read, &Default::default()).unwrap();
    assert!(matches!(engine.retrieve(&a.block_hash()), Err(GetError::Forgotten { .. })));
}

#[test]
fn a_mark_stays_where_the_newest_record_of_the_audit_trail_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = StorageEngine::init(folder.path(), &InitOptions::default(), Config::default()).unwrap();
    let block = engine.store(&b"held"[..], None).unwrap().block;
    engine.removal::<_, DecideError>(|mut removal| removal.pin(&[block], None, "")).unwrap();
    drop(engine);
    tamper(
        &folder,
        "UPDATE payloads SET bytes = zeroblob(length(bytes))
            WHERE payload_id = (SELECT payload_id FROM blocks ORDER BY leaf_index DESC LIMIT 1)",
    );
    for _ in 0..2 {
        let report = repaired(&folder);
        assert!(report.marks_corrected == 0 && !report.is_whole(), "{report:?}");
        assert_eq!(open(&folder, Access::Read).unwrap().pins(None, 9).unwrap().len(), 1);
    }
}

/// Made by the program when version 2 was current: a folder of 295 files, one of them put again with metadata, contents that
/// share chunks, and one that is a part of another.
#[test]
fn a_repository_of_version_2_is_brought_up_to_date_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = zstd::decode_all(&include_bytes!("../../tests/data/version-2.db.zst")[..]).unwrap();
    std::fs::write(folder.path().join(DATABASE_FILE), database).unwrap();
    assert!(matches!(open(&folder, Access::Read), Err(BackendError::ReadOnly(_))), "a reader changes nothing");
    let rows = "SELECT leaf_index, payload_id, metadata_id, depth, timestamp_key, slices_before, codec, stored_size, compression,
        block_hash, parents, way FROM blocks ORDER BY leaf_index";
    let digest = || {
        let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        let mut select = connection.prepare(rows).unwrap();
        let mut found = select.query(()).unwrap();
        let mut hasher = blake3::Hasher::new();
        while let Some(row) = found.next().unwrap() {
            for column in 0..12 {
                hasher.update(format!("{:?}", row.get_ref(column).unwrap()).as_bytes());
            }
        }
        hasher.finalize()
    };
    let before = digest();
    let backend = open(&folder, Access::Write).unwrap();
    assert_eq!(digest(), before, "the rows of the blocks are the same in their new table");
    let head = crate::log::LogReader::new(&backend).head().unwrap().unwrap();
    assert_eq!(head.size, 300);
    assert_eq!(head.root.to_string(), "0x79eeaadf6bcefdfc61fad427c27e6a72ed6a511c2b645010454d986c68c7d6f7");
    let go_on = &mut |_, _| std::ops::ControlFlow::Continue(());
    let report = crate::check::check(&backend, crate::check::Depth::Full, go_on).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.blocks, report.chunks), (300, 310));
    assert_eq!(backend.mark_totals().unwrap(), MarkTotals::default());
    drop(backend);
    let foreign_keys: Vec<String> = {
        let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        let mut select = connection.prepare("SELECT \"table\" FROM pragma_foreign_key_list('blocks')").unwrap();
        select.query_map((), |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    assert_eq!(foreign_keys, ["metadata"]);
}

#[test]
fn a_reader_does_not_miss_a_content_that_was_begun_before_it_looked() {
    let (folder, backend) = create();
    let (chunks, refs, content) = two_chunks();
    let staged = vec![(StagingId(1), refs[..1].to_vec())];
    backend.commit(WriteBatch { chunks, staged, ..WriteBatch::default() }).unwrap();
    let reader = open(&folder, Access::Read).unwrap();
    assert_eq!(reader.payload(&hash(&content)).unwrap(), None);
    let rest = refs[1..].to_vec();
    let new = NewContent { content_hash: hash(&content), info: info(2000), staged: Some(StagingId(1)), chunks: rest };
    backend.commit(WriteBatch { contents: vec![new], ..WriteBatch::default() }).unwrap();
    assert_eq!(reader.payload(&hash(&content)).unwrap(), Some(info(2000)));
}

#[test]
fn a_failed_commit_keeps_what_is_being_written() {
    let (_folder, backend) = create();
    let (chunks, refs, content) = two_chunks();
    let staged = vec![(StagingId(1), refs[..1].to_vec())];
    backend.commit(WriteBatch { chunks, staged, ..WriteBatch::default() }).unwrap();
    let new = |size| NewContent {
        content_hash: hash(&content),
        info: info(size),
        staged: Some(StagingId(1)),
        chunks: refs[1..].to_vec(),
    };
    let bad = WriteBatch { contents: vec![new(2001)], ..WriteBatch::default() };
    assert!(matches!(backend.commit(bad), Err(BackendError::BatchMisfit(_))));
    backend.commit(WriteBatch { contents: vec![new(2000)], ..WriteBatch::default() }).unwrap();
    assert_eq!(backend.chunks(&hash(&content), 0, 9).unwrap(), refs);
}

#[test]
fn a_pragma_that_did_not_take_is_an_error() {
    let (folder, backend) = create();
    drop(backend);
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", params![], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
    drop(connection);
    for access in [Access::Read, Access::Write] {
        match open(&folder, access) {
            Err(BackendError::Damaged(text)) => assert!(text.contains("journal_mode"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn options_reach_every_connection() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteBackend::create(folder.path(), &Options::default()).unwrap());
    for (fsync, synchronous) in [(Fsync::Full, 2), (Fsync::Normal, 1), (Fsync::Off, 0)] {
        let cache_bytes = 40 << 20;
        let options = Options { fsync, cache_bytes, read_connections_max: 2, busy_timeout: Duration::from_millis(7) };
        let backend = SqliteBackend::open(folder.path(), Access::Write, &options).unwrap();
        let pragma = |connection: &Connection, name| -> Result<i64> {
            Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
        };
        let asked = |connection: &Connection| -> Result<Vec<i64>> {
            ["cache_size", "busy_timeout", "foreign_keys"].into_iter().map(|name| pragma(connection, name)).collect()
        };
        assert_eq!(backend.write(|txn| asked(txn)).unwrap(), [-20 * 1024, 7, 1]);
        assert_eq!(backend.write(|txn| pragma(txn, "synchronous")).unwrap(), synchronous);
        assert_eq!(backend.read(asked).unwrap(), [-10 * 1024, 7, 1]);
    }
    // Values beyond what SQLite takes are cut to it, and no connection at all is one.
    let extreme =
        Options { cache_bytes: u64::MAX, read_connections_max: 0, busy_timeout: Duration::MAX, ..Options::default() };
    let backend = SqliteBackend::open(folder.path(), Access::Write, &extreme).unwrap();
    assert_eq!(backend.totals().unwrap(), Totals::default());
}

#[test]
fn a_write_ahead_log_that_cannot_be_read_is_not_passed_over() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, backend) = create();
    let mut log = Log::new();
    backend.commit(log.batch(5)).unwrap();
    // The moment of a crash, in a folder that cannot be written: the blocks stand in the log alone.
    let image = tempfile::tempdir().unwrap();
    for name in [DATABASE_FILE, "pakit.db-wal"] {
        std::fs::copy(folder.path().join(name), image.path().join(name)).unwrap();
    }
    let mode = |mode| std::fs::set_permissions(image.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    match open(&image, Access::Read) {
        Err(BackendError::ReadOnly(_)) => {}
        // Root may write all the same, and then reads the log.
        Ok(backend) => assert_eq!(backend.block(4).unwrap().as_ref(), log.newest.last()),
        Err(error) => panic!("{error}"),
    }
    mode(0o755);
}
