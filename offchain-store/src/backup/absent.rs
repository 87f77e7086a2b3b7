//! Which payloads were absent from a snapshot: a file beside its manifest, shared with later snapshots that say the same.

use super::{
    FolderError, RecordError,
    folder::{Folder, Temporary, file_error},
    manifest::{AbsentFile, SnapshotManifest},
};
use crate::{
    plain_file,
    record::{Decoder, Encoder, HEADER_BYTES, Kind, RecordHeader, STORED_BYTES_MAX, seal},
};
use roaring::RoaringTreemap;
use std::io::{Read, Write};

/// How the absent payloads of a snapshot are kept.
pub(super) struct KeptAbsent {
    pub(super) file: Option<AbsentFile>,
    pub(super) added_bytes: u64,
}

/// Writes which payloads were absent, unless an earlier snapshot of the series has written the same.
pub(super) fn keep_absent(
    folder: &Folder,
    number: u64,
    base: Option<&SnapshotManifest>,
    absent: &RoaringTreemap,
) -> Result<KeptAbsent, FolderError> {
    if absent.is_empty() {
        return Ok(KeptAbsent { file: None, added_bytes: 0 });
    }
    let mut body = Encoder::default();
    body.ascending(absent.len(), absent.iter());
    let path = folder.absent(number);
    let sealed = seal(Kind::Absent, &body.bytes);
    let (header, packed) = sealed.map_err(|source| FolderError::record(&path, source))?;
    let bytes = [&header[..], packed.as_deref().unwrap_or(&body.bytes)].concat();
    let digest = *blake3::hash(&bytes).as_bytes();
    let known = base.and_then(|base| base.absent.as_ref()).filter(|known| known.digest == digest);
    if let Some(known) = known {
        return Ok(KeptAbsent { file: Some(known.clone()), added_bytes: 0 });
    }
    let (mut file, temporary) = Temporary::create(&path)?;
    file.write_all(&bytes).map_err(|source| file_error(&path, source))?;
    temporary.keep(&file)?;
    let file = AbsentFile { snapshot: number, count: absent.len(), digest };
    Ok(KeptAbsent { file: Some(file), added_bytes: bytes.len() as u64 })
}

/// Reads which payloads were absent from a snapshot.
pub(super) fn read_absent(
    folder: &Folder,
    manifest: &SnapshotManifest,
    each: &mut dyn FnMut(u64),
) -> Result<(), FolderError> {
    let Some(absent) = &manifest.absent else { return Ok(()) };
    let path = folder.absent(absent.snapshot);
    let failed = |source| file_error(&path, source);
    let damaged = |source| FolderError::record(&path, source);
    let file = plain_file::open(&path).map_err(|error| failed(error.into()))?;
    let mut bytes = Vec::new();
    let bytes_max = u64::from(STORED_BYTES_MAX) + HEADER_BYTES as u64;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if *blake3::hash(&bytes).as_bytes() != absent.digest {
        return Err(damaged(RecordError::Checksum));
    }
    let (header, body) = bytes.split_first_chunk().ok_or_else(|| damaged(RecordError::CutOff))?;
    let header = RecordHeader::parse(header).map_err(damaged)?;
    if header.kind != Kind::Absent || header.stored_len as usize != body.len() {
        return Err(damaged(RecordError::Malformed));
    }
    let body = header.open(body.to_vec()).map_err(damaged)?;
    let mut from = Decoder::new(&body);
    let count = from.ascending(each).and_then(|count| from.end().map(|()| count)).map_err(damaged)?;
    if count == absent.count { Ok(()) } else { Err(damaged(RecordError::Malformed)) }
}
