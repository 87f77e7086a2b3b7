//! The proof document as it is written: indented, keys always in the same order, a line break at the end.

use crate::document::{FORMAT, ProofDocument};
use pakit_primitives::hasher::Digest;
use serde::{Serialize, Serializer, ser::SerializeSeq};
use std::{format, string::String, vec::Vec};

impl ProofDocument {
    /// Writes the document: indented, keys always in the same order, a line break at the end.
    pub fn to_json(&self) -> String {
        let mut out = serde_json::to_string_pretty(&DocumentJson::of(self))
            .expect("maps with text keys, text and integers always serialize; qed");
        out.push('\n');
        out
    }
}

/// The document as it is written. The order of the fields is the order of the keys.
#[derive(Serialize)]
struct DocumentJson<'a> {
    format: &'static str,
    header: Hex<'a>,
    block_hash: Hex<'a>,
    tree_head: HeadJson<'a>,
    inclusion: InclusionJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lineage: Option<HexList<'a, Vec<u8>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistency: Option<ConsistencyJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<AnchorJson<'a>>,
}

#[derive(Serialize)]
struct HeadJson<'a> {
    size: u64,
    root: Hex<'a>,
}

#[derive(Serialize)]
struct InclusionJson<'a> {
    leaf_index: u64,
    path: HexList<'a, Digest>,
}

#[derive(Serialize)]
struct ConsistencyJson<'a> {
    size: u64,
    root: Hex<'a>,
    path: HexList<'a, Digest>,
}

#[derive(Serialize)]
struct AnchorJson<'a> {
    genesis: Hex<'a>,
    dag: u32,
    anchor: u64,
    block_hash: Hex<'a>,
    block_number: u64,
    extrinsic_index: u32,
}

impl<'a> DocumentJson<'a> {
    fn of(document: &'a ProofDocument) -> Self {
        Self {
            format: FORMAT,
            header: Hex(&document.header),
            block_hash: Hex(document.block_hash.as_bytes()),
            tree_head: HeadJson { size: document.tree_head.size, root: Hex(document.tree_head.root.as_bytes()) },
            inclusion: InclusionJson {
                leaf_index: document.inclusion.leaf_index,
                path: HexList(&document.inclusion.path),
            },
            lineage: document.lineage.as_deref().map(HexList),
            consistency: document.consistency.as_ref().map(|consistency| ConsistencyJson {
                size: consistency.head.size,
                root: Hex(consistency.head.root.as_bytes()),
                path: HexList(&consistency.path),
            }),
            anchor: document.anchor.as_ref().map(|anchor| AnchorJson {
                genesis: Hex(&anchor.genesis),
                dag: anchor.dag,
                anchor: anchor.anchor,
                block_hash: Hex(&anchor.block_hash),
                block_number: anchor.block_number,
                extrinsic_index: anchor.extrinsic_index,
            }),
        }
    }
}

/// Bytes as `0x` and lower-case digits.
struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(self.0)))
    }
}

struct HexList<'a, T>(&'a [T]);

impl<T: AsRef<[u8]>> Serialize for HexList<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            list.serialize_element(&Hex(item.as_ref()))?;
        }
        list.end()
    }
}
