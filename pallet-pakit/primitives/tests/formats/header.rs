//! The strict codec of headers.

use crate::common::sample_header;
use pakit_primitives::{
    BlockHash, Compression, ContentHash, Header, HeaderError, MetadataHash, Parent, Parents, SoftwareHasher,
    header::{
        HEADER_BYTES_MAX, HEADER_BYTES_MIN, LEAVES_MAX, PARENT_BYTES, PARENTS_MAX, SIZE_LIMIT, hash_header_bytes,
    },
};
use proptest::prelude::*;

const COUNT_AT: usize = 12;
const COMPRESSION_FROM_END: usize = 33;

fn parent(leaf_index: u64) -> Parent {
    Parent { leaf_index, block_hash: BlockHash::new([leaf_index as u8; 32]) }
}

fn parents(indices: &[u64]) -> Parents {
    Parents::from_slice(&indices.iter().copied().map(parent).collect::<Vec<_>>()).unwrap()
}

fn genesis() -> Header {
    Header { leaf_index: 0, parents: Parents::none(), depth: 0, slices_before: 0, ..sample_header() }
}

/// A header that no longer holds to the rules is refused by `validate` and, as bytes, by `decode`, with one error.
fn refused(header: Header) -> HeaderError {
    let error = header.validate().unwrap_err();
    assert_eq!(Header::decode(&header.to_bytes()), Err(error));
    error
}

#[test]
fn the_lengths_are_those_of_the_format() {
    assert_eq!((HEADER_BYTES_MIN, PARENT_BYTES, HEADER_BYTES_MAX), (118, 40, 318));
    assert_eq!(genesis().to_bytes().len(), 118);
    assert_eq!(sample_header().to_bytes().len(), 118 + 3 * 40);
    let five = Header { parents: parents(&[1, 2, 3, 4, 5]), ..sample_header() };
    assert_eq!(five.to_bytes().len(), HEADER_BYTES_MAX);
    for header in [genesis(), sample_header(), five] {
        assert_eq!(Header::decode(&header.to_bytes()), Ok(header));
    }
}

#[test]
fn no_bytes_are_an_empty_header() {
    assert_eq!(Header::decode(&[]), Err(HeaderError::Empty));
}

#[test]
fn every_proper_beginning_of_a_header_is_truncated() {
    let bytes = sample_header().to_bytes();
    for length in 1..bytes.len() {
        assert_eq!(Header::decode(&bytes[..length]), Err(HeaderError::Truncated), "{length} bytes");
    }
}

#[test]
fn bytes_after_a_header_are_trailing_until_no_header_is_so_long() {
    let mut bytes = sample_header().to_bytes();
    while bytes.len() < HEADER_BYTES_MAX {
        bytes.push(0);
        assert_eq!(Header::decode(&bytes), Err(HeaderError::TrailingBytes), "{} bytes", bytes.len());
    }
    bytes.push(0);
    assert_eq!(Header::decode(&bytes), Err(HeaderError::Oversized));
    bytes.resize(1 << 20, 0);
    assert_eq!(Header::decode(&bytes), Err(HeaderError::Oversized));
}

#[test]
fn another_magic_is_refused_whichever_bit_differs() {
    let bytes = sample_header().to_bytes();
    for bit in 0..32 {
        let mut other = bytes.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Header::decode(&other), Err(HeaderError::WrongMagic));
    }
}

#[test]
fn each_value_of_the_byte_that_counts_parents_means_one_thing() {
    let bytes = sample_header().to_bytes();
    for value in 0..=u8::MAX {
        let mut other = bytes.clone();
        other[COUNT_AT] = value;
        let expected = match value {
            12 => Ok(sample_header()),
            _ if value % 4 != 0 => Err(HeaderError::MalformedParentCount),
            0 | 4 | 8 => Err(HeaderError::TrailingBytes),
            16 | 20 => Err(HeaderError::Truncated),
            _ => Err(HeaderError::TooManyParents),
        };
        assert_eq!(Header::decode(&other), expected, "{value}");
    }
}

