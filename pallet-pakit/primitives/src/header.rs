//! The header of a block: the only thing of a block that is hashed, logged and shown to a chain.
//!
//! Bytes: ASCII `PKT1`, then SCALE of the fields in the order of [`Header`]. Integers are little endian and of fixed width;
//! the count of parents is one SCALE compact byte. Length 118 + 40 x parents.

use crate::{
    hasher::{Digest, Hasher},
    id::{BlockHash, ContentHash, HASH_BYTES, MetadataHash},
    log::LEAF_PREFIX,
    slice::slice_count,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::ops::Deref;
use scale_info::TypeInfo;

/// First four bytes of every header: the format and its version.
pub const MAGIC: [u8; 4] = *b"PKT1";
/// Most parents that a block may name.
pub const PARENTS_MAX: usize = 5;
/// Least parents that a block must name once there are as many earlier blocks.
pub const PARENTS_MIN: usize = 2;
/// Length of a header without parents, in bytes.
pub const HEADER_BYTES_MIN: usize = 118;
/// Length of each parent within a header, in bytes.
pub const PARENT_BYTES: usize = 40;
/// Length of a header with the most parents, in bytes.
pub const HEADER_BYTES_MAX: usize = HEADER_BYTES_MIN + PARENTS_MAX * PARENT_BYTES;
/// Leaf indices are below this; log sizes are at most this.
pub const LEAVES_MAX: u64 = 1 << 48;
/// Sizes in bytes are below this, so that every reader of JSON can hold them exactly.
pub const SIZE_LIMIT: u64 = 1 << 53;

/// An earlier block that a block builds on.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Parent {
    /// Its place in the log.
    pub leaf_index: u64,
    /// Its identity.
    pub block_hash: BlockHash,
}

/// Up to [`PARENTS_MAX`] parents, held inline: a header is decoded without an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parents {
    // Items at and beyond `len` stay at their default, so that derived equality is equality of the used part.
    items: [Parent; PARENTS_MAX],
    len: usize,
}

impl Parents {
    /// No parents: genesis.
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes up to [`PARENTS_MAX`] parents in the order given.
    pub fn from_slice(parents: &[Parent]) -> Result<Self, HeaderError> {
        let mut items = [Parent::default(); PARENTS_MAX];
        items.get_mut(..parents.len()).ok_or(HeaderError::TooManyParents)?.copy_from_slice(parents);
        Ok(Self { items, len: parents.len() })
    }
}

impl Deref for Parents {
    type Target = [Parent];

    fn deref(&self) -> &[Parent] {
        self.items.get(..self.len).unwrap_or(&self.items)
    }
}

/// How most of a content's stored bytes were compressed when its block was committed.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[repr(u8)]
pub enum Compression {
    /// Stored as it is.
    #[default]
    #[codec(index = 0)]
    None = 0,
    /// Zstandard.
    #[codec(index = 1)]
    Zstd = 1,
    /// LZ4.
    #[codec(index = 2)]
    Lz4 = 2,
    /// Gzip.
    #[codec(index = 3)]
    Gzip = 3,
    /// Brotli.
    #[codec(index = 4)]
    Brotli = 4,
}

impl Compression {
    /// Every code, in the order of the codes.
    pub const ALL: [Self; 5] = [Self::None, Self::Zstd, Self::Lz4, Self::Gzip, Self::Brotli];

    /// The code that stands in a header.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The compression of a code, if it is one of the five.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What a block says of itself. Field order is the byte order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Position in the log, below 2^48. Genesis is 0.
    pub leaf_index: u64,
    /// Earlier blocks that it builds on, strictly ascending by index.
    pub parents: Parents,
    /// 0 for genesis, else 1 + the greatest depth of its parents.
    pub depth: u32,
    /// Unix time in milliseconds by the writer's clock; never before a parent's.
    pub timestamp_ms: u64,
    /// Slices of 1 KiB in all earlier blocks, at least one each.
    pub slices_before: u64,
    /// BLAKE3-256 of the content.
    pub content_hash: ContentHash,
    /// Multicodec of the content.
    pub codec: u32,
    /// Bytes of the content, below 2^53.
    pub original_size: u64,
    /// Bytes of its stored chunks at commit, below 2^53; the archive's own claim.
    pub stored_size: u64,
    /// Compression of most of those bytes.
    pub compression: Compression,
    /// BLAKE3-256 of the metadata map, zeros without one.
    pub metadata_hash: MetadataHash,
}

