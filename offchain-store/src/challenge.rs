//! Answers to possession challenges: any one of all the slices that a log's blocks hold, with what proves it.
//!
//! A challenge names the size of an anchored log and a position among all its slices. The answer is the block that holds it, proved
//! to be in the log of that size, and the slice, proved to be in that block's content. docs/formats.md, section 16, has the bytes.

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
    get::{ContentReader, GetError},
    log::{LogReadError, LogReader},
};
use blake3::hazmat::HasherExt;
use codec::{Decode, Encode};
use pakit_primitives::{
    LogError, SoftwareHasher,
    hasher::Digest,
    log::{inclusion_subtrees, verify_inclusion},
    slice::{SLICE_BYTES, SliceError, slice_count, slice_len, verify_slice},
};
use std::sync::Arc;

/// What shows that a slice is kept.
///
/// Frozen bytes: `challenge::tests::answer_bytes_are_frozen`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ChallengeAnswer {
    /// The bytes of the header of the block that holds the slice.
    pub header: Vec<u8>,
    /// Its audit path in the log of the challenge's size, leaf to root.
    pub inclusion: Vec<Digest>,
    /// The slice: 1,024 bytes, or what a content ends with.
    pub slice: Vec<u8>,
    /// BLAKE3 chaining values from the slice upwards.
    pub siblings: Vec<Digest>,
}

/// The block that holds a slice, and nothing of its content: what can be shown of one that was let go.
///
/// Frozen bytes: `challenge::tests::answer_bytes_are_frozen`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct DrawnBlock {
    /// The bytes of its header.
    pub header: Vec<u8>,
    /// Its audit path in the log of the challenge's size, leaf to root.
    pub inclusion: Vec<Digest>,
}

/// Why a challenge was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The log could not be read, or does not reach the size.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// The content could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The blocks of that log hold fewer slices.
    #[error("the {size} blocks hold {slices} slices, none at position {position}")]
    PositionBeyondLog {
        /// Size of the log.
        size: u64,
        /// Slices in all its blocks.
        slices: u64,
        /// What was asked for.
        position: u64,
    },
    /// The blocks' counts of slices do not fit each other.
    #[error("the repository is damaged: no block's slices hold position {0}")]
    NoBlock(u64),
    /// What was read does not prove the block.
    #[error("the repository is damaged: its own proof of a block does not hold: {0}")]
    OwnInclusionFails(#[from] LogError),
    /// What was read does not prove the slice.
    #[error("the repository is damaged: its own proof of a slice does not hold: {0}")]
    OwnSliceFails(#[from] SliceError),
}

/// Answers the challenge for slice `position` of all slices of the log's first `size` blocks. Reads the whole of the one content, a
/// chunk at a time, and finds its block with one look at each level of the log. What is given was verified.
pub fn answer(backend: &Arc<dyn DagBackend>, size: u64, position: u64) -> Result<ChallengeAnswer, ChallengeError> {
    let (block, DrawnBlock { header, inclusion }) = prove_block(backend.as_ref(), size, position)?;
    // The block is the last one whose slices begin no later.
    let index = position - block.header().slices_before;
    let (slice, siblings) = prove_slice(backend, &block, index)?;
    Ok(ChallengeAnswer { header, inclusion, slice, siblings })
}

/// The block that holds slice `position` of all slices of the log's first `size` blocks, whether or not its content is kept. What is
/// given was verified.
pub fn drawn_block(backend: &dyn DagBackend, size: u64, position: u64) -> Result<DrawnBlock, ChallengeError> {
    prove_block(backend, size, position).map(|(_, drawn)| drawn)
}

fn prove_block(backend: &dyn DagBackend, size: u64, position: u64) -> Result<(DagBlock, DrawnBlock), ChallengeError> {
    let log = LogReader::new(backend);
    let head = log.head_at(size)?;
    let block = find_block(backend, size, position)?;
    let (leaf_index, block_hash) = (block.leaf_index(), block.block_hash());
    let inclusion = log.inclusion(leaf_index, size)?;
    verify_inclusion::<SoftwareHasher>(&head, leaf_index, &block_hash, &inclusion)?;
    let header = block.header().to_bytes();
    Ok((block, DrawnBlock { header, inclusion }))
}

/// The block of the first `size`, at least one, that holds a slice: where slices begin rises strictly from block to block.
fn find_block(backend: &dyn DagBackend, size: u64, position: u64) -> Result<DagBlock, ChallengeError> {
    let at = |leaf_index: u64| {
        let missing = || BackendError::Damaged(format!("block {leaf_index} of the log is missing"));
        backend.block(leaf_index)?.ok_or_else(missing)
    };
    let last = at(size.saturating_sub(1))?;
    let slices = last.header().slices_through();
    if position >= slices {
        return Err(ChallengeError::PositionBeyondLog { size, slices, position });
    }
    // The block is at `low` or behind it, and before `high`.
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match at(middle)?.header().slices_before <= position {
            true => low = middle,
            false => high = middle,
        }
    }
    let block = at(low)?;
    let header = block.header();
    match (header.slices_before..header.slices_through()).contains(&position) {
        true => Ok(block),
        false => Err(ChallengeError::NoBlock(position)),
    }
}

