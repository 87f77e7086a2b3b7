//! What goes wrong between a repository and a chain: each time a plain line, an exit code, and an outbox that loses nothing.

#![allow(clippy::unwrap_used, missing_docs)]

use pakit_tests::{Node, Pakit, pakit::text};
use serde_json::{Value, json};
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

/// Seconds that a run may take which is meant to give up. Long enough to connect on a busy machine.
const GIVE_UP_SECONDS: &str = "5";

/// A key that nobody has given anything to.
const PENNILESS: &str = "0x00000000000000000000000000000000000000000000000000000000000000aa";

/// A port at which nobody listens.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn repository(folder: &tempfile::TempDir) -> Pakit {
    let pakit = Pakit::new(folder.path());
    pakit.init();
    pakit.put("file", "content");
    pakit
}

/// How many extrinsics are in each state, of the states that any is in.
fn outbox(pakit: &Pakit) -> Value {
    let mut counts = pakit.object(["status"])["outbox"].take();
    counts.as_object_mut().unwrap().retain(|_, count| *count != 0);
    counts
}

#[test]
fn no_node_is_said_once_and_nothing_was_signed() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let url = format!("ws://127.0.0.1:{}", free_port());
    for arguments in [&["dag", "create", "--dev", "--url", &url][..], &["dag", "show", "--dag", "0", "--url", &url]] {
        let complaint = pakit.complaint(3, arguments);
        assert!(complaint.contains(&format!("no node answers at {url}")), "{complaint}");
    }
    assert_eq!(outbox(&pakit), json!({}));
    let proof = pakit.run(["prove", &text(&pakit.objects(["log"])[1], "block")]).ok();
    pakit.write("proof.json", &proof.stdout);
    let complaint = pakit.complaint(3, ["verify", "proof.json", "--url", &url, "--dag", "0"]);
    assert!(complaint.contains("no node answers"), "{complaint}");
}

#[test]
fn what_is_missing_before_anything_can_be_signed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let complaint = pakit.complaint(2, ["anchor", "--url", "ws://127.0.0.1:1"]);
    assert!(complaint.contains("no key") && complaint.contains("--key-file"), "{complaint}");
    let key_file = pakit.write("key", "//Alice");
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    let key_file = key_file.to_str().unwrap().to_owned();
    let complaint = pakit.complaint(2, ["dag", "create", "--url", "ws://127.0.0.1:1", "--key-file", &key_file]);
    assert!(complaint.contains("--dev") && !complaint.contains("//Alice"), "{complaint}");
    fs::write(&key_file, PENNILESS).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o640)).unwrap();
    let complaint = pakit.complaint(2, ["dag", "create", "--url", "ws://127.0.0.1:1", "--key-file", &key_file]);
    assert!(complaint.contains("chmod 600") && !complaint.contains("00aa"), "{complaint}");
    let complaint = pakit.complaint(2, ["dag", "create", "--key-file", &key_file]);
    assert!(!complaint.contains("00aa"), "{complaint}");

    let secret = "not a secret uri 12345";
    let complaint =
        pakit.clone().with_env("PAKIT_KEY", secret).complaint(2, ["dag", "create", "--url", "ws://127.0.0.1:1"]);
    assert!(complaint.contains("secret URI") && !complaint.contains("12345"), "{complaint}");
    let complaint = pakit.complaint(2, ["dag", "create", "--dev", "--url", "http://127.0.0.1:1"]);
    assert!(complaint.contains("not the URL of a node"), "{complaint}");
    let complaint = pakit.complaint(2, ["dag", "create", "--dev", "--url", "ws://chain.example"]);
    assert!(complaint.contains("wss://"), "{complaint}");
    let complaint = pakit.complaint(2, ["dag", "create", "--dev", "--era", "5", "--url", "ws://127.0.0.1:1"]);
    assert!(complaint.contains("era"), "{complaint}");
    let complaint = pakit.complaint(2, ["dag", "show"]);
    assert!(complaint.contains("--url"), "{complaint}");
    assert_eq!(outbox(&pakit), json!({}));
}

