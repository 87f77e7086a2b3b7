//! What a chain keeps of a DAG and answers about it: the types shared by the pallet, its runtime API and whoever asks.
//!
//! Everything here crosses the border of a runtime as SCALE bytes. Indices of variants are written out and only ever
//! appended, since programs of an older version read them.

use crate::{
    hasher::{Digest, Hasher},
    header::{Header, HeaderError, LEAVES_MAX, hash_header_bytes},
    id::{BlockHash, ContentHash, LogRoot},
    lineage::LineageError,
    log::{Head, LogError, verify_consistency, verify_inclusion},
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// A DAG's number on its chain, given at creation and never given again. With the chain's genesis hash it is the DAG's
/// identity.
pub type DagId = u32;

/// The number of an anchor within its DAG: 1, 2, ... Anchor 1 is the creation of the DAG, with its genesis alone.
pub type AnchorNumber = u64;

/// The DAG that another one goes on from, and the last of its heads that still counts.
///
/// Frozen bytes: `chain::tests::stored_bytes_are_frozen`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Succession {
    /// The DAG gone on from.
    pub dag: DagId,
    /// Size of its last head that the successor stands by.
    pub size: u64,
    /// Root of that head.
    pub root: LogRoot,
}

impl Succession {
    /// Size and root together.
    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root }
    }
}

/// A head that a chain accepted, with what the newest block under it says of the whole log.
///
/// Frozen bytes: `chain::tests::stored_bytes_are_frozen`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct AnchoredHead<BlockNumber> {
    /// Size and root.
    pub head: Head,
    /// Depth of the newest block under the head.
    pub depth: u32,
    /// Slices of 1 KiB in all blocks under the head, by the newest block's own count.
    pub slices: u64,
    /// The chain's block in which it was anchored: everything under the head existed by then.
    pub block_number: BlockNumber,
}

/// A DAG as a chain tells about it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct DagInfo<AccountId, Balance> {
    /// Who answers for it: may do everything.
    pub owner: AccountId,
    /// Who else may anchor, in ascending order.
    pub operators: Vec<AccountId>,
    /// To whom the owner has offered it.
    pub pending_owner: Option<AccountId>,
    /// Block hash of its genesis.
    pub genesis: BlockHash,
    /// Number of its latest anchor.
    pub anchors: AnchorNumber,
    /// Its latest head.
    pub latest: Head,
    /// Whether anchoring has ended for good.
    pub retired: bool,
    /// The DAG it goes on from.
    pub succeeds: Option<Succession>,
    /// The DAG that goes on from it.
    pub successor: Option<DagId>,
    /// What is held of the owner's for it.
    pub deposit: Balance,
}

/// What a deposit is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum DepositSubject {
    /// A DAG with so many operators.
    #[codec(index = 0)]
    Dag {
        /// Number of operators.
        operators: u32,
    },
    /// The record of one block.
    #[codec(index = 1)]
    Record,
}

/// A block that was proved against an anchored head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct VerifiedBlock<BlockNumber> {
    /// The block.
    pub block_hash: BlockHash,
    /// Its place in the log.
    pub leaf_index: u64,
    /// Its depth, by its header.
    pub depth: u32,
    /// BLAKE3-256 of its content.
    pub content_hash: ContentHash,
    /// Bytes of its content.
    pub original_size: u64,
    /// The head it was proved against.
    pub head: Head,
    /// The chain's block that anchored the head: the content existed by then.
    pub anchored_at: BlockNumber,
}

