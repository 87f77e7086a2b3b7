//! What is answered in one piece: status, heads, blocks, proofs.

use super::{
    Shared,
    answers::{self, Challenge},
    problem::{Name, Problem},
};
use crate::{
    anchor::{anchor_reference, newest_anchor},
    block::DagBlock,
    challenge,
    engine::ProofOptions,
    json::BlockJson,
};
use axum::{
    body::Body,
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
    http::{HeaderValue, header},
    response::Response,
};
use codec::Encode;
use pakit_primitives::{BlockHash, Head};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";

type Answer = Result<Response, Problem>;
type Params<T> = Result<Query<T>, QueryRejection>;

/// An answer in one piece.
pub(super) fn answer(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // Anything but a content changes with the log, or is cheap.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn json(value: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(value).map_err(|error| Problem::failed(&error))?;
    Ok(answer(JSON, text))
}

/// The parameters behind the question mark. What is unknown is refused: it would be a misspelt one.
pub(super) fn params<T>(query: Params<T>) -> Result<T, Problem> {
    query.map(|Query(params)| params).map_err(|error| Problem::new(Name::BadParameter).with_detail(error.body_text()))
}

/// The block that a path names.
pub(super) fn block_hash(path: Result<Path<String>, PathRejection>) -> Result<BlockHash, Problem> {
    let bad = || Problem::new(Name::BadBlockHash);
    let Path(text) = path.map_err(|_| bad())?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let mut hash = [0; 32];
    let is_lower = !digits.bytes().any(|byte| byte.is_ascii_uppercase());
    match is_lower && hex::decode_to_slice(digits, &mut hash).is_ok() {
        true => Ok(BlockHash::new(hash)),
        false => Err(bad()),
    }
}

impl Shared {
    pub(super) fn block(&self, block_hash: &BlockHash) -> Result<Arc<DagBlock>, Problem> {
        self.engine.block(block_hash)?.ok_or_else(|| Problem::new(Name::UnknownBlock))
    }
}

#[derive(Serialize)]
struct HeadJson {
    size: u64,
    root: String,
}

impl From<Head> for HeadJson {
    fn from(head: Head) -> Self {
        Self { size: head.size, root: head.root.to_string() }
    }
}

#[derive(Serialize)]
struct StatusJson {
    version: &'static str,
    name: String,
    strategy: String,
    size: u64,
    root: String,
    dag: Option<BindingJson>,
    blocks_anchored: u64,
    blocks_finalized: u64,
}

#[derive(Serialize)]
struct BindingJson {
    chain: String,
    dag: u32,
    owner: String,
}

pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Answer {
    let status = shared.ask(|shared| {
        let engine = &shared.engine;
        let head = engine.head()?;
        let (dag, (blocks_anchored, blocks_finalized)) = match &shared.outbox {
            Some(outbox) => (outbox.current_binding()?, outbox.anchored_sizes()?),
            None => (None, (0, 0)),
        };
        Ok(StatusJson {
            version: env!("CARGO_PKG_VERSION"),
            name: engine.name()?,
            strategy: engine.strategy()?.to_string(),
            size: head.size,
            root: head.root.to_string(),
            dag: dag.map(|binding| BindingJson {
                chain: binding.chain.to_string(),
                dag: binding.dag,
                owner: binding.owner.to_string(),
            }),
            blocks_anchored,
            blocks_finalized,
        })
    });
    json(&status.await?)
}

/// Which head is meant; without a size, the present one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadParams {
    size: Option<u64>,
}

async fn find_head(shared: &Arc<Shared>, query: Params<HeadParams>) -> Result<Head, Problem> {
    let HeadParams { size } = params(query)?;
    shared
        .ask(move |shared| match size {
            Some(size) => Ok(shared.engine.log().head_at(size)?),
            None => Ok(shared.engine.head()?),
        })
        .await
}

pub(super) async fn head(State(shared): State<Arc<Shared>>, query: Params<HeadParams>) -> Answer {
    json(&HeadJson::from(find_head(&shared, query).await?))
}

