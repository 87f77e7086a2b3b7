//! Lineage: every way in which a row of headers can fail to lead back.

use crate::common::{CountingHasher, chain, counting, sample_header, with_bit_flipped};
use pakit_primitives::{
    BlockHash, Head, Header, HeaderError, LineageError, LogError, LogRoot, Parent, Parents, SoftwareHasher,
    hasher::Digest,
    lineage::LINEAGE_HEADERS_MAX,
    log::{Accumulator, inclusion_subtrees},
};

/// Bytes of the given blocks, in that order.
fn headers(chain: &[Header], indices: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    indices.into_iter().map(|index| chain[index].to_bytes()).collect()
}

fn hash(header: &Header) -> BlockHash {
    header.block_hash::<SoftwareHasher>()
}

fn to_genesis(block: &Header, ancestors: &[Vec<u8>], genesis: &BlockHash) -> Result<(), LineageError> {
    pakit_primitives::verify_lineage_to_genesis::<SoftwareHasher>(block, ancestors, genesis)
}

/// The head over all of a chain and the audit path of one of its blocks.
fn head_and_path(chain: &[Header], leaf: u64) -> (Head, Vec<Digest>) {
    let root_of = |from: u64, to: u64| {
        let mut log = Accumulator::<SoftwareHasher>::default();
        chain[from as usize..to as usize].iter().for_each(|header| log.append(&hash(header), |_, _, _| {}));
        log.head().unwrap().root
    };
    let size = chain.len() as u64;
    let path = inclusion_subtrees(leaf, size).unwrap();
    (Head { size, root: root_of(0, size) }, path.iter().map(|part| root_of(part.start, part.end).to_bytes()).collect())
}

#[test]
fn every_way_down_to_genesis_is_accepted() {
    let chain = chain(7);
    let genesis = hash(&chain[0]);
    for way in [vec![5, 4, 3, 2, 1, 0], vec![4, 2, 0], vec![5, 3, 1, 0], vec![4, 3, 1, 0]] {
        assert_eq!(to_genesis(&chain[6], &headers(&chain, way.clone()), &genesis), Ok(()), "{way:?}");
    }
    assert_eq!(to_genesis(&chain[0], &[], &genesis), Ok(()), "genesis descends from itself");
    assert_eq!(to_genesis(&chain[1], &headers(&chain, [0]), &genesis), Ok(()));
}

#[test]
fn a_lineage_of_64_headers_is_accepted_and_one_of_65_refused_without_a_hash() {
    let chain = chain(66);
    let genesis = hash(&chain[0]);
    let longest = headers(&chain, (0..64).rev());
    assert_eq!(longest.len(), LINEAGE_HEADERS_MAX);
    let verify = |block: &Header, ancestors: &[Vec<u8>]| {
        counting(|| pakit_primitives::verify_lineage_to_genesis::<CountingHasher>(block, ancestors, &genesis))
    };
    assert_eq!(verify(&chain[64], &longest), (Ok(()), 64));
    assert_eq!(verify(&chain[65], &headers(&chain, (0..65).rev())), (Err(LineageError::TooLong), 0));

    let (head, path) = head_and_path(&chain, 0);
    let ancestors = headers(&chain, (0..65).rev());
    let verify = || {
        let block = &chain[65];
        pakit_primitives::verify_lineage_to_ancestor::<CountingHasher>(block, &ancestors, &head, &path)
    };
    assert_eq!(counting(verify), (Err(LineageError::TooLong), 0));
}

#[test]
fn no_headers_are_a_lineage_of_genesis_only() {
    let chain = chain(3);
    assert_eq!(to_genesis(&chain[2], &[], &hash(&chain[0])), Err(LineageError::Empty));
    assert_eq!(to_genesis(&chain[0], &[], &hash(&chain[1])), Err(LineageError::NotGenesis));
    let (head, path) = head_and_path(&chain, 0);
    let none: [Vec<u8>; 0] = [];
    let answer = pakit_primitives::verify_lineage_to_ancestor::<SoftwareHasher>(&chain[0], &none, &head, &path);
    assert_eq!(answer, Err(LineageError::Empty));
}

#[test]
fn a_malformed_header_is_refused_with_its_own_error() {
    let chain = chain(4);
    let genesis = hash(&chain[0]);
    for place in 0..3 {
        let mut ancestors = headers(&chain, [2, 1, 0]);
        ancestors[place].push(0);
        let expected = Err(LineageError::Header(HeaderError::TrailingBytes));
        assert_eq!(to_genesis(&chain[3], &ancestors, &genesis), expected);
    }
    assert_eq!(to_genesis(&chain[3], &[Vec::new()], &genesis), Err(LineageError::Header(HeaderError::Empty)));
}

#[test]
fn a_header_left_out_doubled_or_exchanged_is_no_parent() {
    let chain = chain(7);
    let genesis = hash(&chain[0]);
    let refused = |way: &[usize]| to_genesis(&chain[6], &headers(&chain, way.iter().copied()), &genesis).unwrap_err();
    assert_eq!(refused(&[3, 2, 1, 0]), LineageError::NotAParent, "a gap at the beginning");
    assert_eq!(refused(&[5, 2, 1, 0]), LineageError::NotAParent, "a gap within");
    assert_eq!(refused(&[5, 5, 4, 2, 0]), LineageError::NotAParent, "a header twice");
    assert_eq!(refused(&[4, 5, 3, 1, 0]), LineageError::NotAParent, "two exchanged");
    assert_eq!(refused(&[4, 2, 0, 0]), LineageError::NotAParent, "genesis twice");
    assert_eq!(refused(&[6, 5, 3, 1, 0]), LineageError::NotAParent, "the block itself among its ancestors");
}

