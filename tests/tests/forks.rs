//! Reorganizations: the chain goes on with another branch than the one that an extrinsic stood in, 1, 2 and 10 blocks deep.
//! Nothing is called final before it is, what was lost is seen, comes back by whatever way, and is paid for once.
//!
//! The node makes no block by itself: each branch holds what its test says.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::anchor::{Outbox, OutboxRow, RowState};
use pakit_primitives::BlockHash;
use pakit_tests::{
    Node, POLL, Pakit, Service,
    chain::{ALICE, PakitCall, account},
    pakit::{number, text},
    process::Running,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};
use tempfile::TempDir;

/// How many blocks are left behind.
const DEPTHS: [usize; 3] = [1, 2, 10];

/// The shortest era that outlives the deepest fork.
const ERA: u64 = 16;

/// Blocks within which whatever waits in a pool has to be included: the pool may notice a fork a block late.
const BLOCKS_PATIENCE: usize = 3;

/// How often standard error says so.
fn times(running: &Running, said: &str) -> usize {
    running.stderr().matches(said).count()
}

/// Waits until standard error has said it so often.
fn until_times(running: &mut Running, said: &str, count: usize) {
    running.until(&format!("it said {count} times {said:?}"), |running| (times(running, said) >= count).then_some(()));
}

const IN_BLOCK: &str = ": in block";
const FELL_OUT: &str = "fell out of the best chain";

/// The rows of a repository's outbox, by nonce.
fn rows(pakit: &Pakit) -> Vec<OutboxRow> {
    let outbox = Outbox::open_to_read(&pakit.repository()).unwrap();
    let mut rows = outbox.newest_rows(offchain_store::sqlite::outbox::ROWS_MAX).unwrap();
    rows.sort_by_key(|row| (row.signed.nonce, row.id));
    rows
}

/// What is signed and in no finalized block, as the node's pool shows it, by nonce.
fn on_the_way(pakit: &Pakit) -> Vec<String> {
    let live = rows(pakit).into_iter().filter(|row| row.state.is_live());
    live.map(|row| format!("0x{}", hex::encode(row.signed.bytes))).collect()
}

/// How many extrinsics are in each state, of the states that any is in.
fn outbox(pakit: &Pakit) -> Value {
    let mut counts = pakit.object(["status"])["outbox"].take();
    counts.as_object_mut().unwrap().retain(|_, count| *count != 0);
    counts
}

/// Starts what is signed and sent, and waits until the node has it.
fn started(node: &Node, pakit: &Pakit, arguments: &[&str], call: &str) -> (Running, Vec<String>) {
    let mut running = pakit.start([arguments, &["--json", "--dev"]].concat());
    running.until_stderr(&format!("{call}: submitted"));
    let sent = on_the_way(pakit);
    // What comes before it may stand in a block.
    is_in_pool(node, &sent[sent.len() - 1..]);
    (running, sent)
}

fn is_in_pool(node: &Node, sent: &[String]) {
    node.until("it is in the pool", |node| {
        let pending = node.pending();
        sent.iter().all(|extrinsic| pending.contains(extrinsic))
    });
}

/// Makes blocks with what waits in the pool until the best chain holds so many signed extrinsics. The last block.
fn include(node: &Node, extrinsics: usize) -> String {
    for _ in 0..BLOCKS_PATIENCE {
        let block = node.make_block();
        if node.extrinsics().len() >= extrinsics {
            return block;
        }
    }
    panic!("not {extrinsics} extrinsics: {:?}, in the pool: {:?}", node.extrinsics(), node.pending());
}

/// Looks all the time whether a repository says that more blocks are finalized than may be.
struct Watchman {
    allowed: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    looks: Option<JoinHandle<u64>>,
}

