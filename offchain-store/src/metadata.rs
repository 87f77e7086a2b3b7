//! Metadata: an optional map that belongs to a block, strict dag-cbor with text keys.

use minicbor::Encoder;
use pakit_primitives::MetadataHash;
use std::collections::BTreeMap;

/// Greatest metadata map, in bytes.
pub const METADATA_BYTES_MAX: usize = 64 << 10;

/// Why a map cannot be metadata.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Too large.
    #[error("the metadata is longer than {METADATA_BYTES_MAX} bytes")]
    TooLarge,
    /// The encoder failed; it writes to memory and has no reason to.
    #[error("the metadata could not be encoded: {0}")]
    Encode(#[from] crate::tree::EncodeError),
}

/// A metadata map in its one encoding.
///
/// ```
/// use offchain_store::metadata::Metadata;
/// let map = [("parcel".to_owned(), "12/7".to_owned())].into();
/// assert_eq!(Metadata::from_texts(&map).unwrap().as_bytes(), b"\xa1\x66parcel\x6412/7");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    bytes: Vec<u8>,
}

impl Metadata {
    /// A map of texts to texts. dag-cbor orders keys by length first, then by their bytes.
    pub fn from_texts(map: &BTreeMap<String, String>) -> Result<Self, MetadataError> {
        let mut pairs: Vec<(&String, &String)> = map.iter().collect();
        pairs.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then(a.cmp(b)));
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(pairs.len() as u64)?;
        for (key, value) in pairs {
            encoder.str(key)?.str(value)?;
        }
        let bytes = encoder.into_writer();
        if bytes.len() > METADATA_BYTES_MAX { Err(MetadataError::TooLarge) } else { Ok(Self { bytes }) }
    }

    /// BLAKE3 of the encoding, which stands in the header.
    pub fn hash(&self) -> MetadataHash {
        MetadataHash::new(*blake3::hash(&self.bytes).as_bytes())
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
