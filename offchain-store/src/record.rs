//! Records: how chunks, lists, blocks and the rest stand in files outside of a database. docs/formats.md tells every byte.
//!
//! A record says itself what it is, how long it is and whether it is whole, and knows nothing of files or tables: a reader
//! needs no index, and finds damage before it believes a length or a count.

use crate::{
    backend::StoredChunk,
    bulk::{Note, NoteKind},
    metadata::METADATA_BYTES_MAX,
};
use pakit_primitives::{Compression, ContentHash, MetadataHash, hasher::Digest};

/// First bytes of every record.
pub(crate) const MAGIC: [u8; 4] = *b"PKTR";
/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 20;
/// Most bytes of a body as stored: the largest chunk that a repository can keep, and its entry.
pub(crate) const STORED_BYTES_MAX: u32 = (1 << 29) + (1 << 10);
/// Most bytes of a body that is compressed, as it was before.
pub(crate) const PLAIN_BYTES_MAX: u32 = 64 << 20;
/// Level of zstd for bodies that are compressed here: headers and lists, mostly hashes, gain nothing from a higher one.
const ZSTD_LEVEL: i32 = 3;

/// What a record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Chunks, as the repository keeps them.
    Chunks,
    /// A part of a content's list of chunks.
    List,
    /// Blocks, and before each the metadata map that it names first.
    Blocks,
    /// Named values.
    Settings,
    /// What is kept of anchors.
    Notes,
    /// Up to where payloads were read, for whoever goes on after a kill.
    Marks,
    /// Numbers of payloads that were not there.
    Absent,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Chunks, Self::List, Self::Blocks, Self::Settings, Self::Notes, Self::Marks, Self::Absent];

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Chunks => 1,
            Self::List => 2,
            Self::Blocks => 3,
            Self::Settings => 4,
            Self::Notes => 5,
            Self::Marks => 6,
            Self::Absent => 7,
        }
    }

    /// Chunks are compressed already.
    fn is_compressed(self) -> bool {
        self != Self::Chunks
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No record begins there.
    #[error("no record begins where one has to")]
    Magic,
    /// A kind or a form that this program does not know.
    #[error("a record is of an unknown kind")]
    UnknownKind,
    /// A length beyond what a record can have.
    #[error("a record is longer than a record can be")]
    TooLong,
    /// The bytes are not those that were written.
    #[error("a record's checksum is wrong")]
    Checksum,
    /// The file ends within it.
    #[error("a record is cut off")]
    CutOff,
    /// Whole, and yet not what its kind holds.
    #[error("a record's content cannot be read")]
    Malformed,
    /// The body could not be compressed, for want of memory.
    #[error("a record could not be compressed")]
    Compression,
}

/// A record's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    is_compressed: bool,
    pub(crate) stored_len: u32,
    plain_len: u32,
    checksum: u32,
    start: [u8; 16],
}

impl RecordHeader {
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, RecordError> {
        let [m0, m1, m2, m3, kind, form, zero0, zero1, lengths @ ..] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(RecordError::Magic);
        }
        let kind = Kind::of_code(kind).ok_or(RecordError::UnknownKind)?;
        if form > 1 || (form == 1) != kind.is_compressed() || [zero0, zero1] != [0, 0] {
            return Err(RecordError::UnknownKind);
        }
        let [s0, s1, s2, s3, p0, p1, p2, p3, c0, c1, c2, c3] = lengths;
        let (stored_len, plain_len) = (u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([p0, p1, p2, p3]));
        let is_compressed = form == 1;
        if stored_len > STORED_BYTES_MAX
            || (is_compressed && plain_len > PLAIN_BYTES_MAX)
            || (!is_compressed && plain_len != stored_len)
        {
            return Err(RecordError::TooLong);
        }
        let mut start = [0; 16];
        start.copy_from_slice(&bytes[..16]);
        Ok(Self { kind, is_compressed, stored_len, plain_len, checksum: u32::from_le_bytes([c0, c1, c2, c3]), start })
    }

    /// Checks the body against the checksum, and gives it as it was before compression.
    pub(crate) fn open(&self, body: Vec<u8>) -> Result<Vec<u8>, RecordError> {
        if checksum(&self.start, &body) != self.checksum {
            return Err(RecordError::Checksum);
        }
        if !self.is_compressed {
            return Ok(body);
        }
        let plain = zstd::bulk::decompress(&body, self.plain_len as usize).map_err(|_| RecordError::Malformed)?;
        if plain.len() == self.plain_len as usize { Ok(plain) } else { Err(RecordError::Malformed) }
    }
}

