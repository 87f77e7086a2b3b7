//! Honest documents are accepted, every single change of one is refused, and an implementation that shares no code with
//! this one answers the same.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    log::{
        LogReader,
        testing::{TestLog, content},
    },
    proof::{AnchorReference, JsonError, ProofDocument, ProofDocumentError, ProofRequest, build},
};
use pakit_primitives::{
    BlockHash, Head, HeaderError, LineageError, LogError, SoftwareHasher, hasher::Digest, log::verify_inclusion,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    error::Error,
    io::{self, Read},
    path::PathBuf,
    process::Command,
};

const CHAIN: Digest = [0x11; 32];
const DAG: DagIdentity = DagIdentity { chain_genesis: CHAIN, dag: 3 };

/// A log of 21 blocks and the proof of block 12 under its head at 13, with everything that a document can hold.
struct Case {
    log: TestLog,
    document: ProofDocument,
    tree_head: Head,
    later_head: Head,
}

impl Case {
    fn new() -> Self {
        let log = TestLog::grown(21);
        let request = ProofRequest::at(13).with_consistency_to(21).with_lineage(log.lineage(12));
        let mut document = build(&LogReader::new(&log), &log.blocks[12], request).unwrap();
        document.anchor = Some(AnchorReference {
            genesis: CHAIN,
            dag: DAG.dag,
            anchor: 7,
            block_hash: [0x22; 32],
            block_number: 12,
            extrinsic_index: 2,
        });
        let tree_head = document.tree_head;
        let later_head = document.consistency.as_ref().unwrap().head;
        Self { log, document, tree_head, later_head }
    }

    fn expected<'a>(&self, head: TrustedHead<'a>) -> Expected<'a> {
        Expected { head, genesis_hash: Some(self.log.blocks[0].block_hash()), dag: Some(DAG) }
    }

    fn verify(&self, document: &ProofDocument, head: TrustedHead<'_>) -> Verification {
        verify_with(document, &content(12), &self.expected(head))
    }
}

fn verify_with(document: &ProofDocument, content: &[u8], expected: &Expected<'_>) -> Verification {
    verify_document(document, Some(&mut &content[..]), expected).unwrap()
}

fn refusal(document: &ProofDocument, content: &[u8], expected: &Expected<'_>) -> VerifyError {
    let answer = verify_with(document, content, expected);
    assert!(!answer.valid);
    answer.refusal.unwrap()
}

#[test]
fn an_honest_document_is_valid_under_either_of_its_heads() {
    let case = Case::new();
    for head in [case.tree_head, case.later_head] {
        let other = Head { size: 99, ..head };
        for (trusted, source) in
            [(TrustedHead::Given(head), HeadSource::Given), (TrustedHead::Chain(&[other, head]), HeadSource::Chain)]
        {
            let answer = case.verify(&case.document, trusted);
            assert!(answer.valid && answer.consistent, "{:?}", answer.refusal);
            assert_eq!((answer.head, answer.trusted_head, &answer.refusal), (source, Some(head), &None));
            assert_eq!(answer.header.as_ref().unwrap(), case.log.blocks[12].header());
            let names = serde_json::to_value(&answer.checked).unwrap();
            assert_eq!(
                names,
                json!([
                    "header",
                    "block_hash",
                    "inclusion",
                    "lineage",
                    "consistency",
                    "dag",
                    "content_size",
                    "content",
                    "head"
                ])
            );
        }
    }
    assert_eq!(case.document.candidate_heads().collect::<Vec<_>>(), [case.later_head, case.tree_head]);
    assert_eq!(serde_json::to_value(HeadSource::Unchecked).unwrap(), json!("unchecked"));
}

