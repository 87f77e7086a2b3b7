//! Packs: files beside the database that hold the larger chunks.
//!
//! A chunk of some KiB in a row of the database is written twice, to the write-ahead log and from there to pages that it
//! rarely fills. In a pack it is written once, to its last byte. A pack is a sequence of records that say themselves what they
//! hold (`record.rs`), so that the rows that name its chunks can be made anew from it.
//!
//! A pack only grows, and counts up to the length that the database tells. What stands beyond was never acknowledged, if the
//! database is sound; whether it is, a commit does not know. So a writer leaves alone whatever it did not write itself and begins a
//! pack of its own, and only compacting, which looks at all rows, removes what none of them names. Whoever commits waits for the
//! pack before the database: what a row names is on the disk.

use crate::{
    backend::{BackendError, StoredChunk},
    config::kind_of,
    plain_file::{self, Links, OpenError},
    record::{self, BodyCheck, ChunkGroup, HEADER_BYTES, Kind, RecordError, RecordHeader},
};
use lru::LruCache;
use pakit_primitives::{Compression, ContentHash};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    num::NonZeroUsize,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Chunks of at least so many stored bytes stand in packs. Beside each are 59 bytes then, its entry there and its place in a row;
/// larger rows fill their pages to nine tenths only.
pub(crate) const PACKED_BYTES_MIN: usize = 1 << 10;
/// A pack takes no further record from this length on.
const PACK_BYTES_MAX: u64 = 512 << 20;
/// Bytes of chunks after which a record ends.
const RECORD_BYTES: usize = 1 << 20;
/// The folder of the packs, within the repository's.
pub(crate) const FOLDER: &str = "packs";
/// First bytes of a pack, before its number.
const MAGIC: [u8; 8] = *b"PKTPACK1";
/// Bytes before the first record.
pub(crate) const PACK_HEADER_BYTES: u64 = 16;
/// Chunks up to this length are read without a look at the file's length.
const UNCHECKED_BYTES_MAX: u32 = 1 << 20;
/// Bytes of a record that are looked at at once.
const CHECKED_BYTES: usize = 256 << 10;
/// Packs that are open for reading at once.
const OPEN_FILES_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Where the stored bytes of a chunk stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) pack: u32,
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

/// Bytes of a place in a row.
const PLACE_BYTES: usize = 16;

impl Place {
    /// As a row keeps it: pack, length and offset, little endian.
    pub(crate) fn to_bytes(self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        bytes[..4].copy_from_slice(&self.pack.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    /// Offset of the byte behind.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.length))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (pack, rest) = bytes.split_first_chunk::<4>()?;
        let (length, offset) = rest.split_first_chunk::<4>()?;
        let offset = u64::from_le_bytes(offset.try_into().ok()?);
        Some(Self { pack: u32::from_le_bytes(*pack), offset, length: u32::from_le_bytes(*length) })
    }
}

/// A chunk's stored bytes, or where they stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    Here(Vec<u8>),
    Packed(Place),
}

/// Up to where packs are written: the last one's number and its length. (0, 0) before there is any.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct End {
    pub(crate) pack: u32,
    pub(crate) bytes: u64,
}

/// The greatest number of a pack: a file's name has eight digits.
pub(crate) const NUMBER_MAX: u32 = 99_999_999;

/// The pack of a number.
pub(crate) fn path(repository: &Path, pack: u32) -> PathBuf {
    repository.join(FOLDER).join(format!("{pack:08}.pack"))
}

/// Opens a pack, which has to be a file: a check looks at what stands in the folder, a repair writes it anew and compacting cuts and
/// removes it there, so that reading what a link leads to would be to read what none of them knows.
pub(crate) fn open(repository: &Path, pack: u32, options: &mut OpenOptions) -> io::Result<File> {
    match plain_file::open_with(options, &path(repository, pack), Links::Refused) {
        Ok((file, _)) => Ok(file),
        Err(OpenError::NotAFile(what)) => Err(io::Error::other(refusal(pack, what))),
        Err(OpenError::Io(error)) => Err(error),
    }
}

fn open_to_read(repository: &Path, pack: u32) -> io::Result<File> {
    open(repository, pack, File::options().read(true))
}

