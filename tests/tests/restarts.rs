//! A node with its worker and the archive's service are killed at any moment and started again, and branches lose with the answers
//! that they held: challenges go on being answered, and none is missed.
//!
//! `PAKIT_RESTARTS_SEED` asks for the moments of an earlier campaign; what the machine does between two moments is not repeated.

#![allow(clippy::unwrap_used, missing_docs)]

use pakit_tests::{
    Challenged, PATIENCE,
    challenged::{ROUND, STAKE},
    from_environment,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    fmt, thread,
    time::{Duration, Instant},
};

/// Least number of blocks of the chain that is left in the end.
const BLOCKS_MIN: u64 = 120;
/// Least number of kills of each program, and of forks.
const KILLS_MIN: u32 = 10;
const FORKS_MIN: u32 = 6;
/// Least number of answers that these take back.
const RETRACTED_MIN: usize = 4;
/// A campaign that is not done by then never will be.
const CAMPAIGN_MAX: Duration = Duration::from_secs(30 * 60);

/// Of a deadline of 10 blocks so many are left to whoever comes to look after node and service: by then both run, and are let alone.
const RESERVE: u64 = 6;
/// How long a block waits for answers then. The lock of a worker that was killed is void after 30 seconds.
const BREATH: Duration = Duration::from_secs(16);
/// The deepest branch that loses: with it goes as much of the deadline.
const DEPTH_MAX: u64 = 3;
/// A block, the worker's requests and answers are done by then.
const MOMENT_MAX: Duration = Duration::from_millis(300);

struct Campaign {
    rng: StdRng,
    start: Instant,
    it: Challenged,
    node_kills: u32,
    service_kills: u32,
    forks: u32,
    /// Answers that a losing branch held, as far as its challenges are open again.
    retracted: usize,
    /// The block from which nothing is final.
    first: u64,
}

impl Campaign {
    fn new(rng: StdRng, mut it: Challenged) -> Self {
        it.node.restart_as(&["--seal", "manual", "--finalize-after", "never"]);
        let first = it.node.best();
        Self { rng, start: Instant::now(), it, node_kills: 0, service_kills: 0, forks: 0, retracted: 0, first }
    }

    fn is_complete(&self) -> bool {
        self.it.node.best() >= self.first + BLOCKS_MIN
            && self.node_kills.min(self.service_kills) >= KILLS_MIN
            && self.forks >= FORKS_MIN
            && self.retracted >= RETRACTED_MIN
    }

    /// Blocks until the first deadline is over, after a block.
    fn blocks_left(&self, block: Option<&str>) -> u64 {
        let open = self.it.node.open_challenges_at(block, self.it.dag);
        open.iter().map(|open| open.blocks_left).min().unwrap_or(u64::MAX)
    }

    fn moment(&mut self) {
        thread::sleep(MOMENT_MAX.mul_f64(self.rng.random_range(0.0..1.0)));
    }

    /// A block, and a while in which answers for all that is open may come into the pool.
    fn calm_block(&self) {
        self.it.block(BREATH, |it| it.node.has_answers_for(&it.node.open_challenges(it.dag)));
    }

    /// The worker is at its work, or the author still at the block.
    fn kill_node(&mut self) {
        let _block = self.it.node.begin_block();
        self.moment();
        self.it.node.kill9();
        self.node_kills += 1;
    }

    fn kill_service(&mut self) {
        let _block = self.it.node.begin_block();
        self.moment();
        self.it.service.kill9();
        self.service_kills += 1;
    }

    /// The block so far below the best one, from which a longer branch without an answer can be survived.
    fn base(&self, depth: u64) -> Option<String> {
        let number = self.it.node.best().checked_sub(depth).filter(|number| *number >= self.first)?;
        let base = self.it.node.block_hash(number);
        (self.blocks_left(Some(&base)) >= depth + 1 + RESERVE).then_some(base)
    }

    /// How many challenges were answered since a block, of those that were open after it.
    fn answered_since(&self, base: &str) -> usize {
        let now = self.it.node.open_challenges(self.it.dag);
        let mut then = self.it.node.open_challenges_at(Some(base), self.it.dag);
        then.retain(|open| now.iter().all(|still| still.challenge != open.challenge));
        then.len()
    }

