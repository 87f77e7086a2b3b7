//! From a file to a proof that somebody without a repository verifies against the chain, and everything that must not
//! get that far.

#![allow(clippy::unwrap_used, missing_docs)]

use codec::Encode;
use offchain_store::{
    DagBackend, DagBlock, DagBuilder, LogAppender, LogReader, NewBlock,
    anchor::{
        ChainClient, Connect, SigningKey, SubxtConnector,
        client::{BlockRef, Call, CallFailure, Outcome, Submission},
    },
    backend::{StoredChunk, WriteBatch},
    sqlite::{Access, Options, SqliteBackend, outbox::rows::Era},
};
use pakit_primitives::{BlockHash, ContentHash, Head, chain::VerifiedBlock, heads, log::consistency_subtrees};
use pakit_tests::{
    Node, Pakit,
    chain::{ALICE, BlockNumber, account},
    pakit::{number, text},
    process::Done,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// Time for one request to the node.
const REQUEST_MAX: Duration = Duration::from_secs(60);

fn hash(text: &str) -> [u8; 32] {
    hex::decode(text.trim_start_matches("0x")).unwrap().try_into().unwrap()
}

/// Somebody with the document and the file, in a folder without a repository.
struct Reader {
    pakit: Pakit,
    url: String,
}

impl Reader {
    fn new(folder: &Path, node: &Node) -> Self {
        Self { pakit: Pakit::new(folder), url: node.url() }
    }

    fn verify(&self, document: &Value, file: Option<&str>, dag: &str, more: &[&str]) -> Done {
        self.pakit.write("proof.json", document.to_string());
        let mut arguments = vec!["--json", "verify", "proof.json"];
        if let Some(content) = file {
            self.pakit.write("file", content);
            arguments.push("file");
        }
        let entries = fs::read_dir(self.pakit.folder()).unwrap().count();
        let done = self.pakit.run([&arguments, &["--url", &self.url, "--dag", dag][..], more].concat());
        assert_eq!(fs::read_dir(self.pakit.folder()).unwrap().count(), entries, "verifying leaves nothing behind");
        done
    }

    #[track_caller]
    fn accepts(&self, document: &Value, dag: &str, more: &[&str]) -> Value {
        let answer = self.verify(document, None, dag, more).ok().object();
        assert_eq!((&answer["valid"], &answer["head"]), (&json!(true), &json!("chain")), "{answer}");
        answer
    }

    /// The refusal, in an answer or, where there is nothing to answer about, as a complaint.
    #[track_caller]
    fn refuses(&self, document: &Value, dag: &str, more: &[&str]) -> String {
        let done = self.verify(document, None, dag, more).with_code(1);
        if done.stdout.is_empty() {
            return done.stderr.trim_end().to_owned();
        }
        let answer = done.object();
        assert_eq!(answer["valid"], json!(false), "{answer}");
        text(&answer, "refusal")
    }
}

fn prove(pakit: &Pakit, block: &str, more: &[&str]) -> Value {
    let done = pakit.run([&["prove", block], more].concat()).ok();
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The head as the chain tells it to any client.
fn head_on_chain(node: &Node, dag: u32) -> (u64, String) {
    let (_, latest) = node.head(dag).unwrap();
    (latest.head.size, latest.head.root.to_string())
}

#[test]
fn a_file_is_stored_anchored_recorded_and_verified_by_somebody_without_a_repository() {
    const FILE: &str = "parcel 12/7: 412 square metres\n";
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::instant();
    let archive = Pakit::new(scratch.path().join("archive"));
    let genesis = archive.init();
    for index in 0..20 {
        archive.write(&format!("titles/{index}"), format!("title {index}\n"));
    }
    archive.write("titles/12-7", FILE);
    let items = archive.objects(["put", "titles"]);
    let item = items.iter().find(|item| item["path"] == "titles/12-7").unwrap();
    let block = text(item, "block");

    let created = archive.object(["dag", "create", "--dev", "--url", &node.url()]);
    assert_eq!((&created["dag"], &created["chain"]), (&json!(0), &json!(node.genesis())));
    assert_eq!(created["status"], json!("finalized"));
    assert_eq!(head_on_chain(&node, 0), (1, genesis.clone()), "a root over one leaf is that leaf");

    let anchored = archive.anchor();
    let (size, root) = archive.head();
    assert_eq!((number(&anchored, "size"), text(&anchored, "root")), (size, root.clone()));
    assert_eq!((&anchored["dag"], &anchored["status"]), (&json!(0), &json!("finalized")));
    assert_eq!((&anchored["anchor"], &anchored["was_anchored"]), (&json!(2), &json!(false)));
    assert_eq!(head_on_chain(&node, 0), (size, root.clone()));
    assert_eq!(node.anchor_extrinsics(0), [Head { size, root: pakit_primitives::LogRoot::new(hash(&root)) }]);

    let recorded = archive.object(["record", &block, "--dev", "--watch"]);
    assert_eq!((&recorded["block"], &recorded["status"]), (&json!(block), &json!("finalized")));
    let record = node.record(0, BlockHash::new(hash(&block)), account(ALICE)).unwrap();
    assert_eq!((record.size, record.merkle_root.to_string()), (size, root.clone()));
    assert_eq!((record.size_original, record.leaf_index), (FILE.len() as u64, number(item, "leaf_index")));
    assert_eq!(record.content_hash.to_string(), text(item, "content_hash"));
    assert_eq!(record.deposit.to_string(), text(&recorded, "deposit"));

    let document = prove(&archive, &block, &["--lineage"]);
    assert_eq!(document["anchor"]["genesis"], json!(node.genesis()));
    assert_eq!((&document["anchor"]["dag"], &document["anchor"]["anchor"]), (&json!(0), &json!(2)));
    let at = number(&document["anchor"], "block_number");
    assert_eq!(document["anchor"]["block_hash"], json!(node.block_hash(at)));

    // From here on the archive is not needed.
    fs::rename(scratch.path().join("archive"), scratch.path().join("gone")).unwrap();
    let reader = Reader::new(&scratch.path().join("reader"), &node);
    let more = ["--chain", &node.genesis(), "--finalized"];
    let answer = reader.verify(&document, Some(FILE), "0", &more).ok().object();
    assert_eq!((&answer["valid"], &answer["consistent"]), (&json!(true), &json!(true)));
    let all = ["header", "block_hash", "inclusion", "lineage", "dag", "content_size", "content", "head"].as_slice();
    assert_eq!((&answer["checked"], &answer["head"]), (&json!(all), &json!("chain")));
    assert_eq!(answer["owner"], created["owner"]);
    assert_eq!((&answer["asked"], &answer["anchored_at"]), (&json!(node.url()), &json!(at)));

    let changed = FILE.replace('2', "3");
    let refused = reader.verify(&document, Some(&changed), "0", &more).with_code(1).object();
    assert_eq!(refused["refusal"], json!("the file is not the block's content"));

    // The chain verifies the same document, for whoever does not want to run anything.
    let path: Vec<[u8; 32]> =
        document["inclusion"]["path"].as_array().unwrap().iter().map(|item| hash(item.as_str().unwrap())).collect();
    let header = hex::decode(text(&document, "header").trim_start_matches("0x")).unwrap();
    let verified: Result<VerifiedBlock<BlockNumber>, pakit_primitives::chain::VerifyError> =
        node.runtime("PakitApi_verify_inclusion", (0u32, 2u64, header, path));
    assert_eq!(verified.unwrap().block_hash.to_string(), block);
}

#[test]
fn what_is_anchored_already_costs_nothing_more() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::instant();
    let pakit = Pakit::new(scratch.path());
    pakit.init();
    let block = pakit.put("file", "content");
    pakit.create_dag(&node.url());
    let first = pakit.anchor();
    pakit.object(["record", &block, "--dev", "--watch"]);
    let extrinsics = node.extrinsics();
    assert_eq!(extrinsics.len(), 3, "a DAG, an anchor, a record: {extrinsics:?}");

    let second = pakit.anchor();
    assert_eq!((&first["was_anchored"], &second["was_anchored"]), (&json!(false), &json!(true)));
    for name in ["size", "root", "block_number", "block_hash", "extrinsic_index", "anchor", "status"] {
        assert_eq!(first[name], second[name], "{name}");
    }
    assert_eq!(pakit.object(["record", &block, "--dev", "--watch"])["was_recorded"], json!(true));
    // What was put already adds no block, so there is nothing new to anchor.
    pakit.put("file again", "content");
    pakit.anchor();
    assert_eq!(node.extrinsics(), extrinsics);
    let refused = pakit.complaint(3, ["dag", "create", "--dev", "--url", &node.url()]);
    assert!(refused.contains("DAG 0") && refused.contains("already"), "{refused}");
    assert_eq!(node.extrinsics(), extrinsics);
}

#[test]
fn another_dag_another_chain_and_another_head_are_refused_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::instant();
    let pakit = Pakit::new(scratch.path().join("one"));
    pakit.init();
    let block = pakit.put("file", "content");
    pakit.create_dag(&node.url());
    pakit.anchor();
    let other = Pakit::new(scratch.path().join("other"));
    other.init();
    other.put("file", "content");
    assert_eq!(other.create_dag(&node.url()), 1);
    other.anchor();
    let document = prove(&pakit, &block, &["--lineage"]);
    let reader = Reader::new(&scratch.path().join("reader"), &node);
    reader.accepts(&document, "0", &[]);

    let refused = reader.refuses(&document, "1", &[]);
    assert!(refused.contains("DAG 0") || refused.contains("descend from genesis"), "{refused}");
    let mut nameless = document.clone();
    nameless.as_object_mut().unwrap().remove("anchor");
    reader.accepts(&nameless, "0", &[]);
    let refused = reader.refuses(&nameless, "1", &[]);
    assert!(refused.contains("genesis"), "a lineage ends at the genesis of the DAG that is meant: {refused}");
    nameless.as_object_mut().unwrap().remove("lineage");
    assert_eq!(reader.refuses(&nameless, "1", &[]), "the document leads to no trusted head");
    assert!(reader.refuses(&nameless, "2", &[]).contains("the chain has no DAG 2"));

    let named = |name: &str, value: Value| {
        let mut changed = document.clone();
        changed["anchor"][name] = value;
        changed
    };
    assert_eq!(reader.refuses(&named("dag", json!(1)), "0", &[]), "the document names DAG 1, not 0");
    let elsewhere = named("genesis", json!(format!("0x{}", "ab".repeat(32))));
    assert_eq!(reader.refuses(&elsewhere, "0", &[]), "the document names a DAG on another chain");
    let refused = reader.refuses(&document, "0", &["--chain", &"ab".repeat(32)]);
    assert!(refused.contains("is a node of the chain") && refused.contains(&node.genesis()), "{refused}");
    // The hints only tell where to look; while the head is kept nothing is looked up there.
    for name in ["block_number", "extrinsic_index", "anchor"] {
        reader.accepts(&named(name, json!(4_000_000)), "0", &[]);
    }

    // A chain with the same pallet and another genesis.
    let foreign = Node::start(&["--seal", "instant", "--finalize-after", "0", "--preset", "local_testnet"]);
    assert_ne!(foreign.genesis(), node.genesis());
    let stranger = Reader::new(&scratch.path().join("stranger"), &foreign);
    assert!(stranger.refuses(&document, "0", &[]).contains("the chain has no DAG 0"));
    let third = Pakit::new(scratch.path().join("third"));
    third.init();
    third.create_dag(&foreign.url());
    let refused = stranger.refuses(&document, "0", &[]);
    assert!(refused.contains("genesis"), "its lineage leads to another genesis: {refused}");
    let mut short = document.clone();
    short.as_object_mut().unwrap().remove("lineage");
    assert_eq!(stranger.refuses(&short, "0", &[]), "the document names a DAG on another chain");
}