#[test]
fn a_lineage_with_any_bit_of_any_header_changed_is_refused() {
    let chain = chain(5);
    let genesis = hash(&chain[0]);
    let ancestors = headers(&chain, [3, 1, 0]);
    for place in 0..ancestors.len() {
        for bit in 0..ancestors[place].len() * 8 {
            let mut changed = ancestors.clone();
            changed[place][bit / 8] ^= 1 << (bit % 8);
            let answer = to_genesis(&chain[4], &changed, &genesis);
            assert!(
                matches!(answer, Err(LineageError::NotAParent | LineageError::Header(_))),
                "bit {bit} of header {place}: {answer:?}"
            );
        }
    }
}

/// A block that names `parent` and another one, and otherwise says what `change` makes of it.
fn child_of(parent: &Header, change: impl FnOnce(&mut Header)) -> Header {
    let named = Parent { leaf_index: parent.leaf_index, block_hash: hash(parent) };
    let other = Parent { leaf_index: parent.leaf_index + 1, block_hash: BlockHash::default() };
    let mut child = Header {
        leaf_index: parent.leaf_index + 2,
        parents: Parents::from_slice(&[named, other]).unwrap(),
        depth: parent.depth + 1,
        timestamp_ms: parent.timestamp_ms,
        ..sample_header()
    };
    change(&mut child);
    child
}

#[test]
fn a_depth_that_does_not_fall_is_refused() {
    let chain = chain(5);
    let genesis = hash(&chain[0]);
    let ancestors = headers(&chain, [4, 2, 0]);
    for depth in [1, 3, 4] {
        let child = child_of(&chain[4], |child| child.depth = depth);
        assert_eq!(to_genesis(&child, &ancestors, &genesis), Err(LineageError::DepthNotFalling), "{depth}");
    }
    let child = child_of(&chain[4], |child| child.depth = 5);
    assert_eq!(to_genesis(&child, &ancestors, &genesis), Ok(()));
}

#[test]
fn a_parent_later_than_its_child_is_refused() {
    let chain = chain(5);
    let genesis = hash(&chain[0]);
    let ancestors = headers(&chain, [4, 2, 0]);
    let at = |earlier: u64| child_of(&chain[4], |child| child.timestamp_ms -= earlier);
    assert_eq!(to_genesis(&at(0), &ancestors, &genesis), Ok(()), "equal times do not rise");
    assert_eq!(to_genesis(&at(1), &ancestors, &genesis), Err(LineageError::TimestampRising));
}

#[test]
fn a_lineage_that_ends_elsewhere_than_at_the_genesis_meant_is_refused() {
    let chain = chain(5);
    let genesis = hash(&chain[0]);
    assert_eq!(to_genesis(&chain[4], &headers(&chain, [3, 1]), &genesis), Err(LineageError::NotGenesis));
    let other = BlockHash::new(with_bit_flipped(genesis.as_bytes(), 3));
    assert_eq!(to_genesis(&chain[4], &headers(&chain, [3, 1, 0]), &other), Err(LineageError::NotGenesis));
    // Whoever passes a later block for genesis is not believed because the hash fits.
    assert_eq!(to_genesis(&chain[4], &headers(&chain, [3, 1]), &hash(&chain[1])), Err(LineageError::NotGenesis));
}

#[test]
fn a_lineage_to_an_ancestor_gives_that_ancestor() {
    let chain = chain(9);
    for (way, ancestor) in [(vec![7, 5, 3], 3), (vec![6], 6), (vec![7, 6, 4, 2, 0], 0)] {
        let (head, path) = head_and_path(&chain, ancestor as u64);
        let ancestors = headers(&chain, way);
        let verify = || {
            let block = &chain[8];
            pakit_primitives::verify_lineage_to_ancestor::<CountingHasher>(block, &ancestors, &head, &path)
        };
        let (answer, hashes) = counting(verify);
        assert_eq!(answer, Ok((hash(&chain[ancestor]), chain[ancestor].clone())));
        assert_eq!(hashes, ancestors.len() + path.len());
    }
}

#[test]
fn an_ancestor_that_is_not_in_the_log_is_refused() {
    let chain = chain(9);
    let (head, path) = head_and_path(&chain, 3);
    let ancestors = headers(&chain, [7, 5, 3]);
    let verify = |head: &Head, path: &[Digest]| {
        let block = &chain[8];
        counting(|| pakit_primitives::verify_lineage_to_ancestor::<CountingHasher>(block, &ancestors, head, path))
    };
    let other_root = Head { root: LogRoot::new(with_bit_flipped(head.root.as_bytes(), 1)), ..head };
    let mismatch = Err(LineageError::Ancestor(LogError::RootMismatch));
    assert_eq!(verify(&other_root, &path).0, mismatch);
    let (_, path_of_another) = head_and_path(&chain, 5);
    assert_eq!(verify(&head, &path_of_another).0, mismatch);

    // What the last header's index and the head's size forbid is refused before a single header is hashed.
    let unhashed = |error| (Err(LineageError::Ancestor(error)), 0);
    assert_eq!(verify(&Head { size: 3, ..head }, &path), unhashed(LogError::IndexOutOfRange));
    assert_eq!(verify(&Head { size: 0, ..head }, &path), unhashed(LogError::EmptyLog));
    assert_eq!(verify(&Head { size: 1 << 63, ..head }, &path), unhashed(LogError::SizeTooLarge));
    let (expected, actual) = (path.len(), path.len() - 1);
    assert_eq!(verify(&head, &path[1..]), unhashed(LogError::WrongPathLength { expected, actual }));
}
