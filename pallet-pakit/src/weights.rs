//! Weights of `pallet_pakit`, measured on the Wasm of `pakit-runtime-mock` by `cargo xtask weights`. Not edited by hand.
//!
//! 2026-11-21, Polkadot SDK benchmarking CLI 64.0.0, steps 50, repeat 20, on
//! `AMD EPYC`.

#![allow(unused_parens)]

use core::marker::PhantomData;

use frame_support::{
    traits::Get,
    weights::{Weight, constants::RocksDbWeight},
};

/// What the calls of `pallet_pakit` cost at most.
pub trait WeightInfo {
    /// Weight of `create_dag`.
    fn create_dag() -> Weight;
    /// Weight of `create_dag_succeeding`.
    fn create_dag_succeeding() -> Weight;
    /// Weight of `anchor`; `c` was measured from 1 to 49, `i` was measured from 1 to 48.
    fn anchor(c: u32, i: u32) -> Weight;
    /// Weight of `record_proof`; `i` was measured from 1 to 48.
    fn record_proof(i: u32) -> Weight;
    /// Weight of `remove_record`.
    fn remove_record() -> Weight;
    /// Weight of `set_operators`; `n` was measured from 0 to 16.
    fn set_operators(n: u32) -> Weight;
    /// Weight of `transfer_ownership`.
    fn transfer_ownership() -> Weight;
    /// Weight of `accept_ownership`.
    fn accept_ownership() -> Weight;
    /// Weight of `retire_dag`.
    fn retire_dag() -> Weight;
    /// Weight of `verify_lineage`; `i` was measured from 1 to 48, `h` was measured from 1 to 64.
    fn verify_lineage(i: u32, h: u32) -> Weight;
    /// Weight of `stake`.
    fn stake() -> Weight;
    /// Weight of `unbond`.
    fn unbond() -> Weight;
    /// Weight of `withdraw_stake`.
    fn withdraw_stake() -> Weight;
    /// Weight of `respond`; `i` was measured from 1 to 48, `s` was measured from 0 to 43.
    fn respond(i: u32, s: u32) -> Weight;
    /// Weight of `authorize_respond`; `i` was measured from 1 to 48, `s` was measured from 0 to 43.
    fn authorize_respond(i: u32, s: u32) -> Weight;
    /// Weight of `respond_removed`; `i` was measured from 1 to 48.
    fn respond_removed(i: u32) -> Weight;
    /// Weight of `authorize_respond_removed`; `i` was measured from 1 to 48.
    fn authorize_respond_removed(i: u32) -> Weight;
    /// Weight of `report_miss`.
    fn report_miss() -> Weight;
    /// Weight of `declare_removed`.
    fn declare_removed() -> Weight;
    /// Weight of `report_block`.
    fn report_block() -> Weight;
    /// Weight of `visit_none`.
    fn visit_none() -> Weight;
    /// Weight of `visit_idle`.
    fn visit_idle() -> Weight;
    /// Weight of `visit_freeze`.
    fn visit_freeze() -> Weight;
    /// Weight of `visit_draw`.
    fn visit_draw() -> Weight;
    /// Weight of `visit_miss`.
    fn visit_miss() -> Weight;
    /// Weight of `count_room`.
    fn count_room() -> Weight;
}

