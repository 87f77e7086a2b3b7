//! The conformance suite of [`DagBackend`]: written against the trait alone.

mod removal;

// The backup's tests use the suite's writer alone.
#[allow(unused_imports)]
pub(crate) use removal::*;

use offchain_store::{
    BackendError, DagBackend, DagBlock, DagBuilder, NewBlock,
    backend::{
        BlockKey, ChunkRef, LogNode, NewContent, PayloadInfo, StagingId, Standing, StoredChunk, Totals, WriteBatch,
    },
    bulk::{BulkBackend, Extent, ListedChunk, NoteKind, StoredPayload},
    cid,
};
use pakit_primitives::{
    BlockHash, Compression, ContentHash, MetadataHash, SoftwareHasher,
    log::{Accumulator, hash_node},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A backend under test.
pub(crate) trait Harness: Sized {
    /// An empty one.
    fn empty() -> Self;
    fn backend(&self) -> &dyn BulkBackend;
    /// The same after its process ended, as far as it outlives that.
    fn restarted(self) -> Self;
}

/// Sizes of logs around which off-by-one errors show: none, genesis alone, the first inner node, both sides of 256.
const LOG_SIZES: [u64; 10] = [0, 1, 2, 3, 4, 5, 8, 255, 256, 257];
/// Chunk size of the contents below.
const CHUNK: usize = 512;
/// Sizes of contents: empty, one byte, around a chunk, around a slice, around several chunks.
const CONTENT_SIZES: [usize; 13] = [0, 1, 511, 512, 513, 1023, 1024, 1025, 5119, 5120, 5121, 40_000, 100_000];
const TIME_MS: u64 = 1_700_000_000_000;

pub(crate) fn content_hash(bytes: &[u8]) -> ContentHash {
    ContentHash::new(*blake3::hash(bytes).as_bytes())
}

/// Bytes that differ from chunk to chunk.
pub(crate) fn content(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|i| (i / CHUNK * 31 + i) as u8 ^ seed).collect()
}

fn chunk(bytes: &[u8]) -> StoredChunk {
    StoredChunk {
        chunk_hash: content_hash(bytes),
        compression: Compression::None,
        original_size: bytes.len() as u32,
        bytes: bytes.to_vec(),
    }
}

fn chunk_refs(bytes: &[u8], size: usize, from: u64) -> Vec<ChunkRef> {
    let mut offset = from;
    let place = |part: &[u8]| {
        let place = ChunkRef { offset, chunk_hash: content_hash(part), original_size: part.len() as u32 };
        offset += part.len() as u64;
        place
    };
    bytes.chunks(size).map(place).collect()
}

fn info(size: usize) -> PayloadInfo {
    PayloadInfo { original_size: size as u64, stored_size: size as u64, compression: Compression::None, is_kept: true }
}

/// Makes batches as the store does, with parents that are easy to predict.
pub(crate) struct Writer<'a> {
    backend: &'a dyn DagBackend,
    log: Accumulator<SoftwareHasher>,
    builder: DagBuilder,
    pub(crate) blocks: Vec<DagBlock>,
    pub(crate) batch: WriteBatch,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(backend: &'a dyn DagBackend) -> Self {
        assert_eq!(backend.totals().unwrap().blocks, 0, "writers begin with an empty log");
        Self {
            backend,
            log: Accumulator::default(),
            builder: DagBuilder::new(0, 0),
            blocks: Vec::new(),
            batch: WriteBatch::default(),
        }
    }

    /// Goes on after these blocks; their log is not needed for batches without blocks.
    pub(crate) fn again(backend: &'a dyn DagBackend, blocks: Vec<DagBlock>) -> Self {
        let totals = backend.totals().unwrap();
        let builder = DagBuilder::new(totals.blocks, totals.slices);
        Self { backend, log: Accumulator::default(), builder, blocks, batch: WriteBatch::default() }
    }

    /// A block with a content in chunks, on the newest block and others further back.
    pub(crate) fn put(&mut self, bytes: &[u8], parents: u64) -> DagBlock {
        self.keep(bytes);
        self.append(NewBlock::raw(bytes), TIME_MS + self.blocks.len() as u64 / 3, parents)
    }

    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        if bytes.len() <= CHUNK {
            self.batch.chunks.push(chunk(bytes));
        } else {
            self.batch.chunks.extend(bytes.chunks(CHUNK).map(chunk));
            let chunks = chunk_refs(bytes, CHUNK, 0);
            self.batch.contents.push(NewContent {
                content_hash: content_hash(bytes),
                info: info(bytes.len()),
                staged: None,
                chunks,
            });
        }
    }

    pub(crate) fn append(&mut self, new: NewBlock, clock_ms: u64, parents: u64) -> DagBlock {
        let size = self.blocks.len() as u64;
        let mut named: Vec<u64> = (0..parents.max(2)).filter_map(|i| size.checked_sub(1 + i * i)).collect();
        named.dedup();
        let parents: Vec<DagBlock> = named.into_iter().map(|i| self.blocks[i as usize].clone()).collect();
        let block = self.builder.block(new, clock_ms, &parents).unwrap();
        self.builder.advance(&block);
        let nodes = &mut self.batch.log_nodes;
        self.log.append(&block.block_hash(), |level, index, hash| nodes.push(LogNode { level, index, hash: *hash }));
        self.batch.blocks.push(block.clone());
        self.blocks.push(block.clone());
        block
    }

    pub(crate) fn commit(&mut self) -> Result<(), BackendError> {
        self.backend.commit(std::mem::take(&mut self.batch))
    }
}

fn log_of(backend: &dyn DagBackend, size: u64) -> Vec<DagBlock> {
    let mut writer = Writer::new(backend);
    for number in 0..size {
        writer.put(format!("content {number}").as_bytes(), number % 6);
        if number % 100 == 99 {
            writer.commit().unwrap();
        }
    }
    writer.commit().unwrap();
    writer.blocks
}

