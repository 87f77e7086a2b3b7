//! Slices against the `blake3` crate's own hash of the whole.

use crate::common::{CountingHasher, counting, mutations, path_ranges, split};
use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root};
use pakit_primitives::{
    ContentHash, SoftwareHasher,
    hasher::{Digest, Hasher as _},
    slice::{SLICE_BYTES, SliceError, slice_count, slice_len, verify_slice},
};

/// Sizes around each change of the tree's shape.
const SIZES: [usize; 27] = [
    0, 1, 2, 63, 64, 65, 1023, 1024, 1025, 2047, 2048, 2049, 3071, 3072, 3073, 4095, 4096, 4097, 5000, 7168, 8191,
    8192, 8193, 16_385, 31_744, 65_536, 65_537,
];

/// Byte i is i mod 251, so that no two slices are alike.
pub(crate) fn content(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8).collect()
}

/// Chaining value of the subtree over some slices.
fn value(content: &[u8], (low, high): (u64, u64)) -> Digest {
    if high - low == 1 {
        let bytes = &content[low as usize * 1024..content.len().min(high as usize * 1024)];
        return blake3::Hasher::new().set_input_offset(low * 1024).update(bytes).finalize_non_root();
    }
    let middle = low + split(high - low);
    merge_subtrees_non_root(&value(content, (low, middle)), &value(content, (middle, high)), Mode::Hash)
}

/// The prover.
pub(crate) fn siblings(content: &[u8], index: u64) -> Vec<Digest> {
    let count = slice_count(content.len() as u64);
    path_ranges(index, (0, count)).into_iter().map(|range| value(content, range)).collect()
}

fn slice(content: &[u8], index: u64) -> &[u8] {
    let start = (index * SLICE_BYTES) as usize;
    &content[start..content.len().min(start + SLICE_BYTES as usize)]
}

fn hash_of(content: &[u8]) -> ContentHash {
    ContentHash::new(*blake3::hash(content).as_bytes())
}

fn verify(hash: &ContentHash, size: usize, index: u64, slice: &[u8], siblings: &[Digest]) -> Result<(), SliceError> {
    verify_slice::<SoftwareHasher>(hash, size as u64, index, slice, siblings)
}

#[test]
fn every_slice_of_every_size_is_proved() {
    for size in SIZES {
        let content = content(size);
        let hash = hash_of(&content);
        for index in 0..slice_count(size as u64) {
            let slice = slice(&content, index);
            assert_eq!(slice_len(size as u64, index), Some(slice.len() as u64));
            assert_eq!(verify(&hash, size, index, slice, &siblings(&content, index)), Ok(()), "{index} of {size}");
        }
    }
}

#[test]
fn a_slice_proof_with_one_thing_changed_is_refused() {
    for size in SIZES {
        let content = content(size);
        let (hash, count) = (hash_of(&content), slice_count(size as u64));
        for index in 0..count {
            let (slice, siblings) = (slice(&content, index), siblings(&content, index));
            let place = format!("slice {index} of {size} bytes");
            for (what, changed) in mutations(&siblings, size + index as usize) {
                let expected =
                    if changed.len() == siblings.len() { SliceError::Mismatch } else { SliceError::WrongSiblingCount };
                assert_eq!(verify(&hash, size, index, slice, &changed), Err(expected), "{what}: {place}");
            }
            for byte in [0, 1, 63, 64, 500, 1022, 1023, slice.len().wrapping_sub(1)] {
                let mut changed = slice.to_vec();
                if let Some(byte) = changed.get_mut(byte) {
                    *byte ^= 1 << (index % 8);
                    assert_eq!(verify(&hash, size, index, &changed, &siblings), Err(SliceError::Mismatch), "{place}");
                }
            }
            let longer = [slice, &[0]].concat();
            assert_eq!(verify(&hash, size, index, &longer, &siblings), Err(SliceError::WrongSliceLength), "{place}");
            if let Some((_, shorter)) = slice.split_last() {
                assert_eq!(verify(&hash, size, index, shorter, &siblings), Err(SliceError::WrongSliceLength));
            }
            for other in (0..count).filter(|other| *other != index) {
                assert!(verify(&hash, size, other, slice, &siblings).is_err(), "{place} as {other}");
            }
            for beyond in [count, count + 1, 1 << 54, u64::MAX] {
                let answer = verify(&hash, size, beyond, slice, &siblings);
                assert_eq!(answer, Err(SliceError::IndexOutOfRange), "{place} as {beyond}");
            }
            let mut other_hash = hash.to_bytes();
            other_hash[index as usize % 32] ^= 0x80;
            let other_hash = ContentHash::new(other_hash);
            assert_eq!(verify(&other_hash, size, index, slice, &siblings), Err(SliceError::Mismatch), "{place}");
        }
    }
}

