//! A runtime of three pallets, with deposits and limits that a test may change as an upgrade would.

#![allow(clippy::unwrap_used)]

use crate as pallet_pakit;
use frame_support::{derive_impl, parameter_types};
use sp_runtime::BuildStorage;

pub(crate) type AccountId = u64;

pub(crate) const OWNER: AccountId = 1;
pub(crate) const OPERATOR: AccountId = 2;
pub(crate) const HEIR: AccountId = 3;
pub(crate) const CLERK: AccountId = 4;
pub(crate) const PAUPER: AccountId = 5;
pub(crate) const STRANGER: AccountId = 6;
pub(crate) const ENDOWMENT: u64 = 1_000_000;
/// The number that the first DAG gets.
pub(crate) const DAG: u32 = 0;

#[frame_support::runtime]
mod runtime {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Test;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(10)]
    pub type Pakit = pallet_pakit;
}

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
    type AccountData = pallet_balances::AccountData<u64>;
    type Block = frame_system::mocking::MockBlock<Test>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
    type AccountStore = System;
}

parameter_types! {
    pub static DagDeposit: u64 = 100;
    pub static OperatorDeposit: u64 = 10;
    pub static RecordDeposit: u64 = 20;
    pub static MaxOperators: u32 = 8;
}

#[derive_impl(pallet_pakit::config_preludes::TestDefaultConfig)]
impl pallet_pakit::Config for Test {
    type Currency = Balances;
    type DagDeposit = DagDeposit;
    type MaxOperators = MaxOperators;
    type OperatorDeposit = OperatorDeposit;
    type RecordDeposit = RecordDeposit;
}

pub(crate) fn new_test_ext() -> sp_io::TestExternalities {
    let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
    pallet_balances::GenesisConfig::<Test> {
        balances: [OWNER, OPERATOR, HEIR, CLERK, STRANGER].map(|who| (who, ENDOWMENT)).to_vec(),
        ..Default::default()
    }
    .assimilate_storage(&mut storage)
    .unwrap();
    let mut ext = sp_io::TestExternalities::new(storage);
    ext.execute_with(|| System::set_block_number(1));
    ext
}