pub(crate) fn an_empty_backend_holds_nothing<H: Harness>() {
    let harness = H::empty();
    for harness in [harness].into_iter().chain([H::empty().restarted()]) {
        let backend = harness.backend();
        assert_eq!(backend.totals().unwrap(), Totals::default());
        assert_eq!(backend.extent().unwrap().blocks, Extent::default().blocks);
        backend.commit(WriteBatch::default()).unwrap();
        for number in [0, 1, 1 << 47, 1 << 48, i64::MAX as u64, 1 << 63, u64::MAX] {
            assert_eq!(backend.block(number).unwrap(), None);
            assert_eq!(backend.log_node(0, number).unwrap(), None);
            assert_eq!(backend.log_node(1, number).unwrap(), None);
            assert!(backend.children(number, Some(number), 9).unwrap().is_empty());
            assert_eq!(backend.child_count(number).unwrap(), 0);
            assert!(backend.frontier(Some(number), 9).unwrap().is_empty());
            assert!(backend.chunks(&ContentHash::default(), number, 9).unwrap().is_empty());
        }
        for level in [2, 47, 48, 49, 63, 64, 65, u32::MAX] {
            assert_eq!(backend.log_node(level, 0).unwrap(), None);
        }
        let hash = ContentHash::default();
        assert_eq!(backend.find_block(&BlockHash::default()).unwrap(), None);
        assert!(backend.find_content(&hash, None, 9).unwrap().is_empty());
        assert_eq!(backend.payload(&hash).unwrap(), None);
        assert_eq!(backend.chunk(&hash).unwrap(), None);
        assert_eq!(backend.metadata(&MetadataHash::NONE).unwrap(), None);
        assert_eq!(backend.setting("name").unwrap(), None);
        assert!(backend.frontier(None, 9).unwrap().is_empty());
        assert!(backend.by_depth(0..=u32::MAX, None, 9).unwrap().is_empty());
        assert!(backend.by_time(0..=u64::MAX, None, 9).unwrap().is_empty());
        assert!(backend.chunk_hashes(None, 9).unwrap().is_empty());
        assert!(backend.chunk_hashes(Some(ContentHash::new([0xff; 32])), 9).unwrap().is_empty());
    }
}

pub(crate) fn every_question_about_a_log_of_any_size_is_answered<H: Harness>() {
    for size in LOG_SIZES {
        let harness = H::empty();
        let blocks = log_of(harness.backend(), size);
        check_log(harness.backend(), &blocks);
        check_log(harness.restarted().backend(), &blocks);
    }
}

fn check_log(backend: &dyn DagBackend, blocks: &[DagBlock]) {
    let mut children: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for block in blocks {
        let leaf_index = block.leaf_index();
        assert_eq!(backend.block(leaf_index).unwrap().as_ref(), Some(block));
        assert_eq!(backend.find_block(&block.block_hash()).unwrap(), Some(leaf_index));
        assert_eq!(backend.find_key(&block.key()).unwrap(), Some(leaf_index));
        assert_eq!(backend.find_content(&block.header().content_hash, None, 9).unwrap(), [leaf_index]);
        assert_eq!(backend.log_node(0, leaf_index).unwrap(), Some(block.block_hash().to_bytes()));
        block.header().parents.iter().for_each(|parent| {
            children.entry(parent.leaf_index).or_default().push(leaf_index);
        });
    }
    let size = blocks.len() as u64;
    assert_eq!(backend.block(size).unwrap(), None);
    check_many(backend, blocks);
    for leaf_index in 0..=size {
        let expected = children.get(&leaf_index).cloned().unwrap_or_default();
        assert_eq!(backend.children(leaf_index, None, usize::MAX).unwrap(), expected);
        assert_eq!(backend.child_count(leaf_index).unwrap(), expected.len() as u64);
    }
    let frontier: Vec<u64> = (0..size).filter(|leaf_index| !children.contains_key(leaf_index)).collect();
    assert_eq!(backend.frontier(None, usize::MAX).unwrap(), frontier);
    check_nodes(backend, size);
    let mut by_depth: Vec<_> = blocks.iter().map(|block| (block.header().depth, block.leaf_index())).collect();
    let mut by_time: Vec<_> = blocks.iter().map(|block| (block.header().timestamp_ms, block.leaf_index())).collect();
    by_depth.sort_unstable();
    by_time.sort_unstable();
    assert_eq!(backend.by_depth(0..=u32::MAX, None, usize::MAX).unwrap(), by_depth);
    assert_eq!(backend.by_time(0..=u64::MAX, None, usize::MAX).unwrap(), by_time);
    assert_eq!(backend.totals().unwrap(), totals_of(blocks, frontier.len() as u64));
}

/// What one question tells of many blocks is what many tell of each.
fn check_many(backend: &dyn DagBackend, blocks: &[DagBlock]) {
    let size = blocks.len() as u64;
    let asked: Vec<u64> = (0..=size).rev().chain([size + 1, 0, size / 2]).collect();
    let expected: Vec<_> = asked.iter().map(|leaf_index| blocks.get(*leaf_index as usize).cloned()).collect();
    assert_eq!(backend.blocks(&asked).unwrap(), expected);
    assert_eq!(backend.block_with_chunk(&BlockHash::default()).unwrap(), None);
    for block in blocks {
        let chunk = backend.chunk(&block.header().content_hash).unwrap();
        assert_eq!(backend.block_with_chunk(&block.block_hash()).unwrap(), Some((block.clone(), chunk)));
        let steps = backend.hop(block.leaf_index()).unwrap().map_or(0, |hop| hop.steps as usize);
        let way = backend.way_to_genesis(block.leaf_index(), steps).unwrap().unwrap();
        assert_eq!(way.len(), steps);
        assert!(way.last().is_none_or(|last| last.leaf_index() == 0));
        for (child, parent) in std::iter::once(block).chain(&way).zip(&way) {
            assert!(child.header().parents.iter().any(|named| named.block_hash == parent.block_hash()));
        }
        if let Some(fewer) = steps.checked_sub(1) {
            assert_eq!(backend.way_to_genesis(block.leaf_index(), fewer).unwrap(), None);
        }
    }
}

/// Blocks by a range of their hashes: all between two of them, and all that begin with as many bytes as one.
pub(crate) fn blocks_are_found_by_a_range_of_hashes<H: Harness>() {
    for size in [0, 1, 2, 257] {
        let harness = H::empty();
        let blocks = log_of(harness.backend(), size);
        check_hashes(harness.backend(), &blocks);
        check_hashes(harness.restarted().backend(), &blocks);
    }
}

