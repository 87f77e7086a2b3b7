//! The program and the node are killed at every moment of an anchor's life, and each head is paid for once.
//!
//! `PAKIT_KILLS` asks for more kills than the least, `PAKIT_KILLS_SEED` for the moments of an earlier campaign; what the
//! machine does between two moments is not repeated.

#![allow(clippy::unwrap_used, missing_docs)]

use offchain_store::anchor::{Outbox, OutboxRow, Purpose, RowState};
use pakit_primitives::{Head, LogRoot};
use pakit_tests::{
    Node, PATIENCE, Pakit,
    chain::{ALICE, PakitCall, account},
    from_environment,
    pakit::text,
    process::{Done, Running},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Least number of kills in all.
const KILLS_MIN: u32 = 200;
/// Least number of kills at each stage.
const KILLS_PER_STAGE_MIN: u32 = 10;
/// Least number of kills of the node.
const NODE_KILLS_MIN: u32 = 20;
/// Least number of extrinsics that were lost and had to be signed anew.
const EXPIRED_MIN: u64 = 3;
/// A campaign that is not done by then never will be.
const CAMPAIGN_MAX: Duration = Duration::from_secs(40 * 60);

/// Blocks that an extrinsic is valid for: short, so that some die with what was killed, or long, so that none does.
const ERAS: [u64; 2] = [16, 64];
/// Rows that may have been written for one head while it was the newest one.
const ROWS_LOOKED_AT: u32 = 16;

/// How far a head had come when something was killed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// No row, or only expired ones: something has to be signed.
    Nothing,
    Prepared,
    Submitted,
    InBlock,
    Finalized,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Nothing, Self::Prepared, Self::Submitted, Self::InBlock, Self::Finalized];
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Victim {
    Pakit,
    Node,
}

/// When to kill.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the start.
    After(Duration),
    /// So long after the outbox shows this stage, or a later one.
    Seen(Stage, Duration),
}

/// Rows for a head, newest first, tell its stage.
fn stage_of(rows: &[OutboxRow], head: Head) -> Stage {
    let newest = rows.iter().find(|row| matches!(row.purpose, Purpose::Anchor { head: its, .. } if its == head));
    match newest.map(|row| row.state) {
        None | Some(RowState::Expired) => Stage::Nothing,
        Some(RowState::Prepared) => Stage::Prepared,
        Some(RowState::Submitted) => Stage::Submitted,
        Some(RowState::InBlock) => Stage::InBlock,
        Some(RowState::Finalized) => Stage::Finalized,
        Some(RowState::Failed) => panic!("a fee was paid for nothing: {newest:?}"),
    }
}

struct Campaign {
    rng: StdRng,
    start: Instant,
    wanted: u32,
    node: Node,
    pakit: Pakit,
    kills: BTreeMap<(Victim, Stage), u32>,
    /// How long an undisturbed run took lately.
    full: Duration,
    /// How long it took lately until something was signed.
    until_signed: Duration,
    documents: u64,
    /// Heads for which `pakit anchor` said that they are anchored and final.
    anchored: Vec<Head>,
}

impl Campaign {
    fn new(rng: StdRng, wanted: u32, folder: &Path) -> Self {
        let node = Node::start(&["--seal", "interval=200", "--finalize-after", "2"]);
        let pakit = Pakit::new(folder);
        pakit.init();
        assert_eq!(pakit.create_dag(&node.url()), 0);
        Self {
            rng,
            start: Instant::now(),
            wanted,
            node,
            pakit,
            kills: BTreeMap::new(),
            full: Duration::from_secs(2),
            until_signed: Duration::from_millis(500),
            documents: 0,
            anchored: Vec::new(),
        }
    }

    fn outbox(&self) -> Outbox {
        Outbox::open_to_read(&self.pakit.repository()).unwrap()
    }

    fn stage(&self, head: Head) -> Stage {
        stage_of(&self.outbox().newest_rows(ROWS_LOOKED_AT).unwrap(), head)
    }

    fn expired(&self) -> u64 {
        let counts = self.outbox().counts().unwrap();
        counts.iter().find(|(state, _)| *state == RowState::Expired).unwrap().1
    }

    fn lacks_expired(&self) -> bool {
        self.expired() < EXPIRED_MIN
    }

