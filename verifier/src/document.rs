//! The proof document: strict reading, writing that always gives the same bytes.

use crate::json::{self, Json, JsonError, shortened};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use pakit_primitives::{
    BlockHash, Head, LogRoot,
    hasher::Digest,
    header::HEADER_BYTES_MAX,
    lineage::LINEAGE_HEADERS_MAX,
    log::{CONSISTENCY_PATH_MAX, INCLUSION_PATH_MAX},
};
#[cfg(feature = "std")]
use std::io::Read;

/// The value of `format`: name and version.
pub const FORMAT: &str = "pakit-proof/1";

/// Longest document that is read, in bytes: a document written here needs at most a tenth of it, and the rest is for
/// layout and for keys that a later version adds.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Most hashes in a path that is read. How many it must have, its verification says.
const PATH_MAX: usize = 64;

// The largest lineage and both paths, with 16 characters around each item.
const _: () = assert!(
    (LINEAGE_HEADERS_MAX + 1) * (2 * HEADER_BYTES_MAX + 16) + 2 * PATH_MAX * (64 + 16) + 4096 < DOCUMENT_BYTES_MAX / 10
);
const _: () = assert!(PATH_MAX >= CONSISTENCY_PATH_MAX && PATH_MAX >= INCLUSION_PATH_MAX);

/// Shows that a block is in a log, and what else its reader may need. What it says is worth nothing before it is verified,
/// and [`crate::verify`] does that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofDocument {
    /// The block's header, as bytes that may be no header.
    pub header: Vec<u8>,
    /// The block's identity.
    pub block_hash: BlockHash,
    /// The log's head that `inclusion` leads to.
    pub tree_head: Head,
    /// That the block is in the log.
    pub inclusion: Inclusion,
    /// Bytes of the headers from one of the block's parents down to genesis.
    pub lineage: Option<Vec<Vec<u8>>>,
    /// That a later log begins with the one of `tree_head`.
    pub consistency: Option<Consistency>,
    /// Where `tree_head` was anchored.
    pub anchor: Option<AnchorReference>,
}

/// An audit path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inclusion {
    /// The block's place in the log.
    pub leaf_index: u64,
    /// Hashes from the leaf to the root.
    pub path: Vec<Digest>,
}

/// A consistency proof with the head that it leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consistency {
    /// The later head.
    pub head: Head,
    /// Hashes in the order of RFC 9162.
    pub path: Vec<Digest>,
}

/// Where a head was anchored. It tells a verifier where to look, and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnchorReference {
    /// The chain's genesis hash.
    pub genesis: Digest,
    /// The DAG's number on that chain.
    pub dag: u32,
    /// The anchor's number.
    pub anchor: u64,
    /// Hash of the chain block with the extrinsic.
    pub block_hash: Digest,
    /// Number of that block.
    pub block_number: u64,
    /// The extrinsic's place in that block.
    pub extrinsic_index: u32,
}

/// Why bytes are not a proof document. Keys are named with those of the objects around them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofDocumentError {
    /// The document could not be read.
    #[cfg(feature = "std")]
    #[error("the proof document cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// More bytes than any document has.
    #[error("the proof document is longer than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    /// Not JSON, a key that occurs twice, a number that is not an integer.
    #[error("the proof document is malformed: {0}")]
    Json(#[from] JsonError),
    /// Another format, or another version of this one.
    #[error("the proof document's format is {found:?} instead of {FORMAT:?}")]
    WrongFormat {
        /// What it says, cut if it is long.
        found: String,
    },
    /// A key that every document has.
    #[error("the proof document lacks {key}")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A known key whose value is of another type.
    #[error("{key} is not {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// The type it has in every document.
        expected: &'static str,
    },
    /// An integer below zero or above what its key can hold.
    #[error("{key} is not between 0 and {max}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// The greatest value.
        max: u64,
    },
    /// A text that is not `0x` and pairs of digits.
    #[error("{key} is not 0x and hexadecimal digits")]
    NotHex {
        /// The key.
        key: &'static str,
    },
    /// Hexadecimal digits are lower case, so that equal values are equal texts.
    #[error("{key} has an upper-case digit")]
    UpperCaseDigit {
        /// The key.
        key: &'static str,
    },
    /// A hash of another length.
    #[error("{key} has {actual} bytes instead of 32")]
    WrongLength {
        /// The key.
        key: &'static str,
        /// Bytes that it has.
        actual: usize,
    },
    /// An array with more items than any proof needs.
    #[error("{key} has more than {max} items")]
    TooManyItems {
        /// The key.
        key: &'static str,
        /// The most that it may have.
        max: usize,
    },
}

