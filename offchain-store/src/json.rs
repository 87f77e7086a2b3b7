//! What is told of blocks as JSON: on the command line and over HTTP with the same keys.

use crate::{block::DagBlock, compress};
use serde::Serialize;

/// A parent.
#[derive(Serialize)]
pub(crate) struct ParentJson {
    leaf_index: u64,
    block: String,
}

/// Every field of a block's header, and what follows from it.
#[derive(Serialize)]
pub(crate) struct BlockJson {
    block: String,
    leaf_index: u64,
    parents: Vec<ParentJson>,
    depth: u32,
    timestamp_ms: u64,
    slices_before: u64,
    content_hash: String,
    cid: String,
    codec: u32,
    original_size: u64,
    stored_size: u64,
    compression: &'static str,
    compression_code: u8,
    metadata_hash: String,
    /// The header's bytes.
    header: String,
    /// Whether the content is still there.
    kept: bool,
}

impl BlockJson {
    pub(crate) fn new(block: &DagBlock, kept: bool) -> Self {
        let header = block.header();
        let parents = header.parents.iter();
        Self {
            block: block.block_hash().to_string(),
            leaf_index: header.leaf_index,
            parents: parents
                .map(|parent| ParentJson { leaf_index: parent.leaf_index, block: parent.block_hash.to_string() })
                .collect(),
            depth: header.depth,
            timestamp_ms: header.timestamp_ms,
            slices_before: header.slices_before,
            content_hash: header.content_hash.to_string(),
            cid: block.cid().to_string(),
            codec: header.codec,
            original_size: header.original_size,
            stored_size: header.stored_size,
            compression: compress::name(header.compression),
            compression_code: header.compression.code(),
            metadata_hash: header.metadata_hash.to_string(),
            header: format!("0x{}", hex::encode(header.to_bytes())),
            kept,
        }
    }
}

/// A content that was put and is durable.
#[derive(Serialize)]
pub(crate) struct StoredJson {
    pub(crate) block: String,
    cid: String,
    content_hash: String,
    size: u64,
    /// Bytes added to the store for it.
    stored: u64,
    leaf_index: u64,
    /// Whether its block had been there before.
    deduplicated: bool,
}

impl StoredJson {
    pub(crate) fn new(block: &DagBlock, new_bytes: u64, is_deduplicated: bool) -> Self {
        let header = block.header();
        Self {
            block: block.block_hash().to_string(),
            cid: block.cid().to_string(),
            content_hash: header.content_hash.to_string(),
            size: header.original_size,
            stored: new_bytes,
            leaf_index: header.leaf_index,
            deduplicated: is_deduplicated,
        }
    }
}