/// The checksum of a record whose body is read piece by piece.
#[derive(Debug)]
pub(crate) struct BodyCheck {
    hasher: crc32fast::Hasher,
    expected: u32,
}

impl BodyCheck {
    pub(crate) fn new(header: &RecordHeader) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header.start);
        Self { hasher, expected: header.checksum }
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
    }

    /// Behind the last piece.
    pub(crate) fn finish(self) -> Result<(), RecordError> {
        if self.hasher.finalize() == self.expected { Ok(()) } else { Err(RecordError::Checksum) }
    }
}

fn checksum(start: &[u8; 16], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(start);
    hasher.update(body);
    hasher.finalize()
}

/// A record around a body: header and body as they are written.
pub(crate) fn seal(kind: Kind, plain: &[u8]) -> Result<([u8; HEADER_BYTES], Option<Vec<u8>>), RecordError> {
    let packed = match kind.is_compressed() {
        true => Some(zstd::bulk::compress(plain, ZSTD_LEVEL).map_err(|_| RecordError::Compression)?),
        false => None,
    };
    let body = packed.as_deref().unwrap_or(plain);
    let lengths = (u32::try_from(body.len()), u32::try_from(plain.len()));
    let (Ok(stored_len), Ok(plain_len)) = lengths else { return Err(RecordError::TooLong) };
    let mut start = [0; 16];
    start[..4].copy_from_slice(&MAGIC);
    start[4] = kind.code();
    start[5] = u8::from(packed.is_some());
    start[8..12].copy_from_slice(&stored_len.to_le_bytes());
    start[12..].copy_from_slice(&plain_len.to_le_bytes());
    let mut header = [0; HEADER_BYTES];
    header[..16].copy_from_slice(&start);
    header[16..].copy_from_slice(&checksum(&start, body).to_le_bytes());
    // What a reader would refuse is not written.
    RecordHeader::parse(&header)?;
    Ok((header, packed))
}

/// Writes numbers as LEB128, and byte strings with their length before them.
#[derive(Default, Debug)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn byte_string(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Ascending numbers: how many, then each as the distance from the one before.
    pub(crate) fn ascending(&mut self, count: u64, numbers: impl Iterator<Item = u64>) {
        self.number(count);
        let mut before = 0;
        for number in numbers {
            self.number(number - before);
            before = number;
        }
    }
}