#[test]
fn an_anchor_before_its_dag_an_empty_purse_and_an_unknown_block() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let node = Node::instant();
    let url = node.url();
    let complaint = pakit.complaint(3, ["anchor", "--dev", "--url", &url]);
    assert!(complaint.contains("pakit dag create"), "{complaint}");

    let penniless = pakit.clone().with_env("PAKIT_KEY", PENNILESS);
    let complaint = penniless.complaint(3, ["dag", "create", "--url", &url]);
    assert!(complaint.contains("has 0 to spend and needs"), "{complaint}");
    assert_eq!(outbox(&pakit), json!({}), "what cannot be paid for is not signed");
    let nobody = pakit.clone().with_env("PAKIT_KEY", "//Nobody");
    let complaint = nobody.complaint(3, ["dag", "create", "--dev", "--url", &url]);
    assert!(complaint.contains("has 0 to spend"), "{complaint}");
    assert!(node.extrinsics().is_empty());

    pakit.create_dag(&url);
    let block = text(&pakit.objects(["log"])[1], "block");
    let complaint = pakit.complaint(3, ["record", &block, "--dev"]);
    assert!(complaint.contains("run pakit anchor first"), "{complaint}");
    let complaint = pakit.complaint(2, ["record", &"ab".repeat(32), "--dev"]);
    assert!(complaint.contains("there is no block"), "{complaint}");
    assert_eq!(node.extrinsics().len(), 1);
}

#[test]
fn a_dag_of_somebody_elses_is_not_anchored_to() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let node = Node::instant();
    pakit.create_dag(&node.url());
    let before = outbox(&pakit);
    let bob = pakit.clone().with_env("PAKIT_KEY", "//Bob");
    let complaint = bob.complaint(3, ["anchor", "--dev"]);
    assert!(complaint.contains("may not anchor to DAG 0") && complaint.contains("it belongs to"), "{complaint}");
    let complaint = bob.complaint(3, ["dag", "succeed", "--dev"]);
    assert!(complaint.contains("may not name a successor of DAG 0"), "{complaint}");
    let complaint = pakit.complaint(3, ["dag", "succeed", "--dev", "--dag", "7"]);
    assert!(complaint.contains("the chain has no DAG 7"), "{complaint}");
    assert_eq!((outbox(&pakit), node.extrinsics().len()), (before, 1));
    pakit.anchor();
    assert_eq!(node.extrinsics().len(), 2);
}

#[test]
fn another_chain_is_refused_by_its_genesis() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let node = Node::instant();
    let foreign = Node::start(&["--seal", "instant", "--finalize-after", "0", "--preset", "local_testnet"]);
    pakit.create_dag(&node.url());
    let before = pakit.object(["status"]);
    for command in [&["anchor"][..], &["dag", "succeed"]] {
        let complaint = pakit.complaint(3, [command, &["--dev", "--url", &foreign.url()]].concat());
        assert!(complaint.contains(&node.genesis()) && complaint.contains(&foreign.genesis()), "{complaint}");
    }
    let complaint = pakit.complaint(3, ["status", "--url", &foreign.url()]);
    assert!(complaint.contains(&node.genesis()) && complaint.contains(&foreign.genesis()), "{complaint}");
    assert_eq!((pakit.object(["status"]), foreign.extrinsics().len()), (before, 0));
    // The url of the chain that it belongs to is remembered.
    pakit.anchor();
}

#[test]
fn a_development_chain_that_was_started_anew_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let node = Node::instant();
    pakit.create_dag(&node.url());
    let anew = Node::instant();
    assert_eq!(anew.genesis(), node.genesis());
    let anchor_there = ["anchor", "--dev", "--url", &anew.url(), "--timeout", GIVE_UP_SECONDS];
    // It may still be catching up, so it is given the time.
    let complaint = pakit.complaint(3, anchor_there);
    assert!(
        complaint.contains("the node has not reached a block yet that this repository saw finalized"),
        "{complaint}"
    );
    // Another first block shows that it is not.
    let scratch = tempfile::tempdir().unwrap();
    let other = repository(&scratch);
    assert_eq!(other.create_dag(&anew.url()), 0);
    let complaint = pakit.complaint(3, anchor_there);
    assert!(complaint.contains("another history"), "{complaint}");
    assert_eq!(anew.extrinsics().len(), 1, "only the other repository's");
    pakit.object(["anchor", "--dev", "--watch", "--url", &node.url()]);
}

