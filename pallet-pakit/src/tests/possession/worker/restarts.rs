//! A day in which the node answers by itself and dies again and again: its pool is lost, sometimes its notes too, a worker is
//! killed in the middle of a request, the companion is away for a while, blocks are full, branches lose with the answers in them.

use super::{
    super::day::{DAY, chance, is_full},
    *,
};
use crate::NextChallenge;
use sp_core::offchain::DbExternalities;
use sp_runtime::{DispatchError, TransactionOutcome};
use std::collections::BTreeSet;

/// A block comes each 6 seconds.
const BLOCK_MS: u64 = 6_000;
/// Blocks with room until it is too late for an answer: five minutes of them, where a chain gives hours.
const DEADLINE: u32 = 50;
/// With so many left somebody is awake, and keeps node and companion running until all is answered. Enough for what is under way
/// by then: a branch of 11 blocks by others that do not have the answers, a lock of 30 seconds, 5 blocks until a lost answer is sent
/// again.
const RESERVE: u64 = 25;
const STAKE: u64 = 100_000;

/// Under what the node remembers something.
const NOTES: [&[u8]; 4] = [COMPANIONS_KEY, b"pakit/worker/sent/0", b"pakit/worker/lock/0", b"pakit/worker/behind/0"];
const LOCK: &[u8] = NOTES[2];

/// What stands under [`NOTES`].
type Notes = Vec<Option<Vec<u8>>>;

/// What the companion is like.
#[derive(Default)]
struct Weather {
    /// In place of an answer.
    reply: Option<Reply>,
    /// In the middle of which request the node is to be killed, counted from now.
    dies_at: Option<u64>,
    /// What it had written down by then.
    notes: Option<Notes>,
}

impl Weather {
    fn is_asked(&mut self, mut node: TestOffchainExt) {
        self.dies_at = self.dies_at.and_then(|requests| requests.checked_sub(1));
        if self.dies_at == Some(0) {
            let note = |key: &&[u8]| node.local_storage_get(StorageKind::PERSISTENT, key);
            self.notes = Some(NOTES.iter().map(note).collect());
        }
    }
}

/// What a day was like: a test that saw none of it would show nothing.
#[derive(Default, Debug)]
struct Seen {
    restarts: u64,
    /// Answers that were in the pool when it was lost.
    lost_with_pool: u64,
    /// Locks of workers that were killed.
    locks_left: u64,
    notes_lost: u64,
    /// Answers that a losing branch held, and those of them that the pool had again.
    retracted: u64,
    returned: u64,
    /// The same answer once more, whether by the worker or from a branch.
    sent_again: u64,
    /// Blocks after which another worker was still at it, or waited for.
    busy: u64,
    away: u64,
    expired: u64,
}

struct Day<'a> {
    node: &'a Node,
    weather: Arc<Mutex<Weather>>,
    /// Blocks that were made, those of losing branches too: the clock.
    made: u64,
    /// Until when the node is down, by that clock.
    down_until: u64,
    away_until: u64,
    /// How long an answer stays in the pool.
    until: BTreeMap<Vec<u8>, u64>,
    /// Answers that were sent.
    sent: BTreeSet<Vec<u8>>,
    /// Answers that the blocks of a branch hold.
    included: Vec<Vec<u8>>,
    seen: Seen,
}