#[test]
fn a_single_slice_is_not_the_chaining_value_of_itself() {
    // The only chunk of an input is hashed as a root; as part of a larger one it is not. Confusing the two would let a
    // content of two slices pass for one whose bytes are two hashes.
    let (left, right) = (content(1024), content(500));
    let values = [SoftwareHasher::blake3_slice(0, &left), SoftwareHasher::blake3_slice(1, &right)];
    assert_ne!(values[0], *hash_of(&left).as_bytes());
    let whole = hash_of(&[left, right].concat());
    assert_eq!(SoftwareHasher::blake3_root(&values[0], &values[1]), *whole.as_bytes());
    assert_ne!(SoftwareHasher::blake3_parent(&values[0], &values[1]), *whole.as_bytes());
    assert_eq!(verify(&whole, 64, 0, &values.concat(), &[]), Err(SliceError::Mismatch));
}

#[test]
fn what_cannot_be_a_slice_proof_is_refused_before_anything_is_hashed() {
    let refused = |size, index, slice: usize, siblings: usize| {
        let (slice, siblings) = (vec![0; slice], vec![[0; 32]; siblings]);
        let hash = ContentHash::new([0; 32]);
        let verify = || verify_slice::<CountingHasher>(&hash, size, index, &slice, &siblings);
        let (answer, hashes) = counting(verify);
        assert_eq!(hashes, 0);
        answer.unwrap_err()
    };
    assert_eq!(refused(0, 1, 0, 0), SliceError::IndexOutOfRange);
    assert_eq!(refused(0, 0, 1, 0), SliceError::WrongSliceLength);
    assert_eq!(refused(0, 0, 0, 1), SliceError::WrongSiblingCount);
    assert_eq!(refused(1024, 0, 1024, 1), SliceError::WrongSiblingCount);
    assert_eq!(refused(1025, 1, 1, 0), SliceError::WrongSiblingCount);
    assert_eq!(refused(1025, 1, 1024, 1), SliceError::WrongSliceLength);
    assert_eq!(refused(1025, 0, 1 << 20, 1), SliceError::WrongSliceLength);
    assert_eq!(refused(u64::MAX, 1 << 54, 1024, 54), SliceError::IndexOutOfRange);
    assert_eq!(refused(u64::MAX, (1 << 54) - 1, 1023, 53), SliceError::WrongSiblingCount);
    assert_eq!(refused(5000, 2, 1024, 1 << 16), SliceError::WrongSiblingCount);
}

#[test]
fn an_empty_or_far_away_slice_does_not_panic() {
    for index in [0, 1, (1 << 54) - 1, 1 << 54, u64::MAX] {
        for length in [0, 1, 1023, 1024, 1025, 5000] {
            let value = SoftwareHasher::blake3_slice(index, &content(length));
            assert_eq!(value, SoftwareHasher::blake3_slice(index, &content(length)));
        }
    }
    assert_ne!(SoftwareHasher::blake3_slice(1, &content(1)), SoftwareHasher::blake3_slice(2, &content(1)));
}
