//! Anchoring the log's heads on a chain, without paying twice and without losing track.
//!
//! ```text
//!              sign                  send                 seen in a block           block is final
//!  (nothing) --------> prepared ------------> submitted ------------------> in block --------------> finalized | failed
//!                         |                     |  ^                           |
//!                         |                     |  '------- fell out ----------'
//!                         '---------------------'---> expired: era over at a finalized block, all of it searched
//! ```
//!
//! The outbox ([`crate::sqlite::outbox`]) holds a signed extrinsic's bytes before anything is sent; [`outbox`] decides what
//! is done with it next, [`plan`] what is signed next, and [`AnchorWorker`] carries both out over a [`ChainClient`], which
//! [`subxt`] implements. Whatever is killed at whatever moment, the next run finds the row, searches the blocks for it, and
//! goes on.
//!
//! One process at a time signs for a repository; the store may be written meanwhile.

#[cfg(test)]
mod chain_model;
pub mod client;
mod error;
mod futile;
mod goals;
pub mod heads;
mod key;
mod lock;
pub mod outbox;
pub mod plan;
mod prepare;
mod progress;
mod reference;
mod search;
mod stake;
pub mod subxt;
mod worker;

pub(crate) use self::key::read_secret_file;
pub use self::subxt::{SubxtClient, SubxtConnector};
pub use self::{
    client::{ChainClient, ChainError, Connect},
    error::{AnchorError, NotExtending},
    heads::{AnchorRef, HeadSource, TrustedHead, TrustedHeadError, find_trusted_head},
    key::{KeyError, KeySource, SigningKey},
    progress::{AnchorConfig, AnchorProgress, AnchorReceipt, DagReceipt, DeclareReceipt, RecordReceipt, Until},
    reference::{anchor_reference, newest_anchor},
    stake::{StakeStanding, standing},
    worker::{AnchorWorker, ProgressSink},
};
pub use crate::sqlite::outbox::{
    Outbox, OutboxError,
    ids::{AccountId, ChainBlockHash, ExtrinsicHash, NotHex32},
    rows::{Binding, BindingId, OutboxRow, Placement, Purpose, RowId, RowState},
};