/// Why a chain does not accept a proof.
///
/// The errors of [`Header::decode`], of the log and of lineage on one level and with fixed indices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo, thiserror::Error)]
pub enum VerifyError {
    /// The chain has no DAG of that number.
    #[codec(index = 0)]
    #[error("there is no such DAG")]
    UnknownDag,
    /// The anchor was never made, or its head is no longer kept.
    #[codec(index = 1)]
    #[error("there is no such anchor, or its head is no longer kept")]
    UnknownHead,
    /// A log size above 2^48.
    #[codec(index = 2)]
    #[error("the log size is above 2^48")]
    LogTooLarge,
    /// A new size that is not above the earlier one.
    #[codec(index = 3)]
    #[error("the log size does not grow")]
    StaleSize,
    /// A leaf index at or beyond the size.
    #[codec(index = 4)]
    #[error("the leaf index is not below the log size")]
    IndexOutOfRange,
    /// An inclusion proof with more or fewer hashes than index and size demand.
    #[codec(index = 5)]
    #[error("the inclusion proof has the wrong number of hashes")]
    WrongInclusionLength,
    /// A consistency proof with more or fewer hashes than the two sizes demand.
    #[codec(index = 6)]
    #[error("the consistency proof has the wrong number of hashes")]
    WrongConsistencyLength,
    /// The inclusion proof does not lead to the head's root.
    #[codec(index = 7)]
    #[error("the block is not at that place in the log")]
    NotInLog,
    /// The later log does not begin with the earlier one.
    #[codec(index = 8)]
    #[error("the later log does not extend the earlier one")]
    NotAppendOnly,
    /// The consistency proof leads to the earlier root but not to the later one. Where the earlier size is a power of two,
    /// a proof starts from the earlier root, and a log that was rewritten shows here.
    #[codec(index = 9)]
    #[error("the consistency proof does not lead to the later root")]
    NewRootMismatch,
    /// The header is not that of the newest block: its index is not size - 1.
    #[codec(index = 10)]
    #[error("the header is not that of the newest block")]
    NotNewestBlock,
    /// [`HeaderError::Empty`].
    #[codec(index = 11)]
    #[error("the header is empty")]
    HeaderEmpty,
    /// [`HeaderError::Truncated`].
    #[codec(index = 12)]
    #[error("the header is truncated")]
    HeaderTruncated,
    /// [`HeaderError::Oversized`].
    #[codec(index = 13)]
    #[error("the header is longer than any header")]
    HeaderOversized,
    /// [`HeaderError::TrailingBytes`].
    #[codec(index = 14)]
    #[error("bytes follow the end of the header")]
    HeaderTrailingBytes,
    /// [`HeaderError::WrongMagic`].
    #[codec(index = 15)]
    #[error("the header does not begin with PKT1")]
    HeaderWrongMagic,
    /// [`HeaderError::MalformedParentCount`].
    #[codec(index = 16)]
    #[error("the count of parents is not canonically encoded")]
    MalformedParentCount,
    /// [`HeaderError::TooManyParents`].
    #[codec(index = 17)]
    #[error("the header names more than 5 parents")]
    TooManyParents,
    /// [`HeaderError::TooFewParents`].
    #[codec(index = 18)]
    #[error("the header names fewer parents than its position demands")]
    TooFewParents,
    /// [`HeaderError::GenesisWithParents`].
    #[codec(index = 19)]
    #[error("genesis names a parent")]
    GenesisWithParents,
    /// [`HeaderError::DuplicateParent`].
    #[codec(index = 20)]
    #[error("a parent is named twice")]
    DuplicateParent,
    /// [`HeaderError::UnsortedParents`].
    #[codec(index = 21)]
    #[error("the parents are not in ascending order")]
    UnsortedParents,
    /// [`HeaderError::ParentNotBefore`].
    #[codec(index = 22)]
    #[error("a parent does not come before the block")]
    ParentNotBefore,
    /// [`HeaderError::LeafIndexTooLarge`].
    #[codec(index = 23)]
    #[error("the leaf index is not below 2^48")]
    LeafIndexTooLarge,
    /// [`HeaderError::DepthNotOfPosition`].
    #[codec(index = 24)]
    #[error("depth 0 and genesis do not coincide")]
    DepthNotOfPosition,
    /// [`HeaderError::DepthTooLarge`].
    #[codec(index = 25)]
    #[error("the depth is above the leaf index")]
    DepthTooLarge,
    /// [`HeaderError::SlicesBeforeImpossible`].
    #[codec(index = 26)]
    #[error("slices_before cannot belong to this position")]
    SlicesBeforeImpossible,
    /// [`HeaderError::SlicesOverflow`].
    #[codec(index = 27)]
    #[error("the count of slices overflows")]
    SlicesOverflow,
    /// [`HeaderError::OriginalSizeTooLarge`].
    #[codec(index = 28)]
    #[error("the original size is not below 2^53")]
    OriginalSizeTooLarge,
    /// [`HeaderError::StoredSizeTooLarge`].
    #[codec(index = 29)]
    #[error("the stored size is not below 2^53")]
    StoredSizeTooLarge,
    /// [`HeaderError::UnknownCompression`].
    #[codec(index = 30)]
    #[error("the compression code is unknown")]
    UnknownCompression,
    /// [`HeaderError::EmptyContentCompressed`].
    #[codec(index = 31)]
    #[error("an empty content claims to be compressed")]
    EmptyContentCompressed,
    /// [`LineageError::TooLong`].
    #[codec(index = 32)]
    #[error("the lineage has more than 64 headers")]
    LineageTooLong,
    /// [`LineageError::Empty`].
    #[codec(index = 33)]
    #[error("the lineage is empty")]
    LineageEmpty,
    /// [`LineageError::Header`]: a header of the lineage, not the block's own, does not decode.
    #[codec(index = 34)]
    #[error("a header of the lineage is malformed")]
    LineageHeaderMalformed,
    /// [`LineageError::NotAParent`].
    #[codec(index = 35)]
    #[error("a header of the lineage is no parent of the one before it")]
    NotAParent,
    /// [`LineageError::DepthNotFalling`].
    #[codec(index = 36)]
    #[error("the depth does not fall along the lineage")]
    DepthNotFalling,
    /// [`LineageError::TimestampRising`].
    #[codec(index = 37)]
    #[error("a timestamp rises along the lineage")]
    TimestampRising,
    /// [`LineageError::NotGenesis`].
    #[codec(index = 38)]
    #[error("the lineage does not end at the DAG's genesis")]
    LineageNotGenesis,
}

