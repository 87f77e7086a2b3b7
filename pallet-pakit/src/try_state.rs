//! What holds of the pallet's state after every block.

use crate::{
    AnchoredHeads, Config, Dag, Dags, Faults, HoldReason, NextChallenge, NextDagId, Pallet, PendingTransfers, Records,
    RemovedCount, RemovedRanges, Stake, Stakes,
    migrations::other_version,
    possession::{Drawn, Round},
    types::{AccountIdOf, BalanceOf, RecordOf},
};
use alloc::{collections::BTreeMap, vec::Vec};
use frame_support::{ensure, traits::fungible::InspectHold};
use pakit_primitives::{
    BlockHash,
    chain::{AnchorNumber, DagId},
    header::{LEAVES_MAX, PARENTS_MAX, PARENTS_MIN, SIZE_LIMIT},
    heads,
};
use sp_runtime::{TryRuntimeError, traits::Saturating};

type Checked = Result<(), TryRuntimeError>;

impl<T: Config> Pallet<T> {
    /// Checks that the state is of the code's version, every storage item, and the holds behind the deposits.
    pub(crate) fn do_try_state() -> Checked {
        ensure!(other_version::<T>().is_none(), "the state is of another storage version than the code");
        Self::check_items()
    }

    /// Checks every storage item, whatever the version says.
    pub(crate) fn check_items() -> Checked {
        Self::check_numbers()?;
        Self::check_anchored_heads_have_dags()?;
        for (dag, stored) in Dags::<T>::iter() {
            check_dag(&stored)?;
            check_succession::<T>(dag, &stored)?;
            check_kept_heads::<T>(dag, &stored)?;
        }
        for (dag, to) in PendingTransfers::<T>::iter() {
            let stored = Dags::<T>::get(dag).ok_or("a pending transfer is of no DAG")?;
            ensure!(stored.owner != to, "a pending transfer is to the owner itself");
        }
        for ((dag, block_hash, depositor), record) in Records::<T>::iter() {
            check_record::<T>(dag, &block_hash, &depositor, &record)?;
        }
        for (dag, stake) in Stakes::<T>::iter() {
            check_stake::<T>(dag, &stake)?;
        }
        for (dag, count) in RemovedCount::<T>::iter() {
            let declared = RemovedRanges::<T>::iter_prefix(dag).count();
            ensure!(u32::try_from(declared) == Ok(count), "the count of declared ranges is not that of the ranges");
        }
        check_removed_ranges::<T>()?;
        for (dag, fault) in Faults::<T>::iter() {
            let stored = Dags::<T>::get(dag).ok_or("a fault is of no DAG")?;
            ensure!(fault.head.size <= stored.latest.size, "a fault is of a head that was never anchored");
        }
        let held_for_stakes = Stakes::<T>::iter_values().map(|stake| (stake.staker, stake.amount));
        Self::check_holds(HoldReason::Stake, held_for_stakes)?;
        let held_for_ranges = RemovedRanges::<T>::iter_values().map(|range| (range.declared_by, range.deposit));
        Self::check_holds(HoldReason::Removal, held_for_ranges)?;
        Self::check_holds(HoldReason::Dag, Dags::<T>::iter_values().map(|stored| (stored.owner, stored.deposit)))?;
        Self::check_holds(
            HoldReason::Record,
            Records::<T>::iter_values().map(|record| (record.depositor, record.deposit)),
        )
    }

    /// DAGs are numbered without gaps, and none was removed.
    fn check_numbers() -> Checked {
        let next = NextDagId::<T>::get();
        let mut count: DagId = 0;
        for dag in Dags::<T>::iter_keys() {
            ensure!(dag < next, "a DAG has a number that was not given out");
            count = count.saturating_add(1);
        }
        ensure!(count == next, "a DAG whose number was given out is missing");
        Ok(())
    }

    fn check_anchored_heads_have_dags() -> Checked {
        for (dag, anchor) in AnchoredHeads::<T>::iter_keys() {
            let stored = Dags::<T>::get(dag).ok_or("an anchored head is of no DAG")?;
            ensure!(heads::is_kept(anchor, stored.anchors), "a head is stored that is not to be kept");
        }
        Ok(())
    }

    /// What is held of each account for a reason is the sum of its deposits of the kind.
    fn check_holds(reason: HoldReason, deposits: impl Iterator<Item = (AccountIdOf<T>, BalanceOf<T>)>) -> Checked {
        let mut sums = BTreeMap::<AccountIdOf<T>, BalanceOf<T>>::new();
        for (who, deposit) in deposits {
            let sum = sums.entry(who).or_default();
            *sum = sum.saturating_add(deposit);
        }
        for (who, sum) in sums {
            let held = T::Currency::balance_on_hold(&reason.into(), &who);
            ensure!(held == sum, "the balance on hold is not the sum of the deposits");
        }
        Ok(())
    }
}

fn check_dag<T: Config>(stored: &Dag<T>) -> Checked {
    ensure!(stored.operators.is_sorted_by(|one, next| one < next), "operators are not strictly ascending");
    ensure!(!stored.retired || stored.operators.is_empty(), "a retired DAG has operators");
    ensure!(stored.anchors > 0, "a DAG has no anchor");
    Ok(())
}

