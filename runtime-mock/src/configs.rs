//! How the runtime's pallets are configured.

use codec::Encode;
use frame_support::{
    derive_impl,
    dispatch::DispatchClass,
    parameter_types,
    traits::{ConstU8, ConstU32, ConstU64, ConstU128, Randomness, VariantCountOf},
    weights::{
        ConstantMultiplier, IdentityFee, Weight,
        constants::{ParityDbWeight, WEIGHT_REF_TIME_PER_SECOND},
    },
};
use frame_system::limits::{BlockLength, BlockWeights};
use pallet_transaction_payment::{ConstFeeMultiplier, FungibleAdapter, Multiplier};
use sp_runtime::{
    Perbill,
    traits::{Hash as _, One},
};

use crate::{
    AccountId, BLOCK_HASH_COUNT, Balance, Balances, Block, BlockNumber, EXISTENTIAL_DEPOSIT, Hash, Hashing, MICRO_UNIT,
    MILLI_UNIT, Nonce, PalletInfo, Runtime, RuntimeCall, RuntimeEvent, RuntimeFreezeReason, RuntimeHoldReason,
    RuntimeOrigin, RuntimeTask, SS58_PREFIX, System, UNIT, VERSION,
};

/// The largest block, and the largest proof of its storage reads, in bytes.
const BLOCK_BYTES_MAX: u32 = 5 * 1024 * 1024;
/// The part of a block that ordinary transactions may fill.
const NORMAL_SHARE: Perbill = Perbill::from_percent(75);

parameter_types! {
    pub const Version: sp_version::RuntimeVersion = VERSION;
    pub FeeMultiplier: Multiplier = Multiplier::one();
    pub RuntimeBlockWeights: BlockWeights = BlockWeights::with_sensible_defaults(
        Weight::from_parts(2 * WEIGHT_REF_TIME_PER_SECOND, u64::from(BLOCK_BYTES_MAX)),
        NORMAL_SHARE,
    );
    pub RuntimeBlockLength: BlockLength = BlockLength::builder()
        .max_length(BLOCK_BYTES_MAX)
        .modify_max_length_for_class(DispatchClass::Normal, |length| *length = NORMAL_SHARE * *length)
        .build();
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type AccountData = pallet_balances::AccountData<Balance>;
    type AccountId = AccountId;
    type Block = Block;
    type BlockHashCount = ConstU32<{ BLOCK_HASH_COUNT }>;
    type BlockLength = RuntimeBlockLength;
    type BlockWeights = RuntimeBlockWeights;
    type DbWeight = ParityDbWeight;
    type ExtensionsWeightInfo = frame_system::SubstrateExtensionsWeight<Runtime>;
    type Hash = Hash;
    type Nonce = Nonce;
    type SS58Prefix = frame_support::traits::ConstU16<{ SS58_PREFIX }>;
    // For chains that began when the pallet was of an earlier version.
    type SingleBlockMigrations = pallet_pakit::migrations::FromV1ToV2<Runtime>;
    type SystemWeightInfo = frame_system::weights::SubstrateWeight<Runtime>;
    type Version = Version;
}

impl pallet_timestamp::Config for Runtime {
    // Zero, because the development node seals blocks as fast as transactions come, several within a millisecond.
    type MinimumPeriod = ConstU64<0>;
    type Moment = u64;
    type OnTimestampSet = ();
    type WeightInfo = pallet_timestamp::weights::SubstrateWeight<Runtime>;
}

impl pallet_balances::Config for Runtime {
    type AccountStore = System;
    type Balance = Balance;
    type DoneSlashHandler = ();
    type DustRemoval = ();
    type ExistentialDeposit = ConstU128<{ EXISTENTIAL_DEPOSIT }>;
    type FreezeIdentifier = RuntimeFreezeReason;
    type MaxFreezes = VariantCountOf<RuntimeFreezeReason>;
    type MaxLocks = ConstU32<50>;
    type MaxReserves = ConstU32<0>;
    type ReserveIdentifier = [u8; 8];
    type RuntimeEvent = RuntimeEvent;
    type RuntimeFreezeReason = RuntimeFreezeReason;
    type RuntimeHoldReason = RuntimeHoldReason;
    type WeightInfo = pallet_balances::weights::SubstrateWeight<Runtime>;
}