#[test]
fn every_changed_field_of_a_document_is_refused_against_the_chain() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::instant();
    let pakit = Pakit::new(scratch.path().join("archive"));
    pakit.init();
    let mut blocks = Vec::new();
    for index in 0..7 {
        blocks.push(pakit.put(&format!("{index}"), format!("{index}")));
    }
    pakit.create_dag(&node.url());
    pakit.anchor();
    pakit.put("later", "later");
    pakit.anchor();
    let document = prove(&pakit, &blocks[3], &["--lineage", "--size", "8", "--consistent-with", "9"]);
    let reader = Reader::new(&scratch.path().join("reader"), &node);
    reader.accepts(&document, "0", &[]);
    // What each of them is refused for: the words are the user's way to the cause.
    for (pointer, words) in [
        ("/header", &["malformed", "header is that of block"][..]),
        ("/block_hash", &["the header is that of block"]),
        ("/tree_head/root", &["not shown to be in the log"]),
        ("/inclusion/path/0", &["not shown to be in the log"]),
        ("/lineage/0", &["genesis"]),
        ("/consistency/root", &["later log"]),
        ("/consistency/path/0", &["later log"]),
        ("/anchor/genesis", &["another chain"]),
    ] {
        let mut changed = document.clone();
        let field = changed.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        let digits = field.as_str().unwrap().to_owned();
        let last = if digits.ends_with('0') { "1" } else { "0" };
        *field = json!(format!("{}{last}", &digits[..digits.len() - 1]));
        let refused = reader.refuses(&changed, "0", &[]);
        assert!(words.iter().any(|word| refused.contains(word)), "{pointer}: {refused}");
    }
    for (pointer, words) in [
        ("/tree_head/size", &["not shown to be in the log", "no trusted head", "later log"][..]),
        ("/inclusion/leaf_index", &["place"]),
        ("/anchor/dag", &["DAG 1, not 0"]),
    ] {
        let mut changed = document.clone();
        let field = changed.pointer_mut(pointer).unwrap();
        *field = json!(field.as_u64().unwrap() + 1);
        let refused = reader.refuses(&changed, "0", &[]);
        assert!(words.iter().any(|word| refused.contains(word)), "{pointer}: {refused}");
    }
}