/// What is said of a pack that is no file.
fn refusal(pack: u32, what: &str) -> String {
    format!("pack {pack} is {what} and not a file; put the pack itself in its place")
}

/// Why what stands in the place of a pack cannot be one, if it is no file.
pub(crate) fn not_a_file(repository: &Path, pack: u32) -> io::Result<Option<String>> {
    let metadata = path(repository, pack).symlink_metadata()?;
    Ok((!metadata.is_file()).then(|| refusal(pack, kind_of(&metadata))))
}

/// Numbers and lengths of the packs that are there.
pub(crate) fn list(repository: &Path) -> io::Result<BTreeMap<u32, u64>> {
    let mut found = BTreeMap::new();
    let entries = match fs::read_dir(repository.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".pack")).filter(|digits| digits.len() == 8);
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            found.insert(number, entry.metadata()?.len());
        }
    }
    Ok(found)
}

/// Puts all packs on the disk, for whoever wrote them without waiting.
pub(crate) fn sync_all(repository: &Path) -> io::Result<()> {
    let packs = list(repository)?;
    for number in packs.keys() {
        open_to_read(repository, *number)?.sync_all()?;
    }
    if packs.is_empty() { Ok(()) } else { File::open(repository.join(FOLDER))?.sync_all() }
}

/// Looks at what stands at `offset` of a pack that counts up to `bytes`: the pack's header at 0, a record elsewhere. Gives where
/// the next one begins, which is `bytes` behind the last. Memory does not grow with a record's length, which may lie.
pub(crate) fn check_record(repository: &Path, pack: u32, offset: u64, bytes: u64) -> Result<u64, PackError> {
    let file = open_to_read(repository, pack)?;
    if offset == 0 {
        let mut header = [0; PACK_HEADER_BYTES as usize];
        file.read_exact_at(&mut header, 0)?;
        return if header == pack_header(pack) { Ok(PACK_HEADER_BYTES) } else { Err(RecordError::Magic.into()) };
    }
    let start = offset.saturating_add(HEADER_BYTES as u64);
    if start > bytes {
        return Err(RecordError::CutOff.into());
    }
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, offset)?;
    let header = RecordHeader::parse(&header)?;
    let end = start.saturating_add(u64::from(header.stored_len));
    match header.kind {
        Kind::Chunks if end <= bytes => {}
        Kind::Chunks => return Err(RecordError::CutOff.into()),
        _ => return Err(RecordError::UnknownKind.into()),
    }
    let mut check = BodyCheck::new(&header);
    let mut piece = vec![0; CHECKED_BYTES.min(header.stored_len as usize)];
    let mut at = start;
    while at < end {
        // Never 0 here: the piece has a length where the body has one.
        let length = (piece.len() as u64).min(end - at) as usize;
        file.read_exact_at(&mut piece[..length], at)?;
        check.update(&piece[..length]);
        at += length as u64;
    }
    check.finish()?;
    Ok(end)
}

/// First bytes of a pack.
fn pack_header(number: u32) -> [u8; PACK_HEADER_BYTES as usize] {
    let mut header = [0; PACK_HEADER_BYTES as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&number.to_le_bytes());
    header
}

/// Appends chunks, for the one writer of a repository.
#[derive(Debug)]
pub(crate) struct PackWriter {
    repository: PathBuf,
    /// Up to where everything is committed.
    end: End,
    /// Up to where this batch has written.
    next: End,
    /// Lengths of the packs that this batch has written to.
    changed: BTreeMap<u32, u64>,
    /// A pack that gets no more.
    ended: Option<u32>,
    /// The greatest number that somebody else gave a pack; none before the first look at the folder.
    taken: Option<u32>,
    file: Option<File>,
    /// Files that have to be on the disk before this batch may count.
    unsynced: Vec<File>,
    is_folder_unsynced: bool,
}

impl PackWriter {
    /// Goes on behind the packs that count, given by their numbers with the lengths that count.
    pub(crate) fn new(repository: &Path, committed: &BTreeMap<u32, u64>) -> Self {
        let end =
            committed.last_key_value().map_or_else(End::default, |(pack, bytes)| End { pack: *pack, bytes: *bytes });
        Self {
            repository: repository.to_owned(),
            end,
            next: end,
            changed: BTreeMap::new(),
            ended: None,
            taken: None,
            file: None,
            unsynced: Vec::new(),
            is_folder_unsynced: false,
        }
    }

