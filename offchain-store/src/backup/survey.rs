//! Reading a backup back: whether its files are what was written, belong together, and hold all that a snapshot names.

use super::{
    FolderError, Snapshot,
    absent::read_absent,
    folder::{Folder, file_error},
    manifest::SnapshotManifest,
    segment::{SegmentReader, stated_digest},
    sequence::{self, Sequence, Wrong},
};
use crate::{
    backend::BackendError,
    compress,
    dictionary::{self, Shelf},
    plain_file,
    record::{Decoder, Kind, ListPart, RecordError},
    sqlite::scratch::Scratch,
};
use pakit_primitives::{ContentHash, Head, Header, MetadataHash, SoftwareHasher, hasher::Digest, log::Accumulator};
use roaring::RoaringTreemap;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

/// Whether the files are there that a snapshot names, have the lengths that it says, and end as it says. Reads none of them.
pub(super) fn check_presence(folder: &Folder, manifest: &SnapshotManifest) -> Result<(), FolderError> {
    let mut bytes = 0u64;
    for number in manifest.first_segment..=manifest.last_segment {
        let path = folder.segment(number);
        let metadata = plain_file::metadata(&path).map_err(|error| file_error(&path, error.into()))?;
        bytes = bytes.saturating_add(metadata.len());
    }
    let last = folder.segment(manifest.last_segment);
    if bytes != manifest.bytes {
        return Err(FolderError::misfit(&last, "the segments up to it do not have the length that the snapshot says"));
    }
    if stated_digest(&last)? != manifest.digest {
        return Err(FolderError::misfit(&last, "it is not the segment that the snapshot names"));
    }
    if let Some(absent) = &manifest.absent {
        let path = folder.absent(absent.snapshot);
        plain_file::metadata(&path).map_err(|error| file_error(&path, error.into()))?;
    }
    Ok(())
}

/// The segments of a series, in their order.
pub(super) struct Series<'a> {
    folder: &'a Folder,
    manifest: &'a SnapshotManifest,
    number: u64,
    previous: Digest,
}

impl<'a> Series<'a> {
    pub(super) fn of(folder: &'a Folder, manifest: &'a SnapshotManifest) -> Self {
        Self { folder, manifest, number: manifest.first_segment, previous: [0; 32] }
    }

    /// The next segment up to the snapshot's last, if it goes on where the one before ended.
    pub(super) fn open_next(&mut self) -> Result<Option<SegmentReader>, FolderError> {
        if self.number > self.manifest.last_segment {
            return Ok(None);
        }
        let reader = SegmentReader::open(&self.folder.segment(self.number))?;
        let start = reader.start();
        let follows = start.number == self.number
            && start.previous == self.previous
            && start.genesis == self.manifest.genesis()
            && start.instance == self.manifest.instance;
        if follows {
            Ok(Some(reader))
        } else {
            Err(FolderError::misfit(reader.path(), "it does not follow the one before"))
        }
    }

    /// Tells that a segment was read to its end, and what its digest is.
    pub(super) fn ended(&mut self, digest: Digest) {
        self.previous = digest;
        self.number += 1;
    }

    /// The next segment for whoever has read all of the series before, and now skips through it.
    pub(super) fn open_again(&mut self) -> Result<Option<SegmentReader>, FolderError> {
        if self.number > self.manifest.last_segment {
            return Ok(None);
        }
        let reader = SegmentReader::open(&self.folder.segment(self.number))?;
        self.number += 1;
        Ok(Some(reader))
    }
}

/// What a series holds, and what a log of a size needs of it: a few bits for each payload.
#[derive(Default, Debug)]
pub(super) struct Survey {
    pub(super) chunks: RoaringTreemap,
    /// Chunks that were copied more than once, and the stored bytes of the first copy, which is the one that is restored.
    pub(super) repeated: BTreeMap<u64, u64>,
    lists: RoaringTreemap,
    /// Payloads that the blocks name.
    pub(super) contents: RoaringTreemap,
    /// Chunks that the lists among those name.
    pub(super) parts: RoaringTreemap,
    /// Payloads that blocks name and that were absent.
    pub(super) absent: RoaringTreemap,
    /// Payloads that a block names before they stand in the series: they had been removed, and were put again.
    pub(super) late: RoaringTreemap,
    /// Lists that name a chunk before it stands in the series.
    early: RoaringTreemap,
}

