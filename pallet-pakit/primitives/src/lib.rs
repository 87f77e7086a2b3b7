//! Pakit's formats and the verification of every proof in the system, `no_std` and without a chain.
//!
//! The pallet, the store, the program `pakit` and any third party verify with the same pure functions, so that "the chain
//! accepted it" and "I checked it" mean one thing. The formats themselves are written down in `docs/formats.md`.
//!
//! | module | answers |
//! |---|---|
//! | [`id`] | which of the 32-byte values is meant |
//! | [`hasher`] | who computes SHA-256 and BLAKE3: this crate or a chain's host functions |
//! | [`header`] | what a block says of itself, and the strict decoding of it |
//! | [`log`] | RFC 6962: roots, inclusion, consistency, many leaves at once |
//! | [`lineage`] | did this block build on that one? |
//! | [`slice`](mod@slice) | is this 1 KiB part of that content? |
//! | [`heads`] | which of its past heads a chain still keeps |
//! | [`record`] | what a chain keeps of one proved block |
//! | [`possession`] | which slice a challenge asks for, and what answers it |
//! | [`fraud`] | what shows that a log breaks the rules |
//! | [`chain`] | what a chain keeps of a DAG, answers about it, and checks before it accepts an anchor |
//!
//! Three rules hold everywhere. Counts and roots come from trusted state and never from a proof. All bounds and lengths are
//! checked before the first hash is computed, so a hostile proof costs its sender more than its verifier. Nothing here
//! panics, whatever the input.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod chain;
pub mod fraud;
pub mod hasher;
pub mod header;
pub mod heads;
pub mod id;
pub mod lineage;
pub mod log;
pub mod possession;
pub mod record;
pub mod slice;

pub use hasher::{Hasher, SoftwareHasher};
pub use header::{Compression, Header, HeaderError, Parent, Parents};
pub use id::{BlockHash, ContentHash, LogRoot, MetadataHash};
pub use lineage::{LineageError, verify_lineage_to_ancestor, verify_lineage_to_genesis};
pub use log::{Head, LogError, verify_consistency, verify_inclusion};
pub use record::DagStorageProof;
