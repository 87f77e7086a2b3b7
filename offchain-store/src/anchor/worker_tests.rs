#![allow(clippy::unwrap_used)]

//! The worker and a real outbox against whole histories of a chain that forks, with several anchors in flight, somebody else
//! who anchors too, a node that forgets its pool, and kills. [`super::super::outbox`] has the decision alone against more.

use super::*;
use crate::{
    Config, InitOptions, StorageEngine,
    anchor::{
        chain_model::{Chain, DAG, Node, genesis_hash},
        stake::{StakeStanding, standing},
    },
    sqlite::{
        Options, SqliteBackend,
        outbox::{
            ids::ExtrinsicHash,
            rows::{Era, NewRow, SignedExtrinsic},
        },
    },
};
use pakit_primitives::Head;
use proptest::prelude::*;
use std::{ops::RangeInclusive, sync::OnceLock};

/// Size of the log.
const BLOCKS: u64 = 12;
/// A short era, so that what a node forgets may expire within a history.
const PERIOD: u64 = 16;
/// Looks within which everything has to come to its end in quiet times: some eras.
const QUIET_LOOKS_MAX: usize = 200;

struct Log {
    _folder: tempfile::TempDir,
    engine: StorageEngine,
}

/// One log for all histories; nobody writes to it.
fn log() -> &'static StorageEngine {
    static LOG: OnceLock<Log> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) =
            StorageEngine::init(&folder.path().join("log"), &InitOptions::default(), Config::default()).unwrap();
        for number in 1..BLOCKS {
            engine.store(std::io::Cursor::new(number.to_le_bytes()), None).unwrap();
        }
        assert_eq!(engine.head().unwrap().size, BLOCKS);
        Log { _folder: folder, engine }
    });
    &log.engine
}

fn head(size: u64) -> Head {
    log().log().head_at(size).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_secret_uri("//Alice", true).unwrap()
}

/// What may happen between two looks.
#[derive(Clone, Debug)]
enum Event {
    /// Blocks, with what waits in the pool or empty.
    Blocks { count: usize, is_full: bool },
    /// Another branch, longer by one: what the last blocks held is back in the pool or forgotten.
    Fork { depth: usize, is_kept: bool },
    /// The same, but the branch that wins begins with somebody else's anchor.
    ForeignFork { depth: usize, is_kept: bool },
    /// Blocks become final.
    Finalize { blocks: u64 },
    /// The node loses its pool.
    Forget,
    /// The log grows: another head is to be anchored.
    Grow,
    /// The program looks and acts.
    Look,
    /// The program is killed and started again.
    Kill,
}

fn event(is_alone: bool) -> impl Strategy<Value = Event> {
    let fork = (1usize..11, any::<bool>());
    prop_oneof![
        3 => (1usize..4, any::<bool>()).prop_map(|(count, is_full)| Event::Blocks { count, is_full }),
        3 => fork.prop_map(move |(depth, is_kept)| {
            // A pool carries an anchor into a branch where it can only fail, for which the program can do nothing.
            if is_alone { Event::Fork { depth, is_kept } } else { Event::ForeignFork { depth, is_kept: false } }
        }),
        2 => (1u64..6).prop_map(|blocks| Event::Finalize { blocks }),
        1 => Just(Event::Forget),
        2 => Just(Event::Grow),
        8 => Just(Event::Look),
        1 => Just(Event::Kill),
    ]
}

