//! Proofs of things in a log that is known: whatever holds has to be true of it, and to be the one proof there is.

use super::{
    Parts,
    logs::{FAULTY, LOG, Log},
};
use codec::{DecodeAll, Encode};
use offchain_store::{
    ProofDocument,
    challenge::{ChallengeAnswer, DrawnBlock},
    proof::{AnchorReference, Consistency, Inclusion},
    verify::{Check, Expected, TrustedHead, verify_document},
};
use pakit_primitives::{
    BlockHash, Head, Header, LogRoot, SoftwareHasher,
    chain::verify_extension,
    fraud::{Evidence, FaultKind},
    hasher::Digest,
    log::{DeltaProof, delta_shared_len, verify_consistency, verify_delta, verify_inclusion, verify_multiproof},
    possession::{verify_answer, verify_drawn_block},
    verify_lineage_to_ancestor, verify_lineage_to_genesis,
};

/// A proof document, for a reader who trusts the heads of the log and its genesis.
pub(super) fn document(bytes: &[u8]) {
    let Ok(document) = ProofDocument::from_json(bytes) else { return };
    let expected = Expected { head: TrustedHead::Chain(&LOG.heads), genesis_hash: Some(LOG.hashes[0]), dag: None };
    let answer = verify_document(&document, None, &expected).unwrap();
    assert!(answer.consistent || !answer.valid);
    assert_eq!(answer.valid, answer.refusal.is_none());
    if !answer.valid {
        return;
    }
    let leaf_index = document.inclusion.leaf_index;
    assert_eq!(LOG.headers.get(leaf_index as usize), Some(&document.header), "a block that is not in the log");
    assert_eq!(LOG.hashes[leaf_index as usize], document.block_hash);
    assert!(LOG.heads.contains(&document.tree_head), "a log that is not this one's beginning");
    assert!(answer.trusted_head.is_some_and(|head| LOG.heads.contains(&head)));
    assert_eq!(document.inclusion.path, LOG.inclusion(leaf_index, document.tree_head.size), "two proofs of one thing");
    let is_known = |header: &Vec<u8>| LOG.headers.contains(header);
    assert!(document.lineage.iter().flatten().all(is_known), "an ancestor that is not in the log");
    assert_eq!(answer.checked.contains(&Check::Lineage), document.lineage.is_some());
    let content = &LOG.contents[leaf_index as usize];
    let verified = |mut content: &[u8]| verify_document(&document, Some(&mut content), &expected).unwrap();
    assert!(verified(content).valid);
    assert!(!verified(&[content.as_slice(), b"+"].concat()).valid, "another content");
}

/// A kind of proof, the size of the head that it is against, and what the proof says.
pub(super) fn of_log(bytes: &[u8]) {
    is_proof(bytes);
}

/// The same; whether the proof holds.
pub(super) fn is_proof(bytes: &[u8]) -> bool {
    let mut parts = Parts(bytes);
    let kind = parts.byte() % 6;
    let head = head(&mut parts);
    match kind {
        0 => inclusion(&head, &mut parts),
        1 => consistency(&head, &mut parts),
        2 => multiproof(&head, &mut parts),
        3 => delta(&head, &mut parts),
        4 => extension(&head, &mut parts),
        _ => ancestor(&head, &mut parts),
    }
}

/// One of the log's heads.
fn head(parts: &mut Parts<'_>) -> Head {
    LOG.heads[usize::from(parts.byte()) % LOG.heads.len()]
}

/// The hash of a block of the log, or after another byte any hash.
fn block_hash(parts: &mut Parts<'_>) -> BlockHash {
    let at = usize::from(parts.byte());
    LOG.hashes.get(at).copied().unwrap_or_else(|| BlockHash::new(parts.hash()))
}

fn is_leaf(head: &Head, leaf_index: u64, block_hash: &BlockHash) -> bool {
    leaf_index < head.size && LOG.hashes.get(leaf_index as usize) == Some(block_hash)
}

fn inclusion(head: &Head, parts: &mut Parts<'_>) -> bool {
    let (leaf_index, block_hash, path) = (parts.number(), block_hash(parts), parts.hashes());
    let holds = verify_inclusion::<SoftwareHasher>(head, leaf_index, &block_hash, &path).is_ok();
    if holds {
        assert!(is_leaf(head, leaf_index, &block_hash), "a leaf that is not there");
        assert_eq!(path, LOG.inclusion(leaf_index, head.size), "two proofs of one thing");
    }
    holds
}

