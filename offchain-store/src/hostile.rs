//! Doors for hostile bytes into parts that are private: for the crate `faults`, and no part of the interface.

use crate::{
    pack,
    record::{self, Decoder, HEADER_BYTES, Kind, ListPart, RecordError, RecordHeader},
};
use std::path::Path;

/// Reads a record as it stands in a file: its kind's code, and its body before compression.
pub fn open_record(bytes: &[u8]) -> Result<(u8, Vec<u8>), RecordError> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(RecordError::CutOff)?;
    let header = RecordHeader::parse(header)?;
    if header.stored_len as usize != body.len() {
        return Err(RecordError::CutOff);
    }
    Ok((header.kind.code(), header.open(body.to_vec())?))
}

/// A whole record around a body.
pub fn seal_record(kind: u8, body: &[u8]) -> Result<Vec<u8>, RecordError> {
    let kind = Kind::of_code(kind).ok_or(RecordError::UnknownKind)?;
    let (header, packed) = record::seal(kind, body)?;
    Ok([&header[..], packed.as_deref().unwrap_or(body)].concat())
}

/// Reads what stands in a record of a kind to its end; whether what was read says the same when it is written again, where one can
/// write it.
pub fn read_body(kind: u8, body: &[u8]) -> Result<bool, RecordError> {
    let mut from = Decoder::new(body);
    match Kind::of_code(kind).ok_or(RecordError::UnknownKind)? {
        Kind::Chunks => {
            let mut bytes = 0;
            record::chunks::<RecordError>(body, |entry| {
                bytes += entry.bytes.len();
                Ok(())
            })?;
            return Ok(bytes <= body.len());
        }
        Kind::List => {
            let part = ListPart::decode(body)?;
            return Ok(ListPart::decode(&part.encode()).as_ref() == Ok(&part));
        }
        Kind::Blocks => {
            while !from.is_empty() {
                from.block_entry()?;
            }
        }
        Kind::Settings => {
            while !from.is_empty() {
                from.setting()?;
            }
        }
        Kind::Notes => {
            while !from.is_empty() {
                from.note()?;
            }
        }
        Kind::Marks => {
            from.number()?;
            from.ascending(|_| {})?;
            from.ascending(|_| {})?;
        }
        Kind::Absent => {
            from.ascending(|_| {})?;
        }
    }
    from.end().map(|()| true)
}

/// Whether the first pack of a repository is whole up to a length, as an audit reads it; if not, why.
pub fn check_pack(repository: &Path, bytes: u64) -> Result<(), String> {
    let mut offset = 0;
    while offset < bytes {
        offset = pack::check_record(repository, 1, offset, bytes).map_err(|error| error.to_string())?;
    }
    Ok(())
}
