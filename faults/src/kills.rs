//! Programs killed with SIGKILL at random moments: after some time, after some acknowledgements, or in the middle of some
//! system call.

use crate::{
    disk::Disk,
    invariant::{Known, examine},
    journal,
    operation::{Acknowledged, Before, Operation, Promise, acknowledged, operations, write_sources},
    place::{Layer, Place, run, start},
};
use anyhow::{Context, Result, ensure};
use offchain_store::{StorageEngine, config::Overrides, engine::Access};
use pakit_tests::process::{Done, Running};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// An operation with all that experiments on it share.
pub struct Bench {
    /// What is done.
    pub operation: Operation,
    /// The state before it.
    pub prepared: Place,
    /// The state after it ran undisturbed.
    pub finished: Place,
    /// The disk before that.
    pub disk: Disk,
    /// What it did to its files then.
    pub events: Vec<journal::Event>,
    /// What it acknowledged then.
    pub said: Vec<Acknowledged>,
    /// What was there before.
    pub before: Before,
    /// How long it took.
    pub duration: Duration,
    input: Option<PathBuf>,
}

impl Bench {
    /// Prepares an operation and runs it once undisturbed, with a journal.
    pub fn new(operation: Operation, seed: u64) -> Result<Self> {
        let prepared = Place::new()?;
        write_sources(&prepared, seed)?;
        (operation.prepare)(&prepared).with_context(|| format!("cannot prepare {}", operation.name))?;
        let input = operation.input.map(|name| prepared.source().join(name));
        let looked_at = prepared.copy()?;
        let before = (operation.before)(&looked_at)?;
        let finished = prepared.copy()?;
        let start = Instant::now();
        run((operation.command)(&finished), input.as_deref())?;
        let duration = start.elapsed();
        finished.take_disk_of(&prepared)?;
        let disk = Disk::of_folder(&finished.disk())?;
        let layer = Layer { journal: true, fail: None };
        let done = run(finished.with_layer((operation.command)(&finished), &layer)?, input.as_deref())?;
        let events = finished.events()?;
        let mut after = disk.clone();
        for event in &events {
            after.follow(event)?;
        }
        after.is_of_folder(&finished.disk()).with_context(|| format!("{}: the journal is not all", operation.name))?;
        let said = acknowledged(&done.stdout)?;
        Ok(Self { operation, prepared, finished, disk, events, said, before, duration, input })
    }

    /// A place in the state before the operation.
    pub fn fresh(&self) -> Result<Place> {
        self.prepared.copy()
    }

    /// Starts the operation in a place, with the layer or without.
    pub fn start(&self, place: &Place, layer: Option<&Layer>) -> Result<Running> {
        let command = (self.operation.command)(place);
        let command = match layer {
            Some(layer) => place.with_layer(command, layer)?,
            None => command,
        };
        start(command, self.input.as_deref())
    }

    /// Looks at what is left, lets the operation run once more undisturbed, and looks again: it must go on from anything.
    pub fn examine_and_go_on(&self, place: &Place, said: &[Acknowledged], is_power_cut: bool) -> Result<()> {
        let mut known =
            Known { before: &self.before, said, promise: self.operation.promise, is_power_cut, is_finished: false };
        let found = examine(&place.repository(), &known)?;
        let done = self.start(place, None)?.wait();
        let makes_one = matches!(self.operation.promise, Promise::MaybeNone | Promise::AllOrNothing);
        let is_there_already = makes_one && found.head.is_some() && done.stderr.contains("already");
        ensure!(done.code == Some(0) || is_there_already, "run again it ends with {:?}: {}", done.code, done.stderr);
        let again = acknowledged(&done.stdout)?;
        known.is_finished = true;
        known.said = &again;
        examine(&place.repository(), &known).context("after it ran again")?;
        (self.operation.finally)(place).context("after it ran again")
    }

    /// The repository that the undisturbed run left.
    pub fn whole(&self) -> Result<StorageEngine> {
        Ok(StorageEngine::open(&self.finished.repository(), Access::Read, &Overrides::default())?)
    }
}

