//! Verifies a proof document, and a file against it, with neither repository nor network.
//!
//! Whom to believe is the reader's choice and comes from outside the document: [`Expected`] holds a head that the reader was
//! given or found on a chain. To find one there, look the document's [`ProofDocument::candidate_heads`] up.

use crate::document::ProofDocument;
use alloc::vec::Vec;
use core::cmp::Ordering;
use pakit_primitives::{
    BlockHash, ContentHash, Head, Header, HeaderError, LineageError, LogError, SoftwareHasher,
    hasher::Digest,
    header::hash_header_bytes,
    lineage::verify_lineage_to_genesis,
    log::{verify_consistency, verify_inclusion},
};
#[cfg(feature = "std")]
use std::io::Read;

/// What the reader holds to be true, from a source other than the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// The head to verify against.
    pub head: TrustedHead<'a>,
    /// Block hash of the DAG's genesis block. Without it, a lineage is followed to the genesis that it ends at, for which
    /// nobody vouches: the answer then says [`Check::LineageUncheckedGenesis`].
    pub genesis_hash: Option<BlockHash>,
    /// The DAG that is meant. A document that names another is refused.
    pub dag: Option<DagIdentity>,
}

impl<'a> Expected<'a> {
    /// Expects a head and nothing else.
    pub fn of_head(head: TrustedHead<'a>) -> Self {
        Self { head, ..Self::default() }
    }
}

/// Which DAG is meant: numbers of DAGs are unique on one chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DagIdentity {
    /// The chain's genesis hash.
    pub chain_genesis: Digest,
    /// The DAG's number on that chain.
    pub dag: u32,
}

/// The head that the reader trusts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TrustedHead<'a> {
    /// None. The document can be consistent then, but not valid.
    #[default]
    Unchecked,
    /// One that the reader was given.
    Given(Head),
    /// Those that a chain holds or held for the DAG that is meant, as far as they were looked up: any of them will do, and
    /// none is an answer too.
    Chain(&'a [Head]),
}

impl TrustedHead<'_> {
    /// Where it comes from.
    pub fn source(&self) -> HeadSource {
        match self {
            Self::Unchecked => HeadSource::Unchecked,
            Self::Given(_) => HeadSource::Given,
            Self::Chain(_) => HeadSource::Chain,
        }
    }

    fn contains(&self, head: &Head) -> bool {
        match self {
            Self::Unchecked => false,
            Self::Given(given) => given == head,
            Self::Chain(heads) => heads.contains(head),
        }
    }
}

/// Where the trusted head came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadSource {
    /// The reader was given it.
    Given,
    /// From a chain.
    Chain,
    /// There is none.
    Unchecked,
}

impl HeadSource {
    /// The name in answers for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Chain => "chain",
            Self::Unchecked => "unchecked",
        }
    }
}

/// One thing that was found to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// The header is well formed.
    Header,
    /// The block hash is the header's.
    BlockHash,
    /// The block is in the log, at the place that its header names.
    Inclusion,
    /// The block descends from the genesis that the reader trusts, or is itself the first block of the log that is trusted.
    Lineage,
    /// The block descends from a genesis for which nobody vouches: headers that anyone could have made up.
    LineageUncheckedGenesis,
    /// A later log begins with the one that the block is in.
    Consistency,
    /// The DAG that the document names is the one that is meant.
    Dag,
    /// The file has the size that the header names.
    ContentSize,
    /// The file has the content hash that the header names.
    Content,
    /// A trusted head is the document's.
    Head,
}

impl Check {
    /// The name in answers for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::BlockHash => "block_hash",
            Self::Inclusion => "inclusion",
            Self::Lineage => "lineage",
            Self::LineageUncheckedGenesis => "lineage_unchecked_genesis",
            Self::Consistency => "consistency",
            Self::Dag => "dag",
            Self::ContentSize => "content_size",
            Self::Content => "content",
            Self::Head => "head",
        }
    }
}