#[test]
fn a_lineage_counts_only_to_a_genesis_that_somebody_vouches_for() {
    let case = Case::new();
    let plain = ProofDocument { anchor: None, ..case.document.clone() };
    let trusted = TrustedHead::Given(case.tree_head);
    let of = |document: &ProofDocument, expected: &Expected<'_>| {
        let answer = verify_document(document, None, expected).unwrap();
        let lineage = answer
            .checked
            .iter()
            .copied()
            .find(|check| matches!(check, Check::Lineage | Check::LineageUncheckedGenesis));
        (answer.valid, lineage)
    };
    let unchecked = Some(Check::LineageUncheckedGenesis);
    assert_eq!(of(&plain, &Expected::of_head(trusted)), (true, unchecked));
    assert_eq!(of(&plain, &Expected::default()), (false, unchecked));
    assert_eq!(of(&plain, &Expected { dag: None, ..case.expected(trusted) }), (true, Some(Check::Lineage)));
    // A block that names whatever parents it likes may stand in the log: its genesis is not the log's.
    let genesis_hash = Some(case.log.blocks[1].block_hash());
    assert_eq!(of(&plain, &Expected { genesis_hash, ..Expected::of_head(trusted) }), (false, None));
    // The first leaf of the trusted log is its genesis; without a head to trust it may be anybody's.
    let request = ProofRequest::at(13).with_lineage(Vec::new());
    let first = build(&LogReader::new(&case.log), &case.log.blocks[0], request).unwrap();
    assert_eq!(of(&first, &Expected::of_head(trusted)), (true, Some(Check::Lineage)));
    assert_eq!(of(&first, &Expected::default()), (false, unchecked));
    assert_eq!(serde_json::to_value(Check::LineageUncheckedGenesis).unwrap(), json!("lineage_unchecked_genesis"));
}

#[test]
fn what_a_document_leaves_out_is_not_checked() {
    let case = Case::new();
    let plain = ProofDocument { lineage: None, consistency: None, anchor: None, ..case.document.clone() };
    let answer = verify_document(&plain, None, &case.expected(TrustedHead::Given(case.tree_head))).unwrap();
    assert!(answer.valid);
    assert_eq!(answer.checked, [Check::Header, Check::BlockHash, Check::Inclusion, Check::Head]);
    // Without the consistency proof, the later head says nothing.
    let expected = case.expected(TrustedHead::Given(case.later_head));
    assert_eq!(refusal(&plain, &content(12), &expected), VerifyError::UntrustedHead);
}

#[test]
fn without_a_trusted_head_a_document_is_consistent_at_most() {
    let case = Case::new();
    let other_root = Head { root: case.later_head.root, ..case.tree_head };
    for (trusted, named) in [
        (TrustedHead::Unchecked, VerifyError::NoTrustedHead),
        (TrustedHead::Chain(&[]), VerifyError::UntrustedHead),
        (TrustedHead::Given(other_root), VerifyError::UntrustedHead),
        (TrustedHead::Given(Head { size: 14, ..case.tree_head }), VerifyError::UntrustedHead),
    ] {
        let answer = case.verify(&case.document, trusted);
        assert!(answer.consistent && !answer.valid);
        assert_eq!((answer.refusal, answer.trusted_head), (Some(named), None));
        assert!(!answer.checked.contains(&Check::Head));
    }
}

#[test]
fn a_document_of_another_chain_or_dag_is_refused_by_name() {
    let case = Case::new();
    let head = TrustedHead::Given(case.tree_head);
    let meant =
        |chain_genesis, dag| Expected { dag: Some(DagIdentity { chain_genesis, dag }), ..Expected::of_head(head) };
    let refused = |expected| refusal(&case.document, &content(12), &expected);
    assert_eq!(refused(meant([0x12; 32], 3)), VerifyError::ForeignChain);
    assert_eq!(refused(meant(CHAIN, 4)), VerifyError::ForeignDag { named: 3, meant: 4 });
    assert!(verify_with(&case.document, &content(12), &Expected::of_head(head)).valid);
}