impl ProofDocumentError {
    /// The name of what is wrong, for programs; the text is for people.
    pub fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "std")]
            Self::Io(_) => "Io",
            Self::TooLarge => "TooLarge",
            Self::Json(_) => "Json",
            Self::WrongFormat { .. } => "WrongFormat",
            Self::MissingKey { .. } => "MissingKey",
            Self::WrongType { .. } => "WrongType",
            Self::OutOfRange { .. } => "OutOfRange",
            Self::NotHex { .. } => "NotHex",
            Self::UpperCaseDigit { .. } => "UpperCaseDigit",
            Self::WrongLength { .. } => "WrongLength",
            Self::TooManyItems { .. } => "TooManyItems",
        }
    }
}

impl ProofDocument {
    /// Reads a document. Keys unknown here are ignored, as long as the whole is well formed.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ProofDocumentError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(ProofDocumentError::TooLarge);
        }
        let mut members = object(json::parse(bytes)?, "the document")?;
        let format = text(need(&mut members, "format")?, "format")?;
        if format != FORMAT {
            return Err(ProofDocumentError::WrongFormat { found: shortened(&format) });
        }
        Ok(Self {
            header: hex_bytes(need(&mut members, "header")?, "header")?,
            block_hash: BlockHash::new(need_digest(&mut members, "block_hash")?),
            tree_head: read_tree_head(need(&mut members, "tree_head")?)?,
            inclusion: read_inclusion(need(&mut members, "inclusion")?)?,
            lineage: members.remove("lineage").map(read_lineage).transpose()?,
            consistency: members.remove("consistency").map(read_consistency).transpose()?,
            anchor: members.remove("anchor").map(read_anchor).transpose()?,
        })
    }

    /// Reads a document to the end of `reader`, but no more than [`DOCUMENT_BYTES_MAX`] bytes and one.
    #[cfg(feature = "std")]
    pub fn read_from(reader: impl Read) -> Result<Self, ProofDocumentError> {
        let mut bytes = Vec::new();
        reader.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Self::from_json(&bytes)
    }

    /// The heads either of which shows the block to be in the log once it is trusted: the later one first, being more
    /// likely the one that a chain has as its latest.
    pub fn candidate_heads(&self) -> impl Iterator<Item = Head> {
        self.consistency.as_ref().map(|consistency| consistency.head).into_iter().chain([self.tree_head])
    }
}

type Members = BTreeMap<String, Json>;

fn read_tree_head(value: Json) -> Result<Head, ProofDocumentError> {
    let mut members = object(value, "tree_head")?;
    Ok(Head {
        size: need_integer(&mut members, "tree_head.size", u64::MAX)?,
        root: LogRoot::new(need_digest(&mut members, "tree_head.root")?),
    })
}

fn read_inclusion(value: Json) -> Result<Inclusion, ProofDocumentError> {
    let mut members = object(value, "inclusion")?;
    Ok(Inclusion {
        leaf_index: need_integer(&mut members, "inclusion.leaf_index", u64::MAX)?,
        path: need_path(&mut members, "inclusion.path")?,
    })
}

fn read_lineage(value: Json) -> Result<Vec<Vec<u8>>, ProofDocumentError> {
    let headers = array(value, "lineage", LINEAGE_HEADERS_MAX)?;
    headers.into_iter().map(|header| hex_bytes(header, "lineage")).collect()
}