    fn kills_at(&self, stage: Stage) -> u32 {
        self.kills.iter().filter(|((_, at), _)| *at == stage).map(|(_, count)| count).sum()
    }

    fn kills_of(&self, victim: Victim) -> u32 {
        self.kills.iter().filter(|((of, _), _)| *of == victim).map(|(_, count)| count).sum()
    }

    fn total(&self) -> u32 {
        self.kills.values().sum()
    }

    fn is_complete(&self) -> bool {
        self.total() >= self.wanted
            && Stage::ALL.into_iter().all(|stage| self.kills_at(stage) >= KILLS_PER_STAGE_MIN)
            && self.kills_of(Victim::Node) >= NODE_KILLS_MIN
            && !self.lacks_expired()
    }

    fn count(&mut self, victim: Victim, head: Head) -> Stage {
        let stage = self.stage(head);
        *self.kills.entry((victim, stage)).or_default() += 1;
        stage
    }

    fn random(&mut self, below: Duration) -> Duration {
        below.mul_f64(self.rng.random_range(0.0..1.0))
    }

    /// Puts something, so that there is a new head.
    fn grow(&mut self) -> Head {
        self.documents += 1;
        let number = self.documents;
        self.pakit.put(&format!("{number}"), format!("document {number}"));
        self.log_head()
    }

    fn log_head(&self) -> Head {
        let (size, root) = self.pakit.head();
        let root = hex::decode(root.trim_start_matches("0x")).unwrap().try_into().unwrap();
        Head { size, root: LogRoot::new(root) }
    }

    /// A moment for a head at this stage: any one, or one at a stage that has not seen enough.
    fn moment(&mut self, now: Stage) -> Moment {
        let enough = KILLS_PER_STAGE_MIN.max(self.total() / 8);
        let lacking: Vec<Stage> =
            Stage::ALL.into_iter().filter(|stage| *stage >= now && self.kills_at(*stage) < enough).collect();
        if lacking.is_empty() || self.rng.random_bool(0.3) {
            let span = if now == Stage::Nothing { self.full } else { self.full / 2 };
            return Moment::After(self.random(span));
        }
        match lacking[self.rng.random_range(0..lacking.len())] {
            Stage::Nothing => Moment::After(self.random(self.until_signed)),
            // Already there: any moment is one at this stage, or a later one.
            stage if stage == now => Moment::After(self.random(self.until_signed)),
            stage => {
                let later = if self.rng.random_bool(0.5) { Duration::ZERO } else { Duration::from_millis(20) };
                Moment::Seen(stage, self.random(later))
            }
        }
    }

    /// Waits for the moment. False if the process ended before.
    fn wait_for(&mut self, anchoring: &mut Running, moment: Moment, head: Head) -> bool {
        let start = Instant::now();
        let outbox = self.outbox();
        let mut due = match moment {
            Moment::After(delay) => Some(delay),
            Moment::Seen(..) => None,
        };
        let mut is_signed = stage_of(&outbox.newest_rows(ROWS_LOOKED_AT).unwrap(), head) > Stage::Nothing;
        loop {
            let elapsed = start.elapsed();
            if due.is_some_and(|due| elapsed >= due) {
                return true;
            }
            if anchoring.ended().is_some() {
                return false;
            }
            assert!(elapsed < PATIENCE, "nothing happens: {}", anchoring.stderr());
            let stage = stage_of(&outbox.newest_rows(ROWS_LOOKED_AT).unwrap(), head);
            if stage > Stage::Nothing && !is_signed {
                is_signed = true;
                self.until_signed = (self.until_signed + elapsed) / 2;
            }
            match moment {
                Moment::Seen(wanted, later) if due.is_none() && stage >= wanted => due = Some(elapsed + later),
                _ => thread::sleep(Duration::from_micros(500)),
            }
        }
    }

    fn start_anchoring(&mut self) -> Running {
        let era = ERAS[self.rng.random_range(0..ERAS.len())];
        self.start_anchoring_with(era)
    }

    fn start_anchoring_with(&self, era: u64) -> Running {
        self.pakit.start(["anchor", "--watch", "--dev", "--json", "--era", &era.to_string()])
    }

