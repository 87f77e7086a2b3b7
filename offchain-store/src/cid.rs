//! CIDs: version 1, multihash 0x1e (blake3) of 32 bytes, in base32 as every IPFS tool prints them.

use pakit_primitives::ContentHash;
use std::{fmt, str::FromStr};

/// Multicodec of a plain file.
pub const RAW: u32 = 0x55;
/// Multicodec of a tree listing.
pub const DAG_CBOR: u32 = 0x71;

/// Multihash code of BLAKE3.
const BLAKE3: u64 = 0x1e;

/// A content hash with the codec that tells how to read the content.
///
/// ```
/// use offchain_store::cid::{Cid, RAW};
/// let cid = Cid::of_raw(b"hello");
/// assert_eq!(cid.to_string().parse::<Cid>().unwrap(), cid);
/// assert_eq!(cid.codec(), RAW);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Cid {
    codec: u32,
    content_hash: ContentHash,
}

/// Why a text or byte string is not one of our CIDs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CidError {
    /// Not a CID at all.
    #[error("not a CID: {0}")]
    Malformed(#[from] cid::Error),
    /// A CID of version 0, which has no codec.
    #[error("the CID is not of version 1")]
    WrongVersion,
    /// A CID over another hash function, or over a shortened hash.
    #[error("the CID does not hold a BLAKE3 hash of 32 bytes")]
    NotBlake3,
    /// A codec beyond 32 bits, which no header can hold.
    #[error("the CID's codec is out of range")]
    CodecOutOfRange,
}

impl Cid {
    /// Names a content under a codec.
    pub fn new(codec: u32, content_hash: ContentHash) -> Self {
        Self { codec, content_hash }
    }

    /// The CID of a plain content.
    pub fn of_raw(content: &[u8]) -> Self {
        Self::new(RAW, ContentHash::new(*blake3::hash(content).as_bytes()))
    }

    /// Multicodec of the content.
    pub fn codec(&self) -> u32 {
        self.codec
    }

    /// BLAKE3 of the content.
    pub fn content_hash(&self) -> ContentHash {
        self.content_hash
    }

    /// The binary form, as tree listings hold it.
    pub fn to_bytes(self) -> Vec<u8> {
        self.as_generic().to_bytes()
    }

    /// Reads the binary form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        let generic = cid::Cid::try_from(bytes)?;
        // `try_from` reads a prefix; a CID with bytes behind it is not that CID.
        if generic.encoded_len() != bytes.len() {
            return Err(CidError::Malformed(cid::Error::ParsingError));
        }
        Self::from_generic(generic)
    }

    fn as_generic(self) -> cid::Cid {
        // A multihash of 32 bytes always fits the 64 that the type holds.
        let multihash = cid::multihash::Multihash::wrap(BLAKE3, self.content_hash.as_bytes())
            .expect("32 bytes fit a multihash of up to 64; qed");
        cid::Cid::new_v1(self.codec.into(), multihash)
    }

    fn from_generic(generic: cid::Cid) -> Result<Self, CidError> {
        if generic.version() != cid::Version::V1 {
            return Err(CidError::WrongVersion);
        }
        let multihash = generic.hash();
        let digest: [u8; 32] = match multihash.code() {
            BLAKE3 => multihash.digest().try_into().map_err(|_| CidError::NotBlake3)?,
            _ => return Err(CidError::NotBlake3),
        };
        let codec = u32::try_from(generic.codec()).map_err(|_| CidError::CodecOutOfRange)?;
        Ok(Self::new(codec, ContentHash::new(digest)))
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_generic().fmt(f)
    }
}

impl FromStr for Cid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        Self::from_generic(text.parse()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_text_of_a_cid_is_frozen() {
        // Version 1, raw, blake3, 32 bytes; the text prefix follows from those bytes in base32.
        let cid = Cid::of_raw(b"");
        assert_eq!(hex::encode(&cid.to_bytes()[..4]), "01551e20");
        assert!(cid.to_string().starts_with("bafkr4i"), "{cid}");
        assert_eq!(Cid::from_bytes(&cid.to_bytes()).unwrap(), cid);
    }

    #[test]
    fn cids_of_other_hashes_are_refused() {
        let sha256 = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
        assert!(matches!(sha256.parse::<Cid>(), Err(CidError::NotBlake3)));
        assert!(matches!("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG".parse::<Cid>(), Err(CidError::WrongVersion)));
        assert!(matches!("hello".parse::<Cid>(), Err(CidError::Malformed(_))));
        let mut trailing = Cid::of_raw(b"a").to_bytes();
        trailing.push(0);
        assert!(Cid::from_bytes(&trailing).is_err());
    }
}