#[test]
fn a_sixth_parent_does_not_fit() {
    assert!(Parents::from_slice(&[parent(1); PARENTS_MAX]).is_ok());
    assert_eq!(Parents::from_slice(&[parent(1); PARENTS_MAX + 1]), Err(HeaderError::TooManyParents));
}

#[test]
fn a_block_names_two_parents_once_there_are_two() {
    let first = |parents| Header { leaf_index: 1, depth: 1, slices_before: 1, parents, ..sample_header() };
    assert_eq!(refused(first(Parents::none())), HeaderError::TooFewParents);
    assert_eq!(first(parents(&[0])).validate(), Ok(()));
    let second = |parents| Header { leaf_index: 2, depth: 1, slices_before: 2, parents, ..sample_header() };
    assert_eq!(refused(second(Parents::none())), HeaderError::TooFewParents);
    assert_eq!(refused(second(parents(&[1]))), HeaderError::TooFewParents);
    assert_eq!(second(parents(&[0, 1])).validate(), Ok(()));
}

#[test]
fn genesis_names_no_parent() {
    assert_eq!(refused(Header { parents: parents(&[0]), ..genesis() }), HeaderError::GenesisWithParents);
    assert_eq!(genesis().validate(), Ok(()));
}

#[test]
fn a_parent_named_twice_is_refused_even_with_another_hash() {
    assert_eq!(refused(Header { parents: parents(&[2, 2, 5]), ..sample_header() }), HeaderError::DuplicateParent);
    let other = Parent { block_hash: BlockHash::new([9; 32]), ..parent(5) };
    let twice = Parents::from_slice(&[parent(2), parent(5), other]).unwrap();
    assert_eq!(refused(Header { parents: twice, ..sample_header() }), HeaderError::DuplicateParent);
}

#[test]
fn parents_out_of_order_are_refused() {
    assert_eq!(refused(Header { parents: parents(&[5, 2]), ..sample_header() }), HeaderError::UnsortedParents);
    assert_eq!(refused(Header { parents: parents(&[2, 9, 5]), ..sample_header() }), HeaderError::UnsortedParents);
}

#[test]
fn a_parent_at_or_after_the_block_is_refused() {
    for index in [12, 13, u64::MAX] {
        assert_eq!(refused(Header { parents: parents(&[2, index]), ..sample_header() }), HeaderError::ParentNotBefore);
    }
    assert_eq!(Header { parents: parents(&[2, 11]), ..sample_header() }.validate(), Ok(()));
}

#[test]
fn a_leaf_index_of_2_to_the_48_is_refused() {
    let at = |leaf_index| Header { leaf_index, slices_before: leaf_index, original_size: 1, ..sample_header() };
    assert_eq!(at(LEAVES_MAX - 1).validate(), Ok(()));
    for index in [LEAVES_MAX, 1 << 63, u64::MAX] {
        assert_eq!(refused(at(index)), HeaderError::LeafIndexTooLarge);
    }
}

#[test]
fn depth_0_and_genesis_go_together() {
    assert_eq!(refused(Header { depth: 1, ..genesis() }), HeaderError::DepthNotOfPosition);
    assert_eq!(refused(Header { depth: 0, ..sample_header() }), HeaderError::DepthNotOfPosition);
}

#[test]
fn a_depth_above_the_leaf_index_is_refused() {
    assert_eq!(Header { depth: 12, ..sample_header() }.validate(), Ok(()));
    for depth in [13, u32::MAX] {
        assert_eq!(refused(Header { depth, ..sample_header() }), HeaderError::DepthTooLarge);
    }
}