/// A part of a content, up to its `end`: the slice, or what a sibling is the chaining value of.
struct Part {
    end: u64,
    /// The sibling's place in the proof and its hasher.
    sibling: Option<(usize, blake3::Hasher)>,
}

/// Slice `index` of a block's content, and its siblings from the slice upwards. The content is streamed.
pub fn prove_slice(
    backend: &Arc<dyn DagBackend>,
    block: &DagBlock,
    index: u64,
) -> Result<(Vec<u8>, Vec<Digest>), ChallengeError> {
    let header = block.header();
    let length = slice_len(header.original_size, index).ok_or(SliceError::IndexOutOfRange)?;
    let mut parts = parts(header.original_size, index)?;
    // At most 1,024 bytes.
    let mut slice = Vec::with_capacity(length as usize);
    let (mut position, mut current) = (0, 0);
    let mut reader = ContentReader::new(backend.clone(), block.clone(), None)?;
    while let Some(piece) = reader.next_piece()? {
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            // A reader gives as many bytes as the header says, which are those of all parts.
            let Some(part) = parts.get_mut(current) else { return Err(SliceError::Mismatch.into()) };
            let room = usize::try_from(part.end - position).unwrap_or(usize::MAX);
            let (these, later) = rest.split_at(room.min(rest.len()));
            match &mut part.sibling {
                Some((_, hasher)) => {
                    hasher.update(these);
                }
                None => slice.extend_from_slice(these),
            }
            position += these.len() as u64;
            current += usize::from(position == part.end);
            rest = later;
        }
    }
    // Also says that no sibling is without bytes, of which there is no chaining value.
    if position != header.original_size {
        return Err(SliceError::Mismatch.into());
    }
    let mut siblings = vec![Digest::default(); parts.len() - 1];
    for (place, hasher) in parts.into_iter().filter_map(|part| part.sibling) {
        siblings[place] = hasher.finalize_non_root();
    }
    verify_slice::<SoftwareHasher>(&header.content_hash, header.original_size, index, &slice, &siblings)?;
    Ok((slice, siblings))
}

