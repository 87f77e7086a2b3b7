//! The vectors that the Certificate Transparency project publishes for RFC 6962: eight leaves of arbitrary data.

use crate::common::{path_ranges, subproof_ranges};
use hex_literal::hex;
use pakit_primitives::{
    BlockHash, Head, LogRoot, SoftwareHasher,
    hasher::{Digest, Hasher},
    header::hash_header_bytes,
    log::{Accumulator, Subtree, consistency_subtrees, hash_node, inclusion_subtrees},
    verify_consistency, verify_inclusion,
};

const LEAVES: [&[u8]; 8] = [
    b"",
    &hex!("00"),
    &hex!("10"),
    &hex!("2021"),
    &hex!("3031"),
    &hex!("40414243"),
    &hex!("5051525354555657"),
    &hex!("606162636465666768696a6b6c6d6e6f"),
];

const EMPTY_ROOT: Digest = hex!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

/// Roots over the first 1, 2, ... 8 leaves.
const ROOTS: [Digest; 8] = [
    hex!("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    hex!("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    hex!("aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    hex!("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    hex!("4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    hex!("76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    hex!("ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    hex!("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
];

/// Nodes that the published proofs consist of, by the leaves below them.
const NODE_0: Digest = hex!("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
const NODE_1: Digest = hex!("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7");
const NODE_4: Digest = hex!("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
const NODE_01: Digest = hex!("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
const NODE_23: Digest = hex!("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e");
const NODE_45: Digest = hex!("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a");
const NODE_67: Digest = hex!("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0");
const NODE_0123: Digest = hex!("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
const NODE_4567: Digest = hex!("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4");

/// (leaf, size, path).
const PATHS: [(u64, u64, &[Digest]); 5] = [
    (0, 1, &[]),
    (0, 8, &[NODE_1, NODE_23, NODE_4567]),
    (5, 8, &[NODE_4, NODE_67, NODE_0123]),
    (2, 3, &[NODE_01]),
    (1, 5, &[NODE_0, NODE_23, NODE_4]),
];

/// (earlier size, later size, path).
const CONSISTENCY: [(u64, u64, &[Digest]); 4] = [
    (1, 1, &[]),
    (1, 8, &[NODE_1, NODE_23, NODE_4567]),
    (6, 8, &[NODE_45, NODE_67, NODE_0123]),
    (2, 5, &[NODE_23, NODE_4]),
];

fn leaf(index: u64) -> BlockHash {
    hash_header_bytes::<SoftwareHasher>(LEAVES[index as usize])
}

fn head(size: u64) -> Head {
    Head { size, root: LogRoot::new(ROOTS[size as usize - 1]) }
}

/// The hash of a subtree from its complete parts, as a store computes it.
fn subtree_hash(subtree: &Subtree) -> Digest {
    fn complete(start: u64, end: u64) -> Digest {
        match end - start {
            1 => leaf(start).to_bytes(),
            n => hash_node::<SoftwareHasher>(&complete(start, start + n / 2), &complete(start + n / 2, end)),
        }
    }
    let parts: Vec<Digest> = subtree.complete_parts().map(|part| complete(part.start, part.end)).collect();
    let (last, larger) = parts.split_last().unwrap();
    larger.iter().rev().fold(*last, |node, left| hash_node::<SoftwareHasher>(left, &node))
}

#[test]
fn roots_are_the_published_ones() {
    assert_eq!(SoftwareHasher::sha256(b""), EMPTY_ROOT, "the RFC's root of no leaves, which no head of ours has");
    let mut log = Accumulator::<SoftwareHasher>::default();
    assert_eq!(log.head(), None);
    for size in 1..=8 {
        log.append(&leaf(size - 1), |_, _, _| {});
        assert_eq!(log.head(), Some(head(size)));
    }
}

#[test]
fn inclusion_proofs_are_the_published_ones() {
    for (index, size, path) in PATHS {
        let subtrees = inclusion_subtrees(index, size).unwrap();
        assert_eq!(subtrees.iter().map(subtree_hash).collect::<Vec<_>>(), path, "leaf {index} of {size}");
        assert_eq!(subtrees.len(), path_ranges(index, (0, size)).len());
        assert_eq!(verify_inclusion::<SoftwareHasher>(&head(size), index, &leaf(index), path), Ok(()));
    }
}

#[test]
fn consistency_proofs_are_the_published_ones() {
    for (old, new, path) in CONSISTENCY {
        let subtrees = consistency_subtrees(old, new).unwrap();
        assert_eq!(subtrees.iter().map(subtree_hash).collect::<Vec<_>>(), path, "{old} to {new}");
        assert_eq!(subtrees.len(), subproof_ranges(old, (0, new), true).len());
        assert_eq!(verify_consistency::<SoftwareHasher>(&head(old), &head(new), path), Ok(()));
    }
}

/// RFC 9162, section 2.1.5: seven leaves d0 to d6.
#[test]
fn the_worked_example_of_the_rfc_names_these_subtrees() {
    let path = |leaf| crate::common::ranges(&inclusion_subtrees(leaf, 7).unwrap());
    assert_eq!(path(0), [(1, 2), (2, 4), (4, 7)], "[b, h, l]");
    assert_eq!(path(3), [(2, 3), (0, 2), (4, 7)], "[c, g, l]");
    assert_eq!(path(4), [(5, 6), (6, 7), (0, 4)], "[f, j, k]");
    assert_eq!(path(6), [(4, 6), (0, 4)], "[i, k]");
    let proof = |old| crate::common::ranges(&consistency_subtrees(old, 7).unwrap());
    assert_eq!(proof(3), [(2, 3), (3, 4), (0, 2), (4, 7)], "[c, d, g, l]");
    assert_eq!(proof(4), [(4, 7)], "[l]");
    assert_eq!(proof(6), [(4, 6), (6, 7), (0, 4)], "[i, j, k]");
}
