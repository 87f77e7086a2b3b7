//! Fraud: evidence that an anchored log breaks the rules of docs/formats.md.
//!
//! A chain that accepts an anchor checks the newest header and that the log was only appended to. What stands between is the
//! archive's business, until somebody shows that it is wrong. Each kind of evidence needs a few headers and their paths, and
//! is checked by the same function on a chain and off it. Against a log that keeps the rules there is none: every kind shows
//! two things which the same bytes cannot both be, unless SHA-256 is broken.
//!
//! What it cannot show: a leaf whose bytes nobody has or that is longer than [`LEAF_BYTES_MAX`]. Challenges find such a leaf,
//! since no header holds its slices.

use crate::{
    hasher::{Digest, Hasher},
    header::{Header, HeaderError, hash_header_bytes},
    id::BlockHash,
    log::{Head, LogError, check_path, verify_inclusion},
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Most bytes of a leaf that does not decode. A header has at most 318; a dozen times that is room for any mistake of a
/// writer, and keeps the hashing of hostile evidence small. A longer leaf cannot be shown.
pub const LEAF_BYTES_MAX: usize = 4096;

/// Which rule is broken.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum FaultKind {
    /// A leaf does not decode as a header.
    #[codec(index = 0)]
    Undecodable,
    /// A header stands at another place than it names.
    #[codec(index = 1)]
    OtherIndex,
    /// A header names a parent that is not the leaf at that place.
    #[codec(index = 2)]
    OtherParent,
    /// A depth is not 1 + that of the deepest parent.
    #[codec(index = 3)]
    WrongDepth,
    /// A block is earlier than its parent.
    #[codec(index = 4)]
    EarlierThanParent,
    /// The slices before a block are not those up to and with the block before it, or fewer than those of any earlier one.
    #[codec(index = 5)]
    WrongSlicesBefore,
}

/// What shows it. `Bytes` are those of a leaf that is no header, `Header` those of one, `Path` is an inclusion proof, and
/// `Headers` are the parents', in the order in which they are named.
///
/// Frozen bytes: `fraud::tests::evidence_bytes_are_frozen`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Evidence<Bytes, Header, Path, Headers> {
    /// [`FaultKind::Undecodable`].
    #[codec(index = 0)]
    Undecodable {
        /// Its place.
        leaf_index: u64,
        /// Its bytes, at most [`LEAF_BYTES_MAX`].
        leaf: Bytes,
        /// That it stands there.
        inclusion: Path,
    },
    /// [`FaultKind::OtherIndex`].
    #[codec(index = 1)]
    OtherIndex {
        /// Its place, which is not the one it names.
        leaf_index: u64,
        /// The header.
        header: Header,
        /// That it stands there.
        inclusion: Path,
    },
    /// [`FaultKind::OtherParent`].
    #[codec(index = 2)]
    OtherParent {
        /// The header that names the parent.
        header: Header,
        /// That it stands where it says.
        inclusion: Path,
        /// The place of the parent that it names.
        parent: u64,
        /// The leaf that does stand there.
        leaf: BlockHash,
        /// That it does.
        leaf_inclusion: Path,
    },
    /// [`FaultKind::WrongDepth`].
    #[codec(index = 3)]
    WrongDepth {
        /// The header.
        header: Header,
        /// That it stands where it says.
        inclusion: Path,
        /// The headers of all its parents, as it names them.
        parents: Headers,
    },
    /// [`FaultKind::EarlierThanParent`].
    #[codec(index = 4)]
    EarlierThanParent {
        /// The header.
        header: Header,
        /// That it stands where it says.
        inclusion: Path,
        /// The header of one of its parents.
        parent: Header,
    },
    /// [`FaultKind::WrongSlicesBefore`]: of two neighbours, or of two blocks that are so far apart that the slices of those in between,
    /// one each at least, do not fit. So a leaf that nobody has the bytes of hides no header that claims the slices before it.
    #[codec(index = 5)]
    WrongSlicesBefore {
        /// A header.
        before: Header,
        /// That it stands where it says.
        before_inclusion: Path,
        /// The header after it.
        header: Header,
        /// That it stands where it says.
        inclusion: Path,
    },
}

