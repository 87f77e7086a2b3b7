//! Archives as they are off the chain: logs of real headers, with their proofs.

use super::*;
use crate::{
    HostHasher, Succession,
    sparse_log::SparseLog,
    types::{Ancestors, ConsistencyPath, HeaderBytes, InclusionPath},
};
use pakit_primitives::{
    BlockHash, Compression, ContentHash, Head, Header, MetadataHash, Parent, Parents, header::hash_header_bytes,
};

/// A DAG off the chain: block i builds on the two blocks before it, as an honest archive would have it.
pub(crate) struct Archive {
    pub(crate) headers: Vec<Header>,
    log: SparseLog,
}

impl Archive {
    pub(crate) fn new(blocks: u64) -> Self {
        let mut headers: Vec<Header> = Vec::new();
        for leaf_index in 0..blocks {
            headers.push(header_after(&headers, leaf_index));
        }
        Self::of(headers)
    }

    /// The log of these headers, whatever they say.
    pub(crate) fn of(headers: Vec<Header>) -> Self {
        let log = SparseLog::new((0..).zip(&headers).map(|(index, header)| (index, hash_of(&header.to_bytes()))));
        Self { headers, log }
    }

    pub(crate) fn header(&self, leaf_index: u64) -> HeaderBytes {
        bytes_of(&self.headers[leaf_index as usize])
    }

    pub(crate) fn block_hash(&self, leaf_index: u64) -> BlockHash {
        hash_of(&self.header(leaf_index))
    }

    pub(crate) fn head(&self, size: u64) -> Head {
        self.log.head(size)
    }

    pub(crate) fn inclusion(&self, leaf_index: u64, size: u64) -> InclusionPath {
        self.log.inclusion(leaf_index, size).try_into().unwrap()
    }

    pub(crate) fn consistency(&self, old_size: u64, new_size: u64) -> ConsistencyPath {
        self.log.consistency(old_size, new_size).try_into().unwrap()
    }

    /// Headers from the oldest parent of a block to genesis.
    pub(crate) fn ancestors(&self, leaf_index: u64) -> Ancestors {
        let mut ancestors = Vec::new();
        let mut header = &self.headers[leaf_index as usize];
        while let Some(parent) = header.parents.first() {
            header = &self.headers[parent.leaf_index as usize];
            ancestors.push(bytes_of(header));
        }
        ancestors.try_into().unwrap()
    }

    pub(crate) fn succession(&self, dag: u32, size: u64) -> Succession {
        let Head { size, root } = self.head(size);
        Succession { dag, size, root }
    }

    pub(crate) fn create(&self, who: AccountId) -> DispatchResult {
        Pakit::create_dag(RuntimeOrigin::signed(who), self.header(0), None)
    }

    /// Anchors `new_size` after whatever the chain has.
    pub(crate) fn anchor(&self, who: AccountId, dag: u32, new_size: u64) -> DispatchResult {
        let old_size = Pakit::dag(dag).map_or(1, |info| info.latest.size);
        let newest = new_size.saturating_sub(1);
        Pakit::anchor(
            RuntimeOrigin::signed(who),
            dag,
            self.head(new_size),
            self.consistency(old_size, new_size),
            self.header(newest),
            self.inclusion(newest, new_size),
        )
    }

    /// The owner anchors each of these sizes.
    pub(crate) fn anchor_each(&self, sizes: impl IntoIterator<Item = u64>) {
        for size in sizes {
            assert_ok!(self.anchor(OWNER, DAG, size));
        }
    }

    pub(crate) fn record(&self, who: AccountId, anchor: u64, leaf_index: u64) -> DispatchResult {
        let size = Pakit::anchored_head(DAG, anchor).map_or(1, |anchored| anchored.head.size);
        let (header, inclusion) = (self.header(leaf_index), self.inclusion(leaf_index, size));
        Pakit::record_proof(RuntimeOrigin::signed(who), DAG, anchor, header, inclusion)
    }
}

/// A well-formed header for the place after `earlier`.
pub(crate) fn header_after(earlier: &[Header], leaf_index: u64) -> Header {
    let parents: Vec<Parent> = (leaf_index.saturating_sub(2)..leaf_index)
        .map(|index| Parent { leaf_index: index, block_hash: hash_of(&earlier[index as usize].to_bytes()) })
        .collect();
    Header {
        leaf_index,
        parents: Parents::from_slice(&parents).unwrap(),
        depth: u32::try_from(leaf_index).unwrap(),
        timestamp_ms: 1_700_000_000_000 + leaf_index,
        slices_before: leaf_index,
        content_hash: ContentHash::new([u8::try_from(leaf_index % 251).unwrap(); 32]),
        codec: 0x55,
        original_size: 100 + leaf_index,
        stored_size: 50 + leaf_index,
        compression: Compression::Zstd,
        metadata_hash: MetadataHash::NONE,
    }
}

pub(crate) fn bytes_of(header: &Header) -> HeaderBytes {
    header.to_bytes().try_into().unwrap()
}

pub(crate) fn hash_of(header_bytes: &[u8]) -> BlockHash {
    hash_header_bytes::<HostHasher>(header_bytes)
}
