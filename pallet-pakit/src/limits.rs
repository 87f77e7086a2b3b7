//! Proof that the bounds fit a runtime's blocks, run by its `integrity_test`.

use crate::{
    Config, Pallet, WeightInfo,
    types::{Ancestors, BalanceOf, ConsistencyPath, HeaderBytes, InclusionPath, OperatorsOf},
};
use codec::MaxEncodedLen;
use frame_support::{dispatch::DispatchClass, traits::Get, weights::Weight};
use pakit_primitives::{
    Head,
    lineage::LINEAGE_HEADERS_MAX,
    log::{CONSISTENCY_PATH_MAX, INCLUSION_PATH_MAX},
};
use sp_runtime::traits::{CheckedAdd, CheckedMul};

/// Room in an extrinsic for what is not the call's bounded arguments: signature, extensions, indices and numbers.
const ENVELOPE_BYTES: usize = 1024;

impl<T: Config> Pallet<T> {
    /// # Panics
    /// When the constants of the runtime do not fit together. It is called by tests of the runtime only.
    pub(crate) fn assert_limits_fit() {
        let length_max = *T::BlockLength::get().max.get(DispatchClass::Normal) as usize;
        for (call, bytes) in Self::longest_calls() {
            assert!(
                bytes.saturating_add(ENVELOPE_BYTES) <= length_max,
                "the longest `{call}` takes {bytes} bytes, which do not fit into a block of {length_max}"
            );
        }
        let weights = T::BlockWeights::get();
        let weight_max = weights.get(DispatchClass::Normal).max_extrinsic.unwrap_or(weights.max_block);
        for (call, weight) in Self::heaviest_calls() {
            assert!(weight.all_lte(weight_max), "the heaviest `{call}` weighs {weight}, more than {weight_max}");
        }
        let operators_deposit = T::OperatorDeposit::get().checked_mul(&BalanceOf::<T>::from(T::MaxOperators::get()));
        assert!(
            operators_deposit.and_then(|deposit| deposit.checked_add(&T::DagDeposit::get())).is_some(),
            "the deposit of a DAG with all operators overflows the balance"
        );
    }

    /// Bytes of the bounded arguments of the calls that take many.
    fn longest_calls() -> [(&'static str, usize); 4] {
        let proof = HeaderBytes::max_encoded_len().saturating_add(InclusionPath::max_encoded_len());
        [
            ("anchor", proof + Head::max_encoded_len() + ConsistencyPath::max_encoded_len()),
            ("record_proof", proof),
            ("set_operators", OperatorsOf::<T>::max_encoded_len()),
            ("verify_lineage", proof + Ancestors::max_encoded_len()),
        ]
    }

    /// Weights of all calls with their largest arguments.
    pub(crate) fn heaviest_calls() -> [(&'static str, Weight); 10] {
        let inclusion = INCLUSION_PATH_MAX as u32;
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
        ]
    }
}