/// The measured weights, with the database costs of the runtime.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    // Storage: `Pakit::NextDagId` (r:1 w:1)
    // Proof: `Pakit::NextDagId` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:0 w:1)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Dags` (r:0 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    fn create_dag() -> Weight {
        // Proof size in bytes: measured `145`, estimated `3593`.
        // Shortest execution: 57_095_000 picoseconds.
        Weight::from_parts(59_558_000, 3593)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(5_u64))
    }
    // Storage: `Pakit::NextDagId` (r:1 w:1)
    // Proof: `Pakit::NextDagId` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Dags` (r:1 w:2)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:10 w:1)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn create_dag_succeeding() -> Weight {
        // Proof size in bytes: measured `6296`, estimated `26580`.
        // Shortest execution: 150_603_000 picoseconds.
        Weight::from_parts(159_327_000, 26580)
            .saturating_add(T::DbWeight::get().reads(14_u64))
            .saturating_add(T::DbWeight::get().writes(6_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:0 w:2)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    fn anchor(c: u32, i: u32) -> Weight {
        // Proof size in bytes: measured `785`, estimated `4169`.
        // Shortest execution: 34_451_000 picoseconds.
        Weight::from_parts(21_562_018, 4169)
            // Standard error: 617
            .saturating_add(Weight::from_parts(552_180, 0).saturating_mul(c.into()))
            // Standard error: 633
            .saturating_add(Weight::from_parts(282_713, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(1_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::AnchoredHeads` (r:1 w:0)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Records` (r:1 w:1)
    // Proof: `Pakit::Records` (`max_values`: None, `max_size`: Some(294), added: 2769, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn record_proof(i: u32) -> Weight {
        // Proof size in bytes: measured `371`, estimated `3759`.
        // Shortest execution: 70_204_000 picoseconds.
        Weight::from_parts(73_025_507, 3759)
            // Standard error: 1_635
            .saturating_add(Weight::from_parts(290_769, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Records` (r:1 w:1)
    // Proof: `Pakit::Records` (`max_values`: None, `max_size`: Some(294), added: 2769, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn remove_record() -> Weight {
        // Proof size in bytes: measured `523`, estimated `3759`.
        // Shortest execution: 51_566_000 picoseconds.
        Weight::from_parts(53_580_000, 3759)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn set_operators(n: u32) -> Weight {
        // Proof size in bytes: measured `943`, estimated `4169`.
        // Shortest execution: 52_318_000 picoseconds.
        Weight::from_parts(54_928_540, 4169)
            // Standard error: 1_954
            .saturating_add(Weight::from_parts(34_034, 0).saturating_mul(n.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:0)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::PendingTransfers` (r:0 w:1)
    // Proof: `Pakit::PendingTransfers` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
    fn transfer_ownership() -> Weight {
        // Proof size in bytes: measured `819`, estimated `4169`.
        // Shortest execution: 13_700_000 picoseconds.
        Weight::from_parts(14_701_000, 4169)
            .saturating_add(T::DbWeight::get().reads(1_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::PendingTransfers` (r:1 w:1)
    // Proof: `Pakit::PendingTransfers` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:2 w:2)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:2 w:2)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn accept_ownership() -> Weight {
        // Proof size in bytes: measured `1111`, estimated `6196`.
        // Shortest execution: 98_035_000 picoseconds.
        Weight::from_parts(100_739_000, 6196)
            .saturating_add(T::DbWeight::get().reads(6_u64))
            .saturating_add(T::DbWeight::get().writes(6_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn retire_dag() -> Weight {
        // Proof size in bytes: measured `943`, estimated `4169`.
        // Shortest execution: 51_837_000 picoseconds.
        Weight::from_parts(53_940_000, 4169)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:0)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:1 w:0)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    fn verify_lineage(i: u32, h: u32) -> Weight {
        // Proof size in bytes: measured `858`, estimated `4169`.
        // Shortest execution: 32_478_000 picoseconds.
        Weight::from_parts(19_756_813, 4169)
            // Standard error: 722
            .saturating_add(Weight::from_parts(282_247, 0).saturating_mul(i.into()))
            // Standard error: 543
            .saturating_add(Weight::from_parts(953_333, 0).saturating_mul(h.into()))
            .saturating_add(T::DbWeight::get().reads(2_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:0)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Faults` (r:1 w:0)
    // Proof: `Pakit::Faults` (`max_values`: None, `max_size`: Some(57), added: 2532, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Stakes` (r:1 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn stake() -> Weight {
        // Proof size in bytes: measured `1076`, estimated `4169`.
        // Shortest execution: 64_446_000 picoseconds.
        Weight::from_parts(66_598_000, 4169)
            .saturating_add(T::DbWeight::get().reads(5_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Stakes` (r:1 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    fn unbond() -> Weight {
        // Proof size in bytes: measured `496`, estimated `3774`.
        // Shortest execution: 14_973_000 picoseconds.
        Weight::from_parts(16_034_000, 3774)
            .saturating_add(T::DbWeight::get().reads(1_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // Storage: `Pakit::Stakes` (r:1 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `System::ParentHash` (r:1 w:0)
    // Proof: `System::ParentHash` (`max_values`: Some(1), `max_size`: Some(32), added: 527, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn withdraw_stake() -> Weight {
        // Proof size in bytes: measured `489`, estimated `3774`.
        // Shortest execution: 54_461_000 picoseconds.
        Weight::from_parts(56_524_000, 3774)
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Stakes` (r:1 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `Pakit::BlocksWithRoom` (r:1 w:0)
    // Proof: `Pakit::BlocksWithRoom` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
    fn respond(i: u32, s: u32) -> Weight {
        // Proof size in bytes: measured `496`, estimated `3774`.
        // Shortest execution: 32_278_000 picoseconds.
        Weight::from_parts(23_996_477, 3774)
            // Standard error: 413
            .saturating_add(Weight::from_parts(278_898, 0).saturating_mul(i.into()))
            // Standard error: 452
            .saturating_add(Weight::from_parts(217_538, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(2_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // Storage: `Pakit::Stakes` (r:1 w:0)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `Pakit::BlocksWithRoom` (r:1 w:0)
    // Proof: `Pakit::BlocksWithRoom` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
    fn authorize_respond(i: u32, s: u32) -> Weight {
        // Proof size in bytes: measured `496`, estimated `3774`.
        // Shortest execution: 23_284_000 picoseconds.
        Weight::from_parts(14_908_036, 3774)
            // Standard error: 176
            .saturating_add(Weight::from_parts(272_058, 0).saturating_mul(i.into()))
            // Standard error: 193
            .saturating_add(Weight::from_parts(209_621, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(2_u64))
    }
    // Storage: `Pakit::Stakes` (r:1 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `Pakit::BlocksWithRoom` (r:1 w:0)
    // Proof: `Pakit::BlocksWithRoom` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
    // Storage: `Pakit::RemovedRanges` (r:1 w:0)
    // Proof: `Pakit::RemovedRanges` (`max_values`: None, `max_size`: Some(92), added: 2567, mode: `MaxEncodedLen`)
    fn respond_removed(i: u32) -> Weight {
        // Proof size in bytes: measured `645`, estimated `3774`.
        // Shortest execution: 21_151_000 picoseconds.
        Weight::from_parts(22_030_157, 3774)
            // Standard error: 251
            .saturating_add(Weight::from_parts(289_677, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // Storage: `Pakit::Stakes` (r:1 w:0)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `Pakit::BlocksWithRoom` (r:1 w:0)
    // Proof: `Pakit::BlocksWithRoom` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
    // Storage: `Pakit::RemovedRanges` (r:1 w:0)
    // Proof: `Pakit::RemovedRanges` (`max_values`: None, `max_size`: Some(92), added: 2567, mode: `MaxEncodedLen`)
    fn authorize_respond_removed(i: u32) -> Weight {
        // Proof size in bytes: measured `645`, estimated `3774`.
        // Shortest execution: 13_460_000 picoseconds.
        Weight::from_parts(14_074_036, 3774)
            // Standard error: 227
            .saturating_add(Weight::from_parts(291_815, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
    }
    // Storage: `Pakit::Stakes` (r:1 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `Pakit::BlocksWithRoom` (r:1 w:0)
    // Proof: `Pakit::BlocksWithRoom` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:2 w:2)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    fn report_miss() -> Weight {
        // Proof size in bytes: measured `777`, estimated `6196`.
        // Shortest execution: 82_963_000 picoseconds.
        Weight::from_parts(86_208_000, 6196)
            .saturating_add(T::DbWeight::get().reads(5_u64))
            .saturating_add(T::DbWeight::get().writes(4_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:0)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::RemovedCount` (r:1 w:1)
    // Proof: `Pakit::RemovedCount` (`max_values`: None, `max_size`: Some(16), added: 2491, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    // Storage: `Pakit::RemovedRanges` (r:0 w:1)
    // Proof: `Pakit::RemovedRanges` (`max_values`: None, `max_size`: Some(92), added: 2567, mode: `MaxEncodedLen`)
    fn declare_removed() -> Weight {
        // Proof size in bytes: measured `943`, estimated `4169`.
        // Shortest execution: 63_435_000 picoseconds.
        Weight::from_parts(65_958_000, 4169)
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(4_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:0)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Faults` (r:1 w:1)
    // Proof: `Pakit::Faults` (`max_values`: None, `max_size`: Some(57), added: 2532, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:1 w:0)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Stakes` (r:1 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:2 w:2)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    fn report_block() -> Weight {
        // Proof size in bytes: measured `637`, estimated `6196`.
        // Shortest execution: 121_520_000 picoseconds.
        Weight::from_parts(126_698_000, 6196)
            .saturating_add(T::DbWeight::get().reads(7_u64))
            .saturating_add(T::DbWeight::get().writes(5_u64))
    }
    // Storage: `Pakit::BlocksWithRoom` (r:1 w:0)
    // Proof: `Pakit::BlocksWithRoom` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
    // Storage: `Pakit::NextVisit` (r:1 w:1)
    // Proof: `Pakit::NextVisit` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Stakes` (r:1 w:0)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    fn visit_none() -> Weight {
        // Proof size in bytes: measured `69`, estimated `3774`.
        // Shortest execution: 8_292_000 picoseconds.
        Weight::from_parts(8_863_000, 3774)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // Storage: `Pakit::Stakes` (r:2 w:0)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    fn visit_idle() -> Weight {
        // Proof size in bytes: measured `496`, estimated `6558`.
        // Shortest execution: 9_904_000 picoseconds.
        Weight::from_parts(10_716_000, 6558).saturating_add(T::DbWeight::get().reads(2_u64))
    }
    // Storage: `Pakit::Stakes` (r:2 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Dags` (r:1 w:0)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:1 w:0)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    fn visit_freeze() -> Weight {
        // Proof size in bytes: measured `971`, estimated `6558`.
        // Shortest execution: 19_710_000 picoseconds.
        Weight::from_parts(21_091_000, 6558)
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // Storage: `Pakit::Stakes` (r:2 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `System::ParentHash` (r:1 w:0)
    // Proof: `System::ParentHash` (`max_values`: Some(1), `max_size`: Some(32), added: 527, mode: `MaxEncodedLen`)
    // Storage: `Pakit::NextChallenge` (r:1 w:1)
    // Proof: `Pakit::NextChallenge` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
    fn visit_draw() -> Weight {
        // Proof size in bytes: measured `307`, estimated `6558`.
        // Shortest execution: 21_452_000 picoseconds.
        Weight::from_parts(22_974_000, 6558)
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(2_u64))
    }
    // Storage: `Pakit::Stakes` (r:2 w:1)
    // Proof: `Pakit::Stakes` (`max_values`: None, `max_size`: Some(309), added: 2784, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(121), added: 2596, mode: `MaxEncodedLen`)
    fn visit_miss() -> Weight {
        // Proof size in bytes: measured `674`, estimated `6558`.
        // Shortest execution: 41_862_000 picoseconds.
        Weight::from_parts(44_235_000, 6558)
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::BlocksWithRoom` (r:1 w:1)
    // Proof: `Pakit::BlocksWithRoom` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
    fn count_room() -> Weight {
        // Proof size in bytes: measured `42`, estimated `1493`.
        // Shortest execution: 3_475_000 picoseconds.
        Weight::from_parts(3_785_000, 1493)
            .saturating_add(T::DbWeight::get().reads(1_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
}

/// The same for tests.
impl WeightInfo for () {
    fn create_dag() -> Weight {
        Weight::from_parts(59_558_000, 3593)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(5_u64))
    }
    fn create_dag_succeeding() -> Weight {
        Weight::from_parts(159_327_000, 26580)
            .saturating_add(RocksDbWeight::get().reads(14_u64))
            .saturating_add(RocksDbWeight::get().writes(6_u64))
    }
    fn anchor(c: u32, i: u32) -> Weight {
        Weight::from_parts(21_562_018, 4169)
            .saturating_add(Weight::from_parts(552_180, 0).saturating_mul(c.into()))
            .saturating_add(Weight::from_parts(282_713, 0).saturating_mul(i.into()))
            .saturating_add(RocksDbWeight::get().reads(1_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn record_proof(i: u32) -> Weight {
        Weight::from_parts(73_025_507, 3759)
            .saturating_add(Weight::from_parts(290_769, 0).saturating_mul(i.into()))
            .saturating_add(RocksDbWeight::get().reads(4_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn remove_record() -> Weight {
        Weight::from_parts(53_580_000, 3759)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn set_operators(n: u32) -> Weight {
        Weight::from_parts(54_928_540, 4169)
            .saturating_add(Weight::from_parts(34_034, 0).saturating_mul(n.into()))
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn transfer_ownership() -> Weight {
        Weight::from_parts(14_701_000, 4169)
            .saturating_add(RocksDbWeight::get().reads(1_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    fn accept_ownership() -> Weight {
        Weight::from_parts(100_739_000, 6196)
            .saturating_add(RocksDbWeight::get().reads(6_u64))
            .saturating_add(RocksDbWeight::get().writes(6_u64))
    }
    fn retire_dag() -> Weight {
        Weight::from_parts(53_940_000, 4169)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn verify_lineage(i: u32, h: u32) -> Weight {
        Weight::from_parts(19_756_813, 4169)
            .saturating_add(Weight::from_parts(282_247, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(953_333, 0).saturating_mul(h.into()))
            .saturating_add(RocksDbWeight::get().reads(2_u64))
    }
    fn stake() -> Weight {
        Weight::from_parts(66_598_000, 4169)
            .saturating_add(RocksDbWeight::get().reads(5_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn unbond() -> Weight {
        Weight::from_parts(16_034_000, 3774)
            .saturating_add(RocksDbWeight::get().reads(1_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    fn withdraw_stake() -> Weight {
        Weight::from_parts(56_524_000, 3774)
            .saturating_add(RocksDbWeight::get().reads(4_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn respond(i: u32, s: u32) -> Weight {
        Weight::from_parts(23_996_477, 3774)
            .saturating_add(Weight::from_parts(278_898, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(217_538, 0).saturating_mul(s.into()))
            .saturating_add(RocksDbWeight::get().reads(2_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    fn authorize_respond(i: u32, s: u32) -> Weight {
        Weight::from_parts(14_908_036, 3774)
            .saturating_add(Weight::from_parts(272_058, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(209_621, 0).saturating_mul(s.into()))
            .saturating_add(RocksDbWeight::get().reads(2_u64))
    }
    fn respond_removed(i: u32) -> Weight {
        Weight::from_parts(22_030_157, 3774)
            .saturating_add(Weight::from_parts(289_677, 0).saturating_mul(i.into()))
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    fn authorize_respond_removed(i: u32) -> Weight {
        Weight::from_parts(14_074_036, 3774)
            .saturating_add(Weight::from_parts(291_815, 0).saturating_mul(i.into()))
            .saturating_add(RocksDbWeight::get().reads(3_u64))
    }
    fn report_miss() -> Weight {
        Weight::from_parts(86_208_000, 6196)
            .saturating_add(RocksDbWeight::get().reads(5_u64))
            .saturating_add(RocksDbWeight::get().writes(4_u64))
    }
    fn declare_removed() -> Weight {
        Weight::from_parts(65_958_000, 4169)
            .saturating_add(RocksDbWeight::get().reads(4_u64))
            .saturating_add(RocksDbWeight::get().writes(4_u64))
    }
    fn report_block() -> Weight {
        Weight::from_parts(126_698_000, 6196)
            .saturating_add(RocksDbWeight::get().reads(7_u64))
            .saturating_add(RocksDbWeight::get().writes(5_u64))
    }
    fn visit_none() -> Weight {
        Weight::from_parts(8_863_000, 3774)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    fn visit_idle() -> Weight {
        Weight::from_parts(10_716_000, 6558).saturating_add(RocksDbWeight::get().reads(2_u64))
    }
    fn visit_freeze() -> Weight {
        Weight::from_parts(21_091_000, 6558)
            .saturating_add(RocksDbWeight::get().reads(4_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    fn visit_draw() -> Weight {
        Weight::from_parts(22_974_000, 6558)
            .saturating_add(RocksDbWeight::get().reads(4_u64))
            .saturating_add(RocksDbWeight::get().writes(2_u64))
    }
    fn visit_miss() -> Weight {
        Weight::from_parts(44_235_000, 6558)
            .saturating_add(RocksDbWeight::get().reads(4_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn count_room() -> Weight {
        Weight::from_parts(3_785_000, 1493)
            .saturating_add(RocksDbWeight::get().reads(1_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
}
