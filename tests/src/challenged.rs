//! A staked archive with its service, and a node whose off-chain worker answers for it.

use crate::{Node, PATIENCE, POLL, Pakit, Service, chain::Balance};
use pakit_primitives::possession::Tally;
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// The key of the node's local storage under which the companions stand, as docs/offchain-worker.md has it.
pub const COMPANIONS: &[u8] = b"pakit/worker/companions";
/// A thousand of the development chain's units.
pub const STAKE: Balance = 1_000_000_000_000_000;
/// Challenges in each of its rounds.
pub const ROUND: u64 = 4;

/// How long a worker has before it gets another block to do its work after. A deadline is ten blocks long.
const BREATH: Duration = Duration::from_secs(3);

/// A node, and a staked archive whose service it knows.
#[derive(Debug)]
pub struct Challenged {
    /// Makes blocks when something is to be in them, and when it is told to.
    pub node: Node,
    /// The archive.
    pub archive: Pakit,
    /// Its service.
    pub service: Service,
    /// Its DAG.
    pub dag: u32,
    /// Its blocks, genesis not among them.
    pub blocks: Vec<String>,
}

impl Challenged {
    /// An archive in that folder, with contents around each change of a slice's or a tree's shape.
    pub fn new(folder: &Path) -> Self {
        let (node, archive) = (Node::instant(), Pakit::new(folder));
        archive.init();
        let mut blocks = Vec::new();
        for size in [1, 1023, 1024, 1025, 5_000, 30_000, 60_000] {
            let content: Vec<u8> = (0..size).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            blocks.push(archive.put(&format!("content-{size}"), content));
        }
        let dag = archive.create_dag(&node.url());
        archive.anchor();
        let service = Service::start(&archive, &[]);
        node.set_local(COMPANIONS, format!("{dag} http://{}\n", service.address()).as_bytes());
        node.stake(dag, STAKE);
        Self { node, archive, service, dag, blocks }
    }

    /// How its challenges went.
    #[track_caller]
    pub fn tally(&self) -> Tally {
        self.node.stake_behind(self.dag).unwrap().tally
    }

    /// Makes a block, and waits for something to hold, but no longer than that.
    pub fn block(&self, breath: Duration, holds: impl Fn(&Self) -> bool) {
        self.node.make_block();
        let made = Instant::now();
        while made.elapsed() < breath && !holds(self) {
            thread::sleep(POLL);
        }
    }

    /// Makes blocks until something holds, each a while after the one before: a worker that came upon another one at work leaves
    /// all to the next block's.
    #[track_caller]
    pub fn blocks_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) {
            assert!(begin.elapsed() < PATIENCE, "never {what}: {}{}", self.node.said(), self.service.said());
            self.block(BREATH, &holds);
        }
    }

    /// Blocks go by, and after each whatever is asked is answered.
    #[track_caller]
    pub fn answers_for(&self, blocks: u64) {
        let end = self.node.best() + blocks;
        while self.node.best() < end {
            self.node.make_block();
            self.blocks_until("is all answered", |it| it.node.open_challenges(it.dag).is_empty());
        }
    }
}
