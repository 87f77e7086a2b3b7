//! System calls that fail: for each operation each call of each class in turn, once or from then on. The operation ends with
//! success or a named error, and nothing that was acknowledged is lost, also not when the power fails right after it.

use crate::{
    disk::LOSSES,
    invariant::{Known, examine},
    journal::count,
    kills::{Bench, benches},
    operation::{acknowledged, ended_well},
    place::Layer,
};
use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::{collections::BTreeMap, fs};

/// Numbers of `errno.h`, the same on all of Linux's machines that matter.
const EIO: &str = "5";
const ENOSPC: &str = "28";
const EROFS: &str = "30";

/// What is made to fail, and how: class, what, how often, and what the program has to say where it does not succeed.
const FAULTS: [(&str, &str, &str, &str, &str); 13] = [
    ("a sync fails", "sync", EIO, "once", ""),
    ("syncs fail from then on", "sync", EIO, "on", ""),
    ("a sync finds the disk full", "sync", ENOSPC, "once", ""),
    ("a write fails", "write", EIO, "once", ""),
    ("a write writes half", "write", "half", "once", ""),
    ("the disk is full from then on", "write", ENOSPC, "on", "the disk is full"),
    ("there is room for half a write only", "write", "half", "on", "the disk is full"),
    ("the file system cannot be written from then on", "change", EROFS, "on", ""),
    ("a cut or an extension fails", "cut", EIO, "once", ""),
    ("a name cannot be made, changed or removed", "name", EIO, "once", ""),
    ("no name can be made from then on", "name", ENOSPC, "on", ""),
    ("a read fails", "read", EIO, "once", ""),
    ("a read reads half", "read", "half", "once", ""),
];

/// Figures of a campaign.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Calls {
    /// Runs in which a call failed.
    pub runs: u64,
    /// By what failed.
    pub by_fault: BTreeMap<String, u64>,
    /// Runs that succeeded in spite of it.
    pub succeeded: u64,
    /// Runs that ended with a named error.
    pub refused: u64,
    /// Runs whose disk was looked at as a power cut right after the end might have left it, in the strictest model: what a failed
    /// sync covered is lost unless it was written again.
    pub power_cuts: u64,
    /// Blocks that were acknowledged in these runs.
    pub acknowledged: u64,
}

/// Lets calls fail: each one of each class, or as many of them, spread evenly, as `runs_max` allows for each operation and
/// fault.
pub fn campaign(runs_max: u64, seed: u64, only: Option<&str>) -> Result<Calls> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut figures = Calls::default();
    for bench in benches(seed, only)?.iter().filter(|bench| bench.operation.one_in == 1) {
        for fault in FAULTS {
            let calls = count(&bench.events, fault.1);
            let runs = runs_max.min(calls);
            // Spread over all calls, and each time over others.
            for run in 0..runs {
                let (first, last) = (calls * run / runs, calls * (run + 1) / runs);
                fail(bench, fault, rng.random_range(first..last) + 1, &mut rng, &mut figures)?;
            }
        }
    }
    Ok(figures)
}

fn fail(
    bench: &Bench,
    (name, class, what, times, says): (&str, &str, &str, &str, &str),
    number: u64,
    rng: &mut StdRng,
    figures: &mut Calls,
) -> Result<()> {
    let mut place = bench.fresh()?;
    let mut disk = crate::disk::Disk::of_folder(&place.disk())?;
    let layer = Layer { journal: true, fail: Some(format!("{class}:{number}:{what}:{times}")) };
    let done = bench.start(&place, Some(&layer))?.wait();
    let experiment = format!("{name}, call {number}, {}", bench.operation.name);
    let mut look = || -> Result<()> {
        ended_well(&done)?;
        let is_of_our_program = done.code != Some(0) && !done.typed.contains("handle");
        ensure!(!is_of_our_program || done.stderr.contains(says), "it says {:?}", done.stderr);
        let said = acknowledged(&done.stdout)?;
        let mut known = Known {
            before: &bench.before,
            said: &said,
            promise: bench.operation.promise,
            is_power_cut: true,
            is_finished: false,
        };
        let events = place.events()?;
        events.iter().try_for_each(|event| disk.follow(event))?;
        let after_cut = bench.fresh()?;
        fs::remove_dir_all(after_cut.disk())?;
        let loss = LOSSES[rng.random_range(0..LOSSES.len())];
        disk.image(loss, rng).write(&place.disk(), &after_cut.disk())?;
        examine(&after_cut.repository(), &known).with_context(|| format!("after a power cut, {loss:?}"))?;
        known.is_power_cut = false;
        examine(&place.repository(), &known)?;
        bench.examine_and_go_on(&place, &said, false)?;
        figures.runs += 1;
        figures.power_cuts += 1;
        figures.acknowledged += said.len() as u64;
        let is_refused = done.code != Some(0) || !done.stderr.is_empty();
        if is_refused {
            figures.refused += 1
        } else {
            figures.succeeded += 1
        }
        *figures.by_fault.entry(name.to_owned()).or_default() += 1;
        Ok(())
    };
    look().with_context(|| place.kept_for(format!("{experiment}; the program said {:?}", done.stderr)))
}