fn consistency(head: &Head, parts: &mut Parts<'_>) -> bool {
    let size = parts.number();
    // One of the log's roots, of any size, or another one.
    let root = match LOG.heads.get(usize::from(parts.byte())) {
        Some(head) => head.root,
        None => LogRoot::new(parts.hash()),
    };
    let (old, path) = (Head { size, root }, parts.hashes());
    let holds = verify_consistency::<SoftwareHasher>(&old, head, &path).is_ok();
    if holds {
        assert!(LOG.heads.contains(&old) && old.size <= head.size, "a beginning that is none");
        assert_eq!(path, LOG.consistency(old.size, head.size), "two proofs of one thing");
    }
    holds
}

fn multiproof(head: &Head, parts: &mut Parts<'_>) -> bool {
    let count = parts.byte() % 16;
    let leaves: Vec<(u64, BlockHash)> = (0..count).map(|_| (parts.number(), block_hash(parts))).collect();
    let proof = parts.hashes();
    let holds = verify_multiproof::<SoftwareHasher>(head, &leaves, &proof).is_ok();
    if holds {
        assert!(leaves.iter().all(|(index, hash)| is_leaf(head, *index, hash)), "a leaf that is not there");
        let indices: Vec<u64> = leaves.iter().map(|(index, _)| *index).collect();
        assert_eq!(proof, LOG.multiproof(&indices, head.size), "two proofs of one thing");
    }
    holds
}

fn delta(head: &Head, parts: &mut Parts<'_>) -> bool {
    let (reference, leaf_index, block_hash) = (parts.number(), parts.number(), block_hash(parts));
    let (shared, reference_path, leading) = (usize::from(parts.byte()), parts.hashes(), parts.hashes());
    let proof = DeltaProof { leading, shared };
    let verified = verify_delta::<SoftwareHasher>(head, reference, &reference_path, leaf_index, &block_hash, &proof);
    assert!(verified.is_err() || is_leaf(head, leaf_index, &block_hash), "a leaf that is not there");
    verified.is_ok()
}

/// What a chain checks before it takes an anchor.
fn extension(new: &Head, parts: &mut Parts<'_>) -> bool {
    let (old, consistency, header, inclusion) = (head(parts), parts.hashes(), parts.text(), parts.hashes());
    let holds = verify_extension::<SoftwareHasher>(&old, new, &consistency, header, &inclusion).is_ok();
    if holds {
        assert!(old.size < new.size);
        assert_eq!(LOG.headers[new.size as usize - 1], header, "another newest block");
        assert_eq!(consistency, LOG.consistency(old.size, new.size), "two proofs of one thing");
        assert_eq!(inclusion, LOG.inclusion(new.size - 1, new.size), "two proofs of one thing");
    }
    holds
}

fn ancestor(head: &Head, parts: &mut Parts<'_>) -> bool {
    let block = LOG.header(u64::from(parts.byte()) % LOG.headers.len() as u64);
    let path = parts.hashes();
    let count = parts.byte() % 70;
    let ancestors: Vec<&[u8]> = (0..count).map(|_| parts.text()).collect();
    let are_known = ancestors.iter().all(|bytes| LOG.headers.iter().any(|header| header == bytes));
    let to_genesis = verify_lineage_to_genesis::<SoftwareHasher>(&block, &ancestors, &LOG.hashes[0]);
    assert!(to_genesis.is_err() || are_known, "an ancestor that is not in the log");
    let Ok((hash, ancestor)) = verify_lineage_to_ancestor::<SoftwareHasher>(&block, &ancestors, head, &path) else {
        return false;
    };
    assert!(are_known && is_leaf(head, ancestor.leaf_index, &hash), "an ancestor that is not in the log");
    assert!(ancestor.leaf_index < block.leaf_index);
    true
}

/// The size of a head and a position, a byte each, and what a companion says to that.
pub(super) fn challenge_answer(bytes: &[u8]) {
    is_answer(bytes);
}