impl Watchman {
    fn start(pakit: &Pakit, allowed: u64) -> Self {
        let outbox = Outbox::open_to_read(&pakit.repository()).unwrap();
        let (allowed, is_over) = (Arc::new(AtomicU64::new(allowed)), Arc::new(AtomicBool::new(false)));
        let (bound, stop) = (allowed.clone(), is_over.clone());
        let looks = thread::spawn(move || {
            let mut looks = 0;
            while !stop.load(Ordering::SeqCst) {
                let (_, finalized) = outbox.anchored_sizes().unwrap();
                // Read after: it only grows, and before the block is finalized that allows it.
                let bound = bound.load(Ordering::SeqCst);
                assert!(finalized <= bound, "{finalized} blocks are called finalized, {bound} may be");
                looks += 1;
                thread::sleep(POLL);
            }
            looks
        });
        Self { allowed, is_over, looks: Some(looks) }
    }

    /// To be called before the block is finalized.
    fn allow(&self, finalized: u64) {
        self.allowed.store(finalized, Ordering::SeqCst);
    }

    fn end(mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let looks = self.looks.take().unwrap().join().unwrap();
        assert!(looks > 0);
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

/// An archive with a DAG, on a chain that moves when it is told to.
struct Scene {
    node: Node,
    pakit: Pakit,
    /// The last finalized block, from which branches part.
    base: String,
    scratch: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let node = Node::manual();
        let pakit = Pakit::new(scratch.path().join("archive"));
        pakit.init();
        let url = node.url();
        let (creating, _) = started(&node, &pakit, &["dag", "create", "--url", &url], "create_dag of size 1");
        let base = include(&node, 1);
        node.finalize(&base);
        assert_eq!(number(&creating.wait().ok().object(), "dag"), 0);
        Self { node, pakit, base, scratch }
    }

    /// Puts a document, which makes a head of one block more. Its block, and the head's size.
    fn grow(&self) -> (String, u64) {
        let name = format!("document {}", self.pakit.head().0);
        let block = self.pakit.put(&name, &name);
        (block, self.pakit.head().0)
    }

    /// Starts to anchor the log's head, and gives all that is on its way with it.
    fn anchor(&self, size: u64) -> (Running, Vec<String>) {
        let call = format!("anchor of size {size}");
        started(&self.node, &self.pakit, &["anchor", "--watch", "--era", &ERA.to_string()], &call)
    }

    /// A branch on the base that is one block longer than what it leaves behind.
    fn overtake(&self, depth: usize, extrinsics: &[String]) -> Vec<String> {
        let winning = self.node.make_branch(&self.base, depth + 1, extrinsics);
        let best = self.node.ask("chain_getBlockHash", json!([]));
        assert_eq!(Some(&best), winning.last().map(|hash| json!(hash)).as_ref(), "the longer branch is the best chain");
        winning
    }

    /// What `pakit status` says of blocks that are anchored and finalized.
    fn says(&self, anchored: u64, finalized: u64) {
        let status = self.pakit.object(["status"]);
        assert_eq!((number(&status, "blocks_anchored"), number(&status, "blocks_finalized")), (anchored, finalized));
    }

    /// Finalizes a block, from which the next branches part.
    fn finalize(&mut self, block: &str) {
        self.node.finalize(block);
        block.clone_into(&mut self.base);
    }

    /// Finalizes what is best and compares the whole chain with the heads that have to be on it, each by one extrinsic,
    /// with the outbox, and with what was paid. `foreign` are Alice's extrinsics that this repository did not sign.
    fn check(&self, sizes: &[u64], foreign: &[String]) {
        let best = self.node.best();
        self.node.finalize(&self.node.block_hash(best));
        assert_eq!(self.node.finalized(), best);
        let anchored: Vec<u64> = self.node.anchor_extrinsics(0).iter().map(|head| head.size).collect();
        assert_eq!(anchored, sizes, "each head once, failed calls counted too");
        // Creation is the first anchor. The chain only counts calls that succeeded.
        assert_eq!(self.node.dag(0).unwrap().anchors, 1 + sizes.len() as u64, "an anchor failed");

        let alice = account(ALICE);
        let extrinsics: Vec<_> = self.node.extrinsics().into_iter().filter(|found| found.signer == alice).collect();
        let nonces: Vec<u32> = extrinsics.iter().map(|extrinsic| extrinsic.nonce).collect();
        assert_eq!(nonces, (0..).take(extrinsics.len()).collect::<Vec<u32>>());
        assert_eq!(self.node.runtime::<u32>("AccountNonceApi_account_nonce", alice) as usize, extrinsics.len());

        let is_foreign = |bytes: &[u8]| foreign.contains(&format!("0x{}", hex::encode(bytes)));
        let own: Vec<_> = extrinsics.iter().filter(|extrinsic| !is_foreign(&extrinsic.bytes)).collect();
        let settled: Vec<_> = rows(&self.pakit).into_iter().filter(|row| row.state == RowState::Finalized).collect();
        assert_eq!(settled.len(), own.len(), "the outbox and the chain disagree about what was paid for");
        for (row, extrinsic) in settled.iter().zip(own) {
            let place = row.placement.unwrap();
            assert_eq!(row.signed.bytes, extrinsic.bytes);
            assert_eq!((place.block_number, place.extrinsic_index as usize), (extrinsic.block_number, extrinsic.index));
            assert_eq!(place.block_hash.to_string(), self.node.block_hash(place.block_number));
        }

        let paying: BTreeSet<u64> = extrinsics.iter().map(|extrinsic| extrinsic.block_number).collect();
        for block in 1..=best {
            let wealth = |number| self.node.wealth_of_alice(&self.node.block_hash(number));
            let paid = wealth(block - 1) - wealth(block);
            assert_eq!(paid > 0, paying.contains(&block), "block {block}: {paid}");
        }
    }
}

#[test]
fn an_anchor_that_comes_back_from_the_pool_is_seen_to_fall_out_and_paid_for_once() {
    let mut scene = Scene::new();
    let mut sizes = Vec::new();
    for depth in DEPTHS {
        let (_, size) = scene.grow();
        sizes.push(size);
        let watchman = Watchman::start(&scene.pakit, size - 1);
        let (mut anchoring, sent) = scene.anchor(size);
        let losing = scene.node.make_branch(&scene.base, depth, &sent);
        until_times(&mut anchoring, IN_BLOCK, 1);
        scene.says(size, size - 1);

        let winning = scene.overtake(depth, &[]);
        until_times(&mut anchoring, FELL_OUT, 1);
        scene.says(size - 1, size - 1);
        is_in_pool(&scene.node, &sent);
        let block = include(&scene.node, 1 + sizes.len());
        until_times(&mut anchoring, IN_BLOCK, 2);
        scene.says(size, size - 1);

        // The blocks below become final, and it is still not.
        scene.finalize(winning.last().unwrap());
        scene.says(size, size - 1);
        assert!(anchoring.ended().is_none());
        watchman.allow(size);
        scene.finalize(&block);
        let anchored = anchoring.wait().ok().object();
        assert_eq!((&anchored["status"], &anchored["block_hash"]), (&json!("finalized"), &json!(block)));
        assert!(!losing.contains(&block) && !winning.contains(&block));
        scene.says(size, size);
        watchman.end();
    }
    scene.check(&sizes, &[]);
}

#[test]
fn an_anchor_that_the_node_forgot_is_sent_again_by_the_next_run_after_a_kill() {
    let mut scene = Scene::new();
    let mut sizes = Vec::new();
    for depth in DEPTHS {
        let (_, size) = scene.grow();
        sizes.push(size);
        let watchman = Watchman::start(&scene.pakit, size - 1);
        let (mut anchoring, sent) = scene.anchor(size);
        scene.node.make_branch(&scene.base, depth, &sent);
        until_times(&mut anchoring, IN_BLOCK, 1);
        assert_eq!(anchoring.kill9().signal, Some(9));
        scene.overtake(depth, &[]);
        scene.node.restart();
        assert!(scene.node.pending().is_empty());
        // Nobody has looked since: what was last seen, and no more.
        scene.says(size, size - 1);

        let mut anchoring = scene.pakit.start(["anchor", "--watch", "--dev"]);
        until_times(&mut anchoring, FELL_OUT, 1);
        assert_eq!(anchoring.kill9().signal, Some(9));
        scene.says(size - 1, size - 1);
        let anchoring = scene.pakit.start(["anchor", "--watch", "--dev", "--json"]);
        is_in_pool(&scene.node, &sent);
        assert_eq!(scene.node.pending(), sent, "the same bytes");
        let block = include(&scene.node, 1 + sizes.len());
        watchman.allow(size);
        scene.finalize(&block);
        let anchored = anchoring.wait().ok().object();
        assert_eq!((&anchored["status"], &anchored["block_hash"]), (&json!("finalized"), &json!(block)));
        watchman.end();
    }
    scene.check(&sizes, &[]);
}

#[test]
fn several_anchors_in_flight_fall_out_together_and_come_back_in_their_order() {
    let mut scene = Scene::new();
    let mut sizes = Vec::new();
    for depth in DEPTHS {
        // Two in the losing branch, its first block and its last; the third in the pool alone.
        for _ in 0..2 {
            let (_, size) = scene.grow();
            sizes.push(size);
            assert_eq!(scene.anchor(size).0.kill9().signal, Some(9));
        }
        let (_, size) = scene.grow();
        sizes.push(size);
        let watchman = Watchman::start(&scene.pakit, size - 3);
        let (mut anchoring, sent) = scene.anchor(size);
        assert_eq!(sent.len(), 3);
        is_in_pool(&scene.node, &sent);
        if depth == 1 {
            scene.node.make_branch(&scene.base, 1, &sent[..2]);
        } else {
            let below = scene.node.make_branch(&scene.base, depth - 1, &sent[..1]);
            scene.node.make_branch(below.last().unwrap(), 1, &sent[1..2]);
        }
        until_times(&mut anchoring, IN_BLOCK, 2);
        scene.says(size - 1, size - 3);

        scene.overtake(depth, &[]);
        until_times(&mut anchoring, FELL_OUT, 2);
        scene.says(size - 3, size - 3);
        is_in_pool(&scene.node, &sent);
        let block = include(&scene.node, 1 + sizes.len());
        until_times(&mut anchoring, IN_BLOCK, 5);
        watchman.allow(size);
        scene.finalize(&block);
        assert_eq!(text(&anchoring.wait().ok().object(), "status"), "finalized");
        watchman.end();
    }
    scene.check(&sizes, &[]);
    assert_eq!(outbox(&scene.pakit), json!({"finalized": 1 + sizes.len()}));
}

#[test]
fn a_fork_above_the_first_of_two_anchors_leaves_that_one_where_it_is() {
    let mut scene = Scene::new();
    let (_, first) = scene.grow();
    assert_eq!(scene.anchor(first).0.kill9().signal, Some(9));
    let (_, second) = scene.grow();
    let (mut anchoring, sent) = scene.anchor(second);
    let common = scene.node.make_branch(&scene.base, 1, &sent[..1]).remove(0);
    scene.node.make_branch(&common, 2, &sent[1..]);
    until_times(&mut anchoring, IN_BLOCK, 2);
    scene.node.make_branch(&common, 3, &[]);
    until_times(&mut anchoring, FELL_OUT, 1);
    scene.says(first, 1);
    let block = include(&scene.node, 3);
    until_times(&mut anchoring, IN_BLOCK, 3);
    assert_eq!(times(&anchoring, FELL_OUT), 1);
    scene.finalize(&block);
    anchoring.wait().ok();
    scene.check(&[first, second], &[]);
}

#[test]
fn finality_may_choose_the_shorter_branch() {
    let mut scene = Scene::new();
    let (_, size) = scene.grow();
    let watchman = Watchman::start(&scene.pakit, size - 1);
    let (mut anchoring, sent) = scene.anchor(size);
    let longer = scene.node.make_branch(&scene.base, 10, &sent);
    until_times(&mut anchoring, IN_BLOCK, 1);
    let shorter = scene.node.make_branch(&scene.base, 2, &[]);
    assert_eq!(scene.node.ask("chain_getBlockHash", json!([])), json!(longer[9]));
    scene.finalize(&shorter[1]);
    assert_eq!(scene.node.ask("chain_getBlockHash", json!([])), json!(shorter[1]), "the best chain is shorter now");
    until_times(&mut anchoring, FELL_OUT, 1);
    scene.says(size - 1, size - 1);
    let block = include(&scene.node, 2);
    watchman.allow(size);
    scene.finalize(&block);
    assert_eq!(text(&anchoring.wait().ok().object(), "block_hash"), block);
    watchman.end();
    scene.check(&[size], &[]);
}

#[test]
fn what_was_signed_on_a_losing_branch_is_born_in_a_finalized_block_and_valid_on_every_other() {
    let mut scene = Scene::new();
    let losing = scene.node.make_branch(&scene.base, 10, &[]);
    let (_, size) = scene.grow();
    let (anchoring, sent) = scene.anchor(size);
    let live = rows(&scene.pakit).into_iter().find(|row| row.state.is_live()).unwrap();
    assert_eq!(live.signed.era.birth, scene.node.finalized());
    assert_eq!(live.signed.era.birth_hash.to_string(), scene.base);
    assert_eq!(scene.node.best(), live.signed.era.birth + losing.len() as u64);
    // Were it born in the branch that it was signed on, no block of this one could hold it.
    let winning = scene.overtake(10, &sent);
    scene.finalize(&winning[0]);
    assert_eq!(text(&anchoring.wait().ok().object(), "block_hash"), winning[0]);
    scene.check(&[size], &[]);
}

/// An anchor that somebody signed with the same key from a copy of the archive, in no block and in no pool.
fn signed_elsewhere(scene: &mut Scene, size: u64) -> String {
    let elsewhere = scene.pakit.copy_to(&scene.scratch.path().join("elsewhere"));
    let call = format!("anchor of size {size}");
    let (running, sent) = started(&scene.node, &elsewhere, &["anchor", "--watch"], &call);
    running.kill9();
    scene.node.restart();
    assert!(scene.node.pending().is_empty());
    assert_eq!(sent.len(), 1);
    sent.into_iter().next().unwrap()
}

#[test]
fn a_head_that_was_anchored_from_elsewhere_in_the_winning_branch_is_not_paid_for_again() {
    let mut scene = Scene::new();
    let (_, size) = scene.grow();
    let theirs = signed_elsewhere(&mut scene, size);
    let (mut anchoring, ours) = scene.anchor(size);
    scene.node.make_branch(&scene.base, 2, &ours);
    until_times(&mut anchoring, IN_BLOCK, 1);
    let winning = scene.overtake(2, std::slice::from_ref(&theirs));
    until_times(&mut anchoring, FELL_OUT, 1);
    scene.says(size - 1, size - 1);
    scene.finalize(winning.last().unwrap());
    let anchored = anchoring.wait().ok().object();
    assert_eq!((number(&anchored, "size"), text(&anchored, "status")), (size, "finalized".to_owned()));
    assert_eq!(anchored["block_number"], json!(scene.node.extrinsics()[1].block_number));
    scene.says(size, size);
    assert_eq!(outbox(&scene.pakit), json!({"finalized": 1, "submitted": 1}), "it took the nonce, no block took ours");

    // Ours is dead once its era is over; then the next head is signed.
    let (_, next) = scene.grow();
    let anchoring = scene.pakit.start(["anchor", "--watch", "--dev", "--json"]);
    let over = scene.node.make_branch(&scene.base, ERA as usize, &[]);
    scene.finalize(over.last().unwrap());
    scene.node.until("the next is in the pool", |node| !node.pending().is_empty());
    let block = include(&scene.node, 3);
    scene.finalize(&block);
    anchoring.wait().ok();
    assert_eq!(outbox(&scene.pakit), json!({"finalized": 2, "expired": 1}));
    scene.check(&[size, next], &[theirs]);
}

/// Another anchor of the DAG stands in the winning branch, which ours does not extend and whose nonce it leaves to ours:
/// the only thing that ours could do there is to fail. Theirs, ours, and the process that anchors.
fn overtaken(scene: &mut Scene, depth: usize) -> (String, Vec<String>, Running) {
    let (_, size) = scene.grow();
    let theirs = signed_elsewhere(scene, size);
    // Something else has the first nonce, so that ours is signed with the second.
    let other = Pakit::new(scene.scratch.path().join("other"));
    other.init();
    let url = scene.node.url();
    let (creating, first) = started(&scene.node, &other, &["dag", "create", "--url", &url], "create_dag of size 1");
    creating.kill9();
    let (_, next) = scene.grow();
    let (mut anchoring, ours) = scene.anchor(next);
    assert_eq!(rows(&scene.pakit).last().unwrap().signed.nonce, 2);
    scene.node.make_branch(&scene.base, depth, &[first, ours.clone()].concat());
    until_times(&mut anchoring, IN_BLOCK, 1);
    scene.overtake(depth, std::slice::from_ref(&theirs));
    until_times(&mut anchoring, FELL_OUT, 1);
    scene.says(size - 1, size - 1);
    (theirs, ours, anchoring)
}

#[test]
fn an_anchor_that_could_only_fail_in_the_winning_branch_is_not_sent_again() {
    for depth in DEPTHS {
        let mut scene = Scene::new();
        let (theirs, _, anchoring) = overtaken(&mut scene, depth);
        assert_eq!(anchoring.kill9().signal, Some(9));
        scene.node.restart();
        let mut anchoring = scene.pakit.start(["anchor", "--watch", "--dev", "--json"]);
        anchoring.until_stderr("not sent again, another anchor stands");
        // While its era lasts, a block could hold it if it were sent.
        let era_left = ERA as usize - depth - 1;
        for _ in 0..era_left {
            let block = scene.node.make_block();
            scene.finalize(&block);
        }
        assert_eq!(scene.node.extrinsics().len(), 2, "it was never sent");
        anchoring.until_stderr("anchor of size 3: submitted");
        let block = include(&scene.node, 3);
        scene.finalize(&block);
        assert_eq!(text(&anchoring.wait().ok().object(), "block_hash"), block);
        assert_eq!(outbox(&scene.pakit), json!({"finalized": 2, "expired": 1}));
        scene.check(&[2, 3], &[theirs]);
    }
}

#[test]
fn an_anchor_that_the_pool_carries_into_a_branch_where_it_fails_is_told_and_signed_anew() {
    let mut scene = Scene::new();
    let (_, ours, anchoring) = overtaken(&mut scene, 2);
    is_in_pool(&scene.node, &ours);
    let block = include(&scene.node, 3);
    let told = anchoring.wait().with_code(3);
    assert!(told.stderr.contains("the call anchor failed in block"), "{}", told.stderr);
    scene.says(1, 1);
    scene.finalize(&block);
    let told = scene.pakit.complaint(3, ["anchor", "--watch", "--dev"]);
    assert!(told.contains("the call anchor failed in block"), "{told}");
    assert_eq!(outbox(&scene.pakit), json!({"finalized": 1, "failed": 1}));

    let (anchoring, _) = scene.anchor(3);
    let block = include(&scene.node, 4);
    scene.finalize(&block);
    anchoring.wait().ok();
    let sizes: Vec<u64> = scene.node.anchor_extrinsics(0).iter().map(|head| head.size).collect();
    assert_eq!(sizes, [2, 3, 3], "theirs, the one that the pool carried there, and the one that succeeded");
    assert_eq!(scene.node.dag(0).unwrap().anchors, 3);
    assert_eq!(outbox(&scene.pakit), json!({"finalized": 2, "failed": 1}));
}

#[test]
fn a_creation_that_falls_out_binds_the_dag_that_the_winning_branch_made() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::manual();
    let url = node.url();
    let mut base = node.genesis();
    for (round, depth) in (0..).zip(DEPTHS) {
        let ours = Pakit::new(scratch.path().join(format!("ours {depth}")));
        let theirs = Pakit::new(scratch.path().join(format!("theirs {depth}"))).with_env("PAKIT_KEY", "//Bob");
        let create = ["dag", "create", "--url", &url];
        let start = |pakit: &Pakit| {
            pakit.init();
            started(&node, pakit, &create, "create_dag of size 1")
        };
        let ((mut creating, own), (others, foreign)) = (start(&ours), start(&theirs));
        assert!(node.dag(2 * round).is_none(), "the next DAG gets this number");
        node.make_branch(&base, depth, &own);
        until_times(&mut creating, IN_BLOCK, 1);
        assert_eq!(ours.object(["status"])["dag"], json!(null), "a number that may become another's");
        // Killed in the losing branch, every other time; a fork later the next run finds out.
        if depth == 2 {
            assert_eq!(creating.kill9().signal, Some(9));
            creating = ours.start(["dag", "create", "--url", &url, "--dev", "--json"]);
        }
        node.make_branch(&base, depth + 1, &foreign);
        until_times(&mut creating, FELL_OUT, 1);
        let block = include(&node, 2 * (round as usize + 1));
        assert_eq!(ours.object(["status"])["dag"], json!(null));
        node.finalize(&block);
        assert_eq!(number(&creating.wait().ok().object(), "dag"), u64::from(2 * round + 1));
        assert_eq!(number(&others.wait().ok().object(), "dag"), u64::from(2 * round));
        assert_eq!(outbox(&ours), json!({"finalized": 1}));
        base = block;
    }
    let creations = node.extrinsics();
    assert!(creations.iter().all(|extrinsic| extrinsic.call == Some(PakitCall::CreateDag)));
    assert_eq!(creations.len(), 2 * DEPTHS.len());
    assert!(node.dag(creations.len() as u32).is_none());
}

