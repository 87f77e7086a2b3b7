//! Proof documents: what a reader needs beside a file and a head to trust.
//!
//! A document is one JSON object, described in `docs/formats.md`. [`ProofDocument`] reads and writes it, [`build()`] makes one
//! from a log, and [`crate::verify`] verifies one with neither repository nor network.

mod build;

pub use build::{ProofBuildError, ProofRequest, build};
pub use pakit_verifier::{
    JsonError,
    document::{
        AnchorReference, Consistency, DOCUMENT_BYTES_MAX, FORMAT, Inclusion, ProofDocument, ProofDocumentError,
    },
};

#[cfg(test)]
mod tests;