/// When to kill.
#[derive(Clone, Copy, Debug)]
enum Moment {
    After(Duration),
    Acknowledged(usize, Duration),
    InCall(u64),
}

/// Figures of a campaign.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Kills {
    /// Programs killed.
    pub kills: u64,
    /// By operation.
    pub by_operation: BTreeMap<String, u64>,
    /// Killed in the middle of a system call that changed a file.
    pub in_a_call: u64,
    /// Killed by the clock, or so long after an acknowledgement.
    pub by_the_clock: u64,
    /// Programs that ended before their moment; not counted as kills.
    pub ended_before: u64,
    /// Blocks that had been acknowledged before the kills, all of them found.
    pub acknowledged: u64,
    /// Kills of which at least one acknowledgement and not the last one had come.
    pub amidst: u64,
}

fn moment(bench: &Bench, rng: &mut StdRng) -> Moment {
    let span = bench.duration.mul_f64(1.1);
    match rng.random_range(0..4) {
        0 => Moment::After(span.mul_f64(rng.random_range(0.0..1.0))),
        1 if !bench.said.is_empty() => {
            let later = bench.duration.mul_f64(rng.random_range(0.0..0.2));
            Moment::Acknowledged(rng.random_range(1..=bench.said.len()), later)
        }
        _ => Moment::InCall(rng.random_range(1..=journal::count(&bench.events, "change").max(1))),
    }
}

fn kill(bench: &Bench, place: &Place, moment: Moment) -> Result<Done> {
    match moment {
        Moment::After(delay) => Ok(bench.start(place, None)?.wait_or_kill(delay)),
        Moment::InCall(number) => {
            let layer = Layer { journal: false, fail: Some(format!("change:{number}:kill:once")) };
            Ok(bench.start(place, Some(&layer))?.wait())
        }
        Moment::Acknowledged(lines, later) => {
            let mut running = bench.start(place, None)?;
            while running.stdout().lines().count() < lines && running.ended().is_none() {
                thread::sleep(Duration::from_micros(200));
            }
            Ok(running.wait_or_kill(later))
        }
    }
}

/// Kills `wanted` programs. The same seed chooses the same moments; what a machine does between two is its own.
pub fn campaign(wanted: u64, seed: u64, only: Option<&str>) -> Result<Kills> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut figures = Kills::default();
    let benches = benches(seed, only)?;
    let mut turn = 0u32;
    while figures.kills < wanted {
        turn += 1;
        for bench in &benches {
            if !turn.is_multiple_of(bench.operation.one_in) || figures.kills >= wanted {
                continue;
            }
            let moment = moment(bench, &mut rng);
            let mut place = bench.fresh()?;
            let done = kill(bench, &place, moment)?;
            if done.signal.is_none() {
                ensure!(done.code == Some(0), "{} ended with {:?}: {}", done.typed, done.code, done.stderr);
                figures.ended_before += 1;
                continue;
            }
            let said = acknowledged(&done.stdout)?;
            let what = || format!("kill {} ({:?}) of {}, seed {seed}", figures.kills, moment, bench.operation.name);
            bench.examine_and_go_on(&place, &said, false).with_context(|| place.kept_for(what()))?;
            figures.kills += 1;
            *figures.by_operation.entry(bench.operation.name.to_owned()).or_default() += 1;
            figures.acknowledged += said.len() as u64;
            figures.amidst += u64::from(!said.is_empty() && said.len() < bench.said.len());
            match moment {
                Moment::InCall(_) => figures.in_a_call += 1,
                _ => figures.by_the_clock += 1,
            }
        }
    }
    Ok(figures)
}

/// All operations, or the one of that name, ready.
pub fn benches(seed: u64, only: Option<&str>) -> Result<Vec<Bench>> {
    let wanted = operations().into_iter().filter(|operation| only.is_none_or(|only| only == operation.name));
    let benches: Vec<Bench> = wanted.map(|operation| Bench::new(operation, seed)).collect::<Result<_>>()?;
    let names: BTreeSet<&str> = benches.iter().map(|bench| bench.operation.name).collect();
    ensure!(names.len() == benches.len() && !benches.is_empty(), "no such operation, or two of one name");
    Ok(benches)
}