#[cfg(feature = "std")]
impl serde::Serialize for HeadSource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(feature = "std")]
impl serde::Serialize for Check {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The answer to a verification.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verification {
    /// Everything checked holds, up to a trusted head. The only answer that proves anything.
    pub valid: bool,
    /// Everything checked holds within the document, whatever head it leads to.
    pub consistent: bool,
    /// What was found to hold, in the order in which it was checked. Nothing is checked after a refusal.
    pub checked: Vec<Check>,
    /// Where the trusted head came from, whether or not it is the document's.
    pub head: HeadSource,
    /// The trusted head that the document leads to, if it is valid.
    pub trusted_head: Option<Head>,
    /// The block's header, if it is well formed: true only as far as the rest holds.
    pub header: Option<Header>,
    /// Why the answer is not `valid`; nothing if it is.
    pub refusal: Option<VerifyError>,
}

/// Why a document, or a file with it, is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The header is malformed.
    #[error("the block's header is malformed: {0}")]
    Header(#[source] HeaderError),
    /// The block hash in the document is not the header's.
    #[error("the header is that of block {actual}, not {named}")]
    BlockHashMismatch {
        /// The document's.
        named: BlockHash,
        /// The header's.
        actual: BlockHash,
    },
    /// The leaf index in the document is not the header's.
    #[error("the inclusion proof is for place {proved} of the log, the header's is {actual}")]
    LeafIndexMismatch {
        /// The document's.
        proved: u64,
        /// The header's.
        actual: u64,
    },
    /// The block is not shown to be in the log.
    #[error("the block is not shown to be in the log: {0}")]
    Inclusion(#[source] LogError),
    /// The block is not shown to descend from genesis.
    #[error("the block is not shown to descend from genesis: {0}")]
    Lineage(#[source] LineageError),
    /// The later log is not shown to begin with the earlier one.
    #[error("the later log is not shown to begin with the earlier one: {0}")]
    Consistency(#[source] LogError),
    /// The document names an anchor on another chain.
    #[error("the document names a DAG on another chain")]
    ForeignChain,
    /// The document names another DAG of the chain.
    #[error("the document names DAG {named}, not {meant}")]
    ForeignDag {
        /// The document's.
        named: u32,
        /// The reader's.
        meant: u32,
    },
    /// The file ends early.
    #[error("the file has {actual} bytes, the block {expected}")]
    ContentTooShort {
        /// The header's size.
        expected: u64,
        /// The file's.
        actual: u64,
    },
    /// The file goes on after the size that the header names. It is not read further.
    #[error("the file has more than the block's {expected} bytes")]
    ContentTooLong {
        /// The header's size.
        expected: u64,
    },
    /// The file is another.
    #[error("the file is not the block's content")]
    ContentMismatch,
    /// Consistent, but no head to trust was named.
    #[error("no trusted head was given to verify against")]
    NoTrustedHead,
    /// Consistent, but the document leads to no head that is trusted.
    #[error("the document leads to no trusted head")]
    UntrustedHead,
}

impl VerifyError {
    /// The name of what does not hold, for programs; the text is for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Header(_) => "Header",
            Self::BlockHashMismatch { .. } => "BlockHashMismatch",
            Self::LeafIndexMismatch { .. } => "LeafIndexMismatch",
            Self::Inclusion(_) => "Inclusion",
            Self::Lineage(_) => "Lineage",
            Self::Consistency(_) => "Consistency",
            Self::ForeignChain => "ForeignChain",
            Self::ForeignDag { .. } => "ForeignDag",
            Self::ContentTooShort { .. } => "ContentTooShort",
            Self::ContentTooLong { .. } => "ContentTooLong",
            Self::ContentMismatch => "ContentMismatch",
            Self::NoTrustedHead => "NoTrustedHead",
            Self::UntrustedHead => "UntrustedHead",
        }
    }
}

/// The file could not be read. This says nothing about the proof.
#[cfg(feature = "std")]
#[derive(Debug, thiserror::Error)]
#[error("the file to verify cannot be read: {0}")]
pub struct ContentReadError(#[from] std::io::Error);

/// Verifies a document, and `content` against it if it is given. The content is read once, a piece at a time and no
/// further than one byte beyond the size that the header names.
///
/// At most 2 + 2 x 48 + 64 hashes besides the content's. An error only says that the content could not be read; a refusal is
/// an answer.
///
/// ```
/// use pakit_verifier::{document::ProofDocument, verify::{Expected, verify_document}};
/// let bytes = include_bytes!("../../offchain-store/tests/data/worked_example.proof.json");
/// let document = ProofDocument::from_json(bytes).unwrap();
/// // Without a head to trust, a document can only agree with itself.
/// let answer = verify_document(&document, Some(&mut &b"document 3\n"[..]), &Expected::default()).unwrap();
/// assert!(answer.consistent && !answer.valid);
/// ```
#[cfg(feature = "std")]
pub fn verify_document(
    document: &ProofDocument,
    content: Option<&mut dyn Read>,
    expected: &Expected<'_>,
) -> Result<Verification, ContentReadError> {
    let mut verifying = Verifying::new(document, expected);
    if let Some(content) = content {
        verifying.read(content)?;
    }
    Ok(verifying.finish())
}

/// A verification under way, for a content that comes in pieces. Everything else was checked when this value was made.
///
/// ```
/// use pakit_verifier::{document::ProofDocument, verify::{Expected, Verifying}};
/// let bytes = include_bytes!("../../offchain-store/tests/data/worked_example.proof.json");
/// let document = ProofDocument::from_json(bytes).unwrap();
/// let mut verifying = Verifying::new(&document, &Expected::default());
/// assert!(verifying.update(b"docu"));
/// // What follows one byte too many cannot change the answer.
/// assert!(!verifying.update(b"ment 3, and more"));
/// assert_eq!(verifying.finish().refusal.unwrap().name(), "ContentTooLong");
/// ```
#[derive(Debug)]
pub struct Verifying {
    /// All but what follows from the content and the head.
    answer: Verification,
    /// The document's head that the reader trusts.
    trusted_head: Option<Head>,
    /// What was seen of the content, at most one byte more than the header names; nothing if none is given.
    content: Option<blake3::Hasher>,
}

impl Verifying {
    /// Checks everything but a content.
    pub fn new(document: &ProofDocument, expected: &Expected<'_>) -> Self {
        let mut checked = Vec::new();
        let (header, refusal) = match check_document(document, expected, &mut checked) {
            Ok(header) => (Some(header), None),
            Err(refusal) => (Header::decode(&document.header).ok(), Some(refusal)),
        };
        Self {
            answer: Verification {
                valid: false,
                consistent: false,
                checked,
                head: expected.head.source(),
                trusted_head: None,
                header,
                refusal,
            },
            trusted_head: document.candidate_heads().find(|head| expected.head.contains(head)),
            content: None,
        }
    }

    /// How many more bytes of a content can change the answer: up to one beyond the size that the header names, and none of a
    /// document that is refused.
    pub fn bytes_wanted(&self) -> u64 {
        let seen = self.content.as_ref().map_or(0, blake3::Hasher::count);
        match (&self.answer.refusal, &self.answer.header) {
            (None, Some(header)) => header.original_size.saturating_add(1).saturating_sub(seen),
            _ => 0,
        }
    }

    /// Takes the next piece of the content; the first one, even if it is empty, says that there is a content. Whether more
    /// bytes can change the answer.
    pub fn update(&mut self, piece: &[u8]) -> bool {
        let wanted = usize::try_from(self.bytes_wanted()).unwrap_or(usize::MAX);
        let content = self.content.get_or_insert_default();
        content.update(piece.get(..wanted).unwrap_or(piece));
        self.bytes_wanted() > 0
    }

    /// Takes the content, or what is left of it, from a reader; no more of it than can change the answer.
    #[cfg(feature = "std")]
    pub fn read(&mut self, content: &mut dyn Read) -> Result<(), ContentReadError> {
        let wanted = self.bytes_wanted();
        if wanted > 0 {
            self.content.get_or_insert_default().update_reader(content.take(wanted))?;
        }
        Ok(())
    }

    /// What follows from the parts, and from whether a head is trusted.
    pub fn finish(self) -> Verification {
        let Self { mut answer, trusted_head, content } = self;
        if let (None, Some(content), Some(header)) = (&answer.refusal, content, &answer.header) {
            answer.refusal = check_content(header, &content, &mut answer.checked).err();
        }
        if answer.refusal.is_some() {
            return answer;
        }
        answer.consistent = true;
        answer.trusted_head = trusted_head;
        answer.valid = trusted_head.is_some();
        answer.refusal = match answer.head {
            _ if answer.valid => None,
            HeadSource::Unchecked => Some(VerifyError::NoTrustedHead),
            HeadSource::Given | HeadSource::Chain => Some(VerifyError::UntrustedHead),
        };
        if answer.valid {
            answer.checked.push(Check::Head);
            if let Some(header) = &answer.header {
                vouch_for_first_leaf(header.leaf_index, &mut answer.checked);
            }
        }
        answer
    }
}

/// Checks everything that the document holds, except that its heads are trusted.
pub fn check_document(
    document: &ProofDocument,
    expected: &Expected<'_>,
    checked: &mut Vec<Check>,
) -> Result<Header, VerifyError> {
    let header = Header::decode(&document.header).map_err(VerifyError::Header)?;
    checked.push(Check::Header);
    let actual = hash_header_bytes::<SoftwareHasher>(&document.header);
    if actual != document.block_hash {
        return Err(VerifyError::BlockHashMismatch { named: document.block_hash, actual });
    }
    checked.push(Check::BlockHash);
    let proved = document.inclusion.leaf_index;
    if proved != header.leaf_index {
        return Err(VerifyError::LeafIndexMismatch { proved, actual: header.leaf_index });
    }
    verify_inclusion::<SoftwareHasher>(&document.tree_head, proved, &actual, &document.inclusion.path)
        .map_err(VerifyError::Inclusion)?;
    checked.push(Check::Inclusion);
    if let Some(lineage) = &document.lineage {
        check_lineage(&header, actual, lineage, expected.genesis_hash).map_err(VerifyError::Lineage)?;
        checked.push(match expected.genesis_hash {
            Some(_) => Check::Lineage,
            None => Check::LineageUncheckedGenesis,
        });
    }
    if let Some(later) = &document.consistency {
        verify_consistency::<SoftwareHasher>(&document.tree_head, &later.head, &later.path)
            .map_err(VerifyError::Consistency)?;
        checked.push(Check::Consistency);
    }
    if let (Some(anchor), Some(meant)) = (&document.anchor, &expected.dag) {
        if anchor.genesis != meant.chain_genesis {
            return Err(VerifyError::ForeignChain);
        }
        if anchor.dag != meant.dag {
            return Err(VerifyError::ForeignDag { named: anchor.dag, meant: meant.dag });
        }
        checked.push(Check::Dag);
    }
    Ok(header)
}

/// The first leaf of a log is its genesis. Where a trusted head shows the block to be that leaf, it needs nobody else to vouch.
fn vouch_for_first_leaf(leaf_index: u64, checked: &mut [Check]) {
    if leaf_index == 0 {
        checked
            .iter_mut()
            .filter(|check| **check == Check::LineageUncheckedGenesis)
            .for_each(|check| *check = Check::Lineage);
    }
}

/// Follows the lineage to the genesis that is trusted, or to the one it ends at: then it says nothing of whose genesis that
/// is, since the log proves nothing of what a header says of its parents.
fn check_lineage(
    header: &Header,
    block_hash: BlockHash,
    lineage: &[Vec<u8>],
    trusted_genesis: Option<BlockHash>,
) -> Result<(), LineageError> {
    let last_hash = || lineage.last().map_or(block_hash, |bytes| hash_header_bytes::<SoftwareHasher>(bytes));
    let genesis_hash = trusted_genesis.unwrap_or_else(last_hash);
    verify_lineage_to_genesis::<SoftwareHasher>(header, lineage, &genesis_hash)
}

/// Compares a content with what the header says of it.
fn check_content(header: &Header, content: &blake3::Hasher, checked: &mut Vec<Check>) -> Result<(), VerifyError> {
    let (expected, actual) = (header.original_size, content.count());
    match actual.cmp(&expected) {
        Ordering::Less => return Err(VerifyError::ContentTooShort { expected, actual }),
        Ordering::Greater => return Err(VerifyError::ContentTooLong { expected }),
        Ordering::Equal => checked.push(Check::ContentSize),
    }
    if ContentHash::new(*content.finalize().as_bytes()) != header.content_hash {
        return Err(VerifyError::ContentMismatch);
    }
    checked.push(Check::Content);
    Ok(())
}
