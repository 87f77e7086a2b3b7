//! Why heads were not anchored, DAGs not created and records not made.

use super::{
    client::{Balance, CallFailure, ChainError},
    key::KeyError,
};
use crate::{
    backend::BackendError,
    log::LogReadError,
    sqlite::outbox::{
        OutboxError,
        ids::{AccountId, ChainBlockHash},
        rows::RowState,
    },
};
use pakit_primitives::{
    BlockHash, Head,
    chain::{DagId, VerifyError},
};
use std::path::PathBuf;

/// Why something that costs a fee was not done, or is not known to be done. What was signed before stays in the outbox
/// and is taken up again by the next run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// The repository could not be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// The outbox could not be read or written.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The chain could not be asked.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The lock file cannot be used.
    #[error("{}: {source}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process is at it.
    #[error("another process is anchoring this repository ({} is locked)", path.display())]
    AnchoringElsewhere {
        /// The lock file.
        path: PathBuf,
    },
    /// A setting that cannot be used.
    #[error("the era's period of {0} blocks is not a power of two from 4 to 4096")]
    BadEraPeriod(u64),
    /// The log has no block.
    #[error("the log is empty: there is nothing to anchor")]
    EmptyLog,
    /// The repository is not bound to a DAG.
    #[error("this repository has no DAG on a chain yet; run pakit dag create")]
    NotBound,
    /// The repository is bound to a DAG already.
    #[error(
        "this repository is anchored by DAG {dag} on the chain {chain} already; to go on with another DAG, run pakit dag succeed"
    )]
    AlreadyBound {
        /// The chain's genesis hash.
        chain: ChainBlockHash,
        /// The DAG.
        dag: DagId,
    },
    /// A creation on another chain is still on its way.
    #[error("a DAG of this repository is being created on the chain {chain}; run pakit dag create there to its end")]
    CreatingElsewhere {
        /// The chain's genesis hash.
        chain: ChainBlockHash,
    },
    /// Another chain than the one the repository is bound to.
    #[error("{url} is a node of the chain {found}; this repository's DAG is on the chain {expected}")]
    WrongChain {
        /// Where the node is.
        url: String,
        /// Genesis hash of the repository's chain.
        expected: ChainBlockHash,
        /// Genesis hash of the node's chain.
        found: ChainBlockHash,
    },
    /// The same genesis, and another history: a development chain that was started anew, as a rule.
    #[error(
        "the chain has another block {number} than the one this repository knows as finalized: it has the same genesis \
         and another history, as a development chain has that was started anew"
    )]
    DifferentHistory {
        /// Number of the block.
        number: u64,
    },
    /// The chain has no such DAG.
    #[error("the chain has no DAG {0}")]
    DagUnknown(DagId),
    /// The DAG begins with another block.
    #[error(
        "DAG {dag} begins with block {found}, this repository with {expected}: it is the DAG of another repository"
    )]
    WrongGenesis {
        /// The DAG.
        dag: DagId,
        /// The repository's genesis.
        expected: BlockHash,
        /// The DAG's genesis.
        found: BlockHash,
    },
    /// The key may not anchor to the DAG.
    #[error("{account} may not anchor to DAG {dag}: it belongs to {owner}")]
    NotOwnerNorOperator {
        /// The key's account.
        account: AccountId,
        /// The DAG.
        dag: DagId,
        /// Who owns it.
        owner: AccountId,
    },
    /// The key may not do what only an owner may: name a successor, declare a removal.
    #[error("{account} may not name a successor of DAG {dag}, nor declare removals: it belongs to {owner}")]
    NotOwner {
        /// The key's account.
        account: AccountId,
        /// The DAG.
        dag: DagId,
        /// Who owns it.
        owner: AccountId,
    },
    /// The DAG is retired.
    #[error("DAG {0} is retired: nothing can be anchored to it any more")]
    Retired(DagId),
    /// Another DAG goes on from the DAG.
    #[error("DAG {successor} goes on from DAG {dag} already")]
    AlreadySucceeded {
        /// The DAG.
        dag: DagId,
        /// Its successor.
        successor: DagId,
    },
    /// The log extends the DAG, which is not retired: there is nothing to go on from.
    #[error("this log extends DAG {0} as it is: run pakit anchor; a successor is for a log that does not")]
    NothingToSucceed(DagId),
    /// The log does not extend what was anchored.
    #[error(transparent)]
    NotExtending(#[from] Box<NotExtending>),
    /// The DAG has no kept head that this log contains, not even its genesis.
    #[error("no head that the chain keeps of DAG {0} is in this log: it is the DAG of another repository")]
    NoCommonHead(DagId),
    /// The log's own proof does not convince: the repository is damaged.
    #[error("the repository is damaged: its own proof of the head does not hold: {0}")]
    OwnProofFails(VerifyError),
    /// The block is in no repository.
    #[error("there is no block {0} in the repository")]
    BlockUnknown(BlockHash),
    /// The block is under no anchored head.
    #[error(
        "block {block} is number {leaf_index}, and the DAG is anchored up to {size} blocks; run pakit anchor first"
    )]
    NotAnchored {
        /// The block.
        block: BlockHash,
        /// Its place in the log.
        leaf_index: u64,
        /// Size of the anchored head.
        size: u64,
    },
    /// The signer cannot pay.
    #[error("{account} has {spendable} to spend and needs {needed} for fee and deposit")]
    InsufficientBalance {
        /// The signer.
        account: AccountId,
        /// What it has.
        spendable: Balance,
        /// What it needs.
        needed: Balance,
    },
    /// An extrinsic born in the last finalized block would be dead before it could be included.
    #[error(
        "finality lags: block {finalized} is finalized and {best} is best, more than an era of {period} blocks leaves room \
         for; wait, or use a longer era"
    )]
    FinalityLags {
        /// Last finalized block.
        finalized: u64,
        /// Best block.
        best: u64,
        /// Blocks an extrinsic is valid for.
        period: u64,
    },
    /// Too much is on its way already.
    #[error("{0} extrinsics are on their way already; wait for some of them")]
    TooManyInFlight(usize),
    /// The call failed in a block. The fee is paid.
    #[error("the call {call} failed in block {block_number}: {failure}")]
    CallFailed {
        /// The pallet's call.
        call: &'static str,
        /// Where.
        block_number: u64,
        /// Why.
        failure: CallFailure,
    },
    /// A node refuses the extrinsic for a reason that time does not mend.
    #[error("the node refuses the extrinsic of {call}: its runtime does not take it")]
    RefusedByNode {
        /// The pallet's call.
        call: &'static str,
    },
    /// A chain that tells of more declarations than anybody pays deposits for.
    #[error("the chain tells of {0} ranges of DAG {1} that were declared removed, more than this program reads")]
    TooManyRanges(u32, DagId),
    /// Leaves that no anchored head covers cannot be declared.
    #[error(
        "block {leaf_index} of the log is to be declared removed, and DAG {dag} is anchored, finally, up to {size} blocks; run \
         pakit anchor --watch first"
    )]
    NotAnchoredYet {
        /// The DAG.
        dag: DagId,
        /// The last of the leaves.
        leaf_index: u64,
        /// Size of the anchored head in the finalized block.
        size: u64,
    },
    /// Declarations are in finalized blocks, again and again, and have declared nothing.
    #[error(
        "the declarations for DAG {dag} were included {tries} times and have failed; pakit dag show tells who owns it"
    )]
    NotDeclared {
        /// The DAG.
        dag: DagId,
        /// How often they were signed.
        tries: u32,
    },
    /// Time is up. What was signed is in the outbox.
    #[error("not {goal} within {seconds} seconds ({}){}",
        state.map_or("nothing was signed", RowState::as_str),
        last_error.as_ref().map(|error| format!("; the last error was: {error}")).unwrap_or_default())]
    DeadlineOver {
        /// What was waited for.
        goal: &'static str,
        /// How long.
        seconds: u64,
        /// How far the extrinsic has come.
        state: Option<RowState>,
        /// Why it went no further.
        last_error: Option<String>,
    },
}

/// A log that does not extend what was anchored of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the log does not extend the head that is anchored on the chain: DAG {dag} has size {} and root {}, this log has size \
     {} and {}. The repository is an old copy, or its history was changed. Nothing was anchored; if this copy is to be gone \
     on with, pakit dag succeed starts a new DAG that names this one",
    anchored.size,
    anchored.root,
    log.size,
    at_anchored_size.map_or("does not reach that size".to_owned(), |head| format!("at that size root {}", head.root))
)]
pub struct NotExtending {
    /// The DAG.
    pub dag: DagId,
    /// The chain's latest head.
    pub anchored: Head,
    /// The log's head.
    pub log: Head,
    /// The log's head at the anchored size, if it reaches that far.
    pub at_anchored_size: Option<Head>,
}