/// A day of the node's, with a companion that has lost what `is_lost` says.
fn with_day(is_lost: fn(&Keeper, u64) -> bool, test: impl FnOnce(Day<'_>)) {
    ResponseDeadline::set(DEADLINE);
    UnbondingPeriod::set(100);
    with_node(|node| {
        assert_ok!(Pakit::stake(signed(OWNER), DAG, STAKE - 1_000));
        node.configure();
        let weather = Arc::<Mutex<Weather>>::default();
        let (shared, offchain) = (weather.clone(), node.node.clone());
        node.companion(move |keeper, uri| {
            let mut weather = shared.lock().unwrap();
            weather.is_asked(offchain.clone());
            match (&weather.reply, challenge_of(uri)) {
                (Some(reply), _) => reply.clone(),
                (None, Some((_, position))) if is_lost(keeper, position) => Reply::Says(500, b"{}".to_vec()),
                (None, _) => helpful(keeper, uri),
            }
        });
        test(Day {
            node,
            weather,
            made: 0,
            down_until: 0,
            away_until: 0,
            until: BTreeMap::new(),
            sent: BTreeSet::new(),
            included: Vec::new(),
            seen: Seen::default(),
        });
    });
}

impl Day<'_> {
    /// Plays until something holds or the day is over.
    fn play(&mut self, is_over: impl Fn(&Self) -> bool) {
        while System::block_number() <= DAY && !is_over(self) {
            let at = System::block_number();
            if self.has_trouble(at) && chance("fork", at, 40) == 0 {
                self.fork(at);
            } else {
                self.block(at, true, true);
            }
        }
    }

    /// Something may happen to the node and the companion, unless it is urgent.
    fn has_trouble(&mut self, at: u64) -> bool {
        let is_urgent = Pakit::open_challenges(DAG).iter().any(|open| open.blocks_left <= RESERVE);
        if is_urgent {
            (self.down_until, self.away_until) = (0, 0);
        } else if chance("away", at, 20) == 0 {
            self.away_until = self.made + 1 + chance("how long away", at, 12);
            let replies = [Reply::Down, Reply::Slow, Reply::SlowBody, Reply::Says(503, b"{}".to_vec())];
            self.weather.lock().unwrap().reply = Some(replies[chance("how away", at, 4) as usize].clone());
        }
        let is_away = self.made < self.away_until;
        self.seen.away += u64::from(is_away);
        let mut weather = self.weather.lock().unwrap();
        weather.dies_at = None;
        if !is_away {
            weather.reply = None;
        }
        if is_urgent {
            return false;
        }
        let kind = chance("restart", at, 24);
        if kind == 0 {
            weather.dies_at = Some(1 + chance("which request", at, 5));
        }
        drop(weather);
        if kind == 1 || kind == 2 {
            self.restart(at);
        }
        if kind == 2 {
            // The operator's script writes the list when it starts the node.
            self.write_down(vec![None; NOTES.len()]);
            self.node.configure();
            self.seen.notes_lost += 1;
        }
        true
    }

    /// The node is killed and comes back with an empty pool.
    fn restart(&mut self, at: u64) {
        let lost = std::mem::take(&mut *self.node.pool.waiting.lock().unwrap());
        self.seen.lost_with_pool += lost.len() as u64;
        self.seen.restarts += 1;
        self.until.clear();
        self.down_until = self.made + chance("how long down", at, 4);
    }

    fn write_down(&self, notes: Notes) {
        for (key, value) in NOTES.iter().zip(notes) {
            match value {
                Some(value) => self.node.set(key, &value),
                None => sp_io::offchain::local_storage_clear(StorageKind::PERSISTENT, key),
            }
        }
    }

    /// A block with what waits in the pool, if its author has that, and the worker after it, where this node sees it as the best.
    fn block(&mut self, at: u64, has_answers: bool, is_seen: bool) {
        if is_full(at) {
            fill_block();
        } else if has_answers {
            self.include();
        }
        end_block();
        self.made += 1;
        self.expire();
        if is_seen {
            self.work(at);
        }
        begin_block();
        if chance("seed", at, 5) == 0 {
            renew_seed();
        }
    }

    /// Everything goes into the block, but what is no longer an answer on this branch.
    fn include(&mut self) {
        for bytes in std::mem::take(&mut *self.node.pool.waiting.lock().unwrap()) {
            self.until.remove(&bytes);
            if response_of(&bytes).send().is_ok() {
                self.included.push(bytes);
            }
        }
    }

    /// The pool lets go what has waited for long.
    fn expire(&mut self) {
        let mut waiting = self.node.pool.waiting.lock().unwrap();
        let before = waiting.len();
        waiting.retain(|bytes| self.made < self.until[bytes]);
        self.seen.expired += (before - waiting.len()) as u64;
        self.until.retain(|bytes, _| waiting.contains(bytes));
    }

    /// The pool takes note of what is new in it, and tells how much that is.
    fn note_new(&mut self) -> u64 {
        let mut new = 0;
        for bytes in self.node.pool.waiting.lock().unwrap().iter() {
            if !self.until.contains_key(bytes) {
                let longevity = response_of(bytes).validity().unwrap().longevity;
                self.until.insert(bytes.clone(), self.made + longevity);
                self.seen.sent_again += u64::from(!self.sent.insert(bytes.clone()));
                new += 1;
            }
        }
        new
    }

    fn work(&mut self, at: u64) {
        let now = Timestamp::from_unix_millis(self.made * BLOCK_MS);
        let is_busy = self.node.node.0.read().timestamp > now;
        if self.made < self.down_until || is_busy {
            self.seen.busy += u64::from(is_busy);
            return;
        }
        self.node.node.0.write().timestamp = now;
        for (_, failure) in self.node.work() {
            match failure {
                Failure::NotAsked { .. } | Failure::NoHead(_) => {}
                // It came back from a branch, and the note of it is gone.
                Failure::NotPooled(challenge) => assert!(self.has_in_pool(challenge), "{challenge}"),
                other => panic!("of an honest companion: {other:?}"),
            }
        }
        self.node.asked();
        self.note_new();
        let killed = self.weather.lock().unwrap().notes.take();
        if let Some(notes) = killed {
            // What it did afterwards never happened.
            self.write_down(notes);
            self.seen.locks_left += u64::from(self.node.get(LOCK).is_some());
            self.restart(at);
        }
    }

    fn has_in_pool(&self, challenge: u64) -> bool {
        self.node.pool.waiting.lock().unwrap().iter().any(|bytes| response_of(bytes).challenge == challenge)
    }

    /// Some blocks are made that hold answers, and then a longer branch from below them.
    fn fork(&mut self, at: u64) {
        let depth = [1, 2, 10][chance("depth", at, 3) as usize];
        let (seed, since) = (Seed::get(), SeedKnownSince::get());
        self.included.clear();
        frame_support::storage::with_transaction(|| {
            for block in 0..depth {
                self.block(at * 1_000 + block, true, true);
                renew_seed();
            }
            TransactionOutcome::Rollback(Ok::<_, DispatchError>(()))
        })
        .unwrap();
        Seed::set(seed);
        SeedKnownSince::set(since);
        let retracted = std::mem::take(&mut self.included);
        self.seen.retracted += retracted.len() as u64;
        if chance("killed in the fork", at, 2) == 0 {
            self.restart(at);
        } else {
            // A pool takes back what is an answer on the other branch too.
            let is_valid = |bytes: &Vec<u8>| response_of(bytes).validity().is_ok();
            self.node.pool.waiting.lock().unwrap().extend(retracted.into_iter().filter(is_valid));
            self.seen.returned += self.note_new();
        }
        let have_others_them = chance("others have the answers", at, 2) == 0;
        for block in 0..=depth {
            self.block(at * 1_000 + 500 + block, have_others_them, block == depth);
        }
    }
}