/// Reads all segments of a snapshot and checks them: that they are whole, follow each other and give the snapshot's root. What
/// is needed is taken of the log's first `size` blocks. `progress` is told of bytes read.
pub(super) fn read_all(
    folder: &Folder,
    manifest: &SnapshotManifest,
    size: u64,
    checks: &Checks<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Survey, FolderError> {
    let mut walk = Walk {
        size,
        survey: Survey::default(),
        log: Accumulator::default(),
        sequence: Sequence::default(),
        settings: nothing(),
    };
    let mut series = Series::of(folder, manifest);
    let mut bytes = 0;
    while let Some(mut reader) = series.open_next()? {
        let number = reader.start().number;
        while let Some((kind, body)) = reader.next()? {
            progress(body.len() as u64);
            walk.record(kind, &body, &reader, checks)?;
        }
        bytes += reader.len();
        let path = reader.path().to_owned();
        let digest = reader.finish()?;
        let head = walk.log.head();
        let ends = checks.ends.iter().filter(|end| end.last_segment == number);
        for end in ends.clone() {
            check_held(folder, end, &walk.survey, &absent_of(folder, end)?)?;
        }
        for end in ends.chain((manifest.last_segment == number).then_some(manifest)) {
            if end.digest != digest || end.bytes != bytes {
                return Err(FolderError::misfit(&path, "it is not the segment that the snapshot names"));
            }
            if end.settings != walk.settings && end.settings != nothing() {
                return Err(FolderError::misfit(&path, "the settings up to it are not those that the snapshot names"));
            }
            if head != Some(Head { size: end.size, root: end.root() }) {
                return Err(FolderError::misfit(
                    &path,
                    "the blocks up to it do not give the root that the snapshot names",
                ));
            }
        }
        series.ended(digest);
    }
    Ok(walk.survey)
}

/// The digest of settings where there are none.
fn nothing() -> Digest {
    *blake3::hash(&[]).as_bytes()
}

/// What is checked beyond the files' own checksums.
#[derive(Default)]
pub(super) struct Checks<'a> {
    /// With these, each chunk is restored and hashed.
    dictionaries: Option<Dictionaries>,
    /// With this, each payload's number is that of one content wherever it stands.
    names: Option<Names>,
    /// Snapshots of the series that end before the one that is read.
    pub(super) ends: &'a [SnapshotManifest],
}

/// Which content each payload's number stands for, by the chunks and lists that hold it and by the blocks and lists that name it. A
/// payload may be held after it is named, where it was put again: so all is noted down, on the disk, and compared in the end.
struct Names(Scratch);

/// A number that stands for two contents.
const TWO_CONTENTS: &str = "it names a payload by the number of another content, or with another size";

impl Names {
    fn new() -> Result<Self, FolderError> {
        Scratch::new().map(Self).map_err(FolderError::Notes)
    }

    fn note(&self, path: &Path, noted: Result<bool, BackendError>) -> Result<(), FolderError> {
        match noted.map_err(FolderError::Notes)? {
            true => Ok(()),
            false => Err(FolderError::misfit(path, TWO_CONTENTS)),
        }
    }

    /// Of a chunk that is held twice, the stored bytes of the first copy count.
    fn hold(
        &self,
        path: &Path,
        number: u64,
        hash: &ContentHash,
        original_size: u64,
        stored_size: u64,
    ) -> Result<(), FolderError> {
        self.note(path, self.0.hold_payload(number, hash, original_size, stored_size))
    }

    fn name(&self, path: &Path, number: u64, hash: &ContentHash, original_size: u64) -> Result<(), FolderError> {
        self.note(path, self.0.name_payload(number, hash, original_size))
    }

    /// A list says how many stored bytes a chunk has.
    fn name_stored(&self, number: u64, stored_size: u64) -> Result<(), FolderError> {
        self.0.name_stored(number, stored_size).map_err(FolderError::Notes)
    }