fn read_consistency(value: Json) -> Result<Consistency, ProofDocumentError> {
    let mut members = object(value, "consistency")?;
    Ok(Consistency {
        head: Head {
            size: need_integer(&mut members, "consistency.size", u64::MAX)?,
            root: LogRoot::new(need_digest(&mut members, "consistency.root")?),
        },
        path: need_path(&mut members, "consistency.path")?,
    })
}

fn read_anchor(value: Json) -> Result<AnchorReference, ProofDocumentError> {
    let mut members = object(value, "anchor")?;
    Ok(AnchorReference {
        genesis: need_digest(&mut members, "anchor.genesis")?,
        dag: need_u32(&mut members, "anchor.dag")?,
        anchor: need_integer(&mut members, "anchor.anchor", u64::MAX)?,
        block_hash: need_digest(&mut members, "anchor.block_hash")?,
        block_number: need_integer(&mut members, "anchor.block_number", u64::MAX)?,
        extrinsic_index: need_u32(&mut members, "anchor.extrinsic_index")?,
    })
}

/// Takes the member that `key` ends in.
fn need(members: &mut Members, key: &'static str) -> Result<Json, ProofDocumentError> {
    let name = key.rsplit('.').next().unwrap_or(key);
    members.remove(name).ok_or(ProofDocumentError::MissingKey { key })
}

fn need_digest(members: &mut Members, key: &'static str) -> Result<Digest, ProofDocumentError> {
    digest(need(members, key)?, key)
}

fn need_path(members: &mut Members, key: &'static str) -> Result<Vec<Digest>, ProofDocumentError> {
    array(need(members, key)?, key, PATH_MAX)?.into_iter().map(|item| digest(item, key)).collect()
}

fn need_integer(members: &mut Members, key: &'static str, max: u64) -> Result<u64, ProofDocumentError> {
    match need(members, key)? {
        Json::Integer(value) => {
            u64::try_from(value).ok().filter(|value| *value <= max).ok_or(ProofDocumentError::OutOfRange { key, max })
        }
        _ => Err(ProofDocumentError::WrongType { key, expected: "an integer" }),
    }
}

fn need_u32(members: &mut Members, key: &'static str) -> Result<u32, ProofDocumentError> {
    let max = u64::from(u32::MAX);
    u32::try_from(need_integer(members, key, max)?).map_err(|_| ProofDocumentError::OutOfRange { key, max })
}

fn object(value: Json, key: &'static str) -> Result<Members, ProofDocumentError> {
    match value {
        Json::Object(members) => Ok(members),
        _ => Err(ProofDocumentError::WrongType { key, expected: "an object" }),
    }
}

fn array(value: Json, key: &'static str, max: usize) -> Result<Vec<Json>, ProofDocumentError> {
    match value {
        Json::Array(items) if items.len() > max => Err(ProofDocumentError::TooManyItems { key, max }),
        Json::Array(items) => Ok(items),
        _ => Err(ProofDocumentError::WrongType { key, expected: "an array" }),
    }
}

fn text(value: Json, key: &'static str) -> Result<String, ProofDocumentError> {
    match value {
        Json::Text(text) => Ok(text),
        _ => Err(ProofDocumentError::WrongType { key, expected: "a text" }),
    }
}

fn hex_bytes(value: Json, key: &'static str) -> Result<Vec<u8>, ProofDocumentError> {
    let text = text(value, key)?;
    let digits = text.strip_prefix("0x").ok_or(ProofDocumentError::NotHex { key })?;
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return Err(ProofDocumentError::UpperCaseDigit { key });
    }
    hex::decode(digits).map_err(|_| ProofDocumentError::NotHex { key })
}

fn digest(value: Json, key: &'static str) -> Result<Digest, ProofDocumentError> {
    let bytes = hex_bytes(value, key)?;
    bytes.as_slice().try_into().map_err(|_| ProofDocumentError::WrongLength { key, actual: bytes.len() })
}
