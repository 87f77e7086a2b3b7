//! Which block a text names: its hash or the first digits of it, a CID, a place in the log, or a path within a folder.

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
    cid::{Cid, CidError},
    listing::{self, PathError},
};
use pakit_primitives::BlockHash;
use std::{ffi::OsStr, fmt, ops::RangeInclusive, os::unix::ffi::OsStrExt, sync::Arc};

/// Hex digits of a block hash.
const HASH_DIGITS: usize = 64;
/// Hex digits of an abbreviated block hash, at least. At a million blocks, one in four thousand texts of 8 digits is ambiguous.
pub const ABBREVIATION_DIGITS_MIN: usize = 8;
/// Candidates that an ambiguous text is answered with, at most.
pub const CANDIDATES_MAX: usize = 5;

/// Why a text does not name a block here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Nothing that could name a block.
    #[error(
        "{text:?} is neither a block hash (64 hex digits, or the first {ABBREVIATION_DIGITS_MIN} or more of them) nor a CID: {source}"
    )]
    Malformed {
        /// The text.
        text: String,
        /// Why it is no CID.
        source: CidError,
    },
    /// A place in the log that is no number.
    #[error("{0:?} is not a place in the log; it has to be @ and a leaf index, such as @12")]
    MalformedLeafIndex(String),
    /// Not in this repository.
    #[error("there is no block {0} in this repository")]
    Unknown(String),
    /// The log is shorter.
    #[error("there is no block @{leaf_index} in this repository, whose log has {blocks} blocks")]
    UnknownLeafIndex {
        /// What was asked for.
        leaf_index: u64,
        /// Size of the log.
        blocks: u64,
    },
    /// The beginning of more than one block hash.
    #[error("{text} is the beginning of several block hashes, name one with more digits: {}", Candidates(candidates, *is_cut))]
    Ambiguous {
        /// The text.
        text: String,
        /// Those that it may mean, ascending.
        candidates: Vec<BlockHash>,
        /// Whether there are more.
        is_cut: bool,
    },
    /// The path leads to no block.
    #[error(transparent)]
    Path(#[from] PathError),
}

struct Candidates<'a>(&'a [BlockHash], bool);

impl fmt::Display for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, candidate) in self.0.iter().enumerate() {
            write!(f, "{}{candidate}", if place == 0 { "" } else { ", " })?;
        }
        f.write_str(if self.1 { " and more" } else { "" })
    }
}

/// Finds the block that a text names: a block hash in hex, with or without `0x`, whole or its first
/// [`ABBREVIATION_DIGITS_MIN`] digits or more; a CID; `@` and a leaf index; or one of these for a folder, `:`, and a path in
/// it.
pub fn resolve(backend: &Arc<dyn DagBackend>, text: &OsStr) -> Result<DagBlock, ResolveError> {
    let bytes = text.as_bytes();
    // No name of a block has a colon in it.
    match bytes.iter().position(|byte| *byte == b':') {
        None => by_name(backend.as_ref(), &text.to_string_lossy()),
        Some(end) => {
            let (name, path) = bytes.split_at(end);
            let folder = by_name(backend.as_ref(), &String::from_utf8_lossy(name))?;
            Ok(listing::block_at(backend, folder, OsStr::from_bytes(path.get(1..).unwrap_or_default()))?)
        }
    }
}

fn by_name(backend: &dyn DagBackend, text: &str) -> Result<DagBlock, ResolveError> {
    if let Some(digits) = text.strip_prefix('@') {
        return by_leaf_index(backend, digits);
    }
    if let Some(hashes) = hashes_that_begin_with(text) {
        return by_hash(backend, text, hashes);
    }
    let cid: Cid = text.parse().map_err(|source| ResolveError::Malformed { text: text.to_owned(), source })?;
    listing::find_cid(backend, &cid)?.ok_or_else(|| ResolveError::Unknown(text.to_owned()))
}

fn by_leaf_index(backend: &dyn DagBackend, digits: &str) -> Result<DagBlock, ResolveError> {
    let malformed = || ResolveError::MalformedLeafIndex(format!("@{digits}"));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let leaf_index = digits.parse().map_err(|_| malformed())?;
    match backend.block(leaf_index)? {
        Some(block) => Ok(block),
        None => Err(ResolveError::UnknownLeafIndex { leaf_index, blocks: backend.totals()?.blocks }),
    }
}

fn by_hash(backend: &dyn DagBackend, text: &str, hashes: RangeInclusive<BlockHash>) -> Result<DagBlock, ResolveError> {
    let unknown = || ResolveError::Unknown(text.to_owned());
    let leaf_index = match hashes.start() == hashes.end() {
        true => backend.find_block(hashes.start())?.ok_or_else(unknown)?,
        false => {
            let found = backend.find_blocks(hashes, CANDIDATES_MAX + 1)?;
            match found.as_slice() {
                [] => return Err(unknown()),
                [(_, leaf_index)] => *leaf_index,
                several => {
                    let candidates = several.iter().map(|(hash, _)| *hash).take(CANDIDATES_MAX).collect();
                    let is_cut = several.len() > CANDIDATES_MAX;
                    return Err(ResolveError::Ambiguous { text: text.to_owned(), candidates, is_cut });
                }
            }
        }
    };
    backend.block(leaf_index)?.ok_or_else(unknown)
}