#[test]
fn a_record_and_the_anchor_below_it_fall_out_together_and_are_both_paid_for_once() {
    let mut scene = Scene::new();
    let mut sizes = Vec::new();
    for (round, depth) in (1..).zip(DEPTHS) {
        let (block, size) = scene.grow();
        sizes.push(size);
        let (mut anchoring, sent) = scene.anchor(size);
        let below = scene.node.make_branch(&scene.base, 1, &sent);
        until_times(&mut anchoring, IN_BLOCK, 1);
        anchoring.kill9();
        // The record is proved against an anchor that is not final.
        let record = ["record", &block, "--watch"];
        let (mut recording, sent) =
            started(&scene.node, &scene.pakit, &record, &format!("record_proof of size {size}"));
        scene.node.make_branch(&below[0], depth, &sent[1..]);
        until_times(&mut recording, IN_BLOCK, 1);
        assert_eq!(outbox(&scene.pakit)["in_block"], json!(2));

        scene.overtake(1 + depth, &[]);
        until_times(&mut recording, FELL_OUT, 2);
        is_in_pool(&scene.node, &sent);
        let included = include(&scene.node, 1 + 2 * round);
        assert!(recording.ended().is_none(), "recorded, and not final");
        scene.finalize(&included);
        let recorded = recording.wait().ok().object();
        assert_eq!(text(&recorded, "status"), "finalized");
        let hash: [u8; 32] = hex::decode(block.trim_start_matches("0x")).unwrap().try_into().unwrap();
        let record = scene.node.record(0, BlockHash::new(hash), account(ALICE)).unwrap();
        assert_eq!(record.size, size);
    }
    scene.check(&sizes, &[]);
    let records = scene.node.extrinsics().into_iter();
    let records = records.filter(|extrinsic| extrinsic.call == Some(PakitCall::RecordProof { dag: 0 })).count();
    assert_eq!(records, DEPTHS.len());
}