/// Reads what [`Encoder`] wrote. Nothing is believed: what is not there is [`RecordError::Malformed`].
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn number(&mut self) -> Result<u64, RecordError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(RecordError::Malformed)?;
            self.rest = rest;
            let digit = u64::from(byte & 0x7f);
            if shift == 63 && digit > 1 {
                break;
            }
            value |= digit << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Malformed)
    }

    fn small(&mut self) -> Result<u32, RecordError> {
        u32::try_from(self.number()?).map_err(|_| RecordError::Malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], RecordError> {
        let len = usize::try_from(len).map_err(|_| RecordError::Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(RecordError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        self.take(1)?.first().copied().ok_or(RecordError::Malformed)
    }

    fn digest(&mut self) -> Result<Digest, RecordError> {
        self.take(32)?.try_into().map_err(|_| RecordError::Malformed)
    }

    fn byte_string(&mut self) -> Result<&'a [u8], RecordError> {
        let len = self.number()?;
        self.take(len)
    }

    fn compression(&mut self) -> Result<Compression, RecordError> {
        Compression::from_code(self.byte()?).ok_or(RecordError::Malformed)
    }

    /// Calls `each` with numbers that ascend strictly, the first of which may be 0.
    pub(crate) fn ascending(&mut self, mut each: impl FnMut(u64)) -> Result<u64, RecordError> {
        let count = self.number()?;
        let mut before: Option<u64> = None;
        for _ in 0..count {
            let distance = self.number()?;
            let number = match before {
                Some(_) if distance == 0 => return Err(RecordError::Malformed),
                Some(before) => before.checked_add(distance).ok_or(RecordError::Malformed)?,
                None => distance,
            };
            each(number);
            before = Some(number);
        }
        Ok(count)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn end(&self) -> Result<(), RecordError> {
        if self.is_empty() { Ok(()) } else { Err(RecordError::Malformed) }
    }
}

/// Chunks on their way into a record: entries first, then all bytes.
#[derive(Default, Debug)]
pub(crate) struct ChunkGroup {
    entries: Encoder,
    count: u64,
    bytes: Vec<u8>,
}

impl ChunkGroup {
    pub(crate) fn push(&mut self, number: u64, chunk: &StoredChunk) {
        self.count += 1;
        self.entries.number(number);
        self.entries.bytes.extend_from_slice(chunk.chunk_hash.as_bytes());
        self.entries.bytes.push(chunk.compression.code());
        self.entries.number(u64::from(chunk.original_size));
        self.entries.number(chunk.bytes.len() as u64);
        self.bytes.extend_from_slice(&chunk.bytes);
    }

    /// Bytes that the record has so far, about.
    pub(crate) fn len(&self) -> usize {
        self.entries.bytes.len() + self.bytes.len()
    }

    /// The record's body; nothing is left here.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut body = Encoder::default();
        body.number(std::mem::take(&mut self.count));
        body.bytes.reserve(self.len());
        body.bytes.append(&mut self.entries.bytes);
        body.bytes.append(&mut self.bytes);
        body.bytes
    }
}

/// A chunk in a record that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkEntry<'a> {
    pub(crate) number: u64,
    pub(crate) chunk_hash: ContentHash,
    pub(crate) compression: Compression,
    pub(crate) original_size: u32,
    pub(crate) bytes: &'a [u8],
}

/// Reads a record of [`Kind::Chunks`].
pub(crate) fn chunks<'a, E: From<RecordError>>(
    body: &'a [u8],
    mut each: impl FnMut(ChunkEntry<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut entries = Decoder::new(body);
    let count = entries.number()?;
    // One walk over the entries finds where the bytes begin, the next one deals them out.
    let mut lengths = Decoder { rest: entries.rest };
    for _ in 0..count {
        chunk_entry(&mut lengths)?;
    }
    let mut bytes = lengths;
    for _ in 0..count {
        let (mut entry, len) = chunk_entry(&mut entries)?;
        entry.bytes = bytes.take(u64::from(len))?;
        each(entry)?;
    }
    Ok(bytes.end()?)
}

fn chunk_entry<'a>(entries: &mut Decoder<'a>) -> Result<(ChunkEntry<'a>, u32), RecordError> {
    let number = entries.number()?;
    let chunk_hash = ContentHash::new(entries.digest()?);
    let (compression, original_size) = (entries.compression()?, entries.small()?);
    let len = entries.small()?;
    Ok((ChunkEntry { number, chunk_hash, compression, original_size, bytes: &[] }, len))
}

/// A part of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ListPart {
    /// Number of the list's payload.
    pub(crate) number: u64,
    pub(crate) content_hash: ContentHash,
    pub(crate) compression: Compression,
    /// Of the whole.
    pub(crate) original_size: u64,
    /// Whether the list begins with this part.
    pub(crate) is_first: bool,
    /// Whether it ends with it.
    pub(crate) is_last: bool,
    pub(crate) chunks: Vec<PartChunk>,
}

/// A chunk that a part of a list names. Its offset follows from those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PartChunk {
    pub(crate) number: u64,
    pub(crate) chunk_hash: ContentHash,
    pub(crate) original_size: u32,
    /// Stored bytes when the list was copied.
    pub(crate) stored_size: u64,
}

