//! Tree listings: the content of a folder's block.
//!
//! Strict dag-cbor of `["pakit-tree/1", [[name, kind, mode, mtime_ns, size, target], ...]]`, entries strictly ascending by
//! name. Strict means: exactly one byte string says a given thing. A listing that would be encoded otherwise is refused.

use crate::cid::{Cid, CidError};
use minicbor::{
    Decoder, Encoder,
    data::{Tag, Type},
};

/// First item of every listing: the format and its version.
pub const FORMAT: &str = "pakit-tree/1";

/// Greatest listing that is read or written, in bytes: about half a million entries in one folder.
pub const LISTING_BYTES_MAX: u64 = 64 << 20;

/// Greatest length of a name or of a symlink's target, in bytes; Linux allows 255 and 4,095.
const NAME_BYTES_MAX: usize = 4096;

/// CBOR tag of a CID in dag-cbor.
const CID_TAG: u64 = 42;

/// Items of an entry.
const ENTRY_ITEMS: u64 = 6;

/// What minicbor says when it cannot write.
pub type EncodeError = minicbor::encode::Error<std::convert::Infallible>;

/// What an entry of a folder is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A file and the CID of its bytes.
    File(Cid),
    /// A folder and the CID of its listing.
    Folder(Cid),
    /// A symlink and where it points, which may be anything but NUL.
    Symlink(Vec<u8>),
}

impl Node {
    /// The kind's number in the listing.
    fn kind(&self) -> u8 {
        match self {
            Self::File(_) => 0,
            Self::Folder(_) => 1,
            Self::Symlink(_) => 2,
        }
    }

    /// The kind's name for people and JSON.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Folder(_) => "folder",
            Self::Symlink(_) => "symlink",
        }
    }
}

/// One entry of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// File name: any bytes but `/` and NUL; not empty, `.` or `..`.
    pub name: Vec<u8>,
    /// What it is.
    pub node: Node,
    /// Unix permission bits, as `st_mode` has them below the file type.
    pub mode: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Bytes of a file's content, of a folder's listing or of a symlink's target.
    pub size: u64,
}

/// Why bytes are not a tree listing, or entries cannot be one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Too large to be read or written.
    #[error("the listing is longer than {LISTING_BYTES_MAX} bytes")]
    TooLarge,
    /// Not CBOR of the listing's shape.
    #[error("the listing is malformed: {0}")]
    Malformed(#[from] minicbor::decode::Error),
    /// Not the first item that says what follows.
    #[error("the content is not a tree listing of a known version")]
    UnknownFormat,
    /// Bytes follow the listing.
    #[error("bytes follow the listing")]
    TrailingBytes,
    /// Says what it says in another than the one strict way.
    #[error("the listing is not strictly encoded")]
    NotStrict,
    /// An entry with more or fewer items, or of an unknown kind.
    #[error("an entry of the listing is malformed")]
    MalformedEntry,
    /// A name that cannot be a file's.
    #[error("the name {} is not allowed in a listing", .0.escape_ascii())]
    BadName(Vec<u8>),
    /// A symlink's target that cannot be one.
    #[error("the target of the symlink {} is not allowed", .0.escape_ascii())]
    BadTarget(Vec<u8>),
    /// Names out of order or twice.
    #[error("the names of the listing are not strictly ascending")]
    NotAscending,
    /// The encoder failed; it writes to memory and has no reason to.
    #[error("the listing could not be encoded: {0}")]
    Encode(#[from] EncodeError),
    /// The CID of an entry is not one of ours.
    #[error("an entry's CID is malformed: {0}")]
    Cid(#[from] CidError),
}

/// Encodes a folder's entries, which have to be strictly ascending by name.
pub fn encode(entries: &[Entry]) -> Result<Vec<u8>, TreeError> {
    check_entries(entries)?;
    let out = encode_entries(entries)?;
    if out.len() as u64 > LISTING_BYTES_MAX { Err(TreeError::TooLarge) } else { Ok(out) }
}

/// minicbor writes shortest forms and definite lengths, which is what dag-cbor demands.
fn encode_entries(entries: &[Entry]) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(2)?.str(FORMAT)?.array(entries.len() as u64)?;
    for entry in entries {
        encoder.array(ENTRY_ITEMS)?.bytes(&entry.name)?.u8(entry.node.kind())?;
        encoder.u32(entry.mode)?.i64(entry.mtime_ns)?.u64(entry.size)?;
        match &entry.node {
            // A CID in dag-cbor: tag 42 over a zero byte and the binary CID.
            Node::File(cid) | Node::Folder(cid) => {
                encoder.tag(Tag::new(CID_TAG))?.bytes(&[&[0], cid.to_bytes().as_slice()].concat())?
            }
            Node::Symlink(target) => encoder.bytes(target)?,
        };
    }
    Ok(encoder.into_writer())
}

/// Whether bytes say of themselves that they are a listing of this format, in the one way that a strict one does.
pub fn begins_like_a_listing(bytes: &[u8]) -> bool {
    // An array of 2 items, and a text shorter than 24 bytes.
    let text = bytes.strip_prefix(&[0x82, 0x60 | FORMAT.len() as u8]);
    text.is_some_and(|text| text.starts_with(FORMAT.as_bytes()))
}

/// Decodes strictly. Memory: a small multiple of the listing, which is at most [`LISTING_BYTES_MAX`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Entry>, TreeError> {
    if bytes.len() as u64 > LISTING_BYTES_MAX {
        return Err(TreeError::TooLarge);
    }
    let mut decoder = Decoder::new(bytes);
    if decoder.array()? != Some(2) || decoder.datatype()? != Type::String || decoder.str()? != FORMAT {
        return Err(TreeError::UnknownFormat);
    }
    let count = decoder.array()?.ok_or(TreeError::NotStrict)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(decode_entry(&mut decoder)?);
    }
    if decoder.position() != bytes.len() {
        return Err(TreeError::TrailingBytes);
    }
    check_entries(&entries)?;
    // One thing, one byte string: whatever decodes and is not what encoding gives was not strict.
    if encode_entries(&entries)? != bytes {
        return Err(TreeError::NotStrict);
    }
    Ok(entries)
}

