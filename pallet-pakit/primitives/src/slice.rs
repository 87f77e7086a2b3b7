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
    let length = slice_len(original_size, index).ok_or(SliceError::IndexOutOfRange)?;
    if slice.len() as u64 != length {
        return Err(SliceError::WrongSliceLength);
    }
    let count = slice_count(original_size);
    if siblings.len() != inclusion_path_len(index, count).unwrap_or(usize::MAX) {
        return Err(SliceError::WrongSiblingCount);
    }
    if slice_root::<H>(index, count, slice, siblings) == *content_hash.as_bytes() {
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