fn check_hashes(backend: &dyn DagBackend, blocks: &[DagBlock]) {
    let mut all: Vec<(BlockHash, u64)> = blocks.iter().map(|block| (block.block_hash(), block.leaf_index())).collect();
    all.sort_unstable();
    let check = |from: BlockHash, to: BlockHash| {
        let within: Vec<_> = all.iter().copied().filter(|(hash, _)| (from..=to).contains(hash)).collect();
        for limit in [0, 1, 2, 5, 63, 64, 65, usize::MAX] {
            let found = backend.find_blocks(from..=to, limit).unwrap();
            assert_eq!(found, within[..limit.min(within.len())], "{from} to {to}, {limit}");
        }
    };
    let (least, greatest) = (BlockHash::new([0; 32]), BlockHash::new([0xff; 32]));
    check(least, greatest);
    check(greatest, least);
    for (hash, _) in all.iter().step_by(17) {
        check(*hash, *hash);
        check(*hash, greatest);
        check(least, *hash);
        for bytes in [1, 2, 7, 8, 9, 31] {
            let (mut from, mut to) = (hash.to_bytes(), hash.to_bytes());
            from[bytes..].fill(0);
            to[bytes..].fill(0xff);
            check(BlockHash::new(from), BlockHash::new(to));
        }
        // Just beside it, within the same 8 bytes.
        let mut beside = hash.to_bytes();
        beside[31] ^= 1;
        check(BlockHash::new(beside), BlockHash::new(beside));
    }
}

fn check_nodes(backend: &dyn DagBackend, size: u64) {
    for level in 1..=10 {
        for index in 0..(size >> level) {
            let child = |index| backend.log_node(level - 1, index).unwrap().unwrap();
            let expected = hash_node::<SoftwareHasher>(&child(2 * index), &child(2 * index + 1));
            assert_eq!(backend.log_node(level, index).unwrap(), Some(expected), "node {level}, {index}");
        }
        assert_eq!(backend.log_node(level, size >> level).unwrap(), None);
    }
}

/// Sums over blocks whose contents are one chunk each and all distinct.
fn totals_of(blocks: &[DagBlock], frontier: u64) -> Totals {
    let bytes = blocks.iter().map(|block| block.header().original_size).sum();
    Totals {
        blocks: blocks.len() as u64,
        edges: blocks.iter().map(|block| block.header().parents.len() as u64).sum(),
        depth_max: blocks.iter().map(|block| block.header().depth).max().unwrap_or_default(),
        depth_sum: blocks.iter().map(|block| u64::from(block.header().depth)).sum(),
        slices: blocks.last().map_or(0, |block| block.header().slices_through()),
        original_bytes: bytes,
        referenced_bytes: bytes,
        unique_bytes: bytes,
        stored_bytes: bytes,
        chunks: blocks.len() as u64,
        frontier,
    }
}

pub(crate) fn contents_of_any_size_come_back_chunk_by_chunk<H: Harness>() {
    let harness = H::empty();
    let mut writer = Writer::new(harness.backend());
    for (seed, size) in CONTENT_SIZES.into_iter().enumerate() {
        writer.put(&content(size, seed as u8), 2);
        writer.commit().unwrap();
    }
    let harness = harness.restarted();
    for (seed, size) in CONTENT_SIZES.into_iter().enumerate() {
        check_content(harness.backend(), &content(size, seed as u8), size);
    }
}

fn check_content(backend: &dyn DagBackend, bytes: &[u8], size: usize) {
    let hash = content_hash(bytes);
    assert_eq!(backend.payload(&hash).unwrap(), Some(info(size)));
    let expected = match size {
        0 => vec![ChunkRef { offset: 0, chunk_hash: hash, original_size: 0 }],
        _ => chunk_refs(bytes, CHUNK, 0),
    };
    let chunks = backend.chunks(&hash, 0, usize::MAX).unwrap();
    assert_eq!(chunks, expected, "{size}");
    let mut read = Vec::new();
    for chunk in &chunks {
        let stored = backend.chunk(&chunk.chunk_hash).unwrap().unwrap();
        assert_eq!((stored.chunk_hash, stored.original_size), (chunk.chunk_hash, chunk.original_size));
        read.extend(stored.bytes);
    }
    assert_eq!(read, bytes);
    // Where it is one chunk, it comes with its block.
    for leaf_index in backend.find_content(&hash, None, usize::MAX).unwrap() {
        let block = backend.block(leaf_index).unwrap().unwrap();
        let (found, chunk) = backend.block_with_chunk(&block.block_hash()).unwrap().unwrap();
        assert_eq!((found, chunk), (block, backend.chunk(&hash).unwrap()), "{size}");
    }
    for from in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, size.saturating_sub(1)].into_iter().filter(|from| *from < size) {
        assert_eq!(backend.chunks(&hash, from as u64, usize::MAX).unwrap(), expected[from / CHUNK..], "{size}, {from}");
        let one = backend.chunks(&hash, from as u64, 1).unwrap();
        assert_eq!(one, expected[from / CHUNK..][..1]);
    }
    assert!(backend.chunks(&hash, size.max(1) as u64, 9).unwrap().is_empty());
    assert!(backend.chunks(&hash, u64::MAX, 9).unwrap().is_empty());
    assert!(backend.chunks(&hash, 0, 0).unwrap().is_empty());
}

