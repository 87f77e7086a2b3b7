//! What callers give and get: settings, progress, receipts.

use super::{
    client::{Balance, ChainIdentity},
    stake::StakeStanding,
};
use crate::sqlite::outbox::{
    ids::{AccountId, ChainBlockHash},
    rows::{Binding, OutboxRow, RowId, RowState},
};
use pakit_primitives::{
    BlockHash, Head,
    chain::{AnchorNumber, DagId},
};
use std::{ops::RangeInclusive, time::Duration};

/// How patiently and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnchorConfig {
    /// Blocks an extrinsic is valid for: a power of two from 4 to 4096. A longer era survives longer outages with the same
    /// signature; a shorter one is over sooner where something went wrong.
    pub era_period_blocks: u64,
    /// How long one run goes on.
    pub deadline: Duration,
    /// How long one request to the node may take.
    pub request_timeout: Duration,
    /// How often a node that was never reached in this run is tried.
    pub connect_attempts_max: u32,
    /// First wait before something is tried again; it doubles, with a random part.
    pub retry_delay_min: Duration,
    /// Longest wait before something is tried again.
    pub retry_delay_max: Duration,
    /// How long a node that took an extrinsic may keep it without a block before it is sent again. A new connection does not
    /// wait for this.
    pub resend_delay: Duration,
    /// How long the chain is left alone when it makes no blocks.
    pub poll_interval: Duration,
    /// Most extrinsics on their way at once.
    pub in_flight_max: usize,
}

impl Default for AnchorConfig {
    fn default() -> Self {
        Self {
            era_period_blocks: 64,
            deadline: Duration::from_secs(600),
            request_timeout: Duration::from_secs(20),
            connect_attempts_max: 3,
            retry_delay_min: Duration::from_millis(250),
            retry_delay_max: Duration::from_secs(30),
            resend_delay: Duration::from_secs(12),
            poll_interval: Duration::from_secs(2),
            in_flight_max: 16,
        }
    }
}

/// When a call counts as done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// It is in a block of the best chain, which may still be left behind.
    InBlock,
    /// It is in a finalized block.
    Finalized,
}

/// What a run tells while it goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AnchorProgress {
    /// A node was reached.
    Connected(ChainIdentity),
    /// The node cannot be asked at present; it is tried again after a while.
    Trouble {
        /// What is the matter.
        error: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// An extrinsic was signed, or has come further.
    Row {
        /// Its row.
        row: RowId,
        /// The pallet's call.
        call: &'static str,
        /// The head it is about.
        head: Head,
        /// How far it has come.
        state: RowState,
        /// The block that holds it.
        block_number: Option<u64>,
    },
    /// An extrinsic's bytes were sent.
    Sent {
        /// Its row.
        row: RowId,
        /// How often by now.
        attempts: u64,
        /// What the node had against it.
        objection: Option<String>,
    },
    /// An extrinsic is in no block and not sent again for now, because its call could only fail on top of the best block.
    Held {
        /// Its row.
        row: RowId,
        /// The pallet's call.
        call: &'static str,
        /// The head it is about.
        head: Head,
        /// Why.
        why: &'static str,
    },
    /// A declaration was signed, and sent for the first time or again.
    Declaring {
        /// What it declares removed.
        leaves: RangeInclusive<u64>,
        /// What the node had against it.
        objection: Option<&'static str>,
    },
    /// The block that held an extrinsic fell out of the best chain.
    FellOut {
        /// Its row.
        row: RowId,
        /// The block's number.
        block_number: u64,
    },
}

impl AnchorProgress {
    pub(super) fn row(row: &OutboxRow, state: RowState, block_number: Option<u64>) -> Self {
        Self::Row { row: row.id, call: row.purpose.call_name(), head: row.purpose.head(), state, block_number }
    }
}

/// An anchored head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnchorReceipt {
    /// The chain's genesis hash.
    pub chain: ChainBlockHash,
    /// The DAG.
    pub dag: DagId,
    /// The head that was to be anchored.
    pub head: Head,
    /// [`RowState::InBlock`] or [`RowState::Finalized`].
    pub status: RowState,
    /// Number of the anchor, while the chain keeps its head.
    pub anchor: Option<AnchorNumber>,
    /// The block that anchored it, or a later head that covers it.
    pub block_number: Option<u64>,
    /// That block's hash, where this repository's outbox knows it.
    pub block_hash: Option<ChainBlockHash>,
    /// The extrinsic's place in that block, where this repository's outbox knows it.
    pub extrinsic_index: Option<u32>,
    /// Whether it was anchored before this run.
    pub was_anchored: bool,
}

/// A DAG that was created and that the repository is bound to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DagReceipt {
    /// The binding.
    pub binding: Binding,
    /// The creation's place in its block.
    pub extrinsic_index: u32,
}

/// Declarations in finalized blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclareReceipt {
    /// The stake and all that is declared, as of a finalized block; nothing where there is no stake any more.
    pub standing: Option<StakeStanding>,
    /// How many declarations were signed in this run.
    pub signed: u64,
}

/// A record on the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordReceipt {
    /// The chain's genesis hash.
    pub chain: ChainBlockHash,
    /// The DAG.
    pub dag: DagId,
    /// The block.
    pub block_hash: BlockHash,
    /// Who keeps the record.
    pub depositor: AccountId,
    /// What is held for it.
    pub deposit: Balance,
    /// [`RowState::InBlock`] or [`RowState::Finalized`].
    pub status: RowState,
    /// The chain's block that made it.
    pub block_number: u64,
    /// The extrinsic's place in that block, where this repository's outbox knows it.
    pub extrinsic_index: Option<u32>,
    /// Whether it was there before this run.
    pub was_recorded: bool,
}
