//! Segments: files of records, each bound to the one before it, written once and never changed.
//!
//! A segment ends with the BLAKE3 of everything before, and begins with that of the segment before it. So the digest of one
//! segment stands for all up to there, and a snapshot needs to name only its last.

use super::{
    FolderError,
    folder::{Temporary, file_error},
};
use crate::{
    plain_file::{self, Links},
    record::{self, HEADER_BYTES, Kind, RecordError, RecordHeader},
};
use blake3::Hasher;
use pakit_primitives::{BlockHash, hasher::Digest};
use std::{
    fs::File,
    io::{BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// First bytes of a segment. The last one is the version of the format.
const MAGIC: [u8; 8] = *b"PKTSEG\0\x01";
/// Bytes before the first record.
const START_BYTES: usize = 96;
/// Bytes behind the last record.
const END_BYTES: u64 = 32;
/// Bytes that are read or written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// What a segment says before its first record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentStart {
    pub(super) number: u64,
    /// Digest of the segment before; zeros where a series begins.
    pub(super) previous: Digest,
    /// Genesis of the log that is backed up.
    pub(super) genesis: BlockHash,
    /// The repository whose payload numbers these are.
    pub(super) instance: [u8; 16],
}

impl SegmentStart {
    fn to_bytes(self) -> [u8; START_BYTES] {
        let mut bytes = [0; START_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.previous);
        bytes[48..80].copy_from_slice(self.genesis.as_bytes());
        bytes[80..].copy_from_slice(&self.instance);
        bytes
    }

    fn parse(bytes: &[u8; START_BYTES]) -> Option<Self> {
        let part = |from: usize, to: usize| bytes.get(from..to);
        Some(Self {
            number: u64::from_le_bytes(part(8, 16)?.try_into().ok()?),
            previous: part(16, 48)?.try_into().ok()?,
            genesis: BlockHash::new(part(48, 80)?.try_into().ok()?),
            instance: part(80, 96)?.try_into().ok()?,
        })
        .filter(|_| bytes[..8] == MAGIC)
    }
}

/// A segment that is being written, under a temporary name until it is whole and on the disk.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    file: BufWriter<File>,
    temporary: Temporary,
    hasher: Hasher,
    len: u64,
}

impl SegmentWriter {
    pub(super) fn create(path: &Path, start: SegmentStart) -> Result<Self, FolderError> {
        let (file, temporary) = Temporary::create(path)?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut writer = Self { file, temporary, hasher: Hasher::new(), len: 0 };
        writer.write(&start.to_bytes())?;
        Ok(writer)
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn record(&mut self, kind: Kind, body: &[u8]) -> Result<(), FolderError> {
        let sealed = record::seal(kind, body);
        let (header, packed) = sealed.map_err(|source| FolderError::record(self.temporary.target(), source))?;
        self.write(&header)?;
        self.write(packed.as_deref().unwrap_or(body))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FolderError> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|source| file_error(self.temporary.target(), source))
    }

    /// Puts the segment in its place, on the disk. Gives its digest and its length.
    pub(super) fn finish(self) -> Result<(Digest, u64), FolderError> {
        let Self { mut file, temporary, hasher, len } = self;
        let digest = *hasher.finalize().as_bytes();
        let failed = |source| file_error(temporary.target(), source);
        file.write_all(&digest).map_err(failed)?;
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        temporary.keep(&file)?;
        Ok((digest, len + END_BYTES))
    }
}

/// A segment that is read from its start to its end.
#[derive(Debug)]
pub(super) struct SegmentReader {
    path: PathBuf,
    file: BufReader<File>,
    /// `None` when records are skipped, and the whole cannot be checked.
    hasher: Option<Hasher>,
    /// Bytes up to the digest at the end that were not read yet.
    left: u64,
    len: u64,
    start: SegmentStart,
}

