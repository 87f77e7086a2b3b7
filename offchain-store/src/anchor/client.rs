//! What anchoring needs of a chain: the traits [`Connect`] and [`ChainClient`], and their errors.
//!
//! No type of a client library appears here; the implementation stands beside this file, in [`super::subxt`].

use super::key::SigningKey;
use crate::sqlite::outbox::{
    ids::{AccountId, ChainBlockHash, ExtrinsicHash},
    rows::{Era, SignedExtrinsic},
};
use pakit_primitives::{
    BlockHash, DagStorageProof, Head,
    chain::{AnchorNumber, AnchoredHead, DagId, DagInfo, DepositSubject, Succession},
    hasher::Digest,
    possession::RangeNumber,
};
use std::{future::Future, ops::RangeInclusive, time::Duration};

/// An amount of the chain's currency, in its smallest unit.
pub type Balance = u128;

/// A block of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BlockRef {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: ChainBlockHash,
}

/// The ends of a chain as a node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The last block that cannot be left behind any more.
    pub finalized: BlockRef,
    /// The last block of the best chain.
    pub best: BlockRef,
}

/// Which chain it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainIdentity {
    /// Hash of block 0.
    pub genesis: ChainBlockHash,
    /// Where the node was reached.
    pub url: String,
    /// Name of the runtime.
    pub spec_name: String,
    /// Version of the runtime.
    pub spec_version: u32,
    /// Version of the format of transactions.
    pub transaction_version: u32,
}

/// An account's standing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AccountState {
    /// Count of its extrinsics, those in blocks only.
    pub nonce: u64,
    /// What it can spend on fees and deposits without being removed.
    pub spendable: Balance,
}

/// How a call ended in a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It succeeded.
    Succeeded {
        /// The DAG that was created, if one was.
        created: Option<DagId>,
        /// The number of the anchor, if one was made.
        anchor: Option<AnchorNumber>,
    },
    /// It failed; the fee is paid.
    Failed(CallFailure),
}

/// Why a call failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name}: {explanation}")]
pub struct CallFailure {
    /// Pallet and error, as in `Pakit::NotOwner`.
    pub name: String,
    /// What the runtime's metadata say of it.
    pub explanation: String,
}

/// A call of the pallet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// `create_dag`.
    CreateDag {
        /// Header bytes of genesis.
        genesis_header: Vec<u8>,
        /// What it goes on from.
        succeeds: Option<Succession>,
    },
    /// `anchor`.
    Anchor {
        /// The DAG.
        dag: DagId,
        /// The head.
        new_head: Head,
        /// From the latest anchored head to it.
        consistency: Vec<Digest>,
        /// Header bytes of its last block.
        newest_header: Vec<u8>,
        /// That the last block is in it.
        inclusion: Vec<Digest>,
    },
    /// `record_proof`.
    RecordProof {
        /// The DAG.
        dag: DagId,
        /// The anchor proved against.
        anchor: AnchorNumber,
        /// Header bytes of the block.
        header: Vec<u8>,
        /// That it is in that anchor's head.
        inclusion: Vec<Digest>,
    },
    /// `declare_removed`.
    DeclareRemoved {
        /// The DAG.
        dag: DagId,
        /// The leaves whose contents are let go.
        leaves: RangeInclusive<u64>,
    },
}

/// What a node answered to an extrinsic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Submission {
    /// It is in the node's pool.
    Accepted,
    /// It was there already.
    AlreadyKnown,
    /// The nonce is used up: it may be in a block already, or another extrinsic took its place.
    Stale,
    /// Signature or era do not fit the node's best block: the era is over, the runtime was upgraded since, or the node is
    /// behind.
    NotValidNow,
    /// The signer cannot pay the fee.
    CannotPay,
    /// The node had no room, has put it aside for a while, or prefers another extrinsic with that nonce.
    NotNow,
    /// The runtime does not take such an extrinsic.
    Refused,
}

/// What a chain keeps of a DAG.
pub type ChainDag = DagInfo<AccountId, Balance>;
/// A head a chain keeps.
pub type ChainHead = AnchoredHead<u64>;
/// A record a chain keeps.
pub type ChainRecord = DagStorageProof<AccountId, Balance, u64>;

/// The stake behind a DAG, as far as it matters to what may be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainStake {
    /// What is left of it.
    pub amount: Balance,
    /// The block in which the head of the round under way was frozen.
    pub frozen_at: Option<u64>,
    /// How many ranges of leaves were declared removed, ever. They are numbered from 0.
    pub ranges: RangeNumber,
}

/// Leaves that were declared removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclaredRange {
    /// The leaves.
    pub leaves: RangeInclusive<u64>,
    /// The declaration answers draws of rounds that are frozen from this block on.
    pub effective_at: u64,
}

/// What it takes to declare a removal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemovalTerms {
    /// What is held for each range, for good.
    pub deposit: Balance,
    /// Blocks from a declaration to its effect.
    pub period: u64,
}

/// Reaches a chain, as often as the connection is lost.
pub trait Connect: Send + Sync {
    /// What it gives.
    type Client: ChainClient;

    /// Where it connects to.
    fn url(&self) -> &str;

    /// Connects, and makes sure that the chain has the pallet in a form this program knows.
    fn connect(&self) -> impl Future<Output = Result<Self::Client, ChainError>> + Send;
}

/// A connection to a node of a chain. All answers are the node's: who asks it trusts it.
pub trait ChainClient: Send + Sync {
    /// Which chain it is.
    fn identity(&self) -> &ChainIdentity;

    /// The chain's ends.
    fn ends(&self) -> impl Future<Output = Result<Ends, ChainError>> + Send;