/// The same; whether it is an answer, or as much of one as can be given of a content that is gone.
pub(super) fn is_answer(bytes: &[u8]) -> bool {
    let Some(([size, position], said)) = bytes.split_first_chunk::<2>() else { return false };
    let (head, position) = (LOG.heads[usize::from(*size) % LOG.heads.len()], u64::from(*position));
    let drawn = LOG.block_of(position).filter(|(leaf_index, _)| *leaf_index < head.size);
    let mut holds = false;
    if let Ok(answer) = ChallengeAnswer::decode_all(&mut &said[..]) {
        assert_eq!(answer.encode(), said, "two encodings of one answer");
        let ChallengeAnswer { header, inclusion, slice, siblings } = answer;
        if verify_answer::<SoftwareHasher>(&head, position, &header, &inclusion, &slice, &siblings).is_ok() {
            let (leaf_index, index) = drawn.expect("a slice that is not there");
            assert_eq!((header, inclusion), block_proof(leaf_index, head.size), "another block");
            assert_eq!((slice, siblings), LOG.slice(leaf_index, index), "another slice");
            holds = true;
        }
    }
    if let Ok(block) = DrawnBlock::decode_all(&mut &said[..]) {
        assert_eq!(block.encode(), said, "two encodings of one answer");
        if verify_drawn_block::<SoftwareHasher>(&head, position, &block.header, &block.inclusion).is_ok() {
            let (leaf_index, _) = drawn.expect("a slice that is not there");
            assert_eq!((block.header, block.inclusion), block_proof(leaf_index, head.size), "another block");
            holds = true;
        }
    }
    holds
}

fn block_proof(leaf_index: u64, size: u64) -> (Vec<u8>, Vec<Digest>) {
    (LOG.headers[leaf_index as usize].clone(), LOG.inclusion(leaf_index, size))
}

type AnyEvidence = Evidence<Vec<u8>, Vec<u8>, Vec<Digest>, Vec<Vec<u8>>>;

/// Evidence of a fault: nothing is one in the sound log, and in a log with one fault nothing else is.
pub(super) fn fraud_evidence(bytes: &[u8]) {
    is_evidence(bytes);
}

/// The same; whether it shows the fault of one of those logs.
pub(super) fn is_evidence(bytes: &[u8]) -> bool {
    let Ok(evidence) = AnyEvidence::decode_all(&mut &bytes[..]) else { return false };
    assert_eq!(evidence.encode(), bytes, "two encodings of one evidence");
    for head in &LOG.heads {
        let shown = evidence.verify::<SoftwareHasher>(head);
        assert!(shown.is_err(), "{shown:?} of a log that keeps the rules");
    }
    let mut is_shown = false;
    for (fault, log) in FAULTY.iter() {
        for head in &log.heads {
            if let Ok(shown) = evidence.verify::<SoftwareHasher>(head) {
                assert_eq!((shown, head.size), (*fault, log.headers.len() as u64), "another fault than there is");
                is_shown = true;
            }
        }
    }
    is_shown
}