    /// The best chain goes on from below its newest blocks, with a branch that holds no answer: where that takes some back, if there
    /// is such a place.
    fn fork(&mut self) {
        let random = self.rng.random_range(1..=DEPTH_MAX);
        let places = (1..=DEPTH_MAX).filter_map(|depth| Some((depth, self.base(depth)?)));
        let taken_back = places.map(|(depth, base)| (self.answered_since(&base), depth, base)).max();
        let Some((retracted, mut depth, mut base)) = taken_back else { return self.calm_block() };
        if let (0, Some(at_random)) = (retracted, self.base(random)) {
            (depth, base) = (random, at_random);
        }
        self.it.node.make_branch(&base, usize::try_from(depth).unwrap() + 1, &[]);
        self.retracted += retracted;
        self.forks += 1;
    }

    fn round(&mut self) {
        if self.blocks_left(None) <= RESERVE {
            return self.calm_block();
        }
        let has_answered =
            (1..=DEPTH_MAX).any(|depth| self.base(depth).is_some_and(|base| self.answered_since(&base) > 0));
        match self.rng.random_range(if has_answered { 4..8 } else { 0..10 }) {
            0 => self.kill_node(),
            1 | 2 => {
                self.kill_service();
                // The next block may find it away.
                for _ in 0..self.rng.random_range(0..=1) {
                    self.it.node.make_block();
                    self.moment();
                }
            }
            3 => {
                self.kill_service();
                self.kill_node();
            }
            4 => self.fork(),
            5 => {
                self.fork();
                self.moment();
                // What the branch held is in no pool any more.
                self.it.node.kill9();
                self.node_kills += 1;
            }
            _ => self.calm_block(),
        }
        self.start_again();
    }

    /// Starts what was killed.
    fn start_again(&mut self) {
        if !self.it.node.is_running() {
            self.it.node.restart();
        }
        if !self.it.service.is_running() {
            self.it.service.restart();
        }
    }
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node_kills, service_kills, forks, retracted, .. } = self;
        let (blocks, elapsed) = (self.it.node.best() - self.first, self.start.elapsed());
        write!(
            f,
            "{blocks} blocks in {elapsed:.0?}; kills of the node {node_kills}, of the service {service_kills}; forks {forks}, that \
             took back {retracted} answers; {:?}",
            self.it.tally()
        )
    }
}

#[test]
fn nothing_is_missed_though_node_and_service_are_killed_again_and_again_and_branches_lose() {
    let seed = from_environment("PAKIT_RESTARTS_SEED").unwrap_or_else(|| rand::rng().random::<u64>());
    // Only shown where the test fails.
    println!("PAKIT_RESTARTS_SEED={seed}");
    let scratch = tempfile::tempdir().unwrap();
    let it = Challenged::new(&scratch.path().join("archive"));
    let mut campaign = Campaign::new(StdRng::seed_from_u64(seed), it);
    while !campaign.is_complete() {
        assert!(campaign.start.elapsed() < CAMPAIGN_MAX, "not enough of each: {campaign}");
        campaign.round();
        assert_eq!(campaign.it.tally().missed, 0, "{campaign}: {}", campaign.it.node.said());
    }
    println!("{campaign}");

    // Left alone, it goes on as if nothing had been.
    let (before, begin) = (campaign.it.tally().answered, Instant::now());
    while campaign.it.tally().answered < before + 2 * ROUND {
        assert!(begin.elapsed() < PATIENCE, "{campaign}: {}", campaign.it.node.said());
        campaign.calm_block();
    }
    let tally = campaign.it.tally();
    assert_eq!((tally.missed, tally.declared), (0, 0));
    // A round is 20 blocks long, and some for draw and answers.
    assert!(tally.answered >= BLOCKS_MIN / 40 * ROUND, "{campaign}");
    assert_eq!(campaign.it.node.stake_behind(campaign.it.dag).unwrap().amount, STAKE);
}