#[test]
fn a_node_that_takes_back_a_finalized_block_is_refused_by_name_and_nothing_is_sent_to_it() {
    let mut scene = Scene::new();
    let earlier = scene.node.save();
    let (_, size) = scene.grow();
    let (mut anchoring, sent) = scene.anchor(size);
    let final_blocks = scene.node.make_branch(&scene.base, 2, &[]);
    scene.node.finalize(&final_blocks[1]);
    // That it is seen in a block shows that what was finalized before was seen too.
    scene.node.make_branch(&final_blocks[1], 1, &sent);
    until_times(&mut anchoring, IN_BLOCK, 1);

    // Another chain at the same place, with all that the repository has written down of this one: the same DAG.
    let kept = scene.node.exchange(earlier);
    anchoring.until_stderr("has not reached a block yet that this repository saw finalized");
    let other = scene.node.make_branch(&scene.base, 5, &[]);
    scene.node.finalize(&other[4]);
    let refused = anchoring.wait().with_code(3);
    assert!(refused.stderr.contains("another history"), "{}", refused.stderr);
    assert!(scene.node.pending().is_empty());

    // On the chain that it was on before, it goes on.
    let earlier = scene.node.exchange(kept);
    scene.base = scene.node.block_hash(scene.node.finalized());
    let anchoring = scene.pakit.start(["anchor", "--watch", "--dev", "--json"]);
    let block = scene.node.block_hash(scene.node.best());
    scene.finalize(&block);
    assert_eq!(text(&anchoring.wait().ok().object(), "block_hash"), block);
    scene.check(&[size], &[]);

    // What was settled is in the outbox, for every later run.
    let (_, next) = scene.grow();
    let _kept = scene.node.exchange(earlier);
    let refused = scene.pakit.complaint(3, ["anchor", "--watch", "--dev"]);
    assert!(refused.contains("another history"), "{refused}");
    assert_eq!(number(&scene.pakit.object(["status"]), "blocks_finalized"), next - 1);
    assert!(scene.node.pending().is_empty());
}

