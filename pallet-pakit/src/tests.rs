//! Tests of the pallet, by topic.

#![allow(clippy::unwrap_used)]

mod anchor;
mod archive;
mod create_dag;
mod errors;
mod fraud;
mod frozen;
mod limits;
mod lineage;
mod migrations;
mod operators;
mod ownership;
mod possession;
mod record;
mod retire;
mod try_state;
mod views;
mod weights;

use crate::{Error, Event, HoldReason, mock::*};
use archive::{Archive, bytes_of, hash_of, header_after};
use frame_support::{assert_noop, assert_ok, traits::fungible::InspectHold};
use sp_runtime::DispatchResult;

/// Runs a test and checks what it leaves behind.
pub(crate) fn run(test: impl FnOnce()) {
    new_test_ext().execute_with(|| {
        test();
        Pakit::do_try_state().unwrap();
    });
}

fn signed(who: AccountId) -> RuntimeOrigin {
    RuntimeOrigin::signed(who)
}

/// What is held of the account's for its DAGs.
fn held_for_dags(who: AccountId) -> u64 {
    Balances::balance_on_hold(&HoldReason::Dag.into(), &who)
}

/// What is held of the account's for its records.
fn held_for_records(who: AccountId) -> u64 {
    Balances::balance_on_hold(&HoldReason::Record.into(), &who)
}

fn assert_last(event: Event<Test>) {
    System::assert_last_event(event.into());
}
