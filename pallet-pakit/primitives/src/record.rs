//! What a chain keeps of one block whose inclusion somebody proved.

use crate::{
    header::{Compression, Header},
    id::{BlockHash, ContentHash, LogRoot},
    log::Head,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A proved block: which head it was proved against, what its header said, who keeps the record and at what deposit.
///
/// Frozen bytes: `record::tests::record_bytes_are_frozen`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct DagStorageProof<AccountId, Balance, BlockNumber> {
    /// The block.
    pub block_hash: BlockHash,
    /// Root of the head that it was proved against.
    pub merkle_root: LogRoot,
    /// Size of that head, in leaves.
    pub size: u64,
    /// The block's place in the log.
    pub leaf_index: u64,
    /// Steps from genesis along the deepest parents.
    pub depth: u32,
    /// Number of its parents.
    pub parent_count: u8,
    /// Bytes of the content.
    pub size_original: u64,
    /// Bytes stored for it at commit, by the archive's own claim.
    pub size_compressed: u64,
    /// Compression of most of those bytes.
    pub compression_algo: Compression,
    /// BLAKE3-256 of the content.
    pub content_hash: ContentHash,
    /// Chain block in which the record was made: the time that the chain vouches for.
    pub timestamp: BlockNumber,
    /// Who made the record and may remove it.
    pub depositor: AccountId,
    /// What is held of the depositor's while the record stands.
    pub deposit: Balance,
}

impl<AccountId, Balance, BlockNumber> DagStorageProof<AccountId, Balance, BlockNumber> {
    /// The record of `header`, proved against `head`.
    pub fn new(
        block_hash: BlockHash,
        header: &Header,
        head: &Head,
        timestamp: BlockNumber,
        depositor: AccountId,
        deposit: Balance,
    ) -> Self {
        Self {
            block_hash,
            merkle_root: head.root,
            size: head.size,
            leaf_index: header.leaf_index,
            depth: header.depth,
            // At most 5.
            parent_count: header.parents.len() as u8,
            size_original: header.original_size,
            size_compressed: header.stored_size,
            compression_algo: header.compression,
            content_hash: header.content_hash,
            timestamp,
            depositor,
            deposit,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use hex_literal::hex;

    #[test]
    fn record_bytes_are_frozen() {
        let record = DagStorageProof {
            block_hash: BlockHash::new([0x11; 32]),
            merkle_root: LogRoot::new([0x22; 32]),
            size: 0x0102_0304_0506,
            leaf_index: 0x0a0b,
            depth: 0x0c0d,
            parent_count: 5,
            size_original: 70_000,
            size_compressed: 30_000,
            compression_algo: Compression::Brotli,
            content_hash: ContentHash::new([0x33; 32]),
            timestamp: 12u32,
            depositor: [0x44u8; 32],
            deposit: 1_000_000_000_000u128,
        };
        let bytes = hex!(
            "1111111111111111111111111111111111111111111111111111111111111111"
            "2222222222222222222222222222222222222222222222222222222222222222"
            "0605040302010000 0b0a000000000000 0d0c0000 05 7011010000000000 3075000000000000 04"
            "3333333333333333333333333333333333333333333333333333333333333333"
            "0c000000 4444444444444444444444444444444444444444444444444444444444444444"
            "0010a5d4e80000000000000000000000"
        );
        assert_eq!(record.encode(), bytes);
        assert_eq!(DagStorageProof::<[u8; 32], u128, u32>::decode(&mut &bytes[..]).unwrap(), record);
        assert_eq!(DagStorageProof::<[u8; 32], u128, u32>::max_encoded_len(), bytes.len());
    }
}