    /// Returns when the node has a new best or finalized block, or after `patience`.
    fn wait_for_block(&self, patience: Duration) -> impl Future<Output = Result<(), ChainError>> + Send;

    /// Hash of the block at that height of the best chain, if it reaches that far.
    fn block_hash(&self, number: u64) -> impl Future<Output = Result<Option<ChainBlockHash>, ChainError>> + Send;

    /// Hashes of a block's extrinsics, in order.
    fn extrinsic_hashes(&self, block: BlockRef) -> impl Future<Output = Result<Vec<ExtrinsicHash>, ChainError>> + Send;

    /// How the extrinsic at that place of a block ended.
    fn outcome(
        &self,
        block: BlockRef,
        extrinsic_index: u32,
    ) -> impl Future<Output = Result<Outcome, ChainError>> + Send;

    /// A DAG, as of a block.
    fn dag(&self, dag: DagId, at: BlockRef) -> impl Future<Output = Result<Option<ChainDag>, ChainError>> + Send;

    /// All heads kept of a DAG, as of a block, in the order of their anchors.
    fn heads_kept(
        &self,
        dag: DagId,
        at: BlockRef,
    ) -> impl Future<Output = Result<Vec<(AnchorNumber, ChainHead)>, ChainError>> + Send;

    /// The record that `depositor` keeps of a block, as of a block of the chain.
    fn record(
        &self,
        dag: DagId,
        block_hash: BlockHash,
        depositor: AccountId,
        at: BlockRef,
    ) -> impl Future<Output = Result<Option<ChainRecord>, ChainError>> + Send;

    /// An account, as of a block.
    fn account(
        &self,
        account: AccountId,
        at: BlockRef,
    ) -> impl Future<Output = Result<AccountState, ChainError>> + Send;

    /// The nonce after those in the best block and in the node's pool.
    fn next_nonce(&self, account: AccountId) -> impl Future<Output = Result<u64, ChainError>> + Send;

    /// What would be held for a DAG or a record.
    fn deposit_for(
        &self,
        subject: DepositSubject,
        at: BlockRef,
    ) -> impl Future<Output = Result<Balance, ChainError>> + Send;

    /// The stake behind a DAG, as of a block; none on a chain whose pallet knows no stakes.
    fn stake_behind(
        &self,
        dag: DagId,
        at: BlockRef,
    ) -> impl Future<Output = Result<Option<ChainStake>, ChainError>> + Send;

    /// One of the ranges that were declared removed of a DAG, as of a block.
    fn removed_range(
        &self,
        dag: DagId,
        range: RangeNumber,
        at: BlockRef,
    ) -> impl Future<Output = Result<Option<DeclaredRange>, ChainError>> + Send;

    /// What it takes to declare a removal, as of a block. Of a chain whose pallet knows stakes.
    fn removal_terms(&self, at: BlockRef) -> impl Future<Output = Result<RemovalTerms, ChainError>> + Send;

    /// The fee of a signed extrinsic, as of a block.
    fn fee(&self, bytes: &[u8], at: BlockRef) -> impl Future<Output = Result<Balance, ChainError>> + Send;

    /// Signs a call by the runtime of a block. Sends nothing.
    fn sign(
        &self,
        call: &Call,
        key: &SigningKey,
        nonce: u64,
        era: Era,
        at: BlockRef,
    ) -> impl Future<Output = Result<SignedExtrinsic, ChainError>> + Send;

    /// Sends an extrinsic's bytes to the node's pool.
    fn submit(&self, bytes: &[u8]) -> impl Future<Output = Result<Submission, ChainError>> + Send;
}

/// Why a chain could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Not a URL a node can have.
    #[error("{url} is not the URL of a node: use ws://127.0.0.1:9944 or wss://host")]
    BadUrl {
        /// The URL.
        url: String,
    },
    /// An unencrypted connection to another machine, on which anybody on the way could lie about the chain.
    #[error("{url} is not encrypted: use wss:// for a node on another machine")]
    InsecureUrl {
        /// The URL.
        url: String,
    },
    /// No node answers there.
    #[error("no node answers at {url}: {reason}")]
    NoNode {
        /// The URL.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// The node was there and is gone.
    #[error("the connection to the node was lost: {reason}")]
    ConnectionLost {
        /// What the connection said.
        reason: String,
    },
    /// The node takes too long.
    #[error("the node did not answer {method} within {seconds} seconds")]
    Timeout {
        /// What was asked.
        method: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The node refuses a question that every node answers.
    #[error("the node refused {method}: {reason}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// What the node said.
        reason: String,
    },
    /// The chain has no pallet of that name.
    #[error("the chain {spec_name} has no pallet Pakit")]
    PalletMissing {
        /// Name of the chain's runtime.
        spec_name: String,
    },
    /// The chain's pallet or runtime is of another form.
    #[error("the runtime {spec_name} {spec_version} does not fit this program: {misfit}")]
    Incompatible {
        /// Name of the chain's runtime.
        spec_name: String,
        /// Its version.
        spec_version: u32,
        /// What does not fit.
        misfit: String,
    },
    /// The node does not have the block any more, or not yet.
    #[error("the node does not have block {number}; a node that keeps all blocks is needed")]
    BlockUnavailable {
        /// The block's number.
        number: u64,
    },
    /// The node does not have the block's state any more.
    #[error("the node no longer has the state at block {number}; an archive node is needed")]
    StateUnavailable {
        /// The block's number.
        number: u64,
    },
    /// The node's answers contradict each other, as they do while it changes chains.
    #[error("the node's answers do not fit together: {0}")]
    Inconsistent(&'static str),
}

impl ChainError {
    /// Whether the same question may be answered later, on a new connection.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoNode { .. } | Self::ConnectionLost { .. } | Self::Timeout { .. } | Self::Inconsistent(_))
    }
}