/// Why evidence shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FraudError {
    /// More than [`LEAF_BYTES_MAX`] bytes.
    #[error("the leaf is longer than {LEAF_BYTES_MAX} bytes")]
    LeafTooLong,
    /// A header of the evidence does not decode. Where it stands in the log, that is evidence of another kind.
    #[error("a header of the evidence does not decode: {0}")]
    Header(#[from] HeaderError),
    /// A leaf is not where the evidence says.
    #[error("a leaf of the evidence is not in the log: {0}")]
    Log(#[from] LogError),
    /// The block does not name that parent, or not these.
    #[error("the header does not name that parent")]
    NotAParent,
    /// Two headers that do not stand side by side, of blocks whose slices do not overlap.
    #[error("the two headers are not those of neighbours")]
    NotNeighbours,
    /// Everything is as the rules have it.
    #[error("the evidence shows nothing that is against the rules")]
    WellFormed,
}

impl<B, E, P, L> Evidence<B, E, P, L>
where
    B: AsRef<[u8]>,
    E: AsRef<[u8]>,
    P: AsRef<[Digest]>,
    L: AsRef<[E]>,
{
    /// Verifies that the evidence shows a fault of the log at `head`, and gives the rule that is broken.
    ///
    /// At most 2 x 48 + 2 hashes, and bounds and lengths are checked before the first. An honest log has no such evidence:
    /// `tests/formats/fraud.rs`.
    pub fn verify<H: Hasher>(&self, head: &Head) -> Result<FaultKind, FraudError> {
        match self {
            Self::Undecodable { leaf_index, leaf, inclusion } => {
                undecodable::<H>(head, *leaf_index, leaf.as_ref(), inclusion.as_ref())
            }
            Self::OtherIndex { leaf_index, header, inclusion } => {
                other_index::<H>(head, *leaf_index, header.as_ref(), inclusion.as_ref())
            }
            Self::OtherParent { header, inclusion, parent, leaf, leaf_inclusion } => {
                let shown = Shown::new(head, header.as_ref(), inclusion.as_ref())?;
                other_parent::<H>(head, &shown, *parent, leaf, leaf_inclusion.as_ref())
            }
            Self::WrongDepth { header, inclusion, parents } => {
                wrong_depth::<H>(head, &Shown::new(head, header.as_ref(), inclusion.as_ref())?, parents.as_ref())
            }
            Self::EarlierThanParent { header, inclusion, parent } => {
                let shown = Shown::new(head, header.as_ref(), inclusion.as_ref())?;
                earlier_than_parent::<H>(head, &shown, parent.as_ref())
            }
            Self::WrongSlicesBefore { before, before_inclusion, header, inclusion } => {
                let before = Shown::new(head, before.as_ref(), before_inclusion.as_ref())?;
                wrong_slices_before::<H>(head, &before, &Shown::new(head, header.as_ref(), inclusion.as_ref())?)
            }
        }
    }
}

/// A header that decodes, with a path as long as its own place demands. Not yet proved.
struct Shown<'a> {
    bytes: &'a [u8],
    path: &'a [Digest],
    header: Header,
}

impl<'a> Shown<'a> {
    fn new(head: &Head, bytes: &'a [u8], path: &'a [Digest]) -> Result<Self, FraudError> {
        let header = Header::decode(bytes)?;
        check_path(header.leaf_index, head.size, path.len())?;
        Ok(Self { bytes, path, header })
    }

    /// That it stands where it says.
    fn prove<H: Hasher>(&self, head: &Head) -> Result<(), FraudError> {
        let block_hash = hash_header_bytes::<H>(self.bytes);
        Ok(verify_inclusion::<H>(head, self.header.leaf_index, &block_hash, self.path)?)
    }
}

fn undecodable<H: Hasher>(
    head: &Head,
    leaf_index: u64,
    leaf: &[u8],
    inclusion: &[Digest],
) -> Result<FaultKind, FraudError> {
    if leaf.len() > LEAF_BYTES_MAX {
        return Err(FraudError::LeafTooLong);
    }
    if Header::decode(leaf).is_ok() {
        return Err(FraudError::WellFormed);
    }
    check_path(leaf_index, head.size, inclusion.len())?;
    verify_inclusion::<H>(head, leaf_index, &hash_header_bytes::<H>(leaf), inclusion)?;
    Ok(FaultKind::Undecodable)
}

fn other_index<H: Hasher>(
    head: &Head,
    leaf_index: u64,
    bytes: &[u8],
    inclusion: &[Digest],
) -> Result<FaultKind, FraudError> {
    if Header::decode(bytes)?.leaf_index == leaf_index {
        return Err(FraudError::WellFormed);
    }
    check_path(leaf_index, head.size, inclusion.len())?;
    verify_inclusion::<H>(head, leaf_index, &hash_header_bytes::<H>(bytes), inclusion)?;
    Ok(FaultKind::OtherIndex)
}

/// The two leaves cannot both be the parent: one is proved to stand there, the other one is named.
fn other_parent<H: Hasher>(
    head: &Head,
    shown: &Shown<'_>,
    parent: u64,
    leaf: &BlockHash,
    leaf_inclusion: &[Digest],
) -> Result<FaultKind, FraudError> {
    let named = shown.header.parents.iter().find(|named| named.leaf_index == parent).ok_or(FraudError::NotAParent)?;
    if named.block_hash == *leaf {
        return Err(FraudError::WellFormed);
    }
    check_path(parent, head.size, leaf_inclusion.len())?;
    shown.prove::<H>(head)?;
    verify_inclusion::<H>(head, parent, leaf, leaf_inclusion)?;
    Ok(FaultKind::OtherParent)
}