    /// Looks at what is there, with the first write. The last pack gets more only if it ends where it should: longer, it holds what a
    /// writer that died left, or what the database forgot; shorter, it lost its end, which is the audit's to tell of.
    fn look(&mut self) -> io::Result<()> {
        if self.taken.is_some() {
            return Ok(());
        }
        let found = list(&self.repository)?;
        if found.get(&self.end.pack) != Some(&self.end.bytes) {
            self.ended = Some(self.end.pack);
        }
        self.taken = Some(found.last_key_value().map_or(0, |(number, _)| *number).max(self.end.pack));
        Ok(())
    }

    /// Writes chunks with the numbers of their payloads; gives their places, in order. They count when the database says so.
    pub(crate) fn append<'a>(
        &mut self,
        chunks: impl Iterator<Item = (u64, &'a StoredChunk)>,
    ) -> Result<Vec<Place>, PackError> {
        let (mut places, mut group, mut lengths) = (Vec::new(), ChunkGroup::default(), Vec::new());
        for (number, chunk) in chunks {
            group.push(number, chunk);
            // What a row can hold fits into 32 bits.
            lengths.push(chunk.bytes.len() as u32);
            if group.len() >= RECORD_BYTES {
                self.write(&mut group, &mut lengths, &mut places)?;
            }
        }
        self.write(&mut group, &mut lengths, &mut places)?;
        Ok(places)
    }

    fn write(
        &mut self,
        group: &mut ChunkGroup,
        lengths: &mut Vec<u32>,
        places: &mut Vec<Place>,
    ) -> Result<(), PackError> {
        if lengths.is_empty() {
            return Ok(());
        }
        self.look()?;
        let body = group.take();
        let (header, _) = record::seal(Kind::Chunks, &body)?;
        let (pack, at) = self.room()?;
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.write_all_at(&header, at)?;
        let start = at + HEADER_BYTES as u64;
        file.write_all_at(&body, start)?;
        self.next = End { pack, bytes: start + body.len() as u64 };
        self.changed.insert(pack, self.next.bytes);
        // The bytes stand at the record's end, in the order of the entries.
        let mut offset = self.next.bytes - lengths.iter().map(|length| u64::from(*length)).sum::<u64>();
        for length in lengths.drain(..) {
            places.push(Place { pack, offset, length });
            offset += u64::from(length);
        }
        Ok(())
    }

    /// The pack that the next record goes to, open, and where in it.
    fn room(&mut self) -> io::Result<(u32, u64)> {
        if self.next.pack == 0 || self.next.bytes >= PACK_BYTES_MAX || self.ended == Some(self.next.pack) {
            self.unsynced.extend(self.file.take());
            let number = self.next_number()?;
            return self.begin(number);
        }
        if self.file.is_none() {
            self.file = Some(open(&self.repository, self.next.pack, File::options().write(true))?);
        }
        Ok((self.next.pack, self.next.bytes))
    }

    /// A number that nobody gave a pack. Somebody who wrote the table of packs may have used them up; none begins anew.
    fn next_number(&self) -> io::Result<u32> {
        let last = self.next.pack.max(self.taken.unwrap_or(0));
        let next = last.checked_add(1).filter(|number| *number <= NUMBER_MAX);
        next.ok_or_else(|| io::Error::other("no number is left for another pack"))
    }

    fn begin(&mut self, number: u32) -> io::Result<(u32, u64)> {
        fs::create_dir_all(self.repository.join(FOLDER))?;
        let file = open(&self.repository, number, File::options().write(true).create(true).truncate(true))?;
        file.write_all_at(&pack_header(number), 0)?;
        (self.file, self.is_folder_unsynced) = (Some(file), true);
        Ok((number, PACK_HEADER_BYTES))
    }

