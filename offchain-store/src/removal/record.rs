//! The content of an audit block: who decided what about which blocks, when and why.
//!
//! Strict dag-cbor of `["pakit-audit/1", {who, why, action, blocks, term_ms, time_ms, sequence}]`, docs/formats.md,
//! section 4. Strict means: exactly one byte string says a given thing.

use crate::{
    backend::{BackendError, DagBackend},
    block::DagBlock,
    cid,
    get::{ContentReader, GetError},
    tree::EncodeError,
};
use minicbor::{Decoder, Encoder, data::Type};
use pakit_primitives::{BlockHash, ContentHash};
use std::sync::Arc;

/// First item of every record: the format and its version.
pub const FORMAT: &str = "pakit-audit/1";

/// Greatest record that is read, in bytes. Those that are written have at most some 90 KB.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;
/// Most blocks that one record names; whoever decides about more writes several.
pub const RECORD_BLOCKS_MAX: usize = 1_024;
/// Greatest name of who decided, in bytes.
pub const WHO_BYTES_MAX: usize = 256;
/// Greatest reason, in bytes.
pub const WHY_BYTES_MAX: usize = 4_096;

/// Keys of the map, in the order of dag-cbor: shorter ones first, then by their bytes.
const KEYS: [&str; 7] = ["who", "why", "action", "blocks", "term_ms", "time_ms", "sequence"];
/// Items of a block in the list.
const BLOCK_ITEMS: u64 = 3;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The blocks no longer hold their contents.
    Forget,
    /// Contents that were forgotten or removed were put again.
    Restore,
    /// The blocks must not be forgotten, up to `term_ms`.
    Pin,
    /// They may be again.
    Unpin,
    /// Payloads younger than `term_ms` are not dropped from now on; without it, the rule is gone.
    Retain,
    /// The payloads of the blocks were dropped, since nothing held them.
    Drop,
}

impl Action {
    const ALL: [Self; 6] = [Self::Forget, Self::Restore, Self::Pin, Self::Unpin, Self::Retain, Self::Drop];

    /// Its name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forget => "forget",
            Self::Restore => "restore",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::Retain => "retain",
            Self::Drop => "drop",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// A block that a record is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditedBlock {
    /// Its place in the log.
    pub leaf_index: u64,
    /// Its identity.
    pub block_hash: BlockHash,
    /// Its content.
    pub content_hash: ContentHash,
}

impl From<&DagBlock> for AuditedBlock {
    fn from(block: &DagBlock) -> Self {
        let (leaf_index, content_hash) = (block.leaf_index(), block.header().content_hash);
        Self { leaf_index, block_hash: block.block_hash(), content_hash }
    }
}

/// What an audit block says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRecord {
    /// What was done.
    pub action: Action,
    /// Audit blocks before this one in the log, so that none can be left out unseen.
    pub sequence: u64,
    /// When, by the writer's clock, in Unix milliseconds.
    pub time_ms: u64,
    /// Who: the writer's word.
    pub who: String,
    /// Why: the writer's word; may be empty.
    pub why: String,
    /// Of a pin, the Unix milliseconds up to which it holds; of the retention rule, the milliseconds that payloads stay.
    pub term_ms: Option<u64>,
    /// The blocks, strictly ascending by leaf index.
    pub blocks: Vec<AuditedBlock>,
}

/// Why bytes are not a record, or something cannot be one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The audit block's content could not be read.
    #[error("audit block {block_hash}: {source}")]
    Unreadable {
        /// The audit block.
        block_hash: BlockHash,
        /// Why.
        source: Box<GetError>,
    },
    /// Not CBOR of a record's shape.
    #[error("the audit record is malformed: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    /// Another first item than the one that says what follows.
    #[error("the content is not an audit record of a known version")]
    UnknownFormat,
    /// Says what it says in another than the one strict way.
    #[error("the audit record is not strictly encoded")]
    NotStrict,
    /// An action that is not known.
    #[error("the audit record tells of an unknown action")]
    UnknownAction,
    /// Longer than a record may be.
    #[error("the audit record is longer than {RECORD_BYTES_MAX} bytes")]
    TooLarge,
    /// More blocks than a record may name, or not in ascending order.
    #[error("the blocks of an audit record are not at most {RECORD_BLOCKS_MAX}, in ascending order")]
    WrongBlocks,
    /// No name, or one that is too long or is not plain text.
    #[error("who decided has to be 1 to {WHO_BYTES_MAX} bytes of text on one line")]
    WrongWho,
    /// A reason that is too long or is not plain text.
    #[error("why has to be at most {WHY_BYTES_MAX} bytes of text on one line")]
    WrongWhy,
    /// The encoder failed; it writes to memory and has no reason to.
    #[error("the audit record could not be encoded: {0}")]
    Encode(#[from] EncodeError),
}

