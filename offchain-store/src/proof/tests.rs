//! Reading and writing of documents; what they prove is tested beside [`crate::verify`].

#![allow(clippy::unwrap_used)]

use super::*;
use crate::log::{
    LogReadError, LogReader,
    testing::{TestLog, content},
};
use pakit_primitives::{BlockHash, Head, LineageError, LogError, LogRoot, hasher::Digest};
use proptest::{collection::vec, option, prelude::*};
use std::io::{self, Read};

/// Written by the independent verifier's code.
const WORKED_EXAMPLE: &str = include_str!("../../tests/data/worked_example.proof.json");

fn read(json: &str) -> Result<ProofDocument, ProofDocumentError> {
    ProofDocument::from_json(json.as_bytes())
}

/// The worked example with a text replaced, which must be there.
fn replaced(from: &str, to: &str) -> String {
    assert!(WORKED_EXAMPLE.contains(from), "{from}");
    WORKED_EXAMPLE.replacen(from, to, 1)
}

#[test]
fn the_worked_example_is_built_and_written_byte_for_byte() {
    let log = TestLog::grown(5);
    let request = ProofRequest::at(4).with_consistency_to(5).with_lineage(log.lineage(3));
    let mut document = build(&LogReader::new(&log), &log.blocks[3], request).unwrap();
    document.anchor = Some(AnchorReference {
        genesis: [0x11; 32],
        dag: 3,
        anchor: 7,
        block_hash: [0x22; 32],
        block_number: 12,
        extrinsic_index: 2,
    });
    assert_eq!(document.to_json(), WORKED_EXAMPLE);
    assert_eq!(read(WORKED_EXAMPLE).unwrap(), document);
    assert_eq!(content(3), b"document 3\n");
}

#[test]
fn a_block_is_not_proved_at_a_size_before_it_or_beyond_the_log() {
    let log = TestLog::grown(5);
    let reader = LogReader::new(&log);
    let built = |request| build(&reader, &log.blocks[3], request);
    assert!(matches!(
        built(ProofRequest::at(3)),
        Err(ProofBuildError::Log(LogReadError::NoSuchProof(LogError::IndexOutOfRange)))
    ));
    assert!(matches!(
        built(ProofRequest::at(6)),
        Err(ProofBuildError::Log(LogReadError::SizeBeyondLog { size: 6, log_size: 5 }))
    ));
    assert!(matches!(
        built(ProofRequest::at(5).with_consistency_to(4)),
        Err(ProofBuildError::Log(LogReadError::NoSuchProof(LogError::SizeShrinks)))
    ));
}

