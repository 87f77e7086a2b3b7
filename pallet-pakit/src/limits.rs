//! Proof that the bounds fit a runtime's blocks, run by its `integrity_test`.

use crate::{
    Config, Pallet, WeightInfo,
    possession::{Answer, OnChallengeOutcome},
    types::{Ancestors, BalanceOf, ConsistencyPath, EvidenceOf, HeaderBytes, InclusionPath, OperatorsOf},
};
use codec::MaxEncodedLen;
use frame_support::{dispatch::DispatchClass, traits::Get, weights::Weight};
use pakit_primitives::{
    Head,
    lineage::LINEAGE_HEADERS_MAX,
    log::{CONSISTENCY_PATH_MAX, INCLUSION_PATH_MAX},
    possession::{CHALLENGES_MAX, CHALLENGES_MIN},
    slice::SLICE_SIBLINGS_MAX,
};
use sp_runtime::{
    Perbill,
    traits::{CheckedAdd, CheckedMul, Saturating, Zero},
};

/// The part of a block that the hook may take.
const HOOK_SHARE: Perbill = Perbill::from_percent(25);
/// Room in an extrinsic for what is not the call's bounded arguments: signature, extensions, indices and numbers.
const ENVELOPE_BYTES: usize = 1024;

impl<T: Config> Pallet<T> {
    /// # Panics
    /// When the constants of the runtime do not fit together. It is called by tests of the runtime only.
    pub(crate) fn assert_limits_fit() {
        let lengths = T::BlockLength::get();
        for (call, bytes) in Self::longest_calls() {
            let length_max = *lengths.max.get(class_of(call)) as usize;
            assert!(
                bytes.saturating_add(ENVELOPE_BYTES) <= length_max,
                "the longest `{call}` takes {bytes} bytes, which do not fit into a block of {length_max}"
            );
        }
        let weights = T::BlockWeights::get();
        for (call, weight) in Self::heaviest_calls() {
            let weight_max = weights.get(class_of(call)).max_extrinsic.unwrap_or(weights.max_block);
            assert!(weight.all_lte(weight_max), "the heaviest `{call}` weighs {weight}, more than {weight_max}");
        }
        let operators_deposit = T::OperatorDeposit::get().checked_mul(&BalanceOf::<T>::from(T::MaxOperators::get()));
        assert!(
            operators_deposit.and_then(|deposit| deposit.checked_add(&T::DagDeposit::get())).is_some(),
            "the deposit of a DAG with all operators overflows the balance"
        );
        Self::assert_challenges_fit();
    }

    /// That challenges find a loss, that nobody is slashed for what could not be answered, and that no stake is out of reach
    /// before what it stands behind is settled.
    fn assert_challenges_fit() {
        let challenges = T::ChallengesPerRound::get();
        assert!(
            (CHALLENGES_MIN..=CHALLENGES_MAX).contains(&challenges),
            "a round has {challenges} challenges, not {CHALLENGES_MIN} to {CHALLENGES_MAX}"
        );
        assert!(!T::ChallengePeriod::get().is_zero(), "rounds have no period");
        assert!(T::ResponseDeadline::get() > 0, "challenges have no time to be answered");
        assert!(T::DagsPerBlock::get() > 0, "no block looks at any DAG");
        let settled =
            T::DrawDelay::get().saturating_add(T::ResponseDeadline::get().into()).saturating_add(T::FraudWindow::get());
        assert!(
            T::UnbondingPeriod::get() > settled,
            "a stake is withdrawn before draw, deadline and fraud window are over"
        );
        assert!(T::ReporterShare::get() < Perbill::one(), "who reports oneself would lose nothing");
        assert!(!T::MissSlash::get().is_zero(), "a missed challenge costs nothing");
        // A share beyond all of it is all of it.
        let missed = T::MissSlash::get().deconstruct().saturating_mul(challenges).min(Perbill::one().deconstruct());
        assert!(
            T::FaultSlash::get().deconstruct() >= missed,
            "a fault, which ends the rounds, costs less than the misses of one: who has lost its data would report itself"
        );
        let weights = T::BlockWeights::get();
        let (hook, hook_max) = (Self::heaviest_hook(), HOOK_SHARE * weights.max_block);
        assert!(hook.all_lte(hook_max), "the hook weighs up to {hook}, more than {hook_max}");
        let (answer, class) = (Self::longest_answer(), weights.get(DispatchClass::Operational));
        let room = class.max_total.or(class.reserved).unwrap_or(weights.max_block).min(weights.max_block);
        let room = room.saturating_sub(weights.base_block).saturating_sub(hook);
        assert!(answer.all_lte(room), "an answer weighs up to {answer}, and a block has room for {room}");
    }