/// Text on one line: what a record takes, and what a terminal shows as it is.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// What of a text a record takes.
pub(crate) fn plain_text(text: &str, bytes_max: usize) -> String {
    let mut plain: String = text.chars().filter(|character| !character.is_control()).collect();
    while plain.len() > bytes_max {
        plain.pop();
    }
    plain
}

/// Whether a record may name this as who decided.
pub fn check_who(who: &str) -> Result<(), RecordError> {
    let fits = !who.is_empty() && who.len() <= WHO_BYTES_MAX && is_plain(who);
    if fits { Ok(()) } else { Err(RecordError::WrongWho) }
}

/// Whether a record may give this as a reason.
pub fn check_why(why: &str) -> Result<(), RecordError> {
    if why.len() <= WHY_BYTES_MAX && is_plain(why) { Ok(()) } else { Err(RecordError::WrongWhy) }
}

impl AuditRecord {
    /// The record in its one encoding.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        Ok(self.encoded()?)
    }

    fn check(&self) -> Result<(), RecordError> {
        check_who(&self.who)?;
        check_why(&self.why)?;
        let are_ordered = self.blocks.is_sorted_by(|a, b| a.leaf_index < b.leaf_index);
        if are_ordered && self.blocks.len() <= RECORD_BLOCKS_MAX { Ok(()) } else { Err(RecordError::WrongBlocks) }
    }

    /// minicbor writes shortest forms and definite lengths, which is what dag-cbor demands.
    fn encoded(&self) -> Result<Vec<u8>, EncodeError> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.array(2)?.str(FORMAT)?.map(KEYS.len() as u64)?;
        encoder.str(KEYS[0])?.str(&self.who)?;
        encoder.str(KEYS[1])?.str(&self.why)?;
        encoder.str(KEYS[2])?.str(self.action.name())?;
        encoder.str(KEYS[3])?.array(self.blocks.len() as u64)?;
        for block in &self.blocks {
            encoder.array(BLOCK_ITEMS)?.u64(block.leaf_index)?;
            encoder.bytes(block.block_hash.as_bytes())?.bytes(block.content_hash.as_bytes())?;
        }
        encoder.str(KEYS[4])?;
        match self.term_ms {
            Some(term_ms) => encoder.u64(term_ms)?,
            None => encoder.null()?,
        };
        encoder.str(KEYS[5])?.u64(self.time_ms)?;
        encoder.str(KEYS[6])?.u64(self.sequence)?;
        Ok(encoder.into_writer())
    }

    /// Decodes strictly.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() as u64 > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge);
        }
        let mut decoder = Decoder::new(bytes);
        if decoder.array()? != Some(2) || decoder.datatype()? != Type::String || decoder.str()? != FORMAT {
            return Err(RecordError::UnknownFormat);
        }
        if decoder.map()? != Some(KEYS.len() as u64) {
            return Err(RecordError::NotStrict);
        }
        let who = value(&mut decoder, KEYS[0])?.str()?.to_owned();
        let why = value(&mut decoder, KEYS[1])?.str()?.to_owned();
        let action = Action::from_name(value(&mut decoder, KEYS[2])?.str()?).ok_or(RecordError::UnknownAction)?;
        let count = value(&mut decoder, KEYS[3])?.array()?.ok_or(RecordError::NotStrict)?;
        if count > RECORD_BLOCKS_MAX as u64 {
            return Err(RecordError::WrongBlocks);
        }
        let blocks = (0..count).map(|_| decode_block(&mut decoder)).collect::<Result<_, _>>()?;
        let term = value(&mut decoder, KEYS[4])?;
        let term_ms = match term.datatype()? {
            Type::Null => term.null().map(|()| None)?,
            _ => Some(term.u64()?),
        };
        let time_ms = value(&mut decoder, KEYS[5])?.u64()?;
        let sequence = value(&mut decoder, KEYS[6])?.u64()?;
        let record = Self { action, sequence, time_ms, who, why, term_ms, blocks };
        record.check()?;
        // One thing, one byte string: whatever decodes and is not what encoding gives was not strict.
        if record.encoded()? == bytes { Ok(record) } else { Err(RecordError::NotStrict) }
    }
}

/// The decoder, before the value of this key.
fn value<'d, 'b>(decoder: &'d mut Decoder<'b>, key: &str) -> Result<&'d mut Decoder<'b>, RecordError> {
    if decoder.str()? == key { Ok(decoder) } else { Err(RecordError::NotStrict) }
}

