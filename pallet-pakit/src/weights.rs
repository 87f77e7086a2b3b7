//! Weights of the calls.
//!
//! ESTIMATES, NOT MEASURED: they are set high by hand, to be replaced by the output of the benchmarks in
//! `benchmarking.rs`, run on a runtime's Wasm. Parameters: `c` hashes of a consistency proof, `i` hashes of an inclusion
//! proof, `n` operators, `h` headers of a lineage.

#![allow(missing_docs)]

use core::marker::PhantomData;
use frame_support::{
    traits::Get,
    weights::{Weight, constants::ParityDbWeight},
};

/// Weight functions needed for `pallet_pakit`.
pub trait WeightInfo {
    fn create_dag() -> Weight;
    fn create_dag_succeeding() -> Weight;
    fn anchor(c: u32, i: u32) -> Weight;
    fn record_proof(i: u32) -> Weight;
    fn remove_record() -> Weight;
    fn set_operators(n: u32) -> Weight;
    fn transfer_ownership() -> Weight;
    fn accept_ownership() -> Weight;
    fn retire_dag() -> Weight;
    fn verify_lineage(i: u32, h: u32) -> Weight;
}

/// Weights for `pallet_pakit` with the database weights of the runtime.
pub struct SubstrateWeight<T>(PhantomData<T>);
impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
    fn create_dag() -> Weight {
        Weight::from_parts(60_000_000, 15000)
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(4_u64))
    }

    fn create_dag_succeeding() -> Weight {
        Weight::from_parts(140_000_000, 57000)
            .saturating_add(T::DbWeight::get().reads(17_u64))
            .saturating_add(T::DbWeight::get().writes(6_u64))
    }

    /// The range of component `c` is `[1, 49]`.
    /// The range of component `i` is `[1, 48]`.
    fn anchor(c: u32, i: u32) -> Weight {
        Weight::from_parts(60_000_000, 9000)
            .saturating_add(Weight::from_parts(4_000_000, 0).saturating_mul(c.into()))
            .saturating_add(Weight::from_parts(2_000_000, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(1_u64))
            .saturating_add(T::DbWeight::get().writes(3_u64))
    }

    /// The range of component `i` is `[1, 48]`.
    fn record_proof(i: u32) -> Weight {
        Weight::from_parts(70_000_000, 15000)
            .saturating_add(Weight::from_parts(2_000_000, 0).saturating_mul(i.into()))
            .saturating_add(T::DbWeight::get().reads(3_u64))
            .saturating_add(T::DbWeight::get().writes(2_u64))
    }

    fn remove_record() -> Weight {
        Weight::from_parts(50_000_000, 12000)
            .saturating_add(T::DbWeight::get().reads(2_u64))
            .saturating_add(T::DbWeight::get().writes(2_u64))
    }

    /// The range of component `n` is `[0, 8]`.
    fn set_operators(n: u32) -> Weight {
        Weight::from_parts(60_000_000, 12000)
            .saturating_add(Weight::from_parts(200_000, 0).saturating_mul(n.into()))
            .saturating_add(T::DbWeight::get().reads(2_u64))
            .saturating_add(T::DbWeight::get().writes(2_u64))
    }

    fn transfer_ownership() -> Weight {
        Weight::from_parts(30_000_000, 12000)
            .saturating_add(T::DbWeight::get().reads(2_u64))
            .saturating_add(T::DbWeight::get().writes(1_u64))
    }

    fn accept_ownership() -> Weight {
        Weight::from_parts(100_000_000, 18000)
            .saturating_add(T::DbWeight::get().reads(4_u64))
            .saturating_add(T::DbWeight::get().writes(4_u64))
    }

    fn retire_dag() -> Weight {
        Weight::from_parts(60_000_000, 12000)
            .saturating_add(T::DbWeight::get().reads(2_u64))
            .saturating_add(T::DbWeight::get().writes(2_u64))
    }

    /// The range of component `i` is `[1, 48]`.
    /// The range of component `h` is `[1, 64]`.
    fn verify_lineage(i: u32, h: u32) -> Weight {
        Weight::from_parts(50_000_000, 12000)
            .saturating_add(Weight::from_parts(2_000_000, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(9_000_000, 0).saturating_mul(h.into()))
            .saturating_add(T::DbWeight::get().reads(2_u64))
    }
}

// For tests.
impl WeightInfo for () {
    fn create_dag() -> Weight {
        Weight::from_parts(60_000_000, 15000)
            .saturating_add(ParityDbWeight::get().reads(3_u64))
            .saturating_add(ParityDbWeight::get().writes(4_u64))
    }

    fn create_dag_succeeding() -> Weight {
        Weight::from_parts(140_000_000, 57000)
            .saturating_add(ParityDbWeight::get().reads(17_u64))
            .saturating_add(ParityDbWeight::get().writes(6_u64))
    }

    /// The range of component `c` is `[1, 49]`.
    /// The range of component `i` is `[1, 48]`.
    fn anchor(c: u32, i: u32) -> Weight {
        Weight::from_parts(60_000_000, 9000)
            .saturating_add(Weight::from_parts(4_000_000, 0).saturating_mul(c.into()))
            .saturating_add(Weight::from_parts(2_000_000, 0).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads(1_u64))
            .saturating_add(ParityDbWeight::get().writes(3_u64))
    }

    /// The range of component `i` is `[1, 48]`.
    fn record_proof(i: u32) -> Weight {
        Weight::from_parts(70_000_000, 15000)
            .saturating_add(Weight::from_parts(2_000_000, 0).saturating_mul(i.into()))
            .saturating_add(ParityDbWeight::get().reads(3_u64))
            .saturating_add(ParityDbWeight::get().writes(2_u64))
    }

    fn remove_record() -> Weight {
        Weight::from_parts(50_000_000, 12000)
            .saturating_add(ParityDbWeight::get().reads(2_u64))
            .saturating_add(ParityDbWeight::get().writes(2_u64))
    }

    /// The range of component `n` is `[0, 8]`.
    fn set_operators(n: u32) -> Weight {
        Weight::from_parts(60_000_000, 12000)
            .saturating_add(Weight::from_parts(200_000, 0).saturating_mul(n.into()))
            .saturating_add(ParityDbWeight::get().reads(2_u64))
            .saturating_add(ParityDbWeight::get().writes(2_u64))
    }

    fn transfer_ownership() -> Weight {
        Weight::from_parts(30_000_000, 12000)
            .saturating_add(ParityDbWeight::get().reads(2_u64))
            .saturating_add(ParityDbWeight::get().writes(1_u64))
    }

    fn accept_ownership() -> Weight {
        Weight::from_parts(100_000_000, 18000)
            .saturating_add(ParityDbWeight::get().reads(4_u64))
            .saturating_add(ParityDbWeight::get().writes(4_u64))
    }

    fn retire_dag() -> Weight {
        Weight::from_parts(60_000_000, 12000)
            .saturating_add(ParityDbWeight::get().reads(2_u64))
            .saturating_add(ParityDbWeight::get().writes(2_u64))
    }

    /// The range of component `i` is `[1, 48]`.
    /// The range of component `h` is `[1, 64]`.
    fn verify_lineage(i: u32, h: u32) -> Weight {
        Weight::from_parts(50_000_000, 12000)
            .saturating_add(Weight::from_parts(2_000_000, 0).saturating_mul(i.into()))
            .saturating_add(Weight::from_parts(9_000_000, 0).saturating_mul(h.into()))
            .saturating_add(ParityDbWeight::get().reads(2_u64))
    }
}
