//! Proof documents, strictly read, and what they prove: `no_std`, with neither a store nor a network.
//!
//! `pakit verify`, the service and the package for browsers and Node.js answer with this code, so that a document is valid for
//! all of them or for none. The format is written down in `docs/formats.md`, sections 9 and 10.
//!
//! | module | answers |
//! |---|---|
//! | [`document`] | what does this document say? |
//! | [`verify`] | does it hold, up to a head that the reader trusts? |
//!
//! Without the feature `std` it reads and verifies; with it, it also writes documents and reads from files.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod document;
mod json;
pub mod verify;
#[cfg(feature = "std")]
mod written;

pub use document::{ProofDocument, ProofDocumentError};
pub use json::JsonError;
pub use verify::{Expected, TrustedHead, Verification, VerifyError, Verifying};