#[test]
fn heads_are_kept_by_the_rule_and_older_proofs_still_verify() {
    const ANCHORS: u64 = 21;
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::instant();
    let pakit = Pakit::new(scratch.path().join("archive"));
    pakit.init();
    pakit.create_dag(&node.url());
    let mut heads_by_anchor = BTreeMap::from([(1, pakit.head())]);
    let mut blocks = BTreeMap::new();
    for anchor in 2..=ANCHORS {
        blocks.insert(anchor, pakit.put(&format!("{anchor}"), format!("document {anchor}")));
        assert_eq!(number(&pakit.anchor(), "anchor"), anchor);
        heads_by_anchor.insert(anchor, pakit.head());
    }

    let kept: BTreeMap<u64, (u64, String)> = node
        .heads_kept(0)
        .into_iter()
        .map(|(anchor, kept)| (anchor, (kept.head.size, kept.head.root.to_string())))
        .collect();
    assert!(kept.keys().copied().eq(heads::kept(ANCHORS)), "{:?}", kept.keys());
    assert!(kept.iter().all(|(anchor, head)| heads_by_anchor[anchor] == *head));
    let shown = pakit.object(["dag", "show"]);
    assert_eq!(shown["heads_kept"].as_array().unwrap().len(), kept.len());
    assert_eq!((&shown["anchors"], number(&shown, "size")), (&json!(ANCHORS), heads_by_anchor[&ANCHORS].0));

    let reader = Reader::new(&scratch.path().join("reader"), &node);
    // Kept: the document is enough, as it was made back then.
    let old = heads_by_anchor[&2].0.to_string();
    assert!(heads::is_kept(2, ANCHORS));
    let mut document = prove(&pakit, &blocks[&2], &["--size", &old]);
    assert_eq!(document["anchor"]["anchor"], json!(2));
    document.as_object_mut().unwrap().remove("anchor");
    reader.accepts(&document, "0", &["--finalized"]);

    // No longer kept: a consistency proof to a later head, or the state at the block that anchored it.
    assert!(!heads::is_kept(3, ANCHORS));
    let old = heads_by_anchor[&3].0.to_string();
    let document = prove(&pakit, &blocks[&3], &["--size", &old]);
    let by_state = reader.accepts(&document, "0", &[]);
    assert_eq!(by_state["anchored_at"], document["anchor"]["block_number"]);
    let mut nameless = document.clone();
    nameless.as_object_mut().unwrap().remove("anchor");
    assert_eq!(reader.refuses(&nameless, "0", &[]), "the document leads to no trusted head");
    let latest = heads_by_anchor[&ANCHORS].0.to_string();
    let mut extended = prove(&pakit, &blocks[&3], &["--size", &old, "--consistent-with", &latest]);
    extended.as_object_mut().unwrap().remove("anchor");
    reader.accepts(&extended, "0", &["--finalized"]);
    extended["consistency"]["size"] = json!(heads_by_anchor[&ANCHORS].0 + 1);
    let refused = reader.refuses(&extended, "0", &[]);
    assert!(refused.contains("no trusted head") || refused.contains("later log"), "{refused}");
    // A hint to another block of the chain, where the head was not known yet.
    let mut misled = document.clone();
    misled["anchor"]["block_number"] = json!(1);
    misled["anchor"]["block_hash"] = json!(node.block_hash(1));
    assert_eq!(reader.refuses(&misled, "0", &[]), "the document leads to no trusted head");
}

