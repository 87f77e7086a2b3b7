//! Evidence against logs: each kind of fault is shown, and a log that keeps the rules cannot be reported whatever is tried.

use crate::common::{chain, path_ranges, sample_header};
use pakit_primitives::{
    BlockHash, ContentHash, Head, Header, LogRoot, Parent, Parents, SoftwareHasher,
    fraud::{Evidence, FaultKind, FraudError, LEAF_BYTES_MAX},
    hasher::Digest,
    header::hash_header_bytes,
    log::hash_node,
};
use proptest::prelude::*;

type Evident = Evidence<Vec<u8>, Vec<u8>, Vec<Digest>, Vec<Vec<u8>>>;

/// A log of any leaves, whether or not they are headers.
struct Leaves(Vec<Vec<u8>>);

impl Leaves {
    fn of(headers: &[Header]) -> Self {
        Self(headers.iter().map(Header::to_bytes).collect())
    }

    fn root(&self, (low, high): (u64, u64)) -> Digest {
        if high - low == 1 {
            return self.leaf(low).to_bytes();
        }
        let middle = low + crate::common::split(high - low);
        hash_node::<SoftwareHasher>(&self.root((low, middle)), &self.root((middle, high)))
    }

    fn leaf(&self, index: u64) -> BlockHash {
        hash_header_bytes::<SoftwareHasher>(&self.0[index as usize])
    }

    fn bytes(&self, index: u64) -> Vec<u8> {
        self.0[index as usize].clone()
    }

    fn head(&self) -> Head {
        let size = self.0.len() as u64;
        Head { size, root: LogRoot::new(self.root((0, size))) }
    }

    fn path(&self, index: u64) -> Vec<Digest> {
        path_ranges(index, (0, self.0.len() as u64)).into_iter().map(|range| self.root(range)).collect()
    }

    fn verify(&self, evidence: &Evident) -> Result<FaultKind, FraudError> {
        evidence.verify::<SoftwareHasher>(&self.head())
    }

    fn undecodable(&self, leaf_index: u64) -> Evident {
        Evidence::Undecodable { leaf_index, leaf: self.bytes(leaf_index), inclusion: self.path(leaf_index) }
    }

    fn other_index(&self, leaf_index: u64) -> Evident {
        Evidence::OtherIndex { leaf_index, header: self.bytes(leaf_index), inclusion: self.path(leaf_index) }
    }

    fn other_parent(&self, index: u64, parent: u64) -> Evident {
        Evidence::OtherParent {
            header: self.bytes(index),
            inclusion: self.path(index),
            parent,
            leaf: self.leaf(parent),
            leaf_inclusion: self.path(parent),
        }
    }

    /// With the parents' headers as a prover finds them who has the log.
    fn wrong_depth(&self, index: u64, parents: &[u64]) -> Evident {
        Evidence::WrongDepth {
            header: self.bytes(index),
            inclusion: self.path(index),
            parents: parents.iter().map(|parent| self.bytes(*parent)).collect(),
        }
    }

    fn earlier(&self, index: u64, parent: u64) -> Evident {
        Evidence::EarlierThanParent {
            header: self.bytes(index),
            inclusion: self.path(index),
            parent: self.bytes(parent),
        }
    }

    fn slices(&self, index: u64) -> Evident {
        self.slices_after(index - 1, index)
    }

    fn slices_after(&self, before: u64, index: u64) -> Evident {
        Evidence::WrongSlicesBefore {
            before: self.bytes(before),
            before_inclusion: self.path(before),
            header: self.bytes(index),
            inclusion: self.path(index),
        }
    }
}

/// Nine blocks, of which one is changed after all were made.
fn log_with(index: usize, edit: impl FnOnce(&mut Header)) -> Leaves {
    let mut headers = chain(9);
    edit(&mut headers[index]);
    Leaves::of(&headers)
}

#[test]
fn a_leaf_that_is_no_header_is_shown() {
    let lengths = [0, 1, 117, 319, LEAF_BYTES_MAX];
    for (length, index) in lengths.into_iter().zip([8, 3, 0, 5, 7]) {
        let mut leaves = Leaves::of(&chain(9));
        leaves.0[index as usize] = vec![b'P'; length];
        assert_eq!(leaves.verify(&leaves.undecodable(index)), Ok(FaultKind::Undecodable), "{length} bytes");
    }
    let mut leaves = Leaves::of(&chain(9));
    leaves.0[4] = vec![0; LEAF_BYTES_MAX + 1];
    assert_eq!(leaves.verify(&leaves.undecodable(4)), Err(FraudError::LeafTooLong));
}