/// The slice and its siblings, in the order of their bytes. BLAKE3's tree has the shape of the log's.
fn parts(original_size: u64, index: u64) -> Result<Vec<Part>, ChallengeError> {
    let subtrees = inclusion_subtrees(index, slice_count(original_size))?;
    let mut ranges: Vec<_> = subtrees.into_iter().enumerate().map(|(place, part)| (part, Some(place))).collect();
    ranges.push((pakit_primitives::log::Subtree { start: index, end: index + 1 }, None));
    ranges.sort_by_key(|(part, _)| part.start);
    let of_range = |(part, place): (pakit_primitives::log::Subtree, Option<usize>)| {
        let sibling = place.map(|place| {
            let mut hasher = blake3::Hasher::new();
            // No input yet, and a multiple of 1,024, as it has to be.
            hasher.set_input_offset(part.start * SLICE_BYTES);
            (place, hasher)
        });
        Part { end: part.end.saturating_mul(SLICE_BYTES).min(original_size), sibling }
    };
    Ok(ranges.into_iter().map(of_range).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{Config, InitOptions, StorageEngine};
    use pakit_primitives::Header;
    use proptest::prelude::*;

    fn engine() -> StorageEngine {
        let config = Config { chunk_bytes: 4096, ..Config::default() };
        StorageEngine::in_memory(&InitOptions { seed: Some(1), ..InitOptions::default() }, config).unwrap().0
    }

    /// Contents that differ from each other and do not compress to nothing.
    fn content(size: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Verifies as a chain does, from the head and the position alone.
    fn verify(engine: &StorageEngine, size: u64, position: u64) -> Header {
        let answer = answer(engine.backend(), size, position).unwrap();
        let header = Header::decode(&answer.header).unwrap();
        let head = engine.log().head_at(size).unwrap();
        let block_hash = header.block_hash::<SoftwareHasher>();
        verify_inclusion::<SoftwareHasher>(&head, header.leaf_index, &block_hash, &answer.inclusion).unwrap();
        let index = position - header.slices_before;
        assert!(index < header.slices());
        let (hash, bytes) = (&header.content_hash, header.original_size);
        verify_slice::<SoftwareHasher>(hash, bytes, index, &answer.slice, &answer.siblings).unwrap();
        let drawn = drawn_block(engine.backend().as_ref(), size, position).unwrap();
        assert_eq!(drawn, DrawnBlock { header: answer.header, inclusion: answer.inclusion });
        header
    }

    #[test]
    fn every_slice_of_every_size_of_a_log_is_answered_by_its_block() {
        let engine = engine();
        for (seed, size) in [0, 1, 1023, 1024, 1025, 2048, 5000, 40_000].into_iter().enumerate() {
            engine.store(std::io::Cursor::new(content(size, seed as u8)), None).unwrap();
        }
        for size in 1..=engine.head().unwrap().size {
            let slices = engine.backend().block(size - 1).unwrap().unwrap().header().slices_through();
            for position in 0..slices {
                verify(&engine, size, position);
            }
            let error = answer(engine.backend(), size, slices).unwrap_err();
            assert!(matches!(error, ChallengeError::PositionBeyondLog { .. }), "{error}");
        }
        for size in [0, 10, u64::MAX] {
            assert!(matches!(answer(engine.backend(), size, 0), Err(ChallengeError::Log(_))), "{size}");
        }
    }

    #[test]
    fn a_content_that_is_gone_is_not_answered_for() {
        let (engine, other) = (engine(), engine());
        let block = engine.store(std::io::Cursor::new(content(5000, 1)), None).unwrap().block;
        let error = prove_slice(other.backend(), &block, 2).unwrap_err();
        assert!(matches!(error, ChallengeError::Get(GetError::Removed(_))), "{error}");
        let error = prove_slice(engine.backend(), &block, 5).unwrap_err();
        assert!(matches!(error, ChallengeError::OwnSliceFails(SliceError::IndexOutOfRange)), "{error}");
    }

    #[test]
    fn answer_bytes_are_frozen() {
        let answer = ChallengeAnswer {
            header: vec![1, 2, 3],
            inclusion: vec![[4; 32]],
            slice: vec![5; 2],
            siblings: vec![[6; 32], [7; 32]],
        };
        let mut bytes = vec![12, 1, 2, 3, 4];
        bytes.extend([4; 32]);
        bytes.extend([8, 5, 5, 8]);
        bytes.extend([6; 32]);
        bytes.extend([7; 32]);
        assert_eq!(answer.encode(), bytes);
        assert_eq!(ChallengeAnswer::decode(&mut bytes.as_slice()).unwrap(), answer);
        let drawn = DrawnBlock { header: answer.header, inclusion: answer.inclusion };
        assert_eq!(drawn.encode(), bytes[..37]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_slice_of_a_content_of_many_chunks_is_proved(size in 1..300_000usize, seed: u8, at: prop::sample::Index) {
            let engine = engine();
            let bytes = content(size, seed);
            let block = engine.store(std::io::Cursor::new(bytes.clone()), None).unwrap().block;
            let index = at.index(block.header().slices() as usize);
            let (slice, siblings) = prove_slice(engine.backend(), &block, index as u64).unwrap();
            let end = size.min(index * 1024 + 1024);
            prop_assert_eq!(&slice[..], &bytes[index * 1024..end]);
            prop_assert!(siblings.len() <= 54);
        }
    }
}
