//! The off-chain worker against companions that a test makes up: helpful ones, hostile ones, and none.

use super::*;
use crate::{
    AnswerChallenges, RemovedRanges,
    mock::Extrinsic,
    offchain::{AskError, Behind, COMPANIONS_KEY, CompanionsError, behind_key, companions, dag::Failure},
};
use codec::{Decode, DecodeAll, Encode};
use frame_support::traits::Hooks;
use pakit_primitives::possession::OpenChallenge;
use sp_core::offchain::{
    OffchainDbExt, OffchainWorkerExt, StorageKind, Timestamp, TransactionPoolExt, testing::TestOffchainExt,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
};
use wire::{Network, Pool, Reply, Wire, says};

mod restarts;
mod wire;

/// The parts of a path: of a challenge, size and position.
fn challenge_of(uri: &str) -> Option<(u64, u64)> {
    let (size, position) = uri.split_once("/v1/challenge?size=")?.1.split_once("&position=")?;
    Some((size.parse().unwrap(), position.parse().unwrap()))
}

/// What is left of a content that is gone.
fn drawn_block(keeper: &Keeper, uri: &str) -> Option<Reply> {
    let (size, position) = challenge_of(&uri.replace("/v1/challenge/block?", "/v1/challenge?"))?;
    let (header, inclusion, _, _) = answer_of(keeper, size, position);
    Some(says((header, inclusion)))
}

/// What `pakit serve` says.
fn helpful(keeper: &Keeper, uri: &str) -> Reply {
    match challenge_of(uri) {
        Some((size, position)) => says(answer_of(keeper, size, position)),
        None => {
            assert!(uri.ends_with("/v1/head/raw"), "{uri}");
            says(keeper.archive.head(keeper.blocks()))
        }
    }
}

/// What a companion says where it does not depend on the challenge.
type SameReply = fn(&Keeper) -> Reply;
type IsExpected<'a> = &'a dyn Fn(Failure) -> bool;
type AnswerParts = (HeaderBytes, InclusionPath, Vec<u8>, Vec<Digest>);

fn answer_of(keeper: &Keeper, size: u64, position: u64) -> AnswerParts {
    let head = keeper.archive.head(size);
    let asked = OpenChallenge { dag: DAG, challenge: 0, position, head, frozen_at: 0, blocks_left: 1 };
    let Response { header, inclusion, answer, .. } = keeper.answer(&asked);
    let Answer::Slice { slice, siblings } = answer else { panic!("a slice") };
    (header, inclusion, slice.into_inner(), siblings.into_inner())
}

/// A node beside a chain on which the keeper's DAG is staked and challenged.
struct Node {
    network: Arc<Mutex<Network>>,
    node: TestOffchainExt,
    pool: Pool,
}

fn with_node(test: impl FnOnce(&Node)) {
    let keeper = Keeper::new();
    let network = Network { keeper, companion: Box::new(helpful), asked: Vec::new(), replies: BTreeMap::new() };
    let (node, network) = (TestOffchainExt::default(), Arc::new(Mutex::new(network)));
    let pool = Pool::default();
    let mut ext = new_test_ext();
    ext.register_extension(OffchainDbExt::new(node.clone()));
    ext.register_extension(OffchainWorkerExt::new(Wire { node: node.clone(), network: network.clone() }));
    ext.register_extension(TransactionPoolExt::new(pool.clone()));
    ext.execute_with(|| {
        let _staked = Keeper::new().staked(1_000);
        assert_eq!(draw(DAG).len(), 4);
        test(&Node { network, node, pool });
        Pakit::do_try_state().unwrap();
    });
}

impl Node {
    fn set(&self, key: &[u8], value: &[u8]) {
        sp_io::offchain::local_storage_set(StorageKind::PERSISTENT, key, value);
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        sp_io::offchain::local_storage_get(StorageKind::PERSISTENT, key)
    }

    /// What the node's operator writes, for the keeper's DAG alone.
    fn configure(&self) {
        self.set(COMPANIONS_KEY, b"0 http://127.0.0.1:9955");
    }

    fn companion(&self, companion: impl Fn(&Keeper, &str) -> Reply + Send + 'static) {
        self.network.lock().unwrap().companion = Box::new(companion);
    }