    /// The metadata that a block names has to stand before it, or before an earlier one, and to be what its hash says.
    fn metadata(&self, path: &Path, header: &Header, map: Option<&(MetadataHash, &[u8])>) -> Result<(), FolderError> {
        if let Some((hash, bytes)) = map {
            if blake3::hash(bytes).as_bytes() != hash.as_bytes() {
                return Err(FolderError::misfit(path, "a block's metadata does not have its hash"));
            }
            self.0.hold_map(hash).map_err(FolderError::Notes)?;
        } else if header.metadata_hash.is_some()
            && !self.0.holds_map(&header.metadata_hash).map_err(FolderError::Notes)?
        {
            return Err(FolderError::misfit(path, "a block names metadata that does not stand before it"));
        }
        Ok(())
    }

    /// What is known only in the end. Chunks in `repeated` were copied more than once, and lists may name the size of any copy.
    fn compare(&self, path: &Path, repeated: &BTreeMap<u64, u64>) -> Result<(), FolderError> {
        self.note(path, self.0.names_fit())?;
        let mut after = None;
        loop {
            let page = self.0.stored_misfits(after, MISFITS_PAGE).map_err(FolderError::Notes)?;
            if page.iter().any(|number| !repeated.contains_key(number)) {
                return Err(FolderError::misfit(path, "a list gives a chunk another stored size"));
            }
            match page.last() {
                Some(last) => after = Some(*last),
                None => return Ok(()),
            }
        }
    }
}

/// Chunks with two stored sizes that are looked at at once.
const MISFITS_PAGE: usize = 1_024;

/// What chunks of a series were compressed against. It stands among the settings, behind the chunks.
#[derive(Default, Debug)]
struct Dictionaries {
    settings: HashMap<String, Vec<u8>>,
    shelf: Shelf,
}

/// Settings that are remembered for their dictionaries, and the greatest of them in bytes; more than a repository has.
const DICTIONARIES_MAX: usize = 2_048;
const DICTIONARY_BYTES_MAX: usize = 128 << 10;

impl Dictionaries {
    fn read(folder: &Folder, manifest: &SnapshotManifest) -> Result<Self, FolderError> {
        let mut settings = HashMap::new();
        let mut series = Series::of(folder, manifest);
        while let Some(mut reader) = series.open_again()? {
            while let Some(body) = reader.next_of(Kind::Settings)? {
                let read = sequence::settings::<RecordError>(&body, |key, value| {
                    let is_one = key.starts_with(dictionary::SETTINGS) && value.len() <= DICTIONARY_BYTES_MAX;
                    if is_one && settings.len() < DICTIONARIES_MAX {
                        settings.insert(key.to_owned(), value.to_vec());
                    }
                    Ok(())
                });
                read.map_err(|source| reader.damaged(source))?;
            }
        }
        Ok(Self { settings, shelf: Shelf::default() })
    }
}

impl From<FolderError> for Wrong<FolderError> {
    fn from(error: FolderError) -> Self {
        Self::Reader(error)
    }
}

struct Walk {
    size: u64,
    survey: Survey,
    log: Accumulator<SoftwareHasher>,
    sequence: Sequence,
    /// Digest of the last settings.
    settings: Digest,
}

impl Walk {
    fn record(
        &mut self,
        kind: Kind,
        body: &[u8],
        reader: &SegmentReader,
        checks: &Checks<'_>,
    ) -> Result<(), FolderError> {
        let damaged = |source| reader.damaged(source);
        match kind {
            Kind::Chunks => self.chunks(body, reader, checks),
            Kind::List => self.list(body, reader, checks),
            Kind::Blocks => self.blocks(body, reader, checks),
            Kind::Settings => {
                // An empty one says nothing.
                if !body.is_empty() {
                    self.settings = *blake3::hash(body).as_bytes();
                }
                sequence::settings(body, |_, _| Ok(())).map_err(damaged)
            }
            Kind::Notes => {
                let mut from = Decoder::new(body);
                while !from.is_empty() {
                    from.note().map_err(damaged)?;
                }
                Ok(())
            }
            Kind::Marks => Ok(()),
            Kind::Absent => Err(damaged(RecordError::UnknownKind)),
        }
    }

