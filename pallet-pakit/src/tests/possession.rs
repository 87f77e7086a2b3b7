//! Stakes and challenges, with archives that have real contents.

use super::*;
use crate::{
    BlocksWithRoom, Call, Stakes,
    possession::{Answer, RoundOutcome},
    types::{HeaderBytes, InclusionPath, OpenChallengeOf},
};
use frame_support::traits::Authorize;
use pakit_primitives::{
    ContentHash, Hasher, Header, SoftwareHasher,
    hasher::Digest,
    log::{Subtree, inclusion_subtrees},
    slice::{SLICE_BYTES, slice_count},
};
use sp_runtime::transaction_validity::{TransactionSource, TransactionValidityError, ValidTransaction};

mod day;
mod deadlines;
mod model;
mod queue;
pub(super) mod refusals;
mod removed;
mod rounds;
mod stakes;
mod worker;

/// What is held of the account's behind its DAGs.
fn staked(who: AccountId) -> u64 {
    Balances::balance_on_hold(&HoldReason::Stake.into(), &who)
}

/// An archive and its contents.
pub(crate) struct Keeper {
    pub(crate) archive: Archive,
    contents: Vec<Vec<u8>>,
}

impl Keeper {
    /// A block for each size.
    pub(crate) fn of_sizes(sizes: impl IntoIterator<Item = usize>) -> Self {
        let mut headers: Vec<Header> = Vec::new();
        let mut contents = Vec::new();
        for (leaf_index, size) in (0u64..).zip(sizes) {
            let content: Vec<u8> = (0..size).map(|at| (at as u64 * 7 + leaf_index) as u8).collect();
            headers.push(Header {
                content_hash: ContentHash::new(SoftwareHasher::blake3(&content)),
                original_size: size as u64,
                compression: pakit_primitives::Compression::None,
                slices_before: headers.last().map_or(0, Header::slices_through),
                ..header_after(&headers, leaf_index)
            });
            contents.push(content);
        }
        Self { archive: Archive::of(headers), contents }
    }

    /// Sizes around each change of a slice's or a tree's shape, an empty content among them.
    pub(crate) fn new() -> Self {
        Self::of_sizes([36, 0, 1, 1023, 1024, 1025, 2048, 3000, 5000, 0, 16_384, 100])
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.contents.len() as u64
    }

    /// A DAG of the owner's with all blocks, staked.
    pub(crate) fn staked(self, amount: u64) -> Self {
        assert_ok!(self.archive.create(OWNER));
        assert_ok!(self.archive.anchor(OWNER, DAG, self.blocks()));
        assert_ok!(Pakit::stake(signed(OWNER), DAG, amount));
        self
    }

    /// The block that holds a position.
    pub(crate) fn leaf_of(&self, position: u64) -> u64 {
        self.archive.headers.iter().rfind(|header| header.slices_before <= position).unwrap().leaf_index
    }

    pub(crate) fn answer(&self, open: &OpenChallengeOf<Test>) -> Response {
        let leaf_index = self.leaf_of(open.position);
        let content = &self.contents[leaf_index as usize];
        let index = open.position - self.archive.headers[leaf_index as usize].slices_before;
        // None in an ill-formed log, whose headers claim more slices than contents have.
        let siblings = inclusion_subtrees(index, slice_count(content.len() as u64)).unwrap_or_default();
        let siblings: Vec<Digest> = siblings.into_iter().map(|subtree| chaining_value(content, subtree)).collect();
        Response {
            dag: open.dag,
            challenge: open.challenge,
            header: self.archive.header(leaf_index),
            inclusion: self.archive.inclusion(leaf_index, open.head.size),
            answer: Answer::Slice {
                slice: slice_of(content, index).to_vec().try_into().unwrap(),
                siblings: siblings.try_into().unwrap(),
            },
        }
    }

    /// Answers all that is open.
    pub(crate) fn answer_all(&self, dag: u32) {
        for open in Pakit::open_challenges(dag) {
            assert_ok!(self.answer(&open).send());
        }
    }
}

fn slice_of(content: &[u8], index: u64) -> &[u8] {
    let start = content.len().min((index * SLICE_BYTES) as usize);
    &content[start..content.len().min(start + SLICE_BYTES as usize)]
}

fn chaining_value(content: &[u8], subtree: Subtree) -> Digest {
    if subtree.len() == 1 {
        return SoftwareHasher::blake3_slice(subtree.start, slice_of(content, subtree.start));
    }
    let middle = subtree.start + (1 << (subtree.len() - 1).ilog2());
    SoftwareHasher::blake3_parent(
        &chaining_value(content, Subtree { start: subtree.start, end: middle }),
        &chaining_value(content, Subtree { start: middle, end: subtree.end }),
    )
}

/// The arguments of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) dag: u32,
    pub(crate) challenge: u64,
    pub(crate) header: HeaderBytes,
    pub(crate) inclusion: InclusionPath,
    pub(crate) answer: Answer,
}

impl Response {
    pub(crate) fn call(&self) -> Call<Test> {
        let Self { dag, challenge, header, inclusion, answer } = self.clone();
        Call::respond { dag, challenge, header, inclusion, answer }
    }

    /// What a pool says of it.
    pub(crate) fn validity(&self) -> Result<ValidTransaction, TransactionValidityError> {
        self.call().authorize(TransactionSource::External).unwrap().map(|(valid, _)| valid)
    }

    /// As the extension lets it through, and only then.
    pub(crate) fn send(&self) -> DispatchResult {
        let authorized = self.validity().is_ok();
        let taken = self.force();
        assert_eq!(taken.is_ok(), authorized, "the pool and the block do not agree: {taken:?}");
        taken
    }

    /// Whatever the pool says of it.
    pub(crate) fn force(&self) -> DispatchResult {
        let Self { dag, challenge, header, inclusion, answer } = self.clone();
        let origin = RuntimeOrigin::from(frame_system::RawOrigin::Authorized);
        frame_support::storage::with_storage_layer(|| Pakit::respond(origin, dag, challenge, header, inclusion, answer))
    }
}

/// Blocks go by until challenges of the DAG are drawn, from new randomness.
pub(super) fn draw(dag: u32) -> Vec<OpenChallengeOf<Test>> {
    for _ in 0..200 {
        next_block();
        renew_seed();
        let open = Pakit::open_challenges(dag);
        if !open.is_empty() {
            return open;
        }
    }
    panic!("nothing was drawn");
}

/// The event of the newest round that was missed: slashed, rewarded, and by whom it was reported.
fn missed() -> Option<(Vec<u64>, u64, u64, Option<AccountId>)> {
    System::read_events_for_pallet::<Event<Test>>().into_iter().rev().find_map(|event| match event {
        Event::ChallengeMissed { challenges, slashed, rewarded, reporter, .. } => {
            Some((challenges.into_inner(), slashed, rewarded, reporter))
        }
        _ => None,
    })
}

fn outcome(answered: u32, missed: u32, slashed: u64) -> RoundOutcome<u64> {
    RoundOutcome { answered, missed, slashed }
}
