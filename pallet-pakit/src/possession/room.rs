//! Which blocks count against a deadline: those in which an answer would still have found room.
//!
//! Were every block counted, whoever pays for full blocks until a deadline is over could have an honest archive slashed. So
//! `on_idle`, which sees what extrinsics left of a block, counts a block only if one more answer would have been taken by
//! weight and by length. That is enough for any number of challenges: as long as answers wait for lack of room there is no
//! such block, and where there is one, an author who takes what is there left nothing out.
//!
//! What the count weighs is taken in `on_initialize`, so that it depends on nothing that other pallets leave in `on_idle`. FRAME
//! passes over `on_idle` in a block whose weight is used up, and while migrations of several blocks keep extrinsics out: those
//! blocks do not count, for the same reason. Nor do those in which the runtime's own filter keeps answers out.

use super::{Answer, OnChallengeOutcome};
use crate::{
    BlocksWithRoom, Call, Config, Pallet, WeightInfo,
    types::{HeaderBytes, InclusionPath},
};
use codec::MaxEncodedLen;
use frame_support::{
    dispatch::DispatchClass,
    traits::{Contains, Get},
    weights::Weight,
};
use pakit_primitives::{log::INCLUSION_PATH_MAX, slice::SLICE_SIBLINGS_MAX};

/// Bytes of an extrinsic around the arguments of a call.
const ENVELOPE_BYTES: usize = 1024;
/// What a runtime's transaction extensions may weigh besides the authorization. A generous guess only makes fewer blocks
/// count.
const EXTENSIONS: Weight = Weight::from_parts(1_000_000_000, 16 * 1024);

impl<T: Config> Pallet<T> {
    /// What [`Self::count_room`] weighs, whatever it finds.
    pub(crate) fn weight_of_count() -> Weight {
        T::WeightInfo::count_room()
    }

    /// Whether the runtime lets answers through. One that pauses calls, as with a safe mode that anyone may enter for a deposit,
    /// would have every stake slashed if its blocks counted.
    pub(crate) fn lets_answers_through() -> bool {
        let answer = Answer::Removed { range: 0 };
        let (header, inclusion) = (HeaderBytes::new(), InclusionPath::new());
        T::BaseCallFilter::contains(&Call::<T>::respond { dag: 0, challenge: 0, header, inclusion, answer }.into())
    }

    /// Counts the block if an answer could have been in it.
    pub(crate) fn count_room() {
        if Self::lets_answers_through() && Self::has_room_for_an_answer() {
            BlocksWithRoom::<T>::mutate(|count| *count = count.saturating_add(1));
        }
    }

    /// Whether `CheckWeight` would take the longest and heaviest answer now.
    ///
    /// The block's weight is asked for and not what `on_idle` is given: another pallet's idle work takes nothing from
    /// extrinsics, and a pallet that always takes all would stop the count.
    pub(crate) fn has_room_for_an_answer() -> bool {
        let limits = T::BlockWeights::get();
        let class = limits.get(DispatchClass::Operational);
        let answer = Self::longest_answer();
        let used = frame_system::Pallet::<T>::block_weight();
        let of_class = used.get(DispatchClass::Operational).saturating_add(answer);
        let fits_class = class.max_total.is_none_or(|max| of_class.all_lte(max));
        let fits_block = used.total().saturating_add(answer).all_lte(limits.max_block)
            || class.reserved.is_none_or(|reserved| of_class.all_lte(reserved));
        let length = frame_system::Pallet::<T>::block_size().saturating_add(Self::answer_bytes());
        fits_class && fits_block && length <= *T::BlockLength::get().max.get(DispatchClass::Operational)
    }

    /// What an answer takes of a block's weight at most, its own bytes counted as `CheckWeight` counts them.
    pub(crate) fn longest_answer() -> Weight {
        let (inclusion, siblings) = (INCLUSION_PATH_MAX as u32, SLICE_SIBLINGS_MAX as u32);
        let slice = T::WeightInfo::respond(inclusion, siblings)
            .saturating_add(T::WeightInfo::authorize_respond(inclusion, siblings));
        let removed = T::WeightInfo::respond_removed(inclusion)
            .saturating_add(T::WeightInfo::authorize_respond_removed(inclusion));
        T::BlockWeights::get()
            .get(DispatchClass::Operational)
            .base_extrinsic
            .saturating_add(slice.max(removed))
            .saturating_add(T::OnChallengeOutcome::weight())
            .saturating_add(EXTENSIONS)
            .saturating_add(Weight::from_parts(0, Self::answer_bytes().into()))
    }

    /// Bytes of the longest answer's extrinsic: about 5 KiB.
    fn answer_bytes() -> u32 {
        let arguments = HeaderBytes::max_encoded_len() + InclusionPath::max_encoded_len() + Answer::max_encoded_len();
        (arguments + ENVELOPE_BYTES) as u32
    }
}
