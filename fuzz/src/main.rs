//! The targets of hostile bytes in `pakit_faults::fuzz` under libFuzzer, which makes new inputs of those that reached something new.
//!
//! One program for all of them, so that they are linked once: `PAKIT_FUZZ_TARGET` names the target, and the arguments are libFuzzer's.
//! `cargo xtask fuzz` builds it with the instrumentation that guides the engine, and runs it.

#![no_main]

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use pakit_faults::fuzz::{self, Target};
use std::{alloc::System, env, sync::OnceLock};

/// What all that a target allocates for one input may come to, in bytes. What is beyond is refused, which ends the process; C code's
/// is bounded by the engine's limit for the whole process.
const INPUT_MEMORY_MAX: usize = 64 << 20;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

static TARGET: OnceLock<Target> = OnceLock::new();

/// The target that the environment names. An unknown one ends the process with the names of all.
fn chosen() -> Target {
    let wanted = env::var("PAKIT_FUZZ_TARGET").unwrap_or_default();
    let Some((_, target)) = fuzz::TARGETS.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("PAKIT_FUZZ_TARGET is {wanted:?}; it has to be one of {}", names.join(", "));
        std::process::exit(2);
    };
    *target
}

fuzz_target!(
    init: {
        TARGET.get_or_init(chosen);
        // What targets make once and keep is no input's.
        fuzz::warm_up();
    },
    |input: &[u8]| {
        let target = TARGET.get_or_init(chosen);
        // Fails only for a limit below what is allocated already.
        let _ = MEMORY.set_limit(MEMORY.allocated().saturating_add(INPUT_MEMORY_MAX));
        target(input);
        let _ = MEMORY.set_limit(usize::MAX);
    }
);