#[test]
fn a_lineage_ends_at_the_genesis_that_is_meant_or_at_the_blocks_own() {
    let case = Case::new();
    let head = TrustedHead::Given(case.tree_head);
    let foreign = Expected { genesis_hash: Some(BlockHash::new([1; 32])), ..Expected::of_head(head) };
    assert_eq!(refusal(&case.document, &content(12), &foreign), VerifyError::Lineage(LineageError::NotGenesis));
    assert!(verify_with(&case.document, &content(12), &Expected::of_head(head)).valid);
    let mut cut = case.document.clone();
    cut.lineage.as_mut().unwrap().pop();
    for genesis_hash in [None, Some(case.log.blocks[0].block_hash())] {
        let expected = Expected { genesis_hash, ..Expected::of_head(head) };
        assert_eq!(refusal(&cut, &content(12), &expected), VerifyError::Lineage(LineageError::NotGenesis));
    }
    cut.lineage = Some(Vec::new());
    assert_eq!(refusal(&cut, &content(12), &Expected::of_head(head)), VerifyError::Lineage(LineageError::Empty));
}

#[test]
fn genesis_descends_from_itself_by_no_headers() {
    let log = TestLog::grown(5);
    let request = ProofRequest::at(5).with_lineage(Vec::new());
    let document = build(&LogReader::new(&log), &log.blocks[0], request).unwrap();
    let head = TrustedHead::Given(document.tree_head);
    assert!(verify_with(&document, &content(0), &Expected::of_head(head)).valid);
    let foreign = Expected { genesis_hash: Some(log.blocks[1].block_hash()), ..Expected::of_head(head) };
    assert_eq!(refusal(&document, &content(0), &foreign), VerifyError::Lineage(LineageError::NotGenesis));
}

#[test]
fn another_file_is_refused_by_name_and_no_more_than_needed_is_read() {
    let case = Case::new();
    let expected = case.expected(TrustedHead::Given(case.tree_head));
    let right = content(12);
    let size = right.len() as u64;
    let refused = |bytes: &[u8]| refusal(&case.document, bytes, &expected);
    let short = &right[1..];
    assert_eq!(refused(short), VerifyError::ContentTooShort { expected: size, actual: size - 1 });
    assert_eq!(refused(&[]), VerifyError::ContentTooShort { expected: size, actual: 0 });
    assert_eq!(refused(&[&right[..], b"x"].concat()), VerifyError::ContentTooLong { expected: size });
    for place in 0..right.len() {
        let mut changed = right.clone();
        changed[place] ^= 1;
        assert_eq!(refused(&changed), VerifyError::ContentMismatch);
    }
    let answer = verify_document(&case.document, Some(&mut io::repeat(0)), &expected).unwrap();
    assert_eq!(answer.refusal, Some(VerifyError::ContentTooLong { expected: size }));
    assert!(!answer.consistent && !answer.checked.contains(&Check::ContentSize));
}

#[test]
fn a_file_that_cannot_be_read_is_no_answer() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::PermissionDenied))
        }
    }
    let case = Case::new();
    let expected = case.expected(TrustedHead::Given(case.tree_head));
    let error = verify_document(&case.document, Some(&mut Broken), &expected).unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
    assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
    // A document that is refused anyway is refused without reading the file.
    let other = ProofDocument { block_hash: BlockHash::new([0; 32]), ..case.document };
    assert!(verify_document(&other, Some(&mut Broken), &expected).unwrap().refusal.is_some());
}

