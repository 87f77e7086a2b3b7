//! Adding the pallet to a runtime that is there: README.md quotes what stands between `[README` and `README]`.
//!
//! `cargo run --package pallet-pakit --example runtime` creates a DAG in it. A whole runtime, with the runtime API and a Wasm of
//! its own, is `pakit-runtime-mock`.

#![allow(missing_docs, reason = "the macros write public items without documentation")]

use frame_support::{
    derive_impl, parameter_types,
    traits::{ConstU32, ConstU128, Randomness, fungible::Mutate},
};
use frame_system::mocking::MockUncheckedExtrinsic;
use pakit_primitives::{Compression, ContentHash, Hasher, Header, MetadataHash, Parents, SoftwareHasher};
use sp_core::H256;
use sp_runtime::{
    Perbill, generic,
    traits::{BlakeTwo256, Hash},
};

// What is there before: a chain with accounts, money and blocks each six seconds.

type AccountId = u64;
type Balance = u128;
type BlockNumber = u32;
type Block =
    generic::Block<generic::Header<BlockNumber, BlakeTwo256>, MockUncheckedExtrinsic<Runtime, (), TxExtension>>;

const UNIT: Balance = 1_000_000_000_000;
const HOURS: BlockNumber = 600;
const DAYS: BlockNumber = 24 * HOURS;

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Runtime {
    type AccountData = pallet_balances::AccountData<Balance>;
    type Block = Block;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Runtime {
    type AccountStore = System;
    type Balance = Balance;
}

/// In place of `pallet_babe::RandomnessFromOneEpochAgo<Runtime>`, so that this runtime needs no consensus to be compiled.
/// On a chain it would be worth nothing, since everybody knows it for ever.
pub struct EpochRandomness;

impl Randomness<H256, BlockNumber> for EpochRandomness {
    fn random(subject: &[u8]) -> (H256, BlockNumber) {
        (BlakeTwo256::hash_of(&(subject, "of an epoch ago")), 0)
    }
}

// What the pallet needs.

// [README
parameter_types! {
    // Parts of a stake: for a challenge that was missed, for a fault of the log, and of that for who reported it.
    pub const MissSlash: Perbill = Perbill::from_percent(5);
    pub const FaultSlash: Perbill = Perbill::from_percent(50);
    pub const ReporterShare: Perbill = Perbill::from_percent(20);
}

impl pallet_pakit::Config for Runtime {
    type Currency = Balances;
    type RuntimeHoldReason = RuntimeHoldReason;
    type DagDeposit = ConstU128<{ 10 * UNIT }>;
    type OperatorDeposit = ConstU128<{ UNIT }>;
    type RecordDeposit = ConstU128<{ UNIT / 10 }>;
    type MaxOperators = ConstU32<16>;
    // Possession challenges: docs/possession.md tells how to choose these, and which randomness is safe. With BABE it is
    // `pallet_babe::RandomnessFromOneEpochAgo<Runtime>`.
    type Randomness = EpochRandomness;
    type OnChallengeOutcome = ();
    // Or `pallet_pakit::AnswerChallenges<Runtime>`: docs/offchain-worker.md.
    type OffchainWorker = ();
    type StakeMin = ConstU128<{ 1_000 * UNIT }>;
    type RemovalDeposit = ConstU128<{ UNIT / 10 }>;
    type ChallengePeriod = ConstU32<{ DAYS }>;
    type ChallengesPerRound = ConstU32<4>;
    type DrawDelay = ConstU32<{ 5 * HOURS }>;
    type ResponseDeadline = ConstU32<{ 8 * HOURS }>;
    type FraudWindow = ConstU32<{ 7 * DAYS }>;
    type UnbondingPeriod = ConstU32<{ 28 * DAYS }>;
    type MissSlash = MissSlash;
    type FaultSlash = FaultSlash;
    type ReporterShare = ReporterShare;
    type DagsPerBlock = ConstU32<16>;
    type WeightInfo = pallet_pakit::weights::SubstrateWeight<Runtime>;
}

/// Answers to challenges come without a signature, and it is the first of these that lets them in.
type TxExtension = (
    frame_system::AuthorizeCall<Runtime>,
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckMortality<Runtime>,
    frame_system::CheckNonce<Runtime>,
    frame_system::CheckWeight<Runtime>,
);

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
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(1)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(10)]
    pub type Pakit = pallet_pakit;
}
// README]

fn main() {
    const OWNER: AccountId = 1;
    let content = SoftwareHasher::blake3(b"the first content");
    let genesis = Header {
        leaf_index: 0,
        parents: Parents::none(),
        depth: 0,
        timestamp_ms: 1_700_000_000_000,
        slices_before: 0,
        content_hash: ContentHash::new(content),
        codec: 0x55,
        original_size: 17,
        stored_size: 17,
        compression: Compression::None,
        metadata_hash: MetadataHash::NONE,
    };
    sp_io::TestExternalities::default().execute_with(|| {
        Balances::mint_into(&OWNER, 100 * UNIT).expect("the account can hold that much; qed");
        let header = genesis.to_bytes().try_into().expect("a header is no longer than any header; qed");
        Pakit::create_dag(RuntimeOrigin::signed(OWNER), header, None).expect("the owner can pay the deposit; qed");
        let dag = Pakit::dag(0).expect("it was created; qed");
        println!("DAG 0 of account {}: {} block, {} held", dag.owner, dag.latest.size, dag.deposit);
    });
}