/// Both ends of a succession name each other, and the head gone on from is not beyond what was anchored.
fn check_succession<T: Config>(dag: DagId, stored: &Dag<T>) -> Checked {
    if let Some(succession) = &stored.succeeds {
        let before = Dags::<T>::get(succession.dag).ok_or("a DAG goes on from no DAG")?;
        ensure!(before.successor == Some(dag), "a DAG goes on from one that does not name it");
        ensure!(succession.dag < dag, "a DAG goes on from a later one");
        ensure!(succession.size <= before.latest.size, "a DAG goes on from a head that was never anchored");
    }
    if let Some(successor) = stored.successor {
        let after = Dags::<T>::get(successor).ok_or("a DAG is succeeded by no DAG")?;
        ensure!(
            after.succeeds.is_some_and(|succession| succession.dag == dag),
            "a DAG is succeeded by one that does not name it"
        );
    }
    Ok(())
}

/// Exactly the heads that the rule keeps are there, the log grows from each to the next, and the last is the latest.
fn check_kept_heads<T: Config>(dag: DagId, stored: &Dag<T>) -> Checked {
    let now = frame_system::Pallet::<T>::block_number();
    let anchors: Vec<AnchorNumber> = heads::kept(stored.anchors).collect();
    let mut earlier = None;
    for anchor in &anchors {
        let anchored = AnchoredHeads::<T>::get(dag, anchor).ok_or("a head that is to be kept is missing")?;
        ensure!(anchored.head.size >= *anchor && anchored.head.size <= LEAVES_MAX, "a head has an impossible size");
        ensure!(u64::from(anchored.depth) < anchored.head.size, "a head is deeper than its log is long");
        ensure!(anchored.slices >= anchored.head.size, "a head has fewer slices than blocks");
        ensure!(anchored.block_number <= now, "a head was anchored in the future");
        if let Some((size, block_number)) = earlier {
            ensure!(size < anchored.head.size, "a log does not grow from one anchor to the next");
            ensure!(block_number <= anchored.block_number, "anchors are out of the chain's order");
        }
        if *anchor == 1 {
            ensure!(
                anchored.head.size == 1 && anchored.head.root == stored.genesis.as_root_of_one(),
                "the first head is not that of genesis"
            );
        }
        if *anchor == stored.anchors {
            ensure!(anchored.head == stored.latest, "the latest head is not that of the latest anchor");
        }
        earlier = Some((anchored.head.size, anchored.block_number));
    }
    Ok(())
}

/// A stake says of its DAG what is so, and its round is one that could have been frozen and drawn.
fn check_stake<T: Config>(dag: DagId, stake: &Stake<T>) -> Checked {
    let stored = Dags::<T>::get(dag).ok_or("a stake is behind no DAG")?;
    let now = frame_system::Pallet::<T>::block_number();
    ensure!(stake.faulty == Faults::<T>::contains_key(dag), "a stake does not know whether its DAG is faulty");
    ensure!(stake.unbonding_since.is_none_or(|since| since <= now), "an unbonding began in the future");
    let Some(Round { head, slices, frozen_at, drawn }) = &stake.round else { return Ok(()) };
    ensure!(head.size <= stored.latest.size, "a head was frozen that was never anchored");
    ensure!(*slices >= head.size, "a frozen head has fewer slices than blocks");
    ensure!(*frozen_at <= now, "a head was frozen in the future");
    let Some(Drawn { first, draws, .. }) = drawn else { return Ok(()) };
    ensure!(draws.iter().any(|draw| !draw.answered), "a round goes on of which all challenges are answered");
    ensure!(draws.iter().all(|draw| draw.position < *slices), "a position was drawn beyond the frozen head");
    let next = first.saturating_add(draws.len() as u64);
    ensure!(next <= NextChallenge::<T>::get(), "a challenge has a number that was not given out");
    Ok(())
}

/// Ranges have numbers without gaps, and lie in logs.
fn check_removed_ranges<T: Config>() -> Checked {
    for (dag, number, range) in RemovedRanges::<T>::iter() {
        let stored = Dags::<T>::get(dag).ok_or("a declared range is of no DAG")?;
        ensure!(number < RemovedCount::<T>::get(dag), "a declared range has a number that was not given out");
        ensure!(range.first <= range.last, "a declared range is empty");
        ensure!(range.last < stored.latest.size, "a declared range lies beyond the log");
    }
    Ok(())
}

/// A record belongs to its key and says nothing that could not have been proved.
fn check_record<T: Config>(
    dag: DagId,
    block_hash: &BlockHash,
    depositor: &AccountIdOf<T>,
    record: &RecordOf<T>,
) -> Checked {
    let stored = Dags::<T>::get(dag).ok_or("a record is of no DAG")?;
    ensure!(record.block_hash == *block_hash, "a record is stored under another block");
    ensure!(record.depositor == *depositor, "a record is stored under another depositor");
    ensure!(record.leaf_index < record.size, "a record is of a block beyond its head");
    ensure!(record.size <= stored.latest.size, "a record was proved against a head that was never anchored");
    ensure!(u64::from(record.depth) <= record.leaf_index, "a record is deeper than its place");
    let parents_min = record.leaf_index.min(PARENTS_MIN as u64);
    ensure!(
        u64::from(record.parent_count) >= parents_min && usize::from(record.parent_count) <= PARENTS_MAX,
        "a record has an impossible number of parents"
    );
    ensure!(
        record.size_original < SIZE_LIMIT && record.size_compressed < SIZE_LIMIT,
        "a record has an impossible size"
    );
    ensure!(record.timestamp <= frame_system::Pallet::<T>::block_number(), "a record was made in the future");
    Ok(())
}