pub(crate) fn lists_come_in_pages<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    let mut writer = Writer::new(backend);
    // Every block after the first two has the same content, so that `find_content` has a list to page through.
    for number in 0..60u32 {
        let hash = MetadataHash::new(*blake3::hash(&number.to_le_bytes()).as_bytes());
        writer.batch.metadata.push((hash, number.to_le_bytes().to_vec()));
        writer.keep(b"same");
        writer.append(NewBlock { metadata_hash: hash, ..NewBlock::raw(b"same") }, TIME_MS + u64::from(number / 7), 5);
        writer.put(format!("other {number}").as_bytes(), 3);
    }
    writer.commit().unwrap();
    let same = content_hash(b"same");
    for limit in [1, 2, 7, 119, 120, 121] {
        assert_pages(limit, |after, limit| backend.find_content(&same, after, limit).unwrap());
        assert_pages(limit, |after, limit| backend.children(0, after, limit).unwrap());
        assert_pages(limit, |after, limit| backend.frontier(after, limit).unwrap());
        assert_pages(limit, |after, limit| backend.by_depth(3..=40, after, limit).unwrap());
        assert_pages(limit, |after, limit| backend.by_depth(0..=u32::MAX, after, limit).unwrap());
        assert_pages(limit, |after, limit| backend.by_time(TIME_MS..=TIME_MS + 4, after, limit).unwrap());
        assert_pages(limit, |after, limit| backend.chunk_hashes(after, limit).unwrap());
    }
    assert_eq!(backend.find_content(&same, None, usize::MAX).unwrap().len(), 60);
    assert_eq!(backend.chunk_hashes(None, usize::MAX).unwrap().len(), 61);
    check_ranges(backend);
}

/// Pages put together are the whole list, which is not empty and in order.
fn assert_pages<T: Copy + Ord + std::fmt::Debug>(limit: usize, list: impl Fn(Option<T>, usize) -> Vec<T>) {
    let whole = list(None, usize::MAX);
    assert!(!whole.is_empty() && whole.is_sorted_by(|a, b| a < b));
    let mut pages: Vec<T> = Vec::new();
    loop {
        let page = list(pages.last().copied(), limit);
        assert!(page.len() <= limit);
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages, whole);
    assert!(list(None, 0).is_empty());
}

#[expect(clippy::reversed_empty_ranges, reason = "a caller may ask for a range that holds nothing")]
fn check_ranges(backend: &dyn DagBackend) {
    let depths = |range| backend.by_depth(range, None, usize::MAX).unwrap();
    assert_eq!(depths(0..=0), [(0, 0)]);
    assert!(depths(5..=4).is_empty());
    assert!(depths(u32::MAX..=u32::MAX).is_empty());
    assert!(depths(3..=9).iter().all(|(depth, _)| (3..=9).contains(depth)));
    assert_eq!(depths(0..=2).len() + depths(3..=u32::MAX).len(), 120);
    let times = |range| backend.by_time(range, None, usize::MAX).unwrap();
    assert!(times(0..=TIME_MS - 1).is_empty());
    assert!(times(TIME_MS + 1..=TIME_MS).is_empty());
    assert_eq!(times(0..=TIME_MS).len() + times(TIME_MS + 1..=u64::MAX).len(), 120);
    // What an earlier page ended with may lie before the range.
    assert_eq!(backend.by_depth(3..=4, Some((0, 0)), usize::MAX).unwrap(), depths(3..=4));
    assert_eq!(backend.by_time(TIME_MS..=TIME_MS + 1, Some((0, 0)), 500).unwrap(), times(TIME_MS..=TIME_MS + 1));
    assert!(backend.by_depth(3..=4, Some((u32::MAX, 0)), 9).unwrap().is_empty());
    assert!(backend.by_time(0..=u64::MAX, Some((u64::MAX, u64::MAX)), 9).unwrap().is_empty());
}

pub(crate) fn a_block_is_found_by_its_content_codec_and_metadata<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    let mut writer = Writer::new(backend);
    let metadata_hash = MetadataHash::new([7; 32]);
    writer.batch.metadata.push((metadata_hash, vec![0xa0]));
    writer.put(b"content", 0);
    let raw = NewBlock::raw(b"content");
    writer.append(NewBlock { codec: cid::DAG_CBOR, ..raw.clone() }, TIME_MS, 2);
    writer.append(NewBlock { metadata_hash, ..raw.clone() }, TIME_MS, 2);
    writer.append(raw, TIME_MS, 2);
    writer.commit().unwrap();
    let harness = harness.restarted();
    let backend = harness.backend();
    let key = |codec, metadata_hash| BlockKey { codec, content_hash: content_hash(b"content"), metadata_hash };
    assert_eq!(backend.find_key(&key(cid::RAW, MetadataHash::NONE)).unwrap(), Some(0), "the first of equal blocks");
    assert_eq!(backend.find_key(&key(cid::DAG_CBOR, MetadataHash::NONE)).unwrap(), Some(1));
    assert_eq!(backend.find_key(&key(cid::RAW, metadata_hash)).unwrap(), Some(2));
    assert_eq!(backend.find_key(&key(cid::DAG_CBOR, metadata_hash)).unwrap(), None);
    assert_eq!(backend.find_key(&key(cid::RAW, MetadataHash::new([8; 32]))).unwrap(), None, "unknown metadata");
    assert_eq!(backend.find_content(&content_hash(b"content"), None, 9).unwrap(), [0, 1, 2, 3]);
    assert_eq!(backend.metadata(&metadata_hash).unwrap(), Some(vec![0xa0]));
    assert_eq!(backend.totals().unwrap().chunks, 1);
}

pub(crate) fn how_contents_stand_is_told_of_many_at_once_as_of_each<H: Harness>() {
    let harness = H::empty();
    let mut writer = Writer::new(harness.backend());
    let long = content(3 * CHUNK, 5);
    let alone = writer.put(b"alone", 0);
    let listed = writer.put(&long, 0);
    writer.keep(b"without a block");
    let metadata_hash = MetadataHash::new([7; 32]);
    writer.batch.metadata.push((metadata_hash, vec![0xa0]));
    let described = writer.append(NewBlock { metadata_hash, ..NewBlock::raw(b"alone") }, TIME_MS, 2);
    writer.commit().unwrap();
    let key = |bytes: &[u8]| BlockKey {
        codec: cid::RAW,
        content_hash: content_hash(bytes),
        metadata_hash: MetadataHash::NONE,
    };
    let keys = [
        (alone.key(), Some(&alone)),
        (key(b"nowhere"), None),
        (listed.key(), None),
        (described.key(), Some(&described)),
        (key(b"without a block"), None),
        (BlockKey { codec: cid::DAG_CBOR, ..alone.key() }, None),
        (key(&long[..CHUNK]), None),
    ];
    let check = |backend: &dyn DagBackend| {
        let standings = backend.standings(&keys.map(|(key, _)| key)).unwrap();
        for ((key, block), standing) in keys.iter().zip(standings) {
            let info = backend.payload(&key.content_hash).unwrap();
            let expected = match (info, block) {
                (None, _) => Standing::Unknown,
                (Some(info), None) => Standing::Kept(info),
                (Some(info), Some(block)) => Standing::Placed(info, Box::new((*block).clone())),
            };
            assert_eq!(standing, expected);
        }
        assert!(backend.standings(&[]).unwrap().is_empty());
    };
    check(harness.backend());
    check(harness.restarted().backend());
}