#[test]
fn a_restored_old_copy_that_diverges_reads_on_and_anchors_only_as_a_successor() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::instant();
    let pakit = Pakit::new(scratch.path().join("archive"));
    pakit.init();
    let early = pakit.put("early", "early");
    pakit.create_dag(&node.url());
    pakit.anchor();
    let restored = pakit.copy_to(&scratch.path().join("restored"));
    let lost = pakit.put("lost", "put after the backup was made");
    pakit.anchor();
    let anchored = pakit.head();
    drop(pakit);

    // Behind the chain already, before anything is put.
    let refused = restored.complaint(3, ["anchor", "--dev"]);
    assert!(refused.contains("does not extend") && refused.contains("pakit dag succeed"), "{refused}");
    restored.put("other", "put after the backup was restored");
    let refused = restored.complaint(3, ["anchor", "--dev", "--watch"]);
    assert!(refused.contains("does not extend"), "{refused}");
    let refused = restored.complaint(3, ["record", &early, "--dev"]);
    assert!(refused.contains("does not extend"), "{refused}");
    assert_eq!(head_on_chain(&node, 0), anchored);
    let status = restored.object(["status", "--url", &node.url()]);
    assert_eq!(status["on_chain"]["extended"], json!(false));
    // Reading goes on, and what was anchored before the backup is proved as ever.
    assert_eq!(restored.run(["get", &early]).ok().stdout, b"early");
    assert_eq!(restored.run(["get", &lost]).code, Some(2));
    let reader = Reader::new(&scratch.path().join("reader"), &node);
    reader.accepts(&prove(&restored, &early, &["--size", "2"]), "0", &["--finalized"]);

    let extrinsics = node.anchor_extrinsics(0).len();
    let successor = restored.object(["dag", "succeed", "--dev"]);
    assert_eq!(successor["dag"], json!(1));
    let dag = node.dag(1).unwrap();
    assert_eq!(dag.succeeds.map(|succession| (succession.dag, succession.size)), Some((0, 2)));
    assert_eq!(node.dag(0).unwrap().successor, Some(1));
    let anchored = restored.anchor();
    assert_eq!((&anchored["dag"], &anchored["status"]), (&json!(1), &json!("finalized")));
    assert_eq!(head_on_chain(&node, 1), restored.head());
    assert_eq!(node.anchor_extrinsics(0).len(), extrinsics, "nothing more was tried on the old DAG");
    let refused = restored.complaint(3, ["dag", "succeed", "--dev"]);
    assert!(refused.contains("run pakit anchor"), "{refused}");
}

