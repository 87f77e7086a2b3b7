//! Taking a snapshot.
//!
//! The repository is written meanwhile, and no long transaction holds it still. How far it reaches is asked first, once; then
//! everything below is read, row by row. Blocks and payloads are only appended and their numbers never given twice, so rows
//! below that extent say the same whenever they are read, with one exception: a payload can be removed, and kept again. So,
//! in this order:
//!
//! 1. Chunks below the extent are copied. A row that is not there or has no bytes is remembered by its number.
//! 2. The numbers of all removed payloads are read. They count as absent, also if they were copied a moment before.
//! 3. Lists are copied, but only those all of whose chunks were copied, now or in an earlier snapshot, and are not absent.
//!    One that names others was removed and put again meanwhile; it is absent from this snapshot.
//! 4. Blocks are copied. Each names a payload below the extent, and that is either whole in the backup or absent.
//!
//! What is absent is looked at again by every later snapshot until it is there or its row is gone.

use super::{
    BackupError, BackupOptions, FolderError, SETTING_INSTANCE, Snapshot,
    absent::{keep_absent, read_absent},
    folder::Folder,
    manifest::{self, Mark, SnapshotManifest},
    stretch::Segments,
};
use crate::{
    backend::BackendError,
    bulk::{BulkBackend, Extent, Note, NoteKind, StoredPayload},
    log::{LogAppender, LogReader},
    record::{ChunkGroup, Encoder, Kind, ListPart, PartChunk},
};
use lru::LruCache;
use pakit_primitives::{ContentHash, Head, MetadataHash, hasher::Digest};
use roaring::RoaringTreemap;
use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Bytes of chunks that are read at once.
const READ_BYTES: usize = 8 << 20;
/// Bytes after which a record ends.
const RECORD_BYTES: usize = 1 << 20;
/// Blocks that are read at once.
const BLOCKS_PAGE: usize = 4_096;
/// Metadata maps that are remembered as written. One that was forgotten is written again.
const METADATA_REMEMBERED: NonZeroUsize = NonZeroUsize::new(65_536).expect("is not 0; qed");