/// Commits the chunks of a content in three batches: two staged parts, then the rest under `hash`.
fn stage(writer: &mut Writer<'_>, bytes: &[u8], id: StagingId) -> NewContent {
    let refs = chunk_refs(bytes, CHUNK, 0);
    assert!(refs.len() > 3);
    for part in [&refs[..1], &refs[1..3]] {
        for at in part {
            let start = at.offset as usize;
            writer.batch.chunks.push(chunk(&bytes[start..start + at.original_size as usize]));
        }
        writer.batch.staged.push((id, part.to_vec()));
        writer.commit().unwrap();
    }
    writer.batch.chunks.extend(bytes.chunks(CHUNK).skip(3).map(chunk));
    let chunks = refs[3..].to_vec();
    NewContent { content_hash: content_hash(bytes), info: info(bytes.len()), staged: Some(id), chunks }
}

pub(crate) fn a_content_grows_over_several_batches<H: Harness>() {
    let harness = H::empty();
    let mut writer = Writer::new(harness.backend());
    let bytes = content(5 * CHUNK + 9, 1);
    let last = stage(&mut writer, &bytes, StagingId(9));
    assert_eq!(harness.backend().payload(&content_hash(&bytes)).unwrap(), None, "it is not complete");
    writer.batch.contents.push(last);
    writer.append(NewBlock::raw(&bytes), TIME_MS, 0);
    writer.commit().unwrap();
    check_content(harness.backend(), &bytes, bytes.len());
    let harness = harness.restarted();
    check_content(harness.backend(), &bytes, bytes.len());
    assert_eq!(harness.backend().totals().unwrap().chunks, 6);
}

pub(crate) fn a_content_that_is_given_up_leaves_its_chunks_for_others<H: Harness>() {
    let harness = H::empty();
    let mut writer = Writer::new(harness.backend());
    let bytes = content(5 * CHUNK, 2);
    stage(&mut writer, &bytes, StagingId(1));
    writer.batch.chunks.clear();
    writer.batch.abandoned.push(StagingId(1));
    // Given up within the batch that begins it.
    writer.batch.staged.push((StagingId(2), chunk_refs(&bytes[..CHUNK], CHUNK, 0)));
    writer.batch.abandoned.push(StagingId(2));
    writer.commit().unwrap();
    writer.batch.abandoned.push(StagingId(1));
    assert!(matches!(writer.commit(), Err(BackendError::BatchMisfit(_))), "it is gone");
    // One of the chunks becomes a content of its own.
    writer.put(&bytes[..CHUNK], 0);
    writer.commit().unwrap();
    check_content(harness.backend(), &bytes[..CHUNK], CHUNK);
    check_content(harness.restarted().backend(), &bytes[..CHUNK], CHUNK);
}

pub(crate) fn a_content_that_is_kept_already_is_not_kept_twice<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    let mut writer = Writer::new(backend);
    let bytes = content(5 * CHUNK, 3);
    writer.put(&bytes, 0);
    writer.commit().unwrap();
    let before = backend.totals().unwrap();
    writer.keep(&bytes);
    writer.commit().unwrap();
    let last = stage(&mut writer, &bytes, StagingId(1));
    writer.batch.contents.push(last);
    writer.commit().unwrap();
    assert_eq!(backend.totals().unwrap(), before);
    check_content(backend, &bytes, bytes.len());
    let harness = harness.restarted();
    assert_eq!(harness.backend().totals().unwrap(), before);
    check_content(harness.backend(), &bytes, bytes.len());
}

pub(crate) fn a_chunk_that_is_kept_as_a_list_is_listed_by_its_chunks<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    let mut writer = Writer::new(backend);
    let inner = content(3 * CHUNK, 4);
    writer.put(&inner, 0);
    writer.commit().unwrap();
    // Cut with another chunk size, `inner` is one chunk of a longer content.
    let outer = [&inner[..], &content(2 * inner.len(), 5)[..]].concat();
    writer.batch.chunks.extend(outer.chunks(inner.len()).map(chunk));
    let chunks = chunk_refs(&outer, inner.len(), 0);
    let new = NewContent { content_hash: content_hash(&outer), info: info(outer.len()), staged: None, chunks };
    writer.batch.contents.push(new);
    writer.append(NewBlock::raw(&outer), TIME_MS, 2);
    writer.commit().unwrap();
    let harness = harness.restarted();
    let expected: Vec<ChunkRef> = chunk_refs(&inner, CHUNK, 0)
        .into_iter()
        .chain(chunk_refs(&outer[inner.len()..], inner.len(), inner.len() as u64))
        .collect();
    assert_eq!(harness.backend().chunks(&content_hash(&outer), 0, 99).unwrap(), expected);
    check_content(harness.backend(), &inner, inner.len());
}

pub(crate) fn a_batch_that_does_not_fit_leaves_nothing<H: Harness>() {
    let reasons = misfits();
    assert!(reasons.len() >= 20);
    for (what, spoil) in reasons {
        let harness = H::empty();
        let backend = harness.backend();
        let mut writer = Writer::new(backend);
        writer.put(b"genesis", 0);
        writer.put(&content(3 * CHUNK, 6), 1);
        writer.put(b"third", 2);
        writer.commit().unwrap();
        let before = (backend.totals().unwrap(), backend.chunk_hashes(None, 99).unwrap());
        let new = content(2 * CHUNK + 1, 7);
        writer.put(&new, 2);
        writer.put(b"last", 2);
        let good = writer.batch.clone();
        let mut bad = std::mem::take(&mut writer.batch);
        spoil(&mut bad, &writer.blocks);
        let error = backend.commit(bad).expect_err(what);
        assert!(matches!(error, BackendError::BatchMisfit(_)), "{what}: {error}");
        assert_eq!((backend.totals().unwrap(), backend.chunk_hashes(None, 99).unwrap()), before, "{what}");
        assert_eq!(backend.payload(&content_hash(&new)).unwrap(), None, "{what}");
        assert_eq!(backend.block(3).unwrap(), None, "{what}");
        // It was refused for that reason alone, and nothing stands in the way of the right one.
        backend.commit(good).expect(what);
        check_content(backend, &new, new.len());
    }
}

