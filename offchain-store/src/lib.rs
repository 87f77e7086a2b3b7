//! Files become content-addressed, deduplicated, compressed blocks of a DAG under an append-only Merkle log.

pub mod backend;
pub mod block;
pub mod chunk;
pub mod cid;
pub mod compress;
pub mod filter;
pub mod log;
pub mod memory;
pub mod parents;
mod plan;
pub mod proof;
pub mod tree;
pub mod verify;

pub use backend::{BackendError, DagBackend};
pub use block::{DagBlock, DagBuilder, NewBlock};
pub use log::{LogAppender, LogReader};
pub use parents::ParentSelectionStrategy;
pub use proof::ProofDocument;
pub use verify::{Verification, verify_document};