    /// What the companions were asked since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.network.lock().unwrap().asked)
    }

    /// The worker runs after this block; what did not go well, by DAG.
    fn work(&self) -> Vec<(u32, Failure)> {
        let mut failures = Vec::new();
        let companions = companions::named().unwrap();
        let tell = |dag, failure| failures.push((dag, failure));
        AnswerChallenges::<Test>::serve_all(System::block_number(), companions, tell);
        failures
    }

    /// Answers in the pool, which is empty afterwards.
    fn sent(&self) -> Vec<Response> {
        let sent = std::mem::take(&mut *self.pool.waiting.lock().unwrap());
        sent.iter().map(|bytes| response_of(bytes)).collect()
    }
}

/// The answer in an extrinsic.
fn response_of(mut extrinsic: &[u8]) -> Response {
    match Extrinsic::decode_all(&mut extrinsic).unwrap().function {
        RuntimeCall::Pakit(Call::respond { dag, challenge, header, inclusion, answer }) => {
            Response { dag, challenge, header, inclusion, answer }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_list_nobody_is_asked() {
    with_node(|node| {
        Pakit::offchain_worker(System::block_number());
        node.set(COMPANIONS_KEY, b"");
        Pakit::offchain_worker(System::block_number());
        assert_eq!((node.asked().len(), node.sent().len()), (0, 0));
    });
}

#[test]
fn a_list_that_is_refused_makes_the_worker_do_nothing() {
    with_node(|node| {
        let good = b"0 http://127.0.0.1:9955\n".to_vec();
        for wrong in [&b"1 http://10.0.0.1:80"[..], b"1 http://localhost:80", b"rubbish", b"\xff", &[b'\n'; 5000]] {
            node.set(COMPANIONS_KEY, &[&good[..], wrong].concat());
            assert!(companions::named().is_err());
            Pakit::offchain_worker(System::block_number());
            assert_eq!((node.asked().len(), node.sent().len()), (0, 0), "{wrong:?}");
        }
        node.set(COMPANIONS_KEY, b"0 http://8.8.8.8:80");
        let refused = CompanionsError::NotLoopback { line: 1, address: "8.8.8.8:80".parse().unwrap() };
        assert_eq!(companions::named(), Err(refused));
        node.set(COMPANIONS_KEY, &good);
        Pakit::offchain_worker(System::block_number());
        assert_eq!(node.sent().len(), 4);
    });
}

#[test]
fn each_open_challenge_is_answered_once_and_the_chain_takes_the_answers() {
    with_node(|node| {
        node.configure();
        let open = Pakit::open_challenges(DAG);
        assert_eq!(node.work(), vec![]);
        let asked = node.asked();
        assert!(asked.iter().all(|uri| uri.starts_with("http://127.0.0.1:9955/v1/")), "{asked:?}");
        assert_eq!(asked.len(), 5, "four challenges and the head");
        let mut sent = node.sent();
        sent.sort_unstable_by_key(|response| response.challenge);
        assert_eq!(sent.iter().map(|response| response.challenge).collect::<Vec<_>>(), [0, 1, 2, 3]);
        // The same again, though nothing of it is in a block: only the head is looked at.
        assert_eq!((node.work(), node.sent().len(), node.asked().len()), (vec![], 0, 1));
        for (response, open) in sent.iter().zip(&open) {
            let valid = response.validity().unwrap();
            assert_eq!(valid.provides.len(), 1);
            assert!(valid.propagate);
            assert_eq!((response.dag, response.challenge), (open.dag, open.challenge));
            assert_ok!(response.send());
        }
        assert_eq!(Pakit::open_challenges(DAG), vec![]);
        assert_eq!((node.work(), node.sent().len()), (vec![], 0));
    });
}

#[test]
fn an_answer_that_was_lost_is_sent_again_some_blocks_later() {
    with_node(|node| {
        node.configure();
        // More time than it takes to lose one.
        Stakes::<Test>::mutate(DAG, |stake| drawn_of(stake.as_mut().unwrap()).due += 100);
        node.work();
        assert_eq!(node.sent().len(), 4);
        for blocks in 1..=11 {
            next_block();
            assert_eq!(node.work(), vec![]);
            assert_eq!(node.sent().len(), if blocks % 5 == 0 { 4 } else { 0 }, "after {blocks} blocks");
        }
    });
}

#[test]
fn the_nearer_the_deadline_the_sooner_a_lost_answer_is_sent_again() {
    with_node(|node| {
        node.configure();
        let mut sent = Vec::new();
        for blocks_left in (1..=6).rev() {
            assert!(Pakit::open_challenges(DAG).iter().all(|open| open.blocks_left == blocks_left));
            assert_eq!(node.work(), vec![]);
            sent = node.sent();
            assert_eq!(sent.len(), if blocks_left == 5 { 0 } else { 4 }, "with {blocks_left} blocks left");
            if blocks_left > 1 {
                next_block();
            }
        }
        // The last ones are in time.
        for response in sent {
            assert_ok!(response.send());
        }
    });
}

#[test]
fn what_the_pool_does_not_take_is_tried_again_at_once_and_what_it_has_already_is_not() {
    with_node(|node| {
        node.configure();
        Stakes::<Test>::mutate(DAG, |stake| drawn_of(stake.as_mut().unwrap()).due += 100);
        node.pool.is_closed.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let failures = node.work();
            assert!(failures.iter().all(|(_, failure)| matches!(failure, Failure::NotPooled(_))), "{failures:?}");
            assert_eq!(failures.len(), 4);
            next_block();
        }
        node.pool.is_closed.store(false, Ordering::SeqCst);
        assert_eq!((node.work(), node.sent().len()), (vec![], 4));
        node.pool.is_closed.store(true, Ordering::SeqCst);
        node.asked();
        for blocks in 1..=11 {
            next_block();
            assert_eq!(node.work(), vec![]);
            // The head alone, and every five blocks the answers.
            assert_eq!(node.asked().len(), if blocks % 5 == 0 { 5 } else { 1 }, "after {blocks} blocks");
        }
    });
}

#[test]
fn a_challenge_that_asks_for_something_else_on_another_fork_is_answered_at_once() {
    with_node(|node| {
        node.configure();
        node.work();
        assert_eq!(node.sent().len(), 4);
        Stakes::<Test>::mutate(DAG, |stake| {
            let draw = &mut drawn_of(stake.as_mut().unwrap()).draws[2];
            draw.position = (draw.position + 1) % 12;
        });
        node.work();
        let [sent] = &node.sent()[..] else { panic!("one answer") };
        assert_eq!(sent.challenge, 2);
        assert_ok!(sent.send());
    });
}

fn drawn_of(stake: &mut crate::Stake<Test>) -> &mut crate::possession::Drawn {
    stake.round.as_mut().unwrap().drawn.as_mut().unwrap()
}

/// Of each challenge the companion gives this, and then the right answer.
#[track_caller]
fn assert_not_sent(name: &str, reply: impl Fn(&Keeper, u64, u64) -> Reply + Send + 'static, expected: Failure) {
    with_node(|node| {
        node.configure();
        node.companion(move |keeper, uri| match challenge_of(uri) {
            Some((size, position)) => reply(keeper, size, position),
            None => helpful(keeper, uri),
        });
        let failures = node.work();
        assert!(!failures.is_empty() && failures.len() <= 4, "{name}: {failures:?}");
        for (dag, failure) in failures {
            assert_eq!((dag, of_challenge_0(failure)), (DAG, expected), "{name}");
        }
        assert_eq!(node.sent().len(), 0, "{name}");
        node.companion(helpful);
        assert_eq!((node.work(), node.sent().len()), (vec![], 4), "{name}");
    });
}

fn of_challenge_0(failure: Failure) -> Failure {
    match failure {
        Failure::NotAsked { source, .. } => Failure::NotAsked { challenge: 0, source },
        Failure::Refused { reason, .. } => Failure::Refused { challenge: 0, reason },
        other => other,
    }
}

#[test]
fn of_a_companion_that_is_of_no_help_nothing_is_sent_and_the_failure_is_named() {
    let not_asked = |source| Failure::NotAsked { challenge: 0, source };
    for status in [100, 204, 302, 404, 409, 500, 503] {
        let reply =
            move |keeper: &Keeper, size, position| Reply::Says(status, answer_of(keeper, size, position).encode());
        assert_not_sent("another status", reply, not_asked(AskError::Status(status)));
    }
    assert_not_sent("down", |_, _, _| Reply::Down, not_asked(AskError::Unreachable));
    assert_not_sent("slow", |_, _, _| Reply::Slow, not_asked(AskError::TooSlow));
    assert_not_sent("slow after the status", |_, _, _| Reply::SlowBody, not_asked(AskError::TooSlow));
    assert_not_sent("nothing", |_, _, _| Reply::Says(200, vec![]), not_asked(AskError::Malformed));
    assert_not_sent("garbage", |_, _, _| Reply::Says(200, vec![0xff; 3000]), not_asked(AskError::Malformed));
    let with_more = |keeper: &Keeper, size, position| says((answer_of(keeper, size, position), 0u8));
    assert_not_sent("bytes behind it", with_more, not_asked(AskError::Malformed));
    let long = |keeper: &Keeper, size, position| {
        let (header, inclusion, slice, siblings) = answer_of(keeper, size, position);
        says((header, inclusion, [slice, vec![0; 1024]].concat(), siblings))
    };
    assert_not_sent("a slice beyond its bounds", long, not_asked(AskError::Malformed));
    assert_not_sent("no end", |_, _, _| Reply::Says(200, vec![0; 1 << 20]), not_asked(AskError::TooLarge(4_260)));
}

#[test]
fn an_answer_that_proves_nothing_is_not_sent_on() {
    let refused = |reason| Failure::Refused { challenge: 0, reason };
    let changed = |change: fn(&mut AnswerParts)| {
        move |keeper: &Keeper, size, position| {
            let mut parts = answer_of(keeper, size, position);
            change(&mut parts);
            says(parts)
        }
    };
    let of_another = |keeper: &Keeper, size, position| says(answer_of(keeper, size, (position + 17) % 35));
    assert_not_sent("another block", of_another, refused("PositionNotInBlock"));
    let wrong_slice = |keeper: &Keeper, size, position| {
        let (header, inclusion, slice, siblings) = answer_of(keeper, size, position);
        says((header, inclusion, vec![b'?'; slice.len()], siblings))
    };
    // One of the contents that may be drawn is empty, and has no wrong slice of its length.
    with_node(|node| {
        node.configure();
        node.companion(move |keeper, uri| match challenge_of(uri) {
            Some((size, position)) => wrong_slice(keeper, size, position),
            None => helpful(keeper, uri),
        });
        let failures = node.work();
        assert_eq!(failures.len() + node.sent().len(), 4);
        assert!(
            failures.iter().all(|(_, failure)| of_challenge_0(*failure) == refused("SliceMismatch")),
            "{failures:?}"
        );
        assert!(failures.len() >= 2);
    });
    let longer = changed(|(_, _, slice, _)| slice.push(0));
    with_node(|node| {
        node.configure();
        node.companion(move |keeper, uri| match challenge_of(uri) {
            Some((size, position)) => longer(keeper, size, position),
            None => helpful(keeper, uri),
        });
        assert_eq!((node.work().len(), node.sent().len()), (4, 0));
    });
    let no_path = changed(|(_, inclusion, _, _)| *inclusion = InclusionPath::new());
    assert_not_sent("no path", no_path, refused("WrongInclusionLength"));
    let other_path = changed(|(_, inclusion, _, _)| inclusion[0] = [7; 32]);
    assert_not_sent("another path", other_path, refused("NotInLog"));
    let no_header = changed(|(header, _, _, _)| *header = HeaderBytes::new());
    assert_not_sent("no header", no_header, refused("HeaderEmpty"));
}

#[test]
fn a_companion_that_is_not_there_is_asked_once_after_a_block() {
    with_node(|node| {
        node.configure();
        for reply in [Reply::Down, Reply::Slow] {
            node.companion(move |_, _| reply.clone());
            assert_eq!(node.work().len(), 1);
            assert_eq!(node.asked().len(), 1);
        }
    });
}

#[test]
fn one_challenge_that_takes_all_the_time_does_not_keep_the_others_waiting() {
    with_node(|node| {
        node.configure();
        Stakes::<Test>::mutate(DAG, |stake| drawn_of(stake.as_mut().unwrap()).due += 100);
        let slow = Pakit::open_challenges(DAG)[1].position;
        node.companion(move |keeper, uri| match challenge_of(uri) {
            Some((_, position)) if position == slow => Reply::Slow,
            _ => helpful(keeper, uri),
        });
        let mut answered = std::collections::BTreeSet::new();
        for _ in 0..12 {
            node.work();
            answered.extend(node.sent().into_iter().map(|response| response.challenge));
            next_block();
        }
        assert_eq!(answered.into_iter().collect::<Vec<_>>(), [0, 2, 3]);
    });
}

#[test]
fn what_another_worker_is_at_is_left_to_it_until_it_must_be_dead() {
    with_node(|node| {
        node.configure();
        let lock = b"pakit/worker/lock/0";
        let held_until = Timestamp::from_unix_millis(30_000);
        node.set(lock, &held_until.encode());
        for now in [0, 29_999, 30_000] {
            node.node.0.write().timestamp = Timestamp::from_unix_millis(now);
            assert_eq!((node.work(), node.asked().len(), node.sent().len()), (vec![], 0, 0), "at {now}");
        }
        node.node.0.write().timestamp = Timestamp::from_unix_millis(30_001);
        assert_eq!((node.work(), node.sent().len()), (vec![], 4));
        assert_eq!(node.get(lock), None, "it is given back");
    });
}

#[test]
fn a_worker_is_done_before_another_takes_its_lock() {
    with_node(|node| {
        node.configure();
        node.companion(|_, _| Reply::Slow);
        node.work();
        let taken = node.node.0.read().timestamp;
        assert!(taken < Timestamp::from_unix_millis(30_000), "{taken:?}");
    });
}

#[test]
fn a_slow_companion_does_not_keep_the_same_others_waiting() {
    with_node(|node| {
        assert_ok!(Keeper::new().archive.create(OWNER));
        node.set(COMPANIONS_KEY, b"0 http://127.0.0.1:1\n1 http://127.0.0.1:2");
        node.companion(|_, _| Reply::Slow);
        let mut first = Vec::new();
        for _ in 0..4 {
            node.work();
            let asked = node.asked();
            assert_eq!(asked.len(), 1, "after that the time is over: {asked:?}");
            first.push(asked[0].starts_with("http://127.0.0.1:1/"));
            next_block();
        }
        assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "{first:?}");
    });
}

#[test]
fn an_anchor_that_is_behind_is_written_down_and_told_once_in_a_while() {
    with_node(|node| {
        node.configure();
        node.companion(|keeper, uri| match challenge_of(uri) {
            Some(_) => Reply::Down,
            None => says(pakit_primitives::Head { size: 20, ..keeper.archive.head(12) }),
        });
        node.network.lock().unwrap().keeper.answer_all(DAG);
        let begin = System::block_number();
        let behind = Failure::AnchorBehind { anchored: 12, archived: 20 };
        for blocks in 0..=100 {
            assert_eq!(node.work(), if blocks % 100 == 0 { vec![(DAG, behind)] } else { vec![] }, "{blocks}");
            Stakes::<Test>::mutate(DAG, |stake| stake.as_mut().unwrap().round = None);
            next_block();
        }
        let note =
            |node: &Node| node.get(&behind_key(DAG)).map(|bytes| Behind::<u64>::decode(&mut &bytes[..]).unwrap());
        let told = Behind { anchored: 12, archived: 20, since: begin, told: begin + 100 };
        assert_eq!(note(node), Some(told));
        node.companion(helpful);
        node.work();
        assert_eq!(note(node), None);
    });
}

#[test]
fn an_archive_that_is_not_the_anchored_one_is_told_after_each_block() {
    with_node(|node| {
        node.configure();
        node.network.lock().unwrap().keeper.answer_all(DAG);
        let cases: [(SameReply, Failure); 4] = [
            (|keeper| says(keeper.archive.head(11)), Failure::ArchiveBehind { anchored: 12, archived: 11 }),
            (|keeper| says(pakit_primitives::Head { size: 12, ..keeper.archive.head(11) }), Failure::OtherLog(12)),
            (|_| Reply::Says(404, vec![]), Failure::NoHead(AskError::Status(404))),
            (|_| Reply::Says(200, vec![0; 41]), Failure::NoHead(AskError::TooLarge(40))),
        ];
        for (head, failure) in cases {
            node.companion(move |keeper, _| head(keeper));
            for _ in 0..2 {
                assert_eq!(node.work(), [(DAG, failure)]);
            }
        }
        node.set(COMPANIONS_KEY, b"7 http://127.0.0.1:9955");
        assert_eq!(node.work(), [(7, Failure::UnknownDag)]);
        assert_eq!(node.get(&behind_key(DAG)), None);
    });
}

#[test]
fn a_content_that_is_gone_is_answered_by_the_range_that_was_declared_in_time() {
    with_node(|node| {
        node.configure();
        node.companion(|keeper, uri| match (challenge_of(uri), uri.ends_with("/v1/head/raw")) {
            (Some(_), _) => Reply::Says(410, b"{}".to_vec()),
            (None, true) => helpful(keeper, uri),
            (None, false) => drawn_block(keeper, uri).unwrap(),
        });
        let not_declared = |node: &Node| {
            let failures = node.work();
            let is_it = |(dag, failure): &(u32, Failure)| *dag == DAG && matches!(failure, Failure::NotDeclared { .. });
            assert!(failures.len() == 4 && failures.iter().all(is_it), "{failures:?}");
            assert_eq!(node.sent().len(), 0);
        };
        not_declared(node);
        for (first, last) in [(0, 5), (6, 11)] {
            assert_ok!(Pakit::declare_removed(signed(OWNER), DAG, first, last));
        }
        // Not effective when the head was frozen.
        not_declared(node);
        for range in [0, 1] {
            RemovedRanges::<Test>::mutate(DAG, range, |range| range.as_mut().unwrap().effective_at = 0);
        }
        assert_eq!(node.work(), vec![]);
        let sent = node.sent();
        assert_eq!(sent.len(), 4);
        for response in &sent {
            assert!(matches!(response.answer, Answer::Removed { .. }));
            assert_ok!(response.send());
        }
        assert_eq!(Pakit::stake_behind(DAG).unwrap().tally.declared, 4);
    });
}

#[test]
fn a_block_of_a_content_that_is_gone_is_not_believed_either() {
    with_node(|node| {
        node.configure();
        assert_ok!(Pakit::declare_removed(signed(OWNER), DAG, 0, 11));
        RemovedRanges::<Test>::mutate(DAG, 0, |range| range.as_mut().unwrap().effective_at = 0);
        let malformed = |failure: Failure| matches!(failure, Failure::NotAsked { source: AskError::Malformed, .. });
        let refused = |failure: Failure| matches!(failure, Failure::Refused { reason: "PositionNotInBlock", .. });
        let garbage: SameReply = |_| Reply::Says(200, vec![7; 9]);
        let no_header: SameReply = |_| says((vec![0u8; 118], InclusionPath::new()));
        // Past the last slice, so that no challenge falls on it.
        let another: SameReply = |keeper| {
            let header = Header { slices_before: 35, ..keeper.archive.headers[11].clone() };
            says((bytes_of(&header), keeper.archive.inclusion(11, 12)))
        };
        let cases: [(SameReply, IsExpected<'_>); 3] =
            [(garbage, &malformed), (no_header, &malformed), (another, &refused)];
        for (reply, is_it) in cases {
            node.companion(move |keeper, uri| match (challenge_of(uri), uri.ends_with("/v1/head/raw")) {
                (Some(_), _) => Reply::Says(410, vec![]),
                (None, true) => helpful(keeper, uri),
                (None, false) => reply(keeper),
            });
            let failures = node.work();
            assert!(failures.len() == 4 && failures.iter().all(|(_, failure)| is_it(*failure)), "{failures:?}");
            assert_eq!(node.sent().len(), 0);
        }
    });
}