/// A repository that is bound to the chain's DAG, and the program over it.
struct World {
    node: Node,
    folder: tempfile::TempDir,
    worker: Option<AnchorWorker<Node>>,
    key: SigningKey,
    target: u64,
    /// What is to be declared removed, where that is what the program is run for.
    declares: Option<Vec<RangeInclusive<u64>>>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let (folder, key) = (tempfile::tempdir().unwrap(), key());
        let genesis = prepare::genesis(log().backend().as_ref()).unwrap().block_hash();
        let node = Node::new(Chain::new(key.account(), genesis));
        drop(SqliteBackend::create(&folder.path().join("repository"), &Options::default()).unwrap());
        let mut world = Self {
            node,
            folder,
            worker: None,
            key,
            target: 2,
            declares: None,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        };
        world.bind();
        world.start();
        world
    }

    /// As if the program had created the DAG.
    fn bind(&self) {
        let outbox = Outbox::open(&self.folder.path().join("repository")).unwrap();
        let signed = SignedExtrinsic {
            bytes: b"creation".to_vec(),
            hash: ExtrinsicHash::new([0xcc; 32]),
            signer: self.key.account(),
            nonce: 0,
            era: Era { birth: 0, birth_hash: genesis_hash(), period: PERIOD },
        };
        let purpose = Purpose::CreateDag { head: head(1), predecessor: None };
        let row = outbox.prepare(&NewRow { chain: genesis_hash(), purpose, signed }).unwrap();
        let block = self.node.chain().block_at(1).unwrap();
        let at = Placement { block_number: block.number, block_hash: block.hash, extrinsic_index: 0 };
        let new = NewBinding {
            chain: genesis_hash(),
            dag: DAG,
            owner: self.key.account(),
            predecessor: None,
            url: "ws://model".to_owned(),
        };
        outbox.bind(row.id, &at, &new).unwrap();
    }

    fn start(&mut self) {
        // The lock is let go of first.
        self.worker = None;
        let config = AnchorConfig {
            era_period_blocks: PERIOD,
            retry_delay_min: Duration::ZERO,
            retry_delay_max: Duration::ZERO,
            resend_delay: Duration::ZERO,
            ..AnchorConfig::default()
        };
        let (folder, backend) = (self.folder.path().join("repository"), log().backend().clone());
        self.worker = Some(AnchorWorker::open(&folder, backend, self.node.clone(), config).unwrap());
    }

    /// One look. Whether the target is anchored and final.
    fn look(&mut self) -> Result<bool, AnchorError> {
        let worker = self.worker.as_mut().unwrap();
        if let Some(declares) = &self.declares {
            let leaves = declares.iter().cloned().collect();
            let receipt = self.runtime.block_on(worker.step(&mut DeclareRemoved::new(&self.key, &leaves), &mut |_| {}));
            return Ok(receipt?.is_some());
        }
        let target = head(self.target);
        let mut goal = AnchorHead { key: &self.key, target, until: Until::Finalized, is_first_look: true };
        worker.failed.clear();
        let receipt = self.runtime.block_on(worker.step(&mut goal, &mut |_| {}));
        self.check_rows();
        Ok(receipt?.is_some())
    }

    /// What the outbox calls settled, or in a block, is so.
    fn check_rows(&self) {
        let chain = self.node.chain();
        let outbox = self.worker.as_ref().unwrap().outbox();
        for row in outbox.newest_rows(u32::MAX).unwrap() {
            let Some(place) = row.placement else { continue };
            let block = chain.block_at(place.block_number).unwrap();
            assert_eq!(block.hash, place.block_hash, "{row:?}");
            let is_final = place.block_number <= chain.ends().finalized.number;
            assert_eq!(is_final, !row.state.is_live(), "{row:?}");
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Blocks { count, is_full } => {
                (0..*count).for_each(|_| self.node.chain().add_block(*is_full));
            }
            Event::Fork { depth, is_kept } => {
                let mut chain = self.node.chain();
                let before = chain.ends().best.number;
                chain.leave_behind(*depth, *is_kept);
                while chain.ends().best.number <= before {
                    chain.add_block(false);
                }
            }
            Event::ForeignFork { depth, is_kept } => {
                let mut chain = self.node.chain();
                let before = chain.ends().best.number;
                chain.leave_behind(*depth, *is_kept);
                chain.forget_pool();
                let latest = chain.latest();
                if latest.size < self.target {
                    let (call, _) =
                        prepare::anchor_call(log().backend().as_ref(), DAG, latest, latest.size + 1).unwrap();
                    chain.add_foreign_anchor(call);
                }
                while chain.ends().best.number <= before {
                    chain.add_block(false);
                }
            }
            Event::Finalize { blocks } => self.node.chain().finalize(*blocks),
            Event::Forget => self.node.chain().forget_pool(),
            Event::Grow => match &mut self.declares {
                Some(declares) => {
                    let last = declares.last().map_or(0, |leaves| *leaves.end());
                    declares.extend((last + 3 < BLOCKS).then(|| last + 2..=last + 3));
                }
                None => self.target = (self.target + 1).min(BLOCKS),
            },
            // What stands in the way of a look is told to the user, who runs the program again.
            Event::Look => drop(self.look()),
            Event::Kill => self.start(),
        }
    }

    /// Everything comes to its end when nothing happens any more.
    fn end(&mut self) {
        for _ in 0..QUIET_LOOKS_MAX {
            let is_done = self.look();
            if matches!(is_done, Ok(true)) {
                return;
            }
            let mut chain = self.node.chain();
            chain.add_block(true);
            chain.finalize(u64::MAX >> 1);
        }
        let last = self.look();
        panic!("size {} is not anchored: {last:?}", self.target);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_forks_each_head_is_paid_for_once_and_the_last_one_is_anchored(
        events in prop::collection::vec(event(true), 1..60)
    ) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        world.end();
        let paid = world.node.chain().paid();
        prop_assert!(paid.iter().all(|(_, is_success)| *is_success), "{:?}", paid);
        prop_assert!(paid.is_sorted_by(|(one, _), (next, _)| one.size < next.size), "{:?}", paid);
        prop_assert_eq!(paid.last().map(|(head, _)| *head), Some(head(world.target)));
    }

    /// The node asserts that nothing is sent that could only fail on top of its best block.
    #[test]
    fn whoever_else_anchors_in_the_branch_that_wins_nothing_is_sent_that_can_only_fail(
        events in prop::collection::vec(event(false), 1..60)
    ) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        world.end();
        let latest = world.node.chain().latest();
        prop_assert!(latest.size >= world.target);
        prop_assert_eq!(latest, head(latest.size));
    }
}