/// Why bytes are not a header, or a header not a well-formed one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// No bytes at all.
    #[error("the header is empty")]
    Empty,
    /// Fewer bytes than its count of parents demands.
    #[error("the header is truncated")]
    Truncated,
    /// More bytes than any header has.
    #[error("the header is longer than {HEADER_BYTES_MAX} bytes")]
    Oversized,
    /// More bytes than its count of parents demands.
    #[error("bytes follow the end of the header")]
    TrailingBytes,
    /// The first bytes are not `PKT1`.
    #[error("the header does not begin with PKT1")]
    WrongMagic,
    /// The count of parents is not one canonical SCALE compact byte.
    #[error("the count of parents is not canonically encoded")]
    MalformedParentCount,
    /// More than five parents.
    #[error("the header names more than {PARENTS_MAX} parents")]
    TooManyParents,
    /// Fewer parents than min(2, leaf index).
    #[error("the header names fewer parents than its position demands")]
    TooFewParents,
    /// Genesis names a parent.
    #[error("genesis names a parent")]
    GenesisWithParents,
    /// Two parents with one index.
    #[error("a parent is named twice")]
    DuplicateParent,
    /// Parents out of order.
    #[error("the parents are not in ascending order")]
    UnsortedParents,
    /// A parent at or after the block's own position.
    #[error("a parent does not come before the block")]
    ParentNotBefore,
    /// A leaf index of 2^48 or more.
    #[error("the leaf index is not below 2^48")]
    LeafIndexTooLarge,
    /// Depth 0 elsewhere than at genesis, or genesis with another depth.
    #[error("depth 0 and genesis do not coincide")]
    DepthNotOfPosition,
    /// A depth above the leaf index: no chain of parents can be so long.
    #[error("the depth is above the leaf index")]
    DepthTooLarge,
    /// Fewer slices before the block than blocks, or slices before genesis.
    #[error("slices_before cannot belong to this position")]
    SlicesBeforeImpossible,
    /// `slices_before` and the block's own slices overflow.
    #[error("the count of slices overflows")]
    SlicesOverflow,
    /// An original size of 2^53 or more.
    #[error("the original size is not below 2^53")]
    OriginalSizeTooLarge,
    /// A stored size of 2^53 or more.
    #[error("the stored size is not below 2^53")]
    StoredSizeTooLarge,
    /// A compression code that is none of the five.
    #[error("the compression code is unknown")]
    UnknownCompression,
    /// An empty content that claims to be compressed.
    #[error("an empty content claims to be compressed")]
    EmptyContentCompressed,
}

/// Block hash of header bytes, whether or not they are well formed: SHA-256(0x00 || bytes), the RFC 6962 leaf hash.
pub fn hash_header_bytes<H: Hasher>(bytes: &[u8]) -> BlockHash {
    let mut buffer = [LEAF_PREFIX; 1 + HEADER_BYTES_MAX];
    match buffer.get_mut(1..1 + bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            BlockHash::new(H::sha256(buffer.get(..1 + bytes.len()).unwrap_or(&buffer)))
        }
        None => {
            // Longer than any header, yet a log of a hostile archive may hold such a leaf.
            let mut long = Vec::with_capacity(1 + bytes.len());
            long.push(LEAF_PREFIX);
            long.extend_from_slice(bytes);
            BlockHash::new(H::sha256(&long))
        }
    }
}