#[test]
fn a_node_that_dies_midway_costs_one_fee_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let mut node = Node::manual();
    let url = node.url();
    let creating = pakit.start(["dag", "create", "--dev", "--url", &url]);
    node.until("the creation is in the pool", |node| !node.pending().is_empty());
    node.finalize(&node.make_block());
    creating.wait().ok();

    // Sent, in no block, and the node is gone with its pool.
    let mut anchoring = pakit.start(["anchor", "--dev", "--watch"]);
    node.until("the anchor is in the pool", |node| !node.pending().is_empty());
    let sent = node.pending();
    node.kill9();
    anchoring.until_stderr("trying again");
    let killed = anchoring.kill9();
    assert_eq!(killed.signal, Some(9));
    assert_eq!(outbox(&pakit), json!({"finalized": 1, "submitted": 1}));
    // Without a node: a plain line, and the row stays.
    let complaint = pakit.complaint(3, ["anchor", "--dev", "--watch", "--timeout", GIVE_UP_SECONDS]);
    assert!(complaint.contains("no node answers"), "{complaint}");
    assert_eq!(outbox(&pakit), json!({"finalized": 1, "submitted": 1}));

    node.restart();
    let anchoring = pakit.start(["--json", "anchor", "--dev", "--watch"]);
    node.until("the same bytes are in the pool again", |node| node.pending() == sent);
    // In a block, and the node is gone once more before it is final.
    let block = node.make_block();
    node.until("it is in the block", |node| node.anchor_extrinsics(0).len() == 1);
    node.kill9();
    node.restart();
    node.finalize(&block);
    let anchored = anchoring.wait().ok().object();
    assert_eq!((&anchored["status"], &anchored["block_hash"]), (&json!("finalized"), &json!(block)));
    assert_eq!(node.anchor_extrinsics(0).len(), 1);
    assert_eq!(outbox(&pakit), json!({"finalized": 2}));
    assert_eq!(pakit.anchor()["was_anchored"], json!(true));
    assert_eq!(node.anchor_extrinsics(0).len(), 1);
}

#[test]
fn a_run_that_gives_up_says_how_far_it_came_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let node = Node::manual();
    let creating = pakit.start(["dag", "create", "--dev", "--url", &node.url()]);
    node.until("the creation is in the pool", |node| !node.pending().is_empty());
    node.finalize(&node.make_block());
    creating.wait().ok();
    let complaint = pakit.complaint(3, ["anchor", "--dev", "--watch", "--timeout", GIVE_UP_SECONDS]);
    assert!(complaint.contains("not anchored and finalized within 5 seconds (submitted)"), "{complaint}");
    let sent = node.pending();
    assert_eq!((sent.len(), outbox(&pakit)), (1, json!({"finalized": 1, "submitted": 1})));
    let block = node.make_block();
    let done = pakit.object(["anchor", "--dev"]);
    assert_eq!((&done["status"], &done["block_hash"]), (&json!("in_block"), &json!(block)));
    node.finalize(&block);
    assert_eq!(pakit.anchor()["status"], json!("finalized"));
    assert_eq!(node.anchor_extrinsics(0).len(), 1);
}

#[test]
fn a_head_that_fell_out_of_the_best_chain_is_sent_again_and_paid_once() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let node = Node::manual();
    let creating = pakit.start(["dag", "create", "--dev", "--url", &node.url()]);
    node.until("the creation is in the pool", |node| !node.pending().is_empty());
    let base = node.make_block();
    node.finalize(&base);
    creating.wait().ok();
    let mut anchoring = pakit.start(["--json", "anchor", "--dev", "--watch"]);
    node.until("the anchor is in the pool", |node| !node.pending().is_empty());
    let left_behind = node.make_block();
    anchoring.until_stderr("in block");
    // Two empty blocks beside it make another best chain.
    let fork = node.make_block_on(Some(&base));
    let fork = node.make_block_on(Some(&fork));
    node.until("the fork is the best chain", |node| node.best() == 3);
    assert_ne!(node.block_hash(2), left_behind);
    node.until("it is in the pool again, or in the fork", |node| {
        !node.pending().is_empty() || !node.anchor_extrinsics(0).is_empty()
    });
    let mut last = fork;
    if node.anchor_extrinsics(0).is_empty() {
        last = node.make_block();
    }
    node.until("the fork has the anchor", |node| node.anchor_extrinsics(0).len() == 1);
    node.finalize(&last);
    let anchored = anchoring.wait().ok().object();
    assert_eq!(anchored["status"], json!("finalized"));
    assert_ne!(anchored["block_hash"], json!(left_behind));
    assert_eq!((node.anchor_extrinsics(0).len(), outbox(&pakit)), (1, json!({"finalized": 2})));
}

#[test]
fn two_anchoring_processes_do_not_get_in_each_others_way() {
    let folder = tempfile::tempdir().unwrap();
    let pakit = repository(&folder);
    let node = Node::manual();
    let creating = pakit.start(["dag", "create", "--dev", "--url", &node.url()]);
    node.until("the creation is in the pool", |node| !node.pending().is_empty());
    let complaint = pakit.complaint(3, ["dag", "create", "--dev", "--url", &node.url()]);
    assert!(complaint.contains("another process is anchoring"), "{complaint}");
    // The store can be written and read meanwhile.
    pakit.put("more", "more");
    node.finalize(&node.make_block());
    creating.wait().ok();
    assert_eq!(node.extrinsics().len(), 1);
}
