//! Slices: the 1 KiB pieces into which BLAKE3 cuts a content, and the proof that one of them is part of it.
//!
//! BLAKE3's tree splits n > 1 chunks at the largest power of two below n, the same shape as RFC 6962's, so that the number
//! of siblings of slice i among n is the length of an audit path (i, n).

use crate::{
    hasher::{Digest, Hasher},
    id::ContentHash,
    log::inclusion_path_len,
};

/// Bytes of a slice; the last one of a content may be shorter.
pub const SLICE_BYTES: u64 = 1024;
/// Most siblings of a slice: contents are below 2^53 bytes, so they have at most 2^43 slices.
pub const SLICE_SIBLINGS_MAX: usize = 43;

/// Number of slices of a content: max(1, ceil(size / 1024)).
pub const fn slice_count(original_size: u64) -> u64 {
    let count = original_size.div_ceil(SLICE_BYTES);
    if count == 0 { 1 } else { count }
}

/// Bytes of slice `index` of a content: min(1024, size - 1024 x index); `None` if there is no such slice.
pub fn slice_len(original_size: u64, index: u64) -> Option<u64> {
    (index < slice_count(original_size))
        .then(|| original_size.saturating_sub(index.saturating_mul(SLICE_BYTES)).min(SLICE_BYTES))
}

/// Why a slice was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SliceError {
    /// The content has fewer slices.
    #[error("the slice index is beyond the content")]
    IndexOutOfRange,
    /// The slice is shorter or longer than its place demands.
    #[error("the slice has the wrong length")]
    WrongSliceLength,
    /// More or fewer siblings than the tree's shape demands.
    #[error("the slice proof has the wrong number of siblings")]
    WrongSiblingCount,
    /// The slice is not part of that content.
    #[error("the slice does not belong to the content")]
    Mismatch,
}

/// Refuses a slice and siblings that cannot be those of slice `index`, without computing a hash.
pub fn check_slice_shape(
    original_size: u64,
    index: u64,
    slice_bytes: usize,
    siblings: usize,
) -> Result<(), SliceError> {
    let length = slice_len(original_size, index).ok_or(SliceError::IndexOutOfRange)?;
    if slice_bytes as u64 != length {
        return Err(SliceError::WrongSliceLength);
    }
    if siblings != inclusion_path_len(index, slice_count(original_size)).unwrap_or(usize::MAX) {
        return Err(SliceError::WrongSiblingCount);
    }
    Ok(())
}

/// Verifies that `slice` is slice `index` of the content with `content_hash` and `original_size` bytes.
///
/// `siblings` are BLAKE3 chaining values from the slice upwards. The proof shows nothing about `original_size`, which
/// comes from a header that is proved otherwise.
pub fn verify_slice<H: Hasher>(
    content_hash: &ContentHash,
    original_size: u64,
    index: u64,
    slice: &[u8],
    siblings: &[Digest],
) -> Result<(), SliceError> {
    check_slice_shape(original_size, index, slice.len(), siblings.len())?;
    if slice_root::<H>(index, slice_count(original_size), slice, siblings) == *content_hash.as_bytes() {
        Ok(())
    } else {
        Err(SliceError::Mismatch)
    }
}

/// Hash of the content that the slice and its siblings belong to. Lengths have been checked.
fn slice_root<H: Hasher>(index: u64, count: u64, slice: &[u8], siblings: &[Digest]) -> Digest {
    let Some((topmost, lower)) = siblings.split_last() else {
        return H::blake3(slice);
    };
    let sides = crate::log::sibling_sides(index, count);
    let mut node = H::blake3_slice(index, slice);
    for (level, sibling) in lower.iter().enumerate() {
        node = if sides.is_left(level) { H::blake3_parent(sibling, &node) } else { H::blake3_parent(&node, sibling) };
    }
    if sides.is_left(lower.len()) { H::blake3_root(topmost, &node) } else { H::blake3_root(&node, topmost) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::hasher::SoftwareHasher;
    use alloc::vec::Vec;
    use hex_literal::hex;

    #[test]
    fn content_hash_and_siblings_are_frozen() {
        let content: Vec<u8> = (0..5000u32).map(|i| (i % 251) as u8).collect();
        let content_hash = ContentHash::new(SoftwareHasher::blake3(&content));
        assert_eq!(content_hash.to_bytes(), hex!("ee78d92070de3df1c57c37002abf0a6b1a6589acdeef4d8ffac7cf3d9e8f2836"));
        let siblings = FROZEN_SIBLINGS;
        assert_eq!(verify_slice::<SoftwareHasher>(&content_hash, 5000, 2, &content[2048..3072], &siblings), Ok(()));
    }

    const FROZEN_SIBLINGS: [Digest; 3] = [
        hex!("2384956f6c5c4cd565731e113eda8c592474646eb299b5d90b7b6899689b726e"),
        hex!("811f7d4f1735258e27c68b9214ff7c4aac866d47f73deef1fd8908b5e38f804f"),
        hex!("6c1edbfd84ef1809fd89ec063343e44f1e8ca49f941ef06d511d457fc5626cfc"),
    ];

    #[test]
    fn a_content_has_a_slice_for_each_begun_kibibyte_and_at_least_one() {
        let counts = [(0, 1), (1, 1), (1023, 1), (1024, 1), (1025, 2), (2048, 2), (2049, 3), (u64::MAX, 1 << 54)];
        for (size, count) in counts {
            assert_eq!(slice_count(size), count, "{size}");
        }
        assert_eq!(slice_len(0, 0), Some(0));
        assert_eq!(slice_len(0, 1), None);
        assert_eq!(slice_len(1025, 0), Some(1024));
        assert_eq!(slice_len(1025, 1), Some(1));
        assert_eq!(slice_len(2048, 2), None);
        assert_eq!(slice_len(u64::MAX, (1 << 54) - 1), Some(1023));
        assert_eq!(slice_len(u64::MAX, u64::MAX), None);
    }
}