#[test]
fn a_header_at_another_place_is_shown() {
    let mut leaves = Leaves::of(&chain(9));
    leaves.0.swap(6, 7);
    for index in [6, 7] {
        assert_eq!(leaves.verify(&leaves.other_index(index)), Ok(FaultKind::OtherIndex));
    }
    // The other kinds take headers at their own places only.
    assert!(matches!(leaves.verify(&leaves.slices(7)), Err(FraudError::NotNeighbours)));
}

#[test]
fn a_parent_that_is_another_leaf_is_shown() {
    let leaves = log_with(7, |header| {
        let mut parents: Vec<Parent> = header.parents.to_vec();
        parents[0].block_hash = BlockHash::new([9; 32]);
        header.parents = Parents::from_slice(&parents).unwrap();
    });
    assert_eq!(leaves.verify(&leaves.other_parent(7, 5)), Ok(FaultKind::OtherParent));
    assert_eq!(leaves.verify(&leaves.other_parent(7, 6)), Err(FraudError::WellFormed));
    assert_eq!(leaves.verify(&leaves.other_parent(7, 4)), Err(FraudError::NotAParent));
}

#[test]
fn a_wrong_depth_is_shown() {
    for depth in [1, 6] {
        let leaves = log_with(7, |header| header.depth = depth);
        assert_eq!(leaves.verify(&leaves.wrong_depth(7, &[5, 6])), Ok(FaultKind::WrongDepth), "{depth}");
    }
    let leaves = log_with(7, |header| header.depth = 6);
    // Without its deepest parent a right depth would look wrong, and a wrong one right.
    for parents in [&[5][..], &[6], &[5, 6, 4], &[]] {
        assert_eq!(leaves.verify(&leaves.wrong_depth(7, parents)), Err(FraudError::NotAParent));
    }
    for parents in [[6, 6], [4, 4], [6, 5]] {
        assert!(leaves.verify(&leaves.wrong_depth(7, &parents)).is_err(), "{parents:?}");
    }
}

#[test]
fn a_block_before_its_parent_is_shown() {
    let leaves = log_with(7, |header| header.timestamp_ms -= 2);
    assert_eq!(leaves.verify(&leaves.earlier(7, 6)), Ok(FaultKind::EarlierThanParent));
    // It is as old as the other one.
    assert_eq!(leaves.verify(&leaves.earlier(7, 5)), Err(FraudError::WellFormed));
    // Later than it, but no parent of it.
    assert_eq!(leaves.verify(&leaves.earlier(7, 8)), Err(FraudError::NotAParent));
}

#[test]
fn wrong_slices_are_shown() {
    for wrong in [9, 1 << 40] {
        let leaves = log_with(8, |header| header.slices_before = wrong);
        assert_eq!(leaves.verify(&leaves.slices(8)), Ok(FaultKind::WrongSlicesBefore), "{wrong}");
        assert_eq!(leaves.verify(&leaves.slices(7)), Err(FraudError::WellFormed));
    }
}

#[test]
fn a_leaf_that_nobody_has_hides_no_header_that_claims_the_slices_before_it() {
    // Blocks 0 to 6 hold slices 0 to 93; block 7 has one at least.
    for (slices_before, shown) in [
        (8, Ok(FaultKind::WrongSlicesBefore)),
        (94, Ok(FaultKind::WrongSlicesBefore)),
        (95, Err(FraudError::NotNeighbours)),
    ] {
        let mut headers = chain(9);
        headers[6] = Header { slices_before: 6, original_size: 88 * 1024, ..headers[6].clone() };
        headers[8].slices_before = slices_before;
        let mut leaves = Leaves::of(&headers);
        leaves.0[7] = vec![0; LEAF_BYTES_MAX + 1];
        assert_eq!(leaves.verify(&leaves.slices_after(6, 8)), shown, "{slices_before}");
    }
}

#[test]
fn evidence_from_another_log_shows_nothing() {
    let (ours, other) = (Leaves::of(&chain(9)), log_with(7, |header| header.slices_before += 1));
    for evidence in [other.slices(7), other.slices(8)] {
        assert!(other.verify(&evidence).is_ok());
        assert!(matches!(ours.verify(&evidence), Err(FraudError::Log(_))));
    }
}