    fn chunks(&mut self, body: &[u8], reader: &SegmentReader, checks: &Checks<'_>) -> Result<(), FolderError> {
        let read = sequence::chunks(body, |entry| {
            if let Some(Dictionaries { settings, shelf }) = &checks.dictionaries {
                let dictionary = |number| shelf.get(number, |key| Ok(settings.get(key).cloned()));
                let plain = compress::decompress(entry.compression, entry.bytes, entry.original_size, dictionary);
                let is_right = plain.is_ok_and(|plain| blake3::hash(&plain).as_bytes() == entry.chunk_hash.as_bytes());
                if !is_right {
                    let chunk = FolderError::Chunk { path: reader.path().to_owned(), chunk_hash: entry.chunk_hash };
                    return Err(Wrong::Reader(chunk));
                }
            }
            if let Some(names) = &checks.names {
                let (original_size, stored_size) = (entry.original_size.into(), entry.bytes.len() as u64);
                names.hold(reader.path(), entry.number, &entry.chunk_hash, original_size, stored_size)?;
            }
            if !self.survey.chunks.insert(entry.number) {
                self.survey.repeated.entry(entry.number).or_insert(u64::MAX);
            }
            Ok(())
        });
        read.map_err(|wrong| wrong.in_file(reader))
    }

    fn list(&mut self, body: &[u8], reader: &SegmentReader, checks: &Checks<'_>) -> Result<(), FolderError> {
        let part = self.sequence.list(body).map_err(|source| reader.damaged(source))?;
        if let Some(names) = &checks.names {
            names.hold(reader.path(), part.number, &part.content_hash, part.original_size, 0)?;
            for chunk in &part.chunks {
                names.name(reader.path(), chunk.number, &chunk.chunk_hash, chunk.original_size.into())?;
                names.name_stored(chunk.number, chunk.stored_size)?;
            }
        }
        if part.chunks.iter().any(|chunk| !self.survey.chunks.contains(chunk.number)) {
            self.survey.early.insert(part.number);
        }
        if part.is_last {
            self.survey.lists.insert(part.number);
        }
        Ok(())
    }

    fn blocks(&mut self, body: &[u8], reader: &SegmentReader, checks: &Checks<'_>) -> Result<(), FolderError> {
        let Self { size, survey, log, sequence, .. } = self;
        let read = sequence.blocks::<Wrong<_>>(body, |logged| {
            let (header, payload) = (logged.block.header(), logged.payload);
            if let Some(names) = &checks.names {
                names.name(reader.path(), payload, &header.content_hash, header.original_size)?;
                names.metadata(reader.path(), header, logged.map.as_ref())?;
            }
            if header.leaf_index < *size {
                survey.contents.insert(payload);
                if !survey.chunks.contains(payload) && !survey.lists.contains(payload) {
                    survey.late.insert(payload);
                }
            }
            log.append(&logged.block.block_hash(), |_, _, _| {});
            Ok(())
        });
        read.map_err(|wrong| wrong.in_file(reader))
    }
}

/// Finds, in a series that was read, which chunks the needed lists name, and whether everything is there that is needed.
pub(super) fn settle(folder: &Folder, manifest: &SnapshotManifest, survey: &mut Survey) -> Result<(), FolderError> {
    let absent = absent_of(folder, manifest)?;
    check_held(folder, manifest, survey, &absent)?;
    survey.absent = &survey.contents & &absent;
    let mut series = Series::of(folder, manifest);
    while let Some(mut reader) = series.open_again()? {
        while let Some(body) = reader.next_of(Kind::List)? {
            let part = ListPart::decode(&body).map_err(|source| reader.damaged(source))?;
            if survey.contents.contains(part.number) && !survey.absent.contains(part.number) {
                survey.parts.extend(part.chunks.iter().map(|chunk| chunk.number));
            }
        }
    }
    // A content that was removed is needed all the same where it is a chunk of another that was not.
    survey.absent -= &survey.parts;
    if survey.repeated.is_empty() {
        return Ok(());
    }
    first_copies(folder, manifest, &mut survey.repeated)
}

/// Numbers of the payloads that were absent from a snapshot.
fn absent_of(folder: &Folder, manifest: &SnapshotManifest) -> Result<RoaringTreemap, FolderError> {
    let mut absent = RoaringTreemap::new();
    read_absent(folder, manifest, &mut |number| {
        absent.insert(number);
    })?;
    Ok(absent)
}

