//! Branches on demand: blocks on any block, that hold what they are told to and nothing of the pool.
//!
//! The engine's own `engine_createBlock` takes a parent too, but what it puts into a block depends on what the pool has at
//! hand for that parent at that moment. A test of a fork has to say what is in either branch.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use codec::{DecodeAll, Encode};
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned, Params};
use sc_block_builder::BlockBuilderBuilder;
use sc_consensus::{BlockImport, BlockImportParams, ForkChoiceStrategy, ImportResult, StateAction, StorageChanges};
use sp_blockchain::{HeaderBackend, tree_route};
use sp_consensus::BlockOrigin;
use sp_core::Bytes;
use sp_inherents::InherentData;
use sp_runtime::{Digest, DigestItem, OpaqueExtrinsic, traits::Block as _};
use sp_timestamp::Timestamp;

use crate::service::{Block, Client, Hash};

/// Most blocks that one call makes.
const BLOCKS_MAX: u32 = 1_024;
/// Code of every error of `engine_createBranch`; the engine's own are multiples of 1,000 up to 20,000.
const ERROR_CODE: i32 = 21_000;
/// Under which name a block's digest holds its mark.
const MARK_ENGINE: [u8; 4] = *b"brch";

/// Blocks made so far. It marks them: two with the same parent, extrinsics and millisecond would be one block otherwise.
static MARKS: AtomicU64 = AtomicU64::new(0);

/// Why there is no branch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BranchError {
    /// The arguments are not what they should be.
    #[error("engine_createBranch takes a block's hash or null, a number of blocks, and extrinsics in hex: {}", said(.0))]
    Arguments(#[source] ErrorObjectOwned),
    /// None, or too many.
    #[error("a branch has from 1 to {BLOCKS_MAX} blocks, not {0}")]
    Length(u32),
    /// Bytes that are no extrinsic, with their place.
    #[error("extrinsic {index} of the list is none: {source}")]
    NotAnExtrinsic { index: usize, source: codec::Error },
    /// No such parent.
    #[error("there is no block {0:?}")]
    UnknownParent(Hash),
    /// The parent is not the last finalized block, nor above it.
    #[error(
        "block {parent:?} is neither the finalized block {finalized:?}, which no fork can leave behind, nor above it"
    )]
    BesideFinalized { parent: Hash, finalized: Hash },
    /// The runtime does not take the extrinsic at that place in the list. No block was made.
    #[error("the runtime refuses extrinsic {index} of the list there: {}", first_line(source))]
    Refused { index: usize, source: sp_blockchain::Error },
    /// The block could not be built.
    #[error("the block could not be built: {0}")]
    Build(#[from] sp_blockchain::Error),
    /// There is no time for it.
    #[error("the block's inherents could not be made: {0}")]
    Inherents(#[from] sp_inherents::Error),
    /// The client does not take the block. Those below it stay.
    #[error("the block was not imported: {0}")]
    Import(#[from] sp_consensus::Error),
    /// The client has it, or does not want it. Those below it stay.
    #[error("the block was not imported: {0:?}")]
    NotImported(ImportResult),
}

/// What does not fit, in the words of who found out.
fn said(error: &ErrorObjectOwned) -> &str {
    error.data().map_or(error.message(), |data| data.get())
}

/// Without the trace of a runtime that trapped.
fn first_line(error: &sp_blockchain::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

impl From<BranchError> for ErrorObjectOwned {
    fn from(error: BranchError) -> Self {
        ErrorObject::owned(ERROR_CODE, error.to_string(), None::<()>)
    }
}

/// `engine_createBranch(PARENT|null, BLOCKS, [EXTRINSIC, ...])`: the hashes of the new blocks, in their order. All extrinsics
/// are in the first one. The branch is the best chain if it is longer than what was.
pub(crate) fn create(parameters: &Params<'_>, client: &Arc<Client>) -> Result<Vec<Hash>, BranchError> {
    let (parent, blocks, extrinsics) = arguments(parameters)?;
    if !(1..=BLOCKS_MAX).contains(&blocks) {
        return Err(BranchError::Length(blocks));
    }
    let decoded = extrinsics.iter().enumerate().map(|(index, bytes)| {
        OpaqueExtrinsic::decode_all(&mut &bytes[..]).map_err(|source| BranchError::NotAnExtrinsic { index, source })
    });
    let mut extrinsics = decoded.collect::<Result<Vec<_>, _>>()?;
    let mut parent = parent.unwrap_or_else(|| client.info().best_hash);
    check_parent(client, parent)?;
    let mut hashes = Vec::new();
    for _ in 0..blocks {
        parent = add_block(client, parent, std::mem::take(&mut extrinsics))?;
        hashes.push(parent);
    }
    Ok(hashes)
}

/// Parent, number of blocks, extrinsics.
fn arguments(parameters: &Params<'_>) -> Result<(Option<Hash>, u32, Vec<Bytes>), BranchError> {
    let mut sequence = parameters.sequence();
    let parent = sequence.next::<Option<Hash>>().map_err(BranchError::Arguments)?;
    let blocks = sequence.next::<u32>().map_err(BranchError::Arguments)?;
    let extrinsics = sequence.optional_next::<Vec<Bytes>>().map_err(BranchError::Arguments)?;
    Ok((parent, blocks, extrinsics.unwrap_or_default()))
}

/// The client would take a block beside the finalized chain and refuse the one that makes its branch the best: better to
/// hear it at the first.
fn check_parent(client: &Client, parent: Hash) -> Result<(), BranchError> {
    if client.header(parent)?.is_none() {
        return Err(BranchError::UnknownParent(parent));
    }
    let finalized = client.info().finalized_hash;
    if tree_route(client, finalized, parent)?.retracted().is_empty() {
        Ok(())
    } else {
        Err(BranchError::BesideFinalized { parent, finalized })
    }
}

/// Builds one block and imports it.
fn add_block(client: &Arc<Client>, parent: Hash, extrinsics: Vec<OpaqueExtrinsic>) -> Result<Hash, BranchError> {
    let params = build(client, parent, extrinsics)?;
    let hash = params.header.hash();
    match futures::executor::block_on(client.import_block(params))? {
        ImportResult::Imported(_) => Ok(hash),
        other => Err(BranchError::NotImported(other)),
    }
}

fn build(
    client: &Arc<Client>,
    parent: Hash,
    extrinsics: Vec<OpaqueExtrinsic>,
) -> Result<BlockImportParams<Block>, BranchError> {
    let mark = MARKS.fetch_add(1, Ordering::Relaxed);
    let digest = Digest { logs: vec![DigestItem::PreRuntime(MARK_ENGINE, mark.encode())] };
    let mut builder = BlockBuilderBuilder::new(&**client)
        .on_parent_block(parent)
        .fetch_parent_block_number(&**client)?
        .with_inherent_digests(digest)
        .build()?;
    let mut data = InherentData::new();
    data.put_data(sp_timestamp::INHERENT_IDENTIFIER, &Timestamp::current())?;
    for inherent in builder.create_inherents(data)? {
        builder.push(inherent)?;
    }
    for (index, extrinsic) in extrinsics.into_iter().enumerate() {
        builder.push(extrinsic).map_err(|source| BranchError::Refused { index, source })?;
    }
    let (block, changes) = builder.build()?.into_inner();
    let (header, body) = block.deconstruct();
    let mut params = BlockImportParams::new(BlockOrigin::Own, header);
    params.body = Some(body);
    params.fork_choice = Some(ForkChoiceStrategy::LongestChain);
    params.state_action = StateAction::ApplyChanges(StorageChanges::Changes(changes));
    Ok(params)
}
