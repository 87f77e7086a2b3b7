//! Manifests: the small JSON files that say what a backup is of, and what each snapshot consists of.
//!
//! A manifest has one spelling only: a reader writes what it read again and refuses anything but the same bytes. So its own
//! checksum covers all of it, and no bit of it can change unseen.

use super::{
    FolderError,
    folder::{Temporary, file_error},
};
use crate::plain_file;
use pakit_primitives::{BlockHash, LogRoot, hasher::Digest};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{Read, Write},
    path::Path,
};

/// Format of `pakit-backup.json`.
const FOLDER_FORMAT: &str = "pakit-backup/1";
/// Format of a snapshot.
const SNAPSHOT_FORMAT: &str = "pakit-snapshot/1";
/// Greatest manifest, in bytes.
const BYTES_MAX: u64 = 16 << 10;

/// 0x and hex, for manifests.
mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; N];
        let digits = text.strip_prefix("0x").ok_or_else(|| D::Error::custom("0x is missing"))?;
        hex::decode_to_slice(digits, &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}

/// A file of one spelling, with the BLAKE3 of itself as it is with zeros in that place.
pub(super) trait Manifest: Serialize + DeserializeOwned + Clone {
    const FORMAT: &'static str;
    fn format(&self) -> &str;
    fn checksum(&mut self) -> &mut Digest;
}

/// What the whole folder is a backup of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FolderManifest {
    format: String,
    #[serde(with = "hex_bytes")]
    genesis: Digest,
    #[serde(with = "hex_bytes")]
    checksum: Digest,
}

impl FolderManifest {
    pub(super) fn new(genesis: BlockHash) -> Self {
        Self { format: FOLDER_FORMAT.into(), genesis: genesis.to_bytes(), checksum: [0; 32] }
    }

    pub(super) fn genesis(&self) -> BlockHash {
        BlockHash::new(self.genesis)
    }
}

impl Manifest for FolderManifest {
    const FORMAT: &'static str = FOLDER_FORMAT;

    fn format(&self) -> &str {
        &self.format
    }

    fn checksum(&mut self) -> &mut Digest {
        &mut self.checksum
    }
}

/// Which payloads were not there, if any.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AbsentFile {
    /// The snapshot whose file it is; the same set need not be written twice.
    pub(super) snapshot: u64,
    pub(super) count: u64,
    #[serde(with = "hex_bytes")]
    pub(super) digest: Digest,
}

/// One snapshot: a head of the log, and everything that was under it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotManifest {
    pub(super) format: String,
    pub(super) number: u64,
    pub(super) time_ms: u64,
    #[serde(with = "hex_bytes")]
    pub(super) genesis: Digest,
    #[serde(with = "hex_bytes")]
    pub(super) instance: [u8; 16],
    pub(super) size: u64,
    #[serde(with = "hex_bytes")]
    pub(super) root: Digest,
    pub(super) payload_next: u64,
    /// Stored bytes of the chunks that the repository kept.
    pub(super) payload_bytes: u64,
    /// The series: segments from this one on.
    pub(super) first_segment: u64,
    /// Up to this one.
    pub(super) last_segment: u64,
    /// Digest of that one.
    #[serde(with = "hex_bytes")]
    pub(super) digest: Digest,
    /// Bytes of all these segments.
    pub(super) bytes: u64,
    /// Bytes that were written for this snapshot, its manifest not counted.
    pub(super) added_bytes: u64,
    pub(super) absent: Option<AbsentFile>,
    /// BLAKE3 of the body of the record that holds the settings; one that says the same again is not written.
    #[serde(with = "hex_bytes")]
    pub(super) settings: Digest,
    /// The lowest number among the extrinsics that were not settled, or the next one's.
    pub(super) notes_from: u64,
    /// A payload of the last ones, to know the repository again by: its number and its hash.
    pub(super) mark: Option<Mark>,
    #[serde(with = "hex_bytes")]
    pub(super) checksum: Digest,
}

/// A payload's number and hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    pub(super) number: u64,
    #[serde(with = "hex_bytes")]
    pub(super) hash: Digest,
}

impl SnapshotManifest {
    pub(super) fn format_name() -> String {
        SNAPSHOT_FORMAT.into()
    }

    pub(super) fn genesis(&self) -> BlockHash {
        BlockHash::new(self.genesis)
    }

    pub(super) fn root(&self) -> LogRoot {
        LogRoot::new(self.root)
    }
}

impl Manifest for SnapshotManifest {
    const FORMAT: &'static str = SNAPSHOT_FORMAT;

    fn format(&self) -> &str {
        &self.format
    }

    fn checksum(&mut self) -> &mut Digest {
        &mut self.checksum
    }
}

fn spell(manifest: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(manifest).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

/// Writes a manifest, on the disk on return.
pub(super) fn write<M: Manifest>(path: &Path, manifest: &mut M) -> Result<(), FolderError> {
    let malformed = || FolderError::Malformed(path.to_owned());
    *manifest.checksum() = [0; 32];
    let unsigned = spell(manifest).ok_or_else(malformed)?;
    *manifest.checksum() = *blake3::hash(&unsigned).as_bytes();
    let bytes = spell(manifest).ok_or_else(malformed)?;
    let (mut file, temporary) = Temporary::create(path)?;
    file.write_all(&bytes).map_err(|source| file_error(path, source))?;
    temporary.keep(&file)
}

/// Reads a manifest and believes it only if every byte is as it was written.
pub(super) fn read<M: Manifest>(path: &Path) -> Result<M, FolderError> {
    let failed = |source| file_error(path, source);
    let mut bytes = Vec::new();
    let file = plain_file::open(path).map_err(|error| failed(error.into()))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let malformed = || FolderError::Malformed(path.to_owned());
    if bytes.len() as u64 > BYTES_MAX {
        return Err(malformed());
    }
    refuse_newer(path, &bytes, M::FORMAT)?;
    let manifest: M = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    let mut unsigned = manifest.clone();
    *unsigned.checksum() = [0; 32];
    let checksum = spell(&unsigned).map(|bytes| *blake3::hash(&bytes).as_bytes());
    let is_whole = manifest.format() == M::FORMAT
        && spell(&manifest).as_ref() == Some(&bytes)
        && checksum.as_ref() == Some(manifest.clone().checksum());
    if is_whole { Ok(manifest) } else { Err(malformed()) }
}

/// A format of the same name with another number is said to be newer, not to be damaged.
fn refuse_newer(path: &Path, bytes: &[u8], known: &str) -> Result<(), FolderError> {
    #[derive(Deserialize)]
    struct Format {
        format: String,
    }
    let Ok(Format { format }) = serde_json::from_slice(bytes) else { return Ok(()) };
    let (name, known_version) = known.split_once('/').unwrap_or((known, ""));
    let version = |text: &str| text.parse::<u32>().ok();
    let found = format.strip_prefix(name).and_then(|rest| version(rest.strip_prefix('/')?));
    match found.zip(version(known_version)) {
        Some((found, known)) if found > known => Err(FolderError::NewerFormat { path: path.to_owned(), found: format }),
        _ => Ok(()),
    }
}