#[test]
fn an_honest_operator_is_never_slashed_however_often_its_node_dies_in_a_day() {
    with_day(
        |_, _| false,
        |mut day| {
            day.play(|_| false);
            let tally = Pakit::stake_behind(DAG).unwrap().tally;
            assert_eq!((tally.missed, staked(OWNER)), (0, STAKE));
            let open = Pakit::open_challenges(DAG).len() as u64;
            assert_eq!(tally.answered + open, NextChallenge::<Test>::get(), "each that was drawn is answered");
            assert!(tally.answered > 4 * DAY / 100, "{tally:?}");
            let seen = &day.seen;
            let happened = [
                (seen.restarts, 1_000),
                (seen.lost_with_pool, 500),
                (seen.locks_left, 50),
                (seen.notes_lost, 300),
                (seen.retracted, 200),
                (seen.returned, 50),
                (seen.sent_again, 500),
                (seen.busy, 1_000),
                (seen.away, 2_000),
                (seen.expired, 20),
            ];
            assert!(happened.into_iter().all(|(times, at_least)| times >= at_least), "{seen:?}");
        },
    );
}

#[test]
fn one_that_has_lost_contents_is_slashed_for_them_in_the_same_day_and_for_nothing_else() {
    /// One of 12 blocks, with 5 of 35 slices.
    const LOST: u64 = 8;
    with_day(
        |keeper, position| keeper.leaf_of(position) == LOST,
        |mut day| {
            day.play(|_| staked(OWNER) < STAKE);
            let (challenges, slashed, _, _) = missed().unwrap();
            assert!(slashed > 0 && staked(OWNER) == STAKE - slashed);
            let network = day.node.network.lock().unwrap();
            let drawn = |challenge: u64| {
                System::read_events_for_pallet::<Event<Test>>().into_iter().find_map(|event| match event {
                    Event::ChallengesDrawn { first, positions, .. } => {
                        positions.get(usize::try_from(challenge.checked_sub(first)?).unwrap()).copied()
                    }
                    _ => None,
                })
            };
            for challenge in challenges {
                assert_eq!(network.keeper.leaf_of(drawn(challenge).unwrap()), LOST, "{:?}", day.seen);
            }
        },
    );
}

#[test]
fn one_whose_companion_stays_away_is_slashed_in_the_same_day() {
    with_day(
        |_, _| true,
        |mut day| {
            day.play(|_| missed().is_some());
            assert_eq!(missed().unwrap().0.len(), 4, "{:?}", day.seen);
        },
    );
}
