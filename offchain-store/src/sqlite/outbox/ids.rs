//! Distinct types for the chain's 32-byte values, which would otherwise be mistaken for each other and for the log's.

use std::{fmt, str::FromStr};

/// Text that is not `0x` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected 0x and 64 hex digits")]
pub struct NotHex32;

macro_rules! chain_id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the bytes as they are.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotHex32;

            fn from_str(text: &str) -> Result<Self, NotHex32> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).map_err(|_| NotHex32)?;
                Ok(Self(bytes))
            }
        }

        /// `0x` and 64 lower-case digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

chain_id_type!(
    /// Hash of a chain's block. The hash of block 0 names the chain.
    ChainBlockHash
);
chain_id_type!(
    /// BLAKE2b-256 of an extrinsic's bytes.
    ExtrinsicHash
);
chain_id_type!(
    /// An account on a chain.
    AccountId
);