/// All hashes that begin with these digits, if they are a hash or enough of one.
fn hashes_that_begin_with(text: &str) -> Option<RangeInclusive<BlockHash>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || !(ABBREVIATION_DIGITS_MIN..=HASH_DIGITS).contains(&digits.len()) {
        return None;
    }
    let filled = |with: &str| {
        let mut bytes = [0; HASH_DIGITS / 2];
        let all = format!("{digits}{}", with.repeat(HASH_DIGITS - digits.len()));
        hex::decode_to_slice(all, &mut bytes).ok().map(|()| BlockHash::new(bytes))
    };
    Some(filled("0")?..=filled("f")?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        backend::{StoredChunk, WriteBatch},
        block::{DagBuilder, NewBlock},
        log::LogAppender,
        memory::MemoryBackend,
    };
    use pakit_primitives::Compression;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const TIME_MS: u64 = 1_700_000_000_000;

    fn first_digits(block: &DagBlock) -> String {
        hex::encode(block.block_hash().as_bytes())[..ABBREVIATION_DIGITS_MIN].to_owned()
    }

    /// Two blocks whose hashes begin with the same 8 digits: one such pair is to be expected among 2^32 of them.
    fn alike() -> (MemoryBackend, [DagBlock; 2]) {
        let backend = MemoryBackend::new();
        let mut log = LogAppender::resume(&backend).unwrap();
        let mut commit = |block: &DagBlock, content: &[u8]| {
            let mut batch = WriteBatch { blocks: vec![block.clone()], ..WriteBatch::default() };
            let (chunk_hash, original_size) = (block.header().content_hash, content.len() as u32);
            let bytes = content.to_vec();
            batch.chunks.push(StoredChunk { chunk_hash, compression: Compression::None, original_size, bytes });
            log.append(block, &mut batch.log_nodes).unwrap();
            backend.commit(batch).unwrap();
        };
        let mut builder = DagBuilder::new(0, 0);
        let mut parents: Vec<DagBlock> = Vec::new();
        for content in [b"0", b"1"] {
            let block = builder.block(NewBlock::raw(content), TIME_MS, &parents).unwrap();
            builder.advance(&block);
            commit(&block, content);
            parents.push(block);
        }
        // Neither is the other's parent, so that each can be made over and over until they are alike.
        let next = {
            let mut next = DagBuilder::new(2, 2);
            next.advance(&builder.block(NewBlock::raw(b"2"), TIME_MS, &parents).unwrap());
            next
        };
        let made = |builder: &DagBuilder, content: &[u8], time: u64| {
            builder.block(NewBlock::raw(content), TIME_MS + time, &parents).unwrap()
        };
        let firsts: HashMap<String, u64> =
            (0..120_000).map(|time| (first_digits(&made(&builder, b"2", time)), time)).collect();
        let pair = (0..).find_map(|time| {
            let second = made(&next, b"3", time);
            Some([made(&builder, b"2", *firsts.get(&first_digits(&second))?), second])
        });
        let pair = pair.unwrap();
        commit(&pair[0], b"2");
        commit(&pair[1], b"3");
        (backend, pair)
    }

    #[test]
    fn digits_that_several_hashes_begin_with_are_refused_and_more_digits_are_not() {
        let (backend, pair) = alike();
        let backend: Arc<dyn DagBackend> = Arc::new(backend);
        let digits = first_digits(&pair[0]);
        let mut expected = pair.each_ref().map(DagBlock::block_hash);
        expected.sort_unstable();
        let refused = resolve(&backend, digits.as_ref()).unwrap_err();
        let text = refused.to_string();
        assert!(expected.iter().all(|hash| text.contains(&hash.to_string())), "{text}");
        let ResolveError::Ambiguous { candidates, is_cut, .. } = refused else { panic!("{text}") };
        assert_eq!((candidates.as_slice(), is_cut), (expected.as_slice(), false));
        let [a, b] = expected.map(|hash| hex::encode(hash.as_bytes()));
        let differ = a.bytes().zip(b.bytes()).position(|(a, b)| a != b).unwrap();
        for block in &pair {
            let hash = hex::encode(block.block_hash().as_bytes());
            assert_eq!(&resolve(&backend, hash[..=differ].as_ref()).unwrap(), block);
            assert!(resolve(&backend, hash[..differ].as_ref()).is_err());
        }
    }

    proptest! {
        #[test]
        fn the_first_digits_of_a_hash_mean_all_hashes_that_begin_so(hash: [u8; 32], other: [u8; 32], digits in 8usize..=64) {
            let hex = hex::encode(hash);
            let hashes = hashes_that_begin_with(&hex[..digits]).unwrap();
            prop_assert!(hashes.contains(&BlockHash::new(hash)));
            prop_assert_eq!(hashes_that_begin_with(&format!("0x{}", &hex[..digits])).unwrap(), hashes.clone());
            let begins_so = hex::encode(other).starts_with(&hex[..digits]);
            prop_assert_eq!(hashes.contains(&BlockHash::new(other)), begins_so);
            prop_assert_eq!(hashes.start() == hashes.end(), digits == 64);
        }

        #[test]
        fn what_is_too_short_too_long_or_no_hex_is_no_hash(text in "[0-9a-f]{0,7}|[0-9a-f]{65,80}|[g-z]{8,64}") {
            prop_assert!(hashes_that_begin_with(&text).is_none());
        }
    }
}