impl pallet_transaction_payment::Config for Runtime {
    // Fees do not move with the load: tests and demonstrations can tell beforehand what a call costs.
    type FeeMultiplierUpdate = ConstFeeMultiplier<FeeMultiplier>;
    type LengthToFee = ConstantMultiplier<Balance, ConstU128<{ MICRO_UNIT }>>;
    type OnChargeTransaction = FungibleAdapter<Balances, ()>;
    type OperationalFeeMultiplier = ConstU8<5>;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
    type WeightToFee = IdentityFee<Balance>;
}

impl pallet_sudo::Config for Runtime {
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_sudo::weights::SubstrateWeight<Runtime>;
}

/// Held for an entry in the state, whatever its length.
const ITEM_DEPOSIT: Balance = 100 * MILLI_UNIT;
/// Held for a byte in the state.
const BYTE_DEPOSIT: Balance = 100 * MICRO_UNIT;

pub(crate) const fn deposit(items: Balance, bytes: Balance) -> Balance {
    items * ITEM_DEPOSIT + bytes * BYTE_DEPOSIT
}

parameter_types! {
    /// Of a stake, for each missed challenge.
    pub const MissSlash: Perbill = Perbill::from_percent(5);
    /// Of a stake, for a fault of the log.
    pub const FaultSlash: Perbill = Perbill::from_percent(50);
    /// Of what is slashed.
    pub const ReporterShare: Perbill = Perbill::from_percent(20);
}

/// The hash of the parent block, which its author chooses.
///
/// Whoever makes blocks can make many and publish the one that draws what suits them, at no cost. That is no harm on a chain
/// for development, where one trusted node makes all of them, at any pace, and it needs nothing but a block: no epoch, no
/// session, no other pallet. Anywhere else challenges are drawn from randomness that nobody chooses, which docs/possession.md
/// names.
pub struct ParentHash;

impl Randomness<Hash, BlockNumber> for ParentHash {
    fn random(subject: &[u8]) -> (Hash, BlockNumber) {
        let parent = System::block_number().saturating_sub(1);
        ((subject, System::parent_hash()).using_encoded(Hashing::hash), parent)
    }
}

impl pallet_pakit::Config for Runtime {
    // Short, so that a chain for development shows within minutes what takes days elsewhere.
    type ChallengePeriod = ConstU32<20>;
    type ChallengesPerRound = ConstU32<4>;
    type Currency = Balances;
    // Its entry, and the heads that are kept of a million anchors.
    type DagDeposit = ConstU128<{ deposit(150, 15_000) }>;
    type DagsPerBlock = ConstU32<16>;
    type DrawDelay = ConstU32<2>;
    type FaultSlash = FaultSlash;
    type FraudWindow = ConstU32<100>;
    type MaxOperators = ConstU32<16>;
    type MissSlash = MissSlash;
    type OffchainWorker = pallet_pakit::AnswerChallenges<Runtime>;
    type OnChallengeOutcome = ();
    type OperatorDeposit = ConstU128<{ deposit(0, 32) }>;
    type Randomness = ParentHash;
    type RecordDeposit = ConstU128<{ deposit(1, 350) }>;
    type RemovalDeposit = ConstU128<{ deposit(1, 110) }>;
    type ReporterShare = ReporterShare;
    type ResponseDeadline = ConstU32<10>;
    type RuntimeHoldReason = RuntimeHoldReason;
    type StakeMin = ConstU128<{ 10 * UNIT }>;
    type UnbondingPeriod = ConstU32<200>;
    type WeightInfo = pallet_pakit::weights::SubstrateWeight<Runtime>;
}
