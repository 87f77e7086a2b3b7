//! Files become content-addressed, deduplicated, compressed blocks of a DAG under an append-only Merkle log.

pub mod backend;
pub mod block;
pub mod chunk;
pub mod cid;
pub mod compress;
pub mod log;
pub mod parents;
pub mod tree;

pub use backend::{BackendError, DagBackend};
pub use block::{DagBlock, DagBuilder, NewBlock};
pub use log::{LogAppender, LogReader};
pub use parents::ParentSelectionStrategy;
