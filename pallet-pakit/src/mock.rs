//! A runtime of three pallets, with deposits and limits that a test may change as an upgrade would.

#![allow(clippy::unwrap_used)]

use crate::{self as pallet_pakit, AnswerChallenges, OnChallengeOutcome, possession::RoundOutcome};
use codec::Encode;
use frame_support::{
    derive_impl, parameter_types,
    traits::{Contains, Hooks, OnGenesis, Randomness},
    weights::Weight,
};
use frame_system::limits::BlockWeights;
use frame_system::offchain::{CreateAuthorizedTransaction, CreateTransaction, CreateTransactionBase};
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_runtime::{BuildStorage, Perbill};

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
    type BaseCallFilter = Filter;
    type Block = frame_system::mocking::MockBlock<Test>;
    type BlockWeights = BlockWeightLimits;
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
    pub static ChallengesPerRound: u32 = 4;
    pub static DagsPerBlock: u32 = 4;
    pub static ResponseDeadline: u32 = 5;
    pub static UnbondingPeriod: u64 = 50;
    pub static FaultSlash: Perbill = Perbill::from_percent(50);
    pub static ReporterShare: Perbill = Perbill::from_percent(20);
    /// Since when the randomness of the mock is known.
    pub static SeedKnownSince: u64 = 1;
    /// What it is.
    pub static Seed: u64 = 0;
    /// What is added to a stake when a round has ended.
    pub static TopUp: u64 = 0;
    /// What a block may weigh.
    pub static BlockWeightLimits: BlockWeights = BlockWeights::default();
    /// Whether the runtime keeps answers out.
    pub static AreAnswersPaused: bool = false;
    /// Whether a stake is unbonded by who is told that a round ended.
    pub static IsUnbondedWhenTold: bool = false;
    /// Rounds that ended: the DAG, the staker, and how.
    pub static Outcomes: Vec<(u32, AccountId, RoundOutcome<u64>)> = Vec::new();
}

/// What a test says it is.
pub struct TestRandomness;

impl Randomness<H256, u64> for TestRandomness {
    fn random(subject: &[u8]) -> (H256, u64) {
        (blake2_256(&(subject, Seed::get()).encode()).into(), SeedKnownSince::get())
    }
}

/// Keeps answers out when it is told to, as a runtime that pauses calls does.
pub struct Filter;

impl Contains<RuntimeCall> for Filter {
    fn contains(call: &RuntimeCall) -> bool {
        !(AreAnswersPaused::get() && matches!(call, RuntimeCall::Pakit(pallet_pakit::Call::respond { .. })))
    }
}

/// Remembers what it is told, and acts on the stake of the round if it is to: a runtime may do so.
pub struct Witness;

impl OnChallengeOutcome<AccountId, u64> for Witness {
    fn on_challenge_outcome(dag: u32, staker: &AccountId, outcome: &RoundOutcome<u64>) {
        Outcomes::mutate(|outcomes| outcomes.push((dag, *staker, *outcome)));
        if TopUp::get() > 0 {
            Pakit::stake(RuntimeOrigin::signed(*staker), dag, TopUp::get()).unwrap();
        }
        if IsUnbondedWhenTold::get() {
            Pakit::unbond(RuntimeOrigin::signed(*staker), dag).unwrap();
        }
    }

    fn weight() -> Weight {
        Weight::from_parts(1_000, 0)
    }
}

#[derive_impl(pallet_pakit::config_preludes::TestDefaultConfig)]
impl pallet_pakit::Config for Test {
    type ChallengesPerRound = ChallengesPerRound;
    type Currency = Balances;
    type DagDeposit = DagDeposit;
    type DagsPerBlock = DagsPerBlock;
    type FaultSlash = FaultSlash;
    type MaxOperators = MaxOperators;
    type OffchainWorker = AnswerChallenges<Test>;
    type OnChallengeOutcome = Witness;
    type OperatorDeposit = OperatorDeposit;
    type Randomness = TestRandomness;
    type RecordDeposit = RecordDeposit;
    type ReporterShare = ReporterShare;
    type ResponseDeadline = ResponseDeadline;
    type UnbondingPeriod = UnbondingPeriod;
}

/// A transaction of the mock.
pub(crate) type Extrinsic = frame_system::mocking::MockUncheckedExtrinsic<Test>;

impl<Call> CreateTransactionBase<Call> for Test
where
    RuntimeCall: From<Call>,
{
    type Extrinsic = Extrinsic;
    type RuntimeCall = RuntimeCall;
}

impl<Call> CreateTransaction<Call> for Test
where
    RuntimeCall: From<Call>,
{
    type Extension = ();

    fn create_transaction(call: RuntimeCall, extension: ()) -> Extrinsic {
        Extrinsic::new_transaction(call, extension)
    }
}

impl<Call> CreateAuthorizedTransaction<Call> for Test
where
    RuntimeCall: From<Call>,
{
    fn create_extension() {}
}

/// Ends the block: what was done in it is counted.
pub(crate) fn end_block() {
    Pakit::on_idle(System::block_number(), Weight::MAX);
}

/// Begins the next block.
pub(crate) fn begin_block() {
    let now = System::block_number() + 1;
    System::set_block_consumed_resources(Weight::zero(), 0);
    System::set_block_number(now);
    Pakit::on_initialize(now);
}

/// Ends the block and begins the next one.
pub(crate) fn next_block() {
    end_block();
    begin_block();
}

/// Leaves no room in the block for an answer.
pub(crate) fn fill_block() {
    System::set_block_consumed_resources(Weight::zero(), u32::MAX as usize);
}

/// Ends a block that has no room left for an answer, and begins the next one.
pub(crate) fn next_block_after_a_full_one() {
    fill_block();
    next_block();
}

/// Randomness that nobody knew before this block.
pub(crate) fn renew_seed() {
    SeedKnownSince::set(System::block_number());
    Seed::mutate(|seed| *seed += 1);
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
    ext.execute_with(|| {
        // As the genesis of a whole runtime does: storage versions are written.
        AllPalletsWithSystem::on_genesis();
        System::set_block_number(1);
    });
    ext
}
