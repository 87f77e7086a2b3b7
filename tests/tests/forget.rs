//! Letting contents go where a stake may stand behind the DAG: asked, declared, waited for, and what is said where that cannot be.
//! That draws of what is gone are answered then, `worker.rs` shows.

#![allow(clippy::unwrap_used, missing_docs)]

use pakit_tests::{
    Node, POLL, Pakit,
    chain::{Balance, PakitCall},
    pakit::{number, text},
    process::{Done, Running},
};
use serde_json::json;
use std::{path::Path, thread};

/// A thousand of the development chain's units.
const STAKE: Balance = 1_000_000_000_000_000;
/// Index of the call `declare_removed`.
const DECLARE_REMOVED: PakitCall = PakitCall::Other(14);

/// An archive of three contents, anchored to a DAG.
fn anchored(node: &Node, folder: &Path) -> (Pakit, u32, [String; 3]) {
    let archive = Pakit::new(folder);
    archive.init();
    let blocks = ["one", "two", "three"].map(|name| archive.put(name, format!("the content of {name}")));
    let dag = archive.create_dag(&node.url());
    archive.anchor();
    (archive, dag, blocks)
}

/// How many declarations were signed, whatever became of them.
fn declarations(node: &Node) -> usize {
    node.extrinsics().iter().filter(|extrinsic| extrinsic.call.as_ref() == Some(&DECLARE_REMOVED)).count()
}

#[test]
fn without_a_stake_nothing_is_declared_and_without_an_answer_nothing_is_given_up() {
    let scratch = tempfile::tempdir().unwrap();
    let mut node = Node::instant();
    let (archive, dag, [one, two, _]) = anchored(&node, &scratch.path().join("archive"));

    // A DAG without a stake: no key is asked for.
    assert_eq!(archive.object(["forget", &one, "--why", "a test"])["forgotten"], json!(1));
    assert_eq!(archive.object(["gc"])["dropped"], json!(1));
    let nothing = archive.run(["forget", "--resume"]).ok();
    assert!(nothing.stderr.contains("nothing to declare"), "{}", nothing.stderr);

    node.kill9();
    let size = archive.head().0;
    for arguments in
        [&["forget", &two, "--why", "a test"][..], &["forget", &two, "--why", "a test", "--dry-run"], &["gc"]]
    {
        let complaint = archive.complaint(3, arguments);
        let said =
            ["no node answers", "nothing is given up", "--url", "--undeclared", "slashed", &format!("DAG {dag}")];
        assert!(said.iter().all(|text| complaint.contains(text)), "{complaint}");
    }
    assert_eq!(archive.head().0, size, "nothing was changed");
    let forced = archive.run(["forget", &two, "--why", "a court's order", "--undeclared"]).ok();
    assert!(forced.stderr.contains("missed and slashed"), "{}", forced.stderr);
    archive.complaint(3, ["gc"]);
    archive.run(["get", &two]).ok();
    let forced = archive.run(["gc", "--undeclared", "--why", "a court's order"]).ok();
    assert!(forced.stderr.contains("missed and slashed"), "{}", forced.stderr);
    archive.run(["get", &two]).with_code(1);

    // A node that knows of nothing that this repository saw is not believed.
    let other = Node::instant();
    let complaint = archive.complaint(3, ["gc", "--url", &other.url()]);
    assert!(complaint.contains("another block") || complaint.contains("has not finalized"), "{complaint}");

    // A stake that comes later stands for what is gone too, until that is declared.
    node.restart();
    node.stake(dag, STAKE);
    let told = archive.object(["forget", "--resume", "--dev"]);
    assert_eq!((&told["ranges"], &told["signed"]), (&json!([{"first": 1, "last": 2}]), &json!(1)));
    assert_eq!(node.removed_range(dag, 0).map(|range| (range.first, range.last)), Some((1, 2)));
}

#[test]
fn what_cannot_be_declared_is_said_before_anything_is_changed() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::instant();
    let (archive, dag, [one, _, three]) = anchored(&node, &scratch.path().join("archive"));
    node.stake(dag, STAKE);
    let new = archive.put("new", "not anchored yet");
    let size = archive.head().0;
    let bob = archive.clone().with_env("PAKIT_KEY", "//Bob");
    for (code, arguments, said) in [
        (2, &[one.as_str()][..], "no key"),
        (2, &[&one, &three, "--max-ranges", "1", "--dev"], "--max-ranges"),
        (3, &[&one, &new, "--dev"], "run pakit anchor --watch first"),
    ] {
        let complaint = archive.complaint(code, [&["forget", "--why", "a test"], arguments].concat());
        assert!(complaint.contains(said), "{complaint}");
    }
    let not_owner = bob.run(["forget", &one, "--why", "a test", "--dev"]).with_code(3);
    assert!(not_owner.stderr.contains("it belongs to"), "{}", not_owner.stderr);
    assert_eq!((archive.head().0, node.removed_range(dag, 0)), (size, None));

    // Anchored, all of it is declared, as two ranges.
    archive.anchor();
    let told = archive.objects(["forget", "--why", "a test", "--dev", &one, &new]);
    assert_eq!(told[1]["ranges"], json!([{"first": 1, "last": 1}, {"first": 4, "last": 4}]));
    let deposits: Balance = (0..2).map(|range| node.removed_range(dag, range).unwrap().deposit).sum();
    assert_eq!(text(&told[1], "deposit"), deposits.to_string());
    assert_eq!(node.removed_range(dag, 2), None);
}

/// Makes blocks until a process has ended.
fn with_blocks(node: &Node, mut running: Running) -> Done {
    while running.ended().is_none() {
        node.make_block();
        thread::sleep(10 * POLL);
    }
    running.wait()
}

#[test]
fn one_that_is_killed_drops_nothing_is_gone_on_with_and_declares_once() {
    let scratch = tempfile::tempdir().unwrap();
    // What is in a block is not final before the second one above it.
    let mut node = Node::start(&["--seal", "instant", "--finalize-after", "2"]);
    let archive = Pakit::new(scratch.path().join("archive"));
    archive.init();
    let block = archive.put("file", "what is to go");
    let url = node.url();
    let made = with_blocks(&node, archive.start(["--json", "dag", "create", "--dev", "--url", &url])).ok();
    let dag = u32::try_from(number(&made.object(), "dag")).unwrap();
    with_blocks(&node, archive.start(["anchor", "--watch", "--dev"])).ok();
    node.stake(dag, STAKE);
    node.make_block();
    node.make_block();

    let begun = archive.start(["forget", &block, "--why", "a test", "--dev"]);
    node.until("is it in a block", |node| declarations(node) == 1);
    begun.kill9();
    // It is forgotten, and its declaration is not final: it stays.
    let summary = archive.object(["gc"]);
    assert_eq!((&summary["dropped"], &summary["undeclared"]), (&json!(0), &json!(1)));
    archive.run(["get", &block]).ok();

    node.restart();
    let resumed = archive.start(["forget", "--resume", "--dev", "--json"]);
    let told = with_blocks(&node, resumed).ok().object();
    assert_eq!((&told["ranges"], &told["signed"]), (&json!([{"first": 1, "last": 1}]), &json!(0)));
    assert_eq!((declarations(&node), node.removed_range(dag, 1)), (1, None));
    assert_eq!(archive.object(["gc"])["dropped"], json!(0), "it is not in effect yet");
}