impl SegmentReader {
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        let opened = plain_file::open_with(File::options().read(true), path, Links::Followed);
        let (file, metadata) = opened.map_err(|error| file_error(path, error.into()))?;
        let len = metadata.len();
        let left = len.checked_sub(END_BYTES).filter(|left| *left >= START_BYTES as u64);
        let left = left.ok_or_else(|| FolderError::record(path, RecordError::CutOff))?;
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        let no_start = SegmentStart { number: 0, previous: [0; 32], genesis: BlockHash::default(), instance: [0; 16] };
        let mut reader = Self { path: path.to_owned(), file, hasher: Some(Hasher::new()), left, len, start: no_start };
        let mut start = [0; START_BYTES];
        reader.read(&mut start)?;
        reader.start = SegmentStart::parse(&start).ok_or_else(|| reader.damaged(RecordError::Magic))?;
        Ok(reader)
    }

    pub(super) fn start(&self) -> SegmentStart {
        self.start
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn damaged(&self, source: RecordError) -> FolderError {
        FolderError::record(&self.path, source)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), FolderError> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| self.damaged(RecordError::CutOff))?;
        self.file.read_exact(bytes).map_err(|source| self.failed(source))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> FolderError {
        match source.kind() {
            // It was longer when it was opened.
            ErrorKind::UnexpectedEof => self.damaged(RecordError::CutOff),
            _ => file_error(&self.path, source),
        }
    }

    fn header(&mut self) -> Result<Option<RecordHeader>, FolderError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut header = [0; HEADER_BYTES];
        self.read(&mut header)?;
        let header = RecordHeader::parse(&header).map_err(|source| self.damaged(source))?;
        // Before a buffer of that length is made.
        if u64::from(header.stored_len) > self.left {
            return Err(self.damaged(RecordError::CutOff));
        }
        Ok(Some(header))
    }

    fn body(&mut self, header: &RecordHeader) -> Result<Vec<u8>, FolderError> {
        let mut body = vec![0; header.stored_len as usize];
        self.read(&mut body)?;
        header.open(body).map_err(|source| self.damaged(source))
    }

    /// The next record: its kind and its body. `None` behind the last one.
    pub(super) fn next(&mut self) -> Result<Option<(Kind, Vec<u8>)>, FolderError> {
        let Some(header) = self.header()? else { return Ok(None) };
        Ok(Some((header.kind, self.body(&header)?)))
    }

    /// The next record of a kind; what lies between is not read. After this, the whole can no longer be checked.
    pub(super) fn next_of(&mut self, kind: Kind) -> Result<Option<Vec<u8>>, FolderError> {
        self.hasher = None;
        while let Some(header) = self.header()? {
            if header.kind == kind {
                return self.body(&header).map(Some);
            }
            self.left -= u64::from(header.stored_len);
            let skipped = self.file.seek_relative(i64::from(header.stored_len));
            skipped.map_err(|source| self.failed(source))?;
        }
        Ok(None)
    }

    /// Checks, behind the last record, that the segment is what was written, and gives its digest.
    pub(super) fn finish(mut self) -> Result<Digest, FolderError> {
        let mut digest = [0; END_BYTES as usize];
        if self.left != 0 || self.hasher.is_none() {
            return Err(self.damaged(RecordError::CutOff));
        }
        self.file.read_exact(&mut digest).map_err(|source| self.failed(source))?;
        let ends_there = self.file.stream_position().map_err(|source| self.failed(source))? == self.len;
        let hasher = self.hasher.take().unwrap_or_default();
        if !ends_there || *hasher.finalize().as_bytes() != digest {
            return Err(self.damaged(RecordError::Checksum));
        }
        Ok(digest)
    }
}

/// The digest that a whole segment says it has. For naming it, not for believing it.
pub(super) fn stated_digest(path: &Path) -> Result<Digest, FolderError> {
    let failed = |source| file_error(path, source);
    let mut file = plain_file::open(path).map_err(|error| failed(error.into()))?;
    let mut digest = [0; END_BYTES as usize];
    match file.seek(SeekFrom::End(-(END_BYTES as i64))) {
        Ok(_) => file.read_exact(&mut digest).map_err(failed)?,
        Err(_) => return Err(FolderError::record(path, RecordError::CutOff)),
    }
    Ok(digest)
}