/// Takes a snapshot of a repository into `dir`: everything, or what was added since the last one there. On return it is on the
/// disk. `progress` is told of (bytes of chunks copied, bytes of chunks in all, about).
pub fn back_up(
    backend: &dyn BulkBackend,
    dir: &Path,
    options: &BackupOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Snapshot, BackupError> {
    let genesis = backend.block(0)?.ok_or(BackupError::Empty)?.block_hash();
    let folder = Folder::open_or_make(dir, genesis)?;
    if folder.genesis() != genesis {
        return Err(BackupError::OtherRepository { dir: dir.to_owned(), backed_up: folder.genesis(), genesis });
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| BackupError::Clock)?;
    let time_ms = u64::try_from(since_1970.as_millis()).map_err(|_| BackupError::Clock)?;
    let instance: [u8; 16] = backend
        .setting(SETTING_INSTANCE)?
        .and_then(|value| value.try_into().ok())
        // Made before instances had names: known by its log and its mark alone.
        .unwrap_or_default();
    let numbers = folder.snapshots()?;
    let last = numbers.last().map(|number| folder.manifest(*number)).transpose()?;
    let extent = backend.extent()?;
    if let Some(last) = &last {
        check_continues(backend, extent, last)?;
    }
    let base = match last {
        Some(last) if !options.is_full && is_same_numbering(backend, extent, instance, &last)? => Some(last),
        _ => None,
    };
    let number = numbers.last().map_or(Some(1), |last| last.checked_add(1));
    let number = number.ok_or_else(|| FolderError::TooManyFiles(dir.to_owned()))?;
    let payload_bytes = backend.totals()?.stored_bytes;
    let before = base.as_ref().map_or(0, |base| base.payload_bytes);
    let segments = Segments::go_on(&folder, base.as_ref(), genesis, instance, options.segment_bytes)?;
    let mut taking = Taking {
        backend,
        folder: &folder,
        extent,
        base: base.as_ref(),
        segments,
        copied: RoaringTreemap::new(),
        lists: RoaringTreemap::new(),
        absent: RoaringTreemap::new(),
        unmarked: Unmarked::default(),
        group: ChunkGroup::default(),
        mark: None,
        bytes_done: 0,
        bytes_expected: payload_bytes.saturating_sub(before),
        progress,
    };
    let Taken { head, settings, notes_from, mark } = taking.run()?;
    let (segments, absent) = (taking.segments, taking.absent);
    let stretch = segments.finish()?;
    let absent = keep_absent(&folder, number, base.as_ref(), &absent)?;
    let mut manifest = SnapshotManifest {
        format: SnapshotManifest::format_name(),
        number,
        time_ms,
        genesis: genesis.to_bytes(),
        instance,
        size: head.size,
        root: head.root.to_bytes(),
        payload_next: extent.payload_next,
        payload_bytes,
        first_segment: stretch.first,
        last_segment: stretch.last,
        digest: stretch.digest,
        bytes: stretch.bytes,
        added_bytes: stretch.added_bytes + absent.added_bytes,
        absent: absent.file,
        settings,
        notes_from,
        mark: mark.or(base.and_then(|base| base.mark)),
        checksum: [0; 32],
    };
    manifest::write(&folder.snapshot(number), &mut manifest)?;
    Ok((&manifest).into())
}

/// A backup is added to only by a repository whose log extends what is backed up.
fn check_continues(backend: &dyn BulkBackend, extent: Extent, last: &SnapshotManifest) -> Result<(), BackupError> {
    if extent.blocks < last.size {
        return Err(BackupError::RepositoryOlder { backed_up: last.size, size: extent.blocks });
    }
    let then = LogReader::new(backend).head_at(last.size)?;
    if then.root == last.root() { Ok(()) } else { Err(BackupError::Diverged(last.size)) }
}

/// Whether the repository's payload numbers are those of the snapshot. They are not in a repository that was itself restored,
/// nor where a power cut took back commits that were backed up already.
fn is_same_numbering(
    backend: &dyn BulkBackend,
    extent: Extent,
    instance: [u8; 16],
    last: &SnapshotManifest,
) -> Result<bool, BackendError> {
    if instance != last.instance || extent.payload_next < last.payload_next {
        return Ok(false);
    }
    let Some(mark) = last.mark else { return Ok(true) };
    let rows = backend.payload_rows(mark.number, mark.number.saturating_add(1), 1)?;
    Ok(rows.first().and_then(|(_, row)| hash_of(row)).is_none_or(|hash| hash.to_bytes() == mark.hash))
}

fn hash_of(row: &StoredPayload) -> Option<ContentHash> {
    match row {
        StoredPayload::Chunk(chunk) => Some(chunk.chunk_hash),
        StoredPayload::List { content_hash, .. } => Some(*content_hash),
        StoredPayload::Absent => None,
    }
}

/// What was seen since the last marks were written.
#[derive(Default, Debug)]
struct Unmarked {
    lists: Vec<u64>,
    absent: Vec<u64>,
}

/// What the manifest says of a snapshot besides its files.
struct Taken {
    head: Head,
    settings: Digest,
    notes_from: u64,
    mark: Option<Mark>,
}

struct Taking<'a> {
    backend: &'a dyn BulkBackend,
    folder: &'a Folder,
    extent: Extent,
    base: Option<&'a SnapshotManifest>,
    segments: Segments<'a>,
    /// Numbers below the extent whose chunks are in the backup, and those that earlier snapshots looked at: what these did not
    /// copy is absent or gone, and what is gone is named by nothing. A bit for each.
    copied: RoaringTreemap,
    /// Lists that are to be copied.
    lists: RoaringTreemap,
    absent: RoaringTreemap,
    unmarked: Unmarked,
    group: ChunkGroup,
    mark: Option<Mark>,
    bytes_done: u64,
    bytes_expected: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Taking<'_> {
    fn run(&mut self) -> Result<Taken, BackupError> {
        self.chunks()?;
        self.removed()?;
        self.lists()?;
        let head = self.blocks()?;
        let settings = self.settings()?;
        let notes_from = self.notes()?;
        Ok(Taken { head, settings, notes_from, mark: self.mark })
    }

    fn chunks(&mut self) -> Result<(), BackupError> {
        let mut from = 0;
        let mut again = RoaringTreemap::new();
        if let Some(base) = self.base {
            from = base.payload_next;
            self.copied.insert_range(0..from);
            read_absent(self.folder, base, &mut |number| {
                again.insert(number);
            })?;
        }
        let resumed = std::mem::take(&mut self.segments.resumed);
        if let Some(resumed) = resumed {
            // What a killed process copied of chunks stays. What it found absent may be there by now.
            from = from.max(resumed.below);
            self.copied |= resumed.copied;
            self.lists |= resumed.lists;
            again |= resumed.absent;
        }
        self.copied -= &again;
        for number in again {
            for (number, row) in self.backend.payload_rows(number, number.saturating_add(1), 1)? {
                self.payload(number, row, from)?;
            }
        }
        let below = self.extent.payload_next;
        while from < below {
            let rows = self.backend.payload_rows(from, below, READ_BYTES)?;
            let Some((newest, _)) = rows.last() else { break };
            from = newest.saturating_add(1);
            for (number, row) in rows {
                self.payload(number, row, number)?;
            }
            (self.progress)(self.bytes_done.min(self.bytes_expected), self.bytes_expected);
        }
        self.end_group()
    }

    /// Copies a chunk, or remembers that the row is something else. All payloads below `read_below` were looked at.
    fn payload(&mut self, number: u64, row: StoredPayload, read_below: u64) -> Result<(), BackupError> {
        if let Some(hash) = hash_of(&row)
            && self.mark.is_none_or(|mark| mark.number < number)
        {
            self.mark = Some(Mark { number, hash: hash.to_bytes() });
        }
        match row {
            StoredPayload::Chunk(chunk) => {
                if self.group.len() > 0 && self.group.len() + chunk.bytes.len() > RECORD_BYTES {
                    self.end_group()?;
                    if self.segments.is_full() {
                        self.marks(read_below)?;
                    }
                }
                self.group.push(number, &chunk);
                self.copied.insert(number);
                self.bytes_done += chunk.bytes.len() as u64;
            }
            StoredPayload::List { .. } => {
                self.copied.remove(number);
                self.lists.insert(number);
                self.unmarked.lists.push(number);
            }
            StoredPayload::Absent => {
                self.copied.remove(number);
                self.absent.insert(number);
                self.unmarked.absent.push(number);
            }
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), BackupError> {
        if self.group.len() > 0 {
            self.segments.record(Kind::Chunks, &self.group.take())?;
        }
        Ok(())
    }

    /// Ends the segment so that whoever comes after a kill can go on behind it.
    fn marks(&mut self, read_below: u64) -> Result<(), BackupError> {
        let Unmarked { mut lists, mut absent } = std::mem::take(&mut self.unmarked);
        let mut body = Encoder::default();
        body.number(read_below);
        for numbers in [&mut lists, &mut absent] {
            numbers.sort_unstable();
            numbers.dedup();
            body.ascending(numbers.len() as u64, numbers.iter().copied());
        }
        self.segments.record(Kind::Marks, &body.bytes)?;
        Ok(self.segments.end()?)
    }

    fn removed(&mut self) -> Result<(), BackupError> {
        let mut from = 0;
        loop {
            let numbers = self.backend.removed_rows(from)?;
            let Some(last) = numbers.last() else { break };
            from = last.saturating_add(1);
            self.absent.extend(numbers.into_iter().filter(|number| *number < self.extent.payload_next));
        }
        self.copied -= &self.absent;
        self.lists -= &self.absent;
        Ok(())
    }

    fn lists(&mut self) -> Result<(), BackupError> {
        for number in std::mem::take(&mut self.lists) {
            let rows = self.backend.payload_rows(number, number.saturating_add(1), 1)?;
            let is_whole = match rows.into_iter().next() {
                Some((_, StoredPayload::List { content_hash, info })) => {
                    let part = ListPart {
                        number,
                        content_hash,
                        compression: info.compression,
                        original_size: info.original_size,
                        is_first: true,
                        is_last: false,
                        chunks: Vec::new(),
                    };
                    self.list(part)?
                }
                _ => false,
            };
            if !is_whole {
                self.absent.insert(number);
            }
            if self.segments.is_full() {
                self.segments.end()?;
            }
        }
        Ok(())
    }

    /// Copies a list; says whether all of it is in the backup.
    fn list(&mut self, mut part: ListPart) -> Result<bool, BackupError> {
        let mut from = 0;
        loop {
            let page = self.backend.list_rows(part.number, from)?;
            part.chunks.clear();
            for listed in page {
                // Numbers at or above the extent, too, were not copied.
                if listed.chunk.offset != from || !self.copied.contains(listed.number) {
                    return Ok(false);
                }
                from = from.saturating_add(u64::from(listed.chunk.original_size));
                part.chunks.push(PartChunk {
                    number: listed.number,
                    chunk_hash: listed.chunk.chunk_hash,
                    original_size: listed.chunk.original_size,
                    stored_size: listed.stored_size,
                });
            }
            part.is_last = from == part.original_size;
            if part.chunks.is_empty() || from > part.original_size {
                return Ok(false);
            }
            self.segments.record(Kind::List, &part.encode())?;
            if part.is_last {
                return Ok(true);
            }
            part.is_first = false;
        }
    }

    fn blocks(&mut self) -> Result<Head, BackupError> {
        let size = self.extent.blocks;
        let mut from = self.base.map_or(0, |base| base.size);
        let mut log = LogAppender::resume_at(self.backend, from)?;
        let mut written: LruCache<MetadataHash, ()> = LruCache::new(METADATA_REMEMBERED);
        let mut body = Encoder::default();
        let mut audits = self.audits_from(from)?;
        while from < size {
            let left = usize::try_from(size - from).unwrap_or(usize::MAX);
            let page = self.backend.block_rows(from, left.min(BLOCKS_PAGE))?;
            if page.is_empty() {
                return Err(BackendError::Damaged(format!("block {from} is missing")).into());
            }
            for (block, payload) in page {
                let metadata_hash = block.header().metadata_hash;
                if metadata_hash.is_some() && written.put(metadata_hash, ()).is_none() {
                    let map = self.backend.metadata(&metadata_hash)?;
                    let missing = || BackendError::Damaged(format!("the metadata {metadata_hash} is missing"));
                    body.metadata(&metadata_hash, &map.ok_or_else(missing)?);
                }
                let is_audit = audits.front() == Some(&from);
                body.block(payload, &block.header().to_bytes(), is_audit);
                if is_audit {
                    audits.pop_front();
                    if audits.is_empty() {
                        audits = self.audits_from(from + 1)?;
                    }
                }
                log.append(&block, &mut Vec::new())
                    .map_err(|error| BackendError::Damaged(format!("block {from}: {error}")))?;
                from += 1;
                if body.bytes.len() >= RECORD_BYTES {
                    self.segments.record(Kind::Blocks, &std::mem::take(&mut body).bytes)?;
                    if self.segments.is_full() {
                        self.segments.end()?;
                    }
                }
            }
        }
        if !body.bytes.is_empty() {
            self.segments.record(Kind::Blocks, &body.bytes)?;
        }
        // Computed from the headers that were copied: a backup that could not be restored is told when it is made.
        let head = LogReader::new(self.backend).head_at(size)?;
        if log.head() == Some(head) {
            Ok(head)
        } else {
            Err(BackendError::Damaged(format!("the log's nodes do not follow from its first {size} blocks")).into())
        }
    }

    /// The next blocks of the audit trail.
    fn audits_from(&self, from: u64) -> Result<VecDeque<u64>, BackendError> {
        Ok(self.backend.audits(from.checked_sub(1), BLOCKS_PAGE)?.into())
    }

    /// Dictionaries of zstd are among them, and are not written again with each snapshot.
    fn settings(&mut self) -> Result<Digest, BackupError> {
        let mut body = Encoder::default();
        for (key, value) in self.backend.settings()? {
            if key != SETTING_INSTANCE {
                body.setting(&key, &value);
            }
        }
        let digest = *blake3::hash(&body.bytes).as_bytes();
        let is_known = self.base.is_some_and(|base| base.settings == digest);
        // A snapshot has a segment of its own, if only to be named by.
        if !is_known || self.segments.is_empty() {
            let body = if is_known { &[][..] } else { &body.bytes };
            self.segments.record(Kind::Settings, body)?;
        }
        Ok(digest)
    }

    /// All bindings, which are few, and the extrinsics that may have changed. Says from where on they may change yet.
    fn notes(&mut self) -> Result<u64, BackupError> {
        let mut unsettled = None;
        let mut next = self.base.map_or(0, |base| base.notes_from);
        for kind in [NoteKind::Binding, NoteKind::Extrinsic] {
            let mut from = if kind == NoteKind::Binding { 0 } else { next };
            loop {
                let notes = self.backend.notes(kind, from)?;
                let Some(last) = notes.last() else { break };
                from = last.number.saturating_add(1);
                if kind == NoteKind::Extrinsic {
                    let first = notes.iter().find(|note| !note.is_settled).map(|note| note.number);
                    unsettled = unsettled.or(first);
                    next = from;
                }
                self.write_notes(&notes)?;
            }
        }
        Ok(unsettled.unwrap_or(next))
    }

    fn write_notes(&mut self, notes: &[Note]) -> Result<(), BackupError> {
        let mut body = Encoder::default();
        for note in notes {
            body.note(note);
            if body.bytes.len() >= RECORD_BYTES {
                self.segments.record(Kind::Notes, &std::mem::take(&mut body).bytes)?;
            }
        }
        if !body.bytes.is_empty() {
            self.segments.record(Kind::Notes, &body.bytes)?;
        }
        Ok(())
    }
}
