//! A log that is sound, and logs with one fault each: what proofs of others are held against. The hashes of its trees are computed from
//! all that is below them, and not along a path, so that what proves something is not made by what verifies it.

use pakit_primitives::{
    BlockHash, Compression, ContentHash, Hasher, Head, Header, LogRoot, MetadataHash, Parent, Parents, SoftwareHasher,
    fraud::FaultKind,
    hasher::Digest,
    header::hash_header_bytes,
    log::{Subtree, consistency_subtrees, hash_node, inclusion_subtrees, multiproof_subtrees},
};
use std::sync::LazyLock;

/// Bytes of the contents, one block each.
const CONTENT_BYTES: [usize; 13] = [40, 0, 1, 1023, 1024, 1025, 2048, 3000, 17, 5000, 4096, 9001, 20];
/// Bytes of a slice.
const SLICE_BYTES: usize = 1024;

/// Blocks with their contents, and the log over them.
pub(super) struct Log {
    pub(super) contents: Vec<Vec<u8>>,
    /// The leaves' bytes.
    pub(super) headers: Vec<Vec<u8>>,
    pub(super) hashes: Vec<BlockHash>,
    /// The heads of all sizes from 1 on.
    pub(super) heads: Vec<Head>,
}

/// The same in each run and on each machine, so that a corpus may hold proofs of it.
pub(super) static LOG: LazyLock<Log> = LazyLock::new(|| {
    let (contents, headers) = blocks();
    Log::of(contents, headers)
});

/// Logs whose last leaf breaks a rule, one for each rule.
pub(super) static FAULTY: LazyLock<Vec<(FaultKind, Log)>> = LazyLock::new(|| {
    let (contents, headers) = blocks();
    let with_last = |last: Vec<u8>| {
        let headers = headers[..8].iter().cloned().chain([last]).collect();
        Log::of(contents[..9].to_vec(), headers)
    };
    let changed = |change: fn(&mut Header)| {
        let mut header = Header::decode(&headers[8]).unwrap();
        change(&mut header);
        with_last(header.to_bytes())
    };
    vec![
        (FaultKind::Undecodable, with_last(b"no header".to_vec())),
        (FaultKind::OtherIndex, changed(|header| header.leaf_index += 1)),
        (FaultKind::OtherParent, changed(with_another_parent)),
        (FaultKind::WrongDepth, changed(|header| header.depth -= 1)),
        (FaultKind::EarlierThanParent, changed(|header| header.timestamp_ms = 5)),
        (FaultKind::WrongSlicesBefore, changed(|header| header.slices_before += 1)),
    ]
});

fn with_another_parent(header: &mut Header) {
    let mut parents = header.parents.to_vec();
    parents[0].block_hash = BlockHash::new([9; 32]);
    header.parents = Parents::from_slice(&parents).unwrap();
}

/// Contents and headers.
fn blocks() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut contents, mut headers): (Vec<Vec<u8>>, Vec<Header>) = (Vec::new(), Vec::new());
    for (index, bytes) in CONTENT_BYTES.into_iter().enumerate() {
        let content: Vec<u8> = (0..bytes).map(|at| (at / SLICE_BYTES + 16 * index) as u8).collect();
        // The two blocks before, and the one half as old.
        let mut named = vec![index.saturating_sub(1), index.saturating_sub(2), index / 2];
        named.retain(|parent| *parent < index);
        named.sort_unstable();
        named.dedup();
        let parents = named.iter().map(|at| Parent { leaf_index: *at as u64, block_hash: hash_of(&headers[*at]) });
        headers.push(Header {
            leaf_index: index as u64,
            parents: Parents::from_slice(&parents.collect::<Vec<_>>()).unwrap(),
            depth: named.iter().map(|at| headers[*at].depth + 1).max().unwrap_or(0),
            timestamp_ms: 1_700_000_000_000 + index as u64,
            slices_before: headers.last().map_or(0, Header::slices_through),
            content_hash: ContentHash::new(SoftwareHasher::blake3(&content)),
            codec: 0x55,
            original_size: bytes as u64,
            stored_size: bytes as u64,
            compression: Compression::None,
            metadata_hash: MetadataHash::default(),
        });
        contents.push(content);
    }
    (contents, headers.iter().map(Header::to_bytes).collect())
}