impl VerifyError {
    /// The case of an inclusion proof. A proof of many leaves, which no chain takes, falls to the nearest case.
    pub fn from_inclusion(error: LogError) -> Self {
        match error {
            LogError::SizeTooLarge => Self::LogTooLarge,
            LogError::WrongPathLength { .. } | LogError::WrongSharedCount { .. } => Self::WrongInclusionLength,
            LogError::RootMismatch => Self::NotInLog,
            LogError::SizeShrinks => Self::StaleSize,
            LogError::NotAppendOnly => Self::NotAppendOnly,
            LogError::NewRootMismatch => Self::NewRootMismatch,
            // An empty log has no index in range.
            LogError::EmptyLog | LogError::IndexOutOfRange | LogError::NoLeaves | LogError::LeavesNotAscending => {
                Self::IndexOutOfRange
            }
        }
    }

    /// The case of a consistency proof.
    pub fn from_consistency(error: LogError) -> Self {
        match error {
            LogError::WrongPathLength { .. } => Self::WrongConsistencyLength,
            // The sizes of both logs come from elsewhere than the proof, so an empty one is a size that did not grow.
            LogError::EmptyLog => Self::StaleSize,
            other => Self::from_inclusion(other),
        }
    }
}

impl From<HeaderError> for VerifyError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Empty => Self::HeaderEmpty,
            HeaderError::Truncated => Self::HeaderTruncated,
            HeaderError::Oversized => Self::HeaderOversized,
            HeaderError::TrailingBytes => Self::HeaderTrailingBytes,
            HeaderError::WrongMagic => Self::HeaderWrongMagic,
            HeaderError::MalformedParentCount => Self::MalformedParentCount,
            HeaderError::TooManyParents => Self::TooManyParents,
            HeaderError::TooFewParents => Self::TooFewParents,
            HeaderError::GenesisWithParents => Self::GenesisWithParents,
            HeaderError::DuplicateParent => Self::DuplicateParent,
            HeaderError::UnsortedParents => Self::UnsortedParents,
            HeaderError::ParentNotBefore => Self::ParentNotBefore,
            HeaderError::LeafIndexTooLarge => Self::LeafIndexTooLarge,
            HeaderError::DepthNotOfPosition => Self::DepthNotOfPosition,
            HeaderError::DepthTooLarge => Self::DepthTooLarge,
            HeaderError::SlicesBeforeImpossible => Self::SlicesBeforeImpossible,
            HeaderError::SlicesOverflow => Self::SlicesOverflow,
            HeaderError::OriginalSizeTooLarge => Self::OriginalSizeTooLarge,
            HeaderError::StoredSizeTooLarge => Self::StoredSizeTooLarge,
            HeaderError::UnknownCompression => Self::UnknownCompression,
            HeaderError::EmptyContentCompressed => Self::EmptyContentCompressed,
        }
    }
}