#[test]
fn a_damaged_node_or_a_lineage_that_is_none_shows_before_the_proof_is_handed_out() {
    use crate::verify::VerifyError;
    let mut log = TestLog::grown(9);
    let refused = |log: &TestLog, request| match build(&LogReader::new(log), &log.blocks[8], request) {
        Err(ProofBuildError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let without_genesis = log.lineage(8).into_iter().rev().skip(1).rev();
    assert_eq!(
        refused(&log, ProofRequest::at(9).with_lineage(without_genesis)),
        VerifyError::Lineage(LineageError::NotGenesis)
    );
    let endless = std::iter::repeat_with(|| vec![0]);
    assert_eq!(refused(&log, ProofRequest::at(9).with_lineage(endless)), VerifyError::Lineage(LineageError::TooLong));
    log.nodes.insert((0, 8), [7; 32]);
    assert_eq!(refused(&log, ProofRequest::at(9)), VerifyError::Inclusion(LogError::RootMismatch));
}

#[test]
fn unknown_keys_are_ignored_at_every_level() {
    let plain = read(WORKED_EXAMPLE).unwrap();
    let unknown = r#""zzz": {"A": [1, -2, null, {"b": true}], "\u00e9": "0XAB"},"#;
    for key in ["\"format\"", "\"size\"", "\"leaf_index\"", "\"dag\""] {
        assert_eq!(read(&replaced(key, &format!("{unknown} {key}"))).unwrap(), plain, "{key}");
    }
}

#[test]
fn a_key_that_occurs_twice_is_refused_at_every_level_known_or_not() {
    for (from, to) in [
        ("\"format\"", "\"format\": \"pakit-proof/1\", \"format\""),
        ("\"format\"", "\"anchor\": null, \"format\""),
        ("\"size\"", "\"size\": 4, \"size\""),
        ("\"size\"", "\"si\\u007ae\": 4, \"size\""),
        ("\"dag\"", "\"dag\": 3, \"dag\""),
        ("\"format\"", "\"x\": {\"y\": 1, \"y\": 1}, \"format\""),
        ("\"format\"", "\"x\": 1, \"x\": 1, \"format\""),
    ] {
        let refused = read(&replaced(from, to));
        assert!(matches!(refused, Err(ProofDocumentError::Json(JsonError::DuplicateKey { .. }))), "{to}: {refused:?}");
    }
}

#[test]
fn numbers_are_integers_within_their_range() {
    for (to, is_malformed) in [
        ("4.0", true),
        ("4e0", true),
        ("-0", true),
        ("100000000000000000000", true),
        ("-1", false),
        ("18446744073709551616", false),
        ("99999999999999999999", false),
    ] {
        let refused = read(&replaced("\"size\": 4", &format!("\"size\": {to}"))).unwrap_err();
        let expected = match is_malformed {
            true => matches!(refused, ProofDocumentError::Json(_)),
            false => matches!(refused, ProofDocumentError::OutOfRange { key: "tree_head.size", max: u64::MAX }),
        };
        assert!(expected, "{to}: {refused:?}");
    }
    assert_eq!(read(&replaced("\"size\": 4", "\"size\": 18446744073709551615")).unwrap().tree_head.size, u64::MAX);
    let refused = read(&replaced("\"dag\": 3", "\"dag\": 4294967296")).unwrap_err();
    assert!(matches!(refused, ProofDocumentError::OutOfRange { key: "anchor.dag", max: 4_294_967_295 }));
    // Under an unknown key also, since another reader may know it.
    assert!(matches!(
        read(&replaced("\"format\"", "\"x\": [1.5], \"format\"")).unwrap_err(),
        ProofDocumentError::Json(JsonError::NotAnInteger { .. })
    ));
}

#[test]
fn each_malformed_text_has_its_own_error() {
    let root = "\"root\": \"0x";
    let at = WORKED_EXAMPLE.find(root).unwrap() + root.len();
    let digits = &WORKED_EXAMPLE[at..at + 64];
    let read_root = |to: &str| read(&WORKED_EXAMPLE.replacen(&format!("0x{digits}"), to, 1)).unwrap_err();
    let key = "tree_head.root";
    let upper = read_root(&format!("0x{}", digits.to_uppercase()));
    assert!(matches!(upper, ProofDocumentError::UpperCaseDigit { key: "tree_head.root" }), "{upper:?}");
    for not_hex in [digits.to_string(), format!("0X{digits}"), format!("0x{}", &digits[1..]), format!("0x {digits}")] {
        let refused = read_root(&not_hex);
        assert!(matches!(refused, ProofDocumentError::NotHex { key: k } if k == key), "{not_hex}: {refused:?}");
    }
    for (text, actual) in [(format!("0x{digits}00"), 33), (format!("0x{}", &digits[2..]), 31), ("0x".to_string(), 0)] {
        let refused = read_root(&text);
        assert!(matches!(refused, ProofDocumentError::WrongLength { key: k, actual: a } if (k, a) == (key, actual)));
    }
}

#[test]
fn another_format_is_named_before_anything_else_is_read() {
    let refused = read(r#"{"format": "pakit-proof/2"}"#).unwrap_err();
    assert!(matches!(&refused, ProofDocumentError::WrongFormat { found } if found == "pakit-proof/2"));
    assert!(matches!(read("{}").unwrap_err(), ProofDocumentError::MissingKey { key: "format" }));
    assert!(matches!(read("[]").unwrap_err(), ProofDocumentError::WrongType { expected: "an object", .. }));
    assert!(matches!(read("").unwrap_err(), ProofDocumentError::Json(JsonError::Syntax { offset: 0 })));
}

#[test]
fn arrays_are_bounded() {
    let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
    let digest = format!("\"0x{}\"", "00".repeat(32));
    let document = |lineage: &str, path: &str| {
        format!(
            r#"{{"format":"pakit-proof/1","header":"0x","block_hash":{digest},"tree_head":{{"size":1,"root":{digest}}},
            "inclusion":{{"leaf_index":0,"path":{path}}},"lineage":{lineage}}}"#
        )
    };
    assert!(read(&document(&many("\"0x00\"", 64), &many(&digest, 64))).is_ok());
    assert!(matches!(
        read(&document(&many("\"0x00\"", 65), "[]")).unwrap_err(),
        ProofDocumentError::TooManyItems { key: "lineage", max: 64 }
    ));
    assert!(matches!(
        read(&document("[]", &many(&digest, 65))).unwrap_err(),
        ProofDocumentError::TooManyItems { key: "inclusion.path", max: 64 }
    ));
}

#[test]
fn no_more_than_the_longest_document_is_read() {
    let mut padded = WORKED_EXAMPLE.as_bytes().to_vec();
    padded.resize(DOCUMENT_BYTES_MAX, b' ');
    assert!(ProofDocument::read_from(padded.as_slice()).is_ok());
    padded.push(b' ');
    assert!(matches!(ProofDocument::from_json(&padded), Err(ProofDocumentError::TooLarge)));
    let mut endless = Counted { reader: io::repeat(b' '), count: 0 };
    assert!(matches!(ProofDocument::read_from(&mut endless), Err(ProofDocumentError::TooLarge)));
    assert_eq!(endless.count, DOCUMENT_BYTES_MAX + 1);
}

struct Counted<R> {
    reader: R,
    count: usize,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count += count;
        Ok(count)
    }
}

