//! Distinct types for the 32-byte values that would otherwise be mistaken for each other.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// Bytes of every hash in the system.
pub const HASH_BYTES: usize = 32;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
            Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
        )]
        pub struct $name([u8; HASH_BYTES]);

        impl $name {
            /// Takes the bytes as they are.
            pub const fn new(bytes: [u8; HASH_BYTES]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
                &self.0
            }

            /// The 32 bytes, by value.
            pub const fn to_bytes(self) -> [u8; HASH_BYTES] {
                self.0
            }
        }

        impl From<[u8; HASH_BYTES]> for $name {
            fn from(bytes: [u8; HASH_BYTES]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        /// `0x` and 64 lower-case digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0x")?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id_type!(
    /// SHA-256 of `0x00` and a block's header bytes: the identity of a block and, at once, its leaf in the log.
    ///
    /// Frozen bytes: `header::tests::header_bytes_and_block_hashes_are_frozen`.
    BlockHash
);
id_type!(
    /// BLAKE3-256 of a whole plaintext.
    ///
    /// Frozen bytes: `slice::tests::content_hash_and_siblings_are_frozen`.
    ContentHash
);
id_type!(
    /// RFC 6962 root of a log of some size. It says nothing without that size; see [`crate::log::Head`].
    ///
    /// Frozen bytes: `log::tests::head_bytes_are_frozen`.
    LogRoot
);
id_type!(
    /// BLAKE3-256 of a metadata map's dag-cbor bytes, or 32 zero bytes where a block has no metadata.
    ///
    /// Frozen bytes: `header::tests::header_bytes_and_block_hashes_are_frozen`.
    MetadataHash
);

impl MetadataHash {
    /// The value of a block without metadata.
    pub const NONE: Self = Self([0; HASH_BYTES]);

    /// Whether the block has a metadata map.
    pub fn is_some(&self) -> bool {
        *self != Self::NONE
    }
}

/// Lets a block hash stand for the leaf that it is.
impl BlockHash {
    /// The root of a log that holds this one block.
    pub const fn as_root_of_one(self) -> LogRoot {
        LogRoot(self.0)
    }
}
