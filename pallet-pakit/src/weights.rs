//! Weights of `pallet_pakit`, measured on the Wasm of `pakit-runtime-mock` by `cargo xtask weights`. Not edited by hand.
//!
//! But the weights that are marked as estimates: those calls and hooks are newer than the last measuring. Each is a bound put
//! together by hand, well above what the measured ones let expect, until the recipe is run again.
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
    /// Weight of `stake`; an estimate, not measured.
    fn stake() -> Weight;
    /// Weight of `unbond`; an estimate, not measured.
    fn unbond() -> Weight;
    /// Weight of `withdraw_stake`; an estimate, not measured.
    fn withdraw_stake() -> Weight;
    /// Weight of `respond`; an estimate, not measured.
    fn respond(i: u32, s: u32) -> Weight;
    /// Weight of `authorize_respond`; an estimate, not measured.
    fn authorize_respond(i: u32, s: u32) -> Weight;
    /// Weight of `respond_removed`; an estimate, not measured.
    fn respond_removed(i: u32) -> Weight;
    /// Weight of `authorize_respond_removed`; an estimate, not measured.
    fn authorize_respond_removed(i: u32) -> Weight;
    /// Weight of `report_miss`; an estimate, not measured.
    fn report_miss() -> Weight;
    /// Weight of `declare_removed`; an estimate, not measured.
    fn declare_removed() -> Weight;
    /// Weight of `report_block`; an estimate, not measured.
    fn report_block() -> Weight;
    /// Weight of `visit_none`; an estimate, not measured.
    fn visit_none() -> Weight;
    /// Weight of `visit_idle`; an estimate, not measured.
    fn visit_idle() -> Weight;
    /// Weight of `visit_freeze`; an estimate, not measured.
    fn visit_freeze() -> Weight;
    /// Weight of `visit_draw`; an estimate, not measured.
    fn visit_draw() -> Weight;
    /// Weight of `visit_miss`; an estimate, not measured.
    fn visit_miss() -> Weight;
    /// Weight of `count_room`; an estimate, not measured.
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
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(85), added: 2560, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:0 w:1)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    // Storage: `Pakit::Dags` (r:0 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    fn create_dag() -> Weight {
        // Proof size in bytes: measured `109`, estimated `3593`.
        // Shortest execution: 55_352_000 picoseconds.
        Weight::from_parts(57_966_000, 3593)
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
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(85), added: 2560, mode: `MaxEncodedLen`)
    fn create_dag_succeeding() -> Weight {
        // Proof size in bytes: measured `6260`, estimated `26580`.
        // Shortest execution: 149_171_000 picoseconds.
        Weight::from_parts(175_630_000, 26580)
            .saturating_add(T::DbWeight::get().reads(14_u64))
            .saturating_add(T::DbWeight::get().writes(6_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:0 w:2)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    fn anchor(c: u32, i: u32) -> Weight {
        // Proof size in bytes: measured `749`, estimated `4169`.
        // Shortest execution: 33_329_000 picoseconds.
        Weight::from_parts(21_485_902, 4169)
            // Standard error: 963
            .saturating_add(Weight::from_parts(560_143, 0).saturating_mul(c.into()))
            // Standard error: 987
            .saturating_add(Weight::from_parts(272_928, 0).saturating_mul(i.into()))
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
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(85), added: 2560, mode: `MaxEncodedLen`)
    fn record_proof(i: u32) -> Weight {
        // Proof size in bytes: measured `335`, estimated `3759`.
        // Shortest execution: 68_252_000 picoseconds.
        Weight::from_parts(71_611_243, 3759)
            // Standard error: 1_458
            .saturating_add(Weight::from_parts(294_575, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Records` (r:1 w:1)
    // Proof: `Pakit::Records` (`max_values`: None, `max_size`: Some(294), added: 2769, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(85), added: 2560, mode: `MaxEncodedLen`)
    fn remove_record() -> Weight {
        // Proof size in bytes: measured `486`, estimated `3759`.
        // Shortest execution: 49_944_000 picoseconds.
        Weight::from_parts(52_438_000, 3759)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(85), added: 2560, mode: `MaxEncodedLen`)
    fn set_operators(n: u32) -> Weight {
        // Proof size in bytes: measured `907`, estimated `4169`.
        // Shortest execution: 50_945_000 picoseconds.
        Weight::from_parts(53_862_695, 4169)
            // Standard error: 2_718
            .saturating_add(Weight::from_parts(28_780, 0).saturating_mul(n.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:0)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::PendingTransfers` (r:0 w:1)
    // Proof: `Pakit::PendingTransfers` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
    fn transfer_ownership() -> Weight {
        // Proof size in bytes: measured `782`, estimated `4169`.
        // Shortest execution: 12_929_000 picoseconds.
        Weight::from_parts(13_951_000, 4169)
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
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(85), added: 2560, mode: `MaxEncodedLen`)
    fn accept_ownership() -> Weight {
        // Proof size in bytes: measured `1074`, estimated `6196`.
        // Shortest execution: 95_292_000 picoseconds.
        Weight::from_parts(100_048_000, 6196)
            .saturating_add(T::DbWeight::get().reads(6_u64))
            .saturating_add(T::DbWeight::get().writes(6_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:1)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `System::Account` (r:1 w:1)
    // Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
    // Storage: `Balances::Holds` (r:1 w:1)
    // Proof: `Balances::Holds` (`max_values`: None, `max_size`: Some(85), added: 2560, mode: `MaxEncodedLen`)
    fn retire_dag() -> Weight {
        // Proof size in bytes: measured `907`, estimated `4169`.
        // Shortest execution: 50_234_000 picoseconds.
        Weight::from_parts(53_079_000, 4169)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // Storage: `Pakit::Dags` (r:1 w:0)
    // Proof: `Pakit::Dags` (`max_values`: None, `max_size`: Some(704), added: 3179, mode: `MaxEncodedLen`)
    // Storage: `Pakit::AnchoredHeads` (r:1 w:0)
    // Proof: `Pakit::AnchoredHeads` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
    fn verify_lineage(i: u32, h: u32) -> Weight {
        // Proof size in bytes: measured `822`, estimated `4169`.
        // Shortest execution: 32_218_000 picoseconds.
        Weight::from_parts(18_816_772, 4169)
            // Standard error: 1_362
            .saturating_add(Weight::from_parts(311_051, 0).saturating_mul(i.into()))
            // Standard error: 1_024
            .saturating_add(Weight::from_parts(1_038_398, 0).saturating_mul(h.into()))
            .saturating_add(T::DbWeight::get().reads(2_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn stake() -> Weight {
        Weight::from_parts(70_000_000, 7000)
            .saturating_add(T::DbWeight::get().reads(5_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn unbond() -> Weight {
        Weight::from_parts(25_000_000, 3800)
            .saturating_add(T::DbWeight::get().reads(1_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn withdraw_stake() -> Weight {
        Weight::from_parts(80_000_000, 7600)
            .saturating_add(T::DbWeight::get().reads(5_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn respond(i: u32, s: u32) -> Weight {
        Weight::from_parts(80_000_000, 7600)
            .saturating_add(Weight::from_parts(450_000, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(2_500_000, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn authorize_respond(i: u32, s: u32) -> Weight {
        Weight::from_parts(60_000_000, 7600)
            .saturating_add(Weight::from_parts(450_000, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(2_500_000, 0).saturating_mul(s.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn respond_removed(i: u32) -> Weight {
        Weight::from_parts(60_000_000, 7_600)
            .saturating_add(Weight::from_parts(450_000, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn authorize_respond_removed(i: u32) -> Weight {
        Weight::from_parts(40_000_000, 7_600)
            .saturating_add(Weight::from_parts(450_000, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn report_miss() -> Weight {
        Weight::from_parts(160_000_000, 10000)
            .saturating_add(T::DbWeight::get().reads(6_u64))
            .saturating_add(T::DbWeight::get().writes(5_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn declare_removed() -> Weight {
        Weight::from_parts(70_000_000, 7500)
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(4_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn report_block() -> Weight {
        Weight::from_parts(280_000_000, 15000)
            .saturating_add(T::DbWeight::get().reads(8_u64))
            .saturating_add(T::DbWeight::get().writes(7_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_none() -> Weight {
        Weight::from_parts(15_000_000, 4500)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_idle() -> Weight {
        Weight::from_parts(10_000_000, 3800).saturating_add(T::DbWeight::get().reads(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_freeze() -> Weight {
        Weight::from_parts(30_000_000, 10000)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_draw() -> Weight {
        Weight::from_parts(60_000_000, 9000)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(2_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_miss() -> Weight {
        Weight::from_parts(130_000_000, 7500)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn count_room() -> Weight {
        Weight::from_parts(15_000_000, 2000)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }
}

/// The same for tests.
impl WeightInfo for () {
    fn create_dag() -> Weight {
        Weight::from_parts(57_966_000, 3593)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(5_u64))
    }
    fn create_dag_succeeding() -> Weight {
        Weight::from_parts(175_630_000, 26580)
            .saturating_add(RocksDbWeight::get().reads(14_u64))
            .saturating_add(RocksDbWeight::get().writes(6_u64))
    }
    fn anchor(c: u32, i: u32) -> Weight {
        Weight::from_parts(21_485_902, 4169)
            .saturating_add(Weight::from_parts(560_143, 0).saturating_mul(c.into()))
            .saturating_add(Weight::from_parts(272_928, 0).saturating_mul(i.into()))
            .saturating_add(RocksDbWeight::get().reads(1_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn record_proof(i: u32) -> Weight {
        Weight::from_parts(71_611_243, 3759)
            .saturating_add(Weight::from_parts(294_575, 0).saturating_mul(i.into()))
            .saturating_add(RocksDbWeight::get().reads(4_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn remove_record() -> Weight {
        Weight::from_parts(52_438_000, 3759)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn set_operators(n: u32) -> Weight {
        Weight::from_parts(53_862_695, 4169)
            .saturating_add(Weight::from_parts(28_780, 0).saturating_mul(n.into()))
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn transfer_ownership() -> Weight {
        Weight::from_parts(13_951_000, 4169)
            .saturating_add(RocksDbWeight::get().reads(1_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    fn accept_ownership() -> Weight {
        Weight::from_parts(100_048_000, 6196)
            .saturating_add(RocksDbWeight::get().reads(6_u64))
            .saturating_add(RocksDbWeight::get().writes(6_u64))
    }
    fn retire_dag() -> Weight {
        Weight::from_parts(53_079_000, 4169)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    fn verify_lineage(i: u32, h: u32) -> Weight {
        Weight::from_parts(18_816_772, 4169)
            .saturating_add(Weight::from_parts(311_051, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(1_038_398, 0).saturating_mul(h.into()))
            .saturating_add(RocksDbWeight::get().reads(2_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn stake() -> Weight {
        Weight::from_parts(70_000_000, 7000)
            .saturating_add(RocksDbWeight::get().reads(5_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn unbond() -> Weight {
        Weight::from_parts(25_000_000, 3800)
            .saturating_add(RocksDbWeight::get().reads(1_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn withdraw_stake() -> Weight {
        Weight::from_parts(80_000_000, 7600)
            .saturating_add(RocksDbWeight::get().reads(5_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn respond(i: u32, s: u32) -> Weight {
        Weight::from_parts(80_000_000, 7600)
            .saturating_add(Weight::from_parts(450_000, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(2_500_000, 0).saturating_mul(s.into()))
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn authorize_respond(i: u32, s: u32) -> Weight {
        Weight::from_parts(60_000_000, 7600)
            .saturating_add(Weight::from_parts(450_000, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(2_500_000, 0).saturating_mul(s.into()))
            .saturating_add(RocksDbWeight::get().reads(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn respond_removed(i: u32) -> Weight {
        Weight::from_parts(60_000_000, 7_600)
            .saturating_add(Weight::from_parts(450_000, 0).saturating_mul(i.into()))
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn authorize_respond_removed(i: u32) -> Weight {
        Weight::from_parts(40_000_000, 7_600)
            .saturating_add(Weight::from_parts(450_000, 0).saturating_mul(i.into()))
            .saturating_add(RocksDbWeight::get().reads(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn report_miss() -> Weight {
        Weight::from_parts(160_000_000, 10000)
            .saturating_add(RocksDbWeight::get().reads(6_u64))
            .saturating_add(RocksDbWeight::get().writes(5_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn declare_removed() -> Weight {
        Weight::from_parts(70_000_000, 7500)
            .saturating_add(RocksDbWeight::get().reads(4_u64))
            .saturating_add(RocksDbWeight::get().writes(4_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn report_block() -> Weight {
        Weight::from_parts(280_000_000, 15000)
            .saturating_add(RocksDbWeight::get().reads(8_u64))
            .saturating_add(RocksDbWeight::get().writes(7_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_none() -> Weight {
        Weight::from_parts(15_000_000, 4500)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_idle() -> Weight {
        Weight::from_parts(10_000_000, 3800).saturating_add(RocksDbWeight::get().reads(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_freeze() -> Weight {
        Weight::from_parts(30_000_000, 10000)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_draw() -> Weight {
        Weight::from_parts(60_000_000, 9000)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(2_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn visit_miss() -> Weight {
        Weight::from_parts(130_000_000, 7500)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(3_u64))
    }
    // ESTIMATE, not measured: an upper bound put together from the measured weights above.
    fn count_room() -> Weight {
        Weight::from_parts(15_000_000, 2000)
            .saturating_add(RocksDbWeight::get().reads(3_u64))
            .saturating_add(RocksDbWeight::get().writes(1_u64))
    }
}
