//! Contents that an archive let go and has declared so: a draw of them is answered by that.

use crate::{Config, Error, Event, HoldReason, Pallet, RemovedCount, RemovedRanges, types::AccountIdOf};
use frame_support::{dispatch::DispatchResult, ensure, traits::Get};
use pakit_primitives::{chain::DagId, possession::RemovedRange};
use sp_runtime::traits::Saturating;

impl<T: Config> Pallet<T> {
    /// Effective after one period, so that a round that is frozen by then does not know of it: a loss cannot be declared away
    /// once it was asked for. For ever, like the log it speaks of; so its deposit does not come back.
    pub(crate) fn declare_range(who: AccountIdOf<T>, dag: DagId, first: u64, last: u64) -> DispatchResult {
        let stored = Self::owned_dag(dag, &who)?;
        ensure!(first <= last, Error::<T>::EmptyRange);
        ensure!(last < stored.latest.size, Error::<T>::IndexOutOfRange);
        let range = RemovedCount::<T>::get(dag);
        RemovedCount::<T>::insert(dag, range.checked_add(1).ok_or(Error::<T>::RangesExhausted)?);
        let deposit = T::RemovalDeposit::get();
        Self::hold(HoldReason::Removal, &who, deposit)?;
        let now = frame_system::Pallet::<T>::block_number();
        let effective_at = now.saturating_add(T::ChallengePeriod::get());
        RemovedRanges::<T>::insert(dag, range, RemovedRange { first, last, effective_at, declared_by: who, deposit });
        Self::deposit_event(Event::RemovalDeclared { dag, range, first, last, effective_at });
        Ok(())
    }
}
