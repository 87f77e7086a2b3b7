//! Possession: does the archive still have what it logged? Which slice a challenge asks for, and what answers it.
//!
//! A chain freezes a head, waits for randomness that nobody knew at that time, and draws positions. A position is a slice
//! among all slices under the head, counted from genesis; the block that holds it is the one whose header says so. An answer
//! is that header, its inclusion under the frozen head, and the slice with its BLAKE3 siblings. It proves itself: whoever
//! brings it, and whatever else they say, makes no difference.

use crate::{
    chain::{DagId, VerifyError},
    fraud::FaultKind,
    hasher::{Digest, Hasher},
    header::{Header, hash_header_bytes},
    id::BlockHash,
    log::{Head, check_path, verify_inclusion},
    slice::{SliceError, check_slice_shape, verify_slice},
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// The number of a challenge on its chain, over all DAGs; never given again.
pub type ChallengeNumber = u64;

/// The number of a declared range within its DAG: 0, 1, ...
pub type RangeNumber = u32;

/// Least challenges in a round: a loss of 5 % is then found within 14 rounds with a probability of 94 %.
pub const CHALLENGES_MIN: u32 = 4;
/// Most challenges in a round.
pub const CHALLENGES_MAX: u32 = 16;

/// How challenges of a DAG went, counted one by one since its stake was put.
///
/// Frozen bytes: `possession::tests::stored_bytes_are_frozen`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Tally {
    /// Answered with the slice.
    pub answered: u64,
    /// Answered by naming a range that was declared removed. Its part of all three is the DAG's ratio of declared slices, as
    /// far as draws have shown it.
    pub declared: u64,
    /// Not answered by the deadline.
    pub missed: u64,
}

/// Leaves whose contents the archive has let go, and said so.
///
/// Frozen bytes: `possession::tests::stored_bytes_are_frozen`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct RemovedRange<AccountId, Balance, BlockNumber> {
    /// The first leaf.
    pub first: u64,
    /// The last leaf, itself removed.
    pub last: u64,
    /// It answers challenges of rounds that are frozen from this block on.
    pub effective_at: BlockNumber,
    /// Who declared it, and has the deposit held.
    pub declared_by: AccountId,
    /// What is held for it.
    pub deposit: Balance,
}

/// What was shown to be wrong in a log.
///
/// Frozen bytes: `possession::tests::stored_bytes_are_frozen`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct Fault<BlockNumber> {
    /// Which rule is broken.
    pub kind: FaultKind,
    /// The head under which the evidence stands.
    pub head: Head,
    /// When it was reported. The evidence is in the events of that block.
    pub reported_at: BlockNumber,
}

/// What a chain tells of the stake behind a DAG.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct StakeInfo<AccountId, Balance, BlockNumber> {
    /// Whose it is; the DAG's owner when it was put.
    pub staker: AccountId,
    /// What is left of it.
    pub amount: Balance,
    /// From which block on it can be withdrawn, if it is being unbonded.
    pub withdrawable_at: Option<BlockNumber>,
    /// From which block on the next round may begin.
    pub next_round_at: BlockNumber,
    /// The head and the slices of the round under way, and the block in which they were frozen.
    pub frozen: Option<(Head, u64, BlockNumber)>,
    /// How challenges went so far.
    pub tally: Tally,
    /// Ranges that were declared removed, ever.
    pub ranges: RangeNumber,
}

/// A challenge that waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct OpenChallenge<BlockNumber> {
    /// The DAG.
    pub dag: DagId,
    /// Its number.
    pub challenge: ChallengeNumber,
    /// The slice that is asked for, counted from genesis over all blocks under `head`.
    pub position: u64,
    /// The head that the answer is proved against, whatever was anchored since.
    pub head: Head,
    /// When that head was frozen: a removed range answers if it was effective by then.
    pub frozen_at: BlockNumber,
    /// Blocks with room for an answer until it is too late.
    pub blocks_left: u64,
}