/// Replaces the content of one block of a repository's log, by building `into` from `from` with everything else as it was:
/// the same places, parents, times and contents. Gives the blocks of the new log.
fn rewrite(from: &Pakit, into: &Pakit, changed: u64, content: &[u8]) -> Vec<DagBlock> {
    let from = SqliteBackend::open(&from.repository(), Access::Read, &Options::default()).unwrap();
    let into = SqliteBackend::open(&into.repository(), Access::Write, &Options::default()).unwrap();
    let genesis = into.block(0).unwrap().unwrap();
    assert_eq!((into.totals().unwrap().blocks, from.block(0).unwrap().unwrap()), (1, genesis.clone()));
    let mut blocks = vec![genesis.clone()];
    let mut builder = DagBuilder::new(0, 0);
    builder.advance(&genesis);
    let mut appender = LogAppender::resume(&into).unwrap();
    for leaf_index in 1..from.totals().unwrap().blocks {
        let old = from.block(leaf_index).unwrap().unwrap();
        let header = old.header();
        let stored = if leaf_index == changed {
            let chunk_hash = ContentHash::new(*blake3::hash(content).as_bytes());
            let compression = pakit_primitives::Compression::None;
            StoredChunk { chunk_hash, compression, original_size: content.len() as u32, bytes: content.to_vec() }
        } else {
            from.chunk(&header.content_hash).unwrap().unwrap()
        };
        let new = NewBlock {
            codec: header.codec,
            content_hash: stored.chunk_hash,
            original_size: stored.original_size.into(),
            stored_size: stored.bytes.len() as u64,
            compression: stored.compression,
            metadata_hash: header.metadata_hash,
        };
        let parents: Vec<DagBlock> =
            header.parents.iter().map(|parent| blocks[parent.leaf_index as usize].clone()).collect();
        let block = builder.block(new, header.timestamp_ms, &parents).unwrap();
        builder.advance(&block);
        let mut batch = WriteBatch { chunks: vec![stored], blocks: vec![block.clone()], ..WriteBatch::default() };
        appender.append(&block, &mut batch.log_nodes).unwrap();
        into.commit(batch).unwrap();
        blocks.push(block);
    }
    blocks
}

