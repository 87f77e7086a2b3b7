//! Faults on purpose, and what the store makes of them.
//!
//! | module | gives |
//! |---|---|
//! | [`place`] | a folder with a repository in it, thrown away afterwards, and `pakit` started on it, with the layer or without |
//! | [`operation`] | **the list of operations**: what is disturbed; one entry each |
//! | [`invariant`] | what has to hold whatever happened |
//! | [`journal`], [`disk`] | what a program did to its files, and what a power cut may leave of that |
//! | [`kills`] | programs killed at random moments |
//! | [`cuts`] | power cuts |
//! | [`calls`] | system calls that fail |
//! | [`full`] | disks that are full, and file systems that cannot be written |
//! | [`damage`] | flipped bits |
//! | [`fuzz`] | hostile bytes |
//! | [`crowd`] | readers and writers at once |
//!
//! `cargo xtask faults` runs the long campaign and writes its figures into `docs/dependability.md`; the tests of this crate
//! run a short one. What is not as it should be is an error that says which operation, which fault and which seed, so that
//! it can be had again.

#![allow(clippy::unwrap_used, reason = "it is part of tests: what is not as expected ends them")]

pub mod calls;
pub mod crowd;
pub mod cuts;
pub mod damage;
pub mod disk;
pub mod full;
pub mod fuzz;
pub mod invariant;
pub mod journal;
pub mod kills;
pub mod operation;
pub mod place;
#[path = "../layer/src/record.rs"]
mod record;