fn hash_of(header: &Header) -> BlockHash {
    hash_header_bytes::<SoftwareHasher>(&header.to_bytes())
}

impl Log {
    fn of(contents: Vec<Vec<u8>>, headers: Vec<Vec<u8>>) -> Self {
        let hashes: Vec<BlockHash> = headers.iter().map(|bytes| hash_header_bytes::<SoftwareHasher>(bytes)).collect();
        let mut log = Self { contents, headers, hashes, heads: Vec::new() };
        let head = |log: &Self, size: u64| Head { size, root: LogRoot::new(log.hash(Subtree { start: 0, end: size })) };
        log.heads = (1..=log.hashes.len() as u64).map(|size| head(&log, size)).collect();
        log
    }

    /// Hash of a subtree, of at least one leaf.
    pub(super) fn hash(&self, Subtree { start, end }: Subtree) -> Digest {
        if end - start == 1 {
            return self.hashes[start as usize].to_bytes();
        }
        let middle = start + (end - start).next_power_of_two() / 2;
        let half = |start, end| self.hash(Subtree { start, end });
        hash_node::<SoftwareHasher>(&half(start, middle), &half(middle, end))
    }

    fn path(&self, subtrees: Vec<Subtree>) -> Vec<Digest> {
        subtrees.into_iter().map(|subtree| self.hash(subtree)).collect()
    }

    /// That a leaf is in the log of a size.
    pub(super) fn inclusion(&self, leaf_index: u64, size: u64) -> Vec<Digest> {
        self.path(inclusion_subtrees(leaf_index, size).unwrap())
    }

    /// That the log of a size begins with that of another.
    pub(super) fn consistency(&self, old: u64, new: u64) -> Vec<Digest> {
        self.path(consistency_subtrees(old, new).unwrap())
    }

    /// That some leaves are in the log of a size.
    pub(super) fn multiproof(&self, leaves: &[u64], size: u64) -> Vec<Digest> {
        self.path(multiproof_subtrees(leaves, size).unwrap())
    }

    /// A header, which the sound log has at each of its places.
    pub(super) fn header(&self, leaf_index: u64) -> Header {
        Header::decode(&self.headers[leaf_index as usize]).unwrap()
    }

    /// The block that holds a slice of all, and the slice's place within its content.
    pub(super) fn block_of(&self, position: u64) -> Option<(u64, u64)> {
        let leaves = 0..self.headers.len() as u64;
        let holds =
            |leaf: &u64| (self.header(*leaf).slices_before..self.header(*leaf).slices_through()).contains(&position);
        leaves.into_iter().find(holds).map(|leaf| (leaf, position - self.header(leaf).slices_before))
    }

    /// A slice of a block's content, and its siblings from itself upwards.
    pub(super) fn slice(&self, leaf_index: u64, index: u64) -> (Vec<u8>, Vec<Digest>) {
        let content = &self.contents[leaf_index as usize];
        let slices: Vec<&[u8]> = content.chunks(SLICE_BYTES).collect();
        let count = slices.len() as u64;
        let siblings = match count {
            0 => Vec::new(),
            _ => inclusion_subtrees(index, count).unwrap().into_iter().map(|part| value(&slices, part)).collect(),
        };
        (slices.get(index as usize).map_or(Vec::new(), |slice| slice.to_vec()), siblings)
    }
}

/// BLAKE3's chaining value of a part of a content.
fn value(slices: &[&[u8]], Subtree { start, end }: Subtree) -> Digest {
    if end - start == 1 {
        return SoftwareHasher::blake3_slice(start, slices[start as usize]);
    }
    let middle = start + (end - start).next_power_of_two() / 2;
    let half = |start, end| value(slices, Subtree { start, end });
    SoftwareHasher::blake3_parent(&half(start, middle), &half(middle, end))
}