fn decode_block(decoder: &mut Decoder<'_>) -> Result<AuditedBlock, RecordError> {
    if decoder.array()? != Some(BLOCK_ITEMS) {
        return Err(RecordError::NotStrict);
    }
    let leaf_index = decoder.u64()?;
    let mut digest = || <[u8; 32]>::try_from(decoder.bytes()?).map_err(|_| RecordError::NotStrict);
    Ok(AuditedBlock { leaf_index, block_hash: BlockHash::new(digest()?), content_hash: ContentHash::new(digest()?) })
}

/// Reads the record of an audit block.
pub fn read(backend: &Arc<dyn DagBackend>, block: &DagBlock) -> Result<AuditRecord, RecordError> {
    let block_hash = block.block_hash();
    if block.header().codec != cid::DAG_CBOR {
        return Err(RecordError::UnknownFormat);
    }
    if block.header().original_size > RECORD_BYTES_MAX {
        return Err(RecordError::TooLarge);
    }
    let mut bytes = Vec::new();
    ContentReader::new(backend.clone(), block.clone(), None)
        .and_then(|mut reader| reader.copy_to(&mut bytes))
        .map_err(|source| match source {
            GetError::Backend(error) => RecordError::Backend(error),
            source => RecordError::Unreadable { block_hash, source: Box::new(source) },
        })?;
    AuditRecord::decode(&bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn record() -> AuditRecord {
        AuditRecord {
            action: Action::Forget,
            sequence: 7,
            time_ms: 1_700_000_000_000,
            who: "ada@registry".into(),
            why: "erasure request 12".into(),
            term_ms: None,
            blocks: vec![AuditedBlock {
                leaf_index: 300,
                block_hash: BlockHash::new([0xaa; 32]),
                content_hash: ContentHash::new([0xbb; 32]),
            }],
        }
    }

    #[test]
    fn the_bytes_of_a_record_are_frozen() {
        let expected = [
            "826d70616b69742d61756469742f31a7",   // ["pakit-audit/1", {7 entries
            "6377686f6c616461407265676973747279", // "who": "ada@registry"
            "6377687972",                         // "why": 18 characters
            "65726173757265207265717565737420",
            "3132",                         // "erasure request 12"
            "66616374696f6e66666f72676574", // "action": "forget"
            "66626c6f636b7381831901",
            "2c5820", // "blocks": [[300, 32 bytes
            &"aa".repeat(32),
            "5820",
            &"bb".repeat(32),                     // block hash, content hash]]
            "677465726d5f6d73f6",                 // "term_ms": null
            "6774696d655f6d731b0000018bcfe56800", // "time_ms": 1700000000000
            "6873657175656e636507",               // "sequence": 7}]
        ]
        .concat();
        assert_eq!(hex::encode(record().encode().unwrap()), expected);
        assert_eq!(AuditRecord::decode(&hex::decode(expected).unwrap()).unwrap(), record());
    }

    #[test]
    fn what_cannot_be_a_record_is_refused_by_name() {
        let with = |change: fn(&mut AuditRecord)| {
            let mut changed = record();
            change(&mut changed);
            changed.encode().unwrap_err()
        };
        assert!(matches!(with(|record| record.who.clear()), RecordError::WrongWho));
        assert!(matches!(with(|record| record.who = "a\nb".into()), RecordError::WrongWho));
        assert!(matches!(with(|record| record.who = "a".repeat(257)), RecordError::WrongWho));
        assert!(matches!(with(|record| record.why = "\u{1b}[2J".into()), RecordError::WrongWhy));
        assert!(matches!(with(|record| record.why = "a".repeat(4097)), RecordError::WrongWhy));
        assert!(matches!(with(|record| record.blocks = record.blocks.repeat(2)), RecordError::WrongBlocks));
        let many = |record: &mut AuditRecord| {
            let block = record.blocks[0];
            record.blocks =
                (0..=RECORD_BLOCKS_MAX as u64).map(|leaf_index| AuditedBlock { leaf_index, ..block }).collect();
        };
        assert!(matches!(with(many), RecordError::WrongBlocks));
        let longer = [record().encode().unwrap(), vec![0]].concat();
        assert!(matches!(AuditRecord::decode(&longer), Err(RecordError::NotStrict)));
        let other = hex::decode("826d70616b69742d61756469742f32a0").unwrap();
        assert!(matches!(AuditRecord::decode(&other), Err(RecordError::UnknownFormat)));
    }

    proptest! {
        #[test]
        fn only_what_encoding_gives_is_decoded(place in 0usize..200, bit in 0u32..8, cut in 0usize..200) {
            let bytes = record().encode().unwrap();
            let mut changed = bytes.clone();
            changed[place % bytes.len()] ^= 1 << bit;
            if let Ok(decoded) = AuditRecord::decode(&changed) {
                prop_assert_eq!(decoded.encode().unwrap(), changed);
            }
            prop_assert!(AuditRecord::decode(&bytes[..cut % bytes.len()]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = AuditRecord::decode(&bytes);
        }
    }
}