#[test]
fn fewer_slices_before_a_block_than_blocks_are_refused() {
    assert_eq!(Header { slices_before: 12, ..sample_header() }.validate(), Ok(()));
    assert_eq!(refused(Header { slices_before: 11, ..sample_header() }), HeaderError::SlicesBeforeImpossible);
    assert_eq!(refused(Header { slices_before: 1, ..genesis() }), HeaderError::SlicesBeforeImpossible);
}

#[test]
fn a_count_of_slices_that_overflows_is_refused() {
    let header = |slices_before, original_size| Header { slices_before, original_size, ..sample_header() };
    assert_eq!(header(u64::MAX - 1, 1024).validate(), Ok(()));
    assert_eq!(header(u64::MAX - 1, 1024).slices_through(), u64::MAX);
    assert_eq!(refused(header(u64::MAX, 1)), HeaderError::SlicesOverflow);
    assert_eq!(refused(header(u64::MAX - 1, 1025)), HeaderError::SlicesOverflow);
    let empty = Header { compression: Compression::None, ..header(u64::MAX, 0) };
    assert_eq!(refused(empty), HeaderError::SlicesOverflow, "an empty content is one slice");
}

#[test]
fn sizes_of_2_to_the_53_are_refused() {
    for size in [SIZE_LIMIT, 1 << 63, u64::MAX] {
        assert_eq!(refused(Header { original_size: size, ..sample_header() }), HeaderError::OriginalSizeTooLarge);
        assert_eq!(refused(Header { stored_size: size, ..sample_header() }), HeaderError::StoredSizeTooLarge);
    }
    let largest = Header { original_size: SIZE_LIMIT - 1, stored_size: SIZE_LIMIT - 1, ..sample_header() };
    assert_eq!(largest.validate(), Ok(()));
    assert_eq!(largest.slices(), 1 << 43);
}

#[test]
fn only_five_compression_codes_are_known() {
    let bytes = sample_header().to_bytes();
    let at = bytes.len() - COMPRESSION_FROM_END;
    assert_eq!(bytes[at], Compression::Zstd.code());
    for code in 0..=u8::MAX {
        let mut other = bytes.clone();
        other[at] = code;
        let decoded = Header::decode(&other).map(|header| header.compression.code());
        assert_eq!(decoded, if code < 5 { Ok(code) } else { Err(HeaderError::UnknownCompression) });
    }
}

#[test]
fn an_empty_content_cannot_be_compressed() {
    let empty = |compression| Header { original_size: 0, compression, ..sample_header() };
    assert_eq!(empty(Compression::None).validate(), Ok(()));
    assert_eq!(empty(Compression::None).slices(), 1);
    for compression in Compression::ALL.into_iter().skip(1) {
        assert_eq!(refused(empty(compression)), HeaderError::EmptyContentCompressed);
    }
}

#[test]
fn every_other_value_of_every_byte_is_refused_or_another_header() {
    for header in [genesis(), sample_header(), Header { parents: parents(&[1, 2, 3, 4, 5]), ..sample_header() }] {
        let bytes = header.to_bytes();
        let hash = hash_header_bytes::<SoftwareHasher>(&bytes);
        for place in 0..bytes.len() {
            for value in (0..=u8::MAX).filter(|value| *value != bytes[place]) {
                let mut other = bytes.clone();
                other[place] = value;
                assert_ne!(hash_header_bytes::<SoftwareHasher>(&other), hash);
                if let Ok(decoded) = Header::decode(&other) {
                    assert_ne!(decoded, header, "byte {place} as {value}");
                    assert_eq!(decoded.to_bytes(), other, "byte {place} as {value}");
                }
            }
        }
    }
}

#[test]
fn bytes_of_any_length_have_a_block_hash_and_no_two_lengths_share_it() {
    use pakit_primitives::hasher::Hasher as _;
    let zeros = vec![0u8; HEADER_BYTES_MAX + 300];
    for length in 0..zeros.len() {
        let hash = hash_header_bytes::<SoftwareHasher>(&zeros[..length]);
        assert_eq!(hash.to_bytes(), SoftwareHasher::sha256(&zeros[..length + 1]), "{length} bytes after the prefix 0");
    }
}