/// The parents need no paths: the header names them by the hashes of the bytes that are shown.
fn wrong_depth<H: Hasher>(
    head: &Head,
    shown: &Shown<'_>,
    parents: &[impl AsRef<[u8]>],
) -> Result<FaultKind, FraudError> {
    if parents.len() != shown.header.parents.len() {
        return Err(FraudError::NotAParent);
    }
    let headers = parents.iter().map(|bytes| Header::decode(bytes.as_ref())).collect::<Result<Vec<_>, _>>()?;
    // Genesis, without parents, has depth 0, or it would not decode.
    let expected = headers.iter().map(|parent| u64::from(parent.depth).saturating_add(1)).max().unwrap_or(0);
    if u64::from(shown.header.depth) == expected {
        return Err(FraudError::WellFormed);
    }
    for (named, bytes) in shown.header.parents.iter().zip(parents) {
        if hash_header_bytes::<H>(bytes.as_ref()) != named.block_hash {
            return Err(FraudError::NotAParent);
        }
    }
    shown.prove::<H>(head)?;
    Ok(FaultKind::WrongDepth)
}

fn earlier_than_parent<H: Hasher>(head: &Head, shown: &Shown<'_>, parent: &[u8]) -> Result<FaultKind, FraudError> {
    if shown.header.timestamp_ms >= Header::decode(parent)?.timestamp_ms {
        return Err(FraudError::WellFormed);
    }
    let block_hash = hash_header_bytes::<H>(parent);
    if !shown.header.parents.iter().any(|named| named.block_hash == block_hash) {
        return Err(FraudError::NotAParent);
    }
    shown.prove::<H>(head)?;
    Ok(FaultKind::EarlierThanParent)
}

fn wrong_slices_before<H: Hasher>(head: &Head, before: &Shown<'_>, shown: &Shown<'_>) -> Result<FaultKind, FraudError> {
    let (earlier, later) = (&before.header, &shown.header);
    let after = earlier.leaf_index.saturating_add(1);
    let between = later.leaf_index.checked_sub(after).ok_or(FraudError::NotNeighbours)?;
    // Each block in between has a slice at least. What they have more is theirs to show.
    let least = earlier.slices_through().saturating_add(between);
    if between == 0 && later.slices_before == least {
        return Err(FraudError::WellFormed);
    }
    if between > 0 && later.slices_before >= least {
        return Err(FraudError::NotNeighbours);
    }
    before.prove::<H>(head)?;
    shown.prove::<H>(head)?;
    Ok(FaultKind::WrongSlicesBefore)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use hex_literal::hex;

    type Evident = Evidence<Vec<u8>, Vec<u8>, Vec<Digest>, Vec<Vec<u8>>>;

    #[test]
    fn evidence_bytes_are_frozen() {
        let (header, inclusion) = (vec![0xaa], vec![[0xbb; 32]]);
        let path = hex!("04" "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
        let bytes = |parts: &[&[u8]]| parts.concat();
        let undecodable = Evident::Undecodable { leaf_index: 1, leaf: vec![7], inclusion: inclusion.clone() };
        assert_eq!(undecodable.encode(), bytes(&[&hex!("00" "0100000000000000" "0407"), &path]));
        let other_index = Evident::OtherIndex { leaf_index: 1, header: header.clone(), inclusion: inclusion.clone() };
        assert_eq!(other_index.encode(), bytes(&[&hex!("01" "0100000000000000" "04aa"), &path]));
        let other_parent = Evident::OtherParent {
            header: header.clone(),
            inclusion: inclusion.clone(),
            parent: 2,
            leaf: BlockHash::new([0xcc; 32]),
            leaf_inclusion: vec![],
        };
        let leaf = [0xcc; 32];
        let expected = bytes(&[&hex!("02" "04aa"), &path, &hex!("0200000000000000"), &leaf, &hex!("00")]);
        assert_eq!(other_parent.encode(), expected);
        let wrong_depth = Evident::WrongDepth {
            header: header.clone(),
            inclusion: inclusion.clone(),
            parents: vec![vec![1], vec![2]],
        };
        assert_eq!(wrong_depth.encode(), bytes(&[&hex!("03" "04aa"), &path, &hex!("08" "0401" "0402")]));
        let earlier =
            Evident::EarlierThanParent { header: header.clone(), inclusion: inclusion.clone(), parent: vec![3] };
        assert_eq!(earlier.encode(), bytes(&[&hex!("04" "04aa"), &path, &hex!("0403")]));
        let slices =
            Evident::WrongSlicesBefore { before: vec![9], before_inclusion: inclusion.clone(), header, inclusion };
        assert_eq!(slices.encode(), bytes(&[&hex!("05" "0409"), &path, &hex!("04aa"), &path]));
    }

    #[test]
    fn kinds_have_the_indices_of_their_evidence() {
        let kinds = [
            FaultKind::Undecodable,
            FaultKind::OtherIndex,
            FaultKind::OtherParent,
            FaultKind::WrongDepth,
            FaultKind::EarlierThanParent,
            FaultKind::WrongSlicesBefore,
        ];
        for (index, kind) in (0u8..).zip(kinds) {
            assert_eq!(kind.encode(), [index]);
        }
    }
}