/// Bytes of a part of [`Parts`], as it reads them.
fn hashes(path: &[Digest]) -> Vec<u8> {
    [&[path.len() as u8][..], path.as_flattened()].concat()
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

/// Headers from a parent of a block down to genesis.
fn lineage(mut leaf_index: u64) -> Vec<Vec<u8>> {
    let mut headers = Vec::new();
    while let Some(parent) = LOG.header(leaf_index).parents.first() {
        leaf_index = parent.leaf_index;
        headers.push(LOG.headers[leaf_index as usize].clone());
    }
    headers
}

/// Sound documents: of the newest block, of the genesis, and with all that one may have.
pub(super) fn documents() -> Vec<Vec<u8>> {
    let document = |leaf_index: u64, size: u64| ProofDocument {
        header: LOG.headers[leaf_index as usize].clone(),
        block_hash: LOG.hashes[leaf_index as usize],
        tree_head: LOG.heads[size as usize - 1],
        inclusion: Inclusion { leaf_index, path: LOG.inclusion(leaf_index, size) },
        lineage: None,
        consistency: None,
        anchor: None,
    };
    let mut whole = document(7, 9);
    whole.lineage = Some(lineage(7));
    whole.consistency = Some(Consistency { head: LOG.heads[12], path: LOG.consistency(9, 13) });
    let (genesis, block_hash) = ([1; 32], [2; 32]);
    whole.anchor =
        Some(AnchorReference { genesis, dag: 3, anchor: 4, block_hash, block_number: 5, extrinsic_index: 6 });
    [document(12, 13), document(0, 1), whole].iter().map(|document| document.to_json().into_bytes()).collect()
}

/// A sound proof of each kind.
pub(super) fn proofs_of_log() -> Vec<Vec<u8>> {
    let size = |size: u64| size as u8 - 1;
    let number = |number: u64| number.to_le_bytes().to_vec();
    let known = |leaf_index: u64| vec![leaf_index as u8];
    let leaves = [1, 4, 12];
    let shared = delta_shared_len(3, 6, 13).unwrap();
    let (own, reference) = (LOG.inclusion(6, 13), LOG.inclusion(3, 13));
    let ancestors = lineage(9);
    vec![
        [vec![0, size(13)], number(5), known(5), hashes(&LOG.inclusion(5, 13))].concat(),
        [vec![1, size(13)], number(6), vec![size(6)], hashes(&LOG.consistency(6, 13))].concat(),
        [
            vec![2, size(13), leaves.len() as u8],
            leaves.iter().flat_map(|leaf| [number(*leaf), known(*leaf)].concat()).collect(),
            hashes(&LOG.multiproof(&leaves, 13)),
        ]
        .concat(),
        [
            [vec![3, size(13)], number(3), number(6), known(6), vec![shared as u8]].concat(),
            hashes(&reference),
            hashes(&own[..own.len() - shared]),
        ]
        .concat(),
        [
            vec![4, size(11), size(7)],
            hashes(&LOG.consistency(7, 11)),
            text(&LOG.headers[10]),
            hashes(&LOG.inclusion(10, 11)),
        ]
        .concat(),
        [
            vec![5, size(13), 9],
            hashes(&LOG.inclusion(0, 13)),
            vec![ancestors.len() as u8],
            ancestors.iter().flat_map(|header| text(header)).collect(),
        ]
        .concat(),
    ]
}

/// Sound answers: about a content of one slice, of many, and about one that is gone.
pub(super) fn answers() -> Vec<Vec<u8>> {
    let asked = |position: u64| {
        let (leaf_index, index) = LOG.block_of(position).expect("the log has so many slices");
        let ((header, inclusion), (slice, siblings)) = (block_proof(leaf_index, 13), LOG.slice(leaf_index, index));
        ChallengeAnswer { header, inclusion, slice, siblings }
    };
    let before = |position: u64| vec![12, position as u8];
    let many = LOG.header(11).slices_before + 4;
    let mut inputs: Vec<Vec<u8>> =
        [0, 1, many].map(|position| [before(position), asked(position).encode()].concat()).into();
    let ChallengeAnswer { header, inclusion, .. } = asked(many);
    inputs.push([before(many), DrawnBlock { header, inclusion }.encode()].concat());
    inputs
}

/// What shows the one fault of each faulty log.
pub(super) fn evidence() -> Vec<Vec<u8>> {
    FAULTY.iter().map(|(fault, log)| shown(*fault, log).encode()).collect()
}

fn shown(fault: FaultKind, log: &Log) -> AnyEvidence {
    let (leaf_index, size) = (8, 9);
    let (header, inclusion) = (log.headers[8].clone(), log.inclusion(leaf_index, size));
    let named = || Header::decode(&header).unwrap().parents.to_vec();
    match fault {
        FaultKind::Undecodable => Evidence::Undecodable { leaf_index, leaf: header, inclusion },
        FaultKind::OtherIndex => Evidence::OtherIndex { leaf_index, header, inclusion },
        FaultKind::OtherParent => {
            let parent = named()[0].leaf_index;
            let leaf = log.hashes[parent as usize];
            let leaf_inclusion = log.inclusion(parent, size);
            Evidence::OtherParent { header, inclusion, parent, leaf, leaf_inclusion }
        }
        FaultKind::WrongDepth => {
            let parents = named().iter().map(|parent| log.headers[parent.leaf_index as usize].clone()).collect();
            Evidence::WrongDepth { header, inclusion, parents }
        }
        FaultKind::EarlierThanParent => {
            let parent = log.headers[named()[0].leaf_index as usize].clone();
            Evidence::EarlierThanParent { header, inclusion, parent }
        }
        FaultKind::WrongSlicesBefore => {
            let (before, before_inclusion) = (log.headers[7].clone(), log.inclusion(7, size));
            Evidence::WrongSlicesBefore { before, before_inclusion, header, inclusion }
        }
    }
}

/// Whether what is read proves something, of the log or of one with a fault.
pub(super) fn is_document_valid(bytes: &[u8]) -> bool {
    let expected = Expected { head: TrustedHead::Chain(&LOG.heads), genesis_hash: None, dag: None };
    ProofDocument::from_json(bytes)
        .is_ok_and(|document| verify_document(&document, None, &expected).is_ok_and(|answer| answer.valid))
}
