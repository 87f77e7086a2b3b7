//! The pallet's arguments and answers, field by field under their names: what the metadata of a chain's runtime say about
//! order and width decides how they are encoded. A later runtime may add fields to an answer.

use crate::{
    anchor::client::{AccountState, Balance, ChainDag, ChainHead, ChainRecord, ChainStake, DeclaredRange},
    sqlite::outbox::ids::AccountId,
};
use pakit_primitives::{
    BlockHash, Compression, ContentHash, DagStorageProof, Head, LogRoot,
    chain::{AnchoredHead, DagInfo, DepositSubject, Succession},
    hasher::Digest,
};
use std::ops::RangeInclusive;
use subxt::{
    ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsType},
    utils::AccountId32,
};

#[derive(EncodeAsType, DecodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct HeadShape {
    size: u64,
    root: Digest,
}

impl HeadShape {
    fn into_head(self) -> Head {
        Head { size: self.size, root: LogRoot::new(self.root) }
    }
}

impl From<&Head> for HeadShape {
    fn from(head: &Head) -> Self {
        Self { size: head.size, root: head.root.to_bytes() }
    }
}

#[derive(EncodeAsType, DecodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct SuccessionShape {
    dag: u32,
    size: u64,
    root: Digest,
}

impl SuccessionShape {
    fn into_succession(self) -> Succession {
        Succession { dag: self.dag, size: self.size, root: LogRoot::new(self.root) }
    }
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub(super) struct CreateDagCall {
    genesis_header: Vec<u8>,
    succeeds: Option<SuccessionShape>,
}

impl CreateDagCall {
    pub(super) fn new(genesis_header: &[u8], succeeds: &Option<Succession>) -> Self {
        let succeeds = succeeds.as_ref().map(|succession| SuccessionShape {
            dag: succession.dag,
            size: succession.size,
            root: succession.root.to_bytes(),
        });
        Self { genesis_header: genesis_header.to_vec(), succeeds }
    }
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub(super) struct AnchorCall {
    dag: u32,
    new_head: HeadShape,
    consistency: Vec<Digest>,
    newest_header: Vec<u8>,
    inclusion: Vec<Digest>,
}

impl AnchorCall {
    pub(super) fn new(
        dag: u32,
        new_head: &Head,
        consistency: &[Digest],
        newest_header: &[u8],
        inclusion: &[Digest],
    ) -> Self {
        Self {
            dag,
            new_head: new_head.into(),
            consistency: consistency.to_vec(),
            newest_header: newest_header.to_vec(),
            inclusion: inclusion.to_vec(),
        }
    }
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub(super) struct RecordProofCall {
    dag: u32,
    anchor: u64,
    header: Vec<u8>,
    inclusion: Vec<Digest>,
}

impl RecordProofCall {
    pub(super) fn new(dag: u32, anchor: u64, header: &[u8], inclusion: &[Digest]) -> Self {
        Self { dag, anchor, header: header.to_vec(), inclusion: inclusion.to_vec() }
    }
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub(super) struct DeclareRemovedCall {
    dag: u32,
    first: u64,
    last: u64,
}

impl DeclareRemovedCall {
    pub(super) fn new(dag: u32, leaves: &RangeInclusive<u64>) -> Self {
        Self { dag, first: *leaves.start(), last: *leaves.end() }
    }
}

#[derive(EncodeAsType)]
#[encode_as_type(crate_path = "subxt::ext::scale_encode")]
pub(super) enum SubjectIn {
    Dag { operators: u32 },
    Record,
}

impl From<DepositSubject> for SubjectIn {
    fn from(subject: DepositSubject) -> Self {
        match subject {
            DepositSubject::Dag { operators } => Self::Dag { operators },
            DepositSubject::Record => Self::Record,
        }
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct DagOut {
    owner: AccountId32,
    operators: Vec<AccountId32>,
    pending_owner: Option<AccountId32>,
    genesis: Digest,
    anchors: u64,
    latest: HeadShape,
    retired: bool,
    succeeds: Option<SuccessionShape>,
    successor: Option<u32>,
    deposit: Balance,
}

impl DagOut {
    pub(super) fn into_dag(self) -> ChainDag {
        DagInfo {
            owner: AccountId::new(self.owner.0),
            operators: self.operators.into_iter().map(|account| AccountId::new(account.0)).collect(),
            pending_owner: self.pending_owner.map(|account| AccountId::new(account.0)),
            genesis: BlockHash::new(self.genesis),
            anchors: self.anchors,
            latest: self.latest.into_head(),
            retired: self.retired,
            succeeds: self.succeeds.map(SuccessionShape::into_succession),
            successor: self.successor,
            deposit: self.deposit,
        }
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct AnchoredHeadOut {
    head: HeadShape,
    depth: u32,
    slices: u64,
    block_number: u64,
}

impl AnchoredHeadOut {
    pub(super) fn into_head(self) -> ChainHead {
        AnchoredHead {
            head: self.head.into_head(),
            depth: self.depth,
            slices: self.slices,
            block_number: self.block_number,
        }
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct StakeOut {
    amount: Balance,
    frozen: Option<(HeadShape, u64, u64)>,
    ranges: u32,
}

impl StakeOut {
    pub(super) fn into_stake(self) -> ChainStake {
        let frozen_at = self.frozen.map(|(_, _, frozen_at)| frozen_at);
        ChainStake { amount: self.amount, frozen_at, ranges: self.ranges }
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct RemovedRangeOut {
    first: u64,
    last: u64,
    effective_at: u64,
}

impl RemovedRangeOut {
    pub(super) fn into_range(self) -> DeclaredRange {
        DeclaredRange { leaves: self.first..=self.last, effective_at: self.effective_at }
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
enum CompressionOut {
    None,
    Zstd,
    Lz4,
    Gzip,
    Brotli,
}

impl From<CompressionOut> for Compression {
    fn from(compression: CompressionOut) -> Self {
        match compression {
            CompressionOut::None => Self::None,
            CompressionOut::Zstd => Self::Zstd,
            CompressionOut::Lz4 => Self::Lz4,
            CompressionOut::Gzip => Self::Gzip,
            CompressionOut::Brotli => Self::Brotli,
        }
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct RecordOut {
    block_hash: Digest,
    merkle_root: Digest,
    size: u64,
    leaf_index: u64,
    depth: u32,
    parent_count: u8,
    size_original: u64,
    size_compressed: u64,
    compression_algo: CompressionOut,
    content_hash: Digest,
    timestamp: u64,
    depositor: AccountId32,
    deposit: Balance,
}

impl RecordOut {
    pub(super) fn into_record(self) -> ChainRecord {
        DagStorageProof {
            block_hash: BlockHash::new(self.block_hash),
            merkle_root: LogRoot::new(self.merkle_root),
            size: self.size,
            leaf_index: self.leaf_index,
            depth: self.depth,
            parent_count: self.parent_count,
            size_original: self.size_original,
            size_compressed: self.size_compressed,
            compression_algo: self.compression_algo.into(),
            content_hash: ContentHash::new(self.content_hash),
            timestamp: self.timestamp,
            depositor: AccountId::new(self.depositor.0),
            deposit: self.deposit,
        }
    }
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct DagCreatedOut {
    pub(super) dag: u32,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct AnchoredOut {
    pub(super) anchor: u64,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct BalancesOut {
    free: Balance,
    reserved: Balance,
    frozen: Balance,
}

#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct AccountOut {
    nonce: u64,
    data: BalancesOut,
}

impl AccountOut {
    /// What is frozen may lie on top of what is held; an account below the existential deposit would be removed.
    pub(super) fn into_state(self, existential_deposit: Balance) -> AccountState {
        let kept = self.data.frozen.saturating_sub(self.data.reserved).max(existential_deposit);
        AccountState { nonce: self.nonce, spendable: self.data.free.saturating_sub(kept) }
    }
}