/// A world whose log is anchored to its end, with a stake behind its DAG.
fn staked() -> World {
    let mut world = World::new();
    world.target = BLOCKS;
    world.end();
    world.node.chain().is_staked = true;
    world.declares = Some(vec![1..=2]);
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_forks_each_removal_is_declared_once(events in prop::collection::vec(event(true), 1..60)) {
        let mut world = staked();
        for event in &events {
            world.happen(event);
        }
        world.end();
        let mut declared: Vec<_> = world.node.chain().declared().into_iter().map(|range| range.leaves).collect();
        declared.sort_unstable_by_key(|leaves| *leaves.start());
        prop_assert_eq!(Some(declared), world.declares.clone());
        prop_assert!(world.worker.as_ref().unwrap().outbox().declaring().unwrap().is_empty());
    }
}

#[test]
fn what_was_signed_before_a_kill_is_sent_again_and_nothing_else_is_signed() {
    let mut world = staked();
    assert!(!world.look().unwrap());
    let signed = world.worker.as_ref().unwrap().outbox().declaring().unwrap();
    assert_eq!(signed.len(), 1);
    world.node.chain().forget_pool();
    world.start();
    assert!(!world.look().unwrap());
    assert_eq!(world.worker.as_ref().unwrap().outbox().declaring().unwrap(), signed);
    world.end();
    assert_eq!(world.node.chain().declared().len(), 1);
}