prop_compose! {
    /// A log that keeps every rule: any parents, sizes and times.
    fn honest_headers()(
        choices in proptest::collection::vec((any::<[prop::sample::Index; 5]>(), 0u64..5000, 0u64..3), 1..24)
    ) -> Vec<Header> {
        let mut headers: Vec<Header> = Vec::new();
        for (leaf_index, (parents, original_size, later)) in (0u64..).zip(choices) {
            let mut indices: Vec<u64> =
                if headers.is_empty() { vec![] } else { parents.iter().map(|at| at.index(headers.len()) as u64).collect() };
            indices.extend((0..leaf_index).rev().take(2));
            indices.sort_unstable();
            indices.dedup();
            indices.truncate(5);
            let shown: Vec<&Header> = indices.iter().map(|index| &headers[*index as usize]).collect();
            let named: Vec<Parent> = shown
                .iter()
                .map(|header| Parent { leaf_index: header.leaf_index, block_hash: header.block_hash::<SoftwareHasher>() })
                .collect();
            headers.push(Header {
                leaf_index,
                depth: shown.iter().map(|header| header.depth + 1).max().unwrap_or(0),
                timestamp_ms: shown.iter().map(|header| header.timestamp_ms).max().unwrap_or(1_000) + later,
                slices_before: headers.last().map_or(0, Header::slices_through),
                parents: Parents::from_slice(&named).unwrap(),
                content_hash: ContentHash::new([leaf_index as u8; 32]),
                original_size,
                stored_size: original_size,
                compression: pakit_primitives::Compression::None,
                ..sample_header()
            });
        }
        headers
    }
}

/// Every evidence that can be put together from pieces of the log, right or wrong.
fn attempts(leaves: &Leaves, one: u64, other: u64, more: &[u64]) -> Vec<Evident> {
    let mut out = vec![
        leaves.undecodable(one),
        leaves.other_index(one),
        leaves.other_parent(one, other),
        leaves.wrong_depth(one, more),
        leaves.wrong_depth(one, &[other]),
        leaves.earlier(one, other),
        leaves.slices_after(other, one),
        Evidence::Undecodable { leaf_index: other, leaf: leaves.bytes(one), inclusion: leaves.path(other) },
        Evidence::OtherIndex { leaf_index: other, header: leaves.bytes(one), inclusion: leaves.path(one) },
        Evidence::OtherIndex { leaf_index: other, header: leaves.bytes(one), inclusion: leaves.path(other) },
        Evidence::OtherParent {
            header: leaves.bytes(one),
            inclusion: leaves.path(one),
            parent: other,
            leaf: leaves.leaf(one),
            leaf_inclusion: leaves.path(other),
        },
    ];
    // An inner node is no leaf, and half a header is none.
    if let Some(node) = leaves.path(one).last() {
        out.push(Evidence::Undecodable { leaf_index: one, leaf: node.to_vec(), inclusion: leaves.path(one) });
    }
    let half = leaves.bytes(one)[..50].to_vec();
    out.push(Evidence::Undecodable { leaf_index: one, leaf: half, inclusion: leaves.path(one) });
    out
}

proptest! {
    #[test]
    fn a_log_that_keeps_the_rules_cannot_be_reported(
        headers in honest_headers(),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let leaves = Leaves::of(&headers);
        let picks: Vec<u64> = picks.iter().map(|pick| pick.index(headers.len()) as u64).collect();
        for one in 0..headers.len() as u64 {
            let parents: Vec<u64> = headers[one as usize].parents.iter().map(|parent| parent.leaf_index).collect();
            for other in picks.iter().chain(&parents) {
                for evidence in attempts(&leaves, one, *other, &parents) {
                    prop_assert!(leaves.verify(&evidence).is_err(), "{evidence:?}");
                }
            }
        }
    }

    #[test]
    fn hostile_evidence_is_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        index in any::<u64>(),
        hashes in proptest::collection::vec(any::<[u8; 32]>(), 0..60),
        size in any::<u64>(),
    ) {
        let head = Head { size, root: LogRoot::new([7; 32]) };
        let header = chain(3)[2].to_bytes();
        let shown = [
            Evident::Undecodable { leaf_index: index, leaf: bytes.clone(), inclusion: hashes.clone() },
            Evident::OtherIndex { leaf_index: index, header: header.clone(), inclusion: hashes.clone() },
            Evident::OtherIndex { leaf_index: index, header: bytes.clone(), inclusion: hashes.clone() },
            Evident::WrongDepth { header: header.clone(), inclusion: hashes.clone(), parents: vec![bytes.clone(); 2] },
            Evident::EarlierThanParent { header: header.clone(), inclusion: hashes.clone(), parent: bytes },
            Evident::WrongSlicesBefore {
                before: header.clone(),
                before_inclusion: hashes.clone(),
                header: header.clone(),
                inclusion: hashes.clone(),
            },
            Evident::OtherParent {
                header,
                inclusion: hashes.clone(),
                parent: index,
                leaf: BlockHash::new([1; 32]),
                leaf_inclusion: hashes,
            },
        ];
        for evidence in shown {
            prop_assert!(evidence.verify::<SoftwareHasher>(&head).is_err());
        }
    }
}