#[test]
fn each_part_that_is_wrong_is_named() {
    let case = Case::new();
    let expected = case.expected(TrustedHead::Given(case.tree_head));
    let refused = |change: &dyn Fn(&mut ProofDocument)| {
        let mut document = case.document.clone();
        change(&mut document);
        refusal(&document, &content(12), &expected)
    };
    let other = case.log.blocks[11].clone();
    assert_eq!(refused(&|document| document.header.clear()), VerifyError::Header(HeaderError::Empty));
    assert_eq!(refused(&|document| document.header.push(0)), VerifyError::Header(HeaderError::TrailingBytes));
    assert!(matches!(
        refused(&|document| document.header = other.header().to_bytes()),
        VerifyError::BlockHashMismatch { actual, .. } if actual == other.block_hash()
    ));
    assert_eq!(
        refused(&|document| document.inclusion.leaf_index = 11),
        VerifyError::LeafIndexMismatch { proved: 11, actual: 12 }
    );
    for (size, error) in [
        (0, LogError::EmptyLog),
        (12, LogError::IndexOutOfRange),
        ((1 << 48) + 1, LogError::SizeTooLarge),
        (1 << 63, LogError::SizeTooLarge),
    ] {
        assert_eq!(refused(&|document| document.tree_head.size = size), VerifyError::Inclusion(error));
    }
    assert!(matches!(
        refused(&|document| document.inclusion.path.push([0; 32])),
        VerifyError::Inclusion(LogError::WrongPathLength { .. })
    ));
    assert_eq!(
        refused(&|document| document.lineage.as_mut().unwrap().swap(0, 1)),
        VerifyError::Lineage(LineageError::NotAParent)
    );
    let later = |document: &mut ProofDocument, size| document.consistency.as_mut().unwrap().head.size = size;
    assert_eq!(refused(&|document| later(document, 12)), VerifyError::Consistency(LogError::SizeShrinks));
}

// What follows changes a document's JSON in every place, one at a time.

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Item(usize),
}

/// Every value in a document with the way to it, the document itself first.
fn places(value: &Value) -> Vec<Vec<Step>> {
    let below = |step: Step, value: &Value| {
        places(value).into_iter().map(move |rest| [vec![step.clone()], rest].concat()).collect::<Vec<_>>()
    };
    let mut out = vec![Vec::new()];
    match value {
        Value::Object(members) => {
            out.extend(members.iter().flat_map(|(key, value)| below(Step::Key(key.clone()), value)))
        }
        Value::Array(items) => {
            out.extend(items.iter().enumerate().flat_map(|(at, value)| below(Step::Item(at), value)))
        }
        _ => {}
    }
    out
}

fn at<'a>(mut value: &'a mut Value, way: &[Step]) -> &'a mut Value {
    for step in way {
        value = match step {
            Step::Key(key) => &mut value[key.as_str()],
            Step::Item(place) => &mut value[*place],
        };
    }
    value
}

fn with(document: &Value, way: &[Step], change: impl FnOnce(&mut Value)) -> Value {
    let mut changed = document.clone();
    change(at(&mut changed, way));
    changed
}

/// Values of other types, and of the same type but different.
fn other_values(value: &Value) -> Vec<Value> {
    let mut out =
        vec![Value::Null, json!(true), json!({}), json!([[]]), json!(""), json!("0x"), json!(-1), json!(1 << 20)];
    match value {
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            out.extend([json!(number + 1), json!(number.wrapping_sub(1)), json!(number ^ (1 << 40))]);
            out.extend([json!(number.to_string()), json!(number as f64 + 0.5), json!([number])]);
        }
        Value::String(text) => {
            for place in (2..text.len()).step_by(7) {
                let flipped = u8::from_str_radix(&text[place..=place], 16).unwrap_or(0) ^ 1;
                out.push(json!(format!("{}{flipped:x}{}", &text[..place], &text[place + 1..])));
            }
            out.extend(
                [text[1..].to_string(), format!("{text}00"), format!("{text}0"), text.replacen("0x", "0X", 1)]
                    .map(Value::String),
            );
            out.extend([text.to_uppercase(), format!(" {text}")].map(Value::String));
            if text.len() > 4 {
                out.push(json!(&text[..text.len() - 2]));
            }
        }
        Value::Array(items) => {
            for place in 0..items.len() {
                let (mut dropped, mut doubled, mut swapped) = (items.clone(), items.clone(), items.clone());
                dropped.remove(place);
                doubled.insert(place, items[place].clone());
                swapped.swap(place, (place + 1) % items.len());
                out.extend([dropped, doubled, swapped].map(Value::Array));
            }
        }
        Value::Object(members) => {
            for key in members.keys() {
                let mut dropped = members.clone();
                dropped.remove(key);
                out.push(Value::Object(dropped));
            }
        }
        _ => {}
    }
    out.retain(|other| other != value);
    out
}