/// Whether everything stands in a series, as far as it was read, that a snapshot needs which ends there. Of a list that stands behind all
/// chunks that it names, these are there too.
fn check_held(
    folder: &Folder,
    manifest: &SnapshotManifest,
    survey: &Survey,
    absent: &RoaringTreemap,
) -> Result<(), FolderError> {
    let misfit = |what| Err(FolderError::misfit(&folder.snapshot(manifest.number), what));
    let needed = &survey.contents - absent;
    if !needed.is_subset(&(&survey.chunks | &survey.lists)) {
        return misfit("blocks name payloads that the backup does not hold");
    }
    if !needed.is_disjoint(&survey.early) {
        return misfit("a list stands before a chunk that it names");
    }
    Ok(())
}

/// Stored bytes of the first copy of each chunk that was copied more than once.
fn first_copies(
    folder: &Folder,
    manifest: &SnapshotManifest,
    repeated: &mut BTreeMap<u64, u64>,
) -> Result<(), FolderError> {
    let mut series = Series::of(folder, manifest);
    while let Some(mut reader) = series.open_again()? {
        while let Some(body) = reader.next_of(Kind::Chunks)? {
            let read = sequence::chunks::<RecordError>(&body, |entry| {
                if let Some(stored) = repeated.get_mut(&entry.number).filter(|stored| **stored == u64::MAX) {
                    *stored = entry.bytes.len() as u64;
                }
                Ok(())
            });
            read.map_err(|source| reader.damaged(source))?;
        }
    }
    Ok(())
}

/// What a backup was found to hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The snapshots, all of which can be restored.
    pub snapshots: Vec<Snapshot>,
    /// Segments that were read.
    pub segments: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Chunks that were restored and hashed.
    pub chunks: u64,
}

/// Reads a whole backup and checks that each of its snapshots can be restored: every byte against checksums, every chunk
/// restored and against its hash, every header and every root, and that each number of a payload stands for one content, its own.
/// What the numbers stand for is noted down in a temporary file, about 50 bytes for each payload. `progress` is told of (bytes read, bytes in all).
pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, FolderError> {
    let folder = Folder::open(dir)?;
    let manifests = folder.manifests()?;
    manifests.iter().try_for_each(|manifest| check_presence(&folder, manifest))?;
    let mut series: BTreeMap<u64, Vec<SnapshotManifest>> = BTreeMap::new();
    for manifest in &manifests {
        series.entry(manifest.first_segment).or_default().push(manifest.clone());
    }
    let total = series.values().filter_map(|manifests| manifests.last()).map(|newest| newest.bytes).sum();
    let snapshots = manifests.iter().map(Snapshot::from).collect();
    let mut verified = Verified { snapshots, segments: 0, bytes: total, chunks: 0 };
    let mut done = 0;
    for mut manifests in series.into_values() {
        let Some(newest) = manifests.pop() else { continue };
        refuse_disorder(&folder, &manifests, &newest)?;
        let dictionaries = Some(Dictionaries::read(&folder, &newest)?);
        let checks = Checks { dictionaries, names: Some(Names::new()?), ends: &manifests };
        let mut survey = read_all(&folder, &newest, newest.size, &checks, &mut |bytes| {
            done += bytes;
            progress(done.min(total), total);
        })?;
        settle(&folder, &newest, &mut survey)?;
        if let Some(names) = &checks.names {
            names.compare(&folder.snapshot(newest.number), &survey.repeated)?;
        }
        verified.segments += newest.last_segment - newest.first_segment + 1;
        verified.chunks += survey.chunks.len();
    }
    progress(total, total);
    Ok(verified)
}

/// Snapshots of one series are of one repository, and each goes on where the one before ended.
fn refuse_disorder(
    folder: &Folder,
    earlier: &[SnapshotManifest],
    newest: &SnapshotManifest,
) -> Result<(), FolderError> {
    for pair in earlier.iter().chain([newest]).collect::<Vec<_>>().windows(2) {
        let [before, after] = pair else { continue };
        let is_ordered = before.last_segment < after.last_segment
            && before.size <= after.size
            && before.payload_next <= after.payload_next
            && before.instance == after.instance;
        if !is_ordered {
            let path: PathBuf = folder.snapshot(after.number);
            return Err(FolderError::misfit(&path, "it does not go on where the snapshot before it ends"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
