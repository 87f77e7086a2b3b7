//! What has to follow what in a series. Whoever checks a backup and whoever restores it read the records through here, so that neither
//! refuses what the other takes.

use super::{FolderError, segment::SegmentReader};
use crate::{
    block::DagBlock,
    plan,
    record::{self, BlockEntry, ChunkEntry, Decoder, ListPart, RecordError},
};
use pakit_primitives::{MetadataHash, header::SIZE_LIMIT};

/// Chunks that a content has at least that is kept as a list; one of a single chunk is that chunk.
const LISTED_MIN: u64 = 2;

/// How far a series was read.
#[derive(Default, Debug)]
pub(super) struct Sequence {
    /// The leaf index of the next block.
    next_leaf: u64,
    /// The list that the last part left open.
    open_list: Option<OpenList>,
}

#[derive(Clone, Copy, Debug)]
struct OpenList {
    number: u64,
    bytes: u64,
    chunks: u64,
}

/// A block of the log as it stands in a record.
pub(super) struct LoggedBlock<'a> {
    pub(super) block: DagBlock,
    /// Number of its content's payload.
    pub(super) payload: u64,
    pub(super) is_audit: bool,
    /// The map that the block names, where it stands before it.
    pub(super) map: Option<(MetadataHash, &'a [u8])>,
}

/// What is wrong with a record, which does not know its file yet, or with what whoever reads it makes of it.
pub(super) enum Wrong<E> {
    Record(RecordError),
    Reader(E),
}

impl<E> From<RecordError> for Wrong<E> {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl<E: From<FolderError>> Wrong<E> {
    pub(super) fn in_file(self, reader: &SegmentReader) -> E {
        match self {
            Self::Record(source) => reader.damaged(source).into(),
            Self::Reader(error) => error,
        }
    }
}

/// Chunks of a record, none of them larger than a repository can keep.
pub(super) fn chunks<'a, E: From<RecordError>>(
    body: &'a [u8],
    mut each: impl FnMut(ChunkEntry<'a>) -> Result<(), E>,
) -> Result<(), E> {
    record::chunks(body, |entry| match entry.bytes.len() <= plan::STORED_BYTES_MAX {
        true => each(entry),
        false => Err(RecordError::TooLong.into()),
    })
}

impl Sequence {
    /// The next part of a list. The parts follow each other and give what the list says that it is; a part that begins a list ends one that
    /// had no end.
    pub(super) fn list(&mut self, body: &[u8]) -> Result<ListPart, RecordError> {
        let part = ListPart::decode(body)?;
        let before = match self.open_list.take() {
            _ if part.is_first => OpenList { number: part.number, bytes: 0, chunks: 0 },
            Some(open) if open.number == part.number => open,
            _ => return Err(RecordError::Malformed),
        };
        let add = |sum: u64, bytes: u32| sum.checked_add(bytes.into()).filter(|_| bytes > 0);
        let bytes = part.chunks.iter().try_fold(before.bytes, |sum, chunk| add(sum, chunk.original_size));
        let bytes = bytes.filter(|bytes| *bytes <= part.original_size).ok_or(RecordError::Malformed)?;
        let chunks = before.chunks + part.chunks.len() as u64;
        let is_right = !part.chunks.is_empty()
            && part.original_size < SIZE_LIMIT
            && part.is_last == (bytes == part.original_size)
            && (!part.is_last || chunks >= LISTED_MIN);
        if !is_right {
            return Err(RecordError::Malformed);
        }
        if !part.is_last {
            self.open_list = Some(OpenList { number: part.number, bytes, chunks });
        }
        Ok(part)
    }

    /// The blocks of a record, in the order of the log. A map stands right before a block that names it.
    pub(super) fn blocks<'a, E: From<RecordError>>(
        &mut self,
        body: &'a [u8],
        mut each: impl FnMut(LoggedBlock<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = Decoder::new(body);
        let mut map: Option<(MetadataHash, &[u8])> = None;
        while !from.is_empty() {
            let (payload, header, is_audit) = match from.block_entry()? {
                BlockEntry::Metadata(hash, bytes) => {
                    // More than one would be kept for nobody.
                    if map.replace((hash, bytes)).is_some() {
                        return Err(RecordError::Malformed.into());
                    }
                    continue;
                }
                BlockEntry::Block(payload, header) => (payload, header, false),
                BlockEntry::Audit(payload, header) => (payload, header, true),
            };
            let block = DagBlock::from_header_bytes(header).map_err(|_| RecordError::Malformed)?;
            let map = map.take();
            let is_named = map.is_none_or(|(hash, _)| hash == block.header().metadata_hash);
            if block.leaf_index() != self.next_leaf || !is_named {
                return Err(RecordError::Malformed.into());
            }
            self.next_leaf += 1;
            each(LoggedBlock { block, payload, is_audit, map })?;
        }
        // One without a block, too.
        if map.is_some() { Err(RecordError::Malformed.into()) } else { Ok(()) }
    }
}

/// The settings of a record.
pub(super) fn settings<E: From<RecordError>>(
    body: &[u8],
    mut each: impl FnMut(&str, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut from = Decoder::new(body);
    while !from.is_empty() {
        let (key, value) = from.setting()?;
        each(key, value)?;
    }
    Ok(())
}