/// In SCALE, for whoever has no reader for JSON: 8 bytes of size, little endian, and the root.
pub(super) async fn raw_head(State(shared): State<Arc<Shared>>, query: Params<HeadParams>) -> Answer {
    Ok(answer(BYTES, find_head(&shared, query).await?.encode()))
}

/// The keys are those of `pakit show --json`.
pub(super) async fn block(State(shared): State<Arc<Shared>>, path: Result<Path<String>, PathRejection>) -> Answer {
    let block_hash = block_hash(path)?;
    let found = shared.ask(move |shared| {
        let block = shared.block(&block_hash)?;
        let payload = shared.engine.backend().payload(&block.header().content_hash)?;
        Ok(BlockJson::new(&block, payload.is_some_and(|info| info.is_kept)))
    });
    json(&found.await?)
}

/// The header's bytes: what the block hash is the hash of.
pub(super) async fn header(State(shared): State<Arc<Shared>>, path: Result<Path<String>, PathRejection>) -> Answer {
    let block_hash = block_hash(path)?;
    let bytes = shared.ask(move |shared| Ok(shared.block(&block_hash)?.header().to_bytes()));
    Ok(answer(BYTES, bytes.await?))
}

/// What a proof is to show.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofParams {
    size: Option<u64>,
    consistent_with: Option<u64>,
    #[serde(default)]
    lineage: bool,
}

/// The same document that `pakit prove` makes.
pub(super) async fn proof(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    query: Params<ProofParams>,
) -> Answer {
    let (block_hash, params) = (block_hash(path)?, params(query)?);
    let document = shared.ask(move |shared| {
        let block = shared.block(&block_hash)?;
        let anchored = match &shared.outbox {
            Some(outbox) => newest_anchor(outbox, block.leaf_index(), params.size)?,
            None => None,
        };
        let size = params.size.or(anchored.as_ref().map(|row| row.purpose.head().size));
        let options = ProofOptions { size, consistent_with: params.consistent_with, lineage: params.lineage };
        let mut document = shared.engine.prove(&block, &options)?;
        document.anchor = anchored.as_ref().and_then(anchor_reference);
        Ok(document.to_json())
    });
    Ok(answer(JSON, document.await?))
}

/// The sizes that a consistency proof is between; without `to`, the log's present one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsistencyParams {
    from: u64,
    to: Option<u64>,
}

#[derive(Serialize)]
struct ConsistencyJson {
    from: HeadJson,
    to: HeadJson,
    path: Vec<String>,
}

pub(super) async fn consistency(State(shared): State<Arc<Shared>>, query: Params<ConsistencyParams>) -> Answer {
    let ConsistencyParams { from, to } = params(query)?;
    let proof = shared.ask(move |shared| {
        let log = shared.engine.log();
        let to = match to {
            Some(to) => to,
            None => shared.engine.backend().totals()?.blocks,
        };
        let path = log.consistency(from, to)?;
        Ok(ConsistencyJson {
            from: log.head_at(from)?.into(),
            to: log.head_at(to)?.into(),
            path: path.iter().map(|hash| format!("0x{}", hex::encode(hash))).collect(),
        })
    });
    json(&proof.await?)
}

/// Which slice is to be shown: of the log of this size, the one at this place among all of its blocks' slices.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChallengeParams {
    size: u64,
    position: u64,
}

/// The answer to a possession challenge, in SCALE, as an off-chain worker submits it.
pub(super) async fn challenge(State(shared): State<Arc<Shared>>, query: Params<ChallengeParams>) -> Answer {
    let ChallengeParams { size, position } = params(query)?;
    let bytes = answers::answer(&shared, Challenge { size, position }).await?;
    shared.metrics.challenges_answered.inc();
    Ok(answer(BYTES, bytes))
}

/// The block that a challenge falls on, in SCALE: what is asked for when its content was declared removed.
pub(super) async fn drawn_block(State(shared): State<Arc<Shared>>, query: Params<ChallengeParams>) -> Answer {
    let ChallengeParams { size, position } = params(query)?;
    let bytes = shared
        .ask(move |shared| Ok(challenge::drawn_block(shared.engine.backend().as_ref(), size, position)?.encode()));
    Ok(answer(BYTES, bytes.await?))
}