impl ListPart {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Encoder::default();
        body.number(self.number);
        body.bytes.push(u8::from(self.is_first) | u8::from(self.is_last) << 1);
        body.bytes.extend_from_slice(self.content_hash.as_bytes());
        body.bytes.push(self.compression.code());
        body.number(self.original_size);
        body.number(self.chunks.len() as u64);
        for chunk in &self.chunks {
            body.number(chunk.number);
            body.bytes.extend_from_slice(chunk.chunk_hash.as_bytes());
            body.number(u64::from(chunk.original_size));
            body.number(chunk.stored_size);
        }
        body.bytes
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, RecordError> {
        let mut from = Decoder::new(body);
        let (number, flags) = (from.number()?, from.byte()?);
        if flags > 3 {
            return Err(RecordError::Malformed);
        }
        let content_hash = ContentHash::new(from.digest()?);
        let (compression, original_size) = (from.compression()?, from.number()?);
        let count = from.number()?;
        let mut chunks = Vec::new();
        for _ in 0..count {
            chunks.push(PartChunk {
                number: from.number()?,
                chunk_hash: ContentHash::new(from.digest()?),
                original_size: from.small()?,
                // No chunk takes more; a sum of so many as a file holds stays far below 2^64.
                stored_size: from.small()?.into(),
            });
        }
        from.end()?;
        let (is_first, is_last) = (flags & 1 != 0, flags & 2 != 0);
        Ok(Self { number, content_hash, compression, original_size, is_first, is_last, chunks })
    }
}

