//! The pallets by which accounts act together or for each other: batches, proxies and multisigs. Wallets offer them, and what
//! holds for a call that somebody signed must hold for one that comes by way of them.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::traits::{ConstU32, ConstU128, InstanceFilter};
use scale_info::TypeInfo;

use crate::{Balances, Hashing, OriginCaller, Runtime, RuntimeCall, RuntimeEvent, System, configs::deposit};

/// Proxies of an account, announcements of a proxy, and signatories of a multisig, at most.
const PARTIES_MAX: u32 = 32;

/// What a proxy may do in the name of the account that named it.
///
/// The archive's machine holds the key of a proxy that may anchor and nothing else; the account that owns the DAG and its
/// deposits stays out of reach of whoever breaks into that machine.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum ProxyType {
    /// Everything.
    #[default]
    #[codec(index = 0)]
    Any,
    /// Every call of Pakit.
    #[codec(index = 1)]
    Pakit,
    /// Anchoring heads.
    #[codec(index = 2)]
    Anchor,
}

impl InstanceFilter<RuntimeCall> for ProxyType {
    fn filter(&self, call: &RuntimeCall) -> bool {
        match self {
            Self::Any => true,
            Self::Pakit => matches!(call, RuntimeCall::Pakit(_)),
            Self::Anchor => matches!(call, RuntimeCall::Pakit(pallet_pakit::Call::anchor { .. })),
        }
    }

    fn is_superset(&self, other: &Self) -> bool {
        // Each of them may do what those after it may.
        self <= other
    }
}

impl pallet_utility::Config for Runtime {
    type PalletsOrigin = OriginCaller;
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_utility::weights::SubstrateWeight<Runtime>;
}

impl pallet_proxy::Config for Runtime {
    type AnnouncementDepositBase = ConstU128<{ deposit(1, 16) }>;
    type AnnouncementDepositFactor = ConstU128<{ deposit(0, 68) }>;
    type BlockNumberProvider = System;
    type CallHasher = Hashing;
    type Currency = Balances;
    type MaxPending = ConstU32<{ PARTIES_MAX }>;
    type MaxProxies = ConstU32<{ PARTIES_MAX }>;
    type ProxyDepositBase = ConstU128<{ deposit(1, 48) }>;
    type ProxyDepositFactor = ConstU128<{ deposit(0, 37) }>;
    type ProxyType = ProxyType;
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_proxy::weights::SubstrateWeight<Runtime>;
}

impl pallet_multisig::Config for Runtime {
    type BlockNumberProvider = System;
    type Currency = Balances;
    type DepositBase = ConstU128<{ deposit(1, 120) }>;
    type DepositFactor = ConstU128<{ deposit(0, 32) }>;
    type MaxSignatories = ConstU32<{ PARTIES_MAX }>;
    type RuntimeCall = RuntimeCall;
    type RuntimeEvent = RuntimeEvent;
    type WeightInfo = pallet_multisig::weights::SubstrateWeight<Runtime>;
}