fn any_head() -> impl Strategy<Value = Head> {
    any::<(u64, Digest)>().prop_map(|(size, root)| Head { size, root: LogRoot::new(root) })
}

fn any_anchor() -> impl Strategy<Value = AnchorReference> {
    any::<(Digest, u32, u64, Digest, u64, u32)>().prop_map(
        |(genesis, dag, anchor, block_hash, block_number, extrinsic_index)| AnchorReference {
            genesis,
            dag,
            anchor,
            block_hash,
            block_number,
            extrinsic_index,
        },
    )
}

prop_compose! {
    fn any_document()(
        header in vec(any::<u8>(), 0..340),
        block_hash in any::<Digest>(),
        tree_head in any_head(),
        leaf_index in any::<u64>(),
        path in vec(any::<Digest>(), 0..=64),
        lineage in option::of(vec(vec(any::<u8>(), 0..340), 0..=64)),
        consistency in option::of((any_head(), vec(any::<Digest>(), 0..=64))),
        anchor in option::of(any_anchor()),
    ) -> ProofDocument {
        ProofDocument {
            header,
            block_hash: BlockHash::new(block_hash),
            tree_head,
            inclusion: Inclusion { leaf_index, path },
            lineage,
            consistency: consistency.map(|(head, path)| Consistency { head, path }),
            anchor,
        }
    }
}

proptest! {
    #[test]
    fn any_document_is_read_as_it_was_written(document in any_document()) {
        let json = document.to_json();
        prop_assert!(json.len() < DOCUMENT_BYTES_MAX / 10);
        prop_assert_eq!(&read(&json).unwrap(), &document);
        prop_assert_eq!(read(&json).unwrap().to_json(), json);
    }

    #[test]
    fn damage_to_the_bytes_of_a_document_never_panics(
        damage in vec((0..WORKED_EXAMPLE.len(), any::<u8>()), 1..8),
        cut in 0..WORKED_EXAMPLE.len(),
    ) {
        let mut bytes = WORKED_EXAMPLE.as_bytes().to_vec();
        for (place, byte) in damage {
            bytes[place] = byte;
        }
        let _ = ProofDocument::from_json(&bytes);
        prop_assert!(ProofDocument::from_json(&WORKED_EXAMPLE.as_bytes()[..cut]).is_err() || cut + 1 == WORKED_EXAMPLE.len());
    }
}