impl Header {
    /// The header's bytes. Those of a header that [`Header::validate`] refuses do not decode again.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES_MAX);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.leaf_index.to_le_bytes());
        // At most 5 parents: the SCALE compact form of their count is the one byte 4 x count.
        out.push((self.parents.len() as u8) << 2);
        for parent in self.parents.iter() {
            out.extend_from_slice(&parent.leaf_index.to_le_bytes());
            out.extend_from_slice(parent.block_hash.as_bytes());
        }
        out.extend_from_slice(&self.depth.to_le_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_le_bytes());
        out.extend_from_slice(&self.slices_before.to_le_bytes());
        out.extend_from_slice(self.content_hash.as_bytes());
        out.extend_from_slice(&self.codec.to_le_bytes());
        out.extend_from_slice(&self.original_size.to_le_bytes());
        out.extend_from_slice(&self.stored_size.to_le_bytes());
        out.push(self.compression.code());
        out.extend_from_slice(self.metadata_hash.as_bytes());
        out
    }

    /// The block's identity.
    pub fn block_hash<H: Hasher>(&self) -> BlockHash {
        hash_header_bytes::<H>(&self.to_bytes())
    }

    /// Strict decoding: exactly one byte string decodes to a given header, and every rule visible in a header holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let parent_count = check_frame(bytes)?;
        let mut reader = Reader { rest: bytes.get(MAGIC.len()..).unwrap_or_default() };
        let leaf_index = reader.u64()?;
        let _count = reader.array::<1>()?;
        let mut parents = Parents { len: parent_count, ..Parents::none() };
        for slot in parents.items.iter_mut().take(parent_count) {
            *slot = Parent { leaf_index: reader.u64()?, block_hash: BlockHash::new(reader.digest()?) };
        }
        let header = Self {
            leaf_index,
            parents,
            depth: u32::from_le_bytes(reader.array()?),
            timestamp_ms: reader.u64()?,
            slices_before: reader.u64()?,
            content_hash: ContentHash::new(reader.digest()?),
            codec: u32::from_le_bytes(reader.array()?),
            original_size: reader.u64()?,
            stored_size: reader.u64()?,
            compression: {
                let [code] = reader.array()?;
                Compression::from_code(code).ok_or(HeaderError::UnknownCompression)?
            },
            metadata_hash: MetadataHash::new(reader.digest()?),
        };
        header.validate()?;
        Ok(header)
    }

    /// Checks each rule that a header shows by itself. What needs other blocks (depth and timestamp against the parents',
    /// the exact `slices_before`) is the business of whoever has them.
    pub fn validate(&self) -> Result<(), HeaderError> {
        if self.leaf_index >= LEAVES_MAX {
            return Err(HeaderError::LeafIndexTooLarge);
        }
        self.validate_parents()?;
        if (self.depth == 0) != (self.leaf_index == 0) {
            return Err(HeaderError::DepthNotOfPosition);
        }
        if u64::from(self.depth) > self.leaf_index {
            return Err(HeaderError::DepthTooLarge);
        }
        if self.slices_before < self.leaf_index || (self.leaf_index == 0 && self.slices_before != 0) {
            return Err(HeaderError::SlicesBeforeImpossible);
        }
        if self.original_size >= SIZE_LIMIT {
            return Err(HeaderError::OriginalSizeTooLarge);
        }
        if self.stored_size >= SIZE_LIMIT {
            return Err(HeaderError::StoredSizeTooLarge);
        }
        if self.slices_before.checked_add(slice_count(self.original_size)).is_none() {
            return Err(HeaderError::SlicesOverflow);
        }
        if self.original_size == 0 && self.compression != Compression::None {
            return Err(HeaderError::EmptyContentCompressed);
        }
        Ok(())
    }

    fn validate_parents(&self) -> Result<(), HeaderError> {
        if self.leaf_index == 0 && !self.parents.is_empty() {
            return Err(HeaderError::GenesisWithParents);
        }
        if (self.parents.len() as u64) < self.leaf_index.min(PARENTS_MIN as u64) {
            return Err(HeaderError::TooFewParents);
        }
        for (parent, next) in self.parents.iter().zip(self.parents.iter().skip(1)) {
            if parent.leaf_index == next.leaf_index {
                return Err(HeaderError::DuplicateParent);
            }
            if parent.leaf_index > next.leaf_index {
                return Err(HeaderError::UnsortedParents);
            }
        }
        match self.parents.last() {
            Some(newest) if newest.leaf_index >= self.leaf_index => Err(HeaderError::ParentNotBefore),
            _ => Ok(()),
        }
    }

    /// Whether the block names `leaf_index` with `block_hash` among its parents.
    pub fn has_parent(&self, leaf_index: u64, block_hash: &BlockHash) -> bool {
        self.parents.iter().any(|parent| parent.leaf_index == leaf_index && parent.block_hash == *block_hash)
    }

    /// Slices of 1 KiB in the content, at least 1.
    pub fn slices(&self) -> u64 {
        slice_count(self.original_size)
    }

    /// Slices up to and with this block: `slices_before` of the next one. Saturates only for a header that
    /// [`Header::validate`] refuses.
    pub fn slices_through(&self) -> u64 {
        self.slices_before.saturating_add(self.slices())
    }
}