#[test]
fn a_removal_is_declared_by_the_owner_of_a_staked_dag_for_leaves_that_are_anchored() {
    let mut world = staked();
    world.declares = Some(vec![3..=BLOCKS]);
    let refused = world.look().unwrap_err();
    assert!(matches!(refused, AnchorError::NotAnchoredYet { leaf_index: BLOCKS, size: BLOCKS, .. }), "{refused}");
    world.declares = Some(vec![3..=4]);
    world.key = SigningKey::from_secret_uri("//Bob", true).unwrap();
    let refused = world.look().unwrap_err();
    assert!(matches!(refused, AnchorError::NotOwner { .. }), "{refused}");
    world.node.chain().is_staked = false;
    assert!(world.look().unwrap(), "nothing is to be declared where there is no stake");
    assert!(world.worker.as_ref().unwrap().outbox().declaring().unwrap().is_empty());
    assert!(world.node.chain().declared().is_empty());
}

#[test]
fn contents_go_when_no_round_can_ask_for_them_any_more() {
    let mut world = staked();
    world.end();
    let (backend, folder) = (log().backend(), world.folder.path().join("repository"));
    let outbox = Outbox::open_to_read(&folder).unwrap();
    let binding = outbox.current_binding().unwrap().unwrap();
    let look = |node: &Node| {
        let asked = standing(node, &outbox, backend.as_ref(), &binding);
        world.runtime.block_on(asked).unwrap().unwrap()
    };
    let effective_at = world.node.chain().declared()[0].effective_at;
    loop {
        let standing = look(&world.node);
        let is_over = standing.at.number >= effective_at;
        assert_eq!(standing.in_effect().is_empty(), !is_over);
        assert_eq!(standing.awaited_block(), (!is_over).then_some(effective_at));
        assert!(standing.declared().covers(&(1..=2)));
        if is_over {
            // A round that was frozen before goes on, and has to be shown everything.
            let during = |frozen_at| StakeStanding { frozen_at: Some(frozen_at), ..standing.clone() };
            assert!(during(effective_at - 1).in_effect().is_empty());
            assert_eq!(during(effective_at - 1).awaited_block(), Some(effective_at));
            assert_eq!(during(effective_at).in_effect(), standing.declared());
            return;
        }
        world.node.chain().add_block(false);
        world.node.chain().finalize(1);
    }
}

/// The node asserts that nothing is sent that could only fail.
#[test]
fn an_anchor_waits_for_the_one_that_it_builds_on_when_a_nonce_below_that_is_open() {
    let mut world = World::new();
    let foreign = Event::ForeignFork { depth: 1, is_kept: false };
    let signed = [Event::Blocks { count: 1, is_full: false }, Event::Look, Event::Finalize { blocks: 1 }, Event::Grow];
    signed.iter().chain(&[Event::Look, foreign, Event::Grow]).for_each(|event| world.happen(event));
    world.end();
    assert_eq!(world.node.chain().latest(), head(world.target));
}

#[test]
fn a_node_that_takes_back_a_finalized_block_is_refused_by_name_within_a_run() {
    let mut world = World::new();
    let earlier = world.node.chain().ends().finalized;
    assert!(!world.look().unwrap());
    for _ in 0..3 {
        world.node.chain().add_block(false);
    }
    world.node.chain().finalize(3);
    assert!(!world.look().unwrap());
    // Nothing was settled: what was finalized is known to this run alone.
    world.node.chain().revert_to(earlier.number);
    let lagging = world.look().unwrap_err();
    assert!(matches!(lagging, AnchorError::Chain(ChainError::Inconsistent(_))), "{lagging}");
    for _ in 0..5 {
        world.node.chain().add_block(true);
    }
    let forked = world.look().unwrap_err();
    assert!(matches!(forked, AnchorError::Chain(ChainError::Inconsistent(_))), "{forked}");
    world.node.chain().finalize(5);
    let refused = world.look().unwrap_err();
    assert!(matches!(refused, AnchorError::DifferentHistory { number: 4 }), "{refused}");
}
