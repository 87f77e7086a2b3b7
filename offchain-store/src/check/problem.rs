//! What an audit can find: [`Problem`].

use pakit_primitives::ContentHash;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Bytes of a text that another part gave and that a problem quotes.
const TEXT_BYTES_MAX: usize = 1_024;
/// Distinct texts of this file's own that are read back, and their length. There are fewer and shorter ones.
const OWN_TEXTS_MAX: usize = 256;
const OWN_TEXT_BYTES_MAX: usize = 128;

/// A text that stands in this program. (An alias, since deserializing would take a plain reference for one into the input.)
type OwnText = &'static str;

/// One thing that is wrong with a repository, and where. Blocks are named by leaf index.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// The backend failed or found damage itself, a header that does not match its block hash for instance.
    #[error("{place}: {error}")]
    Unreadable {
        /// What was being read.
        place: String,
        /// What the backend said.
        error: String,
    },
    /// A gap in the log.
    #[error("block {leaf_index} is missing")]
    MissingBlock {
        /// Its place.
        leaf_index: u64,
    },
    /// Something stands behind the end of the log.
    #[error("block {leaf_index} stands behind the end of the log")]
    BlockBeyondLog {
        /// Its place.
        leaf_index: u64,
    },
    /// A named value that is missing, or not what one of that name can be.
    #[error("the setting {key} is {state}; `pakit repair` makes it anew as far as something tells of it")]
    WrongSetting {
        /// Its name.
        #[serde(deserialize_with = "own_text")]
        key: OwnText,
        /// Missing or wrong.
        state: NodeState,
    },
    /// A row that stands where none can. Nothing reads it, and it is in the way of what comes there next.
    #[error(
        "row {number} of the table {table} stands where none can; `pakit repair` takes it away if nothing names it"
    )]
    StrayRow {
        /// The table.
        #[serde(deserialize_with = "own_text")]
        table: OwnText,
        /// The row's number in it.
        number: i64,
    },
    /// A header that names another place than its own.
    #[error("block {leaf_index} says that its leaf index is {found}")]
    WrongLeafIndex {
        /// Its place.
        leaf_index: u64,
        /// What its header says.
        found: u64,
    },
    /// The block cannot be found by something that it has.
    #[error("block {leaf_index} is not found by its {by}")]
    NotFound {
        /// Its place.
        leaf_index: u64,
        /// What it was looked for by.
        by: Lookup,
    },
    /// An index holds more or fewer entries than there are blocks.
    #[error("the index by {by} has {entries} entries for {blocks} blocks")]
    WrongIndexSize {
        /// The index.
        by: Lookup,
        /// What it holds.
        entries: u64,
        /// What there is.
        blocks: u64,
    },
    /// A parent that is not the block that is named. One that is missing is told at its own place.
    #[error("block {leaf_index} names a parent {parent} that is another block")]
    WrongParent {
        /// The block.
        leaf_index: u64,
        /// Place of the parent.
        parent: u64,
    },
    /// Not one more than the greatest depth of the parents.
    #[error("block {leaf_index} has depth {found} instead of {expected}")]
    WrongDepth {
        /// The block.
        leaf_index: u64,
        /// What its parents imply.
        expected: u32,
        /// What its header says.
        found: u32,
    },
    /// The stored step towards genesis is not that of a shortest way.
    #[error("block {leaf_index} does not know its shortest way to genesis")]
    WrongWay {
        /// The block.
        leaf_index: u64,
    },
    /// A timestamp before a parent's.
    #[error("block {leaf_index} is older than its parent {parent}")]
    TimeRunsBackwards {
        /// The block.
        leaf_index: u64,
        /// Place of the parent.
        parent: u64,
    },
    /// Another number of slices than the blocks before hold.
    #[error("block {leaf_index} counts {found} slices before it instead of {expected}")]
    WrongSlicesBefore {
        /// The block.
        leaf_index: u64,
        /// What the blocks before hold.
        expected: u64,
        /// What its header says.
        found: u64,
    },
    /// A header names a parent that does not list the block as a child.
    #[error("block {child} is not listed as a child of {parent}")]
    MissingEdge {
        /// The parent.
        parent: u64,
        /// The child.
        child: u64,
    },
    /// A child is listed whose header does not name the parent.
    #[error("block {child} is listed as a child of {parent} and does not name it")]
    SurplusEdge {
        /// The parent.
        parent: u64,
        /// The child.
        child: u64,
    },
    /// A block without children is not in the frontier, or one with children is.
    #[error("the frontier is wrong about block {leaf_index}, which has {children} children")]
    WrongFrontier {
        /// The block.
        leaf_index: u64,
        /// How many blocks build on it.
        children: u64,
    },
    /// A node of the log that is missing or not the hash of the nodes below it.
    #[error("node {index} at level {level} of the log is {state}")]
    WrongLogNode {
        /// Height above the leaves.
        level: u32,
        /// Place among the nodes of its level.
        index: u64,
        /// Missing or wrong.
        state: NodeState,
    },
    /// A sum that was kept and not counted now.
    #[error("the sum of {name} is {stored} and should be {counted}")]
    WrongTotal {
        /// Which sum.
        #[serde(deserialize_with = "own_text")]
        name: OwnText,
        /// What is kept.
        stored: u64,
        /// What was counted.
        counted: u64,
    },
    /// A content without a payload. (A payload that was removed on purpose is none of this.)
    #[error("the content of block {leaf_index} is missing")]
    MissingPayload {
        /// The block.
        leaf_index: u64,
    },
    /// The chunks of a content do not follow each other, or do not add up to what is known of it.
    #[error("the chunks of block {leaf_index} do not make up its content: {what}")]
    WrongChunkList {
        /// The block.
        leaf_index: u64,
        /// What does not fit.
        #[serde(deserialize_with = "own_text")]
        what: OwnText,
    },
    /// The payload was removed, though the block was not forgotten.
    #[error(
        "the content of block {leaf_index} was removed, though nobody forgot the block; put it again to restore it"
    )]
    RemovedWhileHeld {
        /// The block.
        leaf_index: u64,
    },
    /// A mark that no audit block tells of.
    #[error("block {leaf_index} is marked as {mark}, and its audit block does not tell of it")]
    UntoldMark {
        /// The block.
        leaf_index: u64,
        /// Forgotten or pinned.
        #[serde(deserialize_with = "own_text")]
        mark: OwnText,
    },
    /// A mark that an audit block tells of and that is not there.
    #[error("block {leaf_index} is not marked as {mark}, as its audit block tells")]
    LostMark {
        /// The block.
        leaf_index: u64,
        /// Forgotten or pinned.
        #[serde(deserialize_with = "own_text")]
        mark: OwnText,
    },
    /// The retention rule is not what the last audit block about it tells.
    #[error("the retention rule is not what its audit block tells")]
    WrongRetention,
    /// An audit block whose content is none, or that does not count the audit blocks before it.
    #[error("the audit block {leaf_index} is wrong: {what}")]
    WrongAudit {
        /// Its place.
        leaf_index: u64,
        /// What is wrong.
        what: String,
    },
    /// The content was damaged, and set aside by a repair.
    #[error("the content of block {leaf_index} is lost; put it again to restore it")]
    LostContent {
        /// The block.
        leaf_index: u64,
    },
    /// A chunk of a content is not there.
    #[error("the content of block {leaf_index} lacks the chunk {chunk_hash}")]
    MissingChunk {
        /// The block.
        leaf_index: u64,
        /// The chunk.
        #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
        chunk_hash: ContentHash,
    },
    /// The chunks of a content are each sound or not, but together they are not that content.
    #[error("the content of block {leaf_index} does not match its hash")]
    WrongContent {
        /// The block.
        leaf_index: u64,
    },
    /// A chunk that does not decompress to its hash.
    #[error("the chunk {chunk_hash} is damaged: {what}")]
    DamagedChunk {
        /// The chunk.
        #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
        chunk_hash: ContentHash,
        /// The first block whose whole content it is, if any.
        leaf_index: Option<u64>,
        /// What is wrong.
        what: String,
    },
    /// A copy of a dictionary that is missing or damaged; without both, all chunks compressed against it are lost.
    #[error("a copy of dictionary {number} is damaged; {}", if *is_repairable { "`pakit repair` restores it" } else { "so is the other one" })]
    DamagedDictionary {
        /// Its number.
        number: u32,
        /// Whether the other copy is whole.
        is_repairable: bool,
    },
    /// A pack in which a record is not what was written, whether or not a chunk in it is.
    #[error("pack {pack} is damaged at byte {offset}: {what}; `pakit repair` writes anew what is whole in it")]
    DamagedPack {
        /// Its number.
        pack: u32,
        /// Where the record begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A metadata map that is missing or does not match its hash.
    #[error("the metadata of block {leaf_index} is {state}")]
    WrongMetadata {
        /// The block.
        leaf_index: u64,
        /// Missing or wrong.
        state: NodeState,
    },
}

