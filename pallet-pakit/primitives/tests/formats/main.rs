//! The formats and every verifier, from outside: against published and independent vectors, against a naive prover, and
//! against hostile input.

#![allow(clippy::unwrap_used)]

mod common;

mod batches;
mod fraud;
mod header;
mod hostile;
mod lineage;
mod log_exhaustive;
mod log_sparse;
mod rfc6962;
mod slices;
mod vectors;