impl From<LineageError> for VerifyError {
    fn from(error: LineageError) -> Self {
        match error {
            LineageError::TooLong => Self::LineageTooLong,
            LineageError::Empty => Self::LineageEmpty,
            LineageError::Header(_) => Self::LineageHeaderMalformed,
            LineageError::NotAParent => Self::NotAParent,
            LineageError::DepthNotFalling => Self::DepthNotFalling,
            LineageError::TimestampRising => Self::TimestampRising,
            LineageError::NotGenesis => Self::LineageNotGenesis,
            LineageError::Ancestor(error) => Self::from_inclusion(error),
        }
    }
}

/// Verifies that `header_bytes` are the header of a block in the log at `head`, at the leaf index that the header names.
pub fn verify_block<H: Hasher>(
    head: &Head,
    header_bytes: &[u8],
    inclusion: &[Digest],
) -> Result<(BlockHash, Header), VerifyError> {
    let header = Header::decode(header_bytes)?;
    let block_hash = hash_header_bytes::<H>(header_bytes);
    verify_inclusion::<H>(head, header.leaf_index, &block_hash, inclusion).map_err(VerifyError::from_inclusion)?;
    Ok((block_hash, header))
}

/// Verifies that the log at `new` is longer than the one at `old`, begins with all of it, and ends with the block of
/// `newest_header`, whose header it gives. At most 96 + 48 + 1 hashes.
///
/// This is the whole of what a chain checks before it accepts an anchor from someone who may make one.
pub fn verify_extension<H: Hasher>(
    old: &Head,
    new: &Head,
    consistency: &[Digest],
    newest_header: &[u8],
    inclusion: &[Digest],
) -> Result<Header, VerifyError> {
    if new.size <= old.size {
        return Err(VerifyError::StaleSize);
    }
    // Said before the header is looked at, in which no leaf index fits such a size.
    if new.size > LEAVES_MAX {
        return Err(VerifyError::LogTooLarge);
    }
    let header = Header::decode(newest_header)?;
    if header.leaf_index != new.size.saturating_sub(1) {
        return Err(VerifyError::NotNewestBlock);
    }
    verify_consistency::<H>(old, new, consistency).map_err(VerifyError::from_consistency)?;
    let block_hash = hash_header_bytes::<H>(newest_header);
    verify_inclusion::<H>(new, header.leaf_index, &block_hash, inclusion).map_err(VerifyError::from_inclusion)?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::SoftwareHasher;
    use alloc::collections::BTreeSet;
    use hex_literal::hex;

    #[test]
    fn stored_bytes_are_frozen() {
        let root = LogRoot::new([0xab; 32]);
        let head = AnchoredHead { head: Head { size: 5, root }, depth: 3, slices: 6, block_number: 9u32 };
        assert_eq!(
            head.encode(),
            hex!(
                "0500000000000000" "abababababababababababababababababababababababababababababababab"
                "03000000" "0600000000000000" "09000000"
            )
        );
        assert_eq!(
            Succession { dag: 2, size: 5, root }.encode(),
            hex!("02000000" "0500000000000000" "abababababababababababababababababababababababababababababababab")
        );
    }

    /// Everything that a chain may answer, in the order of the indices.
    const ALL: [VerifyError; 39] = [
        VerifyError::UnknownDag,
        VerifyError::UnknownHead,
        VerifyError::LogTooLarge,
        VerifyError::StaleSize,
        VerifyError::IndexOutOfRange,
        VerifyError::WrongInclusionLength,
        VerifyError::WrongConsistencyLength,
        VerifyError::NotInLog,
        VerifyError::NotAppendOnly,
        VerifyError::NewRootMismatch,
        VerifyError::NotNewestBlock,
        VerifyError::HeaderEmpty,
        VerifyError::HeaderTruncated,
        VerifyError::HeaderOversized,
        VerifyError::HeaderTrailingBytes,
        VerifyError::HeaderWrongMagic,
        VerifyError::MalformedParentCount,
        VerifyError::TooManyParents,
        VerifyError::TooFewParents,
        VerifyError::GenesisWithParents,
        VerifyError::DuplicateParent,
        VerifyError::UnsortedParents,
        VerifyError::ParentNotBefore,
        VerifyError::LeafIndexTooLarge,
        VerifyError::DepthNotOfPosition,
        VerifyError::DepthTooLarge,
        VerifyError::SlicesBeforeImpossible,
        VerifyError::SlicesOverflow,
        VerifyError::OriginalSizeTooLarge,
        VerifyError::StoredSizeTooLarge,
        VerifyError::UnknownCompression,
        VerifyError::EmptyContentCompressed,
        VerifyError::LineageTooLong,
        VerifyError::LineageEmpty,
        VerifyError::LineageHeaderMalformed,
        VerifyError::NotAParent,
        VerifyError::DepthNotFalling,
        VerifyError::TimestampRising,
        VerifyError::LineageNotGenesis,
    ];

    #[test]
    fn verify_error_bytes_are_frozen() {
        for (index, error) in ALL.iter().enumerate() {
            assert_eq!(error.encode(), [u8::try_from(index).unwrap()], "{error:?}");
        }
    }

    #[test]
    fn no_two_verify_errors_read_the_same() {
        let texts: BTreeSet<_> = ALL.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), ALL.len());
    }

    #[test]
    fn an_extension_is_checked_from_its_sizes_to_its_newest_block() {
        let genesis = Header {
            leaf_index: 0,
            parents: crate::Parents::none(),
            depth: 0,
            timestamp_ms: 1,
            slices_before: 0,
            content_hash: ContentHash::new([1; 32]),
            codec: 0x55,
            original_size: 36,
            stored_size: 36,
            compression: crate::Compression::None,
            metadata_hash: crate::MetadataHash::NONE,
        };
        let first = genesis.block_hash::<SoftwareHasher>();
        let parent = crate::Parent { leaf_index: 0, block_hash: first };
        let second = Header {
            leaf_index: 1,
            parents: crate::Parents::from_slice(&[parent]).unwrap(),
            depth: 1,
            slices_before: 1,
            ..genesis.clone()
        };
        let hash = second.block_hash::<SoftwareHasher>();
        let root = LogRoot::new(crate::log::hash_node::<SoftwareHasher>(first.as_bytes(), hash.as_bytes()));
        let (old, new) = (Head { size: 1, root: first.as_root_of_one() }, Head { size: 2, root });
        let verify = |old: &Head, new: &Head, consistency: &[Digest], header: &Header, inclusion: &[Digest]| {
            verify_extension::<SoftwareHasher>(old, new, consistency, &header.to_bytes(), inclusion)
        };
        let (consistency, inclusion) = ([hash.to_bytes()], [first.to_bytes()]);

        assert_eq!(verify(&old, &new, &consistency, &second, &inclusion), Ok(second.clone()));
        assert_eq!(verify(&new, &new, &[], &second, &inclusion), Err(VerifyError::StaleSize));
        let beyond = Head { size: (1 << 48) + 1, ..new };
        assert_eq!(verify(&old, &beyond, &consistency, &second, &inclusion), Err(VerifyError::LogTooLarge));
        assert_eq!(verify(&old, &new, &consistency, &genesis, &inclusion), Err(VerifyError::NotNewestBlock));
        assert_eq!(verify(&old, &new, &[], &second, &inclusion), Err(VerifyError::WrongConsistencyLength));
        assert_eq!(verify(&old, &new, &consistency, &second, &[]), Err(VerifyError::WrongInclusionLength));
        let forged = Head { root: LogRoot::new([7; 32]), ..old };
        // The earlier size is a power of two, whose root the proof starts from: it shows a rewriting at its other end.
        assert_eq!(verify(&forged, &new, &consistency, &second, &inclusion), Err(VerifyError::NewRootMismatch));
        assert_eq!(verify(&old, &new, &[[9; 32]], &second, &inclusion), Err(VerifyError::NewRootMismatch));
        assert_eq!(verify(&old, &new, &consistency, &second, &[[9; 32]]), Err(VerifyError::NotInLog));
    }
}
