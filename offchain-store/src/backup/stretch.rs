//! The segments that a snapshot adds to a series, also behind those that a killed process had finished.

use super::{
    BackupError, FolderError, RecordError,
    folder::Folder,
    manifest::SnapshotManifest,
    segment::{SegmentReader, SegmentStart, SegmentWriter},
};
use crate::record::{self, Decoder, Kind};
use pakit_primitives::{BlockHash, hasher::Digest};
use roaring::RoaringTreemap;
use std::path::Path;

/// What a process that was killed had copied into segments that it finished.
#[derive(Default, Debug)]
pub(super) struct Resumed {
    /// Payloads below this number were looked at.
    pub(super) below: u64,
    pub(super) copied: RoaringTreemap,
    pub(super) lists: RoaringTreemap,
    pub(super) absent: RoaringTreemap,
}

/// The segments that a snapshot adds.
pub(super) struct Segments<'a> {
    folder: &'a Folder,
    start: SegmentStart,
    first: u64,
    bytes: u64,
    added_bytes: u64,
    bytes_max: u64,
    open: Option<SegmentWriter>,
    pub(super) resumed: Option<Resumed>,
}

/// The segments of a snapshot, finished.
pub(super) struct Stretch {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) added_bytes: u64,
}

impl<'a> Segments<'a> {
    /// Goes on behind the segments of a snapshot, and behind those that a killed process finished after them. Segments that do
    /// not belong there, and that no snapshot names, are removed.
    pub(super) fn go_on(
        folder: &'a Folder,
        base: Option<&SnapshotManifest>,
        genesis: BlockHash,
        instance: [u8; 16],
        bytes_max: u64,
    ) -> Result<Self, BackupError> {
        let named = folder.manifests()?.iter().map(|manifest| manifest.last_segment).max().unwrap_or(0);
        let number = named.checked_add(1).ok_or_else(|| FolderError::TooManyFiles(folder.dir().to_owned()))?;
        let start = SegmentStart { number, previous: base.map_or([0; 32], |base| base.digest), genesis, instance };
        let first = base.map_or(number, |base| base.first_segment);
        let bytes = base.map_or(0, |base| base.bytes);
        let mut segments = Self { folder, start, first, bytes, added_bytes: 0, bytes_max, open: None, resumed: None };
        for number in folder.segments()?.into_iter().filter(|number| *number > named) {
            let path = folder.segment(number);
            match segments.resume(&path) {
                Ok(true) => {}
                Ok(false) | Err(FolderError::Record { .. }) => folder.remove(&path)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(segments)
    }

    /// Takes a segment over if it is whole, comes next, and says up to where it is complete.
    fn resume(&mut self, path: &Path) -> Result<bool, FolderError> {
        let mut reader = SegmentReader::open(path)?;
        if reader.start() != self.start {
            return Ok(false);
        }
        let mut found = Resumed::default();
        let mut is_marked = false;
        while let Some((kind, body)) = reader.next()? {
            let read = match kind {
                Kind::Chunks => record::chunks(&body, |entry| {
                    found.copied.insert(entry.number);
                    Ok(())
                }),
                Kind::Marks => read_marks(&body, &mut found),
                // Everything else comes after the chunks, and is made anew.
                _ => return Ok(false),
            };
            read.map_err(|source| reader.damaged(source))?;
            is_marked = kind == Kind::Marks;
        }
        let len = reader.len();
        let digest = reader.finish()?;
        if !is_marked {
            return Ok(false);
        }
        self.ended(digest, len)?;
        let resumed = self.resumed.get_or_insert_default();
        resumed.below = found.below.max(resumed.below);
        resumed.copied |= found.copied;
        resumed.lists |= found.lists;
        resumed.absent |= found.absent;
        Ok(true)
    }

    pub(super) fn record(&mut self, kind: Kind, body: &[u8]) -> Result<(), FolderError> {
        let writer = match &mut self.open {
            Some(writer) => writer,
            open => open.insert(SegmentWriter::create(&self.folder.segment(self.start.number), self.start)?),
        };
        writer.record(kind, body)
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|writer| writer.len() >= self.bytes_max)
    }

    /// Whether nothing was written yet.
    pub(super) fn is_empty(&self) -> bool {
        self.added_bytes == 0 && self.open.is_none()
    }

    /// Finishes the segment that is being written.
    pub(super) fn end(&mut self) -> Result<(), FolderError> {
        let Some(writer) = self.open.take() else { return Ok(()) };
        let (digest, len) = writer.finish()?;
        self.ended(digest, len)
    }

    fn ended(&mut self, digest: Digest, len: u64) -> Result<(), FolderError> {
        self.bytes += len;
        self.added_bytes += len;
        self.start.previous = digest;
        let next = self.start.number.checked_add(1);
        self.start.number = next.ok_or_else(|| FolderError::TooManyFiles(self.folder.dir().to_owned()))?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Stretch, FolderError> {
        self.end()?;
        let Self { first, bytes, added_bytes, start, .. } = self;
        Ok(Stretch { first, last: start.number - 1, digest: start.previous, bytes, added_bytes })
    }
}

fn read_marks(body: &[u8], found: &mut Resumed) -> Result<(), RecordError> {
    let mut from = Decoder::new(body);
    found.below = from.number()?;
    from.ascending(|number| {
        found.lists.insert(number);
    })?;
    from.ascending(|number| {
        found.absent.insert(number);
    })?;
    from.end()
}
