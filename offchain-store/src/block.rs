//! [`DagBlock`], a block as the store hands it out, and [`DagBuilder`], which makes the header of a new one.

use crate::{
    backend::{BlockKey, ParentInfo},
    cid::Cid,
};
use pakit_primitives::{
    BlockHash, Compression, ContentHash, Header, HeaderError, MetadataHash, Parent, Parents, SoftwareHasher,
    header::hash_header_bytes,
};

/// A block: a header, its identity, and whether its content is still kept.
///
/// ```
/// use offchain_store::{DagBlock, DagBuilder, NewBlock};
/// let builder = DagBuilder::new(0, 0);
/// let genesis: DagBlock = builder.genesis(NewBlock::raw(b"a DAG"), 1_700_000_000_000).unwrap();
/// assert_eq!(genesis.header().depth, 0);
/// assert_eq!(DagBlock::from_header_bytes(&genesis.header().to_bytes()).unwrap(), genesis);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DagBlock {
    block_hash: BlockHash,
    header: Header,
}

impl DagBlock {
    /// Hashes a header that is known to be well formed.
    pub fn new(header: Header) -> Result<Self, HeaderError> {
        header.validate()?;
        Ok(Self { block_hash: header.block_hash::<SoftwareHasher>(), header })
    }

    /// Decodes strictly.
    pub fn from_header_bytes(bytes: &[u8]) -> Result<Self, HeaderError> {
        Ok(Self { header: Header::decode(bytes)?, block_hash: hash_header_bytes::<SoftwareHasher>(bytes) })
    }

    /// SHA-256 of 0x00 and the header's bytes.
    pub fn block_hash(&self) -> BlockHash {
        self.block_hash
    }

    /// What the block says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its place in the log.
    pub fn leaf_index(&self) -> u64 {
        self.header.leaf_index
    }

    /// The CID of its content.
    pub fn cid(&self) -> Cid {
        Cid::new(self.header.codec, self.header.content_hash)
    }

    /// What a put is compared by.
    pub fn key(&self) -> BlockKey {
        BlockKey {
            codec: self.header.codec,
            content_hash: self.header.content_hash,
            metadata_hash: self.header.metadata_hash,
        }
    }

    /// How later blocks name it.
    pub fn as_parent(&self) -> Parent {
        Parent { leaf_index: self.header.leaf_index, block_hash: self.block_hash }
    }
}

/// What a new block's header says of its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewBlock {
    /// Multicodec of the content.
    pub codec: u32,
    /// BLAKE3 of the content.
    pub content_hash: ContentHash,
    /// Plaintext bytes.
    pub original_size: u64,
    /// Stored bytes of its chunks.
    pub stored_size: u64,
    /// Compression of most of them.
    pub compression: Compression,
    /// BLAKE3 of the metadata map, or zeros.
    pub metadata_hash: MetadataHash,
}

impl NewBlock {
    /// A raw content, stored as it is and without metadata.
    pub fn raw(content: &[u8]) -> Self {
        Self {
            codec: crate::cid::RAW,
            content_hash: ContentHash::new(*blake3::hash(content).as_bytes()),
            original_size: content.len() as u64,
            stored_size: content.len() as u64,
            compression: Compression::None,
            metadata_hash: MetadataHash::NONE,
        }
    }
}

/// Makes headers that continue a log: position, depth, time and slices follow from the log and the parents.
///
/// ```
/// use offchain_store::{DagBuilder, NewBlock};
/// let mut builder = DagBuilder::new(0, 0);
/// let genesis = builder.genesis(NewBlock::raw(b"a DAG"), 1_700_000_000_000).unwrap();
/// builder.advance(&genesis);
/// let child = builder.block(NewBlock::raw(b"a file"), 0, &[genesis.clone()]).unwrap();
/// assert_eq!((child.leaf_index(), child.header().depth), (1, 1));
/// // A clock that stands before the parents' time does not make time run backwards.
/// assert_eq!(child.header().timestamp_ms, genesis.header().timestamp_ms);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DagBuilder {
    leaf_index: u64,
    slices_before: u64,
}

impl DagBuilder {
    /// Continues a log of `leaf_index` blocks that hold `slices_before` slices.
    pub fn new(leaf_index: u64, slices_before: u64) -> Self {
        Self { leaf_index, slices_before }
    }

    /// The place of the next block.
    pub fn leaf_index(&self) -> u64 {
        self.leaf_index
    }

    /// The first block of a DAG.
    pub fn genesis(&self, content: NewBlock, clock_ms: u64) -> Result<DagBlock, HeaderError> {
        self.on(content, clock_ms, &[])
    }

    /// The next block, on `parents` in any order. Time is that of the clock, or of the latest parent if that is later.
    pub fn block(&self, content: NewBlock, clock_ms: u64, parents: &[DagBlock]) -> Result<DagBlock, HeaderError> {
        let parents: Vec<ParentInfo> = parents.iter().map(ParentInfo::from).collect();
        self.on(content, clock_ms, &parents)
    }

    /// The same, of what is known of the parents.
    pub fn on(&self, content: NewBlock, clock_ms: u64, parents: &[ParentInfo]) -> Result<DagBlock, HeaderError> {
        let name = |info: &ParentInfo| Parent { leaf_index: info.leaf_index, block_hash: info.block_hash };
        let mut named: Vec<Parent> = parents.iter().map(name).collect();
        named.sort_unstable_by_key(|parent| parent.leaf_index);
        let depth = parents.iter().map(|parent| parent.depth.saturating_add(1)).max().unwrap_or(0);
        let timestamp_ms = parents.iter().map(|parent| parent.timestamp_ms).fold(clock_ms, u64::max);
        DagBlock::new(Header {
            leaf_index: self.leaf_index,
            parents: Parents::from_slice(&named)?,
            depth,
            timestamp_ms,
            slices_before: self.slices_before,
            content_hash: content.content_hash,
            codec: content.codec,
            original_size: content.original_size,
            stored_size: content.stored_size,
            compression: content.compression,
            metadata_hash: content.metadata_hash,
        })
    }

    /// Moves past a block that was made for this place.
    pub fn advance(&mut self, block: &DagBlock) {
        self.leaf_index = block.header.leaf_index + 1;
        self.slices_before = block.header.slices_through();
    }
}