/// What a block is looked for by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lookup {
    /// Its block hash.
    Hash,
    /// Codec, content hash and metadata hash.
    Key,
    /// Its content hash.
    Content,
    /// Its depth.
    Depth,
    /// Its timestamp.
    Time,
    /// Its place among the leaves of the log.
    Leaf,
}

impl std::fmt::Display for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hash => "block hash",
            Self::Key => "codec, content and metadata",
            Self::Content => "content hash",
            Self::Depth => "depth",
            Self::Time => "time",
            Self::Leaf => "leaf of the log",
        })
    }
}

/// How a stored value that can be computed differs from what was computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It is not there.
    Missing,
    /// It is another.
    Wrong,
}

impl std::fmt::Display for NodeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        })
    }
}

fn as_text<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ContentHash, D::Error> {
    let text = String::deserialize(deserializer)?;
    super::state::digest_of(&text).map(ContentHash::new).ok_or_else(|| de::Error::custom("it has to be a hash"))
}

/// Gives a text that was written down its life back. What is read is kept once for the life of the process, and no more of it
/// than a program that wrote it can have.
fn own_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let text = String::deserialize(deserializer)?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = known.get(text.as_str()) {
        return Ok(text);
    }
    if text.len() > OWN_TEXT_BYTES_MAX || known.len() >= OWN_TEXTS_MAX {
        return Err(de::Error::custom("it quotes what this program does not say"));
    }
    let text = &*Box::leak(text.into_boxed_str());
    known.insert(text);
    Ok(text)
}

/// A text cut to what is quoted of it at most.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("...");
    }
    text
}