    /// Kills the program at some moment of its work for the log's head, or the node under it.
    fn kill_once(&mut self, head: Head) {
        let is_nodes_turn = self.rng.random_bool(0.11);
        let now = self.stage(head);
        // What a dead node had in its pool is lost, and expires if nobody sends it again.
        let is_to_expire = is_nodes_turn && now == Stage::Nothing && self.lacks_expired();
        let final_number = self.node.finalized();
        let final_hash = self.node.block_hash(final_number);
        let (moment, mut anchoring) = if is_to_expire {
            (Moment::Seen(Stage::Prepared, Duration::ZERO), self.start_anchoring_with(ERAS[0]))
        } else {
            (self.moment(now), self.start_anchoring())
        };
        if !self.wait_for(&mut anchoring, moment, head) {
            return self.note_end(anchoring.wait(), head);
        }
        if is_nodes_turn {
            self.node.kill9();
            self.count(Victim::Node, head);
            self.go_on_without_node(anchoring, head, is_to_expire);
            assert_eq!(self.node.block_hash(final_number), final_hash, "what was finalized before the kill still is");
        } else if let Some(done) = self.kill_pakit(anchoring, head) {
            self.note_end(done, head);
        }
    }

    /// Kills the program, unless it ended by itself just before.
    fn kill_pakit(&mut self, anchoring: Running, head: Head) -> Option<Done> {
        let done = anchoring.kill9();
        if done.signal.is_none() {
            return Some(done);
        }
        self.count(Victim::Pakit, head);
        None
    }

    /// The program whose node vanished dies with it, or when it has come back, or goes on to the end.
    fn go_on_without_node(&mut self, mut anchoring: Running, head: Head, is_to_expire: bool) {
        let ended = if is_to_expire || self.rng.random_bool(0.3) {
            let ended = self.kill_pakit(anchoring, head);
            self.node.restart();
            self.let_era_end();
            ended
        } else {
            self.node.restart();
            let later = Moment::After(self.random(self.full));
            if self.rng.random_bool(0.5) && self.wait_for(&mut anchoring, later, head) {
                self.kill_pakit(anchoring, head)
            } else {
                Some(anchoring.wait())
            }
        };
        let Some(done) = ended else { return };
        // One that had not reached the node yet may give up.
        if done.code == Some(3) && !done.stderr.contains("connected to") {
            assert!(done.stderr.contains(&self.node.url()), "not about the node: {}", done.stderr);
        } else {
            self.note_end(done, head);
        }
    }

    /// Waits, sometimes, until what was signed with a short era and is lost can be in no block any more.
    fn let_era_end(&mut self) {
        let chance = if self.lacks_expired() { 1.0 } else { 0.2 };
        let rows = self.outbox().newest_rows(ROWS_LOOKED_AT).unwrap();
        let short = rows.iter().filter(|row| row.state.is_live() && row.signed.era.period == ERAS[0]);
        let Some(death) = short.map(|row| row.signed.era.death()).max() else { return };
        if self.rng.random_bool(chance) {
            self.node.until("past the era", |node| node.finalized() >= death);
        }
    }

    /// A run that came to its end: it anchored the head.
    fn note_end(&mut self, done: Done, head: Head) {
        let receipt = done.ok().object();
        assert_eq!(text(&receipt, "status"), "finalized");
        assert_eq!((receipt["size"].as_u64(), text(&receipt, "root")), (Some(head.size), head.root.to_string()));
        assert_eq!(self.stage(head), Stage::Finalized, "{receipt}");
        if self.anchored.last() != Some(&head) {
            self.anchored.push(head);
        }
    }

    /// A new head with some kills on its way, in the end anchored.
    fn round(&mut self) {
        let mut head = self.grow();
        for _ in 0..self.rng.random_range(1..=5) {
            self.kill_once(head);
            if self.stage(head) == Stage::Finalized {
                break;
            }
            // Another head while this one is on its way: from now on both are.
            if self.rng.random_bool(0.08) {
                head = self.grow();
            }
        }
        let was_killed = self.stage(head) > Stage::Nothing;
        let start = Instant::now();
        let done = self.start_anchoring().wait();
        if !was_killed {
            self.full = (self.full + start.elapsed()) / 2;
        }
        assert_eq!(done.code, Some(0), "{done:?}");
        self.note_end(done, head);
        if self.kills_at(Stage::Finalized) < KILLS_PER_STAGE_MIN || self.rng.random_bool(0.05) {
            let moment = Moment::After(self.random(self.until_signed));
            let mut anchoring = self.start_anchoring();
            if self.wait_for(&mut anchoring, moment, head) {
                if let Some(done) = self.kill_pakit(anchoring, head) {
                    self.note_end(done, head);
                }
            } else {
                self.note_end(anchoring.wait(), head);
            }
        }
    }