    /// Returns when everything appended is on the disk, unless nobody waits for disks: the packs of this batch with their lengths.
    pub(crate) fn sync(&mut self, is_wanted: bool) -> io::Result<&BTreeMap<u32, u64>> {
        if is_wanted && !self.changed.is_empty() {
            for file in self.unsynced.iter().chain(&self.file) {
                file.sync_data()?;
            }
            if self.is_folder_unsynced {
                File::open(self.repository.join(FOLDER))?.sync_all()?;
                File::open(&self.repository)?.sync_all()?;
            }
        }
        Ok(&self.changed)
    }

    /// What was appended counts.
    pub(crate) fn committed(&mut self) {
        self.end = self.next;
        self.is_folder_unsynced = false;
        self.unsynced.clear();
        self.changed.clear();
    }

    /// What was appended does not count, and stays: the database was asked to commit and failed, and after a crash such a commit may
    /// turn out to be whole. Nothing is ever written over what it names.
    pub(crate) fn skip(&mut self) {
        self.end = self.next;
        self.changed.clear();
    }

    /// What was appended does not count, and will be written over. Only where the database was not asked to commit yet.
    pub(crate) fn forget(&mut self) {
        if self.next.pack != self.end.pack {
            // The packs that were begun are begun again.
            self.file = None;
        }
        self.next = self.end;
        self.unsynced.clear();
        self.changed.clear();
    }

    /// Gives the space back of what was forgotten, which a full disk is in need of.
    pub(crate) fn give_back(&self) -> io::Result<()> {
        // Before the first look at the folder, nothing in it is this writer's.
        let Some(taken) = self.taken else { return Ok(()) };
        for (number, bytes) in list(&self.repository)? {
            if number > self.end.pack.max(taken) {
                fs::remove_file(path(&self.repository, number))?;
            } else if number == self.end.pack && bytes > self.end.bytes && self.ended != Some(number) {
                open(&self.repository, number, File::options().write(true))?.set_len(self.end.bytes)?;
            }
        }
        Ok(())
    }

    /// Lets the next record begin a pack, so that all others can be looked through.
    pub(crate) fn end_pack(&mut self) -> Result<(), PackError> {
        self.look()?;
        self.ended = Some(self.next.pack);
        Ok(())
    }

    /// Begins a pack, which counts with this batch though nothing may stand in it.
    pub(crate) fn begin_pack(&mut self) -> Result<(), PackError> {
        self.look()?;
        self.unsynced.extend(self.file.take());
        let number = self.next_number()?;
        let (pack, bytes) = self.begin(number)?;
        self.next = End { pack, bytes };
        self.changed.insert(pack, bytes);
        Ok(())
    }
}

/// What a record says of a chunk, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    /// Number of its payload. Where a batch failed, a later one may have given its numbers again.
    pub(crate) number: u64,
    pub(crate) chunk_hash: ContentHash,
    pub(crate) compression: Compression,
    pub(crate) original_size: u32,
    pub(crate) place: Place,
}

/// Tells of all chunks in a pack's first bytes, in the order in which they were written. Records that are not whole are passed over.
pub(crate) fn chunks(repository: &Path, pack: u32, bytes: u64, each: &mut dyn FnMut(Listed)) -> io::Result<()> {
    let file = open_to_read(repository, pack)?;
    let end = bytes.min(file.metadata()?.len());
    let mut at = PACK_HEADER_BYTES;
    while at < end {
        match record_at(&file, pack, at, end)? {
            Some((listed, next)) => {
                listed.into_iter().for_each(&mut *each);
                at = next;
            }
            None => at = next_record(&file, at + 1, end)?,
        }
    }
    Ok(())
}

/// The chunks of the record at a place, and where the next one begins; `None` where no whole record stands.
fn record_at(file: &File, pack: u32, at: u64, end: u64) -> io::Result<Option<(Vec<Listed>, u64)>> {
    let start = at + HEADER_BYTES as u64;
    let mut header = [0; HEADER_BYTES];
    if start > end {
        return Ok(None);
    }
    file.read_exact_at(&mut header, at)?;
    let Ok(header) = RecordHeader::parse(&header) else { return Ok(None) };
    let next = start + u64::from(header.stored_len);
    if header.kind != Kind::Chunks || next > end {
        return Ok(None);
    }
    let mut body = vec![0; header.stored_len as usize];
    file.read_exact_at(&mut body, start)?;
    let Ok(body) = header.open(body) else { return Ok(None) };
    let mut listed = Vec::new();
    let told = record::chunks::<RecordError>(&body, |entry| {
        let record::ChunkEntry { number, chunk_hash, compression, original_size, bytes } = entry;
        let place = Place { pack, offset: 0, length: bytes.len() as u32 };
        listed.push(Listed { number, chunk_hash, compression, original_size, place });
        Ok(())
    });
    // The bytes stand at the record's end, in the order of the entries.
    let mut offset = next - listed.iter().map(|listed| u64::from(listed.place.length)).sum::<u64>();
    for listed in &mut listed {
        listed.place.offset = offset;
        offset += u64::from(listed.place.length);
    }
    Ok(told.is_ok().then_some((listed, next)))
}

