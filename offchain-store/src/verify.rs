//! Verifies proof documents, and files against them, with neither repository nor network.
//!
//! Whom to believe is the reader's choice and comes from outside the document: [`Expected`] holds a head that the reader was
//! given or found on a chain. To find one there, look the document's
//! [`candidate_heads`](crate::proof::ProofDocument::candidate_heads) up.
//!
//! What is checked, and how, is `pakit_verifier`'s, which browsers run too; here are files, folders of them, and many cores.

mod batch;

pub use batch::{
    DocumentError, FILES_AT_ONCE, FileAnswer, LeafProof, document_files, verify_documents, verify_files,
    verify_inclusions,
};
pub use pakit_verifier::verify::{
    Check, ContentReadError, DagIdentity, Expected, HeadSource, TrustedHead, Verification, VerifyError, Verifying,
    verify_document,
};

#[cfg(test)]
mod tests;
