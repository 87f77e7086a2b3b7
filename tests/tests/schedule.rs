//! `pakit serve` that anchors on a schedule, on a real chain.

#![allow(clippy::unwrap_used, missing_docs)]

use pakit_tests::{Node, Pakit, Service};

fn archive(folder: &tempfile::TempDir) -> Pakit {
    let archive = Pakit::new(folder.path().join("archive"));
    archive.init();
    archive
}

/// Blocks that the chain's head covers.
fn anchored(node: &Node) -> u64 {
    node.head(0).map_or(0, |(_, latest)| latest.head.size)
}

/// Each head that was anchored was paid for once.
#[track_caller]
fn assert_paid_once(node: &Node) {
    let mut sizes: Vec<u64> = node.anchor_extrinsics(0).iter().map(|head| head.size).collect();
    let paid = sizes.len();
    sizes.dedup();
    assert!(paid > 0 && sizes.len() == paid && sizes.is_sorted(), "{sizes:?}");
}

#[test]
fn a_service_anchors_what_was_added_when_its_time_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let (node, archive) = (Node::instant(), archive(&folder));
    archive.put("first", "first");
    archive.create_dag(&node.url());
    let service = Service::start(&archive, &["--dev", "--anchor-every", "1s"]);
    node.until("is it anchored at the beginning", |node| anchored(node) == 2);
    for content in ["second", "third"] {
        archive.put(content, content);
        let (size, root) = archive.head();
        node.until("is it anchored", |node| anchored(node) == size);
        assert_eq!(node.head(0).unwrap().1.head.root.to_string(), root);
    }
    service.until("is it counted", |service| service.metric("pakit_anchors_finalized_total") == 3);
    assert_eq!(service.metric("pakit_anchors_sent_total"), 3);
    assert_eq!(service.metric("pakit_blocks_finalized"), 4);
    assert_paid_once(&node);
}

#[test]
fn a_service_anchors_when_enough_was_added_though_its_time_has_not_come() {
    let folder = tempfile::tempdir().unwrap();
    let (node, archive) = (Node::instant(), archive(&folder));
    archive.create_dag(&node.url());
    archive.put("first", "first");
    let service = Service::start(&archive, &["--dev", "--anchor-every", "1d", "--anchor-blocks", "5"]);
    service.until("is it anchored at the beginning", |service| service.metric("pakit_anchors_finalized_total") == 1);
    for content in ["a", "b", "c", "d", "e"] {
        assert_eq!(anchored(&node), 2, "five were not added yet");
        archive.put(content, content);
    }
    node.until("is it anchored", |node| anchored(node) == 7);
    assert_paid_once(&node);
}

#[test]
fn a_service_that_was_killed_and_a_node_that_was_away_cost_no_head_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (mut node, archive) = (Node::instant(), archive(&folder));
    archive.create_dag(&node.url());
    let mut service = Service::start(&archive, &["--dev", "--anchor-every", "1s"]);
    for content in ["a", "b", "c"] {
        archive.put(content, content);
        let size = archive.head().0;
        // At some moment between the put and its finalization.
        service.restart();
        node.until("is it anchored", |node| anchored(node) == size);
    }
    node.kill9();
    archive.put("d", "d");
    service.until("is the failure counted or waited out", |service| {
        service.metric("pakit_anchor_failures_total") > 0 || service.said().contains("anchoring: ")
    });
    node.restart();
    node.until("is it anchored", |node| anchored(node) == 5);
    assert_paid_once(&node);
}