/// Where the next record may begin, from a place on; the end if there is none.
fn next_record(file: &File, mut at: u64, end: u64) -> io::Result<u64> {
    let mut window = vec![0; 1 << 20];
    while at < end {
        let length = usize::try_from(end - at).map_or(window.len(), |left| left.min(window.len()));
        let Some(seen) = window.get_mut(..length) else { break };
        file.read_exact_at(seen, at)?;
        if let Some(found) = seen.windows(record::MAGIC.len()).position(|bytes| bytes == record::MAGIC) {
            return Ok(at + found as u64);
        }
        // A beginning of it may stand at the window's end.
        let passed = length.saturating_sub(record::MAGIC.len() - 1).max(1);
        at += passed as u64;
    }
    Ok(end)
}

/// Reads chunks, for any number of threads.
#[derive(Debug)]
pub(crate) struct PackReader {
    repository: PathBuf,
    files: Mutex<LruCache<u32, Arc<File>>>,
}

impl PackReader {
    pub(crate) fn new(repository: &Path) -> Self {
        Self { repository: repository.to_owned(), files: Mutex::new(LruCache::new(OPEN_FILES_MAX)) }
    }

    /// The bytes at a place. A length that lies finds the end of the file.
    pub(crate) fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let file = self.file(place.pack)?;
        if i64::try_from(place.end()).is_err() {
            // No file is as long, and the system calls it a wrong argument.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Asked for only where much memory is at stake: a length that lies takes none.
        if place.length > UNCHECKED_BYTES_MAX && place.end() > file.metadata()?.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; place.length as usize];
        file.read_exact_at(&mut bytes, place.offset)?;
        Ok(bytes)
    }

    /// A chunk's stored bytes, wherever they stand.
    pub(crate) fn restore(&self, stored: &Stored) -> Result<Vec<u8>, BackendError> {
        let place = match stored {
            Stored::Here(bytes) => return Ok(bytes.clone()),
            Stored::Packed(place) => place,
        };
        self.read(*place).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BackendError::Damaged(format!("pack {} is missing", place.pack)),
            io::ErrorKind::UnexpectedEof => BackendError::Damaged(format!("pack {} is cut off", place.pack)),
            _ => BackendError::Io { path: path(&self.repository, place.pack), source },
        })
    }

    fn file(&self, pack: u32) -> io::Result<Arc<File>> {
        // Only whole entries are put in.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&pack) {
            return Ok(file.clone());
        }
        let file = Arc::new(open_to_read(&self.repository, pack)?);
        files.put(pack, file.clone());
        Ok(file)
    }
}

/// Why chunks could not be written to a pack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Chunks are named behind what counts of a pack: the table of packs is damaged.
    #[error("pack {0} is said to end before chunks that stand in it")]
    Named(u32),
}