/// All documents with one change, and where it is.
fn mutants(document: &Value) -> Vec<(Vec<Step>, Value)> {
    let mut out = Vec::new();
    for way in places(document) {
        let mut original = document.clone();
        let others = other_values(at(&mut original, &way));
        out.extend(others.into_iter().map(|other| (way.clone(), with(document, &way, |value| *value = other))));
    }
    out
}

/// Whether a mutant says no less than it must: an optional part is left out, or the anchor's hints are others of their kind.
fn is_harmless(way: &[Step], honest: &Value, mutant: &Value) -> bool {
    let lacks = |key: &str| mutant.get(key).is_none();
    match way {
        [] => mutant.is_object() && (lacks("lineage") || lacks("anchor")) && !lacks("header"),
        [Step::Key(part), Step::Key(field)] if part == "anchor" => {
            let (was, is) = (&honest[part][field], &mutant[part][field]);
            let is_hint = matches!(field.as_str(), "anchor" | "block_hash" | "block_number" | "extrinsic_index");
            let is_alike = match (was, is) {
                (Value::String(was), Value::String(is)) => {
                    is.len() == was.len()
                        && is.starts_with("0x")
                        && is[2..].bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
                }
                (Value::Number(_), Value::Number(is)) => match field.as_str() {
                    "extrinsic_index" => is.as_u64().is_some_and(|is| u32::try_from(is).is_ok()),
                    _ => is.is_u64(),
                },
                _ => false,
            };
            is_hint && is_alike
        }
        _ => false,
    }
}

fn is_valid(case: &Case, json: &str, head: Head) -> bool {
    match ProofDocument::from_json(json.as_bytes()) {
        Ok(document) => case.verify(&document, TrustedHead::Given(head)).valid,
        Err(_) => false,
    }
}

#[test]
fn every_single_change_of_a_value_a_digit_an_item_or_a_key_is_refused() {
    let case = Case::new();
    let honest: Value = serde_json::from_str(&case.document.to_json()).unwrap();
    assert!(is_valid(&case, &honest.to_string(), case.later_head));
    let (mut refused, mut harmless) = (0, 0);
    for (way, mutant) in mutants(&honest) {
        let is_harmless = is_harmless(&way, &honest, &mutant);
        assert_eq!(is_valid(&case, &mutant.to_string(), case.later_head), is_harmless, "{way:?}: {mutant}");
        *(if is_harmless { &mut harmless } else { &mut refused }) += 1;
    }
    assert!(refused > 1000 && harmless < 40, "{refused} refused, {harmless} harmless");
}

#[test]
fn an_errors_name_for_programs_is_the_one_in_this_code() {
    let case = Case::new();
    let honest: Value = serde_json::from_str(&case.document.to_json()).unwrap();
    let in_code = |error: String| error.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    let mut names = BTreeSet::new();
    for (_, mutant) in mutants(&honest) {
        let (name, named) = match ProofDocument::from_json(mutant.to_string().as_bytes()) {
            Err(error) => (error.name(), in_code(format!("{error:?}"))),
            Ok(document) => match case.verify(&document, TrustedHead::Given(case.later_head)).refusal {
                Some(refusal) => (refusal.name(), in_code(format!("{refusal:?}"))),
                None => continue,
            },
        };
        assert_eq!(name, named);
        names.insert(name);
    }
    assert!(names.len() > 12, "{names:?}");
}

