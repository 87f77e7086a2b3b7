//! The off-chain worker against companions that a test makes up: helpful ones, hostile ones, and none.

use super::*;
use crate::{
    AnswerChallenges,
    mock::Extrinsic,
    offchain::{AskError, Behind, COMPANIONS_KEY, CompanionsError, behind_key, companions, dag::Failure},
};
use codec::{Decode, DecodeAll, Encode};
use frame_support::traits::Hooks;
use pakit_primitives::possession::OpenChallenge;
use sp_core::offchain::{
    Externalities, HttpError, HttpRequestId, HttpRequestStatus, OffchainDbExt, OffchainWorkerExt, OpaqueNetworkState,
    StorageKind, Timestamp, TransactionPoolExt,
    testing::{TestOffchainExt, TestTransactionPoolExt},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// What a companion does with a request.
#[derive(Clone, Debug)]
enum Reply {
    /// It answers.
    Says(u16, Vec<u8>),
    /// It is not there.
    Down,
    /// It says nothing until the deadline.
    Slow,
    /// It says how well all is, and no more until the deadline.
    SlowBody,
}

fn says(answer: impl Encode) -> Reply {
    Reply::Says(200, answer.encode())
}

type Companion = dyn Fn(&Keeper, &str) -> Reply + Send;

/// What listens on the node's machine.
struct Network {
    keeper: Keeper,
    companion: Box<Companion>,
    asked: Vec<String>,
    replies: BTreeMap<u16, Reply>,
}

/// The node's side of it: the storage, clock and requests of `TestOffchainExt`, which knows neither statuses nor deadlines.
struct Wire {
    node: TestOffchainExt,
    network: Arc<Mutex<Network>>,
}

impl Wire {
    fn reply(&self, id: HttpRequestId) -> Reply {
        self.network.lock().unwrap().replies[&id.0].clone()
    }

    fn wait_until(&self, deadline: Option<Timestamp>) {
        self.node.0.write().timestamp = deadline.expect("each request has a deadline");
    }
}

impl Externalities for Wire {
    fn is_validator(&self) -> bool {
        self.node.is_validator()
    }

    fn network_state(&self) -> Result<OpaqueNetworkState, ()> {
        self.node.network_state()
    }

    fn timestamp(&mut self) -> Timestamp {
        self.node.timestamp()
    }

    fn sleep_until(&mut self, deadline: Timestamp) {
        self.node.sleep_until(deadline);
    }

    fn random_seed(&mut self) -> [u8; 32] {
        self.node.random_seed()
    }

    fn http_request_start(&mut self, method: &str, uri: &str, meta: &[u8]) -> Result<HttpRequestId, ()> {
        assert_eq!(method, "GET");
        let id = self.node.http_request_start(method, uri, meta)?;
        let mut network = self.network.lock().unwrap();
        let reply = (network.companion)(&network.keeper, uri);
        network.asked.push(uri.to_owned());
        // Its state forgets requests that were read to their end, and gives their numbers again.
        network.replies.insert(id.0, reply.clone());
        let body = if let Reply::Says(_, body) = reply { body } else { Vec::new() };
        self.node.0.write().requests.get_mut(&id).unwrap().response = Some(body);
        Ok(id)
    }

    fn http_request_add_header(&mut self, id: HttpRequestId, name: &str, value: &str) -> Result<(), ()> {
        self.node.http_request_add_header(id, name, value)
    }

    fn http_request_write_body(
        &mut self,
        id: HttpRequestId,
        chunk: &[u8],
        deadline: Option<Timestamp>,
    ) -> Result<(), HttpError> {
        self.node.http_request_write_body(id, chunk, deadline)
    }

    fn http_response_wait(&mut self, ids: &[HttpRequestId], deadline: Option<Timestamp>) -> Vec<HttpRequestStatus> {
        let status = |id: &HttpRequestId| match self.reply(*id) {
            Reply::Says(status, _) => HttpRequestStatus::Finished(status),
            Reply::Down => HttpRequestStatus::IoError,
            Reply::Slow => {
                self.wait_until(deadline);
                HttpRequestStatus::DeadlineReached
            }
            Reply::SlowBody => HttpRequestStatus::Finished(200),
        };
        ids.iter().map(status).collect()
    }

    fn http_response_headers(&mut self, id: HttpRequestId) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.node.http_response_headers(id)
    }

    fn http_response_read_body(
        &mut self,
        id: HttpRequestId,
        buffer: &mut [u8],
        deadline: Option<Timestamp>,
    ) -> Result<usize, HttpError> {
        if let Reply::SlowBody = self.reply(id) {
            self.wait_until(deadline);
            return Err(HttpError::DeadlineReached);
        }
        self.node.http_response_read_body(id, buffer, deadline)
    }

    fn set_authorized_nodes(&mut self, nodes: Vec<sp_core::OpaquePeerId>, authorized_only: bool) {
        self.node.set_authorized_nodes(nodes, authorized_only);
    }
}

/// The parts of a path: of a challenge, size and position.
fn challenge_of(uri: &str) -> Option<(u64, u64)> {
    let (size, position) = uri.split_once("/v1/challenge?size=")?.1.split_once("&position=")?;
    Some((size.parse().unwrap(), position.parse().unwrap()))
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
    /// What was sent to its pool since the last look.
    pool: Box<dyn Fn() -> Vec<Vec<u8>>>,
}

fn with_node(test: impl FnOnce(&Node)) {
    let keeper = Keeper::new();
    let network = Network { keeper, companion: Box::new(helpful), asked: Vec::new(), replies: BTreeMap::new() };
    let (node, network) = (TestOffchainExt::default(), Arc::new(Mutex::new(network)));
    let (pool, state) = TestTransactionPoolExt::new();
    let pool_state = move || std::mem::take(&mut state.write().transactions);
    let mut ext = new_test_ext();
    ext.register_extension(OffchainDbExt::new(node.clone()));
    ext.register_extension(OffchainWorkerExt::new(Wire { node: node.clone(), network: network.clone() }));
    ext.register_extension(TransactionPoolExt::new(pool));
    ext.execute_with(|| {
        let _staked = Keeper::new().staked(1_000);
        assert_eq!(draw(DAG).len(), 4);
        test(&Node { network, node, pool: Box::new(pool_state) });
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

    /// Answers in the pool since the last look.
    fn sent(&self) -> Vec<Response> {
        let response = |bytes: Vec<u8>| {
            let extrinsic = Extrinsic::decode_all(&mut &bytes[..]).unwrap();
            match extrinsic.function {
                RuntimeCall::Pakit(Call::respond { dag, challenge, header, inclusion, answer }) => {
                    Response { dag, challenge, header, inclusion, answer }
                }
                other => panic!("{other:?}"),
            }
        };
        (self.pool)().into_iter().map(response).collect()
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
    for status in [100, 204, 302, 404, 410, 500, 503] {
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
        let cases: [(fn(&Keeper) -> Reply, Failure); 4] = [
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
