//! Power cuts: each operation is run once with a journal, and at random moments of it everything that a power cut might have left
//! on the disk is made a repository and looked at.

use crate::{
    disk::LOSSES,
    invariant::{Known, examine, is_beginning},
    journal::Kind,
    kills::{Bench, benches},
    operation::acknowledged,
};
use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use std::{collections::BTreeMap, fs};

/// One image in so many is also gone on with by the real program.
const GONE_ON_WITH: u64 = 10;

/// Figures of a campaign.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cuts {
    /// Images of disks that were opened and looked at.
    pub images: u64,
    /// By operation.
    pub by_operation: BTreeMap<String, u64>,
    /// By what happened to the writes that no sync had covered.
    pub by_loss: BTreeMap<String, u64>,
    /// Images that held another state than the program's files at that moment.
    pub with_a_loss: u64,
    /// Images on which the operation was run again to its end.
    pub gone_on_with: u64,
    /// Blocks that had been acknowledged before the cuts.
    pub acknowledged: u64,
    /// Of these, blocks lost that were put with `--fsync normal`, which promises no more.
    pub lost_by_leave: u64,
}

/// Makes `wanted` images, of all operations or of the one of that name.
pub fn campaign(wanted: u64, seed: u64, only: Option<&str>) -> Result<Cuts> {
    let mut figures = Cuts::default();
    let benches = benches(seed, only)?;
    let weight = |bench: &Bench| 1.0 / f64::from(bench.operation.one_in);
    let weights: f64 = benches.iter().map(weight).sum();
    for (number, bench) in (0u64..).zip(&benches) {
        let share = (wanted as f64 * weight(bench) / weights).ceil() as u64;
        cut(bench, share, seed.wrapping_add(number), &mut figures)?;
    }
    Ok(figures)
}

fn cut(bench: &Bench, count: u64, seed: u64, figures: &mut Cuts) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let end = bench.events.len();
    // The end counts more: everything is acknowledged then, and nothing may be lost.
    let mut moments: Vec<usize> =
        (0..count).map(|_| if rng.random_bool(0.1) { end } else { rng.random_range(0..=end) }).collect();
    moments.sort_unstable();
    let whole = bench.whole()?;
    let mut disk = bench.disk.clone();
    let mut said = Vec::new();
    let mut at = 0;
    for moment in moments {
        for event in &bench.events[at..moment] {
            disk.follow(event)?;
            if event.kind == Kind::Said {
                said.extend_from_slice(&event.data);
            }
        }
        at = moment;
        let loss = LOSSES[rng.random_range(0..LOSSES.len())];
        let image = disk.image(loss, &mut rng);
        let said = acknowledged(&said)?;
        let mut place = bench.fresh()?;
        fs::remove_dir_all(place.disk())?;
        image.write(&bench.finished.disk(), &place.disk())?;
        let what = || format!("a power cut at {moment} of {} with {loss:?}, seed {seed}", bench.operation.name);
        let mut look = || -> Result<()> {
            let known = Known {
                before: &bench.before,
                said: &said,
                promise: bench.operation.promise,
                is_power_cut: true,
                is_finished: false,
            };
            let found = examine(&place.repository(), &known)?;
            is_beginning(found.head, &whole)?;
            if figures.images.is_multiple_of(GONE_ON_WITH) {
                bench.examine_and_go_on(&place, &said, true)?;
                figures.gone_on_with += 1;
            }
            let size = found.head.map_or(0, |head| head.size);
            figures.lost_by_leave +=
                said.iter().filter(|said| said.leaf_index.is_some_and(|leaf_index| leaf_index >= size)).count() as u64;
            Ok(())
        };
        look().with_context(|| place.kept_for(what()))?;
        figures.images += 1;
        figures.acknowledged += said.len() as u64;
        figures.with_a_loss += u64::from(!disk.is_image(&image));
        *figures.by_operation.entry(bench.operation.name.to_owned()).or_default() += 1;
        *figures.by_loss.entry(format!("{loss:?}")).or_default() += 1;
    }
    Ok(())
}