impl From<io::ErrorKind> for PackError {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Io(kind.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn chunk(number: u8, length: usize) -> StoredChunk {
        let bytes = vec![number; length];
        let chunk_hash = ContentHash::new(*blake3::hash(&bytes).as_bytes());
        StoredChunk { chunk_hash, compression: Compression::None, original_size: length as u32, bytes }
    }

    fn append(writer: &mut PackWriter, chunks: &[StoredChunk]) -> Vec<Place> {
        writer.append(chunks.iter().enumerate().map(|(number, chunk)| (number as u64, chunk))).unwrap()
    }

    #[test]
    fn chunks_come_back_from_their_places_across_records_and_packs() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::new(folder.path(), &BTreeMap::new());
        let chunks: Vec<StoredChunk> = (1..20).map(|number| chunk(number, usize::from(number) * 20_000)).collect();
        let mut places = append(&mut writer, &chunks[..10]);
        writer.end_pack().unwrap();
        places.extend(append(&mut writer, &chunks[10..]));
        let packs = writer.sync(true).unwrap().clone();
        assert_eq!(packs.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(packs, list(folder.path()).unwrap());
        let reader = PackReader::new(folder.path());
        for (chunk, place) in chunks.iter().zip(places) {
            assert_eq!(Place::from_bytes(&place.to_bytes()), Some(place));
            assert_eq!(reader.read(place).unwrap(), chunk.bytes);
        }
    }

    #[test]
    fn what_did_not_count_is_written_over_by_its_writer_and_left_alone_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::new(folder.path(), &BTreeMap::new());
        let kept = append(&mut writer, &[chunk(1, 5_000)])[0];
        let committed = writer.sync(true).unwrap().clone();
        writer.committed();
        let given_up = append(&mut writer, &[chunk(2, 5_000)])[0];
        writer.end_pack().unwrap();
        append(&mut writer, &[chunk(3, 5_000)]);
        writer.forget();
        assert_eq!(append(&mut writer, &[chunk(4, 5_000)])[0].pack, 2);
        writer.forget();
        drop(writer);

        let mut writer = PackWriter::new(folder.path(), &committed);
        let next = append(&mut writer, &[chunk(5, 5_000)])[0];
        assert_eq!(next.pack, 3, "who knows whether the database is right about the others");
        let packs = writer.sync(true).unwrap().clone();
        writer.committed();
        append(&mut writer, &[chunk(6, 5_000)]);
        writer.forget();
        writer.give_back().unwrap();
        let reader = PackReader::new(folder.path());
        for (place, number) in [(kept, 1), (given_up, 2), (next, 5)] {
            assert_eq!(reader.read(place).unwrap(), vec![number; 5_000]);
        }
        let found = list(folder.path()).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(found[&3], packs[&3], "what it wrote itself in vain is given back");
    }