/// What stands in a record of blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BlockEntry<'a> {
    /// A metadata map that the next block names.
    Metadata(MetadataHash, &'a [u8]),
    /// A block: the number of its content's payload, and its header's bytes.
    Block(u64, &'a [u8]),
    /// The same of a block of the audit trail.
    Audit(u64, &'a [u8]),
}

impl Encoder {
    pub(crate) fn metadata(&mut self, hash: &MetadataHash, map: &[u8]) {
        self.bytes.push(0);
        self.bytes.extend_from_slice(hash.as_bytes());
        self.byte_string(map);
    }

    pub(crate) fn block(&mut self, payload: u64, header: &[u8], is_audit: bool) {
        self.bytes.push(1 + u8::from(is_audit));
        self.number(payload);
        self.byte_string(header);
    }

    pub(crate) fn setting(&mut self, key: &str, value: &[u8]) {
        self.byte_string(key.as_bytes());
        self.byte_string(value);
    }

    pub(crate) fn note(&mut self, note: &Note) {
        let kind = match note.kind {
            NoteKind::Binding => 0,
            NoteKind::Extrinsic => 1,
        };
        self.bytes.push(kind);
        self.bytes.push(u8::from(note.is_settled));
        self.number(note.number);
        self.number(note.size);
        self.byte_string(&note.bytes);
    }
}

impl<'a> Decoder<'a> {
    pub(crate) fn block_entry(&mut self) -> Result<BlockEntry<'a>, RecordError> {
        match self.byte()? {
            0 => match (self.digest()?, self.byte_string()?) {
                (_, map) if map.len() > METADATA_BYTES_MAX => Err(RecordError::TooLong),
                (hash, map) => Ok(BlockEntry::Metadata(MetadataHash::new(hash), map)),
            },
            1 => Ok(BlockEntry::Block(self.number()?, self.byte_string()?)),
            2 => Ok(BlockEntry::Audit(self.number()?, self.byte_string()?)),
            _ => Err(RecordError::Malformed),
        }
    }

    pub(crate) fn setting(&mut self) -> Result<(&'a str, &'a [u8]), RecordError> {
        let key = std::str::from_utf8(self.byte_string()?).map_err(|_| RecordError::Malformed)?;
        Ok((key, self.byte_string()?))
    }

    pub(crate) fn note(&mut self) -> Result<Note, RecordError> {
        let kind = match self.byte()? {
            0 => NoteKind::Binding,
            1 => NoteKind::Extrinsic,
            _ => return Err(RecordError::UnknownKind),
        };
        let is_settled = match self.byte()? {
            0 => false,
            1 => true,
            _ => return Err(RecordError::Malformed),
        };
        let (number, size) = (self.number()?, self.number()?);
        Ok(Note { kind, number, is_settled, size, bytes: self.byte_string()?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn chunk(bytes: &[u8]) -> StoredChunk {
        let chunk_hash = ContentHash::new([bytes.len() as u8; 32]);
        StoredChunk { chunk_hash, compression: Compression::Lz4, original_size: 300, bytes: bytes.to_vec() }
    }

    #[test]
    fn the_bytes_of_records_are_frozen() {
        let mut group = ChunkGroup::default();
        group.push(5, &chunk(b"ab"));
        group.push(1_000, &chunk(b"c"));
        let body = group.take();
        let expected = "02".to_owned()
            + "05"
            + &"02".repeat(32)
            + "02"
            + "ac02"
            + "02"
            + "e807"
            + &"01".repeat(32)
            + "02"
            + "ac02"
            + "01"
            + "616263";
        assert_eq!(hex::encode(&body), expected);
        assert_eq!(group.len(), 0);
        let (header, packed) = seal(Kind::Chunks, &body).unwrap();
        assert_eq!(
            (hex::encode(header), packed),
            ("504b5452010000004f0000004f000000".to_owned() + &hex::encode(&header[16..]), None)
        );
        let part = ListPart {
            number: 7,
            content_hash: ContentHash::new([9; 32]),
            compression: Compression::Zstd,
            original_size: 300,
            is_first: true,
            is_last: false,
            chunks: vec![PartChunk {
                number: 5,
                chunk_hash: ContentHash::new([2; 32]),
                original_size: 128,
                stored_size: 2,
            }],
        };
        let expected =
            "07".to_owned() + "01" + &"09".repeat(32) + "01" + "ac02" + "01" + "05" + &"02".repeat(32) + "8001" + "02";
        assert_eq!(hex::encode(part.encode()), expected);
        assert_eq!(ListPart::decode(&part.encode()).unwrap(), part);
        let mut body = Encoder::default();
        body.metadata(&MetadataHash::new([3; 32]), &[0xa0]);
        body.block(300, b"header", false);
        body.setting("key", b"v");
        body.note(&Note { kind: NoteKind::Extrinsic, number: 1, is_settled: true, size: 2, bytes: b"{}".to_vec() });
        body.ascending(3, [0, 4, 300].into_iter());
        let expected = "00".to_owned()
            + &"03".repeat(32)
            + "01a0"
            + "01ac0206686561646572"
            + "036b65790176"
            + "010101"
            + "02"
            + "027b7d"
            + "030004a802";
        assert_eq!(hex::encode(&body.bytes), expected);
    }

    #[test]
    fn numbers_of_any_size_come_back_and_longer_ones_are_refused() {
        for number in [0, 1, 127, 128, 1 << 56, u64::MAX] {
            let mut encoder = Encoder::default();
            encoder.number(number);
            let mut decoder = Decoder::new(&encoder.bytes);
            assert_eq!((decoder.number(), decoder.end()), (Ok(number), Ok(())));
        }
        for bad in [&[][..], &[0x80], &[0xff; 10], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]] {
            assert_eq!(Decoder::new(bad).number(), Err(RecordError::Malformed), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back_and_no_changed_bit_passes(
            plain in prop::collection::vec(any::<u8>(), 0..300),
            kind in 0usize..7,
            place in any::<prop::sample::Index>(),
            bit in 0u32..8,
        ) {
            let kind = Kind::ALL[kind];
            let (header, packed) = seal(kind, &plain).unwrap();
            let body = packed.unwrap_or_else(|| plain.clone());
            let parsed = RecordHeader::parse(&header).unwrap();
            prop_assert_eq!((parsed.kind, parsed.stored_len as usize), (kind, body.len()));
            prop_assert_eq!(parsed.open(body.clone()).unwrap(), plain);
            let mut bytes = [&header[..], &body].concat();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let (header, body) = bytes.split_first_chunk().unwrap();
            let opened = RecordHeader::parse(header).and_then(|header| header.open(body.to_vec()));
            prop_assert!(opened.is_err());
        }

        #[test]
        fn arbitrary_bodies_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = chunks::<RecordError>(&bytes, |_| Ok(()));
            let _ = ListPart::decode(&bytes);
            let _ = Decoder::new(&bytes).ascending(|_| {});
            for read in [0, 1, 2] {
                let mut from = Decoder::new(&bytes);
                while !from.is_empty() {
                    let is_read = match read {
                        0 => from.block_entry().is_ok(),
                        1 => from.setting().is_ok(),
                        _ => from.note().is_ok(),
                    };
                    if !is_read {
                        break;
                    }
                }
            }
            if let Some((header, body)) = bytes.split_first_chunk() {
                let _ = RecordHeader::parse(header).and_then(|header| header.open(body.to_vec()));
            }
        }
    }
}
