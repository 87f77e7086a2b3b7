//! A prover that knows nothing of the crate's own shapes: the recursive definitions of RFC 6962, over any source of roots.

use pakit_primitives::{
    BlockHash, Compression, ContentHash, Head, Header, LogRoot, MetadataHash, Parent, Parents, SoftwareHasher,
    hasher::{Digest, Hasher},
    header::hash_header_bytes,
    log::{Subtree, hash_node},
    slice::slice_count,
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

/// A range of leaves.
pub(crate) type Range = (u64, u64);

/// The largest power of two below `n`, by trying.
pub(crate) fn split(n: u64) -> u64 {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// PATH(m, D[low:high]).
pub(crate) fn path_ranges(m: u64, (low, high): Range) -> Vec<Range> {
    if high - low == 1 {
        return Vec::new();
    }
    let middle = low + split(high - low);
    let (mut path, sibling) = if m < middle {
        (path_ranges(m, (low, middle)), (middle, high))
    } else {
        (path_ranges(m, (middle, high)), (low, middle))
    };
    path.push(sibling);
    path
}

/// SUBPROOF(m, D[low:high], whole), `m` counted from leaf 0.
pub(crate) fn subproof_ranges(m: u64, (low, high): Range, whole: bool) -> Vec<Range> {
    if m == high {
        return if whole { Vec::new() } else { vec![(low, high)] };
    }
    let middle = low + split(high - low);
    let (mut path, sibling) = if m <= middle {
        (subproof_ranges(m, (low, middle), whole), (middle, high))
    } else {
        (subproof_ranges(m, (middle, high), false), (low, middle))
    };
    path.push(sibling);
    path
}

/// Visit order of a multiproof.
pub(crate) fn multiproof_ranges(wanted: &[u64], (low, high): Range) -> Vec<Range> {
    let inside: Vec<u64> = wanted.iter().copied().filter(|leaf| (low..high).contains(leaf)).collect();
    if inside.is_empty() {
        return vec![(low, high)];
    }
    if high - low == 1 {
        return Vec::new();
    }
    let middle = low + split(high - low);
    let mut out = multiproof_ranges(&inside, (low, middle));
    out.extend(multiproof_ranges(&inside, (middle, high)));
    out
}

/// How many ranges two paths have in common at their ends.
pub(crate) fn shared_ranges(reference: u64, leaf: u64, size: u64) -> usize {
    let (reference, leaf) = (path_ranges(reference, (0, size)), path_ranges(leaf, (0, size)));
    reference.iter().rev().zip(leaf.iter().rev()).take_while(|(one, other)| one == other).count()
}

pub(crate) fn ranges(subtrees: &[Subtree]) -> Vec<Range> {
    subtrees.iter().map(|subtree| (subtree.start, subtree.end)).collect()
}

/// A log in which every leaf is the same but for a few, so that any size costs only the logarithm of it.
pub(crate) struct NaiveLog {
    /// Where leaves differ, ascending. Subtrees without any of these are told by their length.
    special: Vec<u64>,
    memo: RefCell<HashMap<Range, Digest>>,
}

impl NaiveLog {
    /// `leaves` different leaves.
    pub(crate) fn new(leaves: u64) -> Self {
        Self { special: (0..leaves).collect(), memo: RefCell::default() }
    }

    /// Leaves that are all the same except those at `special`.
    pub(crate) fn sparse(mut special: Vec<u64>) -> Self {
        special.sort_unstable();
        special.dedup();
        Self { special, memo: RefCell::default() }
    }

    pub(crate) fn leaf(&self, index: u64) -> Digest {
        leaf_of(if self.special.binary_search(&index).is_ok() { index } else { u64::MAX })
    }

    pub(crate) fn block(&self, index: u64) -> BlockHash {
        BlockHash::new(self.leaf(index))
    }

    /// MTH(D[low:high]).
    pub(crate) fn root_of(&self, (low, high): Range) -> Digest {
        if high - low == 1 {
            return self.leaf(low);
        }
        let plain = self.special.partition_point(|i| *i < low) == self.special.partition_point(|i| *i < high);
        // Ranges of equal leaves are known by their length alone.
        let key = if plain { (u64::MAX, high - low) } else { (low, high) };
        if let Some(known) = self.memo.borrow().get(&key) {
            return *known;
        }
        let middle = low + split(high - low);
        let root = hash_node::<SoftwareHasher>(&self.root_of((low, middle)), &self.root_of((middle, high)));
        self.memo.borrow_mut().insert(key, root);
        root
    }

    pub(crate) fn head(&self, size: u64) -> Head {
        Head { size, root: LogRoot::new(self.root_of((0, size))) }
    }

    pub(crate) fn hashes(&self, ranges: &[Range]) -> Vec<Digest> {
        ranges.iter().map(|range| self.root_of(*range)).collect()
    }

    pub(crate) fn inclusion(&self, leaf: u64, size: u64) -> Vec<Digest> {
        self.hashes(&path_ranges(leaf, (0, size)))
    }

    pub(crate) fn consistency(&self, old: u64, new: u64) -> Vec<Digest> {
        self.hashes(&subproof_ranges(old, (0, new), true))
    }

    pub(crate) fn multiproof(&self, wanted: &[u64], size: u64) -> Vec<Digest> {
        self.hashes(&multiproof_ranges(wanted, (0, size)))
    }

    pub(crate) fn leaves(&self, wanted: &[u64]) -> Vec<(u64, BlockHash)> {
        wanted.iter().map(|index| (*index, self.block(*index))).collect()
    }
}

fn leaf_of(index: u64) -> Digest {
    hash_header_bytes::<SoftwareHasher>(format!("leaf {index}").as_bytes()).to_bytes()
}

/// The hash with one bit changed, another one for each `turn`.
pub(crate) fn with_bit_flipped(digest: &Digest, turn: usize) -> Digest {
    let mut out = *digest;
    let bit = turn.wrapping_mul(97) % 256;
    out[bit / 8] ^= 1 << (bit % 8);
    out
}

/// The list with one item changed, dropped, doubled, added or exchanged for its neighbour, in every place.
pub(crate) fn mutations(path: &[Digest], turn: usize) -> Vec<(&'static str, Vec<Digest>)> {
    let mut out = vec![
        ("appended", [path, &[[7; 32]]].concat()),
        ("prepended", [&[[7; 32]], path].concat()),
        ("doubled whole", if path.is_empty() { vec![[0; 32]; 2] } else { path.repeat(2) }),
    ];
    for place in 0..path.len() {
        let mut flipped = path.to_vec();
        flipped[place] = with_bit_flipped(&path[place], turn + place);
        out.push(("bit flipped", flipped));
        let mut dropped = path.to_vec();
        dropped.remove(place);
        out.push(("dropped", dropped));
        let mut doubled = path.to_vec();
        doubled.insert(place, path[place]);
        out.push(("doubled", doubled));
        // Equal neighbours, as trees of equal leaves have them, are exchanged without a trace.
        if place > 0 && path[place] != path[place - 1] {
            let mut swapped = path.to_vec();
            swapped.swap(place, place - 1);
            out.push(("swapped", swapped));
        }
    }
    out
}

thread_local! {
    static SHA256_CALLS: Cell<usize> = const { Cell::new(0) };
    static BLAKE3_CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Counts its calls, to show what a proof may cost its verifier.
pub(crate) struct CountingHasher;

impl Hasher for CountingHasher {
    fn sha256(data: &[u8]) -> Digest {
        SHA256_CALLS.set(SHA256_CALLS.get() + 1);
        SoftwareHasher::sha256(data)
    }

    fn blake3(data: &[u8]) -> Digest {
        BLAKE3_CALLS.set(BLAKE3_CALLS.get() + 1);
        SoftwareHasher::blake3(data)
    }

    fn blake3_slice(index: u64, slice: &[u8]) -> Digest {
        BLAKE3_CALLS.set(BLAKE3_CALLS.get() + 1);
        SoftwareHasher::blake3_slice(index, slice)
    }
}

/// What `work` gives and how many hashes it computed.
pub(crate) fn counting<T>(work: impl FnOnce() -> T) -> (T, usize) {
    SHA256_CALLS.set(0);
    BLAKE3_CALLS.set(0);
    let out = work();
    (out, SHA256_CALLS.get() + BLAKE3_CALLS.get())
}

/// A well-formed header with something in each field.
pub(crate) fn sample_header() -> Header {
    let parent = |leaf_index: u64| Parent { leaf_index, block_hash: BlockHash::new([leaf_index as u8; 32]) };
    Header {
        leaf_index: 12,
        parents: Parents::from_slice(&[parent(2), parent(5), parent(9)]).unwrap(),
        depth: 7,
        timestamp_ms: 1_700_000_000_123,
        slices_before: 40,
        content_hash: ContentHash::new([0x33; 32]),
        codec: 0x71,
        original_size: 70_000,
        stored_size: 30_000,
        compression: Compression::Zstd,
        metadata_hash: MetadataHash::new([0x44; 32]),
    }
}

/// Blocks of which each builds on the two before it.
pub(crate) fn chain(blocks: u64) -> Vec<Header> {
    let mut out: Vec<Header> = Vec::new();
    for leaf_index in 0..blocks {
        let parents: Vec<Parent> = (leaf_index.saturating_sub(2)..leaf_index)
            .map(|index| Parent { leaf_index: index, block_hash: out[index as usize].block_hash::<SoftwareHasher>() })
            .collect();
        out.push(Header {
            leaf_index,
            parents: Parents::from_slice(&parents).unwrap(),
            depth: leaf_index as u32,
            timestamp_ms: 1_700_000_000_000 + leaf_index,
            slices_before: leaf_index * slice_count(100),
            content_hash: ContentHash::new([leaf_index as u8; 32]),
            original_size: 100,
            stored_size: 100,
            compression: Compression::None,
            ..sample_header()
        });
    }
    out
}