#[test]
fn every_single_digit_that_a_proof_stands_on_counts() {
    let case = Case::new();
    let document = ProofDocument { anchor: None, ..case.document.clone() };
    let json = document.to_json();
    let mut changed = 0;
    for (start, _) in json.match_indices("\"0x") {
        let first = start + 3;
        let length = json[first..].find('"').unwrap();
        for place in first..first + length {
            let digit = u8::from_str_radix(&json[place..=place], 16).unwrap();
            let mutant = format!("{}{:x}{}", &json[..place], digit ^ 1, &json[place + 1..]);
            assert!(!is_valid(&case, &mutant, case.later_head), "digit at {place}");
            changed += 1;
        }
    }
    assert!(changed > 3000, "{changed}");
}

/// Writes JSON with one member written twice.
fn doubled(value: &Value, way: &[Step]) -> String {
    match (value, way) {
        (Value::Object(members), [Step::Key(key), rest @ ..]) => {
            let write = |(name, member): (&String, &Value)| match (name == key, rest) {
                (true, []) => format!("{0}:{1},{0}:{1}", json!(name), member),
                (true, rest) => format!("{}:{}", json!(name), doubled(member, rest)),
                (false, _) => format!("{}:{}", json!(name), member),
            };
            format!("{{{}}}", members.iter().map(write).collect::<Vec<_>>().join(","))
        }
        _ => value.to_string(),
    }
}

#[test]
fn every_key_written_twice_is_refused_even_with_the_same_value() {
    let case = Case::new();
    let mut honest: Value = serde_json::from_str(&case.document.to_json()).unwrap();
    honest["unknown"] = Value::Object(Map::from_iter([("within".to_string(), json!({"deep": 1}))]));
    assert!(is_valid(&case, &honest.to_string(), case.later_head), "unknown keys are ignored");
    let keys: Vec<_> = places(&honest).into_iter().filter(|way| matches!(way.last(), Some(Step::Key(_)))).collect();
    assert_eq!(keys.len(), 8 + 2 + 2 + 3 + 6 + 3, "every key of every object");
    for way in keys {
        let read = ProofDocument::from_json(doubled(&honest, &way).as_bytes());
        assert!(matches!(read, Err(ProofDocumentError::Json(JsonError::DuplicateKey { .. }))), "{way:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_part_are_refused_without_a_panic(
        header in proptest::collection::vec(any::<u8>(), 0..340),
        size in any::<u64>(),
        leaf_index in any::<u64>(),
        path in proptest::collection::vec(any::<Digest>(), 0..=64),
        lineage in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..340), 0..=64),
    ) {
        let case = Case::new();
        let mut document = case.document.clone();
        document.lineage = Some(lineage);
        prop_assert!(!case.verify(&document, TrustedHead::Given(case.tree_head)).valid);
        document.tree_head.size = size;
        document.inclusion.leaf_index = leaf_index;
        document.inclusion.path = path;
        prop_assert!(!case.verify(&document, TrustedHead::Given(document.tree_head)).valid);
        document.header = header;
        prop_assert!(!case.verify(&document, TrustedHead::Given(document.tree_head)).valid);
    }
}

proptest! {
    #[test]
    fn a_content_in_pieces_is_the_same_content(
        bytes in prop_oneof![Just(content(12)), proptest::collection::vec(any::<u8>(), 0..20)],
        lengths in proptest::collection::vec(0usize..6, 0..6),
    ) {
        let case = Case::new();
        let expected = case.expected(TrustedHead::Given(case.tree_head));
        let whole = verify_with(&case.document, &bytes, &expected);
        let mut verifying = Verifying::new(&case.document, &expected);
        let mut wants_more = verifying.update(&[]);
        let mut rest = &bytes[..];
        for length in lengths.into_iter().chain([usize::MAX]) {
            let (piece, later) = rest.split_at(length.min(rest.len()));
            rest = later;
            // What comes after it was said that no more is wanted changes nothing.
            let wanted = verifying.update(piece);
            prop_assert!(wants_more || !wanted);
            wants_more = wanted;
        }
        prop_assert_eq!(wants_more, bytes.len() <= content(12).len());
        prop_assert_eq!(format!("{:?}", verifying.finish()), format!("{whole:?}"));
    }
}

