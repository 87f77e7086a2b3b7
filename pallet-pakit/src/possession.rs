//! Possession challenges: a stake behind a DAG, slices of it drawn at random and shown by a deadline.
//!
//! | module | tells |
//! |---|---|
//! | `stake` | how a stake is put, unbonded, withdrawn, and what is taken from it |
//! | `round` | what the hook does with a DAG: freezes a head, draws positions, settles what was missed |
//! | `respond` | what answers a challenge, in the pool and in a block |
//! | `removed` | contents that were lawfully let go |
//! | `room` | which blocks count against a deadline |
//! | `views` | what is told about all of it |
//!
//! A DAG has one round at a time: the next is frozen when the one before is settled and its period is over. So what is stored
//! for a DAG is bounded, one item, however late answers or randomness are. docs/possession.md tells the whole.

mod removed;
mod respond;
mod room;
mod round;
mod stake;
mod views;

pub(crate) use stake::Slashed;

use crate::{
    Config,
    types::{AccountIdOf, BalanceOf},
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
    BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound, traits::ConstU32, weights::Weight,
};
use frame_system::pallet_prelude::BlockNumberFor;
use pakit_primitives::{
    Head,
    chain::DagId,
    hasher::Digest,
    possession::{CHALLENGES_MAX, ChallengeNumber, RangeNumber, Tally},
    slice::{SLICE_BYTES, SLICE_SIBLINGS_MAX},
};
use scale_info::TypeInfo;

/// Up to one item for each challenge of a round.
pub type PerChallenge<Item> = BoundedVec<Item, ConstU32<CHALLENGES_MAX>>;
/// The bytes of a slice.
pub type SliceBytes = BoundedVec<u8, ConstU32<{ SLICE_BYTES as u32 }>>;
/// BLAKE3 chaining values from a slice upwards.
pub type SliceSiblings = BoundedVec<Digest, ConstU32<{ SLICE_SIBLINGS_MAX as u32 }>>;

/// A stake as it is stored, with the round under way: all that a hook looks at for a DAG, under one key.
///
/// Frozen bytes: `tests::frozen::a_stored_stake_has_the_bytes_it_always_had`.
#[derive(CloneNoBound, PartialEqNoBound, EqNoBound, DebugNoBound, Encode, Decode, MaxEncodedLen, TypeInfo)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound())]
pub struct Stake<T: Config> {
    /// Whose it is: the DAG's owner when it was put, whoever owns the DAG since.
    pub staker: AccountIdOf<T>,
    /// What is left of it, held.
    pub amount: BalanceOf<T>,
    /// Since when it is being unbonded.
    pub unbonding_since: Option<BlockNumberFor<T>>,
    /// From which block on the next round may be frozen.
    pub next_round_at: BlockNumberFor<T>,
    /// Whether the DAG's log was shown to break the rules. No round begins any more.
    pub faulty: bool,
    /// How challenges went.
    pub tally: Tally,
    /// The round under way.
    pub round: Option<Round<BlockNumberFor<T>>>,
}

/// A head, frozen, and what was drawn from it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Round<BlockNumber> {
    /// The head that answers are proved against, kept here whatever becomes of the anchor, the DAG and its owner.
    pub head: Head,
    /// Slices under the head, at least 1.
    pub slices: u64,
    /// The block in which it was frozen. Randomness counts that became known later.
    pub frozen_at: BlockNumber,
    /// The challenges, once drawn.
    pub drawn: Option<Drawn>,
}

/// The challenges of a round.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Drawn {
    /// Number of the first; the others follow.
    pub first: ChallengeNumber,
    /// It is too late when so many blocks with room for an answer were counted, over the whole of the chain.
    pub due: u64,
    /// What is asked for.
    pub draws: PerChallenge<Draw>,
}

/// One challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Draw {
    /// The slice, counted over all under the head.
    pub position: u64,
    /// Whether it was answered.
    pub answered: bool,
}

impl Drawn {
    /// The draw of a challenge, if it is one of these.
    pub fn draw(&self, challenge: ChallengeNumber) -> Option<(usize, &Draw)> {
        let place = usize::try_from(challenge.checked_sub(self.first)?).ok()?;
        Some((place, self.draws.get(place)?))
    }

    /// Numbers of the challenges that nobody answered, with their positions.
    pub fn open(&self) -> impl Iterator<Item = (ChallengeNumber, u64)> {
        let open = self.draws.iter().zip(0u64..).filter(|(draw, _)| !draw.answered);
        open.map(|(draw, place)| (self.first.saturating_add(place), draw.position))
    }
}

/// What answers a challenge, besides the header and its inclusion under the frozen head.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Answer {
    /// The slice. It becomes public in the block that takes it.
    #[codec(index = 0)]
    Slice {
        /// Its bytes: 1 to 1,024, or none of an empty content.
        slice: SliceBytes,
        /// Its siblings in the content's tree.
        siblings: SliceSiblings,
    },
    /// That the content was let go: the block's leaf is in a range that was declared, and effective when the head was frozen.
    #[codec(index = 1)]
    Removed {
        /// Number of the range.
        range: RangeNumber,
    },
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct RoundOutcome<Balance> {
    /// Challenges of the round that were answered, in either way.
    pub answered: u32,
    /// Challenges that were missed.
    pub missed: u32,
    /// What was taken from the stake for them.
    pub slashed: Balance,
}

/// Is told how each round ended, so that a runtime can pay operators, rank them or close their accounts.
pub trait OnChallengeOutcome<AccountId, Balance> {
    /// A round of the DAG has ended, for which `staker` answers. Called within a hook or an extrinsic that must not fail: it
    /// does what it can, and does not panic. All of the round is stored by then, so that it may call the pallet.
    fn on_challenge_outcome(dag: DagId, staker: &AccountId, outcome: &RoundOutcome<Balance>);

    /// What one call weighs at most.
    fn weight() -> Weight;
}

/// Nobody is told.
impl<AccountId, Balance> OnChallengeOutcome<AccountId, Balance> for () {
    fn on_challenge_outcome(_: DagId, _: &AccountId, _: &RoundOutcome<Balance>) {}

    fn weight() -> Weight {
        Weight::zero()
    }
}