/// Why an answer was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The header does not decode, or its block is not in the log at the frozen head.
    #[error(transparent)]
    Block(#[from] VerifyError),
    /// The block does not hold the slice that was drawn.
    #[error("the block does not hold the slice that was drawn")]
    PositionNotInBlock,
    /// The slice is not the one of the block's content.
    #[error(transparent)]
    Slice(#[from] SliceError),
}

/// The position that a digest draws among `total` slices, below `total`; 0 where there is none.
///
/// The digest's first 16 bytes are a number below 2^128, little endian; the position is that number x `total` / 2^128, rounded
/// down. Of 2^128 numbers each position has 2^128 / total or one more, so that its probability is off 1 / total by less than
/// 2^-128, and that of any set of positions by less than 2^-64.
pub fn drawn_position(digest: &Digest, total: u64) -> u64 {
    let (low, high) = digest.split_at(8);
    let word = |bytes: &[u8]| bytes.first_chunk::<8>().map_or(0, |bytes| u128::from(u64::from_le_bytes(*bytes)));
    let total = u128::from(total);
    // (2^64 - 1)^2 + 2^64 - 1 is below 2^128, and the quotient below `total`.
    let upper = word(high).saturating_mul(total).saturating_add(word(low).saturating_mul(total) >> 64) >> 64;
    upper as u64
}

/// The index of a position within the block's own content; `None` if the block does not hold it.
pub fn slice_index(header: &Header, position: u64) -> Option<u64> {
    position.checked_sub(header.slices_before).filter(|index| *index < header.slices())
}

/// Verifies that the header's block is in the log at `head` and holds the position. At most 48 + 1 hashes.
pub fn verify_drawn_block<H: Hasher>(
    head: &Head,
    position: u64,
    header_bytes: &[u8],
    inclusion: &[Digest],
) -> Result<(BlockHash, Header), AnswerError> {
    let header = Header::decode(header_bytes).map_err(VerifyError::from)?;
    slice_index(&header, position).ok_or(AnswerError::PositionNotInBlock)?;
    let block_hash = hash_header_bytes::<H>(header_bytes);
    verify_inclusion::<H>(head, header.leaf_index, &block_hash, inclusion).map_err(VerifyError::from_inclusion)?;
    Ok((block_hash, header))
}

/// Verifies the same, and that `slice` is what stands at the position. At most 48 + 1 hashes of SHA-256 and 43 + 1 of BLAKE3,
/// all lengths being checked before the first.
pub fn verify_answer<H: Hasher>(
    head: &Head,
    position: u64,
    header_bytes: &[u8],
    inclusion: &[Digest],
    slice: &[u8],
    siblings: &[Digest],
) -> Result<(BlockHash, Header), AnswerError> {
    let header = Header::decode(header_bytes).map_err(VerifyError::from)?;
    let index = slice_index(&header, position).ok_or(AnswerError::PositionNotInBlock)?;
    check_path(header.leaf_index, head.size, inclusion.len()).map_err(VerifyError::from_inclusion)?;
    check_slice_shape(header.original_size, index, slice.len(), siblings.len())?;
    let proved = verify_drawn_block::<H>(head, position, header_bytes, inclusion)?;
    verify_slice::<H>(&header.content_hash, header.original_size, index, slice, siblings)?;
    Ok(proved)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{LogRoot, SoftwareHasher};
    use hex_literal::hex;

    #[test]
    fn stored_bytes_are_frozen() {
        let tally = Tally { answered: 1, declared: 2, missed: 3 };
        assert_eq!(tally.encode(), hex!("0100000000000000" "0200000000000000" "0300000000000000"));
        let range = RemovedRange { first: 1, last: 2, effective_at: 3u32, declared_by: 4u64, deposit: 5u64 };
        assert_eq!(
            range.encode(),
            hex!("0100000000000000" "0200000000000000" "03000000" "0400000000000000" "0500000000000000")
        );
        let head = Head { size: 5, root: LogRoot::new([0xab; 32]) };
        let fault = Fault { kind: FaultKind::WrongDepth, head, reported_at: 9u32 };
        assert_eq!(
            fault.encode(),
            hex!("03" "0500000000000000" "abababababababababababababababababababababababababababababababab" "09000000")
        );
    }

    fn digest_of(number: u128) -> Digest {
        let mut digest = [0xee; 32];
        digest[..16].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn a_drawn_position_is_the_digests_part_of_the_total() {
        for total in [1, 2, 3, 1000, 1 << 43, u64::MAX] {
            assert_eq!(drawn_position(&digest_of(0), total), 0);
            assert_eq!(drawn_position(&digest_of(u128::MAX), total), total - 1);
            assert_eq!(drawn_position(&digest_of(1 << 127), total), total / 2);
        }
        assert_eq!(drawn_position(&digest_of(u128::MAX), 0), 0);
        // A third of 2^128, rounded down, is the last number of the first third.
        let third = u128::MAX / 3;
        assert_eq!((drawn_position(&digest_of(third), 3), drawn_position(&digest_of(third + 1), 3)), (0, 1));
        // Frozen: who checks a draw must come to the same position.
        assert_eq!(drawn_position(&SoftwareHasher::sha256(b"pakit"), 1_000_000), FROZEN_POSITION);
    }

    const FROZEN_POSITION: u64 = 489_511;

    #[test]
    fn positions_are_drawn_evenly() {
        const TOTAL: u64 = 10;
        const DRAWS: u32 = 20_000;
        let digests = (0..DRAWS).map(|number| SoftwareHasher::sha256(&number.to_le_bytes()));
        let mut counts = [0u32; TOTAL as usize];
        for position in digests.map(|digest| drawn_position(&digest, TOTAL)) {
            counts[usize::try_from(position).unwrap()] += 1;
        }
        // 2,000 each, with a standard deviation of 42.
        assert!(counts.iter().all(|count| (1_790..=2_210).contains(count)), "{counts:?}");
    }
}