type Spoil = fn(&mut WriteBatch, &[DagBlock]);

/// Makes the last block again with another header.
fn respell(batch: &mut WriteBatch, change: impl FnOnce(&mut pakit_primitives::Header)) {
    let mut header = batch.blocks.pop().unwrap().header().clone();
    change(&mut header);
    batch.blocks.push(DagBlock::new(header).unwrap());
}

fn misfits() -> Vec<(&'static str, Spoil)> {
    vec![
        ("a block is missing before", |batch, _| batch.blocks = batch.blocks.split_off(1)),
        ("a block comes twice", |batch, _| batch.blocks.insert(1, batch.blocks[0].clone())),
        ("an old block comes again", |batch, blocks| batch.blocks.insert(0, blocks[2].clone())),
        ("the blocks are out of order", |batch, _| batch.blocks.swap(0, 1)),
        ("slices are miscounted", |batch, _| respell(batch, |header| header.slices_before += 1)),
        ("the depth is wrong", |batch, _| respell(batch, |header| header.depth -= 1)),
        ("time runs backwards", |batch, _| respell(batch, |header| header.timestamp_ms = TIME_MS - 1)),
        ("a parent has another hash", |batch, _| {
            respell(batch, |header| {
                let mut parents = header.parents.to_vec();
                parents[0].block_hash = BlockHash::new([9; 32]);
                header.parents = pakit_primitives::Parents::from_slice(&parents).unwrap();
            });
        }),
        ("the content is unknown", |batch, _| {
            respell(batch, |header| header.content_hash = ContentHash::new([9; 32]));
        }),
        ("the content has another size", |batch, _| respell(batch, |header| header.original_size += 1)),
        ("the metadata is unknown", |batch, _| {
            respell(batch, |header| header.metadata_hash = MetadataHash::new([9; 32]));
        }),
        ("an absent content is too large", |batch, _| batch.absent.push((ContentHash::new([9; 32]), 1 << 53))),
        ("an absent content has another size", |batch, _| batch.absent.push((content_hash(b"third"), 4))),
        ("a log node is missing", |batch, _| batch.log_nodes.truncate(0)),
        ("a log node is another", |batch, _| batch.log_nodes[0].index += 1),
        ("a log node is a leaf", |batch, _| batch.log_nodes[0].level = 0),
        ("a log node comes twice", |batch, _| batch.log_nodes.push(batch.log_nodes[0])),
        ("a chunk is missing", |batch, _| batch.chunks = batch.chunks.split_off(1)),
        ("a chunk has another size", |batch, _| batch.contents[0].chunks[2].original_size = 2),
        ("the last chunk is not named", |batch, _| batch.contents[0].chunks.truncate(2)),
        ("chunks overlap", |batch, _| batch.contents[0].chunks[1].offset -= 1),
        ("a gap is between the chunks", |batch, _| batch.contents[0].chunks[1].offset += 1),
        ("the content is not the sum of its chunks", |batch, _| batch.contents[0].info.original_size += 1),
        ("the stored size is not the sum", |batch, _| batch.contents[0].info.stored_size -= 1),
        ("the content says that it is removed", |batch, _| batch.contents[0].info.is_kept = false),
        ("the content continues nothing", |batch, _| batch.contents[0].staged = Some(StagingId(5))),
        ("nothing is given up", |batch, _| batch.abandoned.push(StagingId(5))),
        ("metadata under the hash of none", |batch, _| batch.metadata.push((MetadataHash::NONE, vec![]))),
        ("one chunk as a list", |batch, _| {
            let chunks = vec![ChunkRef { offset: 0, chunk_hash: content_hash(b"last"), original_size: 4 }];
            let content_hash = ContentHash::new([5; 32]);
            batch.contents.push(NewContent { content_hash, info: info(4), staged: None, chunks });
        }),
        ("a list names an empty chunk", |batch, _| {
            batch.chunks.push(chunk(b""));
            let at = ChunkRef { offset: 0, chunk_hash: content_hash(b""), original_size: 0 };
            batch.contents[0].chunks.insert(0, at);
        }),
    ]
}

pub(crate) fn a_content_that_is_not_kept_can_be_named_and_kept_later<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    let mut writer = Writer::new(backend);
    let (short, long) = (content(100, 1), content(3 * CHUNK + 1, 2));
    for bytes in [&short, &long] {
        writer.batch.absent.push((content_hash(bytes), bytes.len() as u64));
        writer.append(NewBlock::raw(bytes), TIME_MS, 2);
    }
    writer.commit().unwrap();
    let gone = |bytes: &[u8]| PayloadInfo { stored_size: 0, is_kept: false, ..info(bytes.len()) };
    for bytes in [&short, &long] {
        let hash = content_hash(bytes);
        assert_eq!(backend.payload(&hash).unwrap(), Some(gone(bytes)));
        assert!(backend.chunks(&hash, 0, 9).unwrap().is_empty() && backend.chunk(&hash).unwrap().is_none());
    }
    assert_eq!(backend.find_content(&content_hash(&long), None, 9).unwrap(), [1]);
    assert_eq!((backend.totals().unwrap().chunks, backend.totals().unwrap().blocks), (0, 2));
    let removed = backend.removed_rows(0).unwrap();
    assert_eq!(removed.len(), 2);
    assert_eq!(backend.removed_rows(removed[1]).unwrap(), removed[1..]);
    // A batch says so anew for each block that it lets name such a content, and may say it of what is kept.
    let other = MetadataHash::new([4; 32]);
    writer.batch.metadata.push((other, vec![0xa0]));
    let block = NewBlock { metadata_hash: other, ..NewBlock::raw(&short) };
    writer.append(block, TIME_MS, 2);
    let mut silent = writer.batch.clone();
    assert!(matches!(backend.commit(std::mem::take(&mut silent)), Err(BackendError::BatchMisfit(_))));
    let mut wrong = writer.batch.clone();
    wrong.absent.push((content_hash(&short), 99));
    assert!(matches!(backend.commit(wrong), Err(BackendError::BatchMisfit(_))), "another size");
    writer.batch.absent.push((content_hash(&short), 100));
    writer.commit().unwrap();
    // Put again, both are kept under the numbers that they have.
    writer.keep(&short);
    let last = stage(&mut writer, &long, StagingId(1));
    writer.batch.contents.push(last);
    writer.batch.absent.push((content_hash(&short), 100));
    writer.commit().unwrap();
    assert!(backend.removed_rows(0).unwrap().is_empty());
    let harness = harness.restarted();
    check_content(harness.backend(), &short, short.len());
    check_content(harness.backend(), &long, long.len());
    let rows = harness.backend().payload_rows(removed[0], removed[1] + 1, usize::MAX).unwrap();
    let numbers: Vec<u64> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, removed);
}

