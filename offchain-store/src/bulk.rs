//! Reading a whole repository in the order in which it was written: the trait [`BulkBackend`], which backups are made through.
//!
//! A question by hash costs a search. A copy of everything asks for nothing in particular, so it reads rows by their numbers:
//! payloads by the numbers that they got when they were appended, blocks by their leaf indices. Payload numbers are never
//! given twice, and below a number that was once handed out nothing new appears. So who has read up to a number goes on
//! from there, and misses only what changes in place: a payload that is removed, or kept again after a removal.

use crate::{
    backend::{BackendError, ChunkRef, DagBackend, PayloadInfo, StoredChunk},
    block::DagBlock,
};
use pakit_primitives::ContentHash;

/// Rows that one answer holds at most.
pub const BULK_ROWS_MAX: usize = 16_384;

/// How far rows have been appended, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extent {
    /// Blocks: the size of the log.
    pub blocks: u64,
    /// The number that the next payload gets.
    pub payload_next: u64,
}

/// A payload's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredPayload {
    /// A chunk, which may be a content of its own.
    Chunk(StoredChunk),
    /// A content of several chunks; [`BulkBackend::list_rows`] names them.
    List {
        /// BLAKE3 of the whole plaintext.
        content_hash: ContentHash,
        /// Size, stored size and compression of the whole.
        info: PayloadInfo,
    },
    /// A content that was removed, or one that is still being written.
    Absent,
}

/// A chunk's place in a list, with the number of the chunk's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedChunk {
    /// Number of the payload that holds the chunk.
    pub number: u64,
    /// Stored bytes of the chunk.
    pub stored_size: u64,
    /// The place.
    pub chunk: ChunkRef,
}

/// What a note is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NoteKind {
    /// A DAG on a chain that this log is anchored to.
    Binding,
    /// A signed extrinsic and what became of it.
    Extrinsic,
}

/// What a backend keeps beside the blocks of what was sent to a chain. The bytes are a JSON object, see docs/formats.md;
/// whoever copies notes need not understand them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// Its place among the notes of its kind.
    pub number: u64,
    /// Whether it never changes again.
    pub is_settled: bool,
    /// The size of the log that an extrinsic anchors, or proves against; of a binding, the size of the largest log that is known
    /// to be anchored to it and final.
    pub size: u64,
    /// The note.
    pub bytes: Vec<u8>,
}

/// A backend that can be read row by row, and told what another one knew.
///
/// All lists are in ascending order of their numbers, hold at most [`BULK_ROWS_MAX`] items and go on at the number behind
/// their last item. An empty list says that nothing follows.
pub trait BulkBackend: DagBackend {
    /// How far rows have been appended. Both numbers are of one moment.
    fn extent(&self) -> Result<Extent, BackendError>;

    /// The payloads with numbers from `from` on and below `below`, until their stored bytes are at least `bytes_max`: so at
    /// least one, where there is one. Bytes are not checked here.
    fn payload_rows(&self, from: u64, below: u64, bytes_max: usize) -> Result<Vec<(u64, StoredPayload)>, BackendError>;

    /// Numbers of the removed payloads, from `from` on.
    fn removed_rows(&self, from: u64) -> Result<Vec<u64>, BackendError>;

    /// The chunks of the list with this number, from the one at byte `from` on.
    fn list_rows(&self, number: u64, from: u64) -> Result<Vec<ListedChunk>, BackendError>;

    /// Blocks from a leaf index on, each with the number of its content's payload; at most `limit`. Their headers were checked
    /// against their stored block hashes.
    fn block_rows(&self, from: u64, limit: usize) -> Result<Vec<(DagBlock, u64)>, BackendError>;

    /// All named values, at most [`BULK_ROWS_MAX`].
    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, BackendError>;

    /// Notes of a kind, from a number on.
    fn notes(&self, kind: NoteKind, from: u64) -> Result<Vec<Note>, BackendError>;

    /// Keeps notes of another backend under their numbers, each in place of the one that has its number. For a repository that is
    /// being made anew; where notes contradict each other, none of them is kept.
    fn keep_notes(&self, notes: &[Note]) -> Result<(), BackendError>;
}
