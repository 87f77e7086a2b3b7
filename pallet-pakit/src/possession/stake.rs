//! Stakes: put, unbonded, withdrawn, slashed.

use super::{Round, Stake};
use crate::{
    Config, Error, Event, Faults, HoldReason, Pallet, Stakes,
    types::{AccountIdOf, BalanceOf},
};
use frame_support::{
    dispatch::DispatchResult,
    ensure,
    storage::with_storage_layer,
    traits::{
        Get,
        fungible::MutateHold,
        tokens::{Fortitude::Force, Precision::BestEffort, Restriction::Free},
    },
};
use frame_system::pallet_prelude::BlockNumberFor;
use pakit_primitives::{chain::DagId, possession::Tally};
use sp_runtime::{
    Perbill,
    traits::{CheckedAdd, Saturating, Zero},
};

/// What was taken from a stake.
pub(crate) struct Slashed<Balance> {
    /// All of it.
    pub(crate) slashed: Balance,
    /// The part that the reporter has. The rest was burned.
    pub(crate) rewarded: Balance,
}

impl<T: Config> Stake<T> {
    /// From which block on it can be withdrawn, if it is being unbonded.
    pub(crate) fn withdrawable_at(&self) -> Option<BlockNumberFor<T>> {
        self.unbonding_since.map(|since| since.saturating_add(T::UnbondingPeriod::get()))
    }

    /// Whether rounds begin: as long as there is a stake, up to the end of its unbonding, so that to unbond is no way out.
    pub(crate) fn is_challenged(&self, now: BlockNumberFor<T>) -> bool {
        let bonded = self.withdrawable_at().is_none_or(|at| now < at);
        bonded && !self.faulty && !self.amount.is_zero() && self.amount >= T::StakeMin::get()
    }
}

impl<T: Config> Pallet<T> {
    pub(crate) fn put_stake(who: AccountIdOf<T>, dag: DagId, amount: BalanceOf<T>) -> DispatchResult {
        Self::owned_dag(dag, &who)?;
        ensure!(!Faults::<T>::contains_key(dag), Error::<T>::DagFaulty);
        let mut stake = match Stakes::<T>::get(dag) {
            Some(stake) => {
                ensure!(stake.staker == who, Error::<T>::StakeOfAnother);
                ensure!(stake.unbonding_since.is_none(), Error::<T>::Unbonding);
                stake
            }
            None => Stake {
                staker: who.clone(),
                amount: BalanceOf::<T>::zero(),
                unbonding_since: None,
                next_round_at: frame_system::Pallet::<T>::block_number(),
                faulty: false,
                tally: Tally::default(),
                round: None,
            },
        };
        stake.amount = stake.amount.saturating_add(amount);
        ensure!(!stake.amount.is_zero() && stake.amount >= T::StakeMin::get(), Error::<T>::StakeTooSmall);
        Self::hold(HoldReason::Stake, &who, amount)?;
        let total = stake.amount;
        Stakes::<T>::insert(dag, stake);
        Self::deposit_event(Event::Staked { dag, staker: who, amount, total });
        Ok(())
    }

    pub(crate) fn unbond_stake(who: &AccountIdOf<T>, dag: DagId) -> DispatchResult {
        let mut stake = Self::stake_of(who, dag)?;
        ensure!(stake.unbonding_since.is_none(), Error::<T>::Unbonding);
        let now = frame_system::Pallet::<T>::block_number();
        stake.unbonding_since = Some(now);
        Stakes::<T>::insert(dag, stake);
        let withdrawable_at = now.saturating_add(T::UnbondingPeriod::get());
        Self::deposit_event(Event::UnbondingBegun { dag, withdrawable_at });
        Ok(())
    }

    /// Waits for challenges that are drawn or will be: were a head let go that was frozen shortly before, its stake would
    /// answer for nothing of that time. One for which no randomness has come in as long as an unbonding takes is let go: a
    /// source that stands still must not keep stakes for ever.
    pub(crate) fn withdraw_unbonded(who: AccountIdOf<T>, dag: DagId) -> DispatchResult {
        let stake = Self::stake_of(&who, dag)?;
        let at = stake.withdrawable_at().ok_or(Error::<T>::NotUnbonding)?;
        let now = frame_system::Pallet::<T>::block_number();
        ensure!(now >= at, Error::<T>::StillUnbonding);
        // A sum beyond all numbers of blocks is of no head that was ever frozen.
        let waits = |round: &Round<BlockNumberFor<T>>| {
            round.frozen_at.checked_add(&T::UnbondingPeriod::get()).is_some_and(|until| now < until)
        };
        let is_open = |round: &Round<_>| round.drawn.is_some() || waits(round) || Self::seed_for(dag, round).is_some();
        ensure!(!stake.round.as_ref().is_some_and(is_open), Error::<T>::ChallengesOpen);
        Stakes::<T>::remove(dag);
        let released = Self::release(HoldReason::Stake, &who, stake.amount)?;
        Self::deposit_event(Event::StakeWithdrawn { dag, staker: who, released });
        Ok(())
    }

    fn stake_of(who: &AccountIdOf<T>, dag: DagId) -> Result<Stake<T>, Error<T>> {
        let stake = Stakes::<T>::get(dag).ok_or(Error::<T>::NotStaked)?;
        ensure!(stake.staker == *who, Error::<T>::StakeOfAnother);
        Ok(stake)
    }

    /// Takes `times` a share of the stake, as far as it goes: the reporter's part to the reporter, the rest is burned. Called
    /// in hooks, it does not fail; where the currency refuses, less is taken, and the stake stays what is held.
    pub(crate) fn slash(
        stake: &mut Stake<T>,
        share: Perbill,
        times: u32,
        reporter: Option<&AccountIdOf<T>>,
    ) -> Slashed<BalanceOf<T>> {
        let reason = || HoldReason::Stake.into();
        let due = share.mul_ceil(stake.amount).saturating_mul(times.into()).min(stake.amount);
        // Whoever reports oneself has no part: that would be a cheaper slash.
        let reporter = reporter.filter(|reporter| **reporter != stake.staker);
        let part = T::ReporterShare::get().mul_floor(due);
        let transfer = |to| T::Currency::transfer_on_hold(&reason(), &stake.staker, to, part, BestEffort, Free, Force);
        // An account that cannot take it (too little to exist) goes without, and it is burned like the rest.
        let rewarded = match reporter {
            Some(to) if !part.is_zero() => with_storage_layer(|| transfer(to)).unwrap_or_else(|_| Zero::zero()),
            _ => Zero::zero(),
        };
        let rest = due.saturating_sub(rewarded);
        let burn = || T::Currency::burn_held(&reason(), &stake.staker, rest, BestEffort, Force);
        let burned = with_storage_layer(burn).unwrap_or_else(|_| Zero::zero());
        let slashed = rewarded.saturating_add(burned);
        stake.amount = stake.amount.saturating_sub(slashed);
        Slashed { slashed, rewarded }
    }
}