pub(crate) fn rows_are_read_in_the_order_of_their_numbers<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    assert!(backend.payload_rows(0, u64::MAX, 1).unwrap().is_empty() && backend.block_rows(0, 9).unwrap().is_empty());
    let mut writer = Writer::new(backend);
    for (seed, size) in CONTENT_SIZES.into_iter().enumerate() {
        writer.put(&content(size, seed as u8), 2);
    }
    writer.commit().unwrap();
    let unfinished = content(4 * CHUNK, 77);
    stage(&mut writer, &unfinished, StagingId(1));
    writer.commit().unwrap();
    let extent = backend.extent().unwrap();
    assert_eq!(extent.blocks, CONTENT_SIZES.len() as u64);
    let whole = backend.payload_rows(0, extent.payload_next, usize::MAX).unwrap();
    assert!(whole.is_sorted_by_key(|(number, _)| *number) && whole.last().unwrap().0 < extent.payload_next);
    assert!(whole.iter().any(|(_, row)| *row == StoredPayload::Absent), "the one that is being written");
    for bytes_max in [1, 1_000, 70_000] {
        let mut pages = Vec::new();
        loop {
            let from = pages.last().map_or(0, |(number, _)| number + 1);
            let page = backend.payload_rows(from, extent.payload_next, bytes_max).unwrap();
            if page.is_empty() {
                break;
            }
            pages.extend(page);
        }
        assert_eq!(pages, whole);
    }
    assert!(backend.payload_rows(extent.payload_next, u64::MAX, 1).unwrap().is_empty());
    assert!(backend.payload_rows(9, 3, 1).unwrap().is_empty());
    for (number, row) in &whole {
        match row {
            StoredPayload::Chunk(chunk) => assert_eq!(backend.chunk(&chunk.chunk_hash).unwrap().as_ref(), Some(chunk)),
            StoredPayload::List { content_hash, info } => {
                assert_eq!(backend.payload(content_hash).unwrap().as_ref(), Some(info));
                check_list(backend, &whole, *number, &backend.chunks(content_hash, 0, usize::MAX).unwrap());
            }
            StoredPayload::Absent => {}
        }
    }
    check_block_rows(backend, &whole, &writer.blocks);
    assert_eq!(harness.restarted().backend().extent().unwrap().blocks, extent.blocks);
}

fn check_list(backend: &dyn BulkBackend, rows: &[(u64, StoredPayload)], number: u64, chunks: &[ChunkRef]) {
    let listed: Vec<ListedChunk> = backend.list_rows(number, 0).unwrap();
    assert_eq!(listed.iter().map(|listed| listed.chunk).collect::<Vec<_>>(), chunks);
    for (place, listed) in listed.iter().enumerate() {
        let row = rows.iter().find(|(number, _)| *number == listed.number);
        let Some((_, StoredPayload::Chunk(chunk))) = row else { panic!("{listed:?} names no chunk") };
        assert_eq!((chunk.chunk_hash, chunk.bytes.len() as u64), (listed.chunk.chunk_hash, listed.stored_size));
        assert_eq!(backend.list_rows(number, listed.chunk.offset).unwrap()[0].number, listed.number, "{place}");
    }
    assert!(backend.list_rows(number, u64::MAX).unwrap().is_empty());
}

fn check_block_rows(backend: &dyn BulkBackend, rows: &[(u64, StoredPayload)], blocks: &[DagBlock]) {
    let found = backend.block_rows(0, usize::MAX).unwrap();
    assert_eq!(found.iter().map(|(block, _)| block).collect::<Vec<_>>(), blocks.iter().collect::<Vec<_>>());
    for (block, number) in &found {
        let hash = match &rows.iter().find(|(row, _)| row == number).unwrap().1 {
            StoredPayload::Chunk(chunk) => chunk.chunk_hash,
            StoredPayload::List { content_hash, .. } => *content_hash,
            StoredPayload::Absent => panic!("block {} names nothing", block.leaf_index()),
        };
        assert_eq!(hash, block.header().content_hash);
    }
    assert_eq!(backend.block_rows(3, 2).unwrap(), found[3..5]);
    assert!(backend.block_rows(found.len() as u64, 9).unwrap().is_empty());
    assert!(backend.block_rows(u64::MAX, 9).unwrap().is_empty());
}

pub(crate) fn numbers_of_all_64_bits_are_kept<H: Harness>() {
    let harness = H::empty();
    let mut writer = Writer::new(harness.backend());
    writer.put(b"genesis", 0);
    let times = [i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX];
    for time in times {
        let content = time.to_le_bytes();
        writer.keep(&content);
        writer.append(NewBlock::raw(&content), time, 1);
    }
    writer.commit().unwrap();
    let blocks = writer.blocks.clone();
    let harness = harness.restarted();
    let backend = harness.backend();
    for block in &blocks {
        assert_eq!(backend.block(block.leaf_index()).unwrap().as_ref(), Some(block));
    }
    let found = backend.by_time(i64::MAX as u64..=u64::MAX, None, 9).unwrap();
    assert_eq!(found, times.into_iter().zip(1..).collect::<Vec<_>>());
    assert_eq!(backend.by_time(1 << 63..=1 << 63, None, 9).unwrap(), [(1 << 63, 2)]);
    assert_eq!(backend.by_time(0..=u64::MAX, Some((1 << 63, 2)), 1).unwrap(), [(u64::MAX - 1, 3)]);
}