    #[test]
    fn the_chunks_of_a_pack_are_listed_except_those_in_damaged_records() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::new(folder.path(), &BTreeMap::new());
        let batches: Vec<Vec<StoredChunk>> =
            (0..4).map(|batch| (1..5).map(|number| chunk(batch * 10 + number, 3_000)).collect()).collect();
        let places: Vec<Vec<Place>> = batches.iter().map(|batch| append(&mut writer, batch)).collect();
        let sound = fs::read(path(folder.path(), 1)).unwrap();
        let listed = |bytes: u64| {
            let mut found = Vec::new();
            chunks(folder.path(), 1, bytes, &mut |listed| found.push((listed.place, listed.chunk_hash))).unwrap();
            found
        };
        let of = |batches: &[Vec<StoredChunk>], places: &[Vec<Place>]| -> Vec<(Place, ContentHash)> {
            let hashes = batches.iter().flatten().map(|chunk| chunk.chunk_hash);
            places.iter().flatten().copied().zip(hashes).collect()
        };
        assert_eq!(listed(u64::MAX), of(&batches, &places));
        assert_eq!(listed(sound.len() as u64 - 1), of(&batches[..3], &places[..3]), "the last one counts in part");
        // The header of the second record: its magic, its kind, its lengths, its checksum; then its entries and bytes.
        let second = places[0][3].offset as usize + 3_000;
        for at in [0, 4, 8, 10, 11, 12, 16, 20, 60, 5_000].map(|at| second + at) {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            fs::write(path(folder.path(), 1), damaged).unwrap();
            let expected: Vec<_> =
                of(&batches[..1], &places[..1]).into_iter().chain(of(&batches[2..], &places[2..])).collect();
            assert_eq!(listed(u64::MAX), expected, "byte {at}");
        }
    }

    #[test]
    fn what_a_failed_commit_may_still_name_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::new(folder.path(), &BTreeMap::new());
        let doubtful = append(&mut writer, &[chunk(1, 5_000)])[0];
        writer.skip();
        let next = append(&mut writer, &[chunk(2, 5_000)])[0];
        assert!(next.offset >= doubtful.offset + 5_000);
        assert_eq!(PackReader::new(folder.path()).read(doubtful).unwrap(), vec![1; 5_000]);
    }

    #[test]
    fn a_pack_that_lost_its_end_gets_no_more_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::new(folder.path(), &BTreeMap::new());
        let place = append(&mut writer, &[chunk(1, 50_000)])[0];
        let committed = writer.sync(true).unwrap().clone();
        drop(writer);
        File::options().write(true).open(path(folder.path(), 1)).unwrap().set_len(10_000).unwrap();
        let reader = PackReader::new(folder.path());
        assert_eq!(
            reader.restore(&Stored::Packed(place)).unwrap_err().to_string(),
            "the repository is damaged: pack 1 is cut off"
        );
        let mut writer = PackWriter::new(folder.path(), &committed);
        assert_eq!(append(&mut writer, &[chunk(2, 50_000)])[0].pack, 2);
        assert_eq!(list(folder.path()).unwrap()[&1], 10_000, "what is left is left");
        fs::remove_file(path(folder.path(), 1)).unwrap();
        let error = PackReader::new(folder.path()).restore(&Stored::Packed(place)).unwrap_err();
        assert_eq!(error.to_string(), "the repository is damaged: pack 1 is missing");
        let lies = Place { length: u32::MAX, ..place };
        assert!(reader.read(lies).is_err(), "a length that lies takes no memory");
        let lies = Place { pack: 2, offset: place.offset | 1 << 63, ..place };
        assert!(reader.restore(&Stored::Packed(lies)).unwrap_err().to_string().ends_with("pack 2 is cut off"));
    }

    #[test]
    fn every_changed_bit_of_a_pack_is_found_and_so_is_every_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::new(folder.path(), &BTreeMap::new());
        append(&mut writer, &[chunk(1, 50), chunk(2, 3)]);
        append(&mut writer, &[chunk(3, 40)]);
        let bytes = writer.sync(true).unwrap()[&1];
        let whole = || -> Result<(), PackError> {
            let mut offset = 0;
            while offset < bytes {
                offset = check_record(folder.path(), 1, offset, bytes)?;
            }
            assert_eq!(offset, bytes);
            Ok(())
        };
        whole().unwrap();
        let path = path(folder.path(), 1);
        let sound = fs::read(&path).unwrap();
        assert_eq!(sound.len() as u64, bytes);
        for at in 0..sound.len() {
            for bit in 0..8 {
                let mut damaged = sound.clone();
                damaged[at] ^= 1 << bit;
                fs::write(&path, damaged).unwrap();
                assert!(whole().is_err(), "bit {bit} of byte {at}");
            }
            fs::write(&path, &sound[..at]).unwrap();
            assert!(whole().is_err(), "cut at {at}");
        }
        fs::write(&path, &sound).unwrap();
        whole().unwrap();
    }

    #[test]
    fn a_pack_that_was_begun_counts_though_nothing_stands_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::new(folder.path(), &BTreeMap::new());
        append(&mut writer, &[chunk(1, 50)]);
        writer.committed();
        writer.begin_pack().unwrap();
        let committed = writer.sync(true).unwrap().clone();
        assert_eq!(committed, BTreeMap::from([(2, PACK_HEADER_BYTES)]));
        assert_eq!(check_record(folder.path(), 2, 0, PACK_HEADER_BYTES).unwrap(), PACK_HEADER_BYTES);
        assert_eq!(append(&mut writer, &[chunk(2, 50)])[0].pack, 2);
    }

    #[test]
    fn the_bytes_of_a_pack_are_frozen() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PackWriter::new(folder.path(), &BTreeMap::new());
        append(&mut writer, &[chunk(7, 3), chunk(8, 2)]);
        let bytes = fs::read(path(folder.path(), 1)).unwrap();
        assert_eq!(&bytes[..16], b"PKTPACK1\x01\0\0\0\0\0\0\0");
        assert_eq!(&bytes[16..20], b"PKTR");
        assert_eq!(&bytes[bytes.len() - 5..], [7, 7, 7, 8, 8]);
        assert_eq!(&blake3::hash(&bytes).to_hex()[..16], "eeb1cbbe4c06c318");
    }
}