    /// Weight of the hooks where each DAG of a block has the most to do.
    pub(crate) fn heaviest_hook() -> Weight {
        let miss = T::WeightInfo::visit_miss().saturating_add(T::OnChallengeOutcome::weight());
        let visit = T::WeightInfo::visit_freeze().max(T::WeightInfo::visit_draw()).max(miss);
        T::WeightInfo::visit_none()
            .saturating_add(visit.saturating_mul(T::DagsPerBlock::get().into()))
            .saturating_add(Self::weight_of_count())
    }

    /// Bytes of the bounded arguments of the calls that take many.
    fn longest_calls() -> [(&'static str, usize); 6] {
        let proof = HeaderBytes::max_encoded_len().saturating_add(InclusionPath::max_encoded_len());
        [
            ("anchor", proof + Head::max_encoded_len() + ConsistencyPath::max_encoded_len()),
            ("record_proof", proof),
            ("report_block", EvidenceOf::max_encoded_len()),
            ("respond", proof + Answer::max_encoded_len()),
            ("set_operators", OperatorsOf::<T>::max_encoded_len()),
            ("verify_lineage", proof + Ancestors::max_encoded_len()),
        ]
    }

    /// Weights of all calls with their largest arguments.
    pub(crate) fn heaviest_calls() -> [(&'static str, Weight); 18] {
        let (inclusion, siblings) = (INCLUSION_PATH_MAX as u32, SLICE_SIBLINGS_MAX as u32);
        let outcome = T::OnChallengeOutcome::weight();
        let respond = T::WeightInfo::respond(inclusion, siblings)
            .saturating_add(T::WeightInfo::authorize_respond(inclusion, siblings));
        let respond_removed = T::WeightInfo::respond_removed(inclusion)
            .saturating_add(T::WeightInfo::authorize_respond_removed(inclusion));
        [
            ("create_dag", T::WeightInfo::create_dag()),
            ("create_dag with succession", T::WeightInfo::create_dag_succeeding()),
            ("anchor", T::WeightInfo::anchor(CONSISTENCY_PATH_MAX as u32, inclusion)),
            ("record_proof", T::WeightInfo::record_proof(inclusion)),
            ("remove_record", T::WeightInfo::remove_record()),
            ("set_operators", T::WeightInfo::set_operators(T::MaxOperators::get())),
            ("transfer_ownership", T::WeightInfo::transfer_ownership()),
            ("accept_ownership", T::WeightInfo::accept_ownership()),
            ("retire_dag", T::WeightInfo::retire_dag()),
            ("verify_lineage", T::WeightInfo::verify_lineage(inclusion, LINEAGE_HEADERS_MAX as u32)),
            ("stake", T::WeightInfo::stake()),
            ("unbond", T::WeightInfo::unbond()),
            ("withdraw_stake", T::WeightInfo::withdraw_stake()),
            ("respond", respond.saturating_add(outcome)),
            ("respond with a range", respond_removed.saturating_add(outcome)),
            ("report_miss", T::WeightInfo::report_miss().saturating_add(outcome)),
            ("declare_removed", T::WeightInfo::declare_removed()),
            ("report_block", T::WeightInfo::report_block()),
        ]
    }
}

/// The class whose limits hold for a call. An answer that no block of its class takes would slash everybody.
fn class_of(call: &str) -> DispatchClass {
    if call.starts_with("respond") { DispatchClass::Operational } else { DispatchClass::Normal }
}