#[test]
fn a_parent_is_known_by_index_and_hash_together() {
    let header = sample_header();
    assert!(header.has_parent(5, &parent(5).block_hash));
    assert!(!header.has_parent(5, &parent(9).block_hash));
    assert!(!header.has_parent(6, &parent(5).block_hash));
    assert!(!genesis().has_parent(0, &BlockHash::default()), "the unused places are no parents");
}

#[test]
fn a_hash_is_shown_as_0x_and_lower_case_digits() {
    let mut bytes = [0xab; 32];
    bytes[0] = 0x05;
    let digits = format!("0x05{}", "ab".repeat(31));
    assert_eq!(BlockHash::new(bytes).to_string(), digits);
    assert_eq!(format!("{:?}", ContentHash::new(bytes)), format!("ContentHash({digits})"));
    assert!(!MetadataHash::NONE.is_some() && MetadataHash::new(bytes).is_some());
}

/// Headers that hold to the rules, with values from everywhere in their ranges.
fn any_header() -> impl Strategy<Value = Header> {
    let index = prop_oneof![0u64..20, 0..LEAVES_MAX, Just(LEAVES_MAX - 1)];
    let size = prop_oneof![0u64..5000, 0..SIZE_LIMIT];
    let hashes = (any::<[u8; 32]>(), any::<[u8; 32]>());
    let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>());
    let picks = prop::collection::vec((any::<u64>(), any::<[u8; 32]>()), 2..=PARENTS_MAX);
    (index, picks, size.clone(), size, hashes, numbers, 0u8..5).prop_map(
        |(leaf_index, picks, original_size, stored_size, (content, metadata), (depth, time, slices, codec), code)| {
            let mut chosen: Vec<Parent> = picks
                .into_iter()
                .take(leaf_index.min(5) as usize)
                .map(|(pick, hash)| Parent { leaf_index: pick % leaf_index.max(1), block_hash: BlockHash::new(hash) })
                .collect();
            chosen.sort_by_key(|parent| parent.leaf_index);
            chosen.dedup_by_key(|parent| parent.leaf_index);
            if chosen.len() < 2 && leaf_index >= 2 {
                chosen = vec![parent(0), parent(leaf_index - 1)];
            }
            let slices_before = if leaf_index == 0 { 0 } else { leaf_index + slices % (1 << 60) };
            let deepest = u32::try_from(leaf_index).unwrap_or(u32::MAX);
            Header {
                leaf_index,
                parents: Parents::from_slice(&chosen).unwrap(),
                depth: if leaf_index == 0 { 0 } else { 1 + depth % deepest },
                timestamp_ms: time,
                slices_before,
                content_hash: ContentHash::new(content),
                codec,
                original_size,
                stored_size,
                compression: if original_size == 0 { Compression::None } else { Compression::from_code(code).unwrap() },
                metadata_hash: MetadataHash::new(metadata),
            }
        },
    )
}

proptest! {
    #[test]
    fn any_well_formed_header_comes_back_from_its_bytes(header in any_header()) {
        prop_assert_eq!(header.validate(), Ok(()));
        let bytes = header.to_bytes();
        prop_assert_eq!(bytes.len(), HEADER_BYTES_MIN + PARENT_BYTES * header.parents.len());
        prop_assert_eq!(header.block_hash::<SoftwareHasher>(), hash_header_bytes::<SoftwareHasher>(&bytes));
        prop_assert_eq!(Header::decode(&bytes), Ok(header));
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        header in any_header(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = header.to_bytes();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(decoded) = Header::decode(&bytes) {
            prop_assert_eq!(decoded.to_bytes(), bytes);
        }
    }

    #[test]
    fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic {
            bytes.splice(..4.min(bytes.len()), *b"PKT1");
        }
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(header.to_bytes(), bytes);
        }
    }
}
