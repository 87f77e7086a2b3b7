//! Reports that an anchored log breaks the rules.

use crate::{
    AnchoredHeads, Config, Dags, Error, Event, Faults, HostHasher, Pallet, Stakes,
    possession::Slashed,
    types::{AccountIdOf, EvidenceOf},
};
use frame_support::{dispatch::DispatchResult, ensure, traits::Get};
use pakit_primitives::{
    chain::{AnchorNumber, DagId, VerifyError},
    fraud::FraudError,
    possession::Fault,
};
use sp_runtime::traits::Zero;

impl<T: Config> Pallet<T> {
    /// Marks the DAG as faulty, for good, and rewards the reporter from the stake, if there is one.
    pub(crate) fn report_fault(
        reporter: AccountIdOf<T>,
        dag: DagId,
        anchor: AnchorNumber,
        evidence: EvidenceOf,
    ) -> DispatchResult {
        ensure!(Dags::<T>::contains_key(dag), Error::<T>::UnknownDag);
        ensure!(!Faults::<T>::contains_key(dag), Error::<T>::DagFaulty);
        let head = AnchoredHeads::<T>::get(dag, anchor).ok_or(Error::<T>::UnknownHead)?.head;
        let kind = evidence.verify::<HostHasher>(&head).map_err(Error::<T>::from)?;
        let reported_at = frame_system::Pallet::<T>::block_number();
        Faults::<T>::insert(dag, Fault { kind, head, reported_at });
        let mut taken = Slashed { slashed: Zero::zero(), rewarded: Zero::zero() };
        if let Some(mut stake) = Stakes::<T>::get(dag) {
            stake.faulty = true;
            taken = Self::slash(&mut stake, T::FaultSlash::get(), 1, Some(&reporter));
            Stakes::<T>::insert(dag, stake);
        }
        let Slashed { slashed, rewarded } = taken;
        Self::deposit_event(Event::FaultReported { dag, anchor, kind, evidence, slashed, rewarded, reporter });
        Ok(())
    }
}

impl<T: Config> From<FraudError> for Error<T> {
    fn from(error: FraudError) -> Self {
        match error {
            FraudError::Header(error) => VerifyError::from(error).into(),
            FraudError::Log(error) => VerifyError::from_inclusion(error).into(),
            FraudError::NotAParent => Self::NotAParent,
            FraudError::NotNeighbours => Self::NotNeighbours,
            // A leaf that is too long does not fit a call.
            _ => Self::WellFormed,
        }
    }
}