    /// Compares every signed extrinsic of the chain with the heads and with the outbox.
    fn check_chain(&self) {
        let best = self.node.best();
        self.node.until("final", |node| node.finalized() >= best);
        let extrinsics = self.node.extrinsics();
        let alice = account(ALICE);
        let mut anchors_by_head: BTreeMap<u64, Vec<Head>> = BTreeMap::new();
        for (nonce, extrinsic) in extrinsics.iter().enumerate() {
            assert_eq!((extrinsic.signer, extrinsic.nonce as usize), (alice, nonce), "{extrinsic:?}");
            match (nonce, &extrinsic.call) {
                (0, Some(PakitCall::CreateDag)) => {}
                (1.., Some(PakitCall::Anchor { dag: 0, head })) => {
                    anchors_by_head.entry(head.size).or_default().push(*head);
                }
                _ => panic!("nobody asked for {extrinsic:?}"),
            }
        }
        for (size, heads) in &anchors_by_head {
            assert_eq!(heads.len(), 1, "size {size} is paid for more than once: {heads:?}");
        }
        for head in &self.anchored {
            assert_eq!(anchors_by_head.get(&head.size), Some(&vec![*head]), "not on the chain");
        }

        let anchors = extrinsics.len() - 1;
        let info = self.node.dag(0).unwrap();
        // Creation is the first anchor. The chain only counts calls that succeeded.
        assert_eq!(info.anchors, 1 + anchors as u64, "an anchor extrinsic failed");
        assert_eq!((info.latest, Some(&info.latest)), (self.log_head(), self.anchored.last()));
        let nonce: u32 = self.node.runtime("AccountNonceApi_account_nonce", alice);
        assert_eq!(nonce as usize, 1 + anchors);

        let rows = self.outbox().newest_rows(offchain_store::sqlite::outbox::ROWS_MAX).unwrap();
        let settled: Vec<_> = rows.iter().rev().filter(|row| row.state != RowState::Expired).collect();
        assert!(settled.iter().all(|row| row.state == RowState::Finalized), "{settled:?}");
        let mut in_outbox: Vec<_> = settled.iter().map(|row| (row.signed.nonce, &row.signed.bytes)).collect();
        in_outbox.sort_unstable();
        let on_chain: Vec<_> =
            extrinsics.iter().map(|extrinsic| (u64::from(extrinsic.nonce), &extrinsic.bytes)).collect();
        assert!(in_outbox == on_chain, "the outbox and the chain disagree about what was paid for");
        for row in settled {
            let place = row.placement.unwrap();
            let extrinsic = &extrinsics[usize::try_from(row.signed.nonce).unwrap()];
            assert_eq!((place.block_number, place.extrinsic_index as usize), (extrinsic.block_number, extrinsic.index));
        }
        assert!(self.anchored.len() <= anchors);
    }
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills in {:.0?}", self.total(), self.start.elapsed())?;
        for stage in Stage::ALL {
            write!(f, "; {stage:?} {}", self.kills_at(stage))?;
        }
        write!(
            f,
            "; of the node {}; heads {}; expired {}",
            self.kills_of(Victim::Node),
            self.anchored.len(),
            self.expired()
        )
    }
}

#[test]
fn whatever_is_killed_and_whenever_each_head_is_paid_for_exactly_once() {
    let seed = from_environment("PAKIT_KILLS_SEED").unwrap_or_else(|| rand::rng().random::<u64>());
    // Only shown where the test fails.
    println!("PAKIT_KILLS_SEED={seed}");
    let wanted = from_environment("PAKIT_KILLS").unwrap_or(KILLS_MIN).max(KILLS_MIN);
    let scratch = tempfile::tempdir().unwrap();
    let mut campaign = Campaign::new(StdRng::seed_from_u64(seed), wanted, scratch.path());
    while !campaign.is_complete() {
        assert!(campaign.start.elapsed() < CAMPAIGN_MAX, "not enough of each: {campaign}");
        campaign.round();
        println!("{campaign}");
    }
    campaign.check_chain();
    println!("done: {campaign}");
}
