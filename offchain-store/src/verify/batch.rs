//! Many proofs against one head, over all cores. Answers come in the order of the questions.

use super::{Expected, Verification, Verifying};
use crate::{
    plain_file::{self, OpenError},
    proof::{ProofDocument, ProofDocumentError},
};
use pakit_primitives::{BlockHash, Head, LogError, SoftwareHasher, hasher::Digest, log::verify_inclusion};
use rayon::prelude::*;
use std::{
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// Documents that are in memory at once, each of at most [`crate::proof::DOCUMENT_BYTES_MAX`] bytes: enough to keep many cores busy
/// between two times that they wait for each other.
pub const FILES_AT_ONCE: usize = 64;
/// Documents of one folder. Their names are in memory together.
const FOLDER_DOCUMENTS_MAX: usize = 1_000_000;
/// Inclusion proofs that one thread takes at once: some tens of microseconds of hashing.
const LEAVES_AT_ONCE: usize = 16;

/// A block and its audit path, for a head that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeafProof<'a> {
    /// The block's place in the log.
    pub leaf_index: u64,
    /// The block's hash, which is its leaf.
    pub block_hash: BlockHash,
    /// Hashes from the leaf to the root.
    pub path: &'a [Digest],
}

/// What is said of a document in a file.
pub type FileAnswer = Result<Verification, DocumentError>;

/// Why a file holds no document that could be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The system does not allow it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What stands there is no file.
    #[error("{} is {what} and not a file", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It is no proof document.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ProofDocumentError,
    },
    /// A folder with more documents than are listed at once.
    #[error("{} holds more than {FOLDER_DOCUMENTS_MAX} documents; verify them in several folders", .0.display())]
    TooMany(PathBuf),
}

/// Verifies that blocks are in a log, each by a path of its own. The same as [`verify_inclusion`] for each.
///
/// ```
/// use offchain_store::verify::{LeafProof, verify_inclusions};
/// use pakit_primitives::{BlockHash, Head};
/// let only = BlockHash::new([7; 32]);
/// let head = Head { size: 1, root: only.as_root_of_one() };
/// let other = LeafProof { leaf_index: 0, block_hash: BlockHash::new([8; 32]), path: &[] };
/// let answers = verify_inclusions(&head, &[LeafProof { block_hash: only, ..other }, other]);
/// assert!(answers[0].is_ok() && answers[1].is_err());
/// ```
pub fn verify_inclusions(head: &Head, proofs: &[LeafProof<'_>]) -> Vec<Result<(), LogError>> {
    let verify = |proof: &LeafProof<'_>| {
        verify_inclusion::<SoftwareHasher>(head, proof.leaf_index, &proof.block_hash, proof.path)
    };
    proofs.par_iter().with_min_len(LEAVES_AT_ONCE).map(verify).collect()
}

/// Verifies documents without their contents. The same as [`super::verify_document`] for each.
pub fn verify_documents(documents: &[ProofDocument], expected: &Expected<'_>) -> Vec<Verification> {
    documents.par_iter().map(|document| verify_one(document, expected)).collect()
}

/// Reads and verifies the documents in files, and tells `answered` of each in their order until it says to stop. No more than
/// [`FILES_AT_ONCE`] are in memory.
pub fn verify_files(
    paths: &[PathBuf],
    expected: &Expected<'_>,
    answered: &mut dyn FnMut(&Path, FileAnswer) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for some in paths.chunks(FILES_AT_ONCE) {
        let verify = |path: &PathBuf| read_document(path).map(|document| verify_one(&document, expected));
        let answers: Vec<_> = some.par_iter().map(verify).collect();
        some.iter().zip(answers).try_for_each(|(path, answer)| answered(path, answer))?;
    }
    ControlFlow::Continue(())
}

/// Everything in a folder, but not in folders within it, whose name ends with `.json`, ordered by name.
pub fn document_files(folder: &Path) -> Result<Vec<PathBuf>, DocumentError> {
    let io = |source| DocumentError::Io { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            if paths.len() >= FOLDER_DOCUMENTS_MAX {
                return Err(DocumentError::TooMany(folder.to_owned()));
            }
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn verify_one(document: &ProofDocument, expected: &Expected<'_>) -> Verification {
    Verifying::new(document, expected).finish()
}

/// A document in a plain file, or behind a link to one: whoever named the folder did not name a pipe in it, that it should be waited for.
fn read_document(path: &Path) -> Result<ProofDocument, DocumentError> {
    let io = |source| DocumentError::Io { path: path.to_owned(), source };
    let file = plain_file::open(path).map_err(|error| match error {
        OpenError::NotAFile(what) => DocumentError::NotAFile { path: path.to_owned(), what },
        OpenError::Io(source) => io(source),
    })?;
    ProofDocument::read_from(file).map_err(|source| DocumentError::Malformed { path: path.to_owned(), source })
}