pub(crate) fn settings_are_kept_and_replaced<H: Harness>() {
    let harness = H::empty();
    harness.backend().set_setting("name", b"first").unwrap();
    harness.backend().set_setting("name", b"second").unwrap();
    harness.backend().set_setting("", b"").unwrap();
    let harness = harness.restarted();
    let all = [(String::new(), Vec::new()), ("name".to_owned(), b"second".to_vec())];
    assert_eq!(harness.backend().settings().unwrap(), all);
    assert!(harness.backend().notes(NoteKind::Binding, 0).unwrap().is_empty());
    assert_eq!(harness.backend().setting("name").unwrap().as_deref(), Some(&b"second"[..]));
    assert_eq!(harness.backend().setting("").unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(harness.backend().setting("Name").unwrap(), None);
}

pub(crate) fn many_threads_read_while_one_commits<H: Harness>() {
    let harness = H::empty();
    let backend = harness.backend();
    let mut writer = Writer::new(backend);
    writer.put(b"genesis", 0);
    writer.commit().unwrap();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..12)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        // A whole batch is visible, or nothing of it.
                        let blocks = backend.totals().unwrap().blocks;
                        assert_eq!(blocks % 5, 1);
                        let newest = backend.block(blocks - 1).unwrap().unwrap();
                        assert_eq!(backend.find_block(&newest.block_hash()).unwrap(), Some(blocks - 1));
                        if blocks == 101 {
                            return;
                        }
                    }
                })
            })
            .collect();
        for number in 0..100 {
            writer.put(format!("content {number}").as_bytes(), 3);
            if number % 5 == 4 {
                writer.commit().unwrap();
            }
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// A batch to make up: contents by seed and size, with their numbers of parents and metadata.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    blocks: Vec<(u8, usize, u64, u8)>,
    staged: Option<u8>,
    is_given_up: bool,
}

impl Shape {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let block = (0u8..6, 0usize..4 * CHUNK, 0u64..6, 0u8..3);
        (prop::collection::vec(block, 0..12), prop::option::of(100u8..104), any::<bool>())
            .prop_map(|(blocks, staged, is_given_up)| Self { blocks, staged, is_given_up })
    }
}

/// Makes the same batches for any backend.
pub(crate) fn commit_shapes(backend: &dyn DagBackend, shapes: &[Shape]) {
    let mut writer = Writer::new(backend);
    for (id, shape) in (1..).zip(shapes) {
        commit_shape(&mut writer, id, shape);
    }
}

/// Makes one of them.
pub(crate) fn commit_shape(writer: &mut Writer<'_>, id: u64, shape: &Shape) {
    if let Some(seed) = shape.staged {
        let bytes = content(6 * CHUNK + 1, seed);
        let last = stage(writer, &bytes, StagingId(id));
        match shape.is_given_up {
            true => writer.batch.abandoned.push(StagingId(id)),
            false => writer.batch.contents.push(last),
        }
        if !shape.is_given_up {
            writer.append(NewBlock::raw(&bytes), TIME_MS + id, 3);
        }
    }
    for (seed, size, parents, metadata) in &shape.blocks {
        let bytes = content(*size, *seed);
        writer.keep(&bytes);
        let metadata_hash = match metadata {
            0 => MetadataHash::NONE,
            _ => MetadataHash::new(*blake3::hash(&[*metadata]).as_bytes()),
        };
        if metadata_hash.is_some() {
            writer.batch.metadata.push((metadata_hash, vec![*metadata]));
        }
        writer.append(NewBlock { metadata_hash, ..NewBlock::raw(&bytes) }, TIME_MS + u64::from(*seed), *parents);
    }
    writer.commit().unwrap();
}

/// Every question gets the same answer from both. What no block refers to may have been cleared away by a restart.
pub(crate) fn assert_same(a: &dyn DagBackend, b: &dyn DagBackend) {
    let (totals_a, totals_b) = (a.totals().unwrap(), b.totals().unwrap());
    let without_chunks = |totals| Totals { chunks: 0, unique_bytes: 0, stored_bytes: 0, ..totals };
    assert_eq!(without_chunks(totals_a), without_chunks(totals_b));
    for leaf_index in 0..=totals_a.blocks {
        let block = a.block(leaf_index).unwrap();
        assert_eq!(block, b.block(leaf_index).unwrap());
        assert_eq!(a.children(leaf_index, None, 99).unwrap(), b.children(leaf_index, None, 99).unwrap());
        let Some(block) = block else { continue };
        assert_eq!(a.find_key(&block.key()).unwrap(), b.find_key(&block.key()).unwrap());
        let hash = block.header().content_hash;
        assert_eq!(a.payload(&hash).unwrap(), b.payload(&hash).unwrap());
        assert_eq!(a.find_content(&hash, None, 99).unwrap(), b.find_content(&hash, None, 99).unwrap());
        let chunks = a.chunks(&hash, 0, 99).unwrap();
        assert_eq!(chunks, b.chunks(&hash, 0, 99).unwrap());
        for chunk in chunks {
            assert_eq!(a.chunk(&chunk.chunk_hash).unwrap(), b.chunk(&chunk.chunk_hash).unwrap());
        }
    }
    for level in 0..12 {
        for index in 0..=(totals_a.blocks >> level) {
            assert_eq!(a.log_node(level, index).unwrap(), b.log_node(level, index).unwrap());
        }
    }
    assert_eq!(a.frontier(None, 999).unwrap(), b.frontier(None, 999).unwrap());
    let everything = (0..=u32::MAX, 0..=u64::MAX);
    assert_eq!(a.by_depth(everything.0.clone(), None, 999).unwrap(), b.by_depth(everything.0, None, 999).unwrap());
    assert_eq!(a.by_time(everything.1.clone(), None, 999).unwrap(), b.by_time(everything.1, None, 999).unwrap());
}