// An independent implementation.

fn vectors_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../pallet-pakit/primitives/vectors")
}

/// What was checked in the independent verifier's words: its header is one only with its hash.
fn in_its_words(checked: &[Check]) -> Vec<Value> {
    let is_shared = |check: &&Check| !matches!(check, Check::Header | Check::ContentSize | Check::Dag);
    let name = |check: &Check| match check {
        Check::BlockHash => json!("header"),
        check => serde_json::to_value(check).unwrap(),
    };
    checked.iter().filter(is_shared).map(name).collect()
}

fn document_error_in_its_words(error: &ProofDocumentError) -> String {
    let words = match error {
        ProofDocumentError::Json(JsonError::DuplicateKey { .. }) => "DuplicateKey",
        ProofDocumentError::Json(JsonError::NotAnInteger { .. }) => "NotAnInteger",
        ProofDocumentError::Json(JsonError::Syntax { .. }) => "NotJson",
        ProofDocumentError::WrongFormat { .. } => "UnknownFormat",
        ProofDocumentError::MissingKey { .. } => "MissingKey",
        ProofDocumentError::WrongType { .. } | ProofDocumentError::OutOfRange { .. } => "WrongType",
        ProofDocumentError::NotHex { .. } | ProofDocumentError::UpperCaseDigit { .. } => "NotHex",
        ProofDocumentError::TooManyItems { .. } => "TooLong",
        other => panic!("{other:?}"),
    };
    words.to_string()
}

fn refusal_in_its_words(refusal: &VerifyError) -> String {
    let named = match refusal {
        VerifyError::UntrustedHead => "UnknownHead".to_string(),
        VerifyError::ContentTooShort { .. } | VerifyError::ContentTooLong { .. } => "ContentSizeMismatch".to_string(),
        VerifyError::Inclusion(LogError::EmptyLog | LogError::SizeTooLarge) => "SizeOutOfRange".to_string(),
        VerifyError::Inclusion(error) | VerifyError::Consistency(error) => format!("{error:?}"),
        VerifyError::Lineage(LineageError::Empty) => "EmptyLineage".to_string(),
        VerifyError::Lineage(error) => format!("{error:?}"),
        other => format!("{other:?}"),
    };
    // Without the figures.
    named.split(' ').next().unwrap_or_default().to_string()
}

#[test]
fn the_published_documents_get_their_published_answers() {
    let text = std::fs::read_to_string(vectors_folder().join("vectors.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let cases = vectors["documents"].as_array().unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let trusted = match &case["head"] {
            Value::Null => TrustedHead::Unchecked,
            head => {
                let root: Digest = hex::decode(head["root"].as_str().unwrap()).unwrap().try_into().unwrap();
                TrustedHead::Given(Head { size: head["size"].as_u64().unwrap(), root: root.into() })
            }
        };
        let content = case["file"].as_str().map(|file| hex::decode(file).unwrap());
        let answer = ProofDocument::from_json(case["document"].as_str().unwrap().as_bytes()).map(|document| {
            let mut content = content.as_deref();
            let content = content.as_mut().map(|content| content as &mut dyn Read);
            verify_document(&document, content, &Expected::of_head(trusted)).unwrap()
        });
        let error = match &answer {
            Ok(answer) => answer.refusal.as_ref().map(refusal_in_its_words),
            Err(error) => Some(document_error_in_its_words(error)),
        };
        assert_eq!(case["error"].as_str(), error.as_deref(), "{}", case["name"]);
        let (valid, consistent) = answer.map_or((false, false), |answer| (answer.valid, answer.consistent));
        assert_eq!(
            (case["valid"].as_bool(), case["consistent"].as_bool()),
            (Some(valid), Some(consistent)),
            "{}",
            case["name"]
        );
    }
}