#[test]
fn a_service_that_anchors_on_a_schedule_goes_through_a_fork() {
    let mut scene = Scene::new();
    let (_, size) = scene.grow();
    let service = Service::start(&scene.pakit, &["--dev", "--anchor-blocks", "1"]);
    let status = || -> (u64, u64) {
        let status: Value = serde_json::from_str(&service.get("/v1/status")).unwrap();
        (number(&status, "blocks_anchored"), number(&status, "blocks_finalized"))
    };
    scene.node.until("the anchor is in the pool", |node| !node.pending().is_empty());
    let sent = on_the_way(&scene.pakit);
    scene.node.make_branch(&scene.base, 2, &sent);
    scene.node.until("it is seen in a block", |_| status() == (size, size - 1));
    scene.overtake(2, &[]);
    scene.node.until("it is seen to fall out", |_| status() == (size - 1, size - 1));
    is_in_pool(&scene.node, &sent);
    let block = include(&scene.node, 2);
    scene.node.until("it is seen in another block", |_| status() == (size, size - 1));
    assert_eq!(service.metric("pakit_anchors_finalized_total"), 0);
    scene.finalize(&block);
    service.until("is it finalized", |service| service.metric("pakit_anchors_finalized_total") == 1);
    assert_eq!((status(), service.metric("pakit_anchor_failures_total")), ((size, size), 0));
    scene.check(&[size], &[]);
}