/// Checks magic, count of parents and length; gives the count.
fn check_frame(bytes: &[u8]) -> Result<usize, HeaderError> {
    let (Some(magic), true) = (bytes.get(..MAGIC.len()), bytes.len() <= HEADER_BYTES_MAX) else {
        return Err(match bytes.len() {
            0 => HeaderError::Empty,
            length if length > HEADER_BYTES_MAX => HeaderError::Oversized,
            _ => HeaderError::Truncated,
        });
    };
    if magic != MAGIC {
        return Err(HeaderError::WrongMagic);
    }
    let count_at = MAGIC.len() + size_of::<u64>();
    let compact = *bytes.get(count_at).ok_or(HeaderError::Truncated)?;
    // The two low bits of a SCALE compact integer tell its width; 0 is the one-byte form.
    if compact & 0b11 != 0 {
        return Err(HeaderError::MalformedParentCount);
    }
    let count = usize::from(compact >> 2);
    if count > PARENTS_MAX {
        return Err(HeaderError::TooManyParents);
    }
    match bytes.len().cmp(&(HEADER_BYTES_MIN + count * PARENT_BYTES)) {
        core::cmp::Ordering::Less => Err(HeaderError::Truncated),
        core::cmp::Ordering::Greater => Err(HeaderError::TrailingBytes),
        core::cmp::Ordering::Equal => Ok(count),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(HeaderError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u64(&mut self) -> Result<u64, HeaderError> {
        self.array().map(u64::from_le_bytes)
    }

    fn digest(&mut self) -> Result<Digest, HeaderError> {
        self.array::<HASH_BYTES>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::hasher::SoftwareHasher;
    use hex_literal::hex;

    #[test]
    fn header_bytes_and_block_hashes_are_frozen() {
        let genesis_hash = BlockHash::new(hex!("bc80d0ef5f04583cddbef83cbe26884208d35bc24d170c45aad29131d45b8c4b"));
        let header = Header {
            leaf_index: 1,
            parents: Parents::from_slice(&[Parent { leaf_index: 0, block_hash: genesis_hash }]).unwrap(),
            depth: 1,
            timestamp_ms: 1_700_000_000_001,
            slices_before: 1,
            content_hash: ContentHash::new(SoftwareHasher::blake3(b"document 1\n")),
            codec: 0x55,
            original_size: 11,
            stored_size: 11,
            compression: Compression::None,
            metadata_hash: MetadataHash::NONE,
        };
        let bytes = hex!(
            "504b54310100000000000000040000000000000000bc80d0ef5f04583cddbef83cbe26884208d35bc24d170c45aad29131d45b8c4b"
            "010000000168e5cf8b0100000100000000000000e9df57b05bac72977234bd21117664b899b7ff3219168d09146d4920d4ee246d"
            "550000000b000000000000000b00000000000000000000000000000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(Header::decode(&bytes).unwrap(), header);
        assert_eq!(
            header.block_hash::<SoftwareHasher>().to_bytes(),
            hex!("c3a62332014a78e56f2adeff76babaa190a211ccfaee9c375cab12985e3a3551")
        );
        assert_eq!(
            genesis().block_hash::<SoftwareHasher>(),
            genesis_hash,
            "genesis of the worked example in docs/formats.md"
        );
    }

    fn genesis() -> Header {
        let mut content = [0; 36];
        content[32..].copy_from_slice(b"demo");
        Header {
            leaf_index: 0,
            parents: Parents::none(),
            depth: 0,
            timestamp_ms: 1_700_000_000_000,
            slices_before: 0,
            content_hash: ContentHash::new(SoftwareHasher::blake3(&content)),
            codec: 0x55,
            original_size: 36,
            stored_size: 36,
            compression: Compression::None,
            metadata_hash: MetadataHash::NONE,
        }
    }

    #[test]
    fn compression_codes_are_frozen() {
        let codes = Compression::ALL.map(|compression| (compression.code(), compression.encode()));
        assert_eq!(codes, [0u8, 1, 2, 3, 4].map(|code| (code, alloc::vec![code])));
        for code in 0..=u8::MAX {
            assert_eq!(Compression::from_code(code).map(Compression::code), (code < 5).then_some(code));
            assert_eq!(Compression::decode(&mut &[code][..]).is_ok(), code < 5);
        }
    }
}