#[test]
fn an_implementation_that_shares_no_code_answers_the_same() {
    let case = Case::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, content(12)).unwrap();
    let honest: Value = serde_json::from_str(&case.document.to_json()).unwrap();
    let all = mutants(&honest);
    // Spread over the whole document.
    let some = all.iter().step_by(all.len() / 31).map(|(_, mutant)| mutant);
    let mut answers = [0, 0];
    for (place, document) in std::iter::once(&honest).chain(some).chain([&honest, &honest]).enumerate() {
        let json = document.to_string();
        // Every third without a genesis to trust, the honest one both with and without.
        let genesis_hash = (place % 3 != 0).then(|| case.log.blocks[0].block_hash());
        let ours = ProofDocument::from_json(json.as_bytes()).ok().map(|document| {
            // It is given no DAG to mean.
            let expected = Expected { dag: None, genesis_hash, head: TrustedHead::Given(case.later_head) };
            verify_with(&document, &content(12), &expected)
        });
        let proof = folder.path().join("proof.json");
        std::fs::write(&proof, &json).unwrap();
        let output = Command::new("python3")
            .args(["-B".as_ref(), vectors_folder().join("pakit.py").as_os_str(), "verify".as_ref()])
            .args([&proof, &file])
            .args(["--root", &case.later_head.root.to_string(), "--size", &case.later_head.size.to_string()])
            .args(genesis_hash.iter().flat_map(|hash| ["--genesis".to_owned(), hash.to_string()]))
            .output()
            .expect("the cross-check needs python3");
        let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
        let valid = ours.as_ref().is_some_and(|answer| answer.valid);
        let consistent = ours.as_ref().is_some_and(|answer| answer.consistent);
        assert_eq!(theirs["valid"], json!(valid), "{json}\n{theirs}");
        assert_eq!(theirs["consistent"], json!(consistent), "{json}\n{theirs}");
        assert_eq!(output.status.code(), Some(i32::from(!valid)));
        if let Some(ours) = ours {
            assert_eq!(theirs["checked"], Value::Array(in_its_words(&ours.checked)), "{json}");
        }
        answers[usize::from(valid)] += 1;
    }
    assert!(answers[0] >= 30 && answers[1] >= 1, "{answers:?}");
}

#[test]
fn many_at_once_are_answered_in_order_and_as_one_at_a_time() {
    let case = Case::new();
    let log = LogReader::new(&case.log);
    let documents: Vec<ProofDocument> = (0..400u64)
        .map(|number| {
            let place = (number % 21) as usize;
            let mut document = build(&log, &case.log.blocks[place], ProofRequest::at(21)).unwrap();
            match number % 7 {
                3 => document.inclusion.path[0][0] ^= 1,
                5 => drop(document.header.pop()),
                6 => document.tree_head.size += 1,
                _ => {}
            }
            document
        })
        .collect();
    let expected = Expected::of_head(TrustedHead::Given(case.later_head));
    let one_at_a_time = |document| format!("{:?}", verify_document(document, None, &expected).unwrap());
    let answers = verify_documents(&documents, &expected);
    assert_eq!(answers.iter().filter(|answer| answer.valid).count(), 400 - 3 * 57);
    let answers: Vec<String> = answers.iter().map(|answer| format!("{answer:?}")).collect();
    assert_eq!(answers, documents.iter().map(one_at_a_time).collect::<Vec<_>>());

    let proofs = documents.iter().map(|document| LeafProof {
        leaf_index: document.inclusion.leaf_index,
        block_hash: document.block_hash,
        path: &document.inclusion.path,
    });
    let proofs: Vec<LeafProof<'_>> = proofs.collect();
    let one_at_a_time = |proof: &LeafProof<'_>| {
        verify_inclusion::<SoftwareHasher>(&case.later_head, proof.leaf_index, &proof.block_hash, proof.path)
    };
    let answers = verify_inclusions(&case.later_head, &proofs);
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 57);
    assert_eq!(answers, proofs.iter().map(one_at_a_time).collect::<Vec<_>>());
}
