//! The two hash functions behind one trait, so that a runtime can put its host functions under the same verification code.

use crate::id::HASH_BYTES;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// A BLAKE3 chaining value or a SHA-256 digest, before it gets a meaning.
pub type Digest = [u8; HASH_BYTES];

/// Computes what Pakit's formats need. Only [`Hasher::sha256`] must be given; BLAKE3 has no host function on a Substrate
/// chain and runs as ordinary code.
pub trait Hasher {
    /// SHA-256 (FIPS 180-4) of `data`.
    fn sha256(data: &[u8]) -> Digest;

    /// BLAKE3-256 of a whole input.
    fn blake3(data: &[u8]) -> Digest {
        *blake3::hash(data).as_bytes()
    }

    /// Chaining value of the BLAKE3 chunk at `index` in an input of at least two chunks (BLAKE3 paper, section 2.4).
    ///
    /// `slice` holds 1 to 1,024 bytes and `index` is below 2^54. The caller has checked that. What is longer is cut, and an
    /// empty slice, which is no chunk of such an input, gives a value that no tree contains.
    fn blake3_slice(index: u64, slice: &[u8]) -> Digest {
        if slice.is_empty() {
            // `finalize_non_root` panics without input. A root's flags never make a chaining value.
            return Self::blake3(slice);
        }
        // `set_input_offset` panics unless it is given a multiple of 1,024, which a saturated product is not.
        let offset = index.saturating_mul(1024) & !1023;
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset).update(slice.get(..1024).unwrap_or(slice));
        hasher.finalize_non_root()
    }

    /// Chaining value of a BLAKE3 parent node that is not the root.
    fn blake3_parent(left: &Digest, right: &Digest) -> Digest {
        merge_subtrees_non_root(as_chaining_value(left), as_chaining_value(right), Mode::Hash)
    }

    /// BLAKE3-256 of the input whose two topmost subtrees are given.
    fn blake3_root(left: &Digest, right: &Digest) -> Digest {
        *merge_subtrees_root(as_chaining_value(left), as_chaining_value(right), Mode::Hash).as_bytes()
    }
}

fn as_chaining_value(digest: &Digest) -> &ChainingValue {
    digest
}

/// SHA-256 and BLAKE3 computed by this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftwareHasher;

impl Hasher for SoftwareHasher {
    fn sha256(data: &[u8]) -> Digest {
        use sha2::Digest as _;
        sha2::Sha256::digest(data).into()
    }
}
