//! The rows of the outbox and of the chain bindings.

use super::ids::{AccountId, ChainBlockHash, ExtrinsicHash};
use pakit_primitives::{
    BlockHash, Head,
    chain::{AnchorNumber, DagId},
};

/// Names a row of the outbox, in the order of preparation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct RowId(pub i64);

/// Names a binding, in the order of binding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct BindingId(pub i64);

/// What an extrinsic is for. Two live extrinsics are never for the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Creates a DAG from this log's genesis.
    CreateDag {
        /// Size 1 and the genesis block.
        head: Head,
        /// The binding that the new DAG goes on from.
        predecessor: Option<BindingId>,
    },
    /// Anchors a head.
    Anchor {
        /// The DAG.
        dag: DagId,
        /// The head.
        head: Head,
        /// Size of the head that the consistency proof starts from: the call only succeeds while that one is the latest.
        base_size: u64,
    },
    /// Has the chain keep a record of one block.
    RecordProof {
        /// The DAG.
        dag: DagId,
        /// The anchor that the inclusion proof is against.
        anchor: AnchorNumber,
        /// That anchor's head.
        head: Head,
        /// The block.
        block_hash: BlockHash,
    },
}

impl Purpose {
    /// `create_dag`, `anchor` or `record_proof`: the name of the pallet's call.
    pub fn call_name(&self) -> &'static str {
        match self {
            Self::CreateDag { .. } => "create_dag",
            Self::Anchor { .. } => "anchor",
            Self::RecordProof { .. } => "record_proof",
        }
    }

    /// The head anchored or proved against.
    pub fn head(&self) -> Head {
        match self {
            Self::CreateDag { head, .. } | Self::Anchor { head, .. } | Self::RecordProof { head, .. } => *head,
        }
    }

    /// The DAG; a creation has none yet.
    pub fn dag(&self) -> Option<DagId> {
        match self {
            Self::CreateDag { .. } => None,
            Self::Anchor { dag, .. } | Self::RecordProof { dag, .. } => Some(*dag),
        }
    }
}

/// How far an extrinsic has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// Signed and durable; no node has said yet that it took it. It may have been sent all the same.
    Prepared,
    /// A node took it into its pool.
    Submitted,
    /// Seen in a block of the best chain, which may still be left behind.
    InBlock,
    /// In a finalized block, and its call succeeded.
    Finalized,
    /// In a finalized block, and its call failed. The fee is paid.
    Failed,
    /// Its era is over at a finalized block and it is in none of the era's blocks: it never was and never will be paid for.
    Expired,
}

impl RowState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Prepared, Self::Submitted, Self::InBlock, Self::Finalized, Self::Failed, Self::Expired];

    /// Whether the extrinsic's fate is still open.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Prepared | Self::Submitted | Self::InBlock)
    }

    /// The word used in answers and progress.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Submitted => "submitted",
            Self::InBlock => "in_block",
            Self::Finalized => "finalized",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    pub(super) fn code(self) -> i64 {
        match self {
            Self::Prepared => 1,
            Self::Submitted => 2,
            Self::InBlock => 3,
            Self::Finalized => 4,
            Self::Failed => 5,
            Self::Expired => 6,
        }
    }

    pub(super) fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// When an extrinsic is valid: in the blocks above `birth` and below `birth + period`, on chains that have `birth_hash` at
/// `birth`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Era {
    /// A finalized block.
    pub birth: u64,
    /// Its hash, which is signed.
    pub birth_hash: ChainBlockHash,
    /// A power of two from 4 to 4096.
    pub period: u64,
}

impl Era {
    /// First block that cannot hold the extrinsic.
    pub fn death(&self) -> u64 {
        self.birth.saturating_add(self.period)
    }

    /// First block that can.
    pub fn first(&self) -> u64 {
        self.birth.saturating_add(1)
    }

    /// Last block that can.
    pub fn last(&self) -> u64 {
        self.death().saturating_sub(1)
    }
}

/// A signed extrinsic.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedExtrinsic {
    /// What is sent, always the same.
    pub bytes: Vec<u8>,
    /// How blocks are searched for it.
    pub hash: ExtrinsicHash,
    /// Who signed and pays.
    pub signer: AccountId,
    /// The signer's count of extrinsics before this one.
    pub nonce: u64,
    /// When it is valid.
    pub era: Era,
}

impl std::fmt::Debug for SignedExtrinsic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedExtrinsic")
            .field("hash", &self.hash)
            .field("bytes", &self.bytes.len())
            .field("signer", &self.signer)
            .field("nonce", &self.nonce)
            .field("era", &self.era)
            .finish()
    }
}

/// Where an extrinsic stands in a chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Placement {
    /// Number of the block.
    pub block_number: u64,
    /// Its hash.
    pub block_hash: ChainBlockHash,
    /// Place among the block's extrinsics.
    pub extrinsic_index: u32,
}

/// How a call ended in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended<'a> {
    /// It succeeded; an anchor got this number.
    Succeeded(Option<AnchorNumber>),
    /// It failed, for this reason.
    Failed(&'a str),
}

/// A row of the outbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// Its name.
    pub id: RowId,
    /// The chain's genesis hash.
    pub chain: ChainBlockHash,
    /// What it is for.
    pub purpose: Purpose,
    /// How far it has come.
    pub state: RowState,
    /// The extrinsic.
    pub signed: SignedExtrinsic,
    /// How often sending it was begun.
    pub attempts: u64,
    /// Why the last sending did not succeed.
    pub last_error: Option<String>,
    /// Where it was last seen; in the states `InBlock`, `Finalized` and `Failed`.
    pub placement: Option<Placement>,
    /// Of a record: the anchor that it is proved against. Of an anchor: its number on the chain, once it is in a block; unless
    /// the node that was asked no longer had that block's state.
    pub anchor_number: Option<AnchorNumber>,
    /// Why its call failed there.
    pub dispatch_error: Option<String>,
    /// When it was prepared, Unix milliseconds.
    pub prepared_at_ms: i64,
    /// When it last changed.
    pub updated_at_ms: i64,
}

/// A row to be written before its extrinsic is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRow {
    /// The chain's genesis hash.
    pub chain: ChainBlockHash,
    /// What it is for.
    pub purpose: Purpose,
    /// The extrinsic.
    pub signed: SignedExtrinsic,
}

/// The DAG on a chain that anchors this log, or did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Its name.
    pub id: BindingId,
    /// The chain's genesis hash.
    pub chain: ChainBlockHash,
    /// The DAG.
    pub dag: DagId,
    /// Who created it.
    pub owner: AccountId,
    /// The finalized block that created it.
    pub created_block_number: u64,
    /// That block's hash.
    pub created_block_hash: ChainBlockHash,
    /// The binding that it goes on from.
    pub predecessor: Option<BindingId>,
    /// Whether heads are anchored to it.
    pub is_current: bool,
    /// Where the chain was last reached.
    pub url: String,
    /// The DAG's latest head as last seen in a finalized block.
    pub seen: Head,
}

/// A binding to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewBinding {
    /// The chain's genesis hash.
    pub chain: ChainBlockHash,
    /// The DAG.
    pub dag: DagId,
    /// Who created it.
    pub owner: AccountId,
    /// The binding that it goes on from.
    pub predecessor: Option<BindingId>,
    /// Where the chain was reached.
    pub url: String,
}