/// Sends a call of `//Alice`'s as a client of the attacker's own would, and gives how it ended in its block.
async fn send(node: &Node, call: &Call) -> Result<(), CallFailure> {
    let client = SubxtConnector::new(node.url(), REQUEST_MAX).connect().await.unwrap();
    let key = SigningKey::from_secret_uri("//Alice", true).unwrap();
    let at = client.ends().await.unwrap().best;
    let nonce = client.next_nonce(key.account()).await.unwrap();
    let era = Era { birth: at.number, birth_hash: at.hash, period: 64 };
    let signed = client.sign(call, &key, nonce, era, at).await.unwrap();
    assert_eq!(client.submit(&signed.bytes).await.unwrap(), Submission::Accepted);
    node.until("the extrinsic is in a block", |node| node.best() > at.number && node.pending().is_empty());
    for number in at.number + 1..=node.best() {
        let block = BlockRef { number, hash: client.block_hash(number).await.unwrap().unwrap() };
        let hashes = client.extrinsic_hashes(block).await.unwrap();
        let Some(index) = hashes.iter().position(|hash| *hash == signed.hash) else { continue };
        return match client.outcome(block, index as u32).await.unwrap() {
            Outcome::Failed(failure) => Err(failure),
            _ => Ok(()),
        };
    }
    panic!("the extrinsic is in no block");
}