fn decode_entry(decoder: &mut Decoder<'_>) -> Result<Entry, TreeError> {
    if decoder.array()? != Some(ENTRY_ITEMS) {
        return Err(TreeError::MalformedEntry);
    }
    let name = decoder.bytes()?.to_vec();
    let kind = decoder.u8()?;
    let (mode, mtime_ns, size) = (decoder.u32()?, decoder.i64()?, decoder.u64()?);
    let node = match kind {
        0 => Node::File(decode_cid(decoder)?),
        1 => Node::Folder(decode_cid(decoder)?),
        2 => Node::Symlink(decoder.bytes()?.to_vec()),
        _ => return Err(TreeError::MalformedEntry),
    };
    Ok(Entry { name, node, mode, mtime_ns, size })
}

fn decode_cid(decoder: &mut Decoder<'_>) -> Result<Cid, TreeError> {
    if decoder.tag()? != Tag::new(CID_TAG) {
        return Err(TreeError::MalformedEntry);
    }
    match decoder.bytes()?.split_first() {
        Some((0, cid)) => Ok(Cid::from_bytes(cid)?),
        _ => Err(TreeError::MalformedEntry),
    }
}

fn check_entries(entries: &[Entry]) -> Result<(), TreeError> {
    for entry in entries {
        let name = &entry.name;
        let is_reserved = name.is_empty() || name == b"." || name == b"..";
        if is_reserved || name.len() > NAME_BYTES_MAX || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(TreeError::BadName(name.clone()));
        }
        if let Node::Symlink(target) = &entry.node
            && (target.is_empty() || target.len() > NAME_BYTES_MAX || target.contains(&0))
        {
            return Err(TreeError::BadTarget(name.clone()));
        }
    }
    match entries.is_sorted_by(|a, b| a.name < b.name) {
        true => Ok(()),
        false => Err(TreeError::NotAscending),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &[u8], node: Node) -> Entry {
        Entry { name: name.to_vec(), node, mode: 0o644, mtime_ns: -1, size: 5 }
    }

    #[test]
    fn the_bytes_of_a_listing_are_frozen() {
        let listing = [entry(b"a", Node::File(Cid::of_raw(b"hello"))), entry(b"b", Node::Symlink(b"a".to_vec()))];
        let expected = concat!(
            "826c70616b69742d747265652f3182", // ["pakit-tree/1", 2 entries
            "864161001901a42005d82a582500",   // ["a", 0, 0o644, -1, 5, 42(0x00
            "01551e20ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f", // CID)]
            "864162021901a420054161",         // ["b", 2, 0o644, -1, 5, "a"]
        );
        assert_eq!(hex::encode(encode(&listing).unwrap()), expected);
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b", &[b'x'; NAME_BYTES_MAX + 1]] {
            let listing = [entry(name, Node::Symlink(b"x".to_vec()))];
            assert!(matches!(encode(&listing), Err(TreeError::BadName(_))), "{}", name.escape_ascii());
            assert!(decode(&encode_entries(&listing).unwrap()).is_err());
        }
        assert!(encode(&[entry(b"\xff\xfe not UTF-8", Node::Symlink(b"../..".to_vec()))]).is_ok());
    }

    #[test]
    fn entries_out_of_order_or_twice_are_refused() {
        let [a, b] = [entry(b"a", Node::Symlink(b"x".to_vec())), entry(b"b", Node::Symlink(b"x".to_vec()))];
        for listing in [[b.clone(), a.clone()], [a.clone(), a]] {
            assert!(matches!(encode(&listing), Err(TreeError::NotAscending)));
            assert!(matches!(decode(&encode_entries(&listing).unwrap()), Err(TreeError::NotAscending)));
        }
    }

    #[test]
    fn every_changed_byte_is_refused_or_says_something_else() {
        let listing = vec![entry(b"a", Node::File(Cid::of_raw(b"x"))), entry(b"c", Node::Symlink(b"a".to_vec()))];
        let bytes = encode(&listing).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                if let Ok(other) = decode(&changed) {
                    assert_ne!(other, listing, "byte {at}, bit {bit}");
                }
            }
            assert!(decode(&bytes[..at]).is_err());
        }
        assert!(matches!(decode(&[bytes.as_slice(), &[0]].concat()), Err(TreeError::TrailingBytes)));
    }

    #[test]
    fn a_listing_that_claims_many_entries_costs_nothing() {
        let mut claim = hex::decode("826c70616b69742d747265652f319b").unwrap();
        claim.extend_from_slice(&u64::MAX.to_be_bytes());
        assert!(matches!(decode(&claim), Err(TreeError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn every_listing_decodes_to_itself(names in prop::collection::btree_set(prop::collection::vec(1u8..=255, 1..20), 0..40), mode: u32, mtime_ns: i64, size: u64) {
            let listing: Vec<Entry> = names.into_iter().filter(|n| !n.contains(&b'/') && n != b"." && n != b"..").enumerate().map(|(i, name)| {
                let cid = Cid::of_raw(&name);
                let node = match i % 3 { 0 => Node::File(cid), 1 => Node::Folder(cid), _ => Node::Symlink(name.clone()) };
                Entry { name, node, mode, mtime_ns, size }
            }).collect();
            prop_assert_eq!(decode(&encode(&listing).unwrap()).unwrap(), listing);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
