//! A short campaign of each kind. `cargo xtask faults` runs the long ones.
//!
//! `PAKIT_FAULTS_SEED` repeats an earlier run's choices; without it each run makes others.

#![allow(clippy::unwrap_used, missing_docs)]

use pakit_faults::{calls, crowd, cuts, damage, full, fuzz, kills, operation::operations};
use std::{env, fmt::Debug, fs, io::Write as _, path::Path, time::Duration};

fn seed() -> u64 {
    let seed = env::var("PAKIT_FAULTS_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    // Only shown where the test fails.
    println!("PAKIT_FAULTS_SEED={seed}");
    seed
}

#[track_caller]
fn ran<T: Debug>(campaign: anyhow::Result<T>) -> T {
    let figures = campaign.unwrap_or_else(|error| panic!("{error:#}"));
    println!("{figures:?}");
    figures
}

/// All but those with a large repository.
fn small_operations() -> Vec<&'static str> {
    operations().iter().filter(|operation| operation.one_in == 1).map(|operation| operation.name).collect()
}

#[test]
fn a_program_killed_at_any_moment_loses_nothing_that_it_acknowledged() {
    let seed = seed();
    for name in small_operations() {
        let figures = ran(kills::campaign(3, seed, Some(name)));
        assert_eq!((figures.kills, figures.by_operation[name]), (3, 3));
    }
}

#[test]
fn a_power_cut_at_any_moment_leaves_all_that_was_acknowledged_and_no_half_block() {
    let seed = seed();
    for name in small_operations() {
        let figures = ran(cuts::campaign(24, seed, Some(name)));
        assert_eq!(figures.images, 24);
        assert!(figures.with_a_loss > 0, "nothing was ever lost: {figures:?}");
    }
}

#[test]
fn a_system_call_that_fails_ends_in_a_named_error_and_takes_nothing_back() {
    let seed = seed();
    for name in ["init", "put a folder in small batches", "a handle that goes on"] {
        let figures = ran(calls::campaign(1, seed, Some(name)));
        assert!(figures.runs >= 12 && figures.refused > 0, "{figures:?}");
    }
}

#[test]
fn a_flipped_bit_is_never_served() {
    let figures = ran(damage::campaign(1_500, seed()));
    assert_eq!(figures.flips, 1_500);
    assert!(figures.bits_in_use > 50_000 && figures.bits_in_packs > 50_000 && figures.cuts > 0, "{figures:?}");
    assert!(figures.noticed.len() >= 4, "{figures:?}");
}

#[test]
fn readers_writers_backups_and_removals_at_once_are_told_nothing_but_the_known_and_lose_nothing() {
    let figures = ran(crowd::campaign(Duration::from_secs(8), seed()));
    assert!(figures.acknowledged > 1 && figures.restored > 0, "{figures:?}");
}

#[test]
fn a_full_disk_and_one_that_cannot_be_written_are_named_and_take_nothing_back() {
    let figures = ran(full::campaign(seed()));
    if figures.file_systems.is_empty() {
        // Past the test's capture: what was not tried must be seen.
        writeln!(std::io::stderr(), "NOT RUN: full and read-only disks: {:?}", figures.not_run).unwrap();
    } else {
        assert!(figures.full >= 3 && figures.read_only >= 2 && figures.acknowledged > 0, "{figures:?}");
    }
}

#[test]
fn hostile_bytes_are_refused_or_say_the_same_again() {
    let inputs = ran(fuzz::replay());
    assert_eq!(inputs.len(), fuzz::TARGETS.len());
}

#[test]
fn the_sound_inputs_of_each_corpus_are_accepted_by_what_reads_them() {
    for (name, _) in fuzz::TARGETS {
        let is_sound = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with("sound-");
        let sound: Vec<_> = fuzz::kept(name).unwrap().into_iter().filter(|(path, _)| is_sound(path)).collect();
        assert!(!sound.is_empty(), "{name}");
        for (path, input) in sound {
            assert!(fuzz::is_accepted(name, &input), "{}", path.display());
        }
    }
}

/// So that `cargo xtask fuzz`, which goes by the folders, leaves no target out.
#[test]
fn each_corpus_is_that_of_a_target() {
    let folders = fs::read_dir(fuzz::folder()).unwrap();
    let mut names: Vec<String> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut targets = fuzz::TARGETS.map(|(name, _)| name);
    targets.sort();
    assert_eq!(names, targets);
}