#[test]
fn a_rewritten_repository_cannot_anchor_onto_the_dag_by_any_way() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::instant();
    let honest = Pakit::new(scratch.path().join("honest"));
    honest.init();
    honest.create_dag(&node.url());
    // Bound to the DAG, with genesis alone: what the rewritten log is put into.
    let rewritten = honest.copy_to(&scratch.path().join("rewritten"));
    for index in 1..=10 {
        honest.put(&format!("{index}"), format!("document {index}\n"));
    }
    honest.anchor();
    let anchored = honest.head();
    for index in 11..=13 {
        honest.put(&format!("{index}"), format!("document {index}\n"));
    }

    let blocks = rewrite(&honest, &rewritten, 4, b"document 4, as it should have been\n");
    let old = SqliteBackend::open(&honest.repository(), Access::Read, &Options::default()).unwrap();
    for (leaf_index, block) in (0..).zip(&blocks) {
        let is_same = old.block(leaf_index).unwrap().unwrap() == *block;
        assert!(is_same == (leaf_index < 4) || leaf_index > 4, "block {leaf_index}");
    }
    // As good a repository as any: only the chain knows better.
    assert_eq!(rewritten.object(["check", "--full"])["problem_count"], json!(0));
    assert_eq!(rewritten.head().0, honest.head().0);
    assert_ne!(rewritten.head().1, honest.head().1);
    let refused = rewritten.complaint(3, ["anchor", "--dev", "--watch"]);
    assert!(refused.contains("does not extend") && refused.contains("history was changed"), "{refused}");

    // By hand, with every proof that could be tried.
    let new = SqliteBackend::open(&rewritten.repository(), Access::Read, &Options::default()).unwrap();
    let (honest_log, forged_log) = (LogReader::new(&old), LogReader::new(&new));
    let size = forged_log.head().unwrap().unwrap().size;
    let forged_head = forged_log.head_at(size).unwrap();
    let of_forged = forged_log.consistency(anchored.0, size).unwrap();
    let of_honest = honest_log.consistency(anchored.0, size).unwrap();
    let length = consistency_subtrees(anchored.0, size).unwrap().len();
    assert_eq!((of_forged.len(), of_honest.len()), (length, length));
    let mixed = of_honest.iter().zip(&of_forged).enumerate();
    let mixed = mixed.map(|(place, (honest, forged))| if place % 2 == 0 { *honest } else { *forged }).collect();
    let newest_header = blocks.last().unwrap().header().to_bytes();
    let inclusion = forged_log.inclusion(size - 1, size).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (consistency, names) in [
        (of_forged, &["Pakit::NotAppendOnly"][..]),
        (of_honest.clone(), &["Pakit::NewRootMismatch", "Pakit::NotAppendOnly"]),
        (mixed, &["Pakit::NewRootMismatch", "Pakit::NotAppendOnly"]),
        (Vec::new(), &["Pakit::WrongConsistencyLength"]),
        ([of_honest.clone(), vec![[0; 32]]].concat(), &["Pakit::WrongConsistencyLength"]),
    ] {
        let call = Call::Anchor {
            dag: 0,
            new_head: forged_head,
            consistency: consistency.clone(),
            newest_header: newest_header.clone(),
            inclusion: inclusion.clone(),
        };
        let failure = runtime.block_on(send(&node, &call)).unwrap_err();
        assert!(names.contains(&failure.name.as_str()), "{}: {failure:?}", consistency.encoded_size());
        assert_eq!(head_on_chain(&node, 0), anchored);
    }
    // The honest head over the rewritten newest block, and an earlier rewritten head in place of the anchored one.
    let honest_head = honest_log.head_at(size).unwrap();
    let call = |new_head, consistency| Call::Anchor {
        dag: 0,
        new_head,
        consistency,
        newest_header: newest_header.clone(),
        inclusion: inclusion.clone(),
    };
    let failure = runtime.block_on(send(&node, &call(honest_head, of_honest))).unwrap_err();
    assert_eq!(failure.name, "Pakit::NotInLog");
    let earlier = forged_log.head_at(anchored.0).unwrap();
    let failure = runtime.block_on(send(&node, &call(earlier, Vec::new()))).unwrap_err();
    assert_eq!(failure.name, "Pakit::StaleSize");
    assert_eq!(head_on_chain(&node, 0), anchored);

    // The honest repository is not hindered by any of this.
    honest.anchor();
    assert_eq!(head_on_chain(&node, 0), honest.head());
}
